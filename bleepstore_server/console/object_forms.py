"""What the forms in the page of an object change."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from werkzeug.wrappers import Response

from bleepstore.errors import InvalidArgument
from bleepstore.model import ObjectVersion, RestoreTier, SystemMetadata
from bleepstore.object_lock import Retention, RetentionMode
from bleepstore.preconditions import ReadCondition, WriteCondition
from bleepstore_server.console.forms import pairs_of
from bleepstore_server.console.keeping import kept_options
from bleepstore_server.console.links import presigned
from bleepstore_server.console.objects import folder_of, show_object
from bleepstore_server.console.visit import Visit
from bleepstore_server.wire.errors import RequestError

_SYSTEM = ("content_type", "content_disposition", "content_encoding", "content_language", "cache_control")
#: In seconds.
EXPIRIES = (3600, 86400, 604800)


def _done(visit: Visit, bucket: str, done: str) -> Response:
    return visit.go("buckets", bucket, "object", key=visit.argument("key"), version=visit.version_id, done=done)


def share(visit: Visit, bucket: str) -> Response:
    """A link by which anybody can read the object for some time, in the name of the key that is signed in."""
    texts = visit.pages.texts["errors"]
    if visit.endpoint is None:
        raise RequestError("InvalidArgument", texts["no_endpoint"])
    key, version_id = visit.argument("key"), visit.version_id
    visit.store.head_object(bucket, key, version_id=version_id, caller=visit.caller)
    seconds = visit.number("expires") or EXPIRIES[0]
    if seconds not in EXPIRIES:
        raise RequestError("InvalidArgument", texts["expiry"])
    return show_object(visit, bucket, link=presigned(visit, bucket, key, seconds=seconds, version_id=version_id))


def put_tags(visit: Visit, bucket: str) -> Response:
    tags = pairs_of(visit, visit.field("tags"))
    visit.store.put_object_tags(bucket, visit.argument("key"), tags, version_id=visit.version_id, caller=visit.caller)
    return _done(visit, bucket, "tags_saved")


def put_metadata(visit: Visit, bucket: str) -> Response:
    """By a copy of the object onto itself, as S3 has no other way. The ETag in the form is that of the object that was
    shown: one that was replaced since keeps what it has."""
    key = visit.argument("key")
    version = visit.store.head_object(bucket, key, caller=visit.caller).version
    if version.etag != visit.field("etag"):
        raise RequestError("PreconditionFailed", visit.pages.texts["errors"]["changed_meanwhile"])
    system = {name: visit.field(name).strip() or None for name in _SYSTEM}
    visit.store.copy_object(
        bucket,
        key,
        bucket,
        key,
        system=_system(version, system),
        metadata=pairs_of(visit, visit.field("metadata"), version.metadata),
        replace_metadata=True,
        source_condition=ReadCondition(if_match=version.etag),
        condition=WriteCondition(if_match=version.etag),
        caller=visit.caller,
        **kept_options(version),
    )
    return visit.go("buckets", bucket, "object", key=key, done="metadata_saved")


def _system(version: ObjectVersion, given: Mapping[str, str | None]) -> SystemMetadata:
    kept = version.system
    return SystemMetadata(**given, expires=kept.expires, website_redirect_location=kept.website_redirect_location)


def put_retention(visit: Visit, bucket: str) -> Response:
    until = visit.field("until").strip()
    retention = None
    if until:
        try:
            time = dt.datetime.fromisoformat(until)
            mode = RetentionMode(visit.field("mode"))
        except ValueError:
            raise InvalidArgument(visit.pages.texts["errors"]["date"], "retention", until[:100]) from None
        time = time if time.tzinfo else time.replace(tzinfo=dt.UTC)
        retention = Retention(mode, round(time.timestamp() * 1000))
    visit.store.put_object_retention(
        bucket,
        visit.argument("key"),
        retention,
        version_id=visit.version_id,
        bypass_governance=visit.field("bypass") == "on",
        caller=visit.caller,
    )
    return _done(visit, bucket, "retention_saved")


def put_hold(visit: Visit, bucket: str) -> Response:
    visit.store.put_object_legal_hold(
        bucket, visit.argument("key"), visit.field("hold") == "on", version_id=visit.version_id, caller=visit.caller
    )
    return _done(visit, bucket, "hold_saved")


def restore_archived(visit: Visit, bucket: str) -> Response:
    visit.store.restore_object(
        bucket,
        visit.argument("key"),
        days=visit.number("days") or 1,
        tier=RestoreTier.STANDARD,
        version_id=visit.version_id,
        caller=visit.caller,
    )
    return _done(visit, bucket, "thawed")


def delete(visit: Visit, bucket: str) -> Response:
    key = visit.argument("key")
    visit.store.delete_object(
        bucket,
        key,
        version_id=visit.version_id,
        bypass_governance=visit.field("bypass") == "on",
        caller=visit.caller,
    )
    return visit.go("buckets", bucket, prefix=folder_of(key) or None, done="object_deleted")
