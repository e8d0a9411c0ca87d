"""Listings as iterators: every page, without the markers between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from bleepstore.access import Caller
from bleepstore.model import Bucket, Part, PartSummary, Upload
from bleepstore.pages import ListedObject, ListedVersion
from bleepstore.store.buckets import Buckets
from bleepstore.store.objects import Objects
from bleepstore.store.stored_objects import StoredObjects
from bleepstore.store.uploads import Uploads
from bleepstore.store.versions import Versions

_Item = TypeVar("_Item")
_Marker = TypeVar("_Marker")


def all_pages(first: _Marker, read: Callable[[_Marker], tuple[list[_Item], _Marker | None]]) -> Iterator[_Item]:
    """The items of all pages. `read` gives the items behind a marker, and the next marker or None. The first page is
    read at once, so that an error is raised where the listing is asked for."""

    def go_on(items: list[_Item], marker: _Marker | None) -> Iterator[_Item]:
        yield from items
        while marker is not None:
            items, marker = read(marker)
            yield from items

    return go_on(*read(first))


class Listings:
    """All of what the listings give in pages. What is written meanwhile may be seen or not; the rest is seen once."""

    def __init__(
        self, buckets: Buckets, objects: Objects, stored: StoredObjects, uploads: Uploads, versions: Versions
    ) -> None:
        self._buckets = buckets
        self._objects = objects
        self._stored = stored
        self._uploads = uploads
        self._versions = versions

    def iter_buckets(self, *, prefix: str = "", caller: Caller | None = None) -> Iterator[Bucket]:
        """The buckets of the caller, or all if the caller is None, in the order of their names."""

        def read(after: str) -> tuple[list[Bucket], str | None]:
            page = self._buckets.list_buckets(prefix=prefix, after=after, caller=caller)
            return page.buckets, page.next_name

        return all_pages("", read)

    def iter_objects(
        self, bucket: str, *, prefix: str = "", after: str = "", caller: Caller | None = None
    ) -> Iterator[ListedObject]:
        """The objects of a bucket whose keys begin with `prefix` and come after `after`, in the order of their keys."""

        def read(marker: str) -> tuple[list[ListedObject], str | None]:
            page = self._objects.list_objects(bucket, prefix=prefix, after=marker, caller=caller)
            return page.objects, page.next_key

        return all_pages(after, read)

    def iter_object_versions(
        self, bucket: str, *, prefix: str = "", caller: Caller | None = None
    ) -> Iterator[ListedVersion]:
        """The versions and delete markers of a bucket, in the order of the keys and of each key the newest first."""

        def read(marker: tuple[str, str]) -> tuple[list[ListedVersion], tuple[str, str] | None]:
            page = self._versions.list_object_versions(
                bucket, prefix=prefix, after_key=marker[0], after_version_id=marker[1], caller=caller
            )
            return page.versions, None if page.next_key is None else (page.next_key, page.next_version_id or "")

        return all_pages(("", ""), read)

    def iter_uploads(self, bucket: str, *, prefix: str = "", caller: Caller | None = None) -> Iterator[Upload]:
        """The uploads under way, in the order of key and time."""

        def read(marker: tuple[str, str]) -> tuple[list[Upload], tuple[str, str] | None]:
            page = self._uploads.list_uploads(
                bucket, prefix=prefix, after_key=marker[0], after_upload_id=marker[1], caller=caller
            )
            return page.uploads, None if page.next_key is None else (page.next_key, page.next_upload_id or "")

        return all_pages(("", ""), read)

    def iter_parts(self, bucket: str, key: str, upload_id: str, *, caller: Caller | None = None) -> Iterator[Part]:
        """The parts of an upload, in the order of their numbers."""

        def read(after: int) -> tuple[list[Part], int | None]:
            page = self._uploads.list_parts(bucket, key, upload_id, after=after, caller=caller)
            return page.parts, page.next_number

        return all_pages(0, read)

    def iter_object_parts(
        self, bucket: str, key: str, *, version_id: str | None = None, caller: Caller | None = None
    ) -> Iterator[PartSummary]:
        """The parts that an object was uploaded in, in the order of their numbers."""

        def read(after: int) -> tuple[list[PartSummary], int | None]:
            _version, parts, next_number = self._stored.list_object_parts(
                bucket, key, version_id=version_id, after=after, caller=caller
            )
            return parts, next_number

        return all_pages(0, read)
