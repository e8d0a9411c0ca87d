"""Rates of keys and accounts, as statements."""

from __future__ import annotations

from typing import Any

import apsw

from bleepstore.rates import Rate, RateLimit, RateScope

_RATE_LIMIT = "SELECT slot, scope, name, requests, bytes FROM rate_limit"
#: One that is replaced gets another slot, which forgets what was used so far.
_PUT = "INSERT OR REPLACE INTO rate_limit (scope, name, requests, bytes) VALUES (?, ?, ?, ?)"


class RateQueries:
    """See `bleepstore.catalog.port.CatalogReader`."""

    connection: apsw.Connection

    def list_rate_limits(self) -> list[RateLimit]:
        return [_make_rate_limit(row) for row in self.connection.execute(f"{_RATE_LIMIT} ORDER BY scope, name")]

    def rate_limits_of(self, access_key: str | None, account_id: str) -> tuple[RateLimit, ...]:
        sql = f"{_RATE_LIMIT} WHERE (scope, name) IN (VALUES ('key', ?), ('account', ?)) ORDER BY scope"
        return tuple(_make_rate_limit(row) for row in self.connection.execute(sql, (access_key, account_id)))


def put_rate_limit(connection: apsw.Connection, scope: RateScope, name: str, rate: Rate | None) -> None:
    """See `bleepstore.catalog.port.Tables`."""
    if rate is None:
        connection.execute("DELETE FROM rate_limit WHERE scope = ? AND name = ?", (scope.value, name))
    else:
        connection.execute(_PUT, (scope.value, name, rate.requests, rate.bytes))


def _make_rate_limit(row: tuple[Any, ...]) -> RateLimit:
    slot, scope, name, requests, size = row
    return RateLimit(slot=slot, scope=RateScope(scope), name=name, rate=Rate(requests=requests, bytes=size))
