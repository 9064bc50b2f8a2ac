"""The alert rules: proven with promtool, each with tests and a runbook, and the same ones for Grafana.

In: grafana/alerts/ with its promtool tests, docs/runbooks/, docs/alerting.md, the Alertmanager example, and the
provisioning of Grafana's own alerting. Out: which of them lacks what.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as p
import pytest
import yaml

from grafana import generate_alerting
from grafana.generate_alerting import inlined, main, threshold
from tests.grafana.promql import selectors
from tests.grafana.vocabulary import ROOT, RULES, rules, scraped_vocabulary
from tests.tools import built, tool

Json = dict[str, Any]

RULE_FILE = RULES / "studio-backup-exporter.yml"
PROMTOOL_TESTS = sorted((RULES / "tests").glob("*.test.yaml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
ALERTING = (ROOT / "docs" / "alerting.md").read_text(encoding="utf-8")
ALERTMANAGER = ROOT / "docs" / "alertmanager.example.yml"
RUNBOOK_BASE = "https://github.com/studio-backup-exporter/studio-backup-exporter/blob/main/docs/runbooks/"
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "See also"]
PROMETHEUS_PACKAGE = "it comes with Prometheus (Debian: apt-get install prometheus)"
ALERTMANAGER_PACKAGE = "it comes with Alertmanager (Debian: apt-get install prometheus-alertmanager)"

GROUPS: list[Json] = yaml.safe_load(RULE_FILE.read_text(encoding="utf-8"))["groups"]
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDED = {rule["record"]: rule["expr"].strip() for rule in rules() if "record" in rule}
EVERY_ALERT = pytest.mark.parametrize("rule", [pytest.param(rule, id=name) for name, rule in ALERTS.items()])
STUDIO_LABELS = {"source", "aws_region", "studio_id", "studio"}
COMPARISONS = {"==", "!=", ">", "<", ">=", "<="}


def run(*command: str | Path) -> None:
    """Run a program that has to succeed; what it says is in the failure."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def alert_tests() -> Iterator[Json]:
    """Every alert_rule_test of every promtool file."""
    for path in PROMTOOL_TESTS:
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            yield from case.get("alert_rule_test", ())


def number(expression: p.Expr) -> bool:
    """Whether an expression is a number, or a product of numbers."""
    if isinstance(expression, p.BinaryExpr):
        return str(expression.op) == "*" and number(expression.lhs) and number(expression.rhs)
    return isinstance(expression, p.NumberLiteral)


@pytest.fixture(params=["of the distribution", "newer"])
def promtool(request: pytest.FixtureRequest) -> Path:
    return built("promtool") if request.param == "newer" else tool("promtool", PROMETHEUS_PACKAGE)


def test_promtool_accepts_the_rules(promtool: Path) -> None:
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", RULE_FILE)


@pytest.mark.parametrize("path", PROMTOOL_TESTS, ids=lambda path: path.name)
def test_promtool_tests(path: Path, promtool: Path) -> None:
    run(promtool, "test", "rules", path)


@pytest.mark.parametrize("path", PROMTOOL_TESTS, ids=lambda path: path.name)
def test_promtool_evaluates_every_group_in_the_order_of_the_file(path: Path) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert document["group_eval_order"] == [group["name"] for group in GROUPS]


@EVERY_ALERT
def test_an_alert_is_proven_to_fire_with_all_it_says_and_proven_not_to(rule: Json) -> None:
    proofs = [test for test in alert_tests() if test["alertname"] == rule["alert"]]
    fired = [alert for test in proofs for alert in test["exp_alerts"] or ()]
    assert fired, "no promtool test in which it fires"
    for alert in fired:
        assert alert["exp_annotations"].keys() == rule["annotations"].keys()
        assert alert["exp_labels"]["severity"] == rule["labels"]["severity"]
    assert any(not test["exp_alerts"] for test in proofs), "no promtool test in which it does not fire"


@EVERY_ALERT
def test_an_alert_has_a_runbook_for_it_alone(rule: Json) -> None:
    name = rule["alert"]
    assert rule["annotations"]["runbook_url"] == f"{RUNBOOK_BASE}{name}.md"
    text = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    sections = dict(zip(HEADINGS, re.split(r"^## .+$", text, flags=re.MULTILINE)[1:], strict=True))
    assert all(section.strip() for section in sections.values())
    assert re.search(r"studio-backup-exporter (list|check|serve|once)|status page", sections["Diagnosis"])


def test_no_runbook_and_no_test_is_left_over() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == ALERTS.keys()
    assert {test["alertname"] for test in alert_tests()} == ALERTS.keys()


def test_links_in_runbooks_and_documents_lead_somewhere() -> None:
    for page in (*RUNBOOKS.glob("*.md"), ROOT / "docs" / "alerting.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@EVERY_ALERT
def test_an_alert_says_what_where_and_what_to_do(rule: Json) -> None:
    annotations = rule["annotations"]
    assert list(annotations) == ["summary", "description", "runbook_url"]
    assert "\n" not in annotations["summary"].strip()
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert "for" in rule
    if ":" in rule["expr"] and "target:" not in rule["expr"]:
        assert "{{ $labels.studio }}" in annotations["summary"]
        assert {f"{{{{ $labels.{label} }}}}" for label in ("studio", "source", "aws_region")} <= set(
            re.findall(r"\{\{ \$labels\.\w+ \}\}", annotations["description"])
        )


@EVERY_ALERT
def test_an_alert_reads_what_is_recorded_or_what_concerns_the_exporter_itself(rule: Json) -> None:
    for selector in selectors(p.parse(rule["expr"])):
        name = str(selector.name)
        assert name in RECORDED or name == "up" or name.startswith("studio_backup_exporter_"), name


@EVERY_ALERT
def test_a_query_in_an_annotation_reads_what_is_recorded(rule: Json) -> None:
    for name in re.findall(r"[a-z_]+:[a-z_]+:\w+", " ".join(rule["annotations"].values())):
        assert name in RECORDED


@EVERY_ALERT
def test_an_alert_rests_on_no_increase(rule: Json) -> None:
    """An increase may tell why, beside a condition that stands alone: a series that begins at 1 has none yet."""
    if "increase" in rule["expr"]:
        assert "studio:studio_backup_up:failing" in rule["expr"]


@EVERY_ALERT
def test_alerts_about_counts_hold_while_an_exporter_restarts(rule: Json) -> None:
    group = next(group["name"] for group in GROUPS if rule in group["rules"])
    about_counts = group in {"studio-backups-failed", "studio-backups-absent", "studio-backups-stuck"}
    assert rule.get("keep_firing_for") == ("15m" if about_counts else None)


def test_what_pages_is_held_as_long_everywhere() -> None:
    held = [expr for name, expr in RECORDED.items() if name.endswith(":held")]
    assert [re.findall(r"\[(\w+)\]", expr) for expr in held] == [["1h"]] * 3


@EVERY_ALERT
def test_an_alert_is_a_comparison_with_a_number(rule: Json) -> None:
    """So that splitting its text at the last comparison is right."""
    parsed = p.parse(rule["expr"])
    assert isinstance(parsed, p.BinaryExpr)
    assert str(parsed.op) in {"<", ">"}
    assert number(parsed.rhs)
    query, evaluator, limit = threshold(rule["expr"])
    assert p.parse(query).prettify() == parsed.lhs.prettify()
    assert evaluator == {"<": "lt", ">": "gt"}[str(parsed.op)]
    assert f"{limit:g}" in {"0", "1", "0.1", "0.25", "7200", "345600", "1.2096e+06"}


@EVERY_ALERT
def test_every_alert_and_its_numbers_are_in_the_document(rule: Json) -> None:
    row = re.search(rf"^\| \[{rule['alert']}\]\(runbooks/{rule['alert']}\.md\) \|.*$", ALERTING, re.MULTILINE)
    assert row is not None, "no row in docs/alerting.md"
    cells = [cell.strip() for cell in row[0].strip("|").split("|")]
    assert cells[1] == rule["labels"]["severity"]
    assert cells[2] == rule["for"]


# Grafana's own alerting


@pytest.fixture(scope="module")
def provisioned() -> Json:
    document: Json = yaml.safe_load(generate_alerting.PROVISIONED.read_text(encoding="utf-8"))
    return document


def test_the_provisioned_alerts_are_current(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, "run grafana/generate_alerting.py"
    written = tmp_path / "alerting" / "alerts.yaml"
    assert main(["--check", "--file", str(written)]) == 1
    assert main(["--file", str(written)]) == 0
    assert main(["--check", "--file", str(written)]) == 0
    written.write_text(written.read_text(encoding="utf-8").replace("for: 2m", "for: 3m"), encoding="utf-8")
    assert main(["--check", "--file", str(written)]) == 1
    assert "not current" in capsys.readouterr().err


def test_grafana_gets_every_alert_with_its_severity_and_times(provisioned: Json) -> None:
    managed = {rule["title"]: rule for group in provisioned["groups"] for rule in group["rules"]}
    assert managed.keys() == ALERTS.keys()
    for name, rule in managed.items():
        assert rule["for"] == ALERTS[name]["for"]
        assert rule.get("keepFiringFor") == ALERTS[name].get("keep_firing_for")
        assert rule["labels"] == ALERTS[name]["labels"]
        assert rule["noDataState"] == "OK"
        assert rule["execErrState"] == ("Error" if name == "StudioBackupExporterAbsent" else "KeepLast")


def test_grafana_uids_are_valid_and_unique(provisioned: Json) -> None:
    uids = [rule["uid"] for group in provisioned["groups"] for rule in group["rules"]]
    assert len(set(uids)) == len(uids)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", uid) for uid in uids)


def test_grafana_reads_no_dollar_and_no_query_in_a_template(provisioned: Json) -> None:
    assert "$" not in generate_alerting.PROVISIONED.read_text(encoding="utf-8")
    for group in provisioned["groups"]:
        for rule in group["rules"]:
            for text in rule["annotations"].values():
                used = re.findall(r"\{\{ (.*?) \}\}", text)
                assert all(re.fullmatch(r"\.(Labels\.\w+|Values\.A\.Value( \| humanize\w*)?)", one) for one in used)


def test_grafana_asks_the_provisioned_data_source_only_for_what_the_exporter_exposes(provisioned: Json) -> None:
    sources = yaml.safe_load((ROOT / "grafana/provisioning/datasources/prometheus.yaml").read_text(encoding="utf-8"))
    known = scraped_vocabulary()
    for group in provisioned["groups"]:
        for rule in group["rules"]:
            query, comparison = rule["data"]
            assert query["datasourceUid"] == sources["datasources"][0]["uid"]
            assert comparison["datasourceUid"] == "__expr__"
            assert rule["condition"] == comparison["refId"] == "B"
            assert comparison["model"]["expression"] == query["refId"] == query["model"]["refId"] == "A"
            assert {str(selector.name) for selector in selectors(p.parse(query["model"]["expr"]))} <= known.keys()


def test_a_recorded_series_is_put_into_the_query_with_its_matchers_and_range() -> None:
    recorded = {"studio:a:max": "max without (job) (studio_backup_a)", "studio:b:sum": "sum(studio:a:max)"}
    assert inlined('studio:a:max{state="X"}', recorded) == '(max without (job) (studio_backup_a{state="X"}))'
    assert inlined("studio:b:sum[1h]", recorded) == "(sum((max without (job) (studio_backup_a))))[1h:1m]"
    assert inlined("studio:b:sum[7d]", recorded) == "(sum((max without (job) (studio_backup_a))))[7d:5m]"
    with pytest.raises(ValueError, match="no one metric"):
        inlined('studio:b:sum{state="X"}', recorded)


@pytest.mark.parametrize("expr", ["up", "up >= 1", "1 < up", "up > on (job) up"])
def test_an_expression_that_grafana_cannot_compare_is_refused(expr: str) -> None:
    with pytest.raises(ValueError, match="does not end in a comparison"):
        threshold(expr)


# Alertmanager


def test_amtool_accepts_the_example() -> None:
    run(tool("amtool", ALERTMANAGER_PACKAGE), "check-config", ALERTMANAGER)


def inhibits(rule: Json, source: Json, target: Json) -> bool:
    """Whether an inhibition rule lets one alert silence another, by Alertmanager's rules."""

    def matches(matchers: list[str], labels: Json) -> bool:
        for matcher in matchers:
            found = re.fullmatch(r'(\w+)\s*(=~|!~|!=|=)\s*"(.*)"', matcher)
            assert found is not None, matcher
            value = labels.get(found[1], "")
            hit = re.fullmatch(found[3], value) is not None if "~" in found[2] else value == found[3]
            if hit == found[2].startswith("!"):
                return False
        return True

    return (
        matches(rule["source_matchers"], source)
        and matches(rule["target_matchers"], target)
        and all(source.get(label, "") == target.get(label, "") for label in rule.get("equal", ()))
    )


def silenced(source: Json, target: Json) -> bool:
    """Whether any rule of the example lets one alert silence another; an alert never silences its like."""
    example = yaml.safe_load(ALERTMANAGER.read_text(encoding="utf-8"))
    return any(inhibits(rule, source, target) for rule in example["inhibit_rules"])


AURORA = {"source": "nimble", "aws_region": "us-west-2", "studio_id": "us-west-2:stid-A", "studio": "aurora"}
BOREALIS = AURORA | {"studio_id": "us-west-2:stid-B", "studio": "borealis"}
UNPOLLED = [name for name in ALERTS if name.startswith("StudioBackupStudio")]


@pytest.mark.parametrize("source", ["StudioBackupExporterDown", "StudioBackupExporterAbsent"])
def test_an_exporter_that_is_down_silences_the_rest_and_not_itself(source: str) -> None:
    loud = {"StudioBackupExporterDown", "StudioBackupExporterAbsent"}
    for name in ALERTS:
        assert silenced({"alertname": source}, {"alertname": name, **AURORA}) == (name not in loud), name


@pytest.mark.parametrize("source", UNPOLLED)
def test_a_studio_that_is_not_polled_silences_its_own_counts_and_nothing_else(source: str) -> None:
    unpolled = {"alertname": source, **AURORA}
    about_counts = {rule["alert"] for group in GROUPS[1:4] for rule in group["rules"]} | {"StudioBackupCountsStale"}
    for name in ALERTS:
        assert silenced(unpolled, {"alertname": name, **AURORA}) == (name in about_counts), name
        assert not silenced(unpolled, {"alertname": name, **BOREALIS}), name


def test_no_other_alert_silences_any() -> None:
    others = ALERTS.keys() - set(UNPOLLED) - {"StudioBackupExporterDown", "StudioBackupExporterAbsent"}
    for source in others:
        assert not any(silenced({"alertname": source, **AURORA}, {"alertname": name, **AURORA}) for name in ALERTS)


def test_the_job_that_the_rules_look_for_is_documented() -> None:
    jobs = {job for rule in ALERTS.values() for job in re.findall(r'job="([^"]+)"', rule["expr"])}
    assert jobs == {"studio-backup-exporter"}
    assert "job_name: studio-backup-exporter" in ALERTING
