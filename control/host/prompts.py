"""Prompt files of a bot's machine, where the call service can fetch them."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from ..client.bodies import Prompt, as_prompt

Playable: TypeAlias = Prompt | str | Path
"""What can be played: a ``Path`` of this machine, or an address that the service can reach."""

PROMPTS_PATH: Final = "/prompts"
MAX_FILES: Final = 1000


class PromptFiles:
    """Files under addresses that nobody can guess; the least used go first.

    A file keeps its address, and its id in the service's cache, until it changes.
    Thread: the loop's.
    """

    def __init__(self, base_url: Callable[[], str]) -> None:
        self._base_url = base_url
        self._prompts: OrderedDict[tuple[Path, int, int], Prompt] = OrderedDict()
        self._files: dict[str, Path] = {}

    def prompt(self, playable: Playable) -> Prompt:
        """Return the prompt that *playable* means; a file is served from now on.

        Raises: FileNotFoundError when there is no such file; ValueError on a text that is no
                address.
        """
        if not isinstance(playable, Path):
            return as_prompt(playable)
        path = playable.resolve(strict=True)
        if not path.is_file():
            raise FileNotFoundError(f"expected a file, got {playable}")
        state = path.stat()
        key = (path, state.st_mtime_ns, state.st_size)
        prompt = self._prompts.get(key)
        if prompt is None:
            name = f"{uuid.uuid4().hex}{path.suffix}"
            prompt = Prompt(f"{self._base_url()}{PROMPTS_PATH}/{name}")
            self._prompts[key] = prompt
            self._files[name] = path
            if len(self._prompts) > MAX_FILES:
                _, oldest = self._prompts.popitem(last=False)
                del self._files[oldest.uri.rpartition("/")[2]]
        self._prompts.move_to_end(key)
        return prompt

    def find(self, name: str) -> Path | None:
        """Return the file that is served under that name."""
        return self._files.get(name)
