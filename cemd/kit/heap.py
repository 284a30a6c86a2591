"""The heap of a process that keeps very much: what stays is taken out of the collector's sight.

A full look for circles walks over everything that is tracked, a tenth of a second for a hundred thousand series or
probes, and nobody else has the interpreter meanwhile. What is known to stay is therefore frozen when it was made.
Whoever drops a frozen thing that is part of a circle must break that circle, for nobody looks for it any more.
"""

from __future__ import annotations

import gc


def settle() -> None:
    """What stands now stays. Circles that are young garbage go before, which takes a millisecond."""
    gc.collect(0)
    gc.freeze()
