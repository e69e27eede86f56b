"""Transcript: what is said, as text, by PocketSphinx (extra ``transcript``), offline."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, Final, Self

from pydantic import DirectoryPath, Field, FilePath, model_validator

from ...pcm import AudioFrame
from ..contract import Emit, PluginContext
from .settings import PluginSettings, ignore_event, require

EXTRA: Final = "transcript"
CHILD: Final = Path(__file__).with_name("recogniser.py")
LAST_WORDS_S: Final = 4.0
"""How long the last utterance of a call may take to be recognised; then it is lost."""


class Transcript:
    """Tell what is said, utterance by utterance, as event ``transcript``.

    The event's value: ``text``, ``start_ms`` and ``end_ms`` since the stream began. US English by
    default, with the model that PocketSphinx brings. Its accuracy is that of its time: good for a
    handful of commands with a grammar, a rough guess for free speech. Each stream has a child
    process, which takes some 100 MB and, while somebody speaks, a sixth to a quarter of a core.
    """

    listens: Final = True

    class Config(PluginSettings):
        """Settings of the recogniser."""

        grammar_file: FilePath | None = Field(
            None, description="a JSGF grammar of what can be said: far better than free speech"
        )
        acoustic_model_dir: DirectoryPath | None = Field(
            None, description="another language: with dictionary_file, and a grammar or a model"
        )
        dictionary_file: FilePath | None = None
        language_model_file: FilePath | None = None
        pause_ms: int = Field(200, ge=90, le=2000, description="that ends an utterance")

        @model_validator(mode="after")
        def _is_whole(self) -> Self:
            require("pocketsphinx", EXTRA)
            if self.grammar_file is not None and self.language_model_file is not None:
                raise ValueError("expected grammar_file or language_model_file, got both")
            if self.acoustic_model_dir is not None and self.dictionary_file is None:
                raise ValueError("acoustic_model_dir: expected dictionary_file with it")
            return self

    def __init__(self, **settings: Any) -> None:
        self._config = self.Config(**settings)
        self._emit: Emit = ignore_event
        self._child: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def open(self, context: PluginContext) -> None:
        """Start the recogniser (0.5 s). Raises: RuntimeError when it has no usable model."""
        self._emit = context.emit
        self._start()

    def set(self, **parameters: Any) -> None:
        """Begin anew with other settings, after what is being said."""
        self._config = self._config.changed(parameters)
        if self._child is not None:
            self.close()
            self._start()

    def process(self, frame: AudioFrame) -> None:
        """Hand *frame* to the recogniser, which may be some seconds behind.

        Shape:  (320,) int16.
        Raises: RuntimeError when the recogniser has ended.
        """
        if self._child is None:
            return
        try:
            _pipe(self._child.stdin).write(frame.tobytes())
        except BrokenPipeError:
            raise RuntimeError(f"the recogniser ended with {self._child.wait()}") from None

    def close(self) -> None:
        """Tell what was still being said, and end the recogniser. Again is no error."""
        child, self._child = self._child, None
        if child is None:
            return
        # Its end has come when it has said all; one that does not come to it is ended.
        guard = threading.Timer(LAST_WORDS_S, child.kill)
        guard.start()
        try:
            try:
                _pipe(child.stdin).close()
            except BrokenPipeError:
                assert child.wait() != 0  # It had failed: process has said so.
            if self._reader is not None:
                self._reader.join()
            child.wait()
        finally:
            guard.cancel()
            guard.join()
            _pipe(child.stdout).close()

    def _start(self) -> None:
        config = self._config
        paths: dict[str, Path | None] = {
            "hmm": config.acoustic_model_dir,
            "dict": config.dictionary_file,
            "lm": config.language_model_file,
            "jsgf": config.grammar_file,
        }
        models = {name: str(path) for name, path in paths.items() if path is not None}
        options = json.dumps({"models": models, "pause_ms": config.pause_ms})
        # -P: the modules beside the child's file are not what it means when it imports a name.
        child = subprocess.Popen(
            [sys.executable, "-P", str(CHILD), options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        first = _pipe(child.stdout).readline()
        message = json.loads(first or b'{"error": "it ended at once"}')
        if "error" in message:
            _pipe(child.stdin).close()
            _pipe(child.stdout).close()
            child.wait()
            raise RuntimeError(f"the recogniser did not start: {message['error']}")
        self._child = child
        self._reader = threading.Thread(
            target=self._read, args=(_pipe(child.stdout),), name="mixminus-transcript", daemon=True
        )
        self._reader.start()

    def _read(self, said: IO[bytes]) -> None:
        for line in said:
            self._emit("transcript", json.loads(line))


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
