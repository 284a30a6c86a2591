"""Who sees it: which vantage points show a broken objective themselves, which see nothing of it, which are blind.

A vantage point shows it when its newest sample failed, or is on the wrong side of the objective. One that could not
look abstains, and so does one that fell silent: its newest sample says nothing of now. So a target that only one
vantage point cannot reach reads otherwise than one that nobody reaches.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.bank.bank import Bank
from cemd.analyze.bank.fields import NOT_SEEN
from cemd.analyze.columns import Array
from cemd.analyze.series import SeriesTable
from cemd.config.rules import Objective
from cemd.model.quality import Outcome


class Views(TypedDict):
    """Names of vantage points, sorted."""

    failing: tuple[str, ...]
    well: tuple[str, ...]
    blind: tuple[str, ...]


def views_of(
    rows: NDArray[np.intp], objective: Objective | None, table: SeriesTable, bank: Bank, unheard: NDArray[np.bool_]
) -> Views:
    """What each vantage point of these series sees.

    Args:
        rows: Rows of the series that an indicator looks at, intp[n].
        objective: What it must keep; None: only failed attempts count.
        unheard: Which of them fell silent, or have no sample in the indicator's window, bool[n].
    """
    names = list(table.vantages)
    vantage, outcome = table.columns["vantage"][rows], bank.columns["outcome"][rows]
    shows = (outcome == Outcome.FAILED) | (outcome == Outcome.TIMED_OUT) | _beyond(bank.values()[rows], objective)
    unseen = (outcome == Outcome.BLIND) | (outcome == NOT_SEEN) | unheard
    found = Views(failing=(), well=(), blind=())
    for name, code in sorted((names[code], code) for code in np.flatnonzero(np.bincount(vantage)).tolist()):
        mine = vantage == code
        if (shows & ~unseen)[mine].any():
            found["failing"] += (name,)
        elif unseen[mine].all():
            found["blind"] += (name,)
        else:
            found["well"] += (name,)
    return found


def _beyond(values: Array, objective: Objective | None) -> Array:
    """Samples that the objective would not allow by themselves; no value is not beyond."""
    if objective is None:
        return np.zeros(len(values), np.bool_)
    with np.errstate(invalid="ignore"):
        if objective.at_least is not None:
            return np.asarray(values < objective.at_least)
        return np.asarray(values > (np.inf if objective.at_most is None else objective.at_most))
