"""Multipart uploads by boto3, in all their rules, and copies into parts."""

from __future__ import annotations

import base64
import hashlib
import random
from typing import TYPE_CHECKING, Any

import pytest

from bleepstore import Algorithm
from bleepstore.digests import combine_full_object, composite_value, digest, encode_value
from tests.server.conftest import Server
from tests.server.tools import Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [pytest.mark.stores("local", "cluster", "aws-keys"), pytest.mark.usefixtures("bucket")]

MIB = 1024 * 1024
PART = random.Random(4).randbytes(5 * MIB)


class Upload:
    """An upload, with few words."""

    def __init__(self, s3: S3Client, key: str = "k", **options: Any) -> None:
        self.s3, self.key = s3, key
        self.created: Any = s3.create_multipart_upload(Bucket="photos", Key=key, **options)
        self.where: Any = {"Bucket": "photos", "Key": key, "UploadId": self.created["UploadId"]}

    def part(self, number: int, body: bytes, **options: Any) -> dict[str, Any]:
        """Upload a part; returns its line in a Complete, with every checksum it has."""
        answer: Any = self.s3.upload_part(**self.where, PartNumber=number, Body=body, **options)
        sums = {name: value for name, value in answer.items() if name.startswith("Checksum")}
        return {"PartNumber": number, "ETag": answer["ETag"], **sums}

    def complete(self, *parts: dict[str, Any], **options: Any) -> Any:
        listed: Any = {"Parts": list(parts)}
        return self.s3.complete_multipart_upload(**self.where, MultipartUpload=listed, **options)


def etag(*bodies: bytes) -> str:
    joined = b"".join(hashlib.md5(body).digest() for body in bodies)
    return f'"{hashlib.md5(joined).hexdigest()}-{len(bodies)}"'


# -- the life of an upload


def test_parts_become_an_object(s3: S3Client, server: Server) -> None:
    upload = Upload(s3, "a/ü", Metadata={"m": "1"}, ContentType="text/plain", StorageClass="STANDARD_IA")
    two, one = upload.part(2, b"tail"), upload.part(1, PART)
    done = upload.complete(one, two)
    assert done["ETag"] == etag(PART, b"tail")
    assert (done["Bucket"], done["Key"]) == ("photos", "a/ü")
    assert done["Location"] == f"{server.url}/photos/a/%C3%BC"
    found = s3.get_object(Bucket="photos", Key="a/ü")
    assert found["Body"].read() == PART + b"tail"
    assert (found["ETag"], found["Metadata"], found["ContentType"]) == (done["ETag"], {"m": "1"}, "text/plain")
    assert found["StorageClass"] == "STANDARD_IA"
    with failure("NoSuchUpload", 404):
        s3.list_parts(**upload.where)
    assert upload.complete(one, two)["ETag"] == done["ETag"], "a Complete that is sent again gives the first answer"
    with failure("NoSuchUpload", 404):
        upload.complete(one)


def test_reading_by_part_number(s3: S3Client) -> None:
    upload = Upload(s3)
    upload.complete(upload.part(1, PART), upload.part(2, b"tail"))
    for number, body, start in ((1, PART, 0), (2, b"tail", 5 * MIB)):
        found = s3.get_object(Bucket="photos", Key="k", PartNumber=number)
        assert found["Body"].read() == body
        assert found["PartsCount"] == 2
        assert found["ContentRange"] == f"bytes {start}-{start + len(body) - 1}/{5 * MIB + 4}"
        assert found["ResponseMetadata"]["HTTPStatusCode"] == 206
        head = s3.head_object(Bucket="photos", Key="k", PartNumber=number)
        assert (head["ContentLength"], head["PartsCount"]) == (len(body), 2)
    with failure("InvalidPartNumber", 416):
        s3.get_object(Bucket="photos", Key="k", PartNumber=3)
    whole: Any = s3.get_object(Bucket="photos", Key="k", Range=f"bytes={5 * MIB - 1}-{5 * MIB}")
    assert whole["Body"].read() == PART[-1:] + b"t"
    assert "PartsCount" not in whole


def test_a_part_uploaded_again_replaces_the_first(s3: S3Client) -> None:
    upload = Upload(s3)
    old = upload.part(1, b"old")
    new = upload.part(1, b"newer")
    with failure("InvalidPart", 400):
        upload.complete(old)
    upload.complete(new)
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"newer"


def test_parts_that_are_left_out(s3: S3Client) -> None:
    upload = Upload(s3)
    upload.part(1, b"not this one")
    upload.complete(upload.part(7, b"only this one"))
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"only this one"


def test_an_upload_shows_nothing_before_it_is_complete(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=b"before")
    upload = Upload(s3)
    part = upload.part(1, b"after")
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"before"
    upload.complete(part)
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"after"


def test_two_uploads_of_one_key(s3: S3Client) -> None:
    first, second = Upload(s3), Upload(s3)
    one, two = first.part(1, b"first"), second.part(1, b"second")
    with failure("InvalidPart", 400):
        first.complete(two)
    second.complete(two)
    first.complete(one)
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"first"


def test_aborting(s3: S3Client) -> None:
    upload = Upload(s3)
    part = upload.part(1, b"x")
    s3.abort_multipart_upload(**upload.where)
    for use in (
        lambda: s3.abort_multipart_upload(**upload.where),
        lambda: upload.complete(part),
        lambda: upload.part(2, b"x"),
        lambda: s3.list_parts(**upload.where),
    ):
        with failure("NoSuchUpload", 404):
            use()
    assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 0


def test_what_a_complete_must_not_be(s3: S3Client) -> None:
    upload = Upload(s3)
    one, two, big = upload.part(1, b"small"), upload.part(2, b"small too"), upload.part(3, PART)
    with failure("EntityTooSmall", 400) as small:
        upload.complete(one, two)
    assert (small["Error"]["ProposedSize"], small["Error"]["MinSizeAllowed"]) == ("5", "5242880")
    with failure("InvalidPartOrder", 400):
        upload.complete(big, one)
    with failure("InvalidPart", 400):
        upload.complete({"PartNumber": 4, "ETag": one["ETag"]})
    with failure("InvalidRequest", 400):
        upload.complete(big, MpuObjectSize=1)
    upload.complete(big, MpuObjectSize=5 * MIB)
    assert s3.head_object(Bucket="photos", Key="k")["ContentLength"] == 5 * MIB


def test_quotes_around_etags_do_not_matter(s3: S3Client) -> None:
    upload = Upload(s3)
    part = upload.part(1, b"x")
    upload.complete({"PartNumber": 1, "ETag": part["ETag"].strip('"').upper()})


# -- conditions


def test_completing_on_a_condition(s3: S3Client) -> None:
    upload = Upload(s3)
    part = upload.part(1, b"new")
    current = s3.put_object(Bucket="photos", Key="k", Body=b"meanwhile")["ETag"]
    with failure("PreconditionFailed", 412):
        upload.complete(part, IfNoneMatch="*")
    with failure("PreconditionFailed", 412):
        upload.complete(part, IfMatch='"abc"')
    with failure("ConditionalRequestConflict", 409):
        upload.complete(part, IfMatch=current)
    again = Upload(s3)
    part = again.part(1, b"new")
    with failure("PreconditionFailed", 412):
        again.complete(part, IfNoneMatch="*")
    with failure("PreconditionFailed", 412):
        again.complete(part, IfMatch='"abc"')
    current = s3.head_object(Bucket="photos", Key="k")["ETag"]
    assert again.complete(part, IfMatch=current)["ETag"] == etag(b"new")
    fresh = Upload(s3, "fresh")
    fresh.complete(fresh.part(1, b"x"), IfNoneMatch="*")
    late = Upload(s3)
    part = late.part(1, b"late")
    s3.delete_object(Bucket="photos", Key="k")
    with failure("NoSuchKey", 404):
        late.complete(part, IfMatch=etag(b"new"))
    with failure("ConditionalRequestConflict", 409):
        late.complete(part, IfNoneMatch="*")


# -- checksums


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_composite_checksums(server: Server, s3: S3Client, algorithm: Any) -> None:
    upload = Upload(s3, ChecksumAlgorithm=algorithm)
    name = f"Checksum{algorithm}"
    assert upload.created["ChecksumAlgorithm"] == algorithm
    assert upload.created["ChecksumType"] == "COMPOSITE"
    parts = [upload.part(1, PART, ChecksumAlgorithm=algorithm), upload.part(2, b"tail", ChecksumAlgorithm=algorithm)]
    values = [encode_value(digest(Algorithm(algorithm), body)) for body in (PART, b"tail")]
    assert [part[name] for part in parts] == values
    with failure("InvalidRequest", 400):
        upload.complete(*({"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts))
    with failure("InvalidPart", 400):
        upload.complete({**parts[0], name: values[1]}, parts[1])
    total = composite_value(Algorithm(algorithm), values)
    done = upload.complete(*parts)
    assert (done[name], done["ChecksumType"]) == (f"{total}-2", "COMPOSITE")
    head: Any = s3.head_object(Bucket="photos", Key="k", ChecksumMode="ENABLED")
    assert (head[name], head["ChecksumType"]) == (f"{total}-2", "COMPOSITE")
    for number, (body, value) in enumerate(zip((PART, b"tail"), values, strict=True), start=1):
        found: Any = s3.get_object(Bucket="photos", Key="k", PartNumber=number, ChecksumMode="ENABLED")
        assert found["Body"].read() == body
        assert (found[name], found["ChecksumType"]) == (value, "COMPOSITE"), "a part has its own checksum"
    ranged: Any = s3.get_object(Bucket="photos", Key="k", Range="bytes=0-9", ChecksumMode="ENABLED")
    assert ranged["Body"].read() == PART[:10]
    assert name not in ranged
    attributes: Any = s3.get_object_attributes(
        Bucket="photos", Key="k", ObjectAttributes=["Checksum", "ObjectParts", "ETag"]
    )
    assert attributes["Checksum"][name] == total, "without the number of parts"
    assert attributes["ObjectParts"]["TotalPartsCount"] == 2
    assert [(p["PartNumber"], p["Size"], p[name]) for p in attributes["ObjectParts"]["Parts"]] == [
        (1, 5 * MIB, values[0]),
        (2, 4, values[1]),
    ]
    page: Any = s3.get_object_attributes(Bucket="photos", Key="k", ObjectAttributes=["ObjectParts"], MaxParts=1)
    assert (page["ObjectParts"]["IsTruncated"], page["ObjectParts"]["NextPartNumberMarker"]) == (True, 1)
    # S3 ignores a number of parts that is none.
    target, header = "/photos/k?attributes", {"x-amz-object-attributes": "ObjectParts", "x-amz-max-parts": "many"}
    assert b"<MaxParts>1000<" in Wire(server.url).send("GET", target, headers=header).body
    rest: Any = s3.get_object_attributes(Bucket="photos", Key="k", ObjectAttributes=["ObjectParts"], PartNumberMarker=1)
    assert [p["PartNumber"] for p in rest["ObjectParts"]["Parts"]] == [2]


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_full_object_checksums(s3: S3Client, algorithm: Any) -> None:
    upload = Upload(s3, ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT")
    name = f"Checksum{algorithm}"
    parts = [upload.part(1, PART, ChecksumAlgorithm=algorithm), upload.part(2, b"tail", ChecksumAlgorithm=algorithm)]
    expected = encode_value(digest(Algorithm(algorithm), PART + b"tail"))
    assert combine_full_object(Algorithm(algorithm), [(parts[0][name], 5 * MIB), (parts[1][name], 4)]) == expected
    bare = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]
    with failure("BadDigest", 400):
        upload.complete(*bare, **{name: parts[0][name]}, ChecksumType="FULL_OBJECT")
    with failure("InvalidRequest", 400):
        upload.complete(*bare, ChecksumType="COMPOSITE")
    done = upload.complete(*bare, **{name: expected}, ChecksumType="FULL_OBJECT")
    assert (done[name], done["ChecksumType"]) == (expected, "FULL_OBJECT")
    found: Any = s3.get_object(Bucket="photos", Key="k", ChecksumMode="ENABLED")
    assert found["Body"].read() == PART + b"tail"
    assert found[name] == expected
    attributes: Any = s3.get_object_attributes(Bucket="photos", Key="k", ObjectAttributes=["ObjectParts"], MaxParts=1)
    assert attributes["ObjectParts"] == {"TotalPartsCount": 2}, "parts without checksums are only counted"
    part: Any = s3.get_object(Bucket="photos", Key="k", PartNumber=2, ChecksumMode="ENABLED")
    assert part["Body"].read() == b"tail"
    assert name not in part, "the checksum of the whole says nothing of a part"


def test_a_checksum_of_another_algorithm_than_the_uploads(s3: S3Client) -> None:
    upload = Upload(s3, ChecksumAlgorithm="SHA256")
    with failure("InvalidRequest", 400):
        upload.part(1, b"x", ChecksumAlgorithm="CRC32")


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256", "SHA512", "XXHASH3"])
def test_a_part_of_a_composite_upload_needs_a_checksum(server: Server, algorithm: str) -> None:
    wire = Wire(server.url)
    target = start(wire, {"x-amz-checksum-algorithm": algorithm})
    answer = wire.send("PUT", f"{target}&partNumber=1", b"data")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    message = f"expected checksum Type: {algorithm.lower()}, actual checksum Type: null"
    assert message in answer.body.decode()
    assert b"<Part>" not in wire.send("GET", target).body
    value = encode_value(digest(Algorithm(algorithm), b"data"))
    assert wire.send("PUT", f"{target}&partNumber=1", b"data", {f"x-amz-checksum-{algorithm}": value}).status == 200


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC64NVME"])
def test_a_part_of_a_full_object_upload_may_come_without_a_checksum(server: Server, algorithm: str) -> None:
    wire = Wire(server.url)
    headers = {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": "FULL_OBJECT"}
    assert wire.send("PUT", f"{start(wire, headers)}&partNumber=1", b"data").status == 200


def start(wire: Wire, headers: dict[str, str]) -> str:
    """The target of a new upload of photos/k."""
    created = wire.send("POST", "/photos/k?uploads=", headers=headers).body.decode()
    return f"/photos/k?uploadId={created.partition('<UploadId>')[2].partition('<')[0]}"


def test_a_part_may_carry_a_checksum_though_the_upload_names_none(server: Server) -> None:
    """As pyarrow does."""
    wire = Wire(server.url)
    client = server.client(request_checksum_calculation="when_required")
    created: Any = client.create_multipart_upload(Bucket="photos", Key="k")
    client.close()
    assert "ChecksumAlgorithm" not in created
    value = encode_value(digest(Algorithm.CRC32C, b"data"))
    target = f"/photos/k?uploadId={created['UploadId']}"
    answer = wire.send("PUT", f"{target}&partNumber=1", b"data", {"x-amz-checksum-crc32c": value})
    assert (answer.status, answer.headers["x-amz-checksum-crc32c"]) == (200, value)
    body = (
        f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{answer.headers['etag']}</ETag>"
        f"<ChecksumCRC32C>{value}</ChecksumCRC32C></Part></CompleteMultipartUpload>"
    )
    done = wire.send("POST", target, body.encode())
    assert done.status == 200, done
    expected = encode_value(digest(Algorithm.CRC64NVME, b"data"))
    assert f"<ChecksumCRC64NVME>{expected}</ChecksumCRC64NVME>" in done.body.decode()


def test_the_md5_of_a_part(s3: S3Client) -> None:
    upload = Upload(s3)
    md5 = base64.b64encode(hashlib.md5(b"data").digest()).decode()
    part = upload.part(1, b"data", ContentMD5=md5)
    with failure("BadDigest", 400):
        upload.part(1, b"other", ContentMD5=md5)
    upload.complete(part)
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"data"


# -- UploadPartCopy


def test_parts_by_copy(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="source+ü", Body=PART + b"0123456789")
    upload = Upload(s3)
    source: Any = {"Bucket": "photos", "Key": "source+ü"}
    one: Any = s3.upload_part_copy(
        **upload.where, PartNumber=1, CopySource=source, CopySourceRange=f"bytes=0-{5 * MIB - 1}"
    )
    two: Any = s3.upload_part_copy(
        **upload.where, PartNumber=2, CopySource=source, CopySourceRange=f"bytes={5 * MIB + 2}-{5 * MIB + 4}"
    )
    three: Any = s3.upload_part_copy(**upload.where, PartNumber=3, CopySource=source)
    whole: Any = s3.upload_part_copy(**upload.where, PartNumber=4, CopySource=source, CopySourceRange="")
    assert whole["CopyPartResult"]["ETag"] == three["CopyPartResult"]["ETag"]
    assert one["CopyPartResult"]["ETag"] == f'"{hashlib.md5(PART).hexdigest()}"'
    assert two["CopyPartResult"]["ETag"] == f'"{hashlib.md5(b"234").hexdigest()}"'
    assert three["CopyPartResult"]["LastModified"]
    lines = [{"PartNumber": n, "ETag": p["CopyPartResult"]["ETag"]} for n, p in ((1, one), (2, two))]
    assert upload.complete(*lines)["ETag"] == etag(PART, b"234")
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == PART + b"234"


def test_parts_by_copy_that_are_refused(s3: S3Client) -> None:
    found = s3.put_object(Bucket="photos", Key="source", Body=b"0123456789")["ETag"]
    upload = Upload(s3)
    for text in ("bytes=0-10", "bytes=10-10", "bytes=5-", "bytes=-5", "nonsense"):
        with failure("InvalidArgument", 400):
            s3.upload_part_copy(**upload.where, PartNumber=1, CopySource="photos/source", CopySourceRange=text)
    with failure("NoSuchKey", 404):
        s3.upload_part_copy(**upload.where, PartNumber=1, CopySource="photos/absent")
    with failure("PreconditionFailed", 412):
        s3.upload_part_copy(**upload.where, PartNumber=1, CopySource="photos/source", CopySourceIfNoneMatch=found)
    s3.upload_part_copy(**upload.where, PartNumber=1, CopySource="photos/source", CopySourceIfMatch=found)
    assert len(s3.list_parts(**upload.where)["Parts"]) == 1


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256", "CRC64NVME"])
def test_checksums_of_parts_by_copy(s3: S3Client, algorithm: Any) -> None:
    s3.put_object(Bucket="photos", Key="source", Body=b"0123456789")
    upload = Upload(s3, ChecksumAlgorithm=algorithm)
    part: Any = s3.upload_part_copy(
        **upload.where, PartNumber=1, CopySource="photos/source", CopySourceRange="bytes=0-4"
    )
    name = f"Checksum{algorithm}"
    value = encode_value(digest(Algorithm(algorithm), b"01234"))
    assert part["CopyPartResult"][name] == value
    upload.complete({"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"], name: value})
    assert s3.get_object(Bucket="photos", Key="k", ChecksumMode="ENABLED")["Body"].read() == b"01234"


# -- whose upload it is


@pytest.mark.legacy_acls
def test_nobody_else_puts_parts_into_an_upload_or_completes_it(server: Server, s3: S3Client) -> None:
    s3.put_bucket_acl(Bucket="photos", ACL="public-read-write")
    upload = Upload(s3)
    good = upload.part(1, b"good")
    s3.put_object(Bucket="photos", Key="source", Body=b"evil", ACL="public-read")
    bob = server.client("bob", "bob-secret")
    listed: Any = {"Parts": [good]}
    with failure("AccessDenied", 403):
        bob.upload_part(**upload.where, PartNumber=1, Body=b"evil")
    with failure("AccessDenied", 403):
        bob.upload_part_copy(**upload.where, PartNumber=1, CopySource="photos/source")
    with failure("AccessDenied", 403):
        bob.complete_multipart_upload(**upload.where, MultipartUpload=listed)
    with failure("AccessDenied", 403):
        bob.abort_multipart_upload(**upload.where)
    with failure("AccessDenied", 403):
        bob.list_parts(**upload.where)
    bob.close()
    anonymous = Wire(server.url).send("PUT", f"/photos/k?partNumber=1&uploadId={upload.where['UploadId']}", b"evil",
                                      signed=False)  # fmt: skip
    assert anonymous.code == "AccessDenied"
    upload.complete(good)
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"good"


@pytest.mark.legacy_acls
def test_the_buckets_owner_sees_and_ends_uploads_of_others(server: Server, s3: S3Client) -> None:
    s3.put_bucket_acl(Bucket="photos", ACL="public-read-write")
    bob = server.client("bob", "bob-secret")
    upload = Upload(bob)
    upload.part(1, b"bob's")
    assert len(s3.list_parts(**upload.where)["Parts"]) == 1
    with failure("AccessDenied", 403):
        s3.upload_part(**upload.where, PartNumber=1, Body=b"alice's")
    s3.abort_multipart_upload(**upload.where)
    with failure("NoSuchUpload", 404):
        bob.list_parts(**upload.where)
    bob.close()


@pytest.mark.legacy_acls
def test_an_upload_needs_somebody_who_begins_it(server: Server, s3: S3Client) -> None:
    s3.put_bucket_acl(Bucket="photos", ACL="public-read-write")
    assert Wire(server.url).send("POST", "/photos/k?uploads", signed=False).code == "AccessDenied"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="photos")


def test_a_completion_names_the_checksum_that_a_part_has(server: Server, s3: S3Client) -> None:
    created = Wire(server.url).send("POST", "/photos/k?uploads")  # boto3 would name an algorithm
    upload_id = created.body.decode().partition("<UploadId>")[2].partition("<")[0]
    target = f"/photos/k?uploadId={upload_id}"
    put = Wire(server.url).send("PUT", f"{target}&partNumber=1", b"data")
    right = encode_value(digest(Algorithm.CRC64NVME, b"data"))

    def complete(checksum: str) -> str | None:
        part = f"<PartNumber>1</PartNumber><ETag>{put.headers['etag']}</ETag>"
        part += f"<ChecksumCRC64NVME>{checksum}</ChecksumCRC64NVME>"
        body = f"<CompleteMultipartUpload><Part>{part}</Part></CompleteMultipartUpload>"
        return Wire(server.url).send("POST", target, body.encode()).code

    assert complete("AAAAAAAAAAA=") == "InvalidPart"
    assert complete(right) is None
