"""What of an answer is known before it is sent."""

from __future__ import annotations

from typing import Any

import pytest

from bleepstore_server.sending import Answer

NO_CONNECTION: Any = None


def begun(method: str = "GET", status: str = "200 OK", length: str | None = "2") -> Answer:
    answer = Answer(NO_CONNECTION, method, 1, False, lambda: False)
    answer.start(status, [] if length is None else [("Content-Length", length)])
    return answer


def test_an_answer_with_its_body_is_whole() -> None:
    (data,) = begun().whole([b"ok"])
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert data.endswith(b"\r\n\r\nok")
    large = bytes(100_000)
    head, body = begun(length="100000").whole([large])
    assert head.endswith(b"\r\n\r\n")
    assert body is large


def test_an_answer_that_has_no_body_is_whole_without() -> None:
    for answer, body in ((begun("HEAD"), []), (begun("HEAD"), [b"ok"]), (begun(status="204 x", length=None), [])):
        (data,) = answer.whole(body)
        assert data.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("body", [[b"o"], [b"oks"], [], [b"o", b"k"], (b"ok",), ["ok"], [None]], ids=repr)
def test_of_a_body_that_is_not_what_its_answer_says_nothing_is_known(body: Any) -> None:
    assert begun().whole(body) == ()


def test_an_answer_that_the_app_has_not_begun_is_not_whole() -> None:
    assert Answer(NO_CONNECTION, "GET", 1, False, lambda: False).whole([b"ok"]) == ()
