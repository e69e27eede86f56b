"""Rows that cannot be read: told by table and key, and no end to those beside them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from .base import StoreError

log = logging.getLogger("mixminus.control.store")

RowT = TypeVar("RowT")
T = TypeVar("T")


class CorruptRowError(StoreError):
    """A row holds what nobody wrote there; the message names its table and key."""


def document(
    table: str, key: object, text: str, kind: type[dict[Any, Any]] | type[list[Any]]
) -> Any:
    """Return the JSON in *text*, of the row *key* of *table*: an object, or an array.

    Raises: CorruptRowError.
    """
    try:
        found = json.loads(text)
        # Bytes that are no UTF-8 were read as lone surrogates; a JSON text of ours is ASCII.
        text.encode()
    except ValueError as error:
        raise CorruptRowError(
            f"the store's table {table} has a row that cannot be read, {key}: expected JSON:"
            f" {error}"
        ) from error
    if not isinstance(found, kind):
        raise CorruptRowError(
            f"the store's table {table} has a row that cannot be read, {key}: expected a JSON"
            f" {'object' if kind is dict else 'array'}, got {type(found).__name__}"
        )
    return found


def secret_of(name: str, text: str, read: Callable[[str], T]) -> T:
    """Return what *read* makes of the secret *text*, kept under *name*; nothing of it is said.

    Raises: CorruptRowError when it raises ValueError or TypeError.
    """
    try:
        return read(text)
    except (ValueError, TypeError):
        raise CorruptRowError(
            f"the store's table secrets has a row that cannot be read, name {name!r}: bring it back"
            " from a backup, or delete the row to have a new one made"
        ) from None


def sound(table: str, key: str, *texts: str | None) -> None:
    """Raises: CorruptRowError when one of a row's *texts* is no UTF-8."""
    try:
        for text in texts:
            (text or "").encode()
    except UnicodeEncodeError as error:
        raise CorruptRowError(
            f"the store's table {table} has a row that cannot be read, {key}: expected UTF-8:"
            f" {error}"
        ) from error


def readable(rows: Iterable[RowT], make: Callable[[RowT], T]) -> Iterator[T]:
    """Yield what *make* makes of each row; one that it cannot read is told in the log and left."""
    for row in rows:
        try:
            made = make(row)
        except CorruptRowError as error:
            log.error("%s; it is left as it is", error)  # noqa: TRY400
            continue
        yield made
