"""The console of a real server: two workers, and the address of S3 beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.serving.conftest import ACCESS_KEY, SECRET_KEY, Served, serve, start

__all__ = ["serve"]

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def console_of(served: Served) -> str:
    """As the banner says."""
    found = re.search(r"  console     (http\S+)", served.banner)
    assert found is not None, served.banner
    return found[1]


def ask(url: str, method: str = "GET", **options: Any) -> urllib3.BaseHTTPResponse:
    """Over a new connection, so that any of the workers answers."""
    with urllib3.PoolManager() as pool:
        return pool.request(method, url, redirect=False, retries=False, timeout=30, **options)


def sign_in(console: str) -> dict[str, str]:
    """The header that goes with the requests of a session."""
    fields = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    answer = ask(console + "sign-in", "POST", fields=fields, encode_multipart=False)
    assert answer.status == 303
    return {"Cookie": "; ".join(f"{m.key}={m.value}" for m in SimpleCookie(answer.headers["Set-Cookie"]).values())}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = start(tmp_path_factory.mktemp("console") / "data", "--workers", "2")
    yield server
    server.end()


def test_all_workers_know_a_session_and_that_it_was_ended(served: Served) -> None:
    console = console_of(served)
    signed_in = sign_in(console)
    pages = [ask(console + "buckets", headers=signed_in) for _ in range(12)]
    assert {page.status for page in pages} == {200}
    csrf = re.search(rb'name="csrf" value="(\w+)"', pages[0].data)
    assert csrf is not None
    fields = {"csrf": csrf[1].decode()}
    assert ask(console + "sign-out", "POST", fields=fields, encode_multipart=False, headers=signed_in).status == 303
    assert {ask(console + "buckets", headers=signed_in).status for _ in range(12)} == {303}


def test_a_file_goes_up_and_down(served: Served) -> None:
    console, s3 = console_of(served), served.client()
    s3.create_bucket(Bucket="photos")
    signed_in = sign_in(console)
    csrf = re.search(rb'name="csrf" value="(\w+)"', ask(console + "buckets", headers=signed_in).data)
    assert csrf is not None
    headers = {**signed_in, "X-CSRF-Token": csrf[1].decode()}
    data = bytes(range(256)) * 4096
    assert ask(console + "buckets/photos/objects?key=a/b", "PUT", body=data, headers=headers).status == 201
    assert s3.get_object(Bucket="photos", Key="a/b")["Body"].read() == data
    assert ask(console + "buckets/photos/object/download?key=a/b", headers=signed_in).data == data
    large = bytes(12 * 1024 * 1024)
    refused = ask(console + "buckets/no-such/objects?key=a", "PUT", body=large, headers=headers)
    assert refused.status == 404  # and the browser gets to read that


def test_a_browser_that_opens_the_s3_address_is_sent_to_the_console(served: Served) -> None:
    answer = ask(served.url + "/", headers=BROWSER)
    assert (answer.status, answer.headers["Location"]) == (302, console_of(served))
    for path, headers in (
        ("/", {}),
        ("/?list-type=2", BROWSER),
        ("/photos", BROWSER),
        ("/", {**BROWSER, "Authorization": "AWS a:b"}),
        ("/", {**BROWSER, "Host": "s3.example.org"}),  # a browser elsewhere could not reach it
    ):
        assert ask(served.url + path, headers=headers).status in (400, 403, 404, 501), (path, headers)
    assert ask(served.url + "/", "POST", headers=BROWSER).status != 302


@pytest.mark.slow
def test_there_may_be_no_console_and_it_may_be_elsewhere(serve: Callable[..., Served], tmp_path: Path) -> None:
    none = serve("--no-console", "--workers", "1", data=tmp_path / "none")
    assert "  console  " not in none.banner
    assert ask(none.url + "/", headers=BROWSER).status == 403
    url = "https://console.example.org/console/"
    elsewhere = serve("--console-url", url, "--workers", "1", data=tmp_path / "elsewhere")
    answer = ask(elsewhere.url + "/", headers={**BROWSER, "Host": "s3.example.org"})
    assert (answer.status, answer.headers["Location"]) == (302, url)
    with pytest.raises(AssertionError, match="console_url: 'javascript:alert' is not a URL"):
        serve("--console-url", "javascript:alert", data=tmp_path / "wrong")


def test_the_status_says_that_nothing_can_be_written_without_an_audit_log_that_must_be_whole(
    serve: Callable[..., Served],
) -> None:
    served = serve("--audit-log", "/dev/full", "--audit-full", "refuse", "--workers", "1")
    console = console_of(served)
    figures = ask(console + "status/figures", headers=sign_in(console)).json()
    assert figures["shown"]["is_ready"] == "not ready"
