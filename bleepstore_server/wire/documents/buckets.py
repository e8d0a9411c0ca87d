"""Documents of buckets."""

from __future__ import annotations

from collections.abc import Sequence

from bleepstore_server.wire.documents.common import Account
from bleepstore_server.wire.documents.declare import TIME, TOKEN, child, content, document, element, wrapped
from bleepstore_server.wire.documents.tagging import Tag

_REFUSED = "This store has no {} in a CreateBucketConfiguration."


@document("CreateBucketConfiguration", refuses={name: _REFUSED.format(name) for name in ("Bucket", "Location")})
class CreateBucketConfiguration:
    location_constraint: str | None = element("LocationConstraint", TOKEN, default=None)
    tags: Sequence[Tag] = wrapped("Tags", "Tag", Tag, default=())


@document("LocationConstraint")
class LocationConstraint:
    location: str = content()


@document()
class ListedBucket:
    name: str = element("Name")
    created_ms: int = element("CreationDate", TIME)
    region: str | None = element("BucketRegion", default=None)
    arn: str | None = element("BucketArn", default=None)


@document("ListAllMyBucketsResult")
class ListAllMyBucketsResult:
    owner: Account = child("Owner", Account)
    buckets: Sequence[ListedBucket] = wrapped("Buckets", "Bucket", ListedBucket)
    prefix: str | None = element("Prefix", default=None)
    continuation_token: str | None = element("ContinuationToken", default=None)
