"""A real HTTP server in a thread, on a free port."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs
import boto3
import pytest
from botocore.config import Config
from botocore.response import StreamingBody
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

import bleepstore
from bleepstore import Caller, Owner
from bleepstore_server import AppConfig, create_app
from tests.server.tools import Refused, Wire

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from mypy_boto3_s3 import S3Client

ALICE, BOB = Owner("alice-id", "Alice"), Owner("bob-id", "Bob")


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def make_client(url: str, access_key: str, secret_key: str, bodies: list[StreamingBody], **config: object) -> S3Client:
    """A client that notes the bodies that it gets."""
    options: Any = {"retries": {"max_attempts": 1}, **config}
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=Config(**options),
    )

    def note(parsed: dict[str, Any], **_: Any) -> None:
        if "Body" in parsed:
            bodies.append(parsed["Body"])

    client.meta.events.register("after-call.s3.GetObject", note)
    return client


@attrs.frozen
class Server:
    store: bleepstore.Store
    url: str
    #: What its clients got: what a test does not read to its end is closed after it, not by chance by the collector.
    bodies: list[StreamingBody]

    def client(self, access_key: str = "alice", secret_key: str = "alice-secret", **config: object) -> S3Client:
        return make_client(self.url, access_key, secret_key, self.bodies, **config)


def _no_app(_environ: WSGIEnvironment, _start_response: StartResponse) -> list[bytes]:
    raise AssertionError("a request between two tests")


@attrs.frozen
class Listening:
    """A server that all tests of a process use, each with an application of its own, and a client of it."""

    httpd: BaseWSGIServer
    url: str
    bodies: list[StreamingBody]
    alice: S3Client


@pytest.fixture(scope="session")
def listening() -> Iterator[Listening]:
    httpd = make_server("127.0.0.1", 0, _no_app, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{httpd.server_port}"
    bodies: list[StreamingBody] = []
    with contextlib.closing(make_client(url, "alice", "alice-secret", bodies)) as alice:
        yield Listening(httpd, url, bodies, alice)
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def server(store: bleepstore.Store, listening: Listening) -> Iterator[Server]:
    store.put_credential("alice", "alice-secret", owner=ALICE, email="alice@example.com")
    store.put_credential("bob", "bob-secret", owner=BOB, email="bob@example.com")
    listening.httpd.app = create_app(store, AppConfig(customer_keys_over_http=True))
    yield Server(store, listening.url, listening.bodies)
    while listening.bodies:
        listening.bodies.pop().close()
    listening.httpd.app = _no_app


@pytest.fixture
def s3(server: Server, listening: Listening) -> S3Client:
    """Alice's client of the server. Whoever changes how a client works makes one by `server.client`."""
    return listening.alice


@pytest.fixture
def bucket(s3: S3Client) -> str:
    s3.create_bucket(Bucket="photos")
    return "photos"


@pytest.fixture
def wire(server: Server) -> Wire:
    """A client of the server by hand."""
    return Wire(server.url)


@pytest.fixture
def prepared(server: Server) -> Iterator[Wire]:
    """A client of a server that holds a bucket, an object and an upload with two parts."""
    store = server.store
    store.create_bucket("photos", caller=Caller(ALICE))
    store.put_object("photos", "kept", b"kept", caller=Caller(ALICE))
    yield Wire(server.url)
    # Whatever was refused, the server goes on.
    assert Wire(server.url).send("GET", "/photos/kept").body == b"kept"


@pytest.fixture
def upload_id(server: Server, prepared: Wire) -> str:
    upload = server.store.create_upload("photos", "multi", caller=Caller(ALICE))
    for number in (1, 2):
        server.store.put_part("photos", "multi", upload.upload_id, number, b"small", caller=Caller(ALICE))
    return upload.upload_id


@pytest.fixture
def refused(server: Server, prepared: Wire) -> Refused:
    return Refused(server.store, prepared)
