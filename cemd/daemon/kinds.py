"""The tables of kinds, joined for the floor of configuration, which knows none of them."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from cemd.config.marked import Path
from cemd.config.params import Kinds


def kinds() -> Kinds:
    """Models of the parameters of every kind of probe and channel."""
    from cemd.monitor.probes import KINDS as PROBES
    from cemd.monitor.probes.base import COMMON_METRICS
    from cemd.report.channels import KINDS as CHANNELS
    from cemd.report.texts import check_template

    return Kinds(
        probe_params={word: kind.Params for word, kind in PROBES.items()},
        channel_params={word: kind.Params for word, kind in CHANNELS.items()},
        text_fault=check_template,
        hosts=_hosts,
        least_seconds=_least_seconds,
        metrics={
            word: None if kind.metrics is None else kind.metrics | COMMON_METRICS for word, kind in PROBES.items()
        },
        figures={word: kind.__doc__ or "" for word, kind in PROBES.items()},
        channels={word: kind.__doc__ or "" for word, kind in CHANNELS.items()},
    )


# Functions of the module, and no lambdas: simulated lives of several processes take the tables with them.
def _hosts(params: BaseModel) -> Iterable[tuple[Path, str]]:
    from cemd.monitor.probes.base import ProbeParams

    return params.hosts() if isinstance(params, ProbeParams) else ()


def _least_seconds(params: BaseModel) -> float:
    from cemd.monitor.probes.base import ProbeParams

    return params.least_seconds() if isinstance(params, ProbeParams) else 0.0
