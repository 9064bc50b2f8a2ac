"""Whatever the configuration file holds: it means what the reference says, or is refused in words."""

from __future__ import annotations

import string
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.aws.account import ApiCalls
from exporter.config import AwsBackupTarget, Config, EbsTarget, NamedStudio, NimbleTarget, load
from exporter.document import ConfigError
from exporter.durations import format_duration
from exporter.targets import build

ROOT = Path(__file__).parents[2]
FILES = [
    file.read_text(encoding="utf-8")
    for file in (ROOT / "config.example.yaml", *sorted((ROOT / "tests" / "testdata" / "config").glob("*.yaml")))
]
LINES = sorted({line for text in FILES for line in text.splitlines()})

KEYS = st.sampled_from(
    sorted(
        {"x", "aws_secret_access_key"}.union(
            *(model.model_fields for model in (Config, NimbleTarget, EbsTarget, AwsBackupTarget, NamedStudio))
        )
    )
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["5m", "us-west-2", "nimble", "ebs", "aws_backup", "[a", "http://[", "arn:aws:iam::1:role/x"])
)
STRUCTURES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | SCALARS, inner, max_size=6),
    max_leaves=25,
)


def loaded(content: str | bytes) -> Config | None:
    """Return the configuration, None where it is refused; hold both to what any is held to."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.yaml")
        file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        try:
            config = load(file)
        except ConfigError as error:
            refusal = str(error)
        else:
            assert [target.name for target in build(config, ApiCalls())] == [target.label for target in config.targets]
            return config
    lines = refusal.split("\n")
    for line in lines:
        number, _, what = line.removeprefix(f"{file}:").partition(": ")
        assert line.startswith(f"{file}:")
        assert number.isdigit()
        assert what
        assert what.isprintable()
        assert len(what) < 2000
    return None


MARKS = ["&a ", "*a", "!!python/name:os.system ", "!!binary ", "<<: ", "? ", "- ", "---", "\t"]


@st.composite
def changed(draw: st.DrawFn, line: str) -> list[str]:
    """Draw what careless editing makes of a line: none, other ones, or one with something more in it."""
    at = draw(st.integers(0, len(line)))
    return draw(
        st.sampled_from([[], [""], [line, line], [f"  {line}"], [line.lstrip()], [line.lstrip("# ")]])
        | st.sampled_from(LINES).map(lambda other: [line, other])
        | (st.text(string.printable, max_size=3) | st.sampled_from(MARKS)).map(
            lambda more: [line[:at] + more + line[at:]]
        )
    )


@st.composite
def edited(draw: st.DrawFn) -> str:
    """Draw a file of the project's own after some careless editing."""
    lines = draw(st.sampled_from(FILES)).splitlines()
    for _ in range(draw(st.integers(1, 4))):
        lines = lines or [""]
        place = draw(st.integers(0, len(lines) - 1))
        lines[place : place + 1] = draw(changed(lines[place]))
    return "\n".join(lines)


@given(edited())
def test_an_edited_file_is_taken_or_refused_in_words(text: str) -> None:
    loaded(text)


@given(
    st.dictionaries(KEYS, STRUCTURES, max_size=6), st.lists(st.dictionaries(KEYS, STRUCTURES, max_size=8), max_size=3)
)
def test_any_structure_is(document: dict[str, Any], targets: list[Any]) -> None:
    loaded(yaml.safe_dump(document | {"targets": targets}, allow_unicode=True))


@given(st.text() | st.text(alphabet="[]{}:-&*!#|>%@`'\" \n\tabc1"))
def test_any_text_is(text: str) -> None:
    loaded(text)


@given(st.binary())
def test_any_bytes_are(content: bytes) -> None:
    loaded(content)


# Files that are well formed, against a plain account of what they mean.

SECONDS = st.sampled_from([1, 5, 10, 30, 60, 90, 120, 300, 600, 1800, 3600])
SOURCES = ("nimble", "ebs", "aws_backup")
REGIONS = ("us-west-2", "us-east-1")


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a configuration whose parts are right each; together they may not be. Times are in seconds."""
    general = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "poll_interval": SECONDS,
                "poll_timeout": SECONDS,
                "stale_after": SECONDS,
                "discovery_interval": SECONDS,
                "max_concurrent_polls": st.integers(1, 1000),
            },
        )
    )
    targets = st.fixed_dictionaries(
        {"aws_region": st.sampled_from(REGIONS)},
        optional={
            "source": st.sampled_from(SOURCES),
            "name": st.sampled_from("abcd"),
            "poll_interval": SECONDS,
            "studios": st.lists(st.sampled_from(["s-1", "s-2", "s-3"]), max_size=2),
            "include": st.lists(st.sampled_from([".*", "a+"]), max_size=2),
            "role_arn": st.just("arn:aws:iam::111122223333:role/backups"),
            "external_id": st.just("x"),
        },
    )
    return {**general, "targets": draw(st.lists(targets, max_size=4))}


def written(document: Mapping[str, Any]) -> str:
    """Return the document as YAML, its times as durations."""
    times = ("poll_interval", "poll_timeout", "stale_after", "discovery_interval")

    def with_durations(part: Mapping[str, Any]) -> dict[str, Any]:
        return {key: format_duration(value) if key in times else value for key, value in part.items()}

    return yaml.safe_dump(
        with_durations(document) | {"targets": [with_durations(each) for each in document["targets"]]}
    )


def times_of(document: Mapping[str, Any], target: Mapping[str, Any]) -> tuple[float, float, float]:
    """Return a target's poll_interval, poll_timeout and stale_after, as docs/configuration.md says them."""
    interval = document.get("poll_interval", 60)
    if target.get("source") == "ebs" and interval < 300:
        interval = 300
    interval = target.get("poll_interval", interval)
    timeout = document.get("poll_timeout", interval if interval < 30 else 30)
    stale = document.get("stale_after", 5 * interval if 5 * interval > 300 else 300)
    return interval, timeout, stale


def is_good(document: Mapping[str, Any]) -> bool:
    """Say whether the parts go together."""
    targets = document["targets"]
    labels = [label_of(target) for target in targets]
    nimble = [
        studio
        for target in targets
        if target.get("source", "nimble") == "nimble"
        for studio in target.get("studios", [])
    ]
    return bool(targets) and all(
        (
            len(set(labels)) == len(labels),
            len(set(nimble)) == len(nimble),
            *(len(set(target.get("studios", []))) == len(target.get("studios", [])) for target in targets),
            *(target.get("studios") != [] for target in targets),
            *("include" not in target or target.get("source") != "ebs" for target in targets),
            *("include" not in target or "studios" not in target for target in targets),
            *("external_id" not in target or "role_arn" in target for target in targets),
            *(
                stale >= 2 * interval + timeout
                for interval, timeout, stale in (times_of(document, target) for target in targets)
            ),
        )
    )


def label_of(target: Mapping[str, Any]) -> str:
    return str(target.get("name", f"{target.get('source', 'nimble')}-{target['aws_region']}"))


@given(documents())
def test_a_well_formed_file_means_what_the_reference_says(document: dict[str, Any]) -> None:
    config = loaded(written(document))
    assert (config is not None) == is_good(document)
    if config is None:
        return
    assert config.max_concurrent_polls == document.get("max_concurrent_polls", 8)
    assert config.discovery_interval == document.get("discovery_interval", 600)
    for made, target in zip(config.targets, document["targets"], strict=True):
        assert tuple(config.times(made)) == times_of(document, target)
        assert (made.label, made.source) == (label_of(target), target.get("source", "nimble"))
        named = [studio.id if isinstance(studio, NamedStudio) else studio for studio in made.studios or ()]
        assert named == target.get("studios", [])
