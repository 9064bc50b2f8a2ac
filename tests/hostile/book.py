"""The rows of docs/behaviour.md: each stands at the test that proves it, or is a scenario that is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Test = TypeVar("Test", bound=Callable[..., object])

#: What is seen, by what happens, by the part of the document.
ROWS: dict[str, dict[str, str]] = {}


def shown(part: str, happens: str, seen: str) -> Callable[[Test], Test]:
    """Put a row into a part of the document: the test below is its proof."""

    def keep(test: Test) -> Test:
        rows = ROWS.setdefault(part, {})
        rows[happens] = seen
        return test

    return keep
