"""HTTP over real sockets: what each path answers, to whom, and how long the server waits."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from exporter import web
from exporter.aws.account import ApiCalls
from exporter.backups import Studio
from exporter.metrics import ConfigStatus, StudioBackupCollector, render
from exporter.poller import Poller
from exporter.sources import Page, Reason
from exporter.status import Status
from tests.fakes import FakeSource, backup, failing, listing, target
from tests.waiting import wait_until


class Served:
    """An exporter of one fake source, behind a real server."""

    def __init__(self, telemetry_path: str = "/metrics", *, show_backups: bool = False) -> None:
        self.is_polling = True
        self.source = FakeSource(listing(Studio("id-1", "aurora")))
        self.source.pages = [Page([backup(studio="id-1")])]
        self.poller = Poller([target(self.source)], max_concurrent_polls=1)
        self.read_by: set[str] = set()
        self.app = web.create_app(
            lambda status, *wanted: render(StudioBackupCollector(status, ApiCalls(), ConfigStatus(True, 1.0)), *wanted),
            self.status,
            telemetry_path=telemetry_path,
            show_backups=show_backups,
            is_polling=lambda: self.is_polling,
        )
        self.listener = web.listen("127.0.0.1:0")
        self.port: int = self.listener.getsockname()[1]

    def status(self) -> Status:
        self.read_by.add(threading.current_thread().name)
        return self.poller.status()

    @contextmanager
    def running(self) -> Iterator[Served]:
        loop, stop = asyncio.new_event_loop(), asyncio.Event()
        serving = web.serve(self.app, [self.listener], stop)
        thread = threading.Thread(target=loop.run_until_complete, args=(serving,), name="loop")
        thread.start()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()

    def poll(self) -> None:
        asyncio.run(self.poller.sweep())

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer, body


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served().running() as running:
        running.poll()
        yield running


def test_metrics_are_text_by_default(served: Served) -> None:
    answer, body = served.ask("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'studio_backup_up{aws_region="us-west-2",source="fake",studio="aurora",studio_id="id-1"} 1.0\n' in body
    assert b"process_cpu_seconds_total" in body


def test_what_is_known_is_read_by_the_thread_that_changes_it(served: Served) -> None:
    for path in ("/", "/metrics", "/-/ready", "/api/v1/studios"):
        served.read_by.clear()
        assert served.ask(path)[0].status == 200
        assert (path, served.read_by) == (path, {"loop"})  # any other may see it half changed


def test_metrics_are_openmetrics_for_prometheus(served: Served) -> None:
    accept = (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    )
    answer, body = served.ask("/metrics", accept=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")


def test_metrics_are_gzipped_for_who_accepts_it(served: Served) -> None:
    answer, body = served.ask("/metrics", accept_encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert b"studio_backups{" in gzip.decompress(body)
    assert served.ask("/metrics")[0].headers["content-encoding"] is None


def test_some_metrics_can_be_asked_for(served: Served) -> None:
    _, body = served.ask("/metrics?name[]=studio_backup_up&name[]=studio_backup_polls_total")
    assert {line.split(b"{")[0] for line in body.splitlines() if not line.startswith(b"#")} == {
        b"studio_backup_up",
        b"studio_backup_polls_total",
    }


def test_the_page_tells_of_studios_and_links_to_what_there_is(served: Served) -> None:
    answer, body = served.ask("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert b"<h3>aurora</h3>" in body
    assert b"<li><b>1</b> READY</li>" in body
    assert b"<script" not in body
    paths = re.findall(r'href="([^"]+)"', body.decode())
    assert paths == ["/metrics", "/-/healthy", "/-/ready", "/api/v1/studios"]
    assert {served.ask(path)[0].status for path in paths} == {200}
    assert served.ask("/api/v1/backups")[0].status == 404


def test_failed_backups_are_shown_where_it_is_allowed() -> None:
    served = Served(show_backups=True)
    evil = backup("<b>", "id-1", state="CREATE_FAILED", status_code="error", message="<script>alert(1)</script>")
    served.source.pages = [Page([backup(studio="id-1"), evil])]
    with served.running():
        served.poll()
        page = served.ask("/")[1].decode()
        assert "&lt;script&gt;alert(1)" in page
        assert "<script" not in page
        [told] = json.loads(served.ask("/api/v1/backups?state=CREATE_FAILED&studio=aurora")[1])
        assert (told["id"], told["workstation"], told["status_code"]) == ("<b>", "ws-1", "error")
        assert json.loads(served.ask("/api/v1/backups?state=START_FAILED")[1]) == []
        assert json.loads(served.ask("/api/v1/backups?studio=other")[1]) == []
    with Served().running() as closed:
        closed.poll()
        assert b"ws-1" not in closed.ask("/")[1]


def test_a_failed_poll_is_told_in_words() -> None:
    with Served().running() as served:
        served.poll()
        served.source.on_read = failing(Reason.ACCESS_DENIED)
        served.poll()
        page = served.ask("/")[1].decode()
        assert "The last poll failed: access_denied" in page
        assert Reason.ACCESS_DENIED.advice in page
        [studio] = json.loads(served.ask("/api/v1/studios")[1])
        assert (studio["up"], studio["error"]["reason"], studio["states"]) == (False, "access_denied", {"READY": 1})


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready"])
def test_head_answers_as_get_without_a_body_and_other_methods_are_refused(served: Served, path: str) -> None:
    answer, body = served.ask(path, "HEAD")
    assert (answer.status, body) == (200, b"")
    for method in ("POST", "PUT", "DELETE"):
        answer, _ = served.ask(path, method)
        assert answer.status == 405
        assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/metrics/x", "/-/", "/favicon.ico", "//"])
def test_any_other_path_is_not_found(served: Served, path: str) -> None:
    assert served.ask(path)[0].status == 404


def test_readiness_waits_for_the_first_polls_and_health_does_not() -> None:
    with Served().running() as served:
        assert served.ask("/-/ready")[0].status == 503
        assert served.ask("/-/healthy")[0].status == 200
        served.poll()
        assert served.ask("/-/ready")[0].status == 200


def test_health_tells_that_the_poll_loop_has_ended() -> None:
    with Served().running() as served:
        served.is_polling = False
        assert served.ask("/-/healthy")[0].status == 503


def test_the_metrics_can_be_elsewhere() -> None:
    with Served("/probe").running() as served:
        assert served.ask("/probe")[0].status == 200
        assert served.ask("/metrics")[0].status == 404
        assert b'href="/probe"' in served.ask("/")[1]


def is_closed(peer: socket.socket) -> bool:
    """Say whether the other side closes the connection, within a few seconds."""
    peer.settimeout(5)
    try:
        return peer.recv(1) == b""
    except ConnectionError:
        return True


def test_a_peer_that_sends_no_complete_header_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "HEADER_TIMEOUT_SECONDS", 0.3)
    with Served().running() as served:
        silent, dripping = (socket.create_connection(("127.0.0.1", served.port)) for _ in range(2))
        ended = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not ended.wait(0.02):
                    dripping.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        assert served.ask("/-/healthy")[0].status == 200  # others are answered meanwhile
        assert is_closed(silent)
        assert is_closed(dripping)
        ended.set()
        thread.join()
        for peer in (silent, dripping):
            peer.close()


def test_a_connection_that_is_idle_between_requests_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "HEADER_TIMEOUT_SECONDS", 0.2)
    with Served().running() as served:
        kept = http.client.HTTPConnection("127.0.0.1", served.port)

        def ask() -> socket.socket:
            kept.request("GET", "/-/healthy")
            assert kept.getresponse().read()
            return kept.sock

        first = ask()
        with socket.create_connection(("127.0.0.1", served.port)) as silent:
            assert is_closed(silent)  # so longer than the limit has passed
        assert ask() is first
        first.sendall(b"GET /-/healthy HTT")
        assert is_closed(first)
        kept.close()


def test_open_connections_do_not_keep_the_server_from_ending() -> None:
    with Served().running() as served:
        idle = socket.create_connection(("127.0.0.1", served.port))
        idle.sendall(b"GET / HTTP/1.1\r\n")
        wait_until(lambda: served.ask("/-/healthy")[0].status == 200)
        begun = time.monotonic()
    assert time.monotonic() - begun < 4
    idle.close()


@pytest.mark.parametrize(
    ("address", "family"),
    [("127.0.0.1:0", socket.AF_INET), ("localhost:0", None), ("[::1]:0", socket.AF_INET6)],
)
def test_addresses_to_listen_on(address: str, family: socket.AddressFamily | None) -> None:
    with web.listen(address) as listener:
        assert family is None or listener.family == family
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)  # or answers wait for acknowledgements


@pytest.mark.parametrize("address", ["", "10420", "127.0.0.1", "host:port", "127.0.0.1:70000", "127.0.0.1:-1", "unix"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        web.listen(address)


def test_a_shortage_of_descriptors_is_told_once_a_minute_and_any_other_fault_each_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shortage = {"message": "it says", "socket": None, "exception": OSError(errno.EMFILE, "Too many open files")}

    async def run() -> None:
        served, stop = Served(), asyncio.Event()
        serving = asyncio.create_task(web.serve(served.app, [served.listener], stop))
        await asyncio.to_thread(served.ask, "/-/healthy")
        loop = asyncio.get_running_loop()
        clock, later = loop.time, 0.0
        monkeypatch.setattr(loop, "time", lambda: clock() + later)
        with capture_logs() as log:
            for later, told in ((0.0, 1), (0.0, 1), (50.0, 1), (61.0, 2), (61.0, 2)):  # noqa: B007  # the clock reads it
                loop.call_exception_handler(shortage)
                assert [line["event"] for line in log] == ["no connection can be taken"] * told
        loop.call_exception_handler({"message": "a fault of ours"})
        loop.call_exception_handler({"message": "another fault of ours"})
        stop.set()
        await serving

    asyncio.run(run())
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == [
        "a fault of ours",
        "another fault of ours",
    ]
