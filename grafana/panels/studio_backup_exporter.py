"""The dashboard "Studio backup exporter": the process, its polls, and what they ask of AWS.

It reads the raw series by job and instance, since here the single process is the subject.
"""

from grafana.panels.frame import (
    EXPORTER_UID,
    FIRING,
    RESTARTS,
    STUDIOS_UID,
    dashboard,
    dashboard_link,
    query_variable,
    studio_variables,
)
from grafana.panels.parts import (
    BLUE,
    DAY,
    GREEN,
    GREY,
    MINUTE,
    NO_SCRAPE,
    ORANGE,
    PROCESS,
    PURPLE,
    REPLICAS,
    SKY,
    STATUS_PAGE,
    STUDIO,
    STUDIO_NAME,
    TARGET,
    TARGET_NAME,
    VERMILLION,
    YELLOW,
    Band,
    Json,
    Query,
    fixed_colours,
    override,
    rate,
    raw,
    stat,
    table,
    timeline,
    timeseries,
)

REASON_COLOURS = {
    "throttled": ORANGE,
    "access_denied": VERMILLION,
    "credentials": PURPLE,
    "not_found": YELLOW,
    "timeout": BLUE,
    "connection": SKY,
    "server_error": GREEN,
    "bad_response": GREY,
    "other": "#666666",
}

THROTTLED = 'code=~".*Throttl.*|TooManyRequests.*|RequestLimitExceeded"'
REQUESTS = rate(raw("studio_backup_api_requests_total", *TARGET))
ERRORS = rate(raw("studio_backup_api_errors_total", *TARGET))
THROTTLES = rate(raw("studio_backup_api_errors_total", *TARGET, THROTTLED))
LATENCY = rate(raw("studio_backup_api_request_duration_seconds_bucket", *TARGET))
FAILED_POLLS = rate(raw("studio_backup_poll_failures_total", *STUDIO))
BUILD = raw("studio_backup_exporter_build_info")
RELOADED = raw("studio_backup_exporter_config_last_reload_success_timestamp_seconds")
PER_TARGET = "sum by (source, aws_region, target)"
EXPORTER: Json = {"no_value": NO_SCRAPE}

PROCESS_NOW = Band(
    4,
    (
        stat(
            "Exporters down",
            "Exporters that Prometheus could not scrape, of those it is told to.",
            "none",
            Query(f"sum(1 - {raw('up')})", instant=True),
            steps=((1, VERMILLION),),
            **EXPORTER,
        ),
        stat(
            "Studios not polled",
            "Studios whose last poll failed on every chosen exporter.",
            "none",
            Query(f"sum(1 - max {REPLICAS} ({raw('studio_backup_up', *STUDIO)}))", instant=True),
            steps=((1, ORANGE),),
            links=[STATUS_PAGE],
            **EXPORTER,
        ),
        stat(
            "Lateness",
            "How late the poll that started last was, on the latest exporter. More than a few seconds means "
            "that the interval is too short for the number of studios or that max_concurrent_polls is too "
            "small.",
            "s",
            Query(f"max({raw('studio_backup_exporter_poll_lateness_seconds')})", instant=True),
            steps=((MINUTE, ORANGE),),
            **EXPORTER,
        ),
        stat(
            "Abandoned polls",
            "Polls past their deadline whose thread could not be interrupted yet, such as a name lookup "
            "that hangs. A lasting number means a broken resolver or credential process.",
            "none",
            Query(f"sum({raw('studio_backup_exporter_abandoned_polls')})", instant=True),
            steps=((1, ORANGE),),
            **EXPORTER,
        ),
        stat(
            "Configuration",
            "Whether every exporter runs the configuration that was loaded last. A refused one leaves the "
            "former in force; the log says what is wrong.",
            "none",
            Query(f"min({raw('studio_backup_exporter_config_last_reload_successful')})", instant=True),
            base=ORANGE,
            steps=((1, BLUE),),
            mappings=[
                {
                    "type": "value",
                    "options": {"1": {"text": "in force", "index": 0}, "0": {"text": "refused", "index": 1}},
                }
            ],
            **EXPORTER,
        ),
        stat(
            "API calls a day",
            "Forecast: the mean rate of requests to AWS over the time shown, retries and replicas included, "
            "for 24 hours.",
            "short",
            Query(f"sum({REQUESTS}) * {DAY}"),
            calc="mean",
            decimals=0,
            **EXPORTER,
        ),
    ),
)

POLLS = [
    Band(
        9,
        (
            timeseries(
                "Polls",
                "Polls that ended, and those of them that failed. A listing that several studios share "
                "counts for each.",
                "cpm",
                Query(f"sum({rate(raw('studio_backup_polls_total', *STUDIO))}) * {MINUTE}", "ended"),
                Query(f"sum({FAILED_POLLS}) * {MINUTE}", "failed"),
                overrides=fixed_colours({"ended": BLUE, "failed": VERMILLION}),
                **EXPORTER,
            ),
            timeseries(
                "Failed polls by reason",
                "Why polls failed. The status page has the last error of each studio in words.",
                "cpm",
                Query(f"sum by (reason) ({FAILED_POLLS}) * {MINUTE}", "{{reason}}"),
                stacked=True,
                overrides=fixed_colours(REASON_COLOURS),
                links=[STATUS_PAGE],
                **EXPORTER,
            ),
        ),
        title="Polling",
    ),
    Band(
        9,
        (
            timeseries(
                "Poll duration",
                "By studio: how long the last poll took, failed or not; the slowest exporter's. It cannot "
                "exceed poll_timeout.",
                "s",
                Query(f"max {REPLICAS} ({raw('studio_backup_poll_duration_seconds', *STUDIO)})", STUDIO_NAME),
                width=8,
                **EXPORTER,
            ),
            timeseries(
                "Poll lateness",
                "By exporter: how late the poll that started last was.",
                "s",
                Query(raw("studio_backup_exporter_poll_lateness_seconds"), "{{instance}}"),
                width=8,
                limit=(MINUTE, ORANGE),
                **EXPORTER,
            ),
            timeseries(
                "Polls under way",
                "By exporter: polls in progress, and those past their deadline whose thread still hangs.",
                "short",
                Query(raw("studio_backup_exporter_polls_in_progress"), "in progress, {{instance}}"),
                Query(raw("studio_backup_exporter_abandoned_polls"), "abandoned, {{instance}}"),
                width=8,
                decimals=0,
                **EXPORTER,
            ),
        ),
    ),
]

API = [
    Band(
        9,
        (
            timeseries(
                "API requests",
                "Requests sent to AWS by operation, retries and refused ones included, all chosen exporters together.",
                "reqps",
                Query(f"sum by (source, operation) ({REQUESTS})", "{{operation}} ({{source}})"),
                stacked=True,
                width=8,
                **EXPORTER,
            ),
            timeseries(
                "API errors by code",
                "Requests answered with an error, or not at all (then the exception's name).",
                "reqps",
                Query(f"sum by (code) ({ERRORS})", "{{code}}"),
                stacked=True,
                width=8,
                no_value="No errors known",
            ),
            timeseries(
                "API error and throttling ratio",
                "By target: the share of requests that failed, and the share that AWS throttled. Throttling "
                "calls for a longer poll_interval.",
                "percentunit",
                Query(f"{PER_TARGET} ({ERRORS}) / {PER_TARGET} ({REQUESTS})", "failed, " + TARGET_NAME),
                Query(f"{PER_TARGET} ({THROTTLES}) / {PER_TARGET} ({REQUESTS})", "throttled, " + TARGET_NAME),
                width=8,
                no_value="No errors known",
            ),
        ),
        title="AWS API",
    ),
    Band(
        9,
        (
            timeseries(
                "API latency",
                "Time until AWS answered a request: the median and the 95th percentile, by operation.",
                "s",
                Query(
                    f"histogram_quantile(0.5, sum by (le, source, operation) ({LATENCY}))",
                    "p50 {{operation}} ({{source}})",
                ),
                Query(
                    f"histogram_quantile(0.95, sum by (le, source, operation) ({LATENCY}))",
                    "p95 {{operation}} ({{source}})",
                ),
                **EXPORTER,
            ),
            timeseries(
                "API calls a day, forecast",
                "By target: the rate of requests at each time, over a quarter of an hour at least, for 24 hours.",
                "short",
                Query(f"{PER_TARGET} ({REQUESTS}) * {DAY}", TARGET_NAME),
                stacked=True,
                interval="15m",
                decimals=0,
                **EXPORTER,
            ),
        ),
    ),
]

TARGETS = [
    Band(
        8,
        (
            timeline(
                "Discovery",
                "Whether the last search for studios succeeded, by target. Targets with named studios only "
                "do not search.",
                Query(f"max {REPLICAS} ({raw('studio_backup_discovery_up', *TARGET)})", TARGET_NAME),
                "found",
                "failing",
                no_value="No target searches for studios, or the exporter is not scraped",
            ),
            timeseries(
                "Discovered studios",
                "Studios found by the last good search, by target.",
                "short",
                Query(f"max {REPLICAS} ({raw('studio_backup_discovered_studios', *TARGET)})", TARGET_NAME),
                decimals=0,
                no_value="No target searches for studios, or the exporter is not scraped",
            ),
        ),
        title="Targets and versions",
    ),
    Band(
        6,
        (
            table(
                "Targets",
                "What is configured for each target: time between polls, and age at which a failing "
                "studio's counts are withdrawn.",
                "s",
                Query(
                    f"max by (target) ({raw('studio_backup_exporter_poll_interval_seconds')})", instant=True, table=True
                ),
                Query(
                    f"max by (target) ({raw('studio_backup_exporter_stale_after_seconds')})", instant=True, table=True
                ),
                columns={"target": "Target", "Value #A": "poll_interval", "Value #B": "stale_after"},
                width=8,
                **EXPORTER,
            ),
            table(
                "Exporters",
                "What runs, since when, and when its configuration was last loaded.",
                "none",
                Query(
                    f"max by (instance, version, revision, pythonversion, botocore) ({BUILD})",
                    instant=True,
                    table=True,
                ),
                Query(f"1000 * max by (instance) ({raw('process_start_time_seconds')})", instant=True, table=True),
                Query(
                    f"1000 * max by (instance) ({RELOADED})",
                    instant=True,
                    table=True,
                ),
                columns={
                    "instance": "Instance",
                    "version": "Version",
                    "revision": "Revision",
                    "pythonversion": "Python",
                    "botocore": "botocore",
                    "Value #B": "Started",
                    "Value #C": "Configuration loaded",
                },
                hidden=("Value #A",),
                overrides=[
                    override("Started", unit="dateTimeFromNow"),
                    override("Configuration loaded", unit="dateTimeFromNow"),
                ],
                width=16,
                **EXPORTER,
            ),
        ),
    ),
]

RESOURCES = Band(
    8,
    (
        timeseries(
            "Memory",
            "Resident memory by exporter.",
            "bytes",
            Query(raw("process_resident_memory_bytes"), "{{instance}}"),
            width=6,
            **EXPORTER,
        ),
        timeseries(
            "CPU",
            "Processor cores in use, by exporter.",
            "short",
            Query(rate(raw("process_cpu_seconds_total")), "{{instance}}"),
            width=6,
            **EXPORTER,
        ),
        timeseries(
            "File descriptors in use",
            "Share of the process's limit, by exporter. At 100 % it can neither poll nor be scraped.",
            "percentunit",
            Query(f"{raw('process_open_fds')} / {raw('process_max_fds')}", "{{instance}}"),
            width=6,
            limit=(0.8, ORANGE),
            **EXPORTER,
        ),
        timeseries(
            "Series in a scrape",
            "By exporter: the samples that one scrape takes in, which is what the exporter costs Prometheus.",
            "short",
            Query(raw("scrape_samples_scraped"), "{{instance}}"),
            width=6,
            decimals=0,
            **EXPORTER,
        ),
    ),
    title="Process",
)


def model() -> Json:
    """The whole dashboard."""
    build = "studio_backup_exporter_build_info"
    return dashboard(
        EXPORTER_UID,
        "Studio backup exporter",
        "The exporter itself: its polls, its requests to AWS and what they cost, its targets and its process.",
        [PROCESS_NOW, *POLLS, *API, *TARGETS, RESOURCES],
        [
            query_variable("job", "Job", f"label_values({build}, job)", ".+"),
            query_variable("instance", "Instance", f'label_values({build}{{job=~"$job"}}, instance)', ".+"),
            *studio_variables("studio_backup_up", ", ".join(PROCESS) + ", "),
        ],
        [FIRING, RESTARTS],
        dashboard_link("Studio backups", STUDIOS_UID),
    )
