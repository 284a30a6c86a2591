"""The deep detector: kinds of evidence, their calibration, the gate that turns scores into episodes.

One file a kind, and this table from word to class. A kind says how far a sample is from what it expects; how rare that
is, is said by `tails`; what becomes of it, by `deep`. No loop over series lives here, and nothing that knows a finding.
"""

from __future__ import annotations

from cemd.analyze.detectors.base import Evidence
from cemd.analyze.detectors.change import Change
from cemd.analyze.detectors.local import Local
from cemd.analyze.detectors.magnitude import Magnitude
from cemd.analyze.detectors.nearest import Nearest
from cemd.analyze.detectors.novelty import Novelty
from cemd.analyze.detectors.profile import Profile
from cemd.analyze.detectors.ratio import Ratio
from cemd.analyze.detectors.shift import Shift
from cemd.analyze.detectors.spread import Spread

KINDS: dict[str, type[Evidence]] = {
    "magnitude": Magnitude,
    "change": Change,
    "local": Local,
    "shift": Shift,
    "profile": Profile,
    "ratio": Ratio,
    "nearest": Nearest,
    "novelty": Novelty,
    "spread": Spread,
}
