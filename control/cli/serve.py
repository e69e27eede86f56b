"""``mixminus serve``: run a bot, by default with a call service of its own beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .collector import held
from .config_option import ConfigOption
from .errors import USAGE, CliError
from .media_options import MediaPort, MediaPublicAddress, media_settings
from .output import JsonLinesOption
from .plugin_options import PluginOption, plugin_specs
from .state_options import OwnState

if TYPE_CHECKING:
    from .together import Running, Started

DEV_FILE_HELP = "Use the call service that wrote this dev.json, instead of starting one."
ANSWER_S: Final = 2.0
"""How long a call service of this machine may take to accept a connection."""

ENV_HELP = "Take all settings from MIXMINUS_... and the settings file, as for graph.microsoft.com."


def register(app: typer.Typer) -> None:
    """Add ``serve``."""
    app.command()(serve)


def serve(
    bot_file: Annotated[
        Path | None,
        typer.Option("--bot", help="A Python file with a Bot.", show_default="one that is silent"),
    ] = None,
    state_dir: OwnState = None,
    config: ConfigOption = None,
    dev_file: Annotated[Path | None, typer.Option("--dev-file", help=DEV_FILE_HELP)] = None,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Start a call service in this process: the default.")
    ] = False,
    from_env: Annotated[bool, typer.Option("--from-env", "--from-settings", help=ENV_HELP)] = False,
    bind: Annotated[
        str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="The port to listen on.", show_default="any free one"),
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(help="Where the call service reaches us, if not on localhost.")
    ] = None,
    cert_file: Annotated[
        Path | None, typer.Option("--cert", help="Our certificate chain, if not a local one.")
    ] = None,
    key_file: Annotated[Path | None, typer.Option("--key", help="Its private key.")] = None,
    plugins: PluginOption = None,
    media_port: MediaPort = None,
    media_public_address: MediaPublicAddress = None,
    as_json: JsonLinesOption = False,
) -> int:
    """Run a bot host until Ctrl-C. It logs each call's states.

    Example: mixminus serve --bot examples/echo_bot.py

    Example: mixminus serve --bot bot.py --dev-file /var/lib/mixminus/dev.json --state bot-state

    Example: mixminus serve --bot bot.py --from-env --config /etc/mixminus.toml
    """
    if (dev_file is not None) + embedded + from_env > 1:
        raise CliError("expected one of --dev-file, --embedded, --from-env", USAGE)
    if (cert_file is None) != (key_file is None):
        raise CliError("expected --cert and --key, or neither", USAGE)
    media = media_settings(media_port, media_public_address)
    if media and (dev_file is not None or from_env):
        raise CliError(
            "expected --media-port and --media-public-address only with --embedded: "
            "another call service says itself where its media are",
            USAGE,
        )
    options: dict[str, Any] = {
        "state_dir": state_dir,
        "bind": bind,
        "port": port,
        "public_url": public_url,
        "cert_file": cert_file,
        "key_file": key_file,
        "plugins": plugin_specs(plugins) if plugins else None,
    }
    # What was not said is the file's or the environment's to say, or the default.
    said = {name: value for name, value in options.items() if value is not None}

    with held():
        from ..config.sources import SettingsSources
        from ..devfile import DevFile
        from ..host import Bot
        from .running import load_bot_file, log_to_stderr, run_serving, start_errors
        from .together import Plan, serve_until_stopped

        with log_to_stderr() as logs:
            bot = Bot() if bot_file is None else load_bot_file(bot_file)
            with start_errors():
                sources = SettingsSources.read(config)
                plan = Plan(sources, logs.follow(sources.operation()), sources.console(), bot, said)
                if dev_file is not None:
                    plan.host = sources.host(dev=DevFile.load(dev_file), **said)
                    _warn_of_silence(plan.host.graph_base_url, dev_file)
                elif from_env:
                    plan.host = sources.host(**said)
                else:
                    plan.service = sources.service(**plan.share_state(), **media)
                if plan.host is not None and plan.host.instance and not plan.operation.instance:
                    # Hosts of one machine are told apart in logs and traces, too.
                    named = plan.operation.model_copy(update={"instance": plan.host.instance})
                    plan.operation = logs.follow(named)
            plan.redactor = logs.redactor
            return run_serving(
                lambda signals: serve_until_stopped(signals, plan, _started, as_json)
            )


def _warn_of_silence(url: str, dev_file: Path) -> None:
    """Say when nobody listens where the dev.json says: the bot waits for it then."""
    import socket
    import sys
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port or 443), timeout=ANSWER_S).close()
    except OSError as exc:
        print(
            f"mixminus: no call service answers at {url}: {exc.strerror or exc}; it is tried again"
            f" until it does. Is `mixminus service --state {dev_file.parent}` running?",
            file=sys.stderr,
            flush=True,
        )


def _started(running: Running) -> Started:
    from .together import Started

    host, service, state_dir = running.host, running.service, running.state_dir
    assert host is not None
    started = Started(
        {"bot": host.bot.name, "host": host.url, "state": str(state_dir)}
        | {"phases": running.operation.phases.described()},
        [f"{host.bot.name} at {host.url}; calls: mixminus call list --state {state_dir}"],
    )
    if service is not None:
        graph, phone = service.dev_file.graph_base_url, service.urls.phone
        started.fields |= {"graph": graph, "phone": phone}
        started.lines[:0] = [f"call service at {graph}", f"phone page at {phone}"]
    return started
