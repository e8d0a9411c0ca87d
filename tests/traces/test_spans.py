"""Spans of a store and of its app, in this process."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from opentelemetry import trace as api
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from werkzeug.test import Client

import bleepstore
from bleepstore import Store, WriteCondition
from bleepstore.committer import DirectCommitter
from bleepstore.errors import BlobNotFound, PreconditionFailed
from bleepstore.traces import trace
from bleepstore_server import AppConfig, create_app
from bleepstore_server.layers.record import Record
from bleepstore_server.monitoring import Monitoring
from bleepstore_server.traces.requests import RequestTraces
from tests.backends import providers
from tests.backends.http_faults import Answer, HttpProxy
from tests.cluster_store import open_nodes

LARGE = b"x" * 200_000
PATIENCE = 60.0


class Traced:
    """A tracer provider that keeps its spans."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("tests")

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def take(self) -> dict[str, ReadableSpan]:
        """The spans since the last call, by their names, of which each is there once."""
        spans = {span.name: span for span in self.spans}
        assert len(spans) == len(self.spans)
        self._exporter.clear()
        return spans


def ids(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


@pytest.fixture
def traced() -> Traced:
    return Traced()


@pytest.fixture
def store(tmp_path: Path, traced: Traced) -> Iterator[Store]:
    with bleepstore.open(tmp_path / "data") as opened:
        trace(opened, traced.provider)
        opened.create_bucket("photos")
        yield opened


def test_an_operation_has_its_blob_and_its_commit(store: Store, traced: Traced) -> None:
    with traced.tracer.start_as_current_span("mine") as mine:
        store.put_object("photos", "k", LARGE)
    spans = traced.take()
    assert set(spans) == {"mine", "blob.put", "commit", "commit.batch", "commit.fsync"}
    here = mine.get_span_context().span_id
    assert parent_of(spans["blob.put"]) == parent_of(spans["commit"]) == here
    assert parent_of(spans["commit.batch"]) == ids(spans["commit"])[1]
    assert parent_of(spans["commit.fsync"]) == ids(spans["commit.batch"])[1]
    assert [link.context.span_id for link in spans["commit.batch"].links] == [ids(spans["commit"])[1]]
    assert {ids(span)[0] for span in spans.values()} == {mine.get_span_context().trace_id}
    assert (spans["commit"].attributes or {})["bleepstore.command"] == "PutObject"
    assert (spans["commit.batch"].attributes or {})["bleepstore.batch_size"] == 1
    order = [spans[name].start_time for name in ("blob.put", "commit", "commit.batch", "commit.fsync")]
    assert order == sorted(order, key=lambda at: at or 0)
    with traced.tracer.start_as_current_span("mine"), store.get_object("photos", "k") as found:
        assert found.read() == LARGE
    assert set(traced.take()) == {"mine", "blob.get"}


def test_without_a_span_nothing_is_made(store: Store, traced: Traced) -> None:
    store.put_object("photos", "k", LARGE)
    store.delete_object("photos", "k")
    store.jobs.run("garbage")
    assert not traced.spans


def test_a_span_that_is_not_recorded_has_none_below_it(store: Store, traced: Traced) -> None:
    away = api.SpanContext(1, 2, is_remote=True, trace_flags=api.TraceFlags(0))
    with api.use_span(api.NonRecordingSpan(away)):
        store.put_object("photos", "k", LARGE)
    assert not traced.spans


def test_refusals_and_errors_are_told(store: Store, traced: Traced) -> None:
    store.put_object("photos", "k", b"x")
    with traced.tracer.start_as_current_span("mine"), pytest.raises(PreconditionFailed):
        store.put_object("photos", "k", b"x", condition=WriteCondition(if_none_match=True))
    commit = traced.take()["commit"]
    assert (commit.attributes or {})["error.type"] == "PreconditionFailed"
    assert commit.status.status_code is StatusCode.UNSET, "a refusal is an answer"

    def broken() -> Iterator[bytes]:
        yield LARGE
        raise OSError("the client went away")

    with traced.tracer.start_as_current_span("mine"), pytest.raises(OSError, match="went away"):
        store.put_object("photos", "k", broken())
    put = traced.take()["blob.put"]
    assert put.status.status_code is StatusCode.ERROR
    assert (put.attributes or {})["error.type"] == "OSError"


def test_an_error_is_told_without_its_message_which_may_have_a_key(store: Store, traced: Traced) -> None:
    def broken() -> Iterator[bytes]:
        yield LARGE
        raise BlobNotFound("photos/salaries.txt")

    with traced.tracer.start_as_current_span("mine"), pytest.raises(BlobNotFound):
        store.put_object("photos", "k", broken())
    assert "salaries" not in traced.take()["blob.put"].to_json()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_batch_is_linked_to_all_whose_changes_are_in_it(store: Store, traced: Traced) -> None:
    committer = store.engine.committer
    assert isinstance(committer, DirectCommitter)

    def put(key: str) -> None:
        with traced.tracer.start_as_current_span(key):
            store.put_object("photos", key, b"x")

    threads = [threading.Thread(target=put, args=(f"k{number}",)) for number in range(3)]
    with store.engine.catalog.transaction():  # nobody else can commit
        for count, thread in enumerate(threads, 1):
            thread.start()
            wait_until(lambda count=count: len(committer._queue) == count)  # type: ignore[misc]  # mypy has no default of a lambda
    for thread in threads:
        thread.join()
    (batch,) = [span for span in traced.spans if span.name == "commit.batch"]
    commits = {parent_of(span): span for span in traced.spans if span.name == "commit"}
    requests = {ids(span)[1]: span.name for span in traced.spans if span.name.startswith("k")}
    assert {requests[parent or 0] for parent in commits} == {"k0", "k1", "k2"}
    linked = [link.context.span_id for link in batch.links]
    assert sorted(linked) == sorted(ids(span)[1] for span in commits.values())
    assert parent_of(batch) == linked[0], "the first of them"
    for span in commits.values():
        back = [link.context.span_id for link in span.links]
        assert back == ([] if ids(span)[1] == linked[0] else [ids(batch)[1]])


def test_a_store_of_a_cluster_waits_for_it(traced: Traced) -> None:
    with open_nodes() as nodes, nodes.open_at(list(nodes.cluster.members.values())[1]) as store:
        trace(store, traced.provider)
        store.create_bucket("photos")
        with traced.tracer.start_as_current_span("mine"):
            store.put_object("photos", "k", b"x")
        assert {"mine", "cluster.read", "commit"} <= {span.name for span in traced.spans}
        assert "commit.batch" not in {span.name for span in traced.spans}, "others do it"


@pytest.mark.slow
def test_each_attempt_of_a_call_to_a_provider_is_an_event(traced: Traced, tmp_path: Path) -> None:
    with providers.aws(tmp_path / "far") as new_container:
        url, endpoint = new_container()
        proxy = HttpProxy(endpoint)
        try:
            with bleepstore.open(url, catalog=tmp_path / "data", endpoint_url=proxy.url) as store:
                store.create_bucket("photos")
                trace(store, traced.provider)
                busy = iter([True])
                proxy.before = lambda request: Answer(503) if request.method == "PUT" and next(busy, False) else None
                with traced.tracer.start_as_current_span("mine"):
                    store.put_object("photos", "k", LARGE)
        finally:
            proxy.close()
    put = next(span for span in traced.spans if span.name == "blob.put")
    assert [(event.attributes or {})["bleepstore.outcome"] for event in put.events] == ["repeated", "success"]


# -- the app


@pytest.fixture
def public(store: Store) -> Store:
    """Anybody may list the bucket and read what is in it."""
    store.delete_public_access_block("photos")
    store.put_bucket_policy(
        "photos",
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": '
        '["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::photos", "arn:aws:s3:::photos/*"]}]}',
    )
    store.put_object("photos", "ä/1", LARGE)
    return store


def client_of(store: Store, traced: Traced, *, shows_keys: bool = False, **options: object) -> Client:
    monitoring = Monitoring(traces=RequestTraces(traced.provider, shows_keys=shows_keys))
    return Client(create_app(store, AppConfig(), monitoring=monitoring, **options))  # type: ignore[arg-type]  # those of create_app


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_request_is_a_span_named_after_its_operation(public: Store, traced: Traced) -> None:
    records: list[Record] = []
    client = client_of(public, traced, record=records.append)
    headers = {"traceparent": PARENT, "tracestate": "vendor=1, other=2", "User-Agent": "u" * 1000}
    assert client.get("/photos/%C3%A4/1", headers=headers, buffered=True).status_code == 200
    spans = traced.take()
    assert set(spans) == {"GetObject", "blob.get"}
    span = spans["GetObject"]
    assert span.kind is SpanKind.SERVER
    assert span.parent is not None
    assert (ids(span)[0], span.parent.span_id) == (int(PARENT[3:35], 16), int(PARENT[36:52], 16))
    assert span.context is not None
    assert span.context.trace_state.get("vendor") == "1"
    assert parent_of(spans["blob.get"]) == ids(span)[1]
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.route": "/{bucket}/{key}",
        "http.response.status_code": 200,
        "http.request.body.size": 0,
        "http.response.body.size": len(LARGE),
        "user_agent.original": "u" * 256,
        "aws.request_id": records[0].request_id,
        "aws.s3.bucket": "photos",
        "rpc.system": "aws-api",
        "rpc.service": "S3",
        "rpc.method": "GetObject",
        "bleepstore.key_length": 4,
        **({"client.address": records[0].remote} if records[0].remote else {}),
    }
    assert records[0].trace_id == PARENT[3:35]
    assert api.get_current_span() is api.INVALID_SPAN, "the thread goes on with others"


def test_keys_are_shown_if_that_is_asked_for(public: Store, traced: Traced) -> None:
    client_of(public, traced, shows_keys=True).get("/photos/%C3%A4/1", buffered=True)
    attributes = traced.take()["GetObject"].attributes or {}
    assert attributes["aws.s3.key"] == "ä/1"
    assert "bleepstore.key_length" not in attributes


def test_refusals_have_their_code_and_faults_of_the_server_are_errors(
    public: Store, traced: Traced, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_of(public, traced)
    assert client.get("/photos/none", buffered=True).status_code == 404
    span = traced.take()["GetObject"]
    assert ((span.attributes or {})["error.type"], span.status.status_code) == ("NoSuchKey", StatusCode.UNSET)
    assert client.open("/photos", method="BREW", buffered=True).status_code == 405
    assert (traced.take()["HTTP"].attributes or {})["http.request.method"] == "_OTHER"
    public.close()
    caplog.clear()
    assert client.get("/photos/k", buffered=True).status_code >= 500
    span = traced.take()["GetObject"]
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == (span.attributes or {})["error.type"]
    told = {getattr(record, "trace_id", None) for record in caplog.records if record.name == "bleepstore.server"}
    assert told == {api.format_trace_id(ids(span)[0])}, "its log names the trace"


def test_where_opentelemetry_is_switched_off_nothing_is_said_of_traces(
    public: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    records: list[Record] = []
    client = client_of(public, Traced(), record=records.append)
    assert client.get("/photos/none", buffered=True).status_code == 404
    assert [record.trace_id for record in records] == [None]


HOSTILE = {
    "empty": "",
    "no ids": "00--",
    "zero trace": f"00-{'0' * 32}-b7ad6b7169203331-01",
    "zero span": f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
    "upper case": PARENT.upper(),
    "version ff": "ff" + PARENT[2:],
    "no hex": PARENT.replace("a", "g"),
    "too short": PARENT[:-1],
    "more": PARENT + "-00",
    "a line": PARENT + "\t",
    "10 KB": PARENT + "-" + "a" * 10_000,
    "latin-1": PARENT[:-2] + "é1",
    "other digits": PARENT[:-2] + "²1",
}


@pytest.mark.parametrize("header", HOSTILE.values(), ids=HOSTILE)
def test_a_parent_that_is_none_is_ignored_without_a_word(
    store: Store, traced: Traced, caplog: pytest.LogCaptureFixture, header: str
) -> None:
    with caplog.at_level(logging.DEBUG, "opentelemetry"):
        environ = {"HTTP_TRACEPARENT": header, "HTTP_TRACESTATE": "vendor=1"}
        assert client_of(store, traced).get("/photos/k", environ_overrides=environ, buffered=True).status_code == 403
    span = traced.take()["GetObject"]
    assert span.parent is None
    assert span.context is not None
    assert not span.context.trace_state
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


MANY = ",".join(f"k{number}=1" for number in range(33))


@pytest.mark.parametrize(
    "state",
    ["=", "a", "A=1", "a=\x01", "a=é", "a=1,a", MANY, "a=" + "1" * 10_000, "a=1\r\nb=2"],
    ids=["no name", "no value", "upper case", "control", "latin-1", "half", "33", "10 KB", "lines"],
)
def test_a_state_that_is_none_is_left_out(
    store: Store, traced: Traced, caplog: pytest.LogCaptureFixture, state: str
) -> None:
    with caplog.at_level(logging.DEBUG, "opentelemetry"):
        environ = {"HTTP_TRACEPARENT": PARENT, "HTTP_TRACESTATE": state}
        client_of(store, traced).get("/photos/k", environ_overrides=environ, buffered=True)
    span = traced.take()["GetObject"]
    assert span.parent is not None, "the parent is good"
    assert span.context is not None
    assert not span.context.trace_state
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


def test_a_client_that_is_not_followed_is_not(store: Store, traced: Traced) -> None:
    client_of(store, traced).get("/photos/k", headers={"traceparent": PARENT[:-1] + "0"}, buffered=True)
    assert not traced.spans


def test_pages_are_not_followed(store: Store, traced: Traced) -> None:
    client = client_of(store, traced)
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
    assert not traced.spans


def test_an_answer_that_is_given_up_ends_its_span(public: Store, traced: Traced) -> None:
    answer = client_of(public, traced).get("/photos/%C3%A4/1", buffered=False)
    assert "GetObject" not in {span.name for span in traced.spans}, "its body is not sent yet"
    answer.close()
    assert "GetObject" in traced.take()


OFF = """
import sys
import bleepstore
from werkzeug.test import Client
from bleepstore_server import create_app

with bleepstore.open() as store:
    store.create_bucket("photos")
    assert Client(create_app(store)).get("/photos/k").status_code == 403
assert not [name for name in sys.modules if name.startswith(("opentelemetry", "bleepstore.traces"))]
"""


def test_where_nothing_is_followed_nothing_is_imported() -> None:
    subprocess.run([sys.executable, "-c", OFF], check=True)
