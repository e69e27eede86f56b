"""Reading the members of a request's JSON, with the path of each in every refusal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urlsplit

from . import errors

Json = dict[str, Any]
Member = TypeVar("Member", bound=StrEnum)
Item = TypeVar("Item")

TYPE_PREFIX = "#microsoft.graph."

MAX_URI_CHARS = 2048
ID_CHARS = 256
ID_PATTERN = r"^[A-Za-z0-9._~!$&'()*+,;=:@-]{1,256}$"
"""Ids end up in paths: what RFC 3986 lets stand in a segment as it is."""
PHONE_PATTERN = r"^\+[1-9][0-9]{1,14}$"
"""E.164."""
CONTEXT_CHARS = 256
"""The documented limit of a clientContext."""
INT32_MAX = 2**31 - 1

_ID = re.compile(ID_PATTERN.removesuffix("$") + r"\Z")
_PHONE = re.compile(PHONE_PATTERN.removesuffix("$") + r"\Z")


class Fields:
    """The members of one JSON object. A member that is null counts as one that is missing.

    Raises: GraphError 400 from every method, saying which member, what was expected and what came.
    """

    __slots__ = ("value", "where")

    def __init__(self, value: Json, where: str = "") -> None:
        self.value, self.where = value, where

    @classmethod
    def of_body(cls, body: object) -> Fields:
        """Read a whole body."""
        if not isinstance(body, dict):
            raise errors.invalid_argument(
                f"The request body must be a JSON object, got {kind_of(body)}."
            )
        return cls(body)

    def path(self, name: str) -> str:
        """Return the path of a member, for a message."""
        return f"{self.where}.{name}" if self.where else name

    def refuse(self, name: str, expected: str) -> errors.GraphError:
        """Make the error that says what was expected of a member."""
        value = self.value.get(name)
        came = "" if value is None else f", got {kind_of(value)}"
        return errors.invalid_argument(f"{self.path(name)}: expected {expected}{came}.")

    def missing(self, name: str) -> errors.GraphError:
        """Make the error that says that a member is missing."""
        return errors.invalid_argument(f"{self.path(name)} is missing.")

    def has(self, name: str) -> bool:
        """Say whether a member is there and not null."""
        return self.value.get(name) is not None

    # ---- values ----------------------------------------------------------------------------------

    def text(self, name: str, *, max_chars: int | None = None) -> str | None:
        """Return a text."""
        value = self.value.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.refuse(name, "a text")
        if max_chars is not None and len(value) > max_chars:
            raise errors.invalid_argument(
                f"{self.path(name)}: expected at most {max_chars} characters, got {len(value)}."
            )
        return value

    def identifier(self, name: str) -> str | None:
        """Return an id."""
        value = self.text(name)
        if value is not None and not is_id(value):
            raise errors.invalid_argument(f"{self.path(name)}: expected {_ID_WORDS}.")
        return value

    def required_id(self, name: str) -> str:
        """Return an id that must be there."""
        value = self.identifier(name)
        if value is None:
            raise self.missing(name)
        return value

    def phone(self, name: str) -> str:
        """Return a phone number that must be there."""
        value = self.text(name)
        if value is None:
            raise self.missing(name)
        if not _PHONE.match(value):
            raise errors.invalid_argument(
                f"{self.path(name)}: expected a phone number in E.164 format, such as +12345678901."
            )
        return value

    def boolean(self, name: str, default: bool = False) -> bool:
        """Return a truth value."""
        value = self.value.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.refuse(name, "a truth value")
        return value

    def whole(self, name: str, low: int, high: int) -> int | None:
        """Return a whole number from *low* to *high*."""
        value = self.value.get(name)
        if value is None:
            return None
        # JSON has one kind of number: 5.0 is a whole one.
        is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not is_whole or not low <= value <= high:
            raise errors.invalid_argument(
                f"{self.path(name)}: expected a whole number from {low} to {high},"
                f" got {_shown(value)}."
            )
        return int(value)

    def member(
        self, name: str, members: Iterable[Member], *, any_case: bool = False
    ) -> Member | None:
        """Return a member of an enumeration."""
        value = self.value.get(name)
        return None if value is None else self._one_of(name, value, tuple(members), any_case)

    def members(self, name: str, members: Iterable[Member]) -> tuple[Member, ...] | None:
        """Return a list of members of an enumeration."""
        values, known = self.items(name), tuple(members)
        if values is None:
            return None
        return tuple(
            self._one_of(f"{name}[{index}]", value, known) for index, value in enumerate(values)
        )

    def https_uri(self, name: str) -> str | None:
        """Return an absolute https address. Whether it may be connected to, the guard says."""
        uri = self.text(name)
        if uri is not None:
            _check_https(uri, self.path(name))
        return uri

    # ---- what holds other values -----------------------------------------------------------------

    def fields(self, name: str) -> Fields | None:
        """Return an object."""
        value = self.value.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.refuse(name, "an object")
        return Fields(value, self.path(name))

    def required(self, name: str) -> Fields:
        """Return an object that must be there."""
        value = self.fields(name)
        if value is None:
            raise self.missing(name)
        return value

    def items(self, name: str, low: int = 0, high: int | None = None) -> list[Any] | None:
        """Return a list of *low* to *high* items."""
        value = self.value.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.refuse(name, "a list")
        if len(value) < low or (high is not None and len(value) > high):
            upto = f"at least {low}" if high is None else f"{low} to {high}"
            raise errors.invalid_argument(
                f"{self.path(name)}: expected {upto} items, got {len(value)}."
            )
        return value

    def each(
        self, name: str, read: Callable[[Fields], Item], low: int = 0, high: int | None = None
    ) -> tuple[Item, ...] | None:
        """Return what *read* makes of each object of a list."""
        values = self.items(name, low, high)
        if values is None:
            return None
        items = []
        for index, value in enumerate(values):
            if not isinstance(value, dict):
                raise errors.invalid_argument(
                    f"{self.path(name)}[{index}]: expected an object, got {kind_of(value)}."
                )
            items.append(read(Fields(value, f"{self.path(name)}[{index}]")))
        return tuple(items)

    def ids(self, name: str, low: int = 0) -> tuple[str, ...] | None:
        """Return a list of ids, each once."""
        values = self.items(name, low)
        if values is None:
            return None
        for index, value in enumerate(values):
            if not isinstance(value, str) or not is_id(value):
                raise errors.invalid_argument(f"{self.path(name)}[{index}]: expected {_ID_WORDS}.")
        return tuple(dict.fromkeys(values))

    def odata_type(self, *allowed: str, default: str | None = None) -> str:
        """Return the type, without its namespace; *default*, or the first, where none is given.

        Official clients leave the type out where the position tells it.
        """
        value = self.text("@odata.type")
        if value is None:
            return default or allowed[0]
        name = ("#" + value.removeprefix("#")).removeprefix(TYPE_PREFIX)
        if name not in allowed:
            names = " or ".join(TYPE_PREFIX + name for name in allowed)
            raise errors.invalid_argument(
                f"{self.path('@odata.type')}: expected {names}, got {_shown(value)}."
            )
        return name

    def client_context(self) -> str | None:
        """Return the clientContext of an operation."""
        return self.text("clientContext", max_chars=CONTEXT_CHARS)

    def _one_of(
        self, name: str, value: object, members: tuple[Member, ...], any_case: bool = False
    ) -> Member:
        for member in members:
            if value == member.value or (
                any_case and isinstance(value, str) and value.casefold() == member.value.casefold()
            ):
                return member
        known = ", ".join(member.value for member in members)
        raise errors.invalid_argument(
            f"{self.path(name)}: expected one of {known}, got {_shown(value)}."
        )


def is_id(text: str) -> bool:
    """Say whether *text* can be the id of something."""
    return _ID.match(text) is not None


def typed(value: Mapping[str, Any], name: str) -> Json:
    """Return *value* with its type first, whatever type it came with."""
    rest = {key: item for key, item in value.items() if key != "@odata.type"}
    return {"@odata.type": TYPE_PREFIX + name, **rest}


def kind_of(value: object) -> str:
    """Name the kind of a JSON value."""
    kinds = {str: "a text", dict: "an object", list: "a list", bool: "a truth value"}
    return "null" if value is None else kinds.get(type(value), "a number")


_ID_WORDS = f"an id of 1 to {ID_CHARS} letters, digits and ._~!$&'()*+,;=:@-"
_SHOWN_CHARS = 64


def _shown(value: object) -> str:
    """Show a value in a message, if it is short; its kind otherwise."""
    if isinstance(value, bool) or value is None or not isinstance(value, str | int | float):
        return kind_of(value)
    text = str(value)
    return ascii(text) if len(text) <= _SHOWN_CHARS else kind_of(value)


def _check_https(uri: str, path: str) -> None:
    came = "no URI"
    try:
        parts = urlsplit(uri)
        usable = parts.scheme.casefold() == "https" and bool(parts.hostname) and parts.port != 0
        if parts.scheme:
            # Not the rest: a path or query may hold a secret.
            came = f"{parts.scheme[:16]}://{(parts.hostname or '')[:64]}"
    except ValueError:
        usable = False
    if not usable or len(uri) > MAX_URI_CHARS or not uri.isprintable() or " " in uri:
        raise errors.invalid_argument(f"{path}: expected an absolute https URI, got {came!a}.")
