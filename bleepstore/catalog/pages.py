"""Pages of listings by prefix and delimiter, whatever database the rows come from.

With a delimiter, everything under one common prefix is skipped by going on behind it, so a page costs as many seeks as
it has entries, however many keys hide behind each common prefix. Where one common prefix follows another, a database
may do those seeks by itself, in one query.
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
    first: Iterable[Row],
    resume: Callable[[str], Iterable[Row]],
    prefix: str,
    delimiter: str,
    limit: int,
    leap: Callable[[str], Iterable[Row]] | None = None,
) -> tuple[list[Row], list[str], str | None]:
    """Up to `limit` rows and common prefixes, and the last of them if there is more.

    `resume` gives the rows from a key on. `leap` gives the first key from there on, then the first one behind the
    common prefix of that, and so on, up to a key that has none.
    """
    rows: list[Row] = []
    prefixes: list[str] = []
    last = ""
    scan: Iterable[Row] | None = first
    while scan is not None:
        following: Iterable[Row] | None = None
        follows_another = True
        for row in scan:
            common = common_prefix(row[0], prefix, delimiter)
            if len(rows) + len(prefixes) == limit:
                return rows, prefixes, last
            if common is None:
                rows.append(row)
                last = row[0]
                follows_another = False
                continue
            prefixes.append(common)
            start = after_prefix(common)
            # Behind an object comes a common prefix alone, as often as not: there a query of its own gains nothing.
            if leap is not None and start is not None and follows_another:
                start = _gather(leap(start), prefix, delimiter, prefixes, limit - len(rows))
            last = prefixes[-1]
            following = None if start is None else resume(start)
            break
        scan = following
    return rows, prefixes, None


def _gather(rows: Iterable[Row], prefix: str, delimiter: str, prefixes: list[str], limit: int) -> str | None:
    """Add the common prefixes of rows that begin with a key until there are `limit`; returns the first key that is not
    among them."""
    skipped, width = len(prefix), len(delimiter)
    key: str
    for (key,) in rows:
        at = key.find(delimiter, skipped)
        if at < 0 or len(prefixes) == limit:
            return key
        prefixes.append(key[: at + width])
    return None


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
