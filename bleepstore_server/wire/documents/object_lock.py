"""Documents of object lock: of a bucket, and of a version."""

from __future__ import annotations

import enum

from bleepstore.object_lock import DefaultRetention, ObjectLock, Retention, RetentionMode
from bleepstore_server.wire.documents.declare import (
    INTEGER,
    PRECISE_TIME,
    child,
    choice,
    document,
    element,
    malformed,
    parse,
)


class Enabled(enum.StrEnum):
    ENABLED = "Enabled"


class HoldStatus(enum.StrEnum):
    ON = "ON"
    OFF = "OFF"


_NO_EVENT_HOLDS = "This store has no event holds."


@document(refuses={"DefaultEventHold": _NO_EVENT_HOLDS})
class DefaultRetentionElement:
    mode: RetentionMode | None = element("Mode", choice(RetentionMode), default=None)
    days: int | None = element("Days", INTEGER, default=None)
    years: int | None = element("Years", INTEGER, default=None)


@document()
class ObjectLockRule:
    default_retention: DefaultRetentionElement = child("DefaultRetention", DefaultRetentionElement)


@document("ObjectLockConfiguration")
class ObjectLockConfiguration:
    enabled: Enabled = element("ObjectLockEnabled", choice(Enabled))
    rule: ObjectLockRule | None = child("Rule", ObjectLockRule, default=None)


# Without its EventHold a document could be empty, and an empty one takes the retention away.
@document("Retention", refuses={"EventHold": _NO_EVENT_HOLDS, "EventHoldDuration": _NO_EVENT_HOLDS})
class RetentionDocument:
    mode: RetentionMode | None = element("Mode", choice(RetentionMode), default=None)
    until_ms: int | None = element("RetainUntilDate", PRECISE_TIME, default=None)


@document("LegalHold")
class LegalHoldDocument:
    status: HoldStatus = element("Status", choice(HoldStatus))


def parse_lock(body: bytes) -> ObjectLock:
    """Raises RequestError: MalformedXML; InvalidRetentionPeriod; NotImplemented: a default event hold."""
    rule = parse(ObjectLockConfiguration, body).rule
    if rule is None:
        return ObjectLock()
    asked = rule.default_retention
    if asked.mode is None or (asked.days is None) == (asked.years is None):
        raise malformed("A DefaultRetention has a Mode and either Days or Years.")
    return ObjectLock(DefaultRetention(asked.mode, days=asked.days, years=asked.years))


def lock_document(lock: ObjectLock) -> ObjectLockConfiguration:
    default = lock.default
    if default is None:
        return ObjectLockConfiguration(enabled=Enabled.ENABLED)
    shown = DefaultRetentionElement(mode=default.mode, days=default.days, years=default.years)
    return ObjectLockConfiguration(enabled=Enabled.ENABLED, rule=ObjectLockRule(default_retention=shown))


def parse_retention(body: bytes) -> Retention | None:
    """None: it is to be removed, as a document without elements asks. Raises RequestError: MalformedXML;
    NotImplemented: an event hold."""
    asked = parse(RetentionDocument, body)
    if asked.mode is None and asked.until_ms is None:
        return None
    if asked.mode is None or asked.until_ms is None:
        raise malformed("A Retention has a Mode and a RetainUntilDate.")
    return Retention(asked.mode, asked.until_ms)


def parse_legal_hold(body: bytes) -> bool:
    """Raises RequestError: MalformedXML."""
    return parse(LegalHoldDocument, body).status is HoldStatus.ON
