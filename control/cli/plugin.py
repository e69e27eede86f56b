"""``mixminus plugin``: find, make, try and check audio plugins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .errors import FAILED, NOT_FOUND, USAGE, CliError, plugin_error

if TYPE_CHECKING:
    from mixminus.media.plugins.contract import PluginFactory, Stream

NAME_PATTERN: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
MAX_NAME: Final = 40
SHOWN_EVENTS: Final = 20
FRAME_S: Final = 0.02

PluginArgument = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A plugin's name, module:attr, or path.py[:attr]."),
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
    group = typer.Typer(help="Find, make, try and check audio plugins.", add_completion=False)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("new")(new)
    group.command("run")(run)
    group.command("check")(check)
    app.add_typer(group, name="plugin")


def list_() -> None:
    """List the plugins that have a name: built in, or of an installed package."""
    from rich.console import Console
    from rich.table import Table

    from mixminus.media.plugins.registry import list_plugins

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "from", "what it does"):
        table.add_column(heading)
    for info in list_plugins():
        table.add_row(info.name, info.origin, _summary(info.name))
    Console(highlight=False, soft_wrap=True).print(table)


def show(name: PluginArgument) -> None:
    """Show what a plugin does and its settings."""
    import inspect

    with _one_line_errors():
        factory = _resolve(name)
    print(_plain(inspect.getdoc(factory) or "It has no docstring."))
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
) -> None:
    """Make a package with one plugin, its settings, and a test that passes."""
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
) -> int:
    """Run a plugin on a file, offline, and tell what it said and how long each frame took.

    OUT begins with IN's first sample; a plugin that is late ends so much later. Exits 1 when the
    plugin failed on a frame: such frames are in OUT as they came.

    Example: mixminus plugin run gain speech.mp3 louder.wav --set gain_db=12
    """
    from mixminus.media.pipeline import AudioFileError

    if out.suffix.lower() != ".wav":
        raise CliError(f"OUT: expected a name that ends in .wav, got {out}", USAGE)
    if out.exists() and source.exists() and out.samefile(source):
        raise CliError(f"OUT: expected another file than IN, got {out} for both", USAGE)
    with _one_line_errors():
        try:
            return _run(name, source, out, _config(settings), _stream(on), all_events)
        except AudioFileError as exc:
            raise CliError(str(exc), FAILED if source.exists() else NOT_FOUND) from None
        except OSError as exc:
            raise CliError(f"cannot write {out}: {exc.strerror or exc}") from None


def check(name: PluginArgument, settings: SetOption = None, on: OnOption = "inbound") -> int:
    """Check that a plugin keeps the contract; exits 1 when it does not.

    Shape, silence, full scale, NaN, time, latency, a fresh start, two calls at once, events, and
    what it leaves behind. The same from pytest: mixminus.media.plugins.conformance.
    """
    from mixminus.media.plugins.conformance import check_conformance

    with _one_line_errors():
        findings = check_conformance(_resolve(name), _config(settings), stream=_stream(on))
    for finding in findings:
        print(f"{'ok  ' if finding.is_kept else 'FAIL'}  {finding.check:<14}  {finding.detail}")
    failed = sum(not finding.is_kept for finding in findings)
    print(f"{name}: {len(findings) - failed} of {len(findings)} checks passed")
    return FAILED if failed else 0


def _run(
    name: str,
    source: Path,
    out: Path,
    config: dict[str, Any],
    stream: Stream,
    all_events: bool,
) -> int:
    from itertools import chain
    from time import perf_counter_ns

    from mixminus.media.pcm import FRAME_SAMPLES, FRAME_TICKS, AudioFrame
    from mixminus.media.pipeline import WavWriter, open_audio
    from mixminus.media.plugins.offline import OfflinePlugin, PluginFaultError
    from mixminus.media.plugins.probes import silence

    events = _Events(all_events)
    faults: list[str] = []
    times_ns: list[int] = []
    plugin = OfflinePlugin(_resolve(name), config, stream=stream, on_value=events.note)
    with open_audio(source) as decoder, plugin, WavWriter(out) as writer:
        tail = (silence(1) for _ in range(-(-plugin.latency_samples // FRAME_SAMPLES)))
        for index, pcm in enumerate(chain(decoder, tail)):
            events.frame = index
            frame = AudioFrame.of(pcm, index * FRAME_TICKS)
            began_ns = perf_counter_ns()
            try:
                made = plugin.process(frame)
            except PluginFaultError as exc:
                # As in a call: this frame goes past the plugin.
                faults.append(f"the frame at {index * FRAME_S:.2f} s: {exc}")
                made = frame
            times_ns.append(perf_counter_ns() - began_ns)
            writer.write(made)
    events.finish()
    print(_timing(times_ns, plugin.own_times_ns))
    if decoder.truncated:
        print(f"{source} goes on past {len(times_ns) * FRAME_S:.0f} s: the rest was left out")
    print(f"wrote {out}")
    if faults:
        raise CliError(f"{name} failed on {len(faults)} frames; {faults[0]}")
    return 0


class _Events:
    """Prints what a plugin tells, with the time in the file."""

    def __init__(self, is_all: bool) -> None:
        self.frame = 0
        self._is_all = is_all
        self._count = 0

    def note(self, name: str, value: Any) -> None:
        """Take one event. Thread: any."""
        self._count += 1
        if self._is_all or self._count <= SHOWN_EVENTS:
            print(f"{self.frame * FRAME_S:9.2f} s  {name}  {json.dumps(value, default=str)}")

    def finish(self) -> None:
        """Say how much was not printed."""
        if not self._is_all and self._count > SHOWN_EVENTS:
            print(f"... and {self._count - SHOWN_EVENTS} more events (--all-events)")


def _timing(times_ns: list[int], own_times_ns: list[int]) -> str:
    import numpy as np

    from mixminus.media.plugins.contract import BUDGET_MS

    times_ms, own_ms = np.array(times_ns) / 1e6, np.array(own_times_ns) / 1e6
    p50, p99, longest = (*np.percentile(times_ms, (50, 99)), times_ms.max())
    share = times_ms.sum() / (1000.0 * FRAME_S * times_ms.size)
    over = int(np.count_nonzero(own_ms > BUDGET_MS))
    return (
        f"{times_ms.size} frames of 20 ms: p50 {p50:.3f} ms, p99 {p99:.3f} ms, max {longest:.3f} ms"
        f" a frame; real-time factor {share:.4f} ({1 / share:.0f} times as fast as a call);"
        f" {over} took more than {BUDGET_MS:g} ms of their own"
    )


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
