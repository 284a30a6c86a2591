"""The lookout: forecasts, drift and touchpoints under one roof, kept in step with the indicators of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from cemd.analyze.columns import Array
from cemd.analyze.indicators.indicators import Indicators
from cemd.analyze.indicators.instances import UNKNOWN
from cemd.analyze.indicators.windows import BUCKETS
from cemd.analyze.models.drift import Drifts, Moves
from cemd.analyze.models.forecast import SHARE_OF_WINDOW, Forecasts, Warnings, next_look
from cemd.analyze.models.touchpoint import TouchpointModel, members_of
from cemd.config.configuration import Configuration
from cemd.model.identity import Instant, stable_hash

Place = tuple[str, str]
"""Touchpoint and site."""


@dataclass(frozen=True, slots=True)
class Sighted:
    """What turned at a tick."""

    forecasts: Warnings
    drifts: Moves
    began: tuple[Place, ...]
    ended: tuple[Place, ...]


class Lookout:
    """State of all models."""

    def __init__(self) -> None:
        self.forecasts = Forecasts()
        self.drifts = Drifts()
        self.touchpoints: dict[Place, TouchpointModel] = {}
        self._phase: Array = np.zeros(0)
        self._known = -1  # instances that the touchpoints' members were chosen from
        self._numbers: dict[Place, NDArray[np.intp]] = {}  # instances that are the members of a touchpoint

    def tick(self, now: Instant, indicators: Indicators, configuration: Configuration) -> Sighted:
        """Gives every model the values that are due. Called after the indicators' own tick."""
        self._reach(indicators, configuration)
        nothing = np.zeros(0, np.intp)
        forecasts, drifts = Warnings(nothing, nothing), Moves(nothing, nothing)
        if not self._is_due(now):  # as a rule
            return Sighted(forecasts, drifts, (), ())
        given = {**_given(indicators), "phase": self._phase}
        if configuration.forecast.enabled:
            forecasts = self.forecasts.tick(now, given, configuration.forecast)
        if configuration.drift.enabled:
            drifts = self.drifts.tick(
                now, {"placed": given["promised"], "pace": given["window"], "phase": self._phase}, configuration.drift
            )
        began: list[Place] = []
        ended: list[Place] = []
        if configuration.multivariate.enabled:
            for place, model in self.touchpoints.items():
                if now < model.next_at:
                    continue
                before = model.said
                self._look(model, self._numbers[place], now, given, configuration)
                if model.said != before:
                    (began if model.said else ended).append(place)
        return Sighted(forecasts, drifts, tuple(began), tuple(ended))

    def _is_due(self, now: Instant) -> bool:
        """A look is due, or a forecast may have come true."""
        forecasts, drifts = self.forecasts.columns, self.drifts.columns
        return bool(
            (forecasts["next_at"] <= now).any()
            or (drifts["next_at"] <= now).any()
            or forecasts["said"].any()
            or any(model.next_at <= now for model in self.touchpoints.values())
        )

    def _reach(self, indicators: Indicators, configuration: Configuration) -> None:
        """New instances get their rows; a touchpoint whose members changed begins anew."""
        count = len(indicators.instances)
        if count == self._known:
            return
        self._known = count
        self._phase = np.array([_phase(one.key) for one in indicators.instances])
        self.forecasts.reach(count)
        self.drifts.reach(count)
        places = {one.key: (one.touchpoint, one.site) for one in indicators.instances if one.touchpoint}
        learn = configuration.multivariate.learn_looks
        kept: dict[Place, TouchpointModel] = {}
        for place, members in members_of(places).items():
            old = self.touchpoints.get(place)
            same = old is not None and old.members == members and len(old.looks) == learn
            kept[place] = old if same and old is not None else TouchpointModel(members, learn)
        self.touchpoints = kept
        self._numbers = {
            place: np.array([indicators.number[key] for key in model.members], np.intp) for place, model in kept.items()
        }

    def _look(
        self,
        model: TouchpointModel,
        numbers: NDArray[np.intp],
        now: Instant,
        given: Mapping[str, Array],
        configuration: Configuration,
    ) -> None:
        x = given["placed"][numbers]
        pace = float(given["pace"][numbers].max())
        model.next_at = float(next_look(now, np.array([pace]), self._phase[numbers[:1]])[0])
        if not np.isnan(x).any():  # an unknown part is no zero
            model.look(now, x, pace, configuration.multivariate)

    def pace(self, number: int, indicators: Indicators) -> float:
        """Seconds between two values that an instance gives to its forecast."""
        return float(indicators.windows.columns["width"][number]) * BUCKETS * SHARE_OF_WINDOW

    def take_over(self, old: Lookout, before: Indicators, after: Indicators) -> None:
        """After a reload: what did not change keeps everything."""
        self.forecasts.reach(len(after.instances))
        self.drifts.reach(len(after.instances))
        pairs = [
            (here, before.number[key])
            for key, here in after.number.items()
            if key in before.number
            and before.number[key] < len(old.forecasts.columns)
            and before.instances[before.number[key]].indicator == after.instances[here].indicator
        ]
        self.forecasts.take_over(old.forecasts, pairs)
        self.drifts.take_over(old.drifts, pairs)
        same = {after.instances[here].key for here, _ in pairs}
        self.touchpoints = {
            place: model for place, model in old.touchpoints.items() if all(key in same for key in model.members)
        }

    def shift(self, seconds: float) -> None:
        """The clock jumped ahead."""
        self.forecasts.shift(seconds)
        self.drifts.shift(seconds)
        for model in self.touchpoints.values():
            model.shift(seconds)

    def dump(self) -> dict[str, bytes]:
        models = [(place, model.dump()) for place, model in self.touchpoints.items()]
        return {
            **{f"forecast.{name}": body for name, body in self.forecasts.dump().items()},
            **{f"drift.{name}": body for name, body in self.drifts.dump().items()},
            "touchpoints": msgspec.msgpack.encode(models),
        }

    def load(self, dumped: Mapping[str, bytes]) -> None:
        """Fills the models, whose instances stand in the order of the dump."""
        self.forecasts.load(_under("forecast.", dumped))
        self.drifts.load(_under("drift.", dumped))
        models = msgspec.msgpack.decode(dumped["touchpoints"], type=list[tuple[Place, bytes]])
        self.touchpoints = {place: TouchpointModel.load(body) for place, body in models}
        self._known = -1


def _phase(key: str) -> float:
    """Each looks at an instant of its own, the same in every process."""
    return stable_hash(key) / 2.0**64


def _given(indicators: Indicators) -> dict[str, Array]:
    """Columns by instance. `placed`: between worst (0) and best (1), `promised`: the same where there is an objective;
    NaN: unknown."""
    c = indicators.columns
    value = np.where(c["quality"] == UNKNOWN, np.nan, c["value"])
    placed = np.clip((value - c["worst"]) / (c["best"] - c["worst"]), -1.0, 2.0)
    window = indicators.windows.columns["width"] * BUCKETS
    return {
        "value": value,
        "sign": c["sign"],
        "target": c["target"],
        "broken": c["broken"],
        "placed": placed,
        "promised": np.where(c["sign"] != 0, placed, np.nan),
        "window": window,
        "pace": window * SHARE_OF_WINDOW,
    }


def _under(prefix: str, dumped: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name.removeprefix(prefix): body for name, body in dumped.items() if name.startswith(prefix)}
