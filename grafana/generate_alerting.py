"""Write the alerts for Grafana's own alerting, grafana/provisioning/alerting/.

In: the Prometheus rules of grafana/alerts/. Out: one provisioning file with the same alerts, which needs none of those
rules: what they record is put into each query. `--check` writes nothing and exits 1 when the file differs from what
would be written.

The format is that of Grafana's file provisioning (its `AlertRuleV1`), in which `keepFiringFor` is written in camel
case and `missing_series_evals_to_resolve` is not, and in which a dollar would begin an environment variable.
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
RULES = HERE / "alerts" / "studio-backup-exporter.yml"
PROVISIONED = HERE / "provisioning" / "alerting" / "studio-backup-exporter.yaml"
FOLDER = "Studio backups"
DATA_SOURCE = "prometheus"  # the uid in provisioning/datasources/
HEADER = """\
# Written by grafana/generate_alerting.py from grafana/alerts/. An alternative to those Prometheus rules: load one of
# the two, or each alert comes twice. Grafana 12.2 and later: older ones leave out keepFiringFor.
"""

# No data is no failure: a healthy studio may have no series that an alert could match, and an exporter that is gone has
# alerts of its own. Where Prometheus does not answer, every alert keeps its state, and one of them says so.
NO_DATA, ON_ERROR = "OK", "KeepLast"
TELLS_OF_ERRORS = "StudioBackupExporterAbsent"

Rule = dict[str, Any]
RECORDED = re.compile(r"\b((?:studio|target):\w+:\w+)(\{[^}]*\})?(\[\w+\])?")
EXPOSED = re.compile(r"\bstudio_backups?\w*")
COMPARISON = re.compile(r"(?P<query>.+)\s(?P<sign>[<>]) (?P<limit>[\d.]+(?: \* [\d.]+)*)", re.DOTALL)
LOOKED_UP = re.compile(r"\{\{ with .*?\{\{ end \}\}", re.DOTALL)  # a query in an annotation, which Grafana cannot do
EVALUATORS = {">": "gt", "<": "lt"}


def inlined(expression: str, recorded: Mapping[str, str]) -> str:
    """Put what is recorded under a name where the name is; a range over it becomes a subquery."""

    def definition(found: re.Match[str]) -> str:
        name, matchers, window = found[1], found[2] or "", found[3]
        text = recorded[name]
        if matchers:
            metrics = EXPOSED.findall(text)
            if len(metrics) != 1 or ":" in text:
                raise ValueError(f"{name}{matchers}: what it records has no one metric to which the matchers belong")
            text = text.replace(metrics[0], metrics[0] + matchers)
        text = inlined(text, recorded)
        if not window:
            return f"({text})"
        step = "5m" if window.endswith("d]") else "1m"  # days in steps of a minute would be a heavy query
        return f"({text})[{window[1:-1]}:{step}]"

    return RECORDED.sub(definition, expression)


def threshold(expression: str) -> tuple[str, str, float]:
    """Split an alert's expression into its query, evaluator and number; raises ValueError where it is none."""
    found = COMPARISON.fullmatch(expression.strip())
    if found is None:
        raise ValueError(f"does not end in a comparison with a number: {expression}")
    limit = 1.0
    for factor in found["limit"].split(" * "):
        limit *= float(factor)
    return found["query"], EVALUATORS[found["sign"]], limit


def one_line(text: str) -> str:
    """Lay a query out on one line."""
    return re.sub(r"(?<=\() | (?=\))", "", re.sub(r"\s+", " ", text.strip()))


def annotation(text: str) -> str:
    """Rewrite a Prometheus template for Grafana: without a dollar, the value taken from query A."""
    text = LOOKED_UP.sub("", text)
    return text.replace("$labels.", ".Labels.").replace("$value", ".Values.A.Value")


def uid(alert: str) -> str:
    """StudioBackupStuck -> studio-backup-stuck: stable, so that a changed rule stays the same rule in Grafana."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", alert).lower()


def managed(rule: Rule, recorded: Mapping[str, str]) -> Rule:
    """One Prometheus alert as one that Grafana manages: A asks Prometheus, B compares."""
    query, evaluator, limit = threshold(rule["expr"])
    alert = rule["alert"]
    written: Rule = {
        "uid": uid(alert),
        "title": alert,
        "condition": "B",
        "data": [
            {
                "refId": "A",
                "relativeTimeRange": {"from": 600, "to": 0},
                "datasourceUid": DATA_SOURCE,
                "model": {"refId": "A", "expr": one_line(inlined(query, recorded)), "instant": True, "range": False},
            },
            {
                "refId": "B",
                "datasourceUid": "__expr__",
                "model": {
                    "refId": "B",
                    "type": "threshold",
                    "expression": "A",
                    "conditions": [{"evaluator": {"type": evaluator, "params": [limit]}}],
                },
            },
        ],
        "noDataState": NO_DATA,
        "execErrState": "Error" if alert == TELLS_OF_ERRORS else ON_ERROR,
        "for": rule["for"],
    }
    if "keep_firing_for" in rule:
        # The second is for series that are no longer there; it counts evaluations, one a minute.
        written["keepFiringFor"] = rule["keep_firing_for"]
        written["missing_series_evals_to_resolve"] = int(rule["keep_firing_for"].removesuffix("m"))
    return written | {
        "labels": rule["labels"],
        "annotations": {name: annotation(text) for name, text in rule["annotations"].items()},
    }


def provisioning(groups: Sequence[Rule]) -> Rule:
    """The whole file, from the groups of the Prometheus rules."""
    rules = [rule for group in groups for rule in group["rules"]]
    recorded = {rule["record"]: rule["expr"].strip() for rule in rules if "record" in rule}
    alerting = [
        {
            "orgId": 1,
            "name": group["name"],
            "folder": FOLDER,
            "interval": group["interval"],
            "rules": [managed(rule, recorded) for rule in group["rules"]],
        }
        for group in groups
        if all("alert" in rule for rule in group["rules"])
    ]
    return {"apiVersion": 1, "groups": alerting}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file, or with `--check` compare it. Returns the exit code: 1 where a compared file differs."""
    parser = argparse.ArgumentParser(description="Write the alerts that Grafana manages itself.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file is not current")
    parser.add_argument("--file", type=Path, default=PROVISIONED, help="what to write (default: %(default)s)")
    options = parser.parse_args(arguments)
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    text = HEADER + yaml.safe_dump(provisioning(groups), sort_keys=False, allow_unicode=True, width=118)
    if not options.check:
        options.file.parent.mkdir(parents=True, exist_ok=True)
        options.file.write_text(text, encoding="utf-8")
    elif not options.file.exists() or options.file.read_text(encoding="utf-8") != text:
        print(f"{options.file}: not current; run grafana/generate_alerting.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
