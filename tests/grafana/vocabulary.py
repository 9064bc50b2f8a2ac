"""The names that dashboards and rules may use: metrics with their labels, and the values of labels with a fixed set.

In: what the exporter exposes, what Prometheus adds to each scrape, and the rules of grafana/alerts/. Out: vocabularies
for `promql.labels_of`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from exporter import backups
from exporter.aws.account import ApiCalls
from exporter.metrics import ConfigStatus, StudioBackupCollector, new_registry
from exporter.sources import Reason
from exporter.sources.nimble import ERROR_CODES
from exporter.status import Status
from tests.grafana.promql import Labels, Vocabulary, labels_of

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "grafana" / "alerts"

STATES = frozenset({*backups.STATES, backups.UNKNOWN, backups.OTHER})
# Labels that take their values from a fixed set, so that a matcher which matches none of them is a mistake.
VALUES: Mapping[str, frozenset[str]] = {
    "state": STATES,
    "latest_state": STATES,
    "status_code": frozenset(ERROR_CODES),
    "reason": frozenset(Reason),
}

# Series that Prometheus itself writes for every target.
PROMETHEUS = ("up", "scrape_duration_seconds", "scrape_samples_scraped")


def exporter_vocabulary() -> dict[str, Labels]:
    """Every sample name of the exporter, with its labels: its own as described, its process's as collected."""
    collector = StudioBackupCollector(Status((), (), 0, 0, 0.0, ready=True), ApiCalls(), ConfigStatus(True, 0.0))
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    known: dict[str, Labels] = {}
    for family in collector.describe():
        labels = frozenset[str](vars(family)["_labelnames"])
        for suffix in suffixes.get(family.type, ("",)):
            known[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    for family in new_registry(collector).collect():
        for sample in family.samples:
            known.setdefault(sample.name, frozenset(sample.labels))
    return known


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
