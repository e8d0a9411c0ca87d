"""From the errors of Google Cloud Storage and its SDK to ours."""

from __future__ import annotations

import re

import requests.exceptions
import urllib3.exceptions
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from bleepstore.backends.gateway.retry import Transient, is_for_good, refused, slow_down, unavailable
from bleepstore.errors import AccessDenied, ServiceUnavailable

PROVIDER = "Google Cloud Storage"


class ProviderNotFound(ServiceUnavailable):
    """404 or 416: there is no such object, generation or session, or it is shorter than what was asked for."""


class ProviderPreconditionFailed(ServiceUnavailable):
    """412 or 304: its generation is not what the condition says, or a policy of the organisation forbids the write."""


class ContainerNotFound(ServiceUnavailable):
    """404 of the bucket itself."""


def no_bucket(text: str) -> ContainerNotFound:
    return ContainerNotFound(f"The bucket of the storage does not exist: create it or correct the URL. ({text})")


def classify(error: BaseException) -> Exception | Transient | None:
    """The table."""
    if isinstance(error, InvalidResponse):
        error = api.from_http_response(error.response)  # type: ignore[no-untyped-call]
    if isinstance(error, api.GoogleAPICallError):
        return _classify_answer(error)
    if _is_transient_auth(error):
        return unavailable(PROVIDER, _first_line(error))
    if isinstance(error, auth.GoogleAuthError):
        return AccessDenied(f"{PROVIDER} was not asked, for there are no usable credentials: {_first_line(error)}")
    passing = (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        DataCorruption,
        ConnectionError,
        TimeoutError,
        EOFError,
    )
    if isinstance(error, passing):
        return unavailable(PROVIDER, f"{type(error).__name__}: {_first_line(error)}")
    return None


def _is_transient_auth(error: BaseException) -> bool:
    """Whether it is who gives the tokens that could not be reached, or is busy. On a machine of Google's that is its
    metadata server, whose failures the SDK wraps."""
    if not isinstance(error, auth.GoogleAuthError):
        return False
    return error.retryable or isinstance(error, auth.TransportError) or isinstance(error.__cause__, auth.TransportError)


def _classify_answer(error: api.GoogleAPICallError) -> Exception | Transient:
    status = int(error.code or 0)
    text = f"{status} {reason_of(error)}"
    said = f"{PROVIDER} refused a request: {text}"
    # What is said of an object, "No such object: bucket/name", ends in a name, which may say anything.
    if status == 404 and reason_of(error).startswith("The specified bucket does not exist"):
        return no_bucket(text)
    if status in (404, 416):
        return ProviderNotFound(said)
    if status in (304, 412):
        return ProviderPreconditionFailed(said)
    if status in (401, 403):
        return AccessDenied(
            f"{PROVIDER} refused the gateway's own credentials or their permissions, {text}: "
            "check whether they are expired and may read, write, list and delete objects there."
        )
    if status == 429:
        return slow_down(PROVIDER, text, _retry_after(error))
    if status >= 500 or status == 408 or (status == 409 and "not empty" not in text):
        return unavailable(PROVIDER, text, _retry_after(error))
    if is_for_good(status, text):
        return refused(PROVIDER, text)
    return ServiceUnavailable(said)


def _retry_after(error: api.GoogleAPICallError) -> float | None:
    value = str(getattr(error.response, "headers", {}).get("Retry-After", ""))
    return float(value) if value.isdecimal() else None


def reason_of(error: api.GoogleAPICallError) -> str:
    """What the provider says, in its document or else in the status line. The SDK's own text and a page in HTML name
    the URL, which for a resumable upload is all that one needs to write to it."""
    try:
        return str(error.response.json()["error"]["message"])[:300]
    except (AttributeError, ValueError, KeyError, TypeError):
        return str(getattr(error.response, "reason", None) or type(error).__name__)[:300]


def _first_line(error: object) -> str:
    """The texts of HTTP clients name the URL, whose query may hold the name of a session."""
    text = (str(error).strip().splitlines() or [""])[0]
    return re.sub(r"\?\S*", "", text)[:300]
