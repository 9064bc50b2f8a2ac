"""A server in a thread, for whoever needs an application answered beside what they do themselves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.applications import Starlette

from exporter import web


@contextmanager
def running(app: Starlette) -> Iterator[str]:
    """Answer for the application on a free port of 127.0.0.1; the value is its URL. It has ended when this is left."""
    listener = web.listen("127.0.0.1:0")
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(web.serve(app, [listener], stop),), name="server")
    thread.start()
    try:
        # The socket listens already: who connects before the loop runs waits in its queue.
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
