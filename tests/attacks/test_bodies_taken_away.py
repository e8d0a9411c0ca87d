"""A body that does not arrive, or not in a form that the server can read, is never taken for an empty one."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest

import bleepstore
from bleepstore import CannedAcl
from bleepstore_server import create_app
from tests.server.conftest import Server
from tests.server.tools import Wire, snapshot

LOCATION = b"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("PUT", "/made", {}),
        ("PUT", "/photos?acl", {"x-amz-acl": "public-read"}),
        ("PUT", "/photos/kept?acl", {"x-amz-acl": "public-read"}),
    ],
)
@pytest.mark.parametrize("payload", [None, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"])
def test_a_document_that_was_signed_has_to_come(
    server: Server, prepared: Wire, method: str, target: str, headers: dict[str, str], payload: str | None
) -> None:
    digest = payload or hashlib.sha256(LOCATION).hexdigest()
    signed = prepared.sign(method, target, headers, digest)
    before = snapshot(server.store)
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in signed.items()), "", ""]
    answer = prepared.raw("\r\n".join(lines).encode(), method)
    assert (answer.status, answer.code) in ((400, "XAmzContentSHA256Mismatch"), (400, "IncompleteBody")), answer
    assert snapshot(server.store) == before


@pytest.mark.legacy_acls
def test_a_wsgi_server_that_decodes_no_chunks_stores_nothing_of_them(store: bleepstore.Store) -> None:
    """PEP 3333 has no word for a body without a length; what such a server gives is empty, and no object."""
    store.create_bucket("open", acl=CannedAcl.PUBLIC_READ_WRITE)
    app = create_app(store)
    seen: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        seen.append(status)
        return lambda data: None

    environ: dict[str, Any] = {
        "REQUEST_METHOD": "PUT",
        "PATH_INFO": "/open/k",
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": io.BytesIO(b"4\r\ndata\r\n0\r\n\r\n"),
        "wsgi.url_scheme": "http",
    }
    body = b"".join(app(environ, start_response))
    assert seen == ["411 Length Required"]
    assert b"<Code>MissingContentLength</Code>" in body
    assert not store.list_objects("open").objects
