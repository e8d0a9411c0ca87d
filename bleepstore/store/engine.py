"""What all operations of a store share: its parts, its clock and ids, and the first questions of every operation."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import os
import warnings
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, BinaryIO, Self

import attrs

from bleepstore.access import Action, Caller, authorize
from bleepstore.backends.base import BlobId, Gateway, StorageBackend, new_blob_id
from bleepstore.catalog.objects import check_owner
from bleepstore.catalog.records import FoundObject
from bleepstore.catalog.sqlite import Catalog
from bleepstore.commands import Command, Result
from bleepstore.committer import RESERVE, Committer
from bleepstore.errors import BlobBusy, InvalidArgument, NoSuchBucket, S3Error
from bleepstore.jobs import Jobs, Sweeping
from bleepstore.jobs.lease import Lease, SoleLease
from bleepstore.jobs.orphans import GRACE_MS
from bleepstore.jobs.parts import Parts, RequestIds
from bleepstore.model import Bucket, Credential, ObjectVersion, Owner, PartSummary, WriteCondition
from bleepstore.store.blob_engine import BlobEngine, ObjectEngine
from bleepstore.store.keyed_engine import KeyedEngine
from bleepstore.store.verifying import Span, Verifier

#: The owner of what the embedding application creates, unless another is named.
DEFAULT_OWNER = Owner("bleepstore", "bleepstore")


class Engine:
    """The parts of a store. `Store` adds the operations, a mix-in for each noun."""

    def __init__(
        self,
        catalog: Catalog,
        committer: Committer,
        backend: StorageBackend,
        *,
        clock: Callable[[], int],
        owner: Owner,
        inline_limit: int,
        upload_expiry_ms: int,
        close: Callable[[], None],
        wall_clock: Callable[[], int] | None = None,
        lease: Lease | None = None,
    ) -> None:
        self._catalog = catalog
        self._committer = committer
        self._backend = backend
        self._engine: ObjectEngine = (
            KeyedEngine(catalog, committer, backend, self._stamp)
            if isinstance(backend, Gateway) and backend.own_names
            else BlobEngine(backend, committer)
        )
        self._verifier = Verifier(backend)
        self._clock = clock
        self._wall_clock = wall_clock or clock
        self._owner = owner
        self._inline_limit = inline_limit
        self._close = close
        self._only_process: Callable[[], contextlib.AbstractContextManager[None]] | None = None
        self._new_request_id = RequestIds(clock)
        self._upload_expiry_ms = upload_expiry_ms
        self._credential_memory: dict[str, tuple[float, Credential]] = {}
        parts = Parts(catalog, committer, backend, clock, self._wall_clock, self._new_request_id)
        folder = None if catalog.path is None else catalog.path.parent
        self._jobs = Jobs(clock, lease or SoleLease(), folder=folder, read_only=catalog.read_only)
        self._sweeping = Sweeping(self._jobs, parts, upload_expiry_ms)
        name = "in memory" if folder is None else f"in {folder}"
        self._dropped = weakref.finalize(self, _drop, os.getpid(), name, self._jobs, catalog, close)
        self._dropped.atexit = False  # a process that ends frees everything by itself

    @property
    def owner(self) -> Owner:
        """The owner of what the embedding application creates."""
        return self._owner

    def wall_time_ms(self) -> int:
        """The time by the clock that `bleepstore.open` was given, which may also go back; what signatures are checked
        against."""
        return self._wall_clock()

    def check_open(self) -> None:
        """Raise StoreClosed if the store was closed, or was opened before this process was forked."""
        self._catalog.check_usable()

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        """A block in which no other process has the store open; raises StoreError if one has."""
        return contextlib.nullcontext() if self._only_process is None else self._only_process()

    # -- ids and commands

    def _stamp(self) -> dict[str, Any]:
        return {"request_id": self._new_request_id(), "time_ms": self._wall_clock()}

    def _new_blob_id(self) -> BlobId:
        return new_blob_id(self._clock())

    def _submit(self, command: Command) -> Result:
        """The result of a command; a refusal is raised."""
        result = self._committer.submit(command)
        if isinstance(result, S3Error):
            raise result
        return result

    def _remove_refused(self, handle: str, token: str | None = None) -> None:
        """Remove the blob of a command that was refused, or the part of the upload with this token. If it is busy, the
        next sweep finds it as an orphan."""
        with contextlib.suppress(BlobBusy):
            if token is None:
                self._backend.delete_object(handle)
            else:
                self._backend.delete_parts(token, [handle])

    # -- questions

    def _find_bucket(self, bucket: str) -> Bucket:
        self._committer.read_barrier()
        found = self._catalog.find_bucket(bucket)
        if found is None:
            raise NoSuchBucket(bucket)
        return found

    def _condition_for(
        self, action: Action, bucket: Bucket, key: str, condition: WriteCondition, caller: Caller | None
    ) -> WriteCondition:
        """The condition of a write that `caller` may do, with whose object alone it may replace. If there is one of
        another already, nothing else is looked at."""
        only_of = authorize(action, caller, bucket)
        if only_of is None:
            return condition
        with self._catalog.read() as reader:
            current = reader.find_object(bucket.name, key, with_data=False)
        condition = attrs.evolve(condition, replaces_only_of=only_of)
        if refused := check_owner(condition, None if current is None else current.version.owner.id):
            raise refused
        return condition

    def _bucket_for(self, bucket: str, action: Action, caller: Caller | None) -> Bucket:
        """The bucket, if it exists and `caller` may do `action` there."""
        found = self._find_bucket(bucket)
        authorize(action, caller, found)
        return found

    def _owner_of_new(self, caller: Caller | None, bucket: Bucket) -> Owner:
        return bucket.owner if caller is None else caller.account

    # -- bytes

    @property
    def damaged_reads(self) -> int:
        """How often this store, since it was opened, met bytes that are not those that were written."""
        return self._verifier.comparisons.damaged

    def _open_span(self, found: FoundObject, start: int, stop: int) -> BinaryIO:
        """Bytes of a blob, compared with what was written if these are all of it."""
        version = found.version
        assert found.handle is not None
        return self._verifier.open(
            version.bucket, version.key, found.handle, version.size, found.crc64nvme, start, stop
        )

    def _check_inline(self, found: FoundObject) -> None:
        """Raises ObjectDamaged if the bytes in the catalog are not those that were written."""
        if found.data is not None:
            version = found.version
            self._verifier.check_inline(version.bucket, version.key, found.data, version.size, found.crc64nvme)

    def _verified_chunks(self, found: FoundObject, start: int, stop: int) -> Iterator[bytes]:
        """Bytes of a blob that a copy is made of. What they are part of, the object or its parts, is compared whole: a
        copy must not give damaged bytes a checksum of their own."""
        version = found.version
        assert found.handle is not None
        spans = [Span(0, version.size, found.crc64nvme)]
        if parts := self._parts_of(version):
            ends = list(itertools.accumulate(part.size for part in parts))
            spans = [Span(end - part.size, end, part.crc64nvme) for part, end in zip(parts, ends, strict=True)]
        return self._verifier.chunks(version.bucket, version.key, found.handle, spans, start, stop)

    def _parts_of(self, version: ObjectVersion) -> tuple[PartSummary, ...]:
        if version.parts_count is None:
            return ()
        with self._catalog.read() as reader:
            return reader.object_parts(version.bucket, version.key)

    # -- life

    @property
    def jobs(self) -> Jobs:
        """What the store does by itself: what of it is done and due, and a way to have it done now."""
        return self._jobs

    def sweep(self, *, grace: dt.timedelta | None = None) -> None:
        """Remove garbage, orphans and expired uploads now.

        An orphan is a blob that no command has brought in since `grace`, which is how long a write may take from the
        end of its bytes to its commit: ten minutes. If nothing else writes, no time at all finds every orphan.
        """
        self._sweeping.sweep(GRACE_MS if grace is None else grace // dt.timedelta(milliseconds=1))

    @property
    def read_only(self) -> bool:
        """Whether the store was opened with `read_only`."""
        return self._catalog.read_only

    def ping(self) -> None:
        """Raise if the catalog cannot be read, or if nothing can be written though the store is not read-only: on a
        full disk, StorageFull; on one that is read-only or fails, StorageUnavailable; while another process keeps all
        others from writing, SlowDown."""
        with self._catalog.read() as reader:
            reader.applied_index()
        if not self.read_only:
            self._catalog.check_disk(RESERVE)

    def close(self) -> None:
        """Stop the jobs and release files and connections. Closing twice is allowed."""
        self._dropped.detach()
        self._jobs.stop()
        self._catalog.close()
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _drop(pid: int, name: str, jobs: Jobs, catalog: Catalog, close: Callable[[], None]) -> None:
    """What becomes of a store that nobody refers to any more and nobody closed."""
    if pid != os.getpid():  # a forked child has its parent's object, not its connections
        return

    def free() -> None:
        catalog.close()
        close()

    try:
        text = f"The store {name} was not closed: use it in a `with` block, or call close()."
        warnings.warn(text, ResourceWarning, stacklevel=2)
    finally:
        jobs.abandon(free)


def check_limit(limit: int) -> None:
    if limit < 0:
        raise InvalidArgument("A limit must not be negative.", "limit", str(limit))
