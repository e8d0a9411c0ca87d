"""Numbers that the processes of a server share: each counts in memory of its own, and each can read all.

The memory is a file without a name that is mapped before the workers are forked. It is cut into slots. A process claims
one with a lock on a byte of the file, which ends with the process however that ends; the next process that claims the
slot goes on with its counters, so that no count is lost and none goes back when a worker ends.

A slot is a list of rows: the labels of a row as text, then its cells, 64 bits each. Rows are only added. A row counts
as soon as the slot's length has it, and is never moved: a reader needs no lock, and may see a row of which a part is a
moment older than the rest.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence

import attrs

_WORD = 8
#: Memory that nobody has used yet takes no space.
SLOT_BYTES = 256 * 1024
SLOTS = 128
#: Words at the beginning of a slot: how many words are used, and the process that has it.
_USED, _PID, _HEAD = 0, 1, 2

Cells = memoryview


@attrs.frozen
class FoundRow:
    """A row as a reader finds it. `is_alive`: the process that counts in it runs."""

    name: str
    labels: tuple[str, ...]
    cells: Sequence[int]
    is_alive: bool


class Page:
    """Made before the fork; each process that counts claims a slot after it."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._slots = slots
        self._file = _open()
        os.ftruncate(self._file, slots * SLOT_BYTES)
        self._words = memoryview(mmap.mmap(self._file, slots * SLOT_BYTES)).cast("Q")

    def _slot(self, number: int) -> memoryview:
        size = SLOT_BYTES // _WORD
        return self._words[number * size : (number + 1) * size]

    def claim(self) -> Slot:
        """A slot for this process. If all are taken, one that nobody reads."""
        for number in range(self._slots):
            with contextlib.suppress(OSError):
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
                return Slot(self._slot(number), number)
        return Slot(memoryview(bytearray(SLOT_BYTES)).cast("Q"), -1)

    def read(self, own: Slot) -> Iterator[FoundRow]:
        """All rows of all processes. `own` is the slot of the process that asks."""
        for number in range(self._slots):
            words = self._slot(number)
            if words[_USED]:
                is_alive = number == own.number or self._is_claimed(number)
                for name, labels, cells in _rows(words):
                    yield FoundRow(name, labels, cells.tolist(), is_alive)

    def pids(self, own: Slot) -> list[int]:
        """The processes that count."""
        numbers = [number for number in range(self._slots) if number == own.number or self._is_claimed(number)]
        return [self._slot(number)[_PID] for number in numbers if self._slot(number)[_PID]]

    def _is_claimed(self, number: int) -> bool:
        if not self._slot(number)[_USED]:
            return False
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:
            return True
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
        return False


class Slot:
    """Where one process counts."""

    def __init__(self, words: memoryview, number: int) -> None:
        self._words = words
        self.number = number
        self._lock = threading.Lock()
        words[_PID] = os.getpid()
        words[_USED] = words[_USED] or _HEAD
        #: The rows that an earlier process left.
        self._known = {(name, labels): cells for name, labels, cells in _rows(words)}

    def row(self, name: str, labels: Sequence[str], cells: int) -> Cells:
        """The cells of a row, which is made if there is none. If the slot is full they count for nothing: the labels
        are few, whatever clients send."""
        key = name, tuple(labels)
        with self._lock:
            known = self._known.get(key)
            if known is None:
                known = self._known[key] = self._add(key, cells)
        return known

    def add(self, name: str, count: int) -> None:
        """Add to the one cell of a row without labels: what happens rarely."""
        cells = self.row(name, (), 1)
        with self._lock:
            cells[0] += count

    def _add(self, key: tuple[str, tuple[str, ...]], cells: int) -> Cells:
        text = json.dumps([key[0], *key[1]]).encode()
        text += b" " * (-len(text) % _WORD)
        words, begin = self._words, self._words[_USED]
        start = begin + 1 + len(text) // _WORD
        if start + cells > len(words):
            return memoryview(bytearray(cells * _WORD)).cast("Q")
        words[begin] = len(text) // _WORD << 32 | cells
        words[begin + 1 : start] = memoryview(text).cast("Q")
        words[_USED] = start + cells
        return words[start : start + cells]


def _rows(words: memoryview) -> Iterator[tuple[str, tuple[str, ...], Cells]]:
    at, used = _HEAD, words[_USED]
    while at < used:
        size, cells = words[at] >> 32, words[at] & 0xFFFFFFFF
        start = at + 1 + size
        name, *labels = json.loads(words[at + 1 : start].tobytes())
        yield name, tuple(labels), words[start : start + cells]
        at = start + cells


def _open() -> int:
    """A file that is in memory alone, where the system has such."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("bleepstore-metrics")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
