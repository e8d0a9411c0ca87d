"""What becomes an event, by boto3 in process and over HTTP: its name, and what its record says."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests

import bleepstore
from bleepstore import Store
from bleepstore.events import NEVER_SENT
from bleepstore.testing.clock import Clock
from bleepstore_server.clients import client_for
from bleepstore_server.live import live_server
from tests.events.tools import Destination

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

EVENTS = [
    "s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*", "s3:ObjectAcl:Put", "s3:ObjectRestore:*",
    "s3:LifecycleExpiration:*", "s3:LifecycleTransition", "s3:ObjectRetention:Put",
]  # fmt: skip


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def destination() -> Destination:
    return Destination()


@pytest.fixture
def store(clock: Clock, destination: Destination) -> Iterator[Store]:
    options: Any = {"acl_defaults": "legacy", "event_destinations": {"all": destination}}
    with bleepstore.open(clock=clock, **options) as store:
        yield store


@pytest.fixture(params=["in process", "http"])
def client(request: pytest.FixtureRequest, store: Store) -> Iterator[S3Client]:
    if request.param == "in process":
        client = client_for(store)
        yield client
        client.close()
        return
    with live_server(store) as server:
        yield boto3.client(
            "s3",
            endpoint_url=server.url,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            region_name="us-east-1",
        )


def configure(client: S3Client, *, versioned: bool = False, locked: bool = False) -> None:
    client.create_bucket(Bucket="photos", ObjectLockEnabledForBucket=locked)
    if versioned:
        client.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"})
    arn = "arn:aws:lambda:us-east-1:000000000000:function:all"
    function: Any = {"Id": "f", "LambdaFunctionArn": arn, "Events": EVENTS}
    client.put_bucket_notification_configuration(
        Bucket="photos", NotificationConfiguration={"LambdaFunctionConfigurations": [function]}
    )


Seen = Callable[[], list[tuple[str, str]]]


@pytest.fixture
def seen(store: Store, destination: Destination) -> Seen:
    """What came since it was last asked."""

    def ask() -> list[tuple[str, str]]:
        store.jobs.run("events")
        found = destination.seen
        destination.documents.clear()
        return found

    return ask


def test_writes(client: S3Client, seen: Seen) -> None:
    configure(client)
    client.put_object(Bucket="photos", Key="a", Body=b"123")
    client.copy_object(Bucket="photos", Key="b", CopySource={"Bucket": "photos", "Key": "a"})
    upload = client.create_multipart_upload(Bucket="photos", Key="c")["UploadId"]
    part = client.upload_part(Bucket="photos", Key="c", UploadId=upload, PartNumber=1, Body=b"4")
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    client.complete_multipart_upload(Bucket="photos", Key="c", UploadId=upload, MultipartUpload=parts)
    client.get_object(Bucket="photos", Key="a")["Body"].read()
    assert seen() == [
        ("ObjectCreated:Put", "a"),
        ("ObjectCreated:Copy", "b"),
        ("ObjectCreated:CompleteMultipartUpload", "c"),
    ]


def test_a_form_of_a_browser(store: Store, seen: Seen) -> None:
    with live_server(store) as server:
        client = server.client()
        configure(client)
        form = client.generate_presigned_post("photos", "posted")
        answer = requests.post(form["url"], data=form["fields"], files={"file": b"12"}, timeout=30)
        assert answer.status_code == 204
    assert seen() == [("ObjectCreated:Post", "posted")]


def test_deletes(client: S3Client, seen: Seen) -> None:
    configure(client)
    for key in "abc":
        client.put_object(Bucket="photos", Key=key, Body=b"")
    seen()
    client.delete_object(Bucket="photos", Key="a")
    client.delete_object(Bucket="photos", Key="a")  # it is gone: nothing happens
    client.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": "b"}, {"Key": "none"}, {"Key": "c"}]})
    assert seen() == [("ObjectRemoved:Delete", key) for key in "abc"]


def test_versions(client: S3Client, seen: Seen, store: Store, destination: Destination) -> None:
    configure(client, versioned=True)
    first = client.put_object(Bucket="photos", Key="a", Body=b"1")["VersionId"]
    marker = client.delete_object(Bucket="photos", Key="a")["VersionId"]
    client.delete_object(Bucket="photos", Key="a", VersionId=marker)
    client.delete_object(Bucket="photos", Key="a", VersionId=first)
    store.jobs.run("events")
    assert [(one["eventName"], one["s3"]["object"]["versionId"]) for one in destination.records] == [
        ("ObjectCreated:Put", first),
        ("ObjectRemoved:DeleteMarkerCreated", marker),
        ("ObjectRemoved:Delete", marker),
        ("ObjectRemoved:Delete", first),
    ]


def test_tags_acls_and_locks(client: S3Client, seen: Seen) -> None:
    configure(client, locked=True)
    client.put_object(Bucket="photos", Key="a", Body=b"1")
    seen()
    client.put_object_tagging(Bucket="photos", Key="a", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    client.delete_object_tagging(Bucket="photos", Key="a")
    client.put_object_acl(Bucket="photos", Key="a", ACL="public-read")
    client.put_object_acl(Bucket="photos", Key="a", ACL="public-read")  # no change, no event
    until: Any = {"Mode": "GOVERNANCE", "RetainUntilDate": "2100-01-01T00:00:00Z"}
    client.put_object_retention(Bucket="photos", Key="a", Retention=until)
    client.put_object_legal_hold(Bucket="photos", Key="a", LegalHold={"Status": "ON"})
    names = ["ObjectTagging:Put", "ObjectTagging:Delete", "ObjectAcl:Put", "ObjectRetention:Put"]
    assert seen() == [(name, "a") for name in names]


def test_restores(client: S3Client, store: Store, destination: Destination) -> None:
    configure(client)
    client.put_object(Bucket="photos", Key="a", Body=b"1", StorageClass="GLACIER")
    client.restore_object(Bucket="photos", Key="a", RestoreRequest={"Days": 1})
    client.restore_object(Bucket="photos", Key="a", RestoreRequest={"Days": 2})  # it is restored already
    store.jobs.run("events")
    _, begun, ended = destination.records
    assert [begun["eventName"], ended["eventName"]] == ["ObjectRestore:Post", "ObjectRestore:Completed"]
    data = ended["glacierEventData"]["restoreEventData"]
    assert data["lifecycleRestoreStorageClass"] == "GLACIER"
    assert data["lifecycleRestorationExpiryTime"].endswith("T00:00:00.000Z")
    assert "glacierEventData" not in begun


def lifecycle(client: S3Client, **actions: Any) -> None:
    rule: Any = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, **actions}
    client.put_bucket_lifecycle_configuration(Bucket="photos", LifecycleConfiguration={"Rules": [rule]})


def test_a_lifecycle_in_a_bucket_without_versions(client: S3Client, store: Store, clock: Clock, seen: Seen) -> None:
    configure(client)
    client.put_object(Bucket="photos", Key="a", Body=b"1")
    seen()
    lifecycle(client, Expiration={"Days": 1})
    clock.advance(days=3)
    store.jobs.run("lifecycle")
    assert seen() == [("LifecycleExpiration:Delete", "a")]


def test_a_lifecycle_in_a_bucket_with_versions(
    client: S3Client, store: Store, clock: Clock, destination: Destination
) -> None:
    configure(client, versioned=True)
    client.put_object(Bucket="photos", Key="a", Body=b"1" * 200_000)
    lifecycle(
        client,
        Expiration={"Days": 40},
        Transitions=[{"Days": 30, "StorageClass": "STANDARD_IA"}],
        NoncurrentVersionExpiration={"NoncurrentDays": 2},
    )
    for days in (32, 10, 4):
        clock.advance(days=days)
        store.jobs.run("lifecycle")
    store.jobs.run("events")
    _, *records = destination.records
    names = [record["eventName"] for record in records]
    assert names == ["LifecycleTransition", "LifecycleExpiration:DeleteMarkerCreated", "LifecycleExpiration:Delete"]
    moved = records[0]["lifecycleEventData"]["transitionEventData"]
    assert moved == {"destinationStorageClass": "STANDARD_IA"}
    assert {record["userIdentity"]["principalId"] for record in records} == {"s3.amazonaws.com"}
    assert {record["eventVersion"] for record in records} == {"2.3"}


def test_a_record_says_which_session_of_a_role_asked(store: Store, destination: Destination) -> None:
    with contextlib.closing(client_for(store)) as client:
        configure(client)
    trusts = {"Effect": "Allow", "Principal": {"AWS": store.owner.id}, "Action": "sts:AssumeRole"}
    writes = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}
    trust, policy = (json.dumps({"Version": "2012-10-17", "Statement": one}) for one in (trusts, writes))
    role = store.put_role("writer", trust, {"writes": policy})
    made = store.assume_role(store.put_credential("key", "the-secret"), role.arn, "job-7")
    user = store.find_session(made.token, made.session.access_key).user
    assert user is not None
    store.put_object("photos", "k", b"", caller=bleepstore.Caller.of_user(user))
    store.jobs.run("events")
    (record,) = destination.records
    assert record["userIdentity"] == {"principalId": f"arn:aws:sts::{store.owner.id}:assumed-role/writer/job-7"}


def test_what_a_record_says(client: S3Client, store: Store, clock: Clock, destination: Destination) -> None:
    configure(client)
    answer = client.put_object(Bucket="photos", Key="a b/ü+c", Body=b"12345")
    store.jobs.run("events")
    (record,) = destination.records
    sequencer = record["s3"]["object"].pop("sequencer")
    assert int(sequencer, 16) > 0
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert record.pop("responseElements")["x-amz-request-id"] == request_id
    address = record.pop("requestParameters")["sourceIPAddress"]
    assert address == "127.0.0.1"
    when = record.pop("eventTime")
    assert len(when) == len("1970-01-01T00:00:00.000Z")
    assert json.loads(json.dumps(record)) == {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": store.owner.id},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "f",
            "bucket": {
                "name": "photos",
                "ownerIdentity": {"principalId": store.owner.id},
                "arn": "arn:aws:s3:::photos",
            },
            "object": {"key": "a+b/%C3%BC%2Bc", "size": 5, "eTag": answer["ETag"].strip('"')},
        },
    }


def test_later_events_of_a_key_have_greater_sequencers(
    client: S3Client, store: Store, clock: Clock, destination: Destination
) -> None:
    configure(client)
    for _ in range(3):
        client.put_object(Bucket="photos", Key="a", Body=b"1")
        client.delete_object(Bucket="photos", Key="a")
        clock.advance(days=-1)
    store.jobs.run("events")
    sequencers = [record["s3"]["object"]["sequencer"] for record in destination.records]
    assert len(sequencers) == 6
    assert sequencers == sorted(set(sequencers))
    assert len({len(one) for one in sequencers}) == 1  # so that they can be compared as text


def test_an_event_that_never_happens_can_be_asked_for(client: S3Client) -> None:
    client.create_bucket(Bucket="photos")
    arn = "arn:aws:sns:us-east-1:000000000000:all"
    events: Any = sorted(f"s3:{name}" for name in NEVER_SENT if not name.startswith("ObjectAnnotation:"))
    client.put_bucket_notification_configuration(
        Bucket="photos",
        NotificationConfiguration={
            "TopicConfigurations": [{"TopicArn": arn, "Events": events}],
            "EventBridgeConfiguration": {},
        },
    )
    found = client.get_bucket_notification_configuration(Bucket="photos")
    assert sorted(found["TopicConfigurations"][0]["Events"]) == events
    assert found["EventBridgeConfiguration"] == {}


def test_a_version_that_could_not_be_copied(
    client: S3Client, store: Store, seen: Seen, destination: Destination
) -> None:
    configure(client, versioned=True)
    arn = "arn:aws:lambda:us-east-1:000000000000:function:all"
    function: Any = {"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*", "s3:Replication:*"]}
    client.put_bucket_notification_configuration(
        Bucket="photos", NotificationConfiguration={"LambdaFunctionConfigurations": [function]}
    )
    client.create_bucket(Bucket="copies")
    client.put_bucket_versioning(Bucket="copies", VersioningConfiguration={"Status": "Enabled"})
    rule: Any = {"ID": "r", "Prefix": "", "Status": "Enabled", "Destination": {"Bucket": "arn:aws:s3:::copies"}}
    role = "arn:aws:iam::111122223333:role/replicates"
    client.put_bucket_replication(Bucket="photos", ReplicationConfiguration={"Role": role, "Rules": [rule]})
    client.delete_bucket(Bucket="copies")
    put = client.put_object(Bucket="photos", Key="a", Body=b"123")
    store.jobs.run("replication")
    store.jobs.run("events")
    record = destination.records[-1]
    assert (record["eventName"], record["eventVersion"]) == ("Replication:OperationFailedReplication", "2.2")
    assert record["s3"]["object"]["versionId"] == put["VersionId"]
    failed = record["replicationEventData"]
    assert (failed["replicationRuleId"], failed["destinationBucket"]) == ("r", "arn:aws:s3:::copies")
    assert failed["failureReason"].startswith("NoSuchBucket: ")
    assert seen() == [("ObjectCreated:Put", "a"), ("Replication:OperationFailedReplication", "a")]


def test_a_restoration_that_takes_time_is_told_of_when_it_ends(clock: Clock, destination: Destination) -> None:
    options: Any = {"event_destinations": {"all": destination}, "restore_delay": dt.timedelta(hours=5)}
    with bleepstore.open(clock=clock, **options) as store:
        client = client_for(store)
        configure(client, versioned=True)
        for key in ("a", "gone"):
            put = client.put_object(Bucket="photos", Key=key, Body=b"1", StorageClass="GLACIER")
            client.restore_object(Bucket="photos", Key=key, RestoreRequest={"Days": 1})
        client.delete_object(Bucket="photos", Key="gone", VersionId=put["VersionId"])
        store.jobs.run("restorations")
        store.jobs.run("events")
        assert ("ObjectRestore:Post", "a") in destination.seen
        destination.documents.clear()
        clock.advance(hours=5)
        for _ in range(2):
            store.jobs.run("restorations")
            store.jobs.run("events")
        assert destination.seen == [("ObjectRestore:Completed", "a")]
        client.close()
