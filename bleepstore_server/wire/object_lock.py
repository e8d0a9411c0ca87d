"""What requests say of object lock in headers and in the fields of forms, and what answers say of it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from bleepstore.model import ObjectAttributes, ObjectVersion
from bleepstore.object_lock import Retention, RetentionMode
from bleepstore_server.wire.documents.text import precise_time, read_time
from bleepstore_server.wire.errors import RequestError

MODE = "x-amz-object-lock-mode"
UNTIL = "x-amz-object-lock-retain-until-date"
LEGAL_HOLD = "x-amz-object-lock-legal-hold"
#: What a request that makes an object may say of its locks.
FIELDS = frozenset({MODE, UNTIL, LEGAL_HOLD})
_HOLDS = {"ON": True, "OFF": False}


def with_locks(attributes: ObjectAttributes, fields: Mapping[str, str]) -> ObjectAttributes:
    """The attributes with the locks that the fields ask for. Raises RequestError: InvalidArgument."""
    return attrs.evolve(attributes, retention=_retention(fields), legal_hold=_legal_hold(fields))


def _retention(fields: Mapping[str, str]) -> Retention | None:
    mode, until = fields.get(MODE), fields.get(UNTIL)
    if mode is None and until is None:
        return None
    if mode is None or until is None:
        missing = MODE if mode is None else UNTIL
        raise _refusal(f"{UNTIL} and {MODE} must both be supplied", missing, None)
    if mode not in RetentionMode.__members__:
        raise _refusal("Unknown wormMode directive.", MODE, mode)
    try:
        return Retention(RetentionMode(mode), read_time(until))
    except ValueError:
        raise _refusal("The retain until date must be provided in ISO 8601 format", UNTIL, until) from None


def _legal_hold(fields: Mapping[str, str]) -> bool | None:
    value = fields.get(LEGAL_HOLD)
    if value is None:
        return None
    if value not in _HOLDS:
        raise _refusal("Legal Hold must be either of 'ON' or 'OFF'", LEGAL_HOLD, value)
    return _HOLDS[value]


def _refusal(message: str, name: str, value: str | None) -> RequestError:
    fields = {"ArgumentName": name} if value is None else {"ArgumentName": name, "ArgumentValue": value}
    return RequestError("InvalidArgument", message, fields=fields)


def bypasses_governance(headers: Mapping[str, str]) -> bool:
    return headers.get("x-amz-bypass-governance-retention", "").lower() == "true"


def retention_headers(version: ObjectVersion) -> list[tuple[str, str]]:
    retention = version.attributes.retention
    return [] if retention is None else [(MODE, retention.mode.value), (UNTIL, precise_time(retention.until_ms))]


def legal_hold_headers(version: ObjectVersion) -> list[tuple[str, str]]:
    legal_hold = version.attributes.legal_hold
    return [] if legal_hold is None else [(LEGAL_HOLD, "ON" if legal_hold else "OFF")]


def missing_digest(what: str) -> RequestError:
    """What is said of a body without a digest that is to be locked: "The Content-MD5 or x-amz-sdk-checksum-algorithm
    header is required for any request to upload an object with a retention period configured using Object Lock." """
    return RequestError(
        "InvalidRequest",
        f"Content-MD5 OR x-amz-checksum- HTTP header is required for {what} requests with Object Lock parameters",
    )
