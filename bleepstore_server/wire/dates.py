"""Dates as HTTP writes them."""

from __future__ import annotations

import functools
from email.utils import formatdate


@functools.lru_cache(maxsize=1024)  # answers of one second have the same, and objects that many ask for
def http_date(seconds: int) -> str:
    """IMF-fixdate (RFC 9110 section 5.6.7) of a time since the epoch."""
    return formatdate(seconds, usegmt=True)
