"""The telephones of the directory: numbers with a scripted callee behind them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from mixminus.media.bridge import Leg
from mixminus.media.dtmf import KEYS, tone_pcm
from mixminus.media.pcm import Pcm
from mixminus.media.pipeline import AudioFileError, load_audio
from mixminus.media.platform import MediaPlatform

from .ivr.voice import Voice

DEFAULT_NUMBER: Final = "+14255550123"
"""Of the range that is kept free for fiction (NANP 555-01xx)."""
E164: Final = re.compile(r"\+[1-9][0-9]{6,14}\Z")

TONE_MS: Final = 100
PAUSE_MS: Final = 100

RtpCodec: TypeAlias = Literal["pcmu", "pcma", "g722", "opus"]
PAYLOAD_TYPES: Final = {"pcmu": 0, "pcma": 8, "g722": 9, "opus": 111}
"""RFC 3551's; Opus has none of its own, 111 is what most offer."""
EVENT_TYPE: Final = 101
"""telephone-event has no payload type of its own either; 101 is what gateways come with."""
EXAMPLE_ADDRESS: Final = "192.0.2.10:4000"


@dataclass(frozen=True, slots=True)
class RtpScript:
    """Where a telephone's audio comes from and goes to as plain RTP: a gateway's numeric address.

    ``payload_type`` and ``event_type`` hold both ways. With ``learn_address`` the gateway may send
    from another address than the one it is sent to.
    """

    host: str
    port: int
    codec: RtpCodec
    payload_type: int
    event_type: int
    learn_address: bool


class PhoneScript(BaseModel):
    """What a telephone does when it is called.

    It rings for ``answer_after_s``, then declines or answers. Once ``speaks_after_s`` are over it
    plays ``file``, then the keys in ``tones``. It hangs up ``hang_up_after_s`` after it answered,
    or never. With ``rtp``, the "host:port" of a gateway, whoever is behind that speaks and listens
    in place of the script: plain RTP in ``codec``, keys as RFC 4733 events.
    Raises: ValueError (pydantic's) naming the number and what was expected.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: str
    display_name: str = Field(default="", max_length=256)
    answer_after_s: float = Field(default=1.0, ge=0, le=600)
    declines: bool = False
    speaks_after_s: float = Field(default=0.0, ge=0, le=600)
    file: Path | None = None
    tones: str = Field(default="", max_length=256)
    hang_up_after_s: float | None = Field(default=None, gt=0)
    rtp: str | None = None
    codec: RtpCodec = "pcmu"
    payload_type: int | None = Field(default=None, ge=0, le=127)
    event_type: int = Field(default=EVENT_TYPE, ge=96, le=127)
    learn_address: bool = False
    _pcm: Pcm | None = PrivateAttr(default=None)

    @field_validator("number")
    @classmethod
    def _check_number(cls, number: str) -> str:
        if not E164.match(number):
            raise ValueError(f"expected an E.164 number like {DEFAULT_NUMBER}, got {number!r}")
        return number

    @field_validator("tones")
    @classmethod
    def _check_tones(cls, tones: str) -> str:
        tones = tones.upper()
        for key in tones:
            if key not in KEYS:
                raise ValueError(f"expected keys of {KEYS}, got {key!r}")
        return tones

    @field_validator("rtp")
    @classmethod
    def _check_rtp(cls, rtp: str | None) -> str | None:
        if rtp is not None:
            _address(rtp)
        return rtp

    @model_validator(mode="after")
    def _check_line(self) -> PhoneScript:
        if self.rtp is None:
            given = {"codec", "payload_type", "event_type", "learn_address"} & self.model_fields_set
            if given:
                names = ", ".join(sorted(given))
                raise ValueError(f"the phone {self.number}: {names}: expected rtp beside it")
            return self
        if self.file is not None or self.tones:
            raise ValueError(
                f"the phone {self.number}: expected rtp, or file and tones: over rtp it is the"
                " gateway that speaks"
            )
        own = PAYLOAD_TYPES[self.codec] if self.payload_type is None else self.payload_type
        if 64 <= own < 96 or own == self.event_type:
            raise ValueError(
                f"the phone {self.number}: payload_type: expected 0 to 63 or 96 to 127 and not"
                f" {self.event_type}, which is the keys', got {own}"
            )
        return self

    @model_validator(mode="after")
    def _check_file(self) -> PhoneScript:
        if self.file is None:
            return self
        if not self.file.is_file():
            raise ValueError(f"the phone {self.number}: there is no file {self.file}")
        try:
            self._pcm = load_audio(self.file)
        except AudioFileError as error:
            raise ValueError(f"the phone {self.number}: {error}") from error
        return self

    @property
    def pcm(self) -> Pcm | None:
        """What the file held when the script was read; None for nothing."""
        return self._pcm

    @property
    def line(self) -> RtpScript | None:
        """The gateway that carries its audio; None for a telephone that is played here."""
        if self.rtp is None:
            return None
        host, port = _address(self.rtp)
        payload_type = self.payload_type
        if payload_type is None:
            payload_type = PAYLOAD_TYPES[self.codec]
        return RtpScript(host, port, self.codec, payload_type, self.event_type, self.learn_address)

    @property
    def shown_name(self) -> str:
        """The name, or the number where there is none."""
        return self.display_name or self.number


DEFAULT_PHONES: Final = (PhoneScript(number=DEFAULT_NUMBER, display_name="Pat", tones="1"),)
"""A telephone that answers after a second, presses 1 and stays on the line."""


def _address(text: str) -> tuple[str, int]:
    """Read "host:port" with a numeric host; IPv6 in brackets."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        parsed = ip_address(bare)
        number = int(port) if port.isascii() and port.isdecimal() else 0
    except ValueError:
        parsed, number = None, 0
    is_one_host = parsed is not None and not parsed.is_unspecified and not parsed.is_multicast
    if not is_one_host or not 0 < number < 65_536 or (":" in bare) != (bare is not host):
        raise ValueError(
            f"expected a numeric address and a port like {EXAMPLE_ADDRESS} or"
            f" [2001:db8::10]:4000, got {text[:80]!r}"
        )
    return str(parsed), number


def check_distinct(scripts: tuple[PhoneScript, ...]) -> tuple[PhoneScript, ...]:
    """Return *scripts*. Raises: ValueError when two have the same number."""
    numbers = [script.number for script in scripts]
    for number in numbers:
        if numbers.count(number) > 1:
            raise ValueError(f"the phone {number} has two scripts")
    return scripts


class ScriptedPhone:
    """The telephone of *script* after it answered: speaks on *leg*, then hangs up.

    ``on_hung_up`` is called once, when the script says so. The leg must be ``paced``.
    Thread: the platform's loop. Close it whatever happens.
    """

    def __init__(
        self,
        platform: MediaPlatform,
        leg: Leg,
        script: PhoneScript,
        *,
        on_hung_up: Callable[[], None],
    ) -> None:
        self._platform, self._leg = platform, leg
        self._script, self._on_hung_up = script, on_hung_up
        self._voice: Voice | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, as a telephone that was just picked up."""
        self._voice = Voice(self._platform, self._leg)
        self._task = asyncio.create_task(self._talk(self._voice), name="scripted phone")

    @property
    def said_frames(self) -> int:
        """Frames of file and tones that went into the call."""
        return 0 if self._voice is None else self._voice.said_frames

    def move(self, leg: Leg) -> None:
        """Speak on another leg from now on: the caller was moved."""
        self._leg = leg
        if self._voice is not None:
            self._voice.move(leg)

    async def close(self) -> None:
        """Put down the receiver. Again is no error."""
        if self._voice is not None:
            self._voice.close()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _talk(self, voice: Voice) -> None:
        hang_up_after_s = self._script.hang_up_after_s
        try:
            async with asyncio.timeout(hang_up_after_s):
                await self._say(voice)
                if hang_up_after_s is not None:
                    await asyncio.get_running_loop().create_future()
        except TimeoutError:
            self._on_hung_up()

    async def _say(self, voice: Voice) -> None:
        script = self._script
        if script.speaks_after_s:
            await asyncio.sleep(script.speaks_after_s)
        if script.pcm is not None:
            await voice.say([script.pcm])
        for key in script.tones:
            await voice.say([tone_pcm(key, TONE_MS)])
            await asyncio.sleep(PAUSE_MS / 1000)
