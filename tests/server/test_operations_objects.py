"""PutObject, GetObject, HeadObject, DeleteObject(s) and GetObjectAttributes by boto3."""

from __future__ import annotations

import base64
import datetime as dt
import email.header
import hashlib
import itertools
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.conftest import Server
from tests.server.tools import UNSIGNED, Answer, Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [pytest.mark.stores("local"), pytest.mark.usefixtures("bucket")]

BODY = bytes(range(256)) * 200  # above the inline limit
SMALL = b"small"


# -- conditions


def test_a_write_only_if_there_is_none(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=b"1", IfNoneMatch="*")
    with failure("PreconditionFailed", 412) as refused:
        s3.put_object(Bucket="photos", Key="k", Body=b"2", IfNoneMatch="*")
    assert refused["Error"]["Condition"] == "If-None-Match"
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"1"
    s3.delete_object(Bucket="photos", Key="k")
    s3.put_object(Bucket="photos", Key="k", Body=b"3", IfNoneMatch="*")


def test_a_write_only_if_it_is_this_one(s3: S3Client) -> None:
    with failure("NoSuchKey", 404):
        s3.put_object(Bucket="photos", Key="k", Body=b"1", IfMatch='"abc"')
    etag = s3.put_object(Bucket="photos", Key="k", Body=b"1")["ETag"]
    with failure("PreconditionFailed", 412) as refused:
        s3.put_object(Bucket="photos", Key="k", Body=b"2", IfMatch='"abc"')
    assert refused["Error"]["Condition"] == "If-Match"
    s3.put_object(Bucket="photos", Key="k", Body=b"2", IfMatch=etag)
    s3.put_object(Bucket="photos", Key="k", Body=b"3", IfMatch=hashlib.md5(b"2").hexdigest())


_DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
_DELETE = b"<Delete><Object><Key>k</Key></Object></Delete>"


@pytest.mark.parametrize(
    "condition",
    [("If-Match", '"abc"'), ("If-None-Match", "*"), ("If-Modified-Since", _DATE), ("If-Unmodified-Since", _DATE)],
    ids=lambda condition: condition[0],
)
def test_no_write_ignores_a_condition(wire: Wire, s3: S3Client, condition: tuple[str, str]) -> None:
    """A write that does not know a condition is not done, as if the condition held."""
    name, _value = condition
    s3.put_object(Bucket="photos", Key="k", Body=SMALL)
    upload = s3.create_multipart_upload(Bucket="photos", Key="m")["UploadId"]
    copies = {"x-amz-copy-source": "photos/k"}
    private = {"x-amz-acl": "public-read"}
    digest = {"Content-MD5": base64.b64encode(hashlib.md5(_DELETE).digest()).decode()}
    writes: list[tuple[str, str, dict[str, str], bytes]] = [
        ("POST", "/photos/new?uploads", {}, b""),
        ("PUT", f"/photos/m?partNumber=1&uploadId={upload}", {}, b"part"),
        ("PUT", f"/photos/m?partNumber=1&uploadId={upload}", copies, b""),
        ("DELETE", f"/photos/m?uploadId={upload}", {}, b""),
        ("PUT", "/photos/k?acl", private, b""),
        ("PUT", "/photos?acl", private, b""),
        ("POST", "/photos?delete", digest, _DELETE),
    ]
    if name.endswith("Since"):
        writes += [("DELETE", "/photos/k", {}, b""), ("PUT", "/photos/k", {}, b"x"), ("PUT", "/photos/c", copies, b"")]
    for method, target, headers, body in writes:
        refused = wire.send(method, target, body, headers | dict([condition]))
        assert (refused.status, refused.code) == (501, "NotImplemented"), (method, target)
        assert refused.error["Header"] == name
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == SMALL
    assert len(s3.get_object_acl(Bucket="photos", Key="k")["Grants"]) == 1
    assert [found["Key"] for found in s3.list_multipart_uploads(Bucket="photos")["Uploads"]] == ["m"]
    assert "Parts" not in s3.list_parts(Bucket="photos", Key="m", UploadId=upload)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        *itertools.product(["GET", "HEAD", "DELETE"], ["/photos/k", "/photos"]),
        ("PUT", "/photos/k?tagging"),
        ("PUT", "/photos/k?acl"),
    ],
)
def test_only_a_copy_names_a_copy_source(wire: Wire, s3: S3Client, method: str, target: str) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=SMALL)
    refused = wire.send(method, target, headers={"x-amz-copy-source": "photos/k"})
    assert refused.status == 400
    if method != "HEAD":
        assert refused.code == "InvalidArgument"
        assert refused.error["Message"] == "You can only specify a copy source header for copy requests."
        assert refused.error["ArgumentName"] == "x-amz-copy-source"
    assert s3.head_object(Bucket="photos", Key="k")["ContentLength"] == len(SMALL)


NO_ID = ["", "abc", "v" * 31, "v" * 33, "ü" * 32, "v" * 31 + "-", "NULL", "null ", "\n" + "v" * 31]


def refusal_of_id(version_id: str) -> str:
    return "Invalid version id specified" if version_id else "Version id cannot be the empty string"


@pytest.mark.parametrize("version_id", NO_ID)
@pytest.mark.parametrize(
    "operation",
    ["get_object", "delete_object", "get_object_acl", "put_object_acl", "get_object_attributes", "get_object_tagging"],
)
def test_what_cannot_be_the_id_of_a_version(s3: S3Client, operation: str, version_id: str) -> None:
    """S3 tells it from an id that could be, of which there is no version."""
    s3.put_object(Bucket="photos", Key="k", Body=SMALL)
    required: dict[str, dict[str, Any]] = {
        "put_object_acl": {"ACL": "public-read"},
        "get_object_attributes": {"ObjectAttributes": ["ETag"]},
    }
    more = required.get(operation, {})
    for key in ("k", "absent"):
        with failure("InvalidArgument", 400) as refused:
            getattr(s3, operation)(Bucket="photos", Key=key, VersionId=version_id, **more)
        error: Any = refused["Error"]
        assert error["Message"] == refusal_of_id(version_id)
        assert (error["ArgumentName"], error["ArgumentValue"] or "") == ("versionId", version_id)
        if operation != "delete_object":
            with failure("NoSuchVersion", 404):
                getattr(s3, operation)(Bucket="photos", Key=key, VersionId="v." * 16, **more)
    with failure("400", 400):
        s3.head_object(Bucket="photos", Key="k", VersionId=version_id)
    assert s3.get_object_acl(Bucket="photos", Key="k")["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert s3.head_object(Bucket="photos", Key="k")["ContentLength"] == 5


@pytest.mark.parametrize("version_id", ["", "abc"])
@pytest.mark.parametrize("key", ["k", "absent"])
def test_what_cannot_be_the_id_of_the_source_of_a_copy(wire: Wire, s3: S3Client, key: str, version_id: str) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=SMALL)
    upload = s3.create_multipart_upload(Bucket="photos", Key="copy")["UploadId"]
    for target in ("/photos/copy", "/photos/k", f"/photos/copy?partNumber=1&uploadId={upload}"):
        headers = {"x-amz-copy-source": f"/photos/{key}?versionId={version_id}"}
        refused = wire.send("PUT", target, headers=headers)
        assert (refused.status, refused.code) == (400, "InvalidArgument")
        assert refused.error["Message"] == refusal_of_id(version_id)
        assert (refused.error["ArgumentName"], refused.error["ArgumentValue"]) == ("versionId", version_id)


def test_deletes_of_many_report_what_cannot_be_the_id_of_a_version(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=SMALL)
    known = ["v" * 32, "null"]
    asked: Any = [{"Key": "k", "VersionId": version_id} for version_id in ("abc", *known)]
    found = s3.delete_objects(Bucket="photos", Delete={"Objects": asked})
    assert found["Errors"] == [
        {"Key": "k", "VersionId": "abc", "Code": "NoSuchVersion", "Message": "The specified version does not exist."}
    ]
    assert [deleted["VersionId"] for deleted in found["Deleted"]] == known


def test_a_delete_only_if_it_is_this_one(s3: S3Client) -> None:
    etag = s3.put_object(Bucket="photos", Key="k", Body=b"1")["ETag"]
    with failure("PreconditionFailed", 412):
        s3.delete_object(Bucket="photos", Key="k", IfMatch='"abc"')
    s3.delete_object(Bucket="photos", Key="k", IfMatch=etag)
    with failure("NoSuchKey", 404):
        s3.delete_object(Bucket="photos", Key="k", IfMatch="*")
    s3.delete_object(Bucket="photos", Key="k")


def test_conditions_of_reads(s3: S3Client) -> None:
    etag = s3.put_object(Bucket="photos", Key="k", Body=b"1")["ETag"]
    modified = s3.head_object(Bucket="photos", Key="k")["LastModified"]
    past, future = modified - dt.timedelta(seconds=1), modified + dt.timedelta(seconds=1)
    holds: list[dict[str, Any]] = [
        {"IfMatch": etag},
        {"IfMatch": "*"},
        {"IfNoneMatch": '"abc"'},
        {"IfModifiedSince": past},
        {"IfUnmodifiedSince": modified},
        {"IfMatch": etag, "IfUnmodifiedSince": past},
        {"IfNoneMatch": '"abc"', "IfModifiedSince": future},
        {"IfModifiedSince": modified + dt.timedelta(days=1)},
    ]
    for options in holds:
        assert s3.get_object(Bucket="photos", Key="k", **options)["Body"].read() == b"1"
        assert s3.head_object(Bucket="photos", Key="k", **options)["ContentLength"] == 1
    for options in ({"IfMatch": '"abc"'}, {"IfUnmodifiedSince": past}):
        with failure("PreconditionFailed", 412):
            s3.get_object(Bucket="photos", Key="k", **options)
        with failure("412", 412):
            s3.head_object(Bucket="photos", Key="k", **options)
    for options in ({"IfNoneMatch": etag}, {"IfNoneMatch": "*"}, {"IfModifiedSince": modified}):
        for read in (s3.get_object, s3.head_object):
            with failure("304", 304) as unchanged:
                read(Bucket="photos", Key="k", **options)
            assert unchanged["ResponseMetadata"]["HTTPHeaders"]["etag"] == etag


def test_several_etags_in_one_condition(wire: Wire, s3: S3Client) -> None:
    etag = s3.put_object(Bucket="photos", Key="k", Body=b"1")["ETag"]
    assert wire.send("GET", "/photos/k", headers={"If-Match": f'"abc", {etag}'}).status == 200
    assert wire.send("GET", "/photos/k", headers={"If-None-Match": f'"abc", W/{etag}'}).status == 304


# -- ranges and parts


@pytest.mark.parametrize("body", [BODY, SMALL], ids=len)
def test_ranges(s3: S3Client, body: bytes) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=body)
    size = len(body)
    for text, start, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=1-3", 1, 4),
        ("bytes=2-", 2, size),
        ("bytes=-2", size - 2, size),
        (f"bytes=0-{size * 2}", 0, size),
        (f"bytes=-{size * 2}", 0, size),
    ):
        found = s3.get_object(Bucket="photos", Key="k", Range=text)
        assert found["Body"].read() == body[start:stop]
        assert found["ContentRange"] == f"bytes {start}-{stop - 1}/{size}"
        assert found["ContentLength"] == stop - start
        assert found["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert found["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
        head = s3.head_object(Bucket="photos", Key="k", Range=text)
        assert (head["ContentLength"], head["ResponseMetadata"]["HTTPStatusCode"]) == (stop - start, 206)
    with failure("InvalidRange", 416) as refused:
        s3.get_object(Bucket="photos", Key="k", Range=f"bytes={size}-")
    assert refused["ResponseMetadata"]["HTTPHeaders"]["content-range"] == f"bytes */{size}"
    with failure("416", 416):
        s3.head_object(Bucket="photos", Key="k", Range=f"bytes={size}-")


@pytest.mark.parametrize("text", ["bytes=3-1", "lines=0-1", "bytes=0-1,3-4", "nonsense"])
def test_a_range_that_means_nothing_is_ignored(s3: S3Client, text: str) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=SMALL)
    found = s3.get_object(Bucket="photos", Key="k", Range=text)
    assert (found["Body"].read(), found["ResponseMetadata"]["HTTPStatusCode"]) == (SMALL, 200)


@pytest.mark.parametrize("text", ["bytes=0-1", "bytes=99-"])
def test_if_range(wire: Wire, s3: S3Client, text: str) -> None:
    """A range of another version, by a strong ETag or by the exact time, is not cut; a HEAD says the same."""
    etag = s3.put_object(Bucket="photos", Key="k", Body=SMALL)["ETag"]
    modified = wire.send("HEAD", "/photos/k").headers["last-modified"]
    same = 206 if text == "bytes=0-1" else 416
    for value, status in (
        (etag, same),
        (etag.strip('"'), same),
        (modified, same),
        ('"abc"', 200),
        (f"W/{etag}", 200),
        ("Tue, 14 Nov 2023 22:13:20 GMT", 200),
        ("Tue, 14 Nov 2090 22:13:20 GMT", 200),
        ("whenever", 200),
    ):
        headers = {"Range": text, "If-Range": value}
        answer = wire.send("GET", "/photos/k", headers=headers)
        assert answer.status == status, value
        if status != 416:
            assert answer.body == (SMALL[:2] if status == 206 else SMALL)
        head = wire.send("HEAD", "/photos/k", headers=headers)
        assert head.status == status, value
        for name in ("content-range", "content-length", "etag"):
            assert head.headers.get(name) == answer.headers.get(name), (value, name)


def test_if_range_is_evaluated_on_the_version_that_is_read(server: Server, wire: Wire, s3: S3Client) -> None:
    """A part of one version is never continued with a part of the next, which came in between."""
    etag = s3.put_object(Bucket="photos", Key="k", Body=b"old" * 9)["ETag"]
    find = server.store.stored.find
    seen: list[Any] = []

    def find_and_replace(*args: Any, **options: Any) -> Any:
        found = find(*args, **options)
        if not seen:
            seen.append(found)
            server.store.put_object("photos", "k", b"new" * 9)
        return found

    server.store.stored.find = find_and_replace  # type: ignore[method-assign]
    answer = wire.send("GET", "/photos/k", headers={"Range": "bytes=3-5", "If-Range": etag})
    assert seen
    assert answer.headers["etag"] == etag or answer.status == 200, (answer.status, answer.body)


def test_a_whole_object_is_its_first_part(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=SMALL)
    found: Any = s3.get_object(Bucket="photos", Key="k", PartNumber=1)
    assert (found["Body"].read(), found["ResponseMetadata"]["HTTPStatusCode"]) == (SMALL, 206)
    assert "PartsCount" not in found
    with failure("InvalidPartNumber", 416):
        s3.get_object(Bucket="photos", Key="k", PartNumber=2)
    with failure("InvalidRequest", 400):
        s3.get_object(Bucket="photos", Key="k", PartNumber=1, Range="bytes=0-1")


def test_the_empty_object(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k")
    found = s3.get_object(Bucket="photos", Key="k")
    assert (found["Body"].read(), found["ContentLength"]) == (b"", 0)
    assert found["ETag"] == '"d41d8cd98f00b204e9800998ecf8427e"'
    assert s3.get_object(Bucket="photos", Key="k", PartNumber=1)["Body"].read() == b""
    with failure("InvalidRange", 416):
        s3.get_object(Bucket="photos", Key="k", Range="bytes=0-0")


# -- metadata


def test_system_headers_come_back(s3: S3Client) -> None:
    expires = dt.datetime(2033, 12, 1, 16, tzinfo=dt.UTC)
    options: dict[str, Any] = {
        "ContentType": "text/html; charset=utf-8",
        "ContentEncoding": "gzip",
        "ContentLanguage": "de, en",
        "ContentDisposition": 'attachment; filename="a b.txt"',
        "CacheControl": "max-age=60, public",
        "WebsiteRedirectLocation": "/other",
        "StorageClass": "STANDARD_IA",
    }
    s3.put_object(Bucket="photos", Key="k", Body=SMALL, Expires=expires, **options)
    for found in (s3.get_object(Bucket="photos", Key="k"), s3.head_object(Bucket="photos", Key="k")):
        assert {name: found.get(name) for name in options} == options
        assert found["ResponseMetadata"]["HTTPHeaders"]["expires"] == "Thu, 01 Dec 2033 16:00:00 GMT"
        assert found["AcceptRanges"] == "bytes"
        assert "VersionId" not in found
    s3.put_object(Bucket="photos", Key="plain", Body=SMALL)
    plain = s3.head_object(Bucket="photos", Key="plain")
    assert plain["ContentType"] == "binary/octet-stream"
    assert not set(options) - {"ContentType"} & plain.keys()


@pytest.mark.legacy_acls
def test_response_overrides(s3: S3Client, server: Server) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=SMALL, ContentType="text/plain", CacheControl="private")
    overrides: dict[str, Any] = {
        "ResponseContentType": "text/html",
        "ResponseContentLanguage": "fr",
        "ResponseExpires": dt.datetime(2033, 12, 1, 16, tzinfo=dt.UTC),
        "ResponseCacheControl": "no-store",
        "ResponseContentDisposition": 'attachment; filename="x"',
        "ResponseContentEncoding": "identity",
    }
    headers = s3.get_object(Bucket="photos", Key="k", **overrides)["ResponseMetadata"]["HTTPHeaders"]
    assert headers["content-type"] == "text/html"
    assert headers["content-language"] == "fr"
    assert headers["cache-control"] == "no-store"
    assert headers["content-disposition"] == 'attachment; filename="x"'
    assert headers["content-encoding"] == "identity"
    assert headers["expires"].startswith("Thu, 01 Dec 2033")
    s3.put_object_acl(Bucket="photos", Key="k", ACL="public-read")
    wire = Wire(server.url)
    assert wire.send("GET", "/photos/k", signed=False).status == 200
    answer = wire.send("GET", "/photos/k?response-content-type=text%2Fhtml", signed=False)
    assert (answer.status, answer.code) == (400, "InvalidRequest")


def test_user_metadata(s3: S3Client, wire: Wire) -> None:
    metadata = {"plain": "value", "UPPER": "Case", "empty": "", "with-hyphen": "a=b; c"}
    s3.put_object(Bucket="photos", Key="k", Body=b"", Metadata=metadata)
    found = s3.head_object(Bucket="photos", Key="k")["Metadata"]
    assert found == {name.lower(): value for name, value in metadata.items()}
    exact = {"x" * 40: "y" * 2008}
    s3.put_object(Bucket="photos", Key="k", Body=b"", Metadata=exact)
    assert s3.head_object(Bucket="photos", Key="k")["Metadata"] == exact
    with failure("MetadataTooLarge", 400):
        s3.put_object(Bucket="photos", Key="k", Body=b"", Metadata={"x" * 40: "y" * 2009})
    headers = {"x-amz-meta-a": "€ ü".encode().decode("latin-1")}
    assert wire.send("PUT", "/photos/k", b"", headers, payload=UNSIGNED).status == 200
    answer = wire.send("GET", "/photos/k").headers["x-amz-meta-a"]
    ((raw, charset),) = email.header.decode_header(answer)
    assert isinstance(raw, bytes)
    assert raw.decode(charset or "") == "€ ü", "as AWS shows it: an RFC 2047 word"


def test_an_encoded_word_comes_back_as_it_was_sent(s3: S3Client) -> None:
    word = "=?UTF-8?B?w7w=?="
    s3.put_object(Bucket="photos", Key="k", Body=b"", Metadata={"a": word})
    assert s3.head_object(Bucket="photos", Key="k")["Metadata"] == {"a": word}


def test_directory_markers_are_objects(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="folder/", Body=b"", ContentType="application/x-directory")
    s3.put_object(Bucket="photos", Key="folder", Body=b"file")
    assert s3.head_object(Bucket="photos", Key="folder/")["ContentType"] == "application/x-directory"
    assert s3.get_object(Bucket="photos", Key="folder")["Body"].read() == b"file"


# -- times


def test_times_in_documents_are_those_of_headers(s3: S3Client, wire: Wire) -> None:
    """Whole seconds in every document, equal to what HEAD says, so that programs can compare them."""
    texts: list[str] = []

    def times(answer: Answer) -> list[str]:
        assert answer.status == 200
        found = re.findall(rb"<(LastModified|CreationDate|Initiated)>([^<]*)<", answer.body)
        texts.extend(text.decode() for _, text in found)
        return [text.decode() for _, text in found]

    s3.put_object(Bucket="photos", Key="k", Body=SMALL)
    copied = times(wire.send("PUT", "/photos/l", headers={"x-amz-copy-source": "photos/k"}))
    shown = [s3.head_object(Bucket="photos", Key=key)["LastModified"] for key in ("k", "l")]
    expected = [f"{when:%Y-%m-%dT%H:%M:%S}.000Z" for when in shown]
    assert copied == expected[1:]
    for listing in ("/photos", "/photos?list-type=2", "/photos?versions"):
        assert times(wire.send("GET", listing)) == expected
    upload = s3.create_multipart_upload(Bucket="photos", Key="parts")["UploadId"]
    where = f"/photos/parts?uploadId={upload}"
    part = times(wire.send("PUT", f"{where}&partNumber=1", headers={"x-amz-copy-source": "photos/k"}))
    assert times(wire.send("GET", where)) == part
    assert len(times(wire.send("GET", "/photos?uploads"))) == 1
    assert len(times(wire.send("GET", "/"))) == 1
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z", text) for text in texts)


def test_the_last_bytes_of_an_empty_object(s3: S3Client, wire: Wire) -> None:
    s3.put_object(Bucket="photos", Key="empty", Body=b"")
    for method in ("GET", "HEAD"):
        answer = wire.send(method, "/photos/empty", headers={"Range": "bytes=-5"})
        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")
        assert "content-range" not in answer.headers
        for text in ("bytes=0-", "bytes=0-0", "bytes=-0", "bytes=5-9"):
            answer = wire.send(method, "/photos/empty", headers={"Range": text})
            assert (answer.status, answer.headers["content-range"]) == (416, "bytes */0")


# -- versions of an unversioned bucket


def test_the_null_version_is_the_object(s3: S3Client) -> None:
    put: Any = s3.put_object(Bucket="photos", Key="k", Body=SMALL)
    assert "VersionId" not in put
    assert s3.get_object(Bucket="photos", Key="k", VersionId="null")["Body"].read() == SMALL
    assert s3.head_object(Bucket="photos", Key="k", VersionId="null")["ContentLength"] == 5
    s3.delete_object(Bucket="photos", Key="k", VersionId="v" * 32)
    assert s3.head_object(Bucket="photos", Key="k")["ContentLength"] == 5
    s3.delete_object(Bucket="photos", Key="k", VersionId="null")
    with failure("404", 404):
        s3.head_object(Bucket="photos", Key="k")


# -- GetObjectAttributes


def test_attributes_are_those_asked_for(s3: S3Client) -> None:
    etag = s3.put_object(Bucket="photos", Key="k", Body=SMALL, StorageClass="GLACIER")["ETag"]
    everything: Any = s3.get_object_attributes(
        Bucket="photos", Key="k", ObjectAttributes=["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    )
    assert everything["ETag"] == etag.strip('"')
    assert everything["StorageClass"] == "GLACIER"
    assert everything["ObjectSize"] == 5
    assert "ObjectParts" not in everything
    assert everything["LastModified"]
    size = s3.get_object_attributes(Bucket="photos", Key="k", ObjectAttributes=["ObjectSize"])
    assert {"ETag", "Checksum", "StorageClass"} & size.keys() == set()
    with failure("InvalidArgument", 400):
        s3.get_object_attributes(Bucket="photos", Key="k", ObjectAttributes=["Colour"])  # type: ignore[list-item]  # wrong
    with failure("NoSuchKey", 404):
        s3.get_object_attributes(Bucket="photos", Key="absent", ObjectAttributes=["ETag"])


# -- DeleteObjects


def test_deleting_many(s3: S3Client) -> None:
    for key in ("a", "b&<", "c"):
        s3.put_object(Bucket="photos", Key=key, Body=b"")
    answer = s3.delete_objects(
        Bucket="photos",
        Delete={"Objects": [{"Key": "a"}, {"Key": "b&<"}, {"Key": "absent"}, {"Key": "c", "ETag": '"abc"'}]},
    )
    assert [deleted["Key"] for deleted in answer["Deleted"]] == ["a", "b&<", "absent"]
    assert [(error["Key"], error["Code"]) for error in answer["Errors"]] == [("c", "PreconditionFailed")]
    quiet = s3.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": "c"}, {"Key": "absent"}], "Quiet": True})
    assert not {"Deleted", "Errors"} & quiet.keys()
    assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 0


def test_deleting_a_thousand_with_any_digest(s3: S3Client, wire: Wire) -> None:
    keys: Any = [{"Key": f"k{number}"} for number in range(1000)]
    answer = s3.delete_objects(Bucket="photos", Delete={"Objects": keys}, ChecksumAlgorithm="SHA256")
    assert len(answer["Deleted"]) == 1000
    body = b"<Delete><Object><Key>k</Key></Object></Delete>"
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    assert wire.send("POST", "/photos?delete", body, {"Content-MD5": md5}).status == 200
    assert wire.send("POST", "/photos?delete", body).code == "InvalidRequest"


def test_unknown_operations_of_the_object(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=SMALL)
    with failure("InvalidRequest", 400):
        s3.put_object_legal_hold(Bucket="photos", Key="k", LegalHold={"Status": "ON"})
    with failure("NotImplemented", 501):
        s3.put_object(Bucket="photos", Key="l", Body=b"", ServerSideEncryption="aws:kms:dsse")
    assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 1
    for read in (s3.get_object, s3.head_object):
        with failure("InvalidRequest" if read == s3.get_object else "400", 400):
            read(Bucket="photos", Key="k", SSECustomerAlgorithm="AES256", SSECustomerKey="0" * 32)


def test_the_waiters_of_boto3_work(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=b"")
    s3.get_waiter("object_exists").wait(Bucket="photos", Key="k", WaiterConfig={"Delay": 1, "MaxAttempts": 1})
    s3.get_waiter("object_not_exists").wait(Bucket="photos", Key="absent", WaiterConfig={"Delay": 1, "MaxAttempts": 1})


def test_an_encoding_that_only_says_aws_chunked_does_not_make_a_body_so(s3: S3Client) -> None:
    for body in (b"", b"data", b"data" * 100_000):
        s3.put_object(Bucket="photos", Key="k", Body=body, ContentEncoding="gzip, aws-chunked")
        found = s3.get_object(Bucket="photos", Key="k")
        assert (found["ContentEncoding"], found["Body"].read()) == ("gzip", body)


def test_trailers_without_the_length_of_the_data_are_refused(wire: Wire) -> None:
    headers = {"Content-Encoding": "aws-chunked", "x-amz-trailer": "x-amz-checksum-crc32"}
    answer = wire.send("PUT", "/photos/k", b"4\r\ndata\r\n0\r\n\r\n", headers, payload=UNSIGNED)
    assert (answer.status, answer.code) == (411, "MissingContentLength")


def test_an_answer_without_a_body_says_what_has_not_changed(s3: S3Client, wire: Wire) -> None:
    etag = s3.put_object(Bucket="photos", Key="k", Body=b"data")["ETag"]
    answer = wire.send("GET", "/photos/k", headers={"If-None-Match": etag})
    assert (answer.status, answer.headers["etag"], "last-modified" in answer.headers) == (304, etag, True)


def test_where_a_website_may_redirect_to(s3: S3Client) -> None:
    with failure("InvalidRedirectLocation", 400):
        s3.put_object(Bucket="photos", Key="k", Body=b"", WebsiteRedirectLocation="zz")
    s3.put_object(Bucket="photos", Key="k", Body=b"", WebsiteRedirectLocation="/other")


def test_a_target_that_is_not_percent_encoded(wire: Wire) -> None:
    assert wire.send("GET", "/photos/%zz", signed=False).code == "InvalidURI"
    assert wire.send("GET", "/photos/100%", signed=False).code == "InvalidURI"
