"""Comparing what is read with what was written.

Disks return wrong bytes without an error. The catalog keeps a CRC64NVME of every object and part (docs/adr: bytes are
compared when they are read), and whoever reads a whole object is given its last bytes only if all of them have it.

The bytes of a file that was compared a short while ago, and that nobody has changed since, are in the page cache: they
are not compared again for `TRUSTED_SECONDS`. What never left this process's memory is not compared at all.
"""

from __future__ import annotations

import binascii
import functools
import io
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import attrs

from bleepstore.backends.base import CHUNK, StorageBackend
from bleepstore.catalog.records import Content
from bleepstore.digests import crc64nvme
from bleepstore.errors import BlobDamaged, ObjectDamaged
from bleepstore.model import ObjectVersion
from bleepstore.sealing.digest import SealedDigest

if TYPE_CHECKING:
    from bleepstore.sealing.cipher import Seal

_log = logging.getLogger("bleepstore.store")

#: How long a file that was compared, and was not changed since, is taken to give the same bytes.
TRUSTED_SECONDS = 60.0
#: A file that was changed so lately could be changed once more without another time stamp: those have the resolution of
#: the kernel's clock, some milliseconds.
_TIME_STAMP_NS = 1_000_000_000
_MAX_KNOWN = 10_000


class FileIdentity(NamedTuple):
    """What of a file changes with its bytes."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


def identity_of(file: BinaryIO) -> FileIdentity | None:
    """Of the real file behind `file`; None if there is none."""
    try:
        found = os.fstat(file.fileno())
    except OSError:
        return None
    return FileIdentity(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Comparisons:
    """Which files of a store were found right lately, and how many damaged objects were met. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[FileIdentity, float]] = {}
        self._lock = threading.Lock()
        self.damaged = 0

    def are_known(self, handle: str, identity: FileIdentity) -> bool:
        """Whether this file was compared a short while ago."""
        known = self._known.get(handle)
        return known is not None and known[0] == identity and known[1] > time.monotonic()

    def remember(self, handle: str, identity: FileIdentity) -> None:
        """This file was found right."""
        if not identity.changed_ns + _TIME_STAMP_NS < time.time_ns():
            return
        with self._lock:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[handle] = (identity, time.monotonic() + TRUSTED_SECONDS)

    def report(self, bucket: str, key: str, reason: str) -> ObjectDamaged:
        """The error to raise, which is logged and counted."""
        error = ObjectDamaged(bucket, key, reason)
        with self._lock:
            self.damaged += 1
        _log.error("%s", error)
        return error


@attrs.define(eq=False)
class Comparison:
    """The bytes of one object, as they pass by, against their CRC64NVME in base64."""

    _expected: str
    _report: Callable[[str], ObjectDamaged]
    _succeeded: Callable[[], object] | None = None
    _value: int = 0

    def update(self, data: Any) -> None:
        """The next bytes, of any buffer."""
        self._value = crc64nvme(data, self._value)

    def finish(self) -> None:
        """Raises ObjectDamaged if the bytes that have passed are not those that were written."""
        found = text_of(self._value)
        if found != self._expected:
            raise self._report(f"their CRC64NVME is {found}, not {self._expected}")
        if self._succeeded is not None:
            self._succeeded()


def text_of(value: int) -> str:
    """A CRC64NVME as base64."""
    return binascii.b2a_base64(value.to_bytes(8, "big"), newline=False).decode()


class CheckedReader(io.RawIOBase):
    """`length` bytes of an open file. It raises ObjectDamaged where the file ends before, and instead of giving the
    last of them if there is a `comparison` that fails. `file` is closed with it.

    It seeks from its beginning, if `file` does; what is read after that is not compared."""

    def __init__(
        self, file: BinaryIO, length: int, comparison: Comparison | None, report: Callable[[str], ObjectDamaged]
    ) -> None:
        self._file = file
        self._length = self._left = length
        self._report = report
        #: For who sends the file by its descriptor, and has to compare the bytes by themselves.
        self.comparison = comparison

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        seekable = getattr(self._file, "seekable", None)
        return seekable is not None and bool(seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("it seeks from its beginning")
        self._file.seek(offset)
        self._left = max(0, self._length - offset)
        self.comparison = None
        return offset

    def fileno(self) -> int:
        return self._file.fileno()

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            return self.readall()
        wanted = min(size, self._left)
        if not wanted:
            self._read_none(size)
            return b""
        try:
            data = self._file.read(wanted)
        except BlobDamaged as error:
            raise self._report(error.reason) from error
        self._compare(data)
        return data

    def readall(self) -> bytes:
        pieces = []
        while piece := self.read(self._left or 1):
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readinto(self, buffer: Any) -> int:
        """After an error nothing in the buffer is to be believed."""
        view = memoryview(buffer).cast("B")
        wanted = view[: self._left]
        if not len(wanted):
            self._read_none(len(view))
            return 0
        try:
            count: int = self._file.readinto(wanted)  # type: ignore[attr-defined]  # every reader of a backend has it
        except BlobDamaged as error:
            raise self._report(error.reason) from error
        self._compare(wanted[:count])
        return count

    def _read_none(self, size: int) -> None:
        """Nothing is left. An empty object says here whether it is right."""
        comparison = self.comparison
        if size and comparison is not None:
            self.comparison = None
            comparison.finish()

    def _compare(self, data: bytes | memoryview) -> None:
        """The next bytes, before anybody is given them."""
        if not len(data):
            raise self._report(f"they end {self._left} bytes too early")
        self._left -= len(data)
        comparison = self.comparison
        if comparison is not None:
            comparison.update(data)
            if not self._left:
                self.comparison = None
                comparison.finish()

    def close(self) -> None:
        self._file.close()
        super().close()


class Span(NamedTuple):
    """Bytes `start` to `stop` (exclusive) of an object, and their CRC64NVME in base64, if it is known."""

    start: int
    stop: int
    crc64nvme: str | None


@attrs.frozen
class Verifier:
    """Opens the blobs of one backend so that what is read of them is compared."""

    backend: StorageBackend
    comparisons: Comparisons = attrs.field(factory=Comparisons)

    def check_inline(self, bucket: str, key: str, data: bytes, size: int, expected: str | None) -> None:
        """Raises ObjectDamaged unless these bytes, which came out of the catalog, are those that went into it."""
        if len(data) != size:
            raise self.comparisons.report(bucket, key, f"there are {len(data)} bytes of {size} in the catalog")
        if expected is not None and text_of(crc64nvme(data)) != expected:
            raise self.comparisons.report(bucket, key, f"their CRC64NVME in the catalog is not {expected}")

    def decrypt(self, version: ObjectVersion, seal: Seal, sealed: bytes) -> bytes:
        """The bytes of an encrypted object that is kept in the catalog. Raises ObjectDamaged."""
        try:
            return seal.decrypt_bytes(sealed, version.size, "in the catalog")
        except BlobDamaged as error:
            raise self.comparisons.report(version.bucket, version.key, error.reason) from error

    def open(
        self, bucket: str, key: str, handle: str, size: int, expected: str | None, start: int, stop: int
    ) -> BinaryIO:
        """Bytes `start` to `stop` of a blob that should have `size` bytes; if these are all of them, compared with
        `expected`. Raises BlobNotFound, ObjectDamaged."""
        try:
            file = self.backend.get_object(handle, start, stop)
        except BlobDamaged as error:
            raise self.comparisons.report(bucket, key, error.reason) from error
        if isinstance(file, io.BytesIO):  # it never left this process
            return file

        def report(reason: str) -> ObjectDamaged:
            return self.comparisons.report(bucket, key, reason)

        identity = identity_of(file)
        if identity is not None and identity.size != size:
            file.close()
            raise report(f"their file has {identity.size} bytes instead of {size}")
        comparison = None
        known = identity is not None and self.comparisons.are_known(handle, identity)
        if expected is not None and stop - start == size and not known:
            remember = None if identity is None else functools.partial(self.comparisons.remember, handle, identity)
            comparison = Comparison(expected, report, remember)
        return cast("BinaryIO", CheckedReader(file, stop - start, comparison, report))

    def chunks(
        self, bucket: str, key: str, handle: str, spans: Sequence[Span], start: int, stop: int
    ) -> Iterator[bytes]:
        """Bytes `start` to `stop` of a blob that consists of `spans`. Those of which bytes are wanted are read and
        compared as a whole, before the last chunk is given. Raises BlobNotFound, ObjectDamaged."""
        size = spans[-1].stop if spans else 0
        wanted = [span for span in spans if span.start < stop and span.stop > start]
        if len(spans) == 1 and self._is_known(handle):
            wanted = [Span(start, stop, None)]
        for span in wanted:
            whole = len(spans) == 1
            with self.open(
                bucket, key, handle, size, span.crc64nvme if whole else None, span.start, span.stop
            ) as reader:
                comparison = None
                if not whole and span.crc64nvme is not None and isinstance(reader, CheckedReader):
                    comparison = Comparison(span.crc64nvme, self._reporter(bucket, key))
                yield from _parts_of(reader, span, comparison, start, stop)

    def _reporter(self, bucket: str, key: str) -> Callable[[str], ObjectDamaged]:
        return lambda reason: self.comparisons.report(bucket, key, f"of a part of it, {reason}")

    def _is_known(self, handle: str) -> bool:
        with self.backend.get_object(handle, 0, 0) as file:
            identity = identity_of(file)
        return isinstance(file, io.BytesIO) or (identity is not None and self.comparisons.are_known(handle, identity))


def _parts_of(reader: BinaryIO, span: Span, comparison: Comparison | None, start: int, stop: int) -> Iterator[bytes]:
    """Of a span that is read as a whole, the bytes `start` to `stop` of the object."""
    position, kept = span.start, b""
    while chunk := reader.read(CHUNK):
        if comparison is not None:
            comparison.update(chunk)
        if kept:
            yield kept
        kept = chunk[max(start - position, 0) : max(stop - position, 0)]
        position += len(chunk)
    if comparison is not None:
        comparison.finish()
    if kept:
        yield kept


class Summary:
    """The stored bytes of an object or a part, which come in pieces: their size, and their CRC64NVME. Those of what is
    encrypted are in the bytes, so that nobody needs a key for this."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._size = self._value = 0
        self._sealed = None if content.layout is None else SealedDigest(content.layout)

    def add(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._sealed is not None:
            self._sealed.update(chunk)
        else:
            self._value = crc64nvme(chunk, self._value)

    def why_damaged(self) -> str | None:
        """Why the bytes are not those of which the catalog speaks; None if they are."""
        content = self._content
        if self._size != content.stored_size:
            return f"there are {self._size} bytes instead of {content.stored_size}"
        if self._sealed is not None:
            return None if self._sealed.is_right() else "the CRC64NVME of its encrypted bytes is another"
        if content.crc64nvme is not None and text_of(self._value) != content.crc64nvme:
            return f"the CRC64NVME of its bytes is {text_of(self._value)}, not {content.crc64nvme}"
        return None


def why_damaged(chunks: Iterable[bytes], content: Content) -> str | None:
    """As `Summary.why_damaged`."""
    summary = Summary(content)
    for chunk in chunks:
        summary.add(chunk)
    return summary.why_damaged()
