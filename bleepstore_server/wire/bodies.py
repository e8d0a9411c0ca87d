"""The body of a request: what its header says of it, the checksum that it comes with, and its data, whose framing
`wire.chunked` decodes."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import attrs

from bleepstore.digests import Algorithm, decode_value
from bleepstore.model import Checksum
from bleepstore_server.wire.chunked import ChunkedDecoder
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.sigv4 import (
    SIGNED_CHUNKS,
    SIGNED_CHUNKS_TRAILER,
    UNSIGNED,
    Identity,
    SentHead,
    amz_names,
    check_payload,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_DOCUMENT = 2 * 1024 * 1024  # bytes of an XML body: a Complete of 10,000 parts with checksums fits
SMALL_BODY = 64 * 1024
#: The largest body that is read before its signature can be verified, since its request does not say its digest.
MAX_UNDECLARED = 64 * 1024 * 1024
READ_SIZE = 1024 * 1024

_SDK_ALGORITHM = "x-amz-sdk-checksum-algorithm"
#: Of a form: what that of a header is, for uploads in parts and copies.
_FORM_ALGORITHM = "x-amz-checksum-algorithm"

_NAMED = dict(Algorithm.__members__)
#: The field of each algorithm's value.
FIELDS = {f"x-amz-checksum-{algorithm.value.lower()}": algorithm for algorithm in Algorithm}
#: Fields whose names begin like those, and that have no value of a checksum.
_OTHER = frozenset({_FORM_ALGORITHM, "x-amz-checksum-mode", "x-amz-checksum-type"})


@attrs.define(kw_only=True)
class SentBody(SentHead):
    """A request and its body."""

    environ: WSGIEnvironment
    #: Who signed, once that is known.
    identity: Identity[Any] | None = None
    #: Bytes of the body that have come, as they were sent.
    bytes_in: int = 0
    #: Where the body is kept, once it has come; it is closed with the request.
    kept: IO[bytes] | None = None
    _decoder: ChunkedDecoder | None = None

    @property
    def content_length(self) -> int | None:
        text = self.environ.get("CONTENT_LENGTH")
        if not text:
            return None
        if not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise RequestError("BadRequest", "Content-Length is not a number.")
        return int(text)

    @property
    def payload(self) -> str:
        """The declared x-amz-content-sha256; where one signed, that of the signature. Raises RequestError for one that
        cannot be."""
        if self.identity is not None:
            return self.identity.payload
        return check_payload(self.headers.get("x-amz-content-sha256", UNSIGNED))

    @property
    def is_chunked(self) -> bool:
        """Whether the body is aws-chunked. Clients say it in either of two headers.

        One that says it as content encoding alone also gives the length of the data, or names trailers; otherwise it
        only passes on the encoding that an object had elsewhere.
        """
        if self.payload.startswith("STREAMING-"):
            return True
        framed = "x-amz-decoded-content-length" in self.headers or "x-amz-trailer" in self.headers
        return framed and "aws-chunked" in self.headers.get("content-encoding", "").lower()

    def _data_length(self, is_chunked: bool) -> int | None:
        """The length of the body's data in bytes, where it is declared."""
        if not is_chunked:
            length = self.content_length
            if length is None and "chunked" not in self.headers.get("transfer-encoding", "").lower():
                raise RequestError("MissingContentLength")
            return length
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
        is_chunked = self.is_chunked
        return self._read_data(is_chunked, self._data_length(is_chunked))

    def _read_data(self, is_chunked: bool, length: int | None) -> Iterator[bytes]:
        payload = self.payload
        sha256 = payload if len(payload) == 64 else None
        if is_chunked:
            # A digest that is declared is that of the bytes as they are sent, framing and all.
            read, verify = (self.read_body, None) if sha256 is None else hashing(self.read_body, sha256)
            signer = None
            if payload in (SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER):
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
            algorithm = FIELDS.get(name)
            if algorithm is not None:
                return check_value(Checksum(algorithm, value), "trailing header")
        return None

    def body_options(self) -> dict[str, Any]:
        """What the request says of its body, as options of put_object and put_part."""
        checksum = sent_checksum(self.headers)
        announced = announced_algorithm(self.headers, self.trailer_names, checksum)
        is_chunked = self.is_chunked
        trailing = announced is not None and is_chunked
        if trailing and checksum is not None:
            raise RequestError(
                "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
            )
        length = self._data_length(is_chunked)
        return {
            "body": self._read_data(is_chunked, length),
            "size": length,
            "content_md5": self.headers.get("content-md5"),
            "checksum": checksum,
            "checksum_algorithm": announced if checksum is None else None,
            "late_checksum": self.late_checksum if trailing else None,
        }


def _too_long() -> RequestError:
    return RequestError("MaxMessageLengthExceeded", fields={"MaxMessageLengthBytes": str(MAX_DOCUMENT)})


def hurry(environ: WSGIEnvironment, hurried: bool = True) -> None:
    """Have the body come as quickly as a header has to, or no more so, where the server can."""
    if "bleepstore.hurry" in environ:
        environ["bleepstore.hurry"](hurried)


# -- the checksum


def sent_checksum(fields: Mapping[str, str]) -> Checksum | None:
    """The additional checksum among the fields, whose names are in lower case. Its value can be one."""
    found = []
    for name in amz_names(tuple(fields)):
        if name.startswith("x-amz-checksum-") and name not in _OTHER:
            algorithm = FIELDS.get(name)
            if algorithm is None:
                raise RequestError(
                    "InvalidRequest", "The algorithm type you specified in x-amz-checksum- header is invalid."
                )
            found.append(Checksum(algorithm, fields[name]))
    if len(found) > 1:
        raise RequestError(
            "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    return check_value(found[0]) if found else None


def check_value(checksum: Checksum, where: str = "header") -> Checksum:
    """The checksum, if its value is one of its algorithm. A composite one may end in its number of parts."""
    if decode_value(checksum.algorithm, checksum.value.partition("-")[0]) is None:
        name = f"x-amz-checksum-{checksum.algorithm.value.lower()}"
        raise RequestError("InvalidRequest", f"Value for {name} {where} is invalid.")
    return checksum


def announced_algorithm(fields: Mapping[str, str], trailers: Sequence[str], sent: Checksum | None) -> Algorithm | None:
    """The algorithm of the checksum in the trailers, of which the first counts. `sent` is the one among the fields."""
    trailing = None
    if trailers:
        trailing = FIELDS.get(trailers[0])
        if trailing is None:
            raise RequestError("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
    if _SDK_ALGORITHM in fields:
        named = sdk_algorithm(fields, trailing or (sent.algorithm if sent else None))
        if named is not None and trailing is None and sent is None:
            raise RequestError(
                "InvalidRequest",
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
                "headers were found.",
            )
    return trailing


def parse_algorithm(name: str) -> Algorithm:
    try:
        return Algorithm(name.upper())
    except ValueError:
        raise RequestError(
            "InvalidRequest",
            f"Checksum algorithm provided is unsupported. Please try again with any of "
            f"the valid types: [{', '.join(algorithm.value for algorithm in Algorithm)}]",
        ) from None


def sdk_algorithm(fields: Mapping[str, str], sent: Algorithm | None) -> Algorithm | None:
    """What x-amz-sdk-checksum-algorithm names. It must be the algorithm of the checksum that is sent, if one is."""
    name = fields.get(_SDK_ALGORITHM)
    if not name:
        return None
    algorithm = _NAMED.get(name.upper())
    if algorithm is None or sent not in (None, algorithm):
        raise RequestError("InvalidRequest", f"Value for {_SDK_ALGORITHM} header is invalid.")
    return algorithm


def check_form_algorithm(fields: Mapping[str, str], sent: Checksum | None) -> None:
    """Refuse a form whose x-amz-checksum-algorithm is none, or not that of its checksum ("If a value is specified, you
    must include the matching checksum header. Otherwise, your request will generate a 400 error")."""
    name = fields.get(_FORM_ALGORITHM)
    if name and (sent is None or sent.algorithm is not parse_algorithm(name)):
        raise RequestError(
            "InvalidRequest", f"{_FORM_ALGORITHM} is {name}: the form has no x-amz-checksum-{name.lower()}."
        )


# -- the data


Read = Callable[[int], bytes]


def read_chunked(read: Read, decoder: ChunkedDecoder, verify: Callable[[], None] | None = None) -> Iterator[bytes]:
    """The data of a body that `read(size)` gives, b"" at its end. `verify` is asked when all has been read."""
    while data := read(READ_SIZE):
        yield from decoder.feed(data)
    decoder.finish()
    if verify is not None:
        verify()


def hashing(read: Read, sha256: str) -> tuple[Read, Callable[[], None]]:
    """`read`, and what raises RequestError unless all that was read has this SHA-256 (in hex)."""
    digest = hashlib.sha256()

    def hashed(size: int) -> bytes:
        data = read(size)
        digest.update(data)
        return data

    return hashed, lambda: _check_sha256(digest.hexdigest(), sha256)


def _check_sha256(computed: str, declared: str) -> None:
    if not hmac.compare_digest(computed, declared.lower()):
        raise RequestError(
            "XAmzContentSHA256Mismatch",
            fields={"ClientComputedContentSHA256": declared, "S3ComputedContentSHA256": computed},
        )


def read_plain(read: Read, length: int | None, sha256: str | None) -> Iterator[bytes]:
    """The data of a plain body of `length` bytes (None: until its end), verified against a SHA-256 in hex if given."""
    digest = hashlib.sha256() if sha256 is not None else None
    received = 0
    while length is None or received < length:
        data = read(READ_SIZE if length is None else min(READ_SIZE, length - received))
        if not data:
            break
        received += len(data)
        if digest is not None:
            digest.update(data)
        yield data
    if length is not None and received < length:
        raise RequestError("IncompleteBody", f"The body has {received} bytes, but Content-Length says {length}.")
    if digest is not None and sha256 is not None:
        _check_sha256(digest.hexdigest(), sha256)
