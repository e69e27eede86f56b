"""Any text is a descriptor or a DescriptorError; any descriptor comes back as it was written."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mixminus.media.descriptor import DescriptorError, MediaSessionDescriptor
from tests.support import ROOT

DOCUMENTED: dict[str, Any] = json.loads((ROOT / "tests/data/app_hosted_blob.json").read_text())

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
contexts = st.none() | st.lists(st.none() | st.text(), max_size=3).map(tuple)
words = st.text(min_size=1)


def parses_or_refuses(text: str) -> None:
    try:
        descriptor = MediaSessionDescriptor.from_blob(text)
    except DescriptorError:
        return
    assert MediaSessionDescriptor.from_blob(descriptor.to_blob()) == descriptor


@given(st.text())
def test_any_text(text: str) -> None:
    parses_or_refuses(text)


@given(json_values)
def test_any_json(value: Any) -> None:
    parses_or_refuses(json.dumps(value))


@given(st.sampled_from([*DOCUMENTED, "mixminus"]), json_values)
def test_the_documented_blob_with_any_value_in_one_place(key: str, value: Any) -> None:
    parses_or_refuses(json.dumps({**DOCUMENTED, key: value}))


@given(
    st.fixed_dictionaries(
        {
            "mp_media_session_id": words,
            "call_id": words,
            "audio_render_contexts": contexts,
            "audio_source_contexts": contexts,
            "video_render_contexts": contexts,
            "data_source_contexts": contexts,
            "supported_audio_format": words,
            "region_affinity": st.none() | words,
            "mp_version": st.none() | words,
            "link_secret": st.none() | st.binary(min_size=32, max_size=32),
        }
    )
)
def test_any_descriptor_round_trips(fields: dict[str, Any]) -> None:
    descriptor = MediaSessionDescriptor(mp_uri="wss://localhost:1/media", **fields)
    assert MediaSessionDescriptor.from_blob(descriptor.to_blob()) == descriptor
