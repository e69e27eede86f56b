"""The documented examples, and how an answer of ours is compared with one: key by key.

In the files a ``{name}`` stands for what the service makes up: an identifier, the same one wherever
the name stands again. All else is compared as it is, after our hosts are named as in the examples.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

DATA = Path(__file__).parent / "data"
DEVIATIONS = Path(__file__).parent / "deviations.toml"
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
FORMS = {"Id": GUID, "Source": re.compile(r"[0-9]+\Z"), "Hex": re.compile(r"[0-9A-F]{64}\Z")}
PLACEHOLDER = re.compile(r"\{(\w+?)(Id|Source|Hex)\}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?Z\Z")


class Deviation(NamedTuple):
    """One place where an answer is not what the documentation shows."""

    example: str
    where: str
    kind: str
    """missing, extra, null, not null, type, value"""


def load(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    return result


def names(folder: str) -> list[str]:
    return sorted(f"{folder}/{path.stem}" for path in (DATA / folder).glob("*.json"))


@dataclass(frozen=True)
class Entry:
    """One line of deviations.toml. In ``where`` a star stands for any one member or element."""

    example: str
    where: str
    kind: str

    def covers(self, deviation: Deviation) -> bool:
        pattern = r"[^.\[\]]+".join(map(re.escape, self.where.split("*")))
        return (self.example, self.kind) == (deviation.example, deviation.kind) and re.fullmatch(
            pattern, deviation.where
        ) is not None


def entries() -> list[Entry]:
    """Read deviations.toml; each entry has its reason there."""
    result: list[Entry] = []
    for raw in tomllib.loads(DEVIATIONS.read_text())["deviation"]:
        assert len(raw["reason"]) > 20, f"no reason: {raw}"
        places = raw["where"] if isinstance(raw["where"], list) else [raw["where"]]
        result += [Entry(e, place, raw["kind"]) for e in raw["examples"] for place in places]
    assert len(set(result)) == len(result), "listed twice"
    return result


class Comparison:
    """Compares the answers to one example; ``found`` is where they deviate.

    *hosts* maps what our addresses begin with to what the documentation's do.
    """

    def __init__(self, example: str, hosts: Mapping[str, str]) -> None:
        self.example = example
        self.found: dict[Deviation, str] = {}
        self.bound: dict[str, str] = {}
        self._hosts = dict(hosts)

    def compare(self, where: str, expected: Any, actual: Any) -> None:
        """Note at *where* all in which *actual* differs from *expected*."""
        if isinstance(expected, str):
            self._compare_text(where, expected, actual)
        elif actual is None and expected is not None:
            self._note(where, "null", expected, actual)
        elif expected is None and actual is not None:
            self._note(where, "not null", expected, actual)
        elif _kind(expected) is not _kind(actual):
            self._note(where, "type", expected, actual)
        elif isinstance(expected, dict):
            self._compare_members(where, expected, actual)
        elif isinstance(expected, list):
            self._compare_elements(where, expected, actual)
        elif expected != actual:
            self._note(where, "value", expected, actual)

    def note_missing(self, where: str) -> None:
        self._note(where, "missing")

    def note_extra(self, where: str) -> None:
        self._note(where, "extra")

    def bind(self, name: str, value: str) -> None:
        """Say what a placeholder stands for, where a test knows it already."""
        self.bound[name] = value

    def _compare_members(
        self, where: str, expected: dict[str, Any], actual: dict[str, Any]
    ) -> None:
        # A member's name may hold an id too: "callRecords('{recordId}')/...".
        for key, value in expected.items():
            if key in actual:
                self.compare(f"{where}.{key}", value, actual[key])
            else:
                self._note(f"{where}.{key}", "missing")
        for key in actual.keys() - expected.keys():
            self._note(f"{where}.{key}", "extra", None, actual[key])

    def _compare_elements(self, where: str, expected: list[Any], actual: list[Any]) -> None:
        for index, (name, value) in enumerate(_named(expected)):
            at = f"{where}[{name}]"
            match = dict(_named(actual)).get(name) if name != str(index) else _at(actual, index)
            if match is None:
                self._note(at, "missing")
            else:
                self.compare(at, value, match)
        known = {name for name, _ in _named(expected)}
        for name, _ in _named(actual):
            if name not in known:
                self._note(f"{where}[{name}]", "extra")

    def _compare_text(self, where: str, expected: str, actual: Any) -> None:
        if actual is None:
            self._note(where, "null", expected, actual)
            return
        if not isinstance(actual, str):
            self._note(where, "type", expected, actual)
            return
        for ours, documented in self._hosts.items():
            if actual.startswith(ours):
                actual = documented + actual.removeprefix(ours)
        if TIME.match(expected):
            # When something was is never the documentation's moment; how it is written may be.
            if not TIME.match(actual):
                self._note(where, "value", expected, actual)
        elif not self._matches(expected, actual):
            self._note(where, "value", expected, actual)

    def _matches(self, expected: str, actual: str) -> bool:
        """Match text with placeholders, and bind those that are new."""
        pattern, order, last = "", [], 0
        for found in PLACEHOLDER.finditer(expected):
            name = "".join(found.groups())
            pattern += re.escape(expected[last : found.start()])
            pattern += re.escape(self.bound[name]) if name in self.bound else "(.+?)"
            if name not in self.bound:
                order.append((name, FORMS[found.group(2)]))
            last = found.end()
        match = re.fullmatch(pattern + re.escape(expected[last:]), actual)
        if match is None:
            return False
        for (name, form), value in zip(order, match.groups(), strict=True):
            if form.match(value) is None:
                return False
            self.bound[name] = value
        return True

    def _note(self, where: str, kind: str, expected: Any = None, actual: Any = None) -> None:
        text = f"documented {json.dumps(expected)[:200]}, came {json.dumps(actual)[:200]}"
        self.found[Deviation(self.example, where, kind)] = text


def _kind(value: Any) -> type:
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def _at(elements: list[Any], index: int) -> Any:
    return elements[index] if index < len(elements) else None


def _named(elements: list[Any]) -> Iterator[tuple[str, Any]]:
    """Name each element of a list: by who it is if it is a participant, else by its place."""
    for index, element in enumerate(elements):
        yield _name(element) or str(index), element


def _name(element: Any) -> str | None:
    if not isinstance(element, dict):
        return None
    if element.get("@odata.type") == "#microsoft.graph.mediaStream":
        return str(element["mediaType"])
    info = element.get("info")
    identities = info.get("identity", {}) if isinstance(info, dict) else {}
    for kind, identity in identities.items():
        if isinstance(identity, dict):
            return str(identity.get("displayName") or kind)
    return None


def check(comparison: Comparison) -> None:
    """Fail on a deviation that is not listed, and on a listed one that does not occur."""
    listed = [entry for entry in entries() if entry.example == comparison.example]
    unlisted = [
        f"{d.kind} at {d.where}: {text}"
        for d, text in sorted(comparison.found.items())
        if not any(entry.covers(d) for entry in listed)
    ]
    assert not unlisted, f"{comparison.example}, not in deviations.toml:\n" + "\n".join(unlisted)
    gone = [entry for entry in listed if not any(entry.covers(d) for d in comparison.found)]
    assert not gone, f"in deviations.toml, but no longer so: {gone}"
