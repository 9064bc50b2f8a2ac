"""Tools that a plain machine may lack: a test that needs one is skipped there, with a line that says how to get it.

Where the environment has CI set, nothing is skipped: a missing tool is a failure.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

#: Where tools that are built from source for the tests are put.
BUILT = Path(__file__).parent / "gotools" / "bin"


def tool(name: str, how_to_get: str) -> Path:
    """Return the path of an installed program."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed: {how_to_get}")
    return Path(found)


def built(name: str) -> Path:
    """Return the path of a program that was built for the tests: one newer than the distribution's."""
    if not (BUILT / name).exists():
        missing(f"{name} is not built: tests/gotools/build.sh does it, with Go")
    return BUILT / name


def proc(part: str | int) -> Path:
    """Return what Linux tells of a process, or of the network."""
    if not Path("/proc/net/tcp").exists():
        missing("/proc is not there: this looks at sockets and threads as Linux tells of them")
    return Path("/proc", str(part))


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it where nothing may be skipped."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
