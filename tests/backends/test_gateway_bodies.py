"""Bodies on their way to a provider."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import BinaryIO

import pytest

from bleepstore.backends.gateway.bodies import StreamingBody, blocks_of, buffered, files_of, send_behind
from bleepstore.testing.contract_tools import Broken

DATA = bytes(range(250)) * 4


def chunks() -> Iterator[bytes]:
    for start in range(0, len(DATA), 300):
        yield b""
        yield DATA[start : start + 300]


def test_a_body_that_is_sent_while_it_comes_is_on_disk_then() -> None:
    given: list[bytes] = []

    def early(body: StreamingBody) -> None:
        given.append(body.read())  # and its connection breaks

    with buffered(chunks(), 100, size=len(DATA), early=early) as body:
        assert given == [DATA[:300]]
        assert body.size == len(DATA)
        file = body.body(200, 900)
        assert not isinstance(file, bytes)
        assert file.read() == DATA[200:900]
        assert file.seek(0) == 0
        assert file.read(1) == DATA[200:900]  # more than was asked for


@pytest.mark.parametrize("early", [None, lambda body: list(iter(body.read, b""))])
def test_nothing_is_left_of_a_body_that_breaks(early: Callable[[StreamingBody], None] | None) -> None:
    """Not even until the next collection of garbage."""
    found: list[weakref.ref[BaseException]] = []

    def noted(error: BaseException) -> BaseException:
        found.append(weakref.ref(error))
        return error

    def broken() -> Iterator[bytes]:
        yield from chunks()
        raise noted(Broken())

    def send() -> None:
        with buffered(broken(), 100, size=len(DATA), early=early):
            pytest.fail("it has not ended")

    gc.disable()
    try:
        with contextlib.suppress(Broken):
            send()
        assert found[0]() is None
    finally:
        gc.enable()


def test_the_last_bytes_are_given_only_when_the_body_has_ended_in_order() -> None:
    given: list[bytes] = []

    def broken() -> Iterator[bytes]:
        yield from chunks()
        raise Broken

    def early(body: StreamingBody) -> None:
        given.extend(iter(body.read, b""))

    with pytest.raises(Broken), buffered(broken(), 100, size=len(DATA), early=early):
        pytest.fail("it has not ended")
    assert b"".join(given) == DATA[:900]


@pytest.mark.parametrize("announced", [999, 1001])
def test_a_body_of_another_length_than_announced_is_noticed(announced: int) -> None:
    def early(body: StreamingBody) -> None:
        with pytest.raises(EOFError, match=str(announced)):
            list(iter(body.read, b""))

    with buffered(chunks(), 100, size=announced, early=early) as body:
        assert body.size == len(DATA)


@pytest.mark.parametrize("size", [7, 299, 300, 500, 999, 1000, 1001])
def test_blocks_are_full_but_for_the_last(size: int) -> None:
    blocks = list(blocks_of(chunks(), size))
    assert b"".join(blocks) == DATA
    assert {len(block) for block in blocks[:-1]} <= {size}
    with contextlib.ExitStack() as stack:
        files = list(files_of(chunks(), size, stack))
        assert [is_last for _, is_last in files] == [False] * (len(blocks) - 1) + [True]
        assert [_content(file) for file, _ in files] == blocks


def _content(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def test_an_empty_body_has_no_block() -> None:
    with contextlib.ExitStack() as stack:
        assert list(blocks_of([b""], 10)) == []
        assert list(files_of([b""], 10, stack)) == []


def test_what_fails_to_be_sent_ends_the_body() -> None:
    taken: list[int] = []

    def blocks() -> Iterator[int]:
        for number in range(10):
            taken.append(number)
            yield number

    def send(number: int) -> None:
        if number == 1:
            raise Broken

    with pytest.raises(Broken):
        send_behind(blocks(), send)
    assert taken == [0, 1, 2]
