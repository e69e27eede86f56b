"""The gate: throttling, and the permissions of every scenario and method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mixminus.control.graph.enums import ALL_ROLES, Role
from mixminus.control.graph.errors import GraphError
from mixminus.control.graph.requests import parse_call_request
from mixminus.control.service.access import METHOD_ROLES, Access
from mixminus.control.service.keys import SigningKey, new_key_pem
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.service.throttle import Throttle
from mixminus.control.service.tokens import AccessTokens, Principal
from mixminus.control.service.urls import ServiceUrls
from mixminus.control.store.sqlite import SqliteStore

THREAD = "19:meeting_Win6@thread.v2"
HOSTED = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}
USERS = [{"identity": {"user": {"id": name}}} for name in ("u", "v")]
MEETING: dict[str, Any] = {
    "chatInfo": {"threadId": THREAD},
    "meetingInfo": {"organizer": {"user": {"id": "bob", "tenantId": "tenant"}}},
}
GUEST: dict[str, Any] = {"source": {"identity": {"guest": {"id": "g"}}}}
PSTN = {
    "targets": [{"identity": {"phone": {"id": "+12345678901"}}}],
    "source": {"identity": {"applicationInstance": {"id": "i"}}},
}


def asked(app_hosted: bool = False, **members: Any) -> Any:
    config = {"blob": "{}"} if app_hosted else HOSTED
    body = {"callbackUri": "https://bot.contoso.com/", "mediaConfig": config, **members}
    return parse_call_request(body)


def principal(*roles: Role) -> Principal:
    return Principal("app", "tenant", frozenset(role.value for role in roles))


@pytest.fixture
async def access(tmp_path: Path) -> Any:
    settings = ServiceSettings(state_dir=tmp_path, chat_grants={THREAD: ("app",)})
    urls = ServiceUrls.at("localhost", 1, settings.tenant_id)
    store = await SqliteStore.open(tmp_path / "service.db")
    yield Access(AccessTokens(SigningKey(new_key_pem()), urls), store, settings)
    await store.close()


SCENARIOS = [
    ({"targets": USERS[:1]}, Role.INITIATE),
    (PSTN, Role.INITIATE),
    ({"targets": USERS}, Role.INITIATE_GROUP_CALL),
    ({"meetingInfo": {"joinMeetingId": "1"}}, Role.JOIN_GROUP_CALL),
    (MEETING | GUEST, Role.JOIN_GROUP_CALL_AS_GUEST),
]


@pytest.mark.parametrize(("members", "role"), SCENARIOS)
@pytest.mark.parametrize("app_hosted", [False, True])
def test_each_scenario_needs_its_own_permission(
    access: Access, members: dict[str, Any], role: Role, app_hosted: bool
) -> None:
    request = asked(app_hosted, **members)
    needed = {role, Role.ACCESS_MEDIA} if app_hosted else {role}
    access.require_create(principal(*needed), request)
    for lacking in needed:
        with pytest.raises(GraphError) as caught:
            access.require_create(principal(*(set(ALL_ROLES) - {lacking})), request)
        assert (caught.value.status, caught.value.code) == (403, "7504")


def test_an_owner_of_a_thread_can_let_an_application_in(access: Access) -> None:
    access.require_create(principal(), asked(**MEETING))
    with pytest.raises(GraphError):
        access.require_create(principal(), asked(app_hosted=True, **MEETING))
    access.require_create(principal(Role.ACCESS_MEDIA), asked(app_hosted=True, **MEETING))
    other_thread = MEETING | {"chatInfo": {"threadId": "19:other@thread.v2"}}
    with pytest.raises(GraphError):
        access.require_create(principal(), asked(**other_thread))
    with pytest.raises(GraphError):
        access.require_create(Principal("other", "tenant", frozenset()), asked(**MEETING))
    # Guests are asked for a permission of their own.
    with pytest.raises(GraphError):
        access.require_create(principal(), asked(**MEETING, **GUEST))


def test_a_call_in_another_tenant_is_a_mismatch(access: Access) -> None:
    with pytest.raises(GraphError) as caught:
        access.require_create(principal(*ALL_ROLES), asked(targets=USERS[:1], tenantId="other"))
    assert (caught.value.status, caught.value.code) == (403, "7505")


@pytest.mark.parametrize(("method", "roles"), METHOD_ROLES.items())
def test_one_of_the_documented_permissions_will_do(
    access: Access, method: str, roles: frozenset[Role]
) -> None:
    for role in roles:
        access.require_method(principal(role), method)
    with pytest.raises(GraphError) as caught:
        access.require_method(principal(*(set(Role) - roles)), method)
    assert (caught.value.status, caught.value.code) == (403, "7504")


@pytest.mark.parametrize(
    "method",
    [
        "",
        "cancelMediaProcessing",
        "keepAlive",
        "listParticipants",
        "mute",
        "playPrompt",
        "reject",
        "unmute",
    ],
)
def test_what_is_documented_as_not_checked_again_is_not(access: Access, method: str) -> None:
    access.require_method(principal(), method)


def test_answering_a_call_of_two_needs_nothing_a_group_call_does(access: Access) -> None:
    access.require_answer(principal(), is_group=False, is_app_hosted=False)
    for role in (Role.JOIN_GROUP_CALL, Role.JOIN_GROUP_CALL_AS_GUEST):
        access.require_answer(principal(role), is_group=True, is_app_hosted=False)
    for needed in (
        {"is_group": True, "is_app_hosted": False},
        {"is_group": False, "is_app_hosted": True},
    ):
        with pytest.raises(GraphError) as caught:
            access.require_answer(principal(Role.INITIATE), **needed)
        assert caught.value.code == "7504"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_request_too_many_waits_for_the_next_window() -> None:
    clock = Clock()
    throttle = Throttle(2, 15.0, clock)
    throttle.count("app", "tenant")
    clock.now = 4.5
    throttle.count("app", "tenant")
    with pytest.raises(GraphError) as caught:
        throttle.count("app", "tenant")
    assert (caught.value.status, caught.value.code) == (429, "activityLimitReached")
    assert caught.value.headers == {"Retry-After": "11"}
    throttle.count("other", "tenant")
    clock.now = 15.0
    throttle.count("app", "tenant")


def test_no_limit_lets_all_pass() -> None:
    throttle = Throttle(0, 15.0)
    for _ in range(1000):
        throttle.count("app", "tenant")
