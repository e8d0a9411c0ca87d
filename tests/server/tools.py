"""A client that sends exactly what it is told, and signs as the S3 API reference says, apart from the server's code."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import socket
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest
from botocore.exceptions import ClientError

from bleepstore import Store

UNSIGNED = "UNSIGNED-PAYLOAD"


@attrs.frozen
class Answer:
    """What came back. `code` is the S3 error code, or None."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, str]:
        """The elements of an error document."""
        if not self.body or self.status < 300:
            return {}
        root = ET.fromstring(self.body)
        assert root.tag == "Error", self.body
        return {child.tag: child.text or "" for child in root}

    @property
    def code(self) -> str | None:
        return self.error.get("Code")


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


@attrs.frozen
class Wire:
    """Sends requests to the server at `url`."""

    url: str
    access_key: str = "alice"
    secret_key: str = "alice-secret"
    region: str = "us-east-1"

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def sign(
        self, method: str, target: str, headers: Mapping[str, str], payload: str, at: float | None = None
    ) -> dict[str, str]:
        """`headers` with those that a signed request has, Authorization among them."""
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() if at is None else at))
        signed = {"Host": self.host, "x-amz-date": date, "x-amz-content-sha256": payload, **headers}
        if not signed["x-amz-content-sha256"]:
            del signed["x-amz-content-sha256"]
        lower = {name.lower(): " ".join(str(value).split()) for name, value in signed.items()}
        names = ";".join(sorted(lower))
        path, _, query = target.partition("?")
        pairs = sorted((item.partition("=")[0], item.partition("=")[2]) for item in query.split("&") if item)
        canonical = "\n".join(
            [
                method,
                path,
                "&".join(f"{name}={value}" for name, value in pairs),
                *(f"{name}:{lower[name]}" for name in sorted(lower)),
                "",
                names,
                payload,
            ]
        )
        scope = f"{date[:8]}/{self.region}/s3/aws4_request"
        digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
        key = self.key(date)
        signature = _hmac(key, f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}").hex()
        credential = f"{self.access_key}/{scope}"
        authorization = f"AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={names},Signature={signature}"
        return {**signed, "Authorization": authorization}

    def sign_without_digest(self, method: str, target: str, payload: str) -> dict[str, str]:
        """As `sign`, but x-amz-content-sha256 is neither sent nor signed."""
        return self.sign(method, target, {"x-amz-content-sha256": ""}, payload)

    def key(self, date: str) -> bytes:
        """The signing key of a day."""
        key = _hmac(f"AWS4{self.secret_key}".encode(), date[:8])
        for text in (self.region, "s3", "aws4_request"):
            key = _hmac(key, text)
        return key

    def send(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        payload: str | None = None,
        signed: bool = True,
        at: float | None = None,
        length: int | None = None,
    ) -> Answer:
        """Send one request and read the answer. `length` is a Content-Length other than that of the body."""
        given = dict(headers or {})
        if signed:
            digest = hashlib.sha256(body).hexdigest() if payload is None else payload
            given = self.sign(method, target, given, digest, at)
        given.setdefault("Host", self.host)
        framed = given.keys() & {"Transfer-Encoding", "Content-Length"}
        if not framed and (body or length is not None or method in ("PUT", "POST")):
            given["Content-Length"] = str(len(body) if length is None else length)
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
        return self.raw("\r\n".join(lines).encode("latin-1") + body, method)

    def raw(self, data: bytes, method: str = "GET") -> Answer:
        """Send bytes, say that there will be no more, and read the answer."""
        host, _, port = self.host.partition(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the server has answered and gone before it had everything
            response = http.client.HTTPResponse(connection, method=method)
            try:
                response.begin()
                body = response.read()
            finally:
                response.close()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


@contextlib.contextmanager
def failure(code: str, status: int) -> Iterator[dict[str, Any]]:
    """The block's call by boto3 must be refused with this; what it was told is put into the dictionary."""
    response: dict[str, Any] = {}
    with pytest.raises(ClientError) as refused:
        yield response
    response.update(refused.value.response)
    found = (response["Error"].get("Code"), response["ResponseMetadata"]["HTTPStatusCode"])
    assert found == (code, status), response


def snapshot(store: Store) -> dict[str, Any]:
    """Everything that clients could see: nothing may have changed if it is equal."""
    seen: dict[str, Any] = {}
    for bucket in store.list_buckets().buckets:
        name = bucket.name
        objects = store.list_objects(name).objects
        uploads = store.list_uploads(name).uploads
        seen[name] = (
            bucket.acl,
            [(o.key, o.etag, o.modified_ms, store.get_object_acl(name, o.key)) for o in objects],
            [(u.key, u.upload_id, store.list_parts(name, u.key, u.upload_id).parts) for u in uploads],
        )
    return seen


class Refused:
    """Checks that a request is refused with a code and a status, and that nothing has changed by it."""

    def __init__(self, store: Store, wire: Wire) -> None:
        self._store = store
        self._wire = wire

    def __call__(self, code: str, status: int, method: str, target: str, *args: Any, **options: Any) -> Answer:
        before = snapshot(self._store)
        answer = self._wire.send(method, target, *args, **options)
        assert (answer.status, answer.code) == (status, code), answer
        if answer.body:
            assert answer.error["Message"]
            assert answer.error["RequestId"] == answer.headers["x-amz-request-id"]
            assert "Resource" in answer.error
            assert answer.headers["content-type"] == "application/xml"
        assert snapshot(self._store) == before
        return answer
