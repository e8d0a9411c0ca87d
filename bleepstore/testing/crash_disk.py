"""A disk that remembers in which order it was written and synced, and what a power cut at any point may leave of it.

`RecordingDisk` is a SQLite VFS: a database that is opened with `vfs=disk.name` works as always, and every write,
truncation and sync of its files is noted, and every name that comes and goes; a sync is only noted.
`disk.image(cut, rng, folder)` then writes the files as a crash after the first `cut` events could leave them: all that
was synced is there; each write since may be there, be gone, or be torn at any byte, whatever became of those before it;
a name may be missing, old or back again until its folder was synced.

SQLite syncs the folder of a new journal by itself. That counts for the journal's name and for no other: not every
system does it, so whoever makes a file sees to its name.
"""

from __future__ import annotations

import itertools
import os
import random
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from unittest import mock

import apsw
import attrs

_numbers = itertools.count(1)
_JOURNALS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL


@attrs.frozen
class BytesWritten:
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
class Named:
    """A new file, or a new folder."""

    path: Path


@attrs.frozen
class Renamed:
    old: Path
    new: Path


@attrs.frozen
class NameDeleted:
    path: Path


@attrs.frozen
class NameSynced:
    """The name of this file, not those beside it."""

    path: Path


@attrs.frozen
class FolderSynced:
    folder: Path


@attrs.frozen
class Moment:
    """What the test wanted to remember at this point."""

    note: Any


Event = BytesWritten | Truncated | Synced | Named | Renamed | NameDeleted | NameSynced | FolderSynced | Moment


class RecordingDisk(apsw.VFS):
    """The system's files, with a record of what was done to them. Use it in a `with` block, for one thread.

    All files are in one folder, or at least have names of their own. `default`: it is what all connections use that
    name no VFS. Within the block what is done by `os` is noted too: syncs, new names, renames.
    """

    def __init__(self, *, default: bool = False) -> None:
        self.name = f"recording-{next(_numbers)}"
        self.events: list[Event] = []
        self.syncs = 0
        #: Fail the sync that comes after so many more, and all after it; None: never.
        self.fail_sync_after: int | None = None
        self._opened: dict[int, Path] = {}  # descriptors of os.open
        self._patches = ExitStack()
        self.base = apsw.vfs_names()[0]  # the default so far
        super().__init__(self.name, self.base, default)

    def __enter__(self) -> Self:
        for name in ("open", "fsync", "mkdir", "rename", "unlink"):
            self._patches.enter_context(mock.patch.object(os, name, getattr(self, f"_{name}")(getattr(os, name))))
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.close()
        self.unregister()

    def mark(self, note: Any) -> None:
        """Put `note` into the record."""
        self.events.append(Moment(note))

    # --- what the system is asked for ---

    def _open(self, real: Any) -> Any:
        def recorded(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
            is_new = bool(flags & os.O_CREAT) and not Path(path).exists()
            descriptor: int = real(path, flags, *arguments, **named)
            self._opened[descriptor] = Path(path)
            if is_new:
                self.events.append(Named(Path(path)))
            return descriptor

        return recorded

    def _fsync(self, real: Any) -> Any:
        def recorded(descriptor: int) -> None:
            path = self._opened.get(descriptor)
            if path is None or not path.exists() or not os.path.samestat(path.stat(), os.fstat(descriptor)):
                real(descriptor)
                return
            self.events.append(FolderSynced(path) if path.is_dir() else Synced(path.name))

        return recorded

    def _mkdir(self, real: Any) -> Any:
        def recorded(path: Any, *arguments: Any, **named: Any) -> None:
            real(path, *arguments, **named)
            self.events.append(Named(Path(path)))

        return recorded

    def _rename(self, real: Any) -> Any:
        def recorded(old: Any, new: Any, **named: Any) -> None:
            real(old, new, **named)
            self.events.append(Renamed(Path(old), Path(new)))

        return recorded

    def _unlink(self, real: Any) -> Any:
        def recorded(path: Any, **named: Any) -> None:
            real(path, **named)
            self.events.append(NameDeleted(Path(path)))

        return recorded

    # --- what SQLite asks for ---

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        is_new = path is not None and not Path(path).exists()
        file = _RecordingFile(self, None if path is None else Path(path), name, flags, is_new=is_new)
        if path is not None and is_new:
            self.events.append(Named(Path(path)))
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self.events.append(NameDeleted(Path(filename)))
        if syncdir:
            self.events.append(NameSynced(Path(filename)))

    def sync(self, file: str) -> None:
        """A file is about to be synced. Raises apsw.IOError if it was told to."""
        if self.fail_sync_after is not None:
            if self.fail_sync_after <= 0:
                raise apsw.IOError(f"the sync of {file} fails, as it was told to")
            self.fail_sync_after -= 1
        self.syncs += 1

    # --- a power cut ---

    def image(self, cut: int, rng: random.Random, folder: Path) -> None:
        """Write into `folder` what a crash after the first `cut` events may leave of each file."""
        content = _Content()
        for event in self.events[:cut]:
            content.take(event)
        for file, data in content.after_crash(rng).items():
            (folder / file).write_bytes(data)

    def unsafe_names(self) -> set[Path]:
        """The files and folders whose names a power cut now may undo."""
        content = _Content()
        for event in self.events:
            content.take(event)
        return {change.new for change in content.names if isinstance(change, _Link)}


@attrs.frozen
class _Link:
    """A name that appears, of a file or a folder, instead of `old` if there was one."""

    new: Path
    file: int
    old: Path | None = None


class _Content:
    """What is on the disk: files by number, names that lead to them, and what of both is not durable yet."""

    def __init__(self) -> None:
        self.files: dict[int, bytearray] = {}
        self.writes: dict[int, list[BytesWritten | Truncated]] = {}
        self.durable: dict[str, int] = {}  # name -> file
        self.names: list[_Link | NameDeleted] = []  # not durable yet, in order
        self._now: dict[str, int] = {}
        self._count = 0

    def take(self, event: Event) -> None:
        match event:
            case BytesWritten() | Truncated():
                if event.file in self._now:
                    self.writes.setdefault(self._now[event.file], []).append(event)
            case Synced():
                if event.file in self._now:
                    self._sync(self._now[event.file])
            case Named():
                self._count += 1
                self._now[event.path.name] = self._count
                self.files[self._count] = bytearray()
                self.names.append(_Link(event.path, self._count))
            case Renamed():
                number = self._now.pop(event.old.name, None)
                if number is not None:
                    self._now[event.new.name] = number
                    self.names.append(_Link(event.new, number, event.old))
            case NameDeleted():
                if self._now.pop(event.path.name, None) is not None:
                    self.names.append(event)
            case NameSynced() | FolderSynced():
                self._sync_names(event)
            case Moment():
                pass

    def _sync(self, number: int) -> None:
        for one in self.writes.pop(number, []):
            _apply(self.files[number], one)

    def _sync_names(self, event: NameSynced | FolderSynced) -> None:
        remaining: list[_Link | NameDeleted] = []
        for change in self.names:
            path = change.new if isinstance(change, _Link) else change.path
            if path == event.path if isinstance(event, NameSynced) else path.parent == event.folder:
                self._change(change)
            else:
                remaining.append(change)
        self.names = remaining

    def _change(self, change: _Link | NameDeleted) -> None:
        if isinstance(change, NameDeleted):
            self.durable.pop(change.path.name, None)
            return
        if change.old is not None:
            self.durable.pop(change.old.name, None)
        self.durable[change.new.name] = change.file

    def after_crash(self, rng: random.Random) -> dict[str, bytearray]:
        """By style: 0 loses everything, 1 keeps everything, 2 keeps or loses each, 3 tears writes as well."""
        style = rng.randrange(4)
        for number, events in self.writes.items():
            for one in events:
                _apply_perhaps(self.files[number], one, style, rng)
        for change in self.names:
            if style == 1 or (style >= 2 and rng.randrange(2)):
                self._change(change)
        return {name: self.files[number] for name, number in self.durable.items() if number in self.files}


def _apply(content: bytearray, event: BytesWritten | Truncated) -> None:
    if isinstance(event, Truncated):
        del content[event.size :]
        return
    if len(content) < event.offset:
        content.extend(bytes(event.offset - len(content)))
    content[event.offset : event.offset + len(event.data)] = event.data


def _apply_perhaps(content: bytearray, event: BytesWritten | Truncated, style: int, rng: random.Random) -> None:
    if style == 0 or (style >= 2 and rng.randrange(2)):
        return
    if style == 3 and isinstance(event, BytesWritten) and rng.randrange(2):
        begin, end = sorted((rng.randrange(len(event.data) + 1), rng.randrange(len(event.data) + 1)))
        event = BytesWritten(event.file, event.offset + begin, event.data[begin:end])
    _apply(content, event)


class _RecordingFile(apsw.VFSFile):
    def __init__(
        self,
        disk: RecordingDisk,
        path: Path | None,
        name: str | apsw.URIFilename | None,
        flags: list[int],
        *,
        is_new: bool,
    ) -> None:
        self._disk = disk
        self._path = path
        self._file = "temporary" if path is None else path.name
        self._names_itself = is_new and bool(flags[0] & _JOURNALS)
        super().__init__(disk.base, name, flags)

    def xWrite(self, data: Any, offset: int) -> None:
        super().xWrite(data, offset)
        self._disk.events.append(BytesWritten(self._file, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._disk.events.append(Truncated(self._file, newsize))

    def xSync(self, flags: int) -> None:
        self._disk.sync(self._file)
        self._disk.events.append(Synced(self._file))
        if self._names_itself and self._path is not None:
            self._names_itself = False
            self._disk.events.append(NameSynced(self._path))
