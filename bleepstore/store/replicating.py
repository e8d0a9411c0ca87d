"""How a version is copied, to another bucket of the store or, by `remote_copies`, to one elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

import attrs

from bleepstore.access import S3_SERVICE, Action, Caller, RoleSession, authorize, trusts_service
from bleepstore.backends.base import CHUNK
from bleepstore.catalog.objects import new_version_id
from bleepstore.catalog.records import FoundObject
from bleepstore.commands import PutObject, PutReplica, PutReplicaAttributes, ReplicationOutcome
from bleepstore.encryption import EncryptionKind, EncryptionRequest, NamedKey, StoreKey, sealed_size
from bleepstore.errors import (
    AccessDenied,
    BlobDamaged,
    InvalidRequest,
    ObjectDamaged,
    S3Error,
    Unavailable,
)
from bleepstore.jobs.replication import failed, reason_of
from bleepstore.model import (
    NULL_VERSION,
    STORAGE_CLASSES,
    BlobRef,
    Bucket,
    Data,
    Inline,
    ObjectAttributes,
    ObjectVersion,
    Owner,
    PartSummary,
    User,
    account_of,
    is_arn,
    user_of,
)
from bleepstore.remotes import RemoteRefused
from bleepstore.replication import (
    REPLICA_STATE,
    Replica,
    ReplicationRule,
    ReplicationStatus,
    ReplicationTask,
    rules_for,
)
from bleepstore.roles import parse_role_arn
from bleepstore.store.arguments import AttributeOptions
from bleepstore.store.blob_engine import BlobEngine
from bleepstore.store.engine import Engine
from bleepstore.store.new_objects import as_owned
from bleepstore.store.sealed_writes import sealed_attributes, sealed_data
from bleepstore.store.stored_objects import StoredObjects

if TYPE_CHECKING:
    from bleepstore.sealing.cipher import Seal

_SESSION = "s3-replication"
_NO_RULE = "The bucket has no rule for this destination any more."


@attrs.frozen
class Source:
    """A version that is to be copied, the rule that says so, and who copies."""

    bucket: Bucket
    found: FoundObject
    rule: ReplicationRule
    caller: Caller

    @property
    def version(self) -> ObjectVersion:
        return self.found.version

    def owner_in(self, target: Bucket) -> Owner:
        """Whose its copy is in a bucket of the store."""
        return target.owner if self.rule.takes_ownership else self.version.owner

    @property
    def known(self) -> Replica | None:
        """What is noted of its copy there."""
        state = self.version.attributes.replication
        return None if state is None else state.replica_in(self.rule.destination)

    @property
    def replica_id(self) -> str:
        """The id of its copy in a bucket of the store: its own, but for "null", which that bucket may have given."""
        if self.version.version_id != NULL_VERSION:
            return self.version.version_id
        return new_version_id(f"replica/{self.found.bucket_id}/{self.version.key}/{self.found.sequence}")


class Replicator:
    """`copy` gives the outcome of a task; what may be over later it raises. `copy_remotely` copies to a bucket
    elsewhere, and gives the id that the copy has there."""

    def __init__(self, engine: Engine, stored: StoredObjects, copy_remotely: Callable[[Source], str | None]) -> None:
        self._engine = engine
        self._stored = stored
        self._copy_remotely = copy_remotely

    def copy(self, task: ReplicationTask) -> ReplicationOutcome:
        try:
            source = self.find(task)
            if source is None:
                return ReplicationOutcome(number=task.number, revision=task.revision, status=None)
            version_id = None
            if source.rule.is_remote:
                version_id = self._copy_remotely(source)
            else:
                self._copy_here(source)
        except Unavailable:
            raise
        except (S3Error, ObjectDamaged, BlobDamaged, RemoteRefused) as error:
            return failed(task, reason_of(error))
        return ReplicationOutcome(
            number=task.number, revision=task.revision, status=ReplicationStatus.COMPLETED, version_id=version_id
        )

    def find(self, task: ReplicationTask) -> Source | None:
        """What a task is about; None if that is gone. Raises InvalidRequest, AccessDenied."""
        bucket = None if task.bucket is None else self._engine.catalog.find_bucket(task.bucket)
        if bucket is None or bucket.id != task.bucket_id:
            return None
        with self._engine.catalog.read() as reader:
            found = reader.find_version(bucket.name, task.key, task.version_id, with_data=True)
        if found is None or found.bucket_id != bucket.id:
            return None
        found = as_owned(found, bucket)
        rules = bucket.settings.replication or ()
        # Tags that were changed since do not take a version away from its rule.
        chosen = [*rules_for(rules, task.key, found.version.tags), *(rule for rule in rules if rule.is_enabled)]
        rule = next((rule for rule in chosen if rule.destination == task.destination), None)
        if rule is None:
            raise InvalidRequest(_NO_RULE)
        source = Source(bucket, found, rule, self._caller(rule.actor, bucket))
        self._check(source)
        return source

    def _check(self, source: Source) -> None:
        version = source.version
        version_id = version.version_id
        if version.is_delete_marker:  # it has no ACL; its key is not for everybody
            version = attrs.evolve(version, owner=source.bucket.owner)
        action = Action.GET_OBJECT_VERSION_FOR_REPLICATION
        authorize(action, source.caller, source.bucket, version, version=version_id)
        if version.encryption is not None and version.encryption.kind is EncryptionKind.CUSTOMER:
            raise InvalidRequest("It is encrypted with a key of its writer's, which is stored nowhere.")

    def _caller(self, actor: str, bucket: Bucket) -> Caller:
        """Who copies, with the rights that it has now. Raises AccessDenied if it is gone, or is a role that does not
        trust the service any more."""
        time_ms = self._engine.wall_clock()
        if not is_arn(actor):
            with self._engine.catalog.read() as reader:
                account = reader.find_owner(actor) or Owner(actor)
            return Caller(account, time_ms=time_ms, secure=True, pays=True)
        role = parse_role_arn(actor)
        user: User | RoleSession | None
        with self._engine.catalog.read() as reader:
            if role is not None:
                found_role = reader.find_role(*role)
                user = None if found_role is None else RoleSession(found_role, _SESSION)
            else:
                user = reader.find_user(account_of(actor), user_of(actor))
        if user is None or user.arn != actor:
            raise AccessDenied(f"There is no {actor} any more, which is to copy.")
        if isinstance(user, RoleSession) and not trusts_service(
            user.role, Caller.of_service(S3_SERVICE, bucket, time_ms)
        ):
            raise AccessDenied(f"{actor} does not trust {S3_SERVICE} any more.")
        return Caller.of_user(user, time_ms=time_ms, secure=True, pays=True)

    # -- within the store

    def _copy_here(self, source: Source) -> None:
        target, account = self._engine.find_bucket(source.rule.destination), source.rule.account
        if account is not None and account != target.owner.id:
            raise AccessDenied(f"The destination bucket does not belong to the account {account}.")
        if source.version.is_delete_marker:
            self._copy_marker(source, target)
        else:
            self._copy_object(source, target)

    def _copy_marker(self, source: Source, target: Bucket) -> None:
        version = source.version
        authorize(Action.REPLICATE_DELETE, source.caller, target, None, version.key)
        self._submit(source, target, self._engine.parts.stamp(), None)

    def _copy_object(self, source: Source, target: Bucket) -> None:
        version, rule, caller = source.version, source.rule, source.caller
        made = self._attributes_of(version, rule)
        authorize(Action.REPLICATE_OBJECT, caller, target, None, version.key, attributes=made)
        if version.tags:
            authorize(Action.REPLICATE_TAGS, caller, target, None, version.key, attributes=made)
        if rule.takes_ownership:
            authorize(Action.OBJECT_OWNER_OVERRIDE, caller, target, None, version.key)
        with self._engine.catalog.read() as reader:
            known = reader.find_version(target.name, version.key, source.replica_id, with_data=False)
        if known is None:
            self._write(source, target, made)
        else:
            self._engine.submit(
                PutReplicaAttributes(
                    **self._engine.parts.stamp(),
                    bucket=target.name,
                    bucket_id=target.id,
                    key=version.key,
                    version_id=source.replica_id,
                    attributes=made,
                    keeps_acl=rule.takes_ownership,
                )
            )

    def _attributes_of(self, version: ObjectVersion, rule: ReplicationRule) -> ObjectAttributes:
        """What goes with a copy."""
        wanted = rule.storage_class
        return attrs.evolve(
            version.attributes,
            storage_class=wanted if wanted in STORAGE_CLASSES else version.storage_class,
            grants=None if rule.takes_ownership else version.attributes.grants,
            restoration=None,
            encryption=None,
            replication=REPLICA_STATE,
        )

    def _write(self, source: Source, target: Bucket, attributes: ObjectAttributes) -> None:
        version = source.version
        request = _encryption_for(version, source.rule)
        options: AttributeOptions = {} if request is None else {"encryption": request}
        made, seal = sealed_attributes(self._engine, attributes, options, target, version.key)
        parts = self._stored.parts_of(version)
        data, stored_ms = self._copy_bytes(source.found, target, made, seal, parts)
        stamp = self._engine.parts.stamp()
        written = PutObject(
            request_id=stamp["request_id"],
            time_ms=version.modified_ms,
            bucket=target.name,
            bucket_id=target.id,
            key=version.key,
            owner=source.owner_in(target),
            creator_id=version.creator_id,
            size=version.size,
            etag=version.etag,
            data=data,
            stored_ms=stored_ms,
            attributes=made,
            checksum=version.checksum,
            crc64nvme=source.found.crc64nvme,
            parts=parts,
        )
        self._submit(source, target, stamp, written)

    def _copy_bytes(
        self,
        found: FoundObject,
        target: Bucket,
        attributes: ObjectAttributes,
        seal: Seal | None,
        parts: tuple[PartSummary, ...],
    ) -> tuple[Data, int | None]:
        """Shared with the version; but what is encrypted, or will be, is written anew, with the parts that it has."""
        version, engine = found.version, self._engine
        source_seal = self._stored.seal_of(version, None)
        if found.data is not None:
            data = Inline(self._stored.opened_inline(found, source_seal).data or b"")
            return data if seal is None else sealed_data(seal, data), None
        assert found.handle is not None
        spec = engine.spec_for(target, version.key, attributes, version.size)
        writer = BlobEngine(engine.backend, engine.committer)
        if seal is None and source_seal is None:
            stored = writer.copy(found.handle, spec)
            return BlobRef(stored.handle), stored.stored_ms
        with self._stored.open_span(found, 0, version.size, source_seal) as reader:
            if seal is None:
                stored = writer.put(spec, _piece(reader, version.size))
            else:
                pieces = [(number, part.size) for number, part in enumerate(parts, start=1)] or [(0, version.size)]
                sealed = (seal.encrypt(_piece(reader, size), number) for number, size in pieces)
                spec = attrs.evolve(spec, size=sum(sealed_size(size) for _, size in pieces))
                stored = writer.put(spec, chain.from_iterable(sealed))
        return BlobRef(stored.handle), stored.stored_ms

    def _submit(self, source: Source, target: Bucket, stamp: dict[str, Any], written: PutObject | None) -> None:
        """Have a copy be a version of the bucket. None: it is a delete marker."""
        command = PutReplica(
            **stamp,
            bucket=target.name,
            bucket_id=target.id,
            key=source.version.key,
            version_id=source.replica_id,
            sequence=source.found.sequence,
            owner=source.owner_in(target),
            creator_id=source.version.creator_id,
            modified_ms=source.version.modified_ms,
            written=written,
        )
        result = BlobEngine(self._engine.backend, self._engine.committer).commit_replica(command)
        if isinstance(result, S3Error):
            raise result
        self._engine.jobs.notify()


def _encryption_for(version: ObjectVersion, rule: ReplicationRule) -> EncryptionRequest | None:
    """ "The replicated copy of the object is encrypted using the same type of server-side encryption." """
    encryption = version.encryption
    if encryption is None:
        return None
    if encryption.kind is EncryptionKind.STORE:
        return StoreKey()
    return NamedKey(key_id=rule.key_id or encryption.key_id, bucket_key=encryption.bucket_key)


def _piece(reader: BinaryIO, size: int) -> Iterator[bytes]:
    """The next `size` bytes."""
    while size:
        chunk = reader.read(min(size, CHUNK))
        size -= len(chunk)
        yield chunk
