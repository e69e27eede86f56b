"""Recording the calls of a bot host: where, how much, and whether it is allowed."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from mixminus.media.platform import MediaPlatform
from mixminus.media.recorder import (
    EndReason,
    Format,
    LiveRecording,
    RecordingError,
    RecordingGate,
    RecordingOptions,
    RecordingReport,
    RecordingStore,
    Speaker,
    StoreLimits,
    recover,
)
from mixminus.media.session import MediaSession

from ..client.errors import CLIENT_ERRORS
from ..client.models import Participant
from ..graph.enums import RecordingStatus
from ..graph.notifications import Notification
from ..operation.call_context import call_task
from ..replay.capture import CallCapture
from ..settings import HostSettings
from .diary import CallDiary
from .errors import CallEndedError, NoAudioError, OperationFailedError

if TYPE_CHECKING:
    from .parts import Peer

log = logging.getLogger("mixminus.control.host")

GatePolicy: TypeAlias = Literal["policy", "always", "never"]
"""Which calls must be told that they are recorded before anything of them is stored: those whose
policy asks for it, all; or nothing is ever stored."""

SWEEP_EVERY_S: Final = 3600.0


class HostRecordings:
    """The recordings of one host: its directory, its limits, its policy.

    Entered, it completes what an earlier process left behind, and removes once an hour what is
    older than the retention.
    Thread: the loop's.
    """

    def __init__(
        self,
        store: RecordingStore,
        platform: MediaPlatform,
        *,
        policy: GatePolicy = "policy",
        formats: tuple[Format, ...] = ("wav",),
    ) -> None:
        self.store = store
        self.policy = policy
        self.formats = formats
        self._platform = platform
        self._sweeper: asyncio.Task[None] | None = None
        self.living: set[LiveRecording] = set()
        """Those that are being written."""
        self.ended: Counter[str] = Counter()
        """Those that have ended, by the reason."""
        self._lost_frames = 0

    @classmethod
    def of_settings(cls, settings: HostSettings, platform: MediaPlatform) -> Self:
        """Record as *settings* say."""
        limits = StoreLimits(
            quota_bytes=settings.recordings_quota_bytes,
            max_duration_s=settings.recordings_max_duration_s,
            retention_s=settings.recordings_retention_s,
        )
        return cls(
            RecordingStore(settings.recordings_path, limits),
            platform,
            policy=settings.recording_gate,
            formats=settings.recording_formats,
        )

    async def __aenter__(self) -> Self:
        """Complete what was left behind. A directory that cannot be read is told, and no more."""
        await self._look_after(is_start=True)
        self._sweeper = asyncio.create_task(self._sweep(), name="recordings retention")
        return self

    async def __aexit__(self, *error: object) -> None:
        """Sweep no more."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)

    def gate(self, *, has_policy: bool) -> RecordingGate:
        """Make the gate of a call; *has_policy* says that the call is there to be recorded."""
        if self.policy == "never":
            return RecordingGate(self._platform.now, reason="the settings of this host forbid it")
        gate = RecordingGate(
            self._platform.now, reason='updateRecordingStatus has not said "recording" yet'
        )
        if self.policy == "policy" and not has_policy:
            gate.open()
        return gate

    @property
    def lost_frames(self) -> int:
        """Ticks that are silence in a recording because the loop or the disk was too slow."""
        return self._lost_frames + sum(live.lost_frames for live in self.living)

    def follow(self, live: LiveRecording) -> None:
        """Count a recording that began, and its end."""
        self.living.add(live)
        live.done.add_done_callback(lambda done: self._over(live, done.result()))

    def _over(self, live: LiveRecording, report: RecordingReport) -> None:
        self.living.discard(live)
        self.ended[report.reason.value] += 1
        self._lost_frames += report.lost_frames

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            await self._look_after(is_start=False)

    async def _look_after(self, *, is_start: bool) -> None:
        try:
            if is_start:
                await asyncio.to_thread(recover, self.store)
            removed = await asyncio.to_thread(self.store.sweep)
        except OSError as exc:
            log.error("the recordings in %s: %s", self.store.directory, exc)  # noqa: TRY400
            return
        for entry_id in removed:
            log.info("recording %s: removed, older than %.0f s", entry_id, self._retention_s)

    @property
    def _retention_s(self) -> float:
        return self.store.limits.retention_s


class CallRecordings(CallDiary):
    """What a bot does to record one call: the same for Graph's calls and for streams."""

    peer: Peer
    _session: MediaSession | None
    _host_recordings: HostRecordings | None = None
    _gate: RecordingGate | None = None
    _capture: CallCapture | None = None
    _living: tuple[LiveRecording, ...] = ()
    _ended_recordings: tuple[RecordingReport, ...] = ()
    _status_tasks: tuple[asyncio.Task[None], ...] = ()
    _we_said_it: bool = False
    """Whether it was :meth:`record` that said that the call is recorded."""

    @abstractmethod
    def speaker(self, source_id: str | int) -> Participant | None:
        """Return who has the media stream of that source id."""

    @property
    def recordings(self) -> tuple[LiveRecording, ...]:
        """The recordings of this call that go on."""
        return self._living

    @property
    def recording_gate(self) -> RecordingGate:
        """Whether what is said in this call may be stored, by whomever.

        Raises: RecordingError on a host that keeps no recordings.
        """
        if self._gate is None:
            if self._host_recordings is None:
                raise RecordingError("this host keeps no recordings")
            self._gate = self._host_recordings.gate(has_policy=self._has_recording_policy())
        return self._gate

    async def record(
        self,
        *,
        formats: Sequence[Format] | None = None,
        mixed: bool = True,
        speakers: bool = True,
        own: bool = False,
    ) -> LiveRecording:
        """Record the call from now on, until ``stop()`` or its end.

        Files are made for the mix, for each speaker where they come apart, and for what the bot
        says; all on one timeline. A call that must be told so is told first, and told when its last
        recording has ended. ``await recording.done`` has what came of it; it never raises.
        Raises: RecordingGateError when nothing may be stored; RecordingQuotaError; ValueError on
                formats that there are not; NoAudioError; SessionClosedError when the call ends
                first; OSError; what ``update_recording_status`` raises.
        """
        session, keeper = self._session, self._host_recordings
        if session is None:
            raise NoAudioError(f"call {self.id} has no audio here that could be recorded")
        gate = self.recording_gate
        assert keeper is not None  # The gate is of its making.
        options = RecordingOptions(
            tuple(keeper.formats if formats is None else formats),
            mixed=mixed,
            speakers=speakers,
            own=own,
        )
        if not gate.is_open and keeper.policy != "never":
            self._we_said_it = await self._say_recording()
        try:
            live = await LiveRecording.begin(
                lambda: session.listen(speakers=speakers),
                keeper.store,
                gate,
                options,
                info={"call_id": self.id},
                describe=self._describe_speaker,
            )
        except BaseException:
            self._no_recording(RecordingStatus.FAILED)
            raise
        self._living += (live,)
        keeper.follow(live)
        live.done.add_done_callback(lambda done: self._recording_over(live, done.result()))
        log.info("call %s: recording %s", self.id, live.id)
        self._tell("operation", f"recording {live.id}: begun")
        return live

    # What the parts of a call call.

    def be_captured(self, capture: CallCapture) -> None:
        """Have the call captured, while its recording gate is open. Before the call starts."""
        self._capture = capture
        capture.obey(self.recording_gate)

    def note_notification(self, notification: Notification) -> None:
        """Keep a notification, if the call is captured."""
        if self._capture is not None:
            self._capture.notify(notification)

    def _is_call_of_two(self) -> bool:
        """Say whether nobody but the peer can be heard."""
        return False

    def _has_recording_policy(self) -> bool:
        """Say whether the call is one that a policy has recorded."""
        return False

    async def _say_recording(self) -> bool:
        """Say that the call is recorded, where there is a way; return whether it was said."""
        return False

    async def _say_not_recording(self, status: RecordingStatus) -> None:
        """Say that it is recorded no more, where it was said that it is."""
        assert not self._we_said_it

    def _heed_recording_status(self, status: str) -> None:
        """Open or shut the gate, as the service has been told."""
        if self._host_recordings is None or self._host_recordings.policy == "never":
            return
        if status == RecordingStatus.RECORDING:
            self.recording_gate.open()
        else:
            self.recording_gate.shut(f'updateRecordingStatus said "{status}"')

    def described_recordings(self) -> list[dict[str, Any]]:
        """Return what the admin API shows of this call's recordings."""
        ended = [
            {
                "id": report.id,
                "state": "ended",
                "reason": report.reason.value,
                "durationS": report.duration_s,
                "lostFrames": report.lost_frames,
                "error": report.error,
            }
            for report in self._ended_recordings
        ]
        return [*ended, *({"id": live.id, "state": "recording"} for live in self._living)]

    async def _close_recordings(self) -> None:
        """Complete all recordings: the call is over. Again is no error."""
        await asyncio.gather(*(live.stop(EndReason.CALL_ENDED) for live in self._living))
        if self._gate is not None:
            self._gate.shut("the call is over")
        for task in self._status_tasks:
            task.cancel()
        await asyncio.gather(*self._status_tasks, return_exceptions=True)

    def _describe_speaker(self, source_id: int) -> Speaker | None:
        person = self.speaker(source_id)
        session = self._session
        told = None if session is None else session.audio.speaker_names.get(source_id)
        if person is not None:
            return Speaker(source_id, person.id, person.display_name or told)
        if told is not None:
            return Speaker(source_id, None, told)
        if session is not None and len(session.legs.speakers) == 1 and self._is_call_of_two():
            return Speaker(source_id, self.peer.id, self.peer.display_name)
        return None

    def _recording_over(self, live: LiveRecording, report: RecordingReport) -> None:
        self._living = tuple(other for other in self._living if other is not live)
        self._ended_recordings += (report,)
        log.info(
            "call %s: recording %s ended (%s) after %.1f s",
            self.id,
            report.id,
            report.reason.value,
            report.duration_s,
        )
        self._tell("operation", f"recording {report.id}: {report.reason.value}")
        has_failed = report.reason in (EndReason.FAILED, EndReason.QUOTA)
        if report.reason is not EndReason.CALL_ENDED:
            self._no_recording(
                RecordingStatus.FAILED if has_failed else RecordingStatus.NOT_RECORDING
            )

    def _no_recording(self, status: RecordingStatus) -> None:
        """Say that the call is recorded no more, if :meth:`record` said that it is."""
        if self._living or not self._we_said_it:
            return
        self._we_said_it = False
        task = call_task(self.id, self._tell_over(status), f"recording status {self.id}")
        self._status_tasks = (*(t for t in self._status_tasks if not t.done()), task)

    async def _tell_over(self, status: RecordingStatus) -> None:
        try:
            await self._say_not_recording(status)
        except (*CLIENT_ERRORS, CallEndedError, OperationFailedError) as exc:
            log.warning("call %s: saying that it is not recorded: %s", self.id, exc)
