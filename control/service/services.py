"""What every call of a service uses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mixminus.media.bridge import Bridge
from mixminus.media.platform import MediaPlatform

from ..call_totals import CallTotals
from ..journal import Journal
from ..operation.admission import Admission
from ..operation.traces import Traces
from ..store.base import Store
from .directory import Directory
from .edges import MediaEdges
from .gauge import Sampler
from .host_waits import RightAddresses
from .ivr.prompts import PromptLibrary
from .ivr.recordings import Recordings
from .notifier import Notifier
from .records.keeping import KeptConversations
from .rooms import Rooms
from .settings import ServiceSettings
from .switchboard import Switchboard

if TYPE_CHECKING:
    from .callers import Callers
    from .calls import CallBook


@dataclass(slots=True)
class CallServices:
    """The parts that calls are made of; ``book`` and ``callers`` enter themselves."""

    store: Store
    notifier: Notifier
    switchboard: Switchboard
    platform: MediaPlatform
    admission: Admission
    edges: MediaEdges
    settings: ServiceSettings
    directory: Directory
    rooms: Rooms
    kept: KeptConversations
    prompts: PromptLibrary
    recordings: Recordings
    waiting: Bridge
    """Where a device's leg is until it enters a conversation: it hears nothing, and is unheard."""
    sampler: Sampler = field(default_factory=Sampler)
    journal: Journal = field(default_factory=lambda: Journal("service"))
    """What is told, done and seen, for whoever looks."""
    traces: Traces | None = None
    """Where the set-up of calls is traced, if it is."""
    right_addresses: RightAddresses = field(default_factory=RightAddresses)
    """Of media links."""
    call_totals: CallTotals = field(default_factory=CallTotals)
    book: CallBook = field(init=False)
    callers: Callers = field(init=False)
