"""What a failed API call means for a poll: botocore's exceptions in, a PollError with one of nine reasons out.

The message is for people. It never holds what AWS says about credentials, since a signature's refusal quotes the signed
headers, nor the query of a URL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
#: The calls that credentials are got by: refused there, it is the credentials that are wrong.
CREDENTIAL_OPERATIONS = {"AssumeRole", "AssumeRoleWithWebIdentity", "GetRoleCredentials", "CreateToken"}
_CREDENTIAL_ERRORS = (
    botocore_errors.NoCredentialsError,
    botocore_errors.PartialCredentialsError,
    botocore_errors.CredentialRetrievalError,
    botocore_errors.MetadataRetrievalError,
    botocore_errors.ProfileNotFound,
    botocore_errors.ConfigNotFound,
    botocore_errors.ConfigParseError,
    botocore_errors.InvalidConfigError,
    botocore_errors.InfiniteLoopConfigError,
    botocore_errors.UnknownCredentialError,
    botocore_errors.RefreshWithMFAUnsupportedError,
    botocore_errors.TokenRetrievalError,
    botocore_errors.SSOError,
)
_TIMEOUT_ERRORS = (botocore_errors.ReadTimeoutError, botocore_errors.ConnectTimeoutError)
_CONNECTION_ERRORS = (botocore_errors.ConnectionError, botocore_errors.HTTPClientError)
_BAD_RESPONSE_ERRORS = (
    botocore_errors.ResponseStreamingError,
    botocore_errors.IncompleteReadError,
    ResponseParserError,
)


def poll_error(error: Exception) -> PollError:
    """Return what a failed call means for the poll; a PollError means itself."""
    if isinstance(error, PollError):
        return error
    code = type(error).__name__
    if isinstance(error, botocore_errors.ClientError):
        return _client_error(error)
    if isinstance(error, _CREDENTIAL_ERRORS):
        return PollError(Reason.CREDENTIALS, _one_line(str(error)), code=code)
    if isinstance(error, _TIMEOUT_ERRORS):
        return PollError(Reason.TIMEOUT, _one_line(str(error)), code=code)
    if isinstance(error, _BAD_RESPONSE_ERRORS):
        return PollError(Reason.BAD_RESPONSE, _one_line(str(error)), code=code)
    if isinstance(error, _CONNECTION_ERRORS):
        return PollError(Reason.CONNECTION, _one_line(str(error)), code=code)
    return PollError(Reason.OTHER, _one_line(f"{code}: {error}"), code=code)


def _client_error(error: botocore_errors.ClientError) -> PollError:
    answer: Mapping[str, Any] = error.response
    metadata = answer.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode", 0)
    code = str(answer.get("Error", {}).get("Code", ""))
    message = _one_line(f"{error.operation_name}: {answer.get('Error', {}).get('Message', '')}")
    if is_throttling(status, code):
        reason = Reason.THROTTLED
    elif status >= 500 or status == 408:
        reason = Reason.SERVER_ERROR
    elif code in _CREDENTIAL_CODES or error.operation_name in CREDENTIAL_OPERATIONS:
        reason = Reason.CREDENTIALS
        message = f"{error.operation_name}: the credentials were refused"
    elif status == 403 or code.startswith(("AccessDenied", "UnauthorizedOperation")):
        reason = Reason.ACCESS_DENIED
    elif status == 404 or "NotFound" in code:
        reason = Reason.NOT_FOUND
    else:
        reason = Reason.OTHER
    return PollError(reason, message, code=code, request_id=metadata.get("RequestId", ""))


def is_throttling(status: int, code: str) -> bool:
    """Say whether an answer refuses a request because there were too many."""
    return status == 429 or code in _THROTTLING_CODES


def _one_line(text: str) -> str:
    without_queries = re.sub(r"\?[^\s\"']*", "", text)
    return " ".join(without_queries.split())[:300]
