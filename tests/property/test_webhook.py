"""Whatever is posted to the webhook: it is understood, or refused by its one error."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixminus.control.client.webhook import (
    TokenRefusedError,
    parse_notifications,
    read_key_id,
)
from mixminus.control.graph.notifications import NotificationError

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
    with pytest.raises(TokenRefusedError):
        read_key_id(token)


@given(json_values)
def test_any_header_of_a_token(header: Any) -> None:
    token = base64.urlsafe_b64encode(json.dumps(header).encode()).decode() + ".e30.c2ln"
    with pytest.raises(TokenRefusedError):
        read_key_id(token)
