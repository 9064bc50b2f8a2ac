"""Studios behind an endpoint that is well but for what a test says of some of them."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from tests.endpoint import Answer, Endpoint, Request, http, page


def ready(number: int, **members: Any) -> list[dict[str, Any]]:
    """Return so many READY backups, with `members` in place of what they have."""
    given = {"state": "READY", "statusCode": "STREAMING_SESSION_READY", "createdAt": "2024-05-01T10:00:00Z", **members}
    return [{"backupId": f"b-{each}", "sessionId": f"s-{each}", **given} for each in range(number)]


class Studios:
    """The far side. Each studio has `backups` READY ones, unless `sick` has something else to answer for it.

    ListStudios shows `shown`, or answers `discovery`; GetStudio names a studio, or answers `identity`. `asked_at` are
    the moments (of the monotonic clock) when a listing began, by studio; `most_at_once` is how many requests there were
    at once for each.
    """

    def __init__(self, *shown: str, backups: int = 2, latency: float = 0.0) -> None:
        self.shown = list(shown)
        self.backups = backups
        self.latency = latency
        self.discovery: Answer | None = None
        self.identity: Answer | None = None
        self.sick: Mapping[str, Callable[[Request], Answer]] = {}
        self.asked_at: dict[str, list[float]] = defaultdict(list)
        self.most_at_once: Counter[str] = Counter()
        self._now: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.endpoint = Endpoint(self._answer)

    def _answer(self, request: Request) -> Answer:
        match request.parts:
            case [_, "studios"]:
                return self.discovery or http({"studios": [_studio(studio) for studio in self.shown]})
            case [_, "studios", studio]:
                return self.identity or http({"studio": _studio(studio)})
            case [_, "studios", studio, "streaming-session-backups"]:
                with self._lock:
                    if "nextToken" not in request.query:
                        self.asked_at[studio].append(time.monotonic())
                    self._now[studio] += 1
                    self.most_at_once[studio] = max(self.most_at_once[studio], self._now[studio])
                try:
                    self.endpoint.pause(self.latency)
                    answer = self.sick.get(studio)
                    return answer(request) if answer is not None else page(ready(self.backups))
                finally:
                    with self._lock:
                        self._now[studio] -= 1
        raise AssertionError(request)


def _studio(id: str) -> Mapping[str, str]:
    return {"studioId": id, "studioName": f"name of {id}"}
