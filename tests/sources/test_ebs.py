"""The EBS source: against moto's EC2 over real HTTP, against a large listing, and against answers that are none."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import boto3
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.ec2.models import ec2_backends
from moto.server import ThreadedMotoServer

from exporter.aws.account import ApiCalls
from exporter.backups import Backup, Studio, Tally
from exporter.config import load
from exporter.poller import Poller
from exporter.sources import Deadline, Listing, PollError, Reason
from exporter.sources.ebs import STATES, EbsSource
from exporter.status import Status, Target
from exporter.targets import build
from tests.access import api
from tests.endpoint import Answer, Endpoint, Request, http
from tests.waiting import deadline_of

ACCOUNT = "111122223333"
REGION = "us-west-2"
SNAPSHOTS = Listing("snapshots", "volumes", None)
NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"

Start = Callable[[Callable[[Request], Answer]], Endpoint]


@pytest.fixture
def endpoint() -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(Endpoint(answer).running())


def source(url: str, calls: ApiCalls | None = None, **options: Any) -> EbsSource:
    return EbsSource(api(url, "ec2", "ebs", "volumes", calls=calls), **{"studio_tag": "Studio"} | options)


def read(from_source: EbsSource, seconds: float = 60) -> tuple[list[Backup], list[Studio]]:
    backups: list[Backup] = []
    studios: list[Studio] = []
    with deadline_of(seconds) as deadline:
        for page in from_source.read(SNAPSHOTS, deadline):
            backups += page.backups
            studios += page.studios
    return backups, studios


def refusal(from_source: EbsSource) -> PollError:
    with pytest.raises(PollError) as caught:
        read(from_source)
    return caught.value


def parameters(request: Request) -> dict[str, str]:
    """Return what was asked of EC2, without what every request says."""
    asked = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert (asked.pop("Action"), asked.pop("Version")) == ("DescribeSnapshots", "2016-11-15")
    return asked


def item(tags: Mapping[str, str] | None = None, **members: str) -> str:
    """Return a snapshot as EC2 writes it; members are called as on the wire."""
    members_given = {"snapshotId": "snap-1", "volumeId": "vol-1", "status": "completed", "ownerId": ACCOUNT}
    members_given |= {"startTime": "2026-11-01T10:00:00.000Z"} | members
    named = {"Studio": "aurora"} if tags is None else tags
    tag_set = "".join(
        f"<item><key>{escape(key)}</key><value>{escape(value)}</value></item>" for key, value in named.items()
    )
    text = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in members_given.items())
    return f"<item>{text}<tagSet>{tag_set}</tagSet></item>"


def answer(*items: str, token: str = "", root: str = "DescribeSnapshotsResponse") -> bytes:
    next_token = f"<nextToken>{token}</nextToken>" if token else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{NAMESPACE}"><requestId>r-1</requestId>'
        f"<snapshotSet>{''.join(items)}</snapshotSet>{next_token}</{root}>"
    ).encode()


def page(*items: str, token: str = "") -> bytes:
    return http(answer(*items, token=token), Content_Type="text/xml;charset=UTF-8")


def counted(backups: Sequence[Backup]) -> dict[str, dict[tuple[str, str], int]]:
    """Return counts by studio as the poller makes them."""
    tallies: dict[str, Tally] = {}
    for backup in backups:
        tallies.setdefault(backup.studio, Tally(EbsSource.known_pairs)).add(backup)
    return {
        studio: {pair: number for pair, number in tally.census().counts.items() if number}
        for studio, tally in tallies.items()
    }


# The mapping


def test_every_state_of_the_api_is_mapped() -> None:
    model = ServiceModel(Loader().load_service_model("ec2", "service-2"))
    assert set(STATES) == set(model.shape_for("SnapshotState").enum)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("pending", "CREATE_IN_PROGRESS"),
        ("completed", "READY"),
        ("error", "CREATE_FAILED"),
        ("recoverable", "DELETED"),
        ("recovering", "START_IN_PROGRESS"),
        ("of-tomorrow", "of-tomorrow"),
    ],
)
def test_a_snapshot_is_read_as_it_was_sent(endpoint: Start, word: str, state: str) -> None:
    sent = item({"Studio": "aurora & <co>", "Name": "x"}, status=word, statusMessage="As it is", progress="100%")
    server = endpoint(lambda _: page(sent))
    studio = f"{ACCOUNT}/aurora & <co>"
    created = 1793527200.0
    [backup], [found] = read(source(server.url))
    assert backup == Backup("snap-1", studio, "vol-1", state, word, created, "As it is")
    assert found == Studio(studio, "aurora & <co>", account_id=ACCOUNT)
    assert word == "of-tomorrow" or (state, word) in EbsSource.known_pairs


@pytest.mark.parametrize(
    ("word", "message", "code"),
    [
        ("error", "", "error"),
        ("error", "The copy failed", "error"),
        ("error", "Client.InvalidKmsKey.InvalidState: the key is disabled", "Client.InvalidKmsKey.InvalidState"),
        ("error", "Copy failed (Client.InternalError).", "Client.InternalError"),
        ("error", "MyClient.Thing failed", "error"),
        ("error", "Client. Nothing follows", "error"),
        ("completed", "Client.InternalError was overcome", "completed"),
    ],
)
def test_the_clients_code_in_the_message_is_the_status_code(
    endpoint: Start, word: str, message: str, code: str
) -> None:
    [backup], _ = read(source(endpoint(lambda _: page(item(status=word, statusMessage=message))).url))
    assert (backup.status_code, backup.message) == (code, message)


def test_the_workstation_is_the_tags_value_or_else_the_volume(endpoint: Start) -> None:
    tagged = item({"Studio": "aurora", "Workstation": "artist-07"})
    server = endpoint(lambda _: page(tagged, item(), item({"Studio": "aurora", "Workstation": ""})))
    backups, _ = read(source(server.url, workstation_tag="Workstation"))
    assert [backup.workstation for backup in backups] == ["artist-07", "vol-1", "vol-1"]
    backups, _ = read(source(server.url))
    assert {backup.workstation for backup in backups} == {"vol-1"}


def test_a_snapshot_without_the_wanted_tag_is_ignored(endpoint: Start) -> None:
    others = (item({}), item({"studio": "aurora"}), item({"Studio": ""}), item({"Team": "aurora"}, ownerId="amazon"))
    server = endpoint(lambda _: page(*others, item({"Studio": "borealis"}), item()))
    backups, studios = read(source(server.url))
    assert [backup.studio for backup in backups] == [f"{ACCOUNT}/borealis", f"{ACCOUNT}/aurora"]
    assert [studio.name for studio in studios] == ["borealis", "aurora"]


def test_a_missing_member_loses_no_snapshot(endpoint: Start) -> None:
    bare = "<item><ownerId>1</ownerId><tagSet><item><key>Studio</key><value>aurora</value></item></tagSet></item>"
    [backup], _ = read(source(endpoint(lambda _: page(bare)).url))
    assert backup == Backup("", "1/aurora", "", None, None, None)


# What is asked for


def test_pages_are_followed_and_each_asks_the_same(endpoint: Start) -> None:
    def pages(request: Request) -> bytes:
        number = int(parameters(request).get("NextToken", "0"))
        return page(*(item(snapshotId=f"snap-{number}-{n}") for n in range(3)), token=f"{number + 1}" * (number < 4))

    server = endpoint(pages)
    backups, studios = read(source(server.url))
    assert len({backup.id for backup in backups}) == 15
    assert len(studios) == 1
    first = {"Owner.1": "self", "MaxResults": "1000", "Filter.1.Name": "tag-key", "Filter.1.Value.1": "Studio"}
    assert [parameters(request) for request in server.requests] == [
        first,
        *(first | {"NextToken": f"{number}"} for number in range(1, 5)),
    ]
    assert "/us-west-2/ec2/aws4_request" in server.requests[0].headers["authorization"]


def test_named_studios_are_asked_for_and_have_zeros_once_the_account_is_known(endpoint: Start) -> None:
    items = [item({"Studio": "aurora"}), item({"Studio": "other"})]
    server = endpoint(lambda _: page(*items))
    named = source(server.url, studios=("aurora", "b*r\\?"))
    backups, studios = read(named)
    assert [backup.studio for backup in backups] == [f"{ACCOUNT}/aurora"]
    assert [studio.id for studio in studios] == [f"{ACCOUNT}/aurora", f"{ACCOUNT}/b*r\\?"]
    asked = parameters(server.requests[0])
    assert {name: value for name, value in asked.items() if name.startswith("Filter")} == {
        "Filter.1.Name": "tag:Studio",
        "Filter.1.Value.1": "aurora",
        "Filter.1.Value.2": r"b\*r\\\?",
    }
    items.clear()
    assert [studio.name for studio in read(named)[1]] == ["aurora", "b*r\\?"]
    assert read(source(server.url, studios=("aurora",))) == ([], [])


def test_with_more_studios_than_a_filter_takes_all_are_asked_for(endpoint: Start) -> None:
    server = endpoint(lambda _: page(item({"Studio": "s7"}), item({"Studio": "s999"})))
    backups, _ = read(source(server.url, studios=[f"s{number}" for number in range(201)]))
    assert [backup.studio for backup in backups] == [f"{ACCOUNT}/s7"]
    assert parameters(server.requests[0])["Filter.1.Name"] == "tag-key"


def test_finding_the_one_listing_costs_no_request() -> None:
    assert source("http://127.0.0.1:9").listings(Deadline(5)) == [SNAPSHOTS]


@pytest.mark.parametrize(
    ("general", "own", "seconds"), [("", "", 300), ("60s", "", 300), ("10m", "", 600), ("10m", "1m", 60)]
)
def test_snapshots_are_not_asked_for_more_often_than_every_five_minutes_unless_the_target_says_so(
    tmp_path: Path, general: str, own: str, seconds: float
) -> None:
    file = tmp_path / "config.yaml"
    own_interval = f", poll_interval: {own}" if own else ""
    file.write_text(
        (f"poll_interval: {general}\n" if general else "")
        + f"targets: [{{source: ebs, aws_region: us-west-2{own_interval}}}]\n"
    )
    config = load(file)
    assert config.times(config.targets[0]).poll_interval == seconds
    [target] = build(config, ApiCalls())
    assert (target.poll_interval, target.source.name, target.name) == (seconds, "ebs", "ebs-us-west-2")


# What is refused


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(f'<!ENTITY {b} "{"&" + a + ";" * 10}">'.encode() for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + b"]><DescribeSnapshotsResponse><snapshotSet>&i;</snapshotSet></DescribeSnapshotsResponse>"
)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="JSON"),
        pytest.param(b"<html><body>down for maintenance</body></html>", id="html"),
        pytest.param(b"<!DOCTYPE html><html><body>down</body></html>", id="html with a doctype"),
        pytest.param(answer(item())[:-40], id="cut off"),
        pytest.param(answer(item())[:200], id="cut off early"),
        pytest.param(answer(item()) + b"trailing", id="more than it should be"),
        pytest.param(b"<DescribeSnapshotsResponse/>", id="no snapshotSet"),
        pytest.param(answer(root="DescribeVolumesResponse"), id="the answer to something else"),
        pytest.param(answer("<snapshot/>"), id="something else in the list"),
        pytest.param(answer(item().replace(ACCOUNT, "")), id="no owner"),
        pytest.param(answer(item(status="\x00")), id="not XML"),
        pytest.param(answer(item()).replace(b"aurora", b"\xff"), id="not UTF-8"),
        pytest.param(answer().replace(b"UTF-8", b"klingon"), id="an encoding that is none"),
        pytest.param(answer().replace(b"UTF-8", b"gb2312"), id="an encoding of several bytes"),
        pytest.param(b"<a>" * 100_000, id="nested too deep"),
        pytest.param(BOMB, id="entities that unfold"),
        pytest.param(answer(item()).replace(b"?>", b"?><!DOCTYPE x []>"), id="a page with a doctype"),
    ],
)
def test_what_is_not_a_page_under_status_200_is_refused(endpoint: Start, body: bytes) -> None:
    server = endpoint(lambda request: http(body) if "NextToken" in parameters(request) else page(item(), token="t"))
    refused = refusal(source(server.url))
    assert refused.reason is Reason.BAD_RESPONSE
    assert "\n" not in str(refused)
    assert len(server.requests) == 2  # such an answer is not asked for again


def test_an_empty_list_is_good(endpoint: Start) -> None:
    empty = f'<DescribeSnapshotsResponse xmlns="{NAMESPACE}"><snapshotSet/><nextToken/></DescribeSnapshotsResponse>'
    assert read(source(endpoint(lambda _: http(empty.encode())).url)) == ([], [])


def test_a_body_shorter_than_its_content_length_is_refused(endpoint: Start) -> None:
    server = endpoint(lambda _: iter([http(answer(item()), length=5000)]))
    assert refusal(source(server.url)).reason is Reason.BAD_RESPONSE


def test_a_token_that_comes_back_is_refused(endpoint: Start) -> None:
    server = endpoint(lambda _: page(item(), token="again"))
    assert (refusal(source(server.url)).reason, len(server.requests)) == (Reason.BAD_RESPONSE, 2)


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("UnauthorizedOperation", 403, Reason.ACCESS_DENIED),
        ("RequestLimitExceeded", 503, Reason.THROTTLED),
        ("AuthFailure", 401, Reason.CREDENTIALS),
        ("RequestExpired", 400, Reason.CREDENTIALS),
        ("InternalError", 500, Reason.SERVER_ERROR),
        ("Unavailable", 503, Reason.SERVER_ERROR),
        ("InvalidParameterValue", 400, Reason.OTHER),
    ],
)
def test_each_error_has_its_reason(endpoint: Start, code: str, status: int, reason: Reason) -> None:
    errors = f"<Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors>"
    body = f"<Response>{errors}<RequestID>r-9</RequestID></Response>"
    refused = refusal(source(endpoint(lambda _: http(body.encode(), status)).url))
    assert (refused.reason, refused.code) == (reason, code)
    assert ("ec2:DescribeSnapshots" in str(refused)) == (reason is Reason.ACCESS_DENIED)


# A large listing


WORDS = [*STATES, "completed", "completed"]


def word(number: int) -> str:
    return WORDS[number * 31 % len(WORDS)]


def large(page_count: int) -> Callable[[Request], bytes]:
    """Return what answers with so many pages of 1,000 snapshots of 50 studios."""

    def answering(request: Request) -> bytes:
        page_number = int(parameters(request).get("NextToken", "0"))
        items = (
            item({"Studio": f"studio-{n % 50}"}, snapshotId=f"snap-{n}", status=word(n), volumeId=f"vol-{n % 5000}")
            for n in range(page_number * 1000, page_number * 1000 + 1000)
        )
        return page(*items, token=f"{page_number + 1}" * (page_number + 1 < page_count))

    return answering


def polled(made: EbsSource, poll_timeout: float = 60.0) -> Poller:
    times = {"poll_interval": 300.0, "stale_after": 3600.0, "discovery_interval": 600.0}
    target = Target(name="volumes", source=made, aws_region=REGION, scope=(), poll_timeout=poll_timeout, **times)
    return Poller([target], max_concurrent_polls=1)


def known(status: Status) -> dict[str, dict[str, int]]:
    """Return the counts that are not zero, by studio and status code."""
    return {
        studio.studio.id: {code: number for (_, code), number in studio.census.counts.items() if number}
        for studio in status.studios
        if studio.census
    }


def test_100_000_snapshots_of_50_studios_are_counted_exactly_with_100_requests(endpoint: Start) -> None:
    server, calls = endpoint(large(100)), ApiCalls()
    poller = polled(source(server.url, calls), poll_timeout=300)
    asyncio.run(poller.sweep())
    expected: dict[str, dict[str, int]] = {}
    for number in range(100_000):
        codes = expected.setdefault(f"{ACCOUNT}/studio-{number % 50}", {})
        codes[word(number)] = codes.get(word(number), 0) + 1
    assert known(poller.status()) == expected
    assert calls.requests() == {("ebs", REGION, "volumes", "DescribeSnapshots"): 100}


def test_no_page_stays_in_memory(endpoint: Start) -> None:
    server = endpoint(large(15))
    peaks = []
    with deadline_of(120) as deadline:
        reading = source(server.url).read(SNAPSHOTS, deadline)
        tracemalloc.start()
        try:
            for number, _ in enumerate(reading):
                if number in (4, 14):
                    peaks.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + 500_000, "10 more pages of 1,000 snapshots"


# moto's EC2


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
    yield url
    for account in (*ROLES, MOTO_ACCOUNT):
        ec2_backends[account][REGION].reset()
    server.stop()


MOTO_ACCOUNT = "123456789012"
ROLES = {account: f"arn:aws:iam::{account}:role/backups" for account in ("111111111111", "222222222222")}


def client(url: str, account: str = MOTO_ACCOUNT) -> Any:
    """Return a stock client of moto's EC2, for an account whose role it assumes."""
    if account == MOTO_ACCOUNT:
        return boto3.client("ec2", region_name=REGION, endpoint_url=url)
    sts = boto3.client("sts", region_name=REGION, endpoint_url=url)
    keys = sts.assume_role(RoleArn=ROLES[account], RoleSessionName="test")["Credentials"]
    return boto3.client(
        "ec2",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def fill(ec2: Any, account: str, seed: int, number: int) -> None:
    """Have some volumes and snapshots, in every state and with one tag, another or none."""
    random_ = random.Random(seed)
    volumes = [ec2.create_volume(Size=1, AvailabilityZone=f"{REGION}a")["VolumeId"] for _ in range(5)]
    for _ in range(number):
        tags = random_.choice([{"Studio": "aurora"}, {"Studio": "borealis", "Name": "x"}, {"Team": "aurora"}, {}])
        specifications = [
            {"ResourceType": "snapshot", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        ]
        made = ec2.create_snapshot(VolumeId=random_.choice(volumes), TagSpecifications=specifications if tags else [])
        # The API of moto makes none but completed ones.
        ec2_backends[account][REGION].snapshots[made["SnapshotId"]].status = random_.choice([*STATES])


def reference(ec2: Any, account: str) -> dict[str, dict[str, int]]:
    """Count with stock boto3 and the simplest means."""
    counts: dict[str, dict[str, int]] = {}
    for each in ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"]):
        for snapshot in each["Snapshots"]:
            for tag in snapshot.get("Tags", []):
                if tag["Key"] == "Studio" and snapshot["OwnerId"] == account:
                    codes = counts.setdefault(f"{account}/{tag['Value']}", {})
                    codes[snapshot["State"]] = codes.get(snapshot["State"], 0) + 1
    return counts


def test_counts_are_those_of_a_reference_that_reads_moto_with_stock_boto3(moto: str) -> None:
    fill(client(moto), MOTO_ACCOUNT, 1, 60)
    calls = ApiCalls()
    poller = polled(source(moto, calls))
    asyncio.run(poller.sweep())
    expected = reference(client(moto), MOTO_ACCOUNT)
    assert set(expected) == {f"{MOTO_ACCOUNT}/aurora", f"{MOTO_ACCOUNT}/borealis"}
    assert {code for codes in expected.values() for code in codes} == set(STATES)
    assert known(poller.status()) == expected
    assert (sum(calls.requests().values()), calls.errors()) == (1, {})


def test_a_studio_whose_last_snapshot_was_deleted_shows_zeros(moto: str) -> None:
    ec2 = client(moto)
    volume = ec2.create_volume(Size=1, AvailabilityZone=f"{REGION}a")["VolumeId"]
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "Studio", "Value": "aurora"}]}]
    snapshot = ec2.create_snapshot(VolumeId=volume, TagSpecifications=tags)["SnapshotId"]
    poller = polled(source(moto))
    asyncio.run(poller.sweep())
    assert known(poller.status()) == {f"{MOTO_ACCOUNT}/aurora": {"completed": 1}}
    ec2.delete_snapshot(SnapshotId=snapshot)
    asyncio.run(poller.sweep())
    [studio] = poller.status().studios
    assert studio.up
    assert studio.census is not None
    assert dict(studio.census.counts) == dict.fromkeys(EbsSource.known_pairs, 0)


def test_the_same_tag_value_in_two_accounts_is_two_studios(moto: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "targets:\n"
        + "".join(
            f"  - {{name: t{account[0]}, source: ebs, aws_region: {REGION}, endpoint_url: '{moto}', "
            f"role_arn: '{role}', workstation_tag: Name}}\n"
            for account, role in ROLES.items()
        )
    )
    for account in ROLES:
        fill(client(moto, account), account, int(account[0]), 25)
    config = load(file)
    poller = Poller(build(config, ApiCalls()), max_concurrent_polls=2)
    asyncio.run(poller.sweep())
    status = poller.status()
    expected = {account: reference(client(moto, account), account) for account in ROLES}
    assert known(status) == expected["111111111111"] | expected["222222222222"]
    assert {(studio.target.name, studio.studio.name, studio.studio.account_id) for studio in status.studios} == {
        (f"t{account[0]}", name, account) for account in ROLES for name in ("aurora", "borealis")
    }


def test_a_page_that_fails_late_leaves_the_old_counts(endpoint: Start) -> None:
    answers = [large(3)]
    server = endpoint(lambda request: answers[0](request))
    poller = polled(source(server.url))
    asyncio.run(poller.sweep())
    before = known(poller.status())

    def fails_at_the_end(request: Request) -> bytes:
        if parameters(request).get("NextToken") == "2":
            return http(b"<html/>")
        return page(item(), token="1" if len(server.requests) % 2 else "2")

    server.requests.clear()
    answers[0] = fails_at_the_end
    asyncio.run(poller.sweep())
    assert before
    assert known(poller.status()) == before
    assert not any(studio.up for studio in poller.status().studios)


# Anything


texts = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cn"]), max_size=12)
names = st.sampled_from(["snapshotId", "volumeId", "status", "statusMessage", "startTime", "progress", "ofTomorrow"])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(["Studio", "Name", "studio"]), texts | st.just("aurora")),
            st.dictionaries(names, texts | st.sampled_from([*STATES, "Client.X"])),
        ),
        max_size=8,
    )
)
def test_no_payload_is_lost_or_raises(payload: list[tuple[dict[str, str], dict[str, str]]]) -> None:
    class Canned:
        """Stands in for the way to AWS."""

        target, aws_region = "volumes", REGION

        def fetch(self, decode: Callable[[bytes], Any], operation: str, deadline: Deadline, **_: Any) -> Any:
            return decode(answer(*(item(tags, **members) for tags, members in payload)))

    canned: Any = Canned()
    backups, studios = read(EbsSource(canned, studio_tag="Studio"))
    tagged = [f"{ACCOUNT}/{tags['Studio']}" for tags, _ in payload if tags.get("Studio")]
    assert [backup.studio for backup in backups] == tagged
    assert {studio.id for studio in studios} == set(tagged)
    assert {studio: sum(counts.values()) for studio, counts in counted(backups).items()} == Counter(tagged)
