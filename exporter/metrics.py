"""What is known -> metric families -> bytes.

In go a Status and the account of the API's calls, out comes Prometheus's text format or OpenMetrics. A scrape reads
what the poller knows at that moment and calls nothing.

    studio_backups{source="nimble",aws_region="us-west-2",studio_id="us-west-2:stid-EXAMPLE11111",studio="aurora",
                   state="CREATE_FAILED",status_code="INTERNAL_ERROR"} 2.0
    studio_backup_newest_timestamp_seconds{...,state="READY"} 1.79546e+09
    studio_backup_up{source="nimble",aws_region="us-west-2",studio_id="us-west-2:stid-EXAMPLE11111",studio="aurora"} 1.0
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import cache
from importlib.metadata import version

import msgspec
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest
from prometheus_client.registry import Collector

from exporter.aws.account import DURATION_BUCKETS, ApiCalls
from exporter.backups import FAILED_STATES, Census
from exporter.sources import Reason
from exporter.status import Status, StudioStatus

STUDIO_LABELS = ("source", "aws_region", "studio_id", "studio")
#: What `once` writes: no counters, which would begin anew each time, and nothing of the process.
ONE_SHOT = (
    "studio_backups",
    "studio_backup_newest_timestamp_seconds",
    "studio_backup_oldest_timestamp_seconds",
    "studio_backup_workstations",
    "studio_backup_workstations_ready",
    "studio_backup_stalest_ready_timestamp_seconds",
    "studio_backup_studio_info",
    "studio_backup_up",
    "studio_backup_last_success_timestamp_seconds",
    "studio_backup_poll_duration_seconds",
)
_EXPORTER = "studio_backup_exporter_"
#: Read once: a scrape opens no file for it, which is half of what it takes where there is nothing else to tell.
_BOTOCORE_VERSION = version("botocore")


class ConfigStatus(msgspec.Struct, frozen=True):
    """How the last loading of the configuration went, and when it last went well (Unix time in seconds)."""

    successful: bool
    success_timestamp_seconds: float


class StudioBackupCollector(Collector):
    """Yields the exporter's own families, of what is known at one moment."""

    def __init__(self, status: Status, calls: ApiCalls, config_status: ConfigStatus) -> None:
        self._status = status
        self._calls = calls
        self._config_status = config_status

    def describe(self) -> Iterator[Metric]:
        """Yield the families without samples."""
        yield from _Families().all()

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        families = _Families()
        for studio in self._status.studios:
            families.add_studio(studio)
        families.add_exporter(self._status, self._config_status)
        families.add_api(self._calls, {known.target.name for known in self._status.targets})
        yield from families.all()


class _Families:
    """The exporter's families, filled from what is known."""

    def __init__(self) -> None:
        studio = STUDIO_LABELS
        api = ("source", "aws_region", "target", "operation")
        self.backups = _gauge(
            "studio_backups", "Backups in the last complete listing.", *studio, "state", "status_code"
        )
        self.newest = _gauge(
            "studio_backup_newest_timestamp_seconds",
            "When the newest backup in this state was created.",
            *studio,
            "state",
        )
        self.oldest = _gauge(
            "studio_backup_oldest_timestamp_seconds",
            "When the oldest backup in this state was created.",
            *studio,
            "state",
        )
        self.workstations = _gauge(
            "studio_backup_workstations", "Workstations by the state of their newest backup.", *studio, "latest_state"
        )
        self.workstations_ready = _gauge(
            "studio_backup_workstations_ready", "Workstations that have a READY backup at all.", *studio
        )
        self.stalest_ready = _gauge(
            "studio_backup_stalest_ready_timestamp_seconds",
            "The least, over workstations that have a READY backup, of when their newest one was created.",
            *studio,
        )
        self.new_failures = _counter(
            "studio_backup_new_failures",
            "Backups that came into a failed state since the first look at the studio.",
            *studio,
            "state",
        )
        self.info = _gauge(
            "studio_backup_studio_info",
            "What else is known of a studio; the value is always 1.",
            *studio,
            "aws_account_id",
            "display_name",
            "target",
        )
        self.up = _gauge("studio_backup_up", "Whether the last poll of the studio succeeded.", *studio)
        self.last_success = _gauge(
            "studio_backup_last_success_timestamp_seconds", "When the last complete listing ended.", *studio
        )
        self.poll_duration = _gauge(
            "studio_backup_poll_duration_seconds", "How long the last poll took, failed or not.", *studio
        )
        self.polls = _counter("studio_backup_polls", "Polls that ended, well or not.", *studio)
        self.poll_failures = _counter(
            "studio_backup_poll_failures", "Polls that failed, by why they did.", *studio, "reason"
        )
        self.discovery_up = _gauge(
            "studio_backup_discovery_up", "Whether the target's last discovery of studios succeeded.", *api[:3]
        )
        self.discovered = _gauge("studio_backup_discovered_studios", "Studios that the target has.", *api[:3])
        self.api_requests = _counter(
            "studio_backup_api_requests", "HTTP requests sent to AWS, retries and refused ones included.", *api
        )
        self.api_errors = _counter(
            "studio_backup_api_errors", "HTTP requests answered with an error, or not at all.", *api, "code"
        )
        self.api_duration = HistogramMetricFamily(
            "studio_backup_api_request_duration_seconds",
            "How long HTTP requests to AWS took.",
            labels=("source", "aws_region", "operation"),
        )
        self.build_info = _gauge(
            _EXPORTER + "build_info",
            "The exporter's version and what it runs on; the value is always 1.",
            "version",
            "revision",
            "pythonversion",
            "botocore",
        )
        self.poll_interval = _gauge(
            _EXPORTER + "poll_interval_seconds", "How often the target's listings are polled.", "target"
        )
        self.stale_after = _gauge(
            _EXPORTER + "stale_after_seconds", "How long a failing studio's last good counts are shown.", "target"
        )
        self.in_progress = _gauge(_EXPORTER + "polls_in_progress", "Polls under way.")
        self.abandoned = _gauge(
            _EXPORTER + "abandoned_polls", "Polls and discoveries that were given up and have not come to an end yet."
        )
        self.lateness = _gauge(_EXPORTER + "poll_lateness_seconds", "How late the last started poll was.")
        self.config_successful = _gauge(
            _EXPORTER + "config_last_reload_successful", "Whether the configuration was last loaded without a mistake."
        )
        self.config_timestamp = _gauge(
            _EXPORTER + "config_last_reload_success_timestamp_seconds",
            "When the configuration was last loaded without a mistake.",
        )

    def all(self) -> Iterable[Metric]:
        """Return every family, in the order in which they are made."""
        return vars(self).values()

    def add_studio(self, known: StudioStatus) -> None:
        """Add a studio's series: those of its polls, and of its census while that is fresh."""
        labels = (known.target.source.name, known.target.aws_region, known.studio.id, known.studio.name)
        self.info.add_metric((*labels, known.studio.account_id, known.studio.display_name, known.target.name), 1)
        self.up.add_metric(labels, known.up)
        self.poll_duration.add_metric(labels, known.duration_seconds)
        self.polls.add_metric(labels, known.polls)
        for reason in Reason:
            self.poll_failures.add_metric((*labels, reason.value), known.failures.get(reason, 0))
        if known.last_success is not None:
            self.last_success.add_metric(labels, known.last_success)
            for state in FAILED_STATES:
                self.new_failures.add_metric((*labels, state), known.new_failures.get(state, 0))
        if known.census is not None:
            self._add_census(labels, known.census)

    def _add_census(self, labels: Sequence[str], census: Census) -> None:
        for pair, count in census.counts.items():
            self.backups.add_metric((*labels, *pair), count)
        for state, created in census.newest.items():
            self.newest.add_metric((*labels, state), created)
        for state, created in census.oldest.items():
            self.oldest.add_metric((*labels, state), created)
        for state, count in census.latest_states.items():
            self.workstations.add_metric((*labels, state), count)
        self.workstations_ready.add_metric(labels, census.workstations_ready)
        if census.stalest_ready is not None:
            self.stalest_ready.add_metric(labels, census.stalest_ready)

    def add_exporter(self, status: Status, config: ConfigStatus) -> None:
        """Add the series of targets and of the exporter itself."""
        for known in status.targets:
            target = known.target
            labels = (target.source.name, target.aws_region, target.name)
            if known.up is not None:
                self.discovery_up.add_metric(labels, known.up)
                self.discovered.add_metric(labels, known.studios)
            self.poll_interval.add_metric((target.name,), target.poll_interval)
            self.stale_after.add_metric((target.name,), target.stale_after)
        self.build_info.add_metric((exporter_version(), revision(), platform.python_version(), _BOTOCORE_VERSION), 1)
        self.in_progress.add_metric((), status.polls_in_progress)
        self.abandoned.add_metric((), status.abandoned_polls)
        self.lateness.add_metric((), status.lateness_seconds)
        self.config_successful.add_metric((), config.successful)
        self.config_timestamp.add_metric((), config.success_timestamp_seconds)

    def add_api(self, calls: ApiCalls, targets: Set[str]) -> None:
        """Add the series of API calls, of those targets that there are."""
        for request, count in calls.requests().items():
            if request[2] in targets:
                self.api_requests.add_metric(request, count)
        for error, count in calls.errors().items():
            if error[2] in targets:
                self.api_errors.add_metric(error, count)
        bounds = [str(bound) for bound in DURATION_BUCKETS] + ["+Inf"]
        for call, histogram in calls.durations().items():
            total = 0
            buckets = []
            for bound, count in zip(bounds, histogram.counts, strict=True):
                total += count
                buckets.append((bound, total))
            self.api_duration.add_metric(call, buckets, histogram.sum_seconds)


def _gauge(name: str, help: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help, labels=labels)


def _counter(name: str, help: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, help, labels=labels)


@cache
def exporter_version() -> str:
    """Return the version of the installed distribution."""
    return version("studio-backup-exporter")


def revision() -> str:
    """Return the source revision that was built, where the build said (the Dockerfile does), else "unknown"."""
    return os.environ.get("STUDIO_BACKUP_EXPORTER_REVISION", "unknown")


def new_registry(collector: StudioBackupCollector) -> CollectorRegistry:
    """Return a registry of the exporter's metrics and those of its process."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def render(collector: StudioBackupCollector, accept: str = "", names: Sequence[str] = ()) -> tuple[bytes, str]:
    """Return the exposition and its content type: OpenMetrics if `accept` asks for it; only `names`, if any."""
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is none
        encode, content_type = generate_latest, CONTENT_TYPE_PLAIN_0_0_4
    registry = new_registry(collector)
    return encode(registry.restricted_registry(names) if names else registry), content_type
