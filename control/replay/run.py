"""Replaying a capture: the same bot, the same call, in virtual time."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from mixminus.media.pcm import FRAME_SAMPLES, FRAME_TICKS, Pcm
from mixminus.media.recorder import RecordingStore
from mixminus.media.replay import (
    CaptureError,
    Kind,
    Record,
    ReplayTransport,
    TickRecord,
    VirtualLoop,
    VirtualPlatform,
    read_capture,
)
from mixminus.media.session import Listener

from ..client.calls import CallsClient
from ..client.models import CallInfo
from ..client.records import CallRecordsClient
from ..client.requests import GraphRequestError
from ..graph.enums import CallState, ChangeType
from ..graph.notifications import Notification
from ..host.bot import Bot
from ..host.call import HostedCall
from ..host.calls import Addresses, HostCalls
from ..host.parts import MediaKind, Peer
from ..host.recording import HostRecordings
from .graph import NOT_CAPTURED, Asked, ReplayGraph
from .plugins import ReplayPlugins

FRAME_S: Final = FRAME_TICKS / 1e7
MAX_SHIFT_FRAMES: Final = 50
"""By how much the bot may be later or earlier than then, all along, and say the same."""
START_S: Final = 600.0
"""Virtual seconds that a bot's ``on_start`` may take until it makes its call."""
AFTER_S: Final = 5.0
"""Virtual seconds that the bot has after the end of the capture."""


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What the bot did this time, and how that compares with what was captured.

    ``own`` is all that the bot said, ``captured_own`` what it said then. ``same_frames`` of
    ``own_frames`` are equal sample for sample, *shift_frames* later (or earlier) throughout.
    ``digest`` is of what it said and asked for: two replays of one bot have the same.
    Units:  virtual and real time in seconds.
    """

    own: Pcm
    captured_own: Pcm
    own_frames: int
    same_frames: int
    shift_frames: int
    asked: tuple[Asked, ...]
    bot_error: str | None
    virtual_s: float
    real_s: float
    digest: str
    recordings: Path | None = None
    keys: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether the bot said what it said then, and asked for nothing new."""
        is_answered = all(asked.was_answered for asked in self.asked)
        return self.same_frames == self.own_frames and is_answered and self.bot_error is None


@dataclass(slots=True)
class _Capture:
    header: Mapping[str, Any]
    items: list[Record | TickRecord] = field(default_factory=list)

    @property
    def exchanges(self) -> Iterator[Mapping[str, Any]]:
        return (item.content for item in self.items if item.kind is Kind.EXCHANGE)  # type: ignore[union-attr]


class ReplayCalls(HostCalls):
    """A host's calls, of which there is one: whatever is created or joined is the captured one."""

    def __init__(self, captured: Mapping[str, Any], media: MediaKind, **options: Any) -> None:
        super().__init__(**options)
        self._captured = captured
        self._media_kind = media
        self._is_made = captured.get("state") == CallState.INCOMING

    @property
    def is_made(self) -> bool:
        """Whether the bot has made the call, or it came in."""
        return self._is_made

    async def create(self, **wanted: Any) -> HostedCall:
        """Make the captured call. Raises: GraphRequestError 501 the second time."""
        return await self._make_captured()

    async def join(self, **wanted: Any) -> HostedCall:
        """Join the captured call. Raises: as :meth:`create`."""
        return await self._make_captured()

    async def _make_captured(self) -> HostedCall:
        if self._is_made:
            raise GraphRequestError(501, NOT_CAPTURED, "the capture is of one call alone")
        self._is_made = True

        async def post(body: object) -> CallInfo:
            return CallInfo.read(self._captured)

        peer = Peer(None, "the capture")
        return await self._make("create", lambda media: {}, self._media_kind, (), True, peer, post)


class ReplayHost:
    """What a bot's ``on_start`` gets in a replay: calls, records and client, as of a BotHost."""

    def __init__(self, bot: Bot, capture: _Capture, directory: Path) -> None:
        self.bot = bot
        self.platform = VirtualPlatform()
        self.plugins = ReplayPlugins(self.platform)
        self.graph = ReplayGraph(capture.exchanges)
        self.client = CallsClient(self.graph)
        self.records = CallRecordsClient(self.graph)
        header = capture.header
        self.tenant_id = str(header.get("tenant_id") or "replay")
        self.calls = ReplayCalls(
            header["call"],
            "service" if header.get("media") == "service" else "app",
            platform=self.platform,
            client=self.client,
            bot=bot,
            users={},
            addresses=lambda: Addresses(
                "replay",
                self.tenant_id,
                "https://replay.invalid/api/calls",
                "wss://replay.invalid/media",
            ),
            recordings=HostRecordings(RecordingStore(directory), self.platform),
            plugins=self.plugins,
        )


class Replay:
    """One run of a bot through a capture. Thread: the loop's, which is a VirtualLoop."""

    def __init__(self, capture: _Capture, bot: Bot, directory: Path) -> None:
        self._capture = capture
        self._host = ReplayHost(bot, capture, directory)
        self._bot = bot
        self._call: HostedCall | None = None
        self._call_id = str(capture.header["call"]["id"])
        self._transport: ReplayTransport | None = None
        self._listener: Listener | None = None
        self._names: dict[int, str] = {}
        self._said: list[tuple[int, Pcm]] = []
        self._then: list[tuple[int, Pcm]] = []
        self._tick = 0
        self._began_s = 0.0
        ticks = (item.time for item in capture.items if isinstance(item, TickRecord))
        # When the first tick after the beginning was; one at the very beginning came before it.
        self._phase = (next(ticks, FRAME_TICKS) - 1) % FRAME_TICKS + 1

    async def run(self) -> None:
        """Go through the capture, then a little further, then hang up."""
        start: asyncio.Task[Any] | None = None
        if self._bot.start_handler is not None:
            handler: Any = self._bot.start_handler
            start = asyncio.create_task(handler(self._host), name="bot on_start")
        header = self._capture.header["call"]
        if header.get("state") == CallState.INCOMING:
            created = Notification(ChangeType.CREATED, (self._call_id,), header)
            self._host.calls.deliver(created, self._host.tenant_id)
        await asyncio.sleep(0)
        try:
            await self._until_made(start)
            self._began_s = asyncio.get_running_loop().time()
            for item in self._capture.items:
                await self._go_to(item)
            for _ in range(round(AFTER_S / FRAME_S)):
                if self._call is None or self._call.is_over:
                    break
                await self._one_tick(None)
        finally:
            await self._host.calls.close()
            await self._host.plugins.worker.close()
            if start is not None:
                start.cancel()
                outcome = (await asyncio.gather(start, return_exceptions=True))[0]
                if isinstance(outcome, Exception):
                    self._start_error = outcome

    _start_error: Exception | None = None

    def result(self, real_s: float, virtual_s: float) -> ReplayResult:
        """Compare what was said with what was said then."""
        own, then = _timeline(self._said), _timeline(self._then)
        same, shift = _compare(own, then)
        call = self._call
        error = None if call is None else call.bot_error
        if self._start_error is not None:
            error = f"on_start: {type(self._start_error).__name__}: {self._start_error}"
        asked = tuple(self._host.graph.asked)
        keys = () if self._transport is None else tuple(self._transport.keys_sent)
        digest = hashlib.sha256(own.tobytes())
        digest.update(repr([(each.method, each.path) for each in asked]).encode())
        digest.update(repr(keys).encode())
        return ReplayResult(
            own=own,
            captured_own=then,
            own_frames=max(own.size, then.size) // FRAME_SAMPLES,
            same_frames=same,
            shift_frames=shift,
            asked=asked,
            bot_error=error,
            virtual_s=virtual_s,
            real_s=real_s,
            digest=digest.hexdigest(),
            keys=keys,
        )

    async def _go_to(self, item: Record | TickRecord) -> None:
        while self._phase + self._tick * FRAME_TICKS < item.time:
            await self._one_tick(None)
        if self._call is None:
            self._call = self._host.calls.get(self._call_id)
        if isinstance(item, TickRecord):
            await self._one_tick(item)
            return
        await self._be_at(item.time)
        if item.kind is Kind.NOTIFICATION:
            self._host.calls.deliver(_notification(item), self._host.tenant_id)
        elif item.kind is Kind.EVENT:
            self._happen(item.content)

    async def _be_at(self, ticks: int) -> None:
        """Let all who can go on do so, and time go on to so long after the beginning."""
        now_s = asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, self._began_s + ticks / 1e7 - now_s))

    async def _until_made(self, start: asyncio.Task[Any] | None) -> None:
        """Wait for the bot to make the call: the capture began with that."""
        calls = self._host.calls
        for _ in range(round(START_S / FRAME_S)):
            if calls.is_made or start is None or start.done():
                break
            await asyncio.sleep(FRAME_S)
        if not calls.is_made:
            # The bot did not: its operator did.
            await calls.create()

    async def _one_tick(self, tick: TickRecord | None) -> None:
        await self._be_at(self._phase + self._tick * FRAME_TICKS)
        if tick is not None and tick.own is not None:
            self._then.append((self._tick, tick.own))
        if tick is not None and self._attached() is not None:
            assert self._transport is not None
            self._transport.feed(tick)
        self._host.platform.tick()
        listener = self._listener
        while listener is not None and (frame := listener.read_nowait()) is not None:
            self._said.append((self._tick, np.asarray(frame.own)))
        self._tick += 1

    def _happen(self, content: Mapping[str, Any]) -> None:
        match content.get("event"):
            case "media":
                transport = self._attached()
                if transport is not None and transport.on_media is not None:
                    transport.on_media(bool(content.get("active")))
            case "tone":
                transport = self._attached()
                if transport is not None and transport.on_tone is not None:
                    transport.on_tone(str(content.get("key")))
            case "speaker" if content.get("name") is not None:
                self._names[int(content["source_id"])] = str(content["name"])

    def _attached(self) -> ReplayTransport | None:
        """Return the transport of the call's session, as soon as there is one."""
        if self._transport is None and self._call is not None and self._call.session is not None:
            session = self._call.session
            self._transport = ReplayTransport(self._host.platform, session)
            self._transport.names = self._names
            self._listener = session.listen(speakers=False)
            session.attach(self._transport)
        return self._transport


def load_capture(path: Path) -> _Capture:
    """Read a capture file.

    Raises: CaptureError when it is none; OSError.
    """
    with path.open("rb") as file:
        items = list(read_capture(file))
    head = items[0] if items else None
    if not isinstance(head, Record) or head.kind is not Kind.HEADER:
        raise CaptureError("expected a capture that begins with its header")
    call = head.content.get("call")
    if head.content.get("version") != 1 or not isinstance(call, Mapping) or not call.get("id"):
        raise CaptureError("expected a header of version 1 with a call")
    # A tick is written when the loop has come to it: what was told meanwhile may stand before it.
    return _Capture(head.content, sorted(items[1:], key=lambda item: item.time))


def replay(path: Path, bot: Bot, *, recordings: Path | None = None) -> ReplayResult:
    """Run *bot* through the capture at *path*, as fast as this machine can.

    What the bot records goes to *recordings*, or nowhere that stays.
    Raises: CaptureError when it is no capture; OSError.
    Thread: one without a running loop.
    """
    capture = load_capture(path)
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mixminus-replay-") as scratch:
        directory = Path(scratch) if recordings is None else recordings

        async def run() -> Replay:
            running = Replay(capture, bot, directory)
            await running.run()
            return running

        loop = VirtualLoop()
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            done = runner.run(run())
            virtual_s = loop.time()
    return done.result(time.perf_counter() - began_s, virtual_s)


def _notification(item: Record) -> Notification:
    content = item.content
    change: ChangeType | str = str(content.get("change_type"))
    with suppress(ValueError):  # As it came: the host of then took it, too.
        change = ChangeType(change)
    path = tuple(str(part) for part in content.get("resource_path", ()))
    data = content.get("resource_data", {})
    if not path:
        raise CaptureError("NOTIFICATION: expected a resource_path")
    return Notification(change, path, data)


def _timeline(frames: list[tuple[int, Pcm]]) -> Pcm:
    """Return frames by their ticks as one stretch from the first tick of the replay on."""
    if not frames:
        return np.zeros(0, np.int16)
    out = np.zeros((frames[-1][0] + 1, FRAME_SAMPLES), np.int16)
    for at, pcm in frames:
        out[at] = pcm
    return out.reshape(-1)


def _compare(own: Pcm, then: Pcm) -> tuple[int, int]:
    """Return how many frames are equal, and at which shift of *own* most are."""
    a, b = own.reshape(-1, FRAME_SAMPLES), then.reshape(-1, FRAME_SAMPLES)
    longest = max(len(a), len(b))
    best = (-1, 0)
    for shift in sorted(range(-MAX_SHIFT_FRAMES, MAX_SHIFT_FRAMES + 1), key=abs):
        padded = [np.zeros((longest + 2 * MAX_SHIFT_FRAMES, FRAME_SAMPLES), np.int16) for _ in "ab"]
        padded[0][MAX_SHIFT_FRAMES - shift : MAX_SHIFT_FRAMES - shift + len(a)] = a
        padded[1][MAX_SHIFT_FRAMES : MAX_SHIFT_FRAMES + len(b)] = b
        different = int((padded[0] != padded[1]).any(axis=1).sum())
        best = max(best, (longest - different, shift), key=lambda each: each[0])
        if not different:
            break
    return max(0, best[0]), best[1]
