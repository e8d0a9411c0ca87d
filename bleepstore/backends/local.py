"""Blobs as files.

    blobs/<minute>/<id>            a blob
    blobs/catalog.id               which catalog knows them (`bleepstore.store.rolled_back`)
    blobs/<minute>/<id>.parts/     an assembled blob: hard links to its parts, and `manifest`
    tmp/                           writes under way
    quarantine/blobs/<minute>/<id> what was set aside instead of removed: somebody may need it
    pins.lock                      locked by whoever needs that nothing is removed

An id begins with the time at which its bytes had come, so `iter_blobs` visits only the folders of the minutes it is
asked for, and what a crash left behind is found in time proportional to recent activity.

The order that makes a blob durable: write to tmp/, fsync the file, rename, fsync the folder. A name under blobs/
therefore always has all of its bytes. An assembled blob is a folder that is filled under tmp/ and renamed as a whole.

Deleting a plain file never disturbs who has it open. The parts of an assembled blob are opened one after
another, so its readers hold a shared lock on the manifest, and a delete that meets one raises BlobBusy: the
garbage collector comes back later. So does a delete of any blob while somebody has pinned them all.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import re
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from bleepstore.backends.base import CHUNK, BlobId, BlobRange, BlobSpec, PartBlob, StoredBlob
from bleepstore.backends.local_readers import FileSpan, locked_manifest, open_parts
from bleepstore.cleanup import on_error
from bleepstore.errors import BlobBusy, BlobNotFound, StoreReadOnly, refusal_of
from bleepstore.model import UploadToken
from bleepstore.posix import fcntl, file_system_of

_HANDLE = re.compile(r"[0-9a-f]{28}(\.parts)?")
_MINUTE = re.compile(r"[0-9a-f]{8}")
_MINUTE_MS = 60_000
#: After so many bytes of a large blob the disk begins to write them.
_WRITEBACK = 4 * CHUNK
#: Up to so many bytes that have not come yet have their space reserved, by the file systems on which that is known to
#: pay. (On btrfs such a file would not be compressed; others have no such call, and the C library writes zeros.)
_RESERVED = 4 * CHUNK
_RESERVING = frozenset({"ext4"})
#: Small pieces are written together, up to so many bytes and so many pieces. A client that stalls in the middle of a
#: body has that much in memory.
_GATHERED = 256 * 1024
_MAX_PIECES = 64
_STALE_SECONDS = 24 * 3600
#: When a hard link cannot be made: too many links, another device, or a file system that has none.
_NO_LINK = {errno.EMLINK, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _sync_folder(folder: Path) -> None:
    """A new name is durable once its folder is (fsync(2): "an explicit fsync on the directory is also needed")."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _begin_writeback(fd: int, start: int, size: int) -> None:
    """Have the disk begin with what was just written, so that fsync finds little left to wait for.

    Linux does so when it is told that the pages will not be needed (posix_fadvise(2): it "may attempt to write back
    dirty pages in the specified region", and "any unwritten dirty pages will not be freed").
    """
    if sys.platform == "linux":
        os.posix_fadvise(fd, start, size, os.POSIX_FADV_DONTNEED)


def _reserve(fd: int, start: int, size: int) -> None:
    """Have the file system find space for many blocks at once. Where there is too little the writes will say so."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.posix_fallocate(fd, start, size)


def _write_all(fd: int, pieces: Sequence[bytes]) -> None:
    """Write all of them: the file system takes several in one go."""
    views = [memoryview(piece) for piece in pieces]
    while views:
        count = os.writev(fd, views)
        while views and count >= len(views[0]):
            count -= len(views.pop(0))
        if views:  # the disk took a part, and says next time why
            views[0] = views[0][count:]


def has_blobs(root: Path) -> bool:
    """Whether there is a blob in the folder of a store."""
    try:
        minutes = [path for path in (root / "blobs").iterdir() if _MINUTE.fullmatch(path.name)]
    except FileNotFoundError:
        return False
    return any(_HANDLE.fullmatch(path.name) for minute in minutes for path in minute.iterdir())


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, each of them durable in its parent."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(one.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Make these the bytes of a file, durably; a crash leaves the old ones or these. Raises StorageFull, OSError."""
    temporary = path.with_suffix(".new")
    with _report_disk():
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        _sync_folder(path.parent)


@contextlib.contextmanager
def _report_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        refusal = refusal_of(error)
        if refusal is not None:
            raise refusal from error
        raise


class _Minute:
    """The open folder of a minute, whose own name is durable, whichever thread or process made it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = -1
        while True:
            path.mkdir(mode=0o700, exist_ok=True)
            try:
                self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                break
            except FileNotFoundError:  # given up at this moment
                continue
        _sync_folder(path.parent)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


class LocalBackend:
    """The protocol of `bleepstore.backends.base` over the folder `root`, which several processes may share."""

    def __init__(self, root: Path, *, clock: Callable[[], int] = _now_ms) -> None:
        self.root = root
        self._blobs = root / "blobs"
        self._tmp = root / "tmp"
        self._clock = clock
        self._names = itertools.count()
        self._process = secrets.token_hex(8)
        self._pins = threading.Lock()
        self._minute: _Minute | None = None
        with _report_disk():
            for folder in (root, self._blobs, self._tmp):
                make_folder(folder)
        _sync_folder(root)
        self._reserves = file_system_of(root) in _RESERVING
        self._remove_stale(_STALE_SECONDS)

    def create_bucket(self, bucket: str, *, known: bool = False) -> None:
        """Blobs of all buckets share the folders of their minutes."""

    def delete_bucket(self, bucket: str, is_back: Callable[[], bool] = lambda: False) -> bool:
        """Blobs of all buckets share the folders of their minutes."""
        return True

    # -- names

    def _path(self, handle: str) -> Path:
        if not _HANDLE.fullmatch(handle):
            raise BlobNotFound(handle)
        return self._blobs / f"{int(handle[:12], 16) // _MINUTE_MS:08x}/{handle}"

    def _folder(self, stored_ms: int) -> Path:
        return self._blobs / f"{stored_ms // _MINUTE_MS:08x}"

    @staticmethod
    def stored_ms(handle: str) -> int:
        """When the bytes of a blob had come."""
        return int(handle[:12], 16)

    def _new_temporary(self) -> Path:
        return self._tmp / f"{self._process}-{next(self._names)}"

    def _publish(self, temporary: Path, new_id: Callable[[], BlobId], suffix: str = "") -> StoredBlob:
        """Give finished and fsynced bytes their name."""
        blob_id = new_id()
        now, handle = blob_id.time_ms, f"{blob_id}{suffix}"
        folder = self._folder(now)
        minute = self._minute
        if minute is None or minute.path != folder:
            minute = self._minute = _Minute(folder)
        while True:
            try:
                os.rename(temporary, handle, dst_dir_fd=minute.descriptor)
                break
            except FileNotFoundError:
                if not temporary.exists():
                    raise
                minute = self._minute = _Minute(folder)  # another process gave the folder up
        os.fsync(minute.descriptor)
        return StoredBlob(handle, now)

    # -- writes

    def _write(self, new_id: Callable[[], BlobId], chunks: Iterable[bytes], total: int | None) -> StoredBlob:
        """A blob of the chunks, which are to be `total` bytes, if that is known."""
        temporary = self._new_temporary()
        known = total or 0 if self._reserves else 0
        with on_error(lambda: temporary.unlink(missing_ok=True)):
            with _report_disk(), temporary.open("xb", buffering=0) as file:
                descriptor = file.fileno()
                begun = written = size = reserved = 0
                pieces: list[bytes] = []
                for chunk in chunks:
                    pieces.append(chunk)
                    size += len(chunk)
                    if size < _GATHERED and len(pieces) < _MAX_PIECES:
                        continue
                    if written + size > reserved and known - written > CHUNK:
                        reserved = min(written + size + _RESERVED, known)
                        _reserve(descriptor, written, reserved - written)
                    _write_all(descriptor, pieces)
                    written, size, pieces = written + size, 0, []
                    if written - begun >= _WRITEBACK:
                        _begin_writeback(descriptor, begun, written - begun)
                        begun = written
                _write_all(descriptor, pieces)
                if reserved > written + size:  # fewer came
                    os.ftruncate(descriptor, written + size)
                os.fsync(descriptor)
            with _report_disk():
                return self._publish(temporary, new_id)

    def put_object(self, spec: BlobSpec, chunks: Iterable[bytes]) -> StoredBlob:
        return self._write(spec.new_id, chunks, spec.size)

    def begin_parts(self, spec: BlobSpec) -> None:
        """A part is a blob of its own."""

    def put_part(
        self,
        token: UploadToken | None,
        number: int,
        source: Iterable[bytes] | BlobRange,
        size: int | None = None,
        *,
        new_id: Callable[[], BlobId],
    ) -> StoredBlob:
        if not isinstance(source, BlobRange):
            return self._write(new_id, source, size)
        with self.get_object(source.handle, source.start, source.stop) as reader:
            return self._write(new_id, iter(lambda: reader.read(CHUNK), b""), source.stop - source.start)

    def _link(self, source: Path, target: Path) -> None:
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            shutil.copyfile(source, target)
            with target.open("rb") as file:
                os.fsync(file.fileno())

    def copy_object(self, handle: str, spec: BlobSpec) -> StoredBlob:
        source = self._path(handle)
        if handle.endswith(".parts"):
            with open_parts(source, 0, None) as reader:  # its lock keeps the parts until the links are made
                return self._gather(spec, [(source / f"{n:05d}", size) for n, size in enumerate(reader.sizes, 1)])
        temporary = self._new_temporary()
        try:
            with on_error(lambda: temporary.unlink(missing_ok=True)), _report_disk():
                self._link(source, temporary)
                return self._publish(temporary, spec.new_id)
        except FileNotFoundError:
            raise BlobNotFound(handle) from None

    def assemble_parts(self, token: UploadToken | None, spec: BlobSpec, parts: Sequence[PartBlob]) -> StoredBlob:
        try:
            return self._gather(spec, [(self._path(part.handle), part.size) for part in parts])
        except FileNotFoundError as error:
            raise BlobNotFound(Path(error.filename).name) from None

    def _gather(self, spec: BlobSpec, files: Sequence[tuple[Path, int]]) -> StoredBlob:
        """One blob that shares the bytes of `files` (path, size)."""
        folder = self._new_temporary()
        try:
            with _report_disk():
                folder.mkdir(mode=0o700)
                for number, (path, _size) in enumerate(files, start=1):
                    self._link(path, folder / f"{number:05d}")
                with (folder / "manifest").open("xb") as file:
                    file.write(json.dumps([size for _path, size in files]).encode())
                    file.flush()
                    os.fsync(file.fileno())
                _sync_folder(folder)
                return self._publish(folder, spec.new_id, ".parts")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    # -- reads

    def get_object(self, handle: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        path = self._path(handle)
        if handle.endswith(".parts"):
            return cast("BinaryIO", open_parts(path, start, stop))
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise BlobNotFound(handle) from None
        size = os.fstat(fd).st_size
        stop = size if stop is None else min(stop, size)
        return cast("BinaryIO", FileSpan(fd, start, max(start, stop)))

    def head_object(self, handle: str) -> int:
        path = self._path(handle)
        if handle.endswith(".parts"):
            with open_parts(path, 0, None) as reader:
                return reader.stop
        try:
            return path.stat().st_size
        except FileNotFoundError:
            raise BlobNotFound(handle) from None

    # -- removal

    def delete_object(self, handle: str) -> None:
        try:
            path = self._path(handle)
        except BlobNotFound:
            return
        self._check_pins(handle)
        if handle.endswith(".parts"):
            self._delete_parts_folder(path)
        else:
            path.unlink(missing_ok=True)
        self._remove_empty(path.parent)

    def pin(self) -> int:
        """Keep every process from removing blobs, until the descriptor that is returned is closed."""
        with _report_disk():
            fd = os.open(self.root / "pins.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_SH)
        return fd

    def _check_pins(self, handle: str) -> None:
        """Raise BlobBusy if blobs are pinned. Who pins them from now on does not want this one: nothing refers to it
        already. Two processes that ask at the same moment may find each other; then one of them asks again later."""
        with self._pins:
            try:
                fd = os.open(self.root / "pins.lock", os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                return
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BlobBusy(handle) from None
            finally:
                os.close(fd)

    def _delete_parts_folder(self, folder: Path) -> None:
        """The manifest goes first: from then on new readers find no blob. What a crash leaves goes next time."""
        with contextlib.suppress(FileNotFoundError), locked_manifest(folder):
            (folder / "manifest").unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def quarantine(self, handle: str) -> Path:
        """Move a blob out of the store, durably, to the same path under `quarantine/`; returns where it is now.

        Nothing that is there already is replaced: a number is put behind the name. Raises BlobNotFound, BlobBusy if it
        is an assembled blob that is being read, StorageFull, OSError.
        """
        source = self._path(handle)
        folder = self.root / "quarantine" / source.parent.relative_to(self.root)
        if not source.exists():
            raise BlobNotFound(handle)
        with contextlib.ExitStack() as stack, _report_disk():
            if handle.endswith(".parts"):
                with contextlib.suppress(FileNotFoundError):  # half deleted: no reader can open it
                    stack.enter_context(locked_manifest(source))
            make_folder(folder)
            target = folder / handle
            for number in itertools.count(1):
                if not target.exists():
                    break
                target = folder / f"{handle}.{number}"
            try:
                source.rename(target)
            except FileNotFoundError:
                raise BlobNotFound(handle) from None
            _sync_folder(folder)
            with contextlib.suppress(FileNotFoundError):  # it was the last, and another process gave the folder up
                _sync_folder(source.parent)
        self._remove_empty(source.parent)
        return target

    def _remove_empty(self, folder: Path) -> None:
        """Give up an old minute's folder. A current one stays: another process may be about to rename into it."""
        if int(folder.name, 16) < self._clock() // _MINUTE_MS - 2:
            with contextlib.suppress(OSError):  # not empty, or gone
                folder.rmdir()

    def share(self, root: Path) -> None:
        """Give the store in the folder `root` all blobs of this one that it lacks, by hard links.

        Each store removes its own links, so neither can take a blob from the other. Blobs that are removed meanwhile
        are passed over.
        """
        target = root / "blobs"
        target.mkdir(mode=0o700, exist_ok=True)
        for minute in self._blobs.iterdir():
            if not _MINUTE.fullmatch(minute.name):
                continue
            folder = target / minute.name
            folder.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError), _report_disk(), os.scandir(minute) as entries:
                for entry in entries:
                    with contextlib.suppress(FileExistsError, FileNotFoundError):
                        if entry.name.endswith(".parts"):
                            self._share_parts(minute / entry.name, folder / entry.name)
                        else:
                            self._link(minute / entry.name, folder / entry.name)
            _sync_folder(folder)
        _sync_folder(target)

    def _share_parts(self, source: Path, target: Path) -> None:
        """Readers lock the manifest, so each store has one of its own. It comes last, as the sign of a whole blob."""
        if (target / "manifest").exists():
            return
        temporary = target.with_name(f"{self._process}-{next(self._names)}")
        temporary.mkdir(mode=0o700)
        try:
            with os.scandir(source) as entries:
                for entry in entries:
                    if entry.name != "manifest":
                        self._link(source / entry.name, temporary / entry.name)
            shutil.copyfile(source / "manifest", temporary / "manifest")
            _sync_folder(temporary)
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    def delete_parts(self, token: UploadToken | None, handles: Sequence[str]) -> None:
        for handle in handles:
            self.delete_object(handle)

    def iter_blobs(self, since_ms: int, until_ms: int) -> Iterator[str]:
        first, last = since_ms // _MINUTE_MS, until_ms // _MINUTE_MS
        for folder in sorted(self._blobs.iterdir()):
            # Whatever else there is, such as lost+found, is not ours.
            if not (_MINUTE.fullmatch(folder.name) and first <= int(folder.name, 16) <= last):
                continue
            with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
                for entry in entries:
                    if _HANDLE.fullmatch(entry.name) and since_ms <= int(entry.name[:12], 16) < until_ms:
                        yield entry.name

    def recover(self) -> None:
        """Remove what writes of dead processes left under tmp/. Only for a process that knows it is alone."""
        self._remove_stale(0)

    def _remove_stale(self, seconds: float) -> None:
        oldest = time.time() - seconds
        for path in self._tmp.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime > oldest and seconds:
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()

    def close(self) -> None:
        """Files are opened for each use, but for the folder of the present minute."""
        self._minute = None


class ReadOnlyBackend(LocalBackend):
    """The blobs in a folder in which nothing is changed."""

    def __init__(self, root: Path, *, clock: Callable[[], int] = _now_ms) -> None:
        self.root = root
        self._blobs = root / "blobs"
        self._clock = clock
        self._minute = None

    def _new_temporary(self) -> Path:
        raise StoreReadOnly("The store was opened with read_only=True: open it without to change it.")

    def delete_object(self, handle: str) -> None:
        """Nothing is removed."""

    def quarantine(self, handle: str) -> Path:
        raise StoreReadOnly("The store was opened with read_only=True: open it without to change it.")
