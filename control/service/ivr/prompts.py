"""Prompts: fetched from where the application keeps them, decoded, and kept by resourceId."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from mixminus.media.pcm import SAMPLE_RATE_HZ, Pcm
from mixminus.media.pipeline import AudioFileError, open_audio

from ...graph.requests_common import MediaInfo
from ..guard import AddressRefusedError
from ..outbound import OutboundError
from ..settings import ServiceSettings

log = logging.getLogger("mixminus.control.ivr")

MAX_PROMPT_BYTES: Final = 10 * 1024 * 1024
"""Five and a half minutes of the documented format; none is published."""
MAX_PROMPT_S: Final = 600.0
"""A small file of another format can hold hours: what is decoded has to be capped too."""
MAX_CACHE_BYTES: Final = 64 * 1024 * 1024
MAX_FETCHES: Final = 8
"""Prompts that are fetched and decoded at once, over all calls."""
FETCH_TIMEOUT_S: Final = 10.0

PLAY_FAILED: Final = 8511
INVALID_FORMAT: Final = 8535
DOWNLOAD_FAILED: Final = 8536


class PromptError(Exception):
    """A prompt that cannot be played; ``subcode`` is the platform's."""

    def __init__(self, subcode: int, message: str) -> None:
        super().__init__(message)
        self.subcode, self.message = subcode, message


class Fetcher(Protocol):
    """How a prompt's bytes are come by: Outbound's."""

    async def fetch(self, url: str, limit_bytes: int, timeout_s: float) -> bytes:
        """Return what *url* holds. Raises: OutboundError, AddressRefusedError."""


class PromptLibrary:
    """The prompts of all applications; what one named by a resourceId, no other can name.

    A resourceId is fetched once, also when several ask at the same time; without one every play
    is a fetch. What was not used for longest goes when the cache is full.
    Thread: the loop's.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        max_cache_bytes: int = MAX_CACHE_BYTES,
        max_prompt_bytes: int = MAX_PROMPT_BYTES,
        timeout_s: float = FETCH_TIMEOUT_S,
    ) -> None:
        self._fetcher = fetcher
        self._max_cache_bytes, self._max_prompt_bytes = max_cache_bytes, max_prompt_bytes
        self._timeout_s = timeout_s
        self._kept: OrderedDict[tuple[str, str], Pcm] = OrderedDict()
        self._fetching: dict[tuple[str, str], asyncio.Task[Pcm]] = {}
        self._slots = asyncio.Semaphore(MAX_FETCHES)

    @classmethod
    def of_settings(cls, fetcher: Fetcher, settings: ServiceSettings) -> PromptLibrary:
        """Make a library within the limits of *settings*."""
        return cls(
            fetcher,
            max_cache_bytes=settings.prompt_cache_bytes,
            max_prompt_bytes=settings.prompt_bytes,
            timeout_s=settings.prompt_timeout_s,
        )

    def of(self, app_id: str) -> Prompts:
        """Return the library as one application sees it."""
        return Prompts(self, app_id)

    @property
    def cached_bytes(self) -> int:
        """How much is kept, decoded."""
        return sum(pcm.nbytes for pcm in self._kept.values())

    async def get(self, app_id: str, info: MediaInfo) -> Pcm:
        """Return a prompt's samples, which nobody may change.

        Raises: PromptError.
        """
        if info.resource_id is None:
            return await self._load(info)
        key = (app_id, info.resource_id)
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        task = self._fetching.get(key)
        if task is None:
            task = asyncio.create_task(self._fill(key, info), name="fetch prompt")
            self._fetching[key] = task
            task.add_done_callback(_consume)
        # One who stops waiting does not stop the others.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Stop fetching. Again is no error."""
        tasks = tuple(self._fetching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fill(self, key: tuple[str, str], info: MediaInfo) -> Pcm:
        try:
            pcm = await self._load(info)
            self._kept[key] = pcm
            while self.cached_bytes > self._max_cache_bytes:
                self._kept.popitem(last=False)
            return pcm
        finally:
            del self._fetching[key]

    async def _load(self, info: MediaInfo) -> Pcm:
        async with self._slots:
            try:
                data = await self._fetcher.fetch(info.uri, self._max_prompt_bytes, self._timeout_s)
            except (OutboundError, AddressRefusedError) as error:
                raise PromptError(
                    DOWNLOAD_FAILED, f"Action failed, file could not be downloaded: {error}."
                ) from error
            return await asyncio.to_thread(decode_prompt, data)


class Prompts:
    """One application's view of the library."""

    def __init__(self, library: PromptLibrary, app_id: str) -> None:
        self._library, self._app_id = library, app_id

    async def get(self, info: MediaInfo) -> Pcm:
        """Return a prompt's samples, which nobody may change.

        Raises: PromptError.
        """
        return await self._library.get(self._app_id, info)

    async def get_all(self, infos: Sequence[MediaInfo]) -> list[Pcm]:
        """Return several, in their order; one that comes several times is fetched once.

        Raises: PromptError of the first that cannot be played, or when they are too long together.
        """
        distinct = list(dict.fromkeys(infos))
        pcms: dict[MediaInfo, Pcm] = {}
        for info in distinct:
            pcms[info] = await self.get(info)
            if sum(pcm.size for pcm in pcms.values()) > 2 * MAX_PROMPT_S * SAMPLE_RATE_HZ:
                limit_s = round(2 * MAX_PROMPT_S)
                raise PromptError(
                    PLAY_FAILED, f"Action failed, the prompts together are longer than {limit_s} s."
                )
        return [pcms[info] for info in infos]

    async def prefetch(self, info: MediaInfo) -> None:
        """Fetch what will be played later; if that fails, the play will say so."""
        if info.resource_id is None:
            return  # Nothing to find it by again.
        try:
            await self.get(info)
        except PromptError as error:
            log.info("a prompt was not fetched ahead: %s", error)


def decode_prompt(data: bytes) -> Pcm:
    """Return the samples of an audio file, resampled to 16 kHz mono.

    Raises: PromptError 8535 when it is no audio or too long.
    Thread: any but the event loop's (a file and a codec).
    """
    with tempfile.NamedTemporaryFile(prefix="mixminus-prompt-") as file:
        file.write(data)
        file.flush()
        try:
            pcm, is_too_long = _decode(file.name)
        except AudioFileError as error:
            said = str(error).removeprefix(f"{file.name}: ")
            raise _invalid_format(said) from error
    if is_too_long:
        raise _invalid_format(f"expected at most {MAX_PROMPT_S:.0f} s of audio, got more")
    pcm.setflags(write=False)
    return pcm


def _decode(path: str) -> tuple[Pcm, bool]:
    with open_audio(path, max_seconds=MAX_PROMPT_S) as decoder:
        pcm = np.concatenate(list(decoder.chunks()))
        return pcm, decoder.truncated


def _invalid_format(said: str) -> PromptError:
    return PromptError(INVALID_FORMAT, f"Action failed, file format is invalid: {said}.")


def _consume(task: asyncio.Task[Pcm]) -> None:
    """Look at the end of a fetch that everybody may have stopped waiting for."""
    if not task.cancelled():
        task.exception()
