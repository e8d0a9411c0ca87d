"""What headers say of the lifecycle of an object, and of an upload."""

from __future__ import annotations

from urllib.parse import quote

from bleepstore.model import Expiry
from bleepstore_server.wire.dates import http_date

#: The last midnight that a date can name.
_LATEST_MS = 253_402_214_400_000


def expiration_header(expiry: Expiry) -> tuple[str, str]:
    """ "It includes the expiry-date and rule-id key-value pairs [...]. The value of the rule-id is URL-encoded." """
    return "x-amz-expiration", f'expiry-date="{_date(expiry)}", rule-id="{quote(expiry.rule_id, safe="")}"'


def abort_headers(expiry: Expiry | None) -> list[tuple[str, str]]:
    """When an upload "becomes eligible for an abort operation", if ever."""
    if expiry is None:
        return []
    return [("x-amz-abort-date", _date(expiry)), ("x-amz-abort-rule-id", quote(expiry.rule_id, safe=""))]


def _date(expiry: Expiry) -> str:
    return http_date(min(expiry.time_ms, _LATEST_MS) // 1000)
