"""A console as its users have it: requests to it, and its page in Chromium, watched."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx2
from playwright.sync_api import Page, sync_playwright

from benchmarks.processes import BenchmarkError, pinned
from mixminus.control.host.hostfile import HostFile
from mixminus.control.tls import client_context

CONSOLE_FILE = "console.json"
LOOK_S = 0.2
CALL_S = 30.0
DESK = {"width": 1600, "height": 1200}
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")

# What is seen: tasks over 50 ms, and at each paint the age of the levels that are shown. Of what
# comes over the line only the head is looked at: to parse it twice would be part of the figures.
WATCH = r"""
window.seen = { longTasksMs: [], ages: [], paints: 0, sinceMs: 0 };
let levelsAtMs = null;
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) window.seen.longTasksMs.push(task.duration);
}).observe({ type: "longtask", buffered: false });
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => {
      const found = /^\{"type": ?"meters", ?"at": ?(\d+)/.exec(data.slice(0, 64));
      if (found !== null) levelsAtMs = Number(found[1]);
    });
  }
};
window.beginToSee = () => {
  window.seen = { longTasksMs: [], ages: [], paints: 0, sinceMs: performance.now() };
};
requestAnimationFrame(function look() {
  window.seen.paints += 1;
  if (levelsAtMs !== null) window.seen.ages.push(Date.now() - levelsAtMs);
  requestAnimationFrame(look);
});
"""


def installed_chromium() -> str | None:
    """Return where Chromium is, if it is installed."""
    return shutil.which("chromium")


class Console:
    """A console's API and its host's, signed in with their tokens."""

    def __init__(self, url: str, token: str, host: HostFile) -> None:
        self.url, self.token = url, token
        self._http = _client(f"{url}/api/", token)
        self._host = _client(host.url, host.token, host.ca_file)

    @classmethod
    def found(cls, state: Path, process: subprocess.Popen[bytes], within_s: float) -> Self:
        """Return the console that *process* opens, by the file it leaves in *state*.

        Raises: BenchmarkError with the end of its log when it does not.
        """
        deadline = time.monotonic() + within_s
        while not (state / CONSOLE_FILE).exists():
            if process.poll() is not None or time.monotonic() > deadline:
                end = (state / "log").read_text(errors="replace").splitlines()[-1:]
                raise BenchmarkError(f"no console: {' '.join(end) or 'nothing was said'}")
            time.sleep(LOOK_S)
        found = json.loads((state / CONSOLE_FILE).read_bytes())
        return cls(found["url"], found["token"], HostFile.load(state))

    def call_telephone(self, number: str, media: str) -> str:
        """Let the bot call *number*; return the call's id."""
        wish = {"phone": number, "media": media}
        return str(self._asked(self._host.post("/mixminus/v1/calls", json=wish))["callId"])

    def wait_for_calls(self, count: int, within_s: float) -> None:
        """Wait until so many calls stand. Raises: BenchmarkError."""
        deadline = time.monotonic() + within_s
        while (standing := self._standing()) < count:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"only {standing} of {count} calls stand")
            time.sleep(LOOK_S)

    def _standing(self) -> int:
        rows = self._asked(self._http.get("calls"))["calls"]
        return sum(row["state"] == "established" for row in rows)

    def _asked(self, reply: httpx2.Response) -> Any:
        if reply.status_code >= 400:
            raise BenchmarkError(f"{reply.request.url.path}: {reply.status_code} {reply.text:.200}")
        return reply.json()


def _client(url: str, token: str, ca_file: Path | None = None) -> httpx2.Client:
    return httpx2.Client(
        base_url=url,
        headers={"Authorization": f"Bearer {token}"},
        timeout=CALL_S,
        trust_env=False,
        verify=True if ca_file is None else client_context(ca_file),
    )


class ConsolePage:
    """The console's page in a browser. Use `opened`."""

    def __init__(self, console: Console, page: Page) -> None:
        self._console, self._page = console, page

    @classmethod
    @contextmanager
    def opened(cls, console: Console, chromium: str, *, cores: Collection[int]) -> Iterator[Self]:
        """Open *chromium* on *cores*; its page shows nothing yet."""
        with pinned(cores), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
            context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
            context.add_init_script(WATCH)
            yield cls(console, context.new_page())
            browser.close()

    def show(self, address: str) -> None:
        """Open a view of the console, signed in, and wait for its first levels."""
        self.leave()
        self._page.goto(f"{self._console.url}#token={self._console.token}")
        self._page.wait_for_selector("main h1")
        self._page.evaluate("address => { location.hash = address }", address)
        deadline = time.monotonic() + CALL_S
        while self._page.evaluate("seen.ages.length") == 0:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{address} shows no levels")
            time.sleep(LOOK_S)

    def leave(self) -> None:
        """Close the console's page: nobody looks."""
        self._page.goto("about:blank")

    def begin(self) -> None:
        """Forget what was seen so far."""
        self._page.evaluate("beginToSee()")

    def seen(self) -> dict[str, Any]:
        """Return what was seen since: of long tasks and ages in ms."""
        found = self._page.evaluate("({ ...seen, nowMs: performance.now() })")
        return {
            "seconds": (found["nowMs"] - found["sinceMs"]) / 1000,
            "long_tasks_ms": found["longTasksMs"],
            "ages": found["ages"],
            "paints": found["paints"],
        }
