"""Bringing all objects of one location to another, or all of their versions."""

from __future__ import annotations

import concurrent.futures
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import attrs
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from bleepstore.errors import BleepStoreError
from bleepstore.threads import call_uninterrupted
from bleepstore_server.locations import (
    MAX_COPIED,
    BucketLocation,
    History,
    Location,
    LocationEntry,
    NotTransferred,
    ObjectLocation,
    VersionLocation,
    is_equal,
)

Progress = Callable[[int, int], None]

#: What a body that breaks off raises. botocore tries again until a body begins, and no further.
_BROKEN_OFF = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_ATTEMPTS = 3


class _Keyed(Protocol):
    @property
    def key(self) -> str: ...


#: What is compared and brought in one go: an object, or all versions of one.
_Item = TypeVar("_Item", bound=_Keyed)


@attrs.define
class TransferOutcome:
    """What a transfer did, in objects or in versions. `bytes` are those of the objects that were brought."""

    brought: int = 0
    equal: int = 0
    removed: int = 0
    failed: int = 0
    bytes: int = 0


@attrs.define(eq=False, kw_only=True)
class Transfer(Generic[_Item]):
    """One transfer: an `ObjectTransfer` or a `VersionTransfer`.

    `tell` is called with (what happened, key, why), `progress` with (bytes done, bytes found).

    What is equal at both locations is left as it is, so a transfer that was cut off goes on where it was. An object
    that cannot be brought is told, counted and passed over.
    """

    source: Location
    target: Location
    progress: Progress
    tell: Callable[[str, str, str], None]
    delete: bool = False
    dry_run: bool = False
    #: Whether the source loses what the target has.
    moves: bool = False
    jobs: int = 4
    outcome: TransferOutcome = attrs.field(factory=TransferOutcome, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _stopped: bool = attrs.field(default=False, init=False)
    _done: int = attrs.field(default=0, init=False)
    _found: int = attrs.field(default=0, init=False)

    def run(self) -> TransferOutcome:
        """Bring everything. Raises what keeps a location from being listed. Once it has ended, or was interrupted,
        nothing is under way."""
        call_uninterrupted(self._run, self._stop)
        return self.outcome

    def _stop(self) -> None:
        """Have the transfer end soon, with what is under way unfinished."""
        self._stopped = True

    def _check_wanted(self) -> None:
        if self._stopped:
            raise NotTransferred("the transfer was stopped")

    def _run(self) -> None:
        pending: set[concurrent.futures.Future[None]] = set()
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            try:
                for one, other in self._pairs():
                    self._check_wanted()
                    if one is None and not self.delete:
                        continue
                    if one is not None:
                        self._count(found=self._size(one))
                    pending.add(pool.submit(self._transfer_one, one, other))
                    if len(pending) >= 4 * self.jobs:
                        done, pending = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
                        for future in done:
                            future.result()
                for future in pending:
                    future.result()
            except BaseException:
                self._stop()
                raise

    def refuse(self, key: str, why: str) -> None:
        """Count an object that is passed over."""
        with self._lock:
            self.outcome.failed += 1
        self.tell("failed", key, why)

    def pass_over(self, key: str, why: str) -> None:
        """Tell what is left out on purpose."""
        self.tell("left out", key, why)

    def _pairs(self) -> Iterator[tuple[_Item | None, _Item | None]]:
        """What both locations have of each key."""
        raise NotImplementedError

    def _size(self, item: _Item) -> int:
        raise NotImplementedError

    def _make_equal(self, one: _Item | None, other: _Item | None) -> None:
        """Bring what only the source has; if `delete` is asked for remove what only the target has."""
        raise NotImplementedError

    def _transfer_one(self, one: _Item | None, other: _Item | None) -> None:
        item = one or other
        assert item is not None
        try:
            self._check_wanted()
            self._make_equal(one, other)
        except (ClientError, BotoCoreError, BleepStoreError, OSError) as error:
            if not self._stopped:  # else it may have failed for that
                self.refuse(item.key, _reason(error))

    def _is_equal(self, one: LocationEntry, other: LocationEntry) -> bool:
        return is_equal(self.source, one, self.target, other, lambda _size: self._check_wanted())

    def _bring(self, entry: LocationEntry) -> None:
        if self.dry_run:
            self._count(done=entry.size, brought=1, size=entry.size)
            self.tell("would bring", entry.key, _version_of(entry))
            return
        for attempt in range(1, _ATTEMPTS + 1):
            read = 0

            def count(size: int) -> None:
                nonlocal read
                read += size
                self._count(done=size)

            try:
                self._carry(entry, count)
                break
            except _BROKEN_OFF:
                if attempt == _ATTEMPTS:
                    raise
                self._count(done=-read)
        self._count(brought=1, size=entry.size)

    def _carry(self, entry: LocationEntry, count: Callable[[int], None]) -> None:
        with self.source.open(entry) as body:
            body.count = count
            self.target.put(entry.key, body)

    def _remove(self, entry: LocationEntry) -> None:
        if not self.dry_run:
            self.target.remove(entry)
        self._count(removed=1)
        if self.dry_run:
            self.tell("would remove", entry.key, _version_of(entry))

    def _count(
        self, *, found: int = 0, done: int = 0, brought: int = 0, equal: int = 0, removed: int = 0, size: int = 0
    ) -> None:
        self._check_wanted()
        with self._lock:
            self._found += found
            self._done += done
            self.outcome.brought += brought
            self.outcome.equal += equal
            self.outcome.removed += removed
            self.outcome.bytes += size
            self.progress(self._done, max(self._found, self._done))


@attrs.define(eq=False, kw_only=True)
class ObjectTransfer(Transfer[LocationEntry]):
    """A transfer of the objects, or of the current versions of them."""

    source: ObjectLocation
    target: ObjectLocation

    def _pairs(self) -> Iterator[tuple[LocationEntry | None, LocationEntry | None]]:
        return merged(self.source.entries(), self.target.entries())

    def _size(self, item: LocationEntry) -> int:
        return item.size

    def _make_equal(self, one: LocationEntry | None, other: LocationEntry | None) -> None:
        if one is None:
            assert other is not None
            self._remove(other)
        elif other is not None and self._is_equal(one, other):
            self._count(done=one.size, equal=1)
        else:
            self._bring(one)
        if one is not None and self.moves and not self.dry_run:
            self.source.remove(one)


@attrs.define(eq=False, kw_only=True)
class ObjectCopy(ObjectTransfer):
    """A transfer between buckets that one client reaches: the endpoint copies, and no byte comes here."""

    source: BucketLocation
    target: BucketLocation

    def _carry(self, entry: LocationEntry, count: Callable[[int], None]) -> None:
        if entry.size > MAX_COPIED:
            super()._carry(entry, count)
        else:
            self.target.copy(entry.key, self.source, entry)
            count(entry.size)


@attrs.define(eq=False, kw_only=True)
class VersionTransfer(Transfer[History]):
    """A transfer of versions and delete markers, those of a key one after the other, the oldest first.

    No S3 lets a version have the id of another, so what the target has is told by what it is: the longest run of
    versions that ends the target's history and begins the source's is there already, and what follows it in the source
    is brought. So a transfer that was cut off goes on where it was, and old versions may have expired at either
    location. If one version cannot be brought, the later ones of its key wait for it. With `delete` what the target has
    before that run is removed for good, unless it is locked.
    """

    source: VersionLocation
    target: VersionLocation

    def _pairs(self) -> Iterator[tuple[History | None, History | None]]:
        return merged(self.source.histories(), self.target.histories())

    def _size(self, item: History) -> int:
        return sum(version.size for version in item.versions)

    def _make_equal(self, one: History | None, other: History | None) -> None:
        ours, theirs = (() if history is None else history.versions for history in (one, other))
        common = self._common(ours, theirs)
        self._count(done=sum(version.size for version in ours[:common]), equal=common)
        for version in ours[common:]:
            if version.is_delete_marker:
                self._bring_delete_marker(version)
            else:
                self._bring(version)
        if self.delete:
            for version in theirs[: len(theirs) - common]:
                self._remove(version)

    def _bring_delete_marker(self, marker: LocationEntry) -> None:
        if self.dry_run:
            self.tell("would bring", marker.key, _version_of(marker))
        else:
            self.target.put_delete_marker(marker.key)
        self._count(brought=1)

    def _common(self, ours: Sequence[LocationEntry], theirs: Sequence[LocationEntry]) -> int:
        """How many versions end `theirs` and begin `ours`."""

        @functools.cache
        def equal(one: int, other: int) -> bool:
            return ours[one].is_delete_marker or self._is_equal(ours[one], theirs[other])

        ours_seen, theirs_seen = (
            [(version.is_delete_marker, version.size) for version in versions] for versions in (ours, theirs)
        )
        for count in range(min(len(ours), len(theirs)), 0, -1):
            start = len(theirs) - count
            # The first ones tell most runs apart. Then all sizes, before ETags are compared, or even bytes.
            if ours_seen[0] != theirs_seen[start] or not equal(0, start) or ours_seen[:count] != theirs_seen[start:]:
                continue
            if all(equal(at, start + at) for at in range(1, count)):
                return count
        return 0


def _reason(error: Exception) -> str:
    """For people."""
    if isinstance(error, ClientError):
        return f"{error.response['Error'].get('Code')}: {error.response['Error'].get('Message')}"
    return str(error)


def _version_of(entry: LocationEntry) -> str:
    """For people."""
    if entry.version_id is None:
        return ""
    return f"{'delete marker' if entry.is_delete_marker else 'version'} {entry.version_id}"


def merged(ones: Iterator[_Item], others: Iterator[_Item]) -> Iterator[tuple[_Item | None, _Item | None]]:
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
