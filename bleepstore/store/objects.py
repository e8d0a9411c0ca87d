"""Objects are written, deleted and listed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Unpack

import attrs

from bleepstore.access import (
    Action,
    Caller,
    Facts,
    authorize,
    authorize_new_acl,
    is_allowed,
    of_version,
)
from bleepstore.backends.base import StoredBlob
from bleepstore.commands import (
    DeleteEntry,
    DeleteObject,
    DeleteObjects,
    PutObject,
    Removed,
    Result,
    Written,
)
from bleepstore.errors import (
    AccessDenied,
    S3Error,
    TooManyEntries,
)
from bleepstore.lifecycle_due import expiry_in
from bleepstore.model import (
    MAX_PAGE,
    MAX_SINGLE_PUT,
    NO_ATTRIBUTES,
    NULL_VERSION,
    Bucket,
    Checksum,
    DeletedObject,
    ObjectAttributes,
    ObjectVersion,
    Owner,
)
from bleepstore.names import check_key, check_version_id
from bleepstore.pages import ObjectPage
from bleepstore.preconditions import UNCONDITIONAL, WriteCondition
from bleepstore.store.arguments import PutOptions
from bleepstore.store.bodies import DEFAULT_ALGORITHM, Body, expected_of, size_of, stage
from bleepstore.store.engine import Engine
from bleepstore.store.new_objects import as_replica, given_attributes, owned, page_as_owned, with_default_lock
from bleepstore.store.sealed_writes import etag_of, sealed_attributes, sealed_data

_BYPASS = Action.BYPASS_GOVERNANCE_RETENTION


@attrs.frozen(kw_only=True)
class DeleteFailure:
    """An entry of delete_objects that was refused."""

    key: str
    version_id: str | None
    error: S3Error


class Objects:
    """The objects of a store. For `caller` see `Buckets`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # -- writing

    def put_object(
        self,
        bucket: str,
        key: str,
        body: Body,
        *,
        attributes: ObjectAttributes = NO_ATTRIBUTES,
        condition: WriteCondition = UNCONDITIONAL,
        caller: Caller | None = None,
        **options: Unpack[PutOptions],
    ) -> ObjectVersion:
        """Store an object, durably, replacing the one of this key; a bucket that keeps versions keeps that too.

        `body` is bytes, a binary file or an iterable of bytes, streamed in bounded memory. What goes with it are
        `attributes`, whose fields can be keywords of their own: `system` and its fields (`content_type`, ...),
        `metadata`, `storage_class`, `tags`, `retention` and `legal_hold`; `acl` is a canned ACL or a tuple of grants,
        `encryption` a `StoreKey`, `NamedKey` or `CustomerKey`, by which the bytes are encrypted where they are stored.
        `size`, `content_md5` and `checksum` are compared with what came: see `BodyOptions`. `condition` is evaluated
        atomically with the write.

        Raises InvalidArgument, KeyTooLong, MetadataTooLarge, EntityTooLarge, IncompleteBody, InvalidDigest, BadDigest,
        InvalidTag, TooManyTags, PreconditionFailed, NoSuchBucket, AccessDenied, QuotaExceeded,
        StorageFull; then nothing has changed.
        """
        check_key(key)
        attributes = given_attributes(attributes, options)
        engine = self._engine
        found = engine.find_bucket(bucket)
        owner, attributes, condition = self._decide_put(found, key, attributes, condition, caller, options)
        write = engine.object_engine.begin(bucket, found.id, key, condition)
        expected = expected_of(options, MAX_SINGLE_PUT)
        if found.keeps_usage:
            engine.check_quota(found, key, size_of(body, expected), None if caller is None else caller.creator_id)
        algorithm = expected.algorithm or DEFAULT_ALGORITHM
        seal = None
        if options.get("encryption") is not None or found.settings.encryption is not None:
            attributes, seal = sealed_attributes(engine, attributes, options, found, key)
            if seal is not None:
                write = engine.encrypting.writer(seal)

        def put(chunks: Iterable[bytes], etag: Callable[[], str]) -> StoredBlob:
            return write.put(engine.spec_for(found, key, attributes, expected.size, etag), chunks)

        staged = stage(body, expected, (algorithm,), engine.inline_limit, put)
        command = PutObject(
            **engine.stamp(),
            bucket=bucket,
            bucket_id=found.id,
            key=key,
            owner=owner,
            creator_id=None if caller is None or caller.user is None else caller.user.arn,
            size=staged.size,
            etag=staged.etag if seal is None else etag_of(attributes.encryption, staged.etag, engine.random_bytes),
            data=staged.data if seal is None else sealed_data(seal, staged.data),
            stored_ms=staged.stored_ms,
            attributes=attributes,
            checksum=Checksum(algorithm, staged.checksums[algorithm]),
            crc64nvme=staged.crc64nvme,
            condition=condition,
            origin=engine.origin_of(caller) if found.settings.events or engine.catalog.watches_all else None,
        )
        return committed(engine, write.commit(command), command, found)

    def _decide_put(
        self,
        bucket: Bucket,
        key: str,
        attributes: ObjectAttributes,
        condition: WriteCondition,
        caller: Caller | None,
        options: PutOptions,
    ) -> tuple[Owner, ObjectAttributes, WriteCondition]:
        """Whose a new object will be, what goes with it, and what must hold then, if `caller` may write it so."""
        if attributes.metadata:
            attributes = as_replica(attributes, bucket, key, caller)
        acl, encryption = options.get("acl"), options.get("encryption")
        facts: Facts = {"attributes": attributes, "acl": acl, "encryption": encryption, "write_condition": condition}
        only_of = authorize(Action.PUT_OBJECT, caller, bucket, None, key, **facts)
        if only_of is not None or condition.if_match is not None:
            condition = self._engine.narrowed(condition, bucket, key, caller, only_of)
        if attributes.tags or attributes.retention is not None or attributes.legal_hold is not None:
            self._engine.check_attributes(bucket, key, attributes, caller)
        if acl is not None:
            authorize_new_acl(caller, bucket, key, acl=acl)
        return *owned(bucket, caller, attributes, acl), condition

    # -- deleting

    def delete_object(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        bypass_governance: bool = False,
        condition: WriteCondition = UNCONDITIONAL,
        caller: Caller | None = None,
    ) -> DeletedObject:
        """Delete an object. Deleting what is not there succeeds, unless `condition` asks that it be there.

        In a bucket that keeps versions this makes a delete marker, and removes nothing; with a `version_id` it removes
        that version for good. `condition` is evaluated on the current version. A version that is locked is not removed:
        ObjectLocked, unless only a retention of the mode GOVERNANCE protects it, and `bypass_governance` asks not to
        heed that, which the bucket's owner may.
        """
        check_key(key)
        engine = self._engine
        found = engine.find_bucket(bucket)
        action = of_version(Action.DELETE_OBJECT, version_id)
        condition = engine.condition_for(action, found, key, condition, caller, version=version_id)
        check_version_id(version_id)
        command = DeleteObject(
            **engine.stamp(),
            bucket=bucket,
            bucket_id=found.id,
            key=key,
            version_id=version_id,
            bypasses_governance=bypass_governance and is_allowed(_BYPASS, caller, found, key=key, version=version_id),
            owner=None if caller is None else caller.account,
            creator_id=None if caller is None or caller.user is None else caller.user.arn,
            condition=condition,
            origin=engine.origin_of(caller) if found.settings.events or engine.catalog.watches_all else None,
        )
        removed = engine.object_engine.delete(command)
        engine.jobs.notify()
        return DeletedObject(key=key, version_id=version_id, delete_marker_id=removed.delete_marker_id)

    def delete_objects(
        self,
        bucket: str,
        entries: Sequence[DeleteEntry],
        *,
        bypass_governance: bool = False,
        caller: Caller | None = None,
    ) -> list[DeletedObject | DeleteFailure]:
        """Delete up to 1,000 objects and versions in one step; the outcome of each, in order. For `bypass_governance`
        see delete_object: if `caller` may do that to some of them alone, it takes several steps."""
        if len(entries) > MAX_PAGE:
            raise TooManyEntries(MAX_PAGE)
        found = self._engine.find_bucket(bucket)
        decided = self._decided(found, entries, caller)
        allowed = [entry for entry in decided if entry is not None]
        steps: Iterable[tuple[bool, Iterable[DeleteEntry]]] = [(False, allowed)]
        if bypass_governance:
            steps = itertools.groupby(
                allowed, lambda one: is_allowed(_BYPASS, caller, found, key=one.key, version=one.version_id)
            )
        deleted: list[Removed | S3Error] = []
        for bypasses, some in steps:
            command = DeleteObjects(
                **self._engine.stamp(),
                bucket=bucket,
                bucket_id=found.id,
                bypasses_governance=bypasses,
                owner=None if caller is None else caller.account,
                creator_id=None if caller is None else caller.creator_id,
                origin=self._engine.origin_of(caller),
                entries=tuple(some),
            )
            deleted += self._engine.object_engine.delete_many(command)
        outcomes = iter(deleted)
        self._engine.jobs.notify()
        return [
            _outcome(entry, AccessDenied() if may is None else next(outcomes))
            for entry, may in zip(entries, decided, strict=True)
        ]

    def _decided(
        self, bucket: Bucket, entries: Sequence[DeleteEntry], caller: Caller | None
    ) -> Sequence[DeleteEntry | None]:
        """The entries as `caller` may carry them out, None where it may not. Raises AccessDenied for who may nothing
        here, where no policy decides about each."""
        if caller is None:
            return entries
        if bucket.settings.policy is None and caller.user is None:
            only_of = authorize(Action.DELETE_OBJECT, caller, bucket)
            compares = any(entry.condition.if_match is not None for entry in entries)
            if only_of is None and not compares and is_allowed(Action.DELETE_OBJECT_VERSION, caller, bucket):
                return entries
        return [self._decided_entry(bucket, entry, caller) for entry in entries]

    def _decided_entry(self, bucket: Bucket, entry: DeleteEntry, caller: Caller) -> DeleteEntry | None:
        action = of_version(Action.DELETE_OBJECT, entry.version_id)
        try:
            facts: Facts = {"version": entry.version_id, "write_condition": entry.condition}
            only_of = authorize(action, caller, bucket, None, entry.key, **facts)
            if entry.condition.if_match is not None:
                self._engine.check_comparison(entry.condition, bucket, entry.key, caller)
        except AccessDenied:
            return None
        if only_of is None:
            return entry
        return attrs.evolve(entry, condition=attrs.evolve(entry.condition, replaces_only_of=only_of))

    # -- listing

    def list_objects(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        start_after: str = "",
        limit: int = MAX_PAGE,
        caller: Caller | None = None,
    ) -> ObjectPage:
        """A page of at most 1,000 objects and common prefixes in the byte order of UTF-8.

        `after` is the `next_key` of an earlier page: if that is a common prefix, nothing under it is shown again.
        `start_after` is a key of one's own, which need not exist: only keys after it count, and a common prefix is
        shown if there are some under it. With both, `after` decides.
        """
        facts: Facts = {"prefix": prefix, "delimiter": delimiter}
        with self._engine.listing_of(bucket, Action.LIST_BUCKET, caller, limit, **facts) as (reader, found, size):
            page = reader.list_objects(bucket, prefix, delimiter, after, size, start_after)
        return page_as_owned(page, found)


def committed(engine: Engine, result: Result, command: PutObject, bucket: Bucket) -> ObjectVersion:
    """The version that was written as `command` says. Asking the catalog for it could already find a later one, or
    none. Raises the refusal that `result` may be."""
    if isinstance(result, S3Error):
        raise result
    assert isinstance(result, Written)
    engine.jobs.notify()
    version = ObjectVersion(
        bucket=command.bucket,
        key=command.key,
        version_id=result.version_id or NULL_VERSION,
        etag=command.etag,
        size=command.size,
        modified_ms=result.modified_ms,
        owner=command.owner,
        creator_id=command.creator_id,
        attributes=command.attributes if result.retention is None else with_default_lock(command, result),
        checksum=command.checksum,
        parts_count=len(command.parts) or None,
        is_versioned=result.version_id is not None,
    )
    if bucket.settings.lifecycle is not None:
        version = attrs.evolve(version, expiry=expiry_in(bucket, version))
    return version


def _outcome(entry: DeleteEntry, outcome: Removed | S3Error) -> DeletedObject | DeleteFailure:
    if isinstance(outcome, S3Error):
        return DeleteFailure(key=entry.key, version_id=entry.version_id, error=outcome)
    return DeletedObject(key=outcome.key, version_id=outcome.version_id, delete_marker_id=outcome.delete_marker_id)
