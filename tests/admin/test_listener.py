"""The admin address of a real server."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.serving.conftest import ACCESS_KEY, Served, serve, start

__all__ = ["serve"]


def admin_url(served: Served) -> str:
    """As the banner says."""
    found = re.search(r"  admin       (http\S+)", served.banner)
    assert found is not None, served.banner
    return found[1]


def ask(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
    """(status, headers, body)."""
    try:
        with urlopen(Request(url, method=method, data=body, headers=headers), timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def raw(url: str, request: bytes) -> bytes:
    """The whole answer to bytes, after which the client ends."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two workers, one admin address."""
    server = start(tmp_path_factory.mktemp("admin") / "data", "--workers", "2")
    yield server
    server.end()


def test_it_has_an_address_of_its_own_that_the_banner_tells(served: Served) -> None:
    status, headers, body = ask(admin_url(served) + "/healthz")
    assert (status, body, headers["Content-Type"]) == (200, b"ok\n", "text/plain")
    assert ask(admin_url(served) + "/readyz")[::2] == (200, b"ok\n")
    status, _headers, body = ask(served.url + "/health")
    assert status == 404, "at the S3 port that is a bucket"
    assert b"NoSuchBucket" in body


def test_health_is_json_of_each_check(served: Served) -> None:
    status, headers, body = ask(admin_url(served) + "/health")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    found = json.loads(body)
    assert set(found["checks"]) == {"catalog", "free_space", "clock", "jobs", "backend", "audit_log"}
    assert all(check["state"] in ("ok", "warning") for check in found["checks"].values())


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"404"),
        (b"GET /nothing/at/all HTTP/1.1\r\nHost: a\r\n\r\n", b"404"),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", b"404"),
        (b"GET /%00%ff%2e%2e/ HTTP/1.1\r\nHost: a\r\n\r\n", b"404"),
        (b"GET //health HTTP/1.1\r\nHost: a\r\n\r\n", b"404"),
        (b"GET /health/ HTTP/1.1\r\nHost: a\r\n\r\n", b"404"),
        (b"GET /health?x HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"GET /health?" + b"&".join(b"a%d=1" % n for n in range(200)) + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"GET /health?a=%ff HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"DELETE /health HTTP/1.1\r\nHost: a\r\n\r\n", b"405"),
        (b"BREW /health HTTP/1.1\r\nHost: a\r\n\r\n", b"405"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", b"400"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc", b"400"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    ],
)  # fmt: skip
def test_hostile_requests_get_a_plain_refusal(served: Served, request_bytes: bytes, status: bytes) -> None:
    answer = raw(admin_url(served), request_bytes)
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    body = answer.partition(b"\r\n\r\n")[2]
    assert set(json.loads(body)["error"]) == {"code", "message", "request_id"}


def test_head_is_get_without_a_body(served: Served) -> None:
    answer = raw(admin_url(served), b"HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b""


def test_answers_are_not_kept_or_guessed_at(served: Served) -> None:
    _status, headers, _body = ask(admin_url(served) + "/health")
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


def test_minios_health_paths_are_answered_at_the_s3_port(served: Served) -> None:
    for path in ("live", "ready", "cluster", "cluster/read"):
        assert ask(f"{served.url}/minio/health/{path}")[::2] == (200, b"ok\n")


def test_there_may_be_none(serve: Callable[..., Served]) -> None:
    assert "admin" not in serve("--no-admin", "--workers", "1").banner


def test_a_port_that_was_asked_for_and_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError, match=f"admin_host and admin_port: cannot listen on 127.0.0.1 port {port}"):
            start(tmp_path / "data", "--admin-port", str(port))


def test_pages_at_the_s3_port_leave_buckets_of_their_names_alone(serve: Callable[..., Served]) -> None:
    served = serve("--admin-on-s3-port", "--workers", "1")
    s3 = served.client()
    for name in ("health", "metrics", "docs"):
        s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=name, Key="key", Body=b"body")
        assert s3.list_objects_v2(Bucket=name)["KeyCount"] == 1
        assert s3.get_object(Bucket=name, Key="key")["Body"].read() == b"body"
        assert s3.list_objects(Bucket=name)["Contents"][0]["Key"] == "key", "a signed GET without a query"
    assert json.loads(ask(served.url + "/health")[2])["state"] in ("ok", "warning")
    assert ask(served.url + "/health?list-type=2")[0] == 403
    assert ask(served.url + "/health", "POST", b"")[0] != 200


def test_keys_of_the_s3_port_open_nothing_here(served: Served) -> None:
    assert ask(admin_url(served) + "/bucket/key", Authorization=f"AWS {ACCESS_KEY}:x")[0] == 404


def test_it_can_be_asked_where_others_leave_no_space(tmp_path: Path) -> None:
    server = start(tmp_path / "data", "--workers", "1", "--max-connections", "3")
    idle = [socket.create_connection(("127.0.0.1", server.port), 30) for _ in range(3)]
    for connection in idle:  # each is served, so that it has been accepted
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert ask(server.url + "/healthz")[0] == 503
    assert ask(admin_url(server) + "/healthz")[0] == 200
    assert ask(admin_url(server) + "/metrics")[0] == 200
    for connection in idle:
        connection.close()
    server.end()
