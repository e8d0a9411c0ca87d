"""Ownership controls and public access blocks of buckets, and who pays."""

from __future__ import annotations

from bleepstore.access import Action, Caller
from bleepstore.errors import NoSuchOwnershipControls, NoSuchPublicAccessBlock
from bleepstore.ownership import ObjectOwnership, Payer, PublicAccessBlock
from bleepstore.store.engine import Engine


class OwnershipControls:
    """Whose the objects of buckets are, and what of them may be public. For `caller` see `Buckets`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put_bucket_ownership(self, bucket: str, ownership: ObjectOwnership, *, caller: Caller | None = None) -> None:
        """Set whose the objects of a bucket are. Under BUCKET_OWNER_ENFORCED also those that are there; they are their
        writers' again, with their ACLs, if that ends. Raises InvalidBucketAclWithObjectOwnership if the bucket's own
        ACL grants something to others then."""
        found = self._engine.bucket_for(bucket, Action.PUT_BUCKET_OWNERSHIP_CONTROLS, caller)
        self._engine.put_setting(found, "ownership", ownership)

    def get_bucket_ownership(self, bucket: str, *, caller: Caller | None = None) -> ObjectOwnership:
        """Raises NoSuchOwnershipControls if the bucket has none: its objects are their writers'."""
        ownership = self._engine.bucket_for(bucket, Action.GET_BUCKET_OWNERSHIP_CONTROLS, caller).settings.ownership
        if ownership is None:
            raise NoSuchOwnershipControls(bucket)
        return ownership

    def delete_bucket_ownership(self, bucket: str, *, caller: Caller | None = None) -> None:
        """Leave the objects of a bucket to their writers."""
        found = self._engine.bucket_for(bucket, Action.PUT_BUCKET_OWNERSHIP_CONTROLS, caller)
        self._engine.put_setting(found, "ownership", None)

    def put_public_access_block(self, bucket: str, block: PublicAccessBlock, *, caller: Caller | None = None) -> None:
        """Set what a bucket does not let be public. ACLs and a policy that are there stay; they are ignored, or
        restricted, if the block says so."""
        found = self._engine.bucket_for(bucket, Action.PUT_BUCKET_PUBLIC_ACCESS_BLOCK, caller)
        self._engine.put_setting(found, "public_access_block", block)

    def get_public_access_block(self, bucket: str, *, caller: Caller | None = None) -> PublicAccessBlock:
        """That of the bucket itself. Raises NoSuchPublicAccessBlock if it has none."""
        found = self._engine.bucket_for(bucket, Action.GET_BUCKET_PUBLIC_ACCESS_BLOCK, caller)
        block = self._engine.own_settings(found).public_access_block
        if block is None:
            raise NoSuchPublicAccessBlock(bucket)
        return block

    def delete_public_access_block(self, bucket: str, *, caller: Caller | None = None) -> None:
        """Have nothing blocked by the bucket itself."""
        found = self._engine.bucket_for(bucket, Action.PUT_BUCKET_PUBLIC_ACCESS_BLOCK, caller)
        self._engine.put_setting(found, "public_access_block", None)

    def put_bucket_payer(self, bucket: str, payer: Payer, *, caller: Caller | None = None) -> None:
        """Set who pays. Where the requester does, anonymous callers are refused, and of others whoever does not say
        `pays`; nothing is charged."""
        found = self._engine.bucket_for(bucket, Action.PUT_BUCKET_REQUEST_PAYMENT, caller)
        self._engine.put_setting(found, "payer", payer)

    def get_bucket_payer(self, bucket: str, *, caller: Caller | None = None) -> Payer:
        """Who pays: the bucket's owner, unless it was set."""
        found = self._engine.bucket_for(bucket, Action.GET_BUCKET_REQUEST_PAYMENT, caller)
        return found.settings.payer or Payer.BUCKET_OWNER
