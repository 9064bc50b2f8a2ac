"""The AWS Backup source, over HTTP: which vaults, what its jobs and recovery points count as, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from exporter.aws.account import ApiCalls
from exporter.backups import Backup, Studio, Tally
from exporter.config import load
from exporter.poller import Poller
from exporter.sources import Deadline, Listing, PollError, Reason
from exporter.sources.answers import decoder
from exporter.sources.aws_backup import (
    JOB_STATES,
    RECOVERY_POINT_STATES,
    AwsBackupSource,
    _Jobs,
    _RecoveryPoints,
)
from exporter.status import Target
from exporter.targets import build
from tests.access import api
from tests.backup_server import ACCOUNT, MODEL, REGION, BackupServer, Members, Vault, check
from tests.endpoint import Answer, Endpoint, error, http
from tests.test_accounts import ROLES, role_of
from tests.waiting import deadline_of

NOW = 1_795_000_000.0
DAY = 86_400.0
VAULT = Listing("main", "vaults", (Studio(f"{ACCOUNT}/main", "main", account_id=ACCOUNT),))
POINT = f"arn:aws:ec2:{REGION}::image/ami-0001"
INSTANCE = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-0001"

Run = Callable[[BackupServer], Endpoint]


@pytest.fixture
def run() -> Iterator[Run]:
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(server.running())


def source(to: Endpoint, calls: ApiCalls | None = None, **options: Any) -> AwsBackupSource:
    given: dict[str, Any] = {"jobs_since": 7 * DAY, "resource_types": ("EC2", "EBS"), "clock": lambda: NOW}
    return AwsBackupSource(api(to.url, "backup", "aws_backup", "vaults", calls=calls), **given | options)


def read(from_source: AwsBackupSource, listing: Listing = VAULT, seconds: float = 20) -> list[Backup]:
    with deadline_of(seconds) as deadline:
        return [backup for page in from_source.read(listing, deadline) for backup in page.backups]


def point(**members: Any) -> dict[str, Any]:
    given = {"RecoveryPointArn": POINT, "ResourceArn": INSTANCE, "ResourceType": "EC2", "Status": "COMPLETED"}
    return {**given, "CreationDate": NOW - DAY, **members}


def job(**members: Any) -> dict[str, Any]:
    given = {"BackupJobId": "job-1", "ResourceArn": INSTANCE, "ResourceType": "EC2", "State": "FAILED"}
    return {**given, "CreationDate": NOW - DAY, **members}


def states_of(shape: str) -> set[str]:
    return set(MODEL.shape_for(shape).enum)


def test_every_state_of_the_api_is_mapped() -> None:
    assert set(RECOVERY_POINT_STATES) == states_of("RecoveryPointStatus")
    assert set(JOB_STATES) == states_of("BackupJobState")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("COMPLETED", "READY"),
        ("AVAILABLE", "READY"),
        ("CREATING", "CREATE_IN_PROGRESS"),
        ("PARTIAL", "CREATE_FAILED"),
        ("DELETING", "DELETE_IN_PROGRESS"),
        ("EXPIRED", "DELETE_FAILED"),
        ("STOPPED", "STOPPED"),
        ("OF_TOMORROW", "OF_TOMORROW"),
    ],
)
def test_a_recovery_point_is_read_as_it_was_sent(run: Run, status: str, state: str) -> None:
    sent = point(Status=status, StatusMessage="As it is", CreationDate=NOW - 0.25)
    server = BackupServer(Vault("main", [sent]), strict=status != "OF_TOMORROW")
    expected = Backup(POINT, f"{ACCOUNT}/main", INSTANCE, state, status, NOW - 0.25, "As it is")
    assert read(source(run(server))) == [expected]
    assert status == "OF_TOMORROW" or (state, status) in AwsBackupSource.known_pairs


@pytest.mark.parametrize(
    ("state", "counted"),
    [
        ("CREATED", "CREATE_IN_PROGRESS"),
        ("PENDING", "CREATE_IN_PROGRESS"),
        ("RUNNING", "CREATE_IN_PROGRESS"),
        ("ABORTING", "CREATE_IN_PROGRESS"),
        ("ABORTED", "CREATE_FAILED"),
        ("FAILED", "CREATE_FAILED"),
        ("EXPIRED", "CREATE_FAILED"),
        ("COMPLETED", None),
        ("PARTIAL", None),
        ("OF_TOMORROW", "OF_TOMORROW"),
    ],
)
def test_a_job_is_read_as_it_was_sent(run: Run, state: str, counted: str | None) -> None:
    sent = job(State=state, MessageCategory="ACCESSDENIED", StatusMessage="Insufficient privileges")
    server = BackupServer(Vault("main", [], [sent]), strict=state != "OF_TOMORROW")
    found = read(source(run(server)))
    if counted is None:
        assert found == []
    else:
        studio, message = f"{ACCOUNT}/main", "Insufficient privileges"
        assert found == [Backup("job-1", studio, INSTANCE, counted, "ACCESSDENIED", NOW - DAY, message)]


@pytest.mark.parametrize(
    ("job_state", "counts"),
    [
        ("RUNNING", {"CREATE_IN_PROGRESS": 1}),
        ("COMPLETED", {"CREATE_IN_PROGRESS": 1}),
        ("FAILED", {"CREATE_IN_PROGRESS": 1, "CREATE_FAILED": 1}),
    ],
)
def test_a_job_whose_recovery_point_is_listed_counts_again_only_if_it_failed(
    run: Run, job_state: str, counts: dict[str, int]
) -> None:
    server = BackupServer(Vault("main", [point(Status="CREATING")], [job(State=job_state, RecoveryPointArn=POINT)]))
    assert Counter(backup.state for backup in read(source(run(server)))) == counts


def test_two_running_jobs_without_a_recovery_point_are_two(run: Run) -> None:
    vault = Vault("main", [{"ResourceType": "EBS"}], [job(State="RUNNING"), job(State="RUNNING", BackupJobId="job-2")])
    assert [backup.state for backup in read(source(run(BackupServer(vault))))] == [
        None,
        "CREATE_IN_PROGRESS",
        "CREATE_IN_PROGRESS",
    ]


def test_a_job_without_a_category_is_one_of_the_known_pairs(run: Run) -> None:
    server = BackupServer(Vault("main", [], [job(State="RUNNING"), job(MessageCategory="")]))
    pairs = set(AwsBackupSource.known_pairs)
    tally = Tally(AwsBackupSource.known_pairs)
    for backup in read(source(run(server))):
        tally.add(backup)
    assert set(tally.census().counts) == pairs


def test_a_job_that_ends_between_the_two_lists_is_counted_once(run: Run) -> None:
    vault = Vault("main", [], [job(State="RUNNING", RecoveryPointArn=POINT)])
    server = BackupServer(vault)

    def ends(operation: str, _page: int) -> Answer | None:
        if operation == "ListRecoveryPointsByBackupVault":
            vault.jobs = [job(State="COMPLETED", RecoveryPointArn=POINT)]
            return http({"RecoveryPoints": [point()]})
        return None

    server.fault = ends
    assert [backup.state for backup in read(source(run(server)))] == ["READY"]


def test_only_resources_of_the_wanted_types_count(run: Run) -> None:
    types = ("EC2", "EBS", "RDS", "S3")
    points = [point(ResourceType=each) for each in types]
    server = BackupServer(Vault("main", points, [job(ResourceType=each) for each in types]))
    endpoint = run(server)
    assert len(read(source(endpoint))) == 4
    assert len(read(source(endpoint, resource_types=("rds",)))) == 2


def test_jobs_are_asked_for_by_vault_and_since_when(run: Run) -> None:
    vault = Vault("main", [], [job(CreationDate=NOW - 1.5 * DAY), job(CreationDate=NOW - 2.5 * DAY)])
    server = BackupServer(vault, Vault("other", [], [job()]))
    assert len(read(source(run(server), jobs_since=2 * DAY))) == 1
    [query] = [query for operation, query in server.calls if operation == "ListBackupJobs"]
    assert query == {"backupVaultName": "main", "createdAfter": "2026-11-16T11:06:40Z", "maxResults": "1000"}


def test_a_resource_is_one_workstation_and_goes_by_its_name(run: Run) -> None:
    named = {"ResourceName": "artist-07"}
    server = BackupServer(Vault("main", [point(), point(**named)], [job(**named), job(ResourceArn="arn:b", **named)]))
    assert [backup.workstation for backup in read(source(run(server)))] == [
        INSTANCE,
        INSTANCE,
        INSTANCE,
        "artist-07 (arn:b)",
    ]
    server.vaults = [Vault("main", [point(**named), point()], [job()])]
    assert {backup.workstation for backup in read(source(run(server)))} == {f"artist-07 ({INSTANCE})"}


@pytest.mark.parametrize("value", [None, 7, True, "", [], {}, "x" * 5000, 'a"b\\c\nd'])
@pytest.mark.parametrize(
    "member", ["RecoveryPointArn", "ResourceArn", "ResourceName", "Status", "StatusMessage", "CreationDate"]
)
def test_an_odd_member_loses_no_recovery_point(run: Run, member: str, value: Any) -> None:
    server = BackupServer(Vault("main"))
    odd = http({"RecoveryPoints": [point(), point(**{member: value})]})
    server.fault = lambda operation, _page: odd if "Points" in operation else None
    assert len(read(source(run(server)))) == 2


@pytest.mark.parametrize("value", [None, 7, True, "", [], {}, "x" * 5000, 'a"b\\c\nd'])
@pytest.mark.parametrize(
    "member", ["BackupJobId", "RecoveryPointArn", "ResourceArn", "State", "MessageCategory", "CreationDate"]
)
def test_an_odd_member_loses_no_job(run: Run, member: str, value: Any) -> None:
    server = BackupServer(Vault("main"))
    odd = http({"BackupJobs": [job(), job(**{member: value})]})
    server.fault = lambda operation, _page: odd if "Jobs" in operation else None
    assert len(read(source(run(server)))) == 2


BAD_BODIES = [
    pytest.param(b"<html>down for maintenance</html>", id="html"),
    pytest.param(b"", id="nothing"),
    pytest.param(b"{}", id="member absent"),
    pytest.param(b'{"RecoveryPoints": null, "BackupJobs": null, "BackupVaultList": null}', id="member null"),
    pytest.param(b'{"RecoveryPoints": [null], "BackupJobs": [7], "BackupVaultList": [{}]}', id="items of another kind"),
    pytest.param(b'{"RecoveryPoints": [], "BackupJobs": [], "BackupVaultList": [', id="cut off"),
    pytest.param(b'[{"RecoveryPoints": []}]', id="an array"),
]


@pytest.mark.parametrize("body", BAD_BODIES)
@pytest.mark.parametrize("operation", ["ListRecoveryPointsByBackupVault", "ListBackupJobs"])
@pytest.mark.parametrize("page", [1, 2])
def test_what_is_not_a_page_under_status_200_is_refused(run: Run, operation: str, page: int, body: bytes) -> None:
    server = BackupServer(Vault("main", [point(), point()], [job(), job()]), page_size=1)
    server.fault = lambda *asked: http(body) if asked == (operation, page) else None
    with pytest.raises(PollError) as caught:
        read(source(run(server)))
    assert caught.value.reason is Reason.BAD_RESPONSE
    assert str(caught.value).startswith(operation)


@pytest.mark.parametrize(
    "body", [*BAD_BODIES, b'{"BackupVaultList": [{"BackupVaultName": "main", "BackupVaultArn": "main"}]}']
)
def test_discovery_is_as_strict(run: Run, body: bytes) -> None:
    server = BackupServer(Vault("main"))
    server.fault = lambda _operation, _page: http(body)
    with pytest.raises(PollError) as caught:
        source(run(server)).listings(Deadline(5))
    assert caught.value.reason is Reason.BAD_RESPONSE


@pytest.mark.parametrize("operation", ["ListRecoveryPointsByBackupVault", "ListBackupJobs"])
def test_a_token_that_comes_back_is_refused(run: Run, operation: str) -> None:
    server = BackupServer(Vault("main"))
    again = http({"RecoveryPoints": [], "BackupJobs": [], "NextToken": f"{operation}/1"})
    server.fault = lambda asked, _page: again if asked == operation else None
    with pytest.raises(PollError, match="came twice"):
        read(source(run(server)))


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("ResourceNotFoundException", 400, Reason.NOT_FOUND),
        ("InvalidParameterValueException", 400, Reason.OTHER),
        ("MissingParameterValueException", 400, Reason.OTHER),
        ("ServiceUnavailableException", 500, Reason.SERVER_ERROR),
        ("ThrottlingException", 429, Reason.THROTTLED),
        ("AccessDeniedException", 403, Reason.ACCESS_DENIED),
    ],
)
@pytest.mark.parametrize("operation", ["ListRecoveryPointsByBackupVault", "ListBackupJobs"])
def test_each_error_has_its_reason(run: Run, operation: str, code: str, status: int, reason: Reason) -> None:
    server = BackupServer(Vault("main"))
    server.fault = lambda asked, _page: error(code, status) if asked == operation else None
    with pytest.raises(PollError) as caught:
        read(source(run(server)))
    assert (caught.value.reason, caught.value.code) == (reason, code)
    assert (f"backup:{operation}" in str(caught.value)) == (reason is Reason.ACCESS_DENIED)


# Vaults


def names(listings: Sequence[Listing]) -> list[str]:
    return [studio.name for listing in listings for studio in listing.studios or ()]


def test_discovery_finds_the_vaults_of_every_page(run: Run) -> None:
    server = BackupServer(*(Vault(name) for name in ("film", "film-test", "games", "Default")), page_size=3)
    endpoint = run(server)
    found = source(endpoint).listings(Deadline(5))
    assert found[1] == Listing("film", "vaults", (Studio(f"{ACCOUNT}/film", "film", account_id=ACCOUNT),))
    assert names(found) == ["Default", "film", "film-test", "games"]
    assert [operation for operation, _ in server.calls] == ["ListBackupVaults"] * 2
    patterns: dict[str, Any] = {
        "include": [re.compile("film.*"), re.compile("games")],
        "exclude": [re.compile(".*-test")],
    }
    assert names(source(endpoint, **patterns).listings(Deadline(5))) == ["film", "games"]


def test_named_vaults_come_in_the_order_of_the_configuration_and_one_that_is_not_there_fails_alone(run: Run) -> None:
    server = BackupServer(Vault("film", [point()]), Vault("games"), Vault("other"))
    named = source(run(server), vaults=("games", "gone", "film"))
    found = named.listings(Deadline(5))
    assert [studio.id for listing in found for studio in listing.studios or ()] == [
        f"{ACCOUNT}/games",
        f"{ACCOUNT}/gone",
        f"{ACCOUNT}/film",
    ]
    assert [len(read(named, listing)) for listing in (found[0], found[2])] == [0, 1]
    with pytest.raises(PollError, match="no vault gone in us-west-2") as caught:
        read(named, found[1])
    assert caught.value.reason is Reason.NOT_FOUND
    server.vaults.append(Vault("gone"))
    assert read(named, named.listings(Deadline(5))[1]) == []


def test_where_there_is_no_vault_at_all_none_can_be_named(run: Run) -> None:
    with pytest.raises(PollError) as caught:
        source(run(BackupServer()), vaults=("main",)).listings(Deadline(5))
    assert caught.value.reason is Reason.NOT_FOUND
    assert source(run(BackupServer())).listings(Deadline(5)) == []


# Counts


def reference(points: Sequence[Members], jobs: Sequence[Members], types: Sequence[str]) -> dict[tuple[str, str], int]:
    """Count by the mapping's own words, read from a table that is written down here once more."""
    by_status = {
        "COMPLETED": "READY",
        "AVAILABLE": "READY",
        "CREATING": "CREATE_IN_PROGRESS",
        "PARTIAL": "CREATE_FAILED",
        "DELETING": "DELETE_IN_PROGRESS",
        "EXPIRED": "DELETE_FAILED",
        "STOPPED": "STOPPED",
    }
    counts: dict[tuple[str, str], int] = {}
    for each in points:
        if each["ResourceType"] in types:
            pair = (by_status[each["Status"]], each["Status"])
            counts[pair] = counts.get(pair, 0) + 1
    listed = [each["RecoveryPointArn"] for each in points]
    for each in jobs:
        state = ""
        if each["State"] in ("FAILED", "ABORTED", "EXPIRED"):
            state = "CREATE_FAILED"
        elif each["State"] not in ("COMPLETED", "PARTIAL") and each.get("RecoveryPointArn") not in listed:
            state = "CREATE_IN_PROGRESS"
        if state and each["ResourceType"] in types:
            pair = (state, each.get("MessageCategory", "UNKNOWN"))
            counts[pair] = counts.get(pair, 0) + 1
    return counts


def fleet(random_: random.Random, points: int, jobs: int, now: float = NOW) -> Vault:
    types = ("EC2", "EBS", "RDS")
    made = [
        point(
            RecoveryPointArn=f"{POINT}-{number}",
            ResourceArn=f"{INSTANCE}-{number % 40}",
            ResourceType=random_.choice(types),
            Status=random_.choice(sorted(states_of("RecoveryPointStatus"))),
        )
        for number in range(points)
    ]
    ran = []
    for number in range(jobs):
        members: dict[str, Any] = {"BackupJobId": f"job-{number}", "CreationDate": now - DAY}
        members["ResourceType"] = random_.choice(types)
        members["State"] = random_.choice(sorted(states_of("BackupJobState")))
        if random_.random() < 0.5:
            number_of_point = random_.randrange(2 * points)
            members["RecoveryPointArn"] = f"{POINT}-{number_of_point}"
            if number_of_point < points:
                members["ResourceType"] = made[number_of_point]["ResourceType"]
        if random_.random() < 0.7:
            members["MessageCategory"] = random_.choice(["SUCCESS", "ACCESSDENIED", "INVALIDPARAMETERS"])
        ran.append(job(**members))
    return Vault("main", made, ran)


def counted(backups: Sequence[Backup]) -> dict[tuple[str, str], int]:
    tally = Tally(AwsBackupSource.known_pairs)
    for backup in backups:
        tally.add(backup)
    return {pair: number for pair, number in tally.census().counts.items() if number}


@pytest.mark.parametrize("page_size", [1, 7, 100, 1000])
def test_counts_are_those_of_a_reference_that_reads_with_stock_boto3(run: Run, page_size: int) -> None:
    server = BackupServer(fleet(random.Random(page_size), 230, 120), page_size=page_size)
    endpoint, calls = run(server), ApiCalls()
    stock = boto3.client("backup", region_name=REGION, endpoint_url=endpoint.url)
    points = stock.get_paginator("list_recovery_points_by_backup_vault").paginate(BackupVaultName="main")
    since = {"ByBackupVaultName": "main", "ByCreatedAfter": NOW - 7 * DAY}
    jobs = stock.get_paginator("list_backup_jobs").paginate(**since)
    expected = reference(
        [each for page in points for each in page["RecoveryPoints"]],
        [each for page in jobs for each in page["BackupJobs"]],
        ("EC2", "EBS"),
    )
    assert sum(expected.values()) > 150
    assert counted(read(source(endpoint, calls))) == expected
    assert {key[3]: number for key, number in calls.requests().items()} == {
        "ListRecoveryPointsByBackupVault": -(-230 // page_size),
        "ListBackupJobs": -(-120 // page_size),
    }
    assert calls.errors() == {}


@pytest.mark.parametrize(
    ("operation", "page"),
    [("ListBackupJobs", 1), ("ListBackupJobs", 2), *(("ListRecoveryPointsByBackupVault", page) for page in (1, 3))],
)
def test_a_list_that_fails_leaves_the_old_counts(run: Run, operation: str, page: int) -> None:
    vault, clock = fleet(random.Random(1), 25, 15), [NOW]
    server = BackupServer(vault, page_size=10)
    times = {"poll_interval": 60.0, "poll_timeout": 20.0, "stale_after": 600.0, "discovery_interval": 600.0}
    target = Target(name="vaults", source=source(run(server)), aws_region=REGION, scope=(), **times)
    poller = Poller([target], max_concurrent_polls=1, wall_clock=lambda: clock[0])

    def sweep() -> tuple[bool, dict[tuple[str, str], int]]:
        asyncio.run(poller.sweep())
        [studio] = poller.status().studios
        assert studio.census is not None
        return studio.up, {pair: number for pair, number in studio.census.counts.items() if number}

    before = reference(vault.recovery_points, vault.jobs, ("EC2", "EBS"))
    assert sweep() == (True, before)
    server.vaults = [fleet(random.Random(2), 25, 15)]
    server.fault = lambda *asked: error("InvalidParameterValueException", 400) if asked == (operation, page) else None
    assert sweep() == (False, before)
    server.fault = lambda *_asked: None
    after = reference(server.vaults[0].recovery_points, server.vaults[0].jobs, ("EC2", "EBS"))
    assert sweep() == (True, after)
    assert after != before


def test_the_same_vault_in_two_accounts_is_two_studios(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sts = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    sts.start()
    host, port = sts.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://{host}:{port}")
    fleets = {account: fleet(random.Random(account), 30, 20, time.time()) for account in ROLES}
    for account, vault in fleets.items():
        vault.account = account
    server = BackupServer(*fleets.values(), page_size=10)
    server.account_of = role_of
    endpoint = run(server)
    file = tmp_path / "config.yaml"
    file.write_text(
        "targets:\n"
        + "".join(
            f"  - {{name: t{account[0]}, source: aws_backup, aws_region: {REGION}, endpoint_url: '{endpoint.url}', "
            f"role_arn: '{role}', studios: [main]}}\n"
            for account, role in ROLES.items()
        )
    )
    poller = Poller(build(load(file), ApiCalls()), max_concurrent_polls=2)
    asyncio.run(poller.sweep())
    sts.stop()
    found = {
        (studio.target.name, studio.studio.id, studio.studio.account_id): {
            pair: number for pair, number in studio.census.counts.items() if number
        }
        for studio in poller.status().studios
        if studio.census
    }
    assert found == {
        (f"t{account[0]}", f"{account}/main", account): reference(vault.recovery_points, vault.jobs, ("EC2", "EBS"))
        for account, vault in fleets.items()
    }


anything = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.lists(st.integers(), max_size=2)
)
wires = st.lists(
    st.dictionaries(
        st.sampled_from(["RecoveryPointArn", "ResourceArn", "ResourceType", "Status", "State", "CreationDate", "Else"]),
        anything | st.sampled_from([*RECOVERY_POINT_STATES, *JOB_STATES, "EC2", POINT]),
    ),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(points=wires, jobs=wires)
def test_no_payload_is_lost_or_raises(points: list[dict[str, Any]], jobs: list[dict[str, Any]]) -> None:
    class Canned:
        """Stands in for the way to AWS: an answer a list."""

        target, aws_region = "vaults", REGION

        def fetch(self, decode: Callable[[bytes], Any], operation: str, deadline: Deadline, **_: Any) -> Any:
            return decode(json.dumps({"RecoveryPoints": points, "BackupJobs": jobs}).encode())

    canned: Any = Canned()
    found = read(AwsBackupSource(canned, jobs_since=DAY, resource_types=("EC2",)))
    counted(found)
    of_type = [each for each in points if each.get("ResourceType") == "EC2"]
    listed = {each.get("RecoveryPointArn") for each in of_type if isinstance(each.get("RecoveryPointArn"), str)} - {""}
    expected = len(of_type)
    for each in jobs:
        arn, state = each.get("RecoveryPointArn"), each.get("State")
        told = isinstance(arn, str) and arn in listed
        failed = state in ("FAILED", "ABORTED", "EXPIRED", "CREATE_FAILED")
        if each.get("ResourceType") == "EC2" and state not in ("COMPLETED", "PARTIAL") and (failed or not told):
            expected += 1
    assert len(found) == expected


def test_the_servers_own_check_knows_a_wrong_answer() -> None:
    shape = MODEL.operation_model("ListBackupJobs").output_shape
    check(shape, {"BackupJobs": [job()]})
    wrong_ones: list[Any] = [
        {"Jobs": []},
        {"BackupJobs": [job(State="DONE")]},
        {"BackupJobs": [job(CreationDate="now")]},
    ]
    for wrong in wrong_ones:
        with pytest.raises(AssertionError):
            check(shape, wrong)


@pytest.mark.parametrize("shape", [_Jobs, _RecoveryPoints])
def test_deep_nesting_is_refused(shape: type) -> None:
    with pytest.raises(PollError):
        decoder(shape)(b"[" * 100_000)
