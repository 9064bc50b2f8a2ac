"""The endpoint that other tests stand on."""

from __future__ import annotations

import socket
import urllib.request

import pytest

from tests.endpoint import Endpoint, page


def test_an_endpoint_that_has_ended_refuses_connections() -> None:
    # Once it has answered, it waits for the next connection.
    with Endpoint(lambda _: page()).running() as ended, urllib.request.urlopen(ended.url) as answer:
        assert answer.status == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ended.port))
