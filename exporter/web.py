"""HTTP: /metrics, the status page, health and readiness.

In go what writes the metrics and the poller's status, out comes an ASGI application and the server that runs it. No
request reaches AWS.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import h11
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from exporter import pages
from exporter.metrics import exporter_version
from exporter.status import Status

#: A peer that has not sent a complete header by then is closed.
HEADER_TIMEOUT_SECONDS = 10.0
#: An idle connection is kept for longer than Prometheus usually takes between two scrapes.
KEEP_ALIVE_SECONDS = 120
#: What is left of the five seconds in which the process ends, once the server is told to.
SHUTDOWN_TIMEOUT_SECONDS = 2
#: The errors of what the system has no more of, for which asyncio waits and tries again.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_SHORTAGE_SILENCE_SECONDS = 60.0
_NO_CACHE = {"Cache-Control": "no-store"}
_NOTHING_BUT_STYLE = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

log = structlog.get_logger(__name__)


def create_app(
    render: Callable[[Status, str, Sequence[str]], tuple[bytes, str]],
    status: Callable[[], Status],
    *,
    telemetry_path: str = "/metrics",
    show_backups: bool = False,
    reload: Callable[[], str] | None = None,
    is_polling: Callable[[], bool] = lambda: True,
) -> Starlette:
    """Return the application.

    `render` returns the exposition of a status and its content type, for an Accept header and the names wanted (none:
    all). With `show_backups`, ids and messages of failed backups are shown. `reload` loads the configuration anew and
    returns why it could not, "" if it could; None: whoever asks for it finds nothing. `is_polling` says whether the
    poll loop runs.
    """

    async def metrics(request: Request) -> Response:
        # Written in a thread: thousands of series take longer than other requests should wait. What is known is read
        # here, by the thread that changes it.
        body, content_type = await run_in_threadpool(
            render, status(), request.headers.get("accept", ""), request.query_params.getlist("name[]")
        )
        return Response(body, headers={"Content-Type": content_type})

    async def index(_: Request) -> Response:
        page = pages.status_page(
            status(), time.time(), version=exporter_version(), telemetry_path=telemetry_path, show_backups=show_backups
        )
        return HTMLResponse(page, headers=_NO_CACHE | {"Content-Security-Policy": _NOTHING_BUT_STYLE})

    async def studios(_: Request) -> Response:
        return JSONResponse(pages.studios(status()), headers=_NO_CACHE)

    async def backups(request: Request) -> Response:
        wanted = {name: request.query_params.get(name, "") for name in ("state", "studio")}
        return JSONResponse(pages.backups(status(), **wanted), headers=_NO_CACHE)

    async def healthy(_: Request) -> Response:
        if is_polling():
            return PlainTextResponse("Healthy: the poll loop runs.\n", headers=_NO_CACHE)
        return PlainTextResponse("Not healthy: the poll loop has ended.\n", 503, _NO_CACHE)

    async def ready(_: Request) -> Response:
        if status().ready:
            return PlainTextResponse("Ready: every studio has been polled.\n", headers=_NO_CACHE)
        return PlainTextResponse("Not ready: first polls are under way.\n", 503, _NO_CACHE)

    async def reload_configuration(_: Request) -> Response:
        refusal = reload() if reload is not None else ""
        if refusal:
            return PlainTextResponse(f"{refusal}\n", 500, _NO_CACHE)
        return PlainTextResponse("The configuration is reloaded.\n", headers=_NO_CACHE)

    app = Starlette(
        routes=[
            Route("/", index),
            Route(telemetry_path, metrics),
            Route("/-/healthy", healthy),
            Route("/-/ready", ready),
            Route("/api/v1/studios", studios),
            *([Route("/api/v1/backups", backups)] if show_backups else []),
            *([Route("/-/reload", reload_configuration, methods=["POST"])] if reload is not None else []),
        ],
        middleware=[Middleware(GZipMiddleware, minimum_size=1000, compresslevel=6)],
    )
    app.router.redirect_slashes = False  # /metrics/ is no path of ours
    return app


def listen(address: str) -> socket.socket:
    """Return a socket that is bound to HOST:PORT, [HOST]:PORT or :PORT (all addresses).

    Raises ValueError for what is not an address, OSError where it cannot be bound.
    """
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is not HOST:PORT, [HOST]:PORT or :PORT")
    listener = _bind(host.removeprefix("[").removesuffix("]"), int(port))
    # asyncio sets this for sockets that it makes itself; without it an answer on a kept connection waits for the peer's
    # delayed acknowledgement (40 ms on Linux). Connections inherit it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _bind(host: str, port: int) -> socket.socket:
    if not host and socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:  # IPv6 is known to the kernel, but switched off
                raise
    family = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)[0][0]  # noqa: S104  # as asked
    return socket.create_server((host, port), family=family)


async def serve(app: Starlette, sockets: Sequence[socket.socket], stop: asyncio.Event) -> None:
    """Answer requests until `stop` is set; then finish those under way, for a short while."""
    asyncio.get_running_loop().set_exception_handler(_Shortage())
    server = _Server(
        uvicorn.Config(
            app,
            http=_Protocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_SECONDS + 2,  # it logs an error: `end` is to come well before it
        )
    )

    async def end() -> None:
        await stop.wait()
        server.should_exit = True
        await asyncio.sleep(SHUTDOWN_TIMEOUT_SECONDS)
        for connection in list(server.server_state.connections):  # whose peers do not read what they asked for
            connection.transport.abort()

    async with asyncio.TaskGroup() as group:
        ending = group.create_task(end())
        await server.serve(sockets=list(sockets))
        ending.cancel()


class _Shortage:
    """An event loop's exception handler that tells once a minute that no connection can be taken.

    asyncio tells, with a traceback, of each of the thousands that it then tries to take in a second.
    """

    _silent_until = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _EXHAUSTED and "socket" in context):
            loop.default_exception_handler(context)
        elif loop.time() >= self._silent_until:
            self._silent_until = loop.time() + _SHORTAGE_SILENCE_SECONDS
            log.error(
                "no connection can be taken",
                error=error.strerror,
                advice="Scrapes wait: see who has so many connections, or raise the limit (ulimit -n, LimitNOFILE).",
            )


class _Server(uvicorn.Server):
    """uvicorn's server, but signals are the caller's: uvicorn raises them again, and the process would not exit 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Protocol(H11Protocol):
    """uvicorn's HTTP protocol, but it closes a connection on which no complete header comes."""

    _impatience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._await_header()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._impatience is None:  # the first bytes of another request on a connection kept alive
            self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_header(self) -> None:
        self._impatience = self.loop.call_later(HEADER_TIMEOUT_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None
