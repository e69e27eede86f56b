"""A caller's end of the RTC signalling. docs/rtc-signalling.md is the definition."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any, Final, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

BAD_TOKEN: Final = 4401
FIRST_REFUSAL: Final = 4400
"""Close codes from here on say that this device did something wrong; it would again."""
MAX_MESSAGE_BYTES: Final = 128 * 1024
OPEN_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0


class SignallingError(ConnectionError):
    """The signalling could not be reached, was lost, or said what it must not."""


class SignInError(SignallingError):
    """The service does not take this user's token."""


class SignallingLostError(SignallingError):
    """The connection is gone, not by a fault of ours: connecting again may help."""


class RtcSignalling:
    """A registered connection to a call service's ``rtcUrl``. Made by :meth:`register`.

    Thread: the loop's. One task receives at a time.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.user: dict[str, Any] = {}

    @classmethod
    async def register(cls, rtc_url: str, token: str, ssl_context: ssl.SSLContext) -> Self:
        """Connect and register as the user whose *token* it is.

        Raises: SignInError; SignallingError with one line saying what could not be done.
        """
        try:
            connection = await connect(
                rtc_url,
                ssl=ssl_context,
                compression=None,
                proxy=None,
                user_agent_header="mixminus",
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                max_size=MAX_MESSAGE_BYTES,
            )
        except (OSError, InvalidHandshake, InvalidURI) as exc:
            why = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
            raise SignallingError(f"cannot connect to {rtc_url}: {why}") from exc
        signalling = cls(connection)
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await signalling._sign_in(token)
        except TimeoutError:
            await signalling.close()
            raise SignallingError(f"{rtc_url} did not answer in time") from None
        except BaseException:
            await signalling.close()
            raise
        return signalling

    async def _sign_in(self, token: str) -> None:
        await self.send("register", token=token)
        message = await self.receive()
        if message["type"] != "registered":
            raise SignallingError(f"expected registered, got {message['type']}: {_said(message)}")
        user = message.get("user")
        self.user = user if isinstance(user, dict) else {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close the connection."""
        await self.close()

    async def send(self, kind: str, **fields: Any) -> None:
        """Send one message.

        Raises: SignallingLostError when the connection is gone; SignallingError when the service
                ended it for what was said.
        """
        try:
            await self._connection.send(json.dumps({"type": kind, **fields}))
        except ConnectionClosed as exc:
            raise _lost(exc) from exc

    async def receive(self) -> dict[str, Any]:
        """Wait for the next message; it has a ``type``.

        Raises: SignallingLostError when the connection is gone; SignallingError when the service
                ended it for what was said, or the message is none; SignInError when the service
                says that the token is no user's.
        """
        try:
            text = await self._connection.recv()
        except ConnectionClosed as exc:
            raise _lost(exc) from exc
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise SignallingError("expected a signalling message, JSON with a type")
        if message["type"] == "error" and message.get("code") == "badToken":
            raise SignInError(f"the call service does not let this user in: {_said(message)}")
        return message

    async def close(self) -> None:
        """Close the connection. Again is no error."""
        await self._connection.close()


def _said(message: dict[str, Any]) -> str:
    return str(message.get("message") or message.get("code") or "no reason given")


def _lost(exc: ConnectionClosed) -> SignallingError:
    if exc.rcvd is None:
        return SignallingLostError("the signalling connection was lost")
    if exc.rcvd.code == BAD_TOKEN:
        return SignInError("the call service does not let this user in")
    said = f"the call service closed the signalling with code {exc.rcvd.code}"
    refused = exc.rcvd.code >= FIRST_REFUSAL
    return SignallingError(f"{said} {exc.rcvd.reason}") if refused else SignallingLostError(said)
