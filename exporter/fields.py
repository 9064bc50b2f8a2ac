"""What a single value of config.yaml may be: types that pydantic checks, each with its words for a value that is none.

In goes a value as YAML has it, out comes it typed, or a ValueError in words that follow the value's place.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, StringConstraints

from exporter.durations import parse_duration

#: ListBackupJobs tells of the last 30 days.
_LONGEST_JOBS_SINCE_SECONDS = 30 * 86_400


def _pattern(value: object) -> re.Pattern[str]:
    if not isinstance(value, str):
        raise ValueError("must be a regular expression, as text")
    try:
        return re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is not a regular expression: {error}") from None


def _url(value: object) -> str:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        fine = parts and parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        fine = False
    if not fine or parts is None:
        raise ValueError("must be a URL such as https://host or http://127.0.0.1:10421")
    if parts.username or parts.password:
        raise ValueError("must hold no credentials")
    if parts.query or parts.fragment:
        raise ValueError("must end with the host or a path")
    return str(value).rstrip("/")


def _printable(value: object) -> object:
    if isinstance(value, str) and not value.isprintable():
        raise ValueError("must not hold line breaks or other control characters")
    return value


def _shaped(pattern: str, example: str) -> BeforeValidator:
    def check(value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(pattern, value):
            raise ValueError(f"does not look like one, such as {example}")
        return value

    return BeforeValidator(check)


def _jobs_since(value: object) -> float:
    seconds = parse_duration(value)
    if seconds > _LONGEST_JOBS_SINCE_SECONDS:
        raise ValueError("must be no more than 30d: AWS Backup lists no older jobs")
    return seconds


Duration = Annotated[float, BeforeValidator(parse_duration)]
JobsSince = Annotated[float, BeforeValidator(_jobs_since)]
Regex = Annotated[re.Pattern[str], BeforeValidator(_pattern)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1024), BeforeValidator(_printable)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=128), BeforeValidator(_printable)]
Region = Annotated[str, _shaped(r"[a-z]{2,5}(-[a-z]+){1,3}-[0-9]{1,2}", "us-west-2")]
RoleArn = Annotated[
    str, _shaped(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}", "arn:aws:iam::111122223333:role/backups")
]
Url = Annotated[str, BeforeValidator(_url)]
#: What AWS allows for the key and the value of a tag.
TagKey = Annotated[str, StringConstraints(min_length=1, max_length=128), BeforeValidator(_printable)]
TagValue = Annotated[str, StringConstraints(min_length=1, max_length=256), BeforeValidator(_printable)]
VaultName = Annotated[str, _shaped(r"[a-zA-Z0-9_-]{2,50}", "studio-vault")]
ResourceType = Annotated[str, _shaped(r"[a-zA-Z0-9 _.-]{1,50}", "EC2")]
