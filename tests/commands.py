"""The commands as a person types them, each a process of its own, and what they answer over HTTP."""

from __future__ import annotations

import http.client
import itertools
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families


def run(*arguments: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "exporter", *map(str, arguments)],
        text=True,
        capture_output=True,
        timeout=timeout,
        check=False,
    )


@contextmanager
def started(*arguments: str | Path, log: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run a command that does not end by itself, and end it whatever comes.

    What it says on stderr goes to `log`, where it is more than a pipe that nobody reads meanwhile would hold.
    """
    with ExitStack() as stack:
        process = subprocess.Popen(
            [sys.executable, "-m", "exporter", *map(str, arguments)],
            text=True,
            stdout=subprocess.PIPE,
            stderr=stack.enter_context(log.open("w")) if log else subprocess.PIPE,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


#: Ports below those that the kernel gives to connections, begun at another place by each of pytest's processes.
_PORTS = itertools.count(20_000 + os.getpid() * 97 % 12_000)


def free_port() -> int:
    """Return a port that nothing takes before it is listened on."""
    while True:
        port = next(_PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def get(port: int, path: str = "/metrics", method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def wait_for(port: int, path: str, *holds: str, limit: float = 30) -> str:
    """Return what the path answers once it holds all of these texts."""
    end = time.monotonic() + limit
    while True:
        try:
            _, body = get(port, path)
            if all(text in body for text in holds):
                return body
        except OSError as error:
            body = f"({error})"
        assert time.monotonic() < end, f"{holds} did not come within {limit:g} s; the last answer: {body[-2000:]}"
        select.select([], [], [], 0.02)


def counts(text: str) -> Mapping[tuple[str, str, str], float]:
    return {
        (sample.labels["studio_id"], sample.labels["state"], sample.labels["status_code"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "studio_backups" and sample.value
    }


def write(folder: Path, text: str, name: str = "config.yaml") -> Path:
    file = folder / name
    file.write_text(text)
    return file
