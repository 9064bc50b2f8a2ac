"""The account of every API call: requests, errors and durations.

In go a request's labels as it is sent, fails or ends, out come totals. A request is an HTTP request: retries and
refused ones count.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

import msgspec

#: Upper bounds of the request duration histogram, in seconds.
DURATION_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: How many error codes are told apart; a far side that makes them up must not make series.
MAX_ERROR_CODES = 50
_LOOKS_LIKE_A_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}").fullmatch


class Histogram(msgspec.Struct):
    """Durations by DURATION_BUCKETS: `counts` has one more place, for what is longer than all of them."""

    counts: list[int]
    sum_seconds: float = 0.0


class ApiCalls:
    """The account itself. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, str, str]] = Counter()
        self._errors: Counter[tuple[str, str, str, str, str]] = Counter()
        self._durations: dict[tuple[str, str, str], Histogram] = {}
        self._codes: set[str] = set()

    def sent(self, source: str, region: str, target: str, operation: str) -> None:
        """Count a request as it goes out."""
        with self._lock:
            self._requests[source, region, target, operation] += 1

    def failed(self, source: str, region: str, target: str, operation: str, code: str) -> None:
        """Count a request that was answered with an error, or not at all."""
        with self._lock:
            if code not in self._codes:
                if len(self._codes) < MAX_ERROR_CODES and _LOOKS_LIKE_A_CODE(code):
                    self._codes.add(code)
                else:
                    code = "OTHER"
            self._errors[source, region, target, operation, code] += 1

    def took(self, source: str, region: str, operation: str, seconds: float) -> None:
        """Note how long a request took, from sending it to its answer's last byte or its failure."""
        with self._lock:
            histogram = self._durations.get((source, region, operation))
            if histogram is None:
                histogram = Histogram([0] * (len(DURATION_BUCKETS) + 1))
                self._durations[source, region, operation] = histogram
            histogram.counts[bisect_left(DURATION_BUCKETS, seconds)] += 1
            histogram.sum_seconds += seconds

    def requests(self) -> Mapping[tuple[str, str, str, str], int]:
        """Return requests by (source, region, target, operation)."""
        with self._lock:
            return dict(self._requests)

    def errors(self) -> Mapping[tuple[str, str, str, str, str], int]:
        """Return errors by (source, region, target, operation, code)."""
        with self._lock:
            return dict(self._errors)

    def durations(self) -> Mapping[tuple[str, str, str], Histogram]:
        """Return durations by (source, region, operation)."""
        with self._lock:
            return {key: Histogram(list(h.counts), h.sum_seconds) for key, h in self._durations.items()}
