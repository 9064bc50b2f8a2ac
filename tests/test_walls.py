"""The walls between the project's rooms: what may import what, as pyproject.toml says it."""

from __future__ import annotations

from importlinter.cli import lint_imports


def test_no_room_reaches_through_a_wall() -> None:
    assert lint_imports(cache_dir=None) == 0
