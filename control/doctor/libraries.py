"""The codec and SRTP libraries: where they are, which version, whether they pass their tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mixminus.media.libraries import (
    OPUS_VARIABLE,
    SRTP_VARIABLE,
    BoundLibrary,
    CodecLibraries,
)

from .findings import Finding, Level

PACKAGES: Final = {"libopus": ("av", OPUS_VARIABLE), "libsrtp": ("pylibsrtp", SRTP_VARIABLE)}


def check_libraries(libraries: CodecLibraries) -> Iterator[Finding]:
    """Judge what was bound: without one of them aiortc and PyAV carry callers."""
    bound: dict[str, BoundLibrary | None] = {
        "libopus": libraries.opus,
        "libsrtp": libraries.srtp,
    }
    for name, library in bound.items():
        package, variable = PACKAGES[name]
        if library is not None:
            version = library.version.removeprefix(name).strip()
            gcm = ", with AES-GCM" if name == "libsrtp" and libraries.has_gcm else ""
            yield Finding(
                name,
                Level.OK,
                f"{version}{gcm}, self-test passed: {library.path}",
                details={"path": library.path, "version": library.version},
            )
            continue
        why = next((p for p in libraries.problems if p.startswith(f"{name}:")), f"{name}: none")
        yield Finding(
            name,
            Level.WARNING,
            f"{why.removeprefix(f'{name}: ')}; callers are carried by aiortc, at several times the"
            " cost",
            f"`pip install --force-reinstall {package}` for the copy in its wheel, or name another"
            f" library by its path in {variable}.",
            {"problem": why},
        )
