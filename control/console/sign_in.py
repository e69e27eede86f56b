"""Who may use the console: the token, sessions of people who signed in, tickets for audio."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Final, Literal

from .source import ConsoleRefusedError

TRIES: Final = 10
"""Different wrong tokens that an address may show in a minute. The same one again is no guess: a
page that outlived the server shows it with every request."""
TRIES_WINDOW_S: Final = 60.0
MAX_ADDRESSES: Final = 1024
MAX_SESSIONS: Final = 1000
TICKET_S: Final = 15 * 60
TICKET_STEP_S: Final = 5 * 60
SESSION_COOKIE: Final = "__Host-mixminus-console"
"""The prefix makes browsers insist on Secure, no Domain and Path=/ (RFC 6265bis section 4.1.3)."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whoever is signed in. ``expires_at_s`` is on the clock of the sign-in; None: never."""

    method: Literal["token", "oidc"]
    name: str | None = None
    expires_at_s: float | None = None
    session_id: str | None = field(default=None, repr=False)


class NotSignedInError(ConsoleRefusedError):
    """Nobody, or nobody any more."""

    def __init__(self, message: str) -> None:
        super().__init__(401, "unauthenticated", message)


class TooManyTriesError(ConsoleRefusedError):
    """So many wrong tokens that no further one is looked at for a while."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(
            429, "tooManyTries", "too many wrong tokens came from your address: wait a minute"
        )
        self.retry_after_s = retry_after_s


class SignIns:
    """Knows the token and the living sessions, and counts wrong tokens. *now* is for tests.

    Thread: the loop's.
    """

    def __init__(
        self, token: str, session_s: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.now = now
        self._token = token.encode()
        self._session_s = session_s
        self._sessions: OrderedDict[str, SignedIn] = OrderedDict()
        self._wrong: OrderedDict[str, _Tries] = OrderedDict()
        self._ticket_key = secrets.token_bytes(32)

    # ---- the token -------------------------------------------------------------------------------

    def by_token(self, token: str, address: str) -> SignedIn:
        """Sign in whoever shows *token* from that address.

        Raises: NotSignedInError; TooManyTriesError, also for the right one then.
        """
        tries = self._tries_of(address)
        wait_s = tries.wait_s(self.now())
        if wait_s > 0:
            raise TooManyTriesError(wait_s)
        if hmac.compare_digest(token.encode(), self._token):
            return SignedIn("token")
        tries.add(token, self.now())
        raise NotSignedInError(
            "that is not the console's token: it is printed at the start, "
            "and another one after each start unless console.token is set"
        )

    def _tries_of(self, address: str) -> _Tries:
        key = _network(address)
        tries = self._wrong.get(key)
        if tries is None:
            tries = self._wrong[key] = _Tries()
            if len(self._wrong) > MAX_ADDRESSES:
                self._wrong.popitem(last=False)
        self._wrong.move_to_end(key)
        return tries

    # ---- sessions --------------------------------------------------------------------------------

    def open_session(self, name: str | None) -> SignedIn:
        """Make a session for somebody whom the issuer vouched for; its id is a secret."""
        session_id = secrets.token_urlsafe(32)
        session = SignedIn("oidc", name, self.now() + self._session_s, session_id)
        self._sessions[session_id] = session
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def by_session(self, session_id: str) -> SignedIn:
        """Return the session of that id.

        Raises: NotSignedInError when there is none, or it has expired.
        """
        session = self._sessions.get(session_id)
        if session is None:
            raise NotSignedInError("that sign-in is over: sign in again")
        self.expect_valid(session)
        return session

    def close_session(self, session_id: str | None) -> None:
        """End a session. One that is not there is no error."""
        if session_id is not None:
            self._sessions.pop(session_id, None)

    def expect_valid(self, who: SignedIn) -> None:
        """Return if *who* is still signed in.

        Raises: NotSignedInError.
        """
        if who.expires_at_s is None:
            return
        if self.now() >= who.expires_at_s:
            self.close_session(who.session_id)
            raise NotSignedInError("that sign-in has expired: sign in again")
        if who.session_id not in self._sessions:
            raise NotSignedInError("that sign-in is over: sign in again")

    # ---- tickets ---------------------------------------------------------------------------------

    def ticket(self, path: str) -> str:
        """Return what lets an audio element, which sends no header, get *path* for 15 minutes.

        The same for some minutes, so that a page that is told anew need not load anew.
        """
        until = (int(self.now()) // TICKET_STEP_S + 1) * TICKET_STEP_S + TICKET_S
        return f"{until}.{self._seal(path, until)}"

    def expect_ticket(self, path: str, ticket: str) -> None:
        """Return if *ticket* is good for *path*.

        Raises: NotSignedInError.
        """
        until_text, _, seal = ticket.partition(".")
        if until_text.isascii() and until_text.isdecimal() and len(until_text) < 16:
            until = int(until_text)
            is_ours = hmac.compare_digest(seal.encode(), self._seal(path, until).encode())
            if is_ours and self.now() < until:
                return
        raise NotSignedInError("that address of the audio has expired: look at the recording again")

    def _seal(self, path: str, until: int) -> str:
        return hmac.new(self._ticket_key, f"{until} {path}".encode(), hashlib.sha256).hexdigest()


class _Tries:
    """The different wrong tokens that came from one address in the last minute, as digests."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, bytes]] = deque()

    def wait_s(self, now_s: float) -> float:
        self._forget(now_s)
        if len(self._recent) < TRIES:
            return 0.0
        return max(0.0, self._recent[0][0] + TRIES_WINDOW_S - now_s)

    def add(self, token: str, now_s: float) -> None:
        digest = hashlib.sha256(token.encode()).digest()
        if all(digest != known for _, known in self._recent):
            self._recent.append((now_s, digest))

    def _forget(self, now_s: float) -> None:
        while self._recent and now_s - self._recent[0][0] >= TRIES_WINDOW_S:
            self._recent.popleft()


def _network(address: str) -> str:
    """Return what stands for one household: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address  # A Unix socket's peer, a test's: they are all one.
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped is not None else str(int(parsed) >> 64)
    return str(parsed)
