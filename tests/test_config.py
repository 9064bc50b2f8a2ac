"""The configuration: what is taken, what is refused with which words, and that nothing else can happen."""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Config, NamedStudio, load
from exporter.document import ConfigError
from exporter.durations import format_duration, parse_duration

ROOT = Path(__file__).parents[1]
FIXTURES = Path(__file__).parent / "testdata" / "config"
MINIMAL = "targets: [{aws_region: us-west-2}]\n"


def loaded(text: str | bytes) -> Config:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.yaml")
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(file)


def refused(text: str | bytes) -> list[str]:
    """Return the refusal's lines, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.problems)
    return [line.removeprefix(str(caught.value.file) + ":") for line in lines]


@pytest.mark.parametrize("file", sorted(FIXTURES.glob("*.bad.yaml")), ids=lambda file: file.name)
def test_a_bad_file_is_told_every_mistake(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(file)
    told = str(caught.value).replace(str(file), "FILE") + "\n"
    assert told == file.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", sorted(FIXTURES.glob("*.ok.yaml")), ids=lambda file: file.name)
def test_a_good_file_is_taken(file: Path) -> None:
    assert load(file).targets


def test_defaults() -> None:
    made = loaded(MINIMAL)
    assert (made.discovery_interval, made.max_concurrent_polls) == (600, 8)
    [target] = made.targets
    assert (target.label, target.source, target.studios) == ("nimble-us-west-2", "nimble", None)
    assert made.times(target) == (60, 30, 300)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("poll_interval: 10s\n", (10, 10, 300)),
        ("poll_interval: 2m\n", (120, 30, 600)),
        ("poll_interval: 10s\npoll_timeout: 20s\n", (10, 20, 300)),
        ("poll_interval: 10s\nstale_after: 30s\n", (10, 10, 30)),
    ],
)
def test_times_follow_from_each_other(text: str, expected: tuple[float, float, float]) -> None:
    made = loaded(text + MINIMAL)
    assert made.times(made.targets[0]) == expected


def test_a_target_has_its_own_interval() -> None:
    made = loaded("targets: [{aws_region: us-west-2, poll_interval: 5m}, {aws_region: us-east-1}]\n")
    assert [made.times(target) for target in made.targets] == [(300, 30, 1500), (60, 30, 300)]


def test_studios_are_ids_or_ids_with_names() -> None:
    [target] = loaded('targets: [{aws_region: us-west-2, studios: ["a:b/c %", {id: d, name: e}]}]').targets
    assert target.studios == (NamedStudio(id="a:b/c %"), NamedStudio(id="d", name="e"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "1: is empty; config.example.yaml shows what belongs here"),
        ("# only a comment\n", "1: is empty; config.example.yaml shows what belongs here"),
        ("[]", "1: must be a mapping with the key targets"),
        ("targets:\n  - a: [\n", "3: is not YAML: expected the node content, but found '<stream end>'"),
        ("a: 1\n\tb: 2\n", "2: is not YAML: found character '\\t' that cannot start any token"),
        ("targets: !!python/object:os.system {}", "1: targets: must be a list"),
        ("targets: !secret x", "1: is not YAML: could not determine a constructor for the tag '!secret'"),
        (b"targets: \xff", "1: is not UTF-8 text (byte 9)"),
        ("a: 1\n---\nb: 2\n", "2: is not YAML: but found another document"),
        ("poll_interval: 60s\n", "1: targets: is required"),
        ("targets: []\n", "1: targets: must not be empty"),
        ("targets:\n", "1: targets: must be a list"),
        ("nonsense: 1\n" + MINIMAL, "1: nonsense: is no key here (there are poll_interval, poll_timeout, stale_after,"),
    ],
)
def test_what_is_no_configuration_is_told_in_one_line(text: str | bytes, told: str) -> None:
    [line] = refused(text)
    assert line.startswith(told)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path}/none.yaml:1: cannot be read: No such file")):
        load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("first", "second"),
    [("studios: [x, x]", ""), ("studios: [x]", "studios: [{id: x}]"), ("studios: [x]", "studios: [x], owned_by: me")],
)
def test_a_studio_named_twice_is_refused(first: str, second: str) -> None:
    targets = [f"{{aws_region: us-west-2, name: t{n}, {keys}}}" for n, keys in enumerate((first, second)) if keys]
    [line] = refused("targets:\n" + "".join(f"  - {target}\n" for target in targets))
    assert line.endswith("is named twice (first in line 2)")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "stale_after: 1m\n",
            "stale_after is 1m, but targets[0] needs 2m30s at least (2 x poll_interval + poll_timeout)",
        ),
        (
            "poll_timeout: 10m\n",
            "stale_after is 5m, but targets[0] needs 12m at least (2 x poll_interval + poll_timeout)",
        ),
    ],
)
def test_counts_that_would_vanish_between_two_good_polls_are_refused(text: str, told: str) -> None:
    [line] = refused(text + MINIMAL)
    assert line.endswith(told)


@pytest.mark.parametrize("key", ["aws_access_key_id", "aws_secret_access_key", "session_token", "password"])
def test_secrets_are_refused_and_never_repeated(key: str) -> None:
    [line] = refused(f"targets: [{{aws_region: us-west-2, {key}: hunter2}}]")
    assert "credentials come from the environment, a profile or a role" in line
    assert "hunter2" not in line


@given(st.text(min_size=6).filter(lambda text: text.isprintable()), st.sampled_from(["x", "external", "endpoint_url"]))
def test_the_value_of_what_is_refused_is_not_repeated(value: str, key: str) -> None:
    document = {"targets": [{"aws_region": "us-west-2", key: f"-{value}-"}]}
    assert f"-{value}-" not in "\n".join(refused(yaml.safe_dump(document)))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("1d", 86400), ("2w", 1209600), ("1m1s1ms", 61.001)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "0s",
        "s",
        "5",
        "5 m",
        "-5m",
        "1.5h",
        "30m1h",
        "5m5m",
        "5M",
        "1e3s",
        "٣s",
        "2y",
        "9" * 400 + "s",
        None,
        [],
        True,
    ],
)
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match=r"duration|zero"):
        parse_duration(value)


@given(st.integers(1, 365 * 86_400_000))
def test_a_duration_survives_being_written(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


def test_anchors_that_unfold_without_end_are_refused_at_once() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(40))
    begun = time.monotonic()
    [line] = refused(bomb)
    assert line == "1: is not YAML: anchors unfold without end"
    assert time.monotonic() - begun < 10
    assert refused("a: &a [*a]\n") == ["1: is not YAML: anchors unfold without end"]
    assert refused("a: " + "[" * 5000)[0].startswith("1: ")
