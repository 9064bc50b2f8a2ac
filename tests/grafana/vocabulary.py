"""The names that dashboards and rules may use: metrics with their labels, and the values of labels with a fixed set.

In: what the exporter exposes, what Prometheus adds to each scrape, and the rules of grafana/alerts/. Out: vocabularies
for `promql.labels_of`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from tests.grafana.promql import Labels, Vocabulary, labels_of

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "grafana" / "alerts"

STATES = frozenset(
    {"READY", "DELETED", "STOPPED", "UNKNOWN", "OTHER"}
    | {f"{verb}_{end}" for verb in ("CREATE", "DELETE", "START", "STOP") for end in ("IN_PROGRESS", "FAILED")}
)
FAILURE_CODES = frozenset(
    {
        "INTERNAL_ERROR",
        "INSUFFICIENT_CAPACITY",
        "ACTIVE_DIRECTORY_DOMAIN_JOIN_ERROR",
        "NETWORK_CONNECTION_ERROR",
        "INITIALIZATION_SCRIPT_ERROR",
        "DECRYPT_STREAMING_IMAGE_ERROR",
        "NETWORK_INTERFACE_ERROR",
        "AMI_VALIDATION_ERROR",
    }
)
REASONS = frozenset(
    {
        "throttled",
        "access_denied",
        "not_found",
        "timeout",
        "connection",
        "server_error",
        "bad_response",
        "credentials",
        "other",
    }
)
# Labels that take their values from a fixed set, so that a matcher which matches none of them is a mistake.
VALUES: Mapping[str, frozenset[str]] = {
    "state": STATES,
    "latest_state": STATES,
    "status_code": FAILURE_CODES,
    "reason": REASONS,
}

STUDIO = "source aws_region studio_id studio"
TARGET = "source aws_region target"
EXPORTER = {
    "studio_backups": f"{STUDIO} state status_code",
    "studio_backup_newest_timestamp_seconds": f"{STUDIO} state",
    "studio_backup_oldest_timestamp_seconds": f"{STUDIO} state",
    "studio_backup_workstations": f"{STUDIO} latest_state",
    "studio_backup_workstations_ready": STUDIO,
    "studio_backup_stalest_ready_timestamp_seconds": STUDIO,
    "studio_backup_new_failures_total": f"{STUDIO} state",
    "studio_backup_studio_info": f"{STUDIO} aws_account_id display_name target",
    "studio_backup_up": STUDIO,
    "studio_backup_last_success_timestamp_seconds": STUDIO,
    "studio_backup_poll_duration_seconds": STUDIO,
    "studio_backup_polls_total": STUDIO,
    "studio_backup_poll_failures_total": f"{STUDIO} reason",
    "studio_backup_discovery_up": TARGET,
    "studio_backup_discovered_studios": TARGET,
    "studio_backup_api_requests_total": f"{TARGET} operation",
    "studio_backup_api_errors_total": f"{TARGET} operation code",
    "studio_backup_api_request_duration_seconds_bucket": "source aws_region operation le",
    "studio_backup_api_request_duration_seconds_sum": "source aws_region operation",
    "studio_backup_api_request_duration_seconds_count": "source aws_region operation",
    "studio_backup_exporter_build_info": "version revision pythonversion botocore",
    "studio_backup_exporter_poll_interval_seconds": "target",
    "studio_backup_exporter_stale_after_seconds": "target",
    "studio_backup_exporter_polls_in_progress": "",
    "studio_backup_exporter_abandoned_polls": "",
    "studio_backup_exporter_poll_lateness_seconds": "",
    "studio_backup_exporter_config_last_reload_successful": "",
    "studio_backup_exporter_config_last_reload_success_timestamp_seconds": "",
    "process_virtual_memory_bytes": "",
    "process_resident_memory_bytes": "",
    "process_start_time_seconds": "",
    "process_cpu_seconds_total": "",
    "process_open_fds": "",
    "process_max_fds": "",
    "python_info": "version implementation major minor patchlevel",
    "python_gc_objects_collected_total": "generation",
    "python_gc_objects_uncollectable_total": "generation",
    "python_gc_collections_total": "generation",
}
# Series that Prometheus itself writes for every target.
PROMETHEUS = ("up", "scrape_duration_seconds", "scrape_samples_scraped")


def exporter_vocabulary() -> dict[str, Labels]:
    """Every sample name that the exporter exposes, with its labels."""
    return {name: frozenset(labels.split()) for name, labels in EXPORTER.items()}


def scraped_vocabulary() -> dict[str, Labels]:
    """The exporter's samples as Prometheus stores them, and what Prometheus adds."""
    samples = exporter_vocabulary() | {name: frozenset[str]() for name in PROMETHEUS}
    return {name: labels | {"job", "instance"} for name, labels in samples.items()}


def rules(folder: Path = RULES) -> Iterator[dict[str, Any]]:
    """Every recording and alerting rule; files in the folder that are not rule files hold no groups."""
    for path in sorted(folder.glob("*.y*ml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for group in document.get("groups", ()):
            yield from group["rules"]


def rule_labels(rule: dict[str, Any], known: Vocabulary) -> Labels:
    """The labels of what a rule records or raises."""
    found = labels_of(promql_parser.parse(rule["expr"]), known) or frozenset()
    return found | frozenset(rule.get("labels", ()))


def full_vocabulary(folder: Path = RULES) -> dict[str, Labels]:
    """Scraped series, what the rules record from them, and the ALERTS that they raise."""
    known = scraped_vocabulary()
    raised: set[str] = set()
    for rule in rules(folder):
        labels = rule_labels(rule, known)
        if "record" in rule:
            known[rule["record"]] = labels
        else:
            raised |= labels
    known["ALERTS"] = frozenset(raised | {"alertname", "alertstate"})
    return known
