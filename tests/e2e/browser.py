"""A real browser, driven by the WebDriver protocol (W3C) through Debian's chromedriver."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.commands import free_port
from tests.e2e.stack import answers
from tests.tools import tool
from tests.waiting import wait_until

OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


class Browser:
    """A window of the browser."""

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, command: str, **parameters: Any) -> Any:
        request = urllib.request.Request(
            f"{self._url}/{command}", json.dumps(parameters).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, url: str, width: int) -> None:
        """Open a page in a window of this width, in pixels."""
        self.send("window/rect", width=width, height=900)
        self.send("url", url=url)

    def value(self, expression: str) -> Any:
        """Return what a JavaScript expression is on the page."""
        return self.send("execute/sync", script=f"return {expression}", args=[])


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start the browser, with its profile in a folder, and end it when this is left."""
    driver = tool("chromedriver", "Debian's package `chromium-driver` has it")
    chromium = tool("chromium", "Debian's package `chromium` has it")
    port = free_port()
    process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/status"))
        wanted = {"binary": str(chromium), "args": [*OPTIONS, f"--user-data-dir={folder}"]}
        root = Browser(f"http://127.0.0.1:{port}")
        session = root.send("session", capabilities={"alwaysMatch": {"goog:chromeOptions": wanted}})["sessionId"]
        url = f"http://127.0.0.1:{port}/session/{session}"
        try:
            yield Browser(url)
        finally:
            urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=60).close()
    finally:
        process.terminate()
        process.wait(30)
