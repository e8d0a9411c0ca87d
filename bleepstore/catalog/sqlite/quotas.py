"""Quotas and what they count, as statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw
import attrs

from bleepstore.quotas import CountedQuota, Quota, QuotaScope, Totals, Usage

_QUOTA = "SELECT scope, name, max_bytes, max_objects, objects, bytes FROM quota"
_ARNS = "'arn:aws:iam::' || {owner} || ':'"
#: Whether an ARN is that of a user or a role of the account.
_IS_OF = f"substr({{arn}}, 1, length({_ARNS})) = {_ARNS}"
_OF_BUCKET = (
    "(scope, name) IN (SELECT 'bucket', name FROM bucket WHERE bucket_id = ?1 "
    "UNION ALL SELECT 'account', owner_id FROM bucket WHERE bucket_id = ?1 "
    f"UNION ALL SELECT 'user', ?2 FROM bucket WHERE bucket_id = ?1 AND {_IS_OF.format(arn='?2', owner='owner_id')})"
)
#: The buckets in which something may count in a quota of this name; by whom of versions, and of uploads.
_OF_SCOPE = {
    QuotaScope.BUCKET: "b.name = ?1",
    QuotaScope.ACCOUNT: "b.owner_id = ?1",
    QuotaScope.USER: _IS_OF.format(arn="?1", owner="b.owner_id"),
}
_BY_USER = ("o.creator_id = ?1", "u.initiator_id = ?1")
_VERSIONS = "SELECT count(*), coalesce(sum(o.size), 0) FROM bucket b JOIN object_version o USING (bucket_id) WHERE {}"
_PARTS = (
    "SELECT coalesce(sum(p.size), 0) FROM bucket b JOIN upload u USING (bucket_id) JOIN part p USING (upload_id) "
    "WHERE {}"
)
_TOTALS = (
    "SELECT (SELECT count(*) FROM bucket), count(*) FILTER (WHERE noncurrent = 0), count(*), "
    "coalesce(sum(size), 0) + (SELECT coalesce(sum(size), 0) FROM part), (SELECT count(*) FROM upload), "
    "(SELECT count(*) FROM garbage) FROM object_version"
)
#: Whether the account has a quota, or one of its users and roles. A semicolon follows a colon.
OWNER_HAS_QUOTA = (
    "(EXISTS (SELECT 1 FROM quota WHERE scope = 'account' AND name = {owner}) OR EXISTS (SELECT 1 FROM quota "
    "WHERE scope = 'user' AND name > 'arn:aws:iam::' || {owner} || ':' AND name < 'arn:aws:iam::' || {owner} || ';'))"
)
_KEEPS_USAGE = "EXISTS (SELECT 1 FROM quota WHERE scope = 'bucket' AND name = b.name) OR " + OWNER_HAS_QUOTA.format(
    owner="b.owner_id"
)
_PUT = (
    "INSERT INTO quota (scope, name, max_bytes, max_objects) VALUES (?, ?, ?, ?) ON CONFLICT (scope, name) "
    "DO UPDATE SET max_bytes = excluded.max_bytes, max_objects = excluded.max_objects"
)


class QuotaQueries:
    """See `bleepstore.catalog.port.CatalogReader`."""

    connection: apsw.Connection

    def list_quotas(self) -> list[CountedQuota]:
        return [_make_quota(row) for row in self.connection.execute(f"{_QUOTA} ORDER BY scope, name")]

    def quotas_of(self, bucket_id: int, creator_id: str | None) -> list[CountedQuota]:
        sql = f"{_QUOTA} WHERE {_OF_BUCKET} ORDER BY scope"
        return [_make_quota(row) for row in self.connection.execute(sql, (bucket_id, creator_id))]

    def totals(self) -> Totals:
        row: Any = self.connection.execute(_TOTALS).fetchone()
        names = [field.name for field in attrs.fields(Totals)]
        return Totals(**dict(zip(names, row, strict=True)))

    def count_usage(self, bucket_id: int) -> Usage:
        return self._count("b.bucket_id = ?1", "b.bucket_id = ?1", bucket_id)

    def count_quota(self, scope: QuotaScope, name: str) -> Usage:
        versions = parts = _OF_SCOPE[scope]
        if scope is QuotaScope.USER:
            versions, parts = (f"{versions} AND {by}" for by in _BY_USER)
        return self._count(versions, parts, name)

    def _count(self, versions: str, parts_of: str, value: int | str) -> Usage:
        row = self.connection.execute(_VERSIONS.format(versions), (value,)).fetchone()
        assert row is not None
        parts: Any = self.connection.execute(_PARTS.format(parts_of), (value,)).get
        objects, size = row
        return Usage(int(str(objects)), int(str(size)) + int(parts))


class QuotaTables(QuotaQueries):
    """See `bleepstore.catalog.port.Tables`."""

    def __init__(self, connection: apsw.Connection, before_bucket_change: Callable[[], None]) -> None:
        self.connection = connection
        self._before_bucket_change = before_bucket_change

    def put_quota(self, scope: QuotaScope, name: str, quota: Quota | None) -> None:
        self._before_bucket_change()
        if quota is None:
            self.connection.execute("DELETE FROM quota WHERE scope = ? AND name = ?", (scope.value, name))
        else:
            self.connection.execute(_PUT, (scope.value, name, quota.max_bytes, quota.max_objects))
        self.connection.execute(
            f"UPDATE bucket AS b SET keeps_usage = {_KEEPS_USAGE} WHERE {_OF_SCOPE[scope]}", (name,)
        )

    def add_usage(self, bucket_id: int, creator_id: str | None, objects: int, size: int) -> None:
        sql = f"UPDATE quota SET objects = objects + ?3, bytes = bytes + ?4 WHERE {_OF_BUCKET}"
        self.connection.execute(sql, (bucket_id, creator_id, objects, size))

    def recount(self, scope: QuotaScope, name: str) -> None:
        usage = self.count_quota(scope, name)
        sql = "UPDATE quota SET objects = ?, bytes = ? WHERE scope = ? AND name = ?"
        self.connection.execute(sql, (usage.objects, usage.bytes, scope.value, name))


def _make_quota(row: tuple[Any, ...]) -> CountedQuota:
    scope, name, max_bytes, max_objects, objects, size = row
    return CountedQuota(
        scope=QuotaScope(scope),
        name=name,
        quota=Quota(max_bytes=max_bytes, max_objects=max_objects),
        usage=Usage(objects, size),
    )
