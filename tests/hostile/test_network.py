"""Networks that fail before there is an answer, polls that hang in numbers, and pages of a size."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from exporter.sources import Reason
from tests.endpoint import hang, http
from tests.hostile.book import shown
from tests.hostile.exporter import configured, counts, polling, retry_at_once, studios
from tests.hostile.scenarios import READY
from tests.hostile.studios import Studios, ready
from tests.tls import new_certificate, server_context
from tests.waiting import event_loop_lag, until

INTERVAL_SECONDS = 4.0


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def unconnected(url: str) -> str:
    """Return what this system says of an address that no connection can be made to."""
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname or "", address.port or 80), timeout=10).close()
    except OSError as error:
        return error.strerror or str(error)
    raise AssertionError(url)


@shown(
    "The network",
    "nothing listens at the address",
    "`connection`: `Could not connect to the endpoint URL: ... (Connection refused)`",
)
@shown(
    "The network",
    "the host's name cannot be resolved",
    "`connection`: `Could not connect to the endpoint URL: ... (Name or service not known)`, or what else the resolver"
    " says",
)
@shown(
    "The network",
    "a certificate that nobody has signed whom the CA bundle knows",
    "`connection`: `SSL validation failed`; with `AWS_CA_BUNDLE` it works",
)
@shown(
    "The network",
    "a TLS handshake that never ends",
    "`timeout`; its thread, which cannot be interrupted there, ends within 5 s more and is counted in"
    " `studio_backup_exporter_abandoned_polls` until then",
)
def test_targets_that_cannot_be_reached_fail_alone(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retry_at_once(monkeypatch)
    well, untrusted = Studios(), Studios()
    untrusted.endpoint.tls = server_context(new_certificate(tmp_path))
    silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))  # the kernel accepts, and nobody reads
    refused = socket.create_server(("127.0.0.1", 0))
    addresses = {
        "well": stack.enter_context(well.endpoint.running()).url,
        "untrusted": stack.enter_context(untrusted.endpoint.running()).url.replace("http:", "https:"),
        "silent": f"https://127.0.0.1:{silent.getsockname()[1]}",
        "refused": f"http://127.0.0.1:{refused.getsockname()[1]}",
        "unresolved": "http://no-such-host.invalid",
    }
    refused.close()
    file = configured(
        tmp_path,
        *({"name": name, "endpoint_url": url, "studios": [name]} for name, url in addresses.items()),
        poll_interval="3s",
        poll_timeout="2500ms",
    )

    async def run() -> None:
        async with polling(file) as poller, event_loop_lag() as lag:
            await until(lambda: studios(poller).keys() == addresses.keys(), limit=60)
            assert poller.status().abandoned_polls == 1
            await until(lambda: studios(poller)["well"].polls >= 3)
            known = studios(poller)
            errors = {name: known[name].error for name in addresses}
            assert errors.pop("well") is None
            assert counts(known["well"]) == {READY: 2}
            told = {name: (error.reason, str(error)) for name, error in errors.items() if error}
            url = "{}/2020-08-01/studios/{}/streaming-session-backups"
            why = {name: unconnected(addresses[name]) for name in ("refused", "unresolved")}
            for name, words in why.items():
                assert told[name] == (
                    Reason.CONNECTION,
                    f'Could not connect to the endpoint URL: "{url.format(addresses[name], name)}" ({words})',
                )
            assert told["silent"] == (Reason.TIMEOUT, "no complete answer within 2.5 s")
            assert told["untrusted"][0] is Reason.CONNECTION
            assert told["untrusted"][1].startswith("SSL validation failed for ")
            assert known["silent"].duration_seconds < 2.5 + 1 + lag.worst
            silent.close()
            await until(lambda: poller.status().abandoned_polls == 0)

    asyncio.run(run())


@shown(
    "The network",
    "ten studios hang, and `max_concurrent_polls` is 2",
    "`timeout`; from the second interval on they wait for each other in a lane of their own, and healthy studios are"
    " polled on time",
)
def test_ten_that_hang_do_not_keep_the_others_from_being_polled_on_time(tmp_path: Path) -> None:
    well, sick = ("well-1", "well-2"), [f"sick-{n}" for n in range(10)]
    far_side = Studios()
    far_side.sick = dict.fromkeys(sick, lambda _request: hang)

    async def run() -> None:
        with far_side.endpoint.running() as endpoint:
            file = configured(
                tmp_path,
                {"endpoint_url": endpoint.url, "studios": [*sick, *well]},
                poll_interval=f"{INTERVAL_SECONDS:g}s",
                poll_timeout="3s",
                max_concurrent_polls=2,
            )
            async with polling(file) as poller, event_loop_lag() as lag:
                await until(lambda: len(studios(poller)) == len(well) + len(sick), limit=60)
                settled = {id: len(far_side.asked_at[id]) for id in well}
                threads = set()

                def polled_four_times_more() -> bool:
                    threads.add(sum(thread.name.startswith("poll ") for thread in threading.enumerate()))
                    return all(len(far_side.asked_at[id]) >= settled[id] + 4 for id in well)

                await until(polled_four_times_more, limit=60)
                gaps = [late - early for id in well for early, late in pairwise(far_side.asked_at[id][settled[id] :])]
                assert max(gaps) < 2 * INTERVAL_SECONDS
                known = studios(poller)
                assert all(known[id].up for id in well)
                assert {reason for id in sick for reason in known[id].failures} == {Reason.TIMEOUT}
                assert max(known[id].duration_seconds for id in sick) < 3 + 1 + lag.worst
                assert 1 <= max(threads) <= len(well) + len(sick)

    asyncio.run(run())


@shown("Answers that are odd, and good", "a page of 50 MB", "counted; the others are polled meanwhile")
def test_a_page_of_50_mb_is_counted(tmp_path: Path) -> None:
    many = 50_000
    far_side = Studios()
    large = http({"streamingSessionBackups": ready(many, statusMessage="x" * 1000)})
    assert len(large) > 50e6
    far_side.sick = {"large": lambda _request: large}

    async def run() -> None:
        with far_side.endpoint.running() as endpoint:
            file = configured(
                tmp_path,
                {"endpoint_url": endpoint.url, "studios": ["large", "well"]},
                poll_interval="1s",
                poll_timeout="60s",
            )
            async with polling(file) as poller:
                await until(lambda: "large" in studios(poller), limit=60)
                assert counts(studios(poller)["large"]) == {READY: many}
                assert dict(studios(poller)["well"].failures) == {}

    asyncio.run(run())


@shown(
    "Answers that are none",
    "a body longer than 64 MiB",
    "`bad_response`: `the body is longer than 64 MiB`; the rest of it is not read",
)
def test_a_page_of_more_than_64_mib_is_refused(tmp_path: Path) -> None:
    far_side = Studios()
    whole = json.dumps({"streamingSessionBackups": []}).encode()
    far_side.sick = {"large": lambda _request: http(whole + b" " * 64 * 2**20)}

    async def run() -> None:
        with far_side.endpoint.running() as endpoint:
            file = configured(tmp_path, {"endpoint_url": endpoint.url, "studios": ["large"]}, poll_timeout="1m")
            async with polling(file) as poller:
                await until(lambda: "large" in studios(poller), limit=60)
                error = studios(poller)["large"].error
                assert error is not None
                assert (error.reason, str(error)) == (
                    Reason.BAD_RESPONSE,
                    "ListStreamingSessionBackups: the body is longer than 64 MiB",
                )

    asyncio.run(run())
