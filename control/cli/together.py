"""Call service, bot host and console in one process: what serving commands start."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..config.sections import HOST, SERVICE
from ..console.consolefile import CONSOLE_FILE_NAME
from .collector import release
from .output import is_terminal, print_event

if TYPE_CHECKING:
    from ..config.sources import SettingsSources
    from ..console.console import Console
    from ..console.settings import ConsoleSettings
    from ..host import Bot, BotHost
    from ..operation.operation import Operation
    from ..operation.redaction import LogRedactor
    from ..operation.settings import OperationSettings
    from ..service.service import CallService
    from ..service.settings import ServiceSettings
    from ..settings import HostSettings
    from .running import Signals

STATE: Final = "state_dir"


@dataclass(slots=True)
class Plan:
    """What is to run: a call service (``service``), a bot's host (``bot``), or both.

    A host beside a service takes its settings from that service, from ``sources``, and from what
    the command line ``said``; one by itself has ``host``.
    """

    sources: SettingsSources
    operation: OperationSettings
    console: ConsoleSettings
    bot: Bot | None = None
    said: dict[str, Any] = field(default_factory=dict)
    service: ServiceSettings | None = None
    host: HostSettings | None = None
    redactor: LogRedactor | None = None
    """What takes secrets out of the process's logs."""

    def share_state(self) -> dict[str, Any]:
        """Return the state directory of the service as an argument: that of the host as well.

        It is what the command line says, or what is set for one of the two alone.
        """
        tables = [table for table in (HOST, SERVICE) if self.sources.is_set(table, STATE)]
        if STATE not in self.said and len(tables) == 1:
            self.said[STATE] = self.sources.values(tables[0])[STATE]
        return {STATE: self.said[STATE]} if STATE in self.said else {}

    @property
    def state_dir(self) -> Path:
        """Where the process keeps what it is found by."""
        settings = self.service or self.host
        assert settings is not None
        return settings.state_dir


@dataclass(frozen=True, slots=True)
class Running:
    """What runs."""

    state_dir: Path
    operation: Operation
    service: CallService | None
    host: BotHost | None
    console: Console | None


@dataclass(slots=True)
class Started:
    """What is said once all stands: to programs, and to people."""

    fields: dict[str, Any]
    lines: list[str]


async def serve_until_stopped(
    signals: Signals,
    plan: Plan,
    describe: Callable[[Running], Started] | None,
    as_json: bool,
) -> None:
    """Start *plan*, say what *describe* makes of it, and serve until a signal, or the bot, ends it.

    Nothing is said before all stands: what fails is then the only line.
    Raises: CliError.
    """
    from .running import drained, start_errors, until_stopped

    async with AsyncExitStack() as stack:
        with start_errors():
            running = await start(stack, plan)
        signals.started()
        release()
        if describe is not None:
            started = describe(running)
            _say_where_the_console_is(running, started)
            print_event("started", started.fields, as_json, started.lines)
        await until_stopped(running.host, signals)
        await drained(running.operation, signals)


def _say_where_the_console_is(running: Running, started: Started) -> None:
    console = running.console
    if console is None or "console" in started.fields:
        return
    started.fields["console"] = console.url
    if is_terminal():
        started.lines.append(f"console at {console.sign_in_url}")
    else:
        # What is no terminal may be a log, which is no place for a token.
        file = running.state_dir / CONSOLE_FILE_NAME
        started.lines.append(f"console at {console.url}; its token is in {file}")


async def start(stack: AsyncExitStack, plan: Plan) -> Running:
    """Start all that *plan* names on one engine, to be stopped with *stack*.

    Raises: what start_errors turns into a line.
    """
    from mixminus.media.platform import MediaPlatform

    from ..operation.operation import Operation

    # What does not run is not imported: who starts again after a crash has calls that wait.
    threads = 1 if plan.service is None else plan.service.tick_thread_count
    platform = await stack.enter_async_context(MediaPlatform(threads))
    operation = await stack.enter_async_context(
        Operation(plan.operation, platform, redactor=plan.redactor)
    )
    console: Console | None = None
    if plan.console.enabled:
        from ..console.console import Console

        console = Console(plan.console, plan.state_dir)
    shared: dict[str, Any] = {"platform": platform, "operation": operation, "console": console}
    service: CallService | None = None
    host: BotHost | None = None
    settings = plan.host
    if plan.service is not None:
        from ..service.service import CallService

        service = await stack.enter_async_context(CallService(plan.service, **shared))
        settings = _settings_beside(service, plan)
    if plan.bot is not None:
        from ..host import BotHost

        assert settings is not None
        host = await stack.enter_async_context(BotHost(plan.bot, settings, **shared))
    if console is not None:
        await stack.enter_async_context(console)
    return Running(plan.state_dir, operation, service, host, console)


def _settings_beside(service: CallService, plan: Plan) -> HostSettings:
    from ..simulate.keys import local_settings

    # The simulators of this state directory may ring, too, where no real service may.
    own = {**local_settings(plan.state_dir, plan.sources.variables()), **plan.said}
    return plan.sources.host(dev=service.dev_file, **own)
