"""Within a block presigned URLs reach its store by any HTTP library of the process, and nothing else does."""

from __future__ import annotations

import asyncio
import concurrent.futures
import http.client
import io
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import httpx
import pytest
import requests
import urllib3
from botocore.config import Config

import bleepstore
from bleepstore.testing.clock import Clock
from bleepstore_server import Faults, in_process, live_server, presign_url
from bleepstore_server.faults import Reset, Truncate
from bleepstore_server.intercept import Interception
from tests.answering import Answers, answered_by

Answer = tuple[int, bytes]
Fetch = Callable[..., Answer]
ENDPOINTS = [None, "http://minio.invalid:9000", "https://s3.example.org", "http://127.0.0.1:1"]
BIG = bytes(range(256)) * 8192  # 2 MiB: more than is kept in memory


def by_requests(method: str, url: str, body: Any = None, headers: Any = None) -> Answer:
    answer = requests.request(method, url, data=body, headers=headers, timeout=10)
    return answer.status_code, answer.content


def by_httpx(method: str, url: str, body: Any = None, headers: Any = None) -> Answer:
    with httpx.Client() as client:
        answer = client.request(method, url, content=body, headers=headers)
    return answer.status_code, answer.content


def by_httpx_async(method: str, url: str, body: Any = None, headers: Any = None) -> Answer:
    async def pieces() -> Any:
        for piece in body:
            yield piece

    async def fetch() -> Answer:
        content = pieces() if isinstance(body, Iterator) else body
        async with httpx.AsyncClient() as client:
            answer = await client.request(method, url, content=content, headers=headers)
            return answer.status_code, answer.content

    return asyncio.run(fetch())


def by_urllib(method: str, url: str, body: Any = None, headers: Any = None) -> Answer:
    request = urllib.request.Request(url, data=body, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()


def by_urllib3(method: str, url: str, body: Any = None, headers: Any = None) -> Answer:
    with urllib3.PoolManager() as pool:
        answer = pool.request(method, url, body=body, headers=headers or {}, retries=False)
        return answer.status, answer.data


BY: list[Fetch] = [by_requests, by_httpx, by_httpx_async, by_urllib, by_urllib3]
every_library = pytest.mark.parametrize("fetch", BY, ids=[fetch.__name__.removeprefix("by_") for fetch in BY])


@every_library
@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_up_and_down(fetch: Fetch, endpoint: str | None, version: str) -> None:
    with in_process() as store:
        s3: Any = boto3.Session().client("s3", endpoint_url=endpoint, config=Config(signature_version=version))
        s3.create_bucket(Bucket="photos")
        for key, data in (("a b/é", b"meow"), ("big", BIG), ("empty", b"")):
            what = {"Bucket": "photos", "Key": key}
            put = s3.generate_presigned_url("put_object", what | {"ContentType": "image/png"})
            assert fetch("PUT", put, data, {"Content-Type": "image/png"})[0] == 200
            assert store.head_object("photos", key).content_type == "image/png"
            assert fetch("GET", s3.generate_presigned_url("get_object", what)) == (200, data)
            assert fetch("HEAD", s3.generate_presigned_url("head_object", what)) == (200, b"")
        assert fetch("GET", s3.generate_presigned_url("get_object", what) + "x")[0] == 403
        assert fetch("DELETE", s3.generate_presigned_url("delete_object", what)) == (204, b"")
        assert fetch("GET", s3.generate_presigned_url("get_object", what))[0] == 404
        s3.close()


@every_library
def test_bodies_are_streamed(fetch: Fetch) -> None:
    with in_process() as store:
        s3 = boto3.client("s3", config=Config(signature_version="s3v4"))  # the other signs the type that urllib adds
        s3.create_bucket(Bucket="photos")
        put = s3.generate_presigned_url("put_object", {"Bucket": "photos", "Key": "k"})
        pieces = (BIG[start : start + 100_000] for start in range(0, len(BIG), 100_000))
        assert fetch("PUT", put, pieces) == (200, b"")  # they send Transfer-Encoding: chunked
        assert store.get_object("photos", "k").read() == BIG
        store.delete_object("photos", "k")
        assert fetch("PUT", put, io.BytesIO(BIG) if fetch is not by_httpx_async else BIG)[0] == 200
        assert store.get_object("photos", "k").read() == BIG


@pytest.mark.parametrize("library", [requests, httpx])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_forms_are_posted(library: Any, endpoint: str | None) -> None:
    with in_process() as store:
        s3 = boto3.Session().client("s3", endpoint_url=endpoint)
        s3.create_bucket(Bucket="photos")
        form = s3.generate_presigned_post("photos", "k")
        answer = library.post(form["url"], data=form["fields"], files={"file": ("cat.png", b"meow")})
        assert answer.status_code == 204, answer.text
        assert store.get_object("photos", "k").read() == b"meow"
        s3.close()


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """A server that is no store."""

    class Handler(Answers):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "9")
            self.end_headers()
            self.wfile.write(b"elsewhere")

    with answered_by(Handler) as url:
        yield url


@every_library
def test_other_hosts_are_left_alone(fetch: Fetch, elsewhere: str) -> None:
    with in_process(), live_server() as server:
        boto3.client("s3").generate_presigned_url("get_object", {"Bucket": "photos", "Key": "k"})
        assert fetch("GET", elsewhere) == (200, b"elsewhere")
        server.store.create_bucket("videos")
        server.store.put_object("videos", "k", b"live")
        client = server.client()
        url = client.generate_presigned_url("get_object", {"Bucket": "videos", "Key": "k"})
        client.close()
        assert fetch("GET", url) == (200, b"live")


@every_library
def test_the_innermost_block_answers_and_then_the_outer_one(fetch: Fetch) -> None:
    url = presign_url(
        "GET",
        "photos",
        "k",
        endpoint="https://s3.amazonaws.com",
        access_key="bleepstore",
        secret_key="bleepstore-secret",
    )
    with in_process() as outer:
        outer.create_bucket("photos")
        outer.put_object("photos", "k", b"outer")
        with in_process() as inner:
            inner.create_bucket("photos")
            inner.put_object("photos", "k", b"inner")
            assert fetch("GET", url) == (200, b"inner")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _: fetch("GET", url), range(16))) == {(200, b"outer")}


def test_everything_is_put_back() -> None:
    def now() -> list[object]:
        owners: list[Any] = [
            http.client.HTTPConnection,
            http.client.HTTPSConnection,
            urllib3.connection.HTTPConnection,
            urllib3.connection.HTTPSConnection,
            httpx.HTTPTransport,
            httpx.AsyncHTTPTransport,
        ]
        names = ("connect", "handle_request", "handle_async_request")
        return [*sys.meta_path, *(vars(owner).get(name) for owner in owners for name in names)]

    before = now()
    with in_process(), in_process():
        assert now() != before
    assert now() == before
    with pytest.raises(KeyError), in_process():
        raise KeyError
    assert now() == before


def test_what_another_replaced_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def theirs(_connection: object) -> None:
        raise AssertionError("not called")

    block = in_process()
    block.start()
    before = http.client.HTTPConnection.connect
    monkeypatch.setattr(http.client.HTTPConnection, "connect", theirs)
    block.stop()
    assert http.client.HTTPConnection.connect is theirs
    monkeypatch.undo()  # puts ours back, which lets everything pass
    assert http.client.HTTPConnection.connect is before
    http.client.HTTPConnection.connect = before.__wrapped__  # type: ignore[method-assign,attr-defined]


def test_a_library_that_is_imported_within_a_block_is_met_too() -> None:
    script = """
import sys
import boto3
from bleepstore_server import in_process
assert "httpx" not in sys.modules
with in_process() as store:
    store.create_bucket("photos")
    store.put_object("photos", "k", b"meow")
    url = boto3.client("s3").generate_presigned_url("get_object", {"Bucket": "photos", "Key": "k"})
    import httpx
    inside = httpx.HTTPTransport.handle_request
    assert httpx.get(url).content == b"meow"
assert httpx.HTTPTransport.handle_request is not inside
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)


@every_library
def test_expiry_and_faults_are_those_of_the_store(fetch: Fetch) -> None:
    clock, faults = Clock(), Faults()
    with bleepstore.open(clock=clock) as store, in_process(store, faults=faults):
        store.create_bucket("photos")
        store.put_object("photos", "k", b"meow")
        url = boto3.client("s3").generate_presigned_url("get_object", {"Bucket": "photos", "Key": "k"}, ExpiresIn=60)
        for fault in (Reset(), Truncate(0.5)):
            errors = (OSError, httpx.TransportError, urllib3.exceptions.HTTPError, http.client.HTTPException)
            with faults.inject(fault, times=1) as rule, pytest.raises(errors):
                fetch("GET", url)
            assert rule.hits == 1
        assert fetch("GET", url) == (200, b"meow")
        with clock.shifted(minutes=2):
            assert fetch("GET", url)[0] == 403


def test_an_error_of_the_senders_body_is_theirs() -> None:
    def broken() -> Iterator[bytes]:
        yield b"1"
        raise KeyError("mine")

    with in_process() as store:
        store.create_bucket("photos")
        url = boto3.client("s3").generate_presigned_url("put_object", {"Bucket": "photos", "Key": "k"})
        for fetch in (by_requests, by_httpx, by_urllib3):
            with pytest.raises(KeyError, match="mine"):
                fetch("PUT", url, broken(), {"Content-Length": "5"} if fetch is by_httpx else None)
        assert store.list_objects("photos").objects == []


def test_aiohttp_is_told_what_to_do() -> None:
    """aiohttp is not among what the tests install: only what is asked of it is here."""

    class TCPConnector:
        async def connect(self, _request: Any, _traces: object, _timeout: object) -> str:
            return "connected"

    aiohttp: Any = type(sys)("aiohttp")
    aiohttp.TCPConnector = TCPConnector
    with bleepstore.open() as store:
        from bleepstore_server.clients import test_config
        from bleepstore_server.transport import InProcessTransport

        ours = InProcessTransport(store, test_config())
        interception = Interception(lambda url: ours if "amazonaws" in url else None)
        interception.start()
        interception._patch_aiohttp(aiohttp)
        request = type("Request", (), {"url": "https://s3.amazonaws.com/photos/k"})
        with pytest.raises(bleepstore.errors.StoreError, match="s3_server"):
            asyncio.run(TCPConnector().connect(request, None, None))
        request = type("Request", (), {"url": "https://example.org/"})
        assert asyncio.run(TCPConnector().connect(request, None, None)) == "connected"
        interception.stop()
    assert not hasattr(TCPConnector.connect, "__wrapped__")
