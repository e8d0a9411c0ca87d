"""How many bytes the log has, roughly where: so that it is bounded in bytes, whatever the size of its entries."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from bleepstore.raft.messages import ENTRY_OVERHEAD, Entry

#: Entries are counted in groups of about so many bytes.
GROUP_BYTES = 1 << 20


class LogMeter:
    """Bytes of data and ENTRY_OVERHEAD, exact but for what a truncation or compaction leaves of a group."""

    def __init__(self, first: int, last: int, size: int) -> None:
        """A log of `first`..`last` that has `size` bytes; where they are is not known."""
        self.size = size
        self._before = first - 1
        self._groups: deque[tuple[int, int]] = deque([(last, size)] if size else [])  # (last index, bytes)

    def append(self, entries: Sequence[Entry]) -> None:
        """At least one."""
        size = sum([len(entry.data) for entry in entries]) + ENTRY_OVERHEAD * len(entries)
        self.size += size
        if self._groups and self._groups[-1][1] + size <= GROUP_BYTES:
            size += self._groups.pop()[1]
        self._groups.append((entries[-1].index, size))

    def truncate(self, index: int) -> None:
        """`index` and all after it are gone."""
        while self._groups and self._groups[-1][0] >= index:
            _, size = self._groups.pop()
            before = self._groups[-1][0] if self._groups else self._before
            if before < index - 1:  # some of the group stays
                self._groups.append((index - 1, size))
                return
            self.size -= size

    def compact(self, index: int) -> None:
        """`index` and all before it are gone."""
        self._before = index
        while self._groups and self._groups[0][0] <= index:
            self.size -= self._groups.popleft()[1]

    def restart(self, index: int) -> None:
        """All is gone; the next entry follows `index`."""
        self._before = index
        self._groups.clear()
        self.size = 0

    def beyond(self, keep: int) -> int:
        """The last index of what may go so that at most `keep` bytes stay, as far as groups tell; 0: none may."""
        size = 0
        for last, group in reversed(self._groups):
            size += group
            if size > keep:
                return last
        return 0

    def size_until(self, index: int) -> int:
        """The bytes up to `index`."""
        return sum(size for last, size in self._groups if last <= index)
