"""Requests to Graph and their answers, for the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from ..journal import Journal
from ..journal_titles import call_of_path, request_title

MAX_BODY_BYTES: Final = 16 * 1024
"""A longer answer is left out."""


def note_exchange(
    journal: Journal,
    method: str,
    url: str,
    body: Any,
    response: httpx2.Response | None,
    took_ms: float,
) -> None:
    """Write down one attempt; no *response* is none that came. Headers are never kept."""
    path = urlsplit(url).path
    answer = None if response is None else _answer(response)
    call_id = call_of_path(path)
    if call_id is None and path.endswith("/calls") and isinstance(answer, Mapping):
        created = answer.get("id")
        call_id = created if isinstance(created, str) else None
    bodies = {"request": body, "response": answer}
    journal.record(
        "request",
        call_id,
        request_title(method, path, None if response is None else response.status_code, took_ms),
        {name: value for name, value in bodies.items() if value is not None} or None,
        direction="out",
    )


def _answer(response: httpx2.Response) -> Any:
    if not response.content:
        return None
    if len(response.content) <= MAX_BODY_BYTES:
        try:
            return response.json()
        except ValueError:
            pass  # Said below: what is no JSON is not shown, for nobody could take secrets out.
    return {"leftOut": f"{len(response.content)} bytes"}
