"""The codec and SRTP libraries that the engine binds at run time: found, tested, told about.

The copies inside PyAV's and pylibsrtp's wheels first. ``MIXMINUS_LIBOPUS`` and ``MIXMINUS_LIBSRTP``
name others by path, or are ``none``.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import av
import pylibsrtp  # noqa: F401  Loads what its binding needs.

from . import _native

OPUS_VARIABLE: Final = "MIXMINUS_LIBOPUS"
SRTP_VARIABLE: Final = "MIXMINUS_LIBSRTP"
NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class BoundLibrary:
    """A library that passed its self-test: known answers, no allocation per packet."""

    path: str
    version: str


@dataclass(frozen=True, slots=True)
class CodecLibraries:
    """What this process codes and protects with; a problem says why a library is None."""

    opus: BoundLibrary | None
    srtp: BoundLibrary | None
    has_gcm: bool
    problems: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether the engine can carry WebRTC itself."""
        return self.opus is not None and self.srtp is not None


@cache
def codec_libraries() -> CodecLibraries:
    """Bind the libraries, once a process. Never raises: ``problems`` say what is missing, and why.

    Source: design of native/opus.h and native/srtp.h (self-tests).
    Thread: any, but the first call before an engine runs.
    """
    problems: list[str] = []
    opus = srtp = None
    has_gcm = False
    path = _wanted(OPUS_VARIABLE) or _wheel_libopus()
    try:
        if path is None:
            problems.append("libopus: expected one in PyAV's wheel, found none")
        elif path == NONE:
            problems.append(f"libopus: none, as {OPUS_VARIABLE} says")
        else:
            opus = BoundLibrary(path, _native.bind_opus(path))
    except OSError as error:
        problems.append(f"libopus: {error}")
    path = _wanted(SRTP_VARIABLE) or _wheel_libsrtp()
    try:
        if path is None:
            problems.append("libsrtp: expected one in pylibsrtp's wheel, found none")
        elif path == NONE:
            problems.append(f"libsrtp: none, as {SRTP_VARIABLE} says")
        else:
            version, has_gcm = _native.bind_srtp(path)
            srtp = BoundLibrary(path, version)
    except OSError as error:
        problems.append(f"libsrtp: {error}")
    return CodecLibraries(opus, srtp, has_gcm, tuple(problems))


def _wanted(variable: str) -> str | None:
    return os.environ.get(variable) or None


def _wheel_libopus() -> str | None:
    """Return the libopus beside PyAV, as wheels lay it out (av.libs), None without one."""
    folder = Path(av.__file__).resolve().parent.parent / "av.libs"
    found = sorted(folder.glob("libopus-*.so*")) or sorted(folder.glob("libopus.so*"))
    return str(found[0]) if found else None


def _wheel_libsrtp() -> str | None:
    """Return pylibsrtp's own binding, which has libsrtp in it and exports it."""
    spec = importlib.util.find_spec("pylibsrtp._binding")
    return None if spec is None else spec.origin
