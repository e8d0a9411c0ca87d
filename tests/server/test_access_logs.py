"""Access logs of buckets: what boto3 does is found in the bucket that the log goes to.

Without a socket: there an answer has ended, and was noted, when the client has it.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import attrs
import boto3
import pytest

import bleepstore
from bleepstore import ANONYMOUS, Caller, ConfigurationKind
from bleepstore_server import AppConfig, client_for, in_process
from bleepstore_server.clients import open_url
from tests.server.conftest import ALICE, BOB
from tests.server.tools import failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SERVICE = {"Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject",
           "Resource": "arn:aws:s3:::logs/*",
           "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::photos"},
                         "StringEquals": {"aws:SourceAccount": "alice-id"}}}  # fmt: skip


def allow(s3: S3Client, *statements: dict[str, Any]) -> None:
    s3.put_bucket_policy(Bucket="logs", Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))


def log_to(s3: S3Client, bucket: str = "photos", **more: Any) -> None:
    enabled = {"TargetBucket": "logs", "TargetPrefix": "p/", **more}
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": enabled})  # type: ignore[typeddict-item]


@attrs.frozen
class Line:
    """A line of a log, by the names of the user guide."""

    owner: str
    bucket: str
    time: str
    zone: str
    remote: str
    requester: str
    request_id: str
    operation: str
    key: str
    uri: str
    status: str
    error: str
    sent: str
    size: str
    total: str
    turnaround: str
    referer: str
    agent: str
    version: str
    host_id: str
    signature: str
    cipher: str
    authentication: str
    host: str
    tls: str
    access_point: str
    acl: str
    region: str


def delivered(store: bleepstore.Store) -> list[Line]:
    store.jobs.run("access-logs")
    found = []
    for listed in store.iter_objects("logs"):
        with store.get_object("logs", listed.key) as stored:
            assert stored.content_type == "text/plain"
            found += [Line(*shlex.split(line)) for line in stored.read().decode().splitlines()]
    return found


Clients = Callable[..., Any]


@pytest.fixture
def clients(store: bleepstore.Store) -> Iterator[Clients]:
    """Makes clients by their keys."""
    store.put_credential("alice", "alice-secret", owner=ALICE, email="alice@example.com")
    store.put_credential("bob", "bob-secret", owner=BOB, email="bob@example.com")
    with contextlib.ExitStack() as stack:

        def make(access_key: str, secret_key: str) -> S3Client:
            client = client_for(store, access_key=access_key, secret_key=secret_key)
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def s3(clients: Clients) -> S3Client:
    client: S3Client = clients("alice", "alice-secret")
    return client


@pytest.fixture
def logged(store: bleepstore.Store, s3: S3Client) -> S3Client:
    """A client; the log of the bucket `photos` goes to `logs`."""
    for bucket in ("photos", "logs", "other"):
        s3.create_bucket(Bucket=bucket)
    allow(s3, SERVICE)
    log_to(s3)
    delivered(store)
    for listed in store.iter_objects("logs"):
        store.delete_object("logs", listed.key)
    return s3


def test_requests_are_logged_with_all_their_fields(logged: S3Client, store: bleepstore.Store) -> None:
    logged.put_object(Bucket="photos", Key="a b", Body=b"12345")
    answer = logged.get_object(Bucket="photos", Key="a b", Range="bytes=1-2")
    answer["Body"].read()
    with failure("NoSuchKey", 404):
        logged.get_object(Bucket="photos", Key="none")
    logged.put_object(Bucket="other", Key="x", Body=b"")
    put, got, missing = delivered(store)
    assert (put.operation, put.key, put.status, put.error, put.sent, put.size) == (
        "REST.PUT.OBJECT", "a%20b", "200", "-", "-", "5",
    )  # fmt: skip
    assert (got.operation, got.status, got.sent, got.size) == ("REST.GET.OBJECT", "206", "2", "5")
    assert (missing.status, missing.error, missing.size) == ("404", "NoSuchKey", "-")
    assert int(missing.sent) > 100
    assert (got.owner, got.bucket, got.requester, got.remote) == ("alice-id", "photos", "alice-id", "127.0.0.1")
    assert got.request_id == answer["ResponseMetadata"]["RequestId"]
    assert got.uri == "GET /a%20b HTTP/1.1"
    assert "Botocore" in got.agent
    assert (got.signature, got.authentication) == ("SigV4", "AuthHeader")
    assert got.host == "photos.s3.amazonaws.com"
    assert int(got.turnaround) <= int(got.total)
    assert delivered(store) == [put, got, missing]  # once


def test_operations_have_the_names_of_the_user_guide(logged: S3Client, store: bleepstore.Store) -> None:
    upload: Any = {"Bucket": "photos", "Key": "m"}
    calls: dict[str, Callable[[], Any]] = {
        "REST.HEAD.BUCKET": lambda: logged.head_bucket(Bucket="photos"),
        "REST.GET.BUCKET": lambda: logged.list_objects_v2(Bucket="photos"),
        "REST.GET.BUCKETVERSIONS": lambda: logged.list_object_versions(Bucket="photos"),
        "REST.GET.VERSIONING": lambda: logged.get_bucket_versioning(Bucket="photos"),
        "REST.GET.LOGGING_STATUS": lambda: logged.get_bucket_logging(Bucket="photos"),
        "REST.GET.LOCATION": lambda: logged.get_bucket_location(Bucket="photos"),
        "REST.GET.ACL": lambda: logged.get_bucket_acl(Bucket="photos"),
        "REST.PUT.TAGGING": lambda: logged.put_bucket_tagging(Bucket="photos", Tagging={"TagSet": []}),
        "REST.GET.PUBLIC_ACCESS_BLOCK": lambda: logged.get_public_access_block(Bucket="photos"),
        "REST.GET.OWNERSHIP_CONTROLS": lambda: logged.get_bucket_ownership_controls(Bucket="photos"),
        "REST.POST.UPLOADS": lambda: upload.update(UploadId=logged.create_multipart_upload(**upload)["UploadId"]),
        "REST.PUT.PART": lambda: logged.upload_part(**upload, PartNumber=1, Body=b"x"),
        "REST.GET.UPLOAD": lambda: logged.list_parts(**upload),
        "REST.DELETE.UPLOAD": lambda: logged.abort_multipart_upload(**upload),
        "REST.PUT.OBJECT": lambda: logged.put_object(Bucket="photos", Key="k", Body=b""),
        "REST.HEAD.OBJECT": lambda: logged.head_object(Bucket="photos", Key="k"),
        "REST.PUT.OBJECT_TAGGING": lambda: logged.put_object_tagging(Bucket="photos", Key="k", Tagging={"TagSet": []}),
        "REST.DELETE.OBJECT": lambda: logged.delete_object(Bucket="photos", Key="k"),
    }
    for call in calls.values():
        call()
    assert [line.operation for line in delivered(store)] == list(calls)


def test_copies_are_in_the_log_of_their_source_too(logged: S3Client, store: bleepstore.Store) -> None:
    log_to(logged, "other", TargetPrefix="o/")
    logged.put_object(Bucket="other", Key="from", Body=b"abc")
    logged.copy_object(Bucket="photos", Key="to", CopySource={"Bucket": "other", "Key": "from"})
    logged.delete_bucket_policy(Bucket="photos")
    found = {(line.bucket, line.operation, line.key, line.size) for line in delivered(store)}
    # That of `other` may not be delivered: the policy names `photos`.
    assert ("photos", "REST.COPY.OBJECT", "to", "3") in found
    assert {bucket for bucket, *_ in found} == {"photos"}
    logged.copy_object(Bucket="other", Key="to", CopySource={"Bucket": "photos", "Key": "to"})
    assert ("photos", "REST.COPY.OBJECT_GET", "to") in {
        (line.bucket, line.operation, line.key) for line in delivered(store)
    }


def test_each_key_of_a_batch_has_a_line(logged: S3Client, store: bleepstore.Store) -> None:
    logged.put_object(Bucket="photos", Key="a", Body=b"")
    logged.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": "a"}, {"Key": "ü"}]})
    found = delivered(store)[1:]
    assert [(line.operation, line.key, line.status) for line in found] == [
        ("REST.POST.MULTI_OBJECT_DELETE", "-", "200"),
        ("BATCH.DELETE.OBJECT", "a", "204"),
        ("BATCH.DELETE.OBJECT", "%C3%BC", "204"),
    ]
    assert len({line.request_id for line in found}) == 1


def test_who_is_refused_is_logged(logged: S3Client, store: bleepstore.Store, clients: Clients) -> None:
    with failure("SignatureDoesNotMatch", 403):
        clients("alice", "wrong").get_object(Bucket="photos", Key="k")
    with failure("AccessDenied", 403):
        clients("bob", "bob-secret").get_object(Bucket="photos", Key="k")
    open_url(store, "http://localhost/photos/k?versionId=", headers={"User-Agent": 'a" b', "Referer": "é"}).close()
    wrong, bob, nobody = delivered(store)
    assert (wrong.error, wrong.requester) == ("SignatureDoesNotMatch", "-")
    assert (bob.error, bob.requester) == ("AccessDenied", "bob-id")
    assert (nobody.error, nobody.requester, nobody.signature) == ("AccessDenied", "-", "-")
    assert nobody.agent == "a%22 b"
    assert nobody.uri == "GET /photos/k?versionId= HTTP/1.1"


def test_the_log_tells_no_signatures(logged: S3Client, store: bleepstore.Store) -> None:
    url = logged.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "k"})
    logged.put_object(Bucket="photos", Key="k", Body=b"")
    open_url(store, url).read()
    line = delivered(store)[-1]
    assert line.authentication == "QueryString"
    assert "Signature=REDACTED" in line.uri
    assert url.partition("Signature=")[2].partition("&")[0] not in line.uri


def test_the_log_tells_which_session_of_a_role_asked(logged: S3Client, store: bleepstore.Store) -> None:
    logged.put_object(Bucket="photos", Key="k", Body=b"")
    trusts = {"Effect": "Allow", "Principal": {"AWS": ALICE.id}, "Action": "sts:AssumeRole"}
    reads = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    trust, policy = (json.dumps({"Version": "2012-10-17", "Statement": one}) for one in (trusts, reads))
    role = store.put_role("reader", trust, {"reads": policy}, account=ALICE)
    made = store.assume_role(store.list_credentials()[0], role.arn, "job-7")
    client = boto3.client(
        "s3",
        endpoint_url="http://localhost",
        region_name="us-east-1",
        aws_access_key_id=made.session.access_key,
        aws_secret_access_key=made.session.secret_key,
        aws_session_token=made.token,
    )
    with contextlib.closing(client) as session:
        open_url(store, session.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "k"})).close()
    line = delivered(store)[-1]
    assert (line.status, line.requester) == ("200", f"arn:aws:sts::{ALICE.id}:assumed-role/reader/job-7")


def test_a_signature_is_found_however_its_url_is_written(logged: S3Client, store: bleepstore.Store) -> None:
    url = logged.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "k"})
    signature = url.partition("Signature=")[2].partition("&")[0]
    logged.put_object(Bucket="photos", Key="k", Body=b"1")
    assert open_url(store, url.replace("Signature=", "%53ignature=")).read() == b"1"
    open_url(store, "http://localhost/photos/k", headers={"Referer": url}).close()
    escaped, referred = delivered(store)[-2:]
    assert (escaped.status, referred.status) == ("200", "403")
    assert "%53ignature=REDACTED" in escaped.uri
    assert "Signature=REDACTED" in referred.referer
    assert signature not in f"{escaped}{referred}"


def test_pages_of_a_website_are_logged(logged: S3Client, store: bleepstore.Store) -> None:
    open_url(store, "http://photos.website.localhost/", config=AppConfig(website_domain=("website.localhost",))).read()
    (line,) = delivered(store)
    assert (line.operation, line.status, line.error) == ("WEBSITE.GET.OBJECT", "404", "NoSuchWebsiteConfiguration")


def test_what_a_lifecycle_ends_is_logged(logged: S3Client, store: bleepstore.Store) -> None:
    logged.put_object(Bucket="photos", Key="old", Body=b"")
    rule: Any = {
        "ID": "r",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Date": "2020-01-01T00:00:00Z"},
    }
    logged.put_bucket_lifecycle_configuration(Bucket="photos", LifecycleConfiguration={"Rules": [rule]})
    store.jobs.run("lifecycle")
    line = delivered(store)[-1]
    assert (line.operation, line.key, line.requester, line.uri) == ("S3.EXPIRE.OBJECT", "old", "AmazonS3", "-")


# -- where it goes


def test_a_log_that_may_not_be_delivered_is_dropped_and_counted(logged: S3Client, store: bleepstore.Store) -> None:
    allow(logged, SERVICE | {"Condition": {"StringEquals": {"aws:SourceAccount": "bob-id"}}})
    logged.head_bucket(Bucket="photos")
    assert delivered(store) == []
    assert store.access_logs.dropped == 1
    # "a Deny of its own": of everybody, services too
    allow(
        logged,
        SERVICE,
        {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::logs/*"},
    )
    logged.head_bucket(Bucket="photos")
    assert delivered(store) == []
    allow(logged, SERVICE)
    logged.head_bucket(Bucket="photos")
    assert [line.operation for line in delivered(store)] == ["REST.HEAD.BUCKET"]


def test_nobody_who_signs_is_the_service(logged: S3Client, store: bleepstore.Store, clients: Clients) -> None:
    with failure("AccessDenied", 403):
        clients("bob", "bob-secret").put_object(Bucket="logs", Key="p/x", Body=b"")
    assert open_url(store, "http://localhost/logs/p/x", method="PUT", body=b"").status == 403


@pytest.mark.legacy_acls
def test_a_bucket_with_lists_lets_the_service_write_by_its_list(
    store: bleepstore.Store, s3: S3Client, clients: Clients
) -> None:
    for bucket in ("photos", "logs"):
        s3.create_bucket(Bucket=bucket, ObjectOwnership="ObjectWriter")
    bob = {"Grantee": {"Type": "CanonicalUser", "ID": "bob-id"}, "Permission": "READ"}
    log_to(s3, TargetGrants=[bob])
    s3.put_public_access_block(Bucket="logs", PublicAccessBlockConfiguration={"IgnorePublicAcls": True})
    assert delivered(store) == []
    s3.put_bucket_acl(Bucket="logs", ACL="log-delivery-write")  # type: ignore[arg-type]  # not in the stubs
    s3.head_bucket(Bucket="photos")
    assert [line.operation for line in delivered(store)] == ["REST.HEAD.BUCKET"]
    (listed,) = s3.list_objects_v2(Bucket="logs")["Contents"]
    clients("bob", "bob-secret").get_object(Bucket="logs", Key=listed["Key"])["Body"].read()
    assert s3.get_object_acl(Bucket="logs", Key=listed["Key"])["Owner"]["ID"] == "alice-id"


def test_days_have_objects_of_their_own(logged: S3Client, store: bleepstore.Store) -> None:
    log_to(logged, TargetObjectKeyFormat={"PartitionedPrefix": {"PartitionDateSource": "EventTime"}})
    logged.head_bucket(Bucket="photos")
    delivered(store)
    (listed,) = logged.list_objects_v2(Bucket="logs", Prefix="p/alice-id/")["Contents"]
    day = listed["LastModified"].strftime("%Y/%m/%d/%Y-%m-%d-00-00-00-")
    assert listed["Key"].startswith(f"p/alice-id/us-east-1/photos/{day}")


def test_a_bucket_may_log_to_itself_and_the_log_is_no_request(store: bleepstore.Store, s3: S3Client) -> None:
    s3.create_bucket(Bucket="logs")
    allow(s3, SERVICE | {"Condition": {}})
    log_to(s3, "logs")
    s3.head_bucket(Bucket="logs")
    first = delivered(store)
    assert [line.operation for line in first][-1] == "REST.HEAD.BUCKET"
    assert delivered(store) == first


def test_a_log_needs_no_socket() -> None:
    with in_process() as store:
        import boto3

        s3 = boto3.client("s3")
        for bucket in ("photos", "logs"):
            s3.create_bucket(Bucket=bucket)
        allow(s3, SERVICE | {"Condition": {}})
        log_to(s3)
        s3.head_bucket(Bucket="photos")
        assert [line.operation for line in delivered(store)][-1] == "REST.HEAD.BUCKET"
        s3.close()


def test_a_bucket_without_a_log_costs_no_call(logged: S3Client, store: bleepstore.Store) -> None:
    """Although another one has a log."""
    store.put_object("other", "k", b"x", caller=Caller(ALICE))
    store.put_object("photos", "k", b"x", caller=Caller(ALICE))
    called: set[str] = set()

    def note(frame: Any, event: str, _argument: object) -> None:
        if event == "call":
            called.add(frame.f_code.co_filename.rpartition("/")[2])

    def modules_of(bucket: str) -> set[str]:
        called.clear()
        url = logged.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
        sys.setprofile(note)
        try:
            open_url(store, url).read()
        finally:
            sys.setprofile(None)
        return {"record.py", "bucket_logs.py", "access_logs.py", "access_log.py", "log_spool.py"} & called

    assert modules_of("photos") == {"record.py", "bucket_logs.py", "access_logs.py", "access_log.py", "log_spool.py"}
    assert modules_of("other") == set()


def test_a_program_may_note_entries_of_its_own() -> None:
    with bleepstore.open() as store:
        store.create_bucket("photos", caller=Caller(ALICE))
        store.put_bucket_configuration("photos", ConfigurationKind.LOGGING, {}, caller=Caller(ALICE))
        store.access_logs.add("photos", [])
        assert store.engine.logged_buckets == set()
        assert ANONYMOUS.service is None
