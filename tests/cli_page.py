"""The commands as they are, and docs/cli.md. `python -m tests.cli_page` writes its reference."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import typer

from mixminus.control.cli.app import build
from tests.support import ROOT

PAGE: Final = ROOT / "docs/cli.md"
BEGIN: Final = "<!-- reference: begin; written by python -m tests.cli_page -->\n"
END: Final = "<!-- reference: end -->\n"


@cache
def commands() -> dict[str, Any]:
    """Return every command that does something, by its words: ``"call create"``."""
    return dict(_walk("", typer.main.get_command(build())))


def _walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, child in below.items():
        yield from _walk(f"{path} {name}".strip(), child)


def reference() -> str:
    """Return the part of the page that is the commands' own help."""
    return "\n".join(_section(path, command) for path, command in commands().items())


def _section(path: str, command: Any) -> str:
    paragraphs = [" ".join(part.split()) for part in (command.help or "").split("\n\n")]
    examples = [part.removeprefix("Example: ") for part in paragraphs if _is_example(part)]
    prose = [part for part in paragraphs if part and not _is_example(part)]
    lines = [f"### mixminus {path}", ""]
    for part in prose:
        lines += [part, ""]
    lines += [*(f"    {example}" for example in examples), ""]
    lines += ["| | |", "|---|---|"]
    hints = get_type_hints(inspect.unwrap(command.callback))
    lines += [_row(each, hints) for each in command.params if each.name != "help"]
    return "\n".join(lines) + "\n"


def _is_example(part: str) -> bool:
    return part.startswith("Example: ")


def _row(parameter: Any, hints: dict[str, Any]) -> str:
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
    else:
        words = [*parameter.opts, *parameter.secondary_opts]
        name = ", ".join(words)
        if not parameter.is_flag:
            name += f" {parameter.metavar or _kind(hints[parameter.name])}"
    said = (getattr(parameter, "help", "") or "").replace("|", "\\|")
    default = _default(parameter)
    return f"| `{name}` | {said}{f' Default: {default}.' if default else ''} |"


def _kind(hint: Any) -> str:
    """Return what is to be typed behind an option of that type."""
    inner = [each for each in get_args(hint) if each is not type(None)]
    if inner:
        return _kind(inner[0])
    if issubclass(hint, Enum):
        return "\\|".join(str(each.value) for each in hint)
    return {int: "N", float: "N", Path: "PATH"}.get(hint, "TEXT")


def _default(parameter: Any) -> str:
    shown = getattr(parameter, "show_default", None)
    if isinstance(shown, str):
        return shown
    default = parameter.default
    if default in (None, False, True, "", ()) or callable(default):
        return ""
    return f"`{getattr(default, 'value', default)}`"


def json_members(command: str) -> set[str]:
    """Return the members that the page promises in what ``--json`` prints."""
    pattern = rf"^\| `{re.escape(command)}`(?:[^|`]|`[^|`]*`)*\| (.*) \|$"
    found = re.search(pattern, PAGE.read_text(), re.MULTILINE)
    assert found, f"docs/cli.md says nothing of the JSON of {command}"
    return set(re.findall(r"`([^`]+)`", found[1]))


def written() -> str:
    """Return the page with the reference as it must be."""
    head, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{reference()}\n{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(written())
