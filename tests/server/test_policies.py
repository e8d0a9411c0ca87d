"""Policies of buckets, by boto3 and on the wire."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import requests
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from tests.server.conftest import Server
from tests.server.tools import failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OBJECTS = "arn:aws:s3:::photos/*"
BUCKET = "arn:aws:s3:::photos"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def allow(actions: str | list[str], resources: str | list[str] = OBJECTS, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"AWS": "bob-id"}, "Action": actions, "Resource": resources, **more}


def deny(actions: str | list[str], resources: str | list[str] = OBJECTS, **more: Any) -> dict[str, Any]:
    return {**allow(actions, resources), "Effect": "Deny", "Principal": "*", **more}


@pytest.fixture
def s3(s3: S3Client) -> S3Client:
    """A client of an account that has a bucket with lists, and without a block of public policies."""
    s3.create_bucket(Bucket="photos", ObjectOwnership="ObjectWriter")
    s3.delete_public_access_block(Bucket="photos")
    return s3


@pytest.fixture
def bob(server: Server) -> S3Client:
    return server.client("bob", "bob-secret")


def denied(call: Any, **options: Any) -> bool:
    """Whether a call is refused with AccessDenied; all else fails the test."""
    try:
        call(**options)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("AccessDenied", "403"):
            return True
        raise
    return False


def test_a_policy_comes_back_byte_for_byte(s3: S3Client, server: Server) -> None:
    text = ' {"Version":"2012-10-17",\n"Id" : "ä", "Statement":[' + json.dumps(allow("s3:GetObject")) + "]}\n"
    with failure("NoSuchBucketPolicy", 404):
        s3.get_bucket_policy(Bucket="photos")
    s3.put_bucket_policy(Bucket="photos", Policy=text)
    assert s3.get_bucket_policy(Bucket="photos")["Policy"] == text
    assert server.store.get_bucket_policy("photos") == text
    assert s3.get_bucket_policy_status(Bucket="photos")["PolicyStatus"] == {"IsPublic": False}
    for _ in range(2):
        answer = s3.delete_bucket_policy(Bucket="photos")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    with failure("NoSuchBucketPolicy", 404):
        s3.get_bucket_policy_status(Bucket="photos")


def test_what_is_no_policy_of_this_bucket_is_not_stored(s3: S3Client) -> None:
    with pytest.raises(ClientError) as caught:
        s3.put_bucket_policy(Bucket="photos", Policy=policy(allow("s3:GetObject", "arn:aws:s3:::other/*")))
    assert caught.value.response["Error"]["Message"] == "Policy has invalid resource"
    with pytest.raises(ClientError) as caught:
        s3.put_bucket_policy(Bucket="photos", Policy=policy(allow("s3:GetObject", Principal={"AWS": "nobody-id"})))
    error: Any = caught.value.response["Error"]
    assert (error["Code"], error["Message"], error["Detail"]) == (
        "MalformedPolicy", "Invalid principal in policy", "nobody-id"
    )  # fmt: skip
    with failure("NoSuchBucketPolicy", 404):
        s3.get_bucket_policy(Bucket="photos")


def test_anybody_may_read_what_a_policy_makes_public(s3: S3Client, server: Server) -> None:
    for key in ("public/a", "private/a"):
        s3.put_object(Bucket="photos", Key=key, Body=b"1")
    s3.delete_public_access_block(Bucket="photos")
    s3.put_bucket_policy(
        Bucket="photos", Policy=policy(allow("s3:GetObject", "arn:aws:s3:::photos/public/*", Principal="*"))
    )
    anonymous = server.client(signature_version=UNSIGNED)
    assert anonymous.get_object(Bucket="photos", Key="public/a")["Body"].read() == b"1"
    assert denied(anonymous.get_object, Bucket="photos", Key="private/a")
    assert denied(anonymous.get_object, Bucket="photos", Key="public/none")
    assert denied(anonymous.list_objects_v2, Bucket="photos")
    assert s3.get_bucket_policy_status(Bucket="photos")["PolicyStatus"] == {"IsPublic": True}


def test_another_account_gets_what_a_policy_gives_it(s3: S3Client, bob: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=b"1")
    assert denied(bob.get_object, Bucket="photos", Key="k")
    s3.put_bucket_policy(
        Bucket="photos", Policy=policy(allow(["s3:GetObject", "s3:DeleteObject"]), allow("s3:ListBucket", BUCKET))
    )
    assert bob.get_object(Bucket="photos", Key="k")["Body"].read() == b"1"
    with failure("NoSuchKey", 404):
        bob.get_object(Bucket="photos", Key="none")
    assert bob.list_objects_v2(Bucket="photos")["KeyCount"] == 1
    bob.head_bucket(Bucket="photos")
    assert denied(bob.put_object, Bucket="photos", Key="k", Body=b"2")
    bob.delete_object(Bucket="photos", Key="k")
    assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 0


def test_what_is_denied_is_denied_to_the_owner_too(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=b"1")
    s3.put_bucket_policy(Bucket="photos", Policy=policy(deny("s3:*", [BUCKET, OBJECTS])))
    assert denied(s3.get_object, Bucket="photos", Key="k")
    assert denied(s3.get_object, Bucket="photos", Key="none")
    assert denied(s3.list_objects_v2, Bucket="photos")
    assert denied(s3.get_bucket_policy_status, Bucket="photos")
    s3.get_bucket_policy(Bucket="photos")
    s3.delete_bucket_policy(Bucket="photos")
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"1"


def test_a_policy_is_for_the_account_of_the_bucket_alone(s3: S3Client, bob: S3Client) -> None:
    assert denied(bob.get_bucket_policy, Bucket="photos")
    text = policy(allow(["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"], BUCKET))
    s3.put_bucket_policy(Bucket="photos", Policy=text)
    calls: tuple[Callable[[], object], ...] = (
        lambda: bob.get_bucket_policy(Bucket="photos"),
        lambda: bob.put_bucket_policy(Bucket="photos", Policy=text),
        lambda: bob.delete_bucket_policy(Bucket="photos"),
    )
    for call in calls:
        with failure("MethodNotAllowed", 405):
            call()


def test_each_key_of_a_delete_is_decided(s3: S3Client, bob: S3Client) -> None:
    for key in ("a/1", "b/1"):
        s3.put_object(Bucket="photos", Key=key, Body=b"1")
    s3.put_bucket_policy(Bucket="photos", Policy=policy(allow("s3:DeleteObject", "arn:aws:s3:::photos/a/*")))
    answer = bob.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": "a/1"}, {"Key": "b/1"}]})
    assert [one["Key"] for one in answer["Deleted"]] == ["a/1"]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("b/1", "AccessDenied")]


@pytest.mark.blobs
def test_each_version_of_a_delete_is_decided(s3: S3Client, bob: S3Client) -> None:
    s3.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket="photos", Key="k", Body=b"1")["VersionId"]
    s3.put_bucket_policy(Bucket="photos", Policy=policy(allow("s3:DeleteObjectVersion")))
    answer = bob.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": "k"}, {"Key": "k", "VersionId": version}]})
    assert [(one["Key"], one["VersionId"]) for one in answer["Deleted"]] == [("k", version)]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("k", "AccessDenied")]


@pytest.mark.blobs
def test_who_may_bypass_governance(s3: S3Client, bob: S3Client) -> None:
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    locked: Any = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
    version = s3.put_object(Bucket="locked", Key="k", Body=b"1", **locked)["VersionId"]
    removal: Any = {"Bucket": "locked", "Key": "k", "VersionId": version, "BypassGovernanceRetention": True}
    shorter: Any = {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": until - dt.timedelta(days=1)}}
    actions = ["s3:DeleteObjectVersion", "s3:PutObjectRetention"]
    s3.put_bucket_policy(Bucket="locked", Policy=policy(allow(actions, "arn:aws:s3:::locked/*")))
    assert denied(bob.delete_object, **removal)
    assert denied(bob.put_object_retention, **removal, **shorter)
    actions.append("s3:BypassGovernanceRetention")
    s3.put_bucket_policy(Bucket="locked", Policy=policy(allow(actions, "arn:aws:s3:::locked/*")))
    bob.put_object_retention(**removal, **shorter)
    bob.delete_object(**removal)


@pytest.mark.blobs
def test_governance_is_bypassed_for_some_of_many(s3: S3Client, bob: S3Client) -> None:
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    locked: Any = {"Bucket": "locked", "ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
    keys = ("a/1", "b/1", "a/2")
    entries: Any = [{"Key": key, "VersionId": s3.put_object(Key=key, **locked)["VersionId"]} for key in keys]
    rules = policy(
        allow("s3:DeleteObjectVersion", "arn:aws:s3:::locked/*"),
        allow("s3:BypassGovernanceRetention", "arn:aws:s3:::locked/a/*"),
    )
    s3.put_bucket_policy(Bucket="locked", Policy=rules)
    answer = bob.delete_objects(Bucket="locked", Delete={"Objects": entries}, BypassGovernanceRetention=True)
    assert [row["Key"] for row in answer["Deleted"]] == ["a/1", "a/2"]
    assert [(row["Key"], row["Code"]) for row in answer["Errors"]] == [("b/1", "AccessDenied")]


def test_conditions_are_about_what_the_request_says(s3: S3Client, bob: S3Client) -> None:
    s3.put_bucket_policy(
        Bucket="photos",
        Policy=policy(
            allow("s3:PutObject", Condition={"StringEquals": {"s3:x-amz-storage-class": "STANDARD_IA"}}),
            allow("s3:ListBucket", BUCKET, Condition={"StringLike": {"s3:prefix": ["home/${aws:userid}/*", ""]}}),
            allow("s3:PutObjectTagging", Condition={"StringEquals": {"s3:RequestObjectTag/team": "b"}}),
            allow("s3:GetObject", Condition={"StringEquals": {"s3:ExistingObjectTag/team": "b"}}),
        ),
    )
    assert denied(bob.put_object, Bucket="photos", Key="k", Body=b"1")
    bob.put_object(Bucket="photos", Key="k", Body=b"1", StorageClass="STANDARD_IA")
    assert denied(bob.put_object, Bucket="photos", Key="k", Body=b"1", StorageClass="STANDARD_IA", Tagging="team=a")
    bob.put_object(Bucket="photos", Key="k", Body=b"1", StorageClass="STANDARD_IA", Tagging="team=b")
    bob.list_objects_v2(Bucket="photos", Prefix="home/bob-id/x")
    bob.list_objects_v2(Bucket="photos", Prefix="")
    assert denied(bob.list_objects_v2, Bucket="photos", Prefix="home/alice-id/")
    assert denied(bob.list_objects_v2, Bucket="photos")
    s3.put_object(Bucket="photos", Key="mine", Body=b"1", Tagging="team=b")
    assert bob.get_object(Bucket="photos", Key="mine")["Body"].read() == b"1"
    assert denied(
        bob.put_object_tagging, Bucket="photos", Key="mine", Tagging={"TagSet": [{"Key": "team", "Value": "a"}]}
    )
    bob.put_object_tagging(Bucket="photos", Key="mine", Tagging={"TagSet": [{"Key": "team", "Value": "b"}]})
    s3.put_object_tagging(Bucket="photos", Key="mine", Tagging={"TagSet": [{"Key": "team", "Value": "a"}]})
    assert denied(bob.get_object, Bucket="photos", Key="mine")


def test_the_region_of_a_request_is_that_of_the_bucket(s3: S3Client, bob: S3Client) -> None:
    """ "aws:RequestedRegion": "This key is always included in the request context." """
    elsewhere: Any = {"LocationConstraint": "EU"}
    s3.create_bucket(Bucket="elsewhere", CreateBucketConfiguration=elsewhere)
    for bucket, region in (("photos", "us-east-1"), ("elsewhere", "eu-west-1")):
        names = [f"arn:aws:s3:::{bucket}"]
        only_here = deny("s3:*", names, Condition={"StringNotEquals": {"aws:RequestedRegion": region}})
        s3.put_bucket_policy(Bucket=bucket, Policy=policy(allow("s3:ListBucket", names), only_here))
        bob.list_objects_v2(Bucket=bucket)
        not_there = deny("s3:*", names, Condition={"StringEquals": {"aws:RequestedRegion": region}})
        s3.put_bucket_policy(Bucket=bucket, Policy=policy(allow("s3:ListBucket", names), not_there))
        assert denied(bob.list_objects_v2, Bucket=bucket)


def test_an_etag_is_compared_for_who_may_read(s3: S3Client, bob: S3Client) -> None:
    """ "Enforce conditional writes", "How to perform conditional deletes": s3:GetObject is needed as well, unless it is
    only asked whether there is an object."""
    etag = s3.put_object(Bucket="photos", Key="k", Body=b"1")["ETag"]
    entries: Any = {"Objects": [{"Key": "k", "ETag": etag}]}
    writes = allow(["s3:PutObject", "s3:DeleteObject"])
    s3.put_bucket_policy(Bucket="photos", Policy=policy(writes))
    for given in (etag, '"0"'):
        assert denied(bob.put_object, Bucket="photos", Key="k", Body=b"1", IfMatch=given)
        assert denied(bob.delete_object, Bucket="photos", Key="k", IfMatch=given)
    assert [row["Code"] for row in bob.delete_objects(Bucket="photos", Delete=entries)["Errors"]] == ["AccessDenied"]
    bob.delete_object(Bucket="photos", Key="k", IfMatch="*")
    s3.put_bucket_policy(Bucket="photos", Policy=policy(writes, allow("s3:GetObject")))
    s3.put_object(Bucket="photos", Key="k", Body=b"1")
    bob.put_object(Bucket="photos", Key="k", Body=b"1", IfMatch=etag)
    s3.put_object(Bucket="photos", Key="k", Body=b"1")
    assert bob.delete_objects(Bucket="photos", Delete=entries)["Deleted"] == [{"Key": "k"}]


def test_each_of_many_deletes_has_a_condition_of_its_own(s3: S3Client, bob: S3Client) -> None:
    """ "You can use this bucket policy to only allow conditional deletes using DeleteObject and DeleteObjects requests"
    ("Enforce conditional deletes on Amazon S3 buckets")."""
    etag = s3.put_object(Bucket="photos", Key="a", Body=b"1")["ETag"]
    s3.put_object(Bucket="photos", Key="b", Body=b"1")
    entries: Any = {"Objects": [{"Key": "a", "ETag": etag}, {"Key": "b"}]}
    conditional = allow("s3:DeleteObject", Condition={"Null": {"s3:if-match": "false"}})
    unconditional = deny("s3:DeleteObject", ["arn:aws:s3:::photos*"], Condition={"Null": {"s3:if-match": "true"}})
    for rules in ([conditional], [allow("s3:DeleteObject"), unconditional]):
        s3.put_object(Bucket="photos", Key="a", Body=b"1")
        s3.put_bucket_policy(Bucket="photos", Policy=policy(allow("s3:GetObject"), *rules))
        answer = bob.delete_objects(Bucket="photos", Delete=entries)
        assert [row["Key"] for row in answer["Deleted"]] == ["a"]
        assert [(row["Key"], row["Code"]) for row in answer["Errors"]] == [("b", "AccessDenied")]


def test_an_acl_needs_a_permission_of_its_own(s3: S3Client, bob: S3Client) -> None:
    s3.put_bucket_policy(Bucket="photos", Policy=policy(allow("s3:PutObject")))
    bob.put_object(Bucket="photos", Key="k", Body=b"1")
    assert denied(bob.put_object, Bucket="photos", Key="k", Body=b"1", ACL="bucket-owner-full-control")
    s3.put_bucket_policy(
        Bucket="photos",
        Policy=policy(
            allow(["s3:PutObject", "s3:PutObjectAcl"]),
            deny("s3:PutObject", Condition={"StringNotEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}),
        ),
    )
    bob.put_object(Bucket="photos", Key="k", Body=b"1", ACL="bucket-owner-full-control")
    assert denied(bob.put_object, Bucket="photos", Key="k", Body=b"1")


def test_a_copy_reads_its_source_by_the_policy(s3: S3Client, bob: S3Client) -> None:
    bob.create_bucket(Bucket="bobs")
    for key in ("open/k", "k"):
        s3.put_object(Bucket="photos", Key=key, Body=b"1")
    s3.put_bucket_policy(Bucket="photos", Policy=policy(allow("s3:GetObject", "arn:aws:s3:::photos/open/*")))
    bob.copy_object(Bucket="bobs", Key="k", CopySource="photos/open/k")
    assert denied(bob.copy_object, Bucket="bobs", Key="k", CopySource="photos/k")


def test_how_a_request_is_signed_is_asked(s3: S3Client, server: Server) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=b"1")
    s3.put_bucket_policy(
        Bucket="photos",
        Policy=policy(
            deny("s3:GetObject", Condition={"StringEquals": {"s3:authType": "REST-QUERY-STRING"}}),
            deny("s3:PutObject", Condition={"StringNotEquals": {"s3:signatureversion": "AWS4-HMAC-SHA256"}}),
            deny("s3:DeleteObject", Condition={"NumericGreaterThan": {"s3:signatureAge": "600000"}}),
        ),
    )
    s3.get_object(Bucket="photos", Key="k")
    s3.put_object(Bucket="photos", Key="k", Body=b"1")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "k"})
    status = requests.get(url, timeout=10).status_code
    assert status == 403
    old = server.client(signature_version="s3")
    assert denied(old.put_object, Bucket="photos", Key="k", Body=b"1")
    assert not denied(s3.delete_object, Bucket="photos", Key="k")


def test_forms_and_signed_urls_and_copied_parts_are_decided_too(s3: S3Client, bob: S3Client, server: Server) -> None:
    s3.put_object(Bucket="photos", Key="source", Body=b"1")
    statements = [
        allow(["s3:PutObject", "s3:AbortMultipartUpload"]),
        deny("s3:PutObject", "arn:aws:s3:::photos/private/*"),
        deny("s3:PutObject", Condition={"StringLike": {"s3:x-amz-copy-source": "photos/source"}}),
        deny("s3:PutObject", "arn:aws:s3:::photos/form/*", Condition={"StringEquals": {"s3:x-amz-acl": "public-read"}}),
    ]
    s3.put_bucket_policy(Bucket="photos", Policy=policy(*statements))

    def post(key: str, **fields: str) -> int:
        form = bob.generate_presigned_post("photos", key, Fields=fields, Conditions=[fields] if fields else [])
        return requests.post(form["url"], data=form["fields"], files={"file": b"1"}, timeout=10).status_code

    assert (post("open/k"), post("private/k"), post("form/k"), post("form/k", acl="public-read")) == (
        204, 403, 204, 403
    )  # fmt: skip
    for key, status in (("open/k", 200), ("private/k", 403)):
        url = bob.generate_presigned_url("put_object", Params={"Bucket": "photos", "Key": key})
        assert requests.put(url, data=b"1", timeout=10).status_code == status
    upload = bob.create_multipart_upload(Bucket="photos", Key="parts")["UploadId"]
    bob.upload_part(Bucket="photos", Key="parts", UploadId=upload, PartNumber=1, Body=b"1")
    assert denied(
        bob.upload_part_copy,
        Bucket="photos",
        Key="parts",
        UploadId=upload,
        PartNumber=2,
        CopySource="photos/source",
    )
    bob.abort_multipart_upload(Bucket="photos", Key="parts", UploadId=upload)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 30_000, b'{"Statement": [[]]}', b"<Policy/>", b"null"])
def test_no_body_is_more_than_refused(server: Server, s3: S3Client, body: bytes) -> None:
    url = s3.generate_presigned_url("put_bucket_policy", Params={"Bucket": "photos", "Policy": "{}"})
    answer = requests.put(url, data=body, timeout=10)
    assert answer.status_code == 400
    assert b"<Code>MalformedPolicy</Code>" in answer.content


def test_what_only_a_body_says_is_taken_for_granted_by_nothing_else(s3: S3Client, bob: S3Client) -> None:
    """A decision before the body is read goes on where it depends on the body; one that is the only one does not."""
    tagged = {"StringEquals": {"s3:RequestObjectTag/team": "b"}}
    s3.put_bucket_policy(Bucket="photos", Policy=policy(allow("s3:*", [BUCKET, OBJECTS], Condition=tagged)))
    s3.put_object(Bucket="photos", Key="k", Body=b"1", Tagging="team=b")
    bob.put_object_tagging(Bucket="photos", Key="k", Tagging={"TagSet": [{"Key": "team", "Value": "b"}]})
    assert denied(bob.put_object_tagging, Bucket="photos", Key="k", Tagging={"TagSet": []})
    for call in (bob.get_bucket_logging, bob.get_bucket_website, bob.get_bucket_cors, bob.get_bucket_acl):
        assert denied(call, Bucket="photos")
    assert denied(bob.get_object_torrent, Bucket="photos", Key="k")
    assert denied(bob.delete_bucket_tagging, Bucket="photos")


def test_operations_are_decided_as_explained(s3: S3Client, bob: S3Client, server: Server) -> None:
    """Each operation over HTTP asks for the permission that the documentation names ("Required permissions for Amazon
    S3 API operations")."""
    s3.put_object(Bucket="photos", Key="a/k", Body=b"1", Tagging="team=b")
    s3.put_bucket_tagging(Bucket="photos", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    where: Any = {"Bucket": "photos", "Key": "a/k"}
    part: Any = {"Bucket": "photos", "Key": "a/parts"}
    tags: Any = {"TagSet": []}
    operations: dict[str, tuple[str, Any, dict[str, Any]]] = {
        "s3:GetObject": ("get_object", where, {}),
        "s3:GetObjectAcl": ("get_object_acl", where, {}),
        "s3:GetObjectTagging": ("get_object_tagging", where, {}),
        "s3:PutObjectTagging": ("put_object_tagging", where, {"Tagging": tags}),
        "s3:DeleteObjectTagging": ("delete_object_tagging", where, {}),
        "s3:PutObjectAcl": ("put_object_acl", where, {"ACL": "private"}),
        "s3:PutObject": ("put_object", {**where, "Key": "a/new"}, {"Body": b"1"}),
        "s3:DeleteObject": ("delete_object", {**where, "Key": "a/none"}, {}),
        "s3:ListMultipartUploadParts": ("list_parts", part, {}),
        "s3:ListBucket": ("list_objects_v2", {"Bucket": "photos"}, {}),
        "s3:ListBucketVersions": ("list_object_versions", {"Bucket": "photos"}, {}),
        "s3:ListBucketMultipartUploads": ("list_multipart_uploads", {"Bucket": "photos"}, {}),
        "s3:GetBucketLocation": ("get_bucket_location", {"Bucket": "photos"}, {}),
        "s3:GetBucketAcl": ("get_bucket_acl", {"Bucket": "photos"}, {}),
        "s3:GetBucketTagging": ("get_bucket_tagging", {"Bucket": "photos"}, {}),
        "s3:PutBucketTagging": ("put_bucket_tagging", {"Bucket": "photos"}, {"Tagging": tags}),
        "s3:GetBucketVersioning": ("get_bucket_versioning", {"Bucket": "photos"}, {}),
        "s3:GetBucketPolicyStatus": ("get_bucket_policy_status", {"Bucket": "photos"}, {}),
        "s3:AbortMultipartUpload": ("abort_multipart_upload", part, {}),
    }
    everything = frozenset(operations)
    for allowed in (frozenset[str](), frozenset(sorted(everything)[::2]), everything):
        part["UploadId"] = s3.create_multipart_upload(Bucket="photos", Key="a/parts")["UploadId"]
        named = {
            BUCKET: [name for name in sorted(allowed) if "Bucket" in name],
            OBJECTS: [name for name in sorted(allowed) if "Bucket" not in name],
        }
        statements = [allow(names, resource) for resource, names in named.items() if names]
        s3.put_bucket_policy(Bucket="photos", Policy=policy(*statements, deny("s3:DeleteBucket", BUCKET)))
        for name, (operation, target, more) in operations.items():
            assert denied(getattr(bob, operation), **target, **more) is (name not in allowed), name
    s3.put_bucket_policy(Bucket="photos", Policy=policy(allow("s3:ListBucket", BUCKET, Principal="*")))
    assert not denied(server.client(signature_version=UNSIGNED).list_objects_v2, Bucket="photos")


def test_the_identity_of_a_distribution_may_be_named_and_is_nobody(s3: S3Client) -> None:
    """Policies that are moved from Amazon name it, by an ARN or a canonical user id of 96 digits."""
    s3.create_bucket(Bucket="site")
    for principal in (
        {"AWS": "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity EH1HDMB1FH2TC"},
        {"CanonicalUser": "0123456789abcdef" * 6},
    ):
        statement = {
            "Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::site/*",
        }  # fmt: skip
        s3.put_bucket_policy(Bucket="site", Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
        assert not s3.get_bucket_policy_status(Bucket="site")["PolicyStatus"]["IsPublic"]
    with failure("MalformedPolicy", 400):
        s3.put_bucket_policy(
            Bucket="site",
            Policy=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": statement | {"Principal": {"AWS": "arn:aws:iam::cloudfront:user/someone"}},
                }
            ),
        )
