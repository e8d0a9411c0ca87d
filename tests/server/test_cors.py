"""Cross-origin requests over HTTP: what a browser asks, and what it needs to see."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

import bleepstore
from bleepstore import Caller, CannedAcl, CorsRule
from bleepstore_server.app_config import AppConfig, ConfigError
from bleepstore_server.live import live_server
from tests.server.conftest import ALICE, Server
from tests.server.tools import Answer, Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.legacy_acls

PAGE = "https://app.example.com"
VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
RULES = (
    CorsRule(
        allowed_origins=("https://*.example.com",),
        allowed_methods=("GET", "PUT"),
        allowed_headers=("content-*", "x-amz-*", "authorization"),
        expose_headers=("ETag", "x-amz-version-id"),
        max_age_seconds=3000,
    ),
    CorsRule(allowed_origins=("*",), allowed_methods=("HEAD",)),
)
ALLOWED = {
    "access-control-allow-origin": PAGE,
    "access-control-allow-methods": "GET, PUT",
    "access-control-expose-headers": "ETag, x-amz-version-id",
    "access-control-max-age": "3000",
    "access-control-allow-credentials": "true",
    "vary": VARY,
}
FOR_ALL = {"access-control-allow-origin": "*", "access-control-allow-methods": "HEAD", "vary": VARY}


def cors_of(answer: Answer) -> Mapping[str, str]:
    return {
        name: value for name, value in answer.headers.items() if name.startswith("access-control") or name == "vary"
    }


@pytest.fixture
def shared(server: Server) -> Wire:
    """A bucket with rules, one without, and an object that all may read."""
    for name in ("photos", "plain"):
        server.store.create_bucket(name, caller=Caller(ALICE))
    server.store.put_bucket_cors("photos", RULES)
    server.store.put_object("photos", "k", b"bytes", acl=CannedAcl.PUBLIC_READ, caller=Caller(ALICE))
    return Wire(server.url)


def preflight(wire: Wire, target: str, method: str, headers: str | None = None, origin: str = PAGE) -> Answer:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers is not None:
        asked["Access-Control-Request-Headers"] = headers
    return wire.send("OPTIONS", target, headers=asked, signed=False)


# -- what a browser asks


def test_a_preflight_is_answered_to_whoever_asks(shared: Wire) -> None:
    answer = preflight(shared, "/photos/new", "PUT", "Content-Type, x-amz-date,authorization")
    assert (answer.status, answer.body) == (200, b"")
    assert cors_of(answer) == ALLOWED | {"access-control-allow-headers": "content-type, x-amz-date, authorization"}
    assert cors_of(preflight(shared, "/photos", "GET")) == ALLOWED
    assert cors_of(preflight(shared, "/photos/k", "HEAD", origin="null")) == FOR_ALL
    assert preflight(shared, "/photos/k?uploads&X-Amz-Signature=nonsense", "PUT").status == 200


NOT_ALLOWED = "CORSResponse: This CORS request is not allowed."


@pytest.mark.parametrize(
    ("target", "asked", "message", "kind"),
    [
        ("/photos/k", {"method": "DELETE"}, NOT_ALLOWED, "OBJECT"),
        ("/photos", {"method": "GET", "origin": "https://example.com"}, NOT_ALLOWED, "BUCKET"),
        ("/photos/k", {"method": "PUT", "headers": "x-custom"}, NOT_ALLOWED, "OBJECT"),
        ("/photos/k", {"method": "HEAD", "headers": "range"}, NOT_ALLOWED, "OBJECT"),
        ("/plain/k", {"method": "GET"}, "CORSResponse: CORS is not enabled for this bucket.", "OBJECT"),
        ("/absent/k", {"method": "GET"}, "CORSResponse: Bucket not found", "OBJECT"),
        ("/", {"method": "GET"}, "CORSResponse: CORS is not enabled for this bucket.", "SERVICE"),
    ],
)
def test_a_preflight_that_no_rule_allows(
    shared: Wire, target: str, asked: dict[str, str], message: str, kind: str
) -> None:
    answer = preflight(shared, target, **asked)
    assert (answer.status, answer.code) == (403, "AccessForbidden")
    assert answer.error["Message"].startswith(message)
    assert (answer.error["Method"], answer.error["ResourceType"]) == (asked["method"], kind)
    assert cors_of(answer) == {}


# -- what it sees of answers


@pytest.mark.parametrize(
    ("method", "target", "signed", "status"),
    [
        ("GET", "/photos/k", False, 200),
        ("GET", "/photos/k", True, 200),
        ("GET", "/photos/absent", True, 404),
        ("GET", "/photos", False, 403),
        ("GET", "/photos?cors", True, 200),
        ("GET", "/photos?nonsense&list-type=2", True, 200),
        ("PUT", "/photos/new", True, 200),
        ("PUT", "/photos/new", False, 403),
        ("PUT", "/photos/new?annotation", True, 501),
    ],
)
def test_all_answers_say_who_may_read_them(shared: Wire, method: str, target: str, signed: bool, status: int) -> None:
    answer = shared.send(method, target, b"" if method == "GET" else b"x", {"Origin": PAGE}, signed=signed)
    assert (answer.status, cors_of(answer)) == (status, ALLOWED)


def test_an_answer_to_another_origin_says_that_it_depends_on_the_origin(shared: Wire) -> None:
    answer = shared.send("GET", "/photos/k", headers={"Origin": "https://evil.test"})
    assert (answer.status, cors_of(answer)) == (200, {"vary": VARY})
    assert cors_of(shared.send("HEAD", "/photos/k", headers={"Origin": "https://evil.test"})) == FOR_ALL


def test_what_has_nothing_to_do_with_origins_has_no_such_headers(shared: Wire) -> None:
    assert cors_of(shared.send("GET", "/photos/k")) == {}
    assert cors_of(shared.send("GET", "/plain", headers={"Origin": PAGE})) == {}
    assert cors_of(shared.send("GET", "/absent", headers={"Origin": PAGE})) == {}
    assert cors_of(shared.send("GET", "/", headers={"Origin": PAGE})) == {}


def test_a_bad_signature_can_be_read(shared: Wire) -> None:
    answer = Wire(shared.url, secret_key="wrong").send("GET", "/photos/k", headers={"Origin": PAGE})
    assert (answer.code, cors_of(answer)) == ("SignatureDoesNotMatch", ALLOWED)


# -- the operations


def test_rules_come_back_as_they_were_put(s3: S3Client, server: Server) -> None:
    s3.create_bucket(Bucket="photos")
    full: list[Any] = [
        {
            "ID": "upload",
            "AllowedHeaders": ["*", "x-amz-*"],
            "AllowedMethods": ["PUT", "POST", "DELETE"],
            "AllowedOrigins": ["http://www.example.com", "https://*"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": 3000,
        },
        {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]},
    ]
    s3.put_bucket_cors(Bucket="photos", CORSConfiguration={"CORSRules": full})
    assert s3.get_bucket_cors(Bucket="photos")["CORSRules"] == full
    with failure("InvalidRequest", 400) as refused:
        wrong: Any = [{"AllowedMethods": ["PATCH"], "AllowedOrigins": ["*"]}]
        s3.put_bucket_cors(Bucket="photos", CORSConfiguration={"CORSRules": wrong})
    assert refused["Error"]["Message"].endswith("Unsupported method is PATCH")
    bob = server.client("bob", "bob-secret")
    for call in (bob.get_bucket_cors, bob.delete_bucket_cors):
        with failure("AccessDenied", 403):
            call(Bucket="photos")
    with failure("AccessDenied", 403):
        bob.put_bucket_cors(Bucket="photos", CORSConfiguration={"CORSRules": full})
    bob.close()
    assert s3.get_bucket_cors(Bucket="photos")["CORSRules"] == full
    s3.delete_bucket_cors(Bucket="photos")
    with failure("NoSuchCORSConfiguration", 404) as absent:
        s3.get_bucket_cors(Bucket="photos")
    assert absent["Error"]["BucketName"] == "photos"


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "<CORSRule><AllowedMethod>GET</AllowedMethod></CORSRule>",
        "<CORSRule><AllowedOrigin>*</AllowedOrigin></CORSRule>",
        "<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
        "<MaxAgeSeconds>soon</MaxAgeSeconds></CORSRule>",
        "</CORSConfiguration>",
    ],
)
def test_what_is_no_configuration(shared: Wire, rule: str) -> None:
    body = f"<CORSConfiguration>{rule}</CORSConfiguration>".encode()
    digest = base64.b64encode(hashlib.md5(body).digest()).decode()
    answer = shared.send("PUT", "/plain?cors", body, {"Content-MD5": digest})
    assert (answer.status, answer.code) == (400, "MalformedXML")
    assert shared.send("GET", "/plain?cors").code == "NoSuchCORSConfiguration"


def test_a_configuration_needs_a_digest(shared: Wire) -> None:
    answer = shared.send("PUT", "/plain?cors", b"<CORSConfiguration/>")
    assert answer.error["Message"] == "Missing required header for this request: Content-MD5"


# -- the rule of the server


@pytest.fixture
def developing() -> Iterator[tuple[Wire, bleepstore.Store]]:
    with bleepstore.open() as store:
        store.create_bucket("plain")
        store.create_bucket("photos")
        store.put_bucket_cors("photos", RULES)
        config = AppConfig(cors_allow_origin=("http://localhost:*",), allow_well_known_key=True)
        with live_server(store, config=config) as server:
            yield Wire(server.url), store


def test_the_servers_own_rule_is_for_what_has_none(developing: tuple[Wire, bleepstore.Store]) -> None:
    wire, _store = developing
    for target in ("/", "/plain", "/plain/k", "/absent/k"):
        asked = preflight(wire, target, "DELETE", "x-any", origin="http://localhost:3000")
        assert asked.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert asked.headers["access-control-allow-headers"] == "x-any"
        answer = wire.send("GET", target, headers={"Origin": "http://localhost:3000"}, signed=False)
        assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert "ETag" in answer.headers["access-control-expose-headers"]
        assert preflight(wire, target, "GET").code == "AccessForbidden"
    assert preflight(wire, "/photos", "GET", origin="http://localhost:3000").code == "AccessForbidden"
    assert preflight(wire, "/photos", "GET").status == 200


@pytest.mark.parametrize("origin", ["http://*.*", "", "http://ü"])
def test_an_origin_that_cannot_be(origin: str) -> None:
    with pytest.raises(ConfigError, match="cors_allow_origin"):
        AppConfig(cors_allow_origin=(origin,))
