"""The tables of bot hosts, the same on every engine."""

from __future__ import annotations

from .host_call_tables import HostCallTables
from .host_forgetting import HostForgetting
from .inbox_tables import InboxTables
from .instance_tables import InstanceTables
from .request_tables import RequestTables


class HostTables(InstanceTables, HostCallTables, InboxTables, RequestTables, HostForgetting):
    """A :class:`~.host_base.HostStore` but for the engine that runs its transactions."""
