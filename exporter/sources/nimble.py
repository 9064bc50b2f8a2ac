"""Amazon Nimble Studio: its studios, and its streaming-session backups.

AWS shut the service in October 2024; the API lives on in the simulator, and in the service model under models/, which
teaches it to a botocore that has forgotten it. One listing is one studio's ListStreamingSessionBackups.

The facts are those of AWS's service model `nimble`, 2020-08-01.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from exporter.aws import Api
from exporter.backups import FAILED_STATES, STATES, Backup, Studio
from exporter.sources import Deadline, Listing, Page, PollError, Reason, pages, selected
from exporter.sources.answers import account_of, decoder, parse_timestamp, text

#: The status codes that say what went wrong.
ERROR_CODES = (
    "INTERNAL_ERROR",
    "INSUFFICIENT_CAPACITY",
    "ACTIVE_DIRECTORY_DOMAIN_JOIN_ERROR",
    "NETWORK_CONNECTION_ERROR",
    "INITIALIZATION_SCRIPT_ERROR",
    "DECRYPT_STREAMING_IMAGE_ERROR",
    "NETWORK_INTERFACE_ERROR",
    "AMI_VALIDATION_ERROR",
)


class _Backup(msgspec.Struct, gc=False):
    """The wanted members of a StreamingSessionBackup. None is required, and none is relied on to have its type."""

    backupId: Any = None
    sessionId: Any = None
    state: Any = None
    statusCode: Any = None
    createdAt: Any = None
    statusMessage: Any = None


class _Backups(msgspec.Struct):
    streamingSessionBackups: list[_Backup]
    nextToken: str | None = None


class _Studio(msgspec.Struct):
    studioId: str = ""
    studioName: str | None = None
    displayName: str | None = None
    arn: str | None = None


class _Studios(msgspec.Struct):
    studios: list[_Studio]
    nextToken: str | None = None


class _OneStudio(msgspec.Struct):
    studio: _Studio


_decode_backups = decoder(_Backups)
_decode_studios = decoder(_Studios)
_decode_one_studio = decoder(_OneStudio)


class NimbleSource:
    """The backups of named studios, or of every studio that ListStudios shows.

    `studios` maps ids to the names they have in the configuration, "" where they have none; empty, studios are
    discovered. `include` and `exclude` match a discovered studio's whole id or name; nothing to include means all.
    `owned_by` limits the backups to one user's.
    """

    name = "nimble"
    known_pairs = tuple(
        (state, code)
        for state in STATES
        for code in (ERROR_CODES if state in FAILED_STATES else (f"STREAMING_SESSION_{state}",))
    )

    def __init__(
        self,
        api: Api,
        *,
        studios: Mapping[str, str],
        include: Sequence[re.Pattern[str]] = (),
        exclude: Sequence[re.Pattern[str]] = (),
        owned_by: str | None = None,
    ) -> None:
        self._api = api
        self._names = studios
        self._include = include
        self._exclude = exclude
        self._filter = {"ownedBy": owned_by} if owned_by else {}
        self._unidentified: set[str] = set()

    def wants(self, studio: Studio) -> bool:
        """Say whether a studio is named; where none are, whether the patterns are for it."""
        if self._names:
            return studio.id in self._names
        return selected([studio.id, studio.name], self._include, self._exclude)

    def listings(self, deadline: Deadline) -> Sequence[Listing]:
        """Return a listing for each studio, in the order of their ids or of the configuration.

        Named studios cost no request here: each is identified by its own first poll after this, so that one whose
        answer does not come delays no other.
        """
        if self._names:
            self._unidentified = set(self._names)
            studios = [Studio(id, name) for id, name in self._names.items()]
        else:
            studios = sorted(self._discover(deadline), key=lambda studio: studio.id)
        return [Listing(studio.id, self._api.target, (studio,)) for studio in studios]

    def read(self, listing: Listing, deadline: Deadline) -> Iterator[Page]:
        """Yield the pages of a studio's backups, and before them, where it is due, the studio as GetStudio knows it."""
        studio_id = listing.key
        if studio_id in self._unidentified:
            try:
                studio = self._identify(studio_id, deadline)
            except PollError as error:
                # Names are no reason to count nothing: unless the listing cannot come either, go on without.
                deadline.check()
                if error.reason is Reason.CREDENTIALS:
                    raise
                if error.reason in (Reason.ACCESS_DENIED, Reason.NOT_FOUND):
                    self._unidentified.discard(studio_id)
            else:
                self._unidentified.discard(studio_id)
                yield Page(studios=(studio,))

        def fetch(token: str | None) -> tuple[Page, str | None]:
            keys = self._filter | ({"nextToken": token} if token else {})
            operation = "ListStreamingSessionBackups"
            answer = self._api.fetch(_decode_backups, operation, deadline, studioId=studio_id, **keys)
            return Page([_backup(wire, studio_id) for wire in answer.streamingSessionBackups]), answer.nextToken

        yield from pages(fetch, deadline)

    def _discover(self, deadline: Deadline) -> list[Studio]:
        def fetch(token: str | None) -> tuple[list[_Studio], str | None]:
            keys = {"nextToken": token} if token else {}
            answer = self._api.fetch(_decode_studios, "ListStudios", deadline, **keys)
            if not all(wire.studioId for wire in answer.studios):
                raise PollError(Reason.BAD_RESPONSE, "ListStudios: a studio without a studioId")
            return answer.studios, answer.nextToken

        shown = {wire.studioId: self._studio(wire) for page in pages(fetch, deadline) for wire in page}
        return [studio for studio in shown.values() if self.wants(studio)]

    def _identify(self, studio_id: str, deadline: Deadline) -> Studio:
        wire = self._api.fetch(_decode_one_studio, "GetStudio", deadline, studioId=studio_id).studio
        wire.studioId = studio_id
        return self._studio(wire)

    def _studio(self, wire: _Studio) -> Studio:
        """Return the studio by the name in the configuration, else studioName."""
        name = self._names.get(wire.studioId) or wire.studioName or ""
        return Studio(wire.studioId, name, wire.displayName or "", account_of(wire.arn or ""))


def _backup(wire: _Backup, studio_id: str) -> Backup:
    return Backup(
        text(wire.backupId),
        studio_id,
        text(wire.sessionId),
        wire.state,
        wire.statusCode,
        parse_timestamp(wire.createdAt),
        text(wire.statusMessage),
    )
