"""Captured calls in the console's page, of a real host: listed, opened, paged, copied."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from mixminus.media.replay import CAPTURE_NAME, Kind, Record
from tests.browser.console_page import console_page, console_world
from tests.unit.test_console_captures import BLOB, LINK_SECRET, notification, write

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.asyncio(loop_scope="session")]

SCRIPT = "<img src=x onerror=\"document.body.dataset.hacked='yes'\">"


async def test_captures_are_listed_opened_and_paged(browser: Browser, tmp_path: Path) -> None:
    async with (
        console_world(tmp_path) as world,
        console_page(browser, world.console) as console,
    ):
        page = console.page
        await console.sign_in()
        await console.go("recordings")
        part = page.get_by_role("region", name="Captures")
        await expect(part).to_contain_text("MIXMINUS_CAPTURE=true")
        await console.shoot("captures-none")

        store = world.host.recordings.store
        client_secret = world.host.settings.client_secret.get_secret_value()
        broken = write(store, header={"version": 1, "bot": "broken"})
        (broken / CAPTURE_NAME).write_bytes(b"no capture")
        whole = write(
            store,
            *(notification(number) for number in range(600)),
            Record(Kind.EVENT, 700 * 10_000, {"event": "speaker", "source_id": 5, "name": SCRIPT}),
            notification(800, mediaConfig={"blob": BLOB}, note=f"{client_secret} {SCRIPT}"),
        )
        await part.get_by_role("button", name="Look again").click()
        await expect(part.get_by_text("Cannot be read")).to_be_visible()
        await part.get_by_role("button", name="Incoming call of echo").click()
        command = f"mixminus replay {whole} bot.py"
        await expect(part.get_by_text(command)).to_be_visible()
        events = part.get_by_role("list", name="Events of this capture")
        await expect(events.get_by_role("listitem")).to_have_count(500)
        await events.get_by_role("button", name="call updated").first.click()
        await expect(events).to_contain_text("[redacted]")
        await expect(events).to_contain_text("onerror")
        await console.shoot("captures")
        await part.get_by_role("button", name="Older").click()
        await expect(events.get_by_role("listitem")).to_have_count(500)
        await expect(part).to_contain_text("1 to 500 of 602 events")
        await part.get_by_role("button", name="Newer").click()
        await expect(part).to_contain_text("103 to 602 of 602 events")
        for canary in (client_secret, LINK_SECRET):
            assert canary not in await page.content()
        assert await page.evaluate("document.body.dataset.hacked") is None

        await console.press("Captured call of a bot")
        await expect(part.get_by_role("alert")).to_contain_text("this capture cannot be read")
        assert all("409" in error for error in console.errors)  # The browser tells refusals, too.
        console.errors.clear()
