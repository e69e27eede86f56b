"""A softphone's line to the call service: registered, and again when the connection was lost."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Self

from ..rtc_client import RtcSignalling, SignallingError, SignallingLostError, SignInError
from .options import OnEvent, SoftphoneOptions

LOST: Final = "(lost)"
"""The type of the message that stands for the loss of the connection."""

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0


class Line:
    """Signalling that outlives its connections. Made by :meth:`open`.

    Thread: the loop's. One task receives at a time; others may send.
    """

    def __init__(
        self, signalling: RtcSignalling, options: SoftphoneOptions, on_event: OnEvent
    ) -> None:
        self._signalling, self._options, self._on_event = signalling, options, on_event
        self._loss: SignallingLostError | None = None

    @classmethod
    async def open(cls, options: SoftphoneOptions, on_event: OnEvent) -> Self:
        """Connect and register.

        Raises: SignInError; SignallingError.
        """
        return cls(await _register(options), options, on_event)

    @property
    def user(self) -> dict[str, Any]:
        """Whose line it is, as the service says."""
        return self._signalling.user

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close the connection."""
        await self.close()

    async def send(self, kind: str, **fields: Any) -> None:
        """Send one message; members that are None are left out.

        Raises: SignallingError when there is no connection now.
        """
        given = {key: value for key, value in fields.items() if value is not None}
        await self._signalling.send(kind, **given)

    async def receive(self) -> dict[str, Any]:
        """Wait for the next message; a loss comes as one too, the new connection as `registered`.

        Raises: SignInError; SignallingError when the connection does not come back in time, or the
                service ended it for what was said.
        """
        if self._loss is not None:
            return await self._reconnect(self._loss)
        try:
            return await self._signalling.receive()
        except SignallingLostError as exc:
            self._loss = exc
            self._on_event("signallingLost", {"message": str(exc)})
            return {"type": LOST}

    async def close(self) -> None:
        """Close the connection. Again is no error."""
        await self._signalling.close()

    async def _reconnect(self, loss: SignallingLostError) -> dict[str, Any]:
        await self._signalling.close()
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._options.reconnect_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                self._signalling = await _register(self._options)
            except SignInError:
                raise
            except SignallingError as exc:
                if loop.time() + pause_s > deadline_s:
                    raise SignallingError(f"{loss}; {exc}") from exc
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                self._loss = None
                return {"type": "registered", "user": self._signalling.user}


async def _register(options: SoftphoneOptions) -> RtcSignalling:
    return await RtcSignalling.register(options.rtc_url, options.token, options.ssl_context)
