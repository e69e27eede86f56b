"""Who gets into the console, who does not, and what is made of text from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.chromium import WAIT_MS
from tests.browser.console_page import ConsolePage, ConsoleWorld, console_page, console_world
from tests.interop.caller import TestCaller, add_users

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="session")]

TOKEN = "the-token-of-this-test"
OTHER_TOKEN = "the-token-of-the-next-start"
SCRIPT = "<img src=x onerror=\"document.body.dataset.hacked='yes'\"><script>1</script>"
FOREIGN = "http://foreign.example"

# What a page of another site can try, even one that knows the token.
ATTACKS = """
async ([base, token]) => {
  const body = JSON.stringify({ subject: "made by another site" });
  const tried = async (init) => {
    try {
      const reply = await fetch(base + "/api/meetings", { method: "POST", body, ...init });
      return reply.type === "opaque" ? "nothing can be read" : "status " + reply.status;
    } catch (error) {
      return error.name;
    }
  };
  const socket = new WebSocket(base.replace("http", "ws") + "/api/live");
  const heard = [];
  const line = new Promise((resolve) => {
    socket.onopen = () => socket.send(JSON.stringify({ type: "hello", token }));
    socket.onmessage = ({ data }) => heard.push(data);
    socket.onclose = ({ code }) => resolve(code);
  });
  return {
    json: await tried({
      headers: { "Content-Type": "application/json", Authorization: "Bearer " + token },
    }),
    simple: await tried({ mode: "no-cors", headers: { "Content-Type": "text/plain" } }),
    line: await line,
    heard,
  };
}
"""


@pytest_asyncio.fixture(loop_scope="session")
async def world(tmp_path: Path) -> AsyncIterator[ConsoleWorld]:
    async with console_world(tmp_path, token=TOKEN) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="session")
async def console(browser: Browser, world: ConsoleWorld) -> AsyncIterator[ConsolePage]:
    async with console_page(browser, world.console) as console:
        yield console


async def test_token_signs_in_from_the_fragment_and_is_gone_from_the_address(
    console: ConsolePage,
) -> None:
    page, asked = console.page, []
    page.on("request", lambda request: asked.append(request.url))
    await console.sign_in()
    assert TOKEN not in page.url
    await expect(console.dock.get_by_role("button", name="Call echo bot")).to_be_enabled()
    await page.reload()
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    await console.press("Sign out")
    await expect(page.get_by_label("Token")).to_be_visible()
    assert await page.evaluate("sessionStorage.length") == 0
    assert asked
    assert not any("token%20" in url or TOKEN in url for url in asked)


@pytest.mark.slow
async def test_without_the_token_nothing_is_seen(world: ConsoleWorld, console: ConsolePage) -> None:
    page, bodies = console.page, []
    page.on("response", lambda reply: bodies.append(reply))
    await page.goto(console.console.url + "#/calls")
    await expect(page.get_by_label("Token")).to_be_visible()
    await console.shoot("sign-in")
    await page.get_by_label("Token").fill("a token that I made up")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_be_visible()
    await console.shoot("sign-in-refused")
    answers = [await reply.text() for reply in bodies if "/console/api/" in reply.url]
    assert answers
    for answer in answers:
        assert world.service.dev_file.tenant_id not in answer
        assert "John" not in answer
        assert world.console.token not in answer
    await page.get_by_label("Token").fill(TOKEN)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Calls")).to_be_visible()
    refused = [text for text in console.errors if "401" in text]
    assert refused  # The browser says so by itself.
    console.errors = [text for text in console.errors if text not in refused]


@pytest.mark.slow
async def test_a_token_of_an_earlier_start_is_told_to_be_over(
    browser: Browser, tmp_path: Path
) -> None:
    async with console_world(tmp_path, token=TOKEN) as world:
        port = urlsplit(world.console.url).port
        assert port is not None
        opened = console_page(browser, world.console)
        console = await opened.__aenter__()
        try:
            await console.sign_in()
        except BaseException:
            await opened.__aexit__(None, None, None)
            raise
    try:
        await expect(console.page.get_by_text("lost").first).to_be_visible()
        async with console_world(tmp_path, token=OTHER_TOKEN, http_port=port):
            await expect(console.page.get_by_label("Token")).to_be_visible()
            await expect(console.page.get_by_role("alert")).to_be_visible()
            assert await console.page.evaluate("sessionStorage.length") == 0
        console.errors = []  # That nobody answered was meant.
    finally:
        await opened.__aexit__(None, None, None)


@pytest.mark.slow
async def test_a_page_of_another_site_does_nothing_and_hears_nothing(
    browser: Browser, world: ConsoleWorld
) -> None:
    before = [meeting.subject for meeting in world.service.dev_file.meetings]
    context = await browser.new_context()
    context.set_default_timeout(WAIT_MS)
    try:
        await context.route(
            f"{FOREIGN}/*",
            lambda route: route.fulfill(content_type="text/html", body="<h1>Free prizes</h1>"),
        )
        page = await context.new_page()
        await page.goto(f"{FOREIGN}/")
        found = await page.evaluate(ATTACKS, [world.console.url, TOKEN])
    finally:
        await context.close()
    assert found["json"] == "TypeError"  # What CORS makes of it.
    assert found["simple"] in ("TypeError", "nothing can be read")
    assert found["line"] in (1006, 4403)
    assert found["heard"] == []
    assert [meeting.subject for meeting in world.service.dev_file.meetings] == before


@pytest.mark.slow
async def test_scripts_in_names_stay_text(browser: Browser, tmp_path: Path) -> None:
    await add_users(tmp_path, SCRIPT)
    async with (
        console_world(tmp_path) as world,
        console_page(browser, world.console) as console,
        TestCaller(world.service.dev_file, SCRIPT, world.platform) as caller,
    ):
        page = console.page
        await console.sign_in()
        await caller.call_app(world.service.dev_file.app_id)
        await console.open_call(SCRIPT)
        await expect(page.get_by_role("heading", level=1)).to_have_text(SCRIPT)
        for tab in ("Events", "Who hears whom", "Plugins", "Recordings", "Details", "Live"):
            await page.get_by_role("tab", name=tab).click()
            await expect(page.get_by_role("tabpanel")).to_be_visible()
        await console.go("events")
        await expect(page.get_by_text(SCRIPT).first).to_be_attached()
        await console.unfold_telephone()
        await expect(page.locator("option", has_text=SCRIPT).first).to_be_attached()
        assert await page.evaluate("document.body.dataset.hacked ?? null") is None
        assert await page.locator("#app img[src=x], #app script").count() == 0
