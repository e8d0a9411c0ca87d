"""Bringing all objects of one location to another."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterator

import attrs
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from bleepstore.errors import BleepStoreError
from bleepstore_server.locations import Location, LocationEntry, NotTransferred, is_equal

Progress = Callable[[int, int], None]

#: What a body that breaks off raises. botocore tries again until a body begins, and no further.
_BROKEN_OFF = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_ATTEMPTS = 3


@attrs.define
class TransferOutcome:
    """What a transfer did. `bytes` are those of the objects that were brought."""

    brought: int = 0
    equal: int = 0
    removed: int = 0
    failed: int = 0
    bytes: int = 0


@attrs.define(eq=False)
class Transfer:
    """One transfer. `tell` is called with (what happened, key, why), `progress` with (bytes done, bytes found).

    What is equal at both locations is left as it is, so a transfer that was cut off goes on where it was. An object
    that cannot be brought is told, counted and passed over.
    """

    source: Location
    target: Location
    progress: Progress
    tell: Callable[[str, str, str], None]
    delete: bool = False
    dry_run: bool = False
    jobs: int = 4
    outcome: TransferOutcome = attrs.field(factory=TransferOutcome, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _stopped: bool = attrs.field(default=False, init=False)
    _done: int = attrs.field(default=0, init=False)
    _found: int = attrs.field(default=0, init=False)

    def run(self) -> TransferOutcome:
        """Bring everything. Raises what keeps a location from being listed."""
        pending: set[concurrent.futures.Future[None]] = set()
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            try:
                for one, other in merged(self.source.entries(), self.target.entries()):
                    if one is None and not self.delete:
                        continue
                    if one is not None:
                        self._count(found=one.size)
                    pending.add(pool.submit(self._transfer_one, one, other))
                    if len(pending) >= 4 * self.jobs:
                        done, pending = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
                        for future in done:
                            future.result()
                for future in pending:
                    future.result()
            except BaseException:
                self._stopped = True
                pool.shutdown(cancel_futures=True)
                raise
        return self.outcome

    def refuse(self, key: str, why: str) -> None:
        """Count an object that is passed over."""
        with self._lock:
            self.outcome.failed += 1
        self.tell("failed", key, why)

    def pass_over(self, key: str, why: str) -> None:
        """Tell what is left out on purpose."""
        self.tell("left out", key, why)

    def _transfer_one(self, one: LocationEntry | None, other: LocationEntry | None) -> None:
        entry = one or other
        assert entry is not None
        try:
            if one is None:
                self._remove(entry)
            elif other is not None and is_equal(self.source, one, self.target, other):
                self._count(done=one.size, equal=1)
            else:
                self._bring(one)
        except ClientError as error:
            self.refuse(entry.key, f"{error.response['Error'].get('Code')}: {error.response['Error'].get('Message')}")
        except (BotoCoreError, BleepStoreError, OSError) as error:
            self.refuse(entry.key, str(error))

    def _bring(self, entry: LocationEntry) -> None:
        if self.dry_run:
            self._count(done=entry.size, brought=1, size=entry.size)
            self.tell("would bring", entry.key, "")
            return
        for attempt in range(1, _ATTEMPTS + 1):
            read = 0

            def count(size: int) -> None:
                nonlocal read
                if self._stopped:
                    raise NotTransferred("the transfer was stopped")
                read += size
                self._count(done=size)

            try:
                with self.source.open(entry) as body:
                    body.count = count
                    self.target.put(entry.key, body)
                break
            except _BROKEN_OFF:
                if attempt == _ATTEMPTS:
                    raise
                self._count(done=-read)
        self._count(brought=1, size=entry.size)

    def _remove(self, entry: LocationEntry) -> None:
        if not self.dry_run:
            self.target.remove(entry.key)
        self._count(removed=1)
        if self.dry_run:
            self.tell("would remove", entry.key, "")

    def _count(
        self, *, found: int = 0, done: int = 0, brought: int = 0, equal: int = 0, removed: int = 0, size: int = 0
    ) -> None:
        with self._lock:
            self._found += found
            self._done += done
            self.outcome.brought += brought
            self.outcome.equal += equal
            self.outcome.removed += removed
            self.outcome.bytes += size
            self.progress(self._done, max(self._found, self._done))


def merged(
    ones: Iterator[LocationEntry], others: Iterator[LocationEntry]
) -> Iterator[tuple[LocationEntry | None, LocationEntry | None]]:
    """Pairs of equal keys, and None beside the key that only one side has."""
    one, other = next(ones, None), next(others, None)
    while one is not None or other is not None:
        first = None if one is None else one.key.encode()
        second = None if other is None else other.key.encode()
        if second is None or (first is not None and first < second):
            yield one, None
            one = next(ones, None)
        elif first is None or second < first:
            yield None, other
            other = next(others, None)
        else:
            yield one, other
            one, other = next(ones, None), next(others, None)
