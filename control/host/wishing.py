"""Calls that an operator asks for: made at the host of the fleet that has least to do."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from ..client.requests import GraphConnectionError, GraphRequestError
from ..client.tokens import TokenError
from ..store.base import StoreError
from .call import HostedCall
from .errors import HostBusyError, UnknownMeetingError, UnknownUserError
from .fleet.asking import AskedTooLongError
from .replies import RequestRefusedError

if TYPE_CHECKING:
    from .host import BotHost

log = logging.getLogger("mixminus.control.host")

Json: TypeAlias = dict[str, Any]
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

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a wish. Raises: RequestRefusedError 400."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as exc:
            first = exc.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            what = first["msg"].removeprefix("Value error, ")
            raise RequestRefusedError(
                400, "invalidRequest", f"{where}: {what}" if where else what
            ) from None

    async def grant(self, host: BotHost) -> HostedCall:
        """Make the call at this host.

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


async def make_call(host: BotHost, wish: CallWish) -> Json:
    """Make the call at the host with least to do; return its description.

    One that was made elsewhere has ``instance`` in it.
    Raises: as :meth:`CallWish.grant`; what another host was refused, as GraphRequestError.
    """
    there = host.fleet.place()
    if there != host.fleet.instance:
        try:
            answer = await host.fleet.ask(there, wish.model_dump(by_alias=True, exclude_none=True))
        except AskedTooLongError as exc:
            raise GraphConnectionError(str(exc)) from None
        except StoreError as exc:
            log.warning("%s is not asked: %s", there, exc)
            answer = None
        if answer is not None:
            return {**_read_answer(answer), "instance": there}
    return (await wish.grant(host)).describe()


async def answer_wish(host: BotHost, body: Json) -> Json:
    """Make the call that another host was asked for, here; return what that host is to be told."""
    try:
        call = await CallWish.model_validate(body).grant(host)
    except ValidationError as exc:
        refusal = RequestRefusedError(400, "invalidRequest", str(exc))
    except WISH_ERRORS as exc:
        refusal = refusal_of(exc)
    else:
        return {"call": call.describe()}
    return {"status": refusal.status, "code": refusal.code, "message": refusal.message}


def _read_answer(answer: Json) -> Json:
    if "call" in answer:
        call: Json = answer["call"]
        return call
    raise GraphRequestError(answer["status"], answer["code"], answer["message"])


WISH_ERRORS = (
    UnknownUserError,
    UnknownMeetingError,
    ValueError,
    GraphRequestError,
    GraphConnectionError,
    TokenError,
)
"""What may come of a wish instead of a call."""


def refusal_of(exc: Exception) -> RequestRefusedError:
    """Return one of :data:`WISH_ERRORS` as the answer to whoever asked."""
    if isinstance(exc, UnknownUserError | UnknownMeetingError):
        return RequestRefusedError(404, "itemNotFound", str(exc))
    if isinstance(exc, GraphRequestError):
        return RequestRefusedError(exc.status, exc.code, exc.message)
    if isinstance(exc, HostBusyError):
        return RequestRefusedError(
            503, "serviceNotAvailable", str(exc), retry_after_s=exc.retry_after_s
        )
    if isinstance(exc, GraphConnectionError | TokenError):
        return RequestRefusedError(502, "serviceNotAvailable", str(exc))
    return RequestRefusedError(400, "invalidRequest", str(exc))
