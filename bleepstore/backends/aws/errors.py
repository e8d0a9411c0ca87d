"""From the errors of S3 and its SDK to ours."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError as TransportError

from bleepstore.backends.gateway.retry import Transient, is_for_good, refused, slow_down, unavailable
from bleepstore.errors import AccessDenied, InvalidObjectState, ServiceUnavailable

PROVIDER = "The S3 endpoint of the storage"


def _text(error: ClientError) -> str:
    found = error.response.get("Error", {})
    return f"{found.get('Code', '?')}: {found.get('Message', '')}".strip()


def _retry_after(error: ClientError) -> float | None:
    value = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", "")
    return float(value) if value.isdecimal() else None


class ProviderNotFound(Exception):
    """404 or 416: there is no such object, upload or part, or it is shorter than what was asked for."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


class ContainerNotFound(ServiceUnavailable):
    """404 of the bucket itself."""


class ProviderPreconditionFailed(Exception):
    """412, or 409 ConditionalRequestConflict: it is not what the pin or the condition says."""


class Unsupported(ServiceUnavailable):
    """501: the endpoint does not have an operation, or a condition of it."""


class ObjectRefused(AccessDenied):
    """S3 lists an object and refuses to describe it: the cause, which the answer to HEAD does not name, is in this
    one."""


_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    SSOError,
    TokenRetrievalError,
)
#: Failures on the way. The SDK's other errors say that there was no request at all, and would be the same again.
_BROKEN = (
    HTTPClientError,
    NoConnection,
    IncompleteReadError,
    ResponseParserError,
    FlexibleChecksumError,
    TransportError,
    EOFError,
    ConnectionError,
    TimeoutError,
)


def classify(error: BaseException) -> Exception | Transient | None:
    """The table from the errors of S3 and its SDK to ours."""
    if isinstance(error, ClientError):
        return classify_client_error(error)
    if isinstance(error, _NO_CREDENTIALS):
        return AccessDenied(f"{PROVIDER} needs credentials: {error} See the credential chain of the AWS SDKs.")
    if isinstance(error, _BROKEN):
        return unavailable(PROVIDER, f"{type(error).__name__}: {error}")
    if isinstance(error, BotoCoreError):
        return ServiceUnavailable(f"{PROVIDER} was not asked: {error}")
    return None


def status_of(error: BaseException | None) -> int:
    """The status of the answer that an error comes from; 0 if there was none."""
    if not isinstance(error, ClientError):
        return 0
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


def classify_client_error(error: ClientError) -> Exception | Transient:
    status = status_of(error)
    code = error.response.get("Error", {}).get("Code", "")
    text = _text(error)
    if code == "NoSuchBucket":
        return ContainerNotFound(f"The bucket of the storage does not exist: create it or correct the URL. ({text})")
    if status in (404, 416) or code in ("NoSuchKey", "NoSuchUpload", "InvalidPart", "NoSuchVersion"):
        return ProviderNotFound(text, code)
    if status == 412 or code == "ConditionalRequestConflict":
        return ProviderPreconditionFailed(text)
    if code == "InvalidObjectState":
        return InvalidObjectState(f"The object is archived at the storage provider, restore it there first: {text}")
    if status in (401, 403) or code in ("ExpiredToken", "InvalidToken", "TokenRefreshRequired"):
        return AccessDenied(
            f"The storage provider refused the gateway's own credentials or their permissions, {text}: "
            "check whether they are expired and may read, write, list and delete there."
        )
    if status == 429 or code in ("SlowDown", "RequestLimitExceeded", "Throttling", "ThrottlingException"):
        return slow_down(PROVIDER, text, _retry_after(error))
    if status == 501 or code == "NotImplemented":
        return Unsupported(f"{PROVIDER} cannot do what it was asked: {text}")
    if status >= 500 or code in ("OperationAborted", "RequestTimeout", "BadDigest", "IncompleteBody"):
        return unavailable(PROVIDER, text, _retry_after(error))
    if is_for_good(status, text):
        return refused(PROVIDER, text)
    return ServiceUnavailable(f"{PROVIDER} refused a request: {text}")
