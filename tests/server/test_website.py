"""Websites of buckets: configured by boto3, read as a browser reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client, EnvironBuilder

import bleepstore
from bleepstore import Caller, ConfigurationKind
from bleepstore_server import AppConfig, Record, create_app, live_server
from tests.server.conftest import ALICE, Listening, Server
from tests.server.tools import Answer, Wire

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from mypy_boto3_s3 import S3Client

DOMAIN = "website.localhost"
SITE = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "oops.html"}}
POLICY = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::site/*"}
LISTED = {"Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::site"}

Visit = Callable[..., Answer]


def publish(s3: S3Client, *, is_listed: bool = True) -> None:
    s3.delete_public_access_block(Bucket="site")
    statements = [POLICY, LISTED] if is_listed else [POLICY]
    s3.put_bucket_policy(Bucket="site", Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))


def configure(s3: S3Client, document: dict[str, Any]) -> None:
    s3.put_bucket_website(Bucket="site", WebsiteConfiguration=document)  # type: ignore[arg-type]


@pytest.fixture
def visit(server: Server, listening: Listening, s3: S3Client) -> Visit:
    """Visits the public website of the bucket `site`."""
    listening.httpd.app = create_app(server.store, AppConfig(website_domain=(DOMAIN,)))
    s3.create_bucket(Bucket="site")
    publish(s3)
    configure(s3, SITE)
    for key, body in (("index.html", "home"), ("docs/index.html", "docs"), ("oops.html", "<p>oops</p>")):
        s3.put_object(Bucket="site", Key=key, Body=body.encode(), ContentType="text/html", Metadata={"a": "b"})

    def visit(target: str = "/", method: str = "GET", bucket: str = "site", **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return Wire(server.url).send(method, target, headers={"Host": f"{bucket}.{DOMAIN}", **sent}, signed=False)

    return visit


def location(answer: Answer) -> str:
    assert answer.body == b""
    return f"{answer.status} {answer.headers['location']}"


def test_the_root_and_folders_show_their_index_document(visit: Visit) -> None:
    answer = visit("/")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"home", "text/html")
    assert answer.headers["etag"]
    assert answer.headers["last-modified"]
    assert answer.headers["x-amz-meta-a"] == "b"
    assert visit("/docs/").body == b"docs"
    assert visit("/docs/index.html").body == b"docs"


def test_a_folder_without_its_slash_is_sent_to_it(visit: Visit, s3: S3Client) -> None:
    assert location(visit("/docs")) == "302 /docs/"
    publish(s3, is_listed=False)  # then what is not there is denied, and folders work all the same
    assert location(visit("/docs")) == "302 /docs/"
    s3.put_object(Bucket="site", Key="docs", Body=b"an object")
    assert visit("/docs").body == b"an object"


def test_a_folder_never_names_another_host(visit: Visit, server: Server, s3: S3Client) -> None:
    s3.put_object(Bucket="site", Key="/evil.example/index.html", Body=b"")
    # Not before the other server, which shortens a target that begins with "//".
    with live_server(server.store, config=AppConfig(website_domain=(DOMAIN,), allow_well_known_key=True)) as live:
        answer = Wire(live.url).send("GET", "//evil.example", headers={"Host": f"site.{DOMAIN}"}, signed=False)
    assert location(answer) == "302 /%2Fevil.example/"
    s3.put_object(Bucket="site", Key="a\r\nSet-Cookie: x/index.html", Body=b"")
    assert location(visit("/a%0d%0aSet-Cookie:%20x")) == "302 /a%0D%0ASet-Cookie%3A%20x/"


def test_queries_are_ignored_whatever_they_are(visit: Visit) -> None:
    for query in (
        "acl",
        "versionId=x",
        "%zz",
        "X-Amz-Signature=x",
        "partNumber=1",
        "response-content-type=x",
        "a=1&a=2",
    ):
        answer = visit(f"/?{query}")
        assert (answer.status, answer.body) == (200, b"home"), query


def test_signatures_are_ignored(visit: Visit, s3: S3Client) -> None:
    s3.put_bucket_policy(Bucket="site", Policy=json.dumps({"Version": "2012-10-17", "Statement": [LISTED]}))
    assert visit("/", Authorization="AWS4-HMAC-SHA256 Credential=nobody").status == 403


def test_ranges_and_conditions(visit: Visit) -> None:
    assert visit("/", Range="bytes=1-2").body == b"om"
    etag = visit("/").headers["etag"]
    assert (visit("/", If_None_Match=etag).status, visit("/", If_None_Match='"x"').status) == (304, 200)
    answer = visit("/", Range="bytes=9-")
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */4")
    assert answer.body == b"<p>oops</p>"  # whole: the range was of another object
    assert visit("/", If_Match='"x"').status == 412


def test_head_answers_as_get_without_a_body(visit: Visit) -> None:
    for target in ("/", "/docs", "/missing"):
        got, head = visit(target), visit(target, "HEAD")
        assert (head.status, head.body) == (got.status, b"")
        assert head.headers["content-length"] == got.headers["content-length"]


def test_errors_show_the_error_document_and_keep_their_status(visit: Visit, s3: S3Client) -> None:
    answer = visit("/missing", If_None_Match="*")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (404, b"<p>oops</p>", "text/html")
    publish(s3, is_listed=False)
    answer = visit("/missing")
    assert (answer.status, answer.body) == (403, b"<p>oops</p>")


def test_errors_without_a_document_are_a_page(visit: Visit, s3: S3Client) -> None:
    configure(s3, {"IndexDocument": {"Suffix": "index.html"}})
    answer = visit("/" + quote("<script>é\r\n"))
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert answer.headers["x-amz-error-code"] == "NoSuchKey"
    assert answer.headers["x-amz-error-message"] == "The specified key does not exist."
    assert answer.headers["x-amz-error-detail-key"] == "%3Cscript%3E%C3%A9%0D%0A"
    text = answer.body.decode()
    assert text.startswith("<html>\n<head><title>404 Not Found</title></head>\n<body>\n<h1>404 Not Found</h1>\n<ul>\n")
    assert "<li>Code: NoSuchKey</li>\n<li>Message: The specified key does not exist.</li>\n" in text
    assert "<li>Key: &lt;script&gt;é\r\n</li>\n" in text
    assert "<script" not in text
    assert f"<li>RequestId: {answer.headers['x-amz-request-id']}</li>" in text
    assert "<li>Key: folder/index.html</li>" in visit("/folder/").body.decode()


def test_a_missing_error_document_is_an_error_of_its_own(visit: Visit, s3: S3Client) -> None:
    configure(s3, SITE | {"ErrorDocument": {"Key": "<gone>"}})
    answer = visit("/missing")
    first, _, second = answer.body.decode().partition(
        "<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>"
    )
    assert answer.status == 404
    assert "<li>Key: missing</li>" in first
    assert "<li>Key: &lt;gone&gt;</li>" in second


def test_what_is_no_website_is_a_page(visit: Visit, s3: S3Client) -> None:
    s3.delete_bucket_website(Bucket="site")
    for bucket, code in (("site", "NoSuchWebsiteConfiguration"), ("nobody", "NoSuchBucket")):
        answer = visit("/", bucket=bucket)
        assert (answer.status, answer.headers["x-amz-error-code"]) == (404, code)
        assert f"<li>Code: {code}</li>" in answer.body.decode()
        assert f"<li>BucketName: {bucket}</li>" in answer.body.decode()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_reads(visit: Visit, s3: S3Client, method: str) -> None:
    answer = visit("/index.html", method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert b"<li>Code: MethodNotAllowed</li>" in answer.body
    assert visit("/").body == b"home"


def test_bad_targets_are_a_page(visit: Visit) -> None:
    for target in ("/%zz", "/%ff"):
        answer = visit(target)
        assert (answer.status, answer.headers["x-amz-error-code"]) == (400, "InvalidURI")


def test_what_is_not_public_is_not_shown(visit: Visit, s3: S3Client) -> None:
    s3.put_public_access_block(
        Bucket="site", PublicAccessBlockConfiguration={"RestrictPublicBuckets": True, "BlockPublicAcls": True}
    )
    answer = visit("/")
    assert answer.status == 403
    assert b"home" not in answer.body


@pytest.mark.blobs
def test_encrypted_and_large_objects(visit: Visit, s3: S3Client) -> None:
    body = bytes(range(256)) * 1024
    s3.put_object(Bucket="site", Key="large", Body=body, ServerSideEncryption="AES256")
    assert visit("/large").body == body
    assert visit("/large", Range="bytes=-3").body == b"\xfd\xfe\xff"


def test_an_object_may_be_found_elsewhere(visit: Visit, s3: S3Client) -> None:
    for key, to in (("here", "/docs/"), ("there", "http://other.example/ü?a=b#c")):
        s3.put_object(Bucket="site", Key=key, Body=b"x" * 100_000, WebsiteRedirectLocation=to)
    assert location(visit("/here")) == "301 /docs/"
    assert location(visit("/here", "HEAD")) == "301 /docs/"
    assert location(visit("/there")) == "301 http://other.example/%C3%BC?a=b#c"


def test_all_requests_are_sent_to_another_host(visit: Visit, s3: S3Client) -> None:
    configure(s3, {"RedirectAllRequestsTo": {"HostName": "www.example", "Protocol": "https"}})
    assert location(visit("/a%20b?c")) == "301 https://www.example/a%20b"


def test_routing_rules(visit: Visit, s3: S3Client) -> None:
    rules = [
        {"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "docs/"}},
        {
            "Condition": {"KeyPrefixEquals": "api/", "HttpErrorCodeReturnedEquals": "404"},
            "Redirect": {"HostName": "api.example", "HttpRedirectCode": "307", "Protocol": "https"},
        },
        {"Condition": {"HttpErrorCodeReturnedEquals": "404"}, "Redirect": {"ReplaceKeyWith": "search.html?q=\nX: y"}},
    ]
    configure(s3, SITE | {"RoutingRules": rules})
    assert location(visit("/old/index.html")) == f"301 http://site.{DOMAIN}/docs/index.html"
    assert location(visit("/api/v1")) == "307 https://api.example/api/v1"
    assert location(visit("/missing")) == f"301 http://site.{DOMAIN}/search.html?q=%0AX:%20y"
    assert location(visit("/docs")) == "302 /docs/"
    assert visit("/").body == b"home"


def test_pages_of_other_origins_may_read_by_the_rules_of_the_bucket(visit: Visit, s3: S3Client) -> None:
    s3.put_bucket_cors(
        Bucket="site", CORSConfiguration={"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}
    )
    for target in ("/", "/missing"):
        assert visit(target, Origin="http://page.example").headers["access-control-allow-origin"] == "*"


def test_the_domain_is_that_of_websites_alone(visit: Visit, server: Server, s3: S3Client) -> None:
    assert s3.get_object(Bucket="site", Key="index.html")["Body"].read() == b"home"
    answer = Wire(server.url).send("GET", "/site/", headers={"Host": DOMAIN}, signed=False)
    assert b"<ListBucketResult" in answer.body


TARGETS = st.lists(
    st.sampled_from(
        ["/", "a", "b/", "%0d%0a", "%00", "%C3%BC", "%", "\\", "?", "#", ";", '"', "<", "..", "%2e%2e", "@x"]
    ),
    max_size=6,
).map(lambda pieces: "/" + "".join(pieces))
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Range": st.sampled_from(["bytes=0-0", "bytes=-1", "bytes=9-1", "x", "bytes=" + "9" * 40]),
        "If-None-Match": st.sampled_from(["*", '"', "W/", "x,"]),
        "If-Modified-Since": st.sampled_from(["", "Sun, 06 Nov 1994 08:49:99999999999999 GMT"]),
        "x-amz-server-side-encryption-customer-key": st.just("x"),
        "Content-Length": st.sampled_from(["0", "5", "x"]),
    },
)


@pytest.fixture(scope="module")
def hostile_site() -> Iterator[WSGIApplication]:
    with bleepstore.open() as store:
        store.create_bucket("site")
        store.delete_public_access_block("site")
        policy = {"Version": "2012-10-17", "Statement": [POLICY, LISTED]}
        store.put_bucket_policy("site", json.dumps(policy))
        rules = [
            {"Condition": {"KeyPrefixEquals": "b/"}, "Redirect": {"ReplaceKeyPrefixWith": ""}},
            {"Condition": {"HttpErrorCodeReturnedEquals": "404"}, "Redirect": {"ReplaceKeyPrefixWith": "?q="}},
        ]
        store.put_bucket_configuration("site", ConfigurationKind.WEBSITE, SITE | {"RoutingRules": rules})
        for key in ("index.html", "a", "a/index.html", "/a/index.html", "..", "\r\n/index.html"):
            store.put_object("site", key, b"x")
        yield create_app(store, AppConfig(website_domain=(DOMAIN,)))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(TARGETS, HEADERS, st.sampled_from(["GET", "HEAD", "POST"]))
def test_whatever_is_asked_no_answer_is_500_or_leads_elsewhere(
    hostile_site: WSGIApplication, target: str, headers: dict[str, str], method: str
) -> None:
    environ = EnvironBuilder(
        method=method, base_url=f"http://site.{DOMAIN}/", headers=list(headers.items())
    ).get_environ()
    environ["RAW_URI"] = target
    answered: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, fields: list[tuple[str, str]], _error: object = None) -> Any:
        answered.append((status, fields))

    body = hostile_site(environ, start)
    content = b"".join(body)
    if hasattr(body, "close"):
        body.close()
    ((status, fields),) = answered
    assert status[:3] not in ("500", "501")
    assert all(value.isprintable() for _, value in fields)
    assert b"<script" not in content
    for location in [value for name, value in fields if name == "Location"]:
        assert re.match(rf"http://site\.{DOMAIN}/|/[^/\\]", location), location


def test_a_website_needs_no_socket() -> None:
    records: list[Record] = []
    with bleepstore.open() as store:
        store.create_bucket("a.b", caller=Caller(ALICE))
        store.put_bucket_configuration("a.b", ConfigurationKind.WEBSITE, {"IndexDocument": {"Suffix": "i"}})
        store.put_object("a.b", "i", b"home")
        browser = Client(create_app(store, AppConfig(website_domain=(DOMAIN,)), record=records.append))
        answer = browser.get("/", base_url=f"http://A.b.{DOMAIN}:8080")
        assert (answer.status_code, answer.headers["X-Amz-Error-Code"]) == (403, "AccessDenied")
        assert b"<li>Code: AccessDenied</li>" in answer.data
        store.delete_public_access_block("a.b")
        store.put_bucket_policy("a.b", json.dumps(
            {"Version": "2012-10-17", "Statement": [POLICY | {"Resource": "arn:aws:s3:::a.b/*"}]}))  # fmt: skip
        assert browser.get("/", base_url=f"http://A.b.{DOMAIN}:8080").data == b"home"
    assert [(record.operation, record.bucket, record.key, record.error_code) for record in records] == [
        ("WEBSITE.GET.OBJECT", "a.b", None, "AccessDenied"),
        ("WEBSITE.GET.OBJECT", "a.b", None, None),
    ]
