"""How fast a key or an account may ask: who asks too fast is refused before the body is read.

Each limit has an allowance that fills up evenly, to what a second may use, and is empty when it is used up. All that is
remembered of one is the time at which it will be full again (the "virtual scheduling algorithm" of GCRA, ITU-T I.371):
a number that the processes of a server share in a file without a name, under a lock.

A request is refused while its allowance is empty. Bytes are only known when the answer begins: they are charged then,
and who has used more than there was waits until that is made up for.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from bleepstore.posix import fcntl
from bleepstore.rates import RateLimit
from bleepstore_server.wire.errors import RequestError

_SECOND = 10**9
#: Of a slot in a file: two times.
_WIDTH = 8
_SLOT = 2 * _WIDTH
_MAX_TIME = 2 ** (8 * _WIDTH) - 1


class TooFast(RequestError):
    """SlowDown, and after how many seconds to try again."""

    def __init__(self, wait_ns: int) -> None:
        super().__init__("SlowDown")
        self.retry_after = -(-wait_ns // _SECOND)


class RateMeter:
    """Counts for this process, or, if it is `shared`, also for those that are forked from it. `clock` gives
    nanoseconds: those of the machine, for all its processes."""

    def __init__(self, *, shared: bool = False, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._slots: _Slots = _SharedSlots() if shared else _Slots()

    def admit(self, limits: Sequence[RateLimit]) -> None:
        """Count a request. Raises TooFast; then it is not counted."""
        now = self._clock()
        with self._slots.locked():
            used = [(limit, *self._full(limit, now)) for limit in limits]
            for limit, requests, size in used:
                _check(requests + _nanoseconds(1, limit.rate.requests) - now)
                _check(size - now)
            for limit, requests, size in used:
                self._slots.write(limit.slot, requests + _nanoseconds(1, limit.rate.requests), size)

    def charge(self, limits: Sequence[RateLimit], size: int) -> None:
        """Count bytes of a request that was admitted."""
        now = self._clock()
        with self._slots.locked():
            for limit in limits:
                requests, full = self._full(limit, now)
                self._slots.write(limit.slot, requests, full + _nanoseconds(size, limit.rate.bytes))

    def _full(self, limit: RateLimit, now: int) -> tuple[int, int]:
        """When the allowances of requests and of bytes are full again: now, or later."""
        requests, size = self._slots.read(limit.slot)
        return max(requests, now), max(size, now)


class _Slots:
    """By the number of a limit: when its allowance of requests is full again, and when that of bytes is, in
    nanoseconds. Of this process."""

    def __init__(self) -> None:
        self._threads = threading.Lock()
        self._rows: dict[int, tuple[int, int]] = {}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with self._threads:
            yield

    def read(self, slot: int) -> tuple[int, int]:
        return self._rows.get(slot, (0, 0))

    def write(self, slot: int, requests: int, size: int) -> None:
        self._rows[slot] = requests, size


class _SharedSlots(_Slots):
    """The same in a file, for this process and those that are forked from it."""

    def __init__(self) -> None:
        super().__init__()
        self._file = _open()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with self._threads:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def read(self, slot: int) -> tuple[int, int]:
        found = os.pread(self._file, _SLOT, slot * _SLOT).ljust(_SLOT, b"\0")
        return int.from_bytes(found[:_WIDTH], "little"), int.from_bytes(found[_WIDTH:], "little")

    def write(self, slot: int, requests: int, size: int) -> None:
        row = b"".join(min(time_ns, _MAX_TIME).to_bytes(_WIDTH, "little") for time_ns in (requests, size))
        os.pwrite(self._file, row, slot * _SLOT)

    def __del__(self) -> None:
        os.close(self._file)


def _open() -> int:
    """A file that is in memory alone, where the system has such."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("bleepstore-rates")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _nanoseconds(count: int, rate: int | None) -> int:
    """How long it takes to make up for so many requests or bytes; no time, if there is no limit."""
    return 0 if rate is None else count * _SECOND // rate


def _check(used_ns: int) -> None:
    """`used_ns` is how long it takes to make up for what was used. Raises TooFast."""
    if used_ns > _SECOND:
        raise TooFast(used_ns - _SECOND)
