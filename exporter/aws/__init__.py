"""The way to AWS: sessions, assumed roles, retries, deadlines, and the account of every API call.

In go a target's credentials, a call's parameters and how its answer is read, out comes what was read; everything that
can go wrong comes out as a PollError. This package and the sources are all that knows botocore.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import boto3
import msgspec
from botocore import xform_name
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import NoCredentialsError

from exporter.aws.account import ApiCalls
from exporter.aws.clients import Call, close_client, new_client, new_session, under_way
from exporter.aws.errors import poll_error
from exporter.sources import Deadline, PollError, Reason

T = TypeVar("T")


class Identity(msgspec.Struct, frozen=True):
    """Whose credentials a target uses: botocore's own search (under a profile), then perhaps a role. "" where none."""

    profile: str = ""
    role_arn: str = ""
    external_id: str = ""


class Sessions:
    """The boto3 sessions of all targets: one an identity, so that targets which assume the same role share it.

    Credentials are looked up when they are first used and again after they failed, so they may come, expire and rotate.
    """

    def __init__(self, *, max_connections: int = 16) -> None:
        self._max_connections = max_connections
        self._lock = threading.Lock()
        self._logins: dict[Identity, _Login] = {}

    def client(
        self, service: str, identity: Identity, region: str, endpoint_url: str | None, deadline: Deadline
    ) -> Any:
        """Return a client, the same for the same arguments; raise botocore's errors, or a PollError in time."""
        with self._lock:
            login = self._logins.setdefault(identity, _Login(identity))
        # Looking credentials up may hang (a credential process, a metadata service): others of the same identity wait,
        # but never longer than their own deadline.
        if not login.lock.acquire(timeout=deadline.remaining):
            raise deadline.error()
        try:
            return login.client(service, region, endpoint_url, self._max_connections)
        finally:
            login.lock.release()

    def forget(self, identity: Identity) -> None:
        """Drop a session whose credentials were refused: the next call looks them up anew."""
        with self._lock:
            login = self._logins.pop(identity, None)
        if login is not None:
            login.close()

    def close(self) -> None:
        """Close all connections: those in use as soon as they no longer are."""
        with self._lock:
            logins, self._logins = self._logins, {}
        for login in logins.values():
            login.close()


class _Login:
    """One identity's session, and the clients made with it."""

    def __init__(self, identity: Identity) -> None:
        self.lock = threading.Lock()
        self._identity = identity
        self._session: boto3.Session | None = None
        self._clients: dict[tuple[str, str, str | None], Any] = {}

    def client(self, service: str, region: str, endpoint_url: str | None, max_connections: int) -> Any:
        key = (service, region, endpoint_url)
        if key not in self._clients:
            if self._session is None:
                self._session = self._open(region)
            if self._session.get_credentials() is None:
                self._session = None  # else it would remember, and they may come
                raise NoCredentialsError()
            self._clients[key] = new_client(
                self._session, service, region_name=region, endpoint_url=endpoint_url, max_connections=max_connections
            )
        return self._clients[key]

    def close(self) -> None:
        for client in list(self._clients.values()):
            close_client(client)

    def _open(self, region: str) -> boto3.Session:
        session = new_session(self._identity.profile)
        if not self._identity.role_arn:
            return session
        source_credentials = session.get_credentials()
        if source_credentials is None:
            raise NoCredentialsError()

        def sts(service: str, **keys: Any) -> Any:
            return new_client(session, service, region_name=region, **keys)

        extra = {"RoleSessionName": "studio-backup-exporter"}
        if self._identity.external_id:
            extra["ExternalId"] = self._identity.external_id
        fetcher = AssumeRoleCredentialFetcher(sts, source_credentials, self._identity.role_arn, extra_args=extra)
        return new_session(credentials=_AssumedRole(fetcher))


class _AssumedRole:
    """A botocore credential resolver with one answer: credentials of a role, renewed before they expire."""

    def __init__(self, fetcher: AssumeRoleCredentialFetcher) -> None:
        self._fetcher = fetcher

    def load_credentials(self) -> DeferredRefreshableCredentials:
        return DeferredRefreshableCredentials(self._fetcher.fetch_credentials, "assume-role")


class Api:
    """One target's access to one AWS service."""

    def __init__(
        self,
        service: str,
        *,
        sessions: Sessions,
        calls: ApiCalls,
        identity: Identity,
        source: str,
        target: str,
        aws_region: str,
        endpoint_url: str | None = None,
    ) -> None:
        self.target = target
        self.aws_region = aws_region
        self._service = service
        self._sessions = sessions
        self._calls = calls
        self._identity = identity
        self._source = source
        self._endpoint_url = endpoint_url

    def fetch(self, decode: Callable[[bytes], T], operation: str, deadline: Deadline, **parameters: Any) -> T:
        """Make an API call, with botocore's retries, and return what `decode` makes of the answer's body as it came.

        Raises nothing but a PollError, as `decode` does for a bad body. botocore parses an HTML page, cut-off JSON or
        an empty object under status 200 as an empty answer, since 1.43.115 takes a body for complete that is not as
        long as its Content-Length says, and spends most of its time on what nobody wants.
        """
        deadline.check()
        call = Call(self._calls, self._source, self.aws_region, self.target, deadline)
        try:
            with under_way(call):
                client = self._sessions.client(
                    self._service, self._identity, self.aws_region, self._endpoint_url, deadline
                )
                parsed = getattr(client, xform_name(operation))(**parameters)
        except Exception as error:
            deadline.check()
            failure = poll_error(error, call.without_secrets)
            if failure.reason is Reason.ACCESS_DENIED:
                needed = f"{failure} (it takes the permission {self._service}:{operation})"
                failure = PollError(failure.reason, needed, code=failure.code, request_id=failure.request_id)
            if failure.reason is Reason.CREDENTIALS:
                self._sessions.forget(self._identity)
            raise failure from error
        # A connection that was shut under an answer without a length ends like a complete one.
        deadline.check()
        try:
            if call.problem:
                raise PollError(Reason.BAD_RESPONSE, call.problem)
            return decode(call.body)
        except PollError as error:
            request_id = call.without_secrets(parsed["ResponseMetadata"].get("RequestId", ""))
            raise PollError(error.reason, f"{operation}: {error}", code=error.code, request_id=request_id) from None
