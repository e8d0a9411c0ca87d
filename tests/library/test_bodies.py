"""Bodies: in which pieces they come to rest."""

from __future__ import annotations

import io
from collections.abc import Callable
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


@pytest.mark.parametrize("form", [bytes, io.BytesIO, lambda body: iter([body])], ids=["bytes", "file", "iterator"])
@pytest.mark.parametrize("inline_limit", [-1, 0, 1])
@pytest.mark.parametrize("body", [b"", b"x", b"xy"], ids=len)
def test_what_is_larger_than_the_limit_is_a_blob(form: Callable[[bytes], Any], inline_limit: int, body: bytes) -> None:
    with bleepstore.open(inline_limit=inline_limit) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", form(body))
        with store.get_object("photos", "k") as stored:
            assert (stored.file is not None) is (len(body) > inline_limit)
            assert stored.read() == body
