"""What a failed API call means for a poll: botocore's exceptions in, a PollError with one of nine reasons out.

The message is for people. It never holds what AWS says about credentials, since a signature's refusal quotes the signed
headers, nor the query of a URL, nor what the caller conceals.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import botocore.exceptions as botocore_errors
from botocore.parsers import ResponseParserError

from exporter.sources import PollError, Reason

_THROTTLING_CODES = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
}
_CREDENTIAL_CODES = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidIdentityToken",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
#: The calls that credentials are got by: refused there, it is the credentials that are wrong.
CREDENTIAL_OPERATIONS = {"AssumeRole", "AssumeRoleWithWebIdentity", "GetRoleCredentials", "CreateToken"}
#: They quote what a credential process wrote, or a metadata service answered.
_MAY_TELL_SECRETS = (
    botocore_errors.CredentialRetrievalError,
    botocore_errors.MetadataRetrievalError,
    json.JSONDecodeError,  # botocore lets a credential process's through, and catches all others itself
)
#: In this order: some of the later are bases of the earlier.
_REASONS: tuple[tuple[Reason, tuple[type[Exception], ...]], ...] = (
    (
        Reason.CREDENTIALS,
        (
            *_MAY_TELL_SECRETS,
            botocore_errors.NoCredentialsError,
            botocore_errors.PartialCredentialsError,
            botocore_errors.ProfileNotFound,
            botocore_errors.ConfigNotFound,
            botocore_errors.ConfigParseError,
            botocore_errors.InvalidConfigError,
            botocore_errors.InfiniteLoopConfigError,
            botocore_errors.UnknownCredentialError,
            botocore_errors.RefreshWithMFAUnsupportedError,
            botocore_errors.TokenRetrievalError,
            botocore_errors.SSOError,
        ),
    ),
    (Reason.TIMEOUT, (botocore_errors.ReadTimeoutError, botocore_errors.ConnectTimeoutError)),
    (
        Reason.BAD_RESPONSE,
        (botocore_errors.ResponseStreamingError, botocore_errors.IncompleteReadError, ResponseParserError),
    ),
    (Reason.CONNECTION, (botocore_errors.ConnectionError, botocore_errors.HTTPClientError)),
)


def poll_error(error: Exception, conceal: Callable[[str], str]) -> PollError:
    """Return what a failed call means for the poll; a PollError means itself.

    `conceal` returns a text without the secrets that the far side may have quoted in it.
    """
    if isinstance(error, PollError):
        return error
    if isinstance(error, botocore_errors.ClientError):
        failure = _client_error(error)
    else:
        name = type(error).__name__
        reason = next((reason for reason, types in _REASONS if isinstance(error, types)), None)
        message = str(error) if reason else f"{name}: {error}"
        if reason is Reason.CONNECTION and (why := _system_error(error)):
            message = f"{message} ({why})"
        if isinstance(error, _MAY_TELL_SECRETS):
            message = "no credentials could be had (botocore's words may hold secrets: try aws sts get-caller-identity)"
        failure = PollError(reason or Reason.OTHER, message, code=name)
    message, code, request_id = (_one_line(conceal(text)) for text in (str(failure), failure.code, failure.request_id))
    return PollError(failure.reason, message, code=code, request_id=request_id)


def _client_error(error: botocore_errors.ClientError) -> PollError:
    answer: Mapping[str, Any] = error.response
    metadata = answer.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode", 0)
    code = str(answer.get("Error", {}).get("Code", ""))
    message = f"{error.operation_name}: {answer.get('Error', {}).get('Message') or f'HTTP status {status}'}"
    if is_throttling(status, code):
        reason = Reason.THROTTLED
    elif status >= 500 or status == 408:
        reason = Reason.SERVER_ERROR
    elif 300 <= status < 400:
        reason = Reason.BAD_RESPONSE
        message = f"{error.operation_name}: HTTP status {status}, a redirection, which the API does not use"
    elif status == 407:
        reason = Reason.CONNECTION
    elif code in _CREDENTIAL_CODES or error.operation_name in CREDENTIAL_OPERATIONS:
        reason = Reason.CREDENTIALS
        message = f"{error.operation_name}: the credentials were refused"
    elif status == 403 or code.startswith(("AccessDenied", "UnauthorizedOperation")):
        reason = Reason.ACCESS_DENIED
    elif status == 404 or "NotFound" in code:
        reason = Reason.NOT_FOUND
    else:
        reason = Reason.OTHER
    return PollError(reason, message, code=code, request_id=str(metadata.get("RequestId", "")))


def _system_error(error: BaseException | None) -> str:
    """Return what the system said when there was no connection, "" where it did not: botocore keeps it to itself."""
    while error is not None:
        # An SSLError is an OSError too, and botocore does tell of it.
        if isinstance(error, OSError) and error.strerror and not isinstance(error, ssl.SSLError):
            return error.strerror
        error = error.__cause__ or error.__context__
    return ""


def is_throttling(status: int, code: str) -> bool:
    """Say whether an answer refuses a request because there were too many."""
    return status == 429 or code in _THROTTLING_CODES


def _one_line(text: str) -> str:
    without_queries = re.sub(r"\?[^\s\"']*", "", text)
    return " ".join(without_queries.split())[:300]
