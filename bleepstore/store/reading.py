"""Reading: conditions, ranges, and the object that a read returns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

import attrs

from bleepstore.errors import Condition, InvalidPartNumber, InvalidRange, NotModified, PreconditionFailed
from bleepstore.model import (
    ARCHIVED_CLASSES,
    ByteRange,
    ObjectAttributes,
    ObjectVersion,
    PartSummary,
    to_datetime,
)
from bleepstore.preconditions import ReadCondition
from bleepstore.store.span_file import SpanFile

#: So many bytes are read as soon as they are opened: if they are damaged, nobody is given the first of them.
WHOLE_SIZE = 128 * 1024


@attrs.define(eq=False, slots=False)
class StoredObject(SpanFile):
    """A version, and (a span of) its bytes as a binary file, for reading. Close it, or use it in a `with` block.

    The body is bytes `start` to `stop` (exclusive) of the object; `partial` says whether a range or a part was asked
    for, and `part` which part of a multipart object it is. Up to 128 KiB come whole in `data`; more through `file`.
    A head has neither, and an empty body.

    It seeks by opening a range of the same bytes. Where they are stored under the object's own name at a provider and
    were replaced there since, the next read raises PreconditionFailed. Bytes that are read after a seek are not
    compared with the checksum of the whole.
    """

    version: ObjectVersion
    start: int
    stop: int
    partial: bool = False
    part: PartSummary | None = None
    data: bytes | None = attrs.field(default=None, repr=False)
    file: BinaryIO | None = attrs.field(default=None, repr=False)
    #: Opens bytes `start` to `stop` of the object anew.
    open_span: Callable[[int, int], BinaryIO] | None = attrs.field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The key, where a file has its name."""
        return self.version.key

    @property
    def etag(self) -> str:
        """The ETag, without quotes."""
        return self.version.etag

    @property
    def size(self) -> int:
        """Bytes of the whole object; `length` is that of the body."""
        return self.version.size

    @property
    def metadata(self) -> Mapping[str, str]:
        """The user's metadata."""
        return self.version.metadata

    @property
    def content_type(self) -> str | None:
        """The type that it was stored with; the others of its kind are in `version.system`."""
        return self.version.content_type

    @property
    def last_modified(self) -> dt.datetime:
        """When it was written, in UTC."""
        return self.version.modified

    def _replaced(self) -> Exception:
        return PreconditionFailed(Condition.IF_MATCH, self.version.bucket, self.version.key)


def is_archived(attributes: ObjectAttributes, clock: Callable[[], int]) -> bool:
    """Whether nothing of an object can be read now: it is archived, and not restored, or not yet, or no more."""
    if attributes.storage_class not in ARCHIVED_CLASSES:
        return False
    restoration = attributes.restoration
    return restoration is None or not restoration.ready_ms <= clock() < restoration.until_ms


def _matches(etag: str, wanted: tuple[str, ...]) -> bool:
    return "*" in wanted or etag in wanted


def check_read(condition: ReadCondition, version: ObjectVersion, now_ms: int) -> None:
    """Evaluate the conditions of a read in the order of RFC 9110 section 13.2.2.

    An ETag condition that holds makes the date condition of the same direction irrelevant. Dates have whole seconds.
    An `if_modified_since` in the future is ignored, as S3 does: later than now, and than the object, whose time may be
    that of a provider's clock. Raises PreconditionFailed or NotModified.
    """
    modified = version.modified.replace(microsecond=0)
    if condition.if_match is not None:
        if not _matches(version.etag, condition.if_match):
            raise PreconditionFailed(Condition.IF_MATCH, version.bucket, version.key)
    elif condition.if_unmodified_since is not None and modified > condition.if_unmodified_since:
        raise PreconditionFailed(Condition.IF_UNMODIFIED_SINCE, version.bucket, version.key)
    if condition.if_none_match is not None:
        if _matches(version.etag, condition.if_none_match):
            raise _not_modified(Condition.IF_NONE_MATCH, version)
    elif (since := condition.if_modified_since) is not None and modified <= since <= _latest(version, now_ms):
        raise _not_modified(Condition.IF_MODIFIED_SINCE, version)


def range_counts(condition: ReadCondition, version: ObjectVersion) -> bool:
    """Whether a range is cut: not if it is of another version (RFC 9110 section 13.1.5, "If-Range")."""
    wanted = condition.if_range
    if isinstance(wanted, dt.datetime):
        return wanted == version.modified.replace(microsecond=0)
    return wanted is None or wanted == version.etag


def _not_modified(condition: Condition, version: ObjectVersion) -> NotModified:
    """With all that a cache may want to know anew of what it has (RFC 9110 section 15.4.5)."""
    system = version.system
    return NotModified(condition, version.etag, version.modified_ms, system.cache_control, system.expires)


def _latest(version: ObjectVersion, now_ms: int) -> dt.datetime:
    return to_datetime(max(version.modified_ms, now_ms))


def resolve_range(wanted: ByteRange, size: int) -> tuple[int, int]:
    """(start, stop) of a range within `size` bytes (RFC 9110 section 14.1.2). Raises InvalidRange.

    The last bytes of an empty object are none, and S3 gives them: "If the selected representation is shorter than the
    specified suffix-length, the entire representation is used."
    """
    if wanted.first is None:
        if size == 0 and wanted.last:
            return 0, 0
        length = min(wanted.last or 0, size)
        start, stop = size - length, size
    else:
        start = wanted.first
        stop = size if wanted.last is None else min(wanted.last + 1, size)
    if start >= stop:
        raise InvalidRange(wanted.first, wanted.last, size)
    return start, stop


def resolve_part(number: int, size: int, parts: Sequence[PartSummary]) -> tuple[int, int]:
    """(start, stop) of a part. An object that was not uploaded in parts is its own part 1. Raises InvalidPartNumber."""
    if not parts and number == 1:
        return 0, size
    if not 1 <= number <= len(parts):
        raise InvalidPartNumber(number, max(len(parts), 1))
    start = sum(part.size for part in parts[: number - 1])
    return start, start + parts[number - 1].size
