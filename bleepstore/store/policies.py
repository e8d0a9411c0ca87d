"""The policies of buckets."""

from __future__ import annotations

import re

from bleepstore.access import Action, Caller, compile_policy, is_public
from bleepstore.acl_rules import check_policy
from bleepstore.errors import MalformedPolicy, MethodNotAllowed, NoSuchBucketPolicy
from bleepstore.model import Bucket
from bleepstore.store.engine import Engine

#: The origin access identity of a CloudFront distribution, by its ARN or by its canonical user id, which is longer than
#: an account's. It asks at Amazon alone; that it may be named here is for policies that are moved.
_ORIGIN_ACCESS = re.compile(r"user:cloudfront/CloudFront Origin Access Identity [A-Z0-9]+|account:[0-9a-f]{96}")


class Policies:
    """What the policies of buckets say. For `caller` see `Buckets`.

    A policy is JSON in the language of IAM, up to 20 KB, and is kept as it is given. Of whoever may ask for it, only
    the account that owns the bucket gets to see and change it: MethodNotAllowed for others.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put_bucket_policy(self, bucket: str, policy: str, *, caller: Caller | None = None) -> None:
        """Replace the policy of a bucket. It counts for every decision from now on.

        Raises MalformedPolicy for what is no policy of this bucket, or names an account that this store has not met,
        or a user that it has not;
        AccessDenied for one that makes the bucket public where that is blocked.
        """
        found = self._bucket_for(bucket, Action.PUT_BUCKET_POLICY, caller)
        for name in sorted(compile_policy(policy, bucket).account_names):
            if not self._is_known(name):
                raise MalformedPolicy("Invalid principal in policy", detail=name.partition(":")[2])
        makes_public = is_public(policy, bucket)
        if refused := check_policy(found.settings, makes_public):
            raise refused
        self._engine.put_setting(found, "policy", policy, makes_public=makes_public)

    def get_bucket_policy(self, bucket: str, *, caller: Caller | None = None) -> str:
        """The text as it was given. Raises NoSuchBucketPolicy if the bucket has none."""
        return self._policy_of(self._bucket_for(bucket, Action.GET_BUCKET_POLICY, caller))

    def delete_bucket_policy(self, bucket: str, *, caller: Caller | None = None) -> None:
        """Remove the policy of a bucket, if it has one."""
        self._engine.put_setting(self._bucket_for(bucket, Action.DELETE_BUCKET_POLICY, caller), "policy", None)

    def is_bucket_policy_public(self, bucket: str, *, caller: Caller | None = None) -> bool:
        """Whether the policy allows something to everybody ("The meaning of public"). Raises NoSuchBucketPolicy."""
        found = self._engine.bucket_for(bucket, Action.GET_BUCKET_POLICY_STATUS, caller)
        return is_public(self._policy_of(found), bucket)

    def _bucket_for(self, bucket: str, action: Action, caller: Caller | None) -> Bucket:
        """ "If you have the correct permissions, but you're not using an identity that belongs to the bucket owner's
        account, Amazon S3 returns a 405 Method Not Allowed error." """
        found = self._engine.bucket_for(bucket, action, caller)
        if caller is not None and caller.account.id != found.owner.id:
            raise MethodNotAllowed("BUCKETPOLICY")
        return found

    def _policy_of(self, bucket: Bucket) -> str:
        if bucket.settings.policy is None:
            raise NoSuchBucketPolicy(bucket.name)
        return bucket.settings.policy

    def _is_known(self, name: str) -> bool:
        """Whether the store has met an account, or has a user or role: see `access.policies.principals`."""
        kind, _, of = name.partition(":")
        if kind == "service" or _ORIGIN_ACCESS.fullmatch(name):
            return True
        with self._engine.catalog.read() as reader:
            if kind == "account":
                return of == self._engine.owner.id or reader.find_owner(of) is not None
            account_id, _, path = of.partition("/")
            if kind in ("role", "session"):
                return reader.find_role(account_id, path.partition("/")[0]) is not None
            user = reader.find_user(account_id, path.rpartition("/")[2])
            return user is not None and f"{user.path}{user.name}" == f"/{path}"
