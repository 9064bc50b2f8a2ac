"""docs/behaviour.md: its tables are made from the scenarios, and from the rows that stand at tests.

`python -m tests.hostile.document` writes them into the document; with --check it says whether they are there as they
should be.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.hostile.book import ROWS
from tests.hostile.scenarios import SCENARIOS, Scenario

FILE = Path(__file__).parents[2] / "docs" / "behaviour.md"
PROOFS = (
    "tests.hostile.test_network",
    "tests.hostile.test_credentials",
    "tests.hostile.test_secrets",
    "tests.hostile.test_machine",
    "tests.hostile.test_time",
    "tests.hostile.test_change",
    "tests.hostile.test_staleness",
    "tests.aws.test_aws",
    "tests.test_cli",
    "tests.test_killed",
    "tests.test_poller",
)


def tables() -> Mapping[str, Mapping[str, str]]:
    """Return what is seen, by what happens, by the part of the document."""
    for name in PROOFS:
        importlib.import_module(name)
    parts = {part: {each.does: _seen(each) for each in scenarios} for part, scenarios in SCENARIOS.items()}
    return {part: parts.get(part, {}) | ROWS.get(part, {}) for part in {**parts, **ROWS}}


def _seen(scenario: Scenario) -> str:
    if scenario.reason is None:
        return scenario.seen
    code = f" ({scenario.code})" if scenario.code else ""
    ticks = "`` {} ``" if "`" in scenario.error else "`{}`"
    return f"`{scenario.reason}`{code}: {ticks.format(scenario.error)}"


def written(text: str) -> str:
    """Return the document's text with its tables as they should be. Raises KeyError for a part that has no place."""
    left = dict(tables())

    def table(found: re.Match[str]) -> str:
        rows = [f"| {_cell(happens)} | {_cell(seen)} |\n" for happens, seen in left.pop(found["part"]).items()]
        return f"{found['begin']}| what happens | what is seen |\n|---|---|\n{''.join(rows)}{found['end']}"

    text = re.sub(r"(?P<begin><!-- table: (?P<part>.+) -->\n)[^<]*(?P<end><!-- end -->)", table, text)
    if left:
        raise KeyError(f"{FILE.name} has no place for {', '.join(left)}")
    return text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main(arguments: list[str]) -> int:
    is_text = FILE.read_text(encoding="utf-8")
    should_be = written(is_text)
    if "--check" not in arguments:
        FILE.write_text(should_be, encoding="utf-8")
    elif is_text != should_be:
        print(f"{FILE.name} is not what the tests say: python -m tests.hostile.document")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
