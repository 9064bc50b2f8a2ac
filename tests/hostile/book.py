"""The rows of docs/behaviour.md: each stands at the test that proves it, or is a scenario that is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Test = TypeVar("Test", bound=Callable[..., object])

#: What happens and what is seen then, by the part of the document.
ROWS: dict[str, list[tuple[str, str]]] = {}


def shown(part: str, happens: str, seen: str) -> Callable[[Test], Test]:
    """Put a row into a part of the document: the test below is its proof."""

    def keep(test: Test) -> Test:
        ROWS.setdefault(part, []).append((happens, seen))
        return test

    return keep
