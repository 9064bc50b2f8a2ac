"""What a log line looks like, whatever is in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from exporter import logs


@pytest.fixture(autouse=True)
def configuration() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


def test_nothing_in_a_line_can_steer_a_terminal_or_make_two_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "logfmt")
    structlog.get_logger("x").warning("poll failed", studio="a\x1b[2Jb", error='no "such"\nlevel=info msg=fine')
    [line] = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert line.partition(" ")[2] == (
        'level=warning msg="poll failed" studio=a?[2Jb error="no \\"such\\"\\nlevel=info msg=fine"'
    )


def test_json_says_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    structlog.get_logger("x").warning("poll failed", studio="a\x1b[2Jb", failures=3)
    [line] = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    told = json.loads(line)
    del told["ts"]
    assert told == {"level": "warning", "msg": "poll failed", "studio": "a\x1b[2Jb", "failures": 3}


@pytest.mark.parametrize(("level", "told"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_what_is_below_the_level_is_left_out(level: str, told: int, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level, "logfmt")
    log = structlog.get_logger("x")
    for method in (log.debug, log.info, log.warning, log.error):
        method("something")
    assert len(capsys.readouterr().err.splitlines()) == told


def test_botocore_is_heard_only_in_earnest(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "logfmt")
    botocore = logging.getLogger("botocore.credentials")
    botocore.debug("a signed request")
    botocore.warning("a credential process's words")
    botocore.error("in earnest")
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith('msg="in earnest"')
