"""Bodies in chunks that are wrong, over real HTTP: each gets its error, and nothing has changed."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import pytest

from bleepstore_server import create_app
from bleepstore_server.wire.sigv4 import ChunkSigner, SigningKey
from tests.server.conftest import Server
from tests.server.test_chunked import signed as signed_chunks
from tests.server.tools import UNSIGNED, Refused, Wire

#: On files alone, where there is more that a refused request could leave behind.
pytestmark = pytest.mark.parametrize("store", ["local"], indirect=True)


@pytest.fixture
def wire(prepared: Wire) -> Wire:
    """A client of a server that holds something."""
    return prepared


def chunked(
    body: bytes, decoded: int, trailer: str | None = None, payload: str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
) -> dict[str, Any]:
    headers = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": str(decoded)}
    if trailer:
        headers["x-amz-trailer"] = trailer
    return {"body": body, "headers": headers, "payload": payload}


CRC = "x-amz-checksum-crc32"
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
GOOD_CRC = base64.b64encode(zlib.crc32(b"hello").to_bytes(4, "big"))


@pytest.mark.parametrize(
    ("request_", "code", "status"),
    [
        (chunked(b"5\r\nhello\r\n", 5), "IncompleteBody", 400),
        (chunked(b"5\r\nhel", 5), "IncompleteBody", 400),
        (chunked(b"5\r\nhello\r\n0\r\n\r\n", 6), "IncompleteBody", 400),
        (chunked(b"5\r\nhello\r\n0\r\n\r\n", 4), "IncompleteBody", 400),
        (chunked(b"hello\r\n", 5), "IncompleteBody", 400),
        (chunked(b"5\r\nhelloworld\r\n0\r\n\r\n", 5), "IncompleteBody", 400),
        (chunked(b"5\r\nhello\r\n0\r\n", 5), "IncompleteBody", 400),
        (chunked(b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", 6), "InvalidChunkSizeError", 403),
        (chunked(b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:" + GOOD_CRC + b"\r\n", 5, CRC), "IncompleteBody", 400),
        (chunked(b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", 5, CRC), "BadDigest", 400),
        (chunked(b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:nonsense\r\n\r\n", 5, CRC), "InvalidRequest", 400),
        (chunked(b"5\r\nhello\r\n0\r\n\r\n", 5, CRC), "MalformedTrailerError", 400),
        (chunked(b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n", 5, CRC), "MalformedTrailerError", 400),
        (chunked(b"5\r\nhello\r\n0\r\nx-amz-checksum-sha1:AAAA\r\n\r\n", 5, CRC), "MalformedTrailerError", 400),
        (chunked(b"5\r\nhello\r\n0\r\nx-amz-meta-a:1\r\n\r\n", 5, "x-amz-meta-a"), "InvalidRequest", 400),
        (chunked(b"5;chunk-signature=00\r\nhello\r\n", 5, None, SIGNED_CHUNKS), "SignatureDoesNotMatch", 403),
        (chunked(b"5\r\nhello\r\n0\r\n\r\n", 5, None, SIGNED_CHUNKS), "IncompleteBody", 400),
        (chunked(b"", 5, None, "STREAMING-NONSENSE"), "InvalidArgument", 400),
    ],
    ids=range(18),
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 20])
def test_malformed_chunks(
    refused: Refused, upload_id: str, request_: dict[str, Any], code: str, status: int, size: int
) -> None:
    """Small bodies are read at once and large ones as they are stored: `size` puts the same fault into both."""
    given = {**request_, "headers": dict(request_["headers"])}
    if size > 1:
        # Whole chunks before the bad one; signed ones would fail at the first.
        given["body"] = (b"2000\r\n" + b"x" * 8192 + b"\r\n") * size + given["body"]
        given["headers"]["x-amz-decoded-content-length"] = str(
            8192 * size + int(given["headers"]["x-amz-decoded-content-length"])
        )
        if given["payload"] == SIGNED_CHUNKS:
            code, status = "IncompleteBody", 400
    for target in ("/photos/kept", f"/photos/multi?uploadId={upload_id}&partNumber=1"):
        refused(code, status, "PUT", target, **given)


def test_chunks_that_are_right(server: Server, wire: Wire) -> None:
    """The same framing without a fault is accepted, so the tests above refuse what they say they refuse."""
    trailer = chunked(b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:" + GOOD_CRC + b"\r\n\r\n", 5, CRC)
    assert wire.send("PUT", "/photos/a", **trailer).status == 200
    given = chunked(b"", 8203, None, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    headers = wire.sign("PUT", "/photos/b", given["headers"], given["payload"])
    date = headers["x-amz-date"]
    seed = headers["Authorization"].rpartition("=")[2]
    signing_key = wire.key(date)
    signer = ChunkSigner(SigningKey(signing_key), date, f"{date[:8]}/us-east-1/s3/aws4_request", seed)
    parts = [b"hello" + b"." * 8192, b" world"]
    answer = wire.send("PUT", "/photos/b", signed_chunks(parts, signer, key=signing_key), headers, signed=False)
    assert answer.status == 200, answer
    for key, data in (("a", b"hello"), ("b", b"".join(parts))):
        with server.store.get_object("photos", key) as found:
            assert found.read() == data
            assert found.version.system.content_encoding is None
    changed = signed_chunks(parts, signer, key=signing_key).replace(b"world", b"wordl")
    answer = wire.send("PUT", "/photos/c", changed, headers, signed=False)
    assert answer.status == 403


@pytest.mark.parametrize("is_right", [True, False])
def test_a_signed_trailer_as_minio_go_frames_it(server: Server, wire: Wire, *, is_right: bool) -> None:
    data = b"x" * 70_000
    value = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")) if is_right else b"AAAAAA=="
    given = chunked(b"", len(data), CRC, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER")
    headers = wire.sign("PUT", "/photos/m", given["headers"], given["payload"])
    date, seed = headers["x-amz-date"], headers["Authorization"].rpartition("=")[2]
    signing_key = wire.key(date)
    signer = ChunkSigner(SigningKey(signing_key), date, f"{date[:8]}/us-east-1/s3/aws4_request", seed)
    body = signed_chunks([data[:65_536], data[65_536:]], signer, CRC.encode() + b":" + value, signing_key)
    framed = body.replace(b"\r\nx-amz-trailer-signature", b"\n\r\nx-amz-trailer-signature")
    answer = wire.send("PUT", "/photos/m", framed, headers, signed=False)
    if not is_right:
        assert (answer.status, answer.code) == (400, "BadDigest")
        return
    assert answer.status == 200, answer
    assert answer.headers["x-amz-checksum-crc32"].encode() == value
    assert wire.send("GET", "/photos/m").body == data


def test_undeclared_chunks_are_never_stored_as_data(server: Server, wire: Wire) -> None:
    """The framing is told by the payload header alone as well as by the encoding alone."""
    body = b"5\r\nhello\r\n0\r\n\r\n"
    by_encoding = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": "5"}
    assert wire.send("PUT", "/photos/a", body, by_encoding, payload=UNSIGNED).status == 200
    by_payload = {"x-amz-decoded-content-length": "5"}
    assert wire.send("PUT", "/photos/b", body, by_payload, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER").status == 200
    for key in "ab":
        with server.store.get_object("photos", key) as found:
            assert found.read() == b"hello"


def test_chunks_without_a_decoded_length(refused: Refused) -> None:
    body = b"5\r\nhello\r\n0\r\n\r\n"
    refused("MissingContentLength", 411, "PUT", "/photos/k", body, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    for text in ("x", "-5", "5.0", "9" * 30):
        headers = {"x-amz-decoded-content-length": text}
        refused("InvalidArgument", 400, "PUT", "/photos/k", body, headers, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")


class Stalled:
    """The body of a client that has sent `data` and then says nothing."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, _size: int) -> bytes:
        data, self._data = self._data, b""
        assert data, "it is waited for"
        return data


@pytest.mark.parametrize(
    ("body", "decoded", "code"),
    [
        (b"zz\r\nhello", 100, b"IncompleteBody"),
        (b"5\r\nhelloX", 100, b"IncompleteBody"),
        (b"5\r\nhello\r\n", 4, b"IncompleteBody"),
        (b"5\r\nhello\r\n1\r\n", 100, b"InvalidChunkSizeError"),
        (b"0\r\nnonsense\r\n", 0, b"MalformedTrailerError"),
    ],
)
def test_a_body_that_is_known_to_be_wrong_is_refused_at_once(
    server: Server, wire: Wire, body: bytes, decoded: int, code: bytes
) -> None:
    fields = {"x-amz-decoded-content-length": str(decoded), "Content-Encoding": "aws-chunked"}
    signed = wire.sign("PUT", "/photos/wrong", fields, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "PUT",
        "RAW_URI": "/photos/wrong",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": "1000",
        "bleepstore.headers": {name.lower(): value for name, value in signed.items()},
        "bleepstore.hurry": lambda _hurried: None,
        "wsgi.input": Stalled(body),
        "wsgi.input_terminated": True,
        "wsgi.url_scheme": "http",
    }
    headers: list[tuple[str, str]] = []
    answer = b"".join(create_app(server.store)(environ, lambda _status, told, *_: headers.extend(told)))  # type: ignore[arg-type]  # it writes nothing
    assert b"<Code>%s</Code>" % code in answer
    assert ("Connection", "close") in headers
