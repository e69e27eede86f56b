"""``mixminus service``: the call service alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import USAGE, CliError, settings_error
from .media_options import MediaPort, MediaPublicAddress, media_settings

if TYPE_CHECKING:
    from ..service.settings import ServiceSettings


def register(app: typer.Typer) -> None:
    """Add the ``service`` command."""
    app.command("service")(service)


def service(
    state: Annotated[Path, typer.Option(help="Where its store, keys and dev.json are.")] = Path(
        ".mixminus"
    ),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any free one.")] = 0,
    bind: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    host: Annotated[str, typer.Option(help="The name that clients use; default: by --bind.")] = "",
    media_port: MediaPort = None,
    media_public_address: MediaPublicAddress = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Run the Graph-compatible call service until it is interrupted.

    DIR/dev.json says how clients find their way in: addresses, credentials, users and their tokens.
    """
    import asyncio
    import logging

    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from mixminus.media.plugins.errors import PluginError

    from ..service.settings import ServiceSettings
    from ..store.base import StoreError

    logging.basicConfig(
        level=logging.ERROR if quiet else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    # One line a request of the client and server libraries is more than anybody reads.
    for name in ("httpx2", "httpcore2", "websockets", "aioice", "aiortc"):
        logging.getLogger(name).setLevel(logging.WARNING)
    media = media_settings(media_port, media_public_address)
    try:
        settings = ServiceSettings(state_dir=state, port=port, bind=bind, host=host, **media)
    except (ValidationError, SettingsError) as error:
        raise settings_error(error) from None
    try:
        asyncio.run(_run(settings, quiet=quiet))
    except OSError as error:  # Also a port or a directory in use.
        raise CliError(error.strerror or str(error)) from None
    except StoreError as error:
        raise CliError(str(error)) from None
    except PluginError as error:
        raise CliError(str(error), USAGE) from None


async def _run(settings: ServiceSettings, *, quiet: bool) -> None:
    import asyncio
    import signal

    from ..devfile import DEV_FILE_NAME
    from ..service.service import CallService

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with CallService(settings) as running:
        if not quiet:
            print(f"call service at {running.urls.base}")
            print(f"phone page at {running.urls.phone}")
            print(f"clients read {settings.state_dir / DEV_FILE_NAME}", flush=True)
        await stop.wait()
