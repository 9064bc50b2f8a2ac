"""A machine that has nothing left to give."""

from __future__ import annotations

import json
import resource
import socket
from collections import Counter
from pathlib import Path

from tests.commands import free_port, get, started, wait_for
from tests.endpoint import Answer, Request, page
from tests.hostile.book import shown
from tests.hostile.exporter import configured
from tests.hostile.studios import Studios, ready
from tests.tools import proc
from tests.waiting import wait_until

TOO_MANY = "Too many open files"


def on_a_new_connection(_request: Request) -> Answer:
    """Answer, and end the connection, so that the next poll has to make one."""
    return [page(ready(2))]


@shown(
    "The machine",
    "no file descriptor is left",
    f"`connection`: `Could not connect to the endpoint URL: ... ({TOO_MANY})`; scrapes wait; the log says once a minute"
    " that no connection can be taken, and how to raise the limit; all goes on once there are some",
)
def test_no_file_descriptor_is_left_for_a_while(tmp_path: Path) -> None:
    far_side, port, log = Studios(), free_port(), tmp_path / "log"
    far_side.sick = {"one": on_a_new_connection}

    def said() -> Counter[str]:
        return Counter(json.loads(line)["msg"] for line in log.read_text().splitlines())

    with far_side.endpoint.running() as endpoint:
        file = configured(tmp_path, {"endpoint_url": endpoint.url, "studios": ["one"]}, poll_interval="500ms")
        options = (f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}", "--log.format=json")
        with started("serve", *options, log=log) as process:
            wait_for(port, "/-/ready", "Ready")
            assert (proc(process.pid) / "fd").is_dir()
            before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, before[1]))  # those that it has stay open
            with socket.create_connection(("127.0.0.1", port), timeout=20) as scrape:
                scrape.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                wait_until(lambda: said()["no connection can be taken"] and said()["poll failed"])
                resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)
                answer = b"".join(iter(lambda: scrape.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 200 ")
            wait_until(lambda: said()["poll works again"])
            assert get(port)[0] == 200
            process.terminate()
            assert process.wait(10) == 0
    assert said() == Counter(["started", "no connection can be taken", "poll failed", "poll works again"])
    lines = {line["msg"]: line for line in map(json.loads, log.read_text().splitlines())}
    assert lines["poll failed"]["reason"] == "connection"
    assert lines["poll failed"]["error"].endswith(f"({TOO_MANY})")
    assert lines["no connection can be taken"]["error"] == TOO_MANY
    assert "LimitNOFILE" in lines["no connection can be taken"]["advice"]
