"""Bodies: in which pieces they come to rest."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bleepstore
from bleepstore.backends.base import CHUNK
from bleepstore.store.bodies import chunks_of


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview, io.BytesIO])
def test_a_large_body_comes_in_pieces_so_that_it_is_written_while_it_is_hashed(form: Callable[[bytes], Any]) -> None:
    body = bytes(range(256)) * (CHUNK // 256) * 2 + b"end"
    pieces = list(chunks_of(form(body)))
    assert [len(piece) for piece in pieces] == [CHUNK, CHUNK, 3]
    assert b"".join(pieces) == body


def reused(body: bytes) -> Iterator[memoryview]:
    """Pieces of a body which share one buffer, as `readinto` fills it."""
    buffer = bytearray(200_000)
    source = io.BytesIO(body)
    while count := source.readinto(buffer):
        yield memoryview(buffer)[:count]


def strided(body: bytes) -> Iterator[memoryview]:
    """Pieces of a body which are every other byte of something."""
    for start in range(0, len(body), 200_000):
        piece = body[start : start + 200_000]
        double = bytearray(2 * len(piece))
        double[::2] = piece
        yield memoryview(double)[::2]


@pytest.mark.parametrize("form", [reused, strided])
@pytest.mark.parametrize("where", ["memory", "folder"])
def test_pieces_are_taken_over_before_the_next_one_is_asked_for(
    form: Callable[[bytes], Any], where: str, tmp_path: Path
) -> None:
    body = b"".join(number.to_bytes(4, "big") for number in range(200_000))
    with bleepstore.open(*([tmp_path] if where == "folder" else [])) as store:
        store.create_bucket("photos")
        written = store.put_object("photos", "k", form(body))
        assert written.etag == hashlib.md5(body).hexdigest()
        with store.get_object("photos", "k") as stored:
            assert stored.read() == body


@pytest.mark.parametrize("form", [bytes, io.BytesIO, lambda body: iter([body])], ids=["bytes", "file", "iterator"])
@pytest.mark.parametrize("inline_limit", [-1, 0, 1])
@pytest.mark.parametrize("body", [b"", b"x", b"xy"], ids=len)
def test_what_is_larger_than_the_limit_is_a_blob(
    form: Callable[[bytes], Any], inline_limit: int, body: bytes, tmp_path: Path
) -> None:
    with bleepstore.open(tmp_path, inline_limit=inline_limit) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", form(body))
        assert len(list((tmp_path / "blobs").glob("*/*"))) == (len(body) > inline_limit)
        with store.get_object("photos", "k") as stored:
            assert stored.read() == body
