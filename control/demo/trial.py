"""A bot tried out: a call service, the bot and people with softphones, all in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mixminus.media.pcm import Pcm
from mixminus.media.platform import MediaPlatform
from mixminus.media.plugins.config import PluginSpec

from ..devfile import DevFile
from ..host import Bot, BotHost
from ..service.service import CallService
from ..service.settings import ServiceSettings
from ..settings import HostSettings
from ..softphone import (
    Action,
    BotTarget,
    MeetingTarget,
    Softphone,
    SoftphoneOptions,
    SoftphoneReport,
)
from ..tls import client_context

MEETING: Final = "Weekly sync"
"""The meeting that a fresh service has."""

OnPersonEvent = Callable[[str, str, dict[str, Any]], None]
"""Told who, what (an event of the softphone), and its fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOptions:
    """Who talks to the bot, how long, and what they say.

    The first of ``people`` says ``speech`` (again and again) and presses ``keys``; the others, and
    the ``callees``, who wait to be called, listen. With ``meeting`` they join the embedded
    service's; else a bot that takes calls is rung (with ``policy_recording`` as a recorded line
    does), and one that makes calls is waited for. Files go to ``out_dir``.
    """

    people: tuple[str, ...]
    callees: tuple[str, ...] = ()
    speech: Pcm | None
    keys: str
    duration_s: float
    meeting: bool
    policy_recording: bool
    out_dir: Path
    plugins: tuple[PluginSpec, ...] | None = None
    """Of every call; None: those of the environment."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What became of each person's call, and what the bot failed with, if it did."""

    reports: dict[str, SoftphoneReport]
    bot_errors: tuple[str, ...]

    @property
    def problems(self) -> list[str]:
        """What went wrong, one line each."""
        found = [f"the bot failed: {error}" for error in self.bot_errors]
        for person, report in self.reports.items():
            if not report.succeeded:
                why = "no call came" if report.end is None else report.end.message
                found.append(f"{person} was not connected, or the call was lost: {why}")
        return found


class BotStartError(Exception):
    """The bot's ``on_start`` failed; the host has logged how."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"the bot's on_start failed: {type(error).__name__}: {error}")


async def run_trial(bot: Bot, options: TrialOptions, on_event: OnPersonEvent) -> TrialResult:
    """Let people and the bot talk, until the time is over or everybody has hung up.

    Raises: what starting a service or a bot host raises; OSError when a file cannot be written;
            BotStartError when the bot's ``on_start`` failed.
    """
    options.out_dir.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(MediaPlatform())
        settings = ServiceSettings(state_dir=options.out_dir / "state")
        service = await stack.enter_async_context(CallService(settings, platform=platform))
        dev = service.dev_file
        chosen: dict[str, Any] = {} if options.plugins is None else {"plugins": options.plugins}
        host_settings = HostSettings.from_dev_file(
            dev,
            state_dir=settings.state_dir,
            recordings_dir=options.out_dir / "recordings",
            **chosen,
        )
        phones = {
            person: _Phone(_phone_options(options, dev, bot, person), person, on_event)
            for person in (*options.people, *options.callees)
        }
        # Whom a bot calls must be there when it starts, and the bot when somebody rings it.
        await _start(stack, [p for p in phones.values() if p.options.target is None])
        host = await stack.enter_async_context(BotHost(bot, host_settings, platform=platform))
        await _start(stack, [p for p in phones.values() if p.options.target is not None])
        failed = asyncio.create_task(host.wait_failed(), name="trial: on_start")
        stack.push_async_callback(_drop, failed)
        over = asyncio.create_task(_wait_all(phones, options.duration_s), name="trial: phones")
        stack.push_async_callback(_drop, over)
        await asyncio.wait({failed, over}, return_when=asyncio.FIRST_COMPLETED)
        if failed.done() and (error := failed.exception()) is not None:
            raise BotStartError(error)
        over.result()
        await host.calls.close()
        errors = [report.description.get("error") for report in host.calls.ended]
        reports = {person: phone.softphone.report for person, phone in phones.items()}
    return TrialResult(reports, tuple(error for error in errors if error))


class _Phone:
    """One person's softphone, and the task that it runs in."""

    def __init__(self, options: SoftphoneOptions, person: str, on_event: OnPersonEvent) -> None:
        self.options = options
        self.registered = asyncio.Event()
        self._person, self._on_event = person, on_event
        self.softphone = Softphone(options, self._event)
        self.task: asyncio.Task[SoftphoneReport] | None = None

    def start(self) -> asyncio.Task[SoftphoneReport]:
        """Run it."""
        self.task = asyncio.create_task(self.softphone.run(), name=f"trial: {self._person}")
        return self.task

    async def close(self) -> None:
        """Hang up, and wait for its end."""
        if self.task is not None:
            self.softphone.stop()
            await asyncio.gather(self.task, return_exceptions=True)

    def _event(self, event: str, fields: dict[str, Any]) -> None:
        if event == "registered":
            self.registered.set()
        self._on_event(self._person, event, fields)


async def _start(stack: AsyncExitStack, phones: Sequence[_Phone]) -> None:
    """Start *phones*, one after the other; each is registered then."""
    for phone in phones:
        task = phone.start()
        stack.push_async_callback(phone.close)
        waiting = asyncio.create_task(phone.registered.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        await _drop(waiting)
        if task.done() and not phone.registered.is_set():
            task.result()


async def _wait_all(phones: dict[str, _Phone], duration_s: float) -> None:
    """Wait for all; who is still waiting for a call when the time is over is told to stop."""
    tasks = [phone.task for phone in phones.values() if phone.task is not None]
    _, busy = await asyncio.wait(tasks, timeout=duration_s + CONNECT_S)
    for phone in phones.values():
        if phone.task in busy:
            phone.softphone.stop()
    await asyncio.gather(*tasks)


CONNECT_S: Final = 20.0
"""How long getting into a call may take, beside the talk itself."""


async def _drop(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _phone_options(options: TrialOptions, dev: DevFile, bot: Bot, person: str) -> SoftphoneOptions:
    is_first = person == options.people[0]
    target: BotTarget | MeetingTarget | None = None
    if person in options.callees:
        target = None
    elif options.meeting:
        meeting = next(known for known in dev.meetings if known.subject == MEETING)
        target = MeetingTarget(join_meeting_id=meeting.join_meeting_id, passcode=meeting.passcode)
    elif bot.incoming_handler is not None:
        target = BotTarget(dev.app_id, policy_recording=options.policy_recording)
    return SoftphoneOptions(
        rtc_url=dev.rtc_url,
        token=dev.find_user(person).token,
        ssl_context=client_context(dev.ca_file),
        target=target,
        play=options.speech if is_first else None,
        heard_file=options.out_dir / f"heard-{person}.wav",
        duration_s=options.duration_s,
        actions=(Action(0.0, "press", options.keys),) if is_first and options.keys else (),
    )
