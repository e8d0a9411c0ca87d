"""Pages of listings by prefix and delimiter, whatever database the rows come from.

With a delimiter, everything under one common prefix is skipped by going on behind it, so a page costs as many seeks as
it has entries, however many keys hide behind each common prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bleepstore.names import after_prefix

Row = tuple[Any, ...]


def common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    """The key up to and with the first delimiter after `prefix`."""
    at = key.find(delimiter, len(prefix)) if delimiter else -1
    return None if at < 0 else key[: at + len(delimiter)]


def roll_up(
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
            common = common_prefix(row[0], prefix, delimiter)
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


def first_key(after: str, start_after: str, prefix: str, delimiter: str) -> tuple[str, bool] | None:
    """Where a page begins: (key, whether the key itself belongs to it), or None if nothing can follow.

    `after` is the last entry of an earlier page. If that is a common prefix, it stands for all keys under it. What it
    is can be told by itself: a key that is shown as such has no delimiter after `prefix`.
    """
    start = after or start_after
    if start < prefix:
        return prefix, True
    if after.startswith(prefix) and common_prefix(after, prefix, delimiter) == after:
        beyond = after_prefix(after)
        return None if beyond is None else (beyond, True)
    return start, False
