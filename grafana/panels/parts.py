"""The parts that dashboards are made of: colours, queries, panels and their places on the grid.

In: panels described as values. Out: Grafana's dashboard model of them, as JSON-like dictionaries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
MINUTE, HOUR, DAY = 60, 3600, 86400

# Okabe and Ito's palette, which people with any of the common colour blindnesses can tell apart.
BLUE, SKY, GREEN, YELLOW = "#0072B2", "#56B4E9", "#009E73", "#F0E442"
ORANGE, VERMILLION, PURPLE, GREY = "#E69F00", "#D55E00", "#CC79A7", "#999999"

# One colour a state in every panel: blues rest, warm colours failed, pale ones move, greys are gone or not understood.
# Within a family the legend and the tooltip tell them apart; the families differ for everyone.
STATE_COLOURS = {
    "READY": BLUE,
    "STOPPED": SKY,
    "CREATE_IN_PROGRESS": YELLOW,
    "START_IN_PROGRESS": "#DDCC77",
    "STOP_IN_PROGRESS": "#EEE8AA",
    "DELETE_IN_PROGRESS": "#B8B08D",
    "CREATE_FAILED": VERMILLION,
    "START_FAILED": ORANGE,
    "STOP_FAILED": "#882255",
    "DELETE_FAILED": "#A0522D",
    "DELETED": "#D0D0D0",
    "UNKNOWN": "#909090",
    "OTHER": "#909090",
}

STUDIO = ('source=~"$source"', 'aws_region=~"$aws_region"', 'studio=~"$studio"')
TARGET = ('source=~"$source"', 'aws_region=~"$aws_region"')
PROCESS = ('job=~"$job"', 'instance=~"$instance"')
REPLICAS = "without (instance, pod, endpoint, job)"
STUDIO_NAME = "{{studio}} ({{source}}, {{aws_region}})"
TARGET_NAME = "{{target}} ({{source}}, {{aws_region}})"
READY, FAILED, IN_PROGRESS = 'state="READY"', 'state=~".+_FAILED"', 'state=~".+_IN_PROGRESS"'
NO_DATA = "No data: is the exporter scraped, and do the recording rules run?"
NO_SCRAPE = "No data: is the exporter scraped?"


def recorded(metric: str, *matchers: str) -> str:
    """Select what the recording rules keep of a metric, for the chosen studios."""
    return f"studio:{metric}:max{{{', '.join(STUDIO + matchers)}}}"


def raw(metric: str, *matchers: str) -> str:
    """Select a metric as the chosen exporters expose it."""
    return f"{metric}{{{', '.join(PROCESS + matchers)}}}"


def rate(selector: str) -> str:
    """The increase per second of a counter."""
    return f"rate({selector}[$__rate_interval])"


def age(timestamps: str) -> str:
    """Seconds since the given Unix timestamps."""
    return f"time() - {timestamps}"


@dataclass(frozen=True)
class Query:
    """One query of a panel. `table` asks for one row a series, `instant` for the newest value only."""

    expr: str
    legend: str = "__auto"
    instant: bool = False
    table: bool = False


@dataclass(frozen=True)
class Panel:
    """One panel: `unit` is Grafana's name for it, `steps` are (from this value on, colour) above a base colour."""

    kind: str
    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    width: int
    no_value: str = NO_DATA
    base: str = BLUE
    steps: Sequence[tuple[float, str]] = ()
    options: Json | None = None
    custom: Json | None = None
    color: str = "palette-classic-by-name"
    overrides: Sequence[Json] = ()
    transformations: Sequence[Json] = ()
    mappings: Sequence[Json] = ()
    links: Sequence[Json] = ()
    interval: str | None = None
    decimals: int | None = None


@dataclass(frozen=True)
class Band:
    """Panels side by side, `height` grid units high and together 24 wide; with a title, a row header above."""

    height: int
    panels: Sequence[Panel]
    title: str | None = None


def thresholds(base: str, steps: Sequence[tuple[float, str]]) -> Json:
    """Grafana's threshold steps; the base applies below the first."""
    first: list[Json] = [{"color": base, "value": None}]
    return {"mode": "absolute", "steps": first + [{"color": colour, "value": value} for value, colour in steps]}


def override(name: str, **properties: Any) -> Json:
    """Set properties on the field of that display name; a double underscore stands for the dot in a property's id."""
    values = [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": values}


def fixed_colours(colours: Mapping[str, str]) -> list[Json]:
    """Give each named series its colour."""
    return [override(name, color={"mode": "fixed", "fixedColor": colour}) for name, colour in colours.items()]


def link(title: str, url: str, *, new_tab: bool = True) -> Json:
    """A data or panel link."""
    return {"title": title, "url": url, "targetBlank": new_tab}


STATUS_PAGE = link("Status page: ids, messages, last errors", "${exporter_url:raw}/")


def stat(title: str, description: str, unit: str, *queries: Query, **more: Any) -> Panel:
    """One number a query, on a background whose colour is the verdict."""
    options = {
        "colorMode": "background_solid",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": [more.pop("calc", "lastNotNull")], "fields": "", "values": False},
        "showPercentChange": False,
        "textMode": more.pop("text", "value"),
        "wideLayout": False,
    }
    return Panel("stat", title, description, unit, queries, 4, options=options, color="thresholds", **more)


def timeseries(title: str, description: str, unit: str, *queries: Query, width: int = 12, **more: Any) -> Panel:
    """Lines over time; `stacked` for parts of a whole, `bars` for events, `limit` for a line in the panel."""
    stacked, bars, limit = more.pop("stacked", False), more.pop("bars", False), more.pop("limit", None)
    custom = {
        "drawStyle": "bars" if bars else "line",
        "fillOpacity": 80 if bars else 40 if stacked else 0,
        "lineWidth": 1 if stacked else 2,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "axisSoftMin": 0,
        "thresholdsStyle": {"mode": "off" if limit is None else "dashed"},
    }
    options = {
        "legend": {
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
            "calcs": ["lastNotNull", "max"],
            "sortBy": "Last *",
            "sortDesc": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    steps = () if limit is None else (limit,)
    return Panel(
        "timeseries", title, description, unit, queries, width, options=options, custom=custom, steps=steps, **more
    )


def timeline(title: str, description: str, query: Query, good: str, bad: str, **more: Any) -> Panel:
    """A coloured band a series: 1 is good, 0 is bad."""
    words = {"1": {"text": good, "color": BLUE, "index": 0}, "0": {"text": bad, "color": VERMILLION, "index": 1}}
    options = {
        "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
        "mergeValues": True,
        "rowHeight": 0.8,
        "showValue": "auto",
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return Panel(
        "state-timeline",
        title,
        description,
        "none",
        (query,),
        12,
        options=options,
        custom={"fillOpacity": 80, "lineWidth": 0, "spanNulls": False},
        color="thresholds",
        base=VERMILLION,
        steps=((1, BLUE),),
        mappings=({"type": "value", "options": words},),
        **more,
    )


def table(title: str, description: str, unit: str, *queries: Query, columns: Mapping[str, str], **more: Any) -> Panel:
    """Rows of merged instant queries; `columns` are those to show, in order, with their headers."""
    arrange = {
        "id": "organize",
        "options": {
            "excludeByName": dict.fromkeys(more.pop("hidden", ()), True) | {"Time": True},
            "indexByName": {name: index for index, name in enumerate(columns)},
            "renameByName": dict(columns),
        },
    }
    before: Sequence[Json] = more.pop("before", ())
    options = {"cellHeight": "sm", "showHeader": True, "footer": {"show": False}, "sortBy": more.pop("sort", [])}
    return Panel(
        "table",
        title,
        description,
        unit,
        queries,
        more.pop("width", 24),
        options=options,
        custom={"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True, "minWidth": 70},
        color="thresholds",
        transformations=(*before, {"id": "merge", "options": {}}, arrange),
        **more,
    )


def panel_json(panel: Panel, grid: Json, number: int) -> Json:
    """The dashboard model of one panel; its number is its id within the dashboard."""
    defaults: Json = {
        "color": {"mode": panel.color},
        "custom": panel.custom or {},
        "mappings": list(panel.mappings),
        "noValue": panel.no_value,
        "thresholds": thresholds(panel.base, panel.steps),
        "unit": panel.unit,
    }
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    targets = [
        {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": query.expr,
            "format": "table" if query.table else "time_series",
            "instant": query.instant,
            "legendFormat": query.legend,
            "range": not query.instant,
            "refId": chr(ord("A") + index),
        }
        for index, query in enumerate(panel.queries)
    ]
    model: Json = {
        "datasource": DATASOURCE,
        "description": panel.description,
        "fieldConfig": {"defaults": defaults, "overrides": list(panel.overrides)},
        "gridPos": grid,
        "id": number,
        "links": list(panel.links),
        "options": panel.options or {},
        "pluginVersion": "11.0.0",
        "targets": targets,
        "title": panel.title,
        "transformations": list(panel.transformations),
        "type": panel.kind,
    }
    if panel.interval is not None:
        model["interval"] = panel.interval
    return model


def layout(bands: Sequence[Band]) -> list[Json]:
    """Place the bands one below the other on Grafana's grid of 24 columns."""
    models: list[Json] = []
    top = 0
    for band in bands:
        if band.title is not None:
            grid = {"h": 1, "w": 24, "x": 0, "y": top}
            row = {
                "collapsed": False,
                "gridPos": grid,
                "id": len(models) + 1,
                "panels": [],
                "title": band.title,
                "type": "row",
            }
            models.append(row)
            top += 1
        left = 0
        for panel in band.panels:
            grid = {"h": band.height, "w": panel.width, "x": left, "y": top}
            models.append(panel_json(panel, grid, len(models) + 1))
            left += panel.width
        top += band.height
    return models
