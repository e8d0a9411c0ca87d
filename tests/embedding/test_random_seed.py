"""With a seed two runs of a program see the same answers, to the byte."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import boto3
import pytest

import bleepstore
from bleepstore import ConfigurationKind, CustomerKey, Versioning, errors
from bleepstore.errors import StoreError
from bleepstore.testing.clock import Clock
from bleepstore_server.blocks import in_process
from bleepstore_server.clients import open_url


def run(seed: int | None, **options: Any) -> list[Any]:
    """What a program does with S3, and each answer to it: the parsed one with all its headers."""
    with in_process(random_seed=seed, **options):
        s3 = boto3.client("s3")
        answers: list[Any] = []

        def note(parsed: dict[str, Any], **_: Any) -> None:
            body = parsed.pop("Body", None)
            answers.append(parsed if body is None else (parsed, body.read()))

        s3.meta.events.register("after-call.s3.*", note)
        s3.create_bucket(Bucket="photos")
        s3.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"})
        for number in range(3):
            s3.put_object(Bucket="photos", Key=f"k{number}", Body=bytes(number * 5000))
        s3.put_object(Bucket="photos", Key="k0", Body=b"again")
        s3.put_object(Bucket="photos", Key="own", Body=b"1", SSECustomerAlgorithm="AES256", SSECustomerKey="k" * 32)
        s3.delete_object(Bucket="photos", Key="k0")
        upload = s3.create_multipart_upload(Bucket="photos", Key="m")
        part = s3.upload_part(Bucket="photos", Key="m", UploadId=upload["UploadId"], PartNumber=1, Body=b"part")
        s3.list_multipart_uploads(Bucket="photos")
        s3.complete_multipart_upload(
            Bucket="photos",
            Key="m",
            UploadId=upload["UploadId"],
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
        )
        rule: Any = {"Status": "Enabled", "Filter": {"Prefix": "x"}, "Expiration": {"Days": 1}}
        s3.put_bucket_lifecycle_configuration(Bucket="photos", LifecycleConfiguration={"Rules": [rule]})
        s3.get_bucket_lifecycle_configuration(Bucket="photos")
        first = s3.list_objects_v2(Bucket="photos", MaxKeys=1)
        s3.list_objects_v2(Bucket="photos", MaxKeys=1, ContinuationToken=first["NextContinuationToken"])
        s3.list_object_versions(Bucket="photos")
        s3.get_object(Bucket="photos", Key="k2")
        with pytest.raises(s3.exceptions.NoSuchKey):
            s3.get_object(Bucket="photos", Key="k0")
        s3.close()
    return answers


def test_two_runs_give_equal_answers() -> None:
    first, second, other, none = run(7), run(7), run(8), run(None)
    assert len(first) > 15
    assert first == second
    assert first != other
    assert first != none


def test_the_ids_and_times_of_a_seed_are_these() -> None:
    """So that snapshots of users stay true from release to release."""
    with bleepstore.open(random_seed=1) as store:
        store.create_bucket("photos")
        store.put_bucket_versioning("photos", Versioning.ENABLED)
        versions = [store.put_object("photos", "k", b"1") for _ in range(2)]
        upload = store.create_upload("photos", "m")
        secret = store.put_object("photos", "own", b"1", encryption=CustomerKey(bytes(32)))
        assert [version.modified_ms for version in versions] == [1_735_689_600_003, 1_735_689_600_004]
        assert versions[0].version_id == "EcKJjhxf0Vx4_bx2KbyKOLO1yRTw9Ssx"
        assert upload.upload_id == "01941f297c05c7c79b61e23a3cf36a547f70a1b88e1a0fc3fa71"
        assert secret.etag == "dfcb8840d818c182e6ac961ba45a241d"


def test_a_fork_goes_on_with_other_ids() -> None:
    def ids() -> list[str]:
        with bleepstore.open(random_seed=1) as store:
            store.create_bucket("photos")
            store.put_bucket_versioning("photos", Versioning.ENABLED)
            before = store.put_object("photos", "k", b"1")
            with store.fork() as one, store.fork() as other:
                made = [opened.put_object("photos", "k", b"2").version_id for opened in (one, other, store)]
        return [before.version_id, *made]

    first = ids()
    assert first == ids()
    assert len(set(first)) == 4


def test_what_jobs_have_done_changes_no_ids_of_a_fork() -> None:
    def made_after(*jobs: str) -> str:
        with bleepstore.open(random_seed=1, inline_limit=0) as store:
            store.create_bucket("photos")
            for body in (b"1", b"2"):
                store.put_object("photos", "k", body)  # the first bytes are garbage then
            for job in jobs:
                assert store.jobs.run(job).changed
            with store.fork() as fork:
                return fork.create_upload("photos", "k").upload_id

    assert made_after() == made_after("garbage")


def test_an_inventory_is_published_under_the_same_keys() -> None:
    configured = {
        "Id": "daily",
        "IsEnabled": True,
        "Destination": {"S3BucketDestination": {"Bucket": "arn:aws:s3:::lists", "Format": "CSV"}},
        "IncludedObjectVersions": "Current",
        "Schedule": {"Frequency": "Daily"},
    }
    services: Any = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "s3:PutObject"}
    policy = {"Version": "2012-10-17", "Statement": [services | {"Resource": "arn:aws:s3:::lists/*"}]}

    def published() -> list[tuple[str, str]]:
        with bleepstore.open(random_seed=1) as store:
            for bucket in ("photos", "lists"):
                store.create_bucket(bucket)
            store.put_bucket_policy("lists", json.dumps(policy))
            store.put_bucket_configuration("photos", ConfigurationKind.INVENTORY, configured)
            store.put_object("photos", "k", b"1")
            store.jobs.run("inventory")
            return [(found.key, found.etag) for found in store.list_objects("lists").objects]

    first = published()
    assert len(first) == 4
    assert first == published()


def test_links_are_good_for_as_long_as_they_say() -> None:
    clock = Clock(dt.datetime(2025, 1, 1, tzinfo=dt.UTC))
    with bleepstore.open(random_seed=1, clock=clock) as store, in_process(store):
        store.create_bucket("photos")
        store.put_object("photos", "k", b"1")
        link = boto3.client("s3").generate_presigned_url("get_object", {"Bucket": "photos", "Key": "k"}, ExpiresIn=3600)
        assert open_url(store, link).status == 200
        with clock.shifted(hours=2):
            assert open_url(store, link).status == 403


def test_what_others_may_reach_has_no_seed(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="random_seed is for a store in memory"):
        bleepstore.open(tmp_path / "store", random_seed=1)
    assert not (tmp_path / "store").exists()
    with pytest.raises(StoreError, match="random_seed is for a store in memory"):
        bleepstore.open("s3://b", random_seed=1)
    with pytest.raises(TypeError):
        bleepstore.open(random_seed="1")  # type: ignore[arg-type]
    with bleepstore.open() as store, pytest.raises(errors.NoSuchBucket):
        store.get_bucket("photos")
