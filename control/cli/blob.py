"""``mixminus blob``: build and read the blob of an appHostedMediaConfig."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from .errors import FAILED, NOT_FOUND, CliError
from .output import print_json

MAX_INPUT_BYTES = 1 << 20
"""Larger than any create-call body the service accepts (256 kB)."""


def register(app: typer.Typer) -> None:
    """Add the ``blob`` commands."""
    group = typer.Typer(
        help="Build and read appHostedMediaConfig blobs.",
        add_completion=False,
        no_args_is_help=True,
    )
    group.command("build")(build)
    group.command("show")(show)
    app.add_typer(group, name="blob")


def build(
    mp_uri: Annotated[str, typer.Option(help="Where the call service shall connect to.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the appHostedMediaConfig that it goes in.")
    ] = False,
) -> None:
    """Print a new blob with fresh ids and a fresh secret.

    Treat it as a password.

    Example: mixminus blob build --mp-uri wss://bot.example.com:9441/media
    """
    from mixminus.media.descriptor import DescriptorError, MediaSessionDescriptor

    try:
        blob = MediaSessionDescriptor.new(mp_uri).to_blob()
    except DescriptorError as exc:
        raise CliError(str(exc)) from None
    if as_json:
        print_json({"@odata.type": "#microsoft.graph.appHostedMediaConfig", "blob": blob})
    else:
        print(blob)


def show(
    source: Annotated[
        str, typer.Argument(metavar="[FILE]", help="A file, or - for standard input.")
    ] = "-",
    reveal: Annotated[bool, typer.Option("--reveal", help="Print the secret too.")] = False,
    _: Annotated[bool, typer.Option("--json", help="As without it: a blob is JSON.")] = False,
) -> None:
    """Print a blob member by member, its secret redacted.

    Takes the blob itself, the blob as a JSON text (as documentation prints it), or a call's JSON.

    Example: mixminus blob show call.json

    Example: mixminus blob build --mp-uri wss://bot.example.com:9441/media | mixminus blob show
    """
    from mixminus.media.descriptor import DescriptorError, MediaSessionDescriptor

    try:
        descriptor = MediaSessionDescriptor.from_blob(_unwrap(_read(source)))
    except DescriptorError as exc:
        raise CliError(str(exc)) from None
    text = descriptor.to_blob() if reveal else descriptor.redacted()
    print_json(json.loads(text))


def _read(source: str) -> str:
    try:
        if source == "-":
            raw = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                raw = file.read(MAX_INPUT_BYTES + 1)
    except FileNotFoundError:
        raise CliError(f"no such file: {source}", NOT_FOUND) from None
    except OSError as exc:
        raise CliError(f"cannot read {source}: {exc.strerror}") from None
    if len(raw) > MAX_INPUT_BYTES:
        raise CliError(f"{source}: expected at most {MAX_INPUT_BYTES} bytes", FAILED)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise CliError("the blob is not JSON: it is not UTF-8 text") from None


def _unwrap(text: str) -> str:
    """Find the blob in *text*; what is not understood is returned for the parser to judge."""
    text = text.strip()
    candidate = f'"{text}"' if text.startswith('{\\"') else text
    try:
        value = json.loads(candidate)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, dict) and isinstance(value.get("mediaConfig"), dict):
        value = value["mediaConfig"]
    if isinstance(value, dict) and "blob" in value:
        value = value["blob"]
    return value if isinstance(value, str) else text
