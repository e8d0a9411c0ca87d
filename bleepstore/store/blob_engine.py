"""What the operations on objects ask of the bytes' storage: one interface, for the two kinds that there are.

`BlobEngine` is for a `StorageBackend`: bytes are stored first, under a name that nothing else has, and the command that
commits them decides. `bleepstore.store.keyed_engine` is for a backend that keeps one object under each key.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Protocol

from bleepstore.backends.base import BlobSpec, PartBlob, StorageBackend, StoredBlob
from bleepstore.catalog.records import FoundObject
from bleepstore.commands import (
    CompleteUpload,
    DeleteObject,
    DeleteObjects,
    PutObject,
    PutObjectTags,
    PutReplica,
    Removed,
    RemovedMany,
    Result,
)
from bleepstore.committer import Committer
from bleepstore.errors import BlobBusy, S3Error
from bleepstore.model import BlobRef, Bucket, Upload, UploadToken
from bleepstore.preconditions import WriteCondition

#: A blob that is replaced between the look-up and the open is looked up again; more often than this is a fault.
_OPEN_ATTEMPTS = 5


class Write(Protocol):
    """One write of an object: its bytes, then its command. Raises what the backend does, and refusals of a condition
    that the backend itself compares."""

    def put(self, spec: BlobSpec, chunks: Iterable[bytes]) -> StoredBlob:
        """As `StorageBackend.put_object`."""

    def copy(self, handle: str, spec: BlobSpec) -> StoredBlob:
        """As `StorageBackend.copy_object`."""

    def assemble(self, token: UploadToken | None, spec: BlobSpec, parts: Sequence[PartBlob]) -> StoredBlob:
        """As `StorageBackend.assemble_parts`."""

    def commit(self, command: PutObject) -> Result:
        """The result of the command, which may be a refusal. Then nothing is left of the bytes that may go."""

    def commit_upload(self, command: CompleteUpload, upload: Upload) -> Result:
        """The same for the completion of an upload."""


class ObjectEngine(Protocol):
    """How objects are written and removed, and what to do when the catalog and the backend differ."""

    keeps_versions: bool
    """Whether several versions of a key can be stored."""

    open_attempts: int
    """How often a read whose bytes are gone may begin anew."""

    def begin(self, bucket: str, bucket_id: int | None, key: str, condition: WriteCondition) -> Write:
        """A write of a key, from now on, in the bucket with this id. Raises what `condition` refuses already."""

    def delete(self, command: DeleteObject) -> Removed:
        """Remove an object or a version. Raises the refusal."""

    def delete_many(self, command: DeleteObjects) -> tuple[Removed | S3Error, ...]:
        """The outcome of each entry, in order."""

    def put_tags(self, command: PutObjectTags, found: FoundObject) -> Result:
        """Replace the tags of `found`. Returns the result of the command, which may be a refusal."""

    def find_unknown(self, bucket: Bucket, key: str) -> FoundObject | None:
        """An object that the catalog did not know, if there is one nevertheless."""

    def bytes_missing(self, found: FoundObject) -> None:
        """Called when the bytes of `found` are not there, before it is looked up again."""

    def is_outdated(self, found: FoundObject) -> bool:
        """Whether `found` is no longer what is stored: then what was refused because of it is looked at once more."""


class BlobEngine:
    """The `ObjectEngine` of immutable blobs, and the `Write` of each of them: it has nothing to remember."""

    keeps_versions = True
    open_attempts = _OPEN_ATTEMPTS

    def __init__(self, backend: StorageBackend, committer: Committer) -> None:
        self._backend = backend
        self._committer = committer

    def begin(self, bucket: str, bucket_id: int | None, key: str, condition: WriteCondition) -> BlobEngine:
        """Bucket and condition are compared when the command is applied."""
        return self

    def put(self, spec: BlobSpec, chunks: Iterable[bytes]) -> StoredBlob:
        return self._backend.put_object(spec, chunks)

    def copy(self, handle: str, spec: BlobSpec) -> StoredBlob:
        return self._backend.copy_object(handle, spec)

    def assemble(self, token: UploadToken | None, spec: BlobSpec, parts: Sequence[PartBlob]) -> StoredBlob:
        return self._backend.assemble_parts(token, spec, parts)

    def commit(self, command: PutObject) -> Result:
        result = self._committer.submit(command)
        # Only a refusal says for sure that nothing refers to the blob. After any other failure a sweep decides.
        if isinstance(result, S3Error) and isinstance(command.data, BlobRef):
            self._remove(command.data.handle)
        return result

    def commit_replica(self, command: PutReplica) -> Result:
        """As `commit`, for a copy of a version in another bucket."""
        result = self._committer.submit(command)
        written = command.written
        if isinstance(result, S3Error) and written is not None and isinstance(written.data, BlobRef):
            self._remove(written.data.handle)
        return result

    def commit_upload(self, command: CompleteUpload, upload: Upload) -> Result:
        result = self._committer.submit(command)
        if isinstance(result, S3Error):
            self._remove(command.handle)
        return result

    def _remove(self, handle: str) -> None:
        """If it is busy, a sweep finds it as an orphan."""
        with contextlib.suppress(BlobBusy):
            self._backend.delete_object(handle)

    def delete(self, command: DeleteObject) -> Removed:
        result = self._committer.submit(command)
        if isinstance(result, S3Error):
            raise result
        assert isinstance(result, Removed)
        return result

    def delete_many(self, command: DeleteObjects) -> tuple[Removed | S3Error, ...]:
        result = self._committer.submit(command)
        if isinstance(result, S3Error):
            raise result
        assert isinstance(result, RemovedMany)
        return result.outcomes

    def put_tags(self, command: PutObjectTags, found: FoundObject) -> Result:
        return self._committer.submit(command)

    def find_unknown(self, bucket: Bucket, key: str) -> FoundObject | None:
        """The catalog knows all objects."""
        return None

    def bytes_missing(self, found: FoundObject) -> None:
        """It was replaced or deleted since it was looked up."""

    def is_outdated(self, found: FoundObject) -> bool:
        """The catalog decides."""
        return False
