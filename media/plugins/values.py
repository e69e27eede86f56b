"""Checks configuration against the annotations of the keywords that take it."""

from __future__ import annotations

import enum
import inspect
import math
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


class ValueMismatchError(ValueError):
    """A value is not what its place wants; ``path`` leads to it."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def keywords_of(function: Callable[..., Any], *, skip: int = 0) -> dict[str, inspect.Parameter]:
    """Return the parameters of *function* that configuration may set: all but the first *skip*."""
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name: p for p in parameters if p.kind in kinds}


def takes_any_keyword(function: Callable[..., Any]) -> bool:
    """Say whether *function* has ``**keywords``."""
    parameters = inspect.signature(function).parameters.values()
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def check_keywords(
    function: Callable[..., Any],
    values: Mapping[str, Any],
    *,
    skip: int = 0,
    is_change: bool = False,
) -> dict[str, Any]:
    """Return *values* as *function* wants them; with *is_change*, some may be missing.

    Raises: ValueMismatchError.
    """
    known = keywords_of(function, skip=skip)
    annotated = function.__init__ if inspect.isclass(function) else function
    try:
        hints = get_type_hints(annotated)
    except (NameError, TypeError):
        hints = {}  # Names that only a type checker sees: what cannot be told is not checked.
    taken: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known and not takes_any_keyword(function):
            names = ", ".join(known) or "none"
            raise ValueMismatchError(name, f"no such setting: there are {names}")
        taken[name] = check_value(value, hints.get(name, Any), name)
    for name, parameter in known.items():
        if not is_change and name not in taken and parameter.default is inspect.Parameter.empty:
            raise ValueMismatchError(name, "is missing")
    return taken


def check_value(value: Any, wanted: Any, path: str) -> Any:
    """Return *value* as the annotation *wanted* says.

    Raises: ValueMismatchError. An annotation that is not known here lets everything pass.
    """
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return _check_union(value, arguments, path)
    if origin is Literal:
        if value not in arguments:
            raise _mismatch(path, "one of " + ", ".join(map(repr, arguments)), value)
        return value
    if origin in (list, tuple, dict) or wanted in (list, tuple, dict):
        return _check_container(value, origin or wanted, arguments, path)
    if not inspect.isclass(wanted):
        return value
    if wanted is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise _mismatch(path, "a finite number", value)
        return float(value)
    if wanted is int and isinstance(value, bool):
        raise _mismatch(path, "int", value)
    if issubclass(wanted, Path) and isinstance(value, str):
        return wanted(value)
    if issubclass(wanted, enum.Enum) and not isinstance(value, wanted):
        try:
            return wanted(value)
        except ValueError:
            names = ", ".join(repr(member.value) for member in wanted)
            raise _mismatch(path, f"one of {names}", value) from None
    if wanted in (bool, int, float, str, bytes) or issubclass(wanted, Path):
        if not isinstance(value, wanted):
            raise _mismatch(path, wanted.__name__, value)
        return value
    return value


def _check_union(value: Any, choices: tuple[Any, ...], path: str) -> Any:
    if value is None and type(None) in choices:
        return None
    wanted = [choice for choice in choices if choice is not type(None)]
    for choice in wanted:
        try:
            return check_value(value, choice, path)
        except ValueMismatchError as error:
            if len(wanted) == 1:
                raise
            mismatch = error
    raise _mismatch(path, " or ".join(_name(choice) for choice in wanted), value) from mismatch


def _check_container(value: Any, kind: Any, arguments: tuple[Any, ...], path: str) -> Any:
    if kind is dict:
        if not isinstance(value, Mapping):
            raise _mismatch(path, "an object", value)
        inner = arguments[1] if arguments else Any
        return {key: check_value(item, inner, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise _mismatch(path, "a list", value)
    is_row = kind is tuple and arguments and arguments[-1] is not Ellipsis
    if is_row and len(arguments) != len(value):
        raise _mismatch(path, f"{len(arguments)} values", value)
    inners = arguments if is_row else (arguments[:1] or (Any,)) * len(value)
    pairs = zip(value, inners, strict=True)
    return kind(check_value(item, inner, f"{path}.{i}") for i, (item, inner) in enumerate(pairs))


def _mismatch(path: str, expected: str, value: Any) -> ValueMismatchError:
    return ValueMismatchError(path, f"expected {expected}, got {value!r:.80}")


def _name(wanted: Any) -> str:
    return wanted.__name__ if inspect.isclass(wanted) else str(wanted)
