"""Who leads the conversation: one speaker, changed only when another has taken over. Pure.

A cough or a "yes" beside the speaker changes nothing, and two who talk at once do not make the
answer flicker: whoever wants to take over must have spoken for a while, and while the speaker goes
on, for longer and louder. Noise counts for nobody: each has a floor of their own.

Source: the aims are those of I. Volfin, I. Cohen, "Dominant Speaker Identification for Multipoint
Videoconferencing" (2013): a short, a medium and a long span, and hysteresis; the rules are simpler.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..pcm import SILENCE_DBOV

SPEECH_DBOV: Final = -50.0
"""What is below is speech of nobody, as the bridge's gate has it."""
OVER_FLOOR_DB: Final = 9.0
"""By how much speech exceeds the noise it is in: its syllables do by 15 dB and more."""
FLOOR_RISE_DB: Final = 0.06
"""3 dB a second: the floor follows a fan that starts within seconds, and no phrase."""

SHORT_FRAMES: Final = 15
"""300 ms: a word. Who has spoken for two thirds of it may lead when nobody else does."""
SHORT_SPEECH_FRAMES: Final = 10
"""200 ms: a cough is shorter."""
PAUSE_FRAMES: Final = 25
"""500 ms: the pause between two sentences of one speaker is shorter."""
LONG_FRAMES: Final = 50
"""1 s, half of it speech: two who talk at once for so long do not stop by themselves."""
LONG_SPEECH_FRAMES: Final = 25
LOUDER_DB: Final = 6.0
"""Twice as loud: then all others listen to the challenger."""
NOBODY_FRAMES: Final = 100
"""2 s without anyone's speech: nobody leads."""

_SMOOTHING: Final = 1.0 / LONG_FRAMES


class _Voice:
    """What is remembered of one speaker."""

    __slots__ = ("floor_dbov", "loudness_dbov", "missing_frames", "spoken")

    def __init__(self) -> None:
        self.spoken = 0
        """The last ticks, one bit each, the newest lowest: whether it was speech."""
        self.floor_dbov = SPEECH_DBOV - OVER_FLOOR_DB
        self.loudness_dbov = SILENCE_DBOV
        self.missing_frames = 0

    def hear(self, level_dbov: float) -> bool:
        self.floor_dbov = min(level_dbov, self.floor_dbov + FLOOR_RISE_DB)
        self.floor_dbov = max(self.floor_dbov, SPEECH_DBOV - OVER_FLOOR_DB)
        is_speech = level_dbov > self.floor_dbov + OVER_FLOOR_DB
        self.spoken = (self.spoken << 1 | is_speech) & ((1 << LONG_FRAMES) - 1)
        if is_speech:
            # Of speech alone: pauses make nobody quieter.
            begins = self.loudness_dbov == SILENCE_DBOV
            step = 1.0 if begins else _SMOOTHING
            self.loudness_dbov += step * (level_dbov - self.loudness_dbov)
        return is_speech

    def spoke(self, frames: int) -> int:
        """In how many of the last *frames*."""
        return (self.spoken & ((1 << frames) - 1)).bit_count()


class DominantSpeaker:
    """Follows the levels of all speakers, a tick at a time.

    Thread: one at a time.
    """

    def __init__(self) -> None:
        self._voices: dict[int, _Voice] = {}
        self._quiet_frames = 0
        self.speaker: int | None = None
        """The source id of who leads; None: nobody has spoken for two seconds."""

    def hear(self, levels_dbov: Mapping[int, float]) -> bool:
        """Take the next tick's levels, by source id; say whether ``speaker`` changed.

        Units:  dBov over the 20 ms of the tick. Who is missing is silent, and forgotten
        after two seconds.
        """
        for key in levels_dbov.keys() - self._voices.keys():
            self._voices[key] = _Voice()
        is_speech = False
        for key, voice in tuple(self._voices.items()):
            is_speech |= voice.hear(levels_dbov.get(key, SILENCE_DBOV))
            voice.missing_frames = 0 if key in levels_dbov else voice.missing_frames + 1
            if voice.missing_frames > NOBODY_FRAMES:
                del self._voices[key]
        self._quiet_frames = 0 if is_speech else self._quiet_frames + 1
        before = self.speaker
        self.speaker = self._judge()
        return self.speaker != before

    def _judge(self) -> int | None:
        leader = None if self.speaker is None else self._voices.get(self.speaker)
        if self._quiet_frames >= NOBODY_FRAMES:
            return None
        best, best_frames = self.speaker if leader else None, 0
        for key, voice in self._voices.items():
            if voice is leader or not _may_lead(voice, leader):
                continue
            frames = voice.spoke(LONG_FRAMES)
            if frames > best_frames:
                best, best_frames = key, frames
        return best


def _may_lead(voice: _Voice, leader: _Voice | None) -> bool:
    if voice.spoke(SHORT_FRAMES) < SHORT_SPEECH_FRAMES:
        return False
    if leader is None or not leader.spoke(PAUSE_FRAMES):
        return True
    return (
        voice.spoke(LONG_FRAMES) >= LONG_SPEECH_FRAMES
        and voice.loudness_dbov >= leader.loudness_dbov + LOUDER_DB
    )
