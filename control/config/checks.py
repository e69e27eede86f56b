"""What a settings file and an environment may say at all: known names, and no secret in a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from .errors import Problem
from .section import FILE_SUFFIX, SettingsSection
from .sections import OF_PROCESS, sections

PREFIX: Final = "MIXMINUS_"

LINK: Final = re.compile(r"(?P<service>[A-Z0-9_]+?)_PORT\Z")
LINK_VALUE: Final = re.compile(r"(tcp|udp|sctp)://")
"""How Kubernetes tells a pod of each Service of its namespace: NAME_PORT=tcp://10.0.0.1:443."""


def check_file(tables: Mapping[str, Any], name: str) -> list[Problem]:
    """Return what is wrong with the keys of a parsed settings file called *name*."""
    found: list[Problem] = []
    for table, keys in tables.items():
        model = sections().get(table)
        if model is None:
            found.append(_no_such_table(table, keys, name))
        elif not isinstance(keys, Mapping):
            found.append(Problem(name, f"{table}: expected a table, [{table}], got {keys!r:.40}"))
        else:
            for key, value in keys.items():
                message = _check_key(model, key, value)
                if message is not None:
                    found.append(Problem(place(name, table, key), message))
    return found


def place(name: str, table: str, key: str) -> str:
    """Return how a key of the file *name* is called in messages."""
    return f"{name}: [{table}] {key}"


def check_environment(environ: Mapping[str, str]) -> list[Problem]:
    """Return what is wrong with the names of the variables that begin with MIXMINUS_."""
    known = known_variables()
    links = kubernetes_links(environ)
    found: list[Problem] = []
    for variable in environ:
        name = variable.upper()
        if not name.startswith(PREFIX):
            continue
        if variable in links:
            if name in known:
                found.append(
                    Problem(
                        variable,
                        "Kubernetes made this from a Service of that name: set"
                        " enableServiceLinks: false in the pod's spec",
                    )
                )
        elif name not in known:
            found.append(Problem(variable, f"no such setting{nearest(name, known)}"))
    return found


def known_variables() -> frozenset[str]:
    """Return the names of all variables that are read."""
    names = set(OF_PROCESS)
    for model in sections().values():
        names |= {model.variable(field) for field in model.model_fields}
        names |= {model.variable(field) + FILE_SUFFIX for field in model.secrets()}
    return frozenset(names)


def kubernetes_links(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the variables by which Kubernetes tells of Services whose name begins as ours."""
    services = {
        link["service"]
        for name, value in environ.items()
        if (link := LINK.match(name)) and LINK_VALUE.match(value) and name.startswith("MIXMINUS")
    }
    told = tuple(
        re.compile(rf"{service}_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_[A-Z_]+)?)\Z")
        for service in services
    )
    return frozenset(name for name in environ if any(one.match(name) for one in told))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``: did you mean X?`` when one of *known* is like *name*, else nothing."""
    close = get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f": did you mean {close[0]}?" if close else ""


def _no_such_table(table: str, value: Any, name: str) -> Problem:
    if not isinstance(value, Mapping):
        homes = [f"[{one}]" for one, model in sections().items() if table in model.model_fields]
        where = f"in a table: {' or '.join(homes)}" if homes else "tables only"
        return Problem(name, f"{table}: expected {where}, got it before the first table")
    known = ", ".join(f"[{one}]" for one in sections())
    close = get_close_matches(table, sections(), n=1)
    meant = f": did you mean [{close[0]}]?" if close else f": there are {known}"
    return Problem(f"{name}: [{table}]", f"no such table{meant}")


def _check_key(model: type[SettingsSection], key: str, value: Any) -> str | None:
    """Return what is wrong with one key of a table, or None."""
    secrets = model.secrets()
    if key in secrets:
        return (
            "a secret is not said in this file: expected"
            f" {key}_file, the path of a file that has it, or {model.variable(key)}"
        )
    if key.endswith("_file") and key.removesuffix("_file") in secrets:
        return None if isinstance(value, str) else f"expected a path, got {_shown(value)}"
    field = model.model_fields.get(key)
    if field is None:
        known = {name for name in model.model_fields if name not in secrets}
        known |= {f"{name}_file" for name in secrets}
        return f"no such key{nearest(key, known)}"
    if isinstance(value, bool) and not _takes_bool(field.annotation):
        # pydantic would take true for the number 1.
        return f"expected no boolean, got {_shown(value)}"
    return None


def _takes_bool(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return any(_takes_bool(one) for one in get_args(annotation))
    if get_origin(annotation) is Literal:
        return any(isinstance(one, bool) for one in get_args(annotation))
    return annotation is bool or annotation is Any


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value!r:.40}"
