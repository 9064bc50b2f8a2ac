"""Pages of listings, and the tokens that lead from one to the next.

In go what a listing is of and how to find it, out come pages of one moment; a token of another listing, or an old one,
is an ApiError.
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

#: A listing's pages are of one moment; its tokens are good for this long, and for so many listings.
TOKEN_SECONDS = 900.0
#: And, once its last page was given, for this long: a client that did not get that page asks for it again soon.
ENDED_SECONDS = 30.0
MAX_LISTINGS = 1000


class ApiError(Exception):
    """An error of the API: its name, and a message."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class _Listing(msgspec.Struct, frozen=True):
    """What a list operation found, kept for its further pages."""

    scope: tuple[str, ...]
    items: Sequence[Any]
    expires_at: float


class Listings:
    """The listings that tokens are good for."""

    def __init__(self, page_size: int, clock: Callable[[], float]) -> None:
        self._page_size = page_size
        self._clock = clock
        self._kept: OrderedDict[int, _Listing] = OrderedDict()
        self._begun = 0

    def page(
        self, token: str | None, scope: tuple[str, ...], find: Callable[[], Sequence[Any]]
    ) -> tuple[Sequence[Any], str | None]:
        """Return a page and the token of the next one. `find` is called for the first page alone."""
        if token:
            number, offset = self._decode(token)
            listing = self._kept.get(number)
            if (
                listing is None
                or listing.scope != scope
                or listing.expires_at < self._clock()
                or offset not in range(self._page_size, len(listing.items), self._page_size)
            ):
                raise ApiError("ValidationException", "The nextToken is not valid, or no longer.")
        else:
            self._begun += 1
            number, offset = self._begun, 0
            listing = _Listing(scope, find(), self._clock() + TOKEN_SECONDS)
        end = offset + self._page_size
        if end >= len(listing.items):
            if number in self._kept:
                ends_at = min(listing.expires_at, self._clock() + ENDED_SECONDS)
                self._kept[number] = msgspec.structs.replace(listing, expires_at=ends_at)
            return listing.items[offset:], None
        self._kept[number] = listing
        for old in [old for old, kept in self._kept.items() if kept.expires_at < self._clock()]:
            del self._kept[old]
        while len(self._kept) > MAX_LISTINGS:
            self._kept.popitem(last=False)
        return listing.items[offset:end], base64.urlsafe_b64encode(f"{number}/{end}".encode()).decode()

    @staticmethod
    def _decode(token: str) -> tuple[int, int]:
        try:
            number, offset = base64.urlsafe_b64decode(token).decode().split("/")
            return int(number), int(offset)
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise ApiError("ValidationException", "The nextToken is not one of this service.") from None
