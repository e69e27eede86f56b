"""Where media reach a call service of ours: options that ``service`` and ``serve`` share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

MediaPort = Annotated[
    int | None,
    typer.Option(min=0, max=65_535, help="The UDP port of all media; default: any free one."),
]
MediaPublicAddress = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS",
        help="What callers reach in place of this machine's own address (1:1 NAT); repeatable.",
    ),
]


def media_settings(port: int | None, public_address: list[str] | None) -> dict[str, Any]:
    """Return what was said as settings; the rest is the environment's to say, or the default."""
    media: dict[str, Any] = {}
    if port is not None:
        media["media_port"] = port
    if public_address:
        media["media_public_address"] = tuple(public_address)
    return media
