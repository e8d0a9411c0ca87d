"""The head of a request, read without a socket: what it says, and what is refused because it could be read in two ways.

RFC 9112 sections 2 to 7, and the ways in which one request was smuggled within another past real servers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from bleepstore_server.http1.bodies import MalformedBody, RequestBody
from bleepstore_server.http1.heads import (
    BAD_FIELD,
    BAD_FRAMING,
    BAD_LINE,
    HEAD_TOO_LONG,
    LINE_TOO_LONG,
    UNKNOWN_CODING,
    Head,
    Limits,
    Refusal,
    RefusedHead,
    parse_head,
    refuse_unfinished,
)

LIMITS = Limits()


def parse(*lines: str, line: str = "PUT /b/k HTTP/1.1") -> Head:
    return parse_head("\r\n".join((line, "Host: x", *lines)).encode("latin-1"), LIMITS)


def test_fields_by_their_names_the_values_of_a_repeated_one_joined() -> None:
    head = parse(
        "X-Amz-Meta-A: 1", "x-amz-meta-b:\t2 \t", "X-AMZ-META-A: 3", "x_amz_meta_a: 4", line="GET /a?b HTTP/1.0"
    )
    assert (head.method, head.target, head.minor) == ("GET", "/a?b", 0)
    assert head.fields == {"host": "x", "x-amz-meta-a": "1,3", "x-amz-meta-b": "2", "x_amz_meta_a": "4"}
    assert head.variables == {"HTTP_HOST": "x", "HTTP_X_AMZ_META_A": "1,3", "HTTP_X_AMZ_META_B": "2"}


def test_names_with_underscores_do_not_pose_as_others() -> None:
    head = parse("Content_Length: 5", "CONTENT_LENGTH: 6", "Transfer_Encoding: chunked", "SCRIPT_NAME: /evil")
    assert head.length == 0
    assert set(head.variables) == {"HTTP_HOST"}


def test_names_that_clients_make_up_fill_no_memory() -> None:
    for number in range(5000):
        parse(f"x-made-up-{number}: 1")
    assert parse("x-made-up-4999: 1").fields["x-made-up-4999"] == "1"


@pytest.mark.parametrize(
    ("lines", "minor", "keeps"),
    [
        ((), 1, True),
        ((), 0, False),
        (("Connection: close",), 1, False),
        (("Connection: Keep-Alive",), 0, True),
        (("Connection: x, CLOSE",), 1, False),
        (("Connection: x", "Connection: close"), 1, False),
        (("Connection: keep-alive, close",), 0, False),
    ],
)
def test_whether_a_connection_goes_on(lines: tuple[str, ...], minor: int, keeps: bool) -> None:
    assert parse(*lines, line=f"GET / HTTP/1.{minor}").keeps_alive is keeps


def test_only_http_1_1_awaits_100_continue() -> None:
    assert parse("Expect: 100-Continue").awaits_continue
    assert not parse("Expect: 100-continue", line="PUT / HTTP/1.0").awaits_continue
    assert not parse("Expect: 200").awaits_continue


@pytest.mark.parametrize(
    "line",
    [
        "GET / HTTP/2.0", "GET / HTTP/1.2", "GET / HTTP/0.9", "GET /", "GET  / HTTP/1.1", "GET / x HTTP/1.1",
        "GET / HTTP/1.1 ", " GET / HTTP/1.1", "get / HTTP/1.1", "GET\t/ HTTP/1.1", "GET /\0 HTTP/1.1", "",
        "G(T / HTTP/1.1", "GET /\r HTTP/1.1", "GET /\n HTTP/1.1", "GET / HTTP/1.1\nX: y", "\x16\x03\x01",
        "GET b/k HTTP/1.1", "GET ?b HTTP/1.1", "GET *b HTTP/1.1", "GET b:80 HTTP/1.1", "GET b?x=http://b/ HTTP/1.1",
    ],
)  # fmt: skip
def test_a_request_line_that_is_none(line: str) -> None:
    refused(BAD_LINE, line=line)


@pytest.mark.parametrize("target", ["/", "//b?c", "*"])
def test_a_target_is_a_path_or_a_star(target: str) -> None:
    assert parse(line=f"GET {target} HTTP/1.1").target == target


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("http://h", "h", "/"),
        ("HTTPS://h:1/b/k?c=d", "h:1", "/b/k?c=d"),
        ("http://h:1?prefix=a/b", "h:1", "/?prefix=a/b"),
        ("http://[::1]:9000//k", "[::1]:9000", "//k"),
        ("http://h/b?u=http://i/", "h", "/b?u=http://i/"),
    ],
)
def test_the_host_of_a_target_that_is_a_url_counts(url: str, host: str, target: str) -> None:
    """ "When an origin server receives a request with an absolute-form of request-target, the origin server MUST ignore
    the received Host header field (if any) and instead use the host information of the request-target" (RFC 9112
    section 3.2.2)."""
    head = parse(line=f"GET {url} HTTP/1.1")
    assert (head.target, head.fields["host"], head.variables["HTTP_HOST"]) == (target, host, host)


@pytest.mark.parametrize(
    ("url", "sent"),
    [("http://h:80/k", "h"), ("http://h/k", "h:80"), ("https://h:443/k", "H"), ("http://h:/k", "h")],
)
def test_a_host_that_is_written_otherwise_stays_as_it_was_signed(url: str, sent: str) -> None:
    head = parse_head(f"GET {url} HTTP/1.1\r\nHost: {sent}".encode(), LIMITS)
    assert (head.target, head.fields["host"]) == ("/k", sent)


def test_a_url_is_no_excuse_for_a_host_that_is_missing_or_wrong() -> None:
    """ "A server MUST respond with a 400": the app does, of what it is shown."""
    line = "GET http://h/ HTTP/1."
    assert "host" not in parse_head(f"{line}1".encode(), LIMITS).fields
    assert parse_head(f"{line}1\r\nHost: a b".encode(), LIMITS).fields["host"] == "a b"
    assert parse_head(f"{line}0".encode(), LIMITS).fields["host"] == "h"


@pytest.mark.parametrize(
    "url", ["http://", "http:///b", "http://?b", "http://u@h/", "http://u:p@h/", "http://::1/", "http://h:x/"]
)
def test_a_url_without_a_host_or_with_a_user_is_no_target(url: str) -> None:
    refused(BAD_LINE, line=f"GET {url} HTTP/1.1")


@pytest.mark.parametrize(
    "field",
    [
        "Host : x", "A", "A B: c", ": c", " folded", "\tfolded", "A:\0", "A: b\nC: d", "A: b\rC: d", "A\n: b",
        "A: \x7f",
        "A: \x0b", "A(: b", "Content-Length\t: 1", "Transfer-Encoding : chunked", "Transfer-Encoding\x0b: chunked",
        "Host: y", "é: b",
    ],
)  # fmt: skip
def test_a_field_that_is_none(field: str) -> None:
    refused(BAD_FIELD, field)


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 3", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 3"),
        ("Content-Length: 3", "Content-Length: 3"),
        ("Content-Length: 3", "Content-Length: 4"),
        ("Content-Length: 3, 3",),
        ("Content-Length: +3",),
        ("Content-Length: -3",),
        ("Content-Length: 0x3",),
        ("Content-Length: 3_0",),
        ("Content-Length: 3 0",),
        ("Content-Length: ³",),
        ("Content-Length:",),
        ("Content-Length: 1000000000000000000",),
        ("Transfer-Encoding: identity",),
        ("Transfer-Encoding: gzip",),
        ("Transfer-Encoding: chunked, gzip",),
        ("Transfer-Encoding: chunked, identity",),
    ],
)
def test_a_body_that_could_end_at_two_positions(lines: tuple[str, ...]) -> None:
    refused(BAD_FRAMING, *lines)


@pytest.mark.parametrize(
    "coding",
    [
        "x-odd",
        "\xa0chunked",
        "chunked\x85",
        "chunked \xa0",
        "gzip, chunked",
        "chunked, chunked",
        "xchunked",
        "chunked;q=1",
        '"chunked"',
        "",
    ],
)
def test_a_transfer_coding_that_is_not_known(coding: str) -> None:
    refused(UNKNOWN_CODING, f"Transfer-Encoding: {coding}")


def test_a_name_without_a_colon_is_no_field_however_well_known() -> None:
    parse("User-Agent: a browser")
    refused(BAD_FIELD, "User-Agent")


def test_a_transfer_coding_of_http_1_0() -> None:
    refused(BAD_FRAMING, "Transfer-Encoding: chunked", line="PUT / HTTP/1.0")


def test_lengths() -> None:
    assert parse().length == 0
    assert parse("Content-Length: 0").length == 0
    assert parse("Content-Length: 007").length == 7
    assert parse("Transfer-Encoding: Chunked").length is None


def test_limits() -> None:
    refused(LINE_TOO_LONG, line=f"GET /{'a' * 8190} HTTP/1.1")
    refused(HEAD_TOO_LONG, f"A: {'a' * 8190}")
    refused(HEAD_TOO_LONG, *[f"A{number}: b" for number in range(501)])
    refused(HEAD_TOO_LONG, *[f"A{number}: {'b' * 8000}" for number in range(9)])
    for data, refusal in (
        (b"GET /" + b"a" * 8200, LINE_TOO_LONG),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 66000, HEAD_TOO_LONG),
    ):
        with pytest.raises(RefusedHead) as found:
            refuse_unfinished(data, LIMITS)
        assert found.value.refusal is refusal
    refuse_unfinished(b"GET / HTTP/1.1\r\nA: " + b"a" * 8000, LIMITS)


def refused(refusal: Refusal, *lines: str, line: str = "PUT /b/k HTTP/1.1") -> None:
    with pytest.raises(RefusedHead) as found:
        parse(*lines, line=line)
    assert found.value.refusal is refusal


# -- bodies


class Pieces:
    """A client that sends a body a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self.buffer = bytearray()
        self._data = data
        self._size = size

    def receive(self, size: int, expected: int = 1) -> bytes:
        assert 1 <= expected <= size
        size = min(size, self._size)
        data, self._data = self._data[:size], self._data[size:]
        return data

    def rest(self) -> bytes:
        return bytes(self.buffer) + self._data


SIZES = pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])


@SIZES
def test_a_body_of_a_length_ends_there(size: int) -> None:
    client = Pieces(b"0123456789GET / HTTP/1.1", size)
    body = RequestBody(client, 10)
    assert body.read() == b"0123456789"
    assert body.is_read
    assert body.read(5) == b""
    assert client.rest() == b"GET / HTTP/1.1"


@SIZES
def test_a_body_in_chunks_ends_behind_its_trailers(size: int) -> None:
    client = Pieces(b"3\r\nabc\r\n%ba;x=y\r\n0123456789\r\n0\r\nA: b\r\nC:d\r\n\r\nGET /" % bytes(b"0" * 40), size)
    body = RequestBody(client, None)
    assert body.read() == b"abc0123456789"
    assert body.is_read
    assert client.rest() == b"GET /"


def function_calls(carry_out: Callable[[], object]) -> int:
    """How many calls of functions in Python that takes."""
    calls = 0

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        carry_out()
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("line", [b"1", b"001", b"1;a=b"])
def test_small_chunks_that_came_together_are_read_together_and_cost_little(line: bytes) -> None:
    client = Pieces((line + b"\r\nx\r\n") * 50_000 + b"0\r\n\r\n", 300_000)
    body = RequestBody(client, None)
    pieces: list[bytes] = []
    calls = function_calls(lambda: pieces.extend(iter(lambda: body.read(1 << 20), b"")))
    assert b"".join(pieces) == b"x" * 50_000
    assert len(pieces) < 6
    assert calls < 100
    some = RequestBody(Pieces(b"1\r\nx\r\n" * 10 + b"0\r\n\r\n", 1000), None)
    assert [len(some.read(7)), len(some.read(7)), len(some.read(7))] == [7, 3, 0]


@pytest.mark.parametrize("length", [4094, 4095, 10_000])
def test_a_line_between_chunks_may_be_as_long_as_any_other(length: int) -> None:
    """Of up to 4096 bytes, CRLF and all."""
    body = RequestBody(Pieces(b"1\r\nx\r\n1;" + b"a" * (length - 2) + b"\r\ny\r\n0\r\n\r\n", 20_000), None)
    if length <= 4094:
        assert body.read() == b"xy"
        return
    assert body.read(100) == b"x"
    with pytest.raises(MalformedBody):
        body.read(100)


def test_lines_of_a_body() -> None:
    assert list(RequestBody(Pieces(b"a\nb\n\nc", 2), 6)) == [b"a\n", b"b\n", b"\n", b"c"]


@SIZES
@pytest.mark.parametrize(
    "data",
    [
        b"3\nabc\n0\n\n", b"3\r\nabc0\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"0x3\r\nabc\r\n0\r\n\r\n", b"-3\r\nabc\r\n",
        b"\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n", b"3 \r\nabc\r\n0\r\n\r\n", b"3\r\nab", b"3\r\nabc\r\n", b"3\r\nabc\r\n0\r\n",
        b"3;\rx\r\nabc\r\n0\r\n\r\n", b"3;\0\r\nabc\r\n0\r\n\r\n", b"fffffffffffffffff\r\n", b"0\r\nA: b\n\r\n",
        b"3_0\r\n",
        b"0\r\nno colon\r\n\r\n", b"0\r\nA: b\0\r\n\r\n", b"0\r\nA: b\r\n c\r\n\r\n", b"0\r\n: b\r\n\r\n",
        b"1;" + b"x" * 5000 + b"\r\na\r\n0\r\n\r\n", b"0\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
    ],
)  # fmt: skip
def test_chunks_that_are_none(data: bytes, size: int) -> None:
    with pytest.raises(MalformedBody):
        RequestBody(Pieces(data, size), None).read()


class Waited(Exception):
    """A body was waited for."""


class Stalled(Pieces):
    """A client that sends something and then nothing more."""

    def receive(self, size: int, expected: int = 1) -> bytes:
        data = super().receive(size, expected)
        if not data:
            raise Waited
        return data


@SIZES
@pytest.mark.parametrize(
    "data",
    [
        b"z", b"zz\r\nabc", b"\r", b"3 4", b"3\rx", b"3;\0", b"3;x\ry", b"3\r\nabcX", b"3\r\nabc\rX",
        b"3\r\nabcdef\r\n", b"3\n", b"0\r\nA\rb", b"3\r\nabc\r\nz",
    ],
)  # fmt: skip
def test_chunks_that_are_none_are_refused_before_more_has_come(data: bytes, size: int) -> None:
    body = RequestBody(Stalled(data, size), None)
    with pytest.raises(MalformedBody):
        body.read()
    with pytest.raises(MalformedBody):
        body.read(1)


@SIZES
@pytest.mark.parametrize(
    "data", [b"", b"3", b"3 ", b"3;x", b"3\r", b"3\r\n", b"3\r\nabc", b"3\r\nabc\r", b"0\r\nA: b\r"]
)
def test_chunks_that_may_become_some_are_waited_for(data: bytes, size: int) -> None:
    with pytest.raises(Waited):
        RequestBody(Stalled(data, size), None).read()


@pytest.mark.parametrize(
    "behind", [b"", b"\r", b"\r\n", b"\r\n3", b"\r\n3\r\n", b"\r\n0\r\nA: b\r\n", b"\r\nzz\r\nabc", b"zz\r\n"]
)
def test_what_has_come_of_a_body_in_chunks_waits_for_no_more(behind: bytes) -> None:
    body = RequestBody(Stalled(b"3\r\nabc\r\n3\r\ndef" + behind, 1000), None)
    assert body.read(100) == b"abcdef"
    with pytest.raises((Waited, MalformedBody)):
        body.read(100)


def test_a_body_is_asked_for_once_and_when_it_is_read() -> None:
    asked: list[int] = []
    body = RequestBody(Pieces(b"data", 1), 4, lambda: asked.append(1))
    assert body.is_awaited()
    assert not asked
    assert body.read() == b"data"
    assert asked == [1]
    assert not body.is_awaited()


def test_what_is_left_of_a_body_is_dropped_if_it_is_little() -> None:
    assert RequestBody(Pieces(bytes(100), 7), 100).drop(100)
    assert not RequestBody(Pieces(bytes(100), 7), 100).drop(99)
    assert not RequestBody(Pieces(bytes(50), 7), 100).drop(1000)
