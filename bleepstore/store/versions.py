"""Versioning: whether a bucket keeps versions, and listings of them."""

from __future__ import annotations

from bleepstore.access import Action, Caller, Facts
from bleepstore.commands import PutBucketVersioning
from bleepstore.model import MAX_PAGE, Versioning
from bleepstore.names import check_version_id
from bleepstore.pages import VersionPage
from bleepstore.store.engine import Engine, check_keeps_versions
from bleepstore.store.new_objects import page_as_owned


class Versions:
    """The versions of a store's objects. For `caller` see `Buckets`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put_bucket_versioning(self, bucket: str, versioning: Versioning, *, caller: Caller | None = None) -> None:
        """Have a bucket keep versions from now on or, with `Versioning.SUSPENDED`, keep those that it has and no more.

        Raises NotSupported where each object is stored under its own key at a provider, which keeps one of each.
        """
        found = self._engine.bucket_for(bucket, Action.PUT_BUCKET_VERSIONING, caller)
        check_keeps_versions(self._engine)
        stamp = self._engine.stamp()
        self._engine.submit(PutBucketVersioning(**stamp, bucket=bucket, bucket_id=found.id, versioning=versioning))

    def get_bucket_versioning(self, bucket: str, *, caller: Caller | None = None) -> Versioning | None:
        """None: the bucket never kept versions."""
        return self._engine.bucket_for(bucket, Action.GET_BUCKET_VERSIONING, caller).versioning

    def list_object_versions(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after_key: str = "",
        after_version_id: str = "",
        limit: int = MAX_PAGE,
        caller: Caller | None = None,
    ) -> VersionPage:
        """A page of at most 1,000 versions, delete markers and common prefixes, in the byte order of the keys and of
        each key the newest first.

        `after_key` and `after_version_id` are the `next_key` and the `next_version_id` of an earlier page. Without the
        second, the page begins behind all versions of that key. If that version is gone since, it begins with the
        newest of that key. Raises InvalidArgument for what can be no version's id.
        """
        facts: Facts = {"prefix": prefix, "delimiter": delimiter}
        listing = self._engine.listing_of(bucket, Action.LIST_BUCKET_VERSIONS, caller, limit, **facts)
        with listing as (reader, found, size):
            if after_version_id:
                check_version_id(after_version_id)
            page = reader.list_versions(bucket, prefix, delimiter, after_key, after_version_id, size)
        return page_as_owned(page, found)
