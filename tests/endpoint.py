"""An HTTP endpoint that answers as a test says, down to the bytes and when they come: what no real server would do."""

from __future__ import annotations

import json
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec


class Request(msgspec.Struct, frozen=True):
    """A request as it came. `path` is not decoded."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def parts(self) -> list[str]:
        """The path's segments, each decoded."""
        return [unquote(part) for part in self.path.strip("/").split("/")]


#: What an answer is: its bytes, pieces of it with whatever happens between them, or what to do with the socket.
Answer = bytes | Iterable[bytes] | Callable[[socket.socket], None]


def http(body: bytes | object = b"", status: int = 200, *, length: int | None = None, **headers: str) -> bytes:
    """Return an HTTP answer: JSON unless `body` is bytes. `length` is its Content-Length, the true one by default."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Content-Type": "application/json", "x-amzn-RequestId": "request-1"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    given["Content-Length"] = str(len(content) if length is None else length)
    head = f"HTTP/1.1 {status} Whatever\r\n" + "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return head.encode() + b"\r\n" + content


def error(code: str, status: int, message: str = "as the test wants it") -> bytes:
    """Return an error as AWS's rest-json services give it."""
    return http({"code": code, "message": message}, status, x_amzn_ErrorType=code)


def page(backups: Iterable[Mapping[str, Any]] = (), token: str | None = None) -> bytes:
    """Return a page of ListStreamingSessionBackups."""
    return http({"streamingSessionBackups": list(backups), "nextToken": token})


def hang(peer: socket.socket) -> None:
    """Answer nothing until the other side goes."""
    with suppress(OSError):
        while peer.recv(4096):
            pass


def reset(peer: socket.socket) -> None:
    """Break the connection."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Endpoint:
    """A server on 127.0.0.1 that gives each request to `answer`, and keeps them in `requests`."""

    def __init__(self, answer: Callable[[Request], Answer], tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.tls = tls
        self.requests: list[Request] = []
        #: Set when the endpoint ends: what a dripping answer waits on between its bytes.
        self.ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._peers: set[socket.socket] = set()
        self._here = threading.local()

    @property
    def connections(self) -> int:
        """How many there are now, idle ones among them."""
        return len(self._peers)

    def drip(self, content: bytes, seconds: float, at_once: int = 0) -> Iterator[bytes]:
        """Yield `content` a byte every so many seconds, but for so many bytes before."""
        yield content[:at_once]
        for byte in content[at_once:]:
            if self.ended.wait(seconds):
                return
            yield bytes([byte])

    def pause(self, seconds: float) -> None:
        """Wait before an answer; no longer than the endpoint lasts, or the other side for it."""
        select.select([self._here.peer], [], [], seconds)

    @contextmanager
    def running(self) -> Iterator[Endpoint]:
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            yield self
        finally:
            self.ended.set()
            # Closed alone, it lives on for the thread that waits on it, which may come to serve what is opened next.
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            for peer in list(self._peers):
                with suppress(OSError):
                    peer.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._peers.add(peer)
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        self._here.peer = plain
        with suppress(OSError), plain, self._wrapped(plain) as peer, peer.makefile("rb") as lines:
            while True:
                request = _read(lines)
                if request is None:
                    break
                self.requests.append(request)
                answer = self.answer(request)
                if callable(answer):
                    answer(peer)
                    break
                for piece in [answer] if isinstance(answer, bytes) else answer:
                    peer.sendall(piece)
                if not isinstance(answer, bytes) or b"Content-Length" not in answer:
                    break
        self._peers.discard(plain)

    def _wrapped(self, peer: socket.socket) -> socket.socket:
        return self.tls.wrap_socket(peer, server_side=True) if self.tls else peer


def _read(lines: Any) -> Request | None:
    first = lines.readline().decode()
    if not first.strip():
        return None
    method, target, _ = first.split()
    headers = {}
    while line := lines.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    url = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
    return Request(method, url.path, query, headers, lines.read(int(headers.get("content-length", 0))))
