"""Calls in every state that the SDK's requests want, each made by the SDK itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from msgraph_beta import GraphServiceClient
from msgraph_beta.generated.communications.calls.item.answer.answer_post_request_body import (
    AnswerPostRequestBody,
)
from msgraph_beta.generated.communications.calls.item.call_item_request_builder import (
    CallItemRequestBuilder,
)
from msgraph_beta.generated.models.call import Call
from msgraph_beta.generated.models.identity import Identity
from msgraph_beta.generated.models.identity_set import IdentitySet
from msgraph_beta.generated.models.invitation_participant_info import InvitationParticipantInfo
from msgraph_beta.generated.models.media_info import MediaInfo
from msgraph_beta.generated.models.media_prompt import MediaPrompt
from msgraph_beta.generated.models.modality import Modality
from msgraph_beta.generated.models.service_hosted_media_config import ServiceHostedMediaConfig

from tests.contract import seeds
from tests.contract.sdk_kit import parsed
from tests.contract.stage import WAIT_S, Person, Stage
from tests.service_kit import GOOD_SDP
from tests.support import eventually


@dataclass
class Made:
    """One call, the SDK's builder of it, and John, who is in it."""

    id: str
    call: CallItemRequestBuilder
    john: Person
    stage: Stage
    chain_id: str = ""

    async def told(self, *kinds: str) -> None:
        await self.stage.told(self.id, *kinds)

    async def own(self) -> str:
        """The participant id of the application itself."""
        shown = await self.call.get()
        assert shown is not None
        assert shown.my_participant_id is not None
        return str(shown.my_participant_id)

    async def johns(self) -> str:
        """The participant id of John."""
        page = await self.call.participants.get()
        assert page is not None
        for entry in page.value or []:
            assert entry.info is not None
            assert entry.info.identity is not None
            if entry.info.identity.user is not None and entry.info.identity.user.id == JOHN:
                assert entry.id is not None
                return str(entry.id)
        raise AssertionError("John is not in the roster")


@dataclass
class World:
    """The stage, and the SDK's client of its service."""

    stage: Stage
    client: GraphServiceClient

    def call(self, call_id: str) -> CallItemRequestBuilder:
        return self.client.communications.calls.by_call_id(call_id)

    def prompt(self) -> MediaPrompt:
        info = MediaInfo(uri=f"{self.stage.cdn.url}/beep.wav", resource_id="beep")
        return MediaPrompt(media_info=info)

    async def post(self, example: str, **members: Any) -> Call:
        """Create the call of a documented example; *members* replace single ones of its request."""
        document = self.stage.localised(seeds.load(f"create_call/{example}")["request"])
        created = await self.client.communications.calls.post(parsed(Call, {**document, **members}))
        assert created is not None
        assert created.id is not None
        return created

    @asynccontextmanager
    async def peer(self, example: str = "01_p2p_service_hosted") -> AsyncIterator[Made]:
        """A call with John that is established."""
        async with self.stage.person("John") as john:
            created = await self.post(example)
            async with self._living(created, john) as made:
                await self.stage.has_media(made.id)
                yield made

    @asynccontextmanager
    async def meeting(self, example: str = "05_meeting_service_hosted") -> AsyncIterator[Made]:
        """A meeting that John is in already."""
        request = seeds.load(f"create_call/{example}")["request"]
        async with self.stage.person("John") as john:
            await john.join(request["chatInfo"]["threadId"])
            created = await self.post(example)
            async with self._living(created, john) as made:
                await self.stage.has_media(made.id)
                yield made

    @asynccontextmanager
    async def incoming(self, **call: Any) -> AsyncIterator[Made]:
        """John rings the application, which has not said anything yet."""
        known = set(self._incoming_ids())
        async with self.stage.person("John") as john:
            await john.phone.send(type="call", appId=self.stage.dev.app_id, sdp=GOOD_SDP, **call)
            await eventually(lambda: set(self._incoming_ids()) - known, WAIT_S, "the call")
            (call_id,) = set(self._incoming_ids()) - known
            async with self._living(Call(id=call_id), john) as made:
                yield made

    @asynccontextmanager
    async def answered(self, **call: Any) -> AsyncIterator[Made]:
        """John rang the application, and it answered."""
        async with self.incoming(**call) as made:
            await made.call.answer.post(self.answer())
            await self.stage.has_media(made.id)
            yield made

    def answer(self) -> AnswerPostRequestBody:
        return AnswerPostRequestBody(
            callback_uri=self.stage.receiver.url,
            accepted_modalities=[Modality.Audio],
            media_config=ServiceHostedMediaConfig(),
        )

    def _incoming_ids(self) -> list[str]:
        return [
            item["resourceData"]["id"]
            for body in self.stage.receiver.taken
            for item in body["value"]
            if item["changeType"] == "created" and "direction" in item["resourceData"]
        ]

    @asynccontextmanager
    async def _living(self, created: Call, john: Person) -> AsyncIterator[Made]:
        assert created.id is not None
        chain = created.call_chain_id or ""
        try:
            yield Made(created.id, self.call(created.id), john, self.stage, chain)
        finally:
            await self.stage.hang_up(created.id)


def user(user_id: str, name: str) -> InvitationParticipantInfo:
    """Name a user as somebody to be called."""
    identity = IdentitySet(user=Identity(id=user_id, display_name=name))
    return InvitationParticipantInfo(identity=identity)


Driver = Callable[[World], Awaitable[None]]
CALL = "/communications/calls/{call-id}"
CONTEXT = "d45324c1-fcb5-430a-902c-f20af696537c"
JOHN = "112f7296-5fa4-42ca-bae8-6a692b15d4b8"
ALICE = "278405a3-f568-4b3e-b684-009193463064"


class Drivers(dict[str, Driver]):
    """What drives each request of the SDK, by its name as ``sdk_kit.builders`` gives it."""

    def __call__(self, *requests: str) -> Callable[[Driver], Driver]:
        def add(driver: Driver) -> Driver:
            for request in requests:
                assert request not in self, request
                self[request] = driver
            return driver

        return add
