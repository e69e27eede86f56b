"""The admin API of a bot host, for the commands on its machine: make, look at and end calls."""

from __future__ import annotations

import hmac
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from ..client.requests import GraphConnectionError, GraphRequestError
from ..client.tokens import TokenError
from .call import HostedCall
from .calls import CallReport
from .errors import HostBusyError, UnknownMeetingError, UnknownUserError
from .replies import RequestRefusedError, read_body

if TYPE_CHECKING:
    from .host import BotHost

Text = Annotated[str, Field(min_length=1, max_length=8192)]


class CallWish(BaseModel):
    """Whom to call, or which meeting to join: exactly one way of saying it."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True
    )

    user: Text | None = None
    users: tuple[Text, ...] | None = Field(default=None, strict=False, max_length=25)
    phone: Text | None = None
    meeting: Text | None = None
    join_url: Text | None = None
    join_meeting_id: Text | None = None
    passcode: str | None = None
    guest_name: Text | None = None
    media: Literal["app", "service"] = "app"

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        meetings = (self.meeting, self.join_url, self.join_meeting_id)
        if sum(bool(way) for way in (self.user, self.users, self.phone, *meetings)) != 1:
            raise ValueError(
                "expected one of user, users, phone, meeting, joinUrl and joinMeetingId"
            )
        if self.passcode is not None and self.join_meeting_id is None:
            raise ValueError("expected a passcode only with a joinMeetingId")
        if self.guest_name is not None and not self.is_meeting:
            raise ValueError("expected a guestName only with a meeting")
        return self

    @property
    def is_meeting(self) -> bool:
        """Whether a meeting is to be joined."""
        return any((self.meeting, self.join_url, self.join_meeting_id))

    async def grant(self, host: BotHost) -> HostedCall:
        """Make the call.

        Raises: as ``host.calls.create`` and ``host.calls.join``.
        """
        if self.is_meeting:
            return await host.calls.join(
                meeting=self.meeting,
                join_url=self.join_url,
                join_meeting_id=self.join_meeting_id,
                passcode=self.passcode,
                guest_name=self.guest_name,
                media=self.media,
            )
        return await host.calls.create(
            user=self.user, users=self.users or (), phone=self.phone, media=self.media
        )


def add_admin(app: FastAPI, host: BotHost) -> None:
    """Add the admin API of *host* to *app*."""

    @app.post("/mixminus/v1/calls")
    async def create(request: Request) -> Response:
        """Call a user, several, or a telephone; or join a meeting."""
        _check_token(request, host.admin_token)
        wish = _parse_wish(await read_body(request))
        try:
            call = await wish.grant(host)
        except (UnknownUserError, UnknownMeetingError) as exc:
            raise RequestRefusedError(404, "itemNotFound", str(exc)) from None
        except ValueError as exc:
            raise RequestRefusedError(400, "invalidRequest", str(exc)) from None
        except GraphRequestError as exc:
            raise RequestRefusedError(exc.status, exc.code, exc.message) from None
        except HostBusyError as exc:
            raise RequestRefusedError(
                503, "serviceNotAvailable", str(exc), retry_after_s=exc.retry_after_s
            ) from None
        except (GraphConnectionError, TokenError) as exc:
            raise RequestRefusedError(502, "serviceNotAvailable", str(exc)) from None
        return JSONResponse(call.describe(), status_code=201)

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
            raise RequestRefusedError(404, "8522", "Call not found.")
        return _full_report(host, report)

    @app.delete("/mixminus/v1/calls/{call_id}")
    async def hang_up(request: Request, call_id: str) -> Response:
        """Hang up, and answer when nothing of the call is left."""
        _check_token(request, host.admin_token)
        call = host.calls.get(call_id) or host.streams.get(call_id)
        if call is None:
            raise RequestRefusedError(404, "8522", "Call not found.")
        await call.hang_up()
        await call.wait_closed()
        return Response(status_code=204)


def _parse_wish(body: bytes) -> CallWish:
    try:
        return CallWish.model_validate_json(body)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise RequestRefusedError(
            400, "invalidRequest", f"{where}: {what}" if where else what
        ) from None


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
