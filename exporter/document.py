"""A YAML document as plain data, with the line of each of its parts; and what is wrong with it.

In goes text, out come data and Problems. PyYAML takes the last of two equal keys and unfolds anchors without end: here
both are mistakes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

#: Anchors may stand for a part many times over; no honest file has so many nodes, or nests so deep.
_MOST_NODES = 100_000
_DEEPEST = 20

Location = tuple[str | int, ...]


class Problem(msgspec.Struct, frozen=True, order=True):
    """A mistake: its line in the file (from 1 on), where that is in the document, and what is wrong."""

    line: int
    where: str
    what: str


class ConfigError(Exception):
    """A configuration that is refused. Its text has a line `FILE:LINE: where: what` for each mistake."""

    def __init__(self, file: Path, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(problems))
        super().__init__(
            "\n".join(
                f"{file}:{p.line}: {p.where}: {p.what}" if p.where else f"{file}:{p.line}: {p.what}"
                for p in self.problems
            )
        )


class Document:
    """A YAML document as plain data, and the line of each of its parts; `problems` are those of the YAML itself."""

    def __init__(self, text: str) -> None:
        self.data: Any = None
        self.problems: list[Problem] = []
        self._lines: dict[Location, int] = {(): 1}
        self._nodes = 0
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            if node is None:
                self._refuse((), "is empty; config.example.yaml shows what belongs here")
            elif not isinstance(node, yaml.MappingNode):
                self._refuse((), "must be a mapping with the key targets")
            else:
                self.data = self._plain(node, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.problems.append(Problem(mark.line + 1 if mark else 1, "", f"is not YAML: {error.problem}"))
        except yaml.YAMLError as error:
            self.problems.append(Problem(1, "", f"is not YAML: {' '.join(str(error).split())[:200]}"))
        except RecursionError:
            self._refuse((), "nests too deep")

    def line(self, location: Location) -> int:
        """Return the line of a part of the document, or of the nearest that is there."""
        while location not in self._lines:
            location = location[:-1]
        return self._lines[location]

    def _refuse(self, location: Location, what: str) -> None:
        self.problems.append(Problem(self.line(location), where_in_words(location), what))

    def _plain(self, node: yaml.Node, location: Location) -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES or len(location) > _DEEPEST:
            raise yaml.YAMLError("anchors unfold without end")
        self._lines.setdefault(location, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location)
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, (*location, index)) for index, item in enumerate(node.value)]
        try:
            return yaml.constructor.SafeConstructor().construct_object(node)
        except ValueError:  # 2024-99-99 looks like a date
            return node.value

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "(not text)"
            here = (*location, key)
            if key in made:
                self.problems.append(
                    Problem(
                        key_node.start_mark.line + 1,
                        where_in_words(here),
                        f"stands here twice (first in line {self.line(here)})",
                    )
                )
                continue
            self._lines[here] = key_node.start_mark.line + 1
            made[key] = self._plain(value_node, here)
        return made


def where_in_words(location: Location) -> str:
    """Return a location as `targets[0].aws_region`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if part.isprintable() and len(part) <= 64 else repr(part[:64])
            text += f".{shown}" if text else shown
    return text
