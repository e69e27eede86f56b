"""``mixminus dev``: call service, bot and console in one process, to try everything out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .config_option import ConfigOption
from .errors import CliError
from .output import JsonLinesOption
from .plugin_options import PluginOption, plugin_specs
from .state_options import OwnState

if TYPE_CHECKING:
    from .together import Plan, Running, Started

PORT: Final = 7700


def register(app: typer.Typer) -> None:
    """Add ``dev``."""
    app.command("dev")(dev)


def dev(
    bot_file: Annotated[
        Path | None,
        typer.Option(
            "--bot", help="A Python file with a Bot.", show_default="one that says what it hears"
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, help="The console's port; 0: any free one.", show_default=str(PORT)
        ),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the console in your browser.")
    ] = False,
    state_dir: OwnState = None,
    config: ConfigOption = None,
    plugins: PluginOption = None,
    as_json: JsonLinesOption = False,
) -> int:
    """Try it all: call service, bot and console in one process.

    Nothing else is needed: no account, no certificate, no network. Open the address that it
    prints, join a call with your microphone, and hear yourself. Ctrl-C ends it.

    Example: mixminus dev --open

    Example: mixminus dev --bot examples/greeter_bot.py --port 8080
    """
    from ..config.sources import SettingsSources
    from ..demo.files import ECHO_BOT
    from .running import load_bot_file, log_to_stderr, run_serving, start_errors
    from .together import Plan, serve_until_stopped

    said: dict[str, Any] = {} if state_dir is None else {"state_dir": state_dir}
    if plugins:
        said["plugins"] = plugin_specs(plugins)
    with log_to_stderr() as logs:
        bot = load_bot_file(bot_file or ECHO_BOT)
        with start_errors():
            sources = SettingsSources.read(config)
            if port is None and not sources.is_set("console", "http_port"):
                port = PORT
            console = sources.console(enabled=True, **({} if port is None else {"http_port": port}))
            plan = Plan(sources, logs.follow(sources.operation()), console, bot, said)
            plan.service = sources.service(**plan.share_state())
            _check(plan)

        def describe(running: Running) -> Started:
            if open_page and running.console is not None:
                _open(running.console.sign_in_url)
            return _started(running, bot_file)

        plan.redactor = logs.redactor
        return run_serving(lambda signals: serve_until_stopped(signals, plan, describe, as_json))


def _check(plan: Plan) -> None:
    """Say at once that the address is taken, and by whom: before anything is made.

    Raises: CliError, and as listening_socket.
    """
    from ..console.consolefile import ConsoleFile, ConsoleFileError
    from ..serving import PortInUseError, listening_socket

    port = plan.console.http_port
    assert port is not None
    try:
        listening_socket("127.0.0.1", port).close()
    except PortInUseError as exc:
        what = exc.strerror
        try:
            url = ConsoleFile.load(plan.state_dir).url
        except ConsoleFileError:
            url = ""
        if f":{port}/" in url:
            raise CliError(f"{what}: the console of {plan.state_dir} is there, at {url}") from None
        raise CliError(f"{what}: choose another one with --port") from None


def _started(running: Running, bot_file: Path | None) -> Started:
    from .together import Started

    service, host, console = running.service, running.host, running.console
    assert service is not None
    assert host is not None
    assert console is not None
    state_dir, graph = running.state_dir, service.dev_file.graph_base_url
    state = "" if str(state_dir) == ".mixminus" else f" --state {state_dir}"
    program = _program()
    what = "says again what it hears" if bot_file is None else str(bot_file)
    return Started(
        {
            "console": console.url,
            "phone": service.urls.phone,
            "graph": graph,
            "host": host.url,
            "bot": host.bot.name,
            "state": str(state_dir),
        },
        [
            "",
            f"  console   {console.sign_in_url}",
            f"  bot       {host.bot.name}: {what}",
            f"  Graph     {graph}; credentials and users in {state_dir}/dev.json",
            f"  calls     {program} top{state}",
            f"            {program} join --user John --call-bot default{state}",
            "",
            "Open the console, call the bot with your microphone, and hear yourself."
            " Ctrl-C ends it.",
        ],
    )


def _program() -> str:
    """Return what this program is called as, also where its environment is not activated."""
    import shutil
    import sys

    given = Path(sys.argv[0])
    is_hidden = given.name == "mixminus" and shutil.which(given.name) is None
    return str(given) if is_hidden else "mixminus"


def _open(url: str) -> None:
    """Open *url* in a browser, in the background; on a machine without a desktop say so."""
    import os
    import sys
    import threading
    import webbrowser

    if not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")):
        # A browser for terminals would take this one.
        print("mixminus: no desktop to open a browser on: open the address", file=sys.stderr)
        return

    def work() -> None:
        if not webbrowser.open(url):
            print("mixminus: found no browser: open the address yourself", file=sys.stderr)

    # A browser may stay in the foreground of its command as long as it is open.
    threading.Thread(target=work, name="browser", daemon=True).start()
