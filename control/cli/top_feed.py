"""The console's live WebSocket, for ``mixminus top``. The console's page is its other reader."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit, urlunsplit

from .errors import AUTH, CliError

if TYPE_CHECKING:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import ClientConnection

    from ..console.consolefile import ConsoleFile

Json = dict[str, Any]

OPEN_TIMEOUT_S: Final = 5.0
MAX_MESSAGE_BYTES: Final = 8 * 2**20
"""A snapshot of 500 calls with 100 events is far below."""
REFUSED: Final = 4401


class FeedLostError(Exception):
    """The connection is gone, or never was: the process may be starting anew."""


class Feed:
    """One connection to a running console. Made by :meth:`open`; leave it to close it."""

    def __init__(self, socket: ClientConnection, url: str) -> None:
        self._socket, self._url = socket, url

    @classmethod
    def open(cls, file: ConsoleFile) -> Self:
        """Connect and sign in.

        Raises: FeedLostError when nobody answers; CliError when the token is not taken.
        """
        from websockets.exceptions import InvalidHandshake, InvalidMessage
        from websockets.sync.client import connect

        from ..tls import client_context

        parts = urlsplit(file.url)
        is_tls = parts.scheme == "https"
        url = urlunsplit(("wss" if is_tls else "ws", parts.netloc, "/console/api/live", "", ""))
        try:
            socket = connect(
                url,
                ssl=client_context(file.ca_file) if is_tls else None,
                compression=None,
                proxy=None,
                user_agent_header="mixminus",
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=1.0,
                max_size=MAX_MESSAGE_BYTES,
            )
        except (OSError, InvalidHandshake, InvalidMessage) as exc:
            why = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
            raise FeedLostError(f"no console answers at {file.url}: {why}") from None
        feed = cls(socket, file.url)
        feed._send({"type": "hello", "token": file.token})
        feed._send({"type": "watch", "calls": "all", "detail": None})
        return feed

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection. Again is no error."""
        self._socket.close()

    def receive(self, timeout_s: float) -> Json | None:
        """Return the next message; None when none came in that time.

        Raises: FeedLostError; CliError when the console does not let us in.
        """
        from websockets.exceptions import ConnectionClosed

        try:
            message = json.loads(self._socket.recv(timeout_s))
        except TimeoutError:
            return None
        except ConnectionClosed as exc:
            raise self._lost(exc) from None
        except ValueError:
            raise FeedLostError(f"{self._url} sends no JSON") from None
        if not isinstance(message, dict) or "type" not in message:
            raise FeedLostError(f"{self._url} sends what is not the console's")
        return message

    def _send(self, message: Json) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            self._socket.send(json.dumps(message))
        except ConnectionClosed as exc:
            raise self._lost(exc) from None

    def _lost(self, exc: ConnectionClosed) -> FeedLostError | CliError:
        code = None if exc.rcvd is None else exc.rcvd.code
        if code == REFUSED:
            return CliError(f"{self._url} does not take the token of console.json", AUTH)
        said = "" if exc.rcvd is None else exc.rcvd.reason
        return FeedLostError(f"{self._url} closed the connection" + (f": {said}" if said else ""))


class SteadyFeed:
    """A feed that is opened again when it is lost; ``note`` says so in the meantime.

    Entering opens it for the first time, and raises what keeps it from that. *load* finds the
    console: one that starts anew has another address and another token.
    """

    def __init__(self, load: Callable[[], ConsoleFile]) -> None:
        self.note = ""
        self._load = load
        self._feed: Feed | None = None

    def __enter__(self) -> Self:
        """Open it. Raises: CliError."""
        try:
            self._feed = Feed.open(self._load())
        except FeedLostError as exc:
            raise CliError(f"{exc}: does it still run?") from None
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self._drop()

    def receive_for(self, seconds: float) -> Iterator[Json]:
        """Yield what comes in that time."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            try:
                if self._feed is None:
                    self._feed = Feed.open(self._load())
                    self.note = ""
                message = self._feed.receive(left_s)
            except (FeedLostError, CliError) as exc:
                self._drop()
                self.note = f"{exc}; trying again"
                time.sleep(left_s)
                continue
            if message is not None:
                yield message

    def _drop(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()
