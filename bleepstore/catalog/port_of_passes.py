"""What is asked of a catalog by those that go through all of it: lifecycles, scrubs, backups and checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from bleepstore.catalog.records import (
    Content,
)
from bleepstore.lifecycle_due import Aged
from bleepstore.model import (
    Bucket,
    Upload,
)

#: Where to go on with the objects, or with the parts, of a catalog; () is the beginning, and the end. It is a value of
#: the implementation's own, good for a program that goes through the catalog.
Cursor = tuple[Any, ...]


class ContentReader(Protocol):
    """What is known of the bytes of all objects and parts: what a backup, a scrub and a check ask."""

    def count_blobs(self) -> tuple[int, int]:
        """(how many blobs objects and parts have, their bytes)."""

    def total_bytes(self) -> int:
        """The bytes of all objects and parts, also of those in the catalog."""

    def iter_blobs(self) -> Iterator[tuple[str, int]]:
        """(handle, size) of the blob of each object and part, in the order of the handles."""

    def iter_inline(self) -> Iterator[tuple[Content, bytes | None]]:
        """What each object whose bytes are in the catalog must hold, and its bytes; None if they are missing."""

    def content_of(self, handle: str) -> Content | None:
        """What a blob must hold; None if no object and no part has it."""

    def name_of_blob(self, handle: str) -> str:
        """The object or the part that has a blob, as people know it; the handle if none has it."""

    def page_of_objects(self, after: Cursor) -> tuple[list[tuple[Content, bytes | None]], Cursor]:
        """Some objects, with the bytes of those that are in the catalog, and where to go on."""

    def page_of_parts(self, after: Cursor) -> tuple[list[tuple[Content, bytes | None]], Cursor]:
        """As page_of_objects, of the parts of uploads under way."""


class AgeReader(Protocol):
    """What a lifecycle asks. Each but the first gives a page and where to go on, of what has this prefix; what it costs
    follows what is found, and the index of what is older than `until_ms`."""

    def buckets_with_lifecycle(self) -> list[Bucket]: ...

    def aged_objects(
        self, bucket_id: int, prefix: str, until_ms: int, after: Cursor, limit: int
    ) -> tuple[list[Aged], Cursor]:
        """Current versions that were written up to `until_ms`, the oldest first."""

    def aged_noncurrent(
        self, bucket_id: int, prefix: str, until_ms: int, after: Cursor, limit: int, newer: int
    ) -> tuple[list[Aged], Cursor]:
        """Versions that are not the latest of their key and were replaced up to `until_ms`, the oldest first. Up to
        `newer` older versions are counted that are newer than each."""

    def lone_markers(self, bucket_id: int, prefix: str, after: Cursor, limit: int) -> tuple[list[Aged], Cursor]:
        """Delete markers of keys that have no other version, in the order of the keys."""

    def aged_uploads(
        self, bucket_id: int, prefix: str, until_ms: int, after: Cursor, limit: int
    ) -> tuple[list[Upload], Cursor]:
        """Uploads that were created up to `until_ms`, in the order of the keys."""
