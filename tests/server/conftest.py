"""A real HTTP server in a thread, on a free port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs
import boto3
import pytest
from botocore.config import Config
from werkzeug.serving import WSGIRequestHandler, make_server

import bleepstore
from bleepstore import Owner
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

    def client(self, access_key: str = "alice", secret_key: str = "alice-secret", **config: object) -> S3Client:
        options: Any = {"retries": {"max_attempts": 1}, **config}
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",
            config=Config(**options),
        )


@pytest.fixture
def server(store: bleepstore.Store) -> Iterator[Server]:
    store.put_credential("alice", "alice-secret", owner=ALICE, email="alice@example.com")
    store.put_credential("bob", "bob-secret", owner=BOB, email="bob@example.com")
    app = create_app(store, AppConfig())
    httpd = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Server(store, f"http://127.0.0.1:{httpd.server_port}")
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
    store.create_bucket("photos", caller=ALICE)
    store.put_object("photos", "kept", b"kept", caller=ALICE)
    yield Wire(server.url)
    # Whatever was refused, the server goes on.
    assert Wire(server.url).send("GET", "/photos/kept").body == b"kept"


@pytest.fixture
def upload_id(server: Server, prepared: Wire) -> str:
    upload = server.store.create_upload("photos", "multi", caller=ALICE)
    for number in (1, 2):
        server.store.put_part("photos", "multi", upload.upload_id, number, b"small", caller=ALICE)
    return upload.upload_id


@pytest.fixture
def refused(server: Server, prepared: Wire) -> Refused:
    return Refused(server.store, prepared)
