"""The dashboards: current, complete, on the grid, and asking only for what exists.

In: the committed JSON of grafana/dashboards/, the generator, the rules of grafana/alerts/.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from math import prod
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.grafana.promql import Labels, UnknownName, labels_of, selectors, substitute
from tests.grafana.vocabulary import ROOT, STATES, VALUES, full_vocabulary, rule_labels, rules, scraped_vocabulary

Json = dict[str, Any]

FOLDER = ROOT / "grafana" / "dashboards"
GENERATOR = ROOT / "grafana" / "generate_dashboards.py"
STUDIOS, EXPORTER = "studio-backups", "studio-backup-exporter"
DASHBOARDS: dict[str, Json] = {
    uid: json.loads((FOLDER / f"{uid}.json").read_text(encoding="utf-8")) for uid in (STUDIOS, EXPORTER)
}
# Grafana's names of the units that these dashboards may use; a wrong name is shown as a suffix, without an error.
UNITS = {"none", "short", "s", "bytes", "percentunit", "cpm", "reqps", "dateTimeFromNow"}
LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")
FIELD = re.compile(r"\$\{__data\.fields\.(\w+)(?::\w+)?\}")
RATES = {"rate", "irate", "increase"}


def panels(uid: str) -> list[Json]:
    return [panel for panel in DASHBOARDS[uid]["panels"] if panel["type"] != "row"]


def variables(uid: str) -> dict[str, Json]:
    return {variable["name"]: variable for variable in DASHBOARDS[uid]["templating"]["list"]}


def parse(uid: str, expr: str) -> promql_parser.Expr:
    return promql_parser.parse(substitute(expr, frozenset(variables(uid))))


def label_values(variable: Json) -> tuple[str, str]:
    """The selector and the label of a variable's query."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
    assert found, variable["query"]
    return found[1], found[2]


def expressions(uid: str) -> Iterator[tuple[str, str]]:
    """(where, expression) of everything that a dashboard asks Prometheus."""
    for panel in panels(uid):
        for target in panel["targets"]:
            yield f"{uid}: {panel['title']}", target["expr"]
    for annotation in DASHBOARDS[uid]["annotations"]["list"]:
        yield f"{uid}: annotation {annotation['name']}", annotation["expr"]
    for variable in variables(uid).values():
        if variable["type"] == "query":
            yield f"{uid}: variable {variable['name']}", label_values(variable)[0]


EVERY_PANEL = [pytest.param(uid, panel, id=f"{uid}: {panel['title']}") for uid in DASHBOARDS for panel in panels(uid)]
EVERY_EXPRESSION = [
    pytest.param(uid, expr, id=f"{where} {number}")
    for uid in DASHBOARDS
    for number, (where, expr) in enumerate(expressions(uid))
]


@pytest.fixture(scope="module")
def known() -> dict[str, Labels]:
    return full_vocabulary()


def generate(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(GENERATOR), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_committed_files_are_current(tmp_path: Path) -> None:
    done = generate("--check", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_check_names_the_file_that_is_not_current(tmp_path: Path) -> None:
    assert generate("--folder=.", cwd=tmp_path).returncode == 0
    path = tmp_path / f"{STUDIOS}.json"
    path.write_text(path.read_text(encoding="utf-8").replace("Failed backups", "Failures"), encoding="utf-8")
    done = generate("--check", "--folder=.", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"{STUDIOS}.json: not current; run grafana/generate_dashboards.py\n"


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_it_imports_as_it_is(uid: str) -> None:
    model = DASHBOARDS[uid]
    assert model["uid"] == uid
    assert model["schemaVersion"] in (39, 40)
    assert model["editable"] is True
    assert model["tags"]
    assert not {"id", "version", "__inputs", "__requires", "__elements"} & set(model)
    assert "${DS_" not in json.dumps(model)


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_panels_fill_the_grid(uid: str) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARDS[uid]["panels"]:
        grid = panel["gridPos"]
        own = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
        assert not own & cells, f"{panel['title']} overlaps"
        cells |= own
    bottom = max(y for _, y in cells) + 1
    assert cells == {(x, y) for x in range(24) for y in range(bottom)}, "a gap, or a panel off the grid"


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_ids_and_titles_of_panels_are_their_own(uid: str) -> None:
    for key in ("id", "title"):
        found = [panel[key] for panel in DASHBOARDS[uid]["panels"]]
        assert len(found) == len(set(found))


@pytest.mark.parametrize(("uid", "panel"), EVERY_PANEL)
def test_a_panel_says_what_it_is(uid: str, panel: Json) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert len(panel["description"]) > len(panel["title"])
    assert defaults["noValue"]
    units = [p["value"] for o in panel["fieldConfig"]["overrides"] for p in o["properties"] if p["id"] == "unit"]
    assert {defaults["unit"], *units} <= UNITS


@pytest.mark.parametrize(("uid", "panel"), EVERY_PANEL)
def test_a_panel_asks_the_chosen_data_source(uid: str, panel: Json) -> None:
    assert panel["targets"]
    assert {holder["datasource"]["uid"] for holder in (panel, *panel["targets"])} == {"${datasource}"}


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_variables(uid: str) -> None:
    every = variables(uid)
    own = ["job", "instance"] if uid == EXPORTER else []
    assert list(every) == ["datasource", *own, "source", "aws_region", "studio", "exporter_url"]
    assert (every["datasource"]["type"], every["datasource"]["query"]) == ("datasource", "prometheus")
    assert (every["exporter_url"]["type"], every["exporter_url"]["query"]) == ("textbox", "http://localhost:10420")
    for name in ("source", "aws_region", "studio", *own):
        variable = every[name]
        assert (variable["type"], variable["multi"], variable["includeAll"]) == ("query", True, True)
        assert variable["allValue"] == (".+" if name in own else ".*")
        assert variable["refresh"] == 2, "read again when the time range changes"
        assert variable["datasource"]["uid"] == "${datasource}"
        assert label_values(variable)[1] == name


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_each_variable_is_used(uid: str) -> None:
    rest = json.dumps([DASHBOARDS[uid]["panels"], DASHBOARDS[uid]["links"]])
    for name in variables(uid):
        assert re.search(rf"\${name}\b|\${{{name}\b", rest), name


def test_the_dashboards_link_to_each_other_and_to_the_status_page() -> None:
    for uid, other in ((STUDIOS, EXPORTER), (EXPORTER, STUDIOS)):
        links = {link["url"]: link for link in DASHBOARDS[uid]["links"]}
        assert set(links) == {f"/d/{other}/{other}", "${exporter_url:raw}/"}
        assert links[f"/d/{other}/{other}"]["includeVars"] is True


@pytest.mark.parametrize(("uid", "expr"), EVERY_EXPRESSION)
def test_an_expression_names_only_what_exists(uid: str, expr: str, known: dict[str, Labels]) -> None:
    labels_of(parse(uid, expr), known)


@pytest.mark.parametrize(("uid", "expr"), EVERY_EXPRESSION)
def test_a_matcher_can_match(uid: str, expr: str) -> None:
    for selector in selectors(parse(uid, expr)):
        for matcher in selector.matchers.matchers:
            values = VALUES.get(matcher.name, frozenset())
            hits = [value for value in values if re.fullmatch(matcher.value, value)]
            assert hits or not values, f"{matcher} matches no value of {matcher.name}"


@pytest.mark.parametrize(("uid", "expr"), EVERY_EXPRESSION)
def test_a_counter_is_read_by_its_rate_over_the_rate_interval(uid: str, expr: str) -> None:
    ranges = re.findall(r"\[([^\]]*)\]", expr)
    assert set(ranges) <= {"$__rate_interval"}
    counted = {str(s.name) for s in selectors(parse(uid, expr)) if str(s.name).endswith(("_total", "_bucket"))}
    for name in counted:
        bare = [m for m in re.finditer(rf"(\w+)?\(?{name}\{{[^}}]*\}}(\[)?", expr) if m[1] not in RATES or not m[2]]
        assert not bare, f"{name} without a rate"


@pytest.mark.parametrize(("uid", "panel"), EVERY_PANEL)
def test_a_legend_uses_labels_of_its_result_and_no_ids(uid: str, panel: Json, known: dict[str, Labels]) -> None:
    for target in panel["targets"]:
        used = set(LEGEND.findall(target["legendFormat"]))
        available = labels_of(parse(uid, target["expr"]), known) or frozenset()
        assert used <= available
        assert "studio_id" not in used
        if target["format"] == "time_series" and panel["type"] in ("timeseries", "state-timeline") and available:
            every = [m for s in selectors(parse(uid, target["expr"])) for m in s.matchers.matchers]
            one_value = {m.name for m in every if m.op == promql_parser.MatchOp.Equal}
            needed = available - {"studio_id", "job"} - one_value
            assert used == needed, "two series would have one name"


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_annotations_use_labels_of_their_result(uid: str, known: dict[str, Labels]) -> None:
    names = []
    for annotation in DASHBOARDS[uid]["annotations"]["list"]:
        names.append(annotation["name"])
        available = labels_of(parse(uid, annotation["expr"]), known) or frozenset()
        assert set(LEGEND.findall(annotation["titleFormat"] + annotation["textFormat"])) <= available
        assert annotation["datasource"]["uid"] == "${datasource}"
    assert "Firing alerts" in names


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_variables_ask_for_labels_that_exist(uid: str, known: dict[str, Labels]) -> None:
    for variable in variables(uid).values():
        if variable["type"] == "query":
            selector, label = label_values(variable)
            assert label in (labels_of(parse(uid, selector), known) or frozenset())


def fields(uid: str, panel: Json, known: dict[str, Labels]) -> tuple[set[str], set[str]]:
    """(names of a panel's fields before renaming, names that are shown)."""
    names: set[str] = {"Time"}
    shown: set[str] = set()
    renamed: dict[str, str] = {}
    for target in panel["targets"]:
        labels = labels_of(parse(uid, target["expr"]), known) or frozenset()
        used = LEGEND.findall(target["legendFormat"])
        names |= labels
        if len(panel["targets"]) > 1:
            names.add(f"Value #{target['refId']}")
        if not used:
            shown.add(target["legendFormat"])
        for label in used if target["legendFormat"] == f"{{{{{''.join(used)}}}}}" else ():
            shown |= VALUES.get(label, frozenset())
    for step in panel["transformations"]:
        if step["id"] == "labelsToFields":
            names.discard(step["options"]["valueLabel"])
            names |= VALUES[step["options"]["valueLabel"]]
        if step["id"] == "organize":
            options = step["options"]
            used_names = {*options["excludeByName"], *options["indexByName"], *options["renameByName"]}
            assert used_names <= names, f"unknown columns {used_names - names}"
            assert names - {*options["excludeByName"]} <= {*options["renameByName"], "UNKNOWN", "OTHER"}, "no header"
            renamed = options["renameByName"]
    return names, shown | set(renamed.values())


@pytest.mark.parametrize(("uid", "panel"), EVERY_PANEL)
def test_overrides_and_columns_name_fields_of_the_panel(uid: str, panel: Json, known: dict[str, Labels]) -> None:
    _, shown = fields(uid, panel, known)
    for override in panel["fieldConfig"]["overrides"]:
        assert override["matcher"]["id"] == "byName"
        assert override["matcher"]["options"] in shown
    if panel["type"] == "table":
        assert {column["displayName"] for column in panel["options"]["sortBy"]} <= shown


@pytest.mark.parametrize(("uid", "panel"), EVERY_PANEL)
def test_data_links_name_fields_variables_and_dashboards(uid: str, panel: Json, known: dict[str, Labels]) -> None:
    names, _ = fields(uid, panel, known)
    properties = [p for o in panel["fieldConfig"]["overrides"] for p in o["properties"]]
    links = [link for p in properties if p["id"] == "links" for link in p["value"]]
    for link in [*links, *panel["links"]]:
        assert set(FIELD.findall(link["url"])) <= names
        rest = FIELD.sub("", link["url"]).replace("${__url_time_range}", "")
        substitute(rest, frozenset(variables(uid)))
        for target in re.findall(r"/d/([\w-]+)", link["url"]):
            assert target in DASHBOARDS
        for state in re.findall(r"state=([A-Z_]+)", link["url"]):
            assert state in STATES


def test_the_studio_dashboard_counts_two_replicas_once(known: dict[str, Labels]) -> None:
    """Recorded series carry no replica's labels; what is read raw is brought to a maximum before any sum."""
    for panel in panels(STUDIOS):
        for target in panel["targets"]:
            for selector in selectors(parse(STUDIOS, target["expr"])):
                name = str(selector.name)
                if name.startswith("studio:"):
                    assert not known[name] & {"job", "instance", "pod", "endpoint"}
                else:
                    assert re.search(rf"max( without \([^)]*\))? \(?(increase\()?{name}|max\({name}", target["expr"])


def test_the_exporter_dashboard_reads_the_chosen_processes() -> None:
    for panel in panels(EXPORTER):
        for target in panel["targets"]:
            for selector in selectors(promql_parser.parse(target["expr"].replace("$__rate_interval", "5m"))):
                matchers = {m.name: (m.op, m.value) for m in selector.matchers.matchers}
                for name in ("job", "instance"):
                    assert matchers[name] == (promql_parser.MatchOp.Re, f"${name}"), target["expr"]


def coloured(uid: str) -> Iterator[tuple[str, str]]:
    """(field name, colour) wherever a field has a colour of its own."""
    for panel in panels(uid):
        for override in panel["fieldConfig"]["overrides"]:
            for prop in override["properties"]:
                if prop["id"] == "color":
                    yield override["matcher"]["options"], prop["value"]["fixedColor"]
                elif prop["id"] == "thresholds":
                    name = override["matcher"]["options"].upper().replace(" ", "_")
                    yield name, prop["value"]["steps"][-1]["color"]


def test_a_state_has_one_colour_everywhere() -> None:
    colours: dict[str, set[str]] = {}
    for name, colour in coloured(STUDIOS):
        if name in STATES:
            colours.setdefault(name, set()).add(colour)
    assert set(colours) == STATES
    assert all(len(found) == 1 for found in colours.values()), colours


# Machado, Oliveira and Fernandes (2009), severity 1.0: linear RGB as seen without red or green cones.
SEEN_AS = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
}


def lab(colour: str, matrix: tuple[tuple[float, float, float], ...]) -> tuple[float, float, float]:
    """CIELAB of an sRGB colour after a matrix on its linear components."""
    srgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in srgb]
    r, g, b = (min(1.0, max(0.0, sum(w * c for w, c in zip(row, linear, strict=True)))) for row in matrix)
    xyz = (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089,
    )
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("matrix", SEEN_AS.values(), ids=SEEN_AS)
def test_failed_states_differ_from_the_others_for_the_colour_blind(matrix: Any) -> None:
    colours = {name: lab(colour, matrix) for name, colour in coloured(STUDIOS) if name in STATES}
    for one, other in combinations(sorted(colours), 2):
        if one.endswith("_FAILED") != other.endswith("_FAILED"):
            distance = sum((a - b) ** 2 for a, b in zip(colours[one], colours[other], strict=True)) ** 0.5
            assert distance > 15, f"{one} and {other} are {distance:.0f} apart"


@pytest.mark.parametrize("rule", [pytest.param(r, id=r.get("alert") or r.get("record")) for r in rules()])
def test_a_rule_names_only_what_exists(rule: Json, known: dict[str, Labels]) -> None:
    available = rule_labels(rule, known)
    texts = [*rule.get("annotations", {}).values(), *rule.get("labels", {}).values()]
    used = {name for text in texts for name in re.findall(r"(?:\$labels|\.Labels)\.(\w+)", text)}
    assert used <= available


def test_every_recorded_series_of_the_studio_dashboard_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {str(s.name) for _, expr in expressions(STUDIOS) for s in selectors(parse(STUDIOS, expr))}
    assert {name for name in used if ":" in name} <= recorded


def test_limits_are_those_of_the_rules() -> None:
    products = (
        re.findall(r"\d+", product) for rule in rules() for product in re.findall(r"\d+(?:\s*\*\s*\d+)*", rule["expr"])
    )
    of_rules = {prod(map(int, factors)) for factors in products}
    for panel in panels(STUDIOS):
        if panel["fieldConfig"]["defaults"]["unit"] == "s":
            limits = {step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]} - {None}
            assert limits <= of_rules, panel["title"]


@pytest.mark.parametrize(
    "expr",
    [
        "studio_backup_counts",
        'studio_backups{statuscode="READY"}',
        "sum by (region) (studio_backups)",
        "studio_backup_up * on (studio) group_left (target) studio_backup_up",
        "studio_backup_workstations - studio_backup_workstations_ready",
        "histogram_quantile(0.9, sum by (operation) (rate(studio_backup_api_request_duration_seconds_bucket[5m])))",
    ],
)
def test_the_walker_refuses_what_is_wrong(expr: str) -> None:
    with pytest.raises(ValueError, match=r"counts|statuscode|region|target|latest_state|le in"):
        labels_of(promql_parser.parse(expr), scraped_vocabulary())


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(UnknownName, match="variable nowhere"):
        substitute('up{job=~"$nowhere"}', frozenset({"job"}))


def test_provisioning_fits_the_dashboards() -> None:
    provisioning = ROOT / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert (source["uid"], source["type"], source["isDefault"]) == ("prometheus", "prometheus", True)
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "studio-backups.yaml").read_text())["providers"]
    assert (provider["type"], provider["options"]["path"]) == ("file", "/var/lib/grafana/dashboards")
    guide = (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")
    assert provider["options"]["path"] in guide


def test_the_guide_names_every_panel() -> None:
    guide = (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")
    for uid in DASHBOARDS:
        for panel in panels(uid):
            assert f"**{panel['title']}**" in guide, panel["title"]
