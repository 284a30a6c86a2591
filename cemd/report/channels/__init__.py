"""Ways to reach people: one file a kind, one table from word to class; `base` holds what is common, `attempt` says from
when on a message may have left, and `worker` drives one channel for the edge.

A channel sends one message or tells why not (`ChannelError`). It decides nothing, retries nothing, remembers nothing
but its connections, and never logs an address.
"""

from __future__ import annotations

from collections.abc import Mapping

from cemd.report.channels.alertmanager import Alertmanager
from cemd.report.channels.apprise import Apprise
from cemd.report.channels.base import Kind, Message
from cemd.report.channels.email import Email
from cemd.report.channels.webhook import Webhook

__all__ = ["KINDS", "Kind", "Message"]

KINDS: Mapping[str, type[Kind]] = {
    "email": Email,
    "webhook": Webhook,
    "alertmanager": Alertmanager,
    "apprise": Apprise,
}
