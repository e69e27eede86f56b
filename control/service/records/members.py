"""The members of the callRecords types, all unknown until somebody measures them.

Source: Microsoft Graph v1.0, CSDL of microsoft.graph.callRecords.
"""

from __future__ import annotations

from typing import Any, Final

NAMESPACE: Final = "microsoft.graph.callRecords"


def record_type(name: str) -> str:
    """Return the ``@odata.type`` of a type of the namespace."""
    return f"#{NAMESPACE}.{name}"


def _unknown(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names)


STREAM: Final = _unknown(
    "streamId",
    "streamDirection",
    "startDateTime",
    "endDateTime",
    "audioCodec",
    "videoCodec",
    "averageAudioDegradation",
    "averageJitter",
    "maxJitter",
    "averagePacketLossRate",
    "maxPacketLossRate",
    "averageRatioOfConcealedSamples",
    "maxRatioOfConcealedSamples",
    "averageRoundTripTime",
    "maxRoundTripTime",
    "packetUtilization",
    "averageBandwidthEstimate",
    "wasMediaBypassed",
    "isAudioForwardErrorCorrectionUsed",
    "postForwardErrorCorrectionPacketLossRate",
    "averageAudioNetworkJitter",
    "maxAudioNetworkJitter",
    "rmsFreezeDuration",
    "averageFreezeDuration",
    "averageVideoFrameLossPercentage",
    "averageVideoFrameRate",
    "averageVideoPacketLossRate",
    "averageReceivedFrameRate",
    "lowFrameRateRatio",
    "lowVideoProcessingCapabilityRatio",
)
"""A mediaStream."""

NETWORK: Final = _unknown(
    "bandwidthLowEventRatio",
    "basicServiceSetIdentifier",
    "connectionType",
    "delayEventRatio",
    "dnsSuffix",
    "ipAddress",
    "linkSpeed",
    "macAddress",
    "networkTransportProtocol",
    "port",
    "receivedQualityEventRatio",
    "reflexiveIPAddress",
    "relayIPAddress",
    "relayPort",
    "sentQualityEventRatio",
    "subnet",
    "traceRouteHops",
    "wifiBand",
    "wifiBatteryCharge",
    "wifiChannel",
    "wifiMicrosoftDriver",
    "wifiMicrosoftDriverVersion",
    "wifiRadioType",
    "wifiSignalStrength",
    "wifiVendorDriver",
    "wifiVendorDriverVersion",
) | {"traceRouteHops": []}
"""A networkInfo."""

DEVICE: Final = _unknown(
    "captureDeviceDriver",
    "captureDeviceName",
    "captureNotFunctioningEventRatio",
    "cpuInsufficentEventRatio",
    "deviceClippingEventRatio",
    "deviceGlitchEventRatio",
    "howlingEventCount",
    "initialSignalLevelRootMeanSquare",
    "lowSpeechLevelEventRatio",
    "lowSpeechToNoiseEventRatio",
    "micGlitchRate",
    "receivedNoiseLevel",
    "receivedSignalLevel",
    "renderDeviceDriver",
    "renderDeviceName",
    "renderMuteEventRatio",
    "renderNotFunctioningEventRatio",
    "renderZeroVolumeEventRatio",
    "sentNoiseLevel",
    "sentSignalLevel",
    "speakerGlitchRate",
)
"""A deviceInfo. ``cpuInsufficentEventRatio`` is spelled so in the API."""

PSTN_ROW: Final = _unknown(
    "id",
    "callId",
    "userId",
    "userPrincipalName",
    "userDisplayName",
    "startDateTime",
    "endDateTime",
    "duration",
    "charge",
    "callType",
    "currency",
    "calleeNumber",
    "usageCountryCode",
    "tenantCountryCode",
    "connectionCharge",
    "callerNumber",
    "destinationContext",
    "destinationName",
    "conferenceId",
    "licenseCapability",
    "inventoryType",
    "operator",
    "callDurationSource",
)
"""A pstnCallLogRow."""

# Members whose enumeration has more than what its sentinel, unknownFutureValue, closes: without
# `Prefer: include-unknown-enum-members` those come as the sentinel.
BEYOND_SENTINEL: Final = {"productFamily": frozenset({"azureCommunicationServices"})}
