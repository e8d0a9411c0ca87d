"""Operations on buckets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from bleepstore.access import AclRequest, Action, Caller, CannedAcl, authorize_new_bucket, is_allowed, make_acl
from bleepstore.acl_rules import check_enforceable, check_public, is_enforced
from bleepstore.cleanup import on_error
from bleepstore.commands import CreateBucket, DeleteBucket
from bleepstore.errors import (
    AccessDenied,
    BucketAlreadyOwnedByYou,
    InvalidArgument,
    InvalidBucketAclWithBlockPublicAccess,
    S3Error,
)
from bleepstore.model import Acl, Bucket, BucketSetting, BucketSettings, is_arn
from bleepstore.names import check_bucket_name
from bleepstore.object_lock import ObjectLock
from bleepstore.ownership import ObjectOwnership
from bleepstore.pages import BucketPage
from bleepstore.store.engine import Engine, check_keeps_versions, check_limit
from bleepstore.tags import check_bucket_tags

#: Of a page of list_buckets (S3's max-buckets).
MAX_BUCKETS = 10_000


class Buckets:
    """The buckets of a store.

    `caller` is who asks: None for the embedding application, which is above all rules; a `Caller` for an account, or
    one of its users, on whose rights `bleepstore.access` decides. All methods raise NoSuchBucket and AccessDenied where
    they apply.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create_bucket(
        self,
        bucket: str,
        *,
        location: str = "",
        acl: AclRequest | None = None,
        object_lock: bool = False,
        ownership: ObjectOwnership | None = None,
        tags: Mapping[str, str] | None = None,
        caller: Caller | None = None,
    ) -> Bucket:
        """Create a bucket. With `object_lock` it keeps versions, and these can be locked. `ownership` says whose its
        objects will be; else, and for what is blocked, the store's `acl_defaults` do (`bleepstore.open`). `tags` are
        those of the bucket.

        Raises InvalidArgument for an owner without an id of its own; InvalidBucketName, BucketAlreadyExists,
        BucketAlreadyOwnedByYou; InvalidBucketAclWithObjectOwnership and InvalidBucketAclWithBlockPublicAccess for an
        `acl` that does not fit; InvalidTag, TooManyTags; NotSupported for `object_lock` where each object is stored
        under its own key at a provider.

        Its container comes first: a provider may refuse the name, and a bucket without one must not be seen.
        """
        check_bucket_name(bucket)
        if caller is not None:
            if caller.is_anonymous:
                raise AccessDenied("Anonymous callers cannot create buckets.")
            further = _further_actions(acl, ownership, object_lock=object_lock, tagged=bool(tags))
            authorize_new_bucket(caller, bucket, further, acl=acl, location=location)
        owner = self._engine.owner if caller is None else caller.account
        if not owner.id or is_arn(owner.id):
            raise InvalidArgument("A bucket needs an owner with an id of its own.", "owner", owner.id)
        made = make_acl(acl, owner.id, owner.id)
        settings = self._new_settings(ownership, made)
        if object_lock:
            check_keeps_versions(self._engine)
            settings = (*settings, BucketSetting("object_lock", ObjectLock()))
        if tags:
            check_bucket_tags(tags)
            settings = (*settings, BucketSetting("tags", tags))
        command = CreateBucket(
            **self._engine.stamp(), bucket=bucket, owner=owner, location=location, acl=made, settings=settings
        )
        if self._engine.catalog.find_bucket(bucket) is None:
            self._engine.backend.create_bucket(bucket)
        result = self._engine.committer.submit(command)
        if isinstance(result, S3Error) and not isinstance(result, BucketAlreadyOwnedByYou):
            raise result
        made_now = () if isinstance(result, S3Error) else (lambda: self._delete_created(command),)
        with on_error(*made_now):  # a bucket without a container must not be seen
            # Once more: a deletion that came before may have removed the container since.
            self._engine.backend.create_bucket(bucket, known=True)
        if isinstance(result, S3Error):
            raise result
        return self._engine.find_bucket(bucket)

    def _new_settings(self, ownership: ObjectOwnership | None, acl: Acl) -> tuple[BucketSetting, ...]:
        """What a new bucket with this ACL is set to. Raises what there is against the ACL."""
        settings = {setting.name: setting for setting in self._engine.new_bucket_settings}
        if ownership is not None:
            settings["ownership"] = BucketSetting("ownership", ownership)
        given = BucketSettings(**{name: setting.value for name, setting in settings.items()})
        if is_enforced(given) and (refused := check_enforceable(acl)):
            raise refused
        of_all = self._engine.settings.public_access_block
        if check_public(given, acl.grants) or check_public(BucketSettings(public_access_block=of_all), acl.grants):
            raise InvalidBucketAclWithBlockPublicAccess
        return tuple(settings.values())

    def _delete_created(self, created: CreateBucket) -> None:
        """Delete the bucket that a command has made, unless another has its name by now."""
        self._engine.committer.read_barrier()
        found = self._engine.catalog.find_bucket(created.bucket)
        if found is not None and (found.owner.id, found.created_ms) == (created.owner.id, created.time_ms):
            self._engine.committer.submit(DeleteBucket(**self._engine.stamp(), bucket=found.name, bucket_id=found.id))

    def delete_bucket(self, bucket: str, *, caller: Caller | None = None) -> None:
        """Delete an empty bucket. Raises BucketNotEmpty.

        The catalog decides, then the container is removed.
        """
        found = self._engine.bucket_for(bucket, Action.DELETE_BUCKET, caller)
        self._engine.submit(DeleteBucket(**self._engine.stamp(), bucket=bucket, bucket_id=found.id))
        self._engine.sweeping.containers.delete(bucket)
        self._engine.jobs.notify()

    def head_bucket(self, bucket: str, *, caller: Caller | None = None) -> Bucket:
        """The bucket, for whoever may list it."""
        return self._engine.bucket_for(bucket, Action.LIST_BUCKET, caller)

    def get_bucket(self, bucket: str, *, caller: Caller | None = None) -> Bucket:
        """The bucket, for whoever may ask where it is (s3:GetBucketLocation): its owner, and whom a policy allows."""
        return self._engine.bucket_for(bucket, Action.GET_BUCKET_LOCATION, caller)

    def list_buckets(
        self,
        *,
        prefix: str = "",
        locations: Collection[str] | None = None,
        after: str = "",
        limit: int = MAX_BUCKETS,
        caller: Caller | None = None,
    ) -> BucketPage:
        """The buckets of the caller, or all buckets if the caller is None, in the order of their names: those whose
        names begin with `prefix` and, unless `locations` is None, that were created with one of these locations."""
        check_limit(limit)
        limit = min(limit, MAX_BUCKETS)
        if not is_allowed(Action.LIST_ALL_MY_BUCKETS, caller, None):
            raise AccessDenied(None if caller and caller.user else "Anonymous callers own no buckets.")
        self._engine.committer.read_barrier()
        with self._engine.catalog.read() as reader:
            found = reader.list_buckets(
                None if caller is None else caller.account.id,
                prefix,
                locations,
                after,
                limit + 1,
            )
        page = found[:limit]
        return BucketPage(buckets=page, next_name=page[-1].name if page and len(found) > limit else None)


def _further_actions(
    acl: AclRequest | None, ownership: ObjectOwnership | None, *, object_lock: bool, tagged: bool
) -> Iterator[Action]:
    """What else must be allowed to create a bucket like this ("Permissions" of CreateBucket)."""
    if acl not in (None, CannedAcl.PRIVATE):
        yield Action.PUT_BUCKET_ACL
    if ownership is not None:
        yield Action.PUT_BUCKET_OWNERSHIP_CONTROLS
    if object_lock:
        yield Action.PUT_BUCKET_OBJECT_LOCK_CONFIGURATION
        yield Action.PUT_BUCKET_VERSIONING
    if tagged:
        yield Action.TAG_RESOURCE
