"""The tables of kinds, joined for the floor of configuration, which knows none of them."""

from __future__ import annotations

from cemd.config.params import Kinds


def kinds() -> Kinds:
    """Models of the parameters of every kind of probe and channel."""
    from cemd.monitor.probes import KINDS as PROBES
    from cemd.monitor.probes.base import COMMON_METRICS, ProbeParams
    from cemd.report.channels import KINDS as CHANNELS
    from cemd.report.texts import check_template

    return Kinds(
        probe_params={word: kind.Params for word, kind in PROBES.items()},
        channel_params={word: kind.Params for word, kind in CHANNELS.items()},
        text_fault=check_template,
        hosts=lambda params: params.hosts() if isinstance(params, ProbeParams) else (),
        least_seconds=lambda params: params.least_seconds() if isinstance(params, ProbeParams) else 0.0,
        metrics={
            word: None if kind.metrics is None else kind.metrics | COMMON_METRICS for word, kind in PROBES.items()
        },
        figures={word: kind.__doc__ or "" for word, kind in PROBES.items()},
        channels={word: kind.__doc__ or "" for word, kind in CHANNELS.items()},
    )
