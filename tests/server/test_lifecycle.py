"""Lifecycles by boto3, over HTTP and in process: the operations, their errors, and the headers of objects."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import bleepstore
from bleepstore import Store
from bleepstore.testing.clock import Clock
from bleepstore_server.clients import client_for
from bleepstore_server.live import live_server
from tests.server.conftest import Server
from tests.server.tools import Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
MIDNIGHT = dt.datetime(2031, 5, 1, tzinfo=dt.UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def timed(clock: Clock) -> Iterator[Store]:
    with bleepstore.open(clock=clock) as store:
        yield store


@pytest.fixture(params=["http", "in process"])
def s3(request: pytest.FixtureRequest, timed: Store) -> Iterator[S3Client]:
    """With a bucket, of a store whose clock stands at noon."""
    if request.param == "http":
        with live_server(timed) as server:
            client: Any = server.client()
            client.create_bucket(Bucket="photos")
            yield client
            client.close()
    else:
        client = client_for(timed)
        client.create_bucket(Bucket="photos")
        yield client
        client.close()


def rule(**fields: Any) -> dict[str, Any]:
    return {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}} | fields


def put(s3: S3Client, *rules: dict[str, Any], **options: Any) -> Any:
    configuration: Any = {"Rules": list(rules)}
    return s3.put_bucket_lifecycle_configuration(Bucket="photos", LifecycleConfiguration=configuration, **options)


def rules_of(s3: S3Client) -> list[Any]:
    return list(s3.get_bucket_lifecycle_configuration(Bucket="photos")["Rules"])


FULL = [
    rule(
        ID="all of it",
        Filter={
            "And": {
                "Prefix": "tax/",
                "Tags": [{"Key": "a", "Value": "1"}, {"Key": "ü", "Value": ""}],
                "ObjectSizeGreaterThan": 500,
                "ObjectSizeLessThan": 64_000_000_000,
            }
        },
        Expiration={"Days": 3650},
        Transitions=[{"Days": 0, "StorageClass": "GLACIER"}, {"Days": 400, "StorageClass": "DEEP_ARCHIVE"}],
        NoncurrentVersionExpiration={"NoncurrentDays": 100, "NewerNoncurrentVersions": 5},
        NoncurrentVersionTransitions=[
            {"NoncurrentDays": 30, "StorageClass": "STANDARD_IA", "NewerNoncurrentVersions": 2}
        ],
    ),
    rule(ID="1", Filter={"Prefix": "logs/"}, Status="Disabled", Expiration={"Date": MIDNIGHT}),
    rule(ID="2", Filter={"Tag": {"Key": "k", "Value": "v"}}),
    rule(ID="3", Filter={"ObjectSizeGreaterThan": 1}),
    rule(ID="4", Filter={"ObjectSizeLessThan": 1}, Transitions=[{"Days": 0, "StorageClass": "GLACIER_IR"}]),
    rule(ID="5", Filter={}, Expiration={"ExpiredObjectDeleteMarker": True}),
    rule(ID="6", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 7}),
]


def test_rules_come_back_as_they_were_put(s3: S3Client) -> None:
    put(s3, *FULL)
    assert rules_of(s3) == FULL
    put(s3, FULL[1])
    assert rules_of(s3) == FULL[1:2]
    s3.delete_bucket_lifecycle(Bucket="photos")
    with failure("NoSuchLifecycleConfiguration", 404) as absent:
        rules_of(s3)
    assert absent["Error"]["Message"] == "The lifecycle configuration does not exist"
    assert absent["Error"]["BucketName"] == "photos"


def test_the_older_form_comes_back_as_such(s3: S3Client) -> None:
    old: Any = {"ID": "old", "Prefix": "logs/", "Status": "Enabled", "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle(Bucket="photos", LifecycleConfiguration={"Rules": [old]})
    assert rules_of(s3) == [old]


def test_prefixes_of_the_older_form_may_overlap_for_different_actions(s3: S3Client) -> None:
    rules = [
        older(ID="a", Prefix="d"),
        older(ID="b", Prefix="d/e", Expiration=None, AbortIncompleteMultipartUpload=WEEK),
        older(ID="c", Prefix="e"),
    ]
    put(s3, *rules)
    assert rules_of(s3) == rules


def test_a_rule_without_an_id_gets_one(s3: S3Client) -> None:
    first, second = rule(), rule()
    del first["ID"], second["ID"]
    put(s3, first, second)
    one, other = (found["ID"] for found in rules_of(s3))
    assert one != other


def test_which_small_objects_change_is_said_in_a_header(s3: S3Client) -> None:
    name = "TransitionDefaultMinimumObjectSize"
    assert put(s3, rule())[name] == "all_storage_classes_128K"
    assert put(s3, rule(), **{name: "varies_by_storage_class"})[name] == "varies_by_storage_class"
    found: Any = s3.get_bucket_lifecycle_configuration(Bucket="photos")
    assert found[name] == "varies_by_storage_class"
    with failure("InvalidArgument", 400) as refused:
        put(s3, rule(), **{name: "none"})
    assert refused["Error"]["ArgumentName"] == "x-amz-transition-default-minimum-object-size"


# -- what is refused


def older(**fields: Any) -> dict[str, Any]:
    """A rule in the form without a Filter."""
    given = {**rule(), **fields, "Filter": None}
    return {name: value for name, value in given.items() if value is not None}


WEEK = {"DaysAfterInitiation": 7}
GLACIER = {"Days": 10, "StorageClass": "GLACIER"}
TAG = {"Tag": {"Key": "a", "Value": "1"}}
MALFORMED = "The XML you provided was not well-formed or did not validate against our published schema"

REFUSED: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "no rules": ([], "MalformedXML", MALFORMED),
    "too many rules": ([rule(ID=str(number)) for number in range(1001)], "MalformedXML", MALFORMED),
    "no filter": ([{"ID": "r", "Status": "Enabled", "Expiration": {"Days": 1}}], "MalformedXML", MALFORMED),
    "filter and prefix": ([rule(Prefix="a")], "MalformedXML", MALFORMED),
    "two predicates": ([rule(Filter={"Prefix": "a", "ObjectSizeLessThan": 5})], "MalformedXML", MALFORMED),
    "an empty And": ([rule(Filter={"And": {}})], "MalformedXML", MALFORMED),
    "an unknown status": ([rule(Status="On")], "MalformedXML", MALFORMED),
    "an unknown class": ([rule(Transitions=[{"Days": 0, "StorageClass": "STANDARD"}])], "MalformedXML", MALFORMED),
    "days and a date": ([rule(Expiration={"Days": 1, "Date": MIDNIGHT})], "MalformedXML", MALFORMED),
    "days and a marker": (
        [rule(Expiration={"Days": 1, "ExpiredObjectDeleteMarker": True})],
        "MalformedXML",
        MALFORMED,
    ),
    "an id twice": (
        [rule(), rule()],
        "InvalidArgument",
        "Rule ID must be unique. Found same ID for more than one rule",
    ),
    "a long id": ([rule(ID="x" * 256)], "InvalidArgument", "ID length should not exceed allowed limit of 255"),
    "days of none": (
        [rule(Expiration={"Days": 0})],
        "InvalidArgument",
        "'Days' for Expiration action must be a positive integer",
    ),
    "negative days": (
        [rule(Expiration={"Days": -5})],
        "InvalidArgument",
        "'Days' for Expiration action must be a positive integer",
    ),
    "a date at noon": (
        [rule(Expiration={"Date": MIDNIGHT + dt.timedelta(hours=12)})],
        "InvalidArgument",
        "'Date' must be at midnight GMT",
    ),
    "nothing to do": (
        [{"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}}],
        "InvalidRequest",
        "At least one action needs to be specified in a rule",
    ),
    "uploads by tag": (
        [rule(Filter=TAG, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1})],
        "InvalidRequest",
        "AbortIncompleteMultipartUpload cannot be specified with Tags.",
    ),
    "markers by tag": (
        [rule(Filter=TAG, Expiration={"ExpiredObjectDeleteMarker": True})],
        "InvalidRequest",
        "ExpiredObjectDeleteMarker cannot be specified with Tags.",
    ),
    "a class twice": (
        [rule(Expiration={"Days": 90}, Transitions=[GLACIER, GLACIER | {"Days": 20}])],
        "InvalidRequest",
        "'StorageClass' must be different for 'Transition' actions in same 'Rule' with filter '(prefix=)'",
    ),
    "days and dates": (
        [rule(Expiration={"Date": MIDNIGHT}, Transitions=[GLACIER])],
        "InvalidRequest",
        "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule for "
        "filter '(prefix=)'",
    ),
    "an end before a change": (
        [rule(Expiration={"Days": 10}, Transitions=[GLACIER])],
        "InvalidArgument",
        "'Days' in the Expiration action for filter '(prefix=)' must be greater than 'Days' in the Transition action",
    ),
    "a tag twice": (
        [rule(Filter={"And": {"Prefix": "", "Tags": [TAG["Tag"], TAG["Tag"]]}})],
        "InvalidRequest",
        "Duplicate Tag Keys are not allowed.",
    ),
    "a bad tag": (
        [rule(Filter={"Tag": {"Key": "?", "Value": "1"}})],
        "InvalidTag",
        "The TagKey you have provided is invalid",
    ),
    "a prefix behind a filter": (
        [rule(), older(ID="s", Prefix="a")],
        "InvalidRequest",
        "Base level prefix cannot be used in Lifecycle V2, prefixes are only supported in the Filter.",
    ),
    "a filter behind a prefix": (
        [older(ID="s", Prefix="a"), rule()],
        "InvalidRequest",
        "Filter element can only be used in Lifecycle V2.",
    ),
    "overlapping prefixes": (
        [older(ID="r", Prefix="di"), older(ID="s", Prefix="b"), older(ID="t", Prefix="dir/")],
        "InvalidRequest",
        "Found overlapping prefixes 'dir/' and 'di' for same action type 'Expiration'",
    ),
    "the same prefix": (
        [older(ID=name, Prefix="", Expiration=None, AbortIncompleteMultipartUpload=WEEK) for name in "ab"],
        "InvalidRequest",
        "Found overlapping prefixes '' and '' for same action type 'AbortIncompleteMultipartUpload'",
    ),
    "newer versions in the older form": (
        [
            {
                "ID": "r",
                "Prefix": "",
                "Status": "Enabled",
                "NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 1},
            }
        ],
        "InvalidRequest",
        "NewerNoncurrentVersions element can only be used in Lifecycle V2.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_changes_nothing(s3: S3Client, name: str) -> None:
    rules, code, message = REFUSED[name]
    put(s3, rule(ID="kept"))
    with failure(code, 400) as refused:
        put(s3, *rules)
    assert refused["Error"]["Message"] == message
    assert rules_of(s3) == [rule(ID="kept")]


def document(elements: str) -> bytes:
    """A document of one rule with these elements."""
    return f"<LifecycleConfiguration><Rule>{elements}</Rule></LifecycleConfiguration>".encode()


ENABLED = "<Filter/><Status>Enabled</Status>"
BAD_DOCUMENTS = {
    "no document": b"\n",
    "another document": b"<Tagging/>",
    "no number": document(f"{ENABLED}<Expiration><Days>x</Days></Expiration>"),
    "no date": document(f"{ENABLED}<Expiration><Date>soon</Date></Expiration>"),
    "a date before all": document(f"{ENABLED}<Expiration><Date>0001-01-01T00:00:00+02:00</Date></Expiration>"),
    "no status": document("<Filter/><Expiration><Days>1</Days></Expiration>"),
    "no noncurrent days": document(
        f"{ENABLED}<NoncurrentVersionExpiration><NewerNoncurrentVersions>1</NewerNoncurrentVersions>"
        "</NoncurrentVersionExpiration>"
    ),
}


@pytest.fixture
def wire(server: Server) -> Wire:
    server.client().create_bucket(Bucket="photos")
    return Wire(server.url)


@pytest.mark.parametrize("name", BAD_DOCUMENTS)
def test_bad_documents(wire: Wire, name: str) -> None:
    body = BAD_DOCUMENTS[name]
    digest = base64.b64encode(hashlib.md5(body).digest()).decode()
    refused = wire.send("PUT", "/photos?lifecycle", body, {"Content-MD5": digest})
    assert (refused.status, refused.code) == (400, "MalformedXML")


def test_dates_of_the_first_and_the_last_year(wire: Wire) -> None:
    for date, status in (
        ("0001-01-01T00:00:00Z", 200),
        ("9999-12-31T00:00:00Z", 200),
        ("9999-12-31T23:59:59.9999Z", 400),
        ("9999-12-31T23:59:59-02:00", 400),
    ):
        body = document(f"{ENABLED}<Expiration><Date>{date}</Date></Expiration>")
        digest = base64.b64encode(hashlib.md5(body).digest()).decode()
        answer = wire.send("PUT", "/photos?lifecycle", body, {"Content-MD5": digest})
        assert (answer.status, answer.code) == (status, None if status == 200 else "InvalidArgument")
        if status == 200:
            assert date.removesuffix("Z").encode() in wire.send("GET", "/photos?lifecycle").body


def test_a_digest_must_come_with_the_document(wire: Wire) -> None:
    body = b"<LifecycleConfiguration/>"
    refused = wire.send("PUT", "/photos?lifecycle", body, {})
    assert (refused.status, refused.code) == (400, "InvalidRequest")
    assert refused.error["Message"] == "Missing required header for this request: Content-MD5"
    assert wire.send("PUT", "/photos?lifecycle", body, {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}).code == "BadDigest"


def test_only_the_owner_may(server: Server) -> None:
    alice, bob = server.client(), server.client("bob", "bob-secret")
    alice.create_bucket(Bucket="photos")
    calls: list[Callable[[], object]] = [
        lambda: put(bob, rule()),
        lambda: rules_of(bob),
        lambda: bob.delete_bucket_lifecycle(Bucket="photos"),
    ]
    for call in calls:
        with failure("AccessDenied", 403):
            call()
    with failure("NoSuchBucket", 404):
        alice.put_bucket_lifecycle_configuration(Bucket="absent", LifecycleConfiguration={"Rules": [rule()]})  # type: ignore[list-item]


# -- headers

EXPIRATION = 'expiry-date="Thu, 03 Jan 2030 00:00:00 GMT", rule-id="all%20%22of%22%20%C3%BC"'


def test_answers_say_when_an_object_expires(s3: S3Client) -> None:
    put(s3, rule(ID='all "of" ü', Filter={"Prefix": "tmp/"}))
    where: Any = {"Bucket": "photos", "Key": "tmp/k"}
    assert s3.put_object(**where, Body=b"1")["Expiration"] == EXPIRATION
    assert s3.head_object(**where)["Expiration"] == EXPIRATION
    assert s3.get_object(**where)["Expiration"] == EXPIRATION
    copied = s3.copy_object(Bucket="photos", Key="tmp/copy", CopySource="photos/tmp/k")
    assert copied["Expiration"] == EXPIRATION
    assert "Expiration" not in s3.copy_object(Bucket="photos", Key="kept", CopySource="photos/tmp/k")
    assert "Expiration" not in s3.put_object(Bucket="photos", Key="kept", Body=b"1")
    assert "Expiration" not in s3.head_object(Bucket="photos", Key="kept")
    upload: Any = {**where, "UploadId": s3.create_multipart_upload(**where)["UploadId"]}
    etag = s3.upload_part(**upload, PartNumber=1, Body=b"part")["ETag"]
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    assert s3.complete_multipart_upload(**upload, MultipartUpload=parts)["Expiration"] == EXPIRATION


def test_days_beyond_the_calendar_are_shown_as_its_end(s3: S3Client) -> None:
    put(s3, rule(Expiration={"Days": 2**31 - 1}))
    shown = s3.put_object(Bucket="photos", Key="k", Body=b"1")["Expiration"]
    assert shown == 'expiry-date="Fri, 31 Dec 9999 00:00:00 GMT", rule-id="r"'


def test_answers_say_when_an_upload_is_aborted(s3: S3Client) -> None:
    put(s3, rule(Filter={"Prefix": "a/"}, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 7}))
    made = s3.create_multipart_upload(Bucket="photos", Key="a/k")
    assert (made["AbortDate"], made["AbortRuleId"]) == (dt.datetime(2030, 1, 9, tzinfo=dt.UTC), "r")
    listed = s3.list_parts(Bucket="photos", Key="a/k", UploadId=made["UploadId"])
    assert (listed["AbortDate"], listed["AbortRuleId"]) == (made["AbortDate"], "r")
    assert "AbortDate" not in s3.create_multipart_upload(Bucket="photos", Key="b/k")


# -- what it does


def test_thirty_days_pass_at_once(s3: S3Client, timed: Store, clock: Clock) -> None:
    put(s3, rule(Filter={"Prefix": "tmp/"}, Expiration={"Days": 30}))
    s3.put_object(Bucket="photos", Key="tmp/k", Body=b"1")
    s3.put_object(Bucket="photos", Key="kept", Body=b"1")
    clock.advance(days=31)
    timed.jobs.run("lifecycle")
    assert [found["Key"] for found in s3.list_objects_v2(Bucket="photos")["Contents"]] == ["kept"]


def test_versions_end_in_turn(s3: S3Client, timed: Store, clock: Clock) -> None:
    s3.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"})
    put(s3, rule(Expiration={"Days": 1}, NoncurrentVersionExpiration={"NoncurrentDays": 1}))
    s3.put_object(Bucket="photos", Key="k", Body=b"1")
    clock.advance(days=3)
    timed.jobs.run("lifecycle")
    listed = s3.list_object_versions(Bucket="photos")
    assert [found["IsLatest"] for found in listed["Versions"]] == [False]
    assert [found["IsLatest"] for found in listed["DeleteMarkers"]] == [True]
    with failure("NoSuchKey", 404):
        s3.get_object(Bucket="photos", Key="k")
    clock.advance(days=3)
    timed.jobs.run("lifecycle")
    assert not {"Versions", "DeleteMarkers"} & s3.list_object_versions(Bucket="photos").keys()


def test_what_is_archived_is_shown_so(s3: S3Client, timed: Store, clock: Clock) -> None:
    put(s3, {"ID": "r", "Status": "Enabled", "Filter": {}, "Transitions": [{"Days": 0, "StorageClass": "GLACIER"}]})
    s3.put_object(Bucket="photos", Key="k", Body=bytes(200_000))
    clock.advance(days=1)
    timed.jobs.run("lifecycle")
    assert s3.head_object(Bucket="photos", Key="k")["StorageClass"] == "GLACIER"
    with failure("InvalidObjectState", 403):
        s3.get_object(Bucket="photos", Key="k")


def test_a_folder_keeps_its_rules(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "store") as store:
        client = client_for(store)
        client.create_bucket(Bucket="photos")
        put(client, *FULL)
        client.close()
    with bleepstore.open(tmp_path / "store") as store:
        client = client_for(store)
        assert rules_of(client) == FULL
        client.close()
