"""The views of the console in Chromium, over fifty calls that a source makes up."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from mixminus.control.console.models import CallDetail, CallRow, LegView, Person, Step
from tests.browser.console_page import ConsolePage, console_page
from tests.console_kit import TOKEN, FakeSource, Served, row, served

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.asyncio(loop_scope="session")]

CALLS = 50
SCRIPT = "<img src=x onerror=\"document.body.dataset.hacked='yes'\">"
LEVEL_DBOV = -20
FLOOR_DBOV = -60


class ManySource(FakeSource):
    """Fifty calls, of which it tells all there is to tell."""

    def detail(self, call_id: str) -> CallDetail | None:
        """Return a call of two people and a leg each."""
        shown = next((each for each in self.calls if call_id in (each.id, *each.call_ids)), None)
        if shown is None:
            return None
        names = (shown.title, "echo")
        return CallDetail(
            row=shown,
            timeline=(Step(at=shown.started_at, side="service", state="established"),),
            roster=tuple(
                Person(participant_id=leg, name=name, kind="user", leg_key=leg)
                for leg, name in zip(shown.legs, names, strict=True)
            ),
            legs=tuple(
                LegView(
                    key=leg,
                    side="service",
                    name=name,
                    transport="webrtc",
                    codec="opus",
                    loss_ratio=0.08,
                    jitter_ms=2.5,
                    counters={"ticks": 1200, "srtp_forged": 0},
                )
                for leg, name in zip(shown.legs, names, strict=True)
            ),
            blob={"mpUri": "wss://localhost/link", "mixminus": {"secret": "[redacted]"}},
        )


def made_up(number: int) -> CallRow:
    """Return the row of a call."""
    return row(
        f"call-{number:02}",
        title=f"Caller {number:02}",
        bot="echo",
        legs=(f"s:{number}-a", f"s:{number}-b"),
        started_at=f"2026-11-21T22:{number:02}:00.000Z",
        flags=("loss",) if number == 7 else (),
    )


@dataclass
class Shown:
    """The console in a tab, and what it is made of."""

    console: ConsolePage
    served: Served
    source: ManySource

    @property
    def page(self) -> Page:
        return self.console.page

    def change(self, number: int, **over: object) -> None:
        """Replace a call's row by another."""
        at = next(i for i, each in enumerate(self.source.calls) if each.id == f"call-{number:02}")
        self.source.calls[at] = self.source.calls[at].model_copy(update=over)


@pytest_asyncio.fixture(loop_scope="session")
async def shown(browser: Browser, tmp_path: Path) -> AsyncIterator[Shown]:
    source = ManySource(calls=[made_up(number) for number in range(CALLS)])
    source.levels = {leg: (LEVEL_DBOV, -127) for each in source.calls for leg in each.legs}
    async with served(tmp_path, source) as running, console_page(browser, running.console) as page:
        await page.sign_in()
        yield Shown(page, running, source)


async def test_fifty_calls_are_counted_listed_found_and_followed(shown: Shown) -> None:
    page = shown.page
    assert TOKEN not in page.url
    await expect(page.get_by_role("link", name="Calls 50 live")).to_be_visible()
    # What wants somebody's eye comes first.
    await expect(page.locator(".calls tbody tr").first).to_contain_text("Caller 07")

    await shown.console.go("calls")
    rows = page.locator(".calls tbody tr")
    await expect(rows).to_have_count(CALLS)
    await expect(rows.first).to_contain_text("Caller 49")
    await page.get_by_label("Find a call").fill("caller 12")
    await expect(rows).to_have_count(1)
    shown.change(12, state="onHold")
    await expect(rows.first).to_contain_text("On hold")
    shown.change(12, state="terminated", ended_at="2026-11-21T22:30:00.000Z")
    await expect(page.get_by_text("No call matches.")).to_be_visible()
    await page.get_by_role("button", name="Ended").click()
    await expect(rows.first).to_contain_text("18:00")
    await page.get_by_label("Find a call").fill("")
    await page.get_by_role("button", name="Attention").click()
    await expect(rows).to_have_count(1)
    await expect(rows.first).to_contain_text("Loss")

    shown.source.calls.clear()
    await expect(page.get_by_text("All is well.")).to_be_visible()


async def test_a_call_is_opened_by_keyboard_and_told_in_full(shown: Shown) -> None:
    page = shown.page
    await shown.console.go("calls")
    await expect(page.get_by_role("heading", name="Calls", exact=True)).to_be_focused()
    link = page.get_by_role("link", name="Caller 07")
    await link.focus()
    await page.keyboard.press("Enter")
    heading = page.get_by_role("heading", name="Caller 07", level=1)
    await expect(heading).to_be_focused()
    await expect(page).to_have_title("Caller 07 · mixminus")

    legs = page.get_by_role("table", name="Legs")
    await expect(legs).to_contain_text("WebRTC")
    # Eight in a hundred lost: said by a word, not by the colour alone.
    await expect(legs.locator(".leg-figure[data-is=bad]").first).to_contain_text("bad:")
    await page.get_by_role("button", name="Counters of Caller 07").click()
    await expect(legs).to_contain_text("1,200")
    await expect(legs).to_contain_text("Zero: SRTP forged.")

    await page.get_by_role("tab", name="Live").focus()
    await page.keyboard.press("End")
    await expect(page.get_by_role("tab", name="Details")).to_be_focused()
    await expect(page.get_by_label("the media configuration", exact=True)).to_contain_text("mpUri")

    # A link by the id of a call in it leads to the same; one that is gone says so.
    await page.goto(f"{shown.served.console.url}#/calls/call-07-graph")
    await expect(heading).to_be_visible()
    await page.goto(f"{shown.served.console.url}#/calls/none")
    await expect(page.get_by_text("The server does not know this call.")).to_be_visible()


async def test_levels_are_drawn_by_transform_where_they_can_be_seen(shown: Shown) -> None:
    page = shown.page
    await shown.console.go("calls")
    share = 100 * (1 - LEVEL_DBOV / FLOOR_DBOV)
    covers = page.locator(".calls .meter-cover")
    loud = re.compile(rf"translateX\({share:.2f}%\)")
    await expect(covers.first).to_have_attribute("style", loud)
    meter = page.get_by_role("meter", name="Level of Caller 49")
    await expect(meter).to_have_attribute("aria-valuetext", f"{LEVEL_DBOV} dBov")
    assert await covers.last.get_attribute("style") is None
    await page.locator(".calls tbody tr").last.scroll_into_view_if_needed()
    await expect(covers.last).to_have_attribute("style", loud)
    shown.source.levels = dict.fromkeys(shown.source.levels, (-127, -127))
    await expect(covers.last).to_have_attribute("style", re.compile(r"translateX\(0%\)"))


async def test_what_others_wrote_is_text(shown: Shown) -> None:
    page = shown.page
    shown.change(3, title=SCRIPT)
    shown.served.journal.record("roster", "call-03", SCRIPT, {"name": SCRIPT})
    await shown.console.go("calls", "call-03")
    await expect(page.get_by_role("heading", level=1)).to_have_text(SCRIPT)
    await expect(page.get_by_text(SCRIPT).nth(1)).to_be_visible()
    await page.get_by_role("tab", name="Events").click()
    await page.get_by_role("button", name=re.compile("onerror")).click()
    await expect(page.locator(".json .j-string")).to_contain_text("onerror")
    assert await page.evaluate("document.body.dataset.hacked") is None
    assert await page.locator("img[src=x]").count() == 0


async def test_the_log_is_filtered_searched_and_held(shown: Shown) -> None:
    page, journal = shown.page, shown.served.journal
    journal.record("state", "call-01", "established")
    journal.record("notification", "call-02", "created: call", {"haystack": "needle"})
    await shown.console.go("events")
    entries = page.locator(".event")
    await expect(entries).to_have_count(2)
    await expect(entries.first).to_contain_text("created: call")
    await expect(entries.first.get_by_role("link")).to_contain_text("Caller 02")
    await page.get_by_role("button", name="States").click()
    await expect(entries).to_have_count(1)
    await page.get_by_role("button", name="States").click()
    await page.get_by_label("Find in the log").fill("needle")
    await expect(entries).to_have_count(1)
    await page.get_by_label("Find in the log").fill("")
    await shown.console.press("Hold")
    journal.record("state", "call-01", "terminated")
    await expect(page.get_by_role("button", name="Go on (1 new)")).to_be_visible()
    await expect(entries).to_have_count(2)
    await shown.console.press("Go on (1 new)")
    await expect(entries.first).to_contain_text("terminated")


async def test_a_lost_line_comes_back_with_what_changed(shown: Shown) -> None:
    page = shown.page
    await shown.console.go("calls")
    # The next connections fail, as long as the page wants to say so.
    await page.evaluate(
        "window.lines = window.WebSocket;"
        "window.WebSocket = class extends window.lines {"
        "  constructor(url) { super(url.replace('/live', '/none')); } };"
        "window.sockets.at(-1).close();"
    )
    await expect(page.get_by_text("The connection to the server is lost.")).to_be_visible()
    shown.change(20, title="Renamed meanwhile")
    shown.served.journal.record("state", "call-20", "while it was lost")
    await page.evaluate("window.WebSocket = window.lines; dispatchEvent(new Event('online'))")
    await expect(page.get_by_role("link", name="Renamed meanwhile")).to_be_visible()
    await expect(page.get_by_text("The connection to the server is lost.")).to_have_count(0)
    await shown.console.go("events")
    await expect(page.get_by_text("while it was lost")).to_be_visible()
    # What the browser says of the connections that failed is not the page's.
    assert all("WebSocket connection" in error for error in shown.console.errors)
    shown.console.errors.clear()


async def test_the_theme_is_the_systems_until_it_is_chosen(shown: Shown) -> None:
    page = shown.page
    background = "getComputedStyle(document.body).backgroundColor"
    await page.emulate_media(color_scheme="light")
    light = await page.evaluate(background)
    await page.emulate_media(color_scheme="dark")
    dark = await page.evaluate(background)
    assert light != dark
    await page.get_by_role("button", name="Theme: system").click()
    assert await page.evaluate(background) == light
    await page.reload()
    await expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
    assert await page.evaluate(background) == light
    await page.get_by_role("button", name="Theme: light").click()
    assert await page.evaluate(background) == dark


async def test_who_has_no_token_or_a_wrong_one_is_asked_for_it(shown: Shown) -> None:
    page = shown.page
    await shown.console.press("Sign out")
    await expect(page.get_by_label("Token")).to_be_focused()
    await expect(page.locator("body")).not_to_contain_text("Caller")
    await page.reload()
    await expect(page.get_by_label("Token")).to_be_visible()
    await page.get_by_label("Token").fill("not-the-token")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_be_visible()
    await shown.console.shoot("sign-in-refused")
    # The whole printed address does as well as the token in it.
    await page.get_by_label("Token").fill(shown.served.console.sign_in_url)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert TOKEN not in page.url
    # What the browser says of the refused request is not the page's.
    assert all("401" in error for error in shown.console.errors)
    shown.console.errors.clear()
