"""Object lock: of buckets, and the retention and the legal hold of the versions in them."""

from __future__ import annotations

import attrs

from bleepstore.access import Action, Caller, is_allowed
from bleepstore.catalog.records import FoundObject
from bleepstore.commands import PutObjectLegalHold, PutObjectRetention, Result
from bleepstore.errors import NoSuchObjectLock, ObjectLockNotConfigured
from bleepstore.model import Bucket, ObjectVersion
from bleepstore.object_lock import ObjectLock, Retention, check_lock, no_lock
from bleepstore.store.engine import Engine, check_keeps_versions
from bleepstore.store.stored_objects import StoredObjects

_BYPASS = Action.BYPASS_GOVERNANCE_RETENTION


class ObjectLocks:
    """What protects versions from being removed. For `caller` see `Buckets`.

    A version without `version_id` is the current one. Where the bucket has no object lock, what concerns an object
    raises InvalidRequest.
    """

    def __init__(self, engine: Engine, stored: StoredObjects) -> None:
        self._engine = engine
        self._stored = stored

    # -- of buckets

    def put_bucket_object_lock(self, bucket: str, lock: ObjectLock, *, caller: Caller | None = None) -> None:
        """Have the versions of a bucket be locked from now on, by its default retention if it has one. What is there
        already stays as it is. A bucket that has object lock keeps it, and its versioning, for ever.

        Raises InvalidBucketState unless the bucket keeps versions, InvalidRetentionPeriod; NotSupported as
        put_bucket_versioning.
        """
        check_lock(lock)
        found = self._engine.bucket_for(bucket, Action.PUT_BUCKET_OBJECT_LOCK_CONFIGURATION, caller)
        check_keeps_versions(self._engine)
        self._engine.put_setting(found, "object_lock", lock)

    def get_bucket_object_lock(self, bucket: str, *, caller: Caller | None = None) -> ObjectLock:
        """Raises ObjectLockNotConfigured if the bucket has none."""
        found = self._engine.bucket_for(bucket, Action.GET_BUCKET_OBJECT_LOCK_CONFIGURATION, caller)
        if found.settings.object_lock is None:
            raise ObjectLockNotConfigured(bucket)
        return found.settings.object_lock

    # -- of versions

    def get_object_retention(
        self, bucket: str, key: str, *, version_id: str | None = None, caller: Caller | None = None
    ) -> Retention:
        """Raises NoSuchObjectLock if the version has none."""
        retention = self._find(bucket, key, version_id, Action.GET_OBJECT_RETENTION, caller).retention
        if retention is None:
            raise NoSuchObjectLock(bucket, key)
        return retention

    def get_object_legal_hold(
        self, bucket: str, key: str, *, version_id: str | None = None, caller: Caller | None = None
    ) -> bool:
        """Whether a version is held. Raises NoSuchObjectLock if it never was."""
        legal_hold = self._find(bucket, key, version_id, Action.GET_OBJECT_LEGAL_HOLD, caller).legal_hold
        if legal_hold is None:
            raise NoSuchObjectLock(bucket, key)
        return legal_hold

    def put_object_retention(
        self,
        bucket: str,
        key: str,
        retention: Retention | None,
        *,
        version_id: str | None = None,
        bypass_governance: bool = False,
        caller: Caller | None = None,
    ) -> ObjectVersion:
        """Replace the retention of a version, or remove it. What is not over yet may be extended by anybody who may set
        it; else ObjectLocked, unless it is of the mode GOVERNANCE and `bypass_governance` asks for it, which the
        bucket's owner may. Raises InvalidArgument for one that is over already."""

        def submit(found: FoundObject, in_bucket: Bucket) -> Result:
            version = found.version
            bypasses = bypass_governance and is_allowed(_BYPASS, caller, in_bucket, version, version=version_id)
            command = PutObjectRetention(
                **self._engine.stamp(),
                bucket=bucket,
                bucket_id=in_bucket.id,
                key=key,
                version_id=version_id,
                expected_sequence=found.sequence,
                bypasses_governance=bypasses,
                origin=self._engine.origin_of(caller),
                retention=retention,
            )
            return self._engine.committer.submit(command)

        action = Action.PUT_OBJECT_RETENTION
        found, _result = self._stored.change(bucket, key, version_id, action, caller, submit, retention=retention)
        return attrs.evolve(found.version, attributes=attrs.evolve(found.version.attributes, retention=retention))

    def put_object_legal_hold(
        self,
        bucket: str,
        key: str,
        legal_hold: bool,
        *,
        version_id: str | None = None,
        caller: Caller | None = None,
    ) -> ObjectVersion:
        """Hold a version until it is released, or release it."""

        def submit(found: FoundObject, in_bucket: Bucket) -> Result:
            command = PutObjectLegalHold(
                **self._engine.stamp(),
                bucket=bucket,
                bucket_id=in_bucket.id,
                key=key,
                version_id=version_id,
                expected_sequence=found.sequence,
                legal_hold=legal_hold,
            )
            return self._engine.committer.submit(command)

        action = Action.PUT_OBJECT_LEGAL_HOLD
        found, _result = self._stored.change(bucket, key, version_id, action, caller, submit, legal_hold=legal_hold)
        return attrs.evolve(found.version, attributes=attrs.evolve(found.version.attributes, legal_hold=legal_hold))

    def _find(
        self, bucket: str, key: str, version_id: str | None, action: Action, caller: Caller | None
    ) -> ObjectVersion:
        found = self._stored.find(bucket, key, version_id, action, caller, data=False)
        if self._engine.find_bucket(bucket).settings.object_lock is None:
            raise no_lock()
        return found.version
