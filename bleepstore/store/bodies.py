"""From whatever a caller passes as a body to chunks, digests and bytes at rest."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import GeneratorType
from typing import BinaryIO

from bleepstore.backends.base import CHUNK, StoredBlob
from bleepstore.digests import Algorithm, Digester, decode_value, digests_of
from bleepstore.errors import BadDigest, EntityTooLarge, IncompleteBody, InvalidDigest, InvalidRequest
from bleepstore.model import BlobRef, Checksum, Data, Inline
from bleepstore.store.arguments import BodyOptions
from bleepstore.values import statically_frozen

Body = bytes | bytearray | memoryview | BinaryIO | Iterable[bytes]

_BYTES = (bytes, bytearray, memoryview)
_OTHER_ALGORITHM = "The checksum is not of the checksum algorithm that the request names."
DEFAULT_ALGORITHM = Algorithm.CRC64NVME  # what S3 computes when the caller names none


@statically_frozen(kw_only=True)
class Expected:
    """What the caller says of the bytes to come. `algorithm` is the one that it chose, that of `checksum` if it gives
    that; `late_checksum` is asked once they have come (a trailer). `limit` is how many may come."""

    size: int | None = None
    content_md5: str | None = None
    checksum: Checksum | None = None
    algorithm: Algorithm | None = None
    late_checksum: Callable[[], Checksum | None] | None = None
    max_size: int

    def __attrs_post_init__(self) -> None:
        if self.size is not None and self.size > self.max_size:
            raise EntityTooLarge(self.size, self.max_size)
        if self.checksum is not None:
            if self.algorithm not in (None, self.checksum.algorithm):
                raise InvalidRequest(_OTHER_ALGORITHM)
            _check_value(self.checksum)
        if self.content_md5 is not None:
            _decode_md5(self.content_md5)


def expected_of(options: BodyOptions, max_size: int) -> Expected:
    """What the options of a method say of the bytes to come."""
    checksum = options.get("checksum")
    return Expected(
        size=options.get("size"),
        content_md5=options.get("content_md5"),
        checksum=checksum,
        algorithm=options.get("checksum_algorithm") or (None if checksum is None else checksum.algorithm),
        late_checksum=options.get("late_checksum"),
        max_size=max_size,
    )


@statically_frozen(kw_only=True)
class Staged:
    """Bytes that are at rest but not yet in the catalog."""

    data: Data
    stored_ms: int | None
    size: int
    etag: str
    crc64nvme: str
    checksums: dict[Algorithm, str]


def _check_value(checksum: Checksum) -> None:
    if decode_value(checksum.algorithm, checksum.value) is None:
        raise InvalidRequest(f"The {checksum.algorithm} checksum is not base64 of a digest of that algorithm.")


def _decode_md5(content_md5: str) -> bytes:
    try:
        raw = base64.b64decode(content_md5, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidDigest(content_md5) from None
    if len(raw) != 16:
        raise InvalidDigest(content_md5)
    return raw


def chunks_of(body: Body) -> Iterable[bytes]:
    """The body as an iterable of its chunks; that they are bytes is yet to be seen. Raises TypeError for what is no
    body."""
    if isinstance(body, bytes):
        return (body,) if len(body) <= CHUNK else _pieces_of(body)
    if type(body) is GeneratorType:
        return body
    if isinstance(body, bytearray | memoryview):
        return chunks_of(bytes(body))
    read = getattr(body, "read", None)
    if read is not None:
        return _chunks_read(read)
    # A str and a dict can be iterated over too, and neither has bytes in it.
    if isinstance(body, str | Mapping) or not isinstance(body, Iterable):
        raise TypeError(_no_body(body))
    return body


def _pieces_of(body: bytes) -> Iterator[bytes]:
    """A large body piece by piece, so that it is written while it is hashed."""
    for start in range(0, len(body), CHUNK):
        yield body[start : start + CHUNK]


def _chunks_read(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while True:
        chunk = read(CHUNK)
        if not isinstance(chunk, _BYTES):
            raise TypeError(f"the body's read() gave {type(chunk).__name__}, not bytes: open the file in mode 'rb'")
        if not chunk:
            return
        yield chunk


def _no_chunk(chunk: object) -> str:
    return f"the body is an iterable of {type(chunk).__name__}, not of bytes"


def _no_body(body: object) -> str:
    hints = {str: ": encode it", Path: ": open it in mode 'rb'"}
    hint = next((hint for kind, hint in hints.items() if isinstance(body, kind)), "")
    return f"a body is bytes, a binary file or an iterable of bytes, not {type(body).__name__}{hint}"


def size_of(body: Body, expected: Expected) -> int:
    """How many bytes will come, as far as that is known: 0 if it is not."""
    if expected.size is not None:
        return expected.size
    return memoryview(body).nbytes if isinstance(body, _BYTES) else 0


WriteBlob = Callable[[Iterable[bytes], Callable[[], str]], StoredBlob]


def stage(
    body: Body, expected: Expected, algorithms: tuple[Algorithm, ...], inline_limit: int, write: WriteBlob
) -> Staged:
    """Bring `body` to rest and verify all that is expected of it.

    Up to `inline_limit` bytes are returned inline; more are passed to `write` as they come.

    Raises BadDigest, IncompleteBody, EntityTooLarge, or what the body's iterator raises; then nothing refers to what
    `write` stored.
    """
    limit = expected.max_size if expected.size is None else expected.size
    small = min(inline_limit, limit)
    if type(body) is bytes and len(body) <= small:
        return _staged_inline(body, expected, algorithms)
    chunks = iter(chunks_of(body))
    head: list[bytes] = []
    length = 0
    for chunk in chunks:
        if not isinstance(chunk, _BYTES):
            raise TypeError(_no_chunk(chunk))
        head.append(bytes(chunk))
        length += len(head[-1])
        if length > small:
            break
    if length <= small:
        return _staged_inline(head[0] if len(head) == 1 else b"".join(head), expected, algorithms)
    digester = Digester(*algorithms, DEFAULT_ALGORITHM)
    verified = _verified(digester.wrap(_chain(head, chunks)), digester, expected, limit)
    stored = write(verified, lambda: digester.md5_hex)
    checksums = digester.values()
    return Staged(
        data=BlobRef(stored.handle),
        stored_ms=stored.stored_ms,
        size=digester.size,
        etag=digester.md5_hex,
        crc64nvme=checksums[DEFAULT_ALGORITHM],
        checksums=checksums,
    )


def _staged_inline(data: bytes, expected: Expected, algorithms: tuple[Algorithm, ...]) -> Staged:
    etag, checksums = digests_of(data, (*algorithms, DEFAULT_ALGORITHM))
    _verify(expected, len(data), etag, checksums)
    return Staged(
        data=Inline(data),
        stored_ms=None,
        size=len(data),
        etag=etag,
        crc64nvme=checksums[DEFAULT_ALGORITHM],
        checksums=checksums,
    )


def _chain(head: list[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
    while head:
        yield head.pop(0)
    for chunk in rest:
        if not isinstance(chunk, _BYTES):
            raise TypeError(_no_chunk(chunk))
        yield bytes(chunk)  # whoever gave it may use its memory again for the next one


def _verified(chunks: Iterable[bytes], digester: Digester, expected: Expected, limit: int) -> Iterator[bytes]:
    """Pass chunks on; at the end everything expected has been verified, before anyone sees the end.

    The last check runs inside the iteration so that a backend drops what it was about to finish.
    """
    for chunk in chunks:
        if digester.size > limit:
            if expected.size is None:
                raise EntityTooLarge(digester.size, limit)
            raise IncompleteBody(expected.size, digester.size)
        yield chunk
    _verify(expected, digester.size, digester.md5_hex, digester.values())


def _verify(expected: Expected, size: int, md5: str, computed: Mapping[Algorithm, str]) -> None:
    """Raise unless the bytes that came are what the caller expects."""
    if expected.size is not None and size != expected.size:
        raise IncompleteBody(expected.size, size)
    if expected.content_md5 is not None:
        raw = _decode_md5(expected.content_md5)
        if raw.hex() != md5:
            raise BadDigest("content_md5", "MD5", raw.hex(), md5)
    checksum = expected.checksum
    if expected.late_checksum is not None:
        late = expected.late_checksum()
        if late is not None and not isinstance(late, Checksum):
            raise TypeError(f"late_checksum returns a Checksum or None, not {type(late).__name__}: {late!r}")
        if late is not None and late.algorithm not in computed:
            raise InvalidRequest(_OTHER_ALGORITHM)
        checksum = late or checksum
    if checksum is not None and computed[checksum.algorithm] != checksum.value:
        _check_value(checksum)  # a value that is no digest at all is another mistake
        raise BadDigest("checksum", checksum.algorithm.value, checksum.value, computed[checksum.algorithm])
