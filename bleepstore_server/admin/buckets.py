"""The rows of the store, its buckets, and what they and accounts may hold and ask."""

from __future__ import annotations

import datetime as dt
from typing import Any

import attrs

import bleepstore
from bleepstore import Bucket, Caller, Owner, Quota
from bleepstore.quotas import QuotaScope, Usage
from bleepstore.rates import Rate, RateScope
from bleepstore_server.admin.paging import PageQuery, time_of
from bleepstore_server.admin.rows import Call, Done, Row, Who


@attrs.frozen(kw_only=True)
class ShownStore:
    version: str
    #: The folder, the URL at a provider, or ":memory:".
    location: str
    read_only: bool
    #: The id of the account that the store itself belongs to.
    account: str
    inline_limit: int
    #: How often this process met damaged bytes.
    damaged_reads: int


def _store(call: Call) -> ShownStore:
    store = call.services.store
    location = getattr(store.engine.backend, "url", None) or store.path or ":memory:"
    return ShownStore(
        version=bleepstore.__version__,
        location=str(location),
        read_only=store.read_only,
        account=store.owner.id,
        inline_limit=store.inline_limit,
        damaged_reads=store.damaged_reads,
    )


@attrs.frozen(kw_only=True)
class ShownBucket:
    name: str
    account: str
    created: dt.datetime
    region: str
    #: Enabled, Suspended, or null: it never kept versions.
    versioning: str | None
    object_lock: bool


@attrs.frozen(kw_only=True)
class BucketPage:
    buckets: tuple[ShownBucket, ...]
    next: str | None


@attrs.frozen(kw_only=True)
class CountedBucket:
    """A bucket and all that is in it: versions, delete markers and parts of uploads."""

    bucket: ShownBucket
    usage: Usage
    quota: Quota | None


@attrs.frozen(kw_only=True)
class NewBucket:
    name: str
    account: str | None = None
    object_lock: bool = False


@attrs.frozen(kw_only=True)
class ShownQuota:
    scope: QuotaScope
    name: str
    quota: Quota
    usage: Usage


@attrs.frozen(kw_only=True)
class QuotaList:
    quotas: tuple[ShownQuota, ...]


@attrs.frozen(kw_only=True)
class ShownRate:
    scope: RateScope
    name: str
    rate: Rate


@attrs.frozen(kw_only=True)
class RateList:
    rates: tuple[ShownRate, ...]


def _shown(bucket: Bucket) -> ShownBucket:
    return ShownBucket(
        name=bucket.name,
        account=bucket.owner.id,
        created=time_of(bucket.created_ms),
        region=bucket.location,
        versioning=None if bucket.versioning is None else bucket.versioning.value,
        object_lock=bucket.settings.object_lock is not None,
    )


def _list(call: Call) -> BucketPage:
    query: PageQuery = call.query
    query.check()
    page = call.services.store.list_buckets(after=query.after, limit=query.limit)
    return BucketPage(buckets=tuple(map(_shown, page.buckets)), next=page.next_name)


def _get(call: Call) -> CountedBucket:
    store, name = call.services.store, call.names["bucket"]
    bucket = store.get_bucket(name)
    found = [one.quota for one in store.list_quotas() if one.scope is QuotaScope.BUCKET and one.name == name]
    return CountedBucket(bucket=_shown(bucket), usage=store.usage(name), quota=found[0] if found else None)


def _add(call: Call) -> ShownBucket:
    wanted = call.body
    caller = None if wanted.account is None else Caller(Owner(wanted.account))
    return _shown(call.services.store.create_bucket(wanted.name, object_lock=wanted.object_lock, caller=caller))


def _remove(call: Call) -> Done:
    call.services.store.delete_bucket(call.names["bucket"])
    return Done()


def _put_quota(call: Call) -> Done:
    call.services.store.put_quota(**call.names, max_bytes=call.body.max_bytes, max_objects=call.body.max_objects)
    return Done()


def _remove_quota(call: Call) -> Done:
    call.services.store.delete_quota(**call.names)
    return Done()


def _list_quotas(call: Call) -> QuotaList:
    return QuotaList(
        quotas=tuple(
            ShownQuota(scope=one.scope, name=one.name, quota=one.quota, usage=one.usage)
            for one in call.services.store.list_quotas()
        )
    )


def _put_rate(call: Call) -> Done:
    call.services.store.put_rate_limit(
        account=call.names["account"], max_requests=call.body.requests, max_bytes=call.body.bytes
    )
    return Done()


def _remove_rate(call: Call) -> Done:
    call.services.store.delete_rate_limit(account=call.names["account"])
    return Done()


def _list_rates(call: Call) -> RateList:
    return RateList(
        rates=tuple(
            ShownRate(scope=one.scope, name=one.name, rate=one.rate) for one in call.services.store.list_rate_limits()
        )
    )


def _row(method: str, path: str, summary: str, handler: Any, **shapes: Any) -> Row:
    return Row(method=method, path=f"/admin/v1/{path}", who=Who.ADMIN, summary=summary, handler=handler, **shapes)


ROWS = (
    _row("GET", "store", "What is served", _store, answer=ShownStore),
    _row("GET", "buckets", "All buckets", _list, query=PageQuery, answer=BucketPage),
    _row("POST", "buckets", "Create a bucket", _add, body=NewBucket, answer=ShownBucket, status=201),
    _row("GET", "buckets/{bucket}", "A bucket, and how much is in it", _get, answer=CountedBucket),
    _row("DELETE", "buckets/{bucket}", "Delete an empty bucket", _remove, answer=Done),
    _row("PUT", "buckets/{bucket}/quota", "Limit what a bucket may hold", _put_quota, body=Quota, answer=Done),
    _row("DELETE", "buckets/{bucket}/quota", "Limit a bucket no more", _remove_quota, answer=Done),
    _row("GET", "quotas", "All quotas, and what is stored of each", _list_quotas, answer=QuotaList),
    _row("PUT", "accounts/{account}/quota", "Limit what the buckets of an account may hold", _put_quota, body=Quota,
         answer=Done),
    _row("DELETE", "accounts/{account}/quota", "Limit an account's buckets no more", _remove_quota, answer=Done),
    _row("GET", "rates", "All rates", _list_rates, answer=RateList),
    _row("PUT", "accounts/{account}/rate", "Limit what the keys of an account ask in a second", _put_rate, body=Rate,
         answer=Done),
    _row("DELETE", "accounts/{account}/rate", "Limit the keys of an account no more", _remove_rate, answer=Done),
)  # fmt: skip
