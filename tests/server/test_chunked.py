"""aws-chunked: the published example, byte by byte, and every way to get it wrong."""

from __future__ import annotations

import functools
import hashlib
import hmac
import random
import tracemalloc
from collections.abc import Iterable

import pytest

from bleepstore_server.wire import sigv4
from bleepstore_server.wire.bodies import read_chunked, read_plain
from bleepstore_server.wire.chunked import ChunkedDecoder
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.sigv4 import ChunkSigner

# "Signature calculations for the authorization header: transferring payload in multiple chunks".
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEY = sigv4.signing_key(SECRET, "20130524", "us-east-1", "s3")
KEY_BYTES = functools.reduce(
    lambda key, text: hmac.digest(key, text, "sha256"),
    (b"20130524", b"us-east-1", b"s3", b"aws4_request"),
    f"AWS4{SECRET}".encode(),
)
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
SIGNER = ChunkSigner(KEY, "20130524T000000Z", "20130524/us-east-1/s3/aws4_request", SEED)
DATA = b"a" * 66_560
PUBLISHED = (
    b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n"
    + DATA[:65_536]
    + b"\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n"
    + DATA[65_536:]
    + b"\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
)
# The same with a trailer: "Signature calculations for ... chunked uploads with trailing headers".
TRAILER_SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
TRAILER_SIGNER = ChunkSigner(KEY, SIGNER.date, SIGNER.scope, TRAILER_SEED)
CRC32C = "x-amz-checksum-crc32c"
PUBLISHED_TRAILER = (
    b"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n"
    + DATA[:65_536]
    + b"\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n"
    + DATA[65_536:]
    + b"\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
    + b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
    + b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
)


def decode(decoder: ChunkedDecoder, pieces: Iterable[bytes]) -> bytes:
    out = []
    for piece in pieces:
        out += decoder.feed(piece)
    decoder.finish()
    return b"".join(out)


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 85, 86, 87, 1000, 65_536, 100_000])
def test_the_published_examples_in_pieces_of_any_size(size: int) -> None:
    assert decode(ChunkedDecoder(66_560, signer=SIGNER), in_pieces(PUBLISHED, size)) == DATA
    decoder = ChunkedDecoder(66_560, signer=TRAILER_SIGNER, trailers_expected=(CRC32C,))
    assert decode(decoder, in_pieces(PUBLISHED_TRAILER, size)) == DATA
    assert decoder.trailers == {CRC32C: "sOO8/Q=="}


def unsigned(data: bytes, chunk: int, trailers: bytes = b"", end: bytes = b"\r\n") -> bytes:
    out = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in in_pieces(data, chunk))
    return out + b"0\r\n" + trailers + end


@pytest.mark.parametrize("seed", range(20))
def test_any_chunking_of_any_data_in_any_pieces(seed: int) -> None:
    chance = random.Random(seed)
    data = chance.randbytes(chance.choice([0, 1, 5000, 8192, 8193, 50_000]))
    body = unsigned(data, chance.randrange(8192, 20_000), b"x-amz-checksum-crc32:AAAAAA==\r\n")
    pieces, rest = [], body
    while rest:
        size = chance.randrange(1, 3000)
        pieces.append(rest[:size])
        rest = rest[size:]
    decoder = ChunkedDecoder(len(data), trailers_expected=("x-amz-checksum-crc32",))
    assert decode(decoder, pieces) == data
    assert decoder.trailers == {"x-amz-checksum-crc32": "AAAAAA=="}


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"05\r\nhello\r\n000\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5;name=value\r\nhello\r\n0;name=value\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n\r\n",
    ],
)
def test_spellings_that_clients_use(body: bytes) -> None:
    for size in (1, 1000):
        assert decode(ChunkedDecoder(5), in_pieces(body, size)) == b"hello"
        assert decode(ChunkedDecoder(None), in_pieces(body, size)) == b"hello"


CRC32 = "x-amz-checksum-crc32"


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize("end", [b"\r\n", b"\r\n\r\n"])
def test_a_trailer_ends_in_crlf_or_lf(newline: bytes, end: bytes) -> None:
    """S3's own examples have it both ways."""
    decoder = ChunkedDecoder(5, trailers_expected=(CRC32,))
    assert decode(decoder, [b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==" + newline + end]) == b"hello"
    assert decoder.trailers == {CRC32: "NhCmhg=="}


@pytest.mark.parametrize("trailer", [b"", b"x-amz-checksum-crc32:NhCmhg==\r\n"])
def test_an_unsigned_body_is_not_whole_before_its_last_crlf(trailer: bytes) -> None:
    """Nothing else would tell where it was cut off."""
    whole = b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n"
    for end in range(len(whole)):
        for changed in (whole[:end], whole[:-2] + b"\n"):
            decoder = ChunkedDecoder(5, trailers_expected=(CRC32,) if trailer else ())
            with pytest.raises(RequestError) as refused:
                decode(decoder, [changed])
            assert refused.value.code == "IncompleteBody"


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize(
    ("sizes", "bad"),
    [
        ([5], None),
        ([8192], None),
        ([8192, 5], None),
        ([8192, 8192, 1], None),
        ([100_000, 8192, 20_000, 8191], None),
        ([5, 5], (2, 5)),
        ([8191, 8192], (2, 8191)),
        ([8192, 8191, 1], (3, 8191)),
        ([8192, 8192, 1, 8192], (4, 1)),
    ],
)
def test_only_the_last_chunk_may_be_small(sizes: list[int], bad: tuple[int, int] | None, *, is_signed: bool) -> None:
    chunks = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    body = signed(chunks) if is_signed else framed
    decoder = ChunkedDecoder(sum(sizes), signer=SIGNER if is_signed else None)
    if bad is None:
        assert decode(decoder, in_pieces(body, 5000)) == b"".join(chunks)
        return
    with pytest.raises(RequestError) as refused:
        decode(decoder, in_pieces(body, 5000))
    error = refused.value
    assert (error.code, error.message) == (
        "InvalidChunkSizeError", "Only the last chunk is allowed to have a size less than 8192 bytes",
    )  # fmt: skip
    assert (error.fields["Chunk"], error.fields["BadChunkSize"]) == (str(bad[0]), str(bad[1]))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "IncompleteBody"),
        (b"5", "IncompleteBody"),
        (b"5\r\n", "IncompleteBody"),
        (b"5\r\nhel", "IncompleteBody"),
        (b"5\r\nhello", "IncompleteBody"),
        (b"5\r\nhello\r\n", "IncompleteBody"),
        (b"4\r\nhell\r\n0\r\n\r\n", "IncompleteBody"),
        (b"6\r\nhello!\r\n0\r\n\r\n", "IncompleteBody"),
        (b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "IncompleteBody"),
        (b"5\r\nhello\r\n0\r\n\r\nmore", "IncompleteBody"),
        (b"hello", "IncompleteBody"),
        (b"hello\r\n", "IncompleteBody"),
        (b"\r\nhello\r\n0\r\n\r\n", "IncompleteBody"),
        (b"-5\r\nhello\r\n0\r\n\r\n", "IncompleteBody"),
        (b"+5\r\nhello\r\n0\r\n\r\n", "IncompleteBody"),
        (b"0x5\r\nhello\r\n0\r\n\r\n", "IncompleteBody"),
        (b"5_0\r\nhello\r\n0\r\n\r\n", "IncompleteBody"),
        (b"\xb2\r\nhello\r\n0\r\n\r\n", "IncompleteBody"),
        (b"5\r\nhelloX\r\n0\r\n\r\n", "IncompleteBody"),
        (b"5\r\nhello\n\n0\r\n\r\n", "IncompleteBody"),
        (b"5\nhello\r\n0\r\n\r\n", "IncompleteBody"),
        (b"5\r\nhello\r\n0\n\r\n", "IncompleteBody"),
        (b"f" * 17 + b"\r\n", "IncompleteBody"),
        (b"ffffffffffffffff\r\n", "IncompleteBody"),
        (b"140000001\r\n", "IncompleteBody"),
        (b"5;" + b"x" * 5000, "IncompleteBody"),
        (b"5\r\nhello\r\n0\r\nno colon\r\n\r\n", "MalformedTrailerError"),
        (b"5\r\nhello\r\n0\r\n:no name\r\n\r\n", "MalformedTrailerError"),
        (b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n", "MalformedTrailerError"),
        (b"5\r\nhello\r\n0\r\n" + b"x" * 20_000, "MalformedTrailerError"),
        (b"5\r\nhello\r\n0\r\n" + b"x:y\r\n" * 10_000, "MalformedTrailerError"),
    ],
    ids=range(31),
)
@pytest.mark.parametrize("size", [1, 100_000])
def test_a_malformed_body_is_refused(body: bytes, code: str, size: int) -> None:
    with pytest.raises(RequestError) as refused:
        decode(ChunkedDecoder(5), in_pieces(body, size))
    assert refused.value.code == code
    assert 400 <= refused.value.status < 500


@pytest.mark.parametrize("body", [b"z", b"5 5", b"x;", b"-", b"1\r\nxy", b"1\r\nx\ry", b"1\r\nx\r\nz"])
def test_a_malformed_body_is_refused_before_more_has_come(body: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        ChunkedDecoder(None).feed(body)
    assert refused.value.code == "IncompleteBody"
    good = b" 5 ;x=\xff y\r\nhello\r\n0\r\n"
    for size in range(len(good)):
        ChunkedDecoder(None).feed(good[:size])


@pytest.mark.parametrize(
    "trailers",
    [
        b"",
        b"x-amz-checksum-sha1:AAAA\r\n",
        b"x-amz-checksum-crc32:AAAA\r\nx-amz-checksum-crc32:AAAA\r\n",
        b"x-amz-checksum-crc32:AAAA\r\nx-amz-meta-more:1\r\n",
    ],
)
def test_trailers_are_exactly_those_announced(trailers: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        decode(
            ChunkedDecoder(5, trailers_expected=("x-amz-checksum-crc32",)),
            [b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n"],
        )
    assert refused.value.code == "MalformedTrailerError"


# -- signed chunks


def signed(chunks: list[bytes], signer: ChunkSigner = SIGNER, trailer: bytes = b"", key: bytes = KEY_BYTES) -> bytes:
    """A signed body, built here from the specification."""
    previous, out = signer.seed, b""

    def sign(algorithm: str, tail: str) -> str:
        to_sign = f"{algorithm}\n{signer.date}\n{signer.scope}\n{previous}\n{tail}"
        return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()

    empty = hashlib.sha256(b"").hexdigest()
    for chunk in [*chunks, b""]:
        previous = sign("AWS4-HMAC-SHA256-PAYLOAD", f"{empty}\n{hashlib.sha256(chunk).hexdigest()}")
        out += b"%x;chunk-signature=%b\r\n" % (len(chunk), previous.encode())
        out += chunk + b"\r\n" if chunk else b""
    if trailer:
        previous = sign("AWS4-HMAC-SHA256-TRAILER", hashlib.sha256(trailer + b"\n").hexdigest())
        out += trailer + b"\r\nx-amz-trailer-signature:" + previous.encode() + b"\r\n"
    return out + b"\r\n"


def test_chunks_signed_by_the_specification() -> None:
    assert signed([DATA[:65_536], DATA[65_536:]]) == PUBLISHED
    assert (
        signed([DATA[:65_536], DATA[65_536:]], TRAILER_SIGNER, b"x-amz-checksum-crc32c:sOO8/Q==") == PUBLISHED_TRAILER
    )
    assert decode(ChunkedDecoder(0, signer=SIGNER), [signed([])]) == b""


#: Two chunks, of which the first is no smaller than one may be that is not the last.
CHUNKS = [b"hello" + b"." * 8187, b"world!"]


def test_every_changed_byte_of_a_signed_body_is_noticed() -> None:
    body = signed(CHUNKS, TRAILER_SIGNER, b"x-amz-checksum-crc32c:AAAAAA==")
    for position in (position for position in range(len(body)) if not 200 < position < 8200):
        changed = bytearray(body)
        changed[position] ^= 0x01
        decoder = ChunkedDecoder(8198, signer=TRAILER_SIGNER, trailers_expected=(CRC32C,))
        try:
            data = decode(decoder, [bytes(changed)])
        except RequestError:
            continue
        # What is left is framing that means the same: a line end, the case of a size or a name.
        assert data == b"".join(CHUNKS), (position, changed)
        assert decoder.trailers == {CRC32C: "AAAAAA=="}


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.replace(b"hello", b"jello"),
        lambda body: body.replace(b"chunk-signature=", b"chunk-signature=0", 1),
        lambda body: body.replace(b";chunk-signature=", b";signature=", 1),
        lambda body: body.replace(b"AAAAAA==", b"AAAAAB=="),
        lambda body: body.replace(b"x-amz-trailer-signature:", b"x-amz-trailer-signature:0"),
        lambda body: body[: body.index(b"x-amz-trailer-signature")] + b"\r\n",
        lambda body: body.replace(b"world!", b"world?"),
        lambda body: signed(CHUNKS, SIGNER, b"x-amz-checksum-crc32c:AAAAAA=="),
        lambda body: signed(CHUNKS, TRAILER_SIGNER),
    ],
)  # fmt: skip
def test_a_signed_body_that_was_changed_is_refused(change: object) -> None:
    assert callable(change)
    body = change(signed(CHUNKS, TRAILER_SIGNER, b"x-amz-checksum-crc32c:AAAAAA=="))
    decoder = ChunkedDecoder(8198, signer=TRAILER_SIGNER, trailers_expected=(CRC32C,))
    with pytest.raises(RequestError) as refused:
        decode(decoder, in_pieces(body, 10))
    assert refused.value.code in ("SignatureDoesNotMatch", "IncompleteBody", "MalformedTrailerError")


@pytest.mark.parametrize("size", [1, 3, 50, 100_000])
def test_a_signed_trailer_may_be_followed_by_lf_crlf(size: int) -> None:
    """As minio-go sends it, and as S3's page writes it: `name:value LF CRLF x-amz-trailer-signature:... CRLF`."""
    body = signed(CHUNKS, TRAILER_SIGNER, b"x-amz-checksum-crc32c:AAAAAA==")
    before, _, after = body.partition(b"\r\nx-amz-trailer-signature:")
    for separator in (b"\n\r\n", b"\n", b"\r\n"):
        for end in (b"\r\n\r\n", b"\r\n", b""):
            sent = before + separator + b"x-amz-trailer-signature:" + after.rstrip() + end
            decoder = ChunkedDecoder(8198, signer=TRAILER_SIGNER, trailers_expected=(CRC32C,))
            assert decode(decoder, in_pieces(sent, size)) == b"".join(CHUNKS)
            assert decoder.trailers == {CRC32C: "AAAAAA=="}
    signature = b"x-amz-trailer-signature:"
    for separator in (b"\n\r\n\r\n", b"\r\n\r\n"):
        decoder = ChunkedDecoder(8198, signer=TRAILER_SIGNER, trailers_expected=(CRC32C,))
        with pytest.raises(RequestError) as refused:
            decode(decoder, in_pieces(before + separator + signature + after, size))
        assert refused.value.code == "MalformedTrailerError"


def test_the_last_chunk_must_be_signed_too() -> None:
    """Otherwise a body could be cut off after any chunk."""
    body = signed(CHUNKS)
    cut = body[: body.index(b"6;chunk")] + b"0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n"
    with pytest.raises(RequestError) as refused:
        decode(ChunkedDecoder(None, signer=SIGNER), [cut])
    assert refused.value.code == "SignatureDoesNotMatch"


# -- reading


def reader(pieces: list[bytes]):  # type: ignore[no-untyped-def]  # a read function, whatever size it is asked for
    rest = list(pieces)
    return lambda size: rest.pop(0) if rest else b""


def test_read_chunked_stops_at_the_end_of_the_input() -> None:
    body = unsigned(b"hello world", 8192)
    assert b"".join(read_chunked(reader(in_pieces(body, 3)), ChunkedDecoder(11))) == b"hello world"
    with pytest.raises(RequestError) as refused:
        list(read_chunked(reader(in_pieces(body, 3)[:4]), ChunkedDecoder(11)))
    assert refused.value.code == "IncompleteBody"


def test_read_plain_wants_exactly_the_declared_length_and_digest() -> None:
    sha = hashlib.sha256(b"hello").hexdigest()
    assert b"".join(read_plain(reader([b"he", b"llo"]), 5, sha)) == b"hello"
    assert b"".join(read_plain(reader([b"he", b"llo"]), None, sha.upper())) == b"hello"
    for pieces, length, digest, code in (
        ([b"hell"], 5, None, "IncompleteBody"),
        ([], 5, sha, "IncompleteBody"),
        ([b"jello"], 5, sha, "XAmzContentSHA256Mismatch"),
        ([], 0, sha, "XAmzContentSHA256Mismatch"),
    ):
        with pytest.raises(RequestError) as refused:
            list(read_plain(reader(pieces), length, digest))
        assert refused.value.code == code


def test_a_large_chunk_passes_without_being_collected() -> None:
    piece = bytes(1024 * 1024)
    decoder = ChunkedDecoder(64 * len(piece))
    tracemalloc.start()
    try:
        for _ in decoder.feed(b"%x\r\n" % (64 * len(piece))):
            raise AssertionError("nothing has come yet")
        for _ in range(64):
            assert sum(map(len, decoder.feed(piece))) == len(piece)
        assert decoder.feed(b"\r\n0\r\n\r\n") == []
        decoder.finish()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(piece)


def test_many_chunks_do_not_take_quadratic_time() -> None:
    """Many of the smallest chunks in one feed: each move may cost only what it moves. Smaller ones end at once."""
    count = 2000
    body = (b"2000\r\n" + b"x" * 8192 + b"\r\n") * count + b"0\r\n\r\n"
    assert len(decode(ChunkedDecoder(count * 8192), [body])) == count * 8192
    with pytest.raises(RequestError) as refused:
        decode(ChunkedDecoder(150_000), [b"1\r\nx\r\n" * 150_000 + b"0\r\n\r\n"])
    assert refused.value.fields["Chunk"] == "2"
