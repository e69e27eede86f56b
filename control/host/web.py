"""What a bot host answers over HTTPS: notifications, the media link, health, its own commands."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import FileResponse

from mixminus.media.transports.link import LinkError, LinkGrant, accept_link

from ..client.keys import KeysUnavailableError
from ..client.webhook import TokenRefusedError, parse_notifications
from ..graph.notifications import NotificationError, is_plain_id
from ..operation.call_context import enter_concern, step, watch_frames
from ..operation.metrics import add_metrics
from ..store.base import StoreAwayError, StoreError
from .acs_routes import add_acs
from .admin import add_admin
from .calls import Delivery
from .names import read_lineage
from .prompts import PROMPTS_PATH
from .replies import RequestRefusedError, read_body
from .sockets import AsgiSocket
from .stream_routes import add_streams

if TYPE_CHECKING:
    from .host import BotHost

log = logging.getLogger("mixminus.control.host")

CALLBACK_PATH: Final = "/api/calls"
MESSAGE_ID: Final = "X-Microsoft-Skype-Message-ID"
STORE_RETRY_S: Final = 5.0
MEDIA_PATH: Final = "/media"


def create_app(host: BotHost) -> FastAPI:
    """Make the application of *host*."""
    app = FastAPI(title="mixminus bot host", docs_url=None, redoc_url=None, openapi_url=None)
    _add_error_bodies(app)
    _add_webhook(app, host)
    _add_media(app, host)
    add_streams(app, host)
    if host.acs is not None and host.acs_tokens is not None:
        add_acs(app, host.acs, host.acs_tokens)
    _add_prompts(app, host)
    app.include_router(host.health.router())
    add_metrics(app, host.operation.metrics)
    add_admin(app, host)
    return app


def _add_error_bodies(app: FastAPI) -> None:
    @app.exception_handler(RequestRefusedError)
    async def refused(_: Request, error: RequestRefusedError) -> Response:
        return error.response()

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def no_such_thing(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        message = f"no {request.method} {request.url.path} here"
        return RequestRefusedError(status, "itemNotFound", message).response()


def _add_webhook(app: FastAPI, host: BotHost) -> None:
    # With the name of the host that asked for the call, for who routes by it; any host takes it.
    # With the call's lineage, by which it is found when the answer to its creation never came.
    @app.post(CALLBACK_PATH)
    @app.post(f"{CALLBACK_PATH}/{{instance}}")
    @app.post(f"{CALLBACK_PATH}/{{instance}}/{{lineage}}")
    async def notifications(request: Request) -> Response:
        """Take notifications of the call service: checked, stored, acknowledged, then applied."""
        counters = host.webhook_counters
        try:
            caller = await host.validator.validate(
                request.headers.get("Authorization"), time.time()
            )
        except TokenRefusedError as exc:
            counters.refused += 1
            log.warning("a notification was refused: %s", exc)
            raise RequestRefusedError(401, "InvalidAuthenticationToken", str(exc)) from None
        except KeysUnavailableError as exc:
            counters.unchecked += 1
            raise RequestRefusedError(
                503, "serviceNotAvailable", str(exc), retry_after_s=exc.retry_after_s
            ) from None
        lineage = _lineage_of(request)
        try:
            parsed = parse_notifications(await read_body(request))
        except NotificationError as exc:
            counters.malformed += 1
            raise RequestRefusedError(400, "invalidRequest", str(exc)) from None
        instance = request.path_params.get("instance")
        if instance is not None and not is_plain_id(instance):
            counters.malformed += 1
            message = f"expected the name of a host in the address, got {instance[:40]!r}"
            raise RequestRefusedError(400, "invalidRequest", message)
        taken, are_busy = [], False
        for notification in parsed:
            counters.received += 1
            match host.calls.judge(notification, caller.tenant_id):
                case Delivery.FULL:
                    counters.behind += 1
                    raise RequestRefusedError(503, "serviceNotAvailable", "the call is behind")
                case Delivery.FOREIGN:
                    counters.foreign += 1
                    log.warning("a notification of another tenant was refused")
                    raise RequestRefusedError(403, "7505", "the call is of another tenant")
                case Delivery.BUSY if host.inbox.place() == host.keeping.instance:
                    # The others of this post are taken: they may be of calls that stand.
                    counters.busy += 1
                    are_busy = True
                case _:
                    taken.append(notification)
        try:
            await host.inbox.take(
                taken,
                caller.tenant_id,
                request.headers.get(MESSAGE_ID),
                instance=instance,
                lineage=lineage,
            )
        except StoreError as exc:
            counters.unkept += len(taken)
            wait_s = exc.retry_after_s if isinstance(exc, StoreAwayError) else STORE_RETRY_S
            message = "the store of this host takes nothing now"
            raise RequestRefusedError(
                503, "serviceNotAvailable", message, retry_after_s=wait_s
            ) from exc
        if are_busy:
            raise _busy(host)
        return Response(status_code=202)


def _lineage_of(request: Request) -> str | None:
    """Return the lineage in the path, if that has one. Raises: RequestRefusedError."""
    part = request.path_params.get("lineage")
    if part is None:
        return None
    if (lineage := read_lineage(part)) is None:
        message = (
            f"expected the lineage of a call, a GUID, at the end of the path, got {part[:64]!r}"
        )
        raise RequestRefusedError(404, "itemNotFound", message)
    return lineage


def _busy(host: BotHost) -> RequestRefusedError:
    retry_after_s = host.operation.settings.retry_after_s
    message = "the host takes no new calls now"
    return RequestRefusedError(503, "serviceNotAvailable", message, retry_after_s=retry_after_s)


def _add_media(app: FastAPI, host: BotHost) -> None:
    @app.websocket(MEDIA_PATH)
    async def media(websocket: WebSocket) -> None:
        """Take the media link of one call; the link's own hello says which, and proves it."""
        if "origin" in websocket.headers:
            # A web page has no business here: refused before the handshake.
            await websocket.close(4403)
            return
        await websocket.accept()
        session_id, steps = "", ExitStack()

        def authorize(asked: str) -> LinkGrant | None:
            nonlocal session_id
            session_id = asked
            session = host.calls.session(asked)
            if (concern := host.calls.concerns.of_session(asked)) is not None:
                enter_concern(concern)
                steps.enter_context(step("media link", "server"))
            return None if session is None else session.grant()

        try:
            admitted = await accept_link(
                host.platform, AsgiSocket(websocket), authorize, fence=host.fence
            )
        except (LinkError, ConnectionError, TimeoutError) as exc:
            host.links_refused += 1
            steps.close()
            log.warning("a media link was refused: %s", exc)
            return
        link = admitted.link
        try:
            if admitted.is_resumed:
                log.info("session %s: the media link goes on", session_id)
            else:
                session = host.calls.session(session_id)
                if session is None or session.connected or session.audio.closed:
                    log.warning("a media link came for a session that has one, or is over")
                    await link.close()
                    return
                session.attach(link)
                steps.close()
                watch_frames(link.counters)
                log.info("session %s: the media link stands", session_id)
            # Not the futures themselves: a cancelled route would cancel them for everyone.
            ends: tuple[asyncio.Future[Any], ...] = (admitted.over, link.closed)
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # A link that only lost its socket lives on: the service may connect again.
            if link.closed.done():
                await link.close()
                log.info("session %s: the media link ended: %s", session_id, link.closed.result())


def _add_prompts(app: FastAPI, host: BotHost) -> None:
    @app.get(f"{PROMPTS_PATH}/{{name}}")
    async def prompt(name: str) -> Response:
        """Serve a file that the bot plays; its name is the secret."""
        path = host.calls.prompts.find(name)
        if path is None or not path.is_file():
            raise RequestRefusedError(404, "itemNotFound", "no such prompt")
        return FileResponse(path)
