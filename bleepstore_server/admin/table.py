"""All rows of the admin address."""

from __future__ import annotations

from collections.abc import Sequence

from bleepstore_server.admin import health, numbers, pages
from bleepstore_server.admin.rows import Row

ROWS: Sequence[Row] = (*health.ROWS, *numbers.ROWS, *pages.ROWS)
