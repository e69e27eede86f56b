"""``mixminus plugin``: find, make, try and check audio plugins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .completion import complete_plugin
from .errors import FAILED, NOT_FOUND, OK, USAGE, CliError, plugin_error
from .output import JsonOption, print_json, print_table, progress_bar

if TYPE_CHECKING:
    from mixminus.media.plugins.conformance import Finding
    from mixminus.media.plugins.contract import PluginFactory, Stream

NAME_PATTERN: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
MAX_NAME: Final = 40
SHOWN_EVENTS: Final = 20

PluginArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A plugin's name, module:attr, or path.py[:attr].",
        autocompletion=complete_plugin,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting; the value is JSON or a text."),
]
OnOption = Annotated[
    str,
    typer.Option("--on", help="The stream it takes itself to be on: inbound, outbound, ..."),
]


def register(app: typer.Typer) -> None:
    """Add the ``plugin`` commands."""
    group = typer.Typer(
        help="Find, make, try and check audio plugins.",
        add_completion=False,
        no_args_is_help=True,
    )
    group.command("list")(list_)
    group.command("show")(show)
    group.command("new")(new)
    group.command("run")(run)
    group.command("check")(check)
    app.add_typer(group, name="plugin")


def list_(as_json: JsonOption = False) -> None:
    """List the plugins that have a name.

    They are built in, or come with an installed package.

    Example: mixminus plugin list --json
    """
    from mixminus.media.plugins.registry import list_plugins

    found = [
        {
            "name": info.name,
            "origin": info.origin,
            "reference": info.reference,
            "summary": _summary(info.name),
        }
        for info in list_plugins()
    ]
    if as_json:
        print_json({"value": found})
        return
    rows = [[each["name"], each["origin"], each["summary"]] for each in found]
    print_table(("name", "from", "what it does"), rows, empty="no plugins")


def show(name: PluginArgument, as_json: JsonOption = False) -> None:
    """Show what a plugin does and its settings.

    Example: mixminus plugin show gain
    """
    import inspect

    with _one_line_errors():
        factory = _resolve(name)
    documentation = _plain(inspect.getdoc(factory) or "It has no docstring.")
    if as_json:
        from ..console.plugin_kinds import schema_of

        print_json({"name": name, "documentation": documentation, "schema": schema_of(factory)})
        return
    print(documentation)
    rows = list(_settings(factory))
    print("\nsettings:" if rows else "\nno settings")
    for row in rows:
        print(f"  {row}")


def new(
    name: Annotated[str, typer.Argument(help="Its name: small letters, digits, - or _.")],
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="Where to.", show_default="mixminus-NAME, here"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a package with a plugin and a test that passes.

    Example: mixminus plugin new softer
    """
    from mixminus.media.plugins.builtin import PLUGINS

    from .plugin_template import files_of

    if len(name) > MAX_NAME or not NAME_PATTERN.fullmatch(name):
        raise CliError(
            f"NAME: expected at most {MAX_NAME} small letters and digits, with - or _ between"
            f" them, beginning with a letter, got {name!r:.60}",
            USAGE,
        )
    if name in PLUGINS:
        raise CliError(
            f"NAME: expected another name than a built-in plugin's, got {name!r}: by that name"
            " yours would never be found",
            USAGE,
        )
    root = directory or Path(f"mixminus-{name}")
    try:
        root.mkdir(parents=True)
        for path, text in files_of(name).items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    except FileExistsError:
        raise CliError(f"{root} is there already: expected a new directory") from None
    except OSError as exc:
        raise CliError(f"cannot write {exc.filename}: {exc.strerror}") from None
    if as_json:
        print_json({"directory": str(root), "files": sorted(files_of(name))})
    else:
        print(f"made {root}. Next: cd {root} && pip install -e . && python -m pytest")


def run(
    name: PluginArgument,
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="wav, flac, ogg/opus, mp3, m4a or webm.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT.wav", help="What comes out: 16 kHz mono.")],
    settings: SetOption = None,
    on: OnOption = "inbound",
    all_events: Annotated[
        bool, typer.Option("--all-events", help="Print more than the first 20 events.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Run a plugin on a file, offline.

    It tells what the plugin said, and how long each frame took.

    OUT begins with IN's first sample; a plugin that is late ends so much later. Exits 1 when the
    plugin failed on a frame: such frames are in OUT as they came.

    Example: mixminus plugin run gain speech.mp3 louder.wav --set gain_db=12
    """
    from mixminus.media.pipeline import AudioFileError

    from .plugin_run import EventLines, run_on_file

    if out.suffix.lower() != ".wav":
        raise CliError(f"OUT: expected a name that ends in .wav, got {out}", USAGE)
    if out.exists() and source.exists() and out.samefile(source):
        raise CliError(f"OUT: expected another file than IN, got {out} for both", USAGE)
    config, stream = _config(settings), _stream(on)
    values: list[dict[str, Any]] = []
    with _one_line_errors(), progress_bar(name, None) as bar:
        lines = EventLines(bar.say, None if all_events else SHOWN_EVENTS)

        def note(at_s: float, event: str, value: Any) -> None:
            if as_json:
                values.append({"at": round(at_s, 2), "name": event, "value": value})
            else:
                lines.note(at_s, event, value)

        try:
            made = run_on_file(
                _resolve(name),
                config,
                stream,
                source,
                out,
                on_event=note,
                on_second=bar.advance_to,
            )
        except AudioFileError as exc:
            raise CliError(str(exc), FAILED if source.exists() else NOT_FOUND) from None
        except OSError as exc:
            raise CliError(f"cannot write {out}: {exc.strerror or exc}") from None
        lines.finish()
    if as_json:
        print_json({**made.as_json(), "values": values, "outFile": str(out)})
    else:
        print(made.timing())
        if made.is_truncated:
            print(f"{source} goes on past {made.seconds:.0f} s: the rest was left out")
        print(f"wrote {out}")
    if made.faults:
        raise CliError(f"{name} failed on {len(made.faults)} frames; {made.faults[0]}")
    return OK


def check(
    name: PluginArgument,
    settings: SetOption = None,
    on: OnOption = "inbound",
    as_json: JsonOption = False,
) -> int:
    """Check that a plugin keeps the contract.

    Exits 1 when it does not.

    Shape, silence, full scale, NaN, time, latency, a fresh start, two calls at once, events, and
    what it leaves behind. The same from pytest: mixminus.media.plugins.conformance.

    Example: mixminus plugin check ./my_plugin.py --set gain_db=3
    """
    from mixminus.media.plugins.conformance import check_conformance

    with _one_line_errors():
        findings = check_conformance(_resolve(name), _config(settings), stream=_stream(on))
    failed = sum(not finding.is_kept for finding in findings)
    if as_json:
        checks = [
            {"check": finding.check, "ok": finding.is_kept, "detail": finding.detail}
            for finding in findings
        ]
        print_json({"plugin": name, "ok": not failed, "checks": checks})
        return FAILED if failed else OK
    for finding, detail in zip(findings, _details(findings), strict=True):
        print(f"{'ok  ' if finding.is_kept else 'FAIL'}  {finding.check:<14}  {detail}")
    print(f"{name}: {len(findings) - failed} of {len(findings)} checks passed")
    return FAILED if failed else OK


def _details(findings: Sequence[Finding]) -> Iterator[str]:
    """Return each finding's detail; one that was said already is pointed to."""
    said: dict[str, str] = {}
    for finding in findings:
        if finding.is_kept:
            yield finding.detail
        elif finding.detail in said:
            yield f"the same as {said[finding.detail]}"
        else:
            said[finding.detail] = finding.check
            yield finding.detail


@contextmanager
def _one_line_errors() -> Iterator[None]:
    from mixminus.media.plugins.errors import PluginError

    try:
        yield
    except PluginError as exc:
        raise plugin_error(exc) from None


def _resolve(name: str) -> PluginFactory:
    import sys

    from mixminus.media.plugins.registry import resolve

    # As `python -m` has it: module:attr is looked for here as well.
    if "" not in sys.path:
        sys.path.insert(0, "")
    return resolve(name)


def _summary(name: str) -> str:
    import inspect

    from mixminus.media.plugins.errors import PluginError
    from mixminus.media.plugins.registry import resolve

    try:
        factory = resolve(name)
    except PluginError as exc:
        return f"cannot be used: {exc}"
    return _plain((inspect.getdoc(factory) or "").partition("\n")[0])


def _plain(docstring: str) -> str:
    """Return *docstring* as a terminal shows it: names without their double backticks."""
    return docstring.replace("``", "")


def _settings(factory: PluginFactory) -> Iterator[str]:
    import inspect

    from mixminus.media.plugins.values import keywords_of

    model = getattr(factory, "Config", None)
    if model is not None and hasattr(model, "model_json_schema"):
        schema = model.model_json_schema()
        for name, field in schema.get("properties", {}).items():
            yield _setting(name, field, is_required=name in schema.get("required", ()))
        return
    skip = 0 if inspect.isclass(factory) else 1
    for parameter in keywords_of(factory, skip=skip).values():
        yield str(parameter)


def _setting(name: str, field: dict[str, Any], *, is_required: bool) -> str:
    """Return one line on a setting: its default, what it may be, what it means."""
    limits = [
        f"{word} {field[key]}"
        for key, word in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "more than"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "less than"),
        )
        if key in field
    ]
    if "enum" in field:
        limits.append("one of " + ", ".join(json.dumps(value) for value in field["enum"]))
    default = "must be given" if is_required else f"default {json.dumps(field.get('default'))}"
    said = "; ".join(filter(None, (default, *limits, field.get("description"))))
    return f"{name}: {said}"


def _config(settings: list[str] | None) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for setting in settings or ():
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise CliError(f"--set: expected KEY=VALUE, got {setting!r:.80}", USAGE)
        try:
            config[key] = json.loads(text)
        except ValueError:
            config[key] = text
    return config


def _stream(on: str) -> Stream:
    from mixminus.media.plugins.contract import STREAMS

    for stream in STREAMS:
        if stream == on:
            return stream
    raise CliError(f"--on: expected one of {', '.join(STREAMS)}, got {on!r:.40}", USAGE)
