"""A telephone's parts in the browser: what the phone page and the console share.

Plain ES modules without a build step: `telephone.js` puts line, calls and sound together and knows
no page; the others are its parts. The phone page (`mixminus.control.service.page`) and the console
serve them, each under an address of its own, and bring what is seen.
"""

from __future__ import annotations

from importlib.resources import files


def modules() -> dict[str, bytes]:
    """Read each module; return the contents by file name. Keep what it returns."""
    return {
        entry.name: entry.read_bytes()
        for entry in files(__package__).joinpath("static").iterdir()
        if entry.name.endswith(".js")
    }
