"""The admin API of a bot host, for the commands on its machine: make, look at and end calls."""

from __future__ import annotations

import hmac
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from ..store.base import StoreError
from .calls import CallReport
from .fleet.routes import add_fleet, store_refusal
from .replies import RequestRefusedError, read_body
from .wishing import WISH_ERRORS, CallWish, make_call, refusal_of

if TYPE_CHECKING:
    from .host import BotHost


def add_admin(app: FastAPI, host: BotHost) -> None:
    """Add the admin API of *host* to *app*."""

    @app.post("/mixminus/v1/calls")
    async def create(request: Request) -> Response:
        """Call a user, several, or a telephone; or join a meeting: where there is least to do."""
        _check_token(request, host.admin_token)
        wish = CallWish.parse(await read_body(request))
        try:
            call = await make_call(host, wish)
        except WISH_ERRORS as exc:
            raise refusal_of(exc) from None
        return JSONResponse(call, status_code=201)

    @app.get("/mixminus/v1/calls")
    async def list_calls(request: Request) -> dict[str, Any]:
        """List the living calls and the last ended ones."""
        _check_token(request, host.admin_token)
        ended = [report.description for report in (*host.calls.ended, *host.streams.ended)]
        living = [call.describe() for call in (*host.calls, *host.streams)]
        return {"value": [*ended, *living]}

    @app.get("/mixminus/v1/calls/{call_id}")
    async def get(request: Request, call_id: str) -> dict[str, Any]:
        """Report on one call: its states, its frames at each hop, the engine."""
        _check_token(request, host.admin_token)
        report = host.calls.report(call_id) or host.streams.report(call_id)
        if report is None:
            raise await _not_here(host, call_id)
        return _full_report(host, report)

    @app.delete("/mixminus/v1/calls/{call_id}")
    async def hang_up(request: Request, call_id: str) -> Response:
        """Hang up, and answer when nothing of the call is left."""
        _check_token(request, host.admin_token)
        call = host.calls.get(call_id) or host.streams.get(call_id)
        if call is None:
            raise await _not_here(host, call_id)
        await call.hang_up()
        await call.wait_closed()
        return Response(status_code=204)

    add_fleet(app, host.fleet, lambda request: _check_token(request, host.admin_token))


async def _not_here(host: BotHost, call_id: str) -> RequestRefusedError:
    """Return what is answered about a call that is not here: another host may have it."""
    try:
        owner = await host.fleet.owner_of(call_id)
    except StoreError as exc:
        return store_refusal(exc)
    if owner in (None, host.fleet.instance):
        return RequestRefusedError(404, "8522", "Call not found.")
    return RequestRefusedError(404, "8522", f"Call not found here: {owner} has it.")


def _full_report(host: BotHost, report: CallReport) -> dict[str, Any]:
    notifications = {
        **report.description["notifications"],
        # Who sent a refused post is not known, so neither is its call.
        "refused": host.webhook_counters.refused,
    }
    return {
        **report.description,
        "notifications": notifications,
        "engine": asdict(host.platform.stats()),
        "latenessUs": [round(float(us), 1) for us in report.lateness_us],
    }


def _check_token(request: Request, token: str) -> None:
    given = request.headers.get("Authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        raise RequestRefusedError(401, "unauthenticated", "expected the token of host.json")
