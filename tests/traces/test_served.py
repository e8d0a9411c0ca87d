"""Traces of a real server: by `bleepstore serve --traces`, to a collector, or to none."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.admin.test_listener import admin_url
from tests.admin.test_metrics import scrape, scrape_until, value
from tests.backends.emulators import free_port
from tests.serving.conftest import Served, start
from tests.traces.collector import Collector, SentSpan

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: Batches are sent after so many milliseconds.
SOON, NEVER = "50", "3600000"


def parent(number: int) -> str:
    return f"00-{number:032x}-{number:016x}-01"


def client(served: Served, number: int) -> S3Client:
    """A client whose requests are all parts of the trace of this number."""
    found = served.client()

    def add(request: Any, **_event: object) -> None:
        request.headers["traceparent"] = parent(number)

    found.meta.events.register("before-send.s3", add)
    return found


def traced(folder: Path, collector: str, *arguments: str, before: str | None = None, **environ: str) -> Served:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_BSP_SCHEDULE_DELAY": SOON, **environ}
    return start(folder / "data", "--traces", *arguments, environ=variables, before=before)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as found:
        yield found


def named(spans: list[SentSpan], name: str) -> list[SentSpan]:
    return [span for span in spans if span.name == name]


def test_each_request_is_followed_to_the_disk_and_none_is_mixed_with_another(
    collector: Collector, tmp_path: Path
) -> None:
    audit = tmp_path / "audit.log"
    served = traced(tmp_path, collector.url, "--workers", "2", "--audit-log", str(audit), "--access-log")
    try:
        served.client().create_bucket(Bucket="photos")

        def work(number: int) -> None:
            s3 = client(served, number)
            for key in ("small", "large"):
                s3.put_object(Bucket="photos", Key=f"{key}-{number}", Body=b"x" * (100 if key == "small" else 200_000))
                s3.get_object(Bucket="photos", Key=f"{key}-{number}")["Body"].read()

        numbers = range(1, 9)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, numbers))
        wanted = len(numbers) * 2
        spans = collector.wait(
            lambda spans: len(named(spans, "GetObject")) == wanted and len(named(spans, "PutObject")) == wanted
        )
        scrape_until(admin_url(served), len(spans), "bleepstore_spans_sent_total")
        assert served.process.stdout is not None
        line = next(text for text in iter(served.process.stdout.readline, "") if text.startswith("{"))
        assert json.loads(line)["trace_id"] in {span.trace for span in spans}
    finally:
        served.end()
    ids = {span.id: span for span in spans}
    for number in numbers:
        trace = parent(number)[3:35]
        puts = [span for span in named(spans, "PutObject") if span.trace == trace]
        assert len(puts) == 2
        for put in puts:
            assert put.parent == f"{number:016x}"
            assert put.attributes["http.response.status_code"] == 200
            below = {span.name: span for span in spans if span.parent == put.id}
            assert set(below) in ({"commit"}, {"blob.put", "commit"})
            assert {span.trace for span in below.values()} == {trace}
            assert below["commit"].attributes["bleepstore.command"] == "PutObject"
    commits = {span.id for span in named(spans, "commit")}
    batches = named(spans, "commit.batch")
    assert set().union(*(batch.links for batch in batches)) == commits, "each change is in a batch"
    assert sum(len(batch.links) for batch in batches) == len(commits), "once"
    assert all(ids[batch.parent].trace == batch.trace for batch in batches)
    assert {span.parent for span in named(spans, "commit.fsync")} <= {batch.id for batch in batches}
    assert {span.service for span in spans} == {"bleepstore"}
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    traces = {line["request_id"]: line["trace_id"] for line in lines if line["operation"] == "PutObject"}
    assert traces == {span.attributes["aws.request_id"]: span.trace for span in named(spans, "PutObject")}


def test_what_waits_is_sent_at_the_end(collector: Collector, tmp_path: Path) -> None:
    served = traced(tmp_path, collector.url, "--workers", "1", OTEL_BSP_SCHEDULE_DELAY=NEVER, OTEL_SERVICE_NAME="shop")
    s3 = served.client()
    s3.create_bucket(Bucket="photos")
    with pytest.raises(ClientError):
        s3.get_object(Bucket="photos", Key="none")
    assert not collector.spans
    assert served.stop() == 0
    spans = collector.spans
    (made,), (missing,) = named(spans, "CreateBucket"), named(spans, "GetObject")
    assert not made.parent
    assert (missing.attributes["error.type"], missing.is_error) == ("NoSuchKey", False)
    assert made.service == "shop"


def test_without_a_collector_requests_go_on_and_what_is_dropped_is_counted(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    waits_less = "from bleepstore_server.traces import exporting; exporting.CLOSING_SECONDS = 0.1"
    variables = {"OTEL_BSP_MAX_QUEUE_SIZE": "8", "OTEL_EXPORTER_OTLP_TIMEOUT": "3600"}
    served = traced(tmp_path, nobody, "--workers", "1", before=waits_less, **variables)
    with contextlib.ExitStack() as stack:
        stack.callback(served.end)
        s3 = served.client()
        s3.create_bucket(Bucket="photos")
        for number in range(20):
            s3.put_object(Bucket="photos", Key=f"k{number}", Body=b"x")
        scrape_until(admin_url(served), 1, "bleepstore_spans_dropped_total")
        assert value(scrape(admin_url(served)), "bleepstore_spans_sent_total") == 0
        assert served.stop() == 0, "it does not wait for the collector"
