"""Graph and its authority: reached, with credentials that are good for calls."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..client.keys import read_keys
from ..client.tokens import ClientCredentials, TokenError
from ..settings import HostSettings
from .findings import Finding, Level
from .network import Answer, ask

TOKENS: Final = "access token"
GRAPH: Final = "Graph"
KEYS: Final = "notification keys"

NEEDED_ROLE: Final = "Calls.AccessMedia.All"
CALL_ROLES: Final = (
    "Calls.Initiate.All",
    "Calls.InitiateGroupCall.All",
    "Calls.JoinGroupCall.All",
    "Calls.JoinGroupCallAsGuest.All",
)
"""One of these at least, to have any call. Source: Graph, communications permissions."""
OFFLINE_REMEDY: Final = (
    "Let this machine resolve names and reach port 443 outside; `mixminus dev` needs neither."
)
ENTRA: Final = "in the Entra admin center, App registrations"

REFUSALS: Final = {
    "AADSTS7000215": f"The secret is wrong: take its Value, not its Secret ID, {ENTRA}.",
    "AADSTS7000222": f"The secret has expired: make a new one {ENTRA}, Certificates & secrets.",
    "AADSTS700016": "There is no such application in that tenant: look at app_id and tenant_id.",
    "AADSTS90002": "There is no such tenant: look at tenant_id.",
}
"""What Entra ID's codes mean. Source: Microsoft Entra authentication error codes."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the authority gave: a token, or why not (``code`` is OAuth's)."""

    token: str = ""
    code: str = ""
    problem: str = ""


def fetch_token(authority: str, app_id: str, secret: str, ca_file: Path | None) -> Credentials:
    """Fetch an access token through msal, as a host does. Thread: any but a loop's."""
    source = ClientCredentials(authority, app_id, secret, ca_file=ca_file)
    try:
        return Credentials(source.fetch())
    except TokenError as error:
        return Credentials(code=error.code, problem=str(error))


def ask_graph(settings: HostSettings, token: str) -> Answer:
    """Ask Graph for a call that there is not: the answer says whether *token* is good for calls."""
    base = f"{settings.graph_base_url}/{settings.graph_version}"
    url = f"{base}/communications/calls/{uuid.UUID(int=0)}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return ask(url, settings.ca_file, headers)


def check_token(got: Credentials, authority: str) -> Finding:
    """Judge what the authority gave."""
    if not got.token:
        if got.code == "unreachable":
            found = f"{authority} cannot be reached"
            return Finding(TOKENS, Level.ERROR, found, OFFLINE_REMEDY)
        known = next((way for code, way in REFUSALS.items() if code in got.problem), None)
        way = known or "Look at tenant_id, app_id, client_secret and authority in [host]."
        return Finding(TOKENS, Level.ERROR, got.problem, way, {"code": got.code})
    roles = roles_of(got.token)
    details = {"authority": authority, "roles": roles}
    found = f"given by {authority}; permissions: {', '.join(roles) or 'none'}"
    lacks = [] if NEEDED_ROLE in roles else [NEEDED_ROLE]
    if not set(CALL_ROLES) & set(roles):
        lacks.append(f"one of {', '.join(CALL_ROLES)}")
    if lacks:
        return Finding(
            TOKENS,
            Level.WARNING,
            found,
            f"Grant {' and '.join(lacks)} {ENTRA}, API permissions, and give admin consent.",
            details,
        )
    return Finding(TOKENS, Level.OK, found, details=details)


def check_graph(answer: Answer, base_url: str, *, has_token: bool, is_configured: bool) -> Finding:
    """Judge what Graph answered. Who has no credentials set needs no Graph: that is a warning."""
    details = {"url": base_url, "status": answer.status}
    if not answer.came:
        found = f"{base_url} cannot be reached: {answer.problem}"
        level = Level.ERROR if is_configured else Level.WARNING
        return Finding(GRAPH, level, found, OFFLINE_REMEDY, details)
    if not has_token:
        found = f"{base_url} is reached; no credentials are set, so it is not asked for more"
        return Finding(GRAPH, Level.OK, found, details=details)
    if answer.status == 404:
        found = f"{base_url} takes our token for calls"
        return Finding(GRAPH, Level.OK, found, details=details)
    found = f"{base_url} answered {answer.status} to a question about calls"
    if answer.status in (401, 403):
        remedy = (
            f"Grant the calls permissions {ENTRA}, and let a new token be fetched; look at"
            " graph_base_url and authority: they have to be of one cloud."
        )
        return Finding(GRAPH, Level.ERROR, found, remedy, details)
    level = Level.WARNING if answer.status >= 500 or answer.status == 429 else Level.OK
    remedy = "Try again later: Graph is busy." if level is Level.WARNING else ""
    return Finding(GRAPH, level, found, remedy, details)


def fetch_keys(
    metadata_url: str, ca_file: Path | None, *, system_roots: bool = False
) -> tuple[Answer, int]:
    """Fetch the keys behind an OpenID configuration; return the last answer and how many there are.

    A body that is not what it should be counts as no key. Thread: any but a loop's.
    """
    answer = ask(metadata_url, ca_file, system_roots=system_roots)
    if answer.status != 200:
        return answer, 0
    try:
        jwks_uri = json.loads(answer.body)["jwks_uri"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return answer, 0
    answer = ask(str(jwks_uri), ca_file, system_roots=system_roots)
    try:
        return answer, len(read_keys(json.loads(answer.body))) if answer.status == 200 else 0
    except (ValueError, RecursionError):
        return answer, 0


def check_keys(check: str, answer: Answer, keys: int, setting: str) -> Finding:
    """Judge what vouches for what comes to us; *setting* names its address."""
    details = {"url": answer.url, "keys": keys}
    if keys:
        return Finding(check, Level.OK, f"{keys} from {answer.url}", details=details)
    if not answer.came:
        found = f"{answer.url} cannot be reached: {answer.problem}"
        return Finding(check, Level.ERROR, found, OFFLINE_REMEDY, details)
    found = f"{answer.url} answered {answer.status}, without signing keys"
    return Finding(check, Level.ERROR, found, f"Look at {setting} in [host].", details)


def roles_of(token: str) -> list[str]:
    """Return the roles that a token says it has; [] when it cannot be read. Nothing is verified."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return sorted(str(role) for role in claims.get("roles", []))
    except (IndexError, ValueError, AttributeError, TypeError, RecursionError):
        return []
