"""Who is in a call of Azure Communication Services: raw ids and the objects that carry them.

Source: Azure SDK, communication identifiers (raw id prefixes and CommunicationIdentifierModel).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, TypeAlias

Kind: TypeAlias = Literal[
    "phoneNumber", "communicationUser", "microsoftTeamsUser", "microsoftTeamsApp", "unknown"
]

MAX_RAW_ID_CHARS: Final = 512
PHONE_NUMBER: Final = re.compile(r"\+[1-9][0-9]{4,14}\Z")
"""E.164: a plus, a country code, at most 15 digits."""

CLOUDS: Final[Mapping[str, str]] = {"orgid": "public", "dod": "dod", "gcch": "gcch"}
"""What a prefix says of the cloud that a Teams user or application lives in."""
PREFIXES: Final = {cloud: prefix for prefix, cloud in CLOUDS.items()}


@dataclass(frozen=True, slots=True)
class Identifier:
    """One participant. ``value`` is the number, user id or application id inside the raw id."""

    raw_id: str
    kind: Kind = "unknown"
    value: str = ""
    cloud: str = "public"
    is_anonymous: bool = False

    @classmethod
    def parse(cls, raw_id: str) -> Self:
        """Read a raw id; one of a kind that is not known is kept as it is.

        Raises: ValueError on an empty or too long one.
        """
        if not isinstance(raw_id, str) or not 0 < len(raw_id) <= MAX_RAW_ID_CHARS:
            raise ValueError(
                f"expected a raw id of 1 to {MAX_RAW_ID_CHARS} characters, got {raw_id!r:.80}"
            )
        scheme, _, rest = raw_id.partition(":")
        if scheme == "4" and rest:
            return cls(raw_id, "phoneNumber", rest)
        prefix, _, value = rest.partition(":")
        if not value:
            return cls(raw_id)
        if scheme == "28" and prefix in CLOUDS:
            return cls(raw_id, "microsoftTeamsApp", value, CLOUDS[prefix])
        if scheme != "8":
            return cls(raw_id)
        if prefix == "teamsvisitor":
            return cls(raw_id, "microsoftTeamsUser", value, is_anonymous=True)
        if prefix in CLOUDS:
            return cls(raw_id, "microsoftTeamsUser", value, CLOUDS[prefix])
        if prefix in ("acs", "spool", "dod-acs", "gcch-acs"):
            return cls(raw_id, "communicationUser", raw_id)
        return cls(raw_id)

    @classmethod
    def phone(cls, number: str) -> Self:
        """Return who has that telephone number.

        Raises: ValueError unless it is E.164, as +15551234567.
        """
        if not isinstance(number, str) or not PHONE_NUMBER.match(number):
            raise ValueError(f"expected a number as +15551234567, got {number!r:.40}")
        return cls(f"4:{number}", "phoneNumber", number)

    @classmethod
    def teams_user(cls, user_id: str, cloud: str = "public") -> Self:
        """Return the Teams user with that Entra object id.

        Raises: ValueError on an empty id or another cloud than public, dod and gcch.
        """
        if not user_id or cloud not in PREFIXES:
            raise ValueError(f"expected an object id and a cloud, got {user_id!r:.80}, {cloud!r}")
        return cls(f"8:{PREFIXES[cloud]}:{user_id}", "microsoftTeamsUser", user_id, cloud)

    @classmethod
    def of(cls, who: str | Identifier) -> Identifier:
        """Return who is meant by a telephone number, a raw id, or an identifier.

        Raises: ValueError.
        """
        if isinstance(who, Identifier):
            return who
        return cls.phone(who) if isinstance(who, str) and who[:1] == "+" else cls.parse(who)

    @classmethod
    def from_json(cls, model: Any) -> Self:
        """Read a CommunicationIdentifierModel: its raw id says it all; without one, its member.

        Raises: ValueError.
        """
        if not isinstance(model, Mapping):
            raise ValueError(f"expected an identifier object, got {type(model).__name__}")  # noqa: TRY004
        raw_id = model.get("rawId")
        if raw_id is None:
            raw_id = _raw_id_of(model)
        return cls.parse(raw_id)

    def to_json(self) -> dict[str, Any]:
        """Return the CommunicationIdentifierModel."""
        model: dict[str, Any] = {"rawId": self.raw_id}
        match self.kind:
            case "phoneNumber":
                model |= {"kind": self.kind, "phoneNumber": {"value": self.value}}
            case "communicationUser":
                model |= {"kind": self.kind, "communicationUser": {"id": self.value}}
            case "microsoftTeamsUser":
                user = {"userId": self.value, "isAnonymous": self.is_anonymous, "cloud": self.cloud}
                model |= {"kind": self.kind, "microsoftTeamsUser": user}
            case "microsoftTeamsApp":
                app = {"appId": self.value, "cloud": self.cloud}
                model |= {"kind": self.kind, "microsoftTeamsApp": app}
            case _:
                model |= {"kind": "unknown"}
        return model


def _raw_id_of(model: Mapping[str, Any]) -> str:
    """Make the raw id of a model that came without: SDKs of some versions leave it out."""
    match model:
        case {"phoneNumber": {"value": str(number)}}:
            return f"4:{number}"
        case {"communicationUser": {"id": str(user)}}:
            return user
        case {"microsoftTeamsUser": {"userId": str(user), "isAnonymous": True}}:
            return f"8:teamsvisitor:{user}"
        case {"microsoftTeamsUser": {"userId": str(user), **rest}}:
            return f"8:{PREFIXES.get(str(rest.get('cloud', 'public')).lower(), 'orgid')}:{user}"
        case {"microsoftTeamsApp": {"appId": str(app), **rest}}:
            return f"28:{PREFIXES.get(str(rest.get('cloud', 'public')).lower(), 'orgid')}:{app}"
        case _:
            raise ValueError(f"expected an identifier with a rawId, got members {sorted(model)}")
