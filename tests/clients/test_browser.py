"""A real browser: what a page may do with a bucket of another origin, and what it gets to see of it.

The browser is started once. It opens a page of one origin, which has a frame of another origin; each carries out its
steps with `fetch` and sends what came of them back to where it came from.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.clients.conftest import need
from tests.serving.conftest import Served, start

pytestmark = pytest.mark.slow

PAGE = """<!doctype html><title>steps</title><script type="module">
const told = {};
for (const step of await (await fetch("/steps")).json()) {
  try {
    let body = step.body;
    if (step.form) {
      body = new FormData();
      for (const [name, value] of Object.entries(step.form)) body.append(name, value);
      body.append("file", new Blob([step.body]));
    }
    const { url, method, headers, credentials } = step;
    const answer = await fetch(url, { method, headers, credentials, body });
    told[step.name] = {
      status: answer.status, text: await answer.text(), headers: Object.fromEntries(answer.headers)
    };
  } catch (error) {
    told[step.name] = { refused: String(error) };
  }
}
await fetch("/told", { method: "POST", body: JSON.stringify(told) });
</script>%s"""
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
)  # fmt: skip
REFUSED = {"refused": "TypeError: Failed to fetch"}


@attrs.frozen
class Pages:
    """Serves the page, and its frame by another name of the same machine, which makes another origin of it."""

    server: http.server.ThreadingHTTPServer
    #: By origin: what to do, set before the browser comes.
    steps: dict[str, list[dict[str, Any]]]
    told: queue.Queue[tuple[str, dict[str, Any]]]

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def other_origin(self) -> str:
        return f"http://localhost:{self.server.server_port}"


@contextlib.contextmanager
def serve_pages() -> Iterator[Pages]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            frame = f'<iframe src="{pages.other_origin}/frame"></iframe>' if self.path == "/page" else ""
            if self.path in ("/page", "/frame"):
                self._answer("text/html", PAGE % frame)
            elif self.path == "/steps":
                self._answer("application/json", json.dumps(pages.steps[f"http://{self.headers['Host']}"]))
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer("text/plain", "")
            pages.told.put((self.headers["Origin"], told))

        def _answer(self, content_type: str, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    pages = Pages(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler), {}, queue.Queue())
    thread = threading.Thread(target=pages.server.serve_forever)
    thread.start()
    yield pages
    pages.server.shutdown()
    thread.join()
    pages.server.server_close()


@contextlib.contextmanager
def browser(program: Path, url: str, profile: Path) -> Iterator[None]:
    environ = os.environ | {"HOME": str(profile), "no_proxy": "*"}
    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={profile}", url],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def make_buckets(served: Served, pages: Pages) -> None:
    """`photos` has rules for the page's origin, `open` for all, and `plain` none of its own."""
    s3 = served.client()
    mine: Any = {
        "AllowedOrigins": [pages.origin], "AllowedMethods": ["GET", "PUT", "POST"], "MaxAgeSeconds": 600,
        "AllowedHeaders": ["content-type", "x-amz-meta-*"], "ExposeHeaders": ["ETag", "x-amz-meta-color"],
    }  # fmt: skip
    everybodys: Any = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]}
    for bucket, rules in (("photos", [mine]), ("open", [everybodys]), ("plain", [])):
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="cat", Body=b"a cat", Metadata={"color": "grey"})
        if rules:
            s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    s3.close()


def steps_of(served: Served) -> list[dict[str, Any]]:
    s3 = served.client(signature_version="s3v4")

    def get(name: str, bucket: str, key: str = "cat", **more: Any) -> dict[str, Any]:
        url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
        return {"name": name, "url": url, "method": "GET", **more}

    def put(key: str, headers: Mapping[str, str]) -> dict[str, Any]:
        where = {"Bucket": "photos", "Key": key}
        url = s3.generate_presigned_url("put_object", Params={**where, "Metadata": {"color": "red"}})
        sent = {"x-amz-meta-color": "red", **headers}
        return {"name": f"put {key}", "url": url, "method": "PUT", "headers": sent, "body": f"the {key}"}

    form = s3.generate_presigned_post("photos", "form", Fields={"x-amz-meta-color": "blue"}, Conditions=[
        {"x-amz-meta-color": "blue"}, ["content-length-range", 1, 100],
    ])  # fmt: skip
    delete = s3.generate_presigned_url("delete_object", Params={"Bucket": "photos", "Key": "cat"})
    s3.close()
    return [
        get("get", "photos"),
        get("get a part", "photos", headers={"Range": "bytes=2-4"}),
        get("get nothing", "photos", "no-such-key"),
        get("get with credentials", "photos", credentials="include"),
        get("open", "open"),
        get("open with credentials", "open", credentials="include"),
        get("plain", "plain"),
        put("dog", {"Content-Type": "text/plain"}),
        put("bird", {"X-Other": "not in the rules"}),
        {"name": "delete", "url": delete, "method": "DELETE"},
        {"name": "form", "url": form["url"], "method": "POST", "form": form["fields"], "body": "by a form"},
    ]


@attrs.frozen
class Seen:
    """What came of the steps of the page and of its frame, and what is stored then."""

    by_page: dict[str, Any]
    by_frame: dict[str, Any]
    stored: dict[str, bytes]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    program, folder = need("chromium"), tmp_path_factory.mktemp("browser")
    with contextlib.ExitStack() as stack:
        pages = stack.enter_context(serve_pages())
        served = start(folder / "data", "--workers", "1", "--cors-allow-origin", pages.other_origin)
        stack.callback(served.end)
        make_buckets(served, pages)
        pages.steps[pages.origin] = steps_of(served)
        pages.steps[pages.other_origin] = [step for step in steps_of(served) if step["name"] != "put dog"]
        pages.steps[pages.other_origin].append({**steps_of(served)[0], "name": "get anew"})
        stack.enter_context(browser(program, f"{pages.origin}/page", folder / "profile"))
        told = dict(pages.told.get(timeout=60) for _ in range(2))
        s3 = served.client()
        stored = {}
        for found in s3.list_objects_v2(Bucket="photos")["Contents"]:
            with s3.get_object(Bucket="photos", Key=found["Key"])["Body"] as body:
                stored[found["Key"]] = body.read()
        s3.close()
        yield Seen(told[pages.origin], told[pages.other_origin], stored)


def test_a_page_reads_and_sees_the_headers_that_are_exposed(seen: Seen) -> None:
    answer = seen.by_page["get"]
    assert (answer["status"], answer["text"]) == (200, "a cat")
    assert answer["headers"]["x-amz-meta-color"] == "grey"
    assert answer["headers"]["etag"].strip('"') == "c1d0e44b09d5ac52f90f463fe410fc88"
    assert not [name for name in answer["headers"] if name.startswith("x-amz-") and name != "x-amz-meta-color"]
    assert (seen.by_page["get a part"]["status"], seen.by_page["get a part"]["text"]) == (206, "cat")


def test_a_page_reads_why_it_gets_nothing(seen: Seen) -> None:
    answer = seen.by_page["get nothing"]
    assert answer["status"] == 404
    assert "<Code>NoSuchKey</Code>" in answer["text"]


def test_a_page_writes_after_a_preflight(seen: Seen) -> None:
    assert seen.by_page["put dog"]["status"] == 200
    assert seen.by_page["put dog"]["headers"]["etag"]
    assert seen.stored["dog"] == b"the dog"


def test_a_page_sends_a_signed_form(seen: Seen) -> None:
    assert seen.by_page["form"]["status"] == 204
    assert seen.by_page["form"]["headers"]["etag"]
    assert seen.stored["form"] == b"by a form"


def test_what_the_rules_do_not_name_is_never_sent(seen: Seen) -> None:
    """A header, and a method: their preflights are refused."""
    assert seen.by_page["put bird"] == REFUSED
    assert seen.by_page["delete"] == REFUSED
    assert seen.stored.keys() == {"cat", "dog", "form"}


def test_credentials_are_for_origins_that_are_named(seen: Seen) -> None:
    assert seen.by_page["get with credentials"]["text"] == "a cat"
    assert seen.by_page["open"]["text"] == "a cat"
    assert seen.by_page["open with credentials"] == REFUSED


def test_a_bucket_without_rules_is_for_the_origins_of_the_server(seen: Seen) -> None:
    assert seen.by_page["plain"] == REFUSED
    assert seen.by_frame["plain"]["text"] == "a cat"


def test_another_origin_sees_nothing(seen: Seen) -> None:
    names = ("get", "get a part", "get nothing", "get with credentials", "put bird", "delete", "form", "get anew")
    assert {name: seen.by_frame[name] for name in names} == dict.fromkeys(names, REFUSED)
    assert seen.by_frame["open"]["text"] == "a cat"
