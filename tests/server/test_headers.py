"""Header fields, parsed and rendered."""

from __future__ import annotations

import datetime as dt
from email.header import decode_header as decode_words
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bleepstore import (
    Algorithm,
    ByteRange,
    CannedAcl,
    Checksum,
    ChecksumType,
    Grant,
    Group,
    ObjectAttributes,
    ObjectVersion,
    Owner,
    Permission,
    ReadCondition,
    SystemMetadata,
    WriteCondition,
)
from bleepstore.digests import digest, encode_value
from bleepstore_server.exchange import Request, join_fields, parse_request
from bleepstore_server.wire import bodies, tokens
from bleepstore_server.wire import headers as h
from bleepstore_server.wire.errors import RequestError


class Everybody:
    """All accounts that a grant could name."""

    def find_by_email(self, email: str) -> str:
        return f"id-of-{email}"

    def check_owner_id(self, owner_id: str, argument: str = "") -> None:
        assert argument == "id"


def request(headers: dict[str, str] | list[tuple[str, str]], **environ: Any) -> Request:
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    latin = [(name, value.encode().decode("latin-1")) for name, value in pairs]
    fields = join_fields(latin)
    return parse_request({"REQUEST_METHOD": "PUT", "RAW_URI": "/b/k", "bleepstore.headers": fields, **environ})


def refusal(call: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(RequestError) as refused:
        call(*args, **options)
    return refused.value.code


# -- conditions


@pytest.mark.parametrize(
    ("headers", "condition"),
    [
        ({}, None),
        ({"if-match": '"abc"'}, ReadCondition(if_match=("abc",))),
        ({"if-match": "abc"}, ReadCondition(if_match=("abc",))),
        ({"if-match": '"a", W/"b" ,c'}, ReadCondition(if_match=("a", 'W/"b', "c"))),
        ({"if-none-match": '"a", W/"b" ,c'}, ReadCondition(if_none_match=("a", "b", "c"))),
        ({"if-none-match": "*"}, ReadCondition(if_none_match=("*",))),
        (
            {"if-modified-since": "Tue, 14 Nov 2023 22:13:20 GMT"},
            ReadCondition(if_modified_since=dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)),
        ),
        ({"if-unmodified-since": "whenever"}, ReadCondition()),
    ],
)
def test_conditions_of_reads(headers: dict[str, str], condition: ReadCondition | None) -> None:
    assert h.read_condition(headers) == condition
    copied = {f"x-amz-copy-source-{name}": value for name, value in headers.items()}
    assert h.read_condition(copied, "x-amz-copy-source-") == condition


@pytest.mark.parametrize(
    ("headers", "condition"),
    [
        ({}, WriteCondition()),
        ({"if-none-match": "*"}, WriteCondition(if_none_match=True)),
        ({"if-none-match": " * "}, WriteCondition(if_none_match=True)),
        ({"if-match": '"abc"'}, WriteCondition(if_match="abc")),
        ({"if-match": "abc"}, WriteCondition(if_match="abc")),
    ],
)
def test_conditions_of_writes(headers: dict[str, str], condition: WriteCondition) -> None:
    assert h.write_condition(headers) == condition


@pytest.mark.parametrize(
    "headers",
    [
        {"if-none-match": '"abc"'},
        {"if-none-match": ""},
        {"if-match": "*"},
        {"if-match": "a", "if-none-match": "*"},
        {"if-modified-since": "Tue, 14 Nov 2023 22:13:20 GMT"},
        {"if-unmodified-since": "Tue, 14 Nov 2023 22:13:20 GMT"},
    ],
)
def test_a_condition_that_is_not_supported_is_refused_never_ignored(headers: dict[str, str]) -> None:
    assert refusal(h.write_condition, headers) == "NotImplemented"


def test_conditions_of_deletes() -> None:
    assert h.write_condition({"if-match": "*"}, delete=True) == WriteCondition(if_match="*")
    assert h.write_condition({"if-match": '"a"'}, delete=True) == WriteCondition(if_match="a")
    assert refusal(h.write_condition, {"if-none-match": "*"}, delete=True) == "NotImplemented"
    for name in ("if-modified-since", "if-unmodified-since"):
        assert refusal(h.write_condition, {name: "Tue, 14 Nov 2023 22:13:20 GMT"}, delete=True) == "NotImplemented"


# -- ranges and numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("bytes=0-0", ByteRange(0, 0)),
        ("bytes=5-", ByteRange(5, None)),
        ("bytes=-5", ByteRange(None, 5)),
        (" bytes=1-2 ", ByteRange(1, 2)),
        ("bytes=2-1", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes 0-1", None),
        ("bytes=0-1x", None),
        ("", None),
        ("bytes=" + "1" * 100 + "-", None),
    ],
)
def test_ranges(text: str | None, expected: ByteRange | None) -> None:
    assert h.byte_range(text) == expected


def test_a_range_of_a_copy_is_complete() -> None:
    assert h.copy_source_range(None) is None
    assert h.copy_source_range("") is None
    assert h.copy_source_range("bytes=0-9") == ByteRange(0, 9)
    for text in (" ", "bytes=0-", "bytes=-5", "bytes=9-0", "0-9", "bytes=0-9,11-12", "bytes=a-b"):
        assert refusal(h.copy_source_range, text) == "InvalidArgument"


@pytest.mark.parametrize(("text", "value"), [(None, 7), ("", 7), ("0", 0), ("1000", 1000), ("2147483647", 1000)])
def test_numbers(text: str | None, value: int) -> None:
    assert h.number(text, "max-keys", 7, 1000) == value


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "1e3", "²", "2147483648", "9" * 50, " 1", "0x1"])
def test_what_is_no_number(text: str) -> None:
    assert refusal(h.number, text, "max-keys", 7) == "InvalidArgument"


# -- copy sources


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bkt/k", ("bkt", "k", None)),
        ("/bkt/k", ("bkt", "k", None)),
        ("bkt/a%2Fb%20c%2B", ("bkt", "a/b c+", None)),
        ("bkt%2Fk", ("bkt", "k", None)),
        ("bkt/a+b", ("bkt", "a b", None)),
        ("bkt/a%20+%2B", ("bkt", "a  +", None)),
        ("bkt/k?versionId=a+b%2B", ("bkt", "k", "a b+")),
        ("bkt//k", ("bkt", "/k", None)),
        ("bkt/k?versionId=null", ("bkt", "k", "null")),
        ("bkt/k%3FversionId=x", ("bkt", "k?versionId=x", None)),
        ("bkt/%C3%BC", ("bkt", "ü", None)),
        ("bkt/k?versionId=", ("bkt", "k", "")),
        ("bkt/k?versionId", ("bkt", "k?versionId", None)),
    ],
)
def test_copy_sources(text: str, expected: tuple[str, str, str | None]) -> None:
    found = h.copy_source(text)
    assert (found.bucket, found.key, found.version_id) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Invalid copy source bucket name"),
        ("/", "Invalid copy source bucket name"),
        ("b/k", "Invalid copy source bucket name"),
        ("//bkt/k", "Invalid copy source bucket name"),
        ("bkt", "Invalid copy source object key"),
        ("bkt/", "Invalid copy source object key"),
        ("/bkt/", "Invalid copy source object key"),
        ("bkt/%FF", "Invalid copy source encoding"),
        ("%C3/k", "Invalid copy source encoding"),
        ("bkt/100%", "Invalid copy source encoding"),
        ("bkt/%zz", "Invalid copy source encoding"),
        ("bkt/%+1", "Invalid copy source encoding"),
        ("bkt/k?versionId=%", "Invalid copy source encoding"),
        ("bkt/\xff", "Invalid copy source encoding"),
    ],
)
def test_what_is_no_copy_source(text: str, message: str) -> None:
    with pytest.raises(RequestError) as refused:
        h.copy_source(text)
    assert (refused.value.code, refused.value.message) == ("InvalidArgument", message)
    assert refused.value.fields == {"ArgumentName": "x-amz-copy-source", "ArgumentValue": text}


@pytest.mark.parametrize("start", ["", "/"])
def test_there_are_no_access_points_to_copy_from(start: str) -> None:
    text = start + "arn:aws:s3:us-west-2:123456789012:accesspoint/point/object/k"
    assert refusal(h.copy_source, text) == "NotImplemented"


# -- access control


def test_acls_by_header() -> None:
    assert h.acl_request({}, Everybody()) is None
    assert h.acl_request({"x-amz-acl": "public-read"}, Everybody()) == CannedAcl.PUBLIC_READ
    found = h.acl_request(
        {
            "x-amz-grant-read": 'id="alice", emailAddress="bob@example.com"',
            "x-amz-grant-full-control": "uri=http://acs.amazonaws.com/groups/global/AllUsers",
        },
        Everybody(),
    )
    assert isinstance(found, tuple)
    assert set(found) == {
        Grant(Group.ALL_USERS, Permission.FULL_CONTROL),
        Grant("alice", Permission.READ),
        Grant("id-of-bob@example.com", Permission.READ),
    }


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-amz-acl": "public"}, "InvalidArgument"),
        ({"x-amz-acl": ""}, "InvalidArgument"),
        ({"x-amz-acl": "private", "x-amz-grant-read": "id=a"}, "InvalidRequest"),
        ({"x-amz-grant-read": "alice"}, "InvalidArgument"),
        ({"x-amz-grant-read": "name=alice"}, "InvalidArgument"),
        ({"x-amz-grant-read": "uri=http://example.com/everyone"}, "InvalidArgument"),
    ],
)
def test_malformed_acls_by_header(headers: dict[str, str], code: str) -> None:
    assert refusal(h.acl_request, headers, Everybody()) == code


# -- metadata


def test_user_metadata_are_text_under_lower_case_names() -> None:
    found = h.object_attributes(
        request({"X-Amz-Meta-A_b": "1", "x-amz-meta-ü": "€", "x-amz-metadata": "no"}).headers
    ).metadata
    assert found["a_b"] == "1"
    assert "€" in found.values()
    assert len(found) == 2


def test_repeated_metadata_are_joined() -> None:
    assert h.object_attributes(request([("x-amz-meta-a", "1"), ("x-amz-meta-a", "2")]).headers).metadata == {"a": "1,2"}


def test_the_framing_of_the_body_is_no_property_of_the_object() -> None:
    for sent, kept in (
        ("aws-chunked", None),
        ("gzip,aws-chunked", "gzip"),
        ("aws-chunked, gzip, br", "gzip,br"),
        ("gzip, br", "gzip, br"),
        ("", None),
    ):
        assert h.object_attributes(request({"content-encoding": sent}).headers).system.content_encoding == kept


def version(**fields: Any) -> ObjectVersion:
    return ObjectVersion(
        bucket="b",
        key="k",
        etag="abc",
        size=3,
        modified_ms=1_700_000_000_999,
        owner=Owner("a"),
        attributes=ObjectAttributes(**fields),
    )


def test_an_object_is_described_by_headers() -> None:
    described = dict(
        h.object_headers(
            version(
                system=SystemMetadata(content_type="text/plain", content_disposition='a; filename="ü"'),
                storage_class="GLACIER",
                metadata={"a_b": "1"},
            )
        )
    )
    assert described["Last-Modified"] == "Tue, 14 Nov 2023 22:13:20 GMT", "whole seconds, cut off"
    assert described["ETag"] == '"abc"'
    assert described["Content-Type"] == "text/plain"
    assert described["x-amz-storage-class"] == "GLACIER"
    assert described["x-amz-meta-a_b"] == "1"
    assert described["Content-Disposition"].encode("latin-1").decode() == 'a; filename="ü"', "bytes, as they were sent"
    plain = dict(h.object_headers(version()))
    assert plain["Content-Type"] == "binary/octet-stream"
    assert "x-amz-storage-class" not in plain
    assert "x-amz-version-id" not in plain, "never a version id on an unversioned bucket"


@settings(max_examples=300, derandomize=True)
@given(text=st.text(max_size=40))
def test_no_value_breaks_out_of_its_header(text: str) -> None:
    shown = dict(h.object_headers(version(system=SystemMetadata(cache_control=text), metadata={"a": text})))
    for name in ("Cache-Control", "x-amz-meta-a"):
        value = shown.get(name, "")
        value.encode("latin-1")
        assert not any((c < " " and c != "\t") or c == "\x7f" for c in value)
    word = shown.get("x-amz-meta-a")
    if word is None:
        assert shown["x-amz-missing-meta"] == "1"
        assert text.isascii()
        assert not text.isprintable()
    elif text.isascii():
        assert word == text
    else:
        ((raw, charset),) = decode_words(word)
        assert isinstance(raw, bytes)
        assert raw.decode(charset or "") == text.encode("utf-8", "replace").decode()


# -- checksums


def test_checksum_headers() -> None:
    full = Checksum(Algorithm.CRC64NVME, "AAAAAAAAAAA=")
    assert h.checksum_headers(full, 3) == [
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
        ("x-amz-checksum-type", "FULL_OBJECT"),
    ]
    composite = Checksum(Algorithm.SHA256, "abc=", ChecksumType.COMPOSITE)
    assert h.checksum_headers(composite, 3)[0] == ("x-amz-checksum-sha256", "abc=-3")
    assert h.checksum_headers(None) == []
    assert h.checksum_type("composite") == ChecksumType.COMPOSITE
    assert refusal(h.checksum_type, "HALF") == "InvalidRequest"
    assert h.chosen_algorithm({"x-amz-checksum-algorithm": "crc32c"}) == Algorithm.CRC32C
    assert refusal(h.chosen_algorithm, {"x-amz-checksum-algorithm": "crc16"}) == "InvalidRequest"


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_every_checksum_has_its_header(algorithm: Algorithm) -> None:
    value = encode_value(digest(algorithm, b"data"))
    found = bodies.sent_checksum(request({f"X-Amz-Checksum-{algorithm.value}": value}).headers)
    assert found == Checksum(algorithm, value)


def test_two_checksums_are_one_too_many() -> None:
    headers = {"x-amz-checksum-crc32": "A", "x-amz-checksum-sha1": "A"}
    assert refusal(bodies.sent_checksum, headers) == "InvalidRequest"


def test_an_unknown_trailer_is_refused() -> None:
    unknown, known = request({"x-amz-trailer": "x-amz-meta-a"}), request({"x-amz-trailer": " X-Amz-Checksum-Crc32 "})
    assert refusal(bodies.announced_algorithm, unknown.headers, unknown.trailer_names, None) == "InvalidRequest"
    assert bodies.announced_algorithm(known.headers, known.trailer_names, None) == Algorithm.CRC32


# -- the request line


@pytest.mark.parametrize(
    ("target", "bucket", "key"),
    [
        ("/", None, None),
        ("/b", "b", None),
        ("/b/", "b", None),
        ("/b/k", "b", "k"),
        ("/b/k/", "b", "k/"),
        ("/b//k", "b", "/k"),
        ("/b/a//b", "b", "a//b"),
        ("/b/../k", "b", "../k"),
        ("/b/a%2Fb", "b", "a/b"),
        ("/b/a+b%20c", "b", "a+b c"),
        ("/b/%C3%BC", "b", "ü"),
        ("http://host:1/b/k", "b", "k"),
        ("/b/%00", "b", "\x00"),
        ("//k", None, "k"),
    ],
)
def test_targets(target: str, bucket: str | None, key: str | None) -> None:
    found = parse_request({"REQUEST_METHOD": "GET", "RAW_URI": target, "bleepstore.headers": {}})
    assert (found.bucket, found.key) == (bucket, key)


@pytest.mark.parametrize(
    "target",
    [
        "/b/%FF",
        "/%FF/k",
        "/b/%ED%A0%80",
        "/b?prefix=%FF",
        "/b?%FF=1",
        "/b/\xff",
        "/b/\u00c3\u00bc",
        "/b?\u00c3\u00bc",
        "/b/a#b",
        "/b#",
        "/b?prefix=a#b",
        "http://h/b/a#b",
    ],
)
def test_a_target_that_is_not_percent_encoded(target: str) -> None:
    environ = {"REQUEST_METHOD": "GET", "RAW_URI": target, "bleepstore.headers": {}}
    assert refusal(parse_request, environ) == "InvalidURI"


def test_virtual_hosts() -> None:
    def locate(host: str, target: str = "/k") -> tuple[str | None, str | None]:
        environ = {"REQUEST_METHOD": "GET", "RAW_URI": target, "bleepstore.headers": {"host": host}}
        found = parse_request(environ, ("s3.example.com",))
        return found.bucket, found.key

    assert locate("photos.s3.example.com") == ("photos", "k")
    assert locate("PHOTOS.s3.Example.com:9000") == ("photos", "k")
    assert locate("my.photos.s3.example.com", "/") == ("my.photos", None)
    assert locate("s3.example.com", "/photos/k") == ("photos", "k")
    assert locate("127.0.0.1:9000", "/photos/k") == ("photos", "k")
    assert locate("evils3.example.com", "/photos/k") == ("photos", "k")


def test_query_parameters() -> None:
    environ = {"REQUEST_METHOD": "GET", "RAW_URI": "/b?acl&a=&b=1+2%2B&b=again&&c=%C3%BC=x", "bleepstore.headers": {}}
    found = parse_request(environ)
    assert found.query == {"acl": "", "a": "", "b": "1 2+", "c": "ü=x"}
    assert list(found.raw_query) == [("acl", None), ("a", ""), ("b", "1+2%2B"), ("b", "again"), ("c", "%C3%BC=x")]


# -- continuation tokens


@pytest.mark.parametrize("key", ["", "a", "ü/😀", "a b\n", "x" * 1024])
def test_tokens_come_back(key: str) -> None:
    token = tokens.encode_token(key)
    assert token.isascii()
    assert tokens.decode_token(token) == key


@pytest.mark.parametrize("token", ["", "x", "é", "AAAA", "MQ", "Mf8=", "M" * 5000 + "!"])
def test_a_token_that_is_none(token: str) -> None:
    assert refusal(tokens.decode_token, token) == "InvalidArgument"


def test_a_metadata_name_that_is_no_header_name_is_counted_not_sent() -> None:
    """ "x-amz-missing-meta: the number of metadata entries not returned in x-amz-meta headers." """
    described = h.object_headers(version(metadata={"good": "1", "ü": "2", "a b": "3", "a\r\nX-Evil": "4", "": "5"}))
    assert [pair for pair in described if "meta" in pair[0]] == [("x-amz-meta-good", "1"), ("x-amz-missing-meta", "4")]
