"""EBS snapshots: the backups of volumes, told apart by a tag that names the studio.

One listing is a target's DescribeSnapshots, of the snapshots that its own account has in its region. The studios are
found by reading it: each value of the studio tag is one.

The facts are those of AWS's service model `ec2`, 2016-11-15. AWS fills in StateMessage for failed copies of encrypted
snapshots; a snapshot that could not be started is not listed at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from exporter.aws import Api
from exporter.backups import Backup, Studio
from exporter.sources import Deadline, Listing, Page, PollError, Reason, pages
from exporter.sources.answers import parse_timestamp

#: A snapshot's State -> the state of a backup. `recoverable` is a snapshot in the Recycle Bin.
STATES: Mapping[str, str] = {
    "pending": "CREATE_IN_PROGRESS",
    "completed": "READY",
    "error": "CREATE_FAILED",
    "recoverable": "DELETED",
    "recovering": "START_IN_PROGRESS",
}
#: The most that one request may ask for.
PAGE_SIZE = 1000
#: The most values that a filter may have: with more studios than these, all are asked for.
MAX_FILTER_VALUES = 200
_OPERATION = "DescribeSnapshots"
_CLIENT_ERROR = re.compile(r"\bClient\.\w+(?:\.\w+)*", re.ASCII)


class EbsSource:
    """The snapshots of one account in one region, by the value of their `studio_tag`.

    `studios` are the values that are wanted, all where there are none. The workstation is the value of
    `workstation_tag`, and the volume where none is configured or a snapshot lacks it.
    """

    name = "ebs"
    known_pairs = tuple((state, word) for word, state in STATES.items())

    def __init__(
        self, api: Api, *, studio_tag: str, workstation_tag: str | None = None, studios: Sequence[str] = ()
    ) -> None:
        self._api = api
        self._studio_tag = studio_tag
        self._workstation_tag = workstation_tag
        self._wanted = tuple(studios)
        self._account = ""
        wanted = {"Name": "tag-key", "Values": [_literal(studio_tag)]}
        if 0 < len(studios) <= MAX_FILTER_VALUES:
            wanted = {"Name": f"tag:{studio_tag}", "Values": [_literal(studio) for studio in studios]}
        self._parameters = {"OwnerIds": ["self"], "Filters": [wanted], "MaxResults": PAGE_SIZE}

    def wants(self, studio: Studio) -> bool:
        """Say whether a studio's tag is named, or none is."""
        return not self._wanted or studio.name in self._wanted

    def listings(self, deadline: Deadline) -> Sequence[Listing]:  # noqa: ARG002  # Source's; nothing is asked for
        """Return the one listing that there is: its studios are found by reading it, so this costs no request."""
        return [Listing("snapshots", self._api.target, None)]

    def read(self, listing: Listing, deadline: Deadline) -> Iterator[Page]:  # noqa: ARG002  # Source's; there is but one
        """Yield the pages of snapshots, each with the studios that it is the first to show.

        The studios of the configuration that have no snapshot come last, as soon as the account is known: their zeros
        are worth telling, but only a snapshot says whose account this is.
        """
        shown: set[str] = set()

        def fetch(token: str | None) -> tuple[Page, str | None]:
            keys = self._parameters | ({"NextToken": token} if token else {})
            snapshots, next_token = self._api.fetch(_decode, _OPERATION, deadline, **keys)
            backups = [backup for snapshot in snapshots if (backup := self._backup(snapshot)) is not None]
            found = dict.fromkeys(backup.studio for backup in backups if backup.studio not in shown)
            shown.update(found)
            return Page(backups, [_studio(id) for id in found]), next_token

        yield from pages(fetch, deadline)
        if self._account:
            named = (f"{self._account}/{value}" for value in self._wanted)
            yield Page(studios=[_studio(id) for id in named if id not in shown])

    def _backup(self, snapshot: Mapping[str, Any]) -> Backup | None:
        """Return a snapshot as a backup; None where it is of no studio that is wanted.

        The filters have seen to that already, but whatever stands in for EC2 may not know them.
        """
        tags = snapshot["tagSet"]
        value = tags.get(self._studio_tag)
        if not value or (self._wanted and value not in self._wanted):
            return None
        owner = snapshot.get("ownerId")
        if not owner:
            raise PollError(Reason.BAD_RESPONSE, f"{_OPERATION}: a snapshot without an ownerId")
        self._account = owner
        word, message = snapshot.get("status"), snapshot.get("statusMessage") or ""
        failure = _CLIENT_ERROR.search(message) if word == "error" else None
        return Backup(
            id=snapshot.get("snapshotId") or "",
            studio=f"{owner}/{value}",
            workstation=(self._workstation_tag and tags.get(self._workstation_tag)) or snapshot.get("volumeId") or "",
            state=STATES.get(word, word) if word else None,
            status_code=failure[0] if failure else word or None,
            created_at=parse_timestamp(snapshot.get("startTime")),
            message=message,
        )


def _studio(id: str) -> Studio:
    account, _, value = id.partition("/")
    return Studio(id, value, account_id=account)


def _literal(value: str) -> str:
    """Return a filter's value that means itself: EC2 takes * and ? for wildcards, and a backslash before them."""
    return re.sub(r"([\\*?])", r"\\\1", value)


class _NoDoctype(ElementTree.TreeBuilder):
    """Builds a tree as always, but refuses a document type: the entities that one may declare unfold without end."""

    def doctype(self, *_: str | None) -> None:
        raise ValueError("it declares a document type")


def _decode(body: bytes) -> tuple[Sequence[Mapping[str, Any]], str | None]:
    """Return a page's snapshots and its NextToken; raise a PollError (bad_response) unless it is just that.

    A snapshot is its members' texts by their names on the wire, and its tags. botocore's own parser takes any XML
    without a snapshotSet, an HTML page for one, for an empty page; and it takes 146 ms for a page of 1,000 snapshots of
    700 kB, this 45 ms (CPython 3.11), while every other poll waits for the interpreter.
    """
    try:
        parser = ElementTree.XMLParser(target=_NoDoctype())  # noqa: S314  # without a doctype it is safe
        parser.feed(body)
        root = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise PollError(Reason.BAD_RESPONSE, str(error), code=type(error).__name__) from None
    namespace, _, name = root.tag.rpartition("}")
    prefix = f"{namespace}}}" if namespace else ""
    listed = root.find(f"{prefix}snapshotSet")
    if name != f"{_OPERATION}Response" or listed is None:
        raise PollError(Reason.BAD_RESPONSE, f"the answer is {name!r:.80} without a snapshotSet")
    skip = len(prefix)
    snapshots = []
    for item in listed:
        if item.tag != f"{prefix}item":
            raise PollError(Reason.BAD_RESPONSE, f"the snapshotSet holds {item.tag!r:.80}")
        snapshot: dict[str, Any] = {member.tag[skip:]: member.text for member in item}
        snapshot["tagSet"] = {
            tag.findtext(f"{prefix}key"): tag.findtext(f"{prefix}value") for tag in item.iterfind(f"{prefix}tagSet/*")
        }
        snapshots.append(snapshot)
    return snapshots, root.findtext(f"{prefix}nextToken")
