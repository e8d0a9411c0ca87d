"""A real HTTP server in a thread, on a free port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs
import boto3
import pytest
from botocore.config import Config
from botocore.response import StreamingBody
from werkzeug.serving import WSGIRequestHandler, make_server

import bleepstore
from bleepstore import Caller, Owner
from bleepstore_server import AppConfig, create_app
from tests.server.tools import Refused, Wire

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ALICE, BOB = Owner("alice-id", "Alice"), Owner("bob-id", "Bob")


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@attrs.frozen
class Server:
    store: bleepstore.Store
    url: str
    #: What its clients got: what a test does not read to its end is closed after it, not by chance by the collector.
    bodies: list[StreamingBody] = attrs.field(factory=list)

    def client(self, access_key: str = "alice", secret_key: str = "alice-secret", **config: object) -> S3Client:
        options: Any = {"retries": {"max_attempts": 1}, **config}
        client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",
            config=Config(**options),
        )
        client.meta.events.register("after-call.s3.GetObject", self._note_body)
        return client

    def _note_body(self, parsed: dict[str, Any], **_: Any) -> None:
        if "Body" in parsed:
            self.bodies.append(parsed["Body"])


@pytest.fixture
def server(store: bleepstore.Store) -> Iterator[Server]:
    store.put_credential("alice", "alice-secret", owner=ALICE, email="alice@example.com")
    store.put_credential("bob", "bob-secret", owner=BOB, email="bob@example.com")
    app = create_app(store, AppConfig(customer_keys_over_http=True))
    httpd = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    serving = Server(store, f"http://127.0.0.1:{httpd.server_port}")
    yield serving
    for body in serving.bodies:
        body.close()
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def s3(server: Server) -> Iterator[S3Client]:
    client = server.client()
    yield client
    client.close()


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
