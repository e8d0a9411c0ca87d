"""A request, parsed once at the edge."""

from __future__ import annotations

import contextlib
import hashlib
import re
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, unquote, unquote_plus

import attrs

from bleepstore.model import Checksum
from bleepstore_server.wire import checksums, sigv4
from bleepstore_server.wire.chunked import READ_SIZE, ChunkedDecoder, hashing, read_chunked, read_plain
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.sigv4 import Identity, SignedRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_DOCUMENT = 2 * 1024 * 1024  # bytes of an XML body: a Complete of 10,000 parts with checksums fits
SMALL_BODY = 64 * 1024
#: The largest body that is read before its signature can be verified, since its request does not say its digest.
MAX_UNDECLARED = 64 * 1024 * 1024

#: Fields that say of the body what nobody knew when a URL was signed.
_OF_THE_BODY = frozenset({"x-amz-content-sha256", "x-amz-decoded-content-length", "x-amz-sdk-checksum-algorithm",
                          "x-amz-trailer"})  # fmt: skip


@attrs.define(slots=False)  # cached_property
class Request:
    """What the operations ask of a request. Header names are in lower case; `query` has decoded values ("" if none).

    `headers` are those that were sent, and once the signature of a URL is verified also those that it covers.
    """

    method: str
    raw_path: str
    raw_query: Sequence[tuple[str, str | None]]
    query: dict[str, str]
    signed: SignedRequest = attrs.field(repr=False)
    headers: dict[str, str]
    bucket: str | None
    key: str | None
    virtual_host: bool
    scheme: str
    host: str
    environ: WSGIEnvironment
    identity: Identity[Any] | None = None
    #: Bytes of the body that have come, as they were sent.
    bytes_in: int = 0
    #: Where the body is kept, once it has come; it is closed with the request.
    kept: IO[bytes] | None = None
    _decoder: ChunkedDecoder | None = None

    def header(self, name: str) -> str | None:
        """The value of a header as text: UTF-8 where it is, else Latin-1."""
        value = self.headers.get(name)
        return value if value is None or value.isascii() else decode_header(value)

    def add_fields(self, from_query: Mapping[str, str]) -> None:
        """Take note of the header fields that the signature of a URL covers in its query.

        Not so the checksums, the names of trailers and the algorithm of the SDK there: SDKs put the CRC32 of an empty
        body into a URL, for they do not know the body when they sign. A field that is sent as a header counts as sent.
        """
        self.headers = dict(self.headers)
        for name, value in from_query.items():
            if name not in _OF_THE_BODY and name not in checksums.FIELDS:
                self.headers.setdefault(name, value.encode("utf-8", "surrogateescape").decode("latin-1"))

    def refuse_repeated_parameters(self) -> None:
        """In a signed URL each parameter is there once, however it is written: one that is checked is the one used."""
        if len({*map(str.lower, self.query)}) == len(self.raw_query):
            return
        seen = set()
        for raw, _value in self.raw_query:
            name = _decode(raw, unquote_plus).lower()
            if name in seen:
                raise RequestError(
                    "InvalidArgument",
                    f"The query parameter {name} is given more than once.",
                    fields={"ArgumentName": name},
                )
            seen.add(name)

    @property
    def resource(self) -> str:
        """What error documents call the resource."""
        return unquote(self.raw_path)

    # -- the body

    @property
    def content_length(self) -> int | None:
        text = self.environ.get("CONTENT_LENGTH")
        if not text:
            return None
        if not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise RequestError("BadRequest", "Content-Length is not a number.")
        return int(text)

    @cached_property
    def payload(self) -> str:
        """The declared x-amz-content-sha256; where one signed, that of the signature. Raises RequestError for one that
        cannot be."""
        return sigv4.check_payload(self.headers.get("x-amz-content-sha256", sigv4.UNSIGNED))

    @cached_property
    def is_chunked(self) -> bool:
        """Whether the body is aws-chunked. Clients say it in either of two headers.

        One that says it as content encoding alone also gives the length of the data, or names trailers; otherwise it
        only passes on the encoding that an object had elsewhere.
        """
        if self.payload.startswith("STREAMING-"):
            return True
        encoding = self.headers.get("content-encoding", "").lower()
        framed = "x-amz-decoded-content-length" in self.headers or "x-amz-trailer" in self.headers
        return framed and "aws-chunked" in encoding

    @cached_property
    def body_length(self) -> int | None:
        """The length of the body's data in bytes, where it is declared."""
        if not self.is_chunked:
            if self.content_length is None and "chunked" not in self.headers.get("transfer-encoding", "").lower():
                raise RequestError("MissingContentLength")
            return self.content_length
        text = self.headers.get("x-amz-decoded-content-length")
        if text is None:
            raise RequestError("MissingContentLength", "An aws-chunked body needs x-amz-decoded-content-length.")
        if not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise RequestError("InvalidArgument", "x-amz-decoded-content-length is not a number.")
        return int(text)

    @property
    def trailer_names(self) -> tuple[str, ...]:
        """The names of the trailers that the header announces."""
        text = self.headers.get("x-amz-trailer")
        return () if text is None else tuple(name.strip().lower() for name in text.split(",") if name.strip())

    def read_body(self, size: int) -> bytes:
        """Up to `size` bytes of the body as it was sent, b"" at its end. Raises RequestError if it breaks off."""
        try:
            data: bytes = self.environ["wsgi.input"].read(size)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            raise RequestError("RequestTimeout") from None
        except Exception as error:  # each server has its own classes for a body that it cannot read
            raise RequestError("IncompleteBody", f"The body could not be read to its end: {error}") from error
        if self.kept is None:
            self.bytes_in += len(data)
        return data

    def body(self) -> Iterator[bytes]:
        """The data of the body, verified at its end. Nothing is read before it is iterated over: by then whatever the
        header tells was checked, the caller's rights first of all.

        It raises RequestError when the body is cut off, badly framed, or not what was signed.
        """
        length = self.body_length
        sha256 = self.payload if len(self.payload) == 64 else None
        if self.is_chunked:
            # A digest that is declared is that of the bytes as they are sent, framing and all.
            read, verify = (self.read_body, None) if sha256 is None else hashing(self.read_body, sha256)
            signer = None
            if self.payload in (sigv4.SIGNED_CHUNKS, sigv4.SIGNED_CHUNKS_TRAILER):
                signer = self.identity.chunks if self.identity is not None else None
                if signer is None:
                    raise RequestError("InvalidRequest", "Signed chunks need a request that is signed in its headers.")
            self._decoder = ChunkedDecoder(length, signer=signer, trailers_expected=self.trailer_names)
            return read_chunked(read, self._decoder, verify)
        return read_plain(self.read_body, length, sha256)

    def hash_body(self) -> str:
        """The SHA-256 of the body in hex. What is read is kept for the operation, in memory if it is little."""
        limit = MAX_UNDECLARED if self.content_length is None else self.content_length
        if limit > MAX_UNDECLARED:
            raise RequestError(
                "InvalidRequest",
                f"A body of more than {MAX_UNDECLARED} bytes needs the header x-amz-content-sha256.",
            )
        digest = hashlib.sha256()
        has_body = self.content_length is not None or "transfer-encoding" in self.headers
        with contextlib.ExitStack() as stack:
            kept = stack.enter_context(tempfile.SpooledTemporaryFile(SMALL_BODY))
            while has_body and (data := self.read_body(READ_SIZE)):
                if self.bytes_in > limit:
                    raise RequestError("MaxMessageLengthExceeded")
                digest.update(data)
                kept.write(data)
            kept.seek(0)
            stack.pop_all()  # closed with the request
        self.kept = self.environ["wsgi.input"] = kept
        return digest.hexdigest()

    def document(self) -> bytes:
        """A body that is an XML document."""
        if self.content_length is not None and self.content_length > MAX_DOCUMENT:
            raise _too_long()
        if self.content_length is None and "transfer-encoding" not in self.headers:
            if self.is_chunked:
                raise RequestError("IncompleteBody", "The request declares a body in chunks and has none.")
            sha256 = self.payload if len(self.payload) == 64 else None
            return b"".join(read_plain(self.read_body, 0, sha256))  # a body was taken away, or none sent
        pieces: list[bytes] = []
        size = 0
        for piece in self.body():
            size += len(piece)
            if size > MAX_DOCUMENT:
                raise _too_long()
            pieces.append(piece)
        return b"".join(pieces)

    def late_checksum(self) -> Checksum | None:
        """The checksum in the trailers, once the body has been read."""
        for name, value in self._decoder.trailers.items() if self._decoder is not None else ():
            algorithm = checksums.FIELDS.get(name)
            if algorithm is not None:
                return checksums.check_value(Checksum(algorithm, value), "trailing header")
        return None

    def body_options(self) -> dict[str, Any]:
        """What the request says of its body, as options of put_object and put_part."""
        checksum = checksums.sent_checksum(self.headers)
        announced = checksums.announced_algorithm(self.headers, self.trailer_names, checksum)
        trailing = announced is not None and self.is_chunked
        if trailing and checksum is not None:
            raise RequestError(
                "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
            )
        return {
            "body": self.body(),
            "size": self.body_length,
            "content_md5": self.headers.get("content-md5"),
            "checksum": checksum,
            "checksum_algorithm": announced if checksum is None else None,
            "late_checksum": self.late_checksum if trailing else None,
        }


#: Stands for a request that could not be read.
UNPARSED = Request(
    method="", raw_path="", raw_query=(), query={}, signed=SignedRequest("", "", (), ()), headers={}, bucket=None,
    key=None, virtual_host=False, scheme="", host="", environ={},
)  # fmt: skip


def _too_long() -> RequestError:
    return RequestError("MaxMessageLengthExceeded", fields={"MaxMessageLengthBytes": str(MAX_DOCUMENT)})


def hurry(environ: WSGIEnvironment, hurried: bool = True) -> None:
    """Have the body come as quickly as a header has to, or no more so, where the server can."""
    if "bleepstore.hurry" in environ:
        environ["bleepstore.hurry"](hurried)


def decode_header(value: str) -> str:
    """WSGI shows the bytes of a header as Latin-1; clients mean UTF-8 where that is what the bytes are."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _rebuilt_target(environ: WSGIEnvironment, target: str | None) -> str:
    """The target in origin form: path and query. Servers that do not keep it give the decoded path, which is encoded
    again."""
    if not target:
        path = quote((environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"), safe="/-_.~")
        return f"{path}?{environ.get('QUERY_STRING', '')}"
    _scheme, separator, rest = target.partition("://")
    return "/" + rest.partition("/")[2] if separator else "/" + target


def _blurred_headers(environ: WSGIEnvironment) -> Iterator[tuple[str, str]]:
    """The header fields of a server that does not keep them as they were sent: WSGI blurs "_" and "-"."""
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            yield name[5:].replace("_", "-"), value
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            yield name.replace("_", "-"), environ[name]


_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def _decode(text: str, decode: Callable[..., str]) -> str:
    if _BAD_ESCAPE.search(text):
        raise RequestError("InvalidURI", "The request target has a % that two hexadecimal digits do not follow.")
    try:
        return decode(text, errors="strict")
    except UnicodeError:
        raise RequestError("InvalidURI", "The request target is not percent-encoded UTF-8.") from None


def _locate(path: str, host: str, domains: Sequence[str]) -> tuple[str | None, str | None, bool]:
    """(bucket, key, whether the host names the bucket)."""
    name = host.rsplit(":", 1)[0].lower() if domains else ""
    for domain in domains:
        if name.endswith("." + domain):
            key = path[1:]
            return name[: -len(domain) - 1], (_decode(key, unquote) if "%" in key else key) or None, True
    bucket, _, key = path[1:].partition("/")
    if "%" in path:
        bucket, key = _decode(bucket, unquote), _decode(key, unquote)
    return bucket or None, key or None, False


#: RFC 9112 section 3.2 and RFC 3986 section 3.2: a name, an IPv4 address or a bracketed IPv6 one, and perhaps a port.
_HOST = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+;=%]+|\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9\-._~]+)?\])(?::[0-9]*)?")


def _check_framing(environ: WSGIEnvironment, headers: Mapping[str, str], host: str) -> None:
    """Refuse what RFC 9112 has every server refuse, also where the server in front of the app does not."""
    # "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that lacks a Host
    # header field and to any request message that contains more than one Host header field line or a Host header field
    # with an invalid field value." Two lines are joined by a comma, which no host has.
    if not _HOST.fullmatch(host) and (host or environ.get("SERVER_PROTOCOL") == "HTTP/1.1"):
        raise RequestError("BadRequest", "The request needs one Host header with the name of this server.")
    coding = headers.get("transfer-encoding")
    if coding is None:
        return
    if coding.strip().lower() != "chunked":
        raise RequestError("NotImplemented", f"Of transfer codings, chunked is known, and not {coding!r}.")
    if not environ.get("wsgi.input_terminated"):
        # What such a server gives for a body without a length is no body (PEP 3333).
        raise RequestError("MissingContentLength", "This server takes no chunked transfer: send a Content-Length.")
    if "content-length" in headers:
        raise RequestError("BadRequest", "A request has a Transfer-Encoding or a Content-Length, not both.")


def parse_request(environ: WSGIEnvironment, domains: Sequence[str] = ()) -> Request:
    """The request in `environ`. Raises RequestError."""
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if not target or target[0] != "/":
        target = _rebuilt_target(environ, target)
    raw_path, _, query_text = target.partition("?")
    if not (raw_path.isascii() and query_text.isascii()):
        # A URI has no other characters (RFC 3986 section 2), and servers show such bytes in one way or another: what is
        # signed would not be what is read.
        raise RequestError("InvalidURI", "The request target has bytes that must be percent-encoded.")
    raw_query: list[tuple[str, str | None]] = []
    query: dict[str, str] = {}
    if query_text:
        for item in query_text.split("&"):
            if not item:
                continue
            name, equals, value = item.partition("=")
            raw_query.append((name, value if equals else None))
            if "%" in item or "+" in item:
                name, value = _decode(name, unquote_plus), _decode(value, unquote_plus)
            query.setdefault(name, value)
    sent = environ.get("bleepstore.headers")
    header_list = [(name.lower(), value) for name, value in (_blurred_headers(environ) if sent is None else sent)]
    signed = SignedRequest(environ["REQUEST_METHOD"], raw_path, raw_query, header_list)
    headers = signed.fields
    host = headers.get("host", "")
    _check_framing(environ, headers, host)
    bucket, key, virtual_host = _locate(raw_path, host, domains)
    return Request(
        method=signed.method,
        raw_path=raw_path,
        raw_query=raw_query,
        query=query,
        signed=signed,
        headers=headers,
        bucket=bucket,
        key=key,
        virtual_host=virtual_host,
        scheme=environ.get("wsgi.url_scheme", "http"),
        host=host,
        environ=environ,
    )
