"""What an audio plugin is: open, one frame after the other, close.

A plugin is a class with :meth:`~AudioPlugin.process`, or a plain function that takes a frame and
returns one. All else is optional, so that a gain is four lines::

    def louder(frame):
        return np.clip(frame * 2.0, -32768, 32767).astype(np.int16)

A class is called with its configuration as keywords, a function gets its own beside the frame.
Types are checked before a call starts: by a pydantic model that the class has as ``Config``, else
by the annotations of the keywords. A constructor is cheap and may raise ValueError on values that
do not go together: it is called once for that check alone. What takes time belongs in ``open``.

Source: design of VST3 and LV2 (open with what is known of the stream, process blocks, report
latency), cut down to one format and one block size.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias, runtime_checkable

from ..pcm import AudioFrame, Pcm

Stream: TypeAlias = Literal["inbound", "outbound", "speaker", "mix", "own"]
"""Where a plugin sits: on a leg of a bridge (``inbound``: what its far end says, ``outbound``: what
it hears), or in a session (each ``speaker``, the ``mix`` that the bot hears, its ``own`` words)."""

STREAMS: Final[tuple[Stream, ...]] = ("inbound", "outbound", "speaker", "mix", "own")

BUDGET_MS: Final = 5.0
"""For all plugins of a stream together, each frame: the next edge of the bridge waits no longer."""

Emit: TypeAlias = Callable[[str, Any], None]


def store_nothing(timestamp: int) -> bool:
    """Say that nothing may be stored."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginContext:
    """What a plugin is told when it is opened.

    ``emit(name, value)`` tells the call's listeners something (a level, a key, a word), from any
    thread, at any time until the plugin is closed. From a child process the value must be JSON.
    """

    name: str
    """The plugin's own, as chosen: what events and metrics call it."""
    stream: Stream
    call_id: str
    source_id: int | None
    """Whose voice it is, where it is one person's."""
    emit: Emit
    may_store: Callable[[int], bool] = store_nothing
    """Whether a frame of that timestamp may be stored: the call's recording gate. Where nobody says
    that it may, it may not."""


@runtime_checkable
class AudioPlugin(Protocol):
    """One plugin on one stream. Made anew for each; nothing is shared unless its author does.

    Thread: never the loop's, and one method at a time: ``process`` the plugin worker's, ``open``
    and ``close`` one where they hold nobody up.
    """

    def process(self, frame: AudioFrame) -> Pcm | None:
        """Return what shall be heard instead of *frame*, or None: it goes on as it came.

        Shape:  frame (320,) int16, a copy of the plugin's own; the result the same. What is changed
                in place is heard only if it is returned.
        Units:  16 kHz, 20 ms. Budget: 5 ms for all plugins of a stream.
        """


class OpeningPlugin(AudioPlugin, Protocol):
    """One that wants to know its stream, or to prepare. May raise: then it is not used."""

    def open(self, context: PluginContext) -> None:
        """Prepare; no budget applies. What was set up in an earlier stream is not here."""


class ClosingPlugin(AudioPlugin, Protocol):
    """One that has something to give back. Called once, also after a failure."""

    def close(self) -> None:
        """Let go of files, models, children."""


class AdjustablePlugin(AudioPlugin, Protocol):
    """One that must know when its parameters change; else they are set as attributes."""

    def set(self, **parameters: Any) -> None:
        """Take new values of some of its configuration, checked as it was; between two frames."""


class LatePlugin(AudioPlugin, Protocol):
    """One whose output is behind its input."""

    latency_samples: int
    """By how many samples; 0 when the attribute is missing. `mixminus plugin check` measures it."""


class ListeningPlugin(Protocol):
    """A tap: it only listens, so it may be slow: frames wait for it (5 s, then the oldest go).

    Any plugin is one that has ``listens = True`` (its ``process`` runs in a thread of its own) or
    whose ``process`` is a coroutine function (which runs on the loop, and may await).
    """

    listens: bool

    def process(self, frame: AudioFrame) -> Awaitable[None] | None:
        """Take note of *frame*; what comes back is not used."""


PluginFunction: TypeAlias = Callable[..., "Pcm | Awaitable[None] | None"]
"""A function of one frame, and of its configuration as keywords."""
PluginFactory: TypeAlias = Callable[..., AudioPlugin] | PluginFunction
"""A class (called with its configuration as keywords) or a plain function of one frame."""
