"""The dashboard "Studio backups": is anything wrong, where, and since when.

It reads the recorded series `studio:METRIC:max` of grafana/alerts/ only, so that two replicas of the exporter count
once. A counter is the exception: its rate has to come before the maximum.
"""

from grafana.panels.frame import (
    EXPORTER_UID,
    FIRING,
    STUDIOS_UID,
    dashboard,
    dashboard_link,
    studio_variables,
)
from grafana.panels.parts import (
    BLUE,
    DAY,
    FAILED,
    GREEN,
    GREY,
    HOUR,
    IN_PROGRESS,
    ORANGE,
    PURPLE,
    READY,
    REPLICAS,
    SKY,
    STATE_COLOURS,
    STATUS_PAGE,
    STUDIO,
    STUDIO_NAME,
    VERMILLION,
    YELLOW,
    Band,
    Json,
    Query,
    age,
    fixed_colours,
    link,
    override,
    recorded,
    stat,
    table,
    thresholds,
    timeline,
    timeseries,
)

CODE_COLOURS = {
    "INTERNAL_ERROR": VERMILLION,
    "INSUFFICIENT_CAPACITY": ORANGE,
    "ACTIVE_DIRECTORY_DOMAIN_JOIN_ERROR": PURPLE,
    "NETWORK_CONNECTION_ERROR": SKY,
    "INITIALIZATION_SCRIPT_ERROR": YELLOW,
    "DECRYPT_STREAMING_IMAGE_ERROR": GREEN,
    "NETWORK_INTERFACE_ERROR": BLUE,
    "AMI_VALIDATION_ERROR": GREY,
}

NEWEST, OLDEST = "studio_backup_newest_timestamp_seconds", "studio_backup_oldest_timestamp_seconds"
STATE_KEY = "on (source, aws_region, studio_id, studio, state)"
FAILED_BY_CODE = (
    f"sum by (source, aws_region, studio_id, studio, state, status_code) ({recorded('studio_backups', FAILED)}) > 0"
)
FRESH_LEFT_OVER = f"{age(recorded(NEWEST, FAILED))} > {DAY}"
DATA_AGE = age(recorded("studio_backup_last_success_timestamp_seconds"))
STALE_AFTER = "max(studio_backup_exporter_stale_after_seconds)"
THIS_STUDIO = link(
    "Only ${__value.text} on this dashboard",
    f"/d/{STUDIOS_UID}?${{datasource:queryparam}}&${{exporter_url:queryparam}}&${{__url_time_range}}"
    "&var-source=${__data.fields.source:percentencode}&var-aws_region=${__data.fields.aws_region:percentenc "
    "ode}&var-studio=${__data.fields.studio:percentencode}",
    new_tab=False,
)


def backups_link(state: str) -> Json:
    """To the exporter's own list of a studio's backups in one state."""
    where = f"state={state}&studio=${{__data.fields.studio_id:percentencode}}"
    return link("Their ids and messages (needs --web.show-backups)", f"${{exporter_url:raw}}/api/v1/backups?{where}")


def state_title(state: str) -> str:
    """CREATE_FAILED -> Create failed."""
    return state.replace("_", " ").capitalize()


def failed_column(state: str) -> Json:
    """A cell of the table that takes the state's colour from one on, and links to the backups themselves."""
    return override(
        state_title(state),
        custom__cellOptions={"type": "color-background", "mode": "basic"},
        thresholds=thresholds("transparent", ((1, STATE_COLOURS[state]),)),
        links=[backups_link(state)],
    )


FAILED_LATEST = f"latest_{FAILED}"
WHERE = {"studio": "Studio", "source": "Source", "aws_region": "Region"}
STUDIO_COLUMN = override("Studio", custom__minWidth=150, links=[THIS_STUDIO, STATUS_PAGE])
ID_COLUMN = override("Studio ID", custom__minWidth=220)
ELEVEN = [state for state in STATE_COLOURS if state not in ("UNKNOWN", "OTHER")]
FAILED_STATES = [state for state in ELEVEN if state.endswith("_FAILED")]
TABLE_STATES = [*FAILED_STATES, *(state for state in ELEVEN if state not in FAILED_STATES)]

NOW = Band(
    4,
    (
        stat(
            "Failed backups",
            "Backups that are in one of the four failed states now. Those of a studio and state whose newest is "
            "under a day old, or has no date, count as new, as in the alert rules. The rest are left from earlier: "
            "they stay until the source removes them.",
            "none",
            Query(
                f"sum({recorded('studio_backups', FAILED)} unless {STATE_KEY} ({FRESH_LEFT_OVER}))", "New", instant=True
            ),
            Query(
                f"sum({recorded('studio_backups', FAILED)} and {STATE_KEY} ({FRESH_LEFT_OVER}))",
                "From earlier",
                instant=True,
            ),
            text="value_and_name",
            overrides=[
                override("New", thresholds=thresholds(BLUE, ((1, VERMILLION),))),
                override("From earlier", thresholds=thresholds(BLUE, ((1, ORANGE),))),
            ],
            links=[STATUS_PAGE],
        ),
        stat(
            "Workstations whose latest backup failed",
            "Workstations whose newest backup is in a failed state. It goes down by itself with the next good backup.",
            "none",
            Query(f"sum({recorded('studio_backup_workstations', FAILED_LATEST)})", instant=True),
            steps=((1, ORANGE),),
            links=[STATUS_PAGE],
        ),
        stat(
            "Longest without a new READY backup",
            "The studio whose newest READY backup is the oldest, and that backup's age. The limit is four "
            "days, so that a weekend passes.",
            "s",
            Query(f"topk(1, {age(recorded(NEWEST, READY))})", STUDIO_NAME, instant=True),
            text="value_and_name",
            no_value="No READY backup known",
            steps=((4 * DAY, ORANGE),),
        ),
        stat(
            "Oldest in progress",
            "The studio whose oldest unfinished backup is the oldest, and since when that backup exists. "
            "Past two hours it counts as stuck.",
            "s",
            Query(f"topk(1, {age(recorded(OLDEST, IN_PROGRESS))})", STUDIO_NAME, instant=True),
            text="value_and_name",
            no_value="None known",
            steps=((2 * HOUR, ORANGE),),
            links=[STATUS_PAGE],
        ),
        stat(
            "Studios not polled",
            "Studios whose last poll failed, on every replica of the exporter. Their counts are those of "
            "the last good poll, until they are withdrawn.",
            "none",
            Query(f"sum(1 - {recorded('studio_backup_up')})", instant=True),
            steps=((1, ORANGE),),
            links=[STATUS_PAGE],
        ),
        stat(
            "Oldest data",
            "How long ago the studio that was read longest ago was read to its end. Past the longest "
            "stale_after of the exporters its counts are withdrawn, and this dashboard knows nothing of it.",
            "s",
            Query(f"max({DATA_AGE} <= scalar({STALE_AFTER}))", "Current", instant=True),
            Query(f"max({DATA_AGE} > scalar({STALE_AFTER}))", "Withdrawn", instant=True),
            text="value_and_name",
            overrides=[override("Withdrawn", color={"mode": "fixed", "fixedColor": VERMILLION})],
        ),
    ),
)

STUDIOS_TABLE = Band(
    9,
    (
        table(
            "Studios by state",
            "Backups of each studio now, by state. A failed state takes its colour from one on. The "
            "studio's name links to this dashboard for that studio alone and to the exporter's status page; "
            "a failed count links to the backups.",
            "none",
            Query(
                f"sum by (source, aws_region, studio_id, studio, state) ({recorded('studio_backups')})", instant=True
            ),
            before=({"id": "labelsToFields", "options": {"mode": "columns", "valueLabel": "state"}},),
            columns={**WHERE, **{state: state_title(state) for state in TABLE_STATES}, "studio_id": "Studio ID"},
            overrides=[STUDIO_COLUMN, *(failed_column(state) for state in FAILED_STATES), ID_COLUMN],
            sort=[{"displayName": state_title("CREATE_FAILED"), "desc": True}],
        ),
    ),
)

FAILURES = [
    Band(
        8,
        (
            timeseries(
                "New failures",
                "Backups that turned to a failed state, by state, in each bar's span (a quarter of an hour "
                "at least). Failures that were there when the exporter first looked are not in it. "
                "Prometheus extrapolates, hence fractions.",
                "short",
                Query(
                    f"sum by (state) (max {REPLICAS} "
                    f"(increase(studio_backup_new_failures_total{{{', '.join(STUDIO)}}}[$__rate_interval])))",
                    "{{state}}",
                ),
                bars=True,
                stacked=True,
                overrides=fixed_colours(STATE_COLOURS),
                interval="15m",
            ),
            timeseries(
                "Failed backups by status code",
                "Backups in a failed state, by the source's own word for the cause.",
                "short",
                Query(f"sum by (status_code) ({recorded('studio_backups', FAILED)}) > 0", "{{status_code}}"),
                stacked=True,
                overrides=fixed_colours(CODE_COLOURS),
                no_value="No failed backups known",
                decimals=0,
            ),
        ),
        title="Failures",
    ),
    Band(
        8,
        (
            table(
                "Failed backups: where, why, since when",
                "Failed backups now, by studio, state and status code. Oldest and newest are of that state "
                "in that studio, over all its codes; they are empty where the source gives no date.",
                "none",
                Query(FAILED_BY_CODE, instant=True, table=True),
                Query(
                    f"1000 * (({FAILED_BY_CODE}) * 0 + {STATE_KEY} group_left () {recorded(OLDEST, FAILED)})",
                    instant=True,
                    table=True,
                ),
                Query(
                    f"1000 * (({FAILED_BY_CODE}) * 0 + {STATE_KEY} group_left () {recorded(NEWEST, FAILED)})",
                    instant=True,
                    table=True,
                ),
                columns={
                    **WHERE,
                    "state": "State",
                    "status_code": "Status code",
                    "Value #A": "Backups",
                    "Value #B": "Oldest",
                    "Value #C": "Newest",
                    "studio_id": "Studio ID",
                },
                overrides=[
                    STUDIO_COLUMN,
                    override(
                        "State",
                        custom__cellOptions={"type": "color-text"},
                        mappings=[
                            {
                                "type": "value",
                                "options": {
                                    state: {"color": STATE_COLOURS[state], "index": i}
                                    for i, state in enumerate(FAILED_STATES)
                                },
                            }
                        ],
                    ),
                    override("Oldest", unit="dateTimeFromNow"),
                    override("Newest", unit="dateTimeFromNow"),
                    override("Backups", links=[backups_link("${__data.fields.state}")]),
                    ID_COLUMN,
                ],
                sort=[{"displayName": "Newest", "desc": True}],
                no_value="No failed backups known",
            ),
        ),
    ),
]

STATES = Band(
    9,
    (
        timeseries(
            "Backups by state",
            "All backups of the chosen studios, by state.",
            "short",
            Query(f"sum by (state) ({recorded('studio_backups')})", "{{state}}"),
            stacked=True,
            overrides=fixed_colours(STATE_COLOURS),
            decimals=0,
        ),
        timeseries(
            "Workstations by the state of their latest backup",
            "Workstations that have a backup, by the state of their newest one.",
            "short",
            Query(f"sum by (latest_state) ({recorded('studio_backup_workstations')})", "{{latest_state}}"),
            stacked=True,
            overrides=fixed_colours(STATE_COLOURS),
            decimals=0,
        ),
    ),
    title="States",
)

READINESS = [
    Band(
        9,
        (
            timeseries(
                "Age of the newest READY backup",
                "By studio. A saw-tooth is healthy; a line that climbs past four days (a weekend passes) "
                "means no good backups.",
                "s",
                Query(age(recorded(NEWEST, READY)), STUDIO_NAME),
                limit=(4 * DAY, ORANGE),
                no_value="No READY backup known",
            ),
            timeseries(
                "Newest READY backup of the stalest workstation",
                "By studio: of all workstations that have a READY backup, the age of the newest one of the "
                "workstation that has waited longest. Past two weeks one workstation is being forgotten.",
                "s",
                Query(age(recorded("studio_backup_stalest_ready_timestamp_seconds")), STUDIO_NAME),
                limit=(14 * DAY, ORANGE),
                no_value="No READY backup known",
            ),
        ),
        title="Readiness",
    ),
    Band(
        9,
        (
            timeseries(
                "Workstations without any READY backup",
                "By studio: workstations that have backups, none of which is READY. Those could not be restored today.",
                "short",
                Query(
                    f"sum without (latest_state) ({recorded('studio_backup_workstations')})"
                    f" - {recorded('studio_backup_workstations_ready')}",
                    STUDIO_NAME,
                ),
                limit=(1, ORANGE),
                decimals=0,
            ),
            timeseries(
                "Longest in progress",
                "By studio and state: since when the oldest backup in progress exists. Past two hours it "
                "counts as stuck.",
                "s",
                Query(age(recorded(OLDEST, IN_PROGRESS)), "{{state}} " + STUDIO_NAME),
                limit=(2 * HOUR, ORANGE),
                no_value="None known",
            ),
        ),
    ),
]

TRUST = Band(
    9,
    (
        timeline(
            "Polling",
            "Whether the last poll of each studio succeeded on at least one replica of the exporter.",
            Query(recorded("studio_backup_up"), STUDIO_NAME),
            "polled",
            "failing",
        ),
        timeseries(
            "Age of the data",
            "By studio: time since its last complete listing. Once past the exporter's stale_after its "
            "counts are withdrawn; the dashed line is the longest stale_after of all targets.",
            "s",
            Query(DATA_AGE, STUDIO_NAME),
            Query(STALE_AFTER, "stale_after"),
            overrides=[
                override(
                    "stale_after",
                    color={"mode": "fixed", "fixedColor": VERMILLION},
                    custom__lineStyle={"fill": "dash", "dash": [10, 10]},
                )
            ],
        ),
    ),
    title="Can these numbers be trusted?",
)


def model() -> Json:
    """The whole dashboard."""
    return dashboard(
        STUDIOS_UID,
        "Studio backups",
        "Backups of the studios' virtual workstations: what failed, where, since when, and whether the numbers hold.",
        [NOW, STUDIOS_TABLE, *FAILURES, STATES, *READINESS, TRUST],
        studio_variables("studio:studio_backup_up:max"),
        [FIRING],
        dashboard_link("Studio backup exporter", EXPORTER_UID),
    )
