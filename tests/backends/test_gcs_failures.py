"""The gateway to Google Cloud Storage when the provider, the network, a body or a credential fails."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import compute_engine
from google.auth.exceptions import RefreshError, TransportError
from google.cloud import storage

import bleepstore
from bleepstore import CompletedPart, Store, WriteCondition, errors
from bleepstore.backends.base import BlobSpec, KeyedSpec, KeyState, PartBlob, new_blob_id
from bleepstore.backends.gateway.retry import Transient
from bleepstore.backends.gcs.backend import GcsBackend
from bleepstore.backends.gcs.errors import classify
from bleepstore.backends.gcs.layouts import GcsKeys
from bleepstore.errors import AccessDenied, BlobChanged, InvalidRequest, ServiceUnavailable, SlowDown
from bleepstore.testing.contract_tools import MIB, Broken, broken_after, pattern
from tests.answering import Answers, answered_by
from tests.backends.gcs_fixtures import backend, make, native, put, read, read_blob, service, store, stored_names
from tests.backends.http_faults import Answer, HttpProxy, Lost, Request, ResumableProxy
from tests.backends.tcp_faults import FaultProxy, fault_proxy

__all__ = ["backend", "native", "service", "store"]


@pytest.mark.parametrize("size", [100, 9 * MIB])
def test_a_body_that_breaks_leaves_nothing_billable(store: Store, native: Any, size: int) -> None:
    with pytest.raises(Broken):
        store.put_object("photos", "k", broken_after(pattern(size)), size=2 * size)
    with pytest.raises(errors.BadDigest):
        store.put_object("photos", "k", pattern(size), size=size, content_md5="1B2M2Y8AsgTpgAmY7PhCfg==")
    assert stored_names(native) == []


def test_a_body_that_breaks_ends_its_session(native: Any, fake_gcs_url: str) -> None:
    with contextlib.closing(ResumableProxy(fake_gcs_url)) as proxy:
        with contextlib.closing(make(native.name, proxy.url)) as backend, pytest.raises(Broken):
            backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), broken_after(pattern(9 * MIB)))
        assert [request.method for request in proxy.seen if "upload_id" in request.path] == ["DELETE"]


def test_an_upload_that_google_refuses_ends_its_session(native: Any, fake_gcs_url: str) -> None:
    with contextlib.closing(ResumableProxy(fake_gcs_url)) as proxy:
        proxy.before = lambda request: Answer(400) if request.method == "PUT" else None
        with contextlib.closing(make(native.name, proxy.url)) as backend, pytest.raises(InvalidRequest):
            backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [pattern(9 * MIB)])
        put, end = proxy.seen[-2:]
        assert (put.method, end.method, end.path) == ("PUT", "DELETE", put.path)


def test_an_aborted_upload_leaves_nothing_billable(store: Store, native: Any) -> None:
    upload = store.create_upload("photos", "k")
    store.put_part("photos", "k", upload.upload_id, 1, b"part")
    assert len(stored_names(native)) == 1
    store.abort_upload("photos", "k", upload.upload_id)
    assert stored_names(native) == []


def test_a_missing_bucket_is_named(fake_gcs_url: str, tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="does not exist"):
        bleepstore.open("gs://not-there", catalog=tmp_path / "catalog", endpoint_url=fake_gcs_url)


def test_an_endpoint_that_does_not_answer_is_named_within_the_deadline() -> None:
    closing = contextlib.closing(make("container", "http://127.0.0.1:9", deadline=0.3))
    with closing as backend, pytest.raises(ServiceUnavailable, match="did not answer"):
        backend.check()


def test_missing_credentials_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    closing = contextlib.closing(make("container", None, deadline=0.3))
    with closing as backend, pytest.raises(AccessDenied, match="no usable credentials"):
        backend.check()


@contextlib.contextmanager
def answering(status: int, reason: str, times: int = 10**9, **headers: str) -> Iterator[tuple[str, list[str]]]:
    """An endpoint that gives the same error some times and then takes whatever is put; and the requests it got."""
    requests: list[str] = []

    class Handler(Answers):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            requests.append(self.path)
            if len(requests) <= times:
                self._answer(status, {"error": {"code": status, "message": reason}}, headers)
            else:
                made = {"name": "photos/k", "generation": "7", "timeCreated": "2033-12-01T16:00:00Z", "size": "1"}
                self._answer(200, made, {})

        def do_GET(self) -> None:
            """Nothing is stored there."""
            self._answer(404, {"error": {"code": 404, "message": "No such object"}}, {})

        def _answer(self, code: int, document: object, fields: dict[str, str]) -> None:
            body = json.dumps(document).encode()
            self.send_response(code)
            for name, text in fields.items():
                self.send_header(name.replace("_", "-"), text)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with answered_by(Handler) as url:
        yield url, requests


@pytest.mark.parametrize(
    ("status", "expected", "repeated"),
    [
        (503, ServiceUnavailable, True),
        (429, SlowDown, True),
        (500, ServiceUnavailable, True),
        (408, ServiceUnavailable, True),
        (409, ServiceUnavailable, True),
        (400, InvalidRequest, False),
        (401, AccessDenied, False),
        (403, AccessDenied, False),
        (412, BlobChanged, False),
    ],
)
def test_each_refusal_is_classified(status: int, expected: type[Exception], repeated: bool) -> None:
    spec = KeyedSpec(bucket="photos", key="k", size=1, expected_current=KeyState(None), new_id=new_blob_id)
    with answering(status, "the reason") as (url, requests):
        closing = contextlib.closing(make("container", url, deadline=0.4 if repeated else 5))
        with closing as backend, pytest.raises(expected) as refused:
            backend.put_object(spec, [b"x"])
    if status == 401:  # the SDK asks for a new token, which an anonymous client cannot have
        assert "no usable credentials" in str(refused.value)
    else:
        assert expected is BlobChanged or f"{status} the reason" in str(refused.value)
    assert (len(requests) > 1) == repeated


def test_what_passes_is_repeated_and_the_provider_says_when() -> None:
    spec = BlobSpec(bucket="photos", key="k", size=1, new_id=new_blob_id)
    for headers in ({}, {"Retry_After": "0"}):
        with answering(503, "busy", 2, **headers) as (url, requests):
            with contextlib.closing(make("container", url)) as backend:
                assert backend.put_object(spec, [b"x"]).stored_ms == 2017065600000
            assert len(requests) == 3
    with answering(429, "busy", 1, Retry_After="60") as (url, requests):
        with contextlib.closing(make("container", url)) as backend, pytest.raises(SlowDown):
            backend.put_object(spec, [b"x"])
        assert len(requests) == 1


# -- the network


@pytest.fixture
def proxy(fake_gcs_url: str) -> Iterator[FaultProxy]:
    with fault_proxy(urlsplit(fake_gcs_url).port or 0) as made:
        yield made


@pytest.mark.parametrize("kind", ["cut", "truncate"])
def test_a_broken_download_goes_on_where_it_ended(native: Any, proxy: FaultProxy, kind: str) -> None:
    data = pattern(6 * MIB)
    with contextlib.closing(make(native.name, proxy.url)) as backend:
        blob = backend.put_object(BlobSpec(bucket="photos", key="k", size=len(data), new_id=new_blob_id), [data])
    for start, stop in [(0, None), (1000, 5 * MIB)]:
        with contextlib.closing(make(native.name, proxy.url)) as backend:
            proxy.inject(kind, received=2 * MIB)
            proxy.inject(kind, received=MIB)
            before = proxy.hits
            with backend.get_object(blob.handle, start, stop) as reader:
                assert b"".join(iter(lambda: reader.read(300_000), b"")) == data[start:stop]
            assert proxy.hits == before + 2


@pytest.mark.parametrize("kind", ["cut", "truncate"])
@pytest.mark.parametrize("size", [MIB, 7 * MIB, 12 * MIB])
def test_a_broken_upload_is_sent_again(native: Any, fake_gcs_url: str, kind: str, size: int) -> None:
    data = pattern(size)
    with (
        contextlib.closing(ResumableProxy(fake_gcs_url)) as google,
        fault_proxy(google.port) as proxy,
        contextlib.closing(make(native.name, proxy.url)) as backend,
    ):
        proxy.inject(kind, sent=size // 2)
        blob = backend.put_object(BlobSpec(bucket="photos", key="k", size=size, new_id=new_blob_id), [data])
        assert proxy.hits == 1
        assert read_blob(backend, blob.handle) == data
    assert stored_names(native) == ["photos/k"]


def test_an_answer_that_is_lost_does_not_fail_a_conditional_write(native: Any, proxy: FaultProxy) -> None:
    """The first request was carried out; sent again, its condition no longer holds, but what is stored there is
    ours."""
    with contextlib.closing(make(native.name, proxy.url)) as backend:
        proxy.inject("truncate", received=1)
        spec = KeyedSpec(bucket="photos", key="k", size=4, expected_current=KeyState(None), new_id=new_blob_id)
        blob = backend.put_object(spec, [b"data"])
        assert proxy.hits == 1
        assert read_blob(backend, blob.handle) == b"data"


def test_a_provider_that_says_other_bytes_came_is_not_believed(
    backend: GcsKeys, native: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it stored is removed, and the client is told to send it again."""
    check = GcsBackend._check

    def damaged(self: GcsKeys, blob: Any, crc32c: str) -> Any:
        blob._properties["crc32c"] = "AAAAAA=="
        return check(self, blob, crc32c)

    monkeypatch.setattr(GcsBackend, "_check", damaged)
    with pytest.raises(ServiceUnavailable, match="CRC32C"):
        backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [pattern(7 * MIB)])
    assert stored_names(native) == []


def test_memory_is_bounded_however_large_the_body(backend: GcsKeys) -> None:
    size = 96 * MIB
    piece = pattern(MIB)
    tracemalloc.start()
    try:
        blob = backend.put_object(
            BlobSpec(bucket="photos", key="k", size=size, new_id=new_blob_id), itertools.repeat(piece, size // MIB)
        )
        with backend.get_object(blob.handle) as reader:
            while reader.read(MIB):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * MIB


# -- who is to blame


def _json(status: int, message: str) -> Answer:
    text = json.dumps({"error": {"code": status, "message": message}}).encode()
    return Answer(status, [("Content-Type", "application/json")], text)


@contextlib.contextmanager
def behind(native: Any, url: str, folder: Path) -> Iterator[tuple[Store, HttpProxy]]:
    """A store, and what its requests pass through."""
    with (
        contextlib.closing(ResumableProxy(url)) as proxy,
        bleepstore.open(f"gs://{native.name}", catalog=folder / "catalog", endpoint_url=proxy.url) as store,
    ):
        store.create_bucket("photos")
        yield store, proxy


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("condition", [WriteCondition(), WriteCondition(if_none_match=True)])
def test_a_session_that_google_has_lost_is_a_passing_failure_that_does_not_name_it(
    native: Any, fake_gcs_url: str, tmp_path: Path, status: int, condition: WriteCondition
) -> None:
    data = bytes(9 * MIB)
    with behind(native, fake_gcs_url, tmp_path) as (store, proxy):
        upload = store.create_upload("photos", "parts")
        page = b"<html>The requested URL /upload?upload_id=secret was not found on this server.</html>"
        proxy.before = lambda request: Answer(status, body=page) if "upload_id" in request.path else None
        for write in (
            lambda: store.put_object("photos", "k", data, condition=condition),
            lambda: store.put_part("photos", "parts", upload.upload_id, 1, data),
        ):
            with pytest.raises(ServiceUnavailable, match=str(status)) as refused:
                write()
            assert "upload" not in refused.value.message


def test_a_connection_that_fails_does_not_name_the_session(native: Any, fake_gcs_url: str) -> None:
    def lose(request: Request) -> None:
        if request.method == "PUT":
            google._server.server_close()
            raise Lost

    with contextlib.closing(ResumableProxy(fake_gcs_url)) as google:
        google.before = lose
        closing = contextlib.closing(make(native.name, google.url, deadline=0.3))
        with closing as backend, pytest.raises(ServiceUnavailable) as refused:
            backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [bytes(9 * MIB)])
    assert "upload_id" not in refused.value.message


def test_a_policy_that_forbids_writes_is_named(native: Any, fake_gcs_url: str, tmp_path: Path) -> None:
    """Google says so with a 412, as it does of conditions; these writes have none."""
    with behind(native, fake_gcs_url, tmp_path) as (store, proxy):
        upload = store.create_upload("photos", "k")
        store.put_object("photos", "source", bytes(5000))
        part = store.put_part("photos", "k", upload.upload_id, 1, b"part")
        proxy.before = lambda request: _json(412, "violates constraint") if request.method == "POST" else None
        done = [CompletedPart(number=1, etag=part.etag)]
        for write in (
            lambda: store.put_object("photos", "k", bytes(5000)),
            lambda: store.put_object("photos", "k", bytes(9 * MIB)),
            lambda: store.put_part("photos", "k", upload.upload_id, 1, b"x"),
            lambda: store.copy_object("photos", "source", "photos", "copy"),
            lambda: store.copy_part("photos", "source", "photos", "k", upload.upload_id, 2),
            lambda: store.complete_upload("photos", "k", upload.upload_id, done),
        ):
            with pytest.raises(ServiceUnavailable, match="412 violates constraint"):
                write()


def test_a_key_may_be_called_as_google_calls_what_is_missing(native: Any, fake_gcs_url: str, tmp_path: Path) -> None:
    """Google: "No such object: bucket/name", and "The specified bucket does not exist." """
    key = "The specified bucket does not exist.txt"

    def name(request: Request, answer: Answer) -> Answer | None:
        missing = answer.status == 404 and "/o/" in request.path
        return _json(404, f"No such object: {native.name}/photos/{key}") if missing else None

    with behind(native, fake_gcs_url, tmp_path) as (store, proxy):
        proxy.after = name
        with pytest.raises(errors.NoSuchKey):
            store.get_object("photos", key)
        store.put_object("photos", key, bytes(5000))
        native.delete_blob(f"photos/{key}")
        store.delete_object("photos", key)
        proxy.after = lambda request, answer: (
            _json(404, "The specified bucket does not exist.") if "/o/" in request.path else None
        )
        with pytest.raises(ServiceUnavailable, match="create it or correct the URL"):
            store.get_object("photos", key)


def test_what_is_stored_beside_an_object_does_not_decide_its_completion(
    native: Any, fake_gcs_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.closing(ResumableProxy(fake_gcs_url)) as proxy:
        proxy.before = lambda request: _json(503, "busy") if request.method == "DELETE" else None
        with contextlib.closing(make(native.name, proxy.url, deadline=0.3)) as backend:
            spec = BlobSpec(bucket="photos", key="k", new_id=new_blob_id)
            token = backend.begin_parts(spec)
            parts = [
                PartBlob(backend.put_part(token, number, [b"x"], new_id=new_blob_id).handle, 1)
                for number in range(1, 34)
            ]
            blob = backend.assemble_parts(token, spec, parts)
            assert read_blob(backend, blob.handle) == b"x" * 33
            assert "left for the sweep" in caplog.text
            proxy.before = lambda _: None
            for handle in backend.iter_blobs(0, 2**60):
                assert isinstance(handle, str)
                backend.delete_object(handle)
    assert stored_names(native) == ["photos/k"]


def test_an_object_that_is_replaced_as_soon_as_it_is_composed_was_complete(
    native: Any, fake_gcs_url: str, tmp_path: Path
) -> None:
    def overwrite(request: Request, _answer: Answer) -> None:
        if request.path.partition("?")[0].endswith("/compose"):
            put(native, "photos/k", b"theirs")

    with behind(native, fake_gcs_url, tmp_path) as (store, proxy):
        upload = store.create_upload("photos", "k")
        part = store.put_part("photos", "k", upload.upload_id, 1, b"part")
        proxy.after = overwrite
        done = [CompletedPart(number=1, etag=part.etag)]
        assert store.complete_upload("photos", "k", upload.upload_id, done).size == 4
        assert sum("/compose" in request.path for request in proxy.seen) == 1
        assert read(store, "k") == b"theirs"


def test_the_records_of_the_parts_are_not_kept(backend: GcsKeys, native: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own are large, and an upload may have 10,000 parts."""
    kept: list[int] = []
    compose = GcsBackend._compose

    def count(self: GcsKeys, *arguments: Any, **options: Any) -> None:
        gc.collect()
        found = (one for one in gc.get_objects() if isinstance(one, storage.Blob))
        kept.append(sum(blob.size is not None for blob in found))
        compose(self, *arguments, **options)

    spec = BlobSpec(bucket="photos", key="k", new_id=new_blob_id)
    token = backend.begin_parts(spec)
    parts = [PartBlob(backend.put_part(token, number, [b"x"], new_id=new_blob_id).handle, 1) for number in range(1, 31)]
    monkeypatch.setattr(GcsBackend, "_compose", count)
    backend.assemble_parts(token, spec, parts)
    assert kept == [0]


# -- who gives the tokens


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the attempts of the SDK's own."""
    monkeypatch.setattr("google.auth._exponential_backoff._BaseExponentialBackoff._calculate_jitter", lambda _: 0.0)


@pytest.fixture
def token_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Answer]]:
    """What the endpoint of tokens answers."""
    answers: list[Answer] = []
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with contextlib.closing(HttpProxy("http://127.0.0.1:9")) as proxy:
        proxy.before = lambda _request: answers[0]
        account = {
            "type": "service_account",
            "project_id": "p",
            "private_key": key.decode(),
            "client_email": "a@p.iam.gserviceaccount.com",
            "token_uri": f"{proxy.url}/token",
        }
        path = tmp_path / "account.json"
        path.write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
        yield answers


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(503, body=b'{"error": "temporarily_unavailable"}'), ServiceUnavailable),
        (Answer(500, body=b"<html>"), ServiceUnavailable),
        (Answer(400, body=b'{"error": "invalid_grant", "error_description": "Invalid JWT"}'), AccessDenied),
    ],
)
def test_an_endpoint_of_tokens_that_is_down_for_a_moment_is_not_a_refusal(
    token_answers: list[Answer], answer: Answer, expected: type[Exception]
) -> None:
    token_answers.append(answer)
    with contextlib.closing(make("container", None, deadline=0.3)) as backend, pytest.raises(expected):
        backend.check()


@pytest.mark.usefixtures("no_pauses")
def test_a_machine_whose_metadata_server_is_down_for_a_moment_is_not_refused() -> None:
    """The SDK wraps that failure in one that says it will not pass."""

    def unreachable(*_: object, **__: object) -> None:
        raise TransportError("no answer")  # type: ignore[no-untyped-call]  # google.auth is typed in part

    with pytest.raises(RefreshError) as refused:
        compute_engine.Credentials().refresh(unreachable)  # type: ignore[no-untyped-call]  # google.auth is typed in part
    assert isinstance(classify(refused.value), Transient)
