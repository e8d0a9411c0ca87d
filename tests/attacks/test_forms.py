"""A form may upload what its policy admits and nothing else, and what it says of its object is applied or refused."""

from __future__ import annotations

import base64
import hmac
import json
import time
import tracemalloc
from typing import Any

import attrs
import pytest

from bleepstore.digests import Algorithm, digest, encode_value
from tests.server.conftest import ALICE, Server
from tests.server.tools import Answer, Wire, snapshot

BOUNDARY = b"7b7b"
#: What makes a field of this name valid, where it is not any text.
CRC = encode_value(digest(Algorithm.CRC32, b"data"))


def part(name: str, value: str | bytes, extra: str = "") -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    head = f'Content-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode()
    return b"--" + BOUNDARY + b"\r\n" + head + raw + b"\r\n"


def policy_of(conditions: Any) -> str:
    document = {"expiration": "2999-01-01T00:00:00Z", "conditions": conditions}
    return base64.b64encode(json.dumps(document).encode()).decode()


@attrs.frozen
class Poster:
    """Sends forms that alice signed for the bucket `photos`."""

    wire: Wire
    server: Server
    version: str

    def sign(self, policy: str) -> list[tuple[str, str]]:
        key = self.wire.secret_key.encode()
        if self.version == "s3":
            signature = base64.b64encode(hmac.digest(key, policy.encode(), "sha1")).decode()
            return [("AWSAccessKeyId", "alice"), ("policy", policy), ("signature", signature)]
        date = self.date
        signature = hmac.digest(self.wire.key(date), policy.encode(), "sha256").hex()
        return [*self.v4_fields, ("policy", policy), ("x-amz-signature", signature)]

    @property
    def date(self) -> str:
        return time.strftime("%Y%m%dT000000Z", time.gmtime())

    @property
    def v4_fields(self) -> list[tuple[str, str]]:
        date = self.date
        return [
            ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
            ("x-amz-credential", f"alice/{date[:8]}/us-east-1/s3/aws4_request"),
            ("x-amz-date", date),
        ]

    def conditions(self, *more: Any) -> list[Any]:
        of_signature = [] if self.version == "s3" else [{name: value} for name, value in self.v4_fields]
        return [{"bucket": "photos"}, *of_signature, *more]

    def send(self, parts: bytes, bucket: str = "photos") -> Answer:
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
        return self.wire.send("POST", f"/{bucket}", parts + b"--" + BOUNDARY + b"--\r\n", headers, signed=False)

    def post(
        self,
        fields: list[tuple[str, Any]],
        conditions: list[Any],
        *,
        filename: str = "cat.jpg",
        after: bytes = b"",
        bucket: str = "photos",
    ) -> Answer:
        """Send `fields` and then the file, under a policy of these conditions."""
        signed = self.sign(policy_of(self.conditions(*conditions)))
        body = b"".join(part(name, value) for name, value in [*fields, *signed])
        return self.send(body + part("file", b"data", f'; filename="{filename}"') + after, bucket)

    def refused(self, code: str, *args: Any, **options: Any) -> Answer:
        before = snapshot(self.server.store)
        answer = self.post(*args, **options)
        assert answer.code == code, answer
        assert 400 <= answer.status < 600
        assert answer.status != 500
        assert snapshot(self.server.store) == before
        return answer


@pytest.fixture
def poster(request: pytest.FixtureRequest, server: Server, prepared: Wire) -> Poster:
    return Poster(prepared, server, getattr(request, "param", "s3v4"))


BOTH_VERSIONS = pytest.mark.parametrize("poster", ["s3", "s3v4"], indirect=True)


def any_value(*names: str) -> list[Any]:
    return [["starts-with", f"${name}", ""] for name in names]


# -- one view


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("acl", ("public-read", "private")),
        ("acl", ("private", "private")),
        ("Content-Type", ("text/html", "text/plain")),
        ("x-amz-meta-a", ("1", "2")),
        ("x-amz-storage-class", ("STANDARD", "STANDARD_IA")),
        ("success_action_redirect", ("http://evil/", "http://good/")),
        ("x-amz-checksum-crc32", (CRC, CRC)),
        ("x-amz-grant-read", ("id=bob-id", "id=alice-id")),
        ("x-ignore-this", ("1", "2")),
        ("", ("1", "2")),
    ],
)
def test_no_field_is_there_twice(poster: Poster, name: str, values: tuple[str, str]) -> None:
    for other in (name, name.upper(), name.title()):
        given = [("key", "k"), (name, values[0]), (other, values[1])]
        answer = poster.refused("InvalidArgument", given, any_value("key", name))
        assert repr(name.lower()) in answer.error["Message"]


@BOTH_VERSIONS
def test_nor_are_the_key_the_policy_the_signature_and_the_file(poster: Poster) -> None:
    poster.refused("InvalidArgument", [("key", "kept"), ("Key", "k")], any_value("key"))
    policy = policy_of(poster.conditions(*any_value("key")))
    for name, value in poster.sign(policy):
        poster.refused("InvalidArgument", [("key", "k"), (name.upper(), value)], any_value("key"))
    for name in ("file", "File", "FILE"):
        second = part(name, b"other", '; filename="dog.jpg"')
        answer = poster.refused("InvalidArgument", [("key", "k")], any_value("key"), after=second)
        assert answer.error["Message"] == "POST requires exactly one file upload per request."
        poster.refused("InvalidArgument", [("key", "k")], any_value("key"), after=part(name, b"text"))


@BOTH_VERSIONS
@pytest.mark.legacy_acls
def test_what_follows_the_file_counts_for_nothing(poster: Poster) -> None:
    """ "Any fields below it are ignored": browsers send the button that was pressed there."""
    after = part("acl", "public-read") + part("submit", "Upload") + part("key", "kept")
    answer = poster.post([("key", "k"), ("acl", "private")], [{"acl": "private"}, *any_value("key")], after=after)
    assert answer.status == 204
    assert poster.wire.send("GET", "/photos/k", signed=False).code == "AccessDenied"
    assert poster.wire.send("GET", "/photos/kept").body == b"kept"


def test_the_file_is_found_under_any_case_of_its_name(poster: Poster) -> None:
    signed = poster.sign(policy_of(poster.conditions(*any_value("key"))))
    body = b"".join(part(name, value) for name, value in [("key", "in/${filename}"), *signed])
    assert poster.send(body + part("File", b"data" * 10_000, '; filename="x"')).status == 204
    assert poster.wire.send("GET", "/photos/in/x").body == b"data" * 10_000


# -- applied or refused


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("Cache-Control", "no-store", ("cache-control", "no-store")),
        ("Content-Type", "text/x", ("content-type", "text/x")),
        ("Content-Encoding", "gzip", ("content-encoding", "gzip")),
        ("Content-Language", "de", ("content-language", "de")),
        ("Content-Disposition", "attachment", ("content-disposition", "attachment")),
        ("Expires", "Thu, 01 Dec 2044 16:00:00 GMT", ("expires", "Thu, 01 Dec 2044 16:00:00 GMT")),
        ("x-amz-website-redirect-location", "/x", ("x-amz-website-redirect-location", "/x")),
        ("x-amz-storage-class", "STANDARD_IA", ("x-amz-storage-class", "STANDARD_IA")),
        ("x-amz-meta-a", "b", ("x-amz-meta-a", "b")),
        ("x-amz-checksum-crc32", CRC, ("x-amz-checksum-crc32", CRC)),
        ("x-amz-sdk-checksum-algorithm", "CRC32", ("x-amz-checksum-type", "FULL_OBJECT")),
        ("name", "plupload's", ("etag", '"8d777f385d3dfec8815d20f7496026dc"')),
        ("if-none-match", "*", ("etag", '"8d777f385d3dfec8815d20f7496026dc"')),
        ("bucket", "photos", ("etag", '"8d777f385d3dfec8815d20f7496026dc"')),
    ],
)
def test_what_a_policy_admits_is_applied(poster: Poster, name: str, value: str, found: tuple[str, str]) -> None:
    more = any_value(name) if name != "bucket" else []
    answer = poster.post([("key", "k"), (name, value)], [*any_value("key"), *more])
    assert answer.status == 204, answer
    described = poster.wire.send("HEAD", "/photos/k", headers={"x-amz-checksum-mode": "ENABLED"})
    assert described.headers[found[0]] == found[1]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("tagging", "<Tagging><TagSet><Tag></Tag></TagSet></Tagging>", "MalformedXML"),
        ("Tagging", "", "MalformedXML"),
        ("x-amz-checksum-algorithm", "CRC32", "InvalidRequest"),  # and no checksum
        ("x-amz-tagging", "a=b", "NotImplemented"),
        ("x-amz-object-lock-mode", "GOVERNANCE", "InvalidArgument"),
        ("x-amz-object-lock-legal-hold", "ON", "InvalidRequest"),
        ("x-amz-server-side-encryption", "aws:kms:dsse", "NotImplemented"),
        ("x-amz-server-side-encryption", "AES128", "InvalidEncryptionAlgorithmError"),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256", "InvalidArgument"),
        ("x-amz-server-side-encryption-bucket-key-enabled", "true", "InvalidArgument"),
        ("x-amz-copy-source", "/photos/kept", "NotImplemented"),
        ("x-amz-of-next-year", "x", "NotImplemented"),
        ("x-amz-checksum-crc16", "AAAA", "InvalidRequest"),
        ("x-amz-checksum-crc32", "AAAAAA==", "BadDigest"),
        ("x-amz-checksum-crc32", "nonsense", "InvalidRequest"),
        ("x-amz-sdk-checksum-algorithm", "CRC16", "InvalidRequest"),
        ("x-amz-storage-class", "CHEAP", "InvalidStorageClass"),
        ("x-amz-website-redirect-location", "ftp://x", "InvalidRedirectLocation"),
        ("Content-MD5", "AAAA", "InvalidDigest"),
        ("acl", "everyone", "InvalidArgument"),
        ("x-amz-grant-read", "someone", "InvalidArgument"),
        ("x-amz-meta-a", "x" * 3000, "MetadataTooLarge"),
        ("if-match", '"x"', "NoSuchKey"),
        ("Content-Type", "text/plain\r\nX-Evil: 1", "InvalidArgument"),
        ("Content-Disposition", "a\x00b", "InvalidArgument"),
    ],
)
def test_or_refused(poster: Poster, name: str, value: str, code: str) -> None:
    poster.refused(code, [("key", "k"), (name, value)], any_value("key", name))


def test_what_the_part_of_the_file_says_of_its_type_counts_for_nothing(poster: Poster) -> None:
    """No policy covers it: whoever holds a form could make a page of what should have been a picture."""
    signed = poster.sign(policy_of(poster.conditions(*any_value("key"))))
    fields = b"".join(part(name, value) for name, value in [("key", "k"), *signed])
    answer = poster.send(fields + part("file", b"data", '; filename="x"\r\nContent-Type: text/html'))
    assert answer.status == 204, answer
    assert poster.wire.send("HEAD", "/photos/k").headers["content-type"] == "binary/octet-stream"


def test_fields_that_contradict_each_other(poster: Poster) -> None:
    sha1 = encode_value(digest(Algorithm.SHA1, b"data"))
    two = [("key", "k"), ("x-amz-checksum-crc32", CRC), ("x-amz-checksum-sha1", sha1)]
    answer = poster.refused("InvalidRequest", two, any_value(*(name for name, _ in two)))
    assert answer.error["Message"].startswith("Expecting a single x-amz-checksum- header.")
    other = [("key", "k"), ("x-amz-checksum-crc32", CRC), ("x-amz-sdk-checksum-algorithm", "SHA1")]
    answer = poster.refused("InvalidRequest", other, any_value(*(name for name, _ in other)))
    assert answer.error["Message"] == "Value for x-amz-sdk-checksum-algorithm header is invalid."
    acls = [("key", "k"), ("acl", "private"), ("x-amz-acl", "public-read")]
    poster.refused("InvalidArgument", acls, any_value(*(name for name, _ in acls)))
    poster.refused("InvalidArgument", [("key", "k"), ("bucket", "other")], any_value("key"))


@BOTH_VERSIONS
def test_the_policy_is_checked_first(poster: Poster) -> None:
    """Whoever may not upload learns nothing else."""
    for fields in ([("tagging", "x")], [("acl", "everyone")], [("x-amz-grant-read", "emailAddress=bob@example.com")]):
        poster.refused("AccessDenied", [("key", "k"), *fields], any_value("key"))
    poster.refused("AccessDenied", [("key", "k")], any_value("key"), bucket="absent")


# -- the name of the file


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("cat.jpg", "cat.jpg"),
        ("", ""),
        ("/home/me/cat.jpg", "cat.jpg"),
        ("me/cat.jpg", "cat.jpg"),
        ("C:\\Program Files\\directory1\\file.txt", "file.txt"),
        ("C:\\\\Program Files\\\\file.txt", "file.txt"),
        ("a\\b/c", "c"),
        ("a/b\\c", "c"),
        ("a/", ""),
        ("..\\..\\kept", "kept"),
        ("kätzchen.jpg", "kätzchen.jpg"),
        ("a%22b.txt", 'a"b.txt'),
        ('x/a\\"b.txt', 'a"b.txt'),
        ("${filename}", "${filename}"),
    ],
)
def test_the_name_of_the_file_is_put_in_before_the_policy_is_checked(poster: Poster, filename: str, name: str) -> None:
    """In every field: the policy names the text that results, and would not hold for the variable."""
    fields = [("key", "up/${filename}!"), ("x-amz-meta-name", "${filename}"), ("Cache-Control", "a${filename}b")]
    conditions = [{"key": f"up/{name}!"}, {"x-amz-meta-name": name}, ["eq", "$Cache-Control", f"a{name}b"]]
    answer = poster.post(fields, conditions, filename=filename)
    assert answer.status == 204, answer
    version = poster.server.store.head_object("photos", f"up/{name}!").version
    assert version.metadata == {"name": name}
    assert version.system.cache_control == f"a{name}b"
    if name != "${filename}":
        literal = [["eq", "$key", "up/${filename}!"], *conditions[1:]]
        poster.refused("AccessDenied", fields, literal, filename=filename)


def test_a_policy_does_not_hold_for_a_name_that_leads_elsewhere(poster: Poster) -> None:
    poster.refused("AccessDenied", [("key", "${filename}")], [["starts-with", "$key", "user/"]], filename="kept")
    poster.refused("AccessDenied", [("key", "${filename}")], [["starts-with", "$key", "user/"]], filename="user/kept")


def test_many_variables_and_a_long_name_take_no_memory(poster: Poster) -> None:
    """20 KB of `${filename}` and a name of 200 KB would be 400 MB."""
    tracemalloc.start()
    try:
        fields = [("key", "k"), ("x-amz-meta-a", "${filename}" * 1500)]
        poster.refused(
            "MaxPostPreDataLengthExceededError", fields, any_value("key", "x-amz-meta-a"), filename="x" * 200_000
        )
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


# -- what comes back


@pytest.mark.parametrize(
    ("redirect", "target"),
    [
        ("http://example.com/done", "http://example.com/done?FACTS"),
        ("https://example.com", "https://example.com?FACTS"),
        ("http://example.com/done?a=1", "http://example.com/done?a=1&FACTS"),
        ("http://example.com/done?a=1#top", "http://example.com/done?a=1&FACTS#top"),
        *((bad, None) for bad in (
            "", "nonsense", "/done", "//example.com/", "ftp://example.com/", "javascript:alert(1)", "http://",
            "http:///done", "http://[bad/", "http://[::1", "http://example.com/\r\nX-Evil: 1", "http://exämple.com/",
            "http://example.com/a b", "\x00", "http://example.com/\x7f",
        )),
    ],
)  # fmt: skip
def test_redirects(poster: Poster, redirect: str, target: str | None) -> None:
    """ "If Amazon S3 cannot interpret the URL, it acts as if the field is not present." """
    field = "redirect" if "?" in redirect else "success_action_redirect"  # the older name does the same
    fields = [("key", "a b"), (field, redirect), ("success_action_status", "200")]
    answer = poster.post(fields, any_value(*(name for name, _ in fields)))
    if target is None:
        assert answer.status == 200
        assert answer.headers["location"] == f"{poster.wire.url}/photos/a%20b"
        assert "x-evil" not in answer.headers
    else:
        facts = "bucket=photos&key=a+b&etag=%228d777f385d3dfec8815d20f7496026dc%22"
        assert (answer.status, answer.headers["location"]) == (303, target.replace("FACTS", facts))


# -- hostile policies and bytes


@pytest.mark.parametrize(
    "condition",
    [
        ["eq", "$key", "\ud800"],
        ["eq", "$key", "\x00\x01"],
        [[[[[[]]]]]],
        ["eq", "$" + "x" * 5000, "k"],
        ["content-length-range", 0, 10**300],
        ["content-length-range", 10**300, 10**300],
        {"\ud800": "k"},
        {"": ""},
        ["eq", "$", ""],
    ],
    ids=range(9),
)
def test_hostile_conditions(poster: Poster, condition: Any) -> None:
    answer = poster.post([("key", "k")], [*any_value("key"), condition])
    assert answer.status in (204, 400, 403)


def test_a_policy_that_is_nested_deeply(poster: Poster) -> None:
    for depth in (100, 900, 3000, 6000):
        text = '{"expiration": "2999-01-01T00:00:00Z", "conditions": [' + "[" * depth + "]" * depth + "]}"
        signed = poster.sign(base64.b64encode(text.encode()).decode())
        body = b"".join(part(name, value) for name, value in [("key", "k"), *signed])
        assert poster.send(body + part("file", b"data")).code in ("InvalidPolicyDocument", "AccessDenied")


def test_fields_that_are_not_utf_8(poster: Poster) -> None:
    """What would be replaced is not what was sent."""
    for name, value in (("key", b"a\xff"), ("x-amz-meta-a", b"\xe9")):
        fields = [(name, value)] if name == "key" else [("key", "k"), (name, value)]
        poster.refused("MalformedPOSTRequest", fields, any_value("key", name))


def test_a_form_is_nobodys_without_a_policy(poster: Poster) -> None:
    """Also where a header or a parameter signs the request."""
    before = snapshot(poster.server.store)
    body = part("key", "k") + part("file", b"data") + b"--" + BOUNDARY + b"--\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
    assert poster.wire.send("POST", "/photos", body, headers).code == "AccessDenied"
    asking = part("key", "k") + part("x-amz-grant-read", "emailAddress=bob@example.com") + part("file", b"data")
    assert poster.send(asking).code == "AccessDenied", "and nobody learns who has an account"
    assert snapshot(poster.server.store) == before
    assert poster.server.store.get_bucket("photos").owner == ALICE
