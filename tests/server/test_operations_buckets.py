"""Operations on buckets, by boto3 and by several accounts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest

from bleepstore_server.wire import regions
from tests.server.conftest import Server
from tests.server.tools import Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def bob(server: Server) -> Iterator[S3Client]:
    client = server.client("bob", "bob-secret")
    yield client
    client.close()


@pytest.fixture
def anyone(server: Server) -> Wire:
    """Nobody in particular: requests without a signature."""
    return Wire(server.url)


# -- buckets


def test_the_life_of_a_bucket(s3: S3Client) -> None:
    made = s3.create_bucket(Bucket="photos")
    assert (made["Location"], made["BucketArn"]) == ("/photos", "arn:aws:s3:::photos")
    head = s3.head_bucket(Bucket="photos")
    assert (head["BucketRegion"], head["BucketArn"]) == ("us-east-1", "arn:aws:s3:::photos")
    s3.put_object(Bucket="photos", Key="k", Body=b"")
    with failure("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket="photos")
    s3.delete_object(Bucket="photos", Key="k")
    s3.delete_bucket(Bucket="photos")
    with failure("404", 404):
        s3.head_bucket(Bucket="photos")
    with failure("NoSuchBucket", 404):
        s3.delete_bucket(Bucket="photos")
    s3.create_bucket(Bucket="photos")


def test_a_bucket_belongs_to_its_maker(s3: S3Client, bob: S3Client) -> None:
    s3.create_bucket(Bucket="photos")
    with failure("BucketAlreadyExists", 409):
        bob.create_bucket(Bucket="photos")
    with failure("AccessDenied", 403):
        bob.delete_bucket(Bucket="photos")
    with failure("403", 403):
        bob.head_bucket(Bucket="photos")
    with failure("AccessDenied", 403):
        bob.get_bucket_location(Bucket="photos")


def test_the_region_of_a_bucket_is_told_to_anybody(server: Server, s3: S3Client, bob: S3Client) -> None:
    """The SDKs ask for it without a signature."""
    s3.create_bucket(Bucket="photos", CreateBucketConfiguration={"LocationConstraint": "eu-west-3"})
    with failure("403", 403) as refused:
        bob.head_bucket(Bucket="photos")
    assert refused["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == "eu-west-3"
    unsigned = Wire(server.url).send("HEAD", "/photos", signed=False)
    assert (unsigned.status, unsigned.headers["x-amz-bucket-region"]) == (403, "eu-west-3")
    wrong = Wire(server.url, secret_key="wrong").send("HEAD", "/photos")
    assert (wrong.status, wrong.headers["x-amz-bucket-region"]) == (403, "eu-west-3")
    listing = Wire(server.url).send("GET", "/photos?encoding-type=none")
    assert (listing.status, listing.headers["x-amz-bucket-region"]) == (400, "eu-west-3")
    absent = Wire(server.url).send("HEAD", "/absent", signed=False)
    assert (absent.status, absent.headers.get("x-amz-bucket-region")) == (404, None)


@pytest.mark.parametrize("name", ["a", "ab", "%24bucket", "foo!bar", "foo%20bar", "%C3%A9%C3%A9%C3%A9"])
def test_what_no_bucket_can_be_called_is_told_to_be_no_name(server: Server, s3: S3Client, name: str) -> None:
    """As S3 does for every operation (versitygw issue 1358); what could be one from before today's rules is absent."""
    wire = Wire(server.url)
    for method, target in (("GET", f"/{name}"), ("GET", f"/{name}/k"), ("PUT", f"/{name}/k"), ("DELETE", f"/{name}")):
        answer = wire.send(method, target)
        assert (answer.status, answer.code) == (400, "InvalidBucketName"), answer
    assert wire.send("HEAD", f"/{name}").status == 400
    s3.create_bucket(Bucket="photos")
    copied = wire.send("PUT", "/photos/k", headers={"x-amz-copy-source": f"{name}/k"})
    assert copied.error["Message"] == "Invalid copy source bucket name"
    for old in ("Upper_Case", "b" * 200):
        assert wire.send("GET", f"/{old}").code == "NoSuchBucket"


def test_listing_buckets(s3: S3Client, bob: S3Client) -> None:
    for name in ("alpha", "beta-1", "beta-2", "gamma"):
        s3.create_bucket(Bucket=name)
    bob.create_bucket(Bucket="bobs")
    listed = s3.list_buckets()
    assert [found["Name"] for found in listed["Buckets"]] == ["alpha", "beta-1", "beta-2", "gamma"]
    assert listed["Owner"] == {"ID": "alice-id", "DisplayName": "Alice"}
    assert all(found["CreationDate"] for found in listed["Buckets"])
    assert listed["Buckets"][0]["BucketArn"] == "arn:aws:s3:::alpha"
    assert [found["Name"] for found in bob.list_buckets()["Buckets"]] == ["bobs"]
    some = s3.list_buckets(Prefix="beta")
    assert ([found["Name"] for found in some["Buckets"]], some["Prefix"]) == (["beta-1", "beta-2"], "beta")
    pages = s3.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 3})
    assert [[found["Name"] for found in page["Buckets"]] for page in pages] == [
        ["alpha", "beta-1", "beta-2"],
        ["gamma"],
    ]
    assert s3.list_buckets(Prefix="none")["Buckets"] == []


@pytest.mark.parametrize(
    ("location", "region"),
    [("eu-central-1", "eu-central-1"), ("us-west-2", "us-west-2"), ("EU", "eu-west-1"), ("us-gov-west-1",) * 2],
)
def test_locations(s3: S3Client, location: Any, region: str) -> None:
    made = s3.create_bucket(Bucket="photos", CreateBucketConfiguration={"LocationConstraint": location})
    assert made["Location"] == f"{s3.meta.endpoint_url}/photos/"
    assert s3.get_bucket_location(Bucket="photos")["LocationConstraint"] == location
    assert s3.head_bucket(Bucket="photos")["BucketRegion"] == region
    for page in (s3.list_objects(Bucket="photos"), s3.list_objects_v2(Bucket="photos")):
        assert page["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == region
    assert s3.list_buckets()["Buckets"][0]["BucketRegion"] == region
    assert len(s3.list_buckets(BucketRegion=region)["Buckets"]) == 1
    assert s3.list_buckets(BucketRegion="sa-east-1")["Buckets"] == []


def test_every_region_of_amazon_is_a_location() -> None:
    """If this fails, Amazon has a new region: add it to bleepstore_server.wire.regions."""
    session = botocore.session.Session()
    enum = session.get_service_model("s3").shape_for("BucketLocationConstraint").enum  # type: ignore[attr-defined]
    partitions = session.get_available_partitions()
    known = {*enum, *(name for partition in partitions for name in session.get_available_regions("s3", partition))}
    assert {name for name in known if not regions.is_location(name, "us-east-1")} == set()


def test_listing_the_buckets_of_a_region_in_pages(s3: S3Client) -> None:
    """A page is cut after the others are left out: it is full, and only the last one has no token."""
    locations = {f"eu-{n}": ("EU", "eu-west-1")[n % 2] for n in range(5)} | {f"ap-{n}": "ap-south-1" for n in range(5)}
    for name, location in locations.items():
        where: Any = {"LocationConstraint": location}
        s3.create_bucket(Bucket=name, CreateBucketConfiguration=where)
    s3.create_bucket(Bucket="home")
    pages: list[list[str]] = []
    token: dict[str, Any] = {}
    while not pages or token:
        page: Any = s3.list_buckets(BucketRegion="eu-west-1", MaxBuckets=2, **token)
        assert {found["BucketRegion"] for found in page["Buckets"]} == {"eu-west-1"}
        pages.append([found["Name"] for found in page["Buckets"]])
        token = {"ContinuationToken": page["ContinuationToken"]} if "ContinuationToken" in page else {}
    assert pages == [["eu-0", "eu-1"], ["eu-2", "eu-3"], ["eu-4"]]
    assert [found["Name"] for found in s3.list_buckets(BucketRegion="us-east-1")["Buckets"]] == ["home"]
    assert s3.list_buckets(BucketRegion="eu-west-1", Prefix="ap")["Buckets"] == []
    assert {found["BucketRegion"] for found in s3.list_buckets()["Buckets"]} == {"eu-west-1", "ap-south-1", "us-east-1"}
    with failure("InvalidArgument", 400) as refused:
        s3.list_buckets(BucketRegion="mars-north-1")
    assert refused["Error"]["Message"] == "Argument value mars-north-1 is not a valid AWS Region"


@pytest.mark.legacy_acls
def test_creating_ones_own_bucket_again(s3: S3Client, bob: S3Client, anyone: Wire) -> None:
    """In us-east-1 it succeeds and sets the ACL anew, as it does there at Amazon; what is in it stays."""
    s3.create_bucket(Bucket="photos", ACL="public-read")
    s3.put_object(Bucket="photos", Key="k", Body=b"data")
    made = s3.head_bucket(Bucket="photos"), s3.list_buckets()["Buckets"][0]["CreationDate"]
    assert anyone.send("GET", "/photos", signed=False).status == 200
    assert s3.create_bucket(Bucket="photos")["Location"] == "/photos"
    assert anyone.send("GET", "/photos", signed=False).status == 403
    s3.create_bucket(Bucket="photos", ACL="public-read")
    assert anyone.send("GET", "/photos", signed=False).status == 200
    assert s3.list_buckets()["Buckets"][0]["CreationDate"] == made[1]
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"data"
    with failure("BucketAlreadyExists", 409):
        bob.create_bucket(Bucket="photos")
    with failure("BucketAlreadyOwnedByYou", 409):
        s3.create_bucket(Bucket="photos", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})


@pytest.mark.parametrize("location", ["eu-central-1", "EU"])
@pytest.mark.legacy_acls
def test_creating_ones_own_bucket_again_in_another_region(s3: S3Client, anyone: Wire, location: Any) -> None:
    where: Any = {"Bucket": "photos", "CreateBucketConfiguration": {"LocationConstraint": location}}
    s3.create_bucket(**where, ACL="public-read")
    for again in (where, {"Bucket": "photos"}):
        with failure("BucketAlreadyOwnedByYou", 409):
            s3.create_bucket(**again)
    assert anyone.send("GET", "/photos", signed=False).status == 200, "its ACL stays"


def test_the_default_location_is_none(s3: S3Client, anyone: Wire) -> None:
    s3.create_bucket(Bucket="photos")
    found: Any = s3.get_bucket_location(Bucket="photos")
    assert found["LocationConstraint"] is None
    body = b"<CreateBucketConfiguration><LocationConstraint>us-east-1</LocationConstraint></CreateBucketConfiguration>"
    assert anyone.send("PUT", "/lenient", body).status == 200, "s3fs sends it, and S3 itself would not mind"
    lenient: Any = s3.get_bucket_location(Bucket="lenient")
    assert lenient["LocationConstraint"] is None


def test_the_expected_owner(s3: S3Client) -> None:
    s3.create_bucket(Bucket="photos")
    s3.head_bucket(Bucket="photos", ExpectedBucketOwner="alice-id")
    s3.put_object(Bucket="photos", Key="k", Body=b"", ExpectedBucketOwner="alice-id")
    with failure("AccessDenied", 403):
        s3.put_object(Bucket="photos", Key="l", Body=b"", ExpectedBucketOwner="bob-id")
    with failure("403", 403):
        s3.head_bucket(Bucket="photos", ExpectedBucketOwner="bob-id")
    where: Any = {"Bucket": "photos", "Key": "l", "CopySource": "photos/k"}
    with failure("AccessDenied", 403):
        s3.copy_object(**where, ExpectedSourceBucketOwner="bob-id")
    upload = s3.create_multipart_upload(Bucket="photos", Key="l")["UploadId"]
    with failure("AccessDenied", 403):
        s3.upload_part_copy(**where, UploadId=upload, PartNumber=1, ExpectedSourceBucketOwner="bob-id")
    s3.copy_object(**where, ExpectedSourceBucketOwner="alice-id")


def test_buckets_with_features_that_are_missing_are_not_made(s3: S3Client) -> None:
    with failure("NotImplemented", 501):
        s3.create_bucket(Bucket="photos-111122223333-us-west-2-an", BucketNamespace="account-regional")
    assert s3.list_buckets()["Buckets"] == []


# -- configuration

READS = {
    "get_bucket_cors": "NoSuchCORSConfiguration",
    "get_bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
    "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
    "get_bucket_ownership_controls": "OwnershipControlsNotFoundError",
    "get_bucket_policy": "NoSuchBucketPolicy",
    "get_bucket_policy_status": "NoSuchBucketPolicy",
    "get_public_access_block": "NoSuchPublicAccessBlockConfiguration",
    "get_bucket_replication": "ReplicationConfigurationNotFoundError",
    "get_bucket_tagging": "NoSuchTagSet",
    "get_bucket_website": "NoSuchWebsiteConfiguration",
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.legacy_acls
def test_a_configuration_that_is_not_there_says_so(s3: S3Client, bob: S3Client, name: str) -> None:
    s3.create_bucket(Bucket="photos")
    with failure(READS[name], 404):
        getattr(s3, name)(Bucket="photos")
    with failure("NoSuchBucket", 404):
        getattr(s3, name)(Bucket="absent")
    with failure("AccessDenied", 403):
        getattr(bob, name)(Bucket="photos")


@pytest.mark.parametrize(
    "name",
    [
        "get_bucket_accelerate_configuration", "get_bucket_logging", "get_bucket_notification_configuration",
        "get_bucket_versioning",
    ],
)  # fmt: skip
def test_a_configuration_that_is_empty(s3: S3Client, name: str) -> None:
    s3.create_bucket(Bucket="photos")
    answer = getattr(s3, name)(Bucket="photos")
    assert set(answer) == {"ResponseMetadata"}
    with failure("NoSuchBucket", 404):
        getattr(s3, name)(Bucket="absent")


def test_who_pays(s3: S3Client) -> None:
    s3.create_bucket(Bucket="photos")
    assert s3.get_bucket_request_payment(Bucket="photos")["Payer"] == "BucketOwner"


@pytest.mark.parametrize(
    "name",
    [
        "delete_bucket_cors", "delete_bucket_encryption", "delete_bucket_lifecycle", "delete_bucket_ownership_controls",
        "delete_bucket_policy", "delete_bucket_replication", "delete_bucket_tagging", "delete_bucket_website",
        "delete_public_access_block",
    ],
)  # fmt: skip
def test_deleting_a_configuration_that_is_not_there_succeeds(s3: S3Client, bob: S3Client, name: str) -> None:
    s3.create_bucket(Bucket="photos")
    assert getattr(s3, name)(Bucket="photos")["ResponseMetadata"]["HTTPStatusCode"] == 204
    with failure("NoSuchBucket", 404):
        getattr(s3, name)(Bucket="absent")
    with failure("AccessDenied", 403):
        getattr(bob, name)(Bucket="photos")
    s3.head_bucket(Bucket="photos")


def test_a_disabled_key_is_refused(server: Server, bob: S3Client) -> None:
    bob.create_bucket(Bucket="bobs")
    server.store.disable_credential("bob")
    with failure("InvalidAccessKeyId", 403):
        bob.list_buckets()
    server.store.put_credential("bob", "bob-secret", owner=server.store.find_owner("bob-id"))
    assert [found["Name"] for found in bob.list_buckets()["Buckets"]] == ["bobs"]


@pytest.mark.parametrize(
    "location",
    [
        "",
        "eu\nX-Evil: 1",
        "é",
        "x" * 65,
        "a b",
        "mars-north-1",
        "us-east-9",
        "eu",
        "Eu",
        "US",
        "EU-WEST-1",
        "eu-west-1a",
    ],
)
def test_a_location_is_the_name_of_a_region(server: Server, location: str) -> None:
    content = f"<LocationConstraint>{location}</LocationConstraint>"
    body = f"<CreateBucketConfiguration>{content}</CreateBucketConfiguration>".encode()
    refused = Wire(server.url).send("PUT", "/photos", body)
    assert (refused.status, refused.code) == (400, "InvalidLocationConstraint")
    assert refused.error["Message"] == "The specified location-constraint is not valid"
    assert Wire(server.url).send("HEAD", "/photos").status == 404


def test_a_bucket_is_made_with_its_tags(s3: S3Client) -> None:
    tags: Any = [{"Key": "empty", "Value": ""}, {"Key": "team", "Value": "red"}]
    s3.create_bucket(Bucket="photos", CreateBucketConfiguration={"Tags": tags})
    assert s3.get_bucket_tagging(Bucket="photos")["TagSet"] == tags
    s3.create_bucket(Bucket="photos", CreateBucketConfiguration={"Tags": tags})
    with failure("BucketAlreadyOwnedByYou", 409):
        s3.create_bucket(Bucket="photos", CreateBucketConfiguration={"Tags": tags[:1]})
    s3.create_bucket(Bucket="cats", CreateBucketConfiguration={"Tags": []})
    with failure("NoSuchTagSet", 404):
        s3.get_bucket_tagging(Bucket="cats")


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([("aws:team", "red")], "InvalidTag"),
        ([("team", "red"), ("team", "blue")], "InvalidTag"),
        ([(str(number), "") for number in range(51)], "BadRequest"),
    ],
)
def test_a_bucket_is_not_made_with_wrong_tags(s3: S3Client, tags: list[tuple[str, str]], code: str) -> None:
    given: Any = [{"Key": key, "Value": value} for key, value in tags]
    with failure(code, 400):
        s3.create_bucket(Bucket="photos", CreateBucketConfiguration={"Tags": given})
    with failure("404", 404):
        s3.head_bucket(Bucket="photos")


def test_locks_of_objects_in_a_bucket_without_locks(s3: S3Client) -> None:
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="k", Body=b"")
    with failure("InvalidRequest", 400):
        s3.get_object_retention(Bucket="photos", Key="k")
    with failure("InvalidRequest", 400):
        s3.get_object_legal_hold(Bucket="photos", Key="k")
    with failure("NoSuchKey", 404):
        s3.get_object_legal_hold(Bucket="photos", Key="missing")
