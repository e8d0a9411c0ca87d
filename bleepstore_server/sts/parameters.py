"""The parameters of a request to STS."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from urllib.parse import parse_qsl

from bleepstore_server.sts.errors import ServiceError

VERSION = "2011-06-15"
_MAX_PARAMETERS = 200
#: Parameters of STS that this store has no meaning for: to ignore one would give more than was asked for.
_UNSUPPORTED = {
    "PolicyArns": "Managed policies are not supported: give the session an inline policy.",
    "Tags": "Session tags are not supported.",
    "TransitiveTagKeys": "Session tags are not supported.",
    "ProvidedContexts": "Contexts are not supported.",
    "SerialNumber": "Multi-factor authentication is not supported.",
    "TokenCode": "Multi-factor authentication is not supported.",
    "ProviderId": "Providers of OAuth 2.0 access tokens are not supported: give an ID token of OpenID Connect.",
    "SourceIdentity": "A source identity is not supported.",
}


def parse_form(body: bytes) -> Mapping[str, str]:
    """Raises ServiceError for what is no form, or has a parameter twice."""
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=bool(body), errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )  # fmt: skip
    except ValueError:
        raise ServiceError("ValidationError", "The body is no form of application/x-www-form-urlencoded.") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ServiceError("ValidationError", "A parameter is there more than once.")
    return found


def refuse_unsupported(parameters: Mapping[str, str]) -> None:
    """Raise ServiceError for a parameter that this store does not support. What STS does not know either is ignored."""
    for name in parameters:
        base = name.partition(".")[0]
        if base in _UNSUPPORTED:
            raise ServiceError("ValidationError", _UNSUPPORTED[base])


def required(parameters: Mapping[str, str], name: str) -> str:
    value = parameters.get(name)
    if not value:
        at = name[0].lower() + name[1:]
        raise ServiceError(
            "ValidationError",
            f"1 validation error detected: Value null at '{at}' failed to satisfy constraint: Member must not be null",
        )
    return value


def duration_of(parameters: Mapping[str, str], default: dt.timedelta, least: int, most: int) -> dt.timedelta:
    """`DurationSeconds`, from `least` to `most` of them."""
    text = parameters.get("DurationSeconds")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise ServiceError("ValidationError", f"The value {text!r} of DurationSeconds is not a whole number.")
    seconds = int(text)
    if not least <= seconds <= most:
        bound = f"greater than or equal to {least}" if seconds < least else f"less than or equal to {most}"
        raise ServiceError(
            "ValidationError",
            f"1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: "
            f"Member must have value {bound}",
        )
    return dt.timedelta(seconds=seconds)
