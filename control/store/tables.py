"""All the tables of the store, the same on every engine."""

from __future__ import annotations

from .call_tables import CallTables
from .conversation_tables import ConversationTables
from .directory_tables import DirectoryTables
from .meeting_tables import MeetingTables
from .operation_tables import OperationTables
from .record_tables import RecordTables
from .subscription_tables import SubscriptionTables


class StoreTables(
    DirectoryTables,
    CallTables,
    OperationTables,
    ConversationTables,
    MeetingTables,
    RecordTables,
    SubscriptionTables,
):
    """A :class:`~.base.Store` but for the engine that runs its transactions."""
