"""Operations on buckets."""

from __future__ import annotations

from collections.abc import Collection

from bleepstore.acl import AclRequest, make_acl
from bleepstore.commands import CreateBucket, DeleteBucket, PutBucketAcl
from bleepstore.errors import AccessDenied, BucketAlreadyOwnedByYou, NoSuchBucket, S3Error
from bleepstore.model import ANONYMOUS, Acl, Bucket, BucketPage, Owner, Permission
from bleepstore.names import check_bucket_name
from bleepstore.store.engine import Engine, check_limit, require_owner


class BucketOperations(Engine):
    """The bucket operations of a store.

    `caller` is who asks: None for the embedding application, which may do everything; an `Owner` for an account, whose
    rights the ACLs decide. All of them raise NoSuchBucket and AccessDenied where they apply.
    """

    def create_bucket(
        self, bucket: str, *, location: str = "", acl: AclRequest | None = None, caller: Owner | None = None
    ) -> Bucket:
        """Create a bucket. Raises InvalidBucketName, BucketAlreadyExists, BucketAlreadyOwnedByYou.

        Room for it comes first: a provider may refuse the name, and a bucket without room must not be seen.
        """
        check_bucket_name(bucket)
        owner = caller or self._owner
        if owner.id == ANONYMOUS.id:
            raise AccessDenied("Anonymous callers cannot create buckets.")
        made = make_acl(acl, owner.id, owner.id)
        command = CreateBucket(**self._stamp(), bucket=bucket, owner=owner, location=location, acl=made)
        if self._catalog.find_bucket(bucket) is None:
            self._backend.create_bucket(bucket)
        result = self._committer.submit(command)
        if isinstance(result, S3Error) and not isinstance(result, BucketAlreadyOwnedByYou):
            raise result
        try:
            # Once more: a deletion that came before may have removed the room since.
            self._backend.create_bucket(bucket, known=True)
        except Exception:  # whatever it was, a bucket without room must not be seen
            if not isinstance(result, S3Error):
                self._committer.submit(DeleteBucket(**self._stamp(), bucket=bucket))
            raise
        if isinstance(result, S3Error):
            raise result
        return Bucket(bucket, owner, command.time_ms, location, acl=made)

    def delete_bucket(self, bucket: str, *, caller: Owner | None = None) -> None:
        """Delete an empty bucket. Raises BucketNotEmpty.

        The catalog decides, then the room goes.
        """
        self.get_bucket(bucket, caller=caller)
        self._submit(DeleteBucket(**self._stamp(), bucket=bucket))
        self._sweeper.give_back(bucket)

    def head_bucket(self, bucket: str, *, caller: Owner | None = None) -> Bucket:
        """The bucket, for whoever may list it."""
        return self._find_bucket(bucket, caller, Permission.READ)

    def get_bucket(self, bucket: str, *, caller: Owner | None = None) -> Bucket:
        """The bucket, for its owner alone: what reads of its location and configuration ask."""
        self._committer.read_barrier()
        found = self._catalog.find_bucket(bucket)
        if found is None:
            raise NoSuchBucket(bucket)
        require_owner(found.owner, caller)
        return found

    def list_buckets(
        self,
        *,
        prefix: str = "",
        locations: Collection[str] | None = None,
        after: str = "",
        limit: int = 10_000,
        caller: Owner | None = None,
    ) -> BucketPage:
        """The buckets of the caller, or all buckets if the caller is None, in the order of their names: those whose
        names begin with `prefix` and, unless `locations` is None, that were created with one of these locations."""
        check_limit(limit)
        if caller is not None and caller.id == ANONYMOUS.id:
            raise AccessDenied("Anonymous callers own no buckets.")
        self._committer.read_barrier()
        with self._catalog.read() as reader:
            found = reader.list_buckets(
                None if caller is None else caller.id,
                prefix,
                locations,
                after,
                limit + 1,
            )
        page = found[:limit]
        return BucketPage(buckets=page, next_name=page[-1].name if page and len(found) > limit else None)

    def get_bucket_acl(self, bucket: str, *, caller: Owner | None = None) -> Acl:
        return self._find_bucket(bucket, caller, Permission.READ_ACP).acl

    def put_bucket_acl(self, bucket: str, acl: AclRequest | Acl, *, caller: Owner | None = None) -> None:
        """Replace the ACL. An `Acl` must name the bucket's owner: ownership cannot be given away."""
        found = self._find_bucket(bucket, caller, Permission.WRITE_ACP)
        self._submit(PutBucketAcl(**self._stamp(), bucket=bucket, acl=settle_acl(acl, found.owner.id, found.owner.id)))

    def check_bucket_access(self, bucket: str, permission: Permission, *, caller: Owner | None = None) -> None:
        """Raise NoSuchBucket or AccessDenied as an operation that needs `permission` would."""
        self._find_bucket(bucket, caller, permission)


def settle_acl(acl: AclRequest | Acl, owner_id: str, bucket_owner_id: str) -> Acl:
    """What a request for a new ACL means for a resource of `owner_id`."""
    if not isinstance(acl, Acl):
        return make_acl(acl, owner_id, bucket_owner_id)
    if acl.owner_id != owner_id:
        raise AccessDenied("The owner of a resource cannot be changed by its ACL.")
    return acl
