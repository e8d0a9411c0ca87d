"""Reading: conditions, ranges, and the object that a read returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import BinaryIO, Self

import attrs

from bleepstore.backends.base import CHUNK
from bleepstore.errors import InvalidPartNumber, InvalidRange, NotModified, PreconditionFailed
from bleepstore.model import ByteRange, ObjectVersion, PartSummary, ReadCondition


@attrs.define(eq=False)
class StoredObject:
    """A version and an open stream of (a span of) its bytes. Close it, or use it in a `with` block.

    The body is bytes `start` to `stop` (exclusive) of the object; `partial` says whether a range or a part was asked
    for, and `part` which part of a multipart object it is. Small objects come whole in `data`; others through `file`.
    A head has neither.
    """

    version: ObjectVersion
    start: int
    stop: int
    partial: bool = False
    part: PartSummary | None = None
    data: bytes | None = None
    file: BinaryIO | None = None

    @property
    def length(self) -> int:
        """Bytes in the body."""
        return self.stop - self.start

    def read(self, size: int = -1) -> bytes:
        """Up to `size` further bytes of the body, or all that are left."""
        if self.file is not None:
            return self.file.read(size)
        data = self.data or b""
        taken = data if size < 0 else data[:size]
        self.data = data[len(taken) :]
        return taken

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(CHUNK):
            yield chunk

    def close(self) -> None:
        if self.file is not None:
            self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _matches(etag: str, wanted: tuple[str, ...]) -> bool:
    return "*" in wanted or etag in wanted


def check_read(condition: ReadCondition, version: ObjectVersion) -> None:
    """Judge the conditions of a read in the order of RFC 9110 section 13.2.2.

    An ETag condition that holds makes the date condition of the same direction irrelevant. Dates have whole seconds.
    Raises PreconditionFailed or NotModified.
    """
    modified = version.modified.replace(microsecond=0)
    if condition.if_match is not None:
        if not _matches(version.etag, condition.if_match):
            raise PreconditionFailed("If-Match", version.bucket, version.key)
    elif condition.if_unmodified_since is not None and modified > condition.if_unmodified_since:
        raise PreconditionFailed("If-Unmodified-Since", version.bucket, version.key)
    if condition.if_none_match is not None:
        if _matches(version.etag, condition.if_none_match):
            raise _not_modified("If-None-Match", version)
    elif condition.if_modified_since is not None and modified <= condition.if_modified_since:
        raise _not_modified("If-Modified-Since", version)


def _not_modified(condition: str, version: ObjectVersion) -> NotModified:
    """With all that a cache may want to know anew of what it has (RFC 9110 section 15.4.5)."""
    system = version.system
    return NotModified(condition, version.etag, version.modified_ms, system.cache_control, system.expires)


def resolve_range(wanted: ByteRange, size: int) -> tuple[int, int]:
    """(start, stop) of a range within `size` bytes (RFC 9110 section 14.1.2). Raises InvalidRange."""
    if wanted.first is None:
        length = min(wanted.last or 0, size)
        start, stop = size - length, size
    else:
        start = wanted.first
        stop = size if wanted.last is None else min(wanted.last + 1, size)
    if start >= stop:
        first = "" if wanted.first is None else wanted.first
        last = "" if wanted.last is None else wanted.last
        raise InvalidRange(f"bytes={first}-{last}", size)
    return start, stop


def resolve_part(number: int, size: int, parts: Sequence[PartSummary]) -> tuple[int, int]:
    """(start, stop) of a part. An object that was not uploaded in parts is its own part 1. Raises InvalidPartNumber."""
    if not parts and number == 1:
        return 0, size
    if not 1 <= number <= len(parts):
        raise InvalidPartNumber(number, max(len(parts), 1))
    start = sum(part.size for part in parts[: number - 1])
    return start, start + parts[number - 1].size
