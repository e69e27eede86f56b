"""The devices that callers registered, and which of them ring."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class Device(Protocol):
    """A registered softphone: a browser, a program. Gets messages without waiting."""

    @property
    def number(self) -> int:
        """What tells this device from all others of this run."""

    @property
    def user_id(self) -> str:
        """Whose it is."""

    @property
    def user_agent(self) -> str | None:
        """What it calls itself, for the call record."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message, in order; a device that takes none is dropped by its own socket."""


@dataclass(slots=True)
class _Ringing:
    user_id: str
    message: dict[str, Any]
    devices: set[int] = field(default_factory=set)


class Switchboard:
    """Rings all devices of a user, and those that come while it rings.

    What rings has an id of its own: one call may ring several users.
    """

    def __init__(self) -> None:
        self._devices: dict[int, Device] = {}
        self._ringing: dict[str, _Ringing] = {}
        self.on_device_gone: Callable[[Device], None] = lambda device: None

    def device(self, number: int | None) -> Device | None:
        """Return the registered device of that number."""
        return None if number is None else self._devices.get(number)

    @property
    def devices(self) -> int:
        """How many devices are registered now."""
        return len(self._devices)

    @property
    def user_ids(self) -> set[str]:
        """Who has a device that is registered now."""
        return {device.user_id for device in self._devices.values()}

    def register(self, device: Device) -> None:
        """Take a device in, and ring it when its user is being called."""
        self._devices[device.number] = device
        for ringing in self._ringing.values():
            self._ring_device(ringing, device)

    def unregister(self, device: Device) -> None:
        """Forget a device. Again is no error."""
        if self._devices.pop(device.number, None) is not None:
            for ringing in self._ringing.values():
                ringing.devices.discard(device.number)
            self.on_device_gone(device)

    def ring(self, ring_id: str, user_id: str, message: dict[str, Any]) -> None:
        """Ring all devices of *user_id* with *message*, which names its ``callId``."""
        ringing = self._ringing.setdefault(ring_id, _Ringing(user_id, message))
        for device in self._devices.values():
            self._ring_device(ringing, device)

    def is_ringing(self, ring_id: str, device: Device) -> bool:
        """Say whether *device* was rung for what still rings."""
        ringing = self._ringing.get(ring_id)
        return ringing is not None and device.number in ringing.devices

    def has_rung(self, ring_id: str) -> bool:
        """Say whether any device rings now."""
        ringing = self._ringing.get(ring_id)
        return ringing is not None and bool(ringing.devices)

    def stop(self, ring_id: str, reason: str, answered_by: int | None) -> None:
        """Stop ringing; tell all devices that rang but the one that answered."""
        ringing = self._ringing.pop(ring_id, None)
        if ringing is None:
            return
        cancelled = {"type": "cancelled", "callId": ringing.message["callId"], "reason": reason}
        for number in ringing.devices - {answered_by}:
            device = self._devices.get(number)
            if device is not None:
                device.send(cancelled)

    def _ring_device(self, ringing: _Ringing, device: Device) -> None:
        if device.user_id == ringing.user_id and device.number not in ringing.devices:
            ringing.devices.add(device.number)
            device.send(ringing.message)
