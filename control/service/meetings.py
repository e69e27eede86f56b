"""Meetings: made, and found by what a caller or an application knows of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from ..graph import errors
from ..graph.requests import MeetingRef
from ..store.base import MeetingRow, Store, UserRow
from ..store.rows import secret_of
from .directory import Directory
from .settings import ServiceSettings

Json = dict[str, Any]

SCHEDULED = "0"
"""The messageId of a meeting that has a thread of its own."""
JOIN_ID_DIGITS = 12
PASSCODE_CHARS = 8
PASSCODE_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789"
"""Without the letters and digits that are read for one another."""
MAX_SUBJECT_CHARS = 256
TOKEN_KEY = "meeting token key"  # noqa: S105  The name of a secret in the store.

_THREAD = re.compile(r"19:[A-Za-z0-9+/=_-]{1,200}@thread\.(v2|skype|tacv2)")
_MESSAGE = re.compile(r"[0-9]{1,20}")
_JOIN_ID = re.compile(r"[0-9]{1,20}")
_ESCAPE = re.compile(r"%[0-9A-F]{2}")


class Meetings:
    """The meetings of one service: scheduled ones, and those that came to be by joining them."""

    def __init__(
        self,
        store: Store,
        settings: ServiceSettings,
        directory: Directory,
        token_key: bytes,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store, self._settings, self._directory = store, settings, directory
        self._token_key, self._clock = token_key, clock

    @classmethod
    async def load(cls, store: Store, settings: ServiceSettings, directory: Directory) -> Meetings:
        """Open the meetings; a fresh service gets two, of which one has a passcode."""
        key = await store.secret(TOKEN_KEY, lambda: secrets.token_hex(32))
        meetings = cls(store, settings, directory, secret_of(TOKEN_KEY, key, bytes.fromhex))
        if not await store.meetings():
            organizer = directory.users[0]
            await meetings.create(organizer, "Weekly sync", with_passcode=True)
            await meetings.create(organizer, "Open house", with_passcode=False)
        return meetings

    async def create(
        self,
        organizer: UserRow,
        subject: str,
        *,
        with_passcode: bool = True,
        lobby: bool = True,
        allow_without_host: bool = True,
        in_channel: bool = False,
        join_meeting_id: str | None = None,
        passcode: str | None = None,
    ) -> MeetingRow:
        """Schedule a meeting, with a thread of its own or as a post in a channel of its own.

        Raises: GraphError 400 on a subject or id that cannot be one, 409 on an id that is taken.
        """
        if len(subject) > MAX_SUBJECT_CHARS or not subject.isprintable():
            raise errors.invalid_argument(
                f"subject: expected at most {MAX_SUBJECT_CHARS} printable characters."
            )
        join_id = join_meeting_id or _new_join_id()
        if not _JOIN_ID.fullmatch(join_id):
            raise errors.invalid_argument("joinMeetingId: expected 1 to 20 digits.")
        if await self._store.meeting_of_join_id(join_id) is not None:
            raise errors.conflict(f"joinMeetingId: {join_id} is taken.")
        now = self._clock()
        meeting = self._made(
            thread_id=_channel_thread() if in_channel else _meeting_thread(),
            message_id=str(int(now.timestamp() * 1000)) if in_channel else SCHEDULED,
            organizer_id=organizer.user_id,
            organizer_name=organizer.display_name,
            now=now,
        )
        passcode = (passcode or _new_passcode()) if with_passcode else None
        return await self._store.add_meeting(
            replace(
                meeting,
                subject=subject,
                join_meeting_id=join_id,
                passcode=passcode,
                lobby=lobby,
                allow_without_host=allow_without_host,
            )
        )

    async def find(self, ref: MeetingRef, tenant_id: str) -> MeetingRow:
        """Return the meeting that *ref* means; an unknown thread may become one.

        Raises: GraphError 404 with 8561 on an unknown joinMeetingId or a wrong passcode, 400 with
                8526 on a bad token or 8527 on a thread that is nobody's, 403 with 7505 on a meeting
                of another tenant.
        """
        if ref.kind == "token":
            meeting = await self._of_token(ref.token or "")
        elif ref.kind == "joinMeetingId":
            meeting = await self._of_join_id(ref.join_meeting_id or "", ref.passcode)
        else:
            meeting = await self._of_thread(ref, tenant_id)
        if meeting.tenant_id != tenant_id:
            raise errors.tenant_mismatch()
        return meeting

    async def known(self, join_meeting_id: str) -> MeetingRow:
        """Return the meeting with that id, for a user of the directory: the passcode is known.

        Raises: GraphError 404 with 8561.
        """
        meeting = await self._store.meeting_of_join_id("".join(join_meeting_id.split()))
        if meeting is None:
            raise errors.invalid_join_meeting_id()
        return meeting

    async def all(self) -> tuple[MeetingRow, ...]:
        """Return all meetings, the oldest first."""
        return await self._store.meetings()

    def token(self, meeting: MeetingRow) -> str:
        """Return the join token of *meeting*, as tokenMeetingInfo carries it."""
        named = _base64url(json.dumps([meeting.thread_id, meeting.message_id]).encode())
        return f"{named}.{self._mac(named)}"

    async def _of_join_id(self, join_meeting_id: str, passcode: str | None) -> MeetingRow:
        """Return the meeting with that id and passcode; spaces in the id do not count.

        Raises: GraphError 404 with 8561, in the same words for both: a guess learns nothing.
        """
        meeting = await self._store.meeting_of_join_id("".join(join_meeting_id.split()))
        expected = None if meeting is None else meeting.passcode
        is_right = expected is None or hmac.compare_digest(
            expected.encode(), (passcode or "").encode(errors="surrogatepass")
        )
        if meeting is None or not is_right:
            raise errors.invalid_join_meeting_id()
        return meeting

    async def _of_token(self, token: str) -> MeetingRow:
        named, _, mac = token.partition(".")
        if hmac.compare_digest(mac.encode(errors="surrogatepass"), self._mac(named).encode()):
            padded = named + "=" * (-len(named) % 4)
            thread_id, message_id = json.loads(base64.urlsafe_b64decode(padded))
            meeting = await self._store.meeting(thread_id, message_id)
            if meeting is not None:
                return meeting
        raise errors.invalid_join_token()

    async def _of_thread(self, ref: MeetingRef, tenant_id: str) -> MeetingRow:
        thread_id, message_id = ref.thread_id or "", ref.message_id or SCHEDULED
        if not _THREAD.fullmatch(thread_id) or not _MESSAGE.fullmatch(message_id):
            raise errors.invalid_join_url("chatInfo does not name a meeting's thread.")
        if ref.organizer_tenant_id not in (None, tenant_id):
            raise errors.tenant_mismatch()
        meeting = await self._store.meeting(thread_id, message_id)
        if meeting is None:
            if ref.organizer_id is None or not self._settings.adhoc_meetings:
                raise errors.invalid_join_url("no meeting has that thread.")
            meeting = await self._make_ad_hoc(ref, thread_id, message_id, ref.organizer_id)
        if ref.organizer_id is not None and (
            ref.organizer_id.casefold() != meeting.organizer_id.casefold()
        ):
            raise errors.invalid_join_url("the meeting of that thread has another organizer.")
        return meeting

    async def _make_ad_hoc(
        self, ref: MeetingRef, thread_id: str, message_id: str, organizer_id: str
    ) -> MeetingRow:
        user = self._directory.user(organizer_id)
        meeting = self._made(
            thread_id=thread_id,
            message_id=message_id,
            organizer_id=organizer_id,
            organizer_name="" if user is None else user.display_name,
            now=self._clock(),
        )
        allowed = ref.allow_without_host
        return await self._store.add_meeting(
            replace(
                meeting, is_ad_hoc=True, allow_without_host=True if allowed is None else allowed
            )
        )

    def _made(
        self,
        *,
        thread_id: str,
        message_id: str,
        organizer_id: str,
        organizer_name: str,
        now: datetime,
    ) -> MeetingRow:
        tenant_id = self._settings.tenant_id
        return MeetingRow(
            thread_id=thread_id,
            message_id=message_id,
            tenant_id=tenant_id,
            organizer_id=organizer_id,
            organizer_name=organizer_name,
            subject="",
            join_meeting_id=_new_join_id(),
            passcode=None,
            join_url=join_url(thread_id, message_id, tenant_id, organizer_id),
            lobby=True,
            allow_without_host=True,
            is_ad_hoc=False,
            created_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    def _mac(self, text: str) -> str:
        raw = text.encode(errors="surrogatepass")
        return _base64url(hmac.digest(self._token_key, raw, hashlib.sha256))


def join_url(thread_id: str, message_id: str, tenant_id: str, organizer_id: str) -> str:
    """Build the address in an invitation. It names the meeting, not a host that serves it.

    Source: Microsoft Graph, onlineMeeting.joinWebUrl; escapes are in lower case there.
    """
    context = json.dumps({"Tid": tenant_id, "Oid": organizer_id}, separators=(",", ":"))
    path = f"{quote(thread_id, safe='')}/{quote(message_id, safe='')}"
    url = f"https://teams.microsoft.com/l/meetup-join/{path}?context={quote(context, safe='')}"
    return _ESCAPE.sub(lambda found: found[0].lower(), url)


def capability(meeting: MeetingRow) -> Json:
    """Build the meetingCapability of a call that is in *meeting*."""
    return {
        "@odata.type": "#microsoft.graph.meetingCapability",
        "allowAnonymousUsersToDialOut": False,
        "allowAnonymousUsersToStartMeeting": meeting.allow_without_host and not meeting.lobby,
        "autoAdmittedUsers": "everyoneInCompany" if meeting.lobby else "everyone",
    }


def _meeting_thread() -> str:
    return f"19:meeting_{base64.b64encode(str(uuid.uuid4()).encode()).decode()}@thread.v2"


def _channel_thread() -> str:
    return f"19:{uuid.uuid4().hex}@thread.tacv2"


def _new_join_id() -> str:
    return str(secrets.choice("123456789")) + "".join(
        secrets.choice("0123456789") for _ in range(JOIN_ID_DIGITS - 1)
    )


def _new_passcode() -> str:
    return "".join(secrets.choice(PASSCODE_ALPHABET) for _ in range(PASSCODE_CHARS))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
