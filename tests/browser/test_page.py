"""What surrounds the calls of the phone page: its files and headers, tokens, microphones."""

from __future__ import annotations

import re
import tomllib
from collections.abc import AsyncIterator
from fnmatch import fnmatch
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Browser, expect

from mixminus.control import webphone
from mixminus.control.service import page as served
from mixminus.control.service.service import CallService
from mixminus.control.tls import client_context
from tests.browser.chromium import HAND, PhonePage, chromium, phone_page
from tests.service_kit import running_service
from tests.support import ROOT

STATIC = Path(served.__file__).parent / "static"
SHARED = Path(webphone.__file__).parent / "static"
BLOCKED = "The microphone is blocked for this page."
NONE = "No microphone was found."
INSECURE = "Browsers give the microphone only to secure pages"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[CallService]:
    async with running_service(tmp_path, app_id='a "quoted" <id>') as service:
        yield service


@pytest.fixture
async def http(service: CallService) -> AsyncIterator[httpx2.AsyncClient]:
    context = client_context(service.dev_file.ca_file)
    base = service.urls.base
    async with httpx2.AsyncClient(base_url=base, verify=context, trust_env=False) as client:
        yield client


async def test_every_file_is_served_under_a_strict_policy(http: httpx2.AsyncClient) -> None:
    files = sorted(path.name for folder in (STATIC, SHARED) for path in folder.iterdir())
    assert {"phone.html", "phone.css", "phone.js", "telephone.js", "icon.svg"} < set(files)
    for name in ["", *files]:
        reply = await http.get(f"/phone/{name}".rstrip("/"))
        assert reply.status_code == 200, name
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["permissions-policy"].startswith("microphone=(self)")
    assert (await http.get("/")).headers["location"] == "/phone"


@pytest.mark.parametrize("name", ["nothing.js", "page.py", "..%2Fpage.py", "%2e%2e/page.py"])
async def test_nothing_else_is_served(http: httpx2.AsyncClient, name: str) -> None:
    reply = await http.get(f"/phone/{name}")
    assert reply.status_code == 404
    assert "import" not in reply.text


async def test_page_is_wholly_our_own(http: httpx2.AsyncClient) -> None:
    text = (await http.get("/phone")).text
    assert 'value="a &quot;quoted&quot; &lt;id&gt;"' in text
    assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?![^>]*src=\"/phone/)", text)
    used = set(re.findall(r"(?:src|href)=\"([^\"]+)\"", text))
    for module in (*STATIC.glob("*.js"), *SHARED.glob("*.js")):
        used |= {
            f"/phone/{name}" for name in re.findall(r"from \"\./([^\"]+)\"", module.read_text())
        }
    for address in used:
        assert address.startswith("/phone/"), address
        assert (await http.get(address)).status_code == 200, address


def test_a_wheel_has_every_file() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    data = tool["setuptools"]["package-data"]
    for package, folder in (("service", STATIC), ("webphone", SHARED)):
        patterns = data.get(f"mixminus.control.{package}", [])
        for path in folder.iterdir():
            assert any(fnmatch(f"static/{path.name}", pattern) for pattern in patterns), path.name


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.asyncio(loop_scope="session")
async def test_token_signs_in_from_the_fragment_and_is_gone_from_the_address(
    browser: Browser, tmp_path: Path
) -> None:
    asked: list[str] = []
    async with running_service(tmp_path) as service, phone_page(browser, service.dev_file) as phone:
        token = service.dev_file.find_user("Alice").token
        phone.page.on("request", lambda request: asked.append(request.url))
        await phone.page.goto(f"{phone.url}#token={token}")
        await expect(phone.page.locator("#user-name")).to_have_text("Alice")
        assert phone.page.url == phone.url
        await phone.press("Sign out")
        await phone.page.get_by_label("Token of a user").fill("nobody's")
        await phone.page.keyboard.press("Enter")
        await expect(phone.page.get_by_text("does not know this token")).to_be_visible()
        await phone.shoot("refused", viewport=HAND)
        assert await phone.page.evaluate("sessionStorage.length") == 0
    assert asked
    assert not any(token in url for url in asked)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.asyncio(loop_scope="session")
async def test_insecure_page_is_explained(browser: Browser, tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, phone_page(browser, service.dev_file) as phone:
        # What a page that came by http would find.
        await phone.page.add_init_script(
            "Object.defineProperty(window, 'isSecureContext', { value: false });"
            "Object.defineProperty(navigator, 'mediaDevices', { value: undefined });"
        )
        await explains(phone, INSECURE)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.asyncio(loop_scope="session")
async def test_blocked_microphone_is_explained(browser: Browser, tmp_path: Path) -> None:
    async with (
        running_service(tmp_path) as service,
        phone_page(browser, service.dev_file, may_listen=False) as phone,
    ):
        await explains(phone, BLOCKED)


@pytest.mark.slow
@pytest.mark.alone
async def test_missing_microphone_is_explained(service: CallService) -> None:
    async with (
        chromium(microphone=None) as browser,
        phone_page(browser, service.dev_file) as phone,
    ):
        await explains(phone, NONE)


async def explains(phone: PhonePage, words: str) -> None:
    """Show *words* instead of a call, and be ready for the next."""
    await phone.sign_in()
    await phone.press("Call")
    await expect(phone.page.get_by_role("alert").filter(has_text=words)).to_be_visible()
    await expect(phone.page.locator("#call")).to_be_hidden()
    await expect(phone.page.get_by_role("button", name="Call", exact=True)).to_be_enabled()
