"""Pages of listings, and their rows."""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import attrs

from bleepstore.model import Bucket, Part, Upload, to_datetime


class ListedObject(NamedTuple):
    """A row of a listing. A tuple, because a page has a thousand of them."""

    key: str
    modified_ms: int
    etag: str
    size: int
    storage_class: str
    owner_id: str
    checksum_algorithm: str | None
    checksum_type: str | None

    @property
    def modified(self) -> dt.datetime:
        return to_datetime(self.modified_ms)


@attrs.frozen(kw_only=True)
class ObjectPage:
    """A page of a listing: objects and common prefixes, each in the byte order of UTF-8.

    `next_key` is what to pass as `after` for the next page (the last key or common prefix of this one), or None. `rows`
    are what `objects` are made of: the same tuples without names, with the owner's id at `OWNER`.
    """

    OWNER: ClassVar = ListedObject._fields.index("owner_id")

    rows: list[tuple[Any, ...]]
    common_prefixes: list[str]
    next_key: str | None

    @cached_property
    def objects(self) -> list[ListedObject]:
        return list(map(ListedObject._make, self.rows))


class ListedVersion(NamedTuple):
    """A row of a listing of versions. That of a delete marker has no ETag and no size."""

    key: str
    version_id: str
    is_latest: bool
    is_delete_marker: bool
    modified_ms: int
    etag: str
    size: int
    storage_class: str
    owner_id: str
    checksum_algorithm: str | None
    checksum_type: str | None

    @property
    def modified(self) -> dt.datetime:
        return to_datetime(self.modified_ms)


@attrs.frozen(kw_only=True)
class VersionPage:
    """A page of versions and delete markers, in the byte order of the keys and of each key the newest first.

    `next_key` and `next_version_id` are what to pass as `after_key` and `after_version_id` for the next page, or None;
    the second is also None where the page ends in a common prefix. `rows` are what `versions` are made of.
    """

    OWNER: ClassVar = ListedVersion._fields.index("owner_id")

    rows: list[tuple[Any, ...]]
    common_prefixes: list[str]
    next_key: str | None
    next_version_id: str | None

    @cached_property
    def versions(self) -> list[ListedVersion]:
        return list(map(ListedVersion._make, self.rows))


@attrs.frozen(kw_only=True)
class BucketPage:
    buckets: list[Bucket]
    next_name: str | None


@attrs.frozen(kw_only=True)
class ConfigurationPage:
    """A page of the configurations of one kind, in the order of their ids. `next_id` is what to pass as `after` for the
    next page, or None."""

    configurations: list[dict[str, Any]]
    next_id: str | None


@attrs.frozen(kw_only=True)
class UploadPage:
    uploads: list[Upload]
    common_prefixes: list[str]
    next_key: str | None
    next_upload_id: str | None


@attrs.frozen(kw_only=True)
class PartPage:
    upload: Upload
    parts: list[Part]
    next_number: int | None
