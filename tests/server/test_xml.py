"""XML from clients: what is accepted, and every bomb and muddle that is not."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bleepstore import Acl, Algorithm, Checksum, CompletedPart, DeleteEntry, Grant, Group, Permission, WriteCondition
from bleepstore.errors import S3Error
from bleepstore_server.wire.documents.acl import parse_acl, policy_of
from bleepstore_server.wire.documents.buckets import CreateBucketConfiguration, LocationConstraint
from bleepstore_server.wire.documents.declare import parse, render
from bleepstore_server.wire.documents.errors import error_document
from bleepstore_server.wire.documents.objects import Delete
from bleepstore_server.wire.documents.text import encode_url, iso_time, restore
from bleepstore_server.wire.documents.uploads import CompleteMultipartUpload
from bleepstore_server.wire.errors import RequestError

NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

BOMBS = {
    "billion laughs": b'<!DOCTYPE Delete [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><Delete><Key>&b;</Key></Delete>',
    "external entity": b'<!DOCTYPE Delete [<!ENTITY a SYSTEM "file:///etc/passwd">]><Delete><Key>&a;</Key></Delete>',
    "external dtd": b'<!DOCTYPE Delete SYSTEM "http://localhost:1/x.dtd"><Delete><Object><Key>k</Key></Object></Delete>',
    "bare dtd": b"<!DOCTYPE Delete><Delete><Object><Key>k</Key></Object></Delete>",
    "parameter entity": b'<!DOCTYPE Delete [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]><Delete/>',
}  # fmt: skip
MUDDLES = [
    b" ", b"x", b"<", b"<Delete>", b"<Delete></Remove>", b"<Delete/><Delete/>", b"\xff\xfe\x00", b"\x00",
    b"<Delete>&undefined;</Delete>", b"<Delete a=1/>", b'<?xml version="1.0" encoding="martian"?><Delete/>',
    b'<?xml version="9.9"?><Delete/>', b"<Delete>\x01</Delete>", b"<Delete>\xed\xa0\x80</Delete>",
    b"<Other><Object><Key>k</Key></Object></Other>", b"{}", b"<Delete>" * 100_000,
]  # fmt: skip

Parser = Any
PARSERS: dict[str, Parser] = {
    "delete": lambda body: parse(Delete, body),
    "complete": lambda body: parse(CompleteMultipartUpload, body),
    "acl": lambda body: parse_acl(body, lambda email: email, lambda owner: None),
    "location": lambda body: parse(CreateBucketConfiguration, body),
}


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("bomb", BOMBS)
def test_entities_and_dtds_are_refused(parser: str, bomb: str) -> None:
    roots = {
        "delete": b"Delete",
        "complete": b"CompleteMultipartUpload",
        "acl": b"AccessControlPolicy",
        "location": b"CreateBucketConfiguration",
    }
    root = roots[parser]
    with pytest.raises((RequestError, S3Error)) as refused:
        PARSERS[parser](BOMBS[bomb].replace(b"Delete", root))
    assert getattr(refused.value, "code", None) in ("MalformedXML", "MalformedACLError")


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("body", MUDDLES, ids=range(len(MUDDLES)))
def test_what_is_not_the_document_is_refused(parser: str, body: bytes) -> None:
    with pytest.raises((RequestError, S3Error)) as refused:
        PARSERS[parser](body)
    assert getattr(refused.value, "code", None) in ("MalformedXML", "MalformedACLError")


@pytest.mark.parametrize(
    ("parser", "code"),
    [
        ("delete", "MissingRequestBodyError"),
        ("complete", "MalformedXML"),
        ("acl", "MalformedACLError"),
        ("location", "MissingRequestBodyError"),
    ],
)
def test_no_document_at_all_is_refused(parser: str, code: str) -> None:
    with pytest.raises((RequestError, S3Error)) as refused:
        PARSERS[parser](b"")
    assert getattr(refused.value, "code", None) == code


@settings(max_examples=200, derandomize=True, deadline=None)
@given(body=st.binary(max_size=200) | st.text(alphabet="<>/&;\"'= aDeletKyOb![]-?x", max_size=80).map(str.encode))
def test_random_bytes_give_a_refusal_or_a_document(body: bytes) -> None:
    for parser in PARSERS.values():
        try:
            parser(body)
        except (RequestError, S3Error):
            continue


# -- Delete


def delete(body: bytes) -> tuple[list[DeleteEntry], bool]:
    found = parse(Delete, body)
    return [identifier.entry() for identifier in found.objects], found.quiet


@pytest.mark.parametrize("ns", ["", NS, 'xmlns="urn:other"'])
def test_delete(ns: str) -> None:
    body = (
        f"<?xml version='1.0' encoding='UTF-8'?>\n<Delete {ns}> <Quiet> true </Quiet>"
        "<Object><Key>a</Key></Object>"
        "<Object><Key>ü &amp; &lt;b&gt; &#128512;</Key><VersionId>null</VersionId></Object>"
        '<Object><Key> c </Key><ETag>"abc"</ETag></Object></Delete>'
    )
    entries, quiet = delete(body.encode())
    assert quiet
    assert entries == [
        DeleteEntry(key="a"),
        DeleteEntry(key="ü & <b> \U0001f600", version_id="null"),
        DeleteEntry(key=" c ", condition=WriteCondition(if_match="abc")),
    ]
    assert delete(b"<Delete><Object><Key>a</Key></Object></Delete>")[1] is False


@pytest.mark.parametrize(
    "content",
    ["", "<Quiet>true</Quiet>", "<Object/>", "<Object><Key/></Object>", "<Object><VersionId>null</VersionId></Object>"],
)
def test_a_delete_names_keys(content: str) -> None:
    with pytest.raises(RequestError) as refused:
        delete(f"<Delete>{content}</Delete>".encode())
    assert refused.value.code == "MalformedXML"


def test_a_delete_has_at_most_a_thousand_entries() -> None:
    entry = "<Object><Key>k</Key></Object>"
    assert len(delete(f"<Delete>{entry * 1000}</Delete>".encode())[0]) == 1000
    with pytest.raises(RequestError) as refused:
        delete(f"<Delete>{entry * 1001}</Delete>".encode())
    assert refused.value.code == "MalformedXML"


@pytest.mark.parametrize("name", ["LastModifiedTime", "Size"])
def test_a_condition_that_is_not_supported_is_refused_not_ignored(name: str) -> None:
    with pytest.raises(RequestError) as refused:
        delete(f"<Delete><Object><Key>k</Key><{name}>1</{name}></Object></Delete>".encode())
    assert refused.value.code == "NotImplemented"


# -- CompleteMultipartUpload


@pytest.mark.parametrize("element", ["<ETag/>", "<ETag></ETag>", '<ETag>""</ETag>'])
def test_an_empty_etag_of_a_delete_is_a_condition_that_never_holds(element: str) -> None:
    entries, _quiet = delete(f"<Delete><Object><Key>a</Key>{element}</Object></Delete>".encode())
    assert entries == [DeleteEntry(key="a", condition=WriteCondition(if_match=""))]


def part(number: str, etag: str = "e", more: str = "") -> str:
    return f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{more}</Part>"


def complete(content: str) -> list[CompletedPart]:
    body = f"<CompleteMultipartUpload {NS}>{content}</CompleteMultipartUpload>".encode()
    return [element.part() for element in parse(CompleteMultipartUpload, body).parts]


def test_complete() -> None:
    assert complete(part("1") + part(" 2 ", "&quot;f&quot;", "<ChecksumCRC32>AAAAAA==</ChecksumCRC32>")) == [
        CompletedPart(number=1, etag="e"),
        CompletedPart(number=2, etag='"f"', checksum=Checksum(Algorithm.CRC32, "AAAAAA==")),
    ]


@pytest.mark.parametrize("number", ["", "x", "1.5", "²", "9" * 30, "0x1", "1 2"])
def test_a_part_number_is_a_number(number: str) -> None:
    with pytest.raises(RequestError) as refused:
        complete(part(number))
    assert refused.value.code == "MalformedXML"


@pytest.mark.parametrize(
    "content", ["", "<Part/>", "<Part><PartNumber>1</PartNumber></Part>", "<Part><ETag>e</ETag></Part>", part("1", "")]
)
def test_a_complete_names_parts(content: str) -> None:
    with pytest.raises(RequestError) as refused:
        complete(content)
    assert refused.value.code == "MalformedXML"


def test_a_complete_has_at_most_ten_thousand_parts() -> None:
    assert len(complete(part("1") * 10_000)) == 10_000
    with pytest.raises(RequestError):
        complete(part("1") * 10_001)


# -- AccessControlPolicy

XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


def acl(grants: str, owner: str = "<Owner><ID>alice</ID></Owner>") -> Acl:
    body = f"<AccessControlPolicy {NS}>{owner}<AccessControlList>{grants}</AccessControlList></AccessControlPolicy>"
    return parse_acl(body.encode(), lambda email: f"id-of-{email}", lambda owner: None)


def grant(grantee: str, permission: str = "READ", kind: str = "CanonicalUser") -> str:
    return f'<Grant><Grantee {XSI} xsi:type="{kind}">{grantee}</Grantee><Permission>{permission}</Permission></Grant>'


def test_access_control_policy() -> None:
    found = acl(
        grant("<ID>alice</ID><DisplayName>Alice</DisplayName>", "FULL_CONTROL")
        + grant("<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>", "READ", "Group")
        + grant("<EmailAddress>bob@example.com</EmailAddress>", "WRITE_ACP", "AmazonCustomerByEmail")
    )
    assert found == Acl(
        "alice",
        (
            Grant("alice", Permission.FULL_CONTROL),
            Grant(Group.ALL_USERS, Permission.READ),
            Grant("id-of-bob@example.com", Permission.WRITE_ACP),
        ),
    )
    assert acl("") == Acl("alice", ())


@pytest.mark.parametrize(
    "grants",
    [
        grant("<ID>a</ID>", "DANCE"),
        grant("<ID>a</ID>", ""),
        grant("", "READ"),
        grant("<ID/>", "READ"),
        grant("<ID>a</ID>", "READ", "Group"),
        "<Grant><Permission>READ</Permission></Grant>",
        grant("<ID>a</ID>") * 101,
    ],
    ids=range(7),
)
def test_a_malformed_grant_is_refused(grants: str) -> None:
    with pytest.raises(S3Error) as refused:
        acl(grants)
    assert refused.value.code == "MalformedACLError"


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(RequestError) as refused:
        acl(grant("<URI>http://acs.amazonaws.com/groups/global/Nobody</URI>", "READ", "Group"))
    assert refused.value.code == "InvalidArgument"


@pytest.mark.parametrize(
    "owner", ["", "<Owner/>", "<Owner><ID/></Owner>", "<Owner><DisplayName>x</DisplayName></Owner>"]
)
def test_an_acl_names_its_owner(owner: str) -> None:
    with pytest.raises(S3Error) as refused:
        acl("", owner)
    assert refused.value.code == "MalformedACLError"


def test_what_we_render_we_also_read() -> None:
    given = Acl("alice", (Grant("alice", Permission.FULL_CONTROL), Grant(Group.AUTHENTICATED_USERS, Permission.READ)))
    body = render(policy_of(given, lambda owner_id: f"<{owner_id}>"))
    assert parse_acl(body, str, lambda owner: None) == given


# -- rendering


@settings(max_examples=200, derandomize=True)
@given(text=st.text(st.characters(codec="utf-8"), max_size=30))
def test_any_text_makes_a_document_that_parsers_accept(text: str) -> None:
    root = ET.fromstring(render(LocationConstraint(location=text)))
    read = root.text or ""
    assert restore(read) == text


@settings(max_examples=300, derandomize=True)
@given(text=st.text(st.sampled_from("a\x00\x01\t\r\u2400\u2401\ufdd0\ufdd1\ufdd2\ufffd\ufffe\uffff"), max_size=8))
def test_texts_that_xml_cannot_hold_stay_different(text: str) -> None:
    root = ET.fromstring(render(LocationConstraint(location=text)))
    read = root.text or ""
    assert restore(read) == text
    if not set(text) & set("\x00\x01\ufffe\uffff\ufdd0"):
        assert read == text, "what XML can hold is shown as it is"


def test_an_error_document() -> None:
    body = error_document("NoSuchKey", "No <key>.", "/b/k&", "R1", {"Key": "k&", "BucketName": "b"})
    root = ET.fromstring(body)
    assert root.tag == "Error"
    assert {child.tag: child.text for child in root} == {
        "Code": "NoSuchKey",
        "Message": "No <key>.",
        "Key": "k&",
        "BucketName": "b",
        "Resource": "/b/k&",
        "RequestId": "R1",
        "HostId": "R1",
    }


@pytest.mark.parametrize(
    ("time_ms", "text"), [(0, "1970-01-01T00:00:00.000Z"), (1_700_000_000_007, "2023-11-14T22:13:20.000Z")]
)
def test_times(time_ms: int, text: str) -> None:
    assert iso_time(time_ms) == text


@pytest.mark.parametrize(
    ("key", "encoded"),
    [("a/b", "a/b"), ("a b+c", "a%20b%2Bc"), ("x=1", "x%3D1"), ("ü", "%C3%BC"), ("a\nb", "a%0Ab"), ("-_.*~", "-_.*~")],
)
def test_encoding_type_url(key: str, encoded: str) -> None:
    assert encode_url(key) == encoded


@pytest.mark.parametrize("body", [b"<a>" * 500_000, b"<Delete>" + b"<a/>" * 500_000 + b"</Delete>"])
def test_a_document_of_too_many_tags_is_not_parsed(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("that would take long")

    monkeypatch.setattr("bleepstore_server.wire.documents.declare.fromstring", fail)
    with pytest.raises(RequestError, match="tags") as refused:
        parse(Delete, body)
    assert refused.value.code == "MalformedXML"


def test_the_largest_complete_has_few_enough_tags() -> None:
    part = (
        "<Part><PartNumber>{}</PartNumber><ETag>&quot;" + "a" * 32 + "&quot;</ETag><ChecksumCRC64NVME>AAAAAAAAAAA="
        "</ChecksumCRC64NVME><ChecksumSHA256></ChecksumSHA256></Part>"
    )
    parts = "".join(part.format(number) for number in range(1, 10_001))
    found = parse(CompleteMultipartUpload, f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode())
    assert len(found.parts) == 10_000
