"""Stores whose backend keeps one blob under each key (a gateway's layout `keys`), where others may write too.

A write replaces the blob under its key before the catalog knows of it, so the order of two writes is the provider's:

- A write's command says what it saw in the catalog before. If the catalog refuses it, another write was committed
  meanwhile; then the one whose blob still lies under the key is the last, and the other counts as replaced by it.
- A conditional write is judged by the catalog, then by the provider, by which nothing may lie under the key but the
  blob that was judged.
- A read whose blob is gone, or is another, or that the catalog does not know makes the catalog follow the provider.
  So does whatever the catalog would refuse: what it refuses by may have changed behind our back.
"""

from __future__ import annotations

import attrs

from bleepstore.backends.base import FoundBlob
from bleepstore.catalog.objects import check_write
from bleepstore.catalog.records import FoundObject
from bleepstore.commands import CompleteUpload, DeleteObject, PutObject, Result, Written
from bleepstore.errors import BlobNotFound, ConditionalRequestConflict, OperationAborted, S3Error
from bleepstore.model import BlobRef, Grant, Owner, Replaced, WriteCondition
from bleepstore.store.engine import Engine

_ATTEMPTS = 20


class OwnNameOperations(Engine):
    """What the operations on objects ask when the backend's blobs lie under their own names."""

    def _current(self, bucket: str, key: str) -> FoundObject | None:
        self._committer.read_barrier()
        with self._catalog.read() as reader:
            return reader.find_object(bucket, key, with_data=False)

    def _judge(self, bucket: str, key: str, condition: WriteCondition) -> Replaced | None:
        """What a write is about to replace, once its condition holds for it; None if the backend replaces nothing."""
        if self._gateway is None:
            return None
        current = self._current(bucket, key)
        refused = check_write(condition, _etag(current), bucket, key)
        if refused is not None:
            self._follow(bucket, key, current)
            current = self._current(bucket, key)
            refused = check_write(condition, _etag(current), bucket, key)
        if refused is not None:
            raise refused
        return _over(current)

    def _changed(self, bucket: str, key: str, condition: WriteCondition) -> S3Error:
        """The answer to a conditional write that met something else at the provider than what the catalog knew."""
        current = self._current(bucket, key)
        self._follow(bucket, key, current)
        current = self._current(bucket, key)
        refused = check_write(condition, _etag(current), bucket, key)
        return refused or ConditionalRequestConflict(bucket, key, condition.kind)

    def _submit_over(self, command: PutObject | CompleteUpload) -> Result:
        """The result of a write. One that was replaced at the provider by a later write has its effect undone by that,
        so it succeeds without a trace in the catalog."""
        result = self._committer.submit(command)
        if command.over is None:
            return result
        handle = command.handle if isinstance(command, CompleteUpload) else _handle_of(command)
        for _ in range(_ATTEMPTS):
            if not isinstance(result, OperationAborted):
                break
            try:
                self._backend.head_object(handle)
            except BlobNotFound:
                return Written(command.version_id, command.time_ms)
            current = self._current(command.bucket, command.key)
            command = attrs.evolve(command, over=_over(current), **self._stamp())
            result = self._committer.submit(command)
        return result

    # -- following the provider

    def _follow(self, bucket: str, key: str, known: FoundObject | None) -> None:
        """Make the catalog say of a key what the provider says, if it still says what is `known`."""
        assert self._gateway is not None
        found = self._gateway.find(bucket, key)
        over = _over(known)
        if found is None:
            if known is not None:
                self._gateway.check_bucket(bucket)  # without its container every object would seem to be gone
                self._committer.submit(DeleteObject(**self._stamp(), bucket=bucket, key=key, over=over))
        elif found.handle != over.handle:
            owner, grants = (self._find_owner(bucket), None) if known is None else rights(known)
            self._committer.submit(self._adoption(found, owner, grants, over))

    def _find_owner(self, bucket: str) -> Owner:
        found = self._catalog.find_bucket(bucket)
        return self._owner if found is None else found.owner

    def _adoption(
        self, found: FoundBlob, owner: Owner, grants: tuple[Grant, ...] | None, over: Replaced | None
    ) -> PutObject:
        """The command that brings in what lies at the provider. Its checksums beyond the ETag are not known."""
        return PutObject(
            **self._stamp() | {"time_ms": found.stored_ms},
            bucket=found.bucket,
            key=found.key,
            owner=owner,
            size=found.size,
            etag=found.etag,
            data=BlobRef(found.handle),
            attributes=attrs.evolve(found.attributes, grants=grants),
            over=over,
        )

    def _appeared(self, bucket: str, key: str) -> FoundObject | None:
        """What lies at the provider under a key that the catalog does not know: a write of ours that was cut off before
        its commit, or another's."""
        if self._gateway is None:
            return None
        self._follow(bucket, key, None)
        return self._current(bucket, key)

    def _missing(self, found: FoundObject) -> None:
        """The blob of `found` is not there as the catalog says: have the catalog follow, if it can."""
        if self._gateway is not None:
            current = self._current(found.version.bucket, found.version.key)
            if current is not None and current.handle == found.handle:
                self._follow(found.version.bucket, found.version.key, current)

    def _changed_behind(self, found: FoundObject) -> bool:
        """Whether the catalog, now that it followed the provider, says something else of this key than `found`."""
        if self._gateway is None:
            return False
        self._follow(found.version.bucket, found.version.key, found)
        current = self._current(found.version.bucket, found.version.key)
        return current is None or current.handle != found.handle

    # -- deleting

    def _delete_own(self, bucket: str, key: str, condition: WriteCondition) -> None:
        """Remove the blob, then tell the catalog. A write that ends after that is later than this and stays."""
        over = self._judge(bucket, key, condition)
        assert over is not None
        assert self._gateway is not None
        gone = [] if over.handle is None else [over.handle]
        if over.handle is None or not self._gateway.remove(over.handle):
            if condition:
                raise self._changed(bucket, key, condition)
            found = self._gateway.find(bucket, key)
            if found is None:
                self._gateway.check_bucket(bucket)
            elif self._gateway.remove(found.handle):
                gone.append(found.handle)  # a write under way may have committed it
        for handle in gone:
            command = DeleteObject(**self._stamp(), bucket=bucket, key=key, over=Replaced(handle))
            result = self._committer.submit(command)
            if isinstance(result, S3Error) and not isinstance(result, OperationAborted):
                raise result


def rights(known: FoundObject) -> tuple[Owner, tuple[Grant, ...] | None]:
    """The owner and the grants of an object, which its provider does not keep."""
    return known.version.owner, known.version.attributes.grants


def _etag(found: FoundObject | None) -> str | None:
    return None if found is None else found.version.etag


def _over(found: FoundObject | None) -> Replaced:
    return Replaced(None if found is None else found.handle)


def _handle_of(command: PutObject) -> str:
    assert isinstance(command.data, BlobRef)
    return command.data.handle
