"""The media session descriptor and its blob: what a bot tells the call service about its media.

Source: Microsoft Graph, create call, the peer-to-peer example with app-hosted media. The documented
keys come in the documented order; our one namespaced member comes last.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, NoReturn, Self, TypeAlias, TypeVar
from urllib.parse import urlsplit

MAX_BLOB_CHARS: Final = 65_536
SECRET_BYTES: Final = 32
MEMBER: Final = "mixminus"
MEMBER_VERSION: Final = 1
MAX_EPOCH: Final = 0xFFFF_FFFF
"""The media link carries it in 32 bits."""
REDACTED: Final = "[redacted]"

# Those of the documented example. They name Microsoft's media stack; nothing of ours reads them.
SKYPE_MEDIA_BOTS_VERSION: Final = "1.11.1.0086"
MEDIA_STACK_VERSION: Final = "2018.53.1.1"
MP_VERSION: Final = "7.2.0.3881"

Contexts: TypeAlias = tuple[str | None, ...]
_T = TypeVar("_T")


class DescriptorError(ValueError):
    """A blob that is no media session descriptor: which key, what was expected, what came."""


@dataclass(frozen=True, slots=True)
class MediaSessionDescriptor:
    """One app-hosted media session, as the ``blob`` of an ``appHostedMediaConfig`` says it.

    ``call_id`` names the call through all its rejoins (its *lineage*); ``link_epoch`` is higher
    with each of them. The session's id and ``link_secret``, which the media link's hello proves,
    are new with each. The secret is not part of ``repr``. A list that the blob gives as null is
    None here, so that it is written as it was read.
    """

    mp_uri: str
    mp_media_session_id: str
    call_id: str
    audio_render_contexts: Contexts | None
    audio_source_contexts: Contexts | None
    video_render_contexts: Contexts | None = ()
    video_source_contexts: Contexts | None = ()
    data_render_contexts: Contexts | None = None
    data_source_contexts: Contexts | None = None
    supported_audio_format: str = "Pcm16K"
    video_sink_encoding_formats: Contexts | None = ()
    region_affinity: str | None = None
    skype_media_bots_version: str | None = SKYPE_MEDIA_BOTS_VERSION
    media_stack_version: str | None = MEDIA_STACK_VERSION
    mp_version: str | None = MP_VERSION
    link_secret: bytes | None = field(default=None, repr=False)
    link_epoch: int = 1

    def __post_init__(self) -> None:
        """Refuse what no reader could use."""
        _check_uri(self.mp_uri)
        if self.link_secret is not None and len(self.link_secret) != SECRET_BYTES:
            raise DescriptorError(
                f"the link secret: expected {SECRET_BYTES} bytes, got {len(self.link_secret)}"
            )
        if not 1 <= self.link_epoch <= MAX_EPOCH:
            raise DescriptorError(
                f"the link epoch: expected 1 to {MAX_EPOCH}, got {self.link_epoch}"
            )
        if self.link_secret is None and self.link_epoch != 1:
            raise DescriptorError("the link epoch: a blob without our member has none but 1")

    @classmethod
    def new(cls, mp_uri: str, *, lineage: str | None = None, epoch: int = 1) -> Self:
        """Describe a new audio session at *mp_uri*, with fresh ids and a fresh 256-bit link secret.

        *lineage* is the call's name through all its rejoins, made up if it is not given; *epoch*
        is higher with each rejoin and each owner.
        Raises: DescriptorError when *mp_uri* is not a URI with a scheme and a host, *lineage* is
                empty, or *epoch* is not 1 to 2^32 - 1.
        """
        return cls(
            mp_uri=mp_uri,
            mp_media_session_id=str(uuid.uuid4()),
            call_id=str(uuid.uuid4()) if lineage is None else _text("callId", lineage),
            audio_render_contexts=(str(uuid.uuid4()),),
            audio_source_contexts=(str(uuid.uuid4()),),
            link_secret=secrets.token_bytes(SECRET_BYTES),
            link_epoch=epoch,
        )

    @classmethod
    def from_blob(cls, text: str) -> Self:
        """Read a blob: unknown keys and any order are accepted, null lists and ``[null]`` are kept.

        Raises: DescriptorError when *text* is not JSON, or a key is missing or of the wrong kind.
        """
        reader = _Reader(_parse_object(text))
        contexts = reader.contexts
        link_secret, link_epoch = _read_member(reader.values)
        return cls(
            mp_uri=reader.required("mpUri", _text),
            audio_render_contexts=reader.required("audioRenderContexts", _contexts),
            video_render_contexts=contexts("videoRenderContexts"),
            audio_source_contexts=reader.required("audioSourceContexts", _contexts),
            video_source_contexts=contexts("videoSourceContexts"),
            data_render_contexts=contexts("dataRenderContexts"),
            data_source_contexts=contexts("dataSourceContexts"),
            supported_audio_format=reader.required("supportedAudioFormat", _text),
            video_sink_encoding_formats=contexts("videoSinkEncodingFormats"),
            mp_media_session_id=reader.required("mpMediaSessionId", _text),
            region_affinity=reader.optional_text("regionAffinity"),
            skype_media_bots_version=reader.optional_text("skypeMediaBotsVersion"),
            media_stack_version=reader.optional_text("mediaStackVersion"),
            mp_version=reader.optional_text("mpVersion"),
            call_id=reader.required("callId", _text),
            link_secret=link_secret,
            link_epoch=link_epoch,
        )

    def to_blob(self) -> str:
        """Write the blob: compact JSON, documented keys in documented order, our member last."""
        return json.dumps(self._members(), separators=(",", ":"))

    def redacted(self) -> str:
        """Write the blob with the link secret blotted out: for logs, screens and responses."""
        members = self._members()
        if self.link_secret is not None:
            members[MEMBER] = self._member(REDACTED)
        return json.dumps(members, separators=(",", ":"))

    def without_secret(self) -> Self:
        """Return the same descriptor without our member, as a Microsoft blob has it."""
        return replace(self, link_secret=None, link_epoch=1)

    def _members(self) -> dict[str, object]:
        members: dict[str, object] = {
            "mpUri": self.mp_uri,
            "audioRenderContexts": self.audio_render_contexts,
            "videoRenderContexts": self.video_render_contexts,
            "audioSourceContexts": self.audio_source_contexts,
            "videoSourceContexts": self.video_source_contexts,
            "dataRenderContexts": self.data_render_contexts,
            "dataSourceContexts": self.data_source_contexts,
            "supportedAudioFormat": self.supported_audio_format,
            "videoSinkEncodingFormats": self.video_sink_encoding_formats,
            "mpMediaSessionId": self.mp_media_session_id,
            "regionAffinity": self.region_affinity,
            "skypeMediaBotsVersion": self.skype_media_bots_version,
            "mediaStackVersion": self.media_stack_version,
            "mpVersion": self.mp_version,
            "callId": self.call_id,
        }
        if self.link_secret is not None:
            text = base64.urlsafe_b64encode(self.link_secret).decode().rstrip("=")
            members[MEMBER] = self._member(text)
        return members

    def _member(self, secret: str) -> dict[str, object]:
        return {"version": MEMBER_VERSION, "secret": secret, "epoch": self.link_epoch}


class _Reader:
    """Takes the members of one blob, each by its kind."""

    def __init__(self, values: dict[str, object]) -> None:
        self.values = values

    def required(self, key: str, kind: Callable[[str, object], _T]) -> _T:
        if key not in self.values:
            raise DescriptorError(f"the blob lacks {key}")
        return kind(key, self.values[key])

    def contexts(self, key: str) -> Contexts | None:
        return _contexts(key, self.values.get(key))

    def optional_text(self, key: str) -> str | None:
        value = self.values.get(key)
        return None if value is None else _text(key, value)


def _parse_object(text: str) -> dict[str, object]:
    if len(text) > MAX_BLOB_CHARS:
        raise DescriptorError(
            f"the blob: expected at most {MAX_BLOB_CHARS} characters, got {len(text)}"
        )
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as exc:
        raise DescriptorError(f"the blob is not JSON: {exc.msg} at character {exc.pos}") from None
    except (ValueError, RecursionError):
        # A number of thousands of digits, NaN, or thousands of brackets.
        raise DescriptorError("the blob is not JSON that can be read") from None
    if not isinstance(value, dict):
        raise DescriptorError(f"the blob: expected a JSON object, got {_kind_of(value)}")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise DescriptorError(f"{key}: expected a text, got {_kind_of(value)}")
    return value


def _contexts(key: str, value: object) -> Contexts | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(v is None or isinstance(v, str) for v in value):
        got = "another list" if isinstance(value, list) else _kind_of(value)
        raise DescriptorError(f"{key}: expected a list of texts or null, got {got}")
    return tuple(value)


def _check_uri(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        usable = bool(parts.scheme and parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(c.isspace() or not c.isprintable() for c in uri):
        raise DescriptorError("mpUri: expected a URI with a scheme, a host and a valid port")


def read_lineage(blob: str) -> tuple[str, int] | None:
    """Return lineage and epoch of a blob that may be redacted; None when it carries no link.

    Raises: DescriptorError when what is there cannot be read.
    """
    values = _parse_object(blob)
    member = values.get(MEMBER)
    if not isinstance(member, dict):
        return None
    return _text("callId", values.get("callId")), _read_epoch(member)


def _read_member(values: dict[str, object]) -> tuple[bytes | None, int]:
    """Return the link's secret and epoch."""
    member = values.get(MEMBER)
    if member is None:
        return None, 1
    if not isinstance(member, dict):
        raise DescriptorError(f"{MEMBER}: expected an object, got {_kind_of(member)}")
    version = member.get("version")
    if isinstance(version, bool) or version != MEMBER_VERSION:
        raise DescriptorError(f"{MEMBER}.version: expected {MEMBER_VERSION}, got {version!r:.20}")
    secret = member.get("secret")
    # The value itself never goes into a message: it may be a secret with a typing error.
    if not isinstance(secret, str):
        raise DescriptorError(f"{MEMBER}.secret: expected a text, got {_kind_of(secret)}")
    try:
        raw = base64.b64decode(secret + "=" * (-len(secret) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != SECRET_BYTES:
        raise DescriptorError(f"{MEMBER}.secret: expected {SECRET_BYTES} bytes in base64url")
    return raw, _read_epoch(member)


def _read_epoch(member: dict[str, object]) -> int:
    epoch = member.get("epoch", 1)
    if isinstance(epoch, bool) or not isinstance(epoch, int):
        raise DescriptorError(f"{MEMBER}.epoch: expected a number, got {_kind_of(epoch)}")
    if not 1 <= epoch <= MAX_EPOCH:
        raise DescriptorError(f"{MEMBER}.epoch: expected 1 to {MAX_EPOCH}, got {epoch!r:.20}")
    return epoch


def _kind_of(value: object) -> str:
    if value is None:
        return "null"
    if value == "":
        return "an empty text"
    kinds = {str: "a text", dict: "an object", list: "a list", bool: "a truth value"}
    return kinds.get(type(value), "a number")
