"""Debian's Chromium with a microphone that plays a file, and the phone page in it."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    async_playwright,
    expect,
)

from mixminus.control.devfile import DevFile
from mixminus.media.pcm import SAMPLE_RATE_HZ, Pcm
from mixminus.media.pipeline.resample import Resampler
from tests import debian
from tests.support import ROOT

SHOTS = ROOT / "build/browser"
SPEECH = ROOT / "tests/data/speech.wav"
WAIT_MS = 20_000
DESK = {"width": 1100, "height": 720}
HAND = {"width": 390, "height": 780}

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
)

# What the page opens is kept where a test finds it; the page itself is not changed.
WATCH = """
window.connections = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...given) { super(...given); window.connections.push(this); }
};
window.sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...given) { super(...given); window.sockets.push(this); }
};
window.microphones = [];
const devices = navigator.mediaDevices;
if (devices !== undefined) {
  const open = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (wish) => {
    const stream = await open(wish);
    window.microphones.push(stream);
    return stream;
  };
}
"""

# Both tracks from the same moment on, as int16 at 48 kHz: what arrives first waits for nothing.
LISTEN = """
async (seconds) => {
  const record = async (track) => {
    const copy = track.clone();
    const reader = new MediaStreamTrackProcessor({ track: copy, maxBufferSize: 1000 })
      .readable.getReader();
    const parts = [];
    let samples = 0, rate = 0, firstMs = 0;
    while (rate === 0 || samples < seconds * rate) {
      const { value: data } = await reader.read();
      if (data === undefined) throw new Error("the track ended after " + samples + " samples");
      firstMs ||= performance.now();
      rate = data.sampleRate;
      const part = new Float32Array(data.numberOfFrames);
      data.copyTo(part, { planeIndex: 0, format: "f32-planar" });
      data.close();
      parts.push(part);
      samples += part.length;
    }
    await reader.cancel();
    copy.stop();
    const pcm = new Int16Array(samples);
    let at = 0;
    for (const part of parts) for (const sample of part) {
      pcm[at++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
    }
    const bytes = new Uint8Array(pcm.buffer);
    let text = "";
    for (let i = 0; i < bytes.length; i += 32768) {
      text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    }
    return { rate, firstMs, pcm: btoa(text) };
  };
  const heard = document.getElementById("audio").srcObject.getAudioTracks()[0];
  const said = window.microphones.at(-1).getAudioTracks()[0];
  return Promise.all([record(said), record(heard)]);
}
"""


@asynccontextmanager
async def chromium(microphone: Path | None = SPEECH) -> AsyncIterator[Browser]:
    """A browser whose microphone plays *microphone* over and over; None: it has none."""
    flags = list(FLAGS)
    if microphone is not None:
        flags.append("--use-fake-device-for-media-stream")
        flags.append(f"--use-file-for-fake-audio-capture={microphone}")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_installed(), args=flags)
        try:
            yield browser
        finally:
            await browser.close()


def _installed() -> str:
    if shutil.which("chromium") is None:
        try:
            debian.install("chromium")
        except pytest.fail.Exception as failed:
            pytest.skip(f"no Chromium here: {failed}")
    path = shutil.which("chromium")
    assert path is not None
    return path


class PhonePage:
    """The phone page in a browser: what a user does with it, and what its user hears."""

    def __init__(self, dev: DevFile, context: BrowserContext, page: Page) -> None:
        self.dev, self.context, self.page = dev, context, page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._said)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    @property
    def url(self) -> str:
        return f"{self.dev.graph_base_url}/phone"

    async def sign_in(self, user: str = "John") -> None:
        await self.page.goto(self.url)
        await self.page.get_by_label("Token of a user").fill(self.dev.find_user(user).token)
        await self.page.get_by_role("button", name="Sign in").click()
        await expect(self.page.locator("#user-name")).to_have_text(user)

    async def take_raw_microphone(self) -> None:
        """Send the file as it is, without the browser's own ideas of a clean voice."""
        await self.page.get_by_label("Process the microphone").uncheck()

    async def call_bot(self) -> None:
        await self.page.get_by_role("button", name="Call", exact=True).click()
        await self.is_connected()

    async def is_connected(self) -> None:
        await self.shows("Connected")

    async def shows(self, words: str) -> None:
        await expect(self.page.locator("#call-state")).to_have_text(words)

    async def logs(self, words: str) -> None:
        await expect(self.page.locator("#log")).to_contain_text(words)

    async def reconnects(self, times: int) -> None:
        """Wait until the call was carried over to another connection that often."""
        lines = self.page.locator("#log li").filter(has_text=re.compile(r"reconnected$"))
        await expect(lines.filter(has_not_text="not ")).to_have_count(times)
        await self.is_connected()

    async def press(self, name: str) -> None:
        await self.page.get_by_role("button", name=name, exact=True).click()

    async def listen(self, seconds: float) -> tuple[Pcm, Pcm]:
        """Return what was sent and what was heard from one moment on: (n,) int16 at 16 kHz."""
        return await listen_in(self.page, seconds)

    async def lose_line(self) -> None:
        """Have the signalling's socket end as a lost one does."""
        await self.page.evaluate("window.sockets.at(-1).close()")

    async def descriptions(self) -> list[tuple[str, str]]:
        """Return the session descriptions in force, of each connection: ours, the service's."""
        found = await self.page.evaluate(
            "window.connections.map(pc => [pc.localDescription?.sdp ?? '',"
            " pc.remoteDescription?.sdp ?? ''])"
        )
        return [(local, remote) for local, remote in found]

    async def shoot(self, name: str, **look: Any) -> None:
        """Keep a picture of the page: ``color_scheme``, ``viewport``."""
        if "viewport" in look:
            await self.page.set_viewport_size(look["viewport"])
        await self.page.emulate_media(color_scheme=look.get("color_scheme", "light"))
        SHOTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=SHOTS / f"{name}.png", animations="disabled")


async def listen_in(page: Page, seconds: float) -> tuple[Pcm, Pcm]:
    """Return what *page* sends and hears from one moment on: (n,) int16 at 16 kHz."""
    said, heard = await page.evaluate(LISTEN, seconds)
    begin_ms = min(said["firstMs"], heard["firstMs"])
    pcm = [_at_16_khz(track, begin_ms) for track in (said, heard)]
    size = min(pcm[0].size, pcm[1].size)
    return pcm[0][:size], pcm[1][:size]


def _at_16_khz(track: dict[str, Any], begin_ms: float) -> Pcm:
    pcm = np.frombuffer(base64.b64decode(track["pcm"]), np.int16)
    rate_hz = int(track["rate"])
    late = np.zeros(round((track["firstMs"] - begin_ms) * rate_hz / 1000), np.int16)
    return Resampler(rate_hz, 1, SAMPLE_RATE_HZ, 1).push(np.concatenate((late, pcm)))


@asynccontextmanager
async def phone_page(
    browser: Browser, dev: DevFile, *, may_listen: bool = True
) -> AsyncIterator[PhonePage]:
    """A fresh tab, that may use the microphone or not; what went wrong in it fails the test."""
    # The certificate's authority is the service's own, which this browser does not know.
    context = await browser.new_context(ignore_https_errors=True, viewport=DESK)  # type: ignore[arg-type]
    if may_listen:
        await context.grant_permissions(["microphone"])
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    await context.add_init_script(WATCH)
    try:
        phone = PhonePage(dev, context, await context.new_page())
        yield phone
        assert phone.errors == []
    finally:
        await context.close()
