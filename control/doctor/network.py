"""One HTTPS request, and what became of it in words; for threads that nobody has to wait for."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import httpx2

from ..tls import client_context

TIMEOUT: Final = httpx2.Timeout(4.0)
MOST_BYTES: Final = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, or why it did not: then ``status`` is 0.

    The times are Unix's, before the request and after the answer's head.
    """

    url: str
    status: int
    problem: str = ""
    date: str = ""
    asked_s: float = 0.0
    answered_s: float = 0.0
    body: bytes = b""

    @property
    def came(self) -> bool:
        """Whether there was an answer, whatever it says."""
        return self.status != 0


def ask(
    url: str,
    ca_file: Path | None,
    headers: Mapping[str, str] | None = None,
    *,
    system_roots: bool = False,
) -> Answer:
    """GET *url* once; *ca_file* vouches for the server, or the machine's roots, or both.

    Thread: any but a loop's.
    """
    asked_s = time.time()
    try:
        context = client_context(ca_file, system_roots=system_roots)
        with (
            httpx2.Client(verify=context, trust_env=False, timeout=TIMEOUT) as client,
            client.stream("GET", url, headers=dict(headers or {})) as response,
        ):
            answered_s = time.time()
            body = b""
            for part in response.iter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    break
            date = response.headers.get("Date", "")
            return Answer(url, response.status_code, "", date, asked_s, answered_s, body)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        return Answer(url, 0, why_unreachable(error))


def why_unreachable(error: BaseException) -> str:
    """Say in words why there was no answer: the cause at the end of the chain, as far as known."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for one in chain:
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {one.verify_message}"
        if isinstance(one, ssl.SSLError):
            return f"TLS failed: {one.reason or one}"
        if isinstance(one, socket.gaierror):
            return "its name cannot be resolved: offline, or DNS does not work"
        if isinstance(one, ConnectionRefusedError):
            return "nothing listens there"
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        return "no answer in time: offline, or a firewall drops it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


async def in_own_thread(work: Callable[[], T], seconds: float) -> T:
    """Run *work*, which may block for as long as it likes, and wait for it so many seconds.

    Raises: TimeoutError; and what *work* raises. After that nobody waits for its thread, neither
    this loop nor the end of the process: resolving a name cannot be cut short.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # T, when there is no error.

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as exc:
            error = exc
        # A loop that is closed already has nobody who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="doctor", daemon=True).start()
    return await asyncio.wait_for(done, seconds)
