"""Removes what nothing refers to: garbage, orphans and expired uploads. It changes the catalog by commands only.

*Garbage* are blobs that a command let go; the catalog lists them. *Orphans* are blobs that no command ever
brought in, because a process died in between. To tell an orphan from a blob whose command is on its way, a sweep
first commits `BeginSweep(until)`: from then on every command with a blob from before `until` is refused. What is older
than that and unreferenced is an orphan for good. The next sweep starts where this one ended, so its cost follows the
activity since, not the size of the store.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence

from bleepstore.backends.base import Gateway, StorageBackend
from bleepstore.backends.gateway.retry import Outage
from bleepstore.catalog.records import Garbage
from bleepstore.catalog.sqlite import Catalog
from bleepstore.commands import AbortUpload, BeginSweep, Command, EndSweep, ForgetGarbage
from bleepstore.committer import Committer
from bleepstore.errors import BlobBusy, S3Error

_log = logging.getLogger("bleepstore.sweeper")

#: How long a write may take from the end of its bytes to its commit. Only a process that was stopped exceeds it.
GRACE_MS = 10 * 60 * 1000
#: A sweep looks back a little beyond the end of the last one: clocks of several processes differ.
OVERLAP_MS = 5 * 60 * 1000
_BATCH = 500
_REMOTE_DELETES = 8  # at once
_MOST_REFUSED = 10_000
_GATHER_SECONDS = 0.5
_FULL_SWEEP_SECONDS = 60.0
#: How far the system's clock may run ahead of the time that passed: it is adjusted, and the machine sleeps.
_BELIEVED_MS = 3600 * 1000
_END_OF_TIME = 1 << 62


class Sweeper:
    """Sweeps when asked, and in a thread of its own that the first `poke` starts."""

    def __init__(
        self,
        catalog: Catalog,
        committer: Committer,
        backend: StorageBackend,
        *,
        clock: Callable[[], int],
        wall_clock: Callable[[], int],
        new_id: Callable[[], str],
        upload_expiry_ms: int,
    ) -> None:
        self._catalog = catalog
        self._committer = committer
        self._backend = backend
        self._clock = clock
        self._wall_clock = wall_clock
        self._looked_ms = wall_clock()
        self._looked_at = time.monotonic()
        self._new_id = new_id
        self.upload_expiry_ms = upload_expiry_ms
        self._keeps_orphans: Callable[[], bool] = lambda: False
        self._rooms: set[str] = set()  # of deleted buckets, with garbage in them
        self._refused: set[str] = set()  # what could not be removed, and was logged
        self._poked = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._start_lock = threading.Lock()
        self._work_lock = threading.RLock()

    def keep_orphans_while(self, condition: Callable[[], bool]) -> None:
        """As long as it holds, remove no blob for the reason that this catalog does not know it: it may be another's,
        or about to be adopted."""
        self._keeps_orphans = condition

    def paused(self) -> threading.RLock:
        """A lock under which nothing is removed by anyone else: `with sweeper.paused():`."""
        return self._work_lock

    # -- one pass

    def sweep(self, *, grace_ms: int = GRACE_MS, believed_ms: int | None = None) -> None:
        """Expire uploads, find orphans, remove garbage. Without other processes, a grace of 0 finds every orphan.

        No upload expires if the clock ran ahead of the real time by more than `believed_ms` since the last sweep.
        Without it that is twice the time of expiry: a program that asks for a sweep may have a clock of its own.
        """
        if believed_ms is None:
            believed_ms = max(2 * self.upload_expiry_ms, _BELIEVED_MS)
        with self._work_lock:
            self.collect_garbage()  # first, for it makes room, and the rest needs some on a full disk
            if not self._clock_jumped(believed_ms):
                self.expire_uploads()
            self.find_orphans(grace_ms)
            self.collect_garbage(again=True)
            self._give_rooms_back(Outage())

    def recover(self, set_aside: Callable[[str], bool], *, everywhere: bool) -> None:
        """Remove what an earlier process left, for the only one that has the store open. `set_aside` takes the orphans
        that may be needed. Uploads do not expire yet: nobody knows how long the clock has been right."""
        with self._work_lock:
            self.collect_garbage()
            self.find_orphans(0, set_aside, everywhere=everywhere)
            self.collect_garbage(again=True)

    def _submit(self, command: Command) -> None:
        """What follows relies on the command."""
        result = self._committer.submit(command)
        if isinstance(result, S3Error):
            raise result

    def _clock_jumped(self, believed_ms: int) -> bool:
        """Whether the clock ran ahead of the real time since the last look by more than `believed_ms`.

        A clock that was set wrong is put right before long, and uploads that it ended would be lost. The next look
        believes it, if it is still so."""
        now_ms, now = self._wall_clock(), time.monotonic()
        passed_ms = (now - self._looked_at) * 1000
        ran_ms = now_ms - self._looked_ms
        self._looked_ms, self._looked_at = now_ms, now
        return ran_ms > passed_ms + believed_ms

    def expire_uploads(self) -> None:
        """Abort the uploads that were created too long ago."""
        before = self._wall_clock() - self.upload_expiry_ms
        outage = Outage()
        while True:
            with self._catalog.read() as reader:
                expired = reader.expired_uploads(before, _BATCH)
            for upload in expired:
                if outage.error is not None:
                    return  # what is not ended at the provider must not be forgotten here
                self._submit(
                    AbortUpload(
                        request_id=self._new_id(),
                        time_ms=self._wall_clock(),
                        bucket=upload.bucket,
                        key=upload.key,
                        upload_id=upload.upload_id,
                    )
                )
                self._delete([], upload.backend_token, outage)
            if len(expired) < _BATCH:
                return

    def find_orphans(
        self, grace_ms: int, set_aside: Callable[[str], bool] | None = None, *, everywhere: bool = False
    ) -> None:
        """Remove the blobs that no command brought in. If one is busy, the next sweep looks from here again.

        Without other processes, a grace of 0 finds every orphan. Who has no write under way gives `set_aside`, which
        moves an orphan that may be needed, and says so. `everywhere` looks at the blobs of all times.
        """
        if self._keeps_orphans():
            return
        until = self._clock() - grace_ms
        self._submit(BeginSweep(request_id=self._new_id(), time_ms=self._wall_clock(), until_ms=until))
        with self._catalog.read() as reader:
            _begun, ended = reader.sweep_times()
        all_gone, outage = True, Outage()
        since = 0 if everywhere else max(ended - OVERLAP_MS, 0)
        before = until if set_aside is None else _END_OF_TIME
        for handle in self._backend.iter_blobs(since, before):
            with self._catalog.read() as reader:
                referenced = reader.is_referenced(handle)
            if referenced:
                continue
            if self._keeps_orphans():
                return
            if set_aside is not None and set_aside(handle):
                continue
            all_gone = self._delete([handle], None, outage) and all_gone
        if all_gone:
            self._submit(EndSweep(request_id=self._new_id(), time_ms=self._wall_clock(), until_ms=until))

    def give_back(self, bucket: str) -> None:
        """Give the room of a deleted bucket back, as soon as nothing is in it."""
        self._give_back(bucket, Outage())
        self.poke()

    def _give_rooms_back(self, outage: Outage) -> None:
        for bucket in list(self._rooms):
            if outage.error is not None or self._stopped.is_set():
                return
            self._give_back(bucket, outage)

    def _give_back(self, bucket: str, outage: Outage) -> None:
        """If the bucket was made again meanwhile it has its room: either that creation sees that the room is gone, or
        the bucket is seen here."""
        self._rooms.add(bucket)
        try:
            if self._has_bucket(bucket) or outage.call(
                self._backend.delete_bucket, bucket, lambda: self._has_bucket(bucket)
            ):
                self._rooms.discard(bucket)
            if self._has_bucket(bucket):
                self._backend.create_bucket(bucket, known=True)
        except S3Error as error:  # the bucket is deleted all the same
            self._report(f"the room of the bucket {bucket}", error)
            if outage.error is None:
                self._rooms.discard(bucket)  # it would be refused again

    def _has_bucket(self, bucket: str) -> bool:
        self._committer.read_barrier()
        return self._catalog.find_bucket(bucket) is not None

    def collect_garbage(self, *, again: bool = False) -> None:
        """Remove the blobs that commands let go; those that are being read, or cannot be removed, stay on the list.
        What was refused before is tried `again` if that is asked for."""
        after: int | None = 0
        outage = Outage()
        collected = 0
        while after is not None and outage.error is None:
            after, count = self._collect_batch(after, outage, again)
            collected += count
        if outage.error is not None:
            _log.warning("what is garbage will be removed later: %s", outage.error)
        if collected:
            self._give_rooms_back(outage)

    def _collect_batch(self, after: int, outage: Outage, again: bool) -> tuple[int | None, int]:
        """Where to go on, if there may be more, and how many blobs are gone."""
        with self._work_lock:
            with self._catalog.read() as reader:
                garbage = reader.list_garbage(_BATCH, after)
            tried = [item for item in garbage if again or (item.token or item.handle) not in self._refused]
            gone = self._delete_garbage(tried, outage)
            if gone:
                self._committer.submit(
                    ForgetGarbage(request_id=self._new_id(), time_ms=self._wall_clock(), garbage_ids=tuple(gone))
                )
            return (garbage[-1].garbage_id if len(garbage) == _BATCH else None), len(gone)

    def _delete_garbage(self, garbage: Sequence[Garbage], outage: Outage) -> list[int]:
        """The ids of those that are gone. The parts of an upload are one request."""
        groups: dict[tuple[str, str | None], list[Garbage]] = {}
        for item in garbage:
            groups.setdefault((item.handle, None) if item.token is None else ("", item.token), []).append(item)

        def delete(group: list[Garbage]) -> bool:
            return self._delete([item.handle for item in group], group[0].token, outage)

        if isinstance(self._backend, Gateway):
            with concurrent.futures.ThreadPoolExecutor(_REMOTE_DELETES) as pool:
                deleted = list(pool.map(delete, groups.values()))
        else:
            deleted = [delete(group) for group in groups.values()]
        return [
            item.garbage_id
            for group, is_gone in zip(groups.values(), deleted, strict=True)
            if is_gone
            for item in group
        ]

    def _delete(self, handles: Sequence[str], token: str | None, outage: Outage) -> bool:
        """Whether they are gone. What a provider refuses to remove must not keep the rest from being removed."""
        try:
            outage.call(self._remove, handles, token)
        except BlobBusy:
            return False
        except S3Error as error:
            if outage.error is None:
                self._report(token or "".join(handles[:1]), error)
            return False
        return True

    def _remove(self, handles: Sequence[str], token: str | None) -> None:
        if token is None:
            for handle in handles:
                self._backend.delete_object(handle)
            return
        if handles:
            self._backend.delete_parts(token, handles)
        if not handles or (isinstance(self._backend, Gateway) and not self._is_under_way(token)):
            self._backend.delete_parts(token, [])

    def _report(self, name: str, error: S3Error) -> None:
        """Once, for it may be tried again and again."""
        if name not in self._refused:
            if len(self._refused) >= _MOST_REFUSED:
                self._refused.clear()
            _log.warning("%s cannot be removed for now: %s", name, error)
        self._refused.add(name)

    def _is_under_way(self, token: str) -> bool:
        with self._catalog.read() as reader:
            return reader.is_token_in_use(token)

    # -- the thread

    def poke(self) -> None:
        """Something may have become garbage."""
        if self._thread is None:
            self._start()
        self._poked.set()

    def _start(self) -> None:
        with self._start_lock:
            if self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(target=self._run, name="bleepstore-sweeper", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        for turn in itertools.count(1):
            poked = self._poked.wait(_FULL_SWEEP_SECONDS)
            self._poked.clear()
            # Let some more come, so that a busy store is asked twice a second at the most.
            if self._stopped.wait(_GATHER_SECONDS):
                return
            try:
                if poked and turn % 100:
                    self.collect_garbage()
                else:
                    self.sweep(believed_ms=_BELIEVED_MS)
            except Exception:  # noqa: BLE001  # whatever it is, it is logged and tried again
                # The sweeper must outlive a full disk or a provider's bad hour: what it did not do is still listed.
                _log.exception("a sweep failed; it will be tried again")

    def stop(self) -> None:
        """End the thread; it finishes the batch it is in."""
        self._stopped.set()
        self._poked.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
