"""Being killed: what a file that `once` was writing then holds, and how `serve` ends whatever it is in the middle of.

In go a far side that answers or hangs and peers that read or do not; out comes the old exposition or a whole new one,
or exit status 0 within five seconds.
"""

from __future__ import annotations

import itertools
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from http.client import HTTPException
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.commands import free_port, get, run, started, wait_for
from tests.endpoint import Answer, Endpoint, Request, http, page
from tests.hostile.book import shown
from tests.hostile.exporter import configured
from tests.hostile.studios import ready
from tests.tools import proc
from tests.waiting import wait_until

OLD = b"# what the run before wrote\n"
STUDIOS = [f"studio-{number}" for number in range(20)]
#: How many times a run is killed, at moments as far apart as each other.
MOMENTS = 8
#: An exposition of more than a megabyte; so many of them are more than the kernel holds for one connection.
MANY_STUDIOS = [f"studio-{number}" for number in range(150)]
PIPELINED = 8

Series = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    with Endpoint(lambda _: page(ready(3))).running() as server:
        yield configured(tmp_path, {"endpoint_url": server.url, "studios": STUDIOS})


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "textfiles"
    folder.mkdir()
    file = folder / "backups.prom"
    file.write_bytes(OLD)
    return file


@pytest.fixture
def whole(config: Path) -> frozenset[Series]:
    """All series that an undisturbed run writes."""
    done = run("once", f"--config.file={config}")
    assert done.returncode == 0
    return series(done.stdout)


def series(text: str) -> frozenset[Series]:
    assert text.endswith("\n")
    return frozenset(
        (sample.name, frozenset(sample.labels.items()))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )


def is_new(content: bytes, whole: frozenset[Series]) -> bool:
    """Say whether it is the new exposition, whole, or the old one, byte for byte; fail where it is neither."""
    if content == OLD:
        return False
    assert content.endswith(b"\n"), f"cut off after {len(content)} bytes"
    assert series(content.decode()) == whole
    return True


# once --output

#: Runs `once` up to where it has rendered the exposition and opens the first file; from there a fork of it for each
#: moment, killed at the first call into C or return from it, at the second, and so on until fifty have left a file
#: that is not the old one. Only such calls write to files. The files of each go into a folder of its own.
_KILLED_AT_EACH_CALL = """\
import itertools, os, pathlib, sys
from exporter import cli, metrics

output, outcomes = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
old = output.read_bytes()
rendered, left, changed = False, 0, 0

def watch(frame, event, called):
    global rendered, left, changed
    if event == "return" and frame.f_code is metrics.render.__code__:
        rendered = True
    elif rendered and not left and event == "c_call" and called in (os.open, open):
        for left in itertools.count(1):
            child = os.fork()
            if child == 0:
                return
            os.waitpid(child, 0)
            changed += output.read_bytes() != old
            output.parent.rename(outcomes / f"{left:04}")
            output.parent.mkdir()
            output.write_bytes(old)
            if changed == 50:
                os._exit(0)
    elif left and event.startswith("c_"):
        left -= 1
        if not left:
            os.kill(os.getpid(), 9)

sys.setprofile(watch)
cli.main(["once", *sys.argv[3:], f"--output={output}"])
"""


@shown(
    "Stopping",
    "SIGKILL while `once --output` runs",
    "the file is the old one, byte for byte, or a new one that is whole; no other `*.prom` is ever there, and a"
    " temporary file that was left goes with a run an hour later",
)
def test_once_killed_at_any_call_while_it_writes_leaves_the_old_file_or_the_new_one(
    config: Path, output: Path, whole: frozenset[Series], tmp_path: Path
) -> None:
    outcomes = tmp_path / "outcomes"
    outcomes.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _KILLED_AT_EACH_CALL, output, outcomes, f"--config.file={config}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    folders = sorted(outcomes.iterdir())
    new = []
    for folder in folders:
        assert [file.name for file in folder.iterdir() if file.suffix == ".prom"] == [output.name]
        new.append(is_new((folder / output.name).read_bytes(), whole))
    assert new == sorted(new)  # the old one up to a moment, the new one from it on
    assert new[-1]
    # Some were killed in the middle of writing: what they had written then is there still.
    assert any(file.stat().st_size for folder in folders for file in folder.iterdir() if file.name != output.name)


def test_once_killed_at_moments_of_its_whole_run_leaves_the_old_file_or_the_new_one(
    config: Path, output: Path, whole: frozenset[Series]
) -> None:
    command = ("once", f"--config.file={config}", f"--output={output}")
    begun = time.monotonic()
    assert run(*command).returncode == 0
    lasts = time.monotonic() - begun
    for moment in range(MOMENTS):
        output.write_bytes(OLD)
        with started(*command) as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(lasts * moment / MOMENTS)
            process.kill()
            process.wait(10)
        is_new(output.read_bytes(), whole)
        assert list(output.parent.glob("*.prom")) == [output]


def test_what_killed_runs_left_is_cleared_away_in_time(config: Path, output: Path) -> None:
    left, fresh, others = (output.parent / name for name in (".backups.prom.a.tmp", ".backups.prom.b.tmp", "x.tmp"))
    for file in (left, fresh, others):
        file.touch()
    for file in (left, others):
        os.utime(file, (0, 0))
    assert run("once", f"--config.file={config}", f"--output={output}").returncode == 0
    assert set(output.parent.iterdir()) == {output, fresh, others}


# serve


def ends_well(process: subprocess.Popen[str]) -> None:
    """Send SIGTERM: exit status 0 within five seconds, and nothing but log lines on stderr."""
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    taken = time.monotonic() - begun
    assert taken < 5, f"it took {taken:.1f} s"
    _, errors = process.communicate()
    assert "Traceback" not in errors, errors
    assert [line for line in errors.splitlines() if not re.match(r"ts=\S+ level=(info|warning) ", line)] == []


def serving(config: Path, port: int) -> Sequence[str]:
    return ("serve", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}")


def half_a_head(endpoint: Endpoint) -> Answer:
    return endpoint.drip(b"HTTP/1.1 200 OK\r\nContent-Type: x", 3600, at_once=20)


def a_body_that_drips(endpoint: Endpoint) -> Answer:
    return endpoint.drip(page(ready(100)), 0.05, at_once=500)


def no_end_of_pages(endpoint: Endpoint) -> Answer:
    return page(ready(100), f"token-{len(endpoint.requests)}")


POLLS: Mapping[str, Callable[[Endpoint], Answer]] = {
    "a head that stops half-way": half_a_head,
    "a body that drips": a_body_that_drips,
    "pages without end": no_end_of_pages,
}


@shown("Stopping", "SIGTERM in the middle of an answer, of its headers or of a list that does not end", "the same")
@pytest.mark.parametrize("case", POLLS)
def test_serve_ends_in_time_in_the_middle_of_a_poll(tmp_path: Path, case: str) -> None:
    endpoint, port = Endpoint(lambda _: b""), free_port()

    def answer(request: Request) -> Answer:
        listed = request.parts[-1] == "streaming-session-backups"
        return POLLS[case](endpoint) if listed else http({"studio": {"studioId": "a", "studioName": "a"}})

    endpoint.answer = answer
    with endpoint.running():
        file = configured(tmp_path, {"endpoint_url": endpoint.url, "studios": ["a"]})
        with started(*serving(file, port)) as process:
            wait_until(lambda: any(each.parts[-1] == "streaming-session-backups" for each in endpoint.requests))
            wait_for(port, "/metrics", "studio_backup_exporter_polls_in_progress 1.0")
            ends_well(process)


@shown("Stopping", "SIGTERM in a TLS handshake, or while a connection is being made", "the same")
def test_serve_ends_in_time_in_a_tls_handshake_that_never_ends(tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with started(*serving(configured(tmp_path, {"endpoint_url": url, "studios": ["a"]}), port)) as process:
            listener.settimeout(20)
            peer, _ = listener.accept()
            with peer:
                assert peer.recv(1) == b"\x16"  # a handshake's record: it waits for ours
                wait_for(port, "/metrics", "studio_backup_exporter_polls_in_progress 1.0")
                ends_well(process)


def is_connecting(port: int) -> bool:
    """Say whether a connection to the port has asked and has no answer (SYN_SENT is state 02 in /proc/net/tcp)."""
    return f" 0100007F:{port:04X} 02 " in proc("net/tcp").read_text()


def test_serve_ends_in_time_while_a_connection_is_not_made(tmp_path: Path) -> None:
    port = free_port()
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        deaf = listener.getsockname()[1]
        with suppress(TimeoutError):
            while True:  # until its backlog is full: it answers no further one
                stack.enter_context(socket.create_connection(("127.0.0.1", deaf), timeout=0.3))
        assert not is_connecting(deaf)
        url = f"http://127.0.0.1:{deaf}"
        process = stack.enter_context(
            started(*serving(configured(tmp_path, {"endpoint_url": url, "studios": ["a"]}), port))
        )
        wait_until(lambda: is_connecting(deaf))
        wait_for(port, "/metrics", "studio_backup_exporter_polls_in_progress 1.0")
        ends_well(process)


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """An exporter whose exposition is of some megabytes, and its port."""
    port = free_port()
    with Endpoint(lambda _: page(ready(3))).running() as server:
        file = configured(tmp_path, {"endpoint_url": server.url, "studios": MANY_STUDIOS})
        with started(*serving(file, port)) as process:
            wait_for(port, "/-/ready", "Ready", limit=60)
            yield port, process


def unread(port: int, peer: socket.socket) -> int:
    """Return how many bytes the kernel holds that the server at the port has sent and its peer has no room for."""
    ends = f"0100007F:{port:04X} 0100007F:{peer.getsockname()[1]:04X}"
    found = re.search(rf"{ends} [0-9A-F]+ ([0-9A-F]+):", proc("net/tcp").read_text())
    return int(found[1], 16) if found else 0


def is_stuck(port: int, peer: socket.socket) -> bool:
    """Say whether the server's end of the connection has much to send, and as much half a second later."""
    before = unread(port, peer)
    select.select([], [], [], 0.5)
    return before > 0 and unread(port, peer) == before


@shown("Stopping", "SIGTERM while a peer reads its scrape slowly, or not at all", "the same: it is cut off after 2 s")
def test_serve_ends_in_time_though_a_scrape_is_read_slowly(busy: tuple[int, subprocess.Popen[str]]) -> None:
    port, process = busy
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before connecting: it bounds the window
        peer.settimeout(20)
        peer.connect(("127.0.0.1", port))
        peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * PIPELINED)
        read = peer.recv(2048)
        wait_until(lambda: is_stuck(port, peer))
        ends_well(process)
        with suppress(ConnectionError):
            while piece := peer.recv(65536):
                read += piece
    lengths = [int(length) for length in re.findall(rb"(?i)\r\ncontent-length: (\d+)\r\n", read)]
    heads = sum(len(head) for head in re.findall(rb"HTTP/1.1 200 .*?\r\n\r\n", read, re.DOTALL))
    assert len(read) < heads + sum(lengths)  # else it was not in the middle of one


@pytest.mark.parametrize("sent", [b"", b"GET /metr", b"GET /metrics HTTP/1.1\r\nHost: x\r\n"])
def test_serve_ends_in_time_though_a_request_is_not_whole(config: Path, sent: bytes) -> None:
    port = free_port()
    with started(*serving(config, port)) as process:
        wait_for(port, "/-/ready", "Ready")
        with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
            peer.sendall(sent)
            assert get(port, "/-/healthy")[0] == 200  # it came later, and was answered: the other one is known, too
            ends_well(process)


def test_serve_ends_in_time_while_it_is_scraped_without_a_break(busy: tuple[int, subprocess.Popen[str]]) -> None:
    port, process = busy
    scraped = itertools.count()
    begun = threading.Event()

    def scrape() -> None:
        with suppress(OSError, HTTPException):
            while get(port)[0] == 200:
                if next(scraped) >= 4:
                    begun.set()

    scrapers = [threading.Thread(target=scrape, daemon=True) for _ in range(4)]
    for each in scrapers:
        each.start()
    assert begun.wait(30)
    ends_well(process)
    for each in scrapers:
        each.join(10)
        assert not each.is_alive()
