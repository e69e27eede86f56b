"""OData: the spelling of paths, ``$select`` and ``$expand``."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixminus.control.graph.entities import CALL, OPERATION, PARTICIPANT
from mixminus.control.graph.errors import GraphError
from mixminus.control.graph.odata import EntityType, QueryOptions, normal_path, parse_options


def options(entity: EntityType = CALL, /, **given: str) -> QueryOptions:
    return parse_options([(f"${name}", value) for name, value in given.items()], entity)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1.0/communications/calls", "/v1.0/communications/calls"),
        ("/v1.0/communications/calls/", "/v1.0/communications/calls"),
        ("/V1.0/Communications/CALLS/AbC/KeepAlive", "/v1.0/communications/calls/AbC/keepAlive"),
        ("/beta/app/calls/X/microsoft.graph.playprompt", "/beta/app/calls/X/playPrompt"),
        ("/beta/app/calls/X/MICROSOFT.GRAPH.RECORDRESPONSE", "/beta/app/calls/X/recordResponse"),
        (
            "/beta/communications/calls/microsoft.graph.LOGteleconferenceDeviceQuality",
            "/beta/communications/calls/logTeleconferenceDeviceQuality",
        ),
        (
            "/v1.0/communications/calls/Id/PARTICIPANTS/MyId/Mute",
            "/v1.0/communications/calls/Id/participants/MyId/mute",
        ),
        (
            "/v1.0/communications/calls/Id/participants/microsoft.graph.INVITE",
            "/v1.0/communications/calls/Id/participants/invite",
        ),
        (
            "/beta/communications/calls/Id/AudioRoutingGroups/OneToOne",
            "/beta/communications/calls/Id/audioRoutingGroups/OneToOne",
        ),
        (
            "/beta/communications/calls/Id/operations/$COUNT",
            "/beta/communications/calls/Id/operations/$count",
        ),
        (
            "/v1.0/communications/callrecords/ID/Sessions/S/SEGMENTS",
            "/v1.0/communications/callRecords/ID/sessions/S/segments",
        ),
        (
            "/v1.0/communications/callRecords/microsoft.graph.callRecords.getPSTNcalls(a=B)",
            "/v1.0/communications/callRecords/getPstnCalls(a=B)",
        ),
        ("/V1.0/Subscriptions/ID", "/v1.0/subscriptions/ID"),
        # Ids are kept, whatever they look like.
        ("/beta/communications/calls/KEEPALIVE", None),
        ("/v1.0/communications/calls/Id/participants/PARTICIPANTS", None),
        ("/v1.0/communications/calls/Id/microsoft.graph.participants", None),
        ("/v1.0/communications/calls/Id/SING", None),
        ("/TENANT/oauth2/v2.0/token", None),
        ("/v1/.well-known/OpenIdConfiguration", None),
        ("/mixminus/v1/CALLS/X", None),
        ("/", None),
        ("", None),
    ],
)
def test_paths_get_their_documented_spelling(path: str, expected: str | None) -> None:
    assert normal_path(path) == (path if expected is None else expected)


SEGMENT = st.text(st.characters(exclude_characters="/"), min_size=1, max_size=12)


@given(st.lists(SEGMENT | st.sampled_from(["calls", "beta", "Communications"]), min_size=1))
def test_spelling_a_path_twice_changes_nothing_more(parts: list[str]) -> None:
    once = normal_path("/v1.0/" + "/".join(parts))
    assert normal_path(once) == once


def test_select_keeps_annotations_and_the_id() -> None:
    resource = {"@odata.type": "t", "id": "i", "state": "s", "subject": None}
    assert options(select="state").apply(resource) == {"@odata.type": "t", "id": "i", "state": "s"}
    assert options().apply(resource) == options(select="*").apply(resource) == resource
    assert options(select=" ").apply(resource) == resource


def test_a_selected_property_that_is_unset_comes_as_null() -> None:
    assert options(select="callOptions").apply({"id": "i", "state": "s"}) == {
        "id": "i",
        "callOptions": None,
    }


def test_a_relationship_can_be_selected_and_shows_when_expanded() -> None:
    found = options(select="state,participants", expand="participants")
    assert found.apply({"id": "i", "state": "s"}) == {"id": "i", "state": "s"}
    assert set(found.expand) == {"participants"}


def test_expand_takes_options_of_its_own() -> None:
    found = options(expand="participants($select=id,info),operations")
    assert found.expand["participants"].apply({"id": "p", "info": 1, "isMuted": True}) == {
        "id": "p",
        "info": 1,
    }
    assert found.expand["operations"] == QueryOptions()


def test_names_of_options_are_case_insensitive_and_need_no_dollar() -> None:
    for name in ("$select", "$SELECT", "select", "Select"):
        assert parse_options([(name, "state")], CALL) == options(select="state")


def test_members_of_an_open_type_can_be_selected_where_they_are() -> None:
    entry = {"id": "p", "meetingRole": "attendee"}
    with pytest.raises(GraphError):
        options(PARTICIPANT, select="meetingRole")
    known = PARTICIPANT.with_members_of(entry)
    assert options(known, select="meetingRole").apply(entry) == entry


def test_other_query_parameters_are_passed_over() -> None:
    assert parse_options([("api-version", "1"), ("utm", "$filter")], CALL) == QueryOptions()


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ([("$filter", "state eq 'x'")], "Query option 'Filter' is not allowed"),
        ([("TOP", "1")], "Query option 'Top' is not allowed"),
        ([("$count", "true")], "Query option 'Count' is not allowed"),
        ([("$sing", "1")], "'$sing' is not supported"),
        ([("$select", "state,Song")], "property named 'Song' on type 'microsoft.graph.call'"),
        ([("$select", "State")], "property named 'State'"),
        ([("$select", "state,")], "property named ''"),
        ([("$select", "a"), ("$select", "b")], "more than once"),
        ([("$select", "id"), ("SELECT", "id")], "more than once"),
        ([("$expand", "source")], "property named 'source'"),
        ([("$expand", "participants,participants")], "not valid"),
        ([("$expand", "participants($select=id")], "not valid"),
        ([("$expand", "participants)")], "not valid"),
        ([("$expand", "participants(id)")], "not valid"),
        ([("$expand", "participants($select=song)")], "type 'microsoft.graph.participant'"),
        ([("$expand", "participants($top=1)")], "Query option 'Top' is not allowed"),
    ],
)
def test_what_is_not_supported_is_refused_in_words_of_graph(
    pairs: list[tuple[str, str]], says: str
) -> None:
    # The first of the doubled ones is refused for its name unless both are known.
    pairs = [(name, {"a": "id", "b": "id"}.get(value, value)) for name, value in pairs]
    with pytest.raises(GraphError) as caught:
        parse_options(pairs, CALL)
    assert (caught.value.status, caught.value.code) == (400, "BadRequest")
    assert says in caught.value.message


def test_nothing_hangs_under_an_operation() -> None:
    with pytest.raises(GraphError, match="commsOperation"):
        options(OPERATION, expand="participants")


@given(st.text(alphabet="participants(),;$=elct "), st.text(alphabet="$selctexpand"))
def test_any_option_is_read_or_refused(value: str, name: str) -> None:
    for pair in ((name, value), ("$expand", value), ("$select", value)):
        with suppress(GraphError):
            parse_options([pair], CALL).apply({"id": "i"})
