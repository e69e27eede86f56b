"""Capturing a call: what it hears and is told goes into a file, if the recording gate is open."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mixminus.media.platform import MediaPlatform
from mixminus.media.recorder import (
    EndReason,
    RecordingError,
    RecordingGate,
    RecordingReport,
    RecordingStore,
    WriterThread,
)
from mixminus.media.replay import CaptureFile, Kind, Record, TickRecord
from mixminus.media.replay.capture_file import Item
from mixminus.media.session import Listener, MediaSession

from ..client.calls import CallsClient
from ..client.requests import GraphClient, GraphRequestError, GraphResponse
from ..graph.notifications import Notification
from .redact import Redactor

log = logging.getLogger("mixminus.control.replay")

VERSION: Final = 1
MAX_WAITING: Final = 4096
"""What is kept in memory of a call whose gate has not been opened yet."""
MAX_CONTENT_BYTES: Final = 4 * 2**20
"""The longest clip of the service's that is kept with the answer that brought it."""


class CallCapture:
    """The capture of one call: notifications, answers of the service, and its media.

    Until the gate opens, what was told waits in memory, and nothing that was heard or pressed is
    kept at all. A capture that cannot be written ends; the call goes on.
    Thread: the loop's.
    """

    def __init__(
        self,
        call: Mapping[str, Any],
        store: RecordingStore,
        platform: MediaPlatform,
        redactor: Redactor,
        *,
        bot: str,
        tenant_id: str,
        media: str,
    ) -> None:
        self._store = store
        self._platform = platform
        self._redactor = redactor
        self._origin = platform.now()
        self._gate: RecordingGate | None = None
        self._waiting: list[Item] = []
        self._writer: WriterThread[Item] | None = None
        self._making: asyncio.Task[None] | None = None
        self._pump: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._listener: Listener | None = None
        self._unsubscribe: list[Callable[[], None]] = []
        self._is_over = False
        self.report: RecordingReport | None = None
        self._header = Record(
            Kind.HEADER,
            0,
            {
                "version": VERSION,
                "call": redactor.clean(call),
                "bot": bot,
                "tenant_id": tenant_id,
                "media": media,
                "began": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        )

    def obey(self, gate: RecordingGate) -> None:
        """Begin when *gate* is open, or opens."""
        self._gate = gate
        self._unsubscribe.append(gate.on_change(self._gate_changed))
        self._gate_changed(gate.is_open)

    def notify(self, notification: Notification) -> None:
        """Keep a notification; of keys only while the gate is open."""
        data = notification.resource_data
        if isinstance(data, Mapping) and "toneInfo" in data and not self._may_store:
            data = {name: value for name, value in data.items() if name != "toneInfo"}
        content = {
            "change_type": str(notification.change_type),
            "resource_path": list(notification.resource_path),
            "resource_data": self._redactor.clean(data),
        }
        self._put(Kind.NOTIFICATION, content)

    def answered(self, method: str, path: str, **answer: Any) -> None:
        """Keep what the service answered to a request of the bot's."""
        content = {"method": method, "path": path, **answer}
        self._put(Kind.EXCHANGE, self._redactor.clean(content))

    def fetched(self, url: str, content: bytes) -> None:
        """Keep a clip that the bot fetched, if what was said may be stored."""
        if self._may_store and len(content) <= MAX_CONTENT_BYTES:
            text = base64.b64encode(content).decode()
            path = self._redactor.text(url)
            self._put(Kind.EXCHANGE, {"method": "GET", "path": path, "content": text})

    def hear(self, session: MediaSession) -> None:
        """Keep the media of *session*, from now on."""
        self._redactor.learn(session.media_configuration())
        secret = session.descriptor.link_secret
        if secret is not None:
            self._redactor.learn(*_spellings(secret))
        audio = session.audio
        self._unsubscribe += [
            audio.on_send_status(lambda active: self._event("media", active=active)),
            audio.on_tone(self._pressed),
        ]
        if audio.active:
            self._event("media", active=True)
        self._listener = session.listen(slots=256)
        self._pump = asyncio.create_task(self._take(session, self._listener), name="capture")

    def through(self, client: CallsClient) -> CallsClient:
        """Return *client* so that its answers are captured."""
        return type(client)(CapturingGraph(client._graph, self), client._tenant_id)

    async def close(self) -> RecordingReport | None:
        """Complete the file; return what came of it, None when there is none. Again: the same."""
        if self._is_over:
            return self.report
        self._is_over = True
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        if self._listener is not None:
            self._listener.close()
        if self._pump is not None:
            await asyncio.gather(self._pump, return_exceptions=True)
        if self._making is not None:
            await asyncio.gather(self._making, return_exceptions=True)
        writer = self._writer
        if writer is not None:
            writer.put(self._record(Kind.END, {}))
            writer.stop(EndReason.CALL_ENDED)
            await asyncio.to_thread(writer.join)
        self._waiting.clear()
        return self.report

    @property
    def _may_store(self) -> bool:
        return self._gate is not None and self._gate.is_open

    def _gate_changed(self, is_open: bool) -> None:
        if is_open and self._making is None and not self._is_over:
            self._making = asyncio.create_task(self._make(), name="capture file")

    async def _make(self) -> None:
        try:
            file = await asyncio.to_thread(lambda: CaptureFile(self._store.create(), self._header))
        except (OSError, RecordingError) as exc:
            log.error("no capture: %s", exc)  # noqa: TRY400
            return
        self._writer = WriterThread(file, self._ended)
        for item in self._waiting:
            self._writer.put(item)
        self._waiting.clear()
        log.info("capture %s: began", file.id)

    def _ended(self, report: RecordingReport) -> None:
        # The writer's thread.
        self.report = report
        if report.error is not None:
            log.error("capture %s ended (%s): %s", report.id, report.reason.value, report.error)

    def _pressed(self, key: str) -> None:
        if self._may_store:
            self._event("tone", key=key)

    def _event(self, event: str, **members: Any) -> None:
        self._put(Kind.EVENT, {"event": event, **members})

    def _record(self, kind: Kind, content: Mapping[str, Any]) -> Record:
        return Record(kind, max(0, self._platform.now() - self._origin), content)

    def _put(self, kind: Kind, content: Mapping[str, Any]) -> None:
        self._put_item(self._record(kind, content))

    def _put_item(self, item: Item) -> None:
        if self._writer is not None:
            self._writer.put(item)
        elif not self._is_over and len(self._waiting) < MAX_WAITING:
            self._waiting.append(item)

    async def _take(self, session: MediaSession, listener: Listener) -> None:
        known: dict[int, str | None] = {}
        async for frame in listener:
            gate = self._gate
            if gate is None or not gate.admits(frame.timestamp):
                continue
            for source_id in frame.speakers:
                name = session.audio.speaker_names.get(source_id)
                if known.get(source_id, "") != name:
                    known[source_id] = name
                    self._event("speaker", source_id=source_id, name=name)
            time = frame.timestamp - self._origin
            self._put_item(TickRecord(time, frame.mixed, frame.speakers, frame.own))


def _spellings(secret: bytes) -> tuple[str, ...]:
    """Return the texts that a secret of bytes is written as."""
    plain = base64.b64encode(secret).decode()
    for_urls = base64.urlsafe_b64encode(secret).decode()
    return (secret.hex(), plain, plain.rstrip("="), for_urls, for_urls.rstrip("="))


class HostCaptures:
    """What captures the calls of one host, beside its recordings and under their limits."""

    def __init__(
        self,
        store: RecordingStore,
        platform: MediaPlatform,
        *,
        bot: str,
        secrets: Collection[str] = (),
    ) -> None:
        self._store, self._platform, self._bot = store, platform, bot
        self._secrets = tuple(secrets)

    def begin(self, call: Mapping[str, Any], *, tenant_id: str, media: str) -> CallCapture:
        """Capture a call that has just been made, or has come in; *call* is what is said of it."""
        return CallCapture(
            call,
            self._store,
            self._platform,
            Redactor(self._secrets),
            bot=self._bot,
            tenant_id=tenant_id,
            media=media,
        )


class CapturingGraph(GraphClient):
    """A Graph client of somebody's, whose answers are kept."""

    def __init__(self, graph: GraphClient, capture: CallCapture) -> None:
        self._inner = graph
        self._root = graph._root
        self._capture = capture

    def is_here(self, url: str) -> bool:
        """Say whether *url* is of this Graph."""
        return self._inner.is_here(url)

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        tenant_id: str | None = None,
        is_repeatable: bool | None = None,
        scenario_id: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> GraphResponse:
        """Send one request, keep its answer, and return it. Raises: as GraphClient."""
        kept = path.removeprefix(self._root)
        try:
            response = await self._inner.request(
                method,
                path,
                body,
                tenant_id=tenant_id,
                is_repeatable=is_repeatable,
                scenario_id=scenario_id,
                headers=headers,
            )
        except GraphRequestError as exc:
            error = {"code": exc.code, "message": exc.message}
            self._capture.answered(method, kept, status=exc.status, error=error)
            raise
        self._capture.answered(method, kept, status=response.status, body=response.body)
        return response

    async def fetch(self, url: str, bearer: str, *, limit_bytes: int) -> bytes:
        """Return what is at *url*, and keep it. Raises: as GraphClient."""
        content = await self._inner.fetch(url, bearer, limit_bytes=limit_bytes)
        self._capture.fetched(url, content)
        return content

    async def close(self) -> None:
        """Do nothing: the client is another's."""
