"""The console in a browser, and what is behind it: a call service, a host, their console."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect

from mixminus.control.console.console import Console
from mixminus.control.console.settings import ConsoleSettings
from mixminus.control.host import BotHost
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from mixminus.media.pcm import Pcm
from mixminus.media.platform import MediaPlatform
from tests.browser.chromium import DESK, HAND, SHOTS, WAIT_MS, WATCH, listen_in
from tests.browser.echo import EchoBot

LOOKS = {
    "light-desk": ("light", DESK),
    "dark-desk": ("dark", DESK),
    "light-phone": ("light", HAND),
    "dark-phone": ("dark", HAND),
}


class ConsolePage:
    """The console in a tab: what a person does with it, and hears with its telephone."""

    def __init__(self, console: Console, context: BrowserContext, page: Page) -> None:
        self.console, self.context, self.page = console, context, page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._said)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    # ---- going about -----------------------------------------------------------------------------

    async def sign_in(self) -> None:
        """Open the address that is printed at the start."""
        await self.page.goto(self.console.sign_in_url)
        await expect(self.page.get_by_role("heading", name="Overview")).to_be_visible()

    async def go(self, *parts: str) -> None:
        """Go to a view by its address."""
        address = "#/" + "/".join(parts)
        await self.page.evaluate("address => { location.hash = address }", address)
        await expect(self.page.get_by_role("heading", level=1)).to_be_visible()

    async def open_call(self, title: str, tab: str | None = None) -> None:
        """Open a call from the list, and one of its tabs."""
        await self.go("calls")
        await self.page.get_by_role("link", name=title).first.click()
        await expect(self.page.get_by_role("tablist", name="Parts of the call")).to_be_visible()
        if tab is not None:
            await self.page.get_by_role("tab", name=tab).click()

    def button(self, name: str) -> Locator:
        """A button by its whole name."""
        return self.page.get_by_role("button", name=name, exact=True)

    async def press(self, name: str) -> None:
        await self.button(name).click()

    async def toast(self, words: str) -> None:
        """Wait for a short news."""
        await expect(self.page.locator(".toasts").get_by_text(words)).to_be_visible()

    # ---- its telephone ---------------------------------------------------------------------------

    @property
    def dock(self) -> Locator:
        return self.page.get_by_role("region", name="Telephone")

    async def unfold_telephone(self) -> None:
        await self.press("More of the telephone")

    async def take_part_as(self, user: str) -> None:
        choice = self.dock.get_by_label("Take part as")
        await choice.first.select_option(label=user)
        await expect(self.dock.get_by_text("ready, can be called")).to_be_visible()

    async def take_raw_microphone(self) -> None:
        """Send the file as it is, without the browser's own ideas of a clean voice."""
        await self.unfold_telephone()
        await self.dock.get_by_label("Process the microphone").uncheck()
        await self.press("Less of the telephone")

    async def call_bot(self) -> None:
        await self.dock.get_by_role("button", name="Call echo bot").click()
        await self.is_connected()

    async def is_connected(self) -> None:
        await self.shows("Connected")

    async def shows(self, words: str) -> None:
        await expect(self.page.locator("#call-state")).to_have_text(words)

    async def is_idle(self) -> None:
        await expect(self.page.locator("#call-state")).to_have_count(0)

    async def logs(self, words: str) -> None:
        """Wait for a line in the telephone's log, which has to be unfolded."""
        await expect(self.page.locator("#log")).to_contain_text(words)

    async def listen(self, seconds: float) -> tuple[Pcm, Pcm]:
        """Return what was sent and what was heard from one moment on: (n,) int16 at 16 kHz."""
        return await listen_in(self.page, seconds)

    # ---- pictures --------------------------------------------------------------------------------

    async def shoot(self, name: str) -> None:
        """Keep a picture of what is shown: light and dark, on a desk and in a hand."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        for news in reversed(await self.page.get_by_role("button", name="Dismiss").all()):
            await news.click()
        for look, (scheme, size) in LOOKS.items():
            await self.page.set_viewport_size(size)  # type: ignore[arg-type]
            await self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            wide = await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{name} in {look} is {wide} px too wide"
            path = SHOTS / f"console-{name}-{look}.png"
            await self.page.screenshot(path=path, animations="disabled")
        await self.page.set_viewport_size(DESK)  # type: ignore[arg-type]
        await self.page.emulate_media(color_scheme="light", reduced_motion="no-preference")


@asynccontextmanager
async def console_page(browser: Browser, console: Console) -> AsyncIterator[ConsolePage]:
    """A fresh tab with the microphone allowed; what went wrong in it fails the test."""
    context = await browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    await context.grant_permissions(["microphone"])
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    await context.add_init_script(WATCH)
    try:
        shown = ConsolePage(console, context, await context.new_page())
        yield shown
        assert shown.errors == []
    finally:
        await context.close()


class ConsoleWorld:
    """A call service and a host with the echo bot in one process, and their console."""

    def __init__(
        self,
        platform: MediaPlatform,
        service: CallService,
        host: BotHost,
        bot: EchoBot,
        console: Console,
    ) -> None:
        self.platform, self.service, self.host = platform, service, host
        self.bot, self.console = bot, console


@asynccontextmanager
async def console_world(
    state_dir: Path, *, token: str | None = None, http_port: int = 0, **settings: Any
) -> AsyncIterator[ConsoleWorld]:
    """Start all of it, as ``mixminus dev`` does; *settings* are the service's."""
    bot = EchoBot()
    console = Console(
        ConsoleSettings(http_port=http_port, **({} if token is None else {"token": token})),  # type: ignore[arg-type]
        state_dir,
    )
    async with AsyncExitStack() as exits:
        platform = await exits.enter_async_context(MediaPlatform())
        service_settings = ServiceSettings(state_dir=state_dir, drain_s=0.0, **settings)
        service = await exits.enter_async_context(
            CallService(service_settings, platform=platform, console=console)
        )
        host_settings = HostSettings.from_dev_file(service.dev_file, state_dir=state_dir)
        host = await exits.enter_async_context(
            BotHost(bot.bot, host_settings, platform=platform, console=console)
        )
        await exits.enter_async_context(console)
        yield ConsoleWorld(platform, service, host, bot, console)
