"""How much a backup costs to read and count, against botocore's own parser: ratios of one run, for `make bench`.

python -m tests.bench.reading
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser

from exporter.aws.clients import MODELS
from exporter.backups import Tally
from exporter.simulator import Fleet
from exporter.simulator.api import _backup as wire
from exporter.sources.nimble import NimbleSource, _backup, _decode_backups

NOW = 1.79e9
PAGE_SIZE = 1000
ROUNDS = 9


def page() -> bytes:
    fleet = Fleet(1, studios=1, sessions=PAGE_SIZE // 10 + 1)
    backups = fleet.backups(fleet.studios(NOW)[0].id, NOW)[:PAGE_SIZE]
    return json.dumps({"streamingSessionBackups": [wire(backup) for backup in backups]}).encode()


def ours(body: bytes) -> None:
    tally = Tally(NimbleSource.known_pairs)
    for each in _decode_backups(body).streamingSessionBackups:
        tally.add(_backup(each, "studio"))
    tally.census()


def stock(body: bytes) -> None:
    model = ServiceModel(Loader(extra_search_paths=[str(MODELS)]).load_service_model("nimble", "service-2"))
    shape = model.operation_model("ListStreamingSessionBackups").output_shape
    create_parser("rest-json").parse({"status_code": 200, "headers": {}, "body": body}, shape)


def microseconds(work: Callable[[bytes], None], body: bytes) -> float:
    """Return the median over the rounds, for one backup."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work(body)
        taken.append((time.perf_counter() - begun) / PAGE_SIZE * 1e6)
    return statistics.median(taken)


def main() -> None:
    body = page()
    own, stocks = microseconds(ours, body), microseconds(stock, body)
    print(f"a page of {PAGE_SIZE} backups, median of {ROUNDS} rounds, a backup:")
    print(f"  decoded and counted here       {own:6.2f} us")
    print(f"  parsed by botocore, uncounted  {stocks:6.2f} us, {stocks / own:.0f} times as long")


if __name__ == "__main__":
    main()
