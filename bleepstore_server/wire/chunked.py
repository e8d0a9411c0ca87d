"""aws-chunked, decoded without I/O ("Transferring Payload in Multiple Chunks", with and without trailers).

    chunk    = size-in-hex [";chunk-signature=" hex] CRLF data CRLF
    body     = *chunk "0" [";chunk-signature=" hex] CRLF *(trailer-name ":" value (CRLF / LF)) CRLF

Signed trailers are followed by `x-amz-trailer-signature ":" hex CRLF`, and some clients end the trailers before it with
LF CRLF. A signature also proves that a body is whole where its last CRLF is missing; without one it is incomplete.

"The chunk size must be at least 8 KB": S3 refuses a smaller one as soon as another follows.

Feed bytes as they come and take the data out. Data are handed out before the signature of their chunk was seen, which
costs no memory; `finish` or a later `feed` raises if it is wrong, and until then nobody may act on them.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.sigv4 import EMPTY_SHA256, ChunkSigner

_MAX_LINE = 4096
_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")
#: What has come of the line of a chunk's size while its end has not.
_SIZE_BEGUN = re.compile(rb"\s*(?:[0-9a-fA-F]{1,16}\s*(?:;.*)?)?", re.DOTALL)
_MAX_TRAILERS = 16 * 1024
_MAX_CHUNK = 5 * 1024**3
_MIN_CHUNK = 8192  # but for the last
_SIGNATURE = "x-amz-trailer-signature"


def _incomplete(why: str) -> RequestError:
    """S3's answer to all framing that is malformed."""
    return RequestError("IncompleteBody", why)


#: What comes next. (To look a member of an enumeration up takes longer than to compare it.)
_AT_SIZE, _IN_DATA, _AT_DATA_END, _IN_TRAILERS, _DONE = range(5)


class ChunkedDecoder:
    """One body. `signer` is set when its chunks are signed; `trailers_expected` are the names of x-amz-trailer."""

    def __init__(
        self,
        decoded_length: int | None,
        *,
        signer: ChunkSigner | None = None,
        trailers_expected: tuple[str, ...] = (),
    ) -> None:
        self._rest = b""  # what was fed and is not a whole line
        self._state = _AT_SIZE
        self._left = 0
        self._received = 0
        self._chunks = 0
        self._chunk_size = _MIN_CHUNK
        self._decoded_length = decoded_length
        self._signer = signer
        self._previous = signer.seed if signer else ""
        self._chunk_signature = ""
        if signer is not None:
            self._chunk_hash = hashlib.sha256()
        self._expected = frozenset(trailers_expected)
        self._trailer_lines: list[tuple[str, str]] = []
        self._trailer_size = 0
        self._separated = False
        self.trailers: dict[str, str] = {}

    def feed(self, data: bytes) -> list[bytes]:
        """Take in more of the body; returns the data that it holds."""
        out: list[bytes] = []
        data, at = self._rest + data, 0  # without a rest, and a piece that is all of it, nothing is copied
        while True:
            if self._state == _IN_DATA:
                piece = data[at : at + self._left]
                if not piece:
                    break
                at += len(piece)
                self._take(piece, out)
            elif self._state == _AT_DATA_END:
                if data[at : at + 2] in (b"", b"\r"):
                    break
                if data[at : at + 2] != b"\r\n":
                    raise _incomplete("The data of a chunk must end in CRLF.")
                at += 2
                self._state = _AT_SIZE
            elif self._state == _DONE:
                if data[at:].strip(b"\r\n"):
                    raise _incomplete("There are bytes behind the last chunk.")
                at = len(data)
                break
            else:
                limit = _MAX_LINE if self._state == _AT_SIZE else _MAX_TRAILERS
                end = data.find(b"\n", at, at + limit)
                if end < 0:
                    if len(data) - at >= limit:
                        raise self._too_long()
                    if self._state == _AT_SIZE and not _SIZE_BEGUN.fullmatch(data, at):
                        raise _incomplete("A chunk must begin with its size in hexadecimal.")
                    break
                line, at = data[at:end], end + 1
                if self._state == _AT_SIZE:
                    self._begin_chunk(line)
                else:
                    self._trailer(line)
        self._rest = data[at:]
        return out

    def _too_long(self) -> RequestError:
        if self._state == _IN_TRAILERS:
            return RequestError("MalformedTrailerError")
        return _incomplete("The line of a chunk's size is too long.")

    def _begin_chunk(self, line: bytes) -> None:
        """The line of a chunk's size, with the CR of its end."""
        if not line.endswith(b"\r"):
            raise _incomplete("The line of a chunk's size must end in CRLF.")
        size_text, _, extension = line[:-1].partition(b";")
        size_text = size_text.strip()
        if not _SIZE.fullmatch(size_text):
            raise _incomplete("A chunk must begin with its size in hexadecimal.")
        size = int(size_text, 16)
        if size > _MAX_CHUNK:
            raise _incomplete("A chunk is larger than an object may be.")
        if self._signer is not None:
            name, _, signature = extension.strip().partition(b"=")
            if name != b"chunk-signature":
                raise _incomplete("A signed chunk needs a chunk-signature.")
            self._chunk_signature = signature.decode("latin-1")
            self._chunk_hash = hashlib.sha256()
        if self._decoded_length is not None and self._received + size > self._decoded_length:
            raise _incomplete("The body is longer than x-amz-decoded-content-length.")
        self._left = size
        if size:
            self._chunks += 1
            if self._chunk_size < _MIN_CHUNK:  # the chunk before this one was too small not to be the last
                facts = {"Chunk": str(self._chunks), "BadChunkSize": str(self._chunk_size)}
                raise RequestError("InvalidChunkSizeError", fields=facts)
            self._chunk_size = size
            self._state = _IN_DATA
            return
        if self._signer is not None:
            self._check_chunk()
        self._state = _IN_TRAILERS

    def _take(self, piece: bytes, out: list[bytes]) -> None:
        if self._signer is not None:
            self._chunk_hash.update(piece)
        self._left -= len(piece)
        self._received += len(piece)
        out.append(piece)
        if not self._left:
            if self._signer is not None:
                self._check_chunk()
            self._state = _AT_DATA_END

    def _check_chunk(self) -> None:
        self._check(
            "AWS4-HMAC-SHA256-PAYLOAD", f"{EMPTY_SHA256}\n{self._chunk_hash.hexdigest()}", self._chunk_signature
        )

    def _check(self, algorithm: str, tail: str, given: str) -> None:
        signer = self._signer
        assert signer is not None
        to_sign = f"{algorithm}\n{signer.date}\n{signer.scope}\n{self._previous}\n{tail}"
        computed = signer.key.sign(to_sign)
        if not hmac.compare_digest(computed.encode(), given.encode("utf-8", "replace")):
            raise RequestError("SignatureDoesNotMatch", "The signature of a chunk does not match its data.")
        self._previous = computed

    def _trailer(self, line: bytes) -> None:
        """One line of the trailers, with the CR of its end, if it has one."""
        text = line.removesuffix(b"\r")
        if not text:
            if not line and self._signer is None:
                raise _incomplete("The empty line at the end must be CRLF.")
            if self._separated:
                self._separated = False  # LF CRLF before the signature
            else:
                self._end_trailers()
            return
        self._trailer_size += len(text)
        raw_name, colon, value = text.partition(b":")
        name = raw_name.decode("latin-1").strip().lower()
        if not colon or not name or self._trailer_size > _MAX_TRAILERS:
            raise RequestError("MalformedTrailerError")
        self._trailer_lines.append((name, value.decode("latin-1").strip()))
        signed = self._signer is not None and bool(self._expected)
        self._separated = signed and text == line and name != _SIGNATURE

    def _end_trailers(self) -> None:
        if self._state == _DONE:
            return
        self._state = _DONE
        lines = self._trailer_lines
        if self._signer is not None and self._expected:
            if not lines or lines[-1][0] != _SIGNATURE:
                raise RequestError("MalformedTrailerError", f"Signed trailers need an {_SIGNATURE}.")
            signature = lines.pop()[1]
            canonical = "".join(f"{name}:{value}\n" for name, value in lines)
            digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
            self._check("AWS4-HMAC-SHA256-TRAILER", digest, signature)
        for name, value in lines:
            if name not in self._expected or name in self.trailers:
                raise RequestError("MalformedTrailerError", f"The trailer {name} was not announced in x-amz-trailer.")
            self.trailers[name] = value
        if self._expected - self.trailers.keys():
            raise RequestError("MalformedTrailerError", "A trailer that x-amz-trailer announces is missing.")

    def finish(self) -> None:
        """Say that there is no more. Raises IncompleteBody unless the body was whole."""
        if self._state == _IN_TRAILERS and self._signer is not None:
            if self._rest:
                self._trailer(self._rest)
                self._rest = b""
            self._end_trailers()
        if self._state != _DONE:
            raise _incomplete("The chunked body ended before the empty line behind its last chunk.")
        if self._decoded_length is not None and self._received != self._decoded_length:
            raise _incomplete("The body is shorter than x-amz-decoded-content-length.")
