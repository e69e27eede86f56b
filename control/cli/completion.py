"""What the shell is told may stand at the cursor: names and ids of what runs.

Nothing here may fail, print or take long: a shell waits for it. What cannot be found is not
offered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

Offer = tuple[str, str]
"""What may be typed, and what it is."""


def complete_user(context: typer.Context, incomplete: str) -> Sequence[Offer]:
    """Offer the users of dev.json, by their names."""
    users = _dev_file(context).get("users") or ()
    names = [(user.get("displayName", ""), "user") for user in users]
    return _beginning(names, incomplete)


def complete_meeting(context: typer.Context, incomplete: str) -> Sequence[Offer]:
    """Offer the meetings of dev.json by their ids: subjects have spaces in them."""
    meetings = _dev_file(context).get("meetings") or ()
    known = [(each.get("joinMeetingId", ""), each.get("subject", "")) for each in meetings]
    return _beginning(known, incomplete)


def complete_call(context: typer.Context, incomplete: str) -> Sequence[Offer]:
    """Offer the calls that the running bot host has."""
    from .call import ask_host
    from .errors import CliError

    try:
        calls = ask_host(_state_dir(context), "GET", "")["value"]
    except CliError:
        return ()
    return _beginning([(call["callId"], call["state"]) for call in calls], incomplete)


def complete_plugin(incomplete: str) -> Sequence[Offer]:
    """Offer the plugins that have a name."""
    from mixminus.media.plugins.registry import list_plugins

    return _beginning([(info.name, info.origin) for info in list_plugins()], incomplete)


def _beginning(offers: Sequence[Offer], incomplete: str) -> list[Offer]:
    wanted = incomplete.casefold()
    return [(name, what) for name, what in offers if name and name.casefold().startswith(wanted)]


def _state_dir(context: typer.Context) -> Path:
    """Return what --state says, or would: options before the cursor are read already."""
    for name in ("state_dir", "state"):
        said = context.params.get(name)
        if said is not None:
            return Path(said)
    return Path(".mixminus")


def _dev_file(context: typer.Context) -> dict[str, Any]:
    state = _state_dir(context)
    for path in _dev_files(state):
        try:
            value = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        return value if isinstance(value, dict) else {}
    return {}


def _dev_files(state: Path) -> Iterator[Path]:
    if state.suffix == ".json":
        yield state
    yield state / "dev.json"
