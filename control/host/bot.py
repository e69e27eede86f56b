"""A bot: the handlers that its author wrote, and how they are found in a file."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from ..client.models import ToneInfo
    from .call import HostedCall
    from .host import BotHost

StartHandler: TypeAlias = "Callable[[BotHost], Awaitable[None]]"
CallHandler: TypeAlias = "Callable[[HostedCall], Awaitable[None]]"
IncomingHandler: TypeAlias = "Callable[[Any], Awaitable[None]]"
"""With a HostedCall, or an IncomingAcsCall: both can be answered, rejected and redirected."""
ToneHandler: TypeAlias = "Callable[[HostedCall, ToneInfo], Awaitable[None]]"
MediaHandler: TypeAlias = "Callable[[HostedCall, bool], Awaitable[None]]"
DominantHandler: TypeAlias = "Callable[[HostedCall, int | None], Awaitable[None]]"
Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])


class BotFileError(Exception):
    """A file that holds no bot; the message says why."""


class Bot:
    """What to do when the host has started, and with each call. Handlers are coroutine functions.

    *name* is what the other end is shown as the caller.
    Raises: ValueError on a handler that is none.
    """

    def __init__(self, name: str = "mixminus bot") -> None:
        self.name = name
        self.start_handler: StartHandler | None = None
        self.incoming_handler: IncomingHandler | None = None
        self.call_handler: CallHandler | None = None
        self.rejoined_handler: CallHandler | None = None
        self.update_handler: CallHandler | None = None
        self.participants_handler: CallHandler | None = None
        self.tone_handler: ToneHandler | None = None
        self.media_handler: MediaHandler | None = None
        self.dominant_handler: DominantHandler | None = None

    def on_start(self, handler: StartHandler) -> StartHandler:
        """Run *handler* with the host once it can make calls. Its failure ends the host."""
        self.start_handler = _checked(handler)
        return handler

    def on_incoming_call(self, handler: IncomingHandler) -> IncomingHandler:
        """Run *handler* with each call that comes in, to answer, reject or redirect it.

        It has ``call.seconds_to_answer``. One that does nothing lets the call ring out; one that
        fails turns it away. An answered call goes on with :meth:`on_call`, as any other.
        """
        self.incoming_handler = _checked(handler)
        return handler

    def on_call(self, handler: CallHandler) -> CallHandler:
        """Run *handler* with each call from the moment it is established.

        The call's audio ends when the call does; a handler that returns, or raises, before that
        hangs up. One that is still busy three seconds after the end of its call is cancelled.
        """
        self.call_handler = _checked(handler)
        return handler

    def on_rejoined(self, handler: CallHandler) -> CallHandler:
        """Run *handler*, in the place of :meth:`on_call`, with each call that came back.

        It was established in another process, or in this one before it stopped, and is again:
        ``call.saved_state`` is what the bot last gave ``call.save_state()``. Without such a handler
        the one of :meth:`on_call` is run; ``call.is_rejoined`` tells it.
        """
        self.rejoined_handler = _checked(handler)
        return handler

    def on_update(self, handler: CallHandler) -> CallHandler:
        """Run *handler* after each change of a call, or of who shares a screen in it.

        This, and the handlers below, run one at a time and in order within a call.
        """
        self.update_handler = _checked(handler)
        return handler

    def on_participants(self, handler: CallHandler) -> CallHandler:
        """Run *handler* after each change of ``call.participants``."""
        self.participants_handler = _checked(handler)
        return handler

    def on_tone(self, handler: ToneHandler) -> ToneHandler:
        """Run *handler* with each key that a caller presses, once a press.

        Keys come with the call's audio, and with notifications after ``call.subscribe_to_tone()``.
        """
        self.tone_handler = _checked(handler)
        return handler

    def on_media(self, handler: MediaHandler) -> MediaHandler:
        """Run *handler* with False when the way to the call's audio is lost, True when it is back.

        In between the bot hears silence, and what it sends is thrown away; the call goes on.
        """
        self.media_handler = _checked(handler)
        return handler

    def on_dominant_speaker(self, handler: DominantHandler) -> DominantHandler:
        """Run *handler* with the source id of who leads the conversation now; None: nobody does.

        ``call.speaker(source_id)`` says who that is.
        """
        self.dominant_handler = _checked(handler)
        return handler


def _checked(handler: Handler) -> Handler:
    call = getattr(handler, "__call__", None)  # noqa: B004 - an object with an async __call__ will do
    if not (inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)):
        name = getattr(handler, "__qualname__", repr(handler))
        raise ValueError(f"expected a coroutine function (async def), got {name}")
    return handler


def load_bot(path: Path) -> Bot:
    """Run the Python file at *path* and return the one ``Bot`` in it.

    Raises: BotFileError when there is no such file, it fails, or it has no bot or several.
    """
    if not path.is_file():
        raise BotFileError(f"no such bot file: {path}")
    name = f"mixminus_bot_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BotFileError(f"expected a Python file, got {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:
        # The boundary to someone else's code: whatever it raises is why there is no bot.
        del sys.modules[name]
        raise BotFileError(f"{path} failed: {type(exc).__name__}: {exc}") from exc
    bots = [value for value in vars(module).values() if isinstance(value, Bot)]
    if len(bots) != 1:
        raise BotFileError(f"expected one Bot in {path}, found {len(bots)}")
    return bots[0]
