"""An echo bot, and how a browser hears it: what is heard is compared with what is said."""

from __future__ import annotations

import asyncio
from typing import Literal, Protocol

import numpy as np

from mixminus.control.demo.echo import ACTIVE_DBOV, EchoReport, compare, correlate, rms_dbov
from mixminus.control.demo.run import read_recording
from mixminus.control.host import Bot, HostedCall, ToneInfo
from mixminus.media.pcm import Pcm
from tests.browser.chromium import SPEECH
from tests.support import eventually

SILENT_DBOV = -60.0
LISTEN_S = 2.0
TRIES = 6
MAX_CORRELATION = -0.9
MAX_GAIN_ERROR_DB = 1.5
MIN_ALIKE_SHARE = 0.6


class Listener(Protocol):
    """A page with a microphone, in a call."""

    async def listen(self, seconds: float) -> tuple[Pcm, Pcm]:
        """Return what was sent and what was heard from one moment on: (n,) int16 at 16 kHz."""


class EchoBot:
    """Answers whoever calls it: with an echo, or (``media`` "service") to be told of keys."""

    def __init__(self) -> None:
        self.bot = Bot("echo bot")
        self.media: Literal["app", "service"] = "app"
        self.keys: list[str] = []
        self.is_listening = asyncio.Event()
        self.bot.on_incoming_call(self._answer)
        self.bot.on_call(self._talk)
        self.bot.on_tone(self._pressed)

    async def _answer(self, call: HostedCall) -> None:
        await call.answer(media=self.media)

    async def _talk(self, call: HostedCall) -> None:
        if self.media == "app":
            async for frame in call.audio:
                await call.audio.send((frame * -0.5).astype(np.int16))
            return
        await call.subscribe_to_tone()
        self.is_listening.set()
        await call.wait_ended()

    async def _pressed(self, call: HostedCall, tone: ToneInfo) -> None:
        assert tone.key is not None
        self.keys.append(tone.key)


def is_echo(report: EchoReport) -> bool:
    return (
        report.median_correlation <= MAX_CORRELATION
        and report.gain_error_db <= MAX_GAIN_ERROR_DB
        and report.alike_share >= MIN_ALIKE_SHARE
    )


async def hears_echo(phone: Listener) -> EchoReport:
    """What is heard is what is said, times -0.5; on a busy machine the first seconds are rough."""
    reports = []
    for _ in range(TRIES):
        # Beside the loop: a bot that shares it would fall behind, and stay behind.
        reports.append(await asyncio.to_thread(compare, *await phone.listen(LISTEN_S)))
        if is_echo(reports[-1]):
            return reports[-1]
    raise AssertionError(
        f"no echo: {[(r.heard_dbov, r.round_trip_p50_ms, r.failures) for r in reports]}"
    )


async def silent(phone: Listener) -> None:
    async def is_so() -> bool:
        return level(await phone.listen(0.5)) < SILENT_DBOV

    await eventually(is_so, 15.0, "silence")


async def audible(phone: Listener) -> None:
    async def is_so() -> bool:
        return level(await phone.listen(0.5)) > ACTIVE_DBOV

    await eventually(is_so, 15.0, "sound")


async def is_playing_the_file(phone: Listener) -> None:
    """The microphone is the file, wherever it stands in it: else the rest proves nothing."""
    (said, _), played = await phone.listen(1.0), read_recording(SPEECH) / 32768.0
    played = np.concatenate((played, played))
    product = correlate(said / 32768.0, played, played.size // 2)
    at = int(np.argmax(product))
    part = played[at : at + said.size]
    likeness = product[at] / np.sqrt(np.sum(np.square(part)) * np.sum(np.square(said / 32768.0)))
    assert likeness > 0.95, f"{likeness:.3f} at {at / 16_000:.2f} s"


def level(tracks: tuple[Pcm, Pcm]) -> float:
    return rms_dbov(tracks[1] / 32768.0)
