"""``mixminus serve``: run a bot, by default with a call service of its own beside it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import AUTH, FAILED, NOT_FOUND, USAGE, CliError, plugin_error, settings_error
from .media_options import MediaPort, MediaPublicAddress, media_settings
from .plugin_options import PluginOption, plugin_specs

if TYPE_CHECKING:
    from mixminus.media.platform import MediaPlatform

    from ..host import Bot, BotHost
    from ..service.settings import ServiceSettings
    from ..settings import HostSettings

DEV_FILE_HELP = "Use the call service that wrote this dev.json, instead of starting one."
ENV_HELP = "Take all settings from MIXMINUS_... in the environment, as for graph.microsoft.com."


def register(app: typer.Typer) -> None:
    """Add ``serve``."""
    app.command()(serve)


def serve(
    bot_file: Annotated[
        Path | None,
        typer.Option("--bot", help="A Python file with a Bot.", show_default="one that is silent"),
    ] = None,
    state_dir: Annotated[
        Path, typer.Option("--state", help="Where keys, certificates and host.json are kept.")
    ] = Path(".mixminus"),
    dev_file: Annotated[Path | None, typer.Option("--dev-file", help=DEV_FILE_HELP)] = None,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Start a call service in this process: the default.")
    ] = False,
    from_env: Annotated[bool, typer.Option("--from-env", help=ENV_HELP)] = False,
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
) -> None:
    """Run a bot host until Ctrl-C. It prints each call's states.

    Example: mixminus serve --bot examples/echo_bot.py
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
    # What was not said is the environment's to say, or the default.
    over = {name: value for name, value in options.items() if value is not None}
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("mixminus").setLevel(logging.INFO)
    bot = _load(bot_file)
    settings = _settings(dev_file, from_env, over)
    asyncio.run(_serve(bot, settings, over, media))


def _load(bot_file: Path | None) -> Bot:
    from ..host.bot import Bot, BotFileError, load_bot

    if bot_file is None:
        return Bot()
    try:
        return load_bot(bot_file)
    except BotFileError as exc:
        raise CliError(str(exc), FAILED if bot_file.is_file() else NOT_FOUND) from exc


def _settings(dev_file: Path | None, from_env: bool, over: dict[str, Any]) -> HostSettings | None:
    """Return the host's settings, or None when a service of our own is to say them."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from ..devfile import DevFile, DevFileError
    from ..settings import HostSettings

    try:
        if dev_file is not None:
            return HostSettings.from_dev_file(DevFile.load(dev_file), **over)
        return HostSettings(**over) if from_env else None
    except DevFileError as exc:
        raise CliError(str(exc), NOT_FOUND) from None
    except (ValidationError, SettingsError) as exc:
        raise settings_error(exc) from None


async def _serve(
    bot: Bot, settings: HostSettings | None, over: dict[str, Any], media: dict[str, Any]
) -> None:
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from mixminus.media.platform import MediaPlatform
    from mixminus.media.plugins.errors import PluginError

    from ..host import BotHost
    from ..store.base import StoreError

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    of_service = None if settings is not None else _service_settings(over, media)
    tick_threads = 1 if of_service is None else of_service.tick_thread_count
    async with AsyncExitStack() as stack:
        try:
            platform = await stack.enter_async_context(MediaPlatform(tick_threads))
            if of_service is not None:
                settings = await _start_service(stack, platform, of_service, over)
            assert settings is not None
            host = await stack.enter_async_context(BotHost(bot, settings, platform=platform))
        except PluginError as exc:
            raise plugin_error(exc) from exc
        except (ValidationError, SettingsError) as exc:
            raise settings_error(exc) from None
        except OSError as exc:
            raise CliError(exc.strerror or str(exc)) from exc
        except StoreError as exc:
            raise CliError(str(exc)) from exc
        print(
            f"{bot.name} at {host.url}; calls: mixminus call --state {over['state_dir']}",
            flush=True,
        )
        await _until_stopped(host, stop)


def _service_settings(over: dict[str, Any], media: dict[str, Any]) -> ServiceSettings:
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from ..service.settings import ServiceSettings

    try:
        return ServiceSettings(state_dir=over["state_dir"], **media)
    except (ValidationError, SettingsError) as exc:
        raise settings_error(exc) from None


async def _start_service(
    stack: AsyncExitStack,
    platform: MediaPlatform,
    of_service: ServiceSettings,
    over: dict[str, Any],
) -> HostSettings:
    from ..service.service import CallService
    from ..settings import HostSettings
    from ..simulate.keys import local_settings

    service = await stack.enter_async_context(CallService(of_service, platform=platform))
    print(f"call service at {service.dev_file.graph_base_url}")
    print(f"phone page at {service.urls.phone}")
    # The simulators of this state directory may ring, too, where no real service may.
    own = {**local_settings(of_service.state_dir, os.environ), **over}
    return HostSettings.from_dev_file(service.dev_file, **own)


async def _until_stopped(host: BotHost, stop: asyncio.Event) -> None:
    """Wait for a signal, or for the bot's ``on_start`` to fail."""
    from ..client.requests import GraphRequestError
    from ..client.tokens import TokenError
    from ..graph.joinurl import JoinUrlError
    from ..host.errors import UnknownMeetingError, UnknownUserError

    stopped = asyncio.create_task(stop.wait())
    failed = asyncio.create_task(host.wait_failed())
    try:
        await asyncio.wait({stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
        if not failed.done():
            return
        error = failed.exception()
        code = FAILED
        if (isinstance(error, TokenError) and error.code != "unreachable") or (
            isinstance(error, GraphRequestError) and error.status in (401, 403)
        ):
            code = AUTH
        elif isinstance(error, UnknownUserError | UnknownMeetingError) or (
            isinstance(error, GraphRequestError) and error.status == 404
        ):
            code = NOT_FOUND
        elif isinstance(error, JoinUrlError):
            code = USAGE
        raise CliError(f"the bot's on_start failed: {error}", code) from error
    finally:
        stopped.cancel()
        failed.cancel()
        await asyncio.gather(stopped, failed, return_exceptions=True)
