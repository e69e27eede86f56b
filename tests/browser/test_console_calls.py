"""Every view of the console with real calls in it: what is done there, and pictures of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.console_page import ConsolePage, ConsoleWorld, console_page, console_world
from tests.interop.caller import TestCaller
from tests.support import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.asyncio(loop_scope="session"),
]

MEETING = "Weekly sync"
GUEST = "Gail Guest"

# How much of the picture of a recording is drawn on.
DRAWN = """
canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let drawn = 0;
  for (let at = 3; at < data.length; at += 4) drawn += data[at] > 0;
  return 4 * drawn / data.length;
}
"""
RANGE = """
async audio => {
  const reply = await fetch(audio.currentSrc, { headers: { Range: "bytes=0-43" } });
  return [reply.status, (await reply.arrayBuffer()).byteLength];
}
"""


@pytest_asyncio.fixture(loop_scope="session")
async def world(tmp_path: Path) -> AsyncIterator[ConsoleWorld]:
    async with console_world(tmp_path) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="session")
async def console(browser: Browser, world: ConsoleWorld) -> AsyncIterator[ConsolePage]:
    async with console_page(browser, world.console) as console:
        await console.sign_in()
        yield console


async def test_meeting_gets_a_bot_from_the_list_and_a_guest_from_the_lobby(
    world: ConsoleWorld, console: ConsolePage
) -> None:
    page = console.page
    join_url = next(m.join_url for m in world.service.dev_file.meetings if m.subject == MEETING)
    async with AsyncExitStack() as exits:
        for name, hz in (("Alice", 500), ("Bob", 700), ("John", 1100)):
            caller = TestCaller(world.service.dev_file, name, world.platform)
            await exits.enter_async_context(caller)
            await caller.join_meeting(join_url=join_url)
            caller.say_tone(hz, 2000.0 + 3 * hz)
        await console.go("bots")
        await expect(page.get_by_text("echo bot").first).to_be_visible()
        await console.shoot("bots")
        await console.go("meetings")
        await expect(page.get_by_text(MEETING).first).to_be_visible()
        await console.shoot("meetings")
        await console.open_call(MEETING)
        await console.press("Place a bot")
        await expect(page.get_by_role("dialog").get_by_label("Bot")).to_be_visible()
        await console.shoot("place-bot")
        await page.get_by_role("dialog").get_by_role("button", name="Place it").click()
        await console.toast("echo bot is on its way")
        await world.host.calls.join(join_url=join_url, guest_name=GUEST)
        await expect(page.get_by_text("Waiting in the lobby")).to_be_visible()
        await console.shoot("call-lobby")
        await console.press(f"Admit {GUEST}")
        await expect(page.get_by_text("Waiting in the lobby")).to_have_count(0)
        await page.get_by_role("tab", name="Who hears whom").click()
        matrix = page.get_by_role("table", name="Who hears whom")
        await expect(matrix.get_by_role("row")).to_have_count(6)
        await expect(matrix.get_by_role("rowheader", name=GUEST)).to_be_visible()
        # By the keyboard: over the diagonal, and switched with Space.
        await matrix.get_by_role("switch").first.focus()
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("Space")
        await expect(page.locator("button.route:focus")).to_have_attribute("aria-checked", "false")
        await console.shoot("call-routing-meeting")
        await console.go()
        await expect(page.get_by_role("link", name=MEETING).first).to_be_visible()
        await console.shoot("overview")
        await console.go("calls")
        await console.shoot("calls")
        await console.go("events")
        await expect(page.get_by_role("heading", name="Event log")).to_be_visible()
        await console.shoot("events")


async def test_plugin_is_added_set_and_bypassed_while_the_call_goes_on(
    world: ConsoleWorld, console: ConsolePage
) -> None:
    page = console.page
    async with TestCaller(world.service.dev_file, "John", world.platform) as john:
        await john.call_app(world.service.dev_file.app_id)
        await eventually(lambda: len(world.host.calls) == 1, 20.0, "the call")
        (call,) = world.host.calls
        await console.open_call("John", "Plugins")
        await console.press("Add a plugin")
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Plugin").select_option(label="Gain (bot host)")
        await dialog.get_by_label("On", exact=True).select_option(label="What the bot says")
        number = dialog.get_by_role("textbox", name="Gain (dB)")
        await number.fill("-3")
        await number.press("Tab")
        await console.shoot("add-plugin")
        await dialog.get_by_role("button", name="Add it").click()
        await console.press("More of Gain")
        number = page.get_by_role("textbox", name="Gain (dB)")
        await expect(number).to_have_value("-3")
        assert [dict(spec.config) for spec in call.plugins] == [{"gain_db": -3}]
        await number.fill("100")
        await number.press("Enter")
        await expect(number).to_have_attribute("aria-invalid", "true")
        await number.fill("-12.5")
        await number.press("Enter")
        await expect(number).to_have_attribute("aria-invalid", "false")
        await expect(page.get_by_text("gain -12.5 dB")).to_be_visible()
        await console.shoot("call-plugins")
        switch = page.get_by_role("switch", name="Gain is on")
        for is_on in ("false", "true"):
            await switch.click()
            await expect(switch).to_have_attribute("aria-checked", is_on)
        await console.press("Take it out")
        await expect(page.get_by_text("No plugins in this call")).to_be_visible()
        assert list(call.plugins) == []
        await john.hang_up()


async def test_recording_is_made_seen_and_played(world: ConsoleWorld, console: ConsolePage) -> None:
    page = console.page
    async with TestCaller(world.service.dev_file, "John", world.platform) as john:
        john.say_tone(440)
        await john.call_app(world.service.dev_file.app_id)
        await console.open_call("John")
        await console.press("Record")
        await expect(console.button("Stop recording")).to_be_visible()
        await john.listen(2.0)
        await console.press("Stop recording")
        await console.toast("The recording has ended")
        await page.get_by_role("tab", name="Recordings").click()
        await expect(console.button("Play Everybody, mixed")).to_be_visible()
        await console.shoot("call-recordings")
        await john.hang_up()
    await console.go("recordings")
    await page.locator(".recording-title").first.click()
    position = page.get_by_role("slider", name="Position in Everybody, mixed")
    await expect(position).to_have_attribute("aria-valuetext", re.compile(r"^0:00 of 0:0[1-9]$"))
    await expect(position).to_have_attribute("aria-busy", "false")
    drawn = await position.locator("canvas").evaluate(DRAWN)
    assert drawn > 0.1  # A tone is a band; of silence there is a line, 3 % of the picture.
    await console.shoot("recordings")
    await position.focus()
    await page.keyboard.press("End")
    await expect(position).to_have_attribute("aria-valuetext", re.compile(r"^0:0[1-9] of"))
    await page.keyboard.press("Home")
    await console.press("Play Everybody, mixed")
    audio = page.locator(".player audio").first

    async def is_played() -> bool:
        return bool(await audio.evaluate("audio => audio.currentTime > 0.2 && !audio.error"))

    await eventually(is_played, 15.0, "the recording to play")
    assert await audio.evaluate(RANGE) == [206, 44]
