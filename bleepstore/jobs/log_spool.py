"""Lines of access logs on their way to the buckets that they go to.

In a folder each process appends to a file of its own, which it has locked. A file that nobody has locked is complete:
its process went on to another, or ended, however it ended. What was appended is in the hands of the system, so it
outlives the process; when a file is left it is synced, and outlives the machine.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import attrs

from bleepstore.posix import fcntl

log = logging.getLogger("bleepstore.access_logs")

#: Of one file, and of what waits in all.
MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_WAITING_BYTES = 256 * 1024 * 1024
#: In memory there is no disk to fill.
MAX_MEMORY_BYTES = 16 * 1024 * 1024
_WARNING_SECONDS = 60.0
_SUFFIX = ".log"


@attrs.frozen
class SpooledLine:
    bucket: str
    time_ms: int
    line: str


@attrs.frozen
class SpooledFile:
    """Some lines that are complete, and what they are kept in: `name` is that of no others."""

    name: str
    lines: Sequence[SpooledLine]


class LogSpool:
    """The lines of a store. `folder` None: they are kept in memory. All methods are thread-safe.

    A line for which there is no space is dropped and counted: no request is refused for it.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._size = 0
        self._kept: list[SpooledLine] = []
        self._next_warning = 0.0
        #: Lines of this process that are lost.
        self.dropped = 0

    def add(self, bucket: str, time_ms: int, line: str) -> None:
        """Keep a line, which has no line end. Raises nothing."""
        with self._lock:
            if self._folder is None:
                self._size += len(line)
                if self._size > MAX_MEMORY_BYTES:
                    self._size -= len(line)
                    self.drop(1, "16 MiB wait in memory")
                else:
                    self._kept.append(SpooledLine(bucket, time_ms, line))
                return
            try:
                self._append(self._folder, f"{bucket} {time_ms} {line}\n".encode())
            except OSError as error:
                self.drop(1, str(error))

    def drop(self, count: int, reason: str) -> None:
        """Count what is lost; the log says so once a minute at the most."""
        self.dropped += count
        now = time.monotonic()
        if now >= self._next_warning:
            self._next_warning = now + _WARNING_SECONDS
            log.warning("access logs: %d lines of this process are lost by now: %s", self.dropped, reason)

    def _append(self, folder: Path, data: bytes) -> None:
        if self._descriptor is None or self._size + len(data) > MAX_FILE_BYTES:
            self._leave()
            self._begin(folder)
        assert self._descriptor is not None
        written = os.write(self._descriptor, data)
        if written < len(data):  # the disk is full: what is there of the line is no line
            os.ftruncate(self._descriptor, self._size)
            raise OSError("the disk is full")
        self._size += written

    def _begin(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        if sum(map(_size_of, folder.glob(f"*{_SUFFIX}"))) > MAX_WAITING_BYTES:
            raise OSError("256 MiB wait to be delivered")
        while self._descriptor is None:
            path = folder / f"{secrets.token_hex(8)}{_SUFFIX}"
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                self._descriptor, self._size = descriptor, 0
            else:  # another process found it before it was locked, and nothing in it
                os.close(descriptor)

    def _leave(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.fsync(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child of this process may have it open, too
            os.close(descriptor)

    def complete(self) -> Generator[SpooledFile]:
        """What this process has so far, and what others left. Each is removed when the next one is asked for."""
        if self._folder is None:
            yield from self._complete_in_memory()
            return
        self.close()
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            yield from self._unlocked(path)

    def _complete_in_memory(self) -> Iterator[SpooledFile]:
        with self._lock:
            kept = tuple(self._kept)
        if kept:
            yield SpooledFile(secrets.token_hex(8), kept)
            with self._lock:
                del self._kept[: len(kept)]
                self._size = sum(len(one.line) for one in self._kept)

    def _unlocked(self, path: Path) -> Iterator[SpooledFile]:
        """The file, if no process writes or delivers it; then it is removed."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # another process has delivered it
            return
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            if not os.fstat(descriptor).st_nlink:  # delivered meanwhile
                return
            with os.fdopen(os.dup(descriptor), "rb") as file:
                data = file.read()
            # What no line end follows was cut off with its process.
            found = [_parsed(line) for line in data.split(b"\n")[:-1]]
            lines = [line for line in found if line is not None]
            if len(lines) < len(found):
                with self._lock:
                    self.drop(len(found) - len(lines), f"{path.name} is damaged")
            yield SpooledFile(path.stem, lines)
            path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Leave the file of this process, whose lines are complete then."""
        with self._lock:
            self._leave()


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # another process has delivered it
        return 0


def _parsed(line: bytes) -> SpooledLine | None:
    """None: it is no line. A power cut may leave anything where nothing was synced."""
    try:
        bucket, time_ms, text = line.decode().split(" ", 2)
        return SpooledLine(bucket, int(time_ms), text)
    except ValueError:
        return None
