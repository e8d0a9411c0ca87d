"""From the errors of Google Cloud Storage and its SDK to ours."""

from __future__ import annotations

import requests.exceptions
import urllib3.exceptions
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from bleepstore.backends.gateway.retry import Passing, slow_down, unavailable
from bleepstore.errors import AccessDenied, ServiceUnavailable

PROVIDER = "Google Cloud Storage"


class Gone(Exception):
    """404 or 416: there is no such object or generation, or it is shorter than what was asked for."""


class Unequal(Exception):
    """412 or 304: its generation is not what the pin or the condition says."""


class NoBucket(ServiceUnavailable):
    """404 of the bucket itself."""


def no_bucket(text: str) -> NoBucket:
    return NoBucket(f"The bucket of the storage does not exist: create it or correct the URL. ({text})")


def meaning(error: BaseException) -> Exception | Passing | None:
    """The table."""
    if isinstance(error, InvalidResponse):
        error = api.from_http_response(error.response)  # type: ignore[no-untyped-call]
    if isinstance(error, api.GoogleAPICallError):
        return _answer_meaning(error)
    if isinstance(error, auth.TransportError):
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


def _answer_meaning(error: api.GoogleAPICallError) -> Exception | Passing:
    status = int(error.code or 0)
    text = f"{status} {reason_of(error)}"
    if status == 404 and "bucket" in text.lower() and "does not exist" in text.lower():
        return no_bucket(text)
    if status in (404, 416):
        return Gone(text)
    if status in (304, 412):
        return Unequal(text)
    if status in (401, 403):
        return AccessDenied(
            f"{PROVIDER} refused the gateway's own credentials or their permissions, {text}: "
            "check whether they are expired and may read, write, list and delete objects there."
        )
    if status == 429:
        return slow_down(PROVIDER, text, _retry_after(error))
    if status >= 500 or status == 408 or (status == 409 and "not empty" not in text):
        return unavailable(PROVIDER, text, _retry_after(error))
    return ServiceUnavailable(f"{PROVIDER} refused a request: {text}")


def _retry_after(error: api.GoogleAPICallError) -> float | None:
    value = str(getattr(error.response, "headers", {}).get("Retry-After", ""))
    return float(value) if value.isdecimal() else None


def reason_of(error: api.GoogleAPICallError) -> str:
    """What the provider says; the SDK's own text has the whole request and answer in it."""
    try:
        return str(error.response.json()["error"]["message"])[:300]
    except (AttributeError, ValueError, KeyError, TypeError):
        return _first_line(error.message)


def _first_line(error: object) -> str:
    """The SDK's messages begin with the request, whose URL may hold the name of a session."""
    text = (str(error).strip().splitlines() or [""])[0]
    return text.rpartition("prettyPrint=false: ")[2][:300]
