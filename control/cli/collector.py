"""The garbage collector at the start of a process that serves.

While modules are imported and calls of before come back, it walks again and again over what is no
garbage: an eighth of the time until the process serves.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held() -> Iterator[None]:
    """Let the collector rest until :func:`release`, or until the block is left."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def release() -> None:
    """Let the collector work from now on, on what is made from now on.

    What the start has made stays: to walk over all of it would stop every call for 0.1 s.
    Without :func:`held` before it nothing happens.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
