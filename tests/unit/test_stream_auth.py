"""Who may bring a stream: one token, one signature, and every way to be wrong is refused."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from mixminus.control.client.keys import KeysUnavailableError
from mixminus.control.host.bot import Bot
from mixminus.control.host.parts import Peer
from mixminus.control.host.stream_auth import (
    AcsTokens,
    KeyFile,
    StreamRefusedError,
    check_twilio_signature,
    twilio_signature,
)
from mixminus.control.host.stream_people import participant_of
from mixminus.control.host.streams import HostStreams, StreamAccess
from mixminus.control.settings import MICROSOFT_ACS_ISSUER
from mixminus.control.simulate.keys import KEY_ID, RESOURCE_ID, SimulatorKeys, local_settings
from tests.manual import ManualPlatform

NOW_S = 1_800_000_000
OTHER_KEY = rsa.generate_private_key(65537, 2048)
URL = "wss://bot.example/streams/twilio"


def tokens(keys: SimulatorKeys, **over: str) -> AcsTokens:
    expected = {"audience": RESOURCE_ID, "issuer": MICROSOFT_ACS_ISSUER, **over}
    return AcsTokens(KeyFile(keys.jwks_file), **expected)


def own(**over: Any) -> str:
    """A token with right claims, but for *over*, by a key of nobody's."""
    claims = {
        "iss": MICROSOFT_ACS_ISSUER,
        "aud": RESOURCE_ID,
        "iat": NOW_S,
        "nbf": NOW_S,
        "exp": NOW_S + 60,
        **over,
    }
    return jwt.encode(claims, OTHER_KEY, algorithm="RS256", headers={"kid": KEY_ID})


async def test_the_services_token_is_taken(tmp_path: Path) -> None:
    keys = SimulatorKeys(tmp_path)
    token = keys.acs_token(now_s=NOW_S)
    await tokens(keys).check(f"Bearer {token}", NOW_S)
    await tokens(keys).check(f"bearer {token}", NOW_S + 24 * 3600 - 1)


async def test_every_other_token_is_refused(tmp_path: Path) -> None:
    keys = SimulatorKeys(tmp_path)
    good = keys.acs_token(now_s=NOW_S)
    unsigned = jwt.encode({"aud": RESOURCE_ID}, "", algorithm="none")
    wrong = {
        None: "expected Authorization: Bearer",
        "": "expected Authorization: Bearer",
        f"Basic {good}": "expected Authorization: Bearer",
        "Bearer x.y.z": "expected a JWT",
        f"Bearer {unsigned}": "signed with RS256",
        f"Bearer {own()}": "signature does not hold",
        f"Bearer {keys.acs_token(now_s=NOW_S, audience='other')}": "for another application",
        f"Bearer {keys.acs_token(now_s=NOW_S, audience=RESOURCE_ID.upper())}": "another",
        f"Bearer {keys.acs_token(now_s=NOW_S, issuer=MICROSOFT_ACS_ISSUER + '/')}": "other issuer",
        f"Bearer {keys.acs_token(now_s=NOW_S - 90_000)}": "has expired",
        f"Bearer {keys.acs_token(now_s=NOW_S + 3600)}": "not valid yet",
        f"Bearer {good[:-8]}AAAAAAAA": "signature does not hold",
    }
    for authorization, says in wrong.items():
        with pytest.raises(StreamRefusedError, match=says):
            await tokens(keys).check(authorization, NOW_S)


async def test_a_key_that_nobody_knows_is_refused_and_a_new_one_found(tmp_path: Path) -> None:
    keys = SimulatorKeys(tmp_path)
    checker = tokens(keys)
    good = f"Bearer {keys.acs_token(now_s=NOW_S)}"
    keys.jwks_file.write_text(json.dumps({"keys": [{**keys.jwks()["keys"][0], "kid": "other"}]}))
    with pytest.raises(StreamRefusedError, match="unknown key"):
        await checker.check(good, NOW_S)
    SimulatorKeys(tmp_path)  # Writes the file again.
    await checker.check(good, NOW_S)


@pytest.mark.parametrize("content", [None, "", "{}", '{"keys": []}', "x" * 300_000])
async def test_a_file_without_keys_is_no_refusal(tmp_path: Path, content: str | None) -> None:
    keys = SimulatorKeys(tmp_path)
    keys.jwks_file.unlink()
    if content is not None:
        keys.jwks_file.write_text(content)
    with pytest.raises(KeysUnavailableError, match=r"acs-jwks\.json"):
        await tokens(keys).check(f"Bearer {keys.acs_token(now_s=NOW_S)}", NOW_S)


def test_the_simulators_secrets_are_its_owners(tmp_path: Path) -> None:
    first, again = SimulatorKeys(tmp_path), SimulatorKeys(tmp_path)
    assert first.jwks() == again.jwks()
    assert first.twilio_auth_token == again.twilio_auth_token
    for name in ("acs-key.pem", "twilio-auth-token"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0
    assert "d" not in first.jwks()["keys"][0]


# ---- Twilio


def test_a_signature_is_that_of_twilios_documentation() -> None:
    # HMAC-SHA1 with the key "12345", computed with openssl.
    assert twilio_signature("wss://example.com/stream", "12345") == SIGNED


SIGNED = "KG4JbhDlv15BMlxSTOWKt9btbgg="


@pytest.mark.parametrize("signed_url", [URL, f"{URL}/", URL.replace(".example", ".example:443")])
def test_twilios_spellings_of_a_url_are_taken(signed_url: str) -> None:
    check_twilio_signature(twilio_signature(signed_url, "secret"), URL, "secret")


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "x" * 100,
        "é",
        twilio_signature(URL, "other"),
        twilio_signature(URL + "/more", "secret"),
        twilio_signature(URL.replace("wss", "https"), "secret"),
    ],
)
def test_other_signatures_are_refused(signature: str | None) -> None:
    with pytest.raises(StreamRefusedError, match="X-Twilio-Signature"):
        check_twilio_signature(signature, URL, "secret")


# ---- the routes' rules


def streams(**access: Any) -> HostStreams:
    return HostStreams(
        platform=ManualPlatform(),
        bot=Bot(),
        access=StreamAccess(**access),
        url=lambda: "https://bot.example",
    )


async def test_nobody_comes_in_where_nothing_is_set() -> None:
    with pytest.raises(StreamRefusedError, match="MIXMINUS_ACS_RESOURCE_ID"):
        await streams().admit("acs", None, {}, "/streams/acs")
    with pytest.raises(StreamRefusedError, match="MIXMINUS_TWILIO_AUTH_TOKEN"):
        await streams().admit("twilio", None, {}, "/streams/twilio")


async def test_a_path_token_must_be_the_one_that_is_set() -> None:
    path_token = "a path token of some length"
    host = streams(path_token=path_token)
    assert await host.admit("twilio", path_token, {}, "/streams/twilio/x") is None
    for wrong in (None, "", path_token[:-1], "é"):
        with pytest.raises(StreamRefusedError, match="does not hold the token"):
            await host.admit("twilio", wrong, {}, "/streams/twilio")
    with pytest.raises(StreamRefusedError, match="does not hold the token"):
        # A token although none was ever given out.
        await streams(twilio_auth_token="secret").admit("twilio", "x", {}, "/streams/twilio/x")


async def test_a_ticket_lets_one_kind_in_and_no_proof_is_spared(tmp_path: Path) -> None:
    keys = SimulatorKeys(tmp_path)
    host = streams(acs=tokens(keys), twilio_auth_token="secret")
    ticket = host.expect("acs", peer=Peer("4:+1555"), parameters={"a": "b"})
    path = f"/streams/acs/{ticket.token}"
    assert ticket.url == f"wss://bot.example{path}"
    assert ticket.token not in repr(ticket)
    good = {"authorization": f"Bearer {keys.acs_token(now_s=time.time())}"}
    assert await host.admit("acs", ticket.token, good, path) is ticket
    with pytest.raises(StreamRefusedError, match="expected Authorization"):
        await host.admit("acs", ticket.token, {}, path)
    with pytest.raises(StreamRefusedError, match="does not hold the token"):
        await host.admit("twilio", ticket.token, {}, f"/streams/twilio/{ticket.token}")
    host.forget(ticket)
    with pytest.raises(StreamRefusedError, match="does not hold the token"):
        await host.admit("acs", ticket.token, good, path)


async def test_twilios_signature_covers_the_path() -> None:
    host = streams(twilio_auth_token="secret")
    signed = {"x-twilio-signature": twilio_signature(URL, "secret")}
    assert await host.admit("twilio", None, signed, "/streams/twilio") is None
    ticket = host.expect("twilio")
    with pytest.raises(StreamRefusedError, match="not that of this URL"):
        await host.admit("twilio", ticket.token, signed, f"/streams/twilio/{ticket.token}")
    own_signature = {"x-twilio-signature": twilio_signature(ticket.url, "secret")}
    admitted = await host.admit(
        "twilio", ticket.token, own_signature, f"/streams/twilio/{ticket.token}"
    )
    assert admitted is ticket


async def test_a_host_without_a_public_url_is_known_by_the_name_it_was_called() -> None:
    access = StreamAccess(twilio_auth_token="secret")
    host = HostStreams(
        platform=ManualPlatform(), bot=Bot(), access=access, url=lambda: "https://localhost:9441"
    )
    called = "wss://127.0.0.1:9441/streams/twilio"
    headers = {"host": "127.0.0.1:9441", "x-twilio-signature": twilio_signature(called, "secret")}
    assert await host.admit("twilio", None, headers, "/streams/twilio") is None
    with pytest.raises(StreamRefusedError, match="not that of this URL"):
        # One with a public URL takes no other name.
        await streams(twilio_auth_token="secret").admit("twilio", None, headers, "/streams/twilio")


# ---- people


@pytest.mark.parametrize(
    ("raw_id", "kind", "identity"),
    [
        ("4:+15555550123", "phone", "+15555550123"),
        ("8:orgid:2d5f", "user", "2d5f"),
        ("28:orgid:2d5f", "application", "2d5f"),
        ("8:teamsvisitor:ab", "guest", "ab"),
        ("8:acs:res_user", "azureCommunicationServicesUser", "8:acs:res_user"),
        ("inbound", "encrypted", "inbound"),
    ],
)
def test_raw_ids_are_identities(raw_id: str, kind: str, identity: str) -> None:
    person = participant_of(raw_id, 17)
    assert person.id == raw_id
    assert person.source_ids == ("17",)
    assert person.identity is not None
    assert (person.identity.kind, person.identity.id) == (kind, identity)


def test_a_simulator_is_not_let_in_beside_the_service_that_it_simulates(tmp_path: Path) -> None:
    acs, twilio = {"acs_resource_id", "acs_keys_file"}, {"twilio_auth_token"}
    assert local_settings(tmp_path).keys() == acs | twilio
    assert local_settings(tmp_path, ["MIXMINUS_ACS_RESOURCE_ID"]).keys() == twilio
    assert local_settings(tmp_path, ["mixminus_acs_connection_string"]).keys() == twilio
    assert local_settings(tmp_path, ["MIXMINUS_TWILIO_AUTH_TOKEN"]).keys() == acs
