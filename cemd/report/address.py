"""Which kind of address a channel of customers needs: the only thing about channels that the core knows."""

from __future__ import annotations

from cemd.config.channels import Channel
from cemd.model.customers import ChannelKind

_KINDS = {"email": ChannelKind.EMAIL, "webhook": ChannelKind.WEBHOOK}
_NAMES = {"email": ChannelKind.EMAIL, "sms": ChannelKind.SMS, "webhook": ChannelKind.WEBHOOK}


def address_kind(channel: Channel) -> ChannelKind | None:
    """The kind of address; None for channels that reach no customers.

    A webhook that is a gateway says in `params.address` which address it wants handed over (`sms`, `email`).
    """
    if channel.to != "customers":
        return None
    named = channel.params.get("address")
    return _NAMES.get(named) if isinstance(named, str) else _KINDS.get(channel.kind)
