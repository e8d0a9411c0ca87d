"""Commands for tests of catalogs, and what a catalog shows."""

from __future__ import annotations

import itertools
from typing import Any

from bleepstore import commands as c
from bleepstore.catalog.port import CatalogReader
from bleepstore.commands import Command
from bleepstore.model import Acl, BlobRef, Inline, Owner, PartSummary, Versioning
from bleepstore.quotas import Quota, QuotaScope

ALICE, BOB = Owner("alice", "Alice"), Owner("bob", "Bob")
ANN = "arn:aws:iam::alice:user/ann"


class Commands:
    """Makes commands with few words, stamped from a counter."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def stamp(self) -> dict[str, Any]:
        number = next(self._numbers)
        return {"request_id": f"{number:012x}-contract", "time_ms": 1_000_000 + number}

    def create_bucket(self, bucket: str = "photos", owner: Owner = ALICE) -> Command:
        acl = Acl.private(owner.id)
        return c.CreateBucket(**self.stamp(), bucket=bucket, owner=owner, location="", acl=acl)

    def versioning(self, versioning: Versioning) -> Command:
        return c.PutBucketVersioning(**self.stamp(), bucket="photos", versioning=versioning)

    def delete_bucket(self, bucket: str = "photos") -> Command:
        return c.DeleteBucket(**self.stamp(), bucket=bucket)

    def put(self, key: str, data: bytes | str = b"", *, bucket: str = "photos", **fields: Any) -> c.PutObject:
        """An object: inline bytes, or a blob if `data` is its handle."""
        where = Inline(data) if isinstance(data, bytes) else BlobRef(data)
        fields = {"owner": ALICE, "size": len(data), "etag": f"etag-{len(data)}", **fields}
        return c.PutObject(**self.stamp(), bucket=bucket, key=key, data=where, **fields)

    def delete(self, key: str, **fields: Any) -> Command:
        return c.DeleteObject(**self.stamp(), bucket="photos", key=key, **fields)

    def create_user(self, name: str) -> Command:
        return c.CreateUser(**self.stamp(), account=ALICE, name=name, path="/", user_id="AIDA")

    def quota(self, scope: QuotaScope, name: str, quota: Quota | None) -> Command:
        return c.PutQuota(**self.stamp(), scope=scope, name=name, quota=quota)

    def create_upload(self, key: str, upload_id: str, **fields: Any) -> Command:
        fields = {"owner": ALICE, "initiator": BOB, **fields}
        return c.CreateUpload(**self.stamp(), bucket="photos", key=key, upload_id=upload_id, **fields)

    def part(self, key: str, upload_id: str, number: int, handle: str, **fields: Any) -> Command:
        fields = {"size": 5, "etag": "e", "stored_ms": 1_000_000, **fields}
        where: dict[str, Any] = {"bucket": "photos", "key": key, "upload_id": upload_id}
        return c.RegisterPart(**self.stamp(), **where, number=number, handle=handle, **fields)

    def complete(self, key: str, upload_id: str, parts: dict[int, str], handle: str, **fields: Any) -> Command:
        assembled = tuple(c.AssembledPart(number=number, handle=part) for number, part in parts.items())
        summaries = tuple(PartSummary(number, 5) for number in parts)
        fields = {"parts": summaries, "size": 5 * len(parts), "etag": "multi-1", "stored_ms": 1_000_000, **fields}
        where: dict[str, Any] = {"bucket": "photos", "key": key, "upload_id": upload_id}
        return c.CompleteUpload(**self.stamp(), **where, assembled=assembled, handle=handle, **fields)

    def abort(self, key: str, upload_id: str) -> Command:
        return c.AbortUpload(**self.stamp(), bucket="photos", key=key, upload_id=upload_id)


def seen(reader: CatalogReader) -> dict[str, Any]:
    """All that a catalog shows through the port, of the bucket `photos`."""
    page = reader.list_objects("photos", "", "", "", 1000)
    uploads = reader.list_uploads("photos", "", "", "", "", 1000)
    return {
        "buckets": reader.list_buckets(None, "", None, "", 1000),
        "objects": [(listed, reader.find_object("photos", listed.key, with_data=True)) for listed in page.objects],
        "uploads": [(upload, reader.list_parts(upload.upload_id, 0, 1000)) for upload in uploads.uploads],
        "quotas": reader.list_quotas(),
        "credentials": reader.list_credentials(),
        "users": reader.list_users(),
        "sessions": (reader.list_roles(), reader.session_key()),
        "garbage": reader.list_garbage(1000),
        "sweeps": reader.sweep_times(),
        "blobs": list(reader.iter_blobs()),
        "bytes": (reader.count_blobs(), reader.total_bytes()),
    }
