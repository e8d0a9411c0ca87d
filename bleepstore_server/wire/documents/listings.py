"""Documents of listings of objects. The rows of a page are written by functions of their own, which a page of a
thousand needs; a test compares what they write with what the declarations say."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bleepstore.model import Restoration
from bleepstore_server.wire.documents.common import Account
from bleepstore_server.wire.documents.declare import (
    BOOLEAN,
    ENCODED,
    ETAG,
    NUMBER,
    TEXT,
    TIME,
    Markup,
    child,
    document,
    element,
    elements,
)
from bleepstore_server.wire.documents.text import Encoder, escape, iso_time

Row = tuple[Any, ...]  # of a page of bleepstore.pages
Names = Callable[[str], str]  # owner id -> display name
#: The restore status of the rows of a page that was asked for none.
NO_STATUSES: Iterable[str] = itertools.repeat("")


@document()
class CommonPrefix:
    prefix: str = element("Prefix", ENCODED)


@document()
class RestoreStatus:
    is_in_progress: bool = element("IsRestoreInProgress", BOOLEAN)
    until_ms: int | None = element("RestoreExpiryDate", TIME, default=None)


@document()
class Contents:
    key: str = element("Key", ENCODED)
    modified_ms: int = element("LastModified", TIME)
    etag: str = element("ETag", ETAG)
    checksum_algorithm: Sequence[str] = elements("ChecksumAlgorithm", TEXT)
    checksum_type: str | None = element("ChecksumType", default=None)
    size: int = element("Size", NUMBER)
    owner: Account | None = child("Owner", Account, default=None)
    storage_class: str = element("StorageClass")
    restore_status: RestoreStatus | None = child("RestoreStatus", RestoreStatus, default=None)


@document()
class Version:
    key: str = element("Key", ENCODED)
    version_id: str = element("VersionId")
    is_latest: bool = element("IsLatest", BOOLEAN)
    modified_ms: int = element("LastModified", TIME)
    etag: str = element("ETag", ETAG)
    checksum_algorithm: Sequence[str] = elements("ChecksumAlgorithm", TEXT)
    checksum_type: str | None = element("ChecksumType", default=None)
    size: int = element("Size", NUMBER)
    owner: Account | None = child("Owner", Account, default=None)
    storage_class: str = element("StorageClass")
    restore_status: RestoreStatus | None = child("RestoreStatus", RestoreStatus, default=None)


@document()
class DeleteMarker:
    key: str = element("Key", ENCODED)
    version_id: str = element("VersionId")
    is_latest: bool = element("IsLatest", BOOLEAN)
    modified_ms: int = element("LastModified", TIME)
    owner: Account | None = child("Owner", Account, default=None)


@document("ListBucketResult")
class ListBucketResult:
    name: str = element("Name")
    prefix: str = element("Prefix", ENCODED)
    marker: str = element("Marker", ENCODED)
    next_marker: str | None = element("NextMarker", ENCODED, default=None)
    max_keys: int = element("MaxKeys", NUMBER)
    delimiter: str | None = element("Delimiter", ENCODED, default=None)
    encoding_type: str | None = element("EncodingType", default=None)
    is_truncated: bool = element("IsTruncated", BOOLEAN)
    contents: Sequence[Contents] | Markup = elements("Contents", Contents)
    common_prefixes: Sequence[CommonPrefix] | Markup = elements("CommonPrefixes", CommonPrefix)


@document("ListBucketResult")
class ListBucketResultV2:
    name: str = element("Name")
    prefix: str = element("Prefix", ENCODED)
    start_after: str | None = element("StartAfter", ENCODED, default=None)
    continuation_token: str | None = element("ContinuationToken", default=None)
    next_continuation_token: str | None = element("NextContinuationToken", default=None)
    key_count: int = element("KeyCount", NUMBER)
    max_keys: int = element("MaxKeys", NUMBER)
    delimiter: str | None = element("Delimiter", ENCODED, default=None)
    encoding_type: str | None = element("EncodingType", default=None)
    is_truncated: bool = element("IsTruncated", BOOLEAN)
    contents: Sequence[Contents] | Markup = elements("Contents", Contents)
    common_prefixes: Sequence[CommonPrefix] | Markup = elements("CommonPrefixes", CommonPrefix)


@document("ListVersionsResult")
class ListVersionsResult:
    """Versions and delete markers come in one order, which they have where `versions` holds them all, as Markup."""

    name: str = element("Name")
    prefix: str = element("Prefix", ENCODED)
    key_marker: str = element("KeyMarker", ENCODED)
    version_id_marker: str = element("VersionIdMarker")
    next_key_marker: str | None = element("NextKeyMarker", ENCODED, default=None)
    next_version_id_marker: str | None = element("NextVersionIdMarker", default=None)
    max_keys: int = element("MaxKeys", NUMBER)
    delimiter: str | None = element("Delimiter", ENCODED, default=None)
    encoding_type: str | None = element("EncodingType", default=None)
    is_truncated: bool = element("IsTruncated", BOOLEAN)
    versions: Sequence[Version] | Markup = elements("Version", Version)
    delete_markers: Sequence[DeleteMarker] = elements("DeleteMarker", DeleteMarker, default=())
    common_prefixes: Sequence[CommonPrefix] | Markup = elements("CommonPrefixes", CommonPrefix)


# -- the fast path


def contents(rows: list[Row], encode: Encoder, names: Names | None, statuses: Iterable[str] = NO_STATUSES) -> Markup:
    """The rows of an ObjectPage as `Contents`, with their owners if there are `names`. `statuses` are what
    `restore_status` says."""
    owners, times, checksums = _Owners(names), _Times(), _Checksums()
    keys = encode.each([row[0] for row in rows])
    return Markup(
        [
            f"<Contents><Key>{key}</Key><LastModified>{times[modified_ms // 1000]}</LastModified><ETag>&quot;{etag}"
            f"{checksums[algorithm, checksum_type]}{size}</Size>{owners[owner_id]}<StorageClass>{storage_class}"
            f"</StorageClass>{status}</Contents>"
            for key, (_, modified_ms, etag, size, storage_class, owner_id, algorithm, checksum_type), status in zip(
                keys, rows, statuses, strict=False
            )
        ]
    )


def versions(rows: list[Row], encode: Encoder, names: Names | None, statuses: Iterable[str] = NO_STATUSES) -> Markup:
    """The rows of a VersionPage as `Version` and `DeleteMarker`, in their order."""
    owners, times, checksums = _Owners(names), _Times(), _Checksums()
    pieces: list[str] = []
    for key, row, status in zip(encode.each([row[0] for row in rows]), rows, statuses, strict=False):
        _key, version_id, is_latest, is_delete_marker, modified_ms, etag, size = row[:7]
        storage_class, owner_id, algorithm, checksum_type = row[7:]
        shown = (
            f"<Key>{key}</Key><VersionId>{version_id}</VersionId><IsLatest>{'true' if is_latest else 'false'}"
            f"</IsLatest><LastModified>{times[modified_ms // 1000]}</LastModified>"
        )
        if is_delete_marker:
            pieces.append(f"<DeleteMarker>{shown}{owners[owner_id]}</DeleteMarker>")
        else:
            pieces.append(
                f"<Version>{shown}<ETag>&quot;{etag}{checksums[algorithm, checksum_type]}{size}</Size>"
                f"{owners[owner_id]}<StorageClass>{storage_class}</StorageClass>{status}</Version>"
            )
    return Markup(pieces)


def restore_status(restoration: Restoration | None, now_ms: int) -> str:
    """The element of a row: empty for what is not restored, or not any more."""
    if restoration is None or now_ms >= restoration.until_ms:
        return ""
    if now_ms < restoration.ready_ms:
        return "<RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus>"
    return (
        "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress>"
        f"<RestoreExpiryDate>{iso_time(restoration.until_ms)}</RestoreExpiryDate></RestoreStatus>"
    )


class _Owners(dict[str, str]):
    """The element of each owner, made once; empty if there are no `names`."""

    def __init__(self, names: Names | None) -> None:
        self._names = names

    def __missing__(self, owner_id: str) -> str:
        made = ""
        if self._names is not None:
            name = escape(self._names(owner_id))
            made = f"<Owner><ID>{escape(owner_id)}</ID><DisplayName>{name}</DisplayName></Owner>"
        self[owner_id] = made
        return made


class _Times(dict[int, str]):
    """Each second as it is shown: the objects of a page were often written within the same ones."""

    def __missing__(self, second: int) -> str:
        made = self[second] = iso_time(second * 1000)
        return made


class _Checksums(dict[tuple[str | None, str | None], str]):
    """What stands between the ETag and the size, for each algorithm and type of a checksum."""

    def __missing__(self, checksum: tuple[str | None, str | None]) -> str:
        algorithm, kind = checksum
        shown = f"<ChecksumAlgorithm>{algorithm}</ChecksumAlgorithm><ChecksumType>{kind}</ChecksumType>"
        made = self[checksum] = f"&quot;</ETag>{shown if algorithm else ''}<Size>"
        return made


def common_prefixes(prefixes: list[str], encode: Encoder) -> Markup:
    return Markup([f"<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>" for prefix in encode.each(prefixes)])
