"""``mixminus demo``: a real call end to end on this machine, and the proof of its echo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import FAILED, NOT_FOUND, OK, CliError
from .output import JsonOption, print_json

if TYPE_CHECKING:
    from mixminus.control.demo.run import DemoOptions, DemoResult


def register(app: typer.Typer) -> None:
    """Add ``demo``."""
    app.command()(demo)


def demo(
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="What John says: wav, flac, ogg/opus, mp3, m4a or webm. Looped when shorter.",
            show_default="three sentences of ours",
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
        typer.Option("--bot", help="The bot to call John.", show_default="an echo bot"),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Call John with an echo bot, and prove the echo.

    Call service, bot host and softphone run in three processes of this machine.

    Writes OUT/echo.wav (what John heard), OUT/report.json and OUT/report.png, and prints a short
    table. Exits 1 if the echo is not there.

    Example: mixminus demo --input speech.wav --duration 30
    """
    from mixminus.control.demo.files import CALLING_BOT, SPEECH
    from mixminus.control.demo.run import DemoOptions

    options = DemoOptions(
        input_file=existing(input_file or SPEECH, "--input"),
        bot_file=existing(bot_file or CALLING_BOT, "--bot"),
        duration_s=duration_s,
        out_dir=out_dir,
    )
    result = carry_out(options)
    write_results(options, result)
    if as_json:
        print_json(result.report.as_json())
    else:
        print_results(options, result)
    return FAILED if result.report.failures else OK


def existing(path: Path, option: str) -> Path:
    """Return *path* when it is a file, else say in one line which option was meant."""
    if not path.is_file():
        raise CliError(f"{option}: no file {path}", NOT_FOUND)
    return path


def carry_out(options: DemoOptions) -> DemoResult:
    """Run the demo with a progress bar on a terminal, and a line a step elsewhere."""
    import asyncio

    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from mixminus.control.demo.processes import DemoError
    from mixminus.control.demo.run import run_demo
    from mixminus.media.pipeline import AudioFileError

    from .running import until_terminated

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


def write_results(options: DemoOptions, result: DemoResult) -> None:
    """Write report.json and report.png; echo.wav is there already."""
    from mixminus.control.demo.picture import save_picture

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


def print_results(options: DemoOptions, result: DemoResult) -> None:
    """Print the tables and the verdict, and what was written."""
    import sys

    from rich.console import Console

    from mixminus.control.demo.report import print_report

    report = result.report
    if report.looped:
        print(f"{report.input_name} lasts {report.input_s:.1f} s: it was looped")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    print_report(report, console)
    for name in ("echo.wav", "report.json", "report.png"):
        console.print(f"wrote {options.out_dir / name}")
