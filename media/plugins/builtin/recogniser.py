"""The child process of :mod:`.transcript`: frames in, utterances out. Imports nothing of mixminus.

PocketSphinx keeps the interpreter's lock while it works (1.3 s was measured in one go), so it
cannot share a process with anybody's audio.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from pocketsphinx import Decoder, Endpointer, Vad

FRAME_BYTES: Final = 640
RATE_HZ: Final = 16_000
SPEECH_SHARE: Final = 0.6
"""Of the last ``pause_ms``: so much speech begins an utterance, so much pause ends it."""
NICENESS: Final = 5
"""Text may be a little later; audio may not."""


class Recogniser:
    """Cuts a stream into utterances and recognises each. Raises: RuntimeError without a model."""

    def __init__(self, models: dict[str, str], pause_ms: int) -> None:
        self._decoder = Decoder(loglevel="FATAL", samprate=RATE_HZ, **models)
        self._endpointer = Endpointer(
            window=pause_ms / 1000,
            ratio=SPEECH_SHARE,
            vad_mode=Vad.STRICT,
            sample_rate=RATE_HZ,
        )
        self._waiting = bytearray()
        self._is_open = False

    def push(self, pcm: bytes) -> Iterator[dict[str, Any]]:
        """Take samples, any number; return the utterances that ended."""
        self._waiting += pcm
        while len(self._waiting) >= self._endpointer.frame_bytes:
            piece = bytes(self._waiting[: self._endpointer.frame_bytes])
            del self._waiting[: self._endpointer.frame_bytes]
            yield from self._take(self._endpointer.process(piece))

    def finish(self) -> Iterator[dict[str, Any]]:
        """Return what was still being said."""
        # The endpointer takes one sample to a frame's here, but not none.
        yield from self._take(self._endpointer.end_stream(bytes(self._waiting) or bytes(2)))

    def _take(self, speech: bytes | None) -> Iterator[dict[str, Any]]:
        if speech is None:
            return
        if not self._is_open:
            self._decoder.start_utt()
            self._is_open = True
        if speech:  # At the end of a stream there may be none, which the decoder does not take.
            self._decoder.process_raw(speech)
        if self._endpointer.in_speech:
            return
        self._decoder.end_utt()
        self._is_open = False
        found = self._decoder.hyp()
        if found is not None and found.hypstr:
            yield {
                "text": found.hypstr,
                "start_ms": round(self._endpointer.speech_start * 1000),
                "end_ms": round(self._endpointer.speech_end * 1000),
            }


def serve(options: dict[str, Any], frames: BinaryIO, said: BinaryIO) -> None:
    """Read frames until their end; write lines of JSON: that it is ready, then each utterance."""

    def tell(message: dict[str, Any]) -> None:
        said.write(json.dumps(message).encode() + b"\n")
        said.flush()

    try:
        recogniser = Recogniser(options["models"], options["pause_ms"])
    except (RuntimeError, ValueError) as exc:
        tell({"error": str(exc)})
        return
    tell({"ready": True})
    while pcm := frames.read(FRAME_BYTES):
        for utterance in recogniser.push(pcm):
            tell(utterance)
    for utterance in recogniser.finish():
        tell(utterance)


def main() -> None:
    """Serve the process that started this one, until it closes its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on.
    os.nice(NICENESS)
    try:
        serve(json.loads(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        # Nobody listens any more. Python would say so of the buffer as well, at its end.
        os._exit(1)


if __name__ == "__main__":
    main()
