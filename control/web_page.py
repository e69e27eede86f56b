"""Pages for browsers: their files, and the headers that keep other pages out of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources.abc import Traversable
from typing import Final

from starlette.responses import Response

TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "woff2": "font/woff2",
}
"""What is served, by how its name ends; nothing else is."""

_POLICY: Final = {
    # Nothing but our own files; no inline script or style, no form that leaves the page.
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}


def page_headers(further_policy: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the headers of a page and all its files.

    *further_policy* adds to the content security policy, or replaces, by directive.
    """
    policy = {**_POLICY, **(further_policy or {})}
    return {
        "Content-Security-Policy": "; ".join(f"{name} {what}" for name, what in policy.items()),
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), display-capture=()",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def read_files(folder: Traversable) -> dict[str, bytes]:
    """Return the contents of all files of known types below *folder*, by their path in it."""
    return dict(_walk(folder, ""))


def file_response(name: str, content: bytes, headers: Mapping[str, str]) -> Response:
    """Return a file of a page; *name* ends as one of :data:`TYPES`."""
    return Response(content, 200, dict(headers), TYPES[_ending(name)])


def no_such_file(headers: Mapping[str, str]) -> Response:
    """Say that there is no file of that name."""
    return Response("expected a file of the page", 404, dict(headers), "text/plain")


def _walk(folder: Traversable, before: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{before}{entry.name}/")
        elif _ending(entry.name) in TYPES:
            yield before + entry.name, entry.read_bytes()


def _ending(name: str) -> str:
    return name.rpartition(".")[2]
