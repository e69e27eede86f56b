"""The console in Chromium: its telephone heard, its buttons felt by real calls."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.console_page import ConsolePage, ConsoleWorld, console_page, console_world
from tests.browser.echo import audible, hears_echo, is_playing_the_file, silent
from tests.interop.caller import TestCaller
from tests.signals import tone_dbov
from tests.support import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.asyncio(loop_scope="session"),
]

SCRIPT = "<img src=x onerror=\"document.body.dataset.hacked='yes'\">"


@pytest_asyncio.fixture(loop_scope="session")
async def world(tmp_path: Path) -> AsyncIterator[ConsoleWorld]:
    async with console_world(tmp_path) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="session")
async def console(browser: Browser, world: ConsoleWorld) -> AsyncIterator[ConsolePage]:
    async with console_page(browser, world.console) as console:
        await console.sign_in()
        yield console


async def test_call_to_the_echo_bot_is_heard_muted_held_and_hung_up(
    world: ConsoleWorld, console: ConsolePage
) -> None:
    page = console.page
    await console.shoot("overview-empty")
    await console.take_raw_microphone()
    await console.call_bot()
    await is_playing_the_file(console)
    report = await hears_echo(console)
    print(f"round trip {report.round_trip_p50_ms:.0f} ms, {report.median_correlation:.3f}")
    await console.unfold_telephone()
    await expect(page.locator("#round-trip")).to_have_text(re.compile(r"^[\d.]+\sms$"))
    await expect(page.locator("#codec")).to_have_text("opus")
    await console.shoot("telephone")
    await console.press("Less of the telephone")

    # What is told of it: a row, its people with levels, what was sent.
    await console.open_call("John")
    levels = page.get_by_role("meter", name="John speaks").first
    await expect(levels).to_have_attribute("aria-valuetext", re.compile("dBov"))
    await console.shoot("call")
    await console.page.get_by_role("tab", name="Events").click()
    await expect(page.get_by_text("established").first).to_be_visible()
    await console.shoot("call-events")
    await console.page.get_by_role("tab", name="Details").click()
    await expect(page.get_by_text("mpUri").first).to_be_visible()
    await console.shoot("call-details")
    await expect(page.get_by_text("[redacted]").first).to_be_visible()
    shown = await page.locator("body").inner_text()
    assert not [secret for secret in secrets_of(world) if secret in shown]

    await console.press("Mute")
    await expect(page.locator("#mute")).to_have_attribute("aria-pressed", "true")
    await silent(console)
    await console.press("Unmute")
    await audible(console)
    await console.press("Hold")
    await silent(console)
    await console.press("Resume")
    await audible(console)
    (call,) = world.host.calls
    await page.reload()  # The call is taken up again, by the same user.
    await console.is_connected()
    await audible(console)
    await console.press("Hang up")
    await asyncio.wait_for(call.wait_ended(), 20)
    await console.is_idle()
    await expect(console.dock.get_by_role("button", name="Call echo bot")).to_be_focused()


def secrets_of(world: ConsoleWorld) -> list[str]:
    """What the media link of the only call is opened with, as text may have it, and the app's."""
    (call,) = world.host.calls
    assert call.session is not None
    secret = call.session.descriptor.link_secret
    assert secret is not None
    texts = [base64.b64encode(secret).decode(), base64.urlsafe_b64encode(secret).decode()]
    return [*texts, secret.hex(), world.service.dev_file.client_secret, world.console.token]


async def test_keys_of_the_pad_and_the_keyboard_reach_the_bot(
    world: ConsoleWorld, console: ConsolePage
) -> None:
    bot = world.bot
    bot.media = "service"
    await console.call_bot()
    await asyncio.wait_for(bot.is_listening.wait(), 20)
    await console.unfold_telephone()
    await console.press("1")
    await eventually(lambda: bot.keys == ["1"], 20.0, "the key 1")
    await console.page.keyboard.press("2")
    await eventually(lambda: bot.keys == ["1", "2"], 20.0, "the key 2")
    await console.press("hash")
    await eventually(lambda: bot.keys == ["1", "2", "#"], 20.0, "the key #")
    await console.logs("pressed #")
    (call,) = world.host.calls
    await call.hang_up()
    await console.is_idle()


async def test_bot_that_is_asked_to_call_rings_and_is_answered_or_not(
    world: ConsoleWorld, console: ConsolePage
) -> None:
    page = console.page
    await console.take_raw_microphone()
    await console.take_part_as("Bob")
    await console.go("calls")
    await console.press("Start a call")
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("How").select_option(label="A bot calls somebody")
    await dialog.get_by_label("Whom").select_option(label="Bob")
    await console.shoot("start-call")
    await dialog.get_by_role("button", name="Call").click()
    await expect(console.dock.get_by_text("is calling")).to_be_visible()
    await console.shoot("ringing")
    await console.press("Accept")
    await console.is_connected()
    await hears_echo(console)
    (call,) = world.host.calls
    # The row that is open is that call: whoever leaves it last ends it.
    await console.press("End the call")
    await console.press("End it for all")
    await asyncio.wait_for(call.wait_ended(), 20)
    await console.is_idle()

    refused = await world.host.calls.create(user="Bob")
    await console.press("Decline")
    await asyncio.wait_for(refused.wait_ended(), 20)


async def test_group_call_that_goes_on_is_joined(world: ConsoleWorld, console: ConsolePage) -> None:
    page = console.page
    async with (
        TestCaller(world.service.dev_file, "Alice", world.platform) as alice,
        TestCaller(world.service.dev_file, "John", world.platform) as john,
    ):
        call = await world.host.calls.create(users=["Alice", "John"])
        await asyncio.wait_for(call.wait_established(), 20)
        await alice.told("answered")
        await john.told("answered")
        alice.say_tone(700)
        await console.take_part_as("Bob")
        await console.go("calls")
        await page.locator(".row-link").first.click()
        await console.press("Join")
        await console.is_connected()  # It rang, and the page answered by itself.

        async def hears_alice() -> bool:
            return tone_dbov((await console.listen(0.3))[1], 700) > -30

        await eventually(hears_alice, 15.0, "Alice's tone")
        await console.press("Hang up")
        await console.is_idle()


async def test_meeting_is_made_joined_and_run(world: ConsoleWorld, console: ConsolePage) -> None:
    page = console.page
    await console.take_raw_microphone()
    await console.go("meetings")
    await console.press("New meeting")
    await page.get_by_label("Subject").fill(SCRIPT)
    await page.get_by_role("button", name="Make it").click()
    await console.shoot("meeting-made")
    join_url = await page.get_by_label("Join link").input_value()
    await page.get_by_role("button", name="Join with the microphone").click()
    await console.is_connected()
    async with TestCaller(world.service.dev_file, "Alice", world.platform) as alice:
        await alice.join_meeting(join_url=join_url)
        alice.say_tone(700)

        async def hears_alice() -> bool:
            return tone_dbov((await console.listen(0.3))[1], 700) > -30

        async def hears_nobody() -> bool:
            return tone_dbov((await console.listen(0.3))[1], 700) < -55

        await eventually(hears_alice, 15.0, "Alice's tone")
        await console.open_call(SCRIPT, "Who hears whom")
        me = await page.locator(".matrix tbody th").filter(has_not_text="Alice").first.inner_text()
        field = page.get_by_role("switch", name=f"{me} hears Alice")
        await expect(field).to_have_attribute("aria-checked", "true")
        await console.shoot("call-routing")
        await field.click()
        await expect(field).to_have_attribute("aria-checked", "false")
        await eventually(hears_nobody, 15.0, "silence for one")
        await field.click()
        await eventually(hears_alice, 15.0, "Alice's tone again")
        await page.get_by_role("tab", name="Live").click()
        await console.press("Mute Alice")
        assert (await alice.told("muted"))["muted"]
        await eventually(hears_nobody, 15.0, "silence of Alice")
        await console.press("Unmute Alice")
        await eventually(hears_alice, 15.0, "Alice unmuted")
        await console.press("Remove Alice")
        await alice.told("ended")
    await expect(page.locator("body")).not_to_have_attribute("data-hacked", "yes")
    await console.press("Hang up")
    await console.is_idle()
