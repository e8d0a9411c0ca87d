"""A disk that remembers in which order it was written and synced, and what a power cut at any point may leave of it.

`RecordingDisk` is a SQLite VFS: a database that is opened with `vfs=disk.name` works as always, and every write,
truncation and sync of its files is noted. `disk.image(cut, rng, folder)` then writes the files as a crash after the
first `cut` events could leave them: all that was synced is there; each write since may be there, be gone, or be torn
at any byte, whatever became of those before it.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any, Self

import apsw
import attrs

_numbers = itertools.count(1)


@attrs.frozen
class Written:
    """Bytes that a file was given."""

    file: str
    offset: int
    data: bytes


@attrs.frozen
class Truncated:
    file: str
    size: int


@attrs.frozen
class Synced:
    file: str


@attrs.frozen
class Deleted:
    file: str


@attrs.frozen
class Mark:
    """What the test wanted to remember at this point."""

    note: Any


Event = Written | Truncated | Synced | Deleted | Mark


class RecordingDisk(apsw.VFS):
    """The system's files, with a record of what was done to them. Use it in a `with` block, for one thread."""

    def __init__(self) -> None:
        self.name = f"recording-{next(_numbers)}"
        self.events: list[Event] = []
        self.syncs = 0
        #: Fail the sync that comes after so many more, and all after it; None: never.
        self.fail_sync_after: int | None = None
        super().__init__(self.name, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.unregister()

    def mark(self, note: Any) -> None:
        """Put `note` into the record."""
        self.events.append(Mark(note))

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _RecordingFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.events.append(Deleted(Path(filename).name))
        super().xDelete(filename, syncdir)

    def sync(self, file: str) -> None:
        """A file is about to be synced. Raises apsw.IOError if it was told to."""
        if self.fail_sync_after is not None:
            if self.fail_sync_after <= 0:
                raise apsw.IOError(f"the sync of {file} fails, as it was told to")
            self.fail_sync_after -= 1
        self.syncs += 1

    def image(self, cut: int, rng: random.Random, folder: Path) -> None:
        """Write into `folder` what a crash after the first `cut` events may leave of each file."""
        for file, content in self._contents(cut, rng).items():
            (folder / file).write_bytes(content)

    def _contents(self, cut: int, rng: random.Random) -> dict[str, bytearray]:
        durable: dict[str, bytearray] = {}
        pending: dict[str, list[Written | Truncated]] = {}
        for event in self.events[:cut]:
            match event:
                case Written() | Truncated():
                    pending.setdefault(event.file, []).append(event)
                case Synced():
                    content = durable.setdefault(event.file, bytearray())
                    for one in pending.pop(event.file, []):
                        _apply(content, one)
                case Deleted():
                    durable.pop(event.file, None)
                    pending.pop(event.file, None)
                case Mark():
                    pass
        style = rng.randrange(4)
        for file, events in pending.items():
            content = durable.setdefault(file, bytearray())
            for one in events:
                _apply_perhaps(content, one, style, rng)
        return durable


def _apply(content: bytearray, event: Written | Truncated) -> None:
    if isinstance(event, Truncated):
        del content[event.size :]
        return
    if len(content) < event.offset:
        content.extend(bytes(event.offset - len(content)))
    content[event.offset : event.offset + len(event.data)] = event.data


def _apply_perhaps(content: bytearray, event: Written | Truncated, style: int, rng: random.Random) -> None:
    """By `style`: 0 loses everything, 1 keeps everything, 2 keeps or loses each, 3 tears as well."""
    if style == 0 or (style >= 2 and rng.randrange(2)):
        return
    if style == 3 and isinstance(event, Written) and rng.randrange(2):
        begin, end = sorted((rng.randrange(len(event.data) + 1), rng.randrange(len(event.data) + 1)))
        event = Written(event.file, event.offset + begin, event.data[begin:end])
    _apply(content, event)


class _RecordingFile(apsw.VFSFile):
    def __init__(self, disk: RecordingDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._file = Path(path or "temporary").name
        super().__init__("", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:
        super().xWrite(data, offset)
        self._disk.events.append(Written(self._file, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._disk.events.append(Truncated(self._file, newsize))

    def xSync(self, flags: int) -> None:
        self._disk.sync(self._file)
        self._disk.events.append(Synced(self._file))
