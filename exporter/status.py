"""What is known of targets and studios: what the poller writes, and all that metrics and pages read.

Immutable pictures of one moment. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from exporter.backups import FAILED_STATES, Census, Studio
from exporter.sources import PollError, Reason, Source


class Target(msgspec.Struct, frozen=True):
    """A source to poll, and when. Times are in seconds.

    `scope` is where it asks and as whom: two sources of the same scope are shown the same studios.
    """

    name: str
    source: Source
    aws_region: str
    scope: Sequence[str | None]
    poll_interval: float
    poll_timeout: float
    stale_after: float
    discovery_interval: float


class StudioStatus(msgspec.Struct, frozen=True):
    """What is known of one studio. Times are Unix times in seconds, None before there is one."""

    studio: Studio
    target: Target
    listing: str
    polls: int = 0
    failures: Mapping[Reason, int] = {}
    new_failures: Mapping[str, int] = {}
    #: Of the last poll: how long it took, when it ended, and what it failed of.
    duration_seconds: float = 0.0
    last_poll: float | None = None
    error: PollError | None = None
    last_success: float | None = None
    #: Of the last complete listing; None in a Status when that is longer ago than stale_after.
    census: Census | None = None
    #: When the census was complete, by the clock of exporter.clock.
    census_at: float = 0.0
    next_poll: float | None = None

    @property
    def up(self) -> bool:
        """Whether the last poll succeeded."""
        return self.error is None

    def failed(self, reason: Reason) -> StudioStatus:
        """Return what is known after one more failed poll."""
        return msgspec.structs.replace(self, failures={**self.failures, reason: self.failures.get(reason, 0) + 1})

    def counted(self, census: Census, now: float, wall_now: float) -> StudioStatus:
        """Return what is known after a good poll that ended now, by either clock."""
        told = self.new_failures
        return msgspec.structs.replace(
            self,
            last_success=wall_now,
            census=census,
            census_at=now,
            new_failures={state: told.get(state, 0) + census.new_failures[state] for state in FAILED_STATES},
        )


class TargetStatus(msgspec.Struct, frozen=True):
    """What is known of one target. `up` says whether its last discovery succeeded: None before the first ended."""

    target: Target
    up: bool | None = None
    error: PollError | None = None
    studios: int = 0


class Status(msgspec.Struct, frozen=True):
    """All that is known, at one moment: targets in the file's order, studios by their names."""

    targets: Sequence[TargetStatus]
    studios: Sequence[StudioStatus]
    polls_in_progress: int
    abandoned_polls: int
    lateness_seconds: float
    ready: bool
