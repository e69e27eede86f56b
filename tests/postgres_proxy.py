"""Stands between a store and its PostgreSQL: loses answers, or says nothing at all."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536


class Proxy:
    """Passes bytes on, on a loopback port; as a context manager. Faults are set from any thread.

    ``lose_commit`` "before" breaks the connection when a COMMIT comes, which the server then does
    not get; "after": once the server has answered, which the client then does not hear. Either
    happens once. ``mute`` keeps all that the server says back, as a server that hangs.
    """

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.lose_commit: str | None = None
        self.mute = threading.Event()
        self.refuse = threading.Event()
        self.lost = 0

    @property
    def port(self) -> int:
        """Where the store is to connect to."""
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in tuple(self._sockets):
            _break(one)
        for thread in tuple(self._threads):
            thread.join(10)
            assert not thread.is_alive()
        for one in self._sockets:
            one.close()

    def _start(self, work: object, *arguments: object) -> None:
        assert callable(work)
        thread = threading.Thread(target=work, args=arguments, name="postgres proxy")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # Closed: the end.
                return
            if self.refuse.is_set():
                client.close()
                continue
            server = socket.create_connection(self._to)
            self._sockets += [client, server]
            pair = _Pair(client, server)
            self._start(self._to_server, pair)
            self._start(self._to_client, pair)

    def _to_server(self, pair: _Pair) -> None:
        while data := _read(pair.client):
            if b"COMMIT" in data and self.lose_commit is not None:
                self.lost += 1
                if self.lose_commit == "before":
                    self.lose_commit = None
                    break
                self.lose_commit = None
                pair.loses_answer = True
            _write(pair.server, data)
        pair.end()

    def _to_client(self, pair: _Pair) -> None:
        while data := _read(pair.server):
            if pair.loses_answer:
                break
            if not self.mute.is_set():
                _write(pair.client, data)
        pair.end()


class _Pair:
    """The two connections of one client."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.loses_answer = False

    def end(self) -> None:
        _break(self.client)
        _break(self.server)


def _read(one: socket.socket) -> bytes:
    try:
        return one.recv(CHUNK_BYTES)
    except OSError:  # Broken: the end, as a close.
        return b""


def _write(one: socket.socket, data: bytes) -> None:
    try:
        one.sendall(data)
    except OSError:  # The reader of this pair sees the same end.
        return


def _break(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:  # Broken already.
        return
