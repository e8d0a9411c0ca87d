"""Bad input gets a specific S3 error, and nothing has changed. Over real HTTP, with bytes as they were sent."""

from __future__ import annotations

import base64
import hashlib
import time

import pytest

from bleepstore import CompletedPart
from bleepstore_server.wire.sigv4 import presign
from tests.server.conftest import Server
from tests.server.tools import UNSIGNED, Refused, Wire, snapshot

#: On files alone, where there is more that a refused request could leave behind.
pytestmark = pytest.mark.parametrize("store", ["local"], indirect=True)

KEY_1024 = "x" * 1024


@pytest.fixture
def wire(prepared: Wire) -> Wire:
    """A client of a server that holds something."""
    return prepared


# -- names


@pytest.mark.parametrize(
    "bucket", ["ab", "Upper", "a_b", "a..b", "-ab", "192.168.1.1", "x" * 64, "xn--a", "%C3%BC%C3%BC"]
)
def test_bad_bucket_names(refused: Refused, bucket: str) -> None:
    refused("InvalidBucketName", 400, "PUT", f"/{bucket}")


def test_buckets_of_ones_own_and_of_others(refused: Refused, server: Server) -> None:
    elsewhere = b"<CreateBucketConfiguration><LocationConstraint>EU</LocationConstraint></CreateBucketConfiguration>"
    refused("BucketAlreadyOwnedByYou", 409, "PUT", "/photos", elsewhere)
    before = snapshot(server.store)
    answer = Wire(server.url, "bob", "bob-secret").send("PUT", "/photos")
    assert (answer.status, answer.code) == (409, "BucketAlreadyExists")
    assert snapshot(server.store) == before
    refused("BucketNotEmpty", 409, "DELETE", "/photos")
    for method, target in (("GET", "/absent"), ("PUT", "/absent/k"), ("DELETE", "/absent"), ("GET", "/absent/k")):
        refused("NoSuchBucket", 404, method, target)


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_keys_over_1024_bytes(refused: Refused, wire: Wire, method: str) -> None:
    answer = refused("KeyTooLongError", 400, method, f"/photos/{KEY_1024}x")
    assert (answer.error["Size"], answer.error["MaxSizeAllowed"]) == ("1025", "1024")
    refused("KeyTooLongError", 400, method, "/photos/" + "%C3%A9" * 513)
    assert wire.send("PUT", "/photos/" + "%C3%A9" * 512, b"x").status == 200


@pytest.mark.parametrize("target", ["/photos/%FF", "/photos/%ED%A0%80", "/%FF", "/photos?prefix=%C3"])
def test_targets_that_are_not_utf_8(refused: Refused, target: str) -> None:
    refused("InvalidURI", 400, "GET", target)


# -- digests

MD5 = base64.b64encode(hashlib.md5(b"data").digest()).decode()


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("nonsense", "InvalidDigest"),
        ("AAAA", "InvalidDigest"),
        ("", "InvalidDigest"),
        (MD5[:-4], "InvalidDigest"),
        (MD5, "BadDigest"),
    ],
)
def test_a_wrong_content_md5(refused: Refused, upload_id: str, value: str, code: str) -> None:
    for target in ("/photos/kept", f"/photos/multi?uploadId={upload_id}&partNumber=1"):
        refused(code, 400, "PUT", target, b"other", {"Content-MD5": value})
        refused(code, 400, "PUT", target, b"o" * 100_000, {"Content-MD5": value}, payload=UNSIGNED)


CHECKSUMS = {
    "crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32, "sha512": 64, "md5": 16, "xxhash64": 8,
    "xxhash3": 8, "xxhash128": 16,
}  # fmt: skip


@pytest.mark.parametrize("algorithm", CHECKSUMS)
@pytest.mark.parametrize("body", [b"other", b"o" * 100_000], ids=len)
def test_a_wrong_checksum(refused: Refused, upload_id: str, algorithm: str, body: bytes) -> None:
    wrong = base64.b64encode(b"\x01" * CHECKSUMS[algorithm]).decode()
    for target in ("/photos/kept", f"/photos/multi?uploadId={upload_id}&partNumber=1"):
        refused("BadDigest", 400, "PUT", target, body, {f"x-amz-checksum-{algorithm}": wrong})
        for malformed in ("nonsense", "AAA=", "", wrong + "AAAA"):
            refused("InvalidRequest", 400, "PUT", target, body, {f"x-amz-checksum-{algorithm}": malformed})


def test_two_checksums_and_unknown_algorithms(refused: Refused) -> None:
    two = {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": base64.b64encode(bytes(20)).decode()}
    refused("InvalidRequest", 400, "PUT", "/photos/k", b"data", two)
    refused("InvalidRequest", 400, "PUT", "/photos/k", b"data", {"x-amz-sdk-checksum-algorithm": "CRC16"})
    refused("InvalidRequest", 400, "PUT", "/photos/k", b"data", {"x-amz-sdk-checksum-algorithm": "CRC32"})
    refused("InvalidRequest", 400, "PUT", "/photos/k", b"data", {"x-amz-checksum-crc16": "AAA="})
    refused("InvalidRequest", 400, "POST", "/photos/k?uploads", b"", {"x-amz-checksum-algorithm": "CRC16"})
    refused("InvalidRequest", 400, "POST", "/photos/k?uploads", b"", {"x-amz-checksum-type": "COMPOSITE"})
    mismatch = {"x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "COMPOSITE"}
    refused("InvalidRequest", 400, "POST", "/photos/k?uploads", b"", mismatch)


def test_documents_that_are_not_what_was_sent(refused: Refused, upload_id: str) -> None:
    wrong = {"Content-MD5": base64.b64encode(bytes(16)).decode()}
    acl = b"<AccessControlPolicy><Owner><ID>alice-id</ID></Owner><AccessControlList/></AccessControlPolicy>"
    for method, target, body in (
        ("PUT", "/new", b"<CreateBucketConfiguration/>"),
        ("PUT", "/photos?acl", acl),
        ("PUT", "/photos/kept?acl", acl),
        ("POST", "/photos?delete", b"<Delete><Object><Key>kept</Key></Object></Delete>"),
        ("POST", f"/photos/multi?uploadId={upload_id}", b"<CompleteMultipartUpload/>"),
    ):
        refused("BadDigest", 400, method, target, body, wrong)
        if "uploadId" not in target:
            refused("BadDigest", 400, method, target, body, {"x-amz-checksum-crc32": "AAAAAA=="})


@pytest.mark.parametrize("body", [b"", b"other", b"o" * 100_000], ids=len)
def test_a_body_that_is_not_what_was_signed(refused: Refused, body: bytes) -> None:
    answer = refused(
        "XAmzContentSHA256Mismatch", 400, "PUT", "/photos/k", body, payload=hashlib.sha256(b"1").hexdigest()
    )
    assert answer.error["S3ComputedContentSHA256"] == hashlib.sha256(body).hexdigest()


# -- signatures


def test_wrong_signatures(refused: Refused, server: Server) -> None:
    wrong = Refused(server.store, Wire(server.url, "alice", "wrong"))
    answer = wrong("SignatureDoesNotMatch", 403, "PUT", "/photos/k", b"data")
    assert "alice-secret" not in answer.body.decode()
    Refused(server.store, Wire(server.url, "nobody", "wrong"))("InvalidAccessKeyId", 403, "PUT", "/photos/k", b"data")
    for authorization, code, status in (
        ("AWS4-HMAC-SHA256 nonsense", "AuthorizationHeaderMalformed", 400),
        ("AWS nonsense", "InvalidArgument", 400),
        ("Basic YWxpY2U6eA==", "InvalidArgument", 400),
        ("", "AccessDenied", 403),
    ):
        headers = {"Authorization": authorization, "x-amz-date": "20130524T000000Z", "x-amz-content-sha256": UNSIGNED}
        refused(code, status, "PUT", "/photos/k", b"data", headers, signed=False)


def test_nobody_is_not_allowed_in(refused: Refused) -> None:
    for method, target in (
        ("GET", "/photos/kept"),
        ("PUT", "/photos/k"),
        ("DELETE", "/photos/kept"),
        ("GET", "/photos"),
        ("GET", "/"),
        ("PUT", "/new-one"),
    ):
        refused("AccessDenied", 403, method, target, b"", signed=False)


@pytest.mark.parametrize("skew", [-1000, 1000, -(10**8), 10**8])
def test_skewed_clocks(refused: Refused, skew: int) -> None:
    refused("RequestTimeTooSkewed", 403, "PUT", "/photos/k", b"data", at=time.time() + skew)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_expired_urls(server: Server, refused: Refused, version: str) -> None:
    if version == "s3":
        client = server.client(signature_version=version)
        url = client.generate_presigned_url("get_object", {"Bucket": "photos", "Key": "kept"}, ExpiresIn=-10)
        client.close()
        target = url.removeprefix(server.url)
    else:
        host, past = server.url.removeprefix("http://"), int(time.time()) - 100
        target = presign(
            "GET", host, "/photos/kept", access_key="alice", secret_key="alice-secret", now=past, expires=10
        )
    answer = refused("AccessDenied", 403, "GET", target, signed=False)
    assert answer.error["Message"] == "Request has expired"


def test_two_ways_to_sign_at_once(refused: Refused) -> None:
    refused("InvalidArgument", 400, "GET", "/photos/kept?X-Amz-Signature=0&X-Amz-Algorithm=AWS4-HMAC-SHA256")
    refused("AuthorizationQueryParametersError", 400, "GET", "/photos/kept?X-Amz-Signature=0", signed=False)


def test_a_header_that_was_not_signed(wire: Wire, server: Server) -> None:
    before = snapshot(server.store)
    headers = wire.sign("PUT", "/photos/k", {}, UNSIGNED)
    answer = wire.send("PUT", "/photos/k", b"data", {**headers, "x-amz-acl": "public-read"}, signed=False)
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert answer.error["HeadersNotSigned"] == "x-amz-acl"
    assert snapshot(server.store) == before


# -- lengths


@pytest.mark.parametrize("size", [10, 100_000])
def test_truncated_bodies(refused: Refused, upload_id: str, size: int) -> None:
    part = f"/photos/multi?uploadId={upload_id}&partNumber=1"
    for target in ("/photos/kept", part):
        refused("IncompleteBody", 400, "PUT", target, b"x" * size, payload=UNSIGNED, length=size + 1)
        refused("IncompleteBody", 400, "PUT", target, b"x" * size, payload=UNSIGNED, length=size + 1_000_000)
    refused(
        "IncompleteBody", 400, "POST", "/photos?delete", b"<Delete>", {"Content-MD5": MD5}, payload=UNSIGNED, length=100
    )


def test_a_truncated_transfer_in_chunks(refused: Refused) -> None:
    headers = {"Transfer-Encoding": "chunked"}
    for body in (b"5\r\nhel", b"5\r\nhello\r\n", b"zz\r\nhello\r\n0\r\n\r\n"):
        refused("IncompleteBody", 400, "PUT", "/photos/k", body, headers, payload=UNSIGNED)


def test_a_body_longer_than_declared_is_cut_there(server: Server, wire: Wire) -> None:
    """What follows is another request, and no good one; the object has what was declared."""
    answer = wire.send("PUT", "/photos/k", b"helloGARBAGE", payload=UNSIGNED, length=5)
    assert answer.status == 200
    with server.store.get_object("photos", "k") as found:
        assert found.read() == b"hello"


def test_a_body_longer_than_signed(refused: Refused) -> None:
    sha = hashlib.sha256(b"hello").hexdigest()
    refused("XAmzContentSHA256Mismatch", 400, "PUT", "/photos/k", b"helloGARBAGE", payload=sha)


def test_a_put_without_a_length(refused: Refused, wire: Wire) -> None:
    headers = wire.sign("PUT", "/photos/k", {}, UNSIGNED)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    answer = wire.raw(f"PUT /photos/k HTTP/1.1\r\n{head}\r\n".encode())
    assert (answer.status, answer.code) == (411, "MissingContentLength")


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "+5", "5 5", "9" * 5000])
def test_a_length_that_is_none(wire: Wire, server: Server, length: str) -> None:
    before = snapshot(server.store)
    headers = wire.sign("PUT", "/photos/k", {}, UNSIGNED)
    answer = wire.send("PUT", "/photos/k", b"hello", {**headers, "Content-Length": length}, signed=False)
    assert 400 <= answer.status < 500
    assert snapshot(server.store) == before


@pytest.mark.parametrize("size", [5 * 1024**3 + 1, 10**15])
def test_an_oversized_put_is_refused_before_its_body(refused: Refused, upload_id: str, size: int) -> None:
    for target in ("/photos/k", f"/photos/multi?uploadId={upload_id}&partNumber=1"):
        answer = refused("EntityTooLarge", 400, "PUT", target, b"", payload=UNSIGNED, length=size)
        assert answer.error["ProposedSize"] == str(size)
        assert answer.error["MaxSizeAllowed"] == str(5 * 1024**3)
        decoded = {"x-amz-decoded-content-length": str(size), "Content-Encoding": "aws-chunked"}
        refused(
            "EntityTooLarge", 400, "PUT", target, b"0\r\n\r\n", decoded, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER"
        )


# -- XML


@pytest.mark.parametrize(
    "document",
    [
        b"nonsense", b"<Delete>", b"<Other/>", b"\xff\xfe",
        b'<!DOCTYPE D [<!ENTITY a "x">]><Delete><Object><Key>&a;</Key></Object></Delete>',
        b'<!DOCTYPE D [<!ENTITY a SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&a;</Key></Object></Delete>',
        b"<Delete>" * 50_000,
    ],
    ids=range(7),
)  # fmt: skip
def test_malformed_xml(refused: Refused, upload_id: str, document: bytes) -> None:
    digest = {"Content-MD5": base64.b64encode(hashlib.md5(document).digest()).decode()}
    refused("MalformedXML", 400, "POST", "/photos?delete", document, digest)
    refused("MalformedXML", 400, "POST", f"/photos/multi?uploadId={upload_id}", document)
    if document:
        refused("MalformedACLError", 400, "PUT", "/photos?acl", document)
        refused("MalformedACLError", 400, "PUT", "/photos/kept?acl", document)
        refused("MalformedXML", 400, "PUT", "/other-bucket", document)
    else:
        refused("MissingSecurityHeader", 400, "PUT", "/photos?acl", document)


def test_a_document_that_is_too_large(refused: Refused, upload_id: str) -> None:
    document = b"<Delete>" + b" " * (3 * 1024 * 1024) + b"</Delete>"
    for target in ("/photos?delete", f"/photos/multi?uploadId={upload_id}"):
        refused("MaxMessageLengthExceeded", 400, "POST", target, document, {"Content-MD5": MD5}, payload=UNSIGNED)
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(document), document)
    headers = {"Content-MD5": MD5, "Transfer-Encoding": "chunked"}
    refused("MaxMessageLengthExceeded", 400, "POST", "/photos?delete", chunks, headers, payload=UNSIGNED)


def delete_document(count: int) -> bytes:
    return b"<Delete>" + b"".join(b"<Object><Key>k%d</Key></Object>" % n for n in range(count)) + b"</Delete>"


def test_too_many_keys(refused: Refused) -> None:
    body = delete_document(1001)
    digest = {"Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode()}
    refused("MalformedXML", 400, "POST", "/photos?delete", body, digest)


def test_a_delete_of_many_needs_a_right_digest(refused: Refused) -> None:
    body = b"<Delete><Object><Key>kept</Key></Object></Delete>"
    refused("InvalidRequest", 400, "POST", "/photos?delete", body)
    refused("BadDigest", 400, "POST", "/photos?delete", body, {"Content-MD5": MD5})
    refused("InvalidDigest", 400, "POST", "/photos?delete", body, {"Content-MD5": "x"})
    refused("BadDigest", 400, "POST", "/photos?delete", body, {"x-amz-checksum-crc32": "AAAAAA=="})


# -- metadata


def test_metadata_over_2_kb(refused: Refused, wire: Wire) -> None:
    answer = refused("MetadataTooLarge", 400, "PUT", "/photos/k", b"x", {"x-amz-meta-a": "x" * 2048})
    assert (answer.error["Size"], answer.error["MaxSizeAllowed"]) == ("2049", "2048")
    refused("MetadataTooLarge", 400, "POST", "/photos/k?uploads", b"", {"x-amz-meta-a": "x" * 2048})
    copy = {"x-amz-copy-source": "photos/kept", "x-amz-metadata-directive": "REPLACE", "x-amz-meta-a": "x" * 2048}
    refused("MetadataTooLarge", 400, "PUT", "/photos/k", b"", copy)
    many = {f"x-amz-meta-{n:02d}": "x" * 98 for n in range(21)}
    refused("MetadataTooLarge", 400, "PUT", "/photos/k", b"x", many)
    assert wire.send("PUT", "/photos/k", b"x", {"x-amz-meta-a": "x" * 2047}).status == 200


@pytest.mark.parametrize(
    ("header", "value", "code", "status"),
    [
        ("x-amz-storage-class", "CHEAP", "InvalidStorageClass", 400),
        ("x-amz-acl", "everyone", "InvalidArgument", 400),
        ("x-amz-grant-read", "nonsense", "InvalidArgument", 400),
        ("x-amz-grant-read", "id=nobody-known", "InvalidArgument", 400),
        ("x-amz-grant-read", "emailAddress=nobody@example.com", "UnresolvableGrantByEmailAddress", 400),
        ("x-amz-grant-read", "uri=http://example.com/", "InvalidArgument", 400),
        ("x-amz-server-side-encryption", "aws:kms:dsse", "NotImplemented", 501),
        ("x-amz-server-side-encryption", "aes256", "InvalidEncryptionAlgorithmError", 400),
        ("x-amz-server-side-encryption-context", "e30=", "InvalidArgument", 400),
        ("x-amz-server-side-encryption-bucket-key-enabled", "true", "InvalidArgument", 400),
        ("x-amz-tagging", "a=1&a=2", "InvalidArgument", 400),
        ("x-amz-object-lock-mode", "GOVERNANCE", "InvalidArgument", 400),
        ("x-amz-object-lock-legal-hold", "ON", "InvalidRequest", 400),
        ("x-amz-write-offset-bytes", "5", "NotImplemented", 501),
        ("If-None-Match", '"abc"', "NotImplemented", 501),
        ("If-Match", "*", "NotImplemented", 501),
        ("x-amz-expected-bucket-owner", "bob-id", "AccessDenied", 403),
    ],
)
def test_headers_that_are_wrong_or_not_supported(
    refused: Refused, header: str, value: str, code: str, status: int
) -> None:
    refused(code, status, "PUT", "/photos/k", b"data", {header: value})


# -- multipart


@pytest.mark.parametrize("number", ["0", "10001", "-1", "x", "", "1.5", "99999999999"])
def test_part_numbers_out_of_range(refused: Refused, upload_id: str, number: str) -> None:
    refused("InvalidArgument", 400, "PUT", f"/photos/multi?uploadId={upload_id}&partNumber={number}", b"data")
    copy = {"x-amz-copy-source": "photos/kept"}
    refused("InvalidArgument", 400, "PUT", f"/photos/multi?uploadId={upload_id}&partNumber={number}", b"", copy)
    if number:
        refused("InvalidArgument", 400, "GET", f"/photos/kept?partNumber={number}")


def complete_document(*parts: tuple[int, str]) -> bytes:
    rows = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in parts)
    return f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()


SMALL = hashlib.md5(b"small").hexdigest()


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([(2, SMALL), (1, SMALL)], "InvalidPartOrder"),
        ([(1, SMALL), (1, SMALL)], "InvalidPartOrder"),
        ([(1, SMALL), (2, SMALL)], "EntityTooSmall"),
        ([(1, "0" * 32)], "InvalidPart"),
        ([(1, "nonsense")], "InvalidPart"),
        ([(3, SMALL)], "InvalidPart"),
        ([(1, SMALL), (10_001, SMALL)], "InvalidPart"),
        ([(0, SMALL)], "InvalidArgument"),
        ([(-1, SMALL)], "InvalidArgument"),
        ([], "MalformedXML"),
    ],
)
def test_completions_that_are_wrong(refused: Refused, upload_id: str, parts: list[tuple[int, str]], code: str) -> None:
    refused(code, 400, "POST", f"/photos/multi?uploadId={upload_id}", complete_document(*parts))


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/photos?tagging", "MissingRequestBodyError"),
        ("/photos/kept?tagging", "MissingRequestBodyError"),
        ("/photos?notification", "MissingRequestBodyError"),
        ("/photos?versioning", "MissingRequestBodyError"),
        ("/photos?publicAccessBlock", "MissingRequestBodyError"),
        ("/photos/kept?retention", "MalformedXML"),
        ("/photos/kept?legal-hold", "MalformedXML"),
    ],
)
def test_a_document_that_is_not_sent(refused: Refused, upload_id: str, target: str, code: str) -> None:
    """As S3 answers (aws-sdk-cpp issue 733, versitygw issues 820, 1185 and 1191)."""
    refused(code, 400, "PUT", target, b"")


@pytest.mark.parametrize("upload", ["nonsense", "", "%00", "0" * 52])
def test_uploads_that_do_not_exist(refused: Refused, upload_id: str, upload: str) -> None:
    target = f"/photos/multi?uploadId={upload}"
    refused("NoSuchUpload", 404, "PUT", f"{target}&partNumber=1", b"data")
    refused("NoSuchUpload", 404, "POST", target, complete_document((1, SMALL)))
    refused("NoSuchUpload", 404, "DELETE", target)
    refused("NoSuchUpload", 404, "GET", target)
    refused("NoSuchUpload", 404, "GET", f"/photos/other?uploadId={upload_id}")


def test_totals_that_do_not_agree(refused: Refused, upload_id: str) -> None:
    target, body = f"/photos/multi?uploadId={upload_id}", complete_document((1, SMALL))
    refused("InvalidRequest", 400, "POST", target, body, {"x-amz-mp-object-size": "6"})
    refused("InvalidRequest", 400, "POST", target, body, {"x-amz-mp-object-size": "many"})
    refused("BadDigest", 400, "POST", target, body, {"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="})


def test_a_completion_refused_can_be_sent_again(server: Server, wire: Wire, upload_id: str) -> None:
    target = f"/photos/multi?uploadId={upload_id}"
    wrong = {"x-amz-mp-object-size": "6"}
    assert wire.send("POST", target, complete_document((1, SMALL)), wrong).code == "InvalidRequest"
    assert wire.send("POST", target, complete_document((1, SMALL))).status == 200
    with server.store.get_object("photos", "multi") as found:
        assert found.read() == b"small"
    # And Python's door agrees with the wire's.
    again = server.store.complete_upload("photos", "multi", upload_id, [CompletedPart(number=1, etag=SMALL)])
    assert again.etag == found.version.etag


# -- reads


@pytest.mark.parametrize("range_", ["bytes=4-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999-"])
def test_unsatisfiable_ranges(refused: Refused, range_: str) -> None:
    answer = refused("InvalidRange", 416, "GET", "/photos/kept", b"", {"Range": range_})
    assert answer.headers["content-range"] == "bytes */4"
    assert answer.error["ActualObjectSize"] == "4"
    assert answer.error["RangeRequested"] == range_


@pytest.mark.parametrize(
    ("target", "code", "status"),
    [
        ("/photos/absent", "NoSuchKey", 404),
        ("/photos/kept?versionId=abc", "InvalidArgument", 400),
        (f"/photos/kept?versionId={'v' * 32}", "NoSuchVersion", 404),
        (f"/photos/absent?versionId={'v' * 32}", "NoSuchVersion", 404),
        ("/photos/absent?versionId=abc", "InvalidArgument", 400),
        ("/photos/kept?versionId=", "InvalidArgument", 400),
        ("/photos/kept?partNumber=2", "InvalidPartNumber", 416),
        ("/photos?max-keys=x", "InvalidArgument", 400),
        ("/photos?max-keys=-1", "InvalidArgument", 400),
        ("/photos?max-keys=99999999999", "InvalidArgument", 400),
        ("/photos?encoding-type=base64", "InvalidArgument", 400),
        ("/photos?list-type=2&continuation-token=nonsense", "InvalidArgument", 400),
        ("/photos?list-type=2&continuation-token=", "InvalidArgument", 400),
        ("/photos?uploads&max-uploads=x", "InvalidArgument", 400),
        ("/?max-buckets=0", "InvalidArgument", 400),
        ("/?max-buckets=10001", "InvalidArgument", 400),
        ("/photos/kept?attributes", "InvalidRequest", 400),
        ("/photos/kept?torrent", "MethodNotAllowed", 405),
        ("/photos?policy", "NoSuchBucketPolicy", 404),
    ],
)
def test_reads_that_are_refused(refused: Refused, target: str, code: str, status: int) -> None:
    refused(code, status, "GET", target)


def test_a_refused_head_has_no_body(refused: Refused, wire: Wire) -> None:
    for target, status in (("/photos/absent", 404), ("/absent", 404), ("/photos/kept?versionId=abc", 400)):
        answer = wire.send("HEAD", target)
        assert (answer.status, answer.body) == (status, b"")
        assert answer.headers["x-amz-request-id"]


@pytest.mark.parametrize("source", ["", "photos", "photos/", "/", "photos/%FF"])
def test_copy_sources_that_are_none(refused: Refused, source: str) -> None:
    refused("InvalidArgument", 400, "PUT", "/photos/k", b"", {"x-amz-copy-source": source})


@pytest.mark.parametrize(
    ("headers", "code", "status"),
    [
        ({"x-amz-copy-source": "photos/absent"}, "NoSuchKey", 404),
        ({"x-amz-copy-source": "absent/kept"}, "NoSuchBucket", 404),
        ({"x-amz-copy-source": "photos/kept?versionId=abc"}, "InvalidArgument", 400),
        ({"x-amz-copy-source": "photos/kept?versionId=null+"}, "InvalidArgument", 400),
        ({"x-amz-copy-source": f"photos/kept?versionId={'v' * 32}"}, "NoSuchVersion", 404),
        ({"x-amz-copy-source": "arn:aws:s3:us-west-2:123456789012:accesspoint/a/object/k"}, "NotImplemented", 501),
        ({"x-amz-copy-source": "photos/kept", "x-amz-metadata-directive": "MERGE"}, "InvalidArgument", 400),
        ({"x-amz-copy-source": "photos/kept", "x-amz-copy-source-if-match": '"x"'}, "PreconditionFailed", 412),
        ({"x-amz-copy-source": "photos/kept", "x-amz-copy-source-if-none-match": "*"}, "PreconditionFailed", 412),
        ({"x-amz-copy-source": "photos/kept", "If-None-Match": '"x"'}, "NotImplemented", 501),
    ],
)
def test_copies_that_are_refused(refused: Refused, headers: dict[str, str], code: str, status: int) -> None:
    refused(code, status, "PUT", "/photos/k", b"", headers)


def test_a_copy_to_itself_must_change_something(refused: Refused) -> None:
    refused("InvalidRequest", 400, "PUT", "/photos/kept", b"", {"x-amz-copy-source": "photos/kept"})


@pytest.mark.parametrize("range_", ["bytes=0-", "bytes=0-4", "bytes=4-4", "0-1", "bytes=2-1", "bytes=0-1,2-3"])
def test_ranges_of_part_copies_that_are_refused(refused: Refused, upload_id: str, range_: str) -> None:
    headers = {"x-amz-copy-source": "photos/kept", "x-amz-copy-source-range": range_}
    refused("InvalidArgument", 400, "PUT", f"/photos/multi?uploadId={upload_id}&partNumber=3", b"", headers)


# -- what is hardly HTTP


@pytest.mark.parametrize(
    ("method", "target", "code", "status"),
    [
        ("PATCH", "/photos/kept", "MethodNotAllowed", 405),
        ("BREW", "/photos", "MethodNotAllowed", 405),
        ("POST", "/photos/kept", "MethodNotAllowed", 405),
        ("DELETE", "/", "MethodNotAllowed", 405),
        ("OPTIONS", "/photos", "BadRequest", 400),
    ],
)
def test_methods_that_are_not_allowed(refused: Refused, method: str, target: str, code: str, status: int) -> None:
    refused(code, status, method, target)


@pytest.mark.parametrize(
    ("headers", "code", "status", "message"),
    [
        ({}, "BadRequest", 400, "Insufficient information. Origin request header needed."),
        ({"Origin": "http://x"}, "BadRequest", 400, "Invalid Access-Control-Request-Method: null"),
        (
            {"Origin": "http://x", "Access-Control-Request-Method": "PUT"},
            "AccessForbidden", 403, "CORSResponse: CORS is not enabled for this bucket.",
        ),
    ],
)  # fmt: skip
def test_preflight_requests(refused: Refused, headers: dict[str, str], code: str, status: int, message: str) -> None:
    answer = refused(code, status, "OPTIONS", "/photos/kept", b"", headers, signed=False)
    assert answer.error["Message"] == message


@pytest.mark.parametrize("host", ["", "a b", "a,b", "a/b", "a:b", "[::1", "é", "a:1:2", "user@host"])
def test_a_host_that_cannot_be(prepared: Wire, host: str) -> None:
    answer = prepared.send("GET", "/photos", headers={"Host": host}, signed=False)
    assert (answer.status, answer.code) == (400, "BadRequest")


def test_a_missing_host(prepared: Wire) -> None:
    answer = prepared.raw(b"GET /photos HTTP/1.1\r\n\r\n")
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert prepared.raw(b"GET /healthz HTTP/1.0\r\n\r\n").status == 200


@pytest.mark.parametrize("coding", ["gzip, chunked", "chunked, chunked", "gzip", "identity", "x"])
def test_a_transfer_coding_that_is_not_chunked(refused: Refused, coding: str) -> None:
    refused("NotImplemented", 501, "PUT", "/photos/k", b"4\r\ndata\r\n0\r\n\r\n", {"Transfer-Encoding": coding})


def test_an_unread_body_does_not_spoil_the_answer(refused: Refused) -> None:
    """Refused before the body was read, and yet the client sees the answer."""
    refused("NoSuchBucket", 404, "PUT", "/absent/k", b"x" * 500_000, payload=UNSIGNED)
    refused("NotImplemented", 501, "PUT", "/photos/k?annotation", b"x" * 500_000, payload=UNSIGNED)
