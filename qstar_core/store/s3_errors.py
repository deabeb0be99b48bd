"""What boto3 raises, as one-line store errors that name the object, the endpoint and the fix.

No message repeats a credential: it is built from the error's code, and from the server's own text where the code is
not known.
"""

from __future__ import annotations

from typing import Any

from boto3.exceptions import Boto3Error, RetriesExceededError
from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

from qstar_core.errors import ConflictError, IntegrityError, NotFoundError, StoreError, UnavailableError

S3_ERRORS: tuple[type[Exception], ...] = (ClientError, BotoCoreError, Boto3Error)


class NoAnswerError(boto.HTTPClientError):  # type: ignore[misc]  # its types are not known
    """A request and all its repetitions ran out of time."""

    fmt = "no answer from {endpoint_url}"


_CREDENTIALS = "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile in store.s3.profile"
_POLICY = "allow s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket to these credentials"
_REGION = "set store.s3.region to the bucket's region"
_KEY = "correct store.s3.kms_key_id, or the bucket's default key"
_LATER = "run it again later, or lower store.s3.max_concurrency"
_ENDPOINT = "check store.s3.endpoint_url, the network, and that the server runs"

_CODES: dict[str, tuple[str, str]] = {
    "NoSuchBucket": ("the bucket does not exist", "create it or correct store.uri"),
    "InvalidBucketName": ("the bucket's name is not valid", "correct store.uri"),
    "400": ("the request is refused", "sign in again, and check the credentials and store.s3.region"),
    "AccessDenied": ("access is denied", _POLICY),
    "403": ("access is denied", f"{_POLICY}, and check their secret key and this machine's clock"),
    "InvalidAccessKeyId": ("the server does not know the access key", _CREDENTIALS),
    "SignatureDoesNotMatch": ("the secret key does not belong to the access key", _CREDENTIALS),
    "ExpiredToken": ("the session token has expired", "sign in again"),
    "InvalidToken": ("the session token is not valid", "sign in again"),
    "RequestTimeTooSkewed": ("this machine's clock and the server's differ too much", "set the clock (NTP)"),
    "PermanentRedirect": ("the bucket lies in another region", _REGION),
    "301": ("the bucket lies in another region", _REGION),
    "AuthorizationHeaderMalformed": ("the request was signed for another region", _REGION),
    "KMS.NotFoundException": ("the KMS key does not exist there", _KEY),
    "KMS.DisabledException": ("the KMS key is disabled", _KEY),
    "KMS.KMSInvalidStateException": ("the KMS key cannot be used now", _KEY),
    "SlowDown": ("the server asks for fewer requests", _LATER),
    "ServiceUnavailable": ("the server is not available", _LATER),
    "503": ("the server is not available", _LATER),
    "500": ("the server failed", _LATER),
    "InternalError": ("the server failed", _LATER),
    "BadDigest": ("the bytes were damaged on the way", "run it again"),
    "XAmzContentChecksumMismatch": ("the bytes were damaged on the way", "run it again"),
    "XAmzContentSHA256Mismatch": ("the bytes were damaged on the way", "run it again"),
}

_PASSING = frozenset({"SlowDown", "ServiceUnavailable", "InternalError", "BadDigest", "XAmzContentChecksumMismatch",
                      "XAmzContentSHA256Mismatch"})
_BROKEN = (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError)

_KINDS: tuple[tuple[type[Exception], str, str], ...] = (
    (boto.NoCredentialsError, "no credentials were found", f"{_CREDENTIALS} (`aws configure` writes one)"),
    (boto.PartialCredentialsError, "half of the credentials is missing", _CREDENTIALS),
    (boto.CredentialRetrievalError, "the credentials could not be fetched", "sign in again, or use another profile"),
    (boto.ProfileNotFound, "the profile does not exist", "correct store.s3.profile"),
    (boto.SSLError, "the server's certificate is not trusted", "correct store.s3.endpoint_url or set AWS_CA_BUNDLE"),
    (boto.ConnectTimeoutError, "the server does not answer", _ENDPOINT),
    (boto.ReadTimeoutError, "the server does not answer", _ENDPOINT),
    (NoAnswerError, "the server does not answer", _ENDPOINT),
    (boto.EndpointConnectionError, "the server cannot be reached", _ENDPOINT),
    (boto.ConnectionError, "the connection failed", _ENDPOINT),
    (boto.HTTPClientError, "the connection broke", _ENDPOINT),
    (boto.IncompleteReadError, "the connection broke", _ENDPOINT),
    (boto.NoRegionError, "no region is set", _REGION),
)


def status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def is_missing_object(error: ClientError) -> bool:
    """True where the key is absent; a HEAD has no body, so there this may also be the bucket."""
    return code_of(error) in ("NoSuchKey", "404", "NotFound")


def as_store_error(error: Exception, where: str, *, if_match: bool = False) -> StoreError:
    """`where` names the object and the endpoint. With `if_match` an absent object is a lost condition."""
    if isinstance(error, RetriesExceededError):
        error = error.last_exception
    if isinstance(error, ClientError):
        return _from_answer(error, where, if_match)
    if isinstance(error, boto.FlexibleChecksumError):
        return IntegrityError(f"{where}: the bytes do not match their checksum", "run it again")
    for kind, problem, fix in _KINDS:
        if isinstance(error, kind):
            passing = isinstance(error, _BROKEN) and not isinstance(error, boto.SSLError)
            return (UnavailableError if passing else StoreError)(f"{where}: {problem}", fix)
    return StoreError(f"{where}: {type(error).__name__}: {str(error)[:300]}", _ENDPOINT)


def _from_answer(error: ClientError, where: str, if_match: bool) -> StoreError:
    code, status = code_of(error), status_of(error)
    detail: dict[str, Any] = error.response.get("Error", {})
    if is_missing_object(error) and not if_match:
        return NotFoundError(f"{where} does not exist", "check the name and store.uri")
    if status in (409, 412) or is_missing_object(error):
        return ConflictError(f"{where} exists already or changed since it was read",
                             "read it again and repeat the change")
    # SeaweedFS and others answer a refused write with 403 and a code of their own
    problem, fix = _CODES.get(code) or _CODES.get(str(status)) or (
        f"the server answered {code or status}: {str(detail.get('Message', ''))[:200]}", _ENDPOINT)
    passing = code in _PASSING or status >= 500
    return (UnavailableError if passing else StoreError)(f"{where}: {problem} ({code})", fix)
