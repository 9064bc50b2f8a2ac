"""The commands as a person types them: a process of its own for each, against the simulator."""

from __future__ import annotations

import json
import re
import select
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter import simulator
from exporter.simulator import Fleet
from tests.commands import counts, free_port, get, run, started, wait_for, write
from tests.endpoint import Endpoint, error, hang, page
from tests.endpoint import http as http_answer
from tests.hostile.book import shown

NOW = 1_790_000_000.0


@pytest.fixture(scope="module")
def simulated() -> Iterator[str]:
    fleet = Fleet(7, studios=3, sessions=30, failure_ratio=0.2)
    with simulator.running(simulator.create_app(fleet, clock=lambda: NOW)) as url:
        yield url


@pytest.fixture
def config(tmp_path: Path, simulated: str) -> Path:
    return write(tmp_path, f"targets: [{{aws_region: us-west-2, endpoint_url: '{simulated}'}}]\n")


# Usage


def test_help_and_version() -> None:
    everything = run("--help")
    assert everything.returncode == 0
    for command in ("serve", "once", "check", "list", "simulate", "demo"):
        assert command in everything.stdout
        assert run(command, "--help").returncode == 0
        assert re.fullmatch(r"studio-backup-exporter \d+\.\d+\.\d+\n", run(command, "--version").stdout)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "required: COMMAND"),
        (["serve"], "required: --config.file"),
        (["serve", "--config.fil=x"], "--config.fil"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["once", "--config.file=no-such-file.yaml"], "no-such-file.yaml"),
        (["simulate", "--throttle-ratio=2"], "2 is not between 0 and 1"),
        (["simulate", "--port=99999"], "99999 is not a port"),
        (["simulate", "--studios=0"], "0 is not a number from 1 on"),
        (["simulate", "--latency=-1"], "-1 is not a number of seconds"),
        (["simulate", "--seed=x"], "invalid int value"),
    ],
)
def test_bad_usage_is_told_and_exits_2(arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("nonsense", "'nonsense' is not HOST:PORT, [HOST]:PORT or :PORT"),
        ("127.0.0.1:taken", "cannot listen on 127.0.0.1:taken: Address already in use"),
        ("host.invalid:1", "cannot listen on host.invalid:1: "),  # the rest is the resolver's
    ],
)
def test_an_address_that_cannot_be_listened_on_is_told(config: Path, address: str, why: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address, why = (text.replace("taken", str(taken.getsockname()[1])) for text in (address, why))
        done = run("serve", f"--config.file={config}", f"--web.listen-address={address}")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(f"--web.listen-address: {why}")
    assert "while" not in line


def test_a_telemetry_path_that_is_the_pages_own_is_refused(config: Path) -> None:
    done = run("serve", f"--config.file={config}", "--web.telemetry-path=/")
    assert (done.returncode, "--web.telemetry-path=/" in done.stderr) == (2, True)


def test_mistakes_in_the_configuration_are_told_at_once(tmp_path: Path) -> None:
    file = write(tmp_path, "poll_intervall: 60s\ntargets:\n  - aws_region: nowhere at all\n")
    for command, status in (("serve", 2), ("once", 2), ("list", 2), ("check", 1)):
        done = run(command, f"--config.file={file}")
        assert done.returncode == status
        assert [line.split(": ")[0] for line in done.stderr.splitlines()] == [f"{file}:1", f"{file}:3"]
        assert "poll_interval" in done.stderr


# once


def test_once_writes_a_census_of_every_studio(config: Path) -> None:
    done = run("once", f"--config.file={config}")
    assert (done.returncode, done.stderr) == (0, "")
    counted = counts(done.stdout)
    assert len({studio for studio, _, _ in counted}) == 3
    assert re.findall(r"^# TYPE (\w+) counter", done.stdout, re.MULTILINE) == []


def test_once_replaces_a_file_as_a_whole(config: Path, tmp_path: Path) -> None:
    output = tmp_path / "backups.prom"
    output.write_text("old")
    output.chmod(0o600)
    assert run("once", f"--config.file={config}", f"--output={output}").returncode == 0
    assert len({studio for studio, _, _ in counts(output.read_text())}) == 3
    assert stat.S_IMODE(output.stat().st_mode) == 0o644
    assert [file.name for file in tmp_path.iterdir() if "backups" in file.name] == ["backups.prom"]


@pytest.mark.parametrize("output", ["missing/backups.prom", "folder.prom"])
def test_once_tells_that_it_cannot_write(config: Path, tmp_path: Path, output: str) -> None:
    (tmp_path / "folder.prom").mkdir()
    done = run("once", f"--config.file={config}", f"--output={tmp_path / output}")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert output in done.stderr


def test_one_studios_failure_is_its_own(tmp_path: Path) -> None:
    """A studio that is not there, a denied and a throttled one show `up` 0 with the reason; the others are counted."""
    answers = {
        "gone": error("ResourceNotFoundException", 404),
        "denied": error("AccessDeniedException", 403),
        "throttled": error("ThrottlingException", 429),
        "html": http_answer(b"<html></html>"),
    }
    fine = page([{"backupId": "b", "state": "READY"}])
    with Endpoint(lambda request: answers.get(request.parts[2], fine)).running() as server:
        studios = ", ".join([*answers, "well", "hale"])
        target = f"{{aws_region: us-west-2, endpoint_url: '{server.url}', studios: [{studios}]}}"
        done = run("once", f"--config.file={write(tmp_path, f'targets: [{target}]')}")
    assert done.returncode == 1
    up = dict(re.findall(r'studio_backup_up{.*studio_id="(\w+)"} (\d)', done.stdout))
    assert up == dict.fromkeys(answers, "0") | {"well": "1", "hale": "1"}
    assert {studio for studio, _, _ in counts(done.stdout)} == {"well", "hale"}
    reasons = {
        re.findall(r" studio=(\w+)", line)[0]: re.findall(r" reason=(\w+)", line)[0]
        for line in done.stderr.splitlines()
    }
    assert reasons == dict(zip(answers, ["not_found", "access_denied", "throttled", "bad_response"], strict=True))


def test_a_page_costs_one_request_and_a_poll_its_pages(tmp_path: Path) -> None:
    fleet = Fleet(3, studios=2, sessions=40)
    app = simulator.create_app(fleet, clock=lambda: NOW, page_size=50)
    with simulator.running(app) as url:
        file = write(tmp_path, f"targets: [{{aws_region: us-west-2, endpoint_url: '{url}'}}]")
        done = run("once", f"--config.file={file}")
    sizes = [len(fleet.backups(studio.id, NOW)) for studio in fleet.studios(NOW)]
    assert sum(counts(done.stdout).values()) == sum(sizes)
    assert sum(app.state.requests.values()) == 1 + sum(-(-size // 50) for size in sizes)


# check


def test_check_finds_no_mistake(config: Path) -> None:
    done = run("check", f"--config.file={config}")
    assert (done.returncode, done.stdout) == (0, f"{config}: no mistake found; 1 target(s)\n")


def test_check_online_asks_for_one_page_of_each_listing(tmp_path: Path) -> None:
    app = simulator.create_app(Fleet(3, studios=2, sessions=40), clock=lambda: NOW, page_size=10)
    with simulator.running(app) as url:
        file = write(tmp_path, f"targets: [{{name: a, aws_region: us-west-2, endpoint_url: '{url}'}}]")
        done = run("check", "--online", f"--config.file={file}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("target a: every listing can be read\n")
    assert sum(app.state.requests.values()) == 1 + 2


def test_check_online_tells_what_cannot_be_read(tmp_path: Path, simulated: str) -> None:
    file = write(
        tmp_path,
        "targets:\n"
        f"  - {{name: fine, aws_region: us-west-2, endpoint_url: '{simulated}'}}\n"
        f"  - {{name: gone, aws_region: us-west-2, endpoint_url: '{simulated}', studios: [no-such-studio]}}\n"
        "  - {name: deaf, aws_region: us-west-2, endpoint_url: 'http://127.0.0.1:1'}\n"
        f"  - {{name: poor, aws_region: us-west-2, endpoint_url: '{simulated}', profile: nobody}}\n",
    )
    done = run("check", "--online", f"--config.file={file}")
    assert done.returncode == 1
    told = {line.split(": ")[1]: line.split(": ", 2)[2] for line in done.stderr.splitlines()}
    assert told["target gone"].startswith("listing no-such-studio: not_found: ")
    assert told["target deaf"].startswith("discovery: connection: ")
    assert told["target poor"].startswith("discovery: credentials: ")
    assert "target fine: every listing can be read" in done.stdout


# list


def test_list_shows_failed_backups_as_a_table_and_as_json(config: Path) -> None:
    table = run("list", f"--config.file={config}", "--state=CREATE_FAILED")
    assert (table.returncode, table.stderr) == (0, "")
    rows = json.loads(run("list", f"--config.file={config}", "--state=CREATE_FAILED", "--format=json").stdout)
    assert rows
    assert {row["state"] for row in rows} == {"CREATE_FAILED"}
    head, *lines = table.stdout.splitlines()
    assert re.split("  +", head) == [
        "STUDIO",
        "BACKUP",
        "WORKSTATION",
        "STATE",
        "STATUS CODE",
        "CREATED (UTC)",
        "AGE",
        "MESSAGE",
    ]
    assert len(lines) == len(rows)
    for row, line in zip(rows, lines, strict=True):
        for member in ("studio", "id", "workstation", "status_code", "message"):
            assert row[member]
            assert row[member] in line
        assert "owned" not in str(row).lower()


def test_list_can_be_of_one_studio_and_several_states(config: Path) -> None:
    def rows(*options: str) -> list[dict[str, object]]:
        listed = json.loads(run("list", f"--config.file={config}", "--format=json", *options).stdout)
        return [{name: value for name, value in row.items() if name != "age_seconds"} for row in listed]

    everything = rows()
    studio = everything[0]["studio_id"]
    wanted = ("READY", "CREATE_FAILED")
    assert rows(f"--studio={studio}", *(f"--state={state}" for state in wanted)) == [
        row for row in everything if row["studio_id"] == studio and row["state"] in wanted
    ]


def test_list_lets_no_message_steer_the_terminal(tmp_path: Path) -> None:
    evil = {"backupId": "b\x1b[2J", "state": "READY", "statusMessage": "x\ny\x1b]0;title\x07"}
    with Endpoint(lambda request: page([evil])).running() as server:
        file = write(tmp_path, f"targets: [{{aws_region: us-west-2, endpoint_url: '{server.url}', studios: [one]}}]")
        done = run("list", f"--config.file={file}")
    assert len(done.stdout.splitlines()) == 2
    assert all(character.isprintable() or character == "\n" for character in done.stdout)


def test_list_shows_what_it_could_read(tmp_path: Path) -> None:
    fine = page([{"backupId": "b-1", "state": "READY", "createdAt": "2024-01-01T00:00:00Z"}])
    denied = error("AccessDeniedException", 403)
    with Endpoint(lambda request: denied if "denied" in request.path else fine).running() as server:
        file = write(
            tmp_path, f"targets: [{{aws_region: us-west-2, endpoint_url: '{server.url}', studios: [fine, denied]}}]"
        )
        done = run("list", f"--config.file={file}")
    assert done.returncode == 1
    assert "b-1" in done.stdout
    assert "listing denied: access_denied: " in done.stderr


# serve


@shown("Stopping", "SIGTERM or SIGINT", "exit status 0 within 5 s")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_well_within_five_seconds(config: Path, number: signal.Signals) -> None:
    port = free_port()
    with started("serve", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}") as process:
        wait_for(port, "/-/ready", "Ready")
        assert len({studio for studio, _, _ in counts(get(port)[1])}) == 3
        begun = time.monotonic()
        process.send_signal(number)
        assert process.wait(10) == 0
        assert time.monotonic() - begun < 5
        _, errors = process.communicate()
        assert "Traceback" not in errors


@shown("Stopping", "SIGTERM while polls hang", "the same: their threads keep nothing from ending")
def test_serve_ends_in_time_though_polls_hang(tmp_path: Path) -> None:
    port = free_port()
    with Endpoint(lambda _: hang).running() as server:
        file = write(tmp_path, f"targets: [{{aws_region: us-west-2, endpoint_url: '{server.url}', studios: [a, b]}}]")
        with started("serve", f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}") as process:
            wait_for(port, "/metrics", "studio_backup_exporter_polls_in_progress 2.0")
            begun = time.monotonic()
            process.terminate()
            assert process.wait(10) == 0
            assert time.monotonic() - begun < 5
            assert "Traceback" not in process.communicate()[1]


@shown(
    "Change",
    "AWS cannot be reached at the start",
    "it starts, and answers on every path; `/-/ready` says so after twice the `poll_timeout` at the latest",
)
def test_serve_starts_and_answers_though_nothing_can_be_reached(tmp_path: Path) -> None:
    port = free_port()
    file = write(
        tmp_path,
        "poll_interval: 200ms\ntargets:\n"
        "  - {name: deaf, aws_region: us-west-2, endpoint_url: 'http://127.0.0.1:1'}\n"
        "  - {name: poor, aws_region: us-west-2, profile: nobody, studios: [a]}\n",
    )
    with started("serve", f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}") as process:
        body = wait_for(port, "/metrics", 'discovery_up{aws_region="us-west-2",source="nimble",target="deaf"} 0.0',
                        'reason="credentials"')  # fmt: skip
        assert 'studio_backup_up{aws_region="us-west-2",source="nimble",studio="a",studio_id="a"} 0.0' in body
        assert get(port, "/-/healthy")[0] == 200
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.parametrize("by", ["signal", "request"])
def test_a_reload_takes_a_good_file_and_refuses_a_bad_one(tmp_path: Path, simulated: str, by: str) -> None:
    port = free_port()
    good = f"targets:\n  - {{name: NAME, aws_region: us-west-2, endpoint_url: '{simulated}'}}\n"
    file = write(tmp_path, good.replace("NAME", "before"))
    options = ["--web.enable-lifecycle"] if by == "request" else []
    gauge = "studio_backup_exporter_config_last_reload_successful"
    with started("serve", f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}", *options) as process:

        def reload() -> tuple[int, str]:
            if by == "request":
                return get(port, "/-/reload", "POST")
            process.send_signal(signal.SIGHUP)
            return 0, ""

        wait_for(port, "/-/ready", "Ready")
        write(tmp_path, good.replace("NAME", "after"))
        assert reload()[0] in (0, 200)
        wait_for(port, "/metrics", 'target="after"} 3.0', f"{gauge} 1.0")
        write(tmp_path, "targets: [{aws_regoin: us-west-2}]\n")
        status, body = reload()
        assert (status, "did you mean aws_region?" in body) in ((0, False), (500, True))
        body = wait_for(port, "/metrics", f"{gauge} 0.0")
        assert 'target="after"} 3.0' in body
        assert get(port, "/-/reload", "POST")[0] == (500 if by == "request" else 404)
        process.terminate()
        assert process.wait(10) == 0
        assert "did you mean aws_region?" in process.communicate()[1]


def test_logs_are_json_if_asked_for(tmp_path: Path) -> None:
    file = write(tmp_path, "targets: [{aws_region: us-west-2, endpoint_url: 'http://127.0.0.1:1', studios: [a]}]")
    done = run("once", f"--config.file={file}", "--log.format=json")
    [line] = [json.loads(line) for line in done.stderr.splitlines()]
    assert (line["msg"], line["reason"], line["studio_id"], line["level"]) == (
        "poll failed",
        "connection",
        "a",
        "warning",
    )


# simulate and demo


def test_simulate_says_where_it_answers(tmp_path: Path) -> None:
    with started("simulate", "--port=0", "--studios=2", "--sessions=5", "--page-size=7") as process:
        assert process.stdout
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found
        file = write(tmp_path, f"targets: [{{aws_region: us-west-2, endpoint_url: '{found[0]}'}}]")
        assert len({studio for studio, _, _ in counts(run("once", f"--config.file={file}").stdout)}) == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.communicate()[1] == ""


def test_the_demos_counts_change_and_ctrl_c_ends_it() -> None:
    port = free_port()
    with started("demo", f"--web.listen-address=127.0.0.1:{port}") as process:
        assert process.stdout
        wait_for(port, "/-/ready", "Ready")
        for url in re.findall(
            r"http://127\.0\.0\.1:(\d+)(/\S*) ", "".join(process.stdout.readline() for _ in range(4))
        ):
            assert get(int(url[0]), url[1])[0] == 200
        first = counts(get(port)[1])
        assert {studio.rpartition("/")[2] for studio, _, _ in first} >= {"aurora", "driftwood", "nocturne"}
        end = time.monotonic() + 60
        while counts(get(port)[1]) == first:
            assert time.monotonic() < end
            select.select([], [], [], 0.2)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert time.monotonic() - begun < 5
        assert process.communicate()[1] == ""
