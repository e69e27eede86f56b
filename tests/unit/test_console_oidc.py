"""Sign-in by OpenID Connect against an issuer over TLS: the way in, and all that is refused."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import httpx2
import pytest
import pytest_asyncio

from mixminus.control.console.oidc import FLOW_S
from mixminus.control.console.session import FLOW_COOKIE
from mixminus.control.console.sign_in import SESSION_COOKIE
from mixminus.control.tls import client_context
from tests.console_kit import Served, served
from tests.oidc_kit import CLIENT_ID, CLIENT_SECRET, Issuer, issuer, other_key

ADELE = "Adele <b>Vance</b>"


@dataclass
class Browser:
    """One browser: it keeps the console's cookies, and goes where it is led."""

    console: Served
    ca_file: Path
    cookies: dict[str, str] = field(default_factory=dict)
    set_cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        own = {"Cookie": jar} if jar else {}
        return self._kept(await self.console.http.get(path, headers={**own, **headers}))

    async def post(self, path: str, **headers: str) -> httpx2.Response:
        jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        own = {"Cookie": jar, "Content-Type": "application/json", "Origin": self.console.origin}
        return self._kept(await self.console.http.post(path, headers={**own, **headers}))

    async def at_issuer(self) -> str:
        """Begin, and let the issuer ask Adele; return the address that she is led back to."""
        begun = await self.get("/console/api/oidc/start")
        assert begun.status_code == 303
        context = client_context(self.ca_file)
        async with httpx2.AsyncClient(verify=context, trust_env=False) as http:
            asked = await http.get(begun.headers["location"])
        assert asked.status_code == 302
        back: str = asked.headers["location"]
        assert back.startswith(f"{self.console.origin}/console/api/oidc/callback?")
        return back

    async def back(self, address: str) -> str | None:
        """Come back from the issuer; return the error that the page is to show."""
        answer = await self.get(address, **{"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 303
        assert "access-canary" not in answer.text + str(answer.headers)
        where = urlsplit(answer.headers["location"])
        assert where.path == "/console"
        return unquote(where.fragment.removeprefix("error=")) or None

    async def name(self) -> str | None:
        session = (await self.get("/console/api/session")).json()
        return session["name"] if session["signedIn"] else None

    def _kept(self, answer: httpx2.Response) -> httpx2.Response:
        for header in answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(header).items():
                self.set_cookies[name] = header
                self.cookies.pop(name, None)
                if morsel["max-age"] != "0":
                    self.cookies[name] = morsel.value
        return answer


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def ca_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("issuer")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def issuing(ca_dir: Path) -> AsyncIterator[Issuer]:
    async with issuer(ca_dir) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(issuing: Issuer, ca_dir: Path) -> AsyncIterator[Served]:
    async with served(ca_dir / "console", **oidc(issuing, ca_dir)) as console:
        yield console


@pytest.fixture
def adele(issuing: Issuer) -> Issuer:
    issuing.afresh()
    return issuing


@pytest.fixture
def browser(adele: Issuer, running: Served, ca_dir: Path) -> Browser:
    return Browser(running, ca_dir / "ca.pem")


def oidc(adele: Issuer, ca_dir: Path, **over: Any) -> dict[str, Any]:
    return {
        "oidc_authority": adele.url,
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": CLIENT_SECRET,
        "oidc_allowed": ("ADELE@contoso.example",),
        "oidc_ca_file": ca_dir / "ca.pem",
        **over,
    }


async def test_somebody_signs_in_and_out(browser: Browser) -> None:
    offered = (await browser.get("/console/api/session")).json()
    assert (offered["methods"], offered["oidcUrl"]) == (
        ["token", "oidc"],
        "/console/api/oidc/start",
    )
    assert await browser.back(await browser.at_issuer()) is None

    session = (await browser.get("/console/api/session")).json()
    assert (session["signedIn"], session["method"], session["name"]) == (True, "oidc", ADELE)
    assert session["expiresAt"].endswith("Z")
    kept = browser.set_cookies[SESSION_COOKIE]
    for attribute in ("HttpOnly", "Secure", "SameSite=strict", "Path=/", "Max-Age="):
        assert attribute in kept
    assert "Domain" not in kept
    assert "SameSite=lax" in browser.set_cookies[FLOW_COOKIE]
    assert FLOW_COOKIE not in browser.cookies
    assert (await browser.get("/console/api/calls")).status_code == 200

    refused = await browser.post("/console/api/session/end", Origin="https://evil.example")
    assert refused.status_code == 403
    assert await browser.name() == ADELE
    stolen = dict(browser.cookies)
    assert (await browser.post("/console/api/session/end")).status_code == 204
    assert SESSION_COOKIE not in browser.cookies
    browser.cookies = stolen  # The session itself is over, not only this browser's cookie.
    assert (await browser.get("/console/api/calls")).status_code == 401
    assert await browser.name() is None


async def test_a_session_expires(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    await browser.back(await browser.at_issuer())
    signs = browser.console.console._parts.sign_ins
    monkeypatch.setattr(signs, "now", lambda: time.monotonic() + 8 * 3600 + 1)
    answer = await browser.get("/console/api/calls")
    assert answer.status_code == 401
    assert "expired" in answer.json()["error"]["message"]


def expired(claims: dict[str, Any]) -> None:
    claims |= {"iat": claims["iat"] - 1000, "exp": claims["exp"] - 1000}


def not_yet(claims: dict[str, Any]) -> None:
    claims["nbf"] = claims["exp"] + 1000


async def test_an_id_token_that_is_wrong_signs_nobody_in(browser: Browser, adele: Issuer) -> None:
    wrongs: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
        (expired, "expired"),
        (not_yet, "not yet valid"),
        (lambda claims: claims.update(aud="another-application"), "audience"),
        (lambda claims: claims.update(aud=[CLIENT_ID, "another"]), "another application"),
        (lambda claims: claims.pop("aud"), "aud"),
        (lambda claims: claims.update(iss="https://localhost/other"), "issuer"),
        (lambda claims: claims.update(nonce="another"), "start it again"),
        (lambda claims: claims.pop("nonce"), "start it again"),
        (lambda claims: claims.pop("exp"), "exp"),
        (lambda claims: claims.pop("sub"), "sub"),
    ]
    for change, why in wrongs:
        adele.change = change
        error = await browser.back(await browser.at_issuer())
        assert error is not None, why
        assert why in error.casefold()
        assert SESSION_COOKIE not in browser.cookies
        assert await browser.name() is None
    assert adele.redeemed == len(wrongs)

    adele.change = lambda claims: None
    adele.signs_with = other_key()
    error = await browser.back(await browser.at_issuer())
    assert error is not None
    assert "ignature" in error


async def test_an_answer_to_another_question_signs_nobody_in(
    browser: Browser, adele: Issuer
) -> None:
    back = await browser.at_issuer()
    flow = dict(browser.cookies)
    query = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
    path = "/console/api/oidc/callback?"
    # A wrong state uses the flow up, and so does the issuer's word that it was refused.
    assert "start it again" in (await browser.back(path + urlencode({**query, "state": "x"})) or "")
    browser.cookies = dict(flow)
    assert "took too long" in (await browser.back(back) or "")

    await browser.at_issuer()
    state = parse_qs(urlsplit(await browser.at_issuer()).query)["state"][0]
    denied = {"error": "access_denied", "error_description": "<script>", "state": state}
    error = await browser.back(path + urlencode(denied))
    assert error is not None
    assert "access_denied" in error
    assert "script" not in error

    # Somebody else's code and state, in a browser that did not begin: login CSRF.
    back = await browser.at_issuer()
    victim = Browser(browser.console, browser.ca_file)
    assert "begun elsewhere" in (await victim.back(back) or "")
    assert await victim.name() is None
    assert adele.redeemed == 0


async def test_a_code_is_good_once(browser: Browser, adele: Issuer) -> None:
    back = await browser.at_issuer()
    flow = dict(browser.cookies)
    assert await browser.back(back) is None
    thief = Browser(browser.console, browser.ca_file, cookies=flow)
    assert "took too long" in (await thief.back(back) or "")
    # Nor with a flow of the thief's own: neither the issuer nor state let it through.
    own = parse_qs(urlsplit(await thief.at_issuer()).query)
    used = parse_qs(urlsplit(back).query)
    mixed = urlencode({"code": used["code"][0], "state": own["state"][0]})
    error = await thief.back(f"/console/api/oidc/callback?{mixed}")
    assert error is not None
    assert "invalid_grant" in error
    assert adele.redeemed == 1


async def test_who_took_too_long_starts_again(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = await browser.at_issuer()
    signing = browser.console.console._parts.oidc
    assert signing is not None
    monkeypatch.setattr(signing, "_now", lambda: time.monotonic() + FLOW_S + 1)
    assert "took too long" in (await browser.back(back) or "")


async def test_only_those_named_may_enter(browser: Browser, adele: Issuer) -> None:
    def another(claims: dict[str, Any]) -> None:
        # An email that nobody verified is whatever its owner likes.
        claims |= {
            "preferred_username": "eve@contoso.example",
            "email": "adele@contoso.example",
            "email_verified": False,
        }

    adele.change = another
    assert "may not use this console" in (await browser.back(await browser.at_issuer()) or "")

    def verified(claims: dict[str, Any]) -> None:
        another(claims)
        claims["email_verified"] = True

    adele.change = verified
    assert await browser.back(await browser.at_issuer()) is None


async def test_tokens_that_are_none_sign_nobody_in(browser: Browser, adele: Issuer) -> None:
    for answer in (
        {"access_token": "access-canary"},
        {"access_token": "access-canary", "id_token": "no.token"},
        {"access_token": "access-canary", "id_token": "x"},
        {"error": "server_error", "error_description": "access-canary"},
    ):
        adele.token_answer = answer
        assert await browser.back(await browser.at_issuer()) is not None
        assert await browser.name() is None


async def test_an_issuer_that_does_not_answer_or_is_none_is_said_to_be(
    adele: Issuer, ca_dir: Path, tmp_path: Path
) -> None:
    gone = "https://localhost:9/tenant"
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("gone", {"oidc_authority": gone}, "cannot be reached"),
        ("untrusted", {"oidc_ca_file": None}, "cannot be reached"),
        ("none", {"oidc_authority": adele.url + "/no"}, "does not answer as an OpenID issuer"),
    ]
    for place, over, why in cases:
        settings = oidc(adele, ca_dir, **over)
        async with served(tmp_path / place, **settings) as console:
            answer = await console.http.get("/console/api/oidc/start")
            assert answer.status_code == 303
            assert why in unquote(answer.headers["location"])
            assert "set-cookie" not in answer.headers
