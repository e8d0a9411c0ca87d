"""Replication over the wire: what answers say of a version and of its copy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.replication.tools import ROLE, copy_all, rule
from tests.server.conftest import Server
from tests.server.tools import failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.blobs


@pytest.fixture
def copied(server: Server, store_kind: str) -> Callable[[], None]:
    """Has all that waits copied."""
    if store_kind == "cluster":
        pytest.skip("of a cluster the leader copies: tests/replication/test_on_a_follower.py")
    return partial(copy_all, server.store)


@pytest.fixture
def buckets(s3: S3Client) -> S3Client:
    for bucket in ("photos", "copies"):
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    given: Any = {"Role": ROLE, "Rules": [rule(Filter={"Prefix": "in/"})]}
    s3.put_bucket_replication(Bucket="photos", ReplicationConfiguration=given)
    return s3


def test_answers_tell_the_status(buckets: S3Client, server: Server, copied: Callable[[], None]) -> None:
    with server.store.jobs.paused():
        put = buckets.put_object(Bucket="photos", Key="in/k", Body=b"x", Tagging="a=1")
        assert buckets.head_object(Bucket="photos", Key="in/k")["ReplicationStatus"] == "PENDING"
    buckets.put_object(Bucket="photos", Key="k", Body=b"x")
    copied()
    assert buckets.get_object(Bucket="photos", Key="in/k")["ReplicationStatus"] == "COMPLETED"
    copy = buckets.get_object(Bucket="copies", Key="in/k", VersionId=put["VersionId"])
    assert (copy["ReplicationStatus"], copy["TagCount"], copy["Body"].read()) == ("REPLICA", 1, b"x")
    assert "ReplicationStatus" not in buckets.head_object(Bucket="photos", Key="k")
    assert (
        buckets.head_object(Bucket="copies", Key="in/k")["LastModified"]
        == buckets.head_object(Bucket="photos", Key="in/k")["LastModified"]
    )


def test_a_failure_is_told(buckets: S3Client, copied: Callable[[], None]) -> None:
    buckets.delete_bucket(Bucket="copies")
    buckets.put_object(Bucket="photos", Key="in/k", Body=b"x")
    copied()
    assert buckets.head_object(Bucket="photos", Key="in/k")["ReplicationStatus"] == "FAILED"


def test_both_buckets_lock_or_none(s3: S3Client) -> None:
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    s3.create_bucket(Bucket="copies")
    s3.put_bucket_versioning(Bucket="copies", VersioningConfiguration={"Status": "Enabled"})
    given: Any = {"Role": ROLE, "Rules": [rule()]}
    with failure("InvalidRequest", 400):
        s3.put_bucket_replication(Bucket="locked", ReplicationConfiguration=given)
