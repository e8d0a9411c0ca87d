"""A store as one file, and back.

The archive is a plain tar file, compressed if its name ends in `.gz`:

    catalog.db           a copy of the catalog as of one moment
    catalog.db.sha256    its SHA-256, as sha256sum writes it
    blobs/<handle>       the bytes of each object and part that are not in the catalog

A backup is made of a snapshot, so writes go on meanwhile and no process can remove what it needs. A restore gives every
blob a new name and believes nothing: the catalog must have its SHA-256; names, kinds and sizes of the members must be
what the catalog says, and the bytes must have the ETag and the checksum of their object. This finds what was damaged.
It is no signature: whoever can write the archive can write another one. What is encrypted is so in the archive, and its
keys are not in it.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import re
import secrets
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from bleepstore.backends.base import CHUNK, BlobSpec, StorageBackend, new_blob_id
from bleepstore.backends.local import LocalBackend
from bleepstore.catalog.records import Content
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.archive import RestoredCatalog, restoring
from bleepstore.catalog.sqlite.copying import make_file_durable, open_private
from bleepstore.catalog.sqlite.snapshot import write_copy
from bleepstore.cleanup import on_error
from bleepstore.digests import Digester, PartsEtag
from bleepstore.errors import (
    ArchiveDamaged,
    BackupIncomplete,
    BlobDamaged,
    BlobNotFound,
    Damage,
    StorageFull,
    StoreError,
)
from bleepstore.model import ChecksumType
from bleepstore.store.forking import Forks
from bleepstore.store.verifying import Summary, why_damaged

#: Called with (bytes done, bytes in all).
Progress = Callable[[int, int], None]

_BLOCK = tarfile.BLOCKSIZE
_CATALOG = "catalog.db"
_DIGEST = "catalog.db.sha256"
_BLOB = re.compile(r"blobs/([0-9a-zA-Z.]{1,80})")
_NO_WHOLE_FILE = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error)
_UNREADABLE = (ArchiveDamaged, *_NO_WHOLE_FILE)
_MULTIPART = re.compile(r"[0-9a-f]{32}-\d+")


class Archives:
    """Backups of stores whose bytes are in memory or in a folder."""

    def __init__(self, forks: Forks) -> None:
        self._forks = forks

    def backup(self, target: str | os.PathLike[str], progress: Progress | None = None) -> None:
        """Write all of the store to the new file `target`, as of now, while it is in use.

        The file has its name only once it is whole and durable. What is read is compared with what was written: if
        objects are damaged the file is there all the same, with what there is of them, and BackupIncomplete names them.
        Raises FileExistsError, OSError, StoreError for a store at a provider or in a cluster.
        """
        path = Path(target)
        if path.exists():
            raise FileExistsError(f"{path} exists: a backup never replaces a file")
        partial = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
        with on_error(lambda: partial.unlink(missing_ok=True)):
            with self._forks.snapshot() as snapshot, open_private(partial) as raw:
                folder = snapshot.folder
                with contextlib.ExitStack() as stack:
                    if folder is None:
                        assert snapshot.catalog is not None
                        assert snapshot.blobs is not None
                        catalog, blobs = snapshot.catalog, cast("StorageBackend", snapshot.blobs)
                    else:
                        catalog, blobs = Catalog(folder / _CATALOG), LocalBackend(folder)
                        stack.callback(blobs.close)
                        stack.callback(catalog.close)
                    out: BinaryIO = raw
                    if path.suffix == ".gz":
                        out = cast("BinaryIO", gzip.GzipFile(path.stem, "wb", compresslevel=3, fileobj=raw))
                        stack.callback(out.close)
                    damaged = _write_archive(out, catalog, blobs, path.parent, progress or _nothing)
                raw.flush()
                os.fsync(raw.fileno())
            partial.rename(path)
            make_file_durable(path.parent)
        if damaged:
            raise BackupIncomplete(str(path), damaged)


def _nothing(_done: int, _total: int) -> None:
    """No progress is shown."""


def _write_archive(
    out: BinaryIO, catalog: Catalog, blobs: StorageBackend, folder_of_copies: Path, progress: Progress
) -> list[Damage]:
    """Returns what is damaged. A blob that is missing is left out, and what cannot be read of others is zeros."""
    damaged: list[Damage] = []
    with tempfile.TemporaryDirectory(dir=folder_of_copies, prefix=".bleepstore-backup-") as folder:
        copy = Path(folder) / _CATALOG
        write_copy(catalog, copy)
        size = copy.stat().st_size
        with catalog.read() as reader:
            done, total = 0, reader.count_blobs()[1] + size
            progress(done, total)
            with copy.open("rb") as file:
                digest = _digest_line(hashlib.file_digest(file, "sha256"))
                file.seek(0)
                done = _write_member(out, _CATALOG, size, file, done, total, progress)
            _write_member(out, _DIGEST, len(digest), io.BytesIO(digest), 0, 0, _nothing)
            for content, data in reader.iter_inline():
                if reason := why_damaged((data or b"",), content):
                    damaged.append(content.damage(reason))
            for handle, blob_size in reader.iter_blobs():
                known = reader.content_of(handle)
                assert known is not None
                blob = _ComparedBlob(blobs, known)
                try:
                    if blob.is_there:
                        member = f"blobs/{handle}"
                        done = _write_member(out, member, blob_size, cast("BinaryIO", blob), done, total, progress)
                finally:
                    blob.close()
                if blob.reason is not None:
                    damaged.append(known.damage(blob.reason))
    out.write(bytes(2 * _BLOCK))
    return damaged


class _ComparedBlob:
    """A blob as a reader that always gives as many bytes as the catalog says, and then knows what is wrong with
    them."""

    def __init__(self, blobs: StorageBackend, content: Content) -> None:
        self.reason: str | None = None
        self._left = content.stored_size
        self._summary = Summary(content)
        self._file: BinaryIO | None = None
        try:
            self._file = blobs.get_object(content.handle or "")
            found = blobs.head_object(content.handle or "")
        except BlobNotFound:
            self.reason = "its bytes are missing"
        except (BlobDamaged, OSError) as error:
            self.reason = str(error)
        else:
            if found != content.stored_size:
                self.reason = f"there are {found} bytes instead of {content.stored_size}"
        self.is_there = self._file is not None
        if not content.stored_size:
            self._finish()

    def read(self, size: int) -> bytes:
        assert self._file is not None
        data = b""
        try:
            data = self._file.read(min(size, self._left))
        except (BlobDamaged, OSError) as error:
            self.reason = str(error)
        if not data:
            self.reason = self.reason or f"its bytes end {self._left} too early"
            data = bytes(min(size, self._left))
        self._summary.add(data)
        self._left -= len(data)
        if not self._left:
            self._finish()
        return data

    def _finish(self) -> None:
        self.reason = self.reason or self._summary.why_damaged()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _digest_line(digest: hashlib._Hash) -> bytes:
    return f"{digest.hexdigest()}  {_CATALOG}\n".encode()


def _write_member(
    out: BinaryIO, name: str, size: int, reader: BinaryIO, done: int, total: int, progress: Progress
) -> int:
    """Returns the bytes done."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    out.write(member.tobuf(tarfile.GNU_FORMAT))
    left = size
    while left:
        chunk = reader.read(min(CHUNK, left))
        if not chunk:
            raise StoreError(f"{name} has {left} bytes less than the catalog says: nothing was backed up.")
        out.write(chunk)
        left -= len(chunk)
        done += len(chunk)
        progress(done, total)
    out.write(bytes(-size % _BLOCK))
    return done


def restore(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str],
    progress: Progress | None = None,
    *,
    skip_damaged: bool = False,
) -> list[Damage]:
    """Make the folder `path` the store that was backed up in the file `source`. Open it then as any store.

    `path` must be new or an empty folder. It appears, or is filled, only once all is there and durable and the
    size, the ETag and the checksum of every object were found right. With `skip_damaged`, objects and parts whose bytes
    are damaged or missing in the archive are left out, and returned, and so is what follows where the archive is cut
    off or cannot be read any further; else there are none, or nothing is restored. The catalog must always be whole.

    Raises ArchiveDamaged if the file is no sound backup, FileExistsError, StorageFull, CatalogTooNew, OSError.
    """
    root = Path(path).absolute()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} exists: a store is restored into a new or empty folder")
    if not Path(source).is_file():
        raise FileNotFoundError(f"{source} is no file: name one that `bleepstore backup` wrote")
    root.parent.mkdir(parents=True, exist_ok=True)
    partial = root.with_name(f".{root.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    partial.mkdir(mode=0o700)
    try:
        with Path(source).open("rb") as raw, contextlib.ExitStack() as stack:
            is_compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            file: BinaryIO = raw
            if is_compressed:
                file = cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=raw, mode="rb")))
            try:
                left_out = _read_archive(file, partial, progress or _nothing, skip_damaged)
            except _NO_WHOLE_FILE as error:
                raise ArchiveDamaged(f"{source} is not a whole backup: {error}") from error
        make_file_durable(partial)
        partial.rename(root)
        make_file_durable(root.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return left_out


def _read_archive(file: BinaryIO, root: Path, progress: Progress, skip_damaged: bool) -> list[Damage]:
    """Returns what was left out."""
    left_out: list[Damage] = []
    catalog_size = _read_catalog(file, root)
    with restoring(root / _CATALOG) as catalog, contextlib.closing(LocalBackend(root)) as backend:

        def leave_out(content: Content, reason: str) -> None:
            if not skip_damaged:
                raise ArchiveDamaged(f"{content.damage(reason)}. To restore all but what is damaged: --skip-damaged")
            catalog.leave_out(content)
            left_out.append(content.damage(reason))

        for content, data in list(catalog.iter_inline()):
            try:
                for _ in _verified((data or b"",), content):
                    pass
            except BytesDiffer as error:
                leave_out(content, error.reason)
        size = catalog.count_blobs()[1]
        _check_space(root, size)
        done, total = catalog_size, catalog_size + size
        progress(done, total)
        moved: dict[str, str] = {}
        lost = "the archive does not have its bytes"
        try:
            for content, stored_as, reason in _read_blobs(file, catalog, backend):
                if reason is None:
                    moved[content.handle or ""] = stored_as
                else:
                    leave_out(content, reason)
                done += content.stored_size
                progress(done, total)
        except _UNREADABLE as error:
            if not skip_damaged:
                raise
            lost = f"the archive cannot be read as far as its bytes: {error}"
        for handle in {handle for handle, _size in catalog.iter_blobs()} - moved.keys():
            behind = catalog.content_of(handle)
            assert behind is not None
            leave_out(behind, lost)
        for handle, moved_to in moved.items():
            catalog.move_blob(handle, moved_to)
    return sorted(left_out, key=lambda damage: (damage.bucket, damage.key, damage.part_number or 0))


def _read_catalog(file: BinaryIO, root: Path) -> int:
    """The first member, as a file. Returns its size in bytes."""
    first = _next_member(file)
    if first is None or first[0] != _CATALOG:
        raise ArchiveDamaged("the archive does not begin with a catalog")
    name, size = first
    _check_space(root, size)
    digest = hashlib.sha256()
    with open_private(root / name) as target:
        for chunk in _member_chunks(file, name, size):
            digest.update(chunk)
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    _check_digest(file, _digest_line(digest))
    return size


def _read_blobs(
    file: BinaryIO, catalog: RestoredCatalog, backend: LocalBackend
) -> Iterator[tuple[Content, str, str | None]]:
    """(what it is, the handle under which it was stored, None) of each blob that is right, and (what it is, "", what is
    wrong with it) of others. Raises one of _UNREADABLE."""
    seen: set[str] = set()
    while (member := _next_member(file)) is not None:
        name, size = member
        found = _BLOB.fullmatch(name)
        content = None if found is None else catalog.content_of(found[1])
        if found is None or content is None or found[1] in seen:
            raise ArchiveDamaged(f"the archive holds {name!r}, which its catalog does not know or which came before")
        if size != content.stored_size:
            raise ArchiveDamaged(f"{name} has {size} bytes, but its catalog says {content.stored_size}")
        seen.add(found[1])
        try:
            chunks = _verified(_member_chunks(file, name, size), content)
            yield content, backend.put_object(BlobSpec(bucket="", key="", new_id=new_blob_id), chunks).handle, None
        except BytesDiffer as error:
            yield content, "", error.reason


class BytesDiffer(Exception):
    """What an archive has of an object is not what its catalog says."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _check_digest(file: BinaryIO, wanted: bytes) -> None:
    if _next_member(file) != (_DIGEST, len(wanted)):
        raise ArchiveDamaged(f"the archive has no {_DIGEST}")
    if b"".join(_member_chunks(file, _DIGEST, len(wanted))) != wanted:
        raise ArchiveDamaged("the catalog in the archive is not the one that was backed up: its SHA-256 differs")


def _check_space(root: Path, size: int) -> None:
    if size > shutil.disk_usage(root).free:
        raise StorageFull


def _next_member(file: BinaryIO) -> tuple[str, int] | None:
    """(name, size) of the next plain file, or None at the end. Each header is read by itself, so none can be long."""
    block = file.read(_BLOCK)
    if block == bytes(_BLOCK):
        if file.read(_BLOCK) != bytes(_BLOCK):
            raise ArchiveDamaged("the archive is cut off")
        # Other programs fill the last record with zeros. To meet the end makes gzip compare its checksum.
        if file.read(tarfile.RECORDSIZE).strip(b"\0") or file.read(1):
            raise ArchiveDamaged("something follows behind the archive's end")
        return None
    member = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    if member.type != tarfile.REGTYPE or member.size < 0:
        raise ArchiveDamaged(f"the archive holds {member.name!r}, which is not a plain file")
    return member.name, member.size


def _member_chunks(file: BinaryIO, name: str, size: int) -> Iterator[bytes]:
    left = size
    while left:
        chunk = file.read(min(CHUNK, left))
        if not chunk:
            raise ArchiveDamaged(f"the archive is cut off within {name}")
        left -= len(chunk)
        yield chunk
    if len(file.read(-size % _BLOCK)) != -size % _BLOCK:
        raise ArchiveDamaged(f"the archive is cut off behind {name}")


def _verified(chunks: Iterable[bytes], content: Content) -> Iterator[bytes]:
    """Pass `chunks` through; raises BytesDiffer at their end if they are not what the catalog says."""
    if content.encryption is not None:
        yield from _verified_sealed(chunks, content)
        return
    full = content.checksum if content.checksum and content.checksum.type == ChecksumType.FULL_OBJECT else None
    digester = Digester(*(() if full is None else (full.algorithm,)))
    is_multipart = _MULTIPART.fullmatch(content.etag) is not None
    etags = PartsEtag([part.size for part in content.parts]) if is_multipart else None
    for chunk in chunks:
        digester.update(chunk)
        if etags is not None:
            etags.update(chunk)
        yield chunk
    etag = etags.etag() if etags is not None else digester.md5_hex
    if digester.size != content.size or etag != content.etag:
        raise BytesDiffer("its bytes are not those that were stored: size or ETag differ")
    if full is not None and digester.values()[full.algorithm] != full.value:
        raise BytesDiffer(f"its bytes are not those that were stored: {full.algorithm} differs")


def _verified_sealed(chunks: Iterable[bytes], content: Content) -> Iterator[bytes]:
    """The same for what is encrypted, which is compared as it is stored: the archive has no keys."""
    summary = Summary(content)
    for chunk in chunks:
        summary.add(chunk)
        yield chunk
    if reason := summary.why_damaged():
        raise BytesDiffer(reason)
