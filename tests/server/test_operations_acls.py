"""The access control lists of buckets and objects, by boto3 and by several accounts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.conftest import Server
from tests.server.tools import Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"


@pytest.fixture
def bob(server: Server) -> Iterator[S3Client]:
    client = server.client("bob", "bob-secret")
    yield client
    client.close()


@pytest.fixture
def anyone(server: Server) -> Wire:
    """Nobody in particular: requests without a signature."""
    return Wire(server.url)


def grants(acl: Any) -> set[tuple[str, str]]:
    return {(g["Grantee"].get("ID") or g["Grantee"]["URI"], g["Permission"]) for g in acl["Grants"]}


OWN = ("alice-id", "FULL_CONTROL")


@pytest.mark.parametrize(
    ("canned", "more"),
    [
        ("private", set()),
        ("public-read", {(ALL_USERS, "READ")}),
        ("public-read-write", {(ALL_USERS, "READ"), (ALL_USERS, "WRITE")}),
        ("authenticated-read", {(AUTHENTICATED, "READ")}),
        ("bucket-owner-read", set()),
        ("bucket-owner-full-control", set()),
    ],
)
@pytest.mark.legacy_acls
def test_canned_acls(s3: S3Client, canned: Any, more: set[tuple[str, str]]) -> None:
    if not canned.startswith("bucket-owner"):
        s3.create_bucket(Bucket="photos", ACL=canned)
        assert grants(s3.get_bucket_acl(Bucket="photos")) == {OWN, *more}
        s3.put_bucket_acl(Bucket="photos", ACL="private")
        s3.put_bucket_acl(Bucket="photos", ACL=canned)
        assert grants(s3.get_bucket_acl(Bucket="photos")) == {OWN, *more}
    else:
        s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="k", Body=b"", ACL=canned)
    assert grants(s3.get_object_acl(Bucket="photos", Key="k")) == {OWN, *more}
    s3.put_object_acl(Bucket="photos", Key="k", ACL="private")
    s3.put_object_acl(Bucket="photos", Key="k", ACL=canned)
    acl = s3.get_object_acl(Bucket="photos", Key="k")
    assert grants(acl) == {OWN, *more}
    assert acl["Owner"] == {"ID": "alice-id", "DisplayName": "Alice"}
    upload = s3.create_multipart_upload(Bucket="photos", Key="m", ACL=canned)["UploadId"]
    part = s3.upload_part(Bucket="photos", Key="m", UploadId=upload, PartNumber=1, Body=b"x")
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket="photos", Key="m", UploadId=upload, MultipartUpload=parts)
    assert grants(s3.get_object_acl(Bucket="photos", Key="m")) == {OWN, *more}
    s3.copy_object(Bucket="photos", Key="c", CopySource="photos/k")
    assert grants(s3.get_object_acl(Bucket="photos", Key="c")) == {OWN}, "an ACL is not copied"


@pytest.mark.legacy_acls
def test_acls_by_grant_headers(s3: S3Client) -> None:
    s3.create_bucket(Bucket="photos", GrantRead='id="bob-id"', GrantFullControl='id="alice-id"')
    assert grants(s3.get_bucket_acl(Bucket="photos")) == {OWN, ("bob-id", "READ")}
    s3.put_object(
        Bucket="photos",
        Key="k",
        Body=b"",
        GrantReadACP=f'uri="{ALL_USERS}"',
        GrantWriteACP='emailAddress="bob@example.com"',
    )
    assert grants(s3.get_object_acl(Bucket="photos", Key="k")) == {(ALL_USERS, "READ_ACP"), ("bob-id", "WRITE_ACP")}
    s3.put_bucket_acl(Bucket="photos", GrantWrite=f"uri={ALL_USERS}, id=bob-id")
    assert grants(s3.get_bucket_acl(Bucket="photos")) == {(ALL_USERS, "WRITE"), ("bob-id", "WRITE")}
    with failure("InvalidRequest", 400):
        s3.put_object(Bucket="photos", Key="k", Body=b"", ACL="private", GrantRead="id=bob-id")


@pytest.mark.legacy_acls
def test_acls_by_body(s3: S3Client) -> None:
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="k", Body=b"")
    policy: Any = {
        "Owner": {"ID": "alice-id"},
        "Grants": [
            {"Grantee": {"Type": "CanonicalUser", "ID": "bob-id"}, "Permission": "READ"},
            {"Grantee": {"Type": "Group", "URI": AUTHENTICATED}, "Permission": "WRITE"},
            {
                "Grantee": {"Type": "AmazonCustomerByEmail", "EmailAddress": "alice@example.com"},
                "Permission": "READ_ACP",
            },
        ],
    }
    expected = {("bob-id", "READ"), (AUTHENTICATED, "WRITE"), ("alice-id", "READ_ACP")}
    s3.put_bucket_acl(Bucket="photos", AccessControlPolicy=policy)
    s3.put_object_acl(Bucket="photos", Key="k", AccessControlPolicy=policy)
    for acl in (s3.get_bucket_acl(Bucket="photos"), s3.get_object_acl(Bucket="photos", Key="k")):
        assert grants(acl) == expected
    with failure("UnexpectedContent", 400):
        s3.put_object_acl(Bucket="photos", Key="k", AccessControlPolicy=policy, ACL="private")
    # What was read can be written back.
    read: Any = s3.get_object_acl(Bucket="photos", Key="k")
    s3.put_object_acl(Bucket="photos", Key="k", AccessControlPolicy={"Owner": read["Owner"], "Grants": read["Grants"]})
    assert grants(s3.get_object_acl(Bucket="photos", Key="k")) == expected
    stolen: Any = {"Owner": {"ID": "bob-id"}, "Grants": []}
    with failure("AccessDenied", 403):
        s3.put_object_acl(Bucket="photos", Key="k", AccessControlPolicy=stolen)
    nobody: Any = {
        "Owner": {"ID": "alice-id"},
        "Grants": [{"Grantee": {"Type": "CanonicalUser", "ID": "nobody"}, "Permission": "READ"}],
    }
    with failure("InvalidArgument", 400) as refused:
        s3.put_object_acl(Bucket="photos", Key="k", AccessControlPolicy=nobody)
    assert refused["Error"]["ArgumentName"] == "CanonicalUser/ID"
    with failure("InvalidArgument", 400) as refused:
        s3.put_object_acl(Bucket="photos", Key="k", GrantRead="id=nobody")
    assert refused["Error"]["ArgumentName"] == "id"


def attempts(client: S3Client) -> dict[str, Any]:
    """Every operation on the bucket `photos` and its object `k`, and the permission that it needs."""
    return {
        "list": lambda: client.list_objects_v2(Bucket="photos"),
        "uploads": lambda: client.list_multipart_uploads(Bucket="photos"),
        "put": lambda: client.put_object(Bucket="photos", Key="new", Body=b""),
        "delete": lambda: client.delete_object(Bucket="photos", Key="other"),
        "upload": lambda: client.create_multipart_upload(Bucket="photos", Key="new"),
        "read acl": lambda: client.get_bucket_acl(Bucket="photos"),
        "get": lambda: client.get_object(Bucket="photos", Key="k"),
        "attributes": lambda: client.get_object_attributes(Bucket="photos", Key="k", ObjectAttributes=["ETag"]),
        "read object acl": lambda: client.get_object_acl(Bucket="photos", Key="k"),
    }


@pytest.mark.parametrize(
    ("bucket_grant", "object_grant", "allowed"),
    [
        (None, None, set()),
        ("GrantRead", None, {"list", "uploads"}),
        ("GrantWrite", None, {"put", "delete", "upload"}),
        ("GrantReadACP", None, {"read acl"}),
        ("GrantWriteACP", None, set()),
        ("GrantFullControl", None, {"list", "uploads", "put", "delete", "upload", "read acl"}),
        (None, "GrantRead", {"get", "attributes"}),
        (None, "GrantReadACP", {"read object acl"}),
        (None, "GrantFullControl", {"get", "attributes", "read object acl"}),
    ],
)
@pytest.mark.legacy_acls
def test_what_a_grant_to_another_account_allows(
    s3: S3Client, bob: S3Client, bucket_grant: str | None, object_grant: str | None, allowed: set[str]
) -> None:
    to_bucket: Any = {"GrantFullControl": "id=alice-id"}
    to_object: Any = {"GrantFullControl": "id=alice-id"}
    for options, grant in ((to_bucket, bucket_grant), (to_object, object_grant)):
        if grant:
            options[grant] = f"{options.get(grant, '')},id=bob-id"
    s3.create_bucket(Bucket="photos", **to_bucket)
    s3.put_object(Bucket="photos", Key="k", Body=b"", **to_object)
    for name, attempt in attempts(bob).items():
        if name in allowed:
            attempt()
        else:
            with failure("AccessDenied", 403):
                attempt()


@pytest.mark.legacy_acls
def test_grants_of_ones_own_choice_may_leave_oneself_out(s3: S3Client) -> None:
    """Then an owner reaches only the list itself, and can give itself the rest back."""
    s3.create_bucket(Bucket="photos", GrantRead="id=bob-id")
    with failure("AccessDenied", 403):
        s3.put_object(Bucket="photos", Key="k", Body=b"")
    with failure("AccessDenied", 403):
        s3.list_objects_v2(Bucket="photos")
    assert grants(s3.get_bucket_acl(Bucket="photos")) == {("bob-id", "READ")}
    s3.put_bucket_acl(Bucket="photos", ACL="private")
    s3.put_object(Bucket="photos", Key="k", Body=b"")


@pytest.mark.legacy_acls
def test_who_may_write_an_acl_may_give_itself_the_rest(s3: S3Client, bob: S3Client) -> None:
    s3.create_bucket(Bucket="photos", GrantWriteACP="id=bob-id")
    with failure("AccessDenied", 403):
        bob.list_objects_v2(Bucket="photos")
    bob.put_bucket_acl(Bucket="photos", GrantFullControl="id=bob-id")
    bob.list_objects_v2(Bucket="photos")
    with failure("AccessDenied", 403):
        s3.list_objects_v2(Bucket="photos")
    s3.put_bucket_acl(Bucket="photos", ACL="private")
    s3.list_objects_v2(Bucket="photos")


@pytest.mark.legacy_acls
def test_an_object_belongs_to_who_wrote_it(s3: S3Client, bob: S3Client) -> None:
    s3.create_bucket(Bucket="photos", ACL="public-read-write")
    bob.put_object(Bucket="photos", Key="bobs", Body=b"1")
    with failure("AccessDenied", 403):
        s3.get_object(Bucket="photos", Key="bobs")
    listed = s3.list_objects(Bucket="photos")["Contents"]
    assert listed[0]["Owner"] == {"ID": "bob-id", "DisplayName": "Bob"}
    bob.put_object(Bucket="photos", Key="given", Body=b"2", ACL="bucket-owner-full-control")
    assert s3.get_object(Bucket="photos", Key="given")["Body"].read() == b"2"
    bob.put_object(Bucket="photos", Key="shown", Body=b"3", ACL="bucket-owner-read")
    assert s3.get_object(Bucket="photos", Key="shown")["Body"].read() == b"3"
    with failure("AccessDenied", 403):
        s3.put_object_acl(Bucket="photos", Key="shown", ACL="public-read")
    s3.delete_object(Bucket="photos", Key="bobs")


@pytest.mark.legacy_acls
def test_what_everyone_may_do(s3: S3Client, anyone: Wire, bob: S3Client) -> None:
    s3.create_bucket(Bucket="photos", ACL="public-read")
    s3.put_object(Bucket="photos", Key="public", Body=b"1", ACL="public-read")
    s3.put_object(Bucket="photos", Key="known", Body=b"2", ACL="authenticated-read")
    s3.put_object(Bucket="photos", Key="private", Body=b"3")

    def status(method: str, target: str) -> int:
        return anyone.send(method, target, signed=False).status

    assert status("GET", "/photos") == status("HEAD", "/photos") == 200
    assert status("GET", "/photos/public") == status("HEAD", "/photos/public") == 200
    assert (
        status("GET", "/photos/known") == status("GET", "/photos/private") == status("HEAD", "/photos/private") == 403
    )
    assert status("GET", "/photos/absent") == 404, "who may list may know what is missing"
    assert status("PUT", "/photos/k") == status("DELETE", "/photos/public") == status("GET", "/") == 403
    assert bob.get_object(Bucket="photos", Key="known")["Body"].read() == b"2"
    s3.put_bucket_acl(Bucket="photos", ACL="private")
    assert status("GET", "/photos") == 403
    assert status("GET", "/photos/public") == 200
    assert status("GET", "/photos/absent") == 403, "who may not list must not learn what is missing"


@pytest.mark.legacy_acls
def test_an_anonymous_write(s3: S3Client, anyone: Wire) -> None:
    s3.create_bucket(Bucket="photos", ACL="public-read-write")
    assert anyone.send("PUT", "/photos/k", b"data", signed=False).status == 200
    assert anyone.send("GET", "/photos/k", signed=False).body == b"data"
    owner = s3.list_objects_v2(Bucket="photos", FetchOwner=True)["Contents"][0]["Owner"]
    assert owner["ID"] == "65a011a29cdf8ec533ec3d1ccaae921c"
    assert anyone.send("PUT", "/new-bucket", signed=False).status == 403


@pytest.mark.legacy_acls
def test_copies_need_both_permissions(s3: S3Client, bob: S3Client) -> None:
    s3.create_bucket(Bucket="photos")
    bob.create_bucket(Bucket="bobs")
    s3.put_object(Bucket="photos", Key="private", Body=b"1")
    s3.put_object(Bucket="photos", Key="public", Body=b"2", ACL="public-read")
    with failure("AccessDenied", 403):
        bob.copy_object(Bucket="bobs", Key="k", CopySource="photos/private")
    with failure("AccessDenied", 403):
        bob.copy_object(Bucket="photos", Key="k", CopySource="photos/public")
    bob.copy_object(Bucket="bobs", Key="k", CopySource="photos/public")
    assert grants(bob.get_object_acl(Bucket="bobs", Key="k")) == {("bob-id", "FULL_CONTROL")}
