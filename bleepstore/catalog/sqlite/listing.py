"""Listings by prefix and delimiter.

With a delimiter, everything under one common prefix is skipped by a single index seek, so a page costs as many
seeks as it has entries, however many keys hide behind each common prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import apsw

from bleepstore.catalog.rows import UPLOAD_COLUMNS, UPLOAD_OWNERS, make_upload
from bleepstore.model import STANDARD, ListedObject, ObjectPage, UploadPage
from bleepstore.names import after_prefix

Row = tuple[Any, ...]

_OBJECT_ROWS = (
    f"SELECT key, modified_ms, etag, size, ifnull(storage_class, '{STANDARD}'), owner_id, checksum_algorithm, "
    "checksum_type "
    "FROM object_version WHERE bucket_id = ? AND is_current = 1 AND is_delete_marker = 0"
)
_UPLOAD_ROWS = f"SELECT {UPLOAD_COLUMNS} FROM upload u {UPLOAD_OWNERS} WHERE u.bucket_id = ?"


def _common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    """The key up to and with the first delimiter after `prefix`."""
    at = key.find(delimiter, len(prefix)) if delimiter else -1
    return None if at < 0 else key[: at + len(delimiter)]


def _roll_up(
    first: Iterable[Row], resume: Callable[[str], Iterable[Row]], prefix: str, delimiter: str, limit: int
) -> tuple[list[Row], list[str], str | None]:
    """Up to `limit` rows and common prefixes, and the last of them if there is more."""
    rows: list[Row] = []
    prefixes: list[str] = []
    last = ""
    scan: Iterable[Row] | None = first
    while scan is not None:
        following: Iterable[Row] | None = None
        for row in scan:
            common = _common_prefix(row[0], prefix, delimiter)
            if len(rows) + len(prefixes) == limit:
                return rows, prefixes, last
            if common is None:
                rows.append(row)
                last = row[0]
                continue
            prefixes.append(common)
            last = common
            start = after_prefix(common)
            following = None if start is None else resume(start)
            break
        scan = following
    return rows, prefixes, None


def _first_key(after: str, start_after: str, prefix: str, delimiter: str) -> tuple[str, bool] | None:
    """Where a page begins: (key, whether the key itself belongs to it), or None if nothing can follow.

    `after` is the last entry of an earlier page. If that is a common prefix, it stands for all keys under it. What it
    is can be told by itself: a key that is shown as such has no delimiter after `prefix`.
    """
    start = after or start_after
    if start < prefix:
        return prefix, True
    if after.startswith(prefix) and _common_prefix(after, prefix, delimiter) == after:
        beyond = after_prefix(after)
        return None if beyond is None else (beyond, True)
    return start, False


def list_objects(
    connection: apsw.Connection,
    bucket_id: int,
    prefix: str,
    delimiter: str,
    after: str,
    limit: int,
    start_after: str = "",
) -> ObjectPage:
    """A page of at most `limit` objects and common prefixes: those that follow the entry `after` of an earlier page,
    or, if that is "", those of the keys after `start_after`."""
    first = _first_key(after, start_after, prefix, delimiter)
    if limit == 0 or first is None:
        return ObjectPage(objects=[], common_prefixes=[], next_key=None)
    upper = after_prefix(prefix)
    below = "" if upper is None else " AND key < ?"
    bound = () if upper is None else (upper,)

    def scan(start: str, inclusive: bool = True) -> Iterable[Row]:
        sql = f"{_OBJECT_ROWS} AND key {'>=' if inclusive else '>'} ?{below} ORDER BY key LIMIT ?"
        return connection.execute(sql, (bucket_id, start, *bound, limit + 1))

    if not delimiter:
        rows = list(map(ListedObject._make, scan(*first)))
        more = len(rows) > limit
        return ObjectPage(objects=rows[:limit], common_prefixes=[], next_key=rows[limit - 1].key if more else None)
    found, prefixes, last = _roll_up(scan(*first), scan, prefix, delimiter, limit)
    return ObjectPage(objects=list(map(ListedObject._make, found)), common_prefixes=prefixes, next_key=last)


def list_uploads(
    connection: apsw.Connection,
    bucket: str,
    bucket_id: int,
    prefix: str,
    delimiter: str,
    after_key: str,
    after_upload_id: str,
    limit: int,
) -> UploadPage:
    """A page of uploads in the order of key and time of creation."""
    begin = _first_key(after_key, "", prefix, delimiter)
    if limit == 0 or begin is None:
        return UploadPage(uploads=[], common_prefixes=[], next_key=None, next_upload_id=None)
    upper = after_prefix(prefix)
    below = "" if upper is None else " AND u.key < ?"
    bound = () if upper is None else (upper,)

    def scan(where: str, *start: str) -> Iterable[Row]:
        sql = f"{_UPLOAD_ROWS} AND {where}{below} ORDER BY u.key, u.upload_id LIMIT ?"
        return connection.execute(sql, (bucket_id, *start, *bound, limit + 1))

    start, inclusive = begin
    if after_upload_id and start == after_key and not inclusive:
        first = scan("(u.key, u.upload_id) > (?, ?)", after_key, after_upload_id)
    else:
        first = scan(f"u.key {'>=' if inclusive else '>'} ?", start)
    rows, prefixes, last = _roll_up(first, lambda key: scan("u.key >= ?", key), prefix, delimiter, limit)
    uploads = [make_upload(bucket, row) for row in rows]
    last_id = uploads[-1].upload_id if last is not None and uploads and uploads[-1].key == last else None
    return UploadPage(uploads=uploads, common_prefixes=prefixes, next_key=last, next_upload_id=last_id)


def bucket_id(connection: apsw.Connection, bucket: str) -> int | None:
    found: int | None = connection.execute("SELECT bucket_id FROM bucket WHERE name = ?", (bucket,)).get
    return found
