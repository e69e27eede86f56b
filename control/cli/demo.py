"""``mixminus demo``: a real call end to end on this machine, and the proof of its echo."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from .errors import FAILED, NOT_FOUND, CliError

if TYPE_CHECKING:
    from mixminus.control.demo.run import DemoOptions, DemoResult

Result = TypeVar("Result")

ROOT = Path(__file__).resolve().parents[2]


def register(app: typer.Typer) -> None:
    """Add ``demo``."""
    app.command()(demo)


def demo(
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="What John says: wav, flac, ogg/opus, mp3, m4a or webm. Looped when shorter.",
            show_default="a speech file of the repository",
        ),
    ] = None,
    duration_s: Annotated[
        float, typer.Option("--duration", min=3, max=86_400, help="Length of the call, seconds.")
    ] = 10.0,
    out_dir: Annotated[Path, typer.Option("--out", help="Where the results go.")] = Path(
        "demo-out"
    ),
    bot_file: Annotated[
        Path | None,
        typer.Option("--bot", help="The bot to call John.", show_default="examples/echo_bot.py"),
    ] = None,
) -> int:
    """Call John with an echo bot: call service, bot host and softphone in three processes.

    Writes OUT/echo.wav (what John heard), OUT/report.json and OUT/report.png, and prints a short
    table. Exits 1 if the echo is not there.

    Example: mixminus demo --input speech.wav --duration 30
    """
    from mixminus.control.demo.run import DemoOptions

    options = DemoOptions(
        input_file=existing(input_file or ROOT / "tests/data/speech.wav", "--input"),
        bot_file=existing(bot_file or ROOT / "examples/echo_bot.py", "--bot"),
        duration_s=duration_s,
        out_dir=out_dir,
    )
    result = carry_out(options)
    write_results(options, result)
    return FAILED if result.report.failures else 0


def existing(path: Path, option: str) -> Path:
    """Return *path* when it is a file, else say in one line which option was meant."""
    if not path.is_file():
        raise CliError(f"{option}: no file {path}", NOT_FOUND)
    return path


def carry_out(options: DemoOptions) -> DemoResult:
    """Run the demo with a progress bar on a terminal, and a line a step elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from mixminus.control.demo.processes import DemoError
    from mixminus.control.demo.run import run_demo
    from mixminus.media.pipeline import AudioFileError

    console = Console(stderr=True)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    said = ""

    def progress(what: str, share: float) -> None:
        nonlocal said
        bar.update(task, description=what, completed=share)
        if what != said and not console.is_terminal:
            console.print(what)
        said = what

    with bar:
        task = bar.add_task("", total=1.0)
        try:
            return asyncio.run(until_terminated(run_demo(options, progress)))
        except (DemoError, AudioFileError) as error:
            raise CliError(str(error)) from error
        except OSError as error:
            if error.filename is None:
                raise
            raise CliError(f"cannot write {error.filename}: {error.strerror}") from None
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


async def until_terminated(work: Coroutine[Any, Any, Result]) -> Result:
    """Await *work*; SIGTERM ends it as Ctrl-C does: what it started must not outlive it."""
    running = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    return await running


def write_results(options: DemoOptions, result: DemoResult) -> None:
    """Write report.json and report.png, and print the table."""
    import sys

    from rich.console import Console

    from mixminus.control.demo.picture import save_picture
    from mixminus.control.demo.report import print_report

    report, out = result.report, options.out_dir
    (out / "report.json").write_text(json.dumps(report.as_json(), indent=2) + "\n")
    processes = {"service": report.service, "host": report.host, "softphone": report.softphone}
    lateness = {name: stats.get("latenessUs", []) for name, stats in processes.items()}
    verdict = "proven" if not report.failures else "not there"
    save_picture(
        out / "report.png",
        result.played,
        result.heard,
        report.echo,
        lateness,
        f"echo {verdict}: {options.input_file.name}, {options.duration_s:g} s",
    )
    if report.looped:
        print(f"{report.input_name} lasts {report.input_s:.1f} s: it was looped")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    print_report(report, console)
    for name in ("echo.wav", "report.json", "report.png"):
        console.print(f"wrote {out / name}")
