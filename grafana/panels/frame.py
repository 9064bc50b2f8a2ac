"""What surrounds a dashboard's panels: variables, annotations, links and the dashboard itself.

In: rows of panels. Out: the whole dashboard model, ready to be written as JSON.
"""

from collections.abc import Sequence

from grafana.panels.parts import DATASOURCE, GREY, VERMILLION, Band, Json, layout, raw

STUDIOS_UID, EXPORTER_UID = "studio-backups", "studio-backup-exporter"
TAG = "studio-backup"


def query_variable(name: str, label: str, query: str, all_value: str = ".*") -> Json:
    """A list of label values to choose several of; all of them at first."""
    return {
        "allValue": all_value,
        "current": {"selected": True, "text": "All", "value": "$__all"},
        "datasource": DATASOURCE,
        "definition": query,
        "hide": 0,
        "includeAll": True,
        "label": label,
        "multi": True,
        "name": name,
        "options": [],
        "query": query,
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 1,
        "type": "query",
    }


def studio_variables(metric: str, scope: str = "") -> list[Json]:
    """Source, region and studio, each narrowed by those before it; `scope` holds matchers and ends in a comma."""
    region = f'{scope}source=~"$source"'
    studio = f'{region}, aws_region=~"$aws_region"'
    sources = f"{metric}{{{scope.removesuffix(', ')}}}" if scope else metric
    return [
        query_variable("source", "Source", f"label_values({sources}, source)"),
        query_variable("aws_region", "AWS region", f"label_values({metric}{{{region}}}, aws_region)"),
        query_variable("studio", "Studio", f"label_values({metric}{{{studio}}}, studio)"),
    ]


DATASOURCE_VARIABLE: Json = {
    "current": {},
    "hide": 0,
    "includeAll": False,
    "label": "Data source",
    "multi": False,
    "name": "datasource",
    "options": [],
    "query": "prometheus",
    "refresh": 1,
    "regex": "",
    "skipUrlSync": False,
    "type": "datasource",
}


EXPORTER_URL = "http://localhost:10420"
URL_VALUE = {"selected": True, "text": EXPORTER_URL, "value": EXPORTER_URL}
# Where people's browsers reach the exporter, for the links to its status page.
URL_VARIABLE: Json = {
    "current": URL_VALUE,
    "hide": 0,
    "label": "Exporter URL",
    "name": "exporter_url",
    "options": [URL_VALUE],
    "query": EXPORTER_URL,
    "skipUrlSync": False,
    "type": "textbox",
}


def annotation(name: str, expr: str, colour: str, title: str, text: str, *, value_is_time: bool = False) -> Json:
    """Marks over all panels: while the expression has a series, or at the milliseconds that it gives."""
    return {
        "datasource": DATASOURCE,
        "enable": True,
        "expr": expr,
        "hide": False,
        "iconColor": colour,
        "name": name,
        "step": "60s",
        "tagKeys": "",
        "textFormat": text,
        "titleFormat": title,
        "useValueForTime": "on" if value_is_time else False,
    }


# The empty alternative keeps the alerts that concern no studio, such as those about the exporter, in any choice.
FIRING = annotation(
    "Firing alerts",
    'ALERTS{alertname=~"StudioBackup.*", alertstate="firing", '
    'source=~"$source|", aws_region=~"$aws_region|", studio=~"$studio|"}',
    VERMILLION,
    "{{alertname}}",
    "{{severity}}: {{studio}}",
)
RESTARTS = annotation(
    "Exporter starts",
    f"1000 * {raw('process_start_time_seconds')}",
    GREY,
    "Exporter started",
    "{{instance}}",
    value_is_time=True,
)


def dashboard_link(title: str, uid: str) -> Json:
    """To the other dashboard, with the same variables and time range."""
    return top_link(title, f"/d/{uid}/{uid}", "dashboard", keep=True)


def top_link(title: str, url: str, icon: str, *, keep: bool) -> Json:
    """A link beside the dashboard's title; `keep` hands on variables and time range."""
    return {
        "asDropdown": False,
        "icon": icon,
        "includeVars": keep,
        "keepTime": keep,
        "tags": [],
        "targetBlank": not keep,
        "title": title,
        "tooltip": "",
        "type": "link",
        "url": url,
    }


STATUS_LINK = top_link("Exporter's status page", "${exporter_url:raw}/", "external link", keep=False)


def dashboard(
    uid: str,
    title: str,
    description: str,
    bands: Sequence[Band],
    variables: Sequence[Json],
    annotations: Sequence[Json],
    other: Json,
) -> Json:
    """The dashboard model around the panels."""
    return {
        "annotations": {"list": list(annotations)},
        "description": description,
        "editable": True,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "links": [other, STATUS_LINK],
        "panels": layout(bands),
        "refresh": "1m",
        "schemaVersion": 39,
        "tags": [TAG],
        "templating": {"list": [DATASOURCE_VARIABLE, *variables, URL_VARIABLE]},
        "time": {"from": "now-24h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "title": title,
        "uid": uid,
        "weekStart": "",
    }
