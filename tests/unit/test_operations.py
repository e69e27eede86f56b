"""Operations: their documented shapes, one end each, one notification for it, bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixminus.control.graph import operations as ops
from mixminus.control.graph.errors import GraphError
from mixminus.control.graph.notifications import Notification, build_envelope
from mixminus.control.graph.operations import (
    Operation,
    OperationOverError,
    OperationStatus,
    Outcome,
    PlayReason,
    RecordReason,
)
from mixminus.control.service.operations import Operations, interrupted
from mixminus.control.store.conversation_base import OperationRow


class Call:
    """A call that keeps what it is told."""

    id = "call"

    def __init__(self) -> None:
        self.told: list[Notification] = []
        self.running: dict[str, OperationRow] = {}
        self.is_over = False
        self.at_operate: Callable[[], Awaitable[None]] | None = None

    async def operate(self, begun: OperationRow) -> bool:
        if self.at_operate is not None:
            await self.at_operate()
        if not self.is_over:
            self.running[begun.operation_id] = begun
        return not self.is_over

    async def notify(self, *notifications: Notification, ended: str | None = None) -> None:
        self.told += notifications
        if ended is not None:
            del self.running[ended]

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        return asyncio.create_task(work)


def begun(kind: str, **members: Any) -> Operation:
    return Operation.begin("c", "o", kind, "mine", OperationStatus.RUNNING, 1, **members)


def test_the_response_of_a_recording_has_its_nulls() -> None:
    assert begun(ops.RECORD).resource() == {
        "@odata.type": "#microsoft.graph.recordOperation",
        "id": "o",
        "clientContext": "mine",
        "status": "running",
        "resultInfo": None,
        "completionReason": None,
        "recordingLocation": None,
        "recordingAccessToken": None,
    }


def test_the_end_of_a_recording_is_told_as_documented() -> None:
    outcome = Outcome(
        OperationStatus.COMPLETED,
        200,
        8514,
        "stop",
        {
            "completionReason": RecordReason.STOP_TONE.value,
            "recordingLocation": "https://file.location/17e3",
            "recordingAccessToken": "secret",
        },
    )
    notification = begun(ops.RECORD).finish(outcome, 54451).notification()
    (item,) = build_envelope([notification], "https://bot.example/")["value"]
    assert item["changeType"] == "deleted"
    assert item["resourceUrl"] == "/communications/calls/c/operations/o"
    assert item["resourceData"] == {
        "@odata.type": "#microsoft.graph.recordOperation",
        "@odata.id": "/communications/calls/c/operations/o",
        "@odata.etag": 'W/"54451"',
        "id": "o",
        "clientContext": "mine",
        "status": "completed",
        "recordingLocation": "https://file.location/17e3",
        "recordingAccessToken": "secret",
        "completionReason": "stopToneDetected",
        "resultInfo": {
            "@odata.type": "#microsoft.graph.resultInfo",
            "code": 200,
            "subcode": 8514,
            "message": "stop",
        },
    }


@pytest.mark.parametrize(
    ("kind", "annotations"),
    [
        (ops.PLAY_PROMPT, {"@odata.type", "@odata.id", "@odata.etag"}),
        (ops.START_HOLD_MUSIC, {"@odata.type", "@odata.id", "@odata.etag"}),
        (ops.ADD_LARGE_GALLERY_VIEW, {"@odata.type", "@odata.id"}),
        (ops.SEND_DTMF_TONES, {"@odata.type"}),
        (ops.INVITE_PARTICIPANTS, {"@odata.type"}),
    ],
)
def test_annotations_are_those_of_the_documented_example(kind: str, annotations: set[str]) -> None:
    data = begun(kind).finish(Outcome.success(), 2).notification().resource_data
    assert isinstance(data, dict)
    assert {key for key in data if key.startswith("@")} == annotations
    assert data["status"] == "completed"


def test_participants_of_an_invitation_are_shown_at_once() -> None:
    who = [{"@odata.type": "#microsoft.graph.invitationParticipantInfo"}]
    assert begun(ops.INVITE_PARTICIPANTS, participants=who).resource()["participants"] == who
    assert begun(ops.MUTE_PARTICIPANTS).resource()["participants"] == []


def test_what_is_not_documented_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of"):
        begun("danceOperation")
    with pytest.raises(ValueError, match="has no completionReason"):
        begun(ops.MUTE_PARTICIPANT, completionReason="x")
    with pytest.raises(ValueError, match="completed or failed"):
        begun(ops.RECORD).finish(Outcome(OperationStatus.RUNNING, 200, 0, ""), 2)
    with pytest.raises(ValueError, match="has ended"):
        begun(ops.RECORD).notification()


EVENTS = st.lists(st.sampled_from(["run", "complete", "fail"]), max_size=6)


@given(st.sampled_from(sorted(ops.MEMBERS)), st.sampled_from(["notStarted", "running"]), EVENTS)
def test_an_operation_ends_once_and_then_nothing_changes_it(
    kind: str, first: str, events: list[str]
) -> None:
    operation = Operation.begin("c", "o", kind, None, OperationStatus(first), 1)
    for revision, event in enumerate(events, start=2):
        before = operation
        try:
            if event == "run":
                operation = operation.run(revision)
            else:
                end = Outcome.success() if event == "complete" else Outcome.failure(400, 1, "no")
                operation = operation.finish(end, revision)
        except OperationOverError:
            assert before.status.is_final
            assert operation is before
        else:
            assert not before.status.is_final
            assert operation.revision == revision
    ends = [event for event in events if event != "run"]
    if ends:
        assert operation.status == ("completed" if ends[0] == "complete" else "failed")
    else:
        assert not operation.status.is_final


async def test_each_operation_tells_its_end_once() -> None:
    call = Call()
    operations = Operations(call)
    shown = await operations.create(ops.PLAY_PROMPT, "x")
    assert shown["status"] == "running"
    assert operations.all() == [shown]
    assert list(call.running) == [shown["id"]]
    reason = PlayReason.SUCCEEDED.value
    await operations.finish(shown["id"], Outcome.success(completionReason=reason))
    await operations.finish(shown["id"], Outcome.failure(400, 8508, "late"))
    assert call.running == {}
    (told,) = call.told
    assert told.resource_path == ("call", "operations", shown["id"])
    kept = operations.get(shown["id"])
    assert kept is not None
    assert kept["status"] == "completed"
    assert kept["completionReason"] == "completedSuccessfully"


async def test_what_is_answered_as_completed_is_never_told_of() -> None:
    call = Call()
    operations = Operations(call)
    shown = operations.completed(ops.MUTE_PARTICIPANT, None)
    assert shown["status"] == "completed"
    await operations.finish(shown["id"], Outcome.success())
    await operations.close()
    assert call.told == []


async def test_what_is_open_when_the_call_ends_fails_in_its_order() -> None:
    call = Call()
    operations = Operations(call)
    ids = [(await operations.create(ops.INVITE_PARTICIPANTS, None))["id"] for _ in range(3)]
    await operations.close()
    assert [told.resource_path[2] for told in call.told] == ids
    for told in call.told:
        assert isinstance(told.resource_data, dict)
        assert told.resource_data["status"] == "failed"
        assert told.resource_data["resultInfo"]["subcode"] == 8528
    await operations.close()
    assert len(call.told) == 3


async def test_memory_is_bounded() -> None:
    operations = Operations(Call(), max_kept=5)
    ids = [operations.completed(ops.MUTE_PARTICIPANT, None)["id"] for _ in range(20)]
    assert [shown["id"] for shown in operations.all()] == ids[-5:]
    assert operations.get(ids[0]) is None


async def test_there_is_no_operation_of_a_call_that_ended_meanwhile() -> None:
    over, ending = Call(), Call()
    over.is_over = True
    operations = Operations(over)
    with pytest.raises(GraphError, match="terminated"):
        await operations.create(ops.PLAY_PROMPT, None)
    closing = Operations(ending)
    ending.at_operate = closing.close
    with pytest.raises(GraphError, match="terminated"):
        await closing.create(ops.PLAY_PROMPT, None)
    assert operations.all() == closing.all() == []
    assert over.told == ending.told == []


async def test_one_that_is_withdrawn_is_never_told_of() -> None:
    call = Call()
    operations = Operations(call)
    shown = await operations.create(ops.INVITE_PARTICIPANTS, None)
    await operations.withdraw(shown["id"])
    await operations.withdraw(shown["id"])
    await operations.close()
    assert call.told == []
    assert operations.all() == []
    assert call.running == {}


@pytest.mark.parametrize("kind", sorted(ops.MEMBERS))
async def test_what_a_crash_cut_short_ends_as_with_its_call(kind: str) -> None:
    call = Call()
    operations = Operations(call)
    shown = await operations.create(kind, "mine")
    told = interrupted(call.running[shown["id"]])
    await operations.close()
    (as_with_its_call,) = call.told
    assert told == as_with_its_call


def test_an_operation_of_another_version_is_refused_by_name() -> None:
    row = OperationRow("o", "c", "danceOperation", None, "running", 1, {})
    with pytest.raises(ValueError, match="danceOperation"):
        interrupted(row)
