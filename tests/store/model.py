"""A store as a dictionary: what every store must do, with nothing of how one does it.

Methods have the names and arguments of `Store`, and give plain values: what a test compares of a store's result. A
refusal is `Refused` with the name of the error. Nothing here is shared with the library but its nouns.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence

import attrs

from bleepstore import (
    AclRequest,
    ByteRange,
    Caller,
    CannedAcl,
    CompletedPart,
    DeleteEntry,
    Group,
    Permission,
    ReadCondition,
    WriteCondition,
)

MIB = 1 << 20
MIN_PART = 5 * MIB
#: Who owns what the program itself creates in a bucket of its own.
OWN_ID = "bleepstore"
Grants = frozenset[tuple[str, str]]
ALWAYS = WriteCondition()


class Refused(Exception):
    """The store must raise the error of this name."""


@attrs.frozen
class Object:
    body: bytes
    etag: str
    owner: str
    grants: Grants
    metadata: tuple[tuple[str, str], ...]
    content_type: str | None
    storage_class: str
    modified_ms: int
    parts: tuple[int, ...] = ()  # their sizes
    serial: int = 0  # no two writes have the same
    version_id: str = "null"  # "": the store has not told it yet
    is_marker: bool = False

    @property
    def seen(self) -> tuple[object, ...]:
        """What a test sees of it."""
        return (
            self.etag, len(self.body), self.owner, self.grants, self.metadata, self.content_type, self.storage_class,
            self.modified_ms, len(self.parts) or None, self.version_id == "null",
        )  # fmt: skip


@attrs.frozen
class Part:
    body: bytes
    modified_ms: int

    @property
    def etag(self) -> str:
        return md5(self.body)


@attrs.define
class Upload:
    key: str
    initiator: str
    grants: Grants
    metadata: tuple[tuple[str, str], ...]
    content_type: str | None
    storage_class: str
    created_ms: int
    found: int | None  # the serial of the object that had the key when it was created
    parts: dict[int, Part] = attrs.field(factory=dict)


@attrs.define
class Bucket:
    owner: str
    grants: Grants
    created_ms: int
    versioning: str | None = None
    #: Of each key, the newest first. None is empty.
    versions: dict[str, list[Object]] = attrs.field(factory=dict)
    uploads: dict[str, Upload] = attrs.field(factory=dict)

    @property
    def objects(self) -> dict[str, Object]:
        """What is seen without a version id."""
        return {key: found[0] for key, found in self.versions.items() if not found[0].is_marker}

    def version(self, key: str, version_id: str) -> Object | None:
        return next((one for one in self.versions.get(key, []) if one.version_id == version_id), None)

    def replaced(self, key: str) -> Object | None:
        """What goes when another version of a key is written."""
        if self.versioning is None:
            return self.objects.get(key)
        return self.version(key, "null") if self.versioning == "Suspended" else None

    def write(self, key: str, made: Object) -> Object:
        gone = self.replaced(key)
        kept = [one for one in self.versions.get(key, []) if one is not gone]
        made = attrs.evolve(made, version_id="" if self.versioning == "Enabled" else "null")
        self.versions[key] = [made, *kept]
        return made

    def delete(self, key: str, owner: str, now: int, serial: int) -> None:
        """As a delete without a version id."""
        if self.versioning is None:
            self.versions.pop(key, None)
        else:
            marker = Object(b"", "", owner, frozenset(), (), None, "STANDARD", now, serial=serial, is_marker=True)
            self.write(key, marker)

    def remove(self, key: str, gone: Object) -> None:
        self.versions[key] = [one for one in self.versions[key] if one is not gone]
        if not self.versions[key]:
            del self.versions[key]


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def grants_of(request: AclRequest | None, owner: str, bucket_owner: str) -> Grants:
    if isinstance(request, tuple):
        return frozenset((str(grant.grantee), str(grant.permission)) for grant in request)
    everyone, accounts, log = str(Group.ALL_USERS), str(Group.AUTHENTICATED_USERS), str(Group.LOG_DELIVERY)
    more: dict[AclRequest, set[tuple[str, str]]] = {
        CannedAcl.PUBLIC_READ: {(everyone, "READ")},
        CannedAcl.PUBLIC_READ_WRITE: {(everyone, "READ"), (everyone, "WRITE")},
        CannedAcl.AUTHENTICATED_READ: {(accounts, "READ")},
        CannedAcl.BUCKET_OWNER_READ: {(bucket_owner, "READ")} if bucket_owner != owner else set(),
        CannedAcl.BUCKET_OWNER_FULL_CONTROL: {(bucket_owner, "FULL_CONTROL")} if bucket_owner != owner else set(),
        CannedAcl.LOG_DELIVERY_WRITE: {(log, "WRITE"), (log, "READ_ACP")},
    }
    return frozenset({(owner, "FULL_CONTROL")} | (more.get(request, set()) if request is not None else set()))


def may(owner: str, grants: Grants, caller: Caller | None, permission: Permission) -> bool:
    if caller is None:
        return True
    own = caller.account.id
    if own == owner and permission in (Permission.READ_ACP, Permission.WRITE_ACP):
        return True
    names = {own, str(Group.ALL_USERS)} | (set() if caller.is_anonymous else {str(Group.AUTHENTICATED_USERS)})
    return any((name, right) in grants for name in names for right in (str(permission), "FULL_CONTROL"))


def require(holds: bool, error: str = "AccessDenied") -> None:
    if not holds:
        raise Refused(error)


def sorted_items(mapping: dict[str, str] | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((mapping or {}).items()))


def rolled_up(keys: Sequence[str], prefix: str, delimiter: str) -> list[tuple[str, bool]]:
    """(key or common prefix, whether it is a prefix) of a listing, each prefix once."""
    found: list[tuple[str, bool]] = []
    for key in keys:
        if key.startswith(prefix):
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            entry = (key, False) if end < 0 else (key[: end + len(delimiter)], True)
            if not entry[1] or entry not in found:
                found.append(entry)
    return found


@attrs.define
class Model:
    """A whole store. `now` gives the time of the next write, in milliseconds."""

    now: Callable[[], int]
    buckets: dict[str, Bucket] = attrs.field(factory=dict)
    serial: int = 0

    def copy(self) -> Model:
        return Model(self.now, copy.deepcopy(self.buckets), self.serial)

    def next_serial(self) -> int:
        self.serial += 1
        return self.serial

    def bucket(self, name: str, caller: Caller | None, permission: Permission) -> Bucket:
        require(name in self.buckets, "NoSuchBucket")
        found = self.buckets[name]
        require(may(found.owner, found.grants, caller, permission))
        return found

    # -- buckets

    def create_bucket(self, name: str, acl: AclRequest | None, caller: Caller | None) -> tuple[object, ...]:
        require(caller is None or not caller.is_anonymous)
        owner = OWN_ID if caller is None else caller.account.id
        if name in self.buckets:
            raise Refused("BucketAlreadyOwnedByYou" if self.buckets[name].owner == owner else "BucketAlreadyExists")
        made = self.buckets[name] = Bucket(owner, grants_of(acl, owner, owner), self.now())
        return name, made.owner, made.grants, made.created_ms

    def delete_bucket(self, name: str, caller: Caller | None) -> None:
        require(name in self.buckets, "NoSuchBucket")
        require(caller is None or caller.account.id == self.buckets[name].owner)
        require(not self.buckets[name].versions, "BucketNotEmpty")
        del self.buckets[name]

    def list_buckets(self, prefix: str, caller: Caller | None) -> list[tuple[str, str, int]]:
        require(caller is None or not caller.is_anonymous)
        return [
            (name, one.owner, one.created_ms)
            for name, one in sorted(self.buckets.items())
            if name.startswith(prefix) and (caller is None or caller.account.id == one.owner)
        ]

    def get_bucket_acl(self, name: str, caller: Caller | None) -> tuple[str, Grants]:
        found = self.bucket(name, caller, Permission.READ_ACP)
        return found.owner, found.grants

    def put_bucket_acl(self, name: str, acl: AclRequest, caller: Caller | None) -> None:
        found = self.bucket(name, caller, Permission.WRITE_ACP)
        found.grants = grants_of(acl, found.owner, found.owner)

    def get_bucket_versioning(self, name: str, caller: Caller | None) -> str | None:
        require(name in self.buckets, "NoSuchBucket")
        require(caller is None or caller.account.id == self.buckets[name].owner)
        return self.buckets[name].versioning

    def put_bucket_versioning(self, name: str, versioning: str, caller: Caller | None) -> None:
        self.get_bucket_versioning(name, caller)
        self.buckets[name].versioning = versioning

    # -- objects

    def check_owner(self, bucket: Bucket, key: str, caller: Caller | None) -> None:
        """WRITE lets others than the bucket's owner replace and delete their own objects alone."""
        for found in (bucket.objects.get(key), bucket.replaced(key)):
            if found is not None:
                self.check_owner_of(bucket, found, caller)

    def check_owner_of(self, bucket: Bucket, found: Object, caller: Caller | None) -> None:
        if caller is not None and caller.account.id != bucket.owner:
            require(not caller.is_anonymous and found.owner == caller.account.id)

    def check_write(self, bucket: Bucket, key: str, condition: WriteCondition) -> None:
        current = bucket.objects.get(key)
        if condition.if_none_match:
            require(current is None, "PreconditionFailed")
        if condition.if_match is not None:
            require(current is not None, "NoSuchKey")
            assert current is not None
            require(condition.if_match in ("*", current.etag), "PreconditionFailed")

    def put_object(
        self,
        name: str,
        key: str,
        body: bytes,
        *,
        metadata: dict[str, str],
        content_type: str | None,
        storage_class: str,
        acl: AclRequest | None,
        condition: WriteCondition,
        caller: Caller | None,
    ) -> tuple[object, ...]:
        bucket = self.bucket(name, caller, Permission.WRITE)
        if (current := bucket.objects.get(key)) is not None:
            self.check_owner_of(bucket, current, caller)
        self.check_write(bucket, key, condition)
        self.check_owner(bucket, key, caller)
        owner = bucket.owner if caller is None else caller.account.id
        made = Object(
            body, md5(body), owner, grants_of(acl, owner, bucket.owner), sorted_items(metadata), content_type,
            storage_class, self.now(), serial=self.next_serial(),
        )  # fmt: skip
        return bucket.write(key, made).seen

    def find(
        self, name: str, key: str, caller: Caller | None, permission: Permission, version_id: str | None = None
    ) -> Object:
        require(name in self.buckets, "NoSuchBucket")
        bucket = self.buckets[name]
        current = bucket.objects.get(key)
        found = current if version_id is None else bucket.version(key, version_id)
        if found is None:
            if version_id is not None and current is not None:
                require(may(current.owner, current.grants, caller, permission))
            else:
                require(may(bucket.owner, bucket.grants, caller, Permission.READ))
            is_plain = version_id is None or (version_id == "null" and bucket.versioning is None)
            raise Refused("NoSuchKey" if is_plain else "NoSuchVersion")
        grants = frozenset({(found.owner, "FULL_CONTROL")}) if found.is_marker else found.grants
        require(may(found.owner, grants, caller, permission))
        require(not found.is_marker, "MethodNotAllowed")
        return found

    def check_read(self, found: Object, condition: ReadCondition | None) -> None:
        if condition is not None and condition.if_match is not None:
            require(found.etag in condition.if_match or "*" in condition.if_match, "PreconditionFailed")
        if condition is not None and condition.if_none_match is not None:
            require(not (found.etag in condition.if_none_match or "*" in condition.if_none_match), "NotModified")

    def get_object(
        self,
        name: str,
        key: str,
        *,
        range: ByteRange | None,  # as Store's
        part_number: int | None,
        condition: ReadCondition | None,
        caller: Caller | None,
        version_id: str | None = None,
    ) -> tuple[tuple[object, ...], bytes]:
        found = self.find(name, key, caller, Permission.READ, version_id)
        self.check_read(found, condition)
        if part_number is not None:
            sizes = found.parts or (len(found.body),)
            require(1 <= part_number <= len(sizes), "InvalidPartNumber")
            start = sum(sizes[: part_number - 1])
            return found.seen, found.body[start : start + sizes[part_number - 1]]
        if range is None:
            return found.seen, found.body
        return found.seen, cut(found.body, range)

    def delete_object(
        self, name: str, key: str, *, condition: WriteCondition, caller: Caller | None, version_id: str | None = None
    ) -> tuple[str, str | None, bool]:
        """(key, version id, whether a delete marker was made or removed)."""
        bucket = self.bucket(name, caller, Permission.WRITE)
        if version_id is not None:
            require(caller is None or caller.account.id == bucket.owner)
            self.check_write(bucket, key, condition)
            gone = bucket.version(key, version_id)
            if gone is not None:
                bucket.remove(key, gone)
            return key, version_id, gone is not None and gone.is_marker
        # Whether there is something of another account is seen before what the condition asks, else after it.
        current = bucket.objects.get(key)
        if current is not None:
            self.check_owner_of(bucket, current, caller)
        self.check_write(bucket, key, condition)
        self.check_owner(bucket, key, caller)
        bucket.delete(key, bucket.owner if caller is None else caller.account.id, self.now(), self.next_serial())
        return key, None, bucket.versioning is not None

    def delete_objects(self, name: str, entries: Sequence[DeleteEntry], caller: Caller | None) -> list[str]:
        """The key, or the error, of each."""
        self.bucket(name, caller, Permission.WRITE)
        outcomes = []
        for entry in entries:
            try:
                self.delete_object(
                    name, entry.key, condition=entry.condition, caller=caller, version_id=entry.version_id
                )
                outcomes.append(entry.key)
            except Refused as refused:
                outcomes.append(str(refused))
        return outcomes

    def copy_object(
        self,
        source_name: str,
        source_key: str,
        name: str,
        key: str,
        *,
        source_condition: ReadCondition | None,
        replaced_metadata: dict[str, str] | None,
        storage_class: str | None,
        acl: AclRequest | None,
        condition: WriteCondition,
        caller: Caller | None,
        source_version_id: str | None = None,
    ) -> tuple[object, ...]:
        bucket = self.bucket(name, caller, Permission.WRITE)
        if (current := bucket.objects.get(key)) is not None:
            self.check_owner_of(bucket, current, caller)
        source = self.source(source_name, source_key, source_condition, caller, source_version_id)
        is_unchanged = replaced_metadata is None and storage_class is None and source_version_id is None
        if (source_name, source_key) == (name, key) and is_unchanged:
            self.check_write(bucket, key, condition)
            raise Refused("InvalidRequest")
        self.check_write(bucket, key, condition)
        self.check_owner(bucket, key, caller)
        owner = bucket.owner if caller is None else caller.account.id
        is_replaced = replaced_metadata is not None
        made = Object(
            source.body,
            md5(source.body),
            owner,
            grants_of(acl, owner, bucket.owner),
            sorted_items(replaced_metadata) if is_replaced else source.metadata,
            None if is_replaced else source.content_type,
            storage_class or "STANDARD",
            self.now(),
            serial=self.next_serial(),
        )
        return bucket.write(key, made).seen

    def source(
        self,
        name: str,
        key: str,
        condition: ReadCondition | None,
        caller: Caller | None,
        version_id: str | None = None,
    ) -> Object:
        try:
            found = self.find(name, key, caller, Permission.READ, version_id)
        except Refused as refused:
            raise Refused("InvalidRequest" if str(refused) == "MethodNotAllowed" else str(refused)) from None
        try:
            self.check_read(found, condition)
        except Refused:
            raise Refused("PreconditionFailed") from None
        return found

    def list_objects(
        self, name: str, *, prefix: str, delimiter: str, start_after: str, caller: Caller | None
    ) -> list[tuple[object, ...]]:
        """The entries of all pages, in order."""
        bucket = self.bucket(name, caller, Permission.READ)
        keys = [key for key in sorted(bucket.objects) if key > start_after]
        found: list[tuple[object, ...]] = []
        for entry, is_prefix in rolled_up(keys, prefix, delimiter):
            if is_prefix:
                found.append((entry,))
            else:
                one = bucket.objects[entry]
                found.append((entry, one.etag, len(one.body), one.modified_ms, one.storage_class, one.owner))
        return found

    def list_versions(
        self, name: str, *, prefix: str, delimiter: str, caller: Caller | None
    ) -> list[tuple[object, ...]]:
        """The entries of all pages, in order."""
        bucket = self.bucket(name, caller, Permission.READ)
        found: list[tuple[object, ...]] = []
        for entry, is_prefix in rolled_up(sorted(bucket.versions), prefix, delimiter):
            if is_prefix:
                found.append((entry,))
            else:
                found += [
                    (entry, one.version_id, at == 0, one.is_marker, one.etag, len(one.body), one.modified_ms, one.owner)
                    for at, one in enumerate(bucket.versions[entry])
                ]
        return found

    def get_object_acl(
        self, name: str, key: str, caller: Caller | None, version_id: str | None = None
    ) -> tuple[str, Grants]:
        found = self.find(name, key, caller, Permission.READ_ACP, version_id)
        return found.owner, found.grants

    def put_object_acl(
        self, name: str, key: str, acl: AclRequest, caller: Caller | None, version_id: str | None = None
    ) -> None:
        found = self.find(name, key, caller, Permission.WRITE_ACP, version_id)
        bucket = self.buckets[name]
        changed = attrs.evolve(found, grants=grants_of(acl, found.owner, bucket.owner))
        bucket.versions[key] = [changed if one is found else one for one in bucket.versions[key]]

    # -- uploads

    def create_upload(
        self,
        name: str,
        key: str,
        *,
        metadata: dict[str, str],
        content_type: str | None,
        storage_class: str,
        acl: AclRequest | None,
        caller: Caller | None,
    ) -> Upload:
        """The caller enters it into `uploads`, under the id that the store gave it."""
        require(caller is None or not caller.is_anonymous)
        bucket = self.bucket(name, caller, Permission.WRITE)
        owner = bucket.owner if caller is None else caller.account.id
        found = bucket.objects.get(key)
        return Upload(
            key, owner, grants_of(acl, owner, bucket.owner), sorted_items(metadata), content_type, storage_class,
            self.now(), None if found is None else found.serial,
        )  # fmt: skip

    def upload(self, name: str, key: str, upload_id: str, caller: Caller | None, *, by_owner: bool = False) -> Upload:
        require(name in self.buckets, "NoSuchBucket")
        bucket = self.buckets[name]
        found = bucket.uploads.get(upload_id)
        if found is None or found.key != key or not by_owner:
            self.bucket(name, caller, Permission.WRITE)
            require(found is not None and found.key == key, "NoSuchUpload")
        assert found is not None
        allowed = {found.initiator, bucket.owner} if by_owner else {found.initiator}
        require(caller is None or caller.account.id in allowed)
        return found

    def put_part(
        self, name: str, key: str, upload_id: str, number: int, body: bytes, caller: Caller | None
    ) -> tuple[int, int, str, int]:
        upload = self.upload(name, key, upload_id, caller)
        upload.parts[number] = made = Part(body, self.now())
        return number, len(body), made.etag, made.modified_ms

    def copy_part(
        self,
        source_name: str,
        source_key: str,
        name: str,
        key: str,
        upload_id: str,
        number: int,
        source_range: ByteRange | None,
        caller: Caller | None,
    ) -> tuple[int, int, str, int]:
        upload = self.upload(name, key, upload_id, caller)
        body = self.source(source_name, source_key, None, caller).body
        if source_range is not None:
            require(source_range.last is None or source_range.last < len(body), "InvalidArgument")
            body = cut(body, source_range)
        upload.parts[number] = made = Part(body, self.now())
        return number, len(body), made.etag, made.modified_ms

    def list_parts(self, name: str, key: str, upload_id: str, caller: Caller | None) -> list[tuple[int, int, str, int]]:
        parts = self.upload(name, key, upload_id, caller, by_owner=True).parts
        return [(number, len(part.body), part.etag, part.modified_ms) for number, part in sorted(parts.items())]

    def complete_upload(
        self,
        name: str,
        key: str,
        upload_id: str,
        parts: Sequence[CompletedPart],
        *,
        condition: WriteCondition,
        caller: Caller | None,
    ) -> tuple[object, ...]:
        require(bool(parts), "InvalidRequest")
        numbers = [part.number for part in parts]
        require(numbers == sorted(set(numbers)), "InvalidPartOrder")
        upload = self.upload(name, key, upload_id, caller)
        bucket = self.buckets[name]
        if (current := bucket.objects.get(key)) is not None:
            self.check_owner_of(bucket, current, caller)
        for part in parts:
            require(part.number in upload.parts and upload.parts[part.number].etag == part.etag, "InvalidPart")
        bodies = [upload.parts[number].body for number in numbers]
        require(all(len(body) >= MIN_PART for body in bodies[:-1]), "EntityTooSmall")
        self.check_write(bucket, key, condition)
        if condition:
            require((current and current.serial) == upload.found, "ConditionalRequestConflict")
        self.check_owner(bucket, key, caller)
        digests = b"".join(hashlib.md5(body).digest() for body in bodies)
        made = Object(
            b"".join(bodies), f"{md5(digests)}-{len(bodies)}", upload.initiator, upload.grants, upload.metadata,
            upload.content_type, upload.storage_class, self.now(), tuple(map(len, bodies)), self.next_serial(),
        )  # fmt: skip
        del bucket.uploads[upload_id]
        return bucket.write(key, made).seen

    def abort_upload(self, name: str, key: str, upload_id: str, caller: Caller | None) -> None:
        self.upload(name, key, upload_id, caller, by_owner=True)
        del self.buckets[name].uploads[upload_id]

    def list_uploads(
        self, name: str, *, prefix: str, delimiter: str, caller: Caller | None
    ) -> list[tuple[object, ...]]:
        bucket = self.bucket(name, caller, Permission.READ)
        by_key: dict[str, list[tuple[str, Upload]]] = {}
        for upload_id, upload in sorted(bucket.uploads.items()):
            by_key.setdefault(upload.key, []).append((upload_id, upload))
        found: list[tuple[object, ...]] = []
        for entry, is_prefix in rolled_up(sorted(by_key), prefix, delimiter):
            if is_prefix:
                found.append((entry,))
            else:
                found += [(entry, one, each.initiator, each.created_ms) for one, each in by_key[entry]]
        return found


def cut(body: bytes, wanted: ByteRange) -> bytes:
    """RFC 9110 section 14.1.2; the last bytes of nothing are nothing."""
    if wanted.first is None:
        assert wanted.last is not None
        require(wanted.last > 0, "InvalidRange")
        return body[-wanted.last :]
    require(wanted.first < len(body), "InvalidRange")
    return body[wanted.first :] if wanted.last is None else body[wanted.first : wanted.last + 1]
