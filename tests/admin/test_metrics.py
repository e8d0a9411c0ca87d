"""The metrics of a real server with two workers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from prometheus_client.parser import text_string_to_metric_families

from tests.admin.test_listener import admin_url, ask, raw
from tests.serving.conftest import Served, serve, start

__all__ = ["serve"]

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    status, headers, body = ask(url + "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def scrape_until(url: str, count: float, name: str, **labels: str) -> Samples:
    """What is there once a sample is so many: a request is counted when its answer is done, which its client may know
    before."""
    deadline = time.monotonic() + 30
    while value(samples := scrape(url), name, **labels) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return samples


def value(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples that have these labels among theirs."""
    wanted = frozenset(labels.items())
    return sum(number for (known, theirs), number in samples.items() if known == name and wanted <= theirs)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = start(tmp_path_factory.mktemp("metrics") / "data", "--workers", "2")
    yield server
    server.end()


def work(served: Served, bucket: str) -> None:
    """12 PUTs and GETs by four clients, each with a connection of its own, that both workers get some."""

    def some(first: int) -> None:
        with contextlib.closing(served.client()) as s3:
            for number in range(first, first + 3):
                s3.put_object(Bucket=bucket, Key=f"k{number}", Body=b"x" * 1000)
                s3.get_object(Bucket=bucket, Key=f"k{number}")["Body"].read()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(some, range(0, 12, 3)))


def test_counters_add_up_over_the_workers(served: Served) -> None:
    url = admin_url(served)
    s3 = served.client()
    before = scrape(url)
    s3.create_bucket(Bucket="photos")
    work(served, "photos")
    with pytest.raises(ClientError):
        s3.get_object(Bucket="photos", Key="missing")
    gets = value(before, "bleepstore_s3_operations_total", operation="GetObject")
    after = scrape_until(url, gets + 13, "bleepstore_s3_operations_total", operation="GetObject")

    def grown(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    key = "/{bucket}/{key}"
    assert grown("bleepstore_http_requests_total", method="PUT", path=key, status="200") == 12
    assert grown("bleepstore_http_requests_total", method="GET", path=key, status="200") == 12
    assert grown("bleepstore_http_requests_total", method="GET", path=key, status="404") == 1
    assert grown("bleepstore_http_requests_total", method="PUT", path="/{bucket}", status="200") == 1
    assert grown("bleepstore_s3_operations_total", operation="PutObject", status="200") == 12
    assert grown("bleepstore_s3_operations_total", operation="GetObject", status="404") == 1
    assert grown("bleepstore_s3_errors_total", code="NoSuchKey") == 1
    assert grown("bleepstore_http_request_duration_seconds_count", method="PUT", path=key) == 12
    assert grown("bleepstore_http_request_duration_seconds_bucket", method="PUT", path=key, le="+Inf") == 12
    assert grown("bleepstore_http_response_size_bytes_sum", method="GET", path=key) >= 12_000
    assert grown("bleepstore_http_request_size_bytes_bucket", method="PUT", path=key, le="256") == 0
    assert grown("bleepstore_http_request_size_bytes_bucket", method="PUT", path=key, le="4096") == 12
    # What has no body is among the smallest.
    assert grown("bleepstore_http_request_size_bytes_bucket", method="GET", path=key, le="256") == 13
    assert grown("bleepstore_http_response_size_bytes_bucket", method="PUT", path=key, le="256") == 12
    assert grown("bleepstore_http_response_size_bytes_bucket", method="GET", path=key, le="+Inf") == 13
    assert grown("bleepstore_bytes_received_total") >= 12_000
    assert grown("bleepstore_bytes_sent_total") >= 12_000
    assert grown("bleepstore_objects_total") == 12
    assert grown("bleepstore_buckets_total") == 1
    assert grown("bleepstore_stored_bytes") == 12_000
    assert grown("bleepstore_commit_batch_size_sum") >= 13
    assert 0 < grown("bleepstore_fsync_duration_seconds_sum") <= grown("bleepstore_commit_duration_seconds_sum")
    assert value(after, "bleepstore_workers") == 2
    assert value(after, "bleepstore_catalog_wal_bytes") > 0
    assert value(after, "process_open_fds") > 0
    assert value(after, "process_cpu_seconds_total") > 0
    assert value(after, "bleepstore_disk_free_bytes") > 0


def test_what_is_under_way_is_shown(served: Served) -> None:
    url = admin_url(served)
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(b"PUT /photos/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
        # Nobody signed, so it is refused, and what is left of its body is waited for.
        scrape_until(url, 1, "bleepstore_requests_in_flight")
        assert value(scrape(url), "bleepstore_connections") >= 1


def test_what_is_refused_before_it_is_a_request_is_counted(served: Served) -> None:
    url = admin_url(served)
    before = value(scrape(url), "bleepstore_s3_errors_total", code="BadRequest")
    raw(served.url, b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n")
    scrape_until(url, before + 1, "bleepstore_s3_errors_total", code="BadRequest")


def workers_of(served: Served) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(served.process.pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def test_no_count_is_lost_when_a_worker_is_killed(served: Served) -> None:
    url, s3 = admin_url(served), served.client()
    s3.create_bucket(Bucket="killed")
    gets = value(scrape(url), "bleepstore_s3_operations_total", operation="GetObject")
    work(served, "killed")
    before = scrape_until(url, gets + 12, "bleepstore_s3_operations_total", operation="GetObject")
    killed = workers_of(served)[0]
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while killed in workers_of(served) or len(workers_of(served)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for _ in range(100):
        try:
            s3.head_bucket(Bucket="killed")
            break
        except Exception:  # noqa: BLE001  # the connections of the killed worker end
            continue
    work(served, "killed")
    gets = value(before, "bleepstore_s3_operations_total", operation="GetObject")
    after = scrape_until(url, gets + 12, "bleepstore_s3_operations_total", operation="GetObject")
    for name in ("PutObject", "GetObject"):
        grown = value(after, "bleepstore_s3_operations_total", operation=name) - value(
            before, "bleepstore_s3_operations_total", operation=name
        )
        assert grown == 12


def test_strangers_make_no_series_of_their_own(served: Served) -> None:
    url = admin_url(served)
    ask(served.url + "/metrics-of-a-stranger-1/key")
    before = set(scrape(url))
    for number in range(50):
        ask(f"{served.url}/metrics-of-a-stranger-{number}/key-{number}?versionId={number}")
        ask(f"{served.url}/metrics-of-a-stranger-{number}", f"BREW{number}")
    after = set(scrape(url))
    new = after - before
    assert not [labels for _name, labels in new if "stranger" in str(labels) or "BREW" in str(labels)]
    assert len({labels for _name, labels in new if ("method", "OTHER") in labels}) < 100


def test_openmetrics_for_who_asks_for_it(served: Served) -> None:
    _status, headers, body = ask(admin_url(served) + "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_the_s3_port_has_the_metrics_if_it_is_told_to(serve: Callable[..., Any]) -> None:
    served = serve("--admin-on-s3-port", "--no-admin", "--workers", "1")
    served.client().create_bucket(Bucket="metrics")
    # A scrape does not wait for a count that takes long.
    assert value(scrape_until(served.url, 1, "bleepstore_buckets_total"), "bleepstore_buckets_total") == 1
