"""Ownership controls and public access blocks by boto3 over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import requests

import bleepstore
from bleepstore import PublicAccessBlock
from bleepstore.ownership import BLOCK_ALL
from bleepstore_server import in_process
from bleepstore_server.app_config import ConfigError
from bleepstore_server.config import load_config
from bleepstore_server.serving import open_configured_store
from tests.server.conftest import Server
from tests.server.tools import Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ALL: Any = dict.fromkeys(["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"], True)


@pytest.fixture
def bob(server: Server) -> Iterator[S3Client]:
    client = server.client("bob", "bob-secret")
    yield client
    client.close()


def controls(ownership: str) -> Any:
    return {"Rules": [{"ObjectOwnership": ownership}]}


def test_a_new_bucket_is_as_one_of_s3(s3: S3Client) -> None:
    s3.create_bucket(Bucket="photos")
    assert s3.get_bucket_ownership_controls(Bucket="photos")["OwnershipControls"] == controls("BucketOwnerEnforced")
    assert s3.get_public_access_block(Bucket="photos")["PublicAccessBlockConfiguration"] == ALL


@pytest.mark.parametrize("ownership", ["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"])
def test_a_new_bucket_says_whose_its_objects_are(s3: S3Client, ownership: Any) -> None:
    s3.create_bucket(Bucket="photos", ObjectOwnership=ownership)
    assert s3.get_bucket_ownership_controls(Bucket="photos")["OwnershipControls"] == controls(ownership)


def test_a_new_bucket_cannot_have_an_acl_that_does_not_fit(s3: S3Client) -> None:
    with failure("InvalidBucketAclWithObjectOwnership", 400) as refused:
        s3.create_bucket(Bucket="photos", ACL="public-read")
    message = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
    assert refused["Error"]["Message"] == message
    with failure("InvalidBucketAclWithBlockPublicAccessError", 400) as refused:
        s3.create_bucket(Bucket="photos", ACL="public-read", ObjectOwnership="ObjectWriter")
    assert refused["Error"]["Message"] == "Bucket cannot have public ACLs set with BlockPublicAccess enabled"
    with failure("InvalidArgument", 400) as refused:
        wrong: Any = "Mine"
        s3.create_bucket(Bucket="photos", ObjectOwnership=wrong)
    assert refused["Error"]["ArgumentName"] == "x-amz-object-ownership"
    assert s3.list_buckets()["Buckets"] == []


def test_a_bucket_that_is_created_again_stays_as_it_is(s3: S3Client) -> None:
    for _ in range(2):
        s3.create_bucket(Bucket="photos")
        s3.create_bucket(Bucket="photos", ACL="private")
    with failure("InvalidBucketAclWithObjectOwnership", 400):
        s3.create_bucket(Bucket="photos", ACL="public-read")


def test_where_acls_are_disabled(s3: S3Client) -> None:
    s3.create_bucket(Bucket="photos")
    where: Any = {"Bucket": "photos", "Key": "k"}
    s3.put_object(**where, Body=b"x", ACL="bucket-owner-full-control")
    for call, given in (
        (s3.put_object, {"Body": b"", "ACL": "private"}),
        (s3.put_object, {"Body": b"", "GrantRead": "id=bob-id"}),
        (s3.create_multipart_upload, {"ACL": "public-read"}),
        (s3.copy_object, {"CopySource": where, "ACL": "public-read", "MetadataDirective": "REPLACE"}),
        (s3.put_object_acl, {"ACL": "public-read"}),
    ):
        with failure("AccessControlListNotSupported", 400) as refused:
            call(**where, **given)
        assert refused["Error"]["Message"] == "The bucket does not allow ACLs"
    with failure("AccessControlListNotSupported", 400):
        s3.put_bucket_acl(Bucket="photos", ACL="private")
    for shown in (s3.get_object_acl(**where), s3.get_bucket_acl(Bucket="photos")):
        assert [(one["Grantee"]["ID"], one["Permission"]) for one in shown["Grants"]] == [("alice-id", "FULL_CONTROL")]
    s3.put_object_acl(**where, ACL="bucket-owner-full-control")
    assert s3.get_object(**where)["Body"].read() == b"x"


def test_controls_are_put_and_deleted(s3: S3Client, bob: S3Client) -> None:
    s3.create_bucket(Bucket="photos")
    s3.put_bucket_ownership_controls(Bucket="photos", OwnershipControls=controls("BucketOwnerPreferred"))
    assert s3.get_bucket_ownership_controls(Bucket="photos")["OwnershipControls"] == controls("BucketOwnerPreferred")
    with failure("AccessDenied", 403):
        bob.put_bucket_ownership_controls(Bucket="photos", OwnershipControls=controls("ObjectWriter"))
    s3.put_bucket_acl(Bucket="photos", GrantWrite="id=bob-id", GrantFullControl="id=alice-id")
    with failure("InvalidBucketAclWithObjectOwnership", 400):
        s3.put_bucket_ownership_controls(Bucket="photos", OwnershipControls=controls("BucketOwnerEnforced"))
    bob.put_object(Bucket="photos", Key="k", Body=b"b", ACL="bucket-owner-full-control")
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"b"
    owners = s3.list_objects_v2(Bucket="photos", FetchOwner=True)["Contents"]
    assert [one["Owner"]["ID"] for one in owners] == ["alice-id"]
    s3.delete_bucket_ownership_controls(Bucket="photos")
    with failure("OwnershipControlsNotFoundError", 404):
        s3.get_bucket_ownership_controls(Bucket="photos")
    bob.put_object(Bucket="photos", Key="k2", Body=b"b", ACL="bucket-owner-full-control")
    assert s3.get_object_acl(Bucket="photos", Key="k2")["Owner"]["ID"] == "bob-id"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<Rule/>",
        "<Rule><ObjectOwnership>Mine</ObjectOwnership></Rule>",
        "<Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule>" * 2,
    ],
)
def test_what_are_no_controls(prepared: Wire, body: str) -> None:
    document = f"<OwnershipControls>{body}</OwnershipControls>".encode()
    answer = prepared.send("PUT", "/photos?ownershipControls", document)
    assert (answer.status, answer.code) == (400, "MalformedXML")


def test_what_is_blocked(s3: S3Client, bob: S3Client, server: Server) -> None:
    s3.create_bucket(Bucket="photos", ObjectOwnership="ObjectWriter")
    s3.delete_public_access_block(Bucket="photos")
    with failure("NoSuchPublicAccessBlockConfiguration", 404):
        s3.get_public_access_block(Bucket="photos")
    s3.put_object(Bucket="photos", Key="k", Body=b"x", ACL="public-read")
    wire = Wire(server.url)
    assert wire.send("GET", "/photos/k", signed=False).status == 200
    block: Any = {"BlockPublicAcls": True, "IgnorePublicAcls": True}
    s3.put_public_access_block(Bucket="photos", PublicAccessBlockConfiguration=block)
    none: Any = dict.fromkeys(ALL, False)
    assert s3.get_public_access_block(Bucket="photos")["PublicAccessBlockConfiguration"] == none | block
    assert wire.send("GET", "/photos/k", signed=False).code == "AccessDenied"
    with failure("AccessDenied", 403):
        s3.put_object_acl(Bucket="photos", Key="k", ACL="public-read")
    with failure("AccessDenied", 403):
        bob.delete_public_access_block(Bucket="photos")
    s3.put_object_acl(Bucket="photos", Key="k", GrantRead="id=bob-id")
    assert bob.get_object(Bucket="photos", Key="k")["Body"].read() == b"x"


# -- settings


def test_the_old_defaults_can_be_asked_for() -> None:
    import boto3

    with in_process(acl_defaults="legacy"):
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="photos", ACL="public-read")
        with failure("OwnershipControlsNotFoundError", 404):
            s3.get_bucket_ownership_controls(Bucket="photos")
        s3.put_object(Bucket="photos", Key="k", ACL="public-read")
        s3.close()


def test_the_settings_of_a_server() -> None:
    environ = {"BLEEPSTORE_DATA": ":memory:", "BLEEPSTORE_ACL_DEFAULTS": "legacy"}
    environ["BLEEPSTORE_PUBLIC_ACCESS_BLOCK"] = "ignore_public_acls, block_public_policy"
    with open_configured_store(load_config(environ=environ)) as store:
        assert store.create_bucket("photos").settings.ownership is None
        wanted = PublicAccessBlock(ignore_public_acls=True, block_public_policy=True)
        assert store.engine.settings.public_access_block == wanted
    with open_configured_store(load_config(environ={"BLEEPSTORE_DATA": ":memory:"})) as store:
        assert store.create_bucket("photos").settings.ownership is bleepstore.ObjectOwnership.BUCKET_OWNER_ENFORCED
    assert load_config(flags={"public_access_block": "all"}).blocked_everywhere == BLOCK_ALL
    for name in ("acl_defaults", "public_access_block"):
        with pytest.raises(ConfigError, match=name):
            load_config(flags={name: "some"})


# -- who pays, and whose a bucket is


def test_requests_are_paid_by_who_asks(s3: S3Client, bob: S3Client, server: Server) -> None:
    s3.create_bucket(Bucket="photos", ObjectOwnership="ObjectWriter")
    s3.delete_public_access_block(Bucket="photos")
    s3.put_bucket_acl(Bucket="photos", ACL="public-read")
    s3.put_object(Bucket="photos", Key="k", Body=b"x", ACL="public-read")
    assert s3.get_bucket_request_payment(Bucket="photos")["Payer"] == "BucketOwner"
    assert "RequestCharged" not in bob.get_object(Bucket="photos", Key="k", RequestPayer="requester")
    s3.put_bucket_request_payment(Bucket="photos", RequestPaymentConfiguration={"Payer": "Requester"})
    assert s3.get_bucket_request_payment(Bucket="photos")["Payer"] == "Requester"
    with failure("AccessDenied", 403):
        bob.get_object(Bucket="photos", Key="k")
    assert bob.get_object(Bucket="photos", Key="k", RequestPayer="requester")["RequestCharged"] == "requester"
    assert bob.list_objects_v2(Bucket="photos", RequestPayer="requester")["RequestCharged"] == "requester"
    assert bob.head_object(Bucket="photos", Key="k", RequestPayer="requester")["RequestCharged"] == "requester"
    wire = Wire(server.url)
    for headers in ({}, {"x-amz-request-payer": "requester"}):
        assert wire.send("GET", "/photos/k", headers=headers, signed=False).code == "AccessDenied"
    assert "RequestCharged" not in s3.get_object(Bucket="photos", Key="k", RequestPayer="requester")
    url = bob.generate_presigned_url("get_object", {"Bucket": "photos", "Key": "k", "RequestPayer": "requester"})
    assert requests.get(url, timeout=30).headers["x-amz-request-charged"] == "requester"
    with failure("AccessDenied", 403):
        bob.put_bucket_request_payment(Bucket="photos", RequestPaymentConfiguration={"Payer": "BucketOwner"})
    with failure("MalformedXML", 400):
        wrong: Any = {"Payer": "Nobody"}
        s3.put_bucket_request_payment(Bucket="photos", RequestPaymentConfiguration=wrong)


@pytest.mark.parametrize("header", ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"])
@pytest.mark.parametrize(
    ("value", "code", "status"),
    [
        ("alice-id", None, 200),
        ("bob-id", "AccessDenied", 403),
        ("", "InvalidBucketOwnerAWSAccountID", 400),
        ("a b", "InvalidBucketOwnerAWSAccountID", 400),
        ("1" * 129, "InvalidBucketOwnerAWSAccountID", 400),
    ],
)
def test_whose_a_bucket_is_expected_to_be(
    prepared: Wire, header: str, value: str, code: str | None, status: int
) -> None:
    answer = prepared.send("PUT", "/photos/copy", headers={"x-amz-copy-source": "/photos/kept", header: value})
    assert (answer.status, answer.code) == (status, code)
    if status == 400:
        message = "The value of the expected bucket owner parameter must be an AWS Account ID..."
        assert answer.error["Message"] == message
