"""The app's edge: hosts, regions, proxies, health, and what every answer has."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from defusedxml import ElementTree

import bleepstore
from bleepstore import Caller, CannedAcl, Store
from bleepstore_server import AppConfig, create_app
from bleepstore_server.clients import client_for
from bleepstore_server.layers.record import Record
from tests.server.conftest import ALICE
from tests.server.test_property import call
from tests.server.tools import UNSIGNED, Wire, failure

pytestmark = pytest.mark.legacy_acls


@pytest.fixture
def holding(store: Store) -> Store:
    store.put_credential("alice", "alice-secret", owner=ALICE)
    store.create_bucket("photos", caller=Caller(ALICE))
    store.create_bucket("public", acl=CannedAcl.PUBLIC_READ_WRITE, caller=Caller(ALICE))
    store.put_object("photos", "k", b"data", caller=Caller(ALICE))
    store.put_object("photos", "photos/k", b"nested", caller=Caller(ALICE))
    return store


def signed(method: str, target: str, host: str, region: str = "us-east-1", **headers: str) -> dict[str, str]:
    wire = Wire(f"http://{host}", region=region)
    return {name.lower(): value for name, value in wire.sign(method, target, headers, UNSIGNED).items()}


def get(app: Any, host: str, target: str, **options: Any) -> tuple[int, dict[str, str], bytes]:
    return call(app, "GET", target, signed("GET", target, host, **options), b"")


# -- hosts


def test_the_bucket_in_the_host(holding: Store) -> None:
    app = create_app(holding, AppConfig(domains=("s3.example.com",)))
    assert get(app, "photos.s3.example.com", "/k")[2] == b"data"
    assert get(app, "photos.s3.example.com:9000", "/k")[2] == b"data"
    assert get(app, "photos.s3.example.com", "/photos/k")[2] == b"nested"
    assert b"<Name>photos</Name>" in get(app, "photos.s3.example.com", "/?list-type=2")[2]
    assert get(app, "s3.example.com", "/photos/k")[2] == b"data", "path style as ever"
    assert b"<Name>photos</Name>" in get(app, "s3.example.com", "/")[2], "the list of buckets"
    assert get(app, "absent.s3.example.com", "/k")[0] == 404


def test_without_a_domain_the_host_says_nothing(holding: Store) -> None:
    app = create_app(holding, AppConfig())
    assert get(app, "photos.s3.example.com", "/photos/k")[2] == b"data"


# -- regions


def test_a_server_that_leaves_urls_in_targets_to_the_app(holding: Store) -> None:
    """Their host is the one that counts: for buckets and websites, and for what a signature covers (RFC 9112 section
    3.2.2)."""
    app = create_app(holding, AppConfig(domains=("s3.example.com",), website_domain=("web.example.com",)))
    of_photos = signed("GET", "/k", "photos.s3.example.com")

    def ask(url: str, host: str | None, headers: dict[str, str] = of_photos) -> tuple[int, bytes]:
        given = headers if host is None else {**headers, "host": host}
        status, _, body = call(app, "GET", url, given, b"")
        return status, body

    assert ask("http://photos.s3.example.com/k", None) == (200, b"data")
    assert ask("http://PHOTOS.s3.example.com:80/k", None) == (200, b"data")
    assert ask("http://photos.s3.example.com/k", "elsewhere") == (200, b"data")
    assert ask("http://public.s3.example.com/k", None)[0] == 403, "it was signed for another bucket"
    assert ask("http://s3.example.com/k", None)[0] == 403
    for url in ("http:///k", "http://alice@photos.s3.example.com/k", "http://photos.s3.example.com:x/k"):
        status, body = ask(url, None)
        assert (status, ElementTree.fromstring(body).findtext("Code")) == (400, "BadRequest")
    assert ask("http://photos.s3.example.com/k", "a b")[0] == 400
    page = call(app, "HEAD", "http://photos.web.example.com/k", {"host": "photos.s3.example.com"}, b"")
    assert page[1]["x-amz-error-code"] == "NoSuchWebsiteConfiguration"


def test_any_region_is_accepted_unless_strict(holding: Store) -> None:
    lenient = create_app(holding, AppConfig())
    strict = create_app(holding, AppConfig(region="eu-central-1", strict_region=True))
    for region in ("us-east-1", "US", "auto", "eu-central-1"):
        assert get(lenient, "h", "/photos/k", region=region)[0] == 200
    assert get(strict, "h", "/photos/k", region="eu-central-1")[0] == 200
    status, _, body = get(strict, "h", "/photos/k", region="us-east-1")
    assert status == 400
    assert b"AuthorizationHeaderMalformed" in body
    assert b"<Region>eu-central-1</Region>" in body
    assert call(strict, "HEAD", "/photos", signed("HEAD", "/photos", "h", "eu-central-1"), b"")[1][
        "x-amz-bucket-region"
    ] == ("eu-central-1")


# -- proxies and public names


def test_a_region_of_ones_own_is_the_location_of_its_buckets(holding: Store) -> None:
    """Also if Amazon has none of this name. One's own bucket again is only taken for new in us-east-1."""
    for region in ("home-1", "eu-west-1", "us-east-1"):
        name = f"in-{region}"
        client = client_for(holding, config=AppConfig(region=region, allow_well_known_key=True))
        client.create_bucket(Bucket=name)
        where: Any = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        client.create_bucket(Bucket=f"{name}-too", **where)
        for bucket in (name, f"{name}-too"):
            shown: Any = client.get_bucket_location(Bucket=bucket)["LocationConstraint"]
            assert shown == (None if region == "us-east-1" else region)
            assert client.head_bucket(Bucket=bucket)["BucketRegion"] == region
        named = [found["Name"] for found in client.list_buckets(BucketRegion=region, Prefix=name)["Buckets"]]
        assert named == [name, f"{name}-too"]
        if region == "us-east-1":
            client.create_bucket(Bucket=name)
        else:
            with failure("BucketAlreadyOwnedByYou", 409):
                client.create_bucket(Bucket=name)
        client.close()


def complete(app: Any, store: Store, signed_host: str, key: str = "m", **headers: str) -> str:
    """The location that a completed upload is told to have."""
    upload = store.create_upload("photos", key, caller=Caller(ALICE))
    part = store.put_part("photos", key, upload.upload_id, 1, b"x", caller=Caller(ALICE))
    target = f"/photos/{quote(key)}?uploadId={upload.upload_id}"
    body = (
        f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part.etag}</ETag></Part>"
        "</CompleteMultipartUpload>"
    )
    status, _, answer = call(app, "POST", target, {**signed("POST", target, signed_host), **headers}, body.encode())
    assert status == 200, answer
    return answer.decode().partition("<Location>")[2].partition("</Location>")[0]


def test_locations_name_the_endpoint_that_clients_see(holding: Store) -> None:
    plain = create_app(holding, AppConfig())
    assert complete(plain, holding, "h:9000", "a b/ü") == "http://h:9000/photos/a%20b/%C3%BC"
    public = create_app(holding, AppConfig(public_endpoint="https://s3.example.com/"))
    assert complete(public, holding, "h:9000") == "https://s3.example.com/photos/m"


def test_forwarded_hosts_are_believed_from_trusted_proxies_alone(holding: Store) -> None:
    trusting = create_app(holding, AppConfig(trusted_proxies=("127.0.0.0/8",)))
    wary = create_app(holding, AppConfig(trusted_proxies=("10.0.0.0/8",)))
    forwarded = {"host": "inner:1", "x-forwarded-host": "s3.example.com", "x-forwarded-proto": "https"}
    assert complete(trusting, holding, "s3.example.com", **forwarded) == "https://s3.example.com/photos/m"
    target = "/photos/k"
    headers = {**signed("GET", target, "s3.example.com"), **forwarded}
    assert call(trusting, "GET", target, headers, b"")[0] == 200
    status, _, body = call(wary, "GET", target, headers, b"")
    assert (status, b"SignatureDoesNotMatch" in body) == (403, True)
    assert call(create_app(holding, AppConfig()), "GET", target, headers, b"")[0] == 403


def test_a_wrong_signature_names_the_host_that_came_and_fills_no_log(
    holding: Store, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(holding, AppConfig())
    headers = {**signed("GET", "/photos/k", "s3.example.com"), "host": "inner:1", "via": "1.1 a\nb<&"}
    for _ in range(3):
        status, _, body = call(app, "GET", "/photos/k", headers, b"")
        assert status == 403
        assert ElementTree.fromstring(body).findtext("Host") == "inner:1"
    (line,) = [record.getMessage() for record in caplog.records]
    assert "Host 'inner:1' and Via '1.1 a\\nb<&'" in line, "once a minute, and on one line"
    del headers["via"]
    caplog.clear()
    assert call(create_app(holding, AppConfig()), "GET", "/photos/k", headers, b"")[0] == 403
    assert caplog.records == [], "no proxy, no word"


def test_a_chain_of_proxies_ends_with_ours(holding: Store) -> None:
    trusting = create_app(holding, AppConfig(trusted_proxies=("127.0.0.1",)))
    forwarded = {"x-forwarded-host": "evil.example.com, s3.example.com", "host": "inner"}
    headers = {**signed("GET", "/photos/k", "s3.example.com"), **forwarded}
    assert call(trusting, "GET", "/photos/k", headers, b"")[0] == 200
    assert call(trusting, "GET", "http://inner/photos/k", headers, b"")[0] == 200, "to them a client sent it"


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "remote"),
    [
        ("10.0.0.9", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.9", "203.0.113.7, 10.0.0.8", "203.0.113.7"),  # two proxies of ours
        ("10.0.0.9", "127.0.0.1, 203.0.113.7", "203.0.113.7"),  # what the client itself wrote
        ("10.0.0.9", "203.0.113.7:4711", "203.0.113.7"),
        ("10.0.0.9", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.9", "2001:db8::1", "2001:db8::1"),
        ("::ffff:10.0.0.9", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.9", "10.0.0.7", "10.0.0.7"),  # a client among the proxies
        ("10.0.0.9", "203.0.113.7, unknown", "10.0.0.9"),  # nobody knows
        ("10.0.0.9", "203.0.113.7, unknown, 10.0.0.8", "10.0.0.8"),
        ("10.0.0.9", "", "10.0.0.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # not our proxy
        ("", "198.51.100.1", ""),  # a socket in the file system
    ],
)
def test_the_address_of_the_client_is_what_our_proxies_saw(
    holding: Store, peer: str, forwarded_for: str, remote: str
) -> None:
    records: list[Record] = []
    app: Any = create_app(holding, AppConfig(trusted_proxies=("10.0.0.0/8",)), record=records.append)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET", "RAW_URI": "/photos?acl", "HTTP_HOST": "h", "REMOTE_ADDR": peer,
        "HTTP_X_FORWARDED_FOR": forwarded_for, "wsgi.input": _Empty(),
    }  # fmt: skip
    b"".join(app(environ, lambda *_: None))
    assert [record.remote for record in records] == [remote]


# -- health


def health(app: Any, target: str, **headers: str) -> tuple[int, bytes]:
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "RAW_URI": target, "wsgi.input": _Empty()}
    environ["bleepstore.headers"] = headers
    statuses: list[str] = []

    def start_response(status: str, _headers: Any, _error: Any = None) -> Any:
        statuses.append(status)

    body = b"".join(app(environ, start_response))
    return int(statuses[0][:3]), body


class _Empty:
    def read(self, size: int = -1) -> bytes:
        return b""


def test_health_and_readiness(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = bleepstore.open(tmp_path)
    app = create_app(store, AppConfig())
    assert health(app, "/healthz") == (200, b"ok\n")
    assert health(app, "/readyz") == (200, b"ok\n")
    assert health(app, "/healthz/k")[0] in (403, 404), "a bucket of such a name is not in the way"
    store.close()
    assert health(app, "/healthz")[0] == 200
    assert health(app, "/readyz")[0] == 503
    assert [(one.getMessage(), one.exc_info) for one in caplog.records] == [
        ("not ready: The store was closed: open it again.", None)
    ]


# -- every answer


@pytest.mark.parametrize(
    ("method", "target"), [("GET", "/public"), ("GET", "/absent"), ("HEAD", "/absent"), ("PATCH", "/")]
)
def test_every_answer_has_its_id(holding: Store, method: str, target: str) -> None:
    app = create_app(holding, AppConfig())
    first, second = (call(app, method, target, {}, b"")[1] for _ in range(2))
    assert first["x-amz-request-id"] != second["x-amz-request-id"]
    assert first["x-amz-id-2"]


def test_a_closed_store_answers_in_xml(tmp_path: Path) -> None:
    """Not a plain 500 page: clients get a document that they can parse, and the log has the reason."""
    store = bleepstore.open(tmp_path)
    app = create_app(store, AppConfig())
    store.close()
    status, body = health(app, "/photos")
    assert status == 500
    assert b"<Code>InternalError</Code>" in body
    assert str(tmp_path).encode() not in body


# -- what a server may do in the thread of its event loop


def test_what_is_quick_for_a_server_whose_disk_hangs(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "data") as store:
        app: Any = create_app(store, AppConfig(domains=("s3.example.com",), website_domain=("web.example.com",)))

        def is_quick(method: str, target: str, careful: bool = False, host: str = "x") -> bool:
            environ = {
                "REQUEST_METHOD": method, "RAW_URI": target, "QUERY_STRING": target.partition("?")[2],
                "HTTP_HOST": host, "bleepstore.headers": {"host": host},
            }  # fmt: skip
            return bool(app.is_quick(environ, careful))

        assert is_quick("GET", "/healthz", careful=True)
        assert not is_quick("GET", "/readyz")
        for target in ("/photos/small", "/photos/large", "/photos/none", "/photos", "/", "/photos/large?acl"):
            for method in ("GET", "HEAD"):
                assert is_quick(method, target), target
                assert not is_quick(method, target, careful=True), target
        assert is_quick("DELETE", "/photos/large")
        assert is_quick("GET", "/small", host="photos.web.example.com")
        assert not is_quick("POST", "/photos")
