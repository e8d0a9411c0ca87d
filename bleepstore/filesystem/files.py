"""Open files: ranges of an object when reading, a multipart upload when writing."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Protocol

import attrs
from fsspec.spec import AbstractBufferedFile

from bleepstore.cleanup import on_error
from bleepstore.filesystem.refusals import told_as_os_errors
from bleepstore.model import (
    MAX_PART,
    MIN_PART,
    STANDARD,
    ByteRange,
    CompletedPart,
    ObjectAttributes,
    ObjectVersion,
    SystemMetadata,
    Upload,
)
from bleepstore.preconditions import ReadCondition, WriteCondition
from bleepstore.store import Store

#: The buffer doubles after so many parts, so that 10,000 of them reach S3's 5 TiB.
_PARTS_OF_ONE_SIZE = 1_000


def counted(chunks: Iterator[bytes], callback: Any) -> Iterator[bytes]:
    """The chunks, with fsspec's `callback` told of each that was used."""
    for chunk in chunks:
        yield chunk
        callback.relative_update(len(chunk))


def pour(chunks: Iterator[bytes], write: Callable[[bytes], Any], callback: Any) -> None:
    """Write the chunks, likewise."""
    for chunk in counted(chunks, callback):
        write(chunk)


def even_ranges(size: int) -> list[ByteRange]:
    """Ranges of at most 5 GiB, none of them much smaller than another, that cover `size` bytes."""
    count = -(-size // MAX_PART)
    step = -(-size // count)
    return [ByteRange(start, min(start + step, size) - 1) for start in range(0, size, step)]


def copy_parts(store: Store, source: ObjectVersion, upload: Upload) -> list[CompletedPart]:
    """The first parts of an upload, out of an object and without moving its bytes through here."""
    condition = ReadCondition(if_match=(source.etag,))
    parts = []
    for number, span in enumerate(even_ranges(source.size), start=1):
        part = store.copy_part(
            source.bucket, source.key, upload.bucket, upload.key, upload.upload_id, number,
            source_range=span, source_condition=condition,
        )  # fmt: skip
        parts.append(CompletedPart(number=number, etag=part.etag))
    return parts


class FileSystem(Protocol):
    """What a file needs of the file system that it is of."""

    @property
    def store(self) -> Store: ...

    def split_version(self, path: str) -> tuple[str, str, str | None]: ...

    def isfile(self, path: str) -> bool: ...


class BleepStoreFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no type information
    """An object opened as a file, in the modes rb, wb, ab and xb.

    Reading asks for the bytes of the version that was opened: if it is overwritten meanwhile, a read that needs more of
    it raises OSError (ESTALE), unless the file system is aware of versions. Writing holds one buffer of `block_size`
    bytes (5 MiB at least) and shows the object on `close`; a `with` block that raises writes nothing, and what was sent
    is given back. xb is refused by `open` if the key is taken, and by `close` if it was taken since. ab goes on behind
    the present bytes, which are not moved, and is refused by `close` if the object was changed since.
    """

    fs: FileSystem

    def __init__(
        self,
        fs: FileSystem,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        *,
        content_type: str | None = None,
        metadata: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        if mode not in ("rb", "wb", "ab", "xb"):
            raise ValueError(f"the mode is one of rb, wb, ab and xb, not {mode!r}")
        self._bucket, self._key, self._version_id = fs.split_version(path)
        if mode != "rb" and self._version_id is not None:
            raise ValueError("a version is never written again: leave out ?version_id=")
        self._upload: Upload | None = None
        self._parts: list[CompletedPart] = []
        system = SystemMetadata(content_type=content_type)
        self._attributes = ObjectAttributes(system=system, metadata=metadata or {})
        self._condition = WriteCondition(if_none_match=mode == "xb")
        size = max(int(block_size or 0), MIN_PART)
        super().__init__(fs, path, mode, size, autocommit, **options)
        if mode == "rb":
            if self.details["type"] != "file":
                raise IsADirectoryError(21, os.strerror(21), path)
            self._version_id = self.details.get("VersionId")
        else:
            try:
                with told_as_os_errors(path):
                    self._begin()
            except BaseException:
                self.closed = True  # or its end would write what was refused
                raise

    # -- reading

    def _fetch_range(self, start: int, end: int) -> bytes:
        stop = min(end, self.size)
        if start >= stop:
            return b""
        condition = ReadCondition(if_match=(self.details["ETag"],))
        span = ByteRange(start, stop - 1)
        with (
            told_as_os_errors(self.path),
            self.fs.store.get_object(
                self._bucket, self._key, version_id=self._version_id, range=span, condition=condition
            ) as stored,
        ):
            return stored.read()

    # -- writing

    def _begin(self) -> None:
        """What can be known to fail is refused now; bytes to go on behind are taken over."""
        store = self.fs.store
        if not self._key:
            raise IsADirectoryError(21, "a bucket is a directory", self.path)
        store.head_bucket(self._bucket)
        if self.mode == "xb" and self.fs.isfile(self.path):
            raise FileExistsError(17, os.strerror(17), self.path)
        if self.mode != "ab":
            return
        if not self.fs.isfile(self.path):
            self._condition = WriteCondition(if_none_match=True)
            return
        version = store.head_object(self._bucket, self._key).version
        self._condition = WriteCondition(if_match=version.etag)
        self._attributes = attrs.evolve(version.attributes, storage_class=STANDARD, grants=None)
        self.loc = version.size
        if version.size < MIN_PART:
            with store.get_object(self._bucket, self._key, condition=ReadCondition(if_match=(version.etag,))) as stored:
                self.buffer.write(stored.read())
            return
        self._initiate_upload()
        self.offset = 0
        assert self._upload is not None
        with on_error(self.discard):
            self._parts = copy_parts(store, version, self._upload)

    def _initiate_upload(self) -> None:
        if self._upload is None:
            with told_as_os_errors(self.path):
                self._upload = self.fs.store.create_upload(self._bucket, self._key, attributes=self._attributes)

    def flush(self, force: bool = False) -> None:
        """Send what is buffered once it is enough for a part. `force` is for `close`: the last of it."""
        if force and not self.closed and self._upload is None and self.autocommit and self.writable():
            self.forced = True
            self._put_whole()
            return
        super().flush(force)

    def _put_whole(self) -> None:
        """What never filled a buffer is one write."""
        with told_as_os_errors(self.path):
            self.fs.store.put_object(
                self._bucket,
                self._key,
                self.buffer.getvalue(),
                attributes=self._attributes,
                condition=self._condition,
            )

    def _upload_chunk(self, final: bool = False) -> bool:
        assert self._upload is not None
        view = self.buffer.getbuffer()
        with on_error(self.discard), told_as_os_errors(self.path), view:
            for start in range(0, max(len(view), 1), MAX_PART):
                if final and not len(view) and self._parts:
                    break
                part = self.fs.store.put_part(
                    self._bucket,
                    self._key,
                    self._upload.upload_id,
                    len(self._parts) + 1,
                    view[start : start + MAX_PART],
                )
                self._parts.append(CompletedPart(number=part.number, etag=part.etag))
        if len(self._parts) % _PARTS_OF_ONE_SIZE == 0:
            self.blocksize *= 2
        if final and self.autocommit:
            self.commit()
        return True

    def commit(self) -> None:
        """Show the object; `close` does it, other than in a transaction. Raises FileExistsError, OSError."""
        upload = self._upload
        if upload is None:
            return
        with on_error(self.discard), told_as_os_errors(self.path):
            self.fs.store.complete_upload(
                self._bucket, self._key, upload.upload_id, self._parts, condition=self._condition
            )
        self._upload = None

    def discard(self) -> None:
        """Write nothing, and give back what was sent."""
        upload, self._upload = self._upload, None
        self.forced = True  # nothing more is taken, and `close` writes nothing
        self.buffer = io.BytesIO()
        if upload is not None:
            with told_as_os_errors(self.path):
                self.fs.store.abort_upload(self._bucket, self._key, upload.upload_id)

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        tb: TracebackType | None = None,
    ) -> None:
        if kind is not None and self.mode != "rb" and not self.closed:
            self.discard()
        self.close()
