"""What commands that serve have in common: their bot, their start, and how they end."""

from __future__ import annotations

import asyncio
import errno
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import (
    AUTH,
    FAILED,
    INTERRUPTED,
    NOT_FOUND,
    OK,
    USAGE,
    CliError,
    plugin_error,
    settings_error,
    store_error,
)

if TYPE_CHECKING:
    from ..host import Bot, BotHost
    from ..operation.logs import Format, Level, Logs
    from ..operation.operation import Operation

Result = TypeVar("Result")


class Signals:
    """SIGINT and SIGTERM of a process that serves.

    Until :meth:`started`, a signal cancels the task that made this, so that a start which hangs
    ends at once; afterwards it sets ``asked``, a second one ``insisted``.
    Thread: the loop's.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.insisted = asyncio.Event()
        self.number: signal.Signals | None = None
        """The first signal that came."""
        self._task = asyncio.current_task()
        self._is_started = False
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._take, number)

    def started(self) -> None:
        """Say that there is something to end in order."""
        self._is_started = True

    def _take(self, number: signal.Signals) -> None:
        if self.asked.is_set():
            self.insisted.set()
        self.number = self.number or number
        self.asked.set()
        if not self._is_started and self._task is not None:
            self._task.cancel()


def run_serving(work: Callable[[Signals], Coroutine[Any, Any, None]]) -> int:
    """Run *work* until it returns, and return the exit code.

    A signal that comes before it has started ends it too: 130 for Ctrl-C, 0 for SIGTERM.
    """
    signals: list[Signals] = []

    async def main() -> None:
        signals.append(Signals())
        await work(signals[0])

    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        if signals and signals[0].number is signal.SIGTERM:
            return OK
        return INTERRUPTED
    return OK


def log_to_stderr(level: Level | None = None, *, form: Format = "auto") -> Logs:
    """Return logs on stderr, to be entered, without secrets; *level* overrides the settings'."""
    from ..operation.logs import Logs

    return Logs(level=level, form=form)


def load_bot_file(bot_file: Path) -> Bot:
    """Return the bot of a file.

    Raises: CliError with why there is none.
    """
    from ..host.bot import BotFileError, load_bot

    try:
        return load_bot(bot_file)
    except BotFileError as exc:
        raise CliError(str(exc), FAILED if bot_file.is_file() else NOT_FOUND) from exc


@contextmanager
def start_errors(*, files: bool = True) -> Iterator[None]:
    """Turn what a start may raise into one line and an exit code.

    Without *files* the OSError of a file is let through: the caller knows what it was for.
    """
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from mixminus.media.plugins.errors import PluginError

    from ..config.errors import ConfigError
    from ..devfile import DevFileError
    from ..operation.traces import TracesUnavailableError
    from ..store.base import StoreError

    try:
        yield
    except PluginError as exc:
        raise plugin_error(exc) from exc
    except (ConfigError, ValidationError, SettingsError) as exc:
        raise settings_error(exc) from None
    except TracesUnavailableError as exc:
        raise CliError(str(exc)) from None
    except DevFileError as exc:
        raise CliError(str(exc), NOT_FOUND) from None
    except OSError as exc:  # Also a port or a directory in use.
        if exc.filename is not None and not files:
            raise
        raise CliError(_why(exc)) from exc
    except StoreError as exc:
        raise store_error(exc) from exc


async def until_terminated(work: Coroutine[Any, Any, Result]) -> Result:
    """Await *work*; SIGTERM ends it as Ctrl-C does: what it started must not outlive it."""
    running = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    return await running


async def until_stopped(host: BotHost | None, signals: Signals) -> None:
    """Wait for a signal, or for the ``on_start`` of *host*'s bot to fail.

    Raises: CliError with why ``on_start`` failed, or that another process has the host's name.
    """
    from ..store.base import StoreError

    if host is None:
        await signals.asked.wait()
        return
    stopped = asyncio.create_task(signals.asked.wait())
    failed = asyncio.create_task(host.wait_failed())
    try:
        await asyncio.wait({stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            error = failed.exception()
            assert error is not None
            if isinstance(error, StoreError):
                raise CliError(str(error)) from error
            code = _exit_code(error)
            raise CliError(f"the bot's on_start failed: {error}", code) from error
    finally:
        stopped.cancel()
        failed.cancel()
        await asyncio.gather(stopped, failed, return_exceptions=True)


async def drained(operation: Operation, signals: Signals) -> None:
    """After SIGTERM: take no new calls, and wait for those that stand, as the settings say.

    Ctrl-C, and whatever signal comes second, ends them at once.
    """
    from ..operation.drain import drain

    if signals.number is signal.SIGTERM:
        await drain(operation, insisted=signals.insisted)


def _why(exc: OSError) -> str:
    """Return what failed, and on which file if it was one."""
    what = exc.strerror or str(exc)
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        # It comes from a write, which does not know its file.
        what += ": make room where the state directory is (--state), and start again"
    return what if exc.filename is None else f"{exc.filename}: {what}"


def _exit_code(error: BaseException) -> int:
    from ..client.requests import GraphRequestError
    from ..client.tokens import TokenError
    from ..graph.joinurl import JoinUrlError
    from ..host.errors import UnknownMeetingError, UnknownUserError

    if isinstance(error, TokenError):
        return FAILED if error.code == "unreachable" else AUTH
    if isinstance(error, GraphRequestError):
        return {401: AUTH, 403: AUTH, 404: NOT_FOUND}.get(error.status, FAILED)
    if isinstance(error, UnknownUserError | UnknownMeetingError):
        return NOT_FOUND
    return USAGE if isinstance(error, JoinUrlError) else FAILED
