"""Policies for users that need not be written: made into documents, so that one evaluator decides by all."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable
from typing import Any

from bleepstore.access.policies.document import RESOURCE_PREFIX
from bleepstore.names import check_bucket_name

_READS_BUCKET = ("s3:GetBucketLocation", "s3:GetBucketVersioning")
_LISTS = ("s3:ListBucket", "s3:ListBucketVersions")
_READS = ("s3:GetObject*",)
_WRITES = ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
_CHANGES = (
    *_WRITES, "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObjectTagging", "s3:PutObjectVersionTagging",
    "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging", "s3:RestoreObject",
)  # fmt: skip


class CannedPolicy(enum.StrEnum):
    """What a user may do: read and list; that, write and delete; write alone, and read nothing; or everything."""

    READONLY = "readonly"
    READWRITE = "readwrite"
    WRITEONLY = "writeonly"
    ADMIN = "admin"

    def document(self, locations: Iterable[str] = ()) -> str:
        """The policy as JSON, for all buckets of the account or, if `locations` are given, for these alone: `bucket`,
        or `bucket/prefix` for the objects whose keys begin with the prefix. Raises InvalidBucketName."""
        scopes = [location.partition("/")[::2] for location in locations]
        for bucket, _ in scopes:
            check_bucket_name(bucket)
        statements = [statement for bucket, prefix in scopes for statement in self._in(_literal(bucket), prefix)]
        if not scopes:
            statements = [*self._in("*", ""), *self._in_account()]
        return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)

    def _in_account(self) -> list[dict[str, Any]]:
        """What is of no bucket. `admin` has it in what it may in all of them."""
        of_account = self in (CannedPolicy.READONLY, CannedPolicy.READWRITE)
        return [_allow(["s3:ListAllMyBuckets"], ["*"])] if of_account else []

    def _in(self, bucket: str, prefix: str) -> list[dict[str, Any]]:
        whole, objects = RESOURCE_PREFIX + bucket, f"{RESOURCE_PREFIX}{bucket}/{_literal(prefix)}*"
        if self is CannedPolicy.WRITEONLY:
            return [_allow(_WRITES, [objects])]
        if self is CannedPolicy.ADMIN and not prefix:
            return [_allow(["s3:*"], [whole, objects])]
        of_objects: Iterable[str] = ["s3:*"]
        if self is not CannedPolicy.ADMIN:
            of_objects = _READS if self is CannedPolicy.READONLY else (*_READS, *_CHANGES)
        found = [_allow(of_objects, [objects]), _allow(_READS_BUCKET, [whole]), _allow(_LISTS, [whole])]
        if prefix:
            found[-1]["Condition"] = {"StringLike": {"s3:prefix": f"{_literal(prefix)}*"}}
        elif self is CannedPolicy.READWRITE:
            found[-1]["Action"].append("s3:ListBucketMultipartUploads")
        return found


def _allow(actions: Iterable[str], resources: list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resources}


def _literal(text: str) -> str:
    """The text, with what would stand for other characters in a policy."""
    return "".join(f"${{{one}}}" if one in "*?$" else one for one in text)
