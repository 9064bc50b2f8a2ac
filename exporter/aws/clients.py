"""botocore clients whose requests are put down to the call that makes them, and whose waits a Deadline can cut short.

In go a profile and a service's name, out come sessions and clients of boto3. The call under way in a thread is what
that thread's requests belong to, those for credentials among them: botocore has no way to hand it through.
"""

from __future__ import annotations

import re
import socket
import sys
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.awsrequest import (
    AWSConnection,
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from botocore.config import Config
from botocore.loaders import Loader
from botocore.retries import quota, standard

from exporter.aws.account import ApiCalls
from exporter.aws.errors import CREDENTIAL_OPERATIONS, is_throttling
from exporter.sources import Deadline

#: Service models that botocore does not have, or no longer.
MODELS = Path(__file__).parent.parent / "sources" / "models"
#: Connecting, a TLS handshake included, cannot be cut short, so it is bounded by itself.
CONNECT_TIMEOUT_SECONDS = 5.0
#: The first try included (botocore's `standard` mode has three by default).
TRIES = 3
#: More than any page has: an answer without an end must not take all the memory there is before its deadline.
MAX_BODY_BYTES = 64 * 2**20
#: One for all sessions: it keeps what it has read, which is most of what a session takes of time and memory.
_LOADER = Loader(extra_search_paths=[str(MODELS)])
_TOO_LONG = f"the body is longer than {MAX_BODY_BYTES // 2**20} MiB"
_GZIP = 16 + zlib.MAX_WBITS


class Call:
    """An API call under way in this thread: what botocore's events are to be put down to."""

    def __init__(self, calls: ApiCalls, source: str, region: str, target: str, deadline: Deadline) -> None:
        self.deadline = deadline
        self.body = b""
        self.problem = ""
        #: What requests carried that nobody may read: access keys, signatures, tokens.
        self._secrets: set[str] = set()
        self._calls = calls
        self._source = source
        self._region = region
        self._target = target
        self._sent_at: float | None = None
        self._operation = ""

    def before_send(self, operation: str, headers: Mapping[str, Any]) -> None:
        """Refuse a try that comes too late; count any other."""
        self.deadline.check()
        self._secrets.update(_secrets(headers))
        self._operation = operation
        self._calls.sent(self._source, self._region, self._target, operation)
        self._sent_at = time.monotonic()

    def before_parse(self, answer: dict[str, Any], nothing: bytes) -> None:
        """Take the body of a good answer out of botocore's hands, and leave it `nothing`: what it can parse."""
        self._settle()
        headers, body = answer["headers"], answer["body"]
        self.problem = ""
        length = headers.get("Content-Length")
        if len(body) > MAX_BODY_BYTES:
            self.problem = _TOO_LONG
        elif length is not None and length.isdigit() and int(length) != len(body):
            self.problem = f"the body has {len(body)} of {length} bytes"
        elif headers.get("Content-Encoding", "").lower() == "gzip":  # nobody asked for it, but a proxy may add it
            body, self.problem = _unzipped(body)
            answer["body"] = body
        if answer["status_code"] < 300 and self._operation not in CREDENTIAL_OPERATIONS:
            self.body, answer["body"] = body, nothing

    def response_received(self, parsed: Mapping[str, Any] | None, error: Exception | None) -> None:
        """Count a try that failed, and remember whether it was throttled."""
        if error is not None:
            if self._settle():
                self._failed(type(error).__name__)
            return
        answer = parsed or {}
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = str(answer.get("Error", {}).get("Code", ""))
        self.deadline.throttled = is_throttling(status, code)
        if status >= 300:
            self._failed(code)

    def without_secrets(self, text: str) -> str:
        """Return a text of the far side's without what it may quote of the requests that were made to it."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _failed(self, code: str) -> None:
        self._calls.failed(self._source, self._region, self._target, self._operation, self.without_secrets(code))

    def _settle(self) -> bool:
        """End the wait for a request's answer, if there is one."""
        self.deadline.on_expiry(None)
        if self._sent_at is None:
            return False
        self._calls.took(self._source, self._region, self._operation, time.monotonic() - self._sent_at)
        self._sent_at = None
        return True


def _secrets(headers: Mapping[str, Any]) -> Iterator[str]:
    """Yield the secret parts of a signed request's headers, which botocore has as bytes or as text."""
    for name in ("Authorization", "X-Amz-Security-Token", "x-amz-sso_bearer_token"):
        value = headers.get(name, "")
        value = value.decode() if isinstance(value, bytes) else value
        found = re.findall(r"(?:Credential|Signature)=([^/,\s]+)", value) if name == "Authorization" else [value]
        # AWS's access key ids have 16 characters at least; a simulator's may be words.
        yield from (secret for secret in found if len(secret) >= 16)


def _unzipped(body: bytes) -> tuple[bytes, str]:
    """Return a gzip body's content, or what is wrong with it."""
    unzip = zlib.decompressobj(_GZIP)
    try:
        content = unzip.decompress(body, MAX_BODY_BYTES)
    except zlib.error as error:
        return b"", f"the body is not gzip: {error}"
    if unzip.unconsumed_tail:
        return b"", _TOO_LONG
    return (content, "") if unzip.eof else (b"", "the body is not gzip: it ends too soon")


class _Thread(threading.local):
    call: Call | None = None


_thread = _Thread()


@contextmanager
def under_way(call: Call) -> Iterator[None]:
    """Put the requests that this thread makes meanwhile down to the call."""
    _thread.call = call
    try:
        yield
    finally:
        _thread.call = None
        call.deadline.on_expiry(None)


def new_session(profile: str = "", *, credentials: object = None) -> boto3.Session:
    """Return a session that also knows the services in MODELS, and tells each request to the thread's call.

    `credentials` is a botocore credential resolver, in place of botocore's own search.
    """
    core = botocore.session.Session(profile=profile or None)
    core.register_component("data_loader", _LOADER)
    if credentials is not None:
        core.register_component("credential_provider", credentials)
    core.register("before-send", _on_before_send)
    core.register("before-parse", _on_before_parse)
    core.register("response-received", _on_response_received)
    return boto3.Session(botocore_session=core)


def _on_before_send(event_name: str, request: Any, **_: Any) -> None:
    if _thread.call is not None:
        _thread.call.before_send(event_name.rpartition(".")[2], request.headers)


def _on_before_parse(response_dict: dict[str, Any], operation_model: Any, **_: Any) -> None:
    if _thread.call is not None:
        speaks_json = "json" in operation_model.service_model.protocol
        _thread.call.before_parse(response_dict, b"{}" if speaks_json else b"<nothing/>")


def _on_response_received(parsed_response: Mapping[str, Any] | None, exception: Exception | None, **_: Any) -> None:
    if _thread.call is not None:
        _thread.call.response_received(parsed_response, exception)


def new_client(session: boto3.Session, service: str, *, max_connections: int = 1, **arguments: Any) -> Any:
    """Return a client whose waits a Deadline can cut short.

    botocore has no public way to say which connections a client makes, so this reaches for the HTTP session in its
    endpoint (as of botocore 1.44); proxies, CA bundles and TLS stay botocore's own. Nor has it one to lift the quota of
    retries that all calls of a client share: a studio that is throttled for ever would use up those of all others.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        max_pool_connections=max_connections,
        retries={"mode": "standard", "total_max_attempts": TRIES},
        user_agent_extra="studio-backup-exporter",
    )
    client = session.client(service, config=config, **arguments)
    http = client._endpoint.http_session
    http._pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    http._manager.pool_classes_by_scheme = http._pool_classes_by_scheme
    name = client.meta.service_model.service_id.hyphenize()
    client.meta.events.unregister(f"needs-retry.{name}", unique_id=f"retry-config-{name}")
    retries = standard.register_retry_handler(client, max_attempts=TRIES)
    retries._retry_quota._quota = quota.RetryQuota(initial_capacity=sys.maxsize)
    return client


def close_client(client: Any) -> None:
    """Close a client's connections: idle ones at once, those in use as soon as they no longer are.

    The client's own `close` leaves idle ones open for as long as anything refers to their pool, and exceptions that
    came through urllib3 do so until they are collected. It comes first: whoever is in the middle of a poll finds a new
    pool.
    """
    http = client._endpoint.http_session
    managers = (http._manager, *http._proxy_managers.values())
    pools = [pool for manager in managers for key in list(manager.pools.keys()) if (pool := manager.pools.get(key))]
    client.close()
    for pool in pools:
        pool.close()


class _Interruptible(AWSConnection):
    """A connection that tells the thread's deadline how to cut it short: by shutting its socket."""

    sock: Any

    def connect(self) -> None:
        _tell_deadline(lambda: _shut(self.sock))  # a proxy may never answer CONNECT
        super().connect()

    def request(self, *arguments: Any, **keywords: Any) -> Any:
        if self.sock is None:
            self.connect()
        # The socket itself: for an answer without a length, http.client leaves it to the response and forgets it.
        _tell_deadline(partial(_shut, self.sock))
        return super().request(*arguments, **keywords)

    def getresponse(self) -> Any:
        response = super().getresponse()
        # Weakly: a cycle would keep the body, and the connection, until somebody collects it.
        response.stream = partial(_bounded, weakref.ref(response))
        return response


def _tell_deadline(interrupt: Callable[[], None]) -> None:
    if _thread.call is not None:
        _thread.call.deadline.on_expiry(interrupt)


def _bounded(reference: Callable[[], Any], *arguments: Any, **keywords: Any) -> Iterator[bytes]:
    """Yield a body's pieces up to the one with which it is too long; the rest is not read."""
    response = reference()
    size = 0
    for piece in type(response).stream(response, *arguments, **keywords):
        yield piece
        size += len(piece)
        if size > MAX_BODY_BYTES:
            response.close()
            return


def _shut(sock: Any) -> None:
    sock = getattr(sock, "socket", sock)  # TLS within a TLS proxy has its socket inside
    if sock is not None:
        with suppress(OSError):
            # The plain socket's own method: SSLSocket's drops the TLS state that the reading thread uses.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _HTTPConnection(_Interruptible, AWSHTTPConnection):
    pass


class _HTTPSConnection(_Interruptible, AWSHTTPSConnection):
    pass


class _HTTPPool(AWSHTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(AWSHTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection
