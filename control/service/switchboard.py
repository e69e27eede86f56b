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

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message, in order; a device that takes none is dropped by its own socket."""


@dataclass(slots=True)
class _RingingCall:
    user_id: str
    message: dict[str, Any]
    ringing: set[int] = field(default_factory=set)


class Switchboard:
    """Rings all devices of a user, and those that come while it rings."""

    def __init__(self) -> None:
        self._devices: dict[int, Device] = {}
        self._calls: dict[str, _RingingCall] = {}
        self.on_device_gone: Callable[[Device], None] = lambda device: None

    def device(self, number: int | None) -> Device | None:
        """Return the registered device of that number."""
        return None if number is None else self._devices.get(number)

    def register(self, device: Device) -> None:
        """Take a device in, and ring it when its user is being called."""
        self._devices[device.number] = device
        for call in self._calls.values():
            self._ring_device(call, device)

    def unregister(self, device: Device) -> None:
        """Forget a device. Again is no error."""
        if self._devices.pop(device.number, None) is not None:
            for call in self._calls.values():
                call.ringing.discard(device.number)
            self.on_device_gone(device)

    def ring(self, call_id: str, user_id: str, message: dict[str, Any]) -> None:
        """Ring all devices of *user_id* with *message*. Again rings only those that do not yet."""
        call = self._calls.setdefault(call_id, _RingingCall(user_id, message))
        for device in self._devices.values():
            self._ring_device(call, device)

    def is_ringing(self, call_id: str, device: Device) -> bool:
        """Say whether *device* was rung for a call that still rings."""
        call = self._calls.get(call_id)
        return call is not None and device.number in call.ringing

    def has_rung(self, call_id: str) -> bool:
        """Say whether a call rings at any device now."""
        call = self._calls.get(call_id)
        return call is not None and bool(call.ringing)

    def stop(self, call_id: str, reason: str, answered_by: int | None) -> None:
        """Stop a call's ringing; tell all its devices but the one that answered."""
        call = self._calls.pop(call_id, None)
        if call is None:
            return
        for number in call.ringing - {answered_by}:
            device = self._devices.get(number)
            if device is not None:
                device.send({"type": "cancelled", "callId": call_id, "reason": reason})

    def _ring_device(self, call: _RingingCall, device: Device) -> None:
        if device.user_id == call.user_id and device.number not in call.ringing:
            call.ringing.add(device.number)
            device.send(call.message)
