"""The metrics of a process with both roles while a call goes on, and after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mixminus.control.operation.metrics.catalogue import CATALOGUE
from mixminus.control.store.base import StoreError
from mixminus.media.plugins.config import PluginSpec
from tests.metrics_kit import Exposition, World, both_roles, echo_bot
from tests.support import eventually

PHONE = "+14255550123"
"""Picks up by itself, and is heard: a script of the service's."""

ONLY_WITH_PACKETS = {"mixminus_round_trip_seconds", "mixminus_far_loss_ratio"}
"""What no far end has told of where only a media link carries audio."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    plugins = (PluginSpec("gain", "mix"), PluginSpec("level_meter", "own"))
    async with both_roles(tmp_path, echo_bot(), plugins=plugins) as world:
        yield world


def expect_catalogue(exposition: Exposition) -> None:
    """Expect all that is documented, as it is documented, and nothing else."""
    ours = {name: kind for name, kind in exposition.kinds.items() if name.startswith("mixminus_")}
    assert ours == {name.removesuffix("_total"): spec.kind for name, spec in CATALOGUE.items()}
    others = set(exposition.kinds) - set(ours)
    assert all(name.startswith(("process_", "python_gc_")) for name in others)


async def test_a_call_shows_in_the_metrics_of_both_roles_and_stays_in_their_totals(
    world: World,
) -> None:
    before = await world.scrape()
    expect_catalogue(before)
    assert before.samples['mixminus_calls{role="host",state="established"}'] == 0
    call = await world.host.calls.create(phone=PHONE)
    async with asyncio.timeout(20):
        await call.wait_established()
    await eventually(lambda: call.audio.counters().sent > 10, 20, "the bot to have said something")

    during = await world.scrape("host")
    for state, count in (("living", 1), ("draining", 0), ("dead", 0)):
        assert during.samples[f'mixminus_fleet_instances{{state="{state}"}}'] == count
    assert during.samples["mixminus_fence_open"] == 1
    assert during.samples['mixminus_calls_rejoined_total{outcome="joined"}'] == 0
    assert during.samples['mixminus_store_works_total{outcome="done",role="host"}'] > 0
    expect_catalogue(during)
    now = during.samples
    for role in ("service", "host"):
        assert now[f'mixminus_calls{{role="{role}",state="established"}}'] == 1
        assert now[f'mixminus_call_setup_seconds_count{{role="{role}"}}'] == 1
        assert now[f'mixminus_calls_begun_total{{direction="outgoing",role="{role}"}}'] == 1
    assert now['mixminus_legs{codec="pcm16k"}'] >= 2
    assert now['mixminus_transports{transport="link"}'] == 2
    assert now['mixminus_participants{kind="phone"}'] == 1
    assert now["mixminus_media_sessions"] == 1
    assert now['mixminus_bot_frames_total{direction="said"}'] > 10
    assert now['mixminus_plugin_frames_total{outcome="processed",plugin="gain",role="host"}'] > 0
    assert now['mixminus_plugin_time_seconds_sum{plugin="gain",role="host"}'] > 0
    assert now['mixminus_tokens_total{source="authority"}'] == 1
    assert now["mixminus_tokens_issued_total"] == 1
    expected = 'mixminus_signing_key_fetches_total{issuer="notifications",outcome="good"}'
    assert now[expected] == 1
    assert now["mixminus_tick_lateness_seconds_count"] > 10
    absent = set(during.kinds) - during.families_with_samples()
    assert {name for name in absent if name.startswith("mixminus_")} <= ONLY_WITH_PACKETS

    await call.hang_up()
    await call.wait_closed()
    await eventually(lambda: world.service.book.living == 0, 10, "the call's end")

    async def all_told() -> bool:
        return (await world.service.store.outbox_backlog()).pending == 0

    await eventually(all_told, 20, "the last notifications")
    at_service, at_host = await world.scrape("service"), await world.scrape("host")
    after = at_service.samples
    # One process, one exposition: whichever port it is read from.
    assert at_service.families_with_samples() == at_host.families_with_samples()
    for line, value in during.totals().items():
        assert after[line] >= value, line
    for role in ("service", "host"):
        assert after[f'mixminus_calls{{role="{role}",state="established"}}'] == 0
        assert after[f'mixminus_calls_ended_total{{code="200",role="{role}"}}'] == 1
        assert after[f'mixminus_call_duration_seconds_count{{role="{role}"}}'] == 1
    assert after['mixminus_transports{transport="link"}'] == 0
    assert after["mixminus_media_sessions"] == 0
    delivered = after["mixminus_notifications_delivered_total"]
    assert delivered == after["mixminus_notification_lag_seconds_count"] > 0
    taken = after['mixminus_webhook_notifications_total{outcome="taken"}']
    assert taken >= delivered
    # What comes after a call's end is nobody's to handle.
    assert 0 < after["mixminus_notification_handling_seconds_count"] <= taken
    route = "/v1.0/communications/calls/{call_id}"
    labels = f'code="204",method="DELETE",role="service",route="{route}"'
    assert after[f"mixminus_http_requests_total{{{labels}}}"] == 1
    assert call.id not in at_service.text


async def test_a_store_that_does_not_answer_costs_its_own_figures_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(world.service.store, "outbox_backlog", fail)
    exposition = await world.scrape()
    expect_catalogue(exposition)
    assert "mixminus_notifications_pending" not in exposition.samples
    assert exposition.samples["mixminus_ticks_total"] > 0
