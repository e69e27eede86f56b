"""``mixminus service``: the call service alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .collector import held
from .config_option import ConfigOption
from .media_options import MediaPort, MediaPublicAddress, media_settings
from .output import JsonLinesOption
from .state_options import OwnState

if TYPE_CHECKING:
    from .together import Running, Started


def register(app: typer.Typer) -> None:
    """Add the ``service`` command."""
    app.command("service")(service)


def service(
    state_dir: OwnState = None,
    config: ConfigOption = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="The port to listen on.", show_default="any free one"),
    ] = None,
    bind: Annotated[
        str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="The name that clients use.", show_default="by --bind")
    ] = None,
    media_port: MediaPort = None,
    media_public_address: MediaPublicAddress = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: JsonLinesOption = False,
) -> int:
    """Run the Graph-compatible call service until it is interrupted.

    DIR/dev.json says how clients find their way in: addresses, credentials, users and their tokens.

    Example: mixminus service --state /var/lib/mixminus --port 9440
    """
    with held():
        from ..config.sources import SettingsSources
        from .running import log_to_stderr, run_serving, start_errors
        from .together import Plan, serve_until_stopped

        with log_to_stderr("error" if quiet else None) as logs:
            options = {"state_dir": state_dir, "port": port, "bind": bind, "host": host}
            said = {name: value for name, value in options.items() if value is not None}
            with start_errors():
                sources = SettingsSources.read(config)
                plan = Plan(sources, logs.follow(sources.operation()), sources.console())
                plan.service = sources.service(
                    **said, **media_settings(media_port, media_public_address)
                )
            describe = None if quiet else _started
            plan.redactor = logs.redactor
            return run_serving(
                lambda signals: serve_until_stopped(signals, plan, describe, as_json)
            )


def _started(running: Running) -> Started:
    from ..devfile import DEV_FILE_NAME
    from .together import Started

    service = running.service
    assert service is not None
    dev_file = running.state_dir / DEV_FILE_NAME
    return Started(
        {
            "graph": service.dev_file.graph_base_url,
            "phone": service.urls.phone,
            "devFile": str(dev_file),
        },
        [
            f"call service at {service.urls.base}",
            f"phone page at {service.urls.phone}",
            f"clients read {dev_file}",
        ],
    )
