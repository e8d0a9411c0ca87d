"""Whatever is sent: a refusal, and never an error of the server."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from bleepstore import Store
from bleepstore_server.console.routes import ROUTES
from tests.console.conftest import Visitor

TEXTS = (
    "", "\0", "ü", "\ud800", "../../etc/passwd", "<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>",
    "a" * 5000, "%00", "\r\nSet-Cookie: a=b", "{{ 'ab' * 5 }}", "{% raw %}",
    "null", "-1", "1e9", "9" * 30, "٣", "\u202e",
    "0001-01-01", "9999-12-31T23:59:59-14:00",
)  # fmt: skip
FIELDS = (
    "bucket", "name", "key", "version", "upload", "tags", "metadata", "etag", "content_type", "expires", "mode",
    "until", "hold", "days", "do", "document", "versioning", "encryption", "key_id", "ownership", "max_bytes",
    "max_objects", "policy", "canned", "buckets", "access_key", "user", "scope", "job", "cache_control",
)  # fmt: skip


@pytest.fixture(autouse=True)
def filled(store: Store) -> None:
    store.create_bucket("photos", object_lock=True)
    store.put_object("photos", "cat", b"a cat")
    store.users.add("ada")


def paths() -> Iterator[tuple[str, str, bool]]:
    for route in ROUTES:
        if route.function is not None:
            path = route.path.replace("<bucket>", "photos").replace("<name>", "ada").replace("<section>", "tags")
            yield route.method, path.replace("<upload_id>", "0" * 52).replace("<int:number>", "1"), route.streams


def check(answer_status: int, what: object) -> None:
    assert answer_status < 500, what


@pytest.mark.parametrize(("method", "path", "streams"), sorted(set(paths())), ids=str)
def test_no_text_is_an_error_of_the_server(visitor: Visitor, method: str, path: str, streams: bool) -> None:
    chance = random.Random(path)
    for text in TEXTS:
        query = dict.fromkeys(("key", "prefix", "after", "version", "after_version", "action", "who", "user"), text)
        query |= {"type": text, "upload": text, "after_upload": text, "policy": text, "done": text}
        given = chance.sample(sorted(query), 4)
        chosen = {name: _sent(query[name]) for name in {*given, "key"}}
        if method == "GET":
            answer = visitor.get(path, query_string=chosen)
        elif streams:
            answer = visitor.client.open(
                path, method=method, query_string=chosen, data=_sent(text), base_url="http://localhost/console/",
                headers={"X-CSRF-Token": visitor.csrf},
            )  # fmt: skip
        else:
            answer = visitor.post(path, {name: _sent(text) for name in FIELDS}, query_string=chosen)
        check(answer.status_code, (method, path, text))
        assert (
            "alert(1)" not in answer.text.replace("&lt;", "").replace("&gt;", "") or "<script>alert" not in answer.text
        )
        assert "<img src=x" not in answer.text
        assert "ababababab" not in answer.text
        assert answer.headers.get("Set-Cookie", "").count("a=b") == 0


def _sent(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    "path",
    [
        "/", "//", "/buckets//", "/buckets/%2e%2e", "/buckets/%00", "/buckets/%ff", "/buckets/a/b/c/d",
        "/buckets/photos/uploads/x/y", "/buckets/photos/uploads/x/99999999999999999999", "/users/%ff%00",
        "/buckets/" + "a" * 4000, "/static/x/..%2fapp.py", "/buckets/photos/settings/no-such",
    ],
)  # fmt: skip
def test_no_path_is_an_error_of_the_server(visitor: Visitor, path: str) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        headers = {"X-CSRF-Token": visitor.csrf}
        answer = visitor.client.open(path, method=method, base_url="http://localhost/console/", headers=headers)
        check(answer.status_code, (method, path))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"{}", b"[]", b"[1]", b"[{}]", b'[{"number": "1", "etag": "a"}]',
        b'[{"number": true, "etag": "a"}]',
        b'[{"number": 1, "etag": null}]', b'[{"number": 1e99, "etag": "a"}]', b"[" * 100_000, b"\xff",
        b'[{"number": -1, "etag": "a"}]',
        b'[{"number": 1, "etag": "\\ud800"}]',
    ],
    ids=range(14),
)  # fmt: skip
def test_no_list_of_parts_is_an_error_of_the_server(visitor: Visitor, store: Store, body: bytes) -> None:
    upload = store.create_upload("photos", "dog")
    store.put_part("photos", "dog", upload.upload_id, 1, b"woof")
    answer = visitor.send("POST", f"/buckets/photos/uploads/{upload.upload_id}/complete?key=dog", body)
    assert 400 <= answer.status_code < 500
    assert [row.key for row in store.iter_objects("photos")] == ["cat"]


def test_a_body_that_ends_early_stores_nothing(visitor: Visitor, store: Store) -> None:
    for path in ("/buckets/photos/objects?key=dog", f"/buckets/photos/uploads/{'0' * 52}/1?key=dog"):
        answer = visitor.client.put(
            path, base_url="http://localhost/console/", headers={"X-CSRF-Token": visitor.csrf}, data=b"woof",
            environ_overrides={"CONTENT_LENGTH": "100"},
        )  # fmt: skip
        assert 400 <= answer.status_code < 500
    assert [row.key for row in store.iter_objects("photos")] == ["cat"]


@pytest.mark.parametrize("length", ["-1", "x", "9" * 40, "1.5"])
def test_a_length_that_is_none_is_refused(visitor: Visitor, length: str) -> None:
    for path in ("/buckets/photos/objects?key=dog", "/buckets"):
        answer = visitor.client.open(
            path, method="PUT" if "objects" in path else "POST", base_url="http://localhost/console/",
            headers={"X-CSRF-Token": visitor.csrf}, environ_overrides={"CONTENT_LENGTH": length},
        )  # fmt: skip
        check(answer.status_code, length)


def test_a_form_has_a_bound(visitor: Visitor) -> None:
    assert visitor.post("/buckets", {"bucket": "a" * 3_000_000}).status_code == 413
    assert visitor.post("/buckets", {f"field{number}": "1" for number in range(5000)}).status_code in (400, 413)
    part = b'--b\r\nContent-Disposition: form-data; name="bucket"\r\n\r\n' + b"a" * 3_000_000 + b"\r\n--b--\r\n"
    answer = visitor.client.post(
        "/buckets", data=part, content_type="multipart/form-data; boundary=b", base_url="http://localhost/console/"
    )
    assert answer.status_code == 413


@pytest.mark.parametrize("host", ["", "[", "[::1", "a b", "evil.example/path", "ü", "localhost:99999999"])
def test_no_host_is_an_error_of_the_server(visitor: Visitor, host: str) -> None:
    path = "/buckets/photos/object?key=cat"
    answer = visitor.get(path, environ_overrides={"HTTP_HOST": host.encode().decode("latin-1")})
    check(answer.status_code, host)
    share = "/buckets/photos/object/share?key=cat"
    check(visitor.post(share, environ_overrides={"HTTP_HOST": host.encode().decode("latin-1")}).status_code, host)
