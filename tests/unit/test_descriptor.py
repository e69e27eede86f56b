"""The media session descriptor: the documented blob byte for byte, and how it can be wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mixminus.media.descriptor import DescriptorError, MediaSessionDescriptor, read_lineage
from tests.support import ROOT

DOCUMENTED = (ROOT / "tests/data/app_hosted_blob.json").read_text()
MP_URI = "wss://localhost:9441/media"


def changed(**members: Any) -> str:
    return json.dumps({**json.loads(DOCUMENTED), **members})


def without(key: str) -> str:
    return json.dumps({k: v for k, v in json.loads(DOCUMENTED).items() if k != key})


def test_documented_blob_round_trips_byte_for_byte() -> None:
    assert MediaSessionDescriptor.from_blob(DOCUMENTED).to_blob() == DOCUMENTED


def test_documented_blob_is_understood() -> None:
    descriptor = MediaSessionDescriptor.from_blob(DOCUMENTED)
    assert descriptor.mp_uri == "net.tcp://bot.contoso.com:18732/MediaProcessor"
    assert descriptor.audio_render_contexts == ("14778cc4-f54c-43c7-989f-9092e34ef784",)
    assert descriptor.data_source_contexts is None
    assert descriptor.supported_audio_format == "Pcm16K"
    assert descriptor.link_secret is None


def test_new_blob_has_the_documented_keys_in_order_and_ours_last() -> None:
    members = json.loads(MediaSessionDescriptor.new(MP_URI).to_blob())
    assert list(members) == [*json.loads(DOCUMENTED), "mixminus"]
    assert list(members["mixminus"]) == ["version", "secret", "epoch"]
    assert members["mixminus"]["version"] == 1


def test_new_blob_round_trips_with_its_secret() -> None:
    descriptor = MediaSessionDescriptor.new(MP_URI)
    assert MediaSessionDescriptor.from_blob(descriptor.to_blob()) == descriptor
    assert descriptor.link_secret is not None
    assert len(descriptor.link_secret) == 32


def test_each_descriptor_has_its_own_ids_and_secret() -> None:
    a, b = MediaSessionDescriptor.new(MP_URI), MediaSessionDescriptor.new(MP_URI)
    assert a.link_secret != b.link_secret
    assert a.mp_media_session_id != b.mp_media_session_id
    assert a.audio_source_contexts != b.audio_source_contexts


def test_a_rejoin_keeps_the_lineage_and_has_a_higher_epoch() -> None:
    first = MediaSessionDescriptor.new(MP_URI)
    again = MediaSessionDescriptor.new(MP_URI, lineage=first.call_id, epoch=2)
    assert (again.call_id, again.link_epoch) == (first.call_id, 2)
    assert again.mp_media_session_id != first.mp_media_session_id
    assert again.link_secret != first.link_secret
    assert json.loads(again.to_blob())["mixminus"]["epoch"] == 2
    assert MediaSessionDescriptor.from_blob(again.to_blob()) == again
    assert json.loads(again.redacted())["mixminus"]["epoch"] == 2
    assert again.without_secret().link_epoch == 1


def test_a_blob_that_names_no_epoch_is_of_the_first() -> None:
    blob = json.loads(MediaSessionDescriptor.new(MP_URI, epoch=7).to_blob())
    del blob["mixminus"]["epoch"]
    assert MediaSessionDescriptor.from_blob(json.dumps(blob)).link_epoch == 1


def test_lineage_and_epoch_can_be_read_where_the_secret_cannot() -> None:
    descriptor = MediaSessionDescriptor.new(MP_URI, lineage="a call", epoch=3)
    for blob in (descriptor.to_blob(), descriptor.redacted()):
        assert read_lineage(blob) == ("a call", 3)
    assert read_lineage(DOCUMENTED) is None
    for bad in ("{", changed(mixminus={"epoch": "x"}), changed(mixminus={}, callId=None)):
        with pytest.raises(DescriptorError):
            read_lineage(bad)


@pytest.mark.parametrize("epoch", [0, -1, 2**32, True, "2", None, 1.5])
def test_an_epoch_that_the_link_could_not_carry_is_refused(epoch: object) -> None:
    blob = json.loads(MediaSessionDescriptor.new(MP_URI).to_blob())
    blob["mixminus"]["epoch"] = epoch
    with pytest.raises(DescriptorError, match=r"mixminus\.epoch: expected (a number|1 to)"):
        MediaSessionDescriptor.from_blob(json.dumps(blob))


def test_secret_is_in_no_redacted_form() -> None:
    descriptor = MediaSessionDescriptor.new(MP_URI)
    secret = json.loads(descriptor.to_blob())["mixminus"]["secret"]
    for shown in (descriptor.redacted(), repr(descriptor), str(descriptor)):
        assert secret not in shown
        assert repr(descriptor.link_secret) not in shown
    assert json.loads(descriptor.redacted())["mixminus"]["secret"] == "[redacted]"
    assert "mixminus" not in json.loads(descriptor.without_secret().to_blob())


def test_any_order_and_unknown_keys_are_accepted() -> None:
    members = json.loads(changed(somethingNew={"a": [1]}))
    shuffled = json.dumps(dict(reversed(members.items())))
    assert MediaSessionDescriptor.from_blob(shuffled).to_blob() == DOCUMENTED


@pytest.mark.parametrize("value", [None, [], [None], ["a", None]])
def test_null_lists_and_null_entries_are_kept(value: Any) -> None:
    blob = changed(audioRenderContexts=value, videoSourceContexts=value)
    written = json.loads(MediaSessionDescriptor.from_blob(blob).to_blob())
    assert written["audioRenderContexts"] == value
    assert written["videoSourceContexts"] == value


@pytest.mark.parametrize(
    "key",
    [
        "mpUri",
        "audioRenderContexts",
        "audioSourceContexts",
        "supportedAudioFormat",
        "mpMediaSessionId",
        "callId",
    ],
)
def test_missing_key_is_named(key: str) -> None:
    with pytest.raises(DescriptorError, match=f"the blob lacks {key}"):
        MediaSessionDescriptor.from_blob(without(key))


@pytest.mark.parametrize("key", ["regionAffinity", "mpVersion", "dataRenderContexts"])
def test_keys_that_nothing_depends_on_may_be_missing(key: str) -> None:
    assert json.loads(MediaSessionDescriptor.from_blob(without(key)).to_blob())[key] is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("<Media Session Configuration>", "not JSON"),
        ("[1]", "expected a JSON object, got a list"),
        ("NaN", "not JSON"),
        ("null", "expected a JSON object, got null"),
        ("[" * 30_000, "not JSON"),
        ("9" * 5_000, "not JSON"),
        (" " * 65_537, "at most 65536 characters"),
        (changed(mpUri=7), "mpUri: expected a text, got a number"),
        (changed(mpUri="bot.contoso.com"), "mpUri: expected a URI"),
        (changed(mpUri="wss://[::1"), "mpUri: expected a URI"),
        (changed(mpUri="wss://host:99999/"), "mpUri: expected a URI"),
        (changed(mpUri="wss://host/\nX"), "mpUri: expected a URI"),
        (changed(callId=""), "callId: expected a text, got an empty text"),
        (changed(audioSourceContexts="x"), "audioSourceContexts: expected a list"),
        (changed(audioSourceContexts=[1]), "audioSourceContexts: expected a list"),
        (changed(mpVersion=[]), "mpVersion: expected a text"),
        (changed(mixminus=[]), "mixminus: expected an object"),
        (changed(mixminus={}), "mixminus.version: expected 1, got None"),
        (changed(mixminus={"version": True}), "mixminus.version"),
        (changed(mixminus={"version": 2, "secret": "x"}), "mixminus.version: expected 1, got 2"),
        (changed(mixminus={"version": 1}), "mixminus.secret: expected a text, got null"),
        (changed(mixminus={"version": 1, "secret": "QUJD"}), "mixminus.secret: expected 32 bytes"),
        (changed(mixminus={"version": 1, "secret": "*" * 43}), "mixminus.secret"),
        (changed(mixminus={"version": 1, "secret": "é" * 43}), "mixminus.secret"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_bad_blob_is_refused_with_what_was_expected(text: str, says: str) -> None:
    with pytest.raises(DescriptorError, match=says):
        MediaSessionDescriptor.from_blob(text)


def test_a_wrong_secret_is_not_quoted() -> None:
    with pytest.raises(DescriptorError) as caught:
        MediaSessionDescriptor.from_blob(changed(mixminus={"version": 1, "secret": "hunter2"}))
    assert "hunter2" not in str(caught.value)


def test_descriptor_refuses_what_no_reader_could_use() -> None:
    with pytest.raises(DescriptorError, match="mpUri"):
        MediaSessionDescriptor.new("no uri")
    with pytest.raises(DescriptorError, match="expected 32 bytes, got 3"):
        replace(MediaSessionDescriptor.new(MP_URI), link_secret=b"abc")
    with pytest.raises(DescriptorError, match="epoch: expected 1 to 4294967295, got 0"):
        MediaSessionDescriptor.new(MP_URI, epoch=0)
    with pytest.raises(DescriptorError, match="epoch"):
        replace(MediaSessionDescriptor.new(MP_URI, epoch=2), link_secret=None)
    with pytest.raises(DescriptorError, match="callId: expected a text"):
        MediaSessionDescriptor.new(MP_URI, lineage="")
