"""Access control lists, and whether a caller may do something."""

from __future__ import annotations

import contextlib

from bleepstore.access import (
    AclRequest,
    Action,
    Caller,
    Explanation,
    Facts,
    explain,
    is_full_control,
    is_of_object,
    of_version,
    resolve_acl,
)
from bleepstore.acl_rules import check_public, is_enforced
from bleepstore.catalog.records import FoundObject
from bleepstore.commands import PutBucketAcl, PutObjectAcl, Result
from bleepstore.errors import AccessControlListNotSupported, NoSuchUpload
from bleepstore.model import Acl, Bucket, ObjectVersion
from bleepstore.preconditions import UNCONDITIONAL
from bleepstore.store.engine import Engine
from bleepstore.store.new_objects import as_owned
from bleepstore.store.stored_objects import StoredObjects
from bleepstore.store.uploads import Uploads


class AccessRules:
    """Who may do what in a store. For `caller` see `Buckets`."""

    def __init__(self, engine: Engine, stored: StoredObjects, uploads: Uploads) -> None:
        self._engine = engine
        self._stored = stored
        self._uploads = uploads

    def check_access(
        self,
        action: Action,
        bucket: str,
        key: str = "",
        *,
        version_id: str | None = None,
        upload_id: str | None = None,
        is_preliminary: bool = False,
        caller: Caller | None = None,
    ) -> None:
        """Raise what an operation that is this `action` would: NoSuchBucket, AccessDenied or, if it is on an object
        that there must be, NoSuchKey and NoSuchVersion.

        `is_preliminary`: the operation comes after this, and is decided on again. What a policy asks of its body (tags,
        a retention), and of which keys a deletion of many is, is taken for granted here.

        An upload that does not exist is not refused: it may have been completed by the same request, sent before.
        """
        facts: Facts = {"is_preliminary": is_preliminary}
        if is_of_object(action):
            self._stored.find(bucket, key, version_id, action, caller, data=False, **facts)
        elif upload_id is not None:
            with contextlib.suppress(NoSuchUpload):
                self._uploads.find(bucket, key, upload_id, action, caller, **facts)
        elif not key:
            self._engine.bucket_for(bucket, action, caller, **facts)
        else:
            found = self._engine.find_bucket(bucket)
            facts["version"] = version_id
            self._engine.condition_for(of_version(action, version_id), found, key, UNCONDITIONAL, caller, **facts)

    def explain(
        self,
        action: Action,
        bucket: str,
        key: str = "",
        *,
        version_id: str | None = None,
        caller: Caller | None = None,
    ) -> Explanation:
        """Whether `caller` may do `action`, and why: which statement of a policy decides, and why the others do not
        apply. `str` of it is for people.

        Of a `key` that does not exist it says what holds of an object that the bucket's owner writes there. Raises
        NoSuchBucket.
        """
        found = self._engine.find_bucket(bucket)
        subject = None
        if key and is_of_object(action):
            with self._engine.catalog.read() as reader:
                if version_id is None:
                    subject = reader.find_object(bucket, key, with_data=False)
                else:
                    subject = reader.find_version(bucket, key, version_id, with_data=False)
        if subject is not None and subject.bucket_id == found.id:
            version: ObjectVersion | None = as_owned(subject, found).version
        elif key and is_of_object(action):
            version = ObjectVersion(bucket=bucket, key=key, etag="", size=0, modified_ms=0, owner=found.owner)
        else:
            version = None
        return explain(of_version(action, version_id), caller, found, version, key or None, version=version_id)

    def get_bucket_acl(self, bucket: str, *, caller: Caller | None = None) -> Acl:
        return self._engine.bucket_for(bucket, Action.GET_BUCKET_ACL, caller).acl

    def put_bucket_acl(self, bucket: str, acl: AclRequest | Acl, *, caller: Caller | None = None) -> None:
        """Replace the ACL. An `Acl` must name the bucket's owner: ownership cannot be given away. Raises
        AccessControlListNotSupported where ACLs are disabled, AccessDenied for a public one where that is blocked.
        """
        found = self._engine.bucket_for(bucket, Action.PUT_BUCKET_ACL, caller, acl=acl)
        resolved = _resolve(acl, found.owner.id, found)
        self._engine.submit(PutBucketAcl(**self._engine.stamp(), bucket=bucket, bucket_id=found.id, acl=resolved))

    def get_object_acl(
        self, bucket: str, key: str, *, version_id: str | None = None, caller: Caller | None = None
    ) -> Acl:
        return self._stored.find(bucket, key, version_id, Action.GET_OBJECT_ACL, caller, data=False).version.acl

    def put_object_acl(
        self,
        bucket: str,
        key: str,
        acl: AclRequest | Acl,
        *,
        version_id: str | None = None,
        caller: Caller | None = None,
    ) -> None:
        """Replace an object's ACL. An `Acl` must name the object's owner. Raises as put_bucket_acl."""

        def submit(found: FoundObject, in_bucket: Bucket) -> Result:
            command = PutObjectAcl(
                **self._engine.stamp(),
                bucket=bucket,
                bucket_id=in_bucket.id,
                key=key,
                version_id=version_id,
                expected_sequence=found.sequence,
                expected_acl=found.version.acl,
                origin=self._engine.origin_of(caller),
                acl=_resolve(acl, found.version.owner.id, in_bucket),
            )
            return self._engine.committer.submit(command)

        self._stored.change(bucket, key, version_id, Action.PUT_OBJECT_ACL, caller, submit, acl=acl)


def _resolve(acl: AclRequest | Acl, owner_id: str, bucket: Bucket) -> Acl:
    """A new list for a resource of this owner, if its bucket allows it."""
    if is_enforced(bucket.settings) and not is_full_control(acl, bucket.owner.id):
        raise AccessControlListNotSupported
    resolved = resolve_acl(acl, owner_id, bucket.owner.id)
    if refused := check_public(bucket.settings, resolved.grants):
        raise refused
    return resolved
