"""Digests: known values, streaming, composition and combination."""

from __future__ import annotations

import base64
import hashlib
import random
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator

import pytest

from bleepstore import digests
from bleepstore.digests import (
    DIGEST_SIZES,
    Algorithm,
    Digester,
    can_combine,
    combine_full_object,
    composite_value,
    decode_value,
    digest,
    digests_of,
    encode_value,
    multipart_etag,
    new_hasher,
)

DATA = random.Random(5).randbytes(100_003)

#: "check" of the CRC catalogue (of "123456789"), and digests of "" and "abc" from their standards.
KNOWN = [
    (Algorithm.CRC32, b"123456789", "cbf43926"),
    (Algorithm.CRC32C, b"123456789", "e3069283"),
    (Algorithm.CRC64NVME, b"123456789", "ae8b14860a799888"),
    (Algorithm.CRC32, b"", "00000000"),
    (Algorithm.CRC64NVME, b"", "0000000000000000"),
    (Algorithm.SHA1, b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
    (Algorithm.SHA256, b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
        Algorithm.SHA512,
        b"abc",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ),
    (Algorithm.MD5, b"abc", "900150983cd24fb0d6963f7d28e17f72"),
    (Algorithm.XXHASH64, b"", "ef46db3751d8e999"),
    (Algorithm.XXHASH64, b"abc", "44bc2cf5ad770999"),
    (Algorithm.XXHASH3, b"", "2d06800538d394c2"),
    (Algorithm.XXHASH128, b"", "99aa06d3014798d86001c324468d497f"),
]


@pytest.mark.parametrize(("algorithm", "data", "value"), KNOWN)
def test_known_values(algorithm: Algorithm, data: bytes, value: str) -> None:
    assert digest(algorithm, data).hex() == value


@pytest.mark.parametrize("is_there", [True, False])
def test_crc32_is_the_same_without_the_package_that_the_server_brings(is_there: bool) -> None:
    script = "import sys\n" + ("" if is_there else "sys.modules['zlib_ng'] = None\n")
    script += "from bleepstore.digests import Algorithm, digest\n"
    script += "print(digest(Algorithm.CRC32, b'123456789').hex(), 'zlib_ng.zlib_ng' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["cbf43926", str(is_there)]


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_pieces_give_the_digest_of_the_whole(algorithm: Algorithm) -> None:
    hasher = new_hasher(algorithm)
    for start in range(0, len(DATA), 999):
        hasher.update(DATA[start : start + 999])
        hasher.update(b"")
    assert hasher.digest() == digest(algorithm, DATA)
    assert len(hasher.digest()) == DIGEST_SIZES[algorithm]
    assert hasher.digest() == hasher.digest(), "asking twice changes nothing"


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_values_are_base64_of_exactly_the_digests_length(algorithm: Algorithm) -> None:
    value = encode_value(digest(algorithm, DATA))
    assert decode_value(algorithm, value) == digest(algorithm, DATA)
    for wrong in ("", "AA==", value + "AAAA", value[:-1], "!" + value[1:], "é", value + "\n", "-2", value + "-2"):
        assert decode_value(algorithm, wrong) is None, wrong


@pytest.mark.parametrize("algorithm", [a for a in Algorithm if can_combine(a)])
@pytest.mark.parametrize("sizes", [[1], [5, 7], [0, 10, 0], [60_000, 40_000, 3], [1] * 50])
def test_the_crc_of_the_whole_comes_from_those_of_its_parts(algorithm: Algorithm, sizes: list[int]) -> None:
    parts, start = [], 0
    for size in sizes:
        parts.append((encode_value(digest(algorithm, DATA[start : start + size])), size))
        start += size
    assert combine_full_object(algorithm, parts) == encode_value(digest(algorithm, DATA[:start]))


def test_only_crcs_can_be_combined() -> None:
    assert {a for a in Algorithm if can_combine(a)} == {Algorithm.CRC32, Algorithm.CRC32C, Algorithm.CRC64NVME}


def test_a_multipart_etag_is_the_md5_of_md5s() -> None:
    parts = [hashlib.md5(b"a"), hashlib.md5(b"b")]
    joined = hashlib.md5(parts[0].digest() + parts[1].digest()).hexdigest()
    assert multipart_etag([part.hexdigest() for part in parts]) == f"{joined}-2"
    assert multipart_etag(["d41d8cd98f00b204e9800998ecf8427e"]) == "59adb24ef3cdbe0297f05b395827453f-1"


def test_a_composite_value_is_the_digest_of_digests() -> None:
    raw = [zlib.crc32(data).to_bytes(4, "big") for data in (b"a", b"b")]
    expected = base64.b64encode(zlib.crc32(b"".join(raw)).to_bytes(4, "big")).decode()
    assert composite_value(Algorithm.CRC32, [base64.b64encode(part).decode() for part in raw]) == expected


def test_a_digester_watches_what_passes() -> None:
    digester = Digester(Algorithm.SHA256, Algorithm.MD5, Algorithm.CRC32)
    assert b"".join(digester.wrap([b"ab", b"", b"c"])) == b"abc"
    assert digester.size == 3
    assert digester.md5_hex == hashlib.md5(b"abc").hexdigest()
    assert base64.b64decode(digester.values()[Algorithm.MD5]).hex() == digester.md5_hex
    assert base64.b64decode(digester.values()[Algorithm.SHA256]) == hashlib.sha256(b"abc").digest()
    assert base64.b64decode(digester.values()[Algorithm.CRC32]) == zlib.crc32(b"abc").to_bytes(4, "big")


@pytest.mark.parametrize("algorithm", Algorithm)
def test_large_chunks_that_pass_have_the_digests_of_their_whole(algorithm: Algorithm) -> None:
    chunks = [bytes([number]) * 200_000 for number in range(8)]
    digester = Digester(algorithm, Algorithm.CRC64NVME)
    assert list(digester.wrap([b"small", *chunks, b"end"])) == [b"small", *chunks, b"end"]
    etag, values = digests_of(b"".join([b"small", *chunks, b"end"]), (algorithm, Algorithm.CRC64NVME))
    assert (digester.md5_hex, digester.size) == (etag, 8 * 200_000 + 8)
    assert digester.values() == {Algorithm.MD5: digester.values()[Algorithm.MD5], **values}


def test_of_large_chunks_only_md5_has_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes as long as all else that is done with a body, which goes on beside it: only so are both cores used."""
    threads: set[str] = set()

    def crc(data: bytes, previous: int = 0) -> int:
        threads.add(threading.current_thread().name)
        return zlib.crc32(data, previous)

    monkeypatch.setitem(digests._CRCS, Algorithm.CRC32, (crc, digests._CRCS[Algorithm.CRC32][1], 4))
    seen: set[str] = set()
    for _ in Digester(Algorithm.CRC32).wrap([bytes(200_000)] * 4):
        seen.update(thread.name for thread in threading.enumerate())
    assert threads == {threading.current_thread().name}
    assert "bleepstore-digest" in seen


def test_an_interrupt_as_the_thread_starts_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted_start(_thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted_start)
    with pytest.raises(KeyboardInterrupt):
        list(Digester().wrap([bytes(200_000)] * 2))


def test_a_body_that_stalls_holds_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests._Behind, "_IDLE_SECONDS", 0.01)
    chunks = [bytes([number]) * 200_000 for number in range(6)]

    def stalling() -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            for thread in threading.enumerate():
                if thread.name == "bleepstore-digest":
                    began.append(thread)
                    thread.join(30)  # it ends although the body has not
                    assert not thread.is_alive()

    began: list[threading.Thread] = []
    digester = Digester()
    assert list(digester.wrap(stalling())) == chunks
    assert digester.md5_hex == hashlib.md5(b"".join(chunks)).hexdigest()
    assert len(began) == 5, "each chunk but the first has one"


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("data", [b"", DATA], ids=len)
def test_bytes_in_memory_have_the_digests_of_those_that_pass(algorithm: Algorithm, data: bytes) -> None:
    digester = Digester(algorithm)
    digester.update(data)
    etag, values = digests_of(data, (algorithm, Algorithm.CRC64NVME, algorithm))
    assert etag == digester.md5_hex
    assert values[algorithm] == digester.values()[algorithm]
    assert values.keys() == {algorithm, Algorithm.CRC64NVME}
