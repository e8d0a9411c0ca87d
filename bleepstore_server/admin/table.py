"""All rows of the admin address."""

from __future__ import annotations

from collections.abc import Sequence

from bleepstore_server.admin import accounts, buckets, cluster, health, numbers, operating, pages
from bleepstore_server.admin.rows import Row

ROWS: Sequence[Row] = (
    *health.ROWS,
    *numbers.ROWS,
    *buckets.ROWS,
    *accounts.ROWS,
    *operating.ROWS,
    *cluster.ROWS,
    *pages.ROWS,
)
