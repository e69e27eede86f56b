"""logTeleconferenceDeviceQuality: its body.

Source: Microsoft Graph, teleconferenceDeviceQuality and the types below it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .fields import Fields, Json

INT64_MAX: Final = 2**63 - 1
MEDIA_TYPES: Final = (
    "teleconferenceDeviceAudioQuality",
    "teleconferenceDeviceVideoQuality",
    "teleconferenceDeviceScreenSharingQuality",
)
DURATION_PATTERN: Final = (
    r"^-?P(?=[0-9T])([0-9]+D)?(T(?=[0-9])([0-9]+H)?([0-9]+M)?([0-9]+([.][0-9]+)?S)?)?$"
)
"""Edm.Duration: days and less of ISO 8601."""

_TEXTS: Final = (
    "deviceName",
    "deviceDescription",
    "cloudServiceName",
    "cloudServiceInstanceName",
    "cloudServiceDeploymentEnvironment",
    "cloudServiceDeploymentId",
)
_ADDRESSES: Final = ("localIPAddress", "remoteIPAddress")
_COUNTS: Final = (
    "localPort",
    "remotePort",
    "networkLinkSpeedInBytes",
    "inboundPackets",
    "outboundPackets",
)
_DURATIONS: Final = (
    "mediaDuration",
    *(
        f"{which}{way}{what}"
        for which in ("average", "maximum")
        for way in ("Inbound", "Outbound")
        for what in ("Jitter", "RoundTripDelay")
    ),
)
_PERCENTAGES: Final = tuple(
    f"{which}{way}PacketLossRateInPercentage"
    for which in ("average", "maximum")
    for way in ("Inbound", "Outbound")
)
_RATES: Final = tuple(
    f"average{way}{what}" for way in ("Inbound", "Outbound") for what in ("BitRate", "FrameRate")
)
_DURATION = re.compile(DURATION_PATTERN.removesuffix("$") + r"\Z")


@dataclass(frozen=True, slots=True)
class DeviceQuality:
    """What a teleconference device reports of a call; ``media`` as it came, one for each medium."""

    call_chain_id: str | None
    participant_id: str | None
    media_leg_id: str | None
    media: tuple[Json, ...]


def parse_device_quality(body: object) -> DeviceQuality:
    """Read the body of logTeleconferenceDeviceQuality."""
    fields = Fields.of_body(body)
    quality = fields.required("quality")
    quality.odata_type("teleconferenceDeviceQuality")
    for name in _TEXTS:
        quality.text(name)
    return DeviceQuality(
        call_chain_id=quality.identifier("callChainId"),
        participant_id=quality.identifier("participantId"),
        media_leg_id=quality.identifier("mediaLegId"),
        media=quality.each("mediaQualityList", _media) or (),
    )


def _media(fields: Fields) -> Json:
    fields.odata_type(*MEDIA_TYPES, "teleconferenceDeviceMediaQuality")
    fields.whole("channelIndex", 1, 2**31 - 1)
    for name in _ADDRESSES:
        fields.text(name)
    for name in _COUNTS:
        fields.whole(name, 0, INT64_MAX)
    for name in _DURATIONS:
        _check(fields, name, "an ISO 8601 duration", _is_duration)
    for name in _PERCENTAGES:
        _check(fields, name, "a number from 0 to 100", _is_percentage)
    for name in _RATES:
        _check(fields, name, "a number", _is_number)
    return fields.value


def _check(fields: Fields, name: str, expected: str, is_good: Callable[[object], bool]) -> None:
    if fields.has(name) and not is_good(fields.value[name]):
        raise fields.refuse(name, expected)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_percentage(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100


def _is_duration(value: object) -> bool:
    return isinstance(value, str) and _DURATION.match(value) is not None
