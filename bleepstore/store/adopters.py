"""How one object that is stored at a provider comes into the catalog, and leaves it, while others may use the store.

A listing is of the past: what it shows may have been overwritten or deleted, and committed, since. So what the catalog
knows otherwise is not taken from the listing, and what it does not know is brought in on the condition that it still
does not.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import attrs

from bleepstore.backends.base import FoundBlob, Gateway
from bleepstore.catalog.port import CatalogPort
from bleepstore.catalog.records import FoundObject
from bleepstore.commands import FollowProvider
from bleepstore.committer import Committer
from bleepstore.errors import (
    AccessDenied,
    BlobNotFound,
    NoSuchKey,
    OperationAborted,
    PreconditionFailed,
    S3Error,
)
from bleepstore.jobs.orphans import GRACE_MS, OVERLAP_MS
from bleepstore.model import Bucket
from bleepstore.preconditions import WriteCondition
from bleepstore.store.keyed_engine import KeptRights, KeyedEngine, ObjectKey, adoption, rights

_log = logging.getLogger("bleepstore.store")

_ATTEMPTS = 20


class Outcome(enum.Enum):
    """What became of a blob. What is `KEPT` is an older version than what was written or deleted meanwhile: it stays at
    the provider, and the catalog does not know it."""

    NEW = enum.auto()
    KNOWN = enum.auto()
    KEPT = enum.auto()


class Adopter(Protocol):
    """`others_delete` says whether objects may be gone at the provider that the catalog still has."""

    others_delete: ClassVar[bool]

    def bring_in(self, bucket: Bucket, blob: FoundBlob) -> Outcome: ...

    def remove_gone(self, bucket: Bucket, key: str) -> bool:
        """Remove an object that was not listed, if it is not at the provider, and whether the catalog has none of this
        key: it may be listed in another folder, or written since."""


@attrs.frozen
class KeyedAdopter:
    """The provider keeps one object under each key, and is asked for the key where the catalog knows another."""

    engine: KeyedEngine
    others_delete: ClassVar[bool] = True

    def bring_in(self, bucket: Bucket, blob: FoundBlob) -> Outcome:
        return Outcome.NEW if self._is_new(ObjectKey(bucket.name, bucket.id, blob.key), blob) else Outcome.KNOWN

    def _is_new(self, at: ObjectKey, blob: FoundBlob) -> bool:
        current = self.engine.find_current(at)
        if current is None:
            result = self.engine.adopt_as(at, blob, None)
            if isinstance(result, S3Error) and not isinstance(result, OperationAborted):
                raise result
            return not isinstance(result, S3Error)
        if current.handle == blob.handle:
            return False
        self.engine.follow(at, current)
        followed = self.engine.find_current(at)
        return followed is not None and followed.handle != current.handle

    def remove_gone(self, bucket: Bucket, key: str) -> bool:
        at = ObjectKey(bucket.name, bucket.id, key)
        current = self.engine.find_current(at)
        if current is None:
            return False
        try:
            self.engine.follow(at, current)
        except AccessDenied:  # to this object, which was skipped, or else to the next request too
            return False
        return self.engine.find_current(at) is None


@attrs.frozen(kw_only=True)
class BlobAdopter:
    """Nobody else writes blobs. One comes in if it was written last of its key, and is no garbage. In a bucket that
    keeps versions all come in, each as the newest: so the oldest is brought first."""

    catalog: CatalogPort
    committer: Committer
    backend: Gateway
    stamp: Callable[[], dict[str, Any]]
    clock: Callable[[], int]
    others_delete: ClassVar[bool] = False

    def bring_in(self, bucket: Bucket, blob: FoundBlob) -> Outcome:
        if blob.stored_ms >= max(bucket.created_ms + OVERLAP_MS, self.clock() - GRACE_MS):
            return Outcome.KNOWN  # as for the sweep: the command of a write to this catalog may be on its way
        if blob.attributes.encryption is not None:
            if not self._is_known(blob.handle):
                _log.warning("%s/%s is encrypted, and its key was in the catalog that it was of", bucket.name, blob.key)
            return Outcome.KNOWN
        for _ in range(_ATTEMPTS):
            current = self._find_current(blob.bucket, blob.key)
            if self._is_known(blob.handle):
                return Outcome.KNOWN
            if bucket.versioning is None and not self._is_later(blob, current):
                return Outcome.KNOWN
            if bucket.versioning is not None and not self._is_latest(blob):
                # What was written to this very catalog, and is not in it, was never in a bucket.
                return Outcome.KEPT if blob.stored_ms < bucket.created_ms else Outcome.KNOWN
            if current is None:
                condition = WriteCondition(if_none_match=True)
                kept = KeptRights(bucket.owner)
            else:
                condition = WriteCondition(if_match=current.version.etag)
                kept = rights(current)
            command = attrs.evolve(
                adoption(blob, kept, self.stamp()),
                bucket_id=bucket.id,
                # No sweep has looked at what was here before this catalog had the bucket.
                stored_ms=blob.stored_ms if blob.stored_ms >= bucket.created_ms else None,
                condition=condition,
            )
            match self.committer.submit(command):
                case PreconditionFailed() | NoSuchKey():
                    continue  # another blob of this key came in between
                case OperationAborted():
                    return Outcome.KNOWN  # a sweep has taken it for an orphan
                case S3Error() as refused:
                    raise refused
            return Outcome.NEW
        return Outcome.KNOWN

    def remove_gone(self, bucket: Bucket, key: str) -> bool:
        current = self._find_current(bucket.name, key)
        if current is None:
            return False
        if current.handle is not None and not self._is_there(current.handle):
            command = FollowProvider(
                **self.stamp(), bucket=bucket.name, bucket_id=bucket.id, key=key, expected_current=current.handle
            )
            self.committer.submit(command)
        return self._find_current(bucket.name, key) is None

    def _find_current(self, bucket: str, key: str) -> FoundObject | None:
        self.committer.read_barrier()
        with self.catalog.read() as reader:
            return reader.find_object(bucket, key, with_data=False)

    def _is_later(self, blob: FoundBlob, current: FoundObject | None) -> bool:
        """Whether a blob was written after the one that the catalog has of its key, and is there."""
        if current is None:
            return True  # whether it is there is asked of all of them at once
        return current.version.modified_ms < blob.stored_ms and self._is_there(blob.handle)

    def _is_latest(self, blob: FoundBlob) -> bool:
        """Whether it would be the newest version of its key, and is to stay. Some providers tell times in seconds."""
        with self.catalog.read() as reader:
            latest = reader.latest_version(blob.bucket, blob.key)
            is_garbage = reader.is_garbage(blob.handle)
        return not is_garbage and (latest is None or latest.version.modified_ms <= blob.stored_ms)

    def _is_known(self, handle: str) -> bool:
        with self.catalog.read() as reader:
            return reader.is_referenced(handle)

    def _is_there(self, handle: str) -> bool:
        """Whether a blob is at the provider, and to stay."""
        with self.catalog.read() as reader:
            if reader.is_garbage(handle):
                return False
        try:
            self.backend.head_object(handle)
        except BlobNotFound:
            return False
        return True
