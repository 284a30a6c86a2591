"""Touchpoints as a whole, beside river's multivariate models at the same false rate."""

from __future__ import annotations

from typing import Any

import numpy as np
from cemd.analyze.columns import Array
from cemd.analyze.models.touchpoint import TouchpointModel
from cemd.config.detection import Multivariate

from .series import PACE


def looks(rng: np.random.Generator, count: int, members: int) -> Array:
    """A touchpoint in order: indicators with a common load, and a little of their own."""
    load = rng.normal(0, 0.1, (count, 1))
    ways = np.resize([1.0, 0.9, -0.8, 0.5, 0.7, -0.6], members)
    return np.asarray(0.8 + load * ways + rng.normal(0, 0.02, (count, members)))


FAULTS = ("one alone", "against the load", "all together")


def fault(kind: str, rng: np.random.Generator, members: int) -> Array:
    """Four looks of a fault; only the last kind leaves what each value always was."""
    strange = looks(rng, 4, members)
    match kind:
        case "one alone":
            strange[:, 1] -= 0.15
        case "against the load":
            strange[:, 0], strange[:, 1] = 0.92, 0.68
        case _:
            strange -= 0.5
    return strange


def case(samples: int, runs: int, members: int = 4) -> dict[str, Any]:
    """False episodes of the model, share of faults that it finds, and the same for river's two at the same false rate:
    their limit is the largest score that the quiet part gave."""
    rng = np.random.default_rng(5)
    false, found = 0, {name: dict.fromkeys(FAULTS, 0) for name in ("cemd", "HalfSpaceTrees", "OneClassSVM")}
    for run in range(runs):
        quiet = looks(rng, samples, members)
        model, episodes = live(quiet)
        false += episodes
        strange = {kind: fault(kind, rng, members) for kind in FAULTS}
        for kind, xs in strange.items():
            found["cemd"][kind] += sees(model, xs)
        for name, score in river_models(quiet, run).items():
            for kind, xs in strange.items():
                found[name][kind] += sum(score["of"](x) > score["limit"] for x in xs) >= 2
    return {"false": false, "runs": runs, "found": found}


def live(quiet: Array) -> tuple[TouchpointModel, int]:
    """A model that has seen these looks, and how many episodes it began meanwhile."""
    model = TouchpointModel(tuple("abcdefgh"[: quiet.shape[1]]), Multivariate().learn_looks)
    before, episodes = False, 0
    for turn, x in enumerate(quiet):
        model.look(1e9 + turn * PACE, x, PACE, Multivariate())
        episodes += model.said and not before
        before = model.said
    return model, episodes


def sees(model: TouchpointModel, strange: Array) -> bool:
    """Whether these looks, after all that the model has seen, are an episode; the model stays as it was."""
    judged = TouchpointModel.load(model.dump())
    for turn, x in enumerate(strange):
        judged.look(2e9 + turn * PACE, x, PACE, Multivariate())
    return bool(judged.said)


def river_models(quiet: Array, seed: int) -> dict[str, Any]:
    """river's multivariate models, learnt on the quiet part; the limit is the largest score of its newer half."""
    from river import anomaly, preprocessing

    made: Any = anomaly.HalfSpaceTrees
    svm: Any = anomaly.OneClassSVM
    scaler: Any = preprocessing.StandardScaler
    limits = dict.fromkeys(range(quiet.shape[1]), (-0.5, 1.5))
    models: dict[str, Any] = {
        "HalfSpaceTrees": made(n_trees=10, height=8, window_size=250, limits=limits, seed=seed),
        "OneClassSVM": scaler() | svm(nu=0.05),
    }
    out: dict[str, Any] = {}
    for name, model in models.items():
        largest = -np.inf
        for turn, x in enumerate(quiet.tolist()):
            named = dict(enumerate(x))
            if turn >= len(quiet) // 2:
                largest = max(largest, model.score_one(named))
            model.learn_one(named)
        out[name] = {"limit": largest, "of": lambda x, model=model: model.score_one(dict(enumerate(x.tolist())))}
    return out
