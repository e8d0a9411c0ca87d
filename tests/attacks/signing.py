"""Requests that are signed right, in every scheme, apart from the server's code: what the attacks begin with."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from urllib.parse import quote

import attrs

from tests.server.tools import Answer, Wire

DATA = b"data of a new object"
DECODED = {"x-amz-decoded-content-length": str(len(DATA))}
EMPTY = hashlib.sha256(b"").hexdigest()


@attrs.frozen
class Signed:
    """A request as it is sent. `headers` are in order, and may hold a name twice."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = DATA

    def send(self, wire: Wire) -> Answer:
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers)]
        if not any(name.lower() == "content-length" for name, _value in self.headers):
            lines.append(f"Content-Length: {len(self.body)}")
        return wire.raw("\r\n".join([*lines, "", ""]).encode("latin-1") + self.body, self.method)

    def with_header(self, name: str, value: str | None) -> Signed:
        """This header changed, added or (None) taken away."""
        kept = tuple(item for item in self.headers if item[0].lower() != name.lower())
        return attrs.evolve(self, headers=kept if value is None else (*kept, (name, value)))


Sign = Callable[[Wire, str, str, dict[str, str]], Signed]
Pairs = Sequence[tuple[str, str]]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("latin-1")).hexdigest()


def _hmac(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode("latin-1"), hashlib.sha256).hexdigest()


# -- version 4


def v4_header(wire: Wire, method: str, target: str, fields: dict[str, str]) -> Signed:
    headers = wire.sign(method, target, fields, hashlib.sha256(DATA).hexdigest())
    return Signed(method, target, tuple(headers.items()))


def v4_query(wire: Wire, method: str, target: str, fields: dict[str, str]) -> Signed:
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{date[:8]}/{wire.region}/s3/aws4_request"
    headers = {"host": wire.host, **{name.lower(): value for name, value in fields.items()}}
    names = ";".join(sorted(headers))
    path, _, query = target.partition("?")
    pairs = [item.partition("=")[::2] for item in query.split("&") if item] + [
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Credential", quote(f"{wire.access_key}/{scope}", safe="")),
        ("X-Amz-Date", date),
        ("X-Amz-Expires", "600"),
        ("X-Amz-SignedHeaders", quote(names, safe="")),
    ]
    text = "&".join(f"{name}={value}" for name, value in sorted(pairs))
    fields_text = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"{method}\n{path}\n{text}\n{fields_text}\n{names}\nUNSIGNED-PAYLOAD"
    signature = _hmac(wire.key(date), f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{_digest(canonical)}")
    return Signed(method, f"{path}?{text}&X-Amz-Signature={signature}", tuple(headers.items()))


def _chunks(wire: Wire, signed: Signed, trailer: tuple[str, str] | None, pieces: Sequence[bytes] = (DATA,)) -> bytes:
    """Signed chunks of data and the last one, and perhaps a signed trailer."""
    headers = {name.lower(): value for name, value in signed.headers}
    date = headers["x-amz-date"]
    scope = f"{date[:8]}/{wire.region}/s3/aws4_request"
    previous = headers["authorization"].rpartition("Signature=")[2]
    body = b""
    for piece in (*pieces, b""):
        tail = f"{EMPTY}\n{hashlib.sha256(piece).hexdigest()}"
        to_sign = f"AWS4-HMAC-SHA256-PAYLOAD\n{date}\n{scope}\n{previous}\n{tail}"
        previous = _hmac(wire.key(date), to_sign)
        body += f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece + (b"\r\n" if piece else b"")
    if trailer is not None:
        line = f"{trailer[0]}:{trailer[1]}\n"
        to_sign = f"AWS4-HMAC-SHA256-TRAILER\n{date}\n{scope}\n{previous}\n{_digest(line)}"
        signature = _hmac(wire.key(date), to_sign)
        body += f"{trailer[0]}:{trailer[1]}\r\nx-amz-trailer-signature:{signature}\r\n".encode()
    return body + b"\r\n"


def v4_chunks(
    wire: Wire, method: str, target: str, fields: dict[str, str], pieces: Sequence[bytes] = (DATA,)
) -> Signed:
    payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    length = {"x-amz-decoded-content-length": str(sum(map(len, pieces)))}
    signed = Signed(method, target, tuple(wire.sign(method, target, {**fields, **length}, payload).items()))
    return attrs.evolve(signed, body=_chunks(wire, signed, None, pieces))


SHA256 = ("x-amz-checksum-sha256", base64.b64encode(hashlib.sha256(DATA).digest()).decode())


def v4_trailer(wire: Wire, method: str, target: str, fields: dict[str, str]) -> Signed:
    payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    headers = wire.sign(method, target, {**fields, **DECODED, "x-amz-trailer": SHA256[0]}, payload)
    signed = Signed(method, target, tuple(headers.items()))
    return attrs.evolve(signed, body=_chunks(wire, signed, SHA256))


# -- version 2


def _v2(wire: Wire, method: str, target: str, date: str, fields: Pairs, resource: Sequence[str]) -> str:
    lower = {name.lower(): value for name, value in fields}
    path, _, query = target.partition("?")
    kept = sorted(item for item in query.split("&") if item.partition("=")[0] in resource)
    amz = "".join(f"{name}:{value}\n" for name, value in sorted(lower.items()) if name.startswith("x-amz-"))
    to_sign = (
        f"{method}\n{lower.get('content-md5', '')}\n{lower.get('content-type', '')}\n{date}\n{amz}"
        f"{path}{'?' + '&'.join(kept) if kept else ''}"
    )
    digest = hmac.new(wire.secret_key.encode(), to_sign.encode("latin-1"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def v2_header(wire: Wire, method: str, target: str, fields: dict[str, str]) -> Signed:
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    signature = _v2(wire, method, target, date, tuple(fields.items()), ("versionId", "acl", "encryption"))
    headers = {"Host": wire.host, "Date": date, **fields, "Authorization": f"AWS {wire.access_key}:{signature}"}
    return Signed(method, target, tuple(headers.items()))


def v2_query(wire: Wire, method: str, target: str, fields: dict[str, str]) -> Signed:
    """The header fields in the query, as botocore has it."""
    expires = str(int(time.time()) + 600)
    signature = _v2(wire, method, target, expires, tuple(fields.items()), ("versionId", "acl"))
    pairs = {
        **{name.lower(): value for name, value in fields.items()},
        "AWSAccessKeyId": wire.access_key,
        "Expires": expires,
        "Signature": signature,
    }
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs.items())
    return Signed(method, f"{target}{'&' if '?' in target else '?'}{query}", (("Host", wire.host),))


SCHEMES: dict[str, Sign] = {
    "version 4 header": v4_header,
    "version 4 query": v4_query,
    "version 4 signed chunks": v4_chunks,
    "version 4 signed trailer": v4_trailer,
    "version 2 header": v2_header,
    "version 2 query": v2_query,
}
