"""Hears on a connection of its own what hosts tell each other through PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

import psycopg

from .address import Address

log = logging.getLogger("mixminus.control.store")

CHANNEL: Final = "mixminus_hosts"
EVERYBODY: Final = ""
"""What is told to all; else the name of the instance that is meant."""
_LISTEN: Final = b"LISTEN mixminus_hosts"
FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 2.0


class Listener:
    """Calls *wake* when this instance is told something. Thread: the loop's.

    It listens again after the connection was lost, and then wakes once: something may have been
    told meanwhile.
    """

    def __init__(self, address: Address, instance: str, wake: Callable[[], None]) -> None:
        self._address, self._instance, self._wake = address, instance, wake
        self._task = asyncio.get_running_loop().create_task(self._work(), name="store listener")
        self.is_listening = asyncio.Event()
        """Set while what is told is heard."""

    async def close(self) -> None:
        """Hear nothing more. Again is no error."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            try:
                await self._listen()
            except psycopg.Error as error:
                if self.is_listening.is_set():
                    wait_s = FIRST_WAIT_S
                    log.info("the store does not tell anything: %s", self._address.clean(error))
            self.is_listening.clear()
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _listen(self) -> None:
        """Listen until the connection is lost. Raises: psycopg.Error."""
        parameters = self._address.with_name("listens")
        connection = await psycopg.AsyncConnection.connect(**parameters, autocommit=True)
        async with connection:
            await connection.execute(_LISTEN)
            self.is_listening.set()
            self._wake()
            async for told in connection.notifies():
                if told.payload in (EVERYBODY, self._instance):
                    self._wake()
