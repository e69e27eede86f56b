"""One Chromium for all tests of this folder, each with a tab and storage of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.chromium import chromium


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A browser whose microphone plays the file, and may be used."""
    async with chromium() as browser:
        yield browser
