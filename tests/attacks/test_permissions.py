"""Who may do what: each operation by each caller under each grant; and who may not is told so before all else.

What is right is taken from "Access control list (ACL) overview" in the S3 guide, not from the server's tables.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from hashlib import md5

import attrs
import pytest

from bleepstore import Acl, Caller, Grant, Group, Permission
from tests.server.conftest import ALICE, Server
from tests.server.tools import Answer, Wire, snapshot

pytestmark = pytest.mark.legacy_acls

P = Permission
CALLERS = ("anonymous", "bob", "alice")
GRANTEES = ("bob-id", Group.AUTHENTICATED_USERS, Group.ALL_USERS)
DELETE = b"<Delete><Object><Key>absent</Key></Object></Delete>"
COMPLETE = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>"


@attrs.frozen
class Operation:
    """A request that changes nothing where it is allowed; `needs` is on the bucket unless `of_object`.

    None: what only the bucket's owner may do. `replaces`: it would replace or delete an object of Alice, who owns the
    bucket too: WRITE lets nobody else do that.
    """

    name: str
    method: str
    target: str
    needs: Permission | None
    of_object: bool = False
    replaces: bool = False
    body: bytes = b""
    headers: Mapping[str, str] = {}

    def send(
        self, wire: Wire, caller: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        sender = wire if caller == "anonymous" else attrs.evolve(wire, access_key=caller, secret_key=f"{caller}-secret")
        given = {**self.headers, **(headers or {})}
        sent = self.body if body is None else body
        return sender.send(self.method, self.target, sent, given, signed=caller != "anonymous")


def _md5(body: bytes) -> dict[str, str]:
    from base64 import b64encode

    return {"Content-MD5": b64encode(md5(body).digest()).decode()}


WRONG = {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}  # of no body here: what is allowed is refused later
SECRET = "/photos/kept"
READS = [
    Operation("ListObjects", "GET", "/photos", P.READ),
    Operation("ListObjectsV2", "GET", "/photos?list-type=2", P.READ),
    Operation("ListObjectVersions", "GET", "/photos?versions", P.READ),
    Operation("ListMultipartUploads", "GET", "/photos?uploads", P.READ),
    Operation("HeadBucket", "HEAD", "/photos", P.READ),
    Operation("GetBucketAcl", "GET", "/photos?acl", P.READ_ACP),
    Operation("GetBucketLocation", "GET", "/photos?location", None),
    Operation("GetBucketPolicy", "GET", "/photos?policy", None),
    Operation("GetBucketVersioning", "GET", "/photos?versioning", None),
    Operation("ListBucketInventoryConfigurations", "GET", "/photos?inventory", None),
    Operation("GetObject", "GET", SECRET, P.READ, of_object=True),
    Operation("HeadObject", "HEAD", SECRET, P.READ, of_object=True),
    Operation("GetObjectTagging", "GET", f"{SECRET}?tagging", None),
    Operation("GetBucketTagging", "GET", "/photos?tagging", None),
    Operation(
        "GetObjectAttributes", "GET", f"{SECRET}?attributes", P.READ, of_object=True,
        headers={"x-amz-object-attributes": "ETag"},
    ),
    Operation("GetObjectAcl", "GET", f"{SECRET}?acl", P.READ_ACP, of_object=True),
]  # fmt: skip
WRITES = [
    Operation("DeleteBucket", "DELETE", "/photos", None),
    Operation("DeleteBucketPolicy", "DELETE", "/photos?policy", None),
    Operation("PutBucketAcl", "PUT", "/photos?acl", P.WRITE_ACP, body=b"<A/>", headers=WRONG),
    Operation("PutObjectAcl", "PUT", f"{SECRET}?acl", P.WRITE_ACP, of_object=True, body=b"<A/>", headers=WRONG),
    Operation("PutObject", "PUT", "/photos/new", P.WRITE, body=b"data", headers=WRONG),
    Operation("DeleteObject", "DELETE", "/photos/absent", P.WRITE),
    Operation("PutObject over another's", "PUT", SECRET, P.WRITE, replaces=True, body=b"data", headers=WRONG),
    Operation("DeleteObject of another's", "DELETE", SECRET, P.WRITE, replaces=True, headers={"If-Match": "none"}),
    Operation("DeleteObject of another's version", "DELETE", f"{SECRET}?versionId=null", P.WRITE, replaces=True,
              headers={"If-Match": "none"}),
    Operation(
        "CopyObject over another's", "PUT", SECRET, P.WRITE, replaces=True,
        headers={"x-amz-copy-source": SECRET, "x-amz-copy-source-if-match": "none"},
    ),
    Operation("DeleteObjects", "POST", "/photos?delete", P.WRITE, body=DELETE, headers=_md5(DELETE)),
    Operation("CreateMultipartUpload", "POST", "/photos/new?uploads", P.WRITE, headers={"x-amz-storage-class": "NONE"}),
    Operation("UploadPart", "PUT", "/photos/new?uploadId=none&partNumber=1", P.WRITE, body=b"data"),
    Operation("CompleteMultipartUpload", "POST", "/photos/new?uploadId=none", P.WRITE, body=COMPLETE),
    Operation("PutObjectTagging", "PUT", f"{SECRET}?tagging", None, body=b"<A/>"),
    Operation("PutBucketTagging", "PUT", "/photos?tagging", None, body=b"<A/>"),
    Operation("UpdateObjectEncryption", "PUT", f"{SECRET}?encryption", None, body=b"<A/>"),
    Operation("RestoreObject", "POST", f"{SECRET}?restore", None, body=b"<A/>"),
    Operation("AbortMultipartUpload", "DELETE", "/photos/new?uploadId=none", P.WRITE),
    Operation("ListParts", "GET", "/photos/new?uploadId=none", P.WRITE),
    Operation(
        "CopyObject", "PUT", "/photos/new", P.WRITE,
        headers={"x-amz-copy-source": SECRET, "x-amz-copy-source-if-match": "none"},
    ),
    Operation(
        "UploadPartCopy", "PUT", "/photos/new?uploadId=none&partNumber=1", P.WRITE,
        headers={"x-amz-copy-source": SECRET},
    ),
]  # fmt: skip


def _includes(grantee: str, caller: str) -> bool:
    if grantee == Group.ALL_USERS:
        return True
    return caller == "bob" if grantee == "bob-id" else caller != "anonymous"


def _settings() -> Iterator[tuple[str, Permission, bool]]:
    """A grant to someone, of the bucket or of the object; everything else is the owner's alone."""
    yield from itertools.product(GRANTEES, Permission, (False, True))


@pytest.mark.parametrize(("grantee", "granted", "on_object"), list(_settings()))
def test_a_grant_allows_what_the_guide_says_and_nothing_else(
    server: Server, prepared: Wire, grantee: str, granted: Permission, on_object: bool
) -> None:
    own = (Grant("alice-id", P.FULL_CONTROL),)
    acl = Acl("alice-id", (*own, Grant(grantee, granted)))
    if on_object:
        server.store.put_object_acl("photos", "kept", acl)
    else:
        server.store.put_bucket_acl("photos", acl)
    before = snapshot(server.store)
    for operation, caller in itertools.product(READS + WRITES, CALLERS):
        allowed = caller == "alice"
        if (
            operation.needs is not None
            and operation.of_object == on_object
            and granted in (operation.needs, P.FULL_CONTROL)
        ):
            allowed = allowed or _includes(grantee, caller)
        if operation.replaces:
            allowed = caller == "alice"
        if allowed and operation.name == "CopyObject" and caller != "alice":
            allowed = False  # the source is still Alice's alone
        if operation.name == "CreateMultipartUpload" and caller == "anonymous":
            allowed = False  # "Anonymous users cannot initiate multipart uploads."
        answer = operation.send(prepared, caller)
        case = (operation.name, caller, grantee, granted, answer)
        assert (answer.status != 403) == allowed, case
        assert answer.status != 500, case
        if answer.status == 403 and operation.method != "HEAD":
            assert answer.code == "AccessDenied", case
    assert snapshot(server.store) == before


LONG = b"<a>" + b"x" * (2 * 1024 * 1024)
NOISE: dict[str, tuple[Mapping[str, str], bytes | None]] = {
    "a grant to someone here": ({"x-amz-grant-read": "emailAddress=bob@example.com"}, None),
    "a grant to nobody": ({"x-amz-grant-read": "emailAddress=nobody@example.com"}, None),
    "an id of someone here": ({"x-amz-grant-full-control": "id=bob-id"}, None),
    "an id of nobody": ({"x-amz-grant-full-control": "id=nobody-id"}, None),
    "a malformed grant": ({"x-amz-grant-read": "who"}, None),
    "an unknown canned ACL": ({"x-amz-acl": "none"}, None),
    "a body that is no XML": ({}, b"nonsense"),
    "a long document": ({}, LONG),
    "a digest that is none": ({"Content-MD5": "x"}, None),
    "a checksum that is none": ({"x-amz-checksum-crc32": "x"}, None),
    "two checksums": ({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-crc32c": "AAAAAA=="}, None),
    "a storage class that is none": ({"x-amz-storage-class": "NONE"}, None),
    "encryption": ({"x-amz-server-side-encryption-aws-kms-key-id": "x"}, None),
    "much metadata": ({"x-amz-meta-a": "x" * 3000}, None),
    "a condition that is not supported": ({"If-None-Match": "x"}, None),
    "a copy source that is none": ({"x-amz-copy-source-range": "x", "x-amz-metadata-directive": "x"}, None),
    "an owner who is expected": ({"x-amz-expected-bucket-owner": "alice-id"}, None),
    "an owner who is not expected": ({"x-amz-expected-bucket-owner": "bob-id"}, None),
    "a trailer": ({"x-amz-trailer": "x", "x-amz-sdk-checksum-algorithm": "x"}, None),
    "a range": ({"Range": "bytes=9-", "If-Match": "x", "If-Modified-Since": "x"}, None),
}  # fmt: skip


ENCRYPTING = {"PutObject", "CopyObject", "CreateMultipartUpload"}


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("caller", ["anonymous", "bob"])
def test_who_may_not_is_told_nothing_else(server: Server, prepared: Wire, caller: str, noise: str) -> None:
    """Whatever else is wrong with the request, or says who is here, or is long to read."""
    headers, body = NOISE[noise]
    before = snapshot(server.store)
    for operation in [*READS, *WRITES]:
        if body is not None and operation.method in ("GET", "HEAD"):
            continue
        if noise == "encryption" and operation.name not in ENCRYPTING:
            continue  # which operations know the header is no secret, and is decided before it is known who asks
        plain, answer = operation.send(prepared, caller), operation.send(prepared, caller, headers, body)
        told = [{**found.error, "RequestId": "", "HostId": ""} for found in (plain, answer)]
        assert answer.status == 403, (operation.name, answer)
        assert told[0] == told[1], operation.name
    assert snapshot(server.store) == before


@pytest.mark.parametrize("caller", ["anonymous", "bob"])
@pytest.mark.parametrize(
    "parameter",
    ["max-keys=x", "encoding-type=x", "partNumber=x", "partNumber=0", "max-parts=x", "max-uploads=x",
     "continuation-token=x", "part-number-marker=x", "versionId=", "versionId=x", "response-content-type=x"],
)  # fmt: skip
def test_who_may_not_read_is_told_nothing_else(prepared: Wire, caller: str, parameter: str) -> None:
    for operation in READS:
        separator = "&" if "?" in operation.target else "?"
        changed = attrs.evolve(operation, target=f"{operation.target}{separator}{parameter}")
        assert changed.send(prepared, caller).status == 403, operation.name


@pytest.mark.parametrize("caller", ["anonymous", "bob"])
def test_who_may_not_list_does_not_learn_which_keys_there_are(prepared: Wire, caller: str) -> None:
    for operation in [*READS, *WRITES]:
        if operation.of_object:
            absent = attrs.evolve(operation, target=operation.target.replace("kept", "absent"))
            answers = operation.send(prepared, caller), absent.send(prepared, caller)
            assert [answer.status for answer in answers] == [403, 403], operation.name
            assert answers[0].code == answers[1].code, operation.name


def test_nobody_makes_or_lists_buckets(server: Server, prepared: Wire) -> None:
    for headers, body in (
        ({}, b""),
        ({}, b"nonsense"),
        ({"x-amz-grant-read": "id=bob-id"}, b""),
        ({"x-amz-acl": "x"}, LONG),
    ):
        answer = prepared.send("PUT", "/made", body, headers, signed=False)
        assert (answer.status, answer.code) == (403, "AccessDenied"), answer
    for target in ("/", "/?max-buckets=x", "/?continuation-token=x"):
        assert prepared.send("GET", target, signed=False).code == "AccessDenied"
    assert [bucket.name for bucket in server.store.list_buckets().buckets] == ["photos"]


def test_who_writes_into_an_open_bucket_has_no_part_in_the_upload_of_another(server: Server, prepared: Wire) -> None:
    server.store.put_bucket_acl("photos", Acl("alice-id", (Grant(Group.ALL_USERS, P.WRITE),)))
    upload = server.store.create_upload("photos", "multi", caller=Caller(ALICE)).upload_id
    target = f"/photos/multi?uploadId={upload}"
    bob = attrs.evolve(prepared, access_key="bob", secret_key="bob-secret")
    before = snapshot(server.store)
    for wire, signed in ((bob, True), (prepared, False)):
        for answer in (
            wire.send("PUT", f"{target}&partNumber=1", b"data", signed=signed),
            wire.send("PUT", f"{target}&partNumber=1", b"data", WRONG, signed=signed),
            wire.send("POST", target, COMPLETE, signed=signed),
            wire.send("POST", target, b"nonsense", signed=signed),
            wire.send("DELETE", target, signed=signed),
            wire.send("GET", target, signed=signed),
            wire.send("PUT", f"{target}&partNumber=1", b"", {"x-amz-copy-source": SECRET}, signed=signed),
        ):
            assert (answer.status, answer.code) == (403, "AccessDenied"), answer
    assert snapshot(server.store) == before
