"""What BleepStore needs of a database of metadata: whoever implements this can keep the catalog.

- `CatalogReader`: what the store, its jobs and the copies of a store ask. Answers are records, never cursors.

`bleepstore.testing.catalog_contract` is the suite that an implementation must pass. `bleepstore.catalog.sqlite` is the
one that there is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Protocol

from bleepstore.catalog.records import Content, FoundObject, Garbage, ObjectSince
from bleepstore.model import Bucket, Credential, ObjectPage, Owner, Part, PartSummary, Upload, UploadPage

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


class CatalogReader(ContentReader, Protocol):
    """The questions. Each answer is of one moment, and sees all that was committed before it was asked.

    Names and keys are strings; anything else is a TypeError. A page of a listing is in the byte order of UTF-8.
    """

    def applied_index(self) -> int:
        """The number of commands applied so far."""

    # -- buckets

    def find_bucket(self, bucket: str) -> Bucket | None: ...

    def list_buckets(
        self,
        owner_id: str | None,
        prefix: str,
        locations: Collection[str] | None,
        after: str,
        limit: int,
    ) -> list[Bucket]:
        """Up to `limit` buckets that follow the name `after`, in the order of their names: of one owner and in
        `locations`, or of all if that is None."""

    # -- objects

    def find_object(self, bucket: str, key: str, *, with_data: bool) -> FoundObject | None:
        """The current version, or None if the key or the bucket does not exist. Inline bytes only if asked for."""

    def object_parts(self, bucket: str, key: str) -> tuple[PartSummary, ...]:
        """The parts of a multipart object; empty for any other."""

    def list_objects(
        self, bucket: str, prefix: str, delimiter: str, after: str, limit: int, start_after: str = ""
    ) -> ObjectPage:
        """A page of at most `limit` objects and common prefixes: those that follow the entry `after` of an earlier
        page, or, if that is "", those of the keys after `start_after`."""

    # -- uploads

    def find_upload(self, bucket: str, key: str, upload_id: str) -> Upload | None: ...

    def object_since(self, bucket: str, key: str, upload_id: str) -> ObjectSince:
        """What became of the key of an upload since it was created."""

    def find_completed(self, bucket: str, key: str, upload_id: str) -> tuple[str, int] | None:
        """(ETag, time) of an upload that was completed a short while ago."""

    def list_parts(self, upload_id: str, after: int, limit: int) -> list[Part]:
        """Up to `limit` parts with numbers above `after`, in their order."""

    def list_uploads(
        self, bucket: str, prefix: str, delimiter: str, after_key: str, after_upload_id: str, limit: int
    ) -> UploadPage:
        """A page of uploads and common prefixes, in the order of key and time of creation."""

    def expired_uploads(self, before_ms: int, limit: int) -> list[Upload]:
        """Up to `limit` uploads created before `before_ms`, the oldest first."""

    # -- accounts

    def find_credential(self, access_key: str) -> Credential | None: ...

    def list_credentials(self) -> list[Credential]:
        """All, in the order of the access keys."""

    def owner_by_email(self, email: str) -> Owner | None:
        """The account that has this address, in whatever case."""

    def find_owner(self, owner_id: str) -> Owner | None:
        """An owner that the catalog has met: of a credential, a bucket or an object."""

    # -- what the jobs ask

    def list_garbage(self, limit: int, after: int = 0) -> list[Garbage]:
        """In the order of their ids, those after `after`."""

    def is_garbage(self, handle: str) -> bool:
        """Whether this blob is to be removed."""

    def is_referenced(self, handle: str) -> bool:
        """Whether an object, a part, an upload (by its token) or the list of garbage knows this blob."""

    def is_token_in_use(self, token: str) -> bool:
        """Whether an upload under way has this backend's token."""

    def sweep_times(self) -> tuple[int, int]:
        """(begun, ended): up to when the last sweep was begun and ended, in milliseconds."""
