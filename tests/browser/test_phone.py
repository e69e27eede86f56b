"""The phone page in Chromium: real signalling, real WebRTC, and what is heard is compared."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from mixminus.control.host import BotHost, HostedCall
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from mixminus.media.platform import MediaPlatform
from tests.browser.chromium import HAND, PhonePage, phone_page
from tests.browser.echo import (
    SILENT_DBOV,
    EchoBot,
    audible,
    hears_echo,
    is_playing_the_file,
    level,
    silent,
)
from tests.browser.relay import Relay
from tests.interop.caller import TestCaller
from tests.signals import tone_dbov
from tests.support import eventually

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="session")]

# What a service that takes no telephone events would make of the page's offer.
WITHOUT_EVENTS = """
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (text) {
  send.call(this, text.replaceAll(/a=rtpmap:\\d+ telephone-event[^\\\\]*\\\\r\\\\n/g, ""));
};
"""

REFUSING = """
const take = RTCPeerConnection.prototype.setRemoteDescription;
RTCPeerConnection.prototype.setRemoteDescription = function (description) {
  if (!window.refusals) return take.call(this, description);
  window.refusals -= 1;
  return Promise.reject(new Error("refused by the test"));
};
"""


class World:
    """A service, a host with the echo bot, and a page that nobody has signed in to."""

    def __init__(
        self,
        platform: MediaPlatform,
        service: CallService,
        host: BotHost,
        bot: EchoBot,
        phone: PhonePage,
    ) -> None:
        self.platform, self.service, self.host = platform, service, host
        self.bot, self.phone = bot, phone

    async def call(self) -> HostedCall:
        """The call of this host that stands."""
        await eventually(lambda: len(self.host.calls) == 1, 20.0, "a call")
        (call,) = self.host.calls
        await asyncio.wait_for(call.wait_established(), 20)
        return call


@pytest_asyncio.fixture(loop_scope="session")
async def world(browser: Browser, tmp_path: Path) -> AsyncIterator[World]:
    bot = EchoBot()
    async with AsyncExitStack() as exits:
        platform = await exits.enter_async_context(MediaPlatform())
        settings = ServiceSettings(state_dir=tmp_path, drain_s=0.0)
        service = await exits.enter_async_context(CallService(settings, platform=platform))
        host_settings = HostSettings.from_dev_file(service.dev_file, state_dir=tmp_path)
        host = await exits.enter_async_context(BotHost(bot.bot, host_settings, platform=platform))
        phone = await exits.enter_async_context(phone_page(browser, service.dev_file))
        yield World(platform, service, host, bot, phone)


async def test_call_to_the_echo_bot_is_heard_muted_and_hung_up(world: World) -> None:
    phone, page = world.phone, world.phone.page
    await page.goto(phone.url)
    await phone.shoot("sign-in")
    await phone.sign_in()
    await phone.take_raw_microphone()
    await phone.shoot("dial")
    await phone.call_bot()
    await is_playing_the_file(phone)
    report = await hears_echo(phone)
    print(f"round trip {report.round_trip_p50_ms:.0f} ms, {report.median_correlation:.3f}")
    await expect(page.locator("#round-trip")).to_have_text(re.compile(r"^[\d.]+ ms$"))
    await expect(page.locator("#jitter")).to_have_text(re.compile(r"^[\d.]+ ms$"))
    await expect(page.locator("#loss")).to_have_text(re.compile(r"^[\d.]+ %$"))
    await expect(page.locator("#codec")).to_have_text("opus")
    await expect(page.locator("#meter-value")).to_have_text(re.compile("dBov"))
    await phone.shoot("call-light")
    await phone.shoot("call-dark", color_scheme="dark")
    await phone.shoot("call-phone", viewport=HAND)
    await phone.shoot("call-phone-dark", viewport=HAND, color_scheme="dark")

    call = await world.call()
    await phone.press("Mute")
    await expect(page.locator("#mute")).to_have_attribute("aria-pressed", "true")
    await silent(phone)
    await phone.press("Unmute")
    await audible(phone)
    await phone.press("Hold")
    await phone.logs("on hold")
    await silent(phone)
    await phone.press("Resume")
    await audible(phone)
    await phone.press("Hang up")
    await asyncio.wait_for(call.wait_ended(), 20)
    await expect(page.locator("#call")).to_be_hidden()
    await expect(page.get_by_role("button", name="Call", exact=True)).to_be_focused()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["telephone event", "signalled"])
async def test_keys_reach_the_bot(world: World, way: str) -> None:
    phone, page, bot = world.phone, world.phone.page, world.bot
    bot.media = "service"
    if way == "signalled":
        await page.add_init_script(WITHOUT_EVENTS)
    await phone.sign_in()
    await phone.call_bot()
    call = await world.call()
    await asyncio.wait_for(bot.is_listening.wait(), 20)
    await phone.press("1")
    await eventually(lambda: bot.keys == ["1"], 20.0, "the key 1")
    await phone.press("2")
    await page.keyboard.press("3")
    await phone.press("hash")
    await eventually(lambda: bot.keys == ["1", "2", "3", "#"], 20.0, "the keys 1, 2, 3, #")
    await phone.logs(f"pressed # ({way})")
    await call.hang_up()
    await expect(page.locator("#call")).to_be_hidden()
    await expect(page.get_by_role("alert").filter(has_text="200")).to_be_visible()


@pytest.mark.slow
async def test_bot_rings_and_is_accepted_or_declined(world: World) -> None:
    phone, page = world.phone, world.phone.page
    await phone.sign_in()
    await phone.take_raw_microphone()
    refused = await world.host.calls.create(user="John")
    await expect(page.locator("#rings")).to_contain_text("echo bot is calling")
    await expect(page).to_have_title("echo bot is calling")
    await phone.shoot("ringing", viewport=HAND)
    await phone.press("Decline")
    await asyncio.wait_for(refused.wait_ended(), 20)
    assert refused.result is not None
    await expect(page.locator("#rings")).to_be_empty()
    call = await world.host.calls.create(user="John")
    await phone.press("Accept")
    await phone.is_connected()
    await asyncio.wait_for(call.wait_established(), 20)
    await hears_echo(phone)
    await call.hang_up()
    await expect(page.locator("#call")).to_be_hidden()
    withdrawn = await world.host.calls.create(user="John")
    await expect(page.locator("#rings")).to_contain_text("echo bot is calling")
    await withdrawn.hang_up()
    await expect(page.locator("#rings")).to_be_empty()


@pytest.mark.slow
async def test_lost_connection_is_mended_by_an_ice_restart(world: World) -> None:
    phone, page = world.phone, world.phone.page
    await phone.sign_in()
    await phone.take_raw_microphone()
    await phone.call_bot()
    await hears_echo(phone)
    before = await phone.descriptions()
    await page.evaluate("dispatchEvent(new Event('online'))")
    await phone.reconnects(1)
    (after,) = await phone.descriptions()  # the same connection
    assert [ufrag(sdp) for sdp in before[0]] != [ufrag(sdp) for sdp in after]
    await hears_echo(phone)
    await phone.lose_line()
    await phone.logs("the line is back")
    await phone.reconnects(2)
    await hears_echo(phone)


@pytest.mark.slow
async def test_network_that_was_gone_is_back_with_the_call(world: World) -> None:
    phone, relay = world.phone, Relay()
    await relay.install(phone.page)
    try:
        await phone.sign_in()
        await phone.take_raw_microphone()
        await phone.call_bot()
        await hears_echo(phone)
        assert relay.carried > 100
        relay.is_cut = True
        await phone.shows("Connection lost: looking for a new way…")
        await phone.shoot("lost")
        relay.is_cut = False
        await phone.reconnects(1)
        (_, answer), *others = await phone.descriptions()
        assert others == []
        if "a=ice-lite" in answer:  # Our own end of it, which tells whether media flow.
            await phone.logs("the service hears nothing from this device")
            await phone.logs("the service hears this device again")
        await hears_echo(phone)
    finally:
        relay.close()


@pytest.mark.slow
async def test_what_no_ice_restart_mends_a_new_connection_does(world: World) -> None:
    phone, page = world.phone, world.phone.page
    await page.add_init_script(REFUSING)
    await phone.sign_in()
    await phone.take_raw_microphone()
    await phone.call_bot()
    await page.evaluate("window.refusals = 2; dispatchEvent(new Event('online'))")
    await phone.logs("not reconnected: refused by the test")
    await phone.reconnects(1)
    assert await page.evaluate("[window.refusals, window.connections.length]") == [0, 2]
    await hears_echo(phone)


@pytest.mark.slow
async def test_reloaded_page_takes_its_call_up_again(world: World) -> None:
    phone, page = world.phone, world.phone.page
    await phone.sign_in()
    await phone.take_raw_microphone()
    await phone.call_bot()
    call = await world.call()
    await page.reload()
    await phone.reconnects(1)
    assert level(await phone.listen(2.0)) > SILENT_DBOV
    await phone.press("Hang up")
    await asyncio.wait_for(call.wait_ended(), 20)
    await page.reload()
    await expect(page.locator("#user-name")).to_have_text("John")
    await phone.press("Sign out")
    await expect(page.get_by_label("Token of a user")).to_be_focused()
    await page.reload()
    await expect(page.get_by_label("Token of a user")).to_be_visible()


@pytest.mark.slow
async def test_meeting_is_joined_by_its_url(world: World) -> None:
    phone, page = world.phone, world.phone.page
    meeting = world.service.dev_file.meetings[0]
    async with TestCaller(world.service.dev_file, "Alice", world.platform) as alice:
        await alice.join_meeting(join_url=meeting.join_url)
        alice.say_tone(700)
        await phone.sign_in()
        await expect(page.locator("#meetings option").first).to_have_attribute(
            "value", meeting.join_url
        )
        await page.get_by_label("Join URL").fill(meeting.join_url)
        await page.keyboard.press("Enter")
        await phone.is_connected()
        await expect(page.locator("#call-title")).to_have_text(meeting.subject)

        async def hears_alice() -> bool:
            return tone_dbov((await phone.listen(0.3))[1], 700) > -30

        await eventually(hears_alice, 15.0, "Alice's tone")
        await phone.press("Hang up")
        await expect(page.locator("#dial")).to_be_visible()


def ufrag(sdp: str) -> str:
    found = re.search(r"^a=ice-ufrag:(\S+)", sdp, re.MULTILINE)
    assert found, sdp
    return found[1]
