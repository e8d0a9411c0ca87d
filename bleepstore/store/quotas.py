"""How much may be stored, and how much is. It is the embedding application, or the operator, that says so: nobody by
S3."""

from __future__ import annotations

import re

from bleepstore.commands import PutQuota, RecountUsage
from bleepstore.errors import InvalidArgument
from bleepstore.quotas import CountedQuota, Quota, QuotaScope, Totals, Usage
from bleepstore.store.engine import Engine

#: What the catalog's integers hold.
_MAX = 2**63 - 1
_USER = re.compile(r"arn:aws:iam::[^:*?]+:(?:user|role)/.+")


class Quotas:
    """The quotas of a store."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put_quota(
        self,
        *,
        bucket: str | None = None,
        account: str | None = None,
        user: str | None = None,
        max_bytes: int | None = None,
        max_objects: int | None = None,
    ) -> None:
        """Limit what a bucket may hold, or all buckets together that an account owns, by its id, instead of the quota
        that it has; or what a user, by its ARN, has made in the buckets of its account, or a role, by its ARN, with all
        its sessions. None is no limit: without any it only counts. What is stored already is counted once, which for
        many objects takes its time, during which nothing is written.

        A write that would exceed it raises QuotaExceeded. What exceeds it already stays; it can be read and deleted.
        Raises InvalidArgument, NoSuchBucket, NoSuchUser, NoSuchRole.
        """
        scope, name = _scope_of(bucket, account, user)
        for argument, limit in (("max_bytes", max_bytes), ("max_objects", max_objects)):
            if limit is not None and not 0 <= limit <= _MAX:
                raise InvalidArgument("A limit is not negative, and has 63 bits at most.", argument, str(limit))
        quota = Quota(max_bytes=max_bytes, max_objects=max_objects)
        self._engine.submit(PutQuota(**self._engine.stamp(), scope=scope, name=name, quota=quota))

    def delete_quota(self, *, bucket: str | None = None, account: str | None = None, user: str | None = None) -> None:
        """Remove the quota of a bucket, of an account, or of a user or a role, if there is one. Raises InvalidArgument,
        NoSuchBucket."""
        scope, name = _scope_of(bucket, account, user)
        self._engine.submit(PutQuota(**self._engine.stamp(), scope=scope, name=name, quota=None))

    def list_quotas(self) -> list[CountedQuota]:
        """All quotas, with what is stored of each: of accounts first, then of buckets, then of users and roles."""
        self._engine.committer.read_barrier()
        with self._engine.catalog.read() as reader:
            return reader.list_quotas()

    def usage(self, bucket: str) -> Usage:
        """What is in a bucket. It is known of one that has a quota; all others are gone through. Raises
        NoSuchBucket."""
        found = self._engine.find_bucket(bucket)
        with self._engine.catalog.read() as reader:
            if found.keeps_usage:
                for counted in reader.quotas_of(found.id, None):
                    if counted.scope is QuotaScope.BUCKET:
                        return counted.usage
            return reader.count_usage(found.id)

    def totals(self) -> Totals:
        """What is in the store. What that takes follows the size of the catalog: about a second for some millions of
        objects."""
        self._engine.committer.read_barrier()
        with self._engine.catalog.read() as reader:
            return reader.totals()

    def recount_usage(self) -> None:
        """Count anew what all quotas count. They are always right, unless the catalog was damaged."""
        self._engine.submit(RecountUsage(**self._engine.stamp()))


def _scope_of(bucket: str | None, account: str | None, user: str | None) -> tuple[QuotaScope, str]:
    named = {QuotaScope.BUCKET: bucket, QuotaScope.ACCOUNT: account, QuotaScope.USER: user}
    given = [(scope, name) for scope, name in named.items() if name is not None]
    if len(given) != 1:
        raise InvalidArgument("A quota is of one of these: a bucket, an account, a user.", "bucket", bucket)
    ((scope, name),) = given
    if not name:
        raise InvalidArgument("A quota is of something that has a name.", scope.value, name)
    if scope is QuotaScope.USER and not _USER.fullmatch(name):
        raise InvalidArgument("A user, or a role, is named by its ARN: arn:aws:iam::ACCOUNT:user/NAME.", "user", name)
    return scope, name
