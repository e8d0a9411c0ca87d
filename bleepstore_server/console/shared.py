"""What the workers of a server know together of the console: sessions that were ended, and failed tries to sign in.

Both are tables of a fixed size in memory that is shared by the processes that are forked from the one that made it.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import mmap
import os
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

try:
    import fcntl
except ModuleNotFoundError:  # no POSIX: one process alone
    fcntl = None  # type: ignore[assignment]

_DIGEST = 16
#: Sessions that were ended. The oldest is forgotten for another one; by then it has long been idle.
_ENDED_SLOTS = 4096
#: Rows of (failures, since when), chosen by a digest: who shares a row with others shares their failures.
_TRY_SLOTS = 8192
_TRY = struct.Struct("<Id4x")
#: So many failures of one key from one address are free, and so many from one address; then each costs a wait that
#: doubles, up to the whole window.
FREE_TRIES, FREE_TRIES_OF_ADDRESS = 5, 50
WINDOW_SECONDS = 15 * 60.0


class _Table:
    """Shared bytes, and a lock of all processes and threads."""

    def __init__(self, size: int) -> None:
        self.bytes = mmap.mmap(-1, size)
        self._threads = threading.Lock()
        with tempfile.TemporaryFile() as file:
            self._file = os.dup(file.fileno())

    @contextlib.contextmanager
    def locked(self) -> Iterator[mmap.mmap]:
        with self._threads:
            if fcntl is not None:
                fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield self.bytes
            finally:
                if fcntl is not None:
                    fcntl.lockf(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._file)
        self.bytes.close()


class Ended:
    """Ids of sessions that were ended before their time."""

    def __init__(self) -> None:
        # Behind the digests is the number of those that were ever written.
        self._table = _Table(_ENDED_SLOTS * _DIGEST + 8)

    def add(self, id: str) -> None:
        with self._table.locked() as table:
            count = int.from_bytes(table[-8:], "little")
            at = count % _ENDED_SLOTS * _DIGEST
            table[at : at + _DIGEST] = _digest(id)
            table[-8:] = (count + 1).to_bytes(8, "little")

    def __contains__(self, id: str) -> bool:
        wanted = _digest(id)
        at = self._table.bytes.find(wanted)
        while at > 0 and at % _DIGEST:
            at = self._table.bytes.find(wanted, at + 1)
        return at >= 0

    def close(self) -> None:
        self._table.close()


class Tries:
    """Failures to sign in, of an address with an access key and of an address as such. A key alone has no row: whoever
    knows its name could lock its user out. Rows are chosen
    by a secret: nobody finds a name that shares the row of somebody else. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._table = _Table(_TRY_SLOTS * _TRY.size)
        self._secret = os.urandom(_DIGEST)

    def wait_of(self, address: str, access_key: str) -> float:
        """How many seconds to wait before the next try; 0: none."""
        now = self._clock()
        with self._table.locked() as table:
            return max(_wait(table, row, free, now) for row, free in self._rows(address, access_key))

    def failed(self, address: str, access_key: str) -> None:
        now = self._clock()
        with self._table.locked() as table:
            for row, _free in self._rows(address, access_key):
                failures, since = _TRY.unpack_from(table, row)
                if now - since >= WINDOW_SECONDS:
                    failures = 0
                _TRY.pack_into(table, row, min(failures + 1, 1 << 30), now)

    def succeeded(self, address: str, access_key: str) -> None:
        """The failures of the address itself stay: else whoever has a key of its own could try others without end."""
        with self._table.locked() as table:
            _TRY.pack_into(table, self._rows(address, access_key)[0][0], 0, 0.0)

    def close(self) -> None:
        self._table.close()

    def _rows(self, address: str, access_key: str) -> list[tuple[int, int]]:
        """(position, free failures) of what is counted."""
        network = _network_of(address)
        names = ((f"{network} {access_key}", FREE_TRIES), (network, FREE_TRIES_OF_ADDRESS))
        return [(self._row(name), free) for name, free in names]

    def _row(self, name: str) -> int:
        digest = hashlib.blake2b(name.encode("utf-8", "replace"), key=self._secret, digest_size=4).digest()
        return int.from_bytes(digest, "little") % _TRY_SLOTS * _TRY.size


class Shared:
    """Both, for the workers of a server that are forked from this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.ended = Ended()
        self.tries = Tries(clock)

    def close(self) -> None:
        self.ended.close()
        self.tries.close()


def _network_of(address: str) -> str:
    """What one client may have all of: an IPv4 address, or an IPv6 network of 64 bits (RFC 6177)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # the name of a socket
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or parsed.packed[:8].hex())


def _wait(table: mmap.mmap, row: int, free: int, now: float) -> float:
    failures, since = _TRY.unpack_from(table, row)
    if failures < free:
        return 0.0
    wait = min(2.0 ** min(failures - free, 16), WINDOW_SECONDS)
    return float(max(since + wait - now, 0.0))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[:_DIGEST]
