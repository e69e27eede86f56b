"""Prompts, recordings and tones: the bodies of the service-hosted media actions.

Source: Microsoft Graph, call: playPrompt, recordResponse, sendDtmfTones; participant:
startHoldMusic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from . import errors
from .enums import KEYPAD, Tone
from .fields import INT32_MAX, Fields, kind_of
from .requests_common import MediaInfo, read_prompt

MAX_PROMPTS: Final = 20
RECORD_S: Final = (1, 120)
"""The documented range of the three times of recordResponse, and their default."""
RECORD_DEFAULT_S: Final = 5


@dataclass(frozen=True, slots=True)
class PlayPromptRequest:
    """What is played, in this order; ``loop`` plays it until it is cancelled."""

    prompts: tuple[MediaInfo, ...]
    loop: bool
    client_context: str | None


@dataclass(frozen=True, slots=True)
class RecordRequest:
    """How a response is recorded. ``stop_tones`` are characters of the keypad.

    ``barge_in`` is not the caller's: this request goes before those that play or wait.
    """

    prompt: MediaInfo | None
    barge_in: bool
    initial_silence_s: int
    max_silence_s: int
    max_duration_s: int
    play_beep: bool
    stop_tones: tuple[str, ...]
    client_context: str | None


@dataclass(frozen=True, slots=True)
class SendDtmfRequest:
    """Which tones are sent, by their names."""

    tones: tuple[str, ...]
    delay_ms: int
    client_context: str | None


@dataclass(frozen=True, slots=True)
class HoldMusicRequest:
    """What a participant on hold hears; None: the service's own music."""

    prompt: MediaInfo | None
    loop: bool
    client_context: str | None


def parse_play_prompt(body: object) -> PlayPromptRequest:
    """Read the body of playPrompt."""
    fields = Fields.of_body(body)
    prompts = fields.each("prompts", read_prompt, 1, MAX_PROMPTS)
    if prompts is None:
        raise fields.missing("prompts")
    return PlayPromptRequest(
        prompts=tuple(media for prompt in prompts for media in prompt),
        loop=fields.boolean("loop"),
        client_context=fields.client_context(),
    )


def parse_record(body: object) -> RecordRequest:
    """Read the body of recordResponse."""
    fields = Fields.of_body(body)
    prompts = fields.each("prompts", read_prompt, 0, 1) or ()
    return RecordRequest(
        prompt=prompts[0][0] if prompts else None,
        barge_in=fields.boolean("bargeInAllowed"),
        initial_silence_s=_seconds(fields, "initialSilenceTimeoutInSeconds"),
        max_silence_s=_seconds(fields, "maxSilenceTimeoutInSeconds"),
        max_duration_s=_seconds(fields, "maxRecordDurationInSeconds"),
        play_beep=fields.boolean("playBeep", default=True),
        stop_tones=_stop_tones(fields),
        client_context=fields.client_context(),
    )


def parse_send_dtmf(body: object) -> SendDtmfRequest:
    """Read the body of sendDtmfTones."""
    fields = Fields.of_body(body)
    tones = fields.members("tones", Tone)
    if not tones:
        raise fields.missing("tones")
    return SendDtmfRequest(
        tones=tuple(tone.value for tone in tones),
        delay_ms=fields.whole("delayBetweenTonesMs", 0, INT32_MAX) or 0,
        client_context=fields.client_context(),
    )


def parse_hold_music(body: object) -> HoldMusicRequest:
    """Read the body of startHoldMusic. Music goes on until it is stopped."""
    fields = Fields.of_body(body)
    prompt = fields.fields("customPrompt")
    return HoldMusicRequest(
        prompt=None if prompt is None else read_prompt(prompt)[0],
        loop=True,
        client_context=fields.client_context(),
    )


def _seconds(fields: Fields, name: str) -> int:
    return fields.whole(name, *RECORD_S) or RECORD_DEFAULT_S


def _stop_tones(fields: Fields) -> tuple[str, ...]:
    keys = fields.items("stopTones") or []
    for index, key in enumerate(keys):
        if not isinstance(key, str) or len(key) != 1 or key.upper() not in KEYPAD:
            came = ascii(key[:16]) if isinstance(key, str) else kind_of(key)
            raise errors.invalid_argument(
                f"{fields.path('stopTones')}[{index}]: expected one of {' '.join(KEYPAD)},"
                f" got {came}."
            )
    return tuple(dict.fromkeys(key.upper() for key in keys))
