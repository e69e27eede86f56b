"""The hosts of a fleet on the console's page of bots, and who has which call."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from mixminus.control.console.models import BotView, InstanceView, OwnedCallView
from tests.browser.console_page import ConsolePage, console_page
from tests.console_kit import FakeSource, row, served

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.asyncio(loop_scope="session")]

SCRIPT = "<img src=x onerror=\"document.body.dataset.hacked='yes'\">"
ASKED = InstanceView(
    name="host-1", state="alive", is_asked=True, calls=2, capacity=200, load_ratio=0.04
)
DRAINING = InstanceView(
    name="host-2", state="draining", is_asked=False, calls=1, capacity=200, load_ratio=0.7
)
SILENT = InstanceView(
    name="host-3", state="silent", is_asked=False, calls=0, capacity=50, load_ratio=0.9
)


def _owned(number: int, owner: str | None, *, epoch: int = 1, title: str = "") -> OwnedCallView:
    return OwnedCallView(
        lineage=f"lineage-{number}",
        call_id=f"0000000{number}-call",
        owner=owner,
        title=title,
        state="established",
        epoch=epoch,
    )


def _bot(*instances: InstanceView) -> BotView:
    owned = (
        _owned(1, "host-1", title="Weekly sync"),
        _owned(2, "host-1", epoch=3, title=SCRIPT),
        _owned(3, "host-2", title="a meeting"),
        _owned(4, None),
    )
    return BotView(name="reader", instances=instances, owned_calls=owned if instances else ())


@pytest_asyncio.fixture(loop_scope="session")
async def shown(browser: Browser, tmp_path: Path) -> AsyncIterator[tuple[ConsolePage, FakeSource]]:
    source = FakeSource(
        calls=[row("00000001-call", bot="reader")], known_bots=(_bot(ASKED, DRAINING, SILENT),)
    )
    async with served(tmp_path, source) as running, console_page(browser, running.console) as page:
        await page.sign_in()
        yield page, source


async def test_each_host_is_shown_as_it_is_and_each_call_with_whoever_has_it(
    shown: tuple[ConsolePage, FakeSource],
) -> None:
    console, source = shown
    page = console.page
    await console.go("bots")
    hosts = page.get_by_role("table", name="Hosts of reader").locator("tbody tr")
    await expect(hosts).to_have_text(
        [
            re.compile(r"host-1\s*\(this one\)\s*Alive\s*2 of 200\s*4\.0\s%"),
            re.compile(r"host-2\s*Draining\s*1 of 200\s*70\s%"),
            re.compile(r"host-3\s*Silent\s*0 of 50\s*\u2013"),
        ]
    )
    await page.get_by_text("Who has which call (4)").click()
    calls = page.locator(".bot-owners li")
    await expect(calls).to_have_text(
        [
            re.compile(r"Weekly sync\s*00000001\s*host-1\s*Live"),
            re.compile(r"<img.*00000002\s*host-1, epoch 3\s*Live"),
            re.compile(r"a meeting\s*00000003\s*host-2\s*Live"),
            re.compile(r"a call\s*00000004\s*offered to all\s*Live"),
        ]
    )
    assert await page.evaluate("document.body.dataset.hacked") is None
    # Another host's call has no page here.
    await expect(calls.nth(2).get_by_role("link")).to_have_count(0)
    await console.shoot("fleet")

    # What becomes of a host is seen without a hand.
    source.known_bots = (_bot(ASKED, DRAINING.model_copy(update={"state": "silent"})),)
    await expect(hosts).to_have_count(2)
    await expect(hosts.nth(1)).to_contain_text("Silent")
    # A store that is away has no hosts to tell; they are there again when it is back.
    source.known_bots = (_bot(),)
    await expect(hosts).to_have_count(0)
    source.known_bots = (_bot(ASKED),)
    await expect(hosts).to_have_count(1)
    await page.get_by_text("Who has which call (4)").click()
    await calls.first.get_by_role("link", name="Weekly sync").click()
    await expect(page).to_have_url(re.compile(r"#/calls/00000001-call$"))
