"""Presigned URLs of both signature versions, and uploads by HTML form."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from bleepstore import Algorithm, Caller
from bleepstore.digests import digest, encode_value
from bleepstore_server.wire.sigv2 import sign
from bleepstore_server.wire.sigv4 import presign
from tests.server.conftest import ALICE, Server
from tests.server.tools import Answer, Wire, snapshot

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: On files alone, where there is more that a refused request could leave behind.
pytestmark = [pytest.mark.legacy_acls, pytest.mark.parametrize("store", ["local"], indirect=True)]

BIG = bytes(range(256)) * 400


@pytest.fixture(params=["s3", "s3v4"])
def signer(request: pytest.FixtureRequest, server: Server) -> Iterator[S3Client]:
    """A client that signs with version 2 (boto3's default on an endpoint of one's own) or 4."""
    client = server.client(signature_version=request.param)
    client.create_bucket(Bucket="photos")
    yield client
    client.close()


def target(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.path}?{parts.query}"


def use(wire: Wire, method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    """Use a URL as anyone who was given it."""
    return wire.send(method, target(url), body, headers, signed=False)


@pytest.mark.parametrize("key", ["k", "a b/ü+%&=?#", "a//b/../c/", "x" * 500])
def test_a_url_to_write_and_one_to_read(signer: S3Client, wire: Wire, key: str) -> None:
    where = {"Bucket": "photos", "Key": key}
    put = signer.generate_presigned_url("put_object", where)
    assert use(wire, "PUT", put, b"data").status == 200
    get = signer.generate_presigned_url("get_object", where)
    assert use(wire, "GET", get).body == b"data"
    assert use(wire, "GET", get, headers={"Range": "bytes=1-2"}).body == b"at"
    head = signer.generate_presigned_url("head_object", where)
    assert use(wire, "HEAD", head).headers["content-length"] == "4"
    assert use(wire, "DELETE", signer.generate_presigned_url("delete_object", where)).status == 204
    assert use(wire, "GET", get).code == "NoSuchKey"


def test_a_url_is_for_one_thing_only(signer: S3Client, wire: Wire) -> None:
    signer.put_object(Bucket="photos", Key="k", Body=b"data")
    signer.put_object(Bucket="photos", Key="l", Body=b"other")
    url = signer.generate_presigned_url("get_object", {"Bucket": "photos", "Key": "k"})
    for method, wrong in (
        ("PUT", url),
        ("DELETE", url),
        ("GET", url.replace("/k?", "/l?")),
        ("GET", url.replace("photos", "photoz")),
        ("GET", url + "&acl"),
        ("GET", url + "&response-content-type=text%2Fhtml"),
    ):
        answer = use(wire, method, wrong)
        assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch"), (method, wrong)
    assert use(wire, "GET", url).body == b"data"


def test_overrides_in_a_url(signer: S3Client, wire: Wire) -> None:
    signer.put_object(Bucket="photos", Key="k", Body=b"data")
    url = signer.generate_presigned_url(
        "get_object",
        {
            "Bucket": "photos",
            "Key": "k",
            "ResponseContentType": "text/html; charset=utf-8",
            "ResponseContentDisposition": 'attachment; filename="ü.txt"',
        },
    )
    answer = use(wire, "GET", url)
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_other_operations_by_url(signer: S3Client, wire: Wire) -> None:
    signer.put_object(Bucket="photos", Key="k", Body=b"data")
    listing = use(wire, "GET", signer.generate_presigned_url("list_objects_v2", {"Bucket": "photos", "Prefix": "k"}))
    assert b"<Key>k</Key>" in listing.body
    upload = signer.create_multipart_upload(Bucket="photos", Key="m")["UploadId"]
    where: dict[str, Any] = {"Bucket": "photos", "Key": "m", "UploadId": upload}
    part = use(wire, "PUT", signer.generate_presigned_url("upload_part", {**where, "PartNumber": 1}), BIG)
    assert part.headers["etag"] == f'"{hashlib.md5(BIG).hexdigest()}"'
    document = (
        f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part.headers['etag']}</ETag></Part>"
        "</CompleteMultipartUpload>"
    )
    url = signer.generate_presigned_url("complete_multipart_upload", where)
    assert use(wire, "POST", url, document.encode()).status == 200
    assert signer.get_object(Bucket="photos", Key="m")["Body"].read() == BIG


def test_headers_that_a_url_demands(signer: S3Client, wire: Wire) -> None:
    """What was signed must come with the request, or, as version 2 has it, with the URL."""
    url = signer.generate_presigned_url("put_object", {"Bucket": "photos", "Key": "k", "ContentType": "text/plain"})
    if "content-type" not in url:
        assert use(wire, "PUT", url, b"data").code == "SignatureDoesNotMatch"
    assert use(wire, "PUT", url, b"data", {"Content-Type": "text/html"}).code == "SignatureDoesNotMatch"
    assert use(wire, "PUT", url, b"data", {"Content-Type": "text/plain"}).status == 200
    assert signer.head_object(Bucket="photos", Key="k")["ContentType"] == "text/plain"


def test_a_url_of_a_disabled_key(signer: S3Client, wire: Wire, server: Server) -> None:
    url = signer.generate_presigned_url("list_objects_v2", {"Bucket": "photos"})
    assert use(wire, "GET", url).status == 200
    server.store.disable_credential("alice")
    answer = use(wire, "GET", url)
    assert (answer.status, answer.code) == (403, "InvalidAccessKeyId")


# -- forms


def post(wire: Wire, fields: list[tuple[str, str]], data: bytes, bucket: str = "photos", **options: Any) -> Answer:
    """Send a form as a browser does: the fields in their order, the file last."""
    boundary = uuid.UUID(int=7).hex
    out = io.BytesIO()
    for name, value in fields:
        out.write(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    filename = options.get("filename", "cat.jpg")
    out.write(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'.encode())
    out.write(f"Content-Type: {options.get('content_type', 'image/jpeg')}\r\n\r\n".encode())
    out.write(data + f"\r\n--{boundary}--\r\n".encode())
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return wire.send("POST", f"/{bucket}", out.getvalue(), headers, signed=False)


def form(signer: S3Client, key: str = "k", conditions: Any = None, **fields: Any) -> list[tuple[str, str]]:
    made = signer.generate_presigned_post(
        "photos", key, Fields=fields or None, Conditions=[*({n: v} for n, v in fields.items()), *(conditions or [])]
    )
    return list(made["fields"].items())


@pytest.mark.parametrize("data", [b"", b"small", BIG], ids=len)
def test_a_form_uploads_an_object(signer: S3Client, wire: Wire, data: bytes) -> None:
    answer = post(wire, form(signer, "folder/k"), data)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["etag"] == f'"{hashlib.md5(data).hexdigest()}"'
    found = signer.get_object(Bucket="photos", Key="folder/k")
    assert (found["Body"].read(), found["ContentType"]) == (data, "binary/octet-stream")


def test_what_a_form_can_say_of_its_object(signer: S3Client, wire: Wire) -> None:
    fields = {
        "acl": "public-read",
        "Content-Type": "text/plain",
        "Cache-Control": "no-store",
        "x-amz-meta-colour": "grün",
        "x-amz-storage-class": "STANDARD_IA",
        "success_action_status": "201",
        "x-amz-checksum-crc32": encode_value(digest(Algorithm.CRC32, b"data")),
    }
    answer = post(wire, form(signer, "k", **fields), b"data")
    assert answer.status == 201
    text = answer.body.decode()
    assert "<Bucket>photos</Bucket><Key>k</Key>" in text
    assert f"<Location>{wire.url}/photos/k</Location>" in text
    found = signer.head_object(Bucket="photos", Key="k")
    assert (found["ContentType"], found["CacheControl"]) == ("text/plain", "no-store")
    assert found["StorageClass"] == "STANDARD_IA"
    assert wire.send("GET", "/photos/k", signed=False).body == b"data"


def test_the_answer_that_a_form_asks_for(signer: S3Client, wire: Wire) -> None:
    assert post(wire, form(signer, success_action_status="200"), b"x").status == 200
    assert post(wire, form(signer, success_action_status="999"), b"x").status == 204
    answer = post(wire, form(signer, success_action_redirect="http://example.com/done?a=1"), b"x")
    assert answer.status == 303
    location = urllib.parse.urlsplit(answer.headers["location"])
    query = urllib.parse.parse_qs(location.query)
    assert (location.netloc, location.path) == ("example.com", "/done")
    assert (query["a"], query["bucket"], query["key"]) == (["1"], ["photos"], ["k"])
    assert query["etag"] == [f'"{hashlib.md5(b"x").hexdigest()}"']


def test_the_name_of_the_file_in_the_key(signer: S3Client, wire: Wire) -> None:
    made = signer.generate_presigned_post("photos", "user/${filename}")
    assert post(wire, list(made["fields"].items()), b"x", filename="kätzchen.jpg").status == 204
    assert signer.list_objects_v2(Bucket="photos")["Contents"][0]["Key"] == "user/kätzchen.jpg"


@pytest.mark.parametrize(
    ("size", "code"),
    [(4, "EntityTooSmall"), (5, None), (10, None), (11, "EntityTooLarge"), (500_000, "EntityTooLarge")],
)
def test_the_range_of_lengths(signer: S3Client, wire: Wire, server: Server, size: int, code: str | None) -> None:
    before = snapshot(server.store)
    answer = post(wire, form(signer, conditions=[["content-length-range", 5, 10]]), b"x" * size)
    if code is None:
        assert answer.status == 204
    else:
        assert (answer.status, answer.code) == (400, code)
        assert snapshot(server.store) == before


def test_forms_that_are_refused(signer: S3Client, wire: Wire, server: Server) -> None:
    good = form(signer)
    before = snapshot(server.store)
    signature = "signature" if any(name == "signature" for name, _ in good) else "x-amz-signature"

    def changed(name: str, value: str) -> list[tuple[str, str]]:
        return [(n, value if n == name else v) for n, v in good]

    document = json.loads(base64.b64decode(dict(good)["policy"]))
    document["expiration"] = "2001-01-01T00:00:00Z"
    for fields, code, status in (
        (changed("key", "other"), "AccessDenied", 403),
        (changed(signature, "AAAA"), "SignatureDoesNotMatch", 403),
        (changed("policy", base64.b64encode(json.dumps(document).encode()).decode()), "SignatureDoesNotMatch", 403),
        ([*good, ("acl", "public-read")], "AccessDenied", 403),
        ([pair for pair in good if pair[0] != "key"], "InvalidArgument", 400),
        ([pair for pair in good if pair[0] != "policy"], "InvalidArgument", 400),
        ([("key", "k")], "AccessDenied", 403),
    ):
        answer = post(wire, fields, b"data")
        assert (answer.status, answer.code) == (status, code), answer
    # A form for another bucket learns nothing of whether there is one.
    for bucket in ("absent", "other"):
        elsewhere = post(wire, good, b"data", bucket=bucket)
        assert (elsewhere.status, elsewhere.code) == (403, "AccessDenied")
    absent = list(signer.generate_presigned_post("absent", "k")["fields"].items())
    told = post(wire, absent, b"data", bucket="absent")
    assert (told.status, told.code) == (404, "NoSuchBucket"), "whoever has signed may know"
    assert snapshot(server.store) == before


def test_an_expired_form(wire: Wire, server: Server) -> None:
    server.store.create_bucket("photos")
    policy = {
        "expiration": "2001-01-01T00:00:00Z",
        "conditions": [{"bucket": "photos"}, {"key": "k"}],
    }
    encoded = base64.b64encode(json.dumps(policy).encode()).decode()
    fields = [
        ("key", "k"),
        ("policy", encoded),
        ("AWSAccessKeyId", "alice"),
        ("signature", sign("alice-secret", encoded)),
    ]
    answer = post(wire, fields, b"data")
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert "expired" in answer.error["Message"]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("x-amz-storage-class", "CHEAP", "InvalidStorageClass"),
        ("acl", "everyone", "InvalidArgument"),
        ("Content-MD5", "AAAA", "InvalidDigest"),
        ("x-amz-checksum-crc32", "AAAAAA==", "BadDigest"),
        ("x-amz-meta-a", "x" * 3000, "MetadataTooLarge"),
    ],
)
def test_fields_that_are_wrong(signer: S3Client, wire: Wire, server: Server, field: str, value: str, code: str) -> None:
    before = snapshot(server.store)
    answer = post(wire, form(signer, **{field: value}), b"data")
    assert answer.code == code
    assert snapshot(server.store) == before


@pytest.mark.parametrize("algorithm", [Algorithm.SHA256, Algorithm.XXHASH128], ids=str)
def test_a_form_names_the_algorithm_of_its_checksum(signer: S3Client, wire: Wire, algorithm: Algorithm) -> None:
    named = {"x-amz-checksum-algorithm": algorithm.value}
    name, value = f"x-amz-checksum-{algorithm.value.lower()}", encode_value(digest(algorithm, b"data"))
    assert post(wire, form(signer, **named, **{name: value}), b"data").status == 204
    found = wire.send("HEAD", "/photos/k", headers={"x-amz-checksum-mode": "ENABLED"})
    assert found.headers[name] == value
    assert post(wire, form(signer, **named, **{name: value}), b"date").code == "BadDigest"
    assert post(wire, form(signer, **named), b"data").code == "InvalidRequest"
    other = {"x-amz-checksum-crc32": encode_value(digest(Algorithm.CRC32, b"data"))}
    assert post(wire, form(signer, **named, **other), b"data").code == "InvalidRequest"
    assert post(wire, form(signer, **{"x-amz-checksum-algorithm": "CRC16"}), b"data").code == "InvalidRequest"


def test_a_form_of_nobody(signer: S3Client, wire: Wire) -> None:
    signer.put_bucket_acl(Bucket="photos", ACL="public-read-write")
    assert post(wire, [("key", "k")], b"data").status == 204
    assert wire.send("GET", "/photos/k", signed=False).body == b"data"


def test_fields_behind_the_file_are_ignored(signer: S3Client, wire: Wire) -> None:
    signer.put_bucket_acl(Bucket="photos", ACL="public-read-write")
    body = (
        b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\ndata\r\n'
        b'--b\r\nContent-Disposition: form-data; name="submit"\r\n\r\nUpload\r\n--b--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert wire.send("POST", "/photos", body, headers, signed=False).status == 204
    assert wire.send("GET", "/photos/k", signed=False).body == b"data"


KEY = b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n'
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
MANY = b"".join(KEY.replace(b"key", b"key%d" % number) for number in range(300))


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("multipart/form-data", KEY + FILE + b"data\r\n--b--\r\n", "MalformedPOSTRequest"),
        ("application/x-www-form-urlencoded", b"key=k&file=data", "PreconditionFailed"),
        ("text/plain", b"data", "PreconditionFailed"),
        ("multipart/form-data; boundary=b", b"", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=b", b"nonsense", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=b", KEY + b"--b--\r\n", "InvalidArgument"),
        ("multipart/form-data; boundary=b", FILE + b"data\r\n--b--\r\n", "InvalidArgument"),
        ("multipart/form-data; boundary=b", KEY + FILE + b"data", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=b", KEY + FILE + b"data\r\n", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=b", KEY + FILE + b"x" * 200_000, "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=b", KEY[:-3] + b"k" * 30_000 + b"\r\n", "MaxPostPreDataLengthExceededError"),
        ("multipart/form-data; boundary=b", KEY[:-3] + b"k" * 600_000, "MaxPostPreDataLengthExceededError"),
        ("multipart/form-data; boundary=b", b"--b\r\nX: " + b"y" * 600_000, "MaxPostPreDataLengthExceededError"),
        ("multipart/form-data; boundary=b", b"preamble" * 100_000, "MaxPostPreDataLengthExceededError"),
        ("multipart/form-data; boundary=b", MANY + FILE + b"data\r\n--b--\r\n", "MalformedPOSTRequest"),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_is_no_form(
    signer: S3Client, wire: Wire, server: Server, content_type: str, body: bytes, code: str
) -> None:
    signer.put_bucket_acl(Bucket="photos", ACL="public-read-write")
    before = snapshot(server.store)
    answer = wire.send("POST", "/photos", body, {"Content-Type": content_type}, signed=False)
    assert answer.code == code, answer
    assert 400 <= answer.status < 500
    assert snapshot(server.store) == before


def test_a_form_that_is_cut_off(signer: S3Client, wire: Wire, server: Server) -> None:
    signer.put_bucket_acl(Bucket="photos", ACL="public-read-write")
    before = snapshot(server.store)
    body = KEY + FILE + b"data\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = wire.send("POST", "/photos", body[:-20], headers, signed=False, length=len(body))
    assert (answer.status, answer.code) == (400, "IncompleteBody")
    assert snapshot(server.store) == before


def test_clocks_of_urls_and_servers(server: Server, wire: Wire) -> None:
    """A URL that was signed on a machine whose clock is a little ahead is valid now."""
    server.store.create_bucket("photos", caller=Caller(ALICE))
    for ahead, status in ((600, 200), (1000, 403)):
        made = presign(
            "GET",
            wire.host,
            "/photos",
            access_key="alice",
            secret_key="alice-secret",
            now=int(time.time()) + ahead,
        )
        assert wire.send("GET", made, signed=False).status == status


# -- headers in the query


def presigned(server: Server, method: str, path: str, **query: str) -> str:
    """A URL of which parameters are what other SDKs move there from the headers."""
    moved = [(name.replace("_", "-"), urllib.parse.quote(value, safe="")) for name, value in query.items()]
    host = server.url.removeprefix("http://")
    return presign(method, host, path, access_key="alice", secret_key="alice-secret", now=int(time.time()), query=moved)


def test_headers_that_a_url_carries_count(signer: S3Client, server: Server, wire: Wire) -> None:
    url = presigned(server, "PUT", "/photos/k", x_amz_meta_color="rötlich", x_amz_acl="public-read",
                    x_amz_storage_class="STANDARD_IA", x_amz_checksum_crc32="AAAAAA==",
                    x_amz_sdk_checksum_algorithm="CRC32")  # fmt: skip
    assert wire.send("PUT", url, b"data", signed=False).status == 200
    found = signer.head_object(Bucket="photos", Key="k")
    assert (found["StorageClass"], wire.send("GET", "/photos/k", signed=False).body) == ("STANDARD_IA", b"data")
    assert server.store.head_object("photos", "k").version.metadata == {"color": "rötlich"}


def test_a_url_of_a_copy_copies(signer: S3Client, server: Server, wire: Wire) -> None:
    signer.put_object(Bucket="photos", Key="source", Body=b"data")
    signer.put_object(Bucket="photos", Key="k", Body=b"before")
    url = presigned(server, "PUT", "/photos/k", x_amz_copy_source="/photos/source")
    assert b"CopyObjectResult" in wire.send("PUT", url, signed=False).body
    assert signer.get_object(Bucket="photos", Key="k")["Body"].read() == b"data"


def test_what_a_url_asks_for_in_vain_is_refused(signer: S3Client, server: Server, wire: Wire) -> None:
    for query in ({"x_amz_server_side_encryption": "aws:kms:dsse"}, {"x_amz_write_offset_bytes": "5"}):
        assert wire.send("PUT", presigned(server, "PUT", "/photos/k", **query), b"", signed=False).status == 501
    url = presigned(server, "PUT", "/photos/k", x_amz_expected_bucket_owner="bob-id")
    assert wire.send("PUT", url, b"", signed=False).code == "AccessDenied"
    assert "Contents" not in signer.list_objects_v2(Bucket="photos")


def test_the_query_of_an_unsigned_request_holds_no_headers(signer: S3Client, server: Server, wire: Wire) -> None:
    signer.put_bucket_acl(Bucket="photos", ACL="public-read-write")
    assert wire.send("PUT", "/photos/k?x-amz-meta-a=b", b"", signed=False).status == 200
    assert server.store.head_object("photos", "k").version.metadata == {}
