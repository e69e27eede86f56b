"""Starts a child: a new interpreter, nothing forked from this one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any, Final

MODULE: Final = "mixminus.media.plugins.isolated.child"


def launch(options: dict[str, Any], **descriptors: int) -> subprocess.Popen[bytes]:
    """Start the child with *options*; each of *descriptors* is passed on, by its name.

    It dies with the thread that calls this, if it has not ended before: PR_SET_PDEATHSIG is about
    the thread.
    """
    values = {**options, **descriptors, "parent": os.getpid(), "path": sys.path}
    return subprocess.Popen(
        [sys.executable, "-m", MODULE, json.dumps(values)],
        stdin=subprocess.DEVNULL,
        # What a plugin prints is no output of ours.
        stdout=2 if _has_stderr() else subprocess.DEVNULL,
        pass_fds=tuple(descriptors.values()),
        close_fds=True,
        # A group of its own: what the plugin starts ends with it.
        process_group=0,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the child, and all that it has started. Before it is waited for: then its id is free."""
    if process.returncode is not None:
        return  # Its id may be another's by now.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # It is gone, and nobody was left of its group.


def _has_stderr() -> bool:
    try:
        os.fstat(2)
    except OSError:
        return False
    return True
