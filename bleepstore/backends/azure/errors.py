"""From the errors of Azure and its SDK to ours."""

from __future__ import annotations

import re

import requests.exceptions
import urllib3.exceptions
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from bleepstore.backends.gateway.retry import Transient, is_for_good, refused, slow_down, unavailable
from bleepstore.errors import AccessDenied, InvalidObjectState, OperationAborted, ServiceUnavailable

PROVIDER = "Azure Blob Storage"

#: 400 and 409 that say that blocks are not there (any more).
_NO_BLOCKS = frozenset({"InvalidBlockList", "InvalidBlobOrBlock"})
#: 409 and 412 that say that a condition does not hold.
_CONDITIONS = frozenset({"BlobAlreadyExists", "ConditionNotMet", "SourceConditionNotMet", "TargetConditionNotMet"})
#: 409 that passes by itself.
_TRANSIENT = frozenset({"PendingCopyOperation", "AccountBeingCreated"})
#: 409 of a blob that cannot be read until somebody has it brought back.
_ARCHIVED = frozenset({"BlobArchived", "BlobBeingRehydrated"})
#: What others have forbidden to write and delete, until they allow it again.
_LOCKED = frozenset({"LeaseIdMissing", "BlobImmutableDueToLegalHold", "BlobImmutableDueToPolicy"})
_BUSY = frozenset({"ServerBusy", "OperationTimedOut", "AccountBusy"})
#: Connections that broke; the SDK lets some errors of its HTTP client pass as they are, in the midst of a body.
_BROKEN = (
    AzureError,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    ConnectionError,
    TimeoutError,
    EOFError,
)


_SIGNATURE = re.compile(r"\b(sig=)[^&\s'\")]+")


class ProviderNotFound(Exception):
    """404 or 416: there is no such blob, or it is shorter than what was asked for; or its blocks are not there."""


class ContainerNotFound(ServiceUnavailable):
    """404 of the container itself."""


class OtherType(ServiceUnavailable):
    """409 InvalidBlobType: what is stored there is no block blob, or no such blob as is copied over it."""


class ProviderPreconditionFailed(Exception):
    """412, or 409 BlobAlreadyExists: it is not what the pin or the condition says."""


def classify(error: BaseException) -> Exception | Transient | None:
    """The table."""
    if isinstance(error, HttpResponseError) and error.status_code:
        return _classify_answer(error)
    if isinstance(error, ClientAuthenticationError):
        return AccessDenied(f"{PROVIDER} was not asked, for there are no usable credentials: {_first_line(error)}")
    if isinstance(error, _BROKEN):
        return unavailable(PROVIDER, f"{type(error).__name__}: {_first_line(error)}")
    return None


def _classify_answer(error: HttpResponseError) -> Exception | Transient:
    status = error.status_code or 0
    code = code_of(error)
    text = f"{status} {code}: {_first_line(error)}"
    if code == "ContainerNotFound":
        return ContainerNotFound(f"The container of the storage does not exist: create it or correct the URL. ({text})")
    if status in (404, 416) or code in _NO_BLOCKS:
        return ProviderNotFound(text)
    if code == "InvalidBlobType":
        return OtherType(f"{PROVIDER} does not change the type of what is stored there: {text}")
    if code in _CONDITIONS or (status in (304, 412) and not code.startswith("Lease")):
        return ProviderPreconditionFailed(text)
    if status in (401, 403):
        return AccessDenied(
            f"{PROVIDER} refused the gateway's own credentials or their permissions, {text}: "
            "check whether they are expired and may read, write, list and delete blobs there."
        )
    if code in _LOCKED:
        return AccessDenied(f"Others hold this blob at {PROVIDER}, by a lease or a policy: {text}")
    if status == 429 or code in _BUSY:
        return slow_down(PROVIDER, text, _retry_after(error))
    if status >= 500 or code in _TRANSIENT or code in ("Md5Mismatch", "InvalidMd5"):
        return unavailable(PROVIDER, text, _retry_after(error))
    if code in _ARCHIVED:
        return InvalidObjectState(f"The object is archived at {PROVIDER}, restore it there first: {text}")
    if code == "ContainerBeingDeleted":
        return OperationAborted(f"{PROVIDER} is still deleting what had this name, try again later: {text}")
    if is_for_good(status, str(error)):
        return refused(PROVIDER, text)
    return ServiceUnavailable(f"{PROVIDER} refused a request: {text}")


def code_of(error: HttpResponseError) -> str:
    """What Azure calls the error; the SDK adds that to the exceptions of its public methods."""
    found = getattr(error, "error_code", None) or getattr(error.response, "headers", {}).get("x-ms-error-code")
    return str(getattr(found, "value", found) or "")


def _retry_after(error: HttpResponseError) -> float | None:
    value: str = getattr(error.response, "headers", {}).get("Retry-After", "")
    return float(value) if value.isdecimal() else None


def _first_line(error: BaseException) -> str:
    """The SDK's messages go on with request ids and advice, and may hold the URL with the signature of a SAS."""
    line = (str(getattr(error, "message", None) or error).strip().splitlines() or [""])[0]
    return _SIGNATURE.sub(r"\1...", line)[:300]
