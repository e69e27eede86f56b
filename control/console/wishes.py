"""What the console is asked to do, as models: parsed strictly, unknown members refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

Text = Annotated[str, Field(min_length=1, max_length=2048)]
Name = Annotated[str, Field(min_length=1, max_length=256)]


class Wish(BaseModel):
    """Base of all bodies."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True
    )


class CallWish(Wish):
    """A bot calls a user, several, or a telephone, or joins a meeting: one way of saying it."""

    bot: Name | None = None
    """The only one where there is but one."""
    user: Text | None = None
    users: tuple[Text, ...] | None = Field(default=None, strict=False, min_length=1, max_length=25)
    phone: Name | None = None
    meeting: Text | None = None
    join_url: Text | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        ways = (self.user, self.users, self.phone, self.meeting, self.join_url)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("expected one of user, users, phone, meeting and joinUrl")
        return self


class MeetingWish(Wish):
    """A new meeting."""

    subject: Name
    organizer_id: Name | None = None
    """A user's; the first of the directory by default."""


class TonesWish(Wish):
    """Keys to be pressed by our side."""

    tones: Annotated[str, Field(pattern=r"^[0-9A-Da-d*#]{1,32}$")]


class RouteWish(Wish):
    """Whether *listener* is to hear *speaker*, both participant ids."""

    listener: Name
    speaker: Name
    hears: bool


class PluginChange(Wish):
    """A plugin switched, or its parameters changed; what is not named stays."""

    bypassed: bool | None = None
    parameters: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _check_any(self) -> Self:
        if self.bypassed is None and self.parameters is None:
            raise ValueError("expected bypassed, parameters or both")
        return self


class PluginWish(Wish):
    """A plugin to be put on a stream of a call."""

    name: Name
    stream: Literal["inbound", "outbound", "speaker", "mix", "own"]
    leg_key: Name | None = None
    """On which leg, for ``inbound`` and ``outbound``; on every caller's by default."""
    parameters: dict[str, Any] = Field(default_factory=dict)


class BotWish(Wish):
    """A bot to be placed in a call."""

    bot: Name


class InviteWish(Wish):
    """A user to be rung into a call: an id, or a display name."""

    user: Name
