"""A call record from a conversation's history. What nobody measured is null, never a guess.

Source: Microsoft Graph, microsoft.graph.callRecords: callRecord and the types below it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from mixminus.media.bridge import LegCounters

from ...call_state import ResultInfo
from ...store.base import RecordRow
from .history import ConversationHistory, Participation
from .members import DEVICE, NETWORK, PSTN_ROW, STREAM, record_type
from .quality import Measured, duration

Json = dict[str, Any]

PEER_TO_PEER = "peerToPeer"
MAIN_AUDIO = "main-audio"
SUCCESSES = frozenset({0, 200})
"""Result codes of a call that ended as calls do."""

CODECS = {"webrtc": "opus", "link": "unknown"}
"""Where it was not measured: Opus is what callers speak; the link carries linear PCM, which the
enumeration lacks."""
MEASURED_CODECS = frozenset({"opus", "pcmu", "pcma", "g722"})
PROTOCOLS = {"webrtc": "udp", "link": "tcp", "rtp": "udp"}
_OF_A_TENANT = ("user", "application", "applicationInstance")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def build_record(history: ConversationHistory, *, version: int, now: datetime) -> RecordRow:
    """Build the record of a conversation that is over.

    Raises: ValueError when it is not over, or nobody was in it.
    """
    if history.ended_at is None or not history.stays:
        raise ValueError("expected a conversation that is over and that somebody was in")
    builder = _Builder(history, history.ended_at)
    started = min(stay.started_at for stay in history.stays)
    participants = builder.participants()
    organizer = builder.organizer()
    resource: Json = {
        "id": history.id,
        "version": version,
        "type": PEER_TO_PEER if history.kind == PEER_TO_PEER else "groupCall",
        "modalities": ["audio"],
        "lastModifiedDateTime": date_time(now),
        "startDateTime": date_time(started),
        "endDateTime": date_time(history.ended_at),
        "joinWebUrl": history.join_url,
        "organizer": None if organizer is None else organizer["identity"],
        "participants": [participant["identity"] for participant in participants],
        "organizer_v2": organizer,
    }
    return RecordRow(
        record_id=history.id,
        tenant_id=history.tenant_id,
        app_ids=tuple(history.app_ids),
        started_us=microseconds(started),
        ended_us=microseconds(history.ended_at),
        resource=resource,
        participants=tuple(participants),
        sessions=tuple(builder.sessions()),
        pstn_calls=tuple(builder.pstn_calls()),
    )


def date_time(moment: datetime) -> str:
    """Write a moment as Graph does: UTC, without trailing zeros in its fraction."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{text.rstrip('0').rstrip('.')}Z"


def microseconds(moment: datetime) -> int:
    """Return a moment as microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


class _Builder:
    def __init__(self, history: ConversationHistory, ended_at: datetime) -> None:
        self._history, self._ended_at = history, ended_at

    def organizer(self) -> Json | None:
        """Build organizer_v2."""
        if self._history.organizer is None:
            return None
        return self._person(self._history.organizer)

    def participants(self) -> list[Json]:
        """Build participants_v2: everyone who was involved, once."""
        found: dict[tuple[str, str], Json] = {}
        for stay in self._history.stays:
            kind, identity = one_identity(stay.identity)
            found.setdefault((kind, str(identity.get("id"))), self._person(stay.identity))
        return list(found.values())

    def sessions(self) -> list[Json]:
        """Build a session for each pair of endpoints; a meeting's pairs are of a party and us."""
        if self._history.kind != PEER_TO_PEER:
            return [self._session(stay.participant_id, stay, None) for stay in self._history.stays]
        caller = self._caller()
        others = [stay for stay in self._history.stays if stay is not caller]
        if not others:
            return [self._session(self._history.id, caller, None)]
        # As documented, the one session of a call of two has the record's id.
        ids = [self._history.id, *(stay.participant_id for stay in others[1:])]
        return [
            self._session(session_id, self._peer(stay, caller), stay)
            for session_id, stay in zip(ids, others, strict=True)
        ]

    def pstn_calls(self) -> Iterable[Json]:
        """Build the log rows of the telephones in the call."""
        organizer = self._history.organizer
        kind, owner = ("", {}) if organizer is None else one_identity(organizer)
        for stay in self._history.stays:
            stay_kind, phone = one_identity(stay.identity)
            if stay_kind != "phone":
                continue
            is_inbound = kind == "phone" and owner.get("id") == phone.get("id")
            ended = stay.ended_at or self._ended_at
            duration = ended - stay.started_at if stay.was_in else timedelta()
            yield {
                **PSTN_ROW,
                "id": stay.participant_id,
                "callId": self._history.id,
                "userId": None if is_inbound else owner.get("id"),
                "userDisplayName": None if is_inbound else owner.get("displayName"),
                "callType": "ucap_in" if is_inbound else "ucap_out",
                "callerNumber" if is_inbound else "calleeNumber": phone.get("id"),
                "startDateTime": date_time(stay.started_at),
                "endDateTime": date_time(ended),
                "duration": int(duration.total_seconds()),
                "callDurationSource": "microsoft",
            }

    def _caller(self) -> Participation:
        stays = self._history.stays
        if self._history.organizer is not None:
            wanted = _name(self._history.organizer)
            for stay in stays:
                if _name(stay.identity) == wanted:
                    return stay
        return stays[0]

    def _peer(self, stay: Participation, caller: Participation) -> Participation:
        """Return whom *stay* talked to: the caller, or who was left after a transfer."""
        candidates = [caller, *(other for other in self._history.stays if other is not stay)]
        for other in candidates:
            if other.started_at <= self._end(stay) and self._end(other) > stay.started_at:
                return other
        return caller

    def _end(self, stay: Participation) -> datetime:
        return stay.ended_at or self._ended_at

    def _session(self, session_id: str, stay: Participation, other: Participation | None) -> Json:
        """Build the session of *stay* as caller with *other*, or with this service."""
        parties = [stay] if other is None else [stay, other]
        starts = max(party.started_at for party in parties)
        ends = max(starts, min(self._end(party) for party in parties))
        if other is not None:
            callee: Json | None = self._endpoint(other)
        else:
            # Of a call of two with one party, nobody knows the other.
            callee = None if self._history.kind == PEER_TO_PEER else _mixer()
        common = {
            "id": session_id,
            "startDateTime": date_time(starts),
            "endDateTime": date_time(ends),
            "caller": self._endpoint(stay),
            "callee": callee,
            "failureInfo": _failure(parties),
        }
        has_media = all(party.was_in for party in parties)
        media = [_media(stay, other, starts, ends)] if has_media else []
        return {
            **common,
            "modalities": ["audio"],
            "isTest": False,
            "segments": [{**common, "media": media}],
        }

    def _endpoint(self, stay: Participation) -> Json:
        kind, identity = one_identity(stay.identity)
        known = self._identity(kind, identity)
        is_bot = kind in ("application", "applicationInstance")
        return {
            "@odata.type": record_type("participantEndpoint"),
            "userAgent": _service_agent("customBot", stay.user_agent) if is_bot else _client(stay),
            "associatedIdentity": known,
            "identity": {kind: known},
            "name": None,
            "cpuName": None,
            "cpuCoresCount": None,
            "cpuProcessorSpeedInMhz": None,
            "feedback": None,
        }

    def _person(self, identity_set: Json) -> Json:
        kind, identity = one_identity(identity_set)
        known = self._identity(kind, identity)
        return {"id": known["id"], "identity": {kind: known}, "administrativeUnitInfos": []}

    def _identity(self, kind: str, identity: Json) -> Json:
        known: Json = {"id": identity.get("id"), "displayName": identity.get("displayName")}
        if kind in _OF_A_TENANT:
            known["tenantId"] = identity.get("tenantId") or self._history.tenant_id
        if kind == "user":
            known["userPrincipalName"] = identity.get("userPrincipalName")
        return known


def one_identity(identity_set: Json) -> tuple[str, Json]:
    """Return the kind and the identity that an identitySet holds.

    Raises: ValueError when it holds none.
    """
    for kind, identity in identity_set.items():
        if isinstance(identity, dict):
            return kind, identity
    raise ValueError(f"expected an identity in the set, got {sorted(identity_set)}")


def _name(identity_set: Json) -> tuple[str, Any]:
    kind, identity = one_identity(identity_set)
    return kind, identity.get("id")


def _mixer() -> Json:
    """Build the endpoint that mixes a conversation of several: this service."""
    return {
        "@odata.type": record_type("serviceEndpoint"),
        "userAgent": _service_agent("mediaController", None),
    }


def _service_agent(role: str, header: str | None) -> Json:
    return {
        "@odata.type": record_type("serviceUserAgent"),
        "applicationVersion": None,
        "headerValue": header,
        "role": role,
    }


def _client(stay: Participation) -> Json:
    # As every browser's header begins, and no other client's of ours.
    is_browser = (stay.user_agent or "").startswith("Mozilla/")
    return {
        "@odata.type": record_type("clientUserAgent"),
        "applicationVersion": None,
        "headerValue": stay.user_agent,
        "platform": "web" if is_browser else "unknown",
        "productFamily": "unknown",
        "azureADAppId": None,
        "communicationServiceId": None,
    }


def _failure(parties: Iterable[Participation]) -> Json | None:
    # Who never came is why the others left.
    for party in sorted(parties, key=lambda party: party.was_in):
        if party.result is not None and party.result.code not in SUCCESSES:
            return {
                "@odata.type": record_type("failureInfo"),
                "stage": "midcall" if party.was_in else "callSetup",
                "reason": _reason(party.result),
            }
    return None


def _reason(result: ResultInfo) -> str:
    numbers = f"{result.code}/{result.subcode}"
    return f"{result.message} ({numbers})" if result.message else numbers


def _media(
    caller: Participation, callee: Participation | None, starts: datetime, ends: datetime
) -> Json:
    sender = callee or caller
    return {
        "label": MAIN_AUDIO,
        "callerDevice": dict(DEVICE),
        "callerNetwork": _network(caller.media_kind),
        "calleeDevice": dict(DEVICE),
        "calleeNetwork": dict(NETWORK) if callee is None else _network(callee.media_kind),
        "streams": [
            _stream("callerToCallee", caller, starts, ends, is_from=True),
            # Of a party of a meeting the callee is this service, and sends to it.
            _stream("calleeToCaller", sender, starts, ends, is_from=callee is not None),
        ],
    }


def _network(media_kind: str) -> Json:
    return {**NETWORK, "networkTransportProtocol": PROTOCOLS.get(media_kind)}


def _stream(
    direction: str, party: Participation, starts: datetime, ends: datetime, *, is_from: bool
) -> Json:
    """Build the stream that comes from *party* to this service, or else goes to it."""
    stream = {
        **STREAM,
        "streamId": None if party.source_id is None else str(party.source_id),
        "streamDirection": direction,
        "startDateTime": date_time(starts),
        "endDateTime": date_time(ends),
        "audioCodec": CODECS.get(party.media_kind),
        # Media never go past this service.
        "wasMediaBypassed": False,
    }
    if party.measured is not None:
        return stream | (_came(party.measured) if is_from else _went(party.measured))
    return stream | {
        "averageRatioOfConcealedSamples": _concealed(party.leg) if is_from else None,
        "packetUtilization": party.transport.get("packets_in" if is_from else "packets_out"),
    }


def _came(measured: Measured) -> Json:
    """Return what was measured here of the stream from a party."""
    return _both_ways(measured) | {
        "averageJitter": duration(measured.average_jitter_ms),
        "maxJitter": duration(measured.max_jitter_ms),
        "averageAudioNetworkJitter": duration(measured.average_jitter_ms),
        "maxAudioNetworkJitter": duration(measured.max_window_jitter_ms),
        "averagePacketLossRate": measured.average_loss,
        "maxPacketLossRate": measured.max_loss,
        "averageRatioOfConcealedSamples": measured.average_concealed,
        "maxRatioOfConcealedSamples": measured.max_concealed,
        "packetUtilization": measured.received_packets,
        "isAudioForwardErrorCorrectionUsed": measured.used_fec,
    }


def _went(measured: Measured) -> Json:
    """Return what a party's receiver reports say of the stream to it."""
    return _both_ways(measured) | {
        "averageJitter": duration(measured.average_far_jitter_ms),
        "maxJitter": duration(measured.max_far_jitter_ms),
        "averageAudioNetworkJitter": duration(measured.average_far_jitter_ms),
        "maxAudioNetworkJitter": duration(measured.max_window_far_jitter_ms),
        "averagePacketLossRate": measured.average_far_loss,
        "maxPacketLossRate": measured.max_far_loss,
        "packetUtilization": measured.sent_packets,
    }


def _both_ways(measured: Measured) -> Json:
    return {
        "audioCodec": measured.codec if measured.codec in MEASURED_CODECS else "unknown",
        "averageRoundTripTime": duration(measured.average_round_trip_ms),
        "maxRoundTripTime": duration(measured.max_round_trip_ms),
    }


def _concealed(leg: LegCounters | None) -> float | None:
    """Return the share of concealed frames in those that were played."""
    if leg is None:
        return None
    played = leg.voice + leg.silence + leg.concealed
    return leg.concealed / played if played else None
