"""Whatever is posted to the webhook: it is understood, or refused by its one error."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixminus.control.client.webhook import parse_notifications
from mixminus.control.graph.notifications import NotificationError
from mixminus.control.jws import BadTokenError, check_claims, read_token

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "changeType": json_values | st.sampled_from(["created", "updated", "deleted"]),
        "resourceUrl": json_values | st.sampled_from(["/communications/calls/1", "/app/calls/"]),
        "resource": json_values,
        "resourceData": json_values,
    },
)


def parses_or_refuses(body: bytes) -> None:
    try:
        for notification in parse_notifications(body):
            assert notification.call_id
    except NotificationError:
        pass


@given(st.binary())
def test_any_bytes(body: bytes) -> None:
    parses_or_refuses(body)


@given(st.lists(entries | json_values, max_size=4))
def test_any_entries(value: list[Any]) -> None:
    parses_or_refuses(json.dumps({"value": value}).encode())


@given(st.text())
def test_any_text_as_a_token(token: str) -> None:
    with pytest.raises(BadTokenError):
        read_token(token)


@given(json_values)
def test_any_header_of_a_token(header: Any) -> None:
    part = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    with pytest.raises(BadTokenError):
        read_token(f"{part}.e30.c2ln")


@given(
    st.dictionaries(
        st.sampled_from(["iss", "aud", "exp", "nbf", "iat"]),
        json_values | st.sampled_from(["issuer", "audience", 1e300, 10**400, -1, 5]),
    )
)
def test_any_claims(claims: dict[str, Any]) -> None:
    try:
        check_claims(claims, issuers=["issuer"], audiences=["audience"], now_s=5.0)
    except BadTokenError:
        return
    assert (claims["iss"], claims["aud"]) == ("issuer", "audience")
    assert 0 <= claims["nbf"] <= 5 < claims["exp"]
