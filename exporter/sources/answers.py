"""The strict reading of AWS's answers, for the sources whose services speak JSON or say times as text.

In goes what a service sent, out come typed values, or a PollError (bad_response) where an answer is not what it should
be: botocore by itself takes an HTML page, cut-off JSON or an empty object under status 200 for an empty answer.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from exporter.sources import PollError, Reason

_LATEST_UNIX_TIME = datetime.max.replace(tzinfo=UTC).timestamp()

T = TypeVar("T")


def decoder(shape: type[T]) -> Callable[[bytes], T]:
    """Return what reads a JSON answer's wanted members, or raises a PollError (bad_response) unless it is just that.

    To be made where a module is imported, by one thread: msgspec looks at a type when it first meets it, and two
    threads that do so at once crash the process (as of 0.22).
    """
    read = msgspec.json.Decoder(shape).decode

    def decode(body: bytes) -> T:
        try:
            if not body.isascii():
                body.decode()  # msgspec does not look into members that nobody wants
            return read(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise PollError(Reason.BAD_RESPONSE, str(error), code=type(error).__name__) from None

    return decode


def account_of(arn: str) -> str:
    """Return the account in an ARN (arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE), "" where there is none."""
    parts = arn.split(":", 5)
    return parts[4] if len(parts) == 6 else ""


def parse_timestamp(value: Any) -> float | None:
    """Return the Unix time in seconds of an ISO 8601 timestamp or of a number of seconds, None for anything else.

    A timestamp without an offset is taken as UTC, as botocore does; one before 1970 is somebody's zero, not a time.
    """
    seconds: Any = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.upper())
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            try:
                seconds = float(value)
            except ValueError:
                return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return None
    return float(seconds) if 0 <= seconds <= _LATEST_UNIX_TIME else None  # NaN is neither


def text(value: Any) -> str:
    """Return what is text, "" for anything else."""
    return value if isinstance(value, str) else ""
