"""Debian packages that a test wants: installed where that is allowed, named where it is not."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def install(package: str) -> None:
    """Install *package*; fail the test with its name when we may not or cannot."""
    problem = try_install(package)
    if problem is not None:
        pytest.fail(problem)


def try_install(package: str) -> str | None:
    """Install *package*; return why that was not done, or None."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return f"this test wants Debian's {package}: apt-get install {package}"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends"]):
        command = [apt, *arguments, *([package] if arguments[0] == "install" else [])]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"apt-get {arguments[0]} for {package}: {done.stderr.strip()[-300:]}"
    return None
