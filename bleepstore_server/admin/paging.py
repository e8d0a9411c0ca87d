"""Pages of what is listed, and times."""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Sequence

import attrs

from bleepstore_server.admin.rows import AdminError

MAX_LIMIT = 1000


@attrs.frozen(kw_only=True)
class PageQuery:
    """`after` is the `next` of the page before. `limit` is 1 to 1000."""

    after: str = ""
    limit: int = 100

    def check(self) -> None:
        """Raises AdminError."""
        if not 1 <= self.limit <= MAX_LIMIT:
            raise AdminError(400, "BadShape", f"limit is 1 to {MAX_LIMIT}.")


def page_of(names: Sequence[str], query: PageQuery) -> tuple[Sequence[str], str | None]:
    """The names of a page, out of all in their order, and what the next one begins after; None at the end."""
    query.check()
    start = bisect.bisect_right(names, query.after) if query.after else 0
    page = names[start : start + query.limit]
    return page, page[-1] if start + query.limit < len(names) else None


def time_of(ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
