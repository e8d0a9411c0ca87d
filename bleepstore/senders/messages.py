"""Events as messages, in the form in which Amazon S3 sends them ("Event message structure")."""

from __future__ import annotations

import datetime as dt
import json
import urllib.parse
from typing import Any

import attrs

from bleepstore.events import Event

#: "It uses version 2.3 for S3 Lifecycle, ... object ACL, object tagging, and object restoration delete events"; 2.2 for
#: replication, and 2.1 "for all other event notification types".
_VERSIONS = (
    ("Lifecycle", "2.3"),
    ("ObjectAcl", "2.3"),
    ("ObjectTagging", "2.3"),
    ("ObjectRetention", "2.3"),
    ("Replication", "2.2"),
)
_VERSION = "2.1"
_DEFAULT_REGION = "us-east-1"


@attrs.frozen
class Message:
    """What a destination gets: `body` is JSON in UTF-8. Messages with the same `group` must be taken in their order: it
    is the bucket and the key. `event` is None for the message by which a destination is tried.
    """

    body: bytes
    group: str
    event: Event | None = None


def message_of(event: Event, rule_id: str) -> Message:
    """The message of one event, for the configuration with this id."""
    return Message(_dump({"Records": [record_of(event, rule_id)]}), f"{event.bucket}/{event.key}", event)


def test_message(bucket: str, time_ms: int, request_id: str) -> Message:
    """What S3 sends when a destination is configured: "Amazon S3 sends a test message"."""
    record = {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": _time(time_ms),
        "Bucket": bucket,
        "RequestId": request_id,
        "HostId": request_id,
    }
    return Message(_dump(record), bucket)


test_message.__test__ = False  # type: ignore[attr-defined]  # pytest takes it for a test where it is imported


def record_of(event: Event, rule_id: str) -> dict[str, Any]:
    """One of the `Records` of a message. What is not known is left out."""
    origin = event.origin
    request_id = origin.request_id or f"{event.sequencer:016X}"
    stored: dict[str, Any] = {"key": urllib.parse.quote_plus(event.key, safe="/")}
    for name, value in (("size", event.size), ("eTag", event.etag), ("versionId", event.version_id)):
        if value is not None:
            stored[name] = value
    stored["sequencer"] = f"{event.sequencer:018X}"
    record = {
        "eventVersion": next((version for start, version in _VERSIONS if event.name.startswith(start)), _VERSION),
        "eventSource": "aws:s3",
        "awsRegion": event.location or _DEFAULT_REGION,
        "eventTime": _time(event.time_ms),
        "eventName": event.name,
        "userIdentity": {"principalId": _principal(event)},
        "requestParameters": {"sourceIPAddress": origin.source_ip or "127.0.0.1"},
        "responseElements": {"x-amz-request-id": request_id, "x-amz-id-2": request_id},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": rule_id,
            "bucket": {
                "name": event.bucket,
                "ownerIdentity": {"principalId": event.owner_id},
                "arn": f"arn:aws:s3:::{event.bucket}",
            },
            "object": stored,
        },
    }
    return record | _extra(event)


def _principal(event: Event) -> str:
    """ "s3.amazonaws.com" is who acts for a lifecycle."""
    if event.name.startswith("Lifecycle"):
        return "s3.amazonaws.com"
    return event.origin.principal or event.owner_id


def _extra(event: Event) -> dict[str, Any]:
    if event.name == "LifecycleTransition":
        return {"lifecycleEventData": {"transitionEventData": {"destinationStorageClass": event.storage_class}}}
    if event.replication is not None:
        failed = {
            "replicationRuleId": event.replication.rule_id,
            "destinationBucket": f"arn:aws:s3:::{event.replication.destination}",
            "s3Operation": "OBJECT_PUT",
            "requestTime": _time(event.time_ms),
            "failureReason": event.replication.reason,
        }
        return {"replicationEventData": failed}
    if event.restored_until_ms is not None:
        restored = {
            "lifecycleRestorationExpiryTime": _time(event.restored_until_ms),
            "lifecycleRestoreStorageClass": event.storage_class,
        }
        return {"glacierEventData": {"restoreEventData": restored}}
    return {}


def _time(time_ms: int) -> str:
    """ "In ISO-8601 format, for example, 1970-01-01T00:00:00.000Z"."""
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
