"""Commands on what goes with an object that is stored: its ACL, its tags, its locks, whether it is restored."""

from __future__ import annotations

from typing import Unpack

import attrs

from bleepstore.acl_rules import check_acl, is_enforced
from bleepstore.catalog.events import record_event
from bleepstore.catalog.objects import absent_version
from bleepstore.catalog.port import EventDetails, Tables
from bleepstore.catalog.records import AwaitedRestoration, StoredBucket, StoredVersion
from bleepstore.catalog.replication import queue_change
from bleepstore.commands import (
    MAX_RESTORATIONS,
    Done,
    EndRestorations,
    PutObjectAcl,
    PutObjectEncryption,
    PutObjectLegalHold,
    PutObjectRetention,
    PutObjectTags,
    Restored,
    RestoreObject,
    Result,
)
from bleepstore.errors import (
    AccessDenied,
    InvalidObjectState,
    MethodNotAllowed,
    NoSuchBucket,
    ObjectAlreadyInActiveTier,
    OperationAborted,
    RestoreAlreadyInProgress,
    S3Error,
)
from bleepstore.model import ARCHIVED_CLASSES, Acl, ObjectAttributes, Restoration, midnight_after
from bleepstore.object_lock import check_change, check_future, is_locked, no_lock

_Watched = PutObjectAcl | PutObjectTags | PutObjectRetention | RestoreObject | EndRestorations
_CHANGED = "The object was replaced, or its ACL was changed, meanwhile. Try again."
#: Amazon's words, which programs look for.
_LOCKED = (
    "The encryption type for the specified object can't be updated because that object is protected by S3 Object Lock. "
    "If the object has a governance-mode retention period or a legal hold, you must first remove the Object Lock "
    "status on the object before you issue your UpdateObjectEncryption request. You can't use the "
    "UpdateObjectEncryption operation with objects that have an Object Lock compliance mode retention period applied "
    "to them."
)
_INTELLIGENT_TIERING = "INTELLIGENT_TIERING"


@attrs.frozen
class _Found:
    """A version that a command names, and what goes with it."""

    bucket: StoredBucket
    key: str
    version: StoredVersion
    attributes: ObjectAttributes

    def set(self, tables: Tables, attributes: ObjectAttributes) -> None:
        tables.set_object_attributes(self.bucket.bucket_id, self.key, self.version, attributes)

    def change(self, tables: Tables, attributes: ObjectAttributes, time_ms: int) -> None:
        """Set what is copied along with a version."""
        if attributes.replication is not None and attributes != self.attributes:
            attributes = queue_change(tables, self.bucket, self.key, self.version, attributes, time_ms)
        self.set(tables, attributes)

    def await_restoration(self, tables: Tables, ready_ms: int) -> None:
        """Whoever watches, for nodes of a cluster must have equal rows."""
        bucket = self.bucket
        tables.await_restoration(
            AwaitedRestoration(ready_ms, bucket.bucket_id, self.key, self.version.version_id, bucket.name)
        )

    def record(self, tables: Tables, name: str, command: _Watched, **details: Unpack[EventDetails]) -> None:
        """Keep an event of the version, if anybody wants it."""
        if self.bucket.is_watched:
            if self.bucket.versioning is not None:
                details["version_id"] = self.version.version_id
            details["etag"] = self.version.etag
            record_event(tables, self.bucket, name, self.key, command.time_ms, command.origin, **details)


def _find(
    tables: Tables,
    command: PutObjectAcl
    | PutObjectTags
    | PutObjectRetention
    | PutObjectLegalHold
    | PutObjectEncryption
    | RestoreObject,
) -> _Found | S3Error:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    bucket_id, key, version_id = bucket.bucket_id, command.key, command.version_id
    if version_id is None:
        version = tables.current_version(bucket_id, key)
    else:
        version = tables.find_version(bucket_id, key, version_id)
    if version is None:
        return absent_version(command.bucket, key, version_id)
    if version.is_delete_marker:
        return MethodNotAllowed("DeleteMarker", version.version_id)
    if command.expected_sequence not in (None, version.sequence):
        return OperationAborted(_CHANGED)
    return _Found(bucket, key, version, tables.object_attributes(bucket_id, key, version))


def put_object_acl(tables: Tables, command: PutObjectAcl) -> Result:
    found = _find(tables, command)
    if isinstance(found, S3Error):
        return found
    owner_id, bucket = found.version.owner_id, found.bucket
    if is_enforced(bucket.settings):
        return check_acl(bucket.settings, command.acl, bucket.owner_id) or Done()  # as it is anyway
    if command.expected_acl not in (None, found.attributes.acl(owner_id)):
        return OperationAborted(_CHANGED)
    if refused := check_acl(bucket.settings, command.acl, bucket.owner_id):
        return refused
    grants = None if command.acl == Acl.private(owner_id) else command.acl.grants
    found.change(tables, attrs.evolve(found.attributes, grants=grants), command.time_ms)
    if grants != found.attributes.grants:  # "An event is not generated when a request results in no change"
        found.record(tables, "ObjectAcl:Put", command)
    return Done()


def put_object_tags(tables: Tables, command: PutObjectTags) -> Result:
    found = _find(tables, command)
    if isinstance(found, S3Error):
        return found
    found.change(tables, attrs.evolve(found.attributes, tags=command.tags), command.time_ms)
    found.record(tables, (command.origin and command.origin.event) or "ObjectTagging:Put", command)
    return Done()


def put_object_retention(tables: Tables, command: PutObjectRetention) -> Result:
    found = _find_lockable(tables, command)
    if isinstance(found, S3Error):
        return found
    old, new = found.attributes.retention, command.retention
    if new is not None and (refused := check_future(new, tables.lock_time(command.time_ms))):
        return refused
    if refused := check_change(old, new, command.time_ms, bypasses=command.bypasses_governance):
        return refused
    found.change(tables, attrs.evolve(found.attributes, retention=new), command.time_ms)
    found.record(tables, "ObjectRetention:Put", command)
    return Done()


def put_object_legal_hold(tables: Tables, command: PutObjectLegalHold) -> Result:
    found = _find_lockable(tables, command)
    if isinstance(found, S3Error):
        return found
    found.change(tables, attrs.evolve(found.attributes, legal_hold=command.legal_hold), command.time_ms)
    return Done()


def _find_lockable(tables: Tables, command: PutObjectRetention | PutObjectLegalHold) -> _Found | S3Error:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is not None and bucket.object_lock is None:
        return no_lock()
    return _find(tables, command)


def put_object_encryption(tables: Tables, command: PutObjectEncryption) -> Result:
    """Replicas of the version keep their own, and nobody is told: S3 has no event of it."""
    found = _find(tables, command)
    if isinstance(found, S3Error):
        return found
    old = found.attributes
    if old.encryption is None or old.encryption.wrapped_key != command.expected_wrapped_key:
        return OperationAborted(_CHANGED)
    is_lockable = found.bucket.object_lock is not None
    if is_lockable and is_locked(old.retention, old.legal_hold, command.time_ms, bypasses=False):
        return AccessDenied(_LOCKED)
    found.set(tables, attrs.evolve(old, encryption=command.encryption))
    return Done()


def restore_object(tables: Tables, command: RestoreObject) -> Result:
    """ "If the object is already restored, Amazon S3 returns 200 OK" and the period begins anew."""
    found = _find(tables, command)
    if isinstance(found, S3Error):
        return found
    storage_class, old = found.attributes.storage_class, found.attributes.restoration
    if storage_class == _INTELLIGENT_TIERING:
        return ObjectAlreadyInActiveTier(storage_class)
    if storage_class not in ARCHIVED_CLASSES:
        return InvalidObjectState("Restore is not allowed for the object's current storage class", storage_class)
    now_ms = command.time_ms
    if old is not None and now_ms < old.ready_ms:
        return RestoreAlreadyInProgress()
    is_extended = old is not None and now_ms < old.until_ms
    ready_ms = old.ready_ms if old is not None and is_extended else now_ms + command.delay_ms
    made = Restoration(ready_ms, midnight_after(max(ready_ms, now_ms), command.days))
    found.set(tables, attrs.evolve(found.attributes, restoration=made))
    if not is_extended:
        found.record(tables, "ObjectRestore:Post", command, storage_class=storage_class)
        if ready_ms <= now_ms:
            until_ms = made.until_ms
            found.record(
                tables, "ObjectRestore:Completed", command, storage_class=storage_class, restored_until_ms=until_ms
            )
        else:
            found.await_restoration(tables, ready_ms)
    return Restored(made, is_extended)


def end_restorations(tables: Tables, command: EndRestorations) -> Result:
    """Tell of archived versions that can be read by now. Of those that were removed, or are restored anew, nothing is
    told."""
    for ready_ms, bucket_id, key, version_id, name in tables.take_restorations(command.until_ms, MAX_RESTORATIONS):
        bucket = tables.find_bucket(name, bucket_id)
        version = None if bucket is None else tables.find_version(bucket_id, key, version_id)
        if bucket is None or version is None or version.is_delete_marker:
            continue
        found = _Found(bucket, key, version, tables.object_attributes(bucket_id, key, version))
        restoration = found.attributes.restoration
        if restoration is not None and restoration.ready_ms == ready_ms:
            storage_class, until_ms = found.attributes.storage_class, restoration.until_ms
            found.record(
                tables, "ObjectRestore:Completed", command, storage_class=storage_class, restored_until_ms=until_ms
            )
    return Done()
