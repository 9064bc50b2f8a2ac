"""config.yaml -> Config: typed, frozen, and either wholly right or refused with every mistake at once.

In goes a file's path, out comes a Config, or a ConfigError with a line for each mistake:

    config.yaml:3: targets[0].aws_regoin: is no key here (did you mean aws_region?)

No value that may be a secret is ever repeated. Durations are written as Prometheus writes them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
)
from pydantic_core import ErrorDetails

from exporter.document import ConfigError, Document, Location, Problem, where_in_words
from exporter.durations import format_duration, parse_duration
from exporter.fields import (
    Duration,
    JobsSince,
    Name,
    Regex,
    Region,
    ResourceType,
    RoleArn,
    TagKey,
    TagValue,
    Text,
    Url,
    VaultName,
)

_DEFAULT_SOURCE: Final = "nimble"
_POLL_INTERVAL_SECONDS = 60.0
#: EC2's requests are shared with everything else in the account and region, and snapshots are made by the hour.
_EBS_POLL_INTERVAL_SECONDS = 300.0
_SECRET = re.compile(r"secret|password|access_key|token|credential", re.IGNORECASE)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _studio_entry(value: object) -> object:
    if not isinstance(value, (str, dict)):
        raise ValueError("must be a studio's id (text, in quotes), or a mapping with id and name")
    return {"id": value} if isinstance(value, str) else value


class NamedStudio(_Model):
    """A studio that is named in the configuration. `name` becomes the `studio` label in place of the source's name."""

    id: Text
    name: Name | None = None


class _Target(_Model):
    """What the targets of every source have: where, how often, and with which identity. Times are in seconds."""

    name: Name | None = None
    source: str
    aws_region: Region
    poll_interval: Duration | None = None
    profile: Text | None = None
    role_arn: RoleArn | None = None
    external_id: Text | None = None
    endpoint_url: Url | None = None

    @property
    def label(self) -> str:
        """The `target` label."""
        return self.name or f"{self.source}-{self.aws_region}"


class NimbleTarget(_Target):
    """Studios of Amazon Nimble Studio in one region, seen with one identity."""

    source: Literal["nimble"] = _DEFAULT_SOURCE
    studios: (
        Annotated[tuple[Annotated[NamedStudio, BeforeValidator(_studio_entry)], ...], Field(strict=False)] | None
    ) = None
    include: Annotated[tuple[Regex, ...], Field(strict=False)] = ()
    exclude: Annotated[tuple[Regex, ...], Field(strict=False)] = ()
    owned_by: Text | None = None


class EbsTarget(_Target):
    """The EBS snapshots of one account in one region. `studios` are values of the tag `studio_tag`."""

    source: Literal["ebs"]
    studio_tag: TagKey = "Studio"
    workstation_tag: TagKey | None = None
    studios: Annotated[tuple[TagValue, ...], Field(strict=False)] | None = None


class AwsBackupTarget(_Target):
    """The vaults of AWS Backup of one account in one region. `studios` are names of vaults."""

    source: Literal["aws_backup"]
    studios: Annotated[tuple[VaultName, ...], Field(strict=False)] | None = None
    include: Annotated[tuple[Regex, ...], Field(strict=False)] = ()
    exclude: Annotated[tuple[Regex, ...], Field(strict=False)] = ()
    jobs_since: JobsSince = 7 * 86_400.0
    resource_types: Annotated[tuple[ResourceType, ...], Field(strict=False, min_length=1)] = ("EC2", "EBS")


_TARGETS: Mapping[str, type[_Target]] = MappingProxyType(
    {"nimble": NimbleTarget, "ebs": EbsTarget, "aws_backup": AwsBackupTarget}
)


def _source(target: object) -> str:
    """Return the source of a target; where the file names none that there is, the default, which refuses it."""
    source = target.get("source") if isinstance(target, Mapping) else None
    return source if isinstance(source, str) and source in _TARGETS else _DEFAULT_SOURCE


AnyTarget = Annotated[
    Annotated[NimbleTarget, Tag("nimble")]
    | Annotated[EbsTarget, Tag("ebs")]
    | Annotated[AwsBackupTarget, Tag("aws_backup")],
    Discriminator(_source),
]


class Times(NamedTuple):
    """How often a target is polled, how long a poll may take, and how long its last good counts are shown (seconds)."""

    poll_interval: float
    poll_timeout: float
    stale_after: float

    @property
    def least_stale_after(self) -> float:
        """What stale_after must not be less than: counts would vanish between two good polls."""
        return 2 * self.poll_interval + self.poll_timeout


def _times(poll_interval: float, poll_timeout: float | None, stale_after: float | None) -> Times:
    return Times(poll_interval, poll_timeout or min(30, poll_interval), stale_after or max(300, 5 * poll_interval))


def _general_interval(source: str, poll_interval: float) -> float:
    """Return how often a target is polled that says nothing of it itself (seconds)."""
    return max(poll_interval, _EBS_POLL_INTERVAL_SECONDS) if source == "ebs" else poll_interval


class Config(_Model):
    """The whole configuration. Times are in seconds."""

    poll_interval: Duration = _POLL_INTERVAL_SECONDS
    poll_timeout: Duration | None = None
    stale_after: Duration | None = None
    discovery_interval: Duration = 600.0
    max_concurrent_polls: Annotated[int, Field(ge=1, le=1000)] = 8
    targets: Annotated[tuple[AnyTarget, ...], Field(strict=False)]

    def times(self, target: _Target) -> Times:
        """Return the times that hold for a target."""
        interval = target.poll_interval or _general_interval(target.source, self.poll_interval)
        return _times(interval, self.poll_timeout, self.stale_after)


def load(file: Path) -> Config:
    """Return the configuration in a file. Raises ConfigError."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(file, [Problem(1, "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError(file, [Problem(1, "", f"is not UTF-8 text (byte {error.start})")]) from None
    document = Document(text)
    if document.data is None:
        raise ConfigError(file, document.problems)
    config = None
    problems = [*document.problems, *_cross_checks(document)]
    try:
        config = Config.model_validate(document.data)
    except ValidationError as error:
        problems += [_problem(details, document) for details in error.errors(include_url=False)]
    if problems or config is None:
        raise ConfigError(file, problems)
    return config


def _problem(details: ErrorDetails, document: Document) -> Problem:
    """Return one of pydantic's findings in our own words."""
    location: Location = details["loc"]
    if location[:1] == ("targets",):  # after a target's number, pydantic names which of the models it took it for
        location = location[:2] + location[3:]
    what = {
        "missing": "is required",
        "literal_error": f"must be one of {', '.join(_TARGETS)}",
        "too_short": "must not be empty",
        "value_error": str(details.get("ctx", {}).get("error", "")),
        "string_type": "must be text (put it in quotes)",
        "string_too_short": "must not be empty",
        "tuple_type": "must be a list",
        "int_type": "must be a whole number",
        "model_type": "must be a mapping",
    }.get(details["type"])
    if details["type"] == "extra_forbidden":
        what = _unknown_key(location, document)
    if what is None:  # "Input should be less than or equal to 1000"
        what = details["msg"].replace("Input should", "must").replace("String should", "must")
    return Problem(document.line(location), where_in_words(location), what)


def _unknown_key(location: Location, document: Document) -> str:
    key = str(location[-1]) if location else ""
    if _SECRET.search(key):
        return "has no place here: credentials come from the environment, a profile or a role, as boto3 finds them"
    model: type[BaseModel] = Config
    if len(location) > 2:
        source = _source(document.data["targets"][location[1]])
        model = NamedStudio if "studios" in location[:-1] else _TARGETS[source]
        others = [name for name, other in _TARGETS.items() if model is not NamedStudio and key in other.model_fields]
        if others:
            return f"is a key of the source {' and '.join(others)} only"
    near = difflib.get_close_matches(key, model.model_fields, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(model.model_fields)}"
    return f"is no key here ({hint})"


# What concerns several keys at once. It looks at the document as it is, so that these mistakes are told together with
# the others; what is of the wrong type there is pydantic's to tell.


def _cross_checks(document: Document) -> Iterator[Problem]:
    data = document.data
    listed = data.get("targets")
    targets = [
        (("targets", index), target)
        for index, target in enumerate(listed if isinstance(listed, list) else [])
        if isinstance(target, dict)
    ]
    lists = [(("targets",), listed), *(((*where, "studios"), target.get("studios")) for where, target in targets)]
    for where, items in lists:
        if items == []:
            yield Problem(document.line(where), where_in_words(where), "must not be empty")
    yield from _doubled(document, [(where, _label(target)) for where, target in targets], _advice_on_names)
    # A tag's value or a vault's name may well be in two accounts, or regions; a Nimble studio's id is unique.
    scopes: dict[Location, list[tuple[Location, object]]] = {}
    for where, target in targets:
        scope = scopes.setdefault(() if _source(target) == "nimble" else where, [])
        named = target.get("studios")
        for index, entry in enumerate(named if isinstance(named, list) else []):
            scope.append(((*where, "studios", index), entry.get("id") if isinstance(entry, dict) else entry))
    for studios in scopes.values():
        yield from _doubled(document, studios, lambda first: f"is named twice (first in line {first})")
    for where, target in targets:
        for key in ("include", "exclude"):
            if key in target and "studios" in target and _source(target) != "ebs":
                here = (*where, key)
                yield Problem(
                    document.line(here), where_in_words(here), "acts on discovered studios only, and studios names them"
                )
        if target.get("external_id") is not None and target.get("role_arn") is None:
            here = (*where, "external_id")
            yield Problem(document.line(here), where_in_words(here), "has no meaning without role_arn")
    yield from _check_times(document, targets)


def _label(target: Mapping[str, Any]) -> object:
    if target.get("name") is not None:
        return target["name"]
    if isinstance(target.get("aws_region"), str):
        return f"{target.get('source', _DEFAULT_SOURCE)}-{target['aws_region']}"
    return None


def _advice_on_names(first: int) -> str:
    return f"is called as the one in line {first}; give each a name of its own"


def _doubled(
    document: Document, named: Sequence[tuple[Location, object]], what: Callable[[int], str]
) -> Iterator[Problem]:
    first: dict[Hashable, Location] = {}
    for where, name in named:
        if isinstance(name, str) and first.setdefault(name, where) != where:
            yield Problem(document.line(where), where_in_words(where), what(document.line(first[name])))


def _check_times(document: Document, targets: Sequence[tuple[Location, Mapping[str, Any]]]) -> Iterator[Problem]:
    def seconds(mapping: Mapping[str, Any], key: str) -> float | None:
        return parse_duration(mapping[key]) if mapping.get(key) is not None else None

    data = document.data
    try:
        interval = seconds(data, "poll_interval") or _POLL_INTERVAL_SECONDS
        general = (interval, seconds(data, "poll_timeout"), seconds(data, "stale_after"))
        each = [
            (
                where,
                _times(
                    seconds(target, "poll_interval") or _general_interval(_source(target), general[0]), *general[1:]
                ),
            )
            for where, target in targets
        ]
    except ValueError:
        return
    for where, times in each:
        if times.stale_after < times.least_stale_after:
            key = "stale_after" if "stale_after" in data else "poll_timeout"
            yield Problem(
                document.line((key,)),
                key,
                f"stale_after is {format_duration(times.stale_after)}, but {where_in_words(where)} needs"
                f" {format_duration(times.least_stale_after)} at least (2 x poll_interval + poll_timeout)",
            )
