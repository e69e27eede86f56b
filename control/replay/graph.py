"""The service's answers of a capture, given again to the same requests."""

from __future__ import annotations

import base64
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..client.requests import GraphClient, GraphRequestError, GraphResponse

log = logging.getLogger("mixminus.control.replay")

NOT_CAPTURED: Final = "notInTheCapture"
MAX_REMEMBERED: Final = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the bot's, and whether the capture had an answer to it."""

    method: str
    path: str
    was_answered: bool


class ReplayGraph(GraphClient):
    """Answers requests with what the service said to them when the call was captured.

    A request that was not made then is refused with 501, told in :attr:`asked`; keepAlive and a
    hang-up are taken.
    """

    def __init__(self, exchanges: Iterable[Mapping[str, Any]]) -> None:
        self._root = "https://replay.invalid"
        self._answers: dict[tuple[str, str], deque[Mapping[str, Any]]] = {}
        self.asked: deque[Asked] = deque(maxlen=MAX_REMEMBERED)
        for exchange in exchanges:
            key = (str(exchange.get("method")), _plain(str(exchange.get("path"))))
            self._answers.setdefault(key, deque()).append(exchange)

    def is_here(self, url: str) -> bool:
        """Say yes: what the capture has no answer to goes nowhere."""
        return True

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        tenant_id: str | None = None,
        is_repeatable: bool | None = None,
        scenario_id: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> GraphResponse:
        """Answer as the service did. Raises: GraphRequestError as it did, or 501."""
        path = path.removeprefix(self._root)
        is_taken = method == "DELETE" or path.endswith("/keepAlive")
        answer = self._take(method, path, is_taken=is_taken)
        if answer is None:
            if is_taken:
                return GraphResponse(204, None, {})
            raise GraphRequestError(501, NOT_CAPTURED, f"{method} {path} is not in the capture")
        status = int(answer.get("status", 500))
        error = answer.get("error")
        if isinstance(error, Mapping):
            code, message = str(error.get("code", "")), str(error.get("message", ""))
            raise GraphRequestError(status, code, message)
        return GraphResponse(status, answer.get("body"), {})

    async def fetch(self, url: str, bearer: str, *, limit_bytes: int) -> bytes:
        """Return the clip that was fetched then. Raises: GraphRequestError."""
        answer = self._take("GET", url)
        if answer is None or not isinstance(answer.get("content"), str):
            raise GraphRequestError(501, NOT_CAPTURED, f"{url} is not in the capture")
        return base64.b64decode(answer["content"])

    async def close(self) -> None:
        """Do nothing."""

    def _take(self, method: str, path: str, *, is_taken: bool = False) -> Mapping[str, Any] | None:
        answers = self._answers.get((method, _plain(path)))
        # Asked more often than then: as it was the last time, which for a GET is the truth.
        again = method == "GET" and answers is not None and len(answers) == 1
        answer = None if not answers else (answers[0] if again else answers.popleft())
        self.asked.append(Asked(method, path, is_taken or answer is not None))
        if answer is None and not is_taken:
            log.warning("%s %s is not in the capture", method, path)
        return answer


def _plain(path: str) -> str:
    """Return *path* as it compares: without the version, without case."""
    return path.casefold().removeprefix("/v1.0").removeprefix("/beta")
