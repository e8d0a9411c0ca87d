"""A user does what its policies allow, by whatever way it asks; over HTTP, by boto3 and by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import pytest
import requests

import bleepstore
from bleepstore import Caller, CannedPolicy, Owner
from tests.server.conftest import ALICE, BOB, Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def allowing(*pairs: tuple[Any, Any]) -> str:
    """A policy that allows these actions on these resources."""
    statements = [{"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in pairs]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


#: Reads and writes below `mine/` in the one bucket; may everything in the other.
SCOPED = allowing(
    (["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], "arn:aws:s3:::photos/mine/*"),
    ("s3:*", ["arn:aws:s3:::sandbox", "arn:aws:s3:::sandbox/*"]),
)


@pytest.fixture
def ann(server: Server) -> Iterator[S3Client]:
    """A client of alice's user."""
    store = server.store
    for bucket in ("photos", "sandbox", "secrets"):
        store.create_bucket(bucket, caller=Caller(ALICE))
        store.put_object(bucket, "kept", b"kept", caller=Caller(ALICE))
    store.create_bucket("bobs", caller=Caller(BOB))
    store.put_object("photos", "mine/kept", b"mine", caller=Caller(ALICE))
    store.users.add("ann", account=ALICE)
    store.users.put_policy("ann", "scoped", SCOPED, account=ALICE)
    store.put_credential("ann", "ann-secret", owner=ALICE, user="ann")
    client = server.client("ann", "ann-secret")
    yield client
    client.close()


def code_of(act: Callable[[], object]) -> str:
    """The code of what is refused, or "" if it was not."""
    try:
        act()
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def test_a_user_does_what_it_may(ann: S3Client, server: Server) -> None:
    ann.put_object(Bucket="photos", Key="mine/new", Body=b"new")
    assert ann.get_object(Bucket="photos", Key="mine/new")["Body"].read() == b"new"
    ann.delete_object(Bucket="photos", Key="mine/new")
    assert [found["Key"] for found in ann.list_objects_v2(Bucket="sandbox")["Contents"]] == ["kept"]
    ann.copy_object(Bucket="sandbox", Key="copy", CopySource="photos/mine/kept")
    assert server.store.head_object("sandbox", "copy").version.owner == ALICE


@pytest.mark.parametrize(
    "ask",
    [
        lambda s3: s3.get_object(Bucket="photos", Key="kept"),
        lambda s3: s3.get_object(Bucket="photos", Key="nothing"),
        lambda s3: s3.get_object(Bucket="secrets", Key="kept"),
        lambda s3: s3.put_object(Bucket="photos", Key="mine", Body=b""),
        lambda s3: s3.put_object(Bucket="photos", Key="mine/a", Body=b"", ACL="public-read"),
        lambda s3: s3.put_object(Bucket="photos", Key="mine/a", Body=b"", Tagging="a=b"),
        lambda s3: s3.put_object_acl(Bucket="photos", Key="mine/kept", ACL="private"),
        lambda s3: s3.get_object_tagging(Bucket="photos", Key="mine/kept"),
        lambda s3: s3.get_object_attributes(Bucket="photos", Key="mine/kept", ObjectAttributes=["ETag"]),
        lambda s3: s3.list_objects_v2(Bucket="photos"),
        lambda s3: s3.list_objects_v2(Bucket="photos", Prefix="mine/"),
        lambda s3: s3.list_object_versions(Bucket="photos"),
        lambda s3: s3.list_multipart_uploads(Bucket="photos"),
        lambda s3: s3.copy_object(Bucket="sandbox", Key="stolen", CopySource="secrets/kept"),
        lambda s3: s3.copy_object(Bucket="photos", Key="kept", CopySource="photos/mine/kept"),
        lambda s3: s3.create_multipart_upload(Bucket="photos", Key="other"),
        lambda s3: s3.list_buckets(),
        lambda s3: s3.create_bucket(Bucket="anns"),
        lambda s3: s3.create_bucket(Bucket="photos"),
        lambda s3: s3.delete_bucket(Bucket="photos"),
        lambda s3: s3.put_bucket_policy(Bucket="photos", Policy=allowing(("s3:*", "arn:aws:s3:::photos"))),
        lambda s3: s3.get_bucket_policy(Bucket="photos"),
        lambda s3: s3.delete_bucket_policy(Bucket="photos"),
        lambda s3: s3.put_bucket_acl(Bucket="photos", ACL="private"),
        lambda s3: s3.delete_public_access_block(Bucket="photos"),
        lambda s3: s3.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"}),
        lambda s3: s3.get_bucket_location(Bucket="photos"),
        lambda s3: s3.list_objects_v2(Bucket="bobs"),
    ],
    ids=[
        "another key", "what is not there", "another bucket", "almost the prefix", "with an ACL", "with tags",
        "set an ACL", "tags", "attributes", "list", "list what it may read", "versions", "uploads",
        "copy from elsewhere", "copy to elsewhere", "upload", "buckets", "make a bucket", "make one again",
        "delete a bucket", "put a policy", "get a policy", "delete a policy", "bucket ACL", "open to the public",
        "versioning", "location", "a bucket of another account",
    ],
)  # fmt: skip
def test_a_user_does_nothing_else(ann: S3Client, server: Server, ask: Callable[[S3Client], object]) -> None:
    before = server.store.list_objects("photos").objects
    assert code_of(lambda: ask(ann)) == "AccessDenied"
    assert server.store.list_objects("photos").objects == before
    assert len(server.store.list_buckets(caller=Caller(ALICE)).buckets) == 3


def test_of_many_deletes_those_that_are_not_allowed_are_refused_each(ann: S3Client, server: Server) -> None:
    store = server.store
    asked = [{"Key": key} for key in ("kept", "mine/kept", "mine/none", "kept")]
    answer = ann.delete_objects(Bucket="photos", Delete={"Objects": asked})  # type: ignore[typeddict-item]
    assert [found["Key"] for found in answer["Deleted"]] == ["mine/kept", "mine/none"]
    assert [(found["Key"], found["Code"]) for found in answer["Errors"]] == [("kept", "AccessDenied")] * 2
    assert [found.key for found in store.list_objects("photos").objects] == ["kept"]
    answer = ann.delete_objects(Bucket="secrets", Delete={"Objects": [{"Key": "kept"}]})
    assert [found["Code"] for found in answer["Errors"]] == ["AccessDenied"]
    assert [found.key for found in store.list_objects("secrets").objects] == ["kept"]


def test_a_version_is_another_right_than_an_object(ann: S3Client, server: Server) -> None:
    server.store.put_bucket_versioning("photos", bleepstore.Versioning.ENABLED)
    version = server.store.put_object("photos", "mine/kept", b"two", caller=Caller(ALICE)).version_id
    for ask in (ann.get_object, ann.delete_object, ann.head_object):
        asked: Any = ask
        assert code_of(lambda: asked(Bucket="photos", Key="mine/kept", VersionId=version)) in ("AccessDenied", "403")  # noqa: B023
    answer = ann.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": "mine/kept", "VersionId": version}]})
    assert [found["Code"] for found in answer["Errors"]] == ["AccessDenied"]
    assert ann.get_object(Bucket="photos", Key="mine/kept")["Body"].read() == b"two"


def test_a_signed_url_and_a_form_give_what_its_user_has(ann: S3Client, server: Server) -> None:
    def url(method: str, key: str) -> str:
        return ann.generate_presigned_url(method, Params={"Bucket": "photos", "Key": key})

    assert requests.get(url("get_object", "mine/kept"), timeout=10).content == b"mine"
    assert requests.get(url("get_object", "kept"), timeout=10).status_code == 403
    assert requests.put(url("put_object", "mine/put"), b"put", timeout=10).status_code == 200
    assert requests.put(url("put_object", "kept"), b"put", timeout=10).status_code == 403
    for key, status in (("mine/posted", 204), ("kept", 403)):
        form = ann.generate_presigned_post("photos", key)
        files = {"file": ("name", b"posted")}
        assert requests.post(form["url"], form["fields"], files=files, timeout=10).status_code == status
    open_form = ann.generate_presigned_post("photos", "mine/${filename}", Conditions=[["starts-with", "$key", ""]])
    open_form["fields"]["key"] = "kept"  # the form lets any key be named, and gives no more than the user has
    files = {"file": ("name", b"posted")}
    assert requests.post(open_form["url"], open_form["fields"], files=files, timeout=10).status_code == 403
    assert server.store.get_object("photos", "kept").read() == b"kept"
    denied = ann.generate_presigned_post("photos", "mine/a", Fields={"acl": "private"}, Conditions=[{"acl": "private"}])
    assert requests.post(denied["url"], denied["fields"], files=files, timeout=10).status_code == 403


def test_a_user_of_one_bucket_gives_away_no_other(ann: S3Client, server: Server) -> None:
    """Who may everything in a bucket sets its policy, which is about that bucket alone; and a bucket that is configured
    to write elsewhere writes nowhere where its owner does not want it."""
    for resource in ("arn:aws:s3:::secrets/*", "arn:aws:s3:::*", "*"):
        policy = json.dumps(
            {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": resource}}
        )
        assert code_of(lambda: ann.put_bucket_policy(Bucket="sandbox", Policy=policy)) == "MalformedPolicy"  # noqa: B023
    mine = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::alice-id:user/ann"}, "Action": "s3:*"}
    policy = json.dumps({"Statement": {**mine, "Resource": ["arn:aws:s3:::sandbox", "arn:aws:s3:::sandbox/*"]}})
    ann.put_bucket_policy(Bucket="sandbox", Policy=policy)
    assert code_of(lambda: ann.get_object(Bucket="secrets", Key="kept")) == "AccessDenied"
    assert code_of(ann.list_buckets) == "AccessDenied"


def test_what_is_denied_is_denied_by_every_way(ann: S3Client, server: Server) -> None:
    """By the user itself, and by the bucket, whatever the other of them allows."""
    store = server.store
    denied = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
                {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::photos/mine/*"},
            ],
        }
    )
    store.users.put_policy("ann", "scoped", denied, account=ALICE)
    assert code_of(lambda: ann.get_object(Bucket="photos", Key="mine/kept")) == "AccessDenied"
    assert code_of(lambda: ann.copy_object(Bucket="sandbox", Key="k", CopySource="photos/mine/kept")) == "AccessDenied"
    assert ann.get_object(Bucket="photos", Key="kept")["Body"].read() == b"kept"
    by_bucket = {
        "Effect": "Deny",
        "Principal": {"AWS": "alice-id"},
        "Action": "s3:*",
        "Resource": "arn:aws:s3:::photos/*",
    }
    store.put_bucket_policy("photos", json.dumps({"Statement": by_bucket}))
    assert code_of(lambda: ann.get_object(Bucket="photos", Key="kept")) == "AccessDenied"
    # "The root principal" may repair a policy that denies it: a user is not that.
    all_of_it = {**by_bucket, "Resource": ["arn:aws:s3:::photos", "arn:aws:s3:::photos/*"]}
    store.put_bucket_policy("photos", json.dumps({"Statement": all_of_it}))
    assert code_of(lambda: ann.delete_bucket_policy(Bucket="photos")) == "AccessDenied"
    server.client().delete_bucket_policy(Bucket="photos")


def test_an_upload_is_seen_and_ended_by_whom_it_belongs_to(ann: S3Client, server: Server) -> None:
    store = server.store
    begun = ann.create_multipart_upload(Bucket="photos", Key="mine/big")["UploadId"]
    where: Any = {"Bucket": "photos", "Key": "mine/big", "UploadId": begun}
    etag = ann.upload_part(**where, PartNumber=1, Body=b"part")["ETag"]
    listed = ann.list_parts(**where)  # its own, without a policy for that
    arn = "arn:aws:iam::alice-id:user/ann"
    assert (listed["Initiator"]["ID"], listed["Initiator"]["DisplayName"]) == (arn, "ann")
    assert listed["Owner"]["ID"] == "alice-id"
    roots = store.create_upload("photos", "mine/roots", caller=Caller(ALICE)).upload_id
    others: Any = {"Bucket": "photos", "Key": "mine/roots", "UploadId": roots}
    assert code_of(lambda: ann.list_parts(**others)) == "AccessDenied"
    assert code_of(lambda: ann.abort_multipart_upload(**others)) == "AccessDenied"
    ann.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert store.get_object("photos", "mine/big").read() == b"part"
    again = ann.create_multipart_upload(Bucket="photos", Key="mine/big")["UploadId"]
    ann.abort_multipart_upload(Bucket="photos", Key="mine/big", UploadId=again)
    part = lambda: ann.upload_part_copy(**others, PartNumber=1, CopySource="secrets/kept")  # noqa: E731
    assert code_of(part) == "AccessDenied"


def test_a_user_from_another_account_needs_both(server: Server, ann: S3Client) -> None:
    store = server.store
    store.users.add("ben", account=BOB)
    store.put_credential("ben", "ben-secret", owner=BOB, user="ben")
    ben = server.client("ben", "ben-secret")
    get = lambda: ben.get_object(Bucket="photos", Key="kept")  # noqa: E731
    assert code_of(get) == "AccessDenied"
    store.users.put_policy("ben", "all", CannedPolicy.ADMIN.document(), account=BOB)
    assert code_of(get) == "AccessDenied"
    named = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::bob-id:user/ben"}, "Action": "s3:GetObject"}
    store.put_bucket_policy("photos", json.dumps({"Statement": {**named, "Resource": "arn:aws:s3:::photos/*"}}))
    assert code_of(get) == ""
    assert code_of(lambda: server.client("bob", "bob-secret").get_object(Bucket="photos", Key="kept")) == "AccessDenied"
    store.users.remove_policy("ben", "all", account=BOB)
    assert code_of(get) == "AccessDenied"
    ben.close()


def test_a_user_that_is_made_again_is_another(server: Server, ann: S3Client) -> None:
    store = server.store
    store.users.remove("ann", account=ALICE)
    assert code_of(lambda: ann.get_object(Bucket="photos", Key="mine/kept")) == "InvalidAccessKeyId"
    store.users.add("ann", account=ALICE)
    assert code_of(lambda: ann.get_object(Bucket="photos", Key="mine/kept")) == "InvalidAccessKeyId"
    store.put_credential("ann", "ann-secret", owner=ALICE, user="ann")
    assert code_of(lambda: ann.get_object(Bucket="photos", Key="mine/kept")) == "AccessDenied"


def test_an_upload_that_nobody_of_the_account_has_begun_is_not_its(server: Server, ann: S3Client) -> None:
    """An id of an account that reads like the ARN of a user of another is not let in by a store."""
    assert server.store.find_owner("arn:aws:iam::alice-id:user/ann") is None
    answer = server.client().put_object  # an ACL cannot name a user
    server.store.delete_public_access_block("photos")
    server.store.put_bucket_ownership("photos", bleepstore.ObjectOwnership.OBJECT_WRITER)
    refused = code_of(
        lambda: answer(Bucket="photos", Key="k", Body=b"", GrantRead='id="arn:aws:iam::alice-id:user/ann"')
    )
    assert refused == "InvalidArgument"
    with pytest.raises(bleepstore.errors.InvalidArgument):
        server.store.put_credential("x", "s", owner=Owner("arn:aws:iam::alice-id:user/ann"))


def test_who_created_it_says_nothing_of_what_it_may(server: Server, ann: S3Client) -> None:
    """What a user writes belongs to its account."""
    ann.put_object(Bucket="photos", Key="mine/written", Body=b"")
    server.store.users.put_policy("ann", "scoped", allowing(("s3:PutObject", "*")), account=ALICE)
    assert code_of(lambda: ann.get_object(Bucket="photos", Key="mine/written")) == "AccessDenied"
    assert server.client().get_object(Bucket="photos", Key="mine/written")["Body"].read() == b""
