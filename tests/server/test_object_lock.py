"""Object lock, by boto3: over HTTP, and in the same process without a socket."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

import bleepstore
from bleepstore_server import client_for
from tests.server.conftest import Server
from tests.server.tools import Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NO_VERSION = "x" * 32
LOCKED = "Access Denied because object protected by object lock."
NO_LOCK = "Bucket is missing Object Lock Configuration"
SOON = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=2)
LATER, SOONER = SOON + dt.timedelta(days=1), SOON - dt.timedelta(days=1)
GOVERNANCE: Any = {"Mode": "GOVERNANCE", "RetainUntilDate": SOON}
COMPLIANCE: Any = {"Mode": "COMPLIANCE", "RetainUntilDate": SOON}
ON: Any = {"Status": "ON"}
OFF: Any = {"Status": "OFF"}
NOTHING: Any = {}
ENABLED: Any = {"ObjectLockEnabled": "Enabled"}
DEFAULT: Any = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}}}
ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"


@pytest.fixture(params=["http", "in process"])
def s3(request: pytest.FixtureRequest, store: bleepstore.Store, store_kind: str, server: Server) -> Iterator[S3Client]:
    """A client of a store that has the bucket photos, with object lock, and the bucket plain, without."""
    if store_kind.endswith("-keys"):
        pytest.skip("one object is stored under each key")
    client = server.client() if request.param == "http" else client_for(store)
    client.create_bucket(Bucket="photos", ObjectLockEnabledForBucket=True)
    client.create_bucket(Bucket="plain")
    yield client
    client.close()


@pytest.fixture
def wire(server: Server, store_kind: str) -> Wire:
    """Of a server that has the bucket photos, with object lock, and the bucket plain, without."""
    if store_kind.endswith("-keys"):
        pytest.skip("one object is stored under each key")
    wire = Wire(server.url)
    assert wire.send("PUT", "/photos", headers={"x-amz-bucket-object-lock-enabled": "True"}).status == 200
    assert wire.send("PUT", "/plain").status == 200
    return wire


def put(s3: S3Client, **options: Any) -> str:
    return s3.put_object(Bucket="photos", Key="k", Body=b"1", **options)["VersionId"]


def headers_of(answer: Any) -> dict[str, str]:
    headers: dict[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]
    return headers


def date(time: dt.datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


# -- the configuration of a bucket


def test_a_bucket_is_created_with_object_lock(s3: S3Client) -> None:
    assert s3.get_bucket_versioning(Bucket="photos")["Status"] == "Enabled"
    assert s3.get_object_lock_configuration(Bucket="photos")["ObjectLockConfiguration"] == {
        "ObjectLockEnabled": "Enabled"
    }
    with failure("ObjectLockConfigurationNotFoundError", 404) as told:
        s3.get_object_lock_configuration(Bucket="plain")
    assert told["Error"]["Message"] == "Object Lock configuration does not exist for this bucket"
    with failure("InvalidBucketState", 409) as told:
        s3.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Suspended"})
    assert told["Error"]["Message"] == (
        "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
    )
    s3.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"})


def test_a_bucket_is_not_created_again_with_object_lock(s3: S3Client) -> None:
    with failure("BucketAlreadyOwnedByYou", 409):
        s3.create_bucket(Bucket="plain", ObjectLockEnabledForBucket=True)
    s3.create_bucket(Bucket="photos", ObjectLockEnabledForBucket=True)


def test_a_bucket_gets_object_lock_later(s3: S3Client) -> None:
    with failure("InvalidBucketState", 409):
        s3.put_object_lock_configuration(Bucket="plain", ObjectLockConfiguration=DEFAULT)
    s3.put_bucket_versioning(Bucket="plain", VersioningConfiguration={"Status": "Enabled"})
    years: Any = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Years": 1}}}
    for configuration in (DEFAULT, years, ENABLED):
        s3.put_object_lock_configuration(Bucket="plain", ObjectLockConfiguration=configuration)
        assert s3.get_object_lock_configuration(Bucket="plain")["ObjectLockConfiguration"] == configuration


def configuration(inner: str, enabled: str = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>") -> bytes:
    return f"<ObjectLockConfiguration>{enabled}{inner}</ObjectLockConfiguration>".encode()


def default(inner: str) -> bytes:
    return configuration(f"<Rule><DefaultRetention>{inner}</DefaultRetention></Rule>")


@pytest.mark.parametrize(
    ("document", "code", "message"),
    [
        (b"", "MissingRequestBodyError", "Request Body is empty"),
        (b"<ObjectLock/>", "MalformedXML", None),
        (configuration("", ""), "MalformedXML", None),
        (configuration("", "<ObjectLockEnabled>Disabled</ObjectLockEnabled>"), "MalformedXML", None),
        (configuration("<Rule/>"), "MalformedXML", None),
        (default(""), "MalformedXML", None),
        (default("<Mode>GOVERNANCE</Mode>"), "MalformedXML", None),
        (default("<Days>1</Days>"), "MalformedXML", None),
        (default("<Mode>governance</Mode><Days>1</Days>"), "MalformedXML", None),
        (default("<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>"), "MalformedXML", None),
        (default("<Mode>GOVERNANCE</Mode><Days>one</Days>"), "MalformedXML", None),
        (
            default("<Mode>GOVERNANCE</Mode><Days>0</Days>"),
            "InvalidRetentionPeriod",
            "Default retention period must be a positive integer value.",
        ),
        (
            default("<Mode>GOVERNANCE</Mode><Years>0</Years>"),
            "InvalidRetentionPeriod",
            "Default retention period must be a positive integer value.",
        ),
        (
            default("<Mode>GOVERNANCE</Mode><Days>36501</Days>"),
            "InvalidRetentionPeriod",
            "Default retention period is too large",
        ),
        (
            default("<Mode>COMPLIANCE</Mode><Years>101</Years>"),
            "InvalidRetentionPeriod",
            "Default retention period is too large",
        ),
    ],
)
def test_a_wrong_configuration_is_refused(wire: Wire, document: bytes, code: str, message: str | None) -> None:
    answer = wire.send("PUT", "/photos?object-lock", document)
    assert (answer.status, answer.code) == (400, code)
    assert message in (None, answer.error["Message"])
    assert b"Rule" not in wire.send("GET", "/photos?object-lock").body


def test_a_default_event_hold_is_refused_not_ignored(wire: Wire) -> None:
    rule = default("<Mode>GOVERNANCE</Mode><Days>1</Days><DefaultEventHold><Days>3</Days></DefaultEventHold>")
    answer = wire.send("PUT", "/photos?object-lock", rule)
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert b"Rule" not in wire.send("GET", "/photos?object-lock").body


# -- what is locked


@pytest.mark.parametrize(
    "options",
    [
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": SOON},
        {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": SOON},
        {"ObjectLockLegalHoldStatus": "ON"},
    ],
    ids=["governance", "compliance", "held"],
)
def test_a_locked_version_is_not_deleted(s3: S3Client, options: Any) -> None:
    version_id = put(s3, **options)
    with failure("AccessDenied", 403) as told:
        s3.delete_object(Bucket="photos", Key="k", VersionId=version_id)
    assert told["Error"]["Message"] == LOCKED
    entries: Any = [{"Key": "k", "VersionId": version_id}, {"Key": "other"}]
    outcome = s3.delete_objects(Bucket="photos", Delete={"Objects": entries})
    assert outcome["Errors"] == [{"Key": "k", "VersionId": version_id, "Code": "AccessDenied", "Message": LOCKED}]
    assert [row["Key"] for row in outcome["Deleted"]] == ["other"]
    assert s3.delete_object(Bucket="photos", Key="k")["DeleteMarker"]
    with failure("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket="photos")
    shown: Any = s3.head_object(Bucket="photos", Key="k", VersionId=version_id)
    assert {name: shown.get(name) for name in options} == options


@pytest.mark.legacy_acls
def test_governance_is_bypassed_on_demand(s3: S3Client) -> None:
    first, second = (put(s3, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=SOON) for _ in range(2))
    s3.delete_object(Bucket="photos", Key="k", VersionId=first, BypassGovernanceRetention=True)
    entries: Any = [{"Key": "k", "VersionId": second}]
    outcome: Any = s3.delete_objects(Bucket="photos", Delete={"Objects": entries}, BypassGovernanceRetention=True)
    assert "Errors" not in outcome
    for options in (
        {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": SOON},
        {"ObjectLockLegalHoldStatus": "ON"},
    ):
        third = put(s3, **options)
        with failure("AccessDenied", 403):
            s3.delete_object(Bucket="photos", Key="k", VersionId=third, BypassGovernanceRetention=True)


def test_retention_is_put_and_got(s3: S3Client) -> None:
    version_id = put(s3)
    with failure("NoSuchObjectLockConfiguration", 404) as told:
        s3.get_object_retention(Bucket="photos", Key="k")
    assert told["Error"]["Message"] == "The specified object does not have a ObjectLock configuration"
    s3.put_object_retention(Bucket="photos", Key="k", VersionId=version_id, Retention=GOVERNANCE)
    assert s3.get_object_retention(Bucket="photos", Key="k", VersionId=version_id)["Retention"] == GOVERNANCE
    shorter: Any = {**GOVERNANCE, "RetainUntilDate": SOONER}
    for refused in (shorter, COMPLIANCE, NOTHING):
        with failure("AccessDenied", 403) as told:
            s3.put_object_retention(Bucket="photos", Key="k", Retention=refused)
        assert told["Error"]["Message"] == LOCKED
    s3.put_object_retention(Bucket="photos", Key="k", Retention=shorter, BypassGovernanceRetention=True)
    s3.put_object_retention(Bucket="photos", Key="k", Retention={}, BypassGovernanceRetention=True)
    with failure("NoSuchObjectLockConfiguration", 404):
        s3.get_object_retention(Bucket="photos", Key="k")
    s3.put_object_retention(Bucket="photos", Key="k", Retention=COMPLIANCE)
    longer: Any = {**COMPLIANCE, "RetainUntilDate": LATER}
    s3.put_object_retention(Bucket="photos", Key="k", Retention=longer)
    for refused in (COMPLIANCE, GOVERNANCE, NOTHING):
        with failure("AccessDenied", 403):
            s3.put_object_retention(Bucket="photos", Key="k", Retention=refused, BypassGovernanceRetention=True)
    assert s3.get_object_retention(Bucket="photos", Key="k")["Retention"] == longer


@pytest.mark.parametrize(
    "asked",
    ["<EventHold>ON</EventHold>", "<EventHoldDuration><Days>3</Days></EventHoldDuration>"],
)
def test_an_event_hold_is_refused_and_takes_no_retention_away(wire: Wire, asked: str) -> None:
    assert wire.send("PUT", "/photos/k", b"1").status == 200
    held = f"<Mode>GOVERNANCE</Mode><RetainUntilDate>{date(SOON)}</RetainUntilDate>"
    assert wire.send("PUT", "/photos/k?retention", f"<Retention>{held}</Retention>".encode()).status == 200
    before = wire.send("GET", "/photos/k?retention").body
    for others in ("", held.replace(date(SOON), date(LATER))):
        document = f"<Retention>{others}{asked}</Retention>".encode()
        answer = wire.send("PUT", "/photos/k?retention", document, {"x-amz-bypass-governance-retention": "true"})
        assert (answer.status, answer.code) == (501, "NotImplemented")
        assert wire.send("GET", "/photos/k?retention").body == before


def test_a_legal_hold_is_put_and_got(s3: S3Client) -> None:
    version_id = put(s3)
    with failure("NoSuchObjectLockConfiguration", 404):
        s3.get_object_legal_hold(Bucket="photos", Key="k")
    assert "x-amz-object-lock-legal-hold" not in headers_of(s3.head_object(Bucket="photos", Key="k"))
    for state in (ON, OFF):
        s3.put_object_legal_hold(Bucket="photos", Key="k", VersionId=version_id, LegalHold=state)
        assert s3.get_object_legal_hold(Bucket="photos", Key="k")["LegalHold"] == state
        assert s3.head_object(Bucket="photos", Key="k")["ObjectLockLegalHoldStatus"] == state["Status"]
    s3.delete_object(Bucket="photos", Key="k", VersionId=version_id)


@pytest.mark.parametrize(
    ("target", "document", "code", "status"),
    [
        ("/photos/k?retention", b"", "MalformedXML", 400),
        ("/photos/k?retention", b"<Retention><Mode>GOVERNANCE</Mode></Retention>", "MalformedXML", 400),
        (
            "/photos/k?retention",
            b"<Retention><Mode>WORM</Mode><RetainUntilDate>2999-01-01T00:00:00Z</RetainUntilDate></Retention>",
            "MalformedXML",
            400,
        ),
        (
            "/photos/k?retention",
            b"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>tomorrow</RetainUntilDate></Retention>",
            "MalformedXML",
            400,
        ),
        (
            "/photos/k?retention",
            b"<Retention><RetainUntilDate>2999-01-01T00:00:00Z</RetainUntilDate></Retention>",
            "MalformedXML",
            400,
        ),
        (
            "/photos/k?retention",
            b"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2020-01-01T00:00:00Z</RetainUntilDate></Retention>",
            "InvalidArgument",
            400,
        ),
        ("/photos/k?legal-hold", b"", "MalformedXML", 400),
        ("/photos/k?legal-hold", b"<LegalHold/>", "MalformedXML", 400),
        ("/photos/k?legal-hold", b"<LegalHold><Status>on</Status></LegalHold>", "MalformedXML", 400),
        ("/photos/never?legal-hold", b"<LegalHold><Status>ON</Status></LegalHold>", "NoSuchKey", 404),
        (
            f"/photos/k?legal-hold&versionId={NO_VERSION}",
            b"<LegalHold><Status>ON</Status></LegalHold>",
            "NoSuchVersion",
            404,
        ),
        ("/photos/k?legal-hold&versionId=no", b"<LegalHold><Status>ON</Status></LegalHold>", "InvalidArgument", 400),
        ("/nowhere/k?legal-hold", b"<LegalHold><Status>ON</Status></LegalHold>", "NoSuchBucket", 404),
        ("/plain/k?legal-hold", b"<LegalHold><Status>ON</Status></LegalHold>", "InvalidRequest", 400),
        ("/plain/k?retention", b"<Retention/>", "InvalidRequest", 400),
    ],
)
def test_a_wrong_lock_is_refused(wire: Wire, target: str, document: bytes, code: str, status: int) -> None:
    for bucket in ("photos", "plain"):
        assert wire.send("PUT", f"/{bucket}/k", b"1").status == 200
    answer = wire.send("PUT", target, document)
    assert (answer.status, answer.code) == (status, code)
    if code == "InvalidArgument" and "retention" in target:
        assert answer.error["Message"] == "The retain until date must be in the future!"
    if code == "InvalidRequest":
        assert answer.error["Message"] == NO_LOCK
        assert wire.send("GET", target).error["Message"] == NO_LOCK
    head = wire.send("HEAD", "/photos/k")
    assert not [name for name in head.headers if name.startswith("x-amz-object-lock")]


MODE, UNTIL, HOLD = "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-object-lock-legal-hold"
#: (headers, S3's message, the argument that it names)
WRONG_HEADERS: list[tuple[dict[str, str], str, str]] = [
    ({MODE: "GOVERNANCE"}, f"{UNTIL} and {MODE} must both be supplied", UNTIL),
    ({UNTIL: date(SOON)}, f"{UNTIL} and {MODE} must both be supplied", MODE),
    ({MODE: "governance", UNTIL: date(SOON)}, "Unknown wormMode directive.", MODE),
    ({MODE: "GOVERNANCE", UNTIL: "soon"}, "The retain until date must be provided in ISO 8601 format", UNTIL),
    ({MODE: "COMPLIANCE", UNTIL: "2020-01-01T00:00:00Z"}, "The retain until date must be in the future!", UNTIL),
    ({HOLD: "on"}, "Legal Hold must be either of 'ON' or 'OFF'", HOLD),
]


def with_md5(body: bytes, headers: dict[str, str]) -> dict[str, str]:
    return {**headers, "Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode()}


@pytest.mark.parametrize(("headers", "message", "argument"), WRONG_HEADERS, ids=[str(i) for i in range(6)])
def test_wrong_headers_are_refused(wire: Wire, headers: dict[str, str], message: str, argument: str) -> None:
    wire.send("PUT", "/plain/source", b"1")
    sent = with_md5(b"1", headers)
    requests = [
        wire.send("PUT", "/photos/k", b"1", sent),
        wire.send("POST", "/photos/k?uploads", b"", headers),
        wire.send("PUT", "/photos/k", b"", {**headers, "x-amz-copy-source": "/plain/source"}),
    ]
    for answer in requests:
        assert (answer.status, answer.code, answer.error["Message"]) == (400, "InvalidArgument", message)
        assert answer.error["ArgumentName"] == argument
    assert wire.send("GET", "/photos?versions").body.count(b"<Version>") == 0
    assert b"<Upload>" not in wire.send("GET", "/photos?uploads").body


@pytest.mark.parametrize(
    "headers",
    [{MODE: "GOVERNANCE", UNTIL: date(SOON)}, {HOLD: "ON"}, {HOLD: "OFF"}],
    ids=["retention", "held", "not held"],
)
def test_locks_need_a_bucket_with_object_lock(wire: Wire, headers: dict[str, str]) -> None:
    wire.send("PUT", "/plain/source", b"1")
    for answer in (
        wire.send("PUT", "/plain/k", b"1", with_md5(b"1", headers)),
        wire.send("POST", "/plain/k?uploads", b"", headers),
        wire.send("PUT", "/plain/k", b"", {**headers, "x-amz-copy-source": "/plain/source"}),
    ):
        assert (answer.status, answer.code, answer.error["Message"]) == (400, "InvalidRequest", NO_LOCK)
    assert wire.send("HEAD", "/plain/k").status == 404


def test_a_body_that_is_locked_needs_a_digest(wire: Wire) -> None:
    needed = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put {} requests with Object Lock parameters"
    for headers in ({HOLD: "ON"}, {MODE: "GOVERNANCE", UNTIL: date(SOON)}):
        answer = wire.send("PUT", "/photos/k", b"1", headers)
        assert (answer.status, answer.code) == (400, "InvalidRequest")
        assert answer.error["Message"] == needed.format("Object")
    assert wire.send("PUT", "/photos/k", b"1").status == 200
    configured = wire.send("PUT", "/photos?object-lock", default("<Mode>GOVERNANCE</Mode><Days>1</Days>"))
    assert configured.status == 200
    assert wire.send("PUT", "/photos/k", b"1").error["Message"] == needed.format("Object")
    started = wire.send("POST", "/photos/k?uploads").body.decode()
    upload_id = started.partition("<UploadId>")[2].partition("<")[0]
    part = wire.send("PUT", f"/photos/k?partNumber=1&uploadId={upload_id}", b"1")
    assert part.error["Message"] == needed.format("Part")
    assert wire.send("PUT", "/photos/k", b"1", with_md5(b"1", {})).status == 200
    crc = {"x-amz-checksum-crc32": base64.b64encode((0x83DCEFB7).to_bytes(4, "big")).decode()}
    assert wire.send("PUT", "/photos/k", b"1", {**crc, HOLD: "ON"}).status == 200


def test_a_date_may_be_any_of_iso_8601(wire: Wire) -> None:
    for until, shown in (
        ("2099-01-01", "2099-01-01T00:00:00.000Z"),
        ("20990102T030405Z", "2099-01-02T03:04:05.000Z"),
        (" 2099-01-03T00:00:00+02:00 ", "2099-01-02T22:00:00.000Z"),
        ("9999-12-31T23:59:59.9999Z", "9999-12-31T23:59:59.999Z"),
        ("9999-12-31T23:59:59-02:00", "9999-12-31T23:59:59.999Z"),
    ):
        assert wire.send("PUT", "/photos/k", b"1", with_md5(b"1", {MODE: "GOVERNANCE", UNTIL: until})).status == 200
        assert wire.send("HEAD", "/photos/k").headers[UNTIL] == shown
        document = f"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>".encode()
        assert wire.send("PUT", "/photos/k?retention", document, with_md5(document, {})).status == 200
        assert wire.send("HEAD", "/photos/k").headers[UNTIL] == shown
    for until in ("0001-01-01T00:00:00+02:00", "10000-01-01T00:00:00Z", "2099-13-01", "4070908800", ""):
        refused = wire.send("PUT", "/photos/k", b"1", with_md5(b"1", {MODE: "GOVERNANCE", UNTIL: until}))
        assert refused.error["Message"] == "The retain until date must be provided in ISO 8601 format"
        document = f"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>".encode()
        refused = wire.send("PUT", "/photos/k?retention", document, with_md5(document, {}))
        assert (refused.status, refused.code) == (400, "MalformedXML")


def test_a_date_is_shown_to_the_millisecond(wire: Wire) -> None:
    until = SOON.replace(microsecond=250_000)
    sent = with_md5(b"1", {MODE: "COMPLIANCE", UNTIL: until.isoformat()})
    assert wire.send("PUT", "/photos/k", b"1", sent).status == 200
    shown = until.strftime("%Y-%m-%dT%H:%M:%S.250Z")
    head = wire.send("HEAD", "/photos/k").headers
    assert (head[MODE], head[UNTIL]) == ("COMPLIANCE", shown)
    assert f"<RetainUntilDate>{shown}<".encode() in wire.send("GET", "/photos/k?retention").body


# -- every write


def test_the_default_retention_is_given_to_every_write(s3: S3Client) -> None:
    s3.put_object_lock_configuration(Bucket="photos", ObjectLockConfiguration=DEFAULT)
    s3.put_object(Bucket="plain", Key="source", Body=b"1")
    put(s3)
    s3.copy_object(Bucket="photos", Key="copy", CopySource="plain/source")
    upload_id = s3.create_multipart_upload(Bucket="photos", Key="upload")["UploadId"]
    part = s3.upload_part(Bucket="photos", Key="upload", UploadId=upload_id, PartNumber=1, Body=b"1")
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket="photos", Key="upload", UploadId=upload_id, MultipartUpload=parts)
    for key in ("k", "copy", "upload"):
        found = s3.get_object_retention(Bucket="photos", Key=key)["Retention"]
        modified = s3.head_object(Bucket="photos", Key=key)["LastModified"]
        assert found["Mode"] == "GOVERNANCE"
        days = found["RetainUntilDate"] - modified
        assert dt.timedelta(days=3) <= days < dt.timedelta(days=3, seconds=1), "the one is in whole seconds"


def test_copies_and_uploads_take_locks(s3: S3Client) -> None:
    locks: Any = {
        "ObjectLockMode": "COMPLIANCE",
        "ObjectLockRetainUntilDate": SOON,
        "ObjectLockLegalHoldStatus": "ON",
    }
    put(s3, **locks)
    s3.copy_object(Bucket="photos", Key="bare", CopySource="photos/k")
    assert "ObjectLockMode" not in s3.head_object(Bucket="photos", Key="bare")
    s3.copy_object(Bucket="photos", Key="copy", CopySource="photos/k", **locks)
    upload_id = s3.create_multipart_upload(Bucket="photos", Key="upload", **locks)["UploadId"]
    part = s3.upload_part(Bucket="photos", Key="upload", UploadId=upload_id, PartNumber=1, Body=b"1")
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket="photos", Key="upload", UploadId=upload_id, MultipartUpload=parts)
    for key in ("k", "copy", "upload"):
        shown: Any = s3.get_object(Bucket="photos", Key=key)
        shown["Body"].close()
        assert {name: shown[name] for name in locks} == locks


def send_form(wire: Wire, s3: S3Client, fields: dict[str, str]) -> Any:
    conditions: Any = [{name: value} for name, value in fields.items()]
    form = s3.generate_presigned_post("photos", "k", Fields=dict(fields), Conditions=conditions)
    parts = [f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in form["fields"].items()]
    file = '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n1\r\n--b--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return wire.send("POST", "/photos", ("".join(parts) + file).encode(), headers, signed=False)


def test_a_form_takes_locks(wire: Wire, server: Server) -> None:
    fields = {MODE: "GOVERNANCE", UNTIL: date(SOON), HOLD: "ON"}
    s3 = server.client()
    answer = send_form(wire, s3, fields)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert "Content-MD5" in answer.error["Message"]
    answer = send_form(wire, s3, with_md5(b"1", {HOLD: "on"}))
    assert (answer.status, answer.error["Message"]) == (400, "Legal Hold must be either of 'ON' or 'OFF'")
    assert send_form(wire, s3, with_md5(b"1", fields)).status == 204
    s3.close()
    head = wire.send("HEAD", "/photos/k").headers
    assert (head[MODE], head[HOLD]) == ("GOVERNANCE", "ON")


# -- who may


@pytest.mark.legacy_acls
def test_locks_are_shown_to_the_owners_alone(s3: S3Client, server: Server, store: bleepstore.Store) -> None:
    put(s3, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=SOON, ObjectLockLegalHoldStatus="ON")
    store.put_object_acl("photos", "k", bleepstore.CannedAcl.PUBLIC_READ)
    store.put_bucket_acl("photos", bleepstore.CannedAcl.PUBLIC_READ_WRITE)
    bob = server.client("bob", "bob-secret")
    shown = bob.head_object(Bucket="photos", Key="k")
    assert not [name for name in headers_of(shown) if name.startswith("x-amz-object-lock")]
    for call in (bob.get_object_retention, bob.get_object_legal_hold):
        with failure("AccessDenied", 403):
            call(Bucket="photos", Key="k")
    with failure("AccessDenied", 403):
        bob.put_object_retention(Bucket="photos", Key="k", Retention=GOVERNANCE)
    with failure("AccessDenied", 403):
        bob.put_object_legal_hold(Bucket="photos", Key="k", LegalHold=OFF)
    with failure("AccessDenied", 403):
        bob.get_object_lock_configuration(Bucket="photos")
    with failure("AccessDenied", 403):
        bob.put_object_lock_configuration(Bucket="photos", ObjectLockConfiguration=DEFAULT)
    with failure("AccessDenied", 403):
        bob.put_object(Bucket="photos", Key="new", Body=b"1", ObjectLockLegalHoldStatus="ON")
    bob.close()
