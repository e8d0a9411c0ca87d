"""A real Prometheus scrapes a server, and the dashboard's queries find something."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from bleepstore_server.metrics.exposition import Metrics
from tests.admin.test_listener import admin_url, ask
from tests.backends.emulators import free_port
from tests.clients.conftest import need
from tests.cluster_store import open_nodes
from tests.serving.conftest import Served, serve

__all__ = ["serve"]

FILES = files("bleepstore_server.admin") / "files"
#: What only a store at a provider, on a cluster, or one that sends events, has.
ELSEWHERE = ("gateway_calls", "events_", "bleepstore_raft_")


def promtool() -> Path:
    return need("prometheus").with_name("promtool")


def expressions() -> list[str]:
    """Of the dashboard, as Grafana sends them."""
    dashboard = json.loads((FILES / "grafana-dashboard.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    names = {"$job": "bleepstore", "$instance": ".*", "$__rate_interval": "5s"}
    for name, text in names.items():
        found = [expression.replace(name, text) for expression in found]
    return found


def test_the_alert_rules_are_valid(tmp_path: Path) -> None:
    rules = tmp_path / "prometheus-alerts.yml"
    rules.write_text((FILES / "prometheus-alerts.yml").read_text())
    checked = subprocess.run(
        [promtool(), "check", "rules", "--lint-fatal", rules], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_the_metrics_are_named_as_prometheus_wants_them(serve: Callable[..., Served]) -> None:
    served = serve("--workers", "1")
    served.client().create_bucket(Bucket="photos")
    document = ask(admin_url(served) + "/metrics")[2]
    checked = subprocess.run([promtool(), "check", "metrics"], input=document, capture_output=True, check=False)
    told = checked.stdout.decode() + checked.stderr.decode()
    # These names are those of the original BleepStore, of gauges that others call a total.
    lines = [line for line in told.splitlines() if "_total" not in line]
    assert lines == [], told


def test_the_metrics_of_a_cluster_are_named_so_too() -> None:
    with open_nodes() as nodes, nodes.open_at(next(iter(nodes.cluster.members.values()))) as store:
        document = Metrics(store).render("")[0]
    assert b"bleepstore_raft_role" in document
    checked = subprocess.run([promtool(), "check", "metrics"], input=document, capture_output=True, check=False)
    lines = (checked.stdout + checked.stderr).decode().splitlines()
    assert [line for line in lines if "raft" in line] == []


class Prometheus:
    def __init__(self, url: str) -> None:
        self._url = url

    def is_ready(self) -> bool:
        """Until then it refuses queries."""
        return ask(f"{self._url}/-/ready")[0] == 200

    def ask(self, path: str, **query: str) -> Any:
        status, _headers, body = ask(f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(query)}")
        assert status == 200, body
        return json.loads(body)["data"]

    def series(self, expression: str) -> list[Any]:
        found: list[Any] = self.ask("query", query=expression)["result"]
        return found


@pytest.fixture
def scraping(serve: Callable[..., Served], tmp_path: Path) -> Iterator[tuple[Served, Prometheus]]:
    program = need("prometheus")
    served = serve("--workers", "2", "--audit-log", str(tmp_path / "audit.log"))
    target = admin_url(served).removeprefix("http://")
    rules = tmp_path / "rules.yml"
    rules.write_text((FILES / "prometheus-alerts.yml").read_text())
    config = tmp_path / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{rules}]\n"
        f"scrape_configs: [{{job_name: bleepstore, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    port = free_port()
    command: list[str | Path] = [program, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    prometheus = Prometheus(f"http://127.0.0.1:{port}")
    try:
        until(prometheus.is_ready)
        yield served, prometheus
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_the_queries_of_the_dashboard_give_series(scraping: tuple[Served, Prometheus]) -> None:
    served, prometheus = scraping
    s3 = served.client()
    s3.create_bucket(Bucket="photos")
    until(lambda: prometheus.series("up{job='bleepstore'} == 1"))

    def work() -> bool:
        for number in range(5):
            s3.put_object(Bucket="photos", Key=f"k{number}", Body=b"x" * 100_000)
            s3.get_object(Bucket="photos", Key=f"k{number}")["Body"].read()
        ask(f"{served.url}/photos/denied")
        return len(prometheus.series("rate(bleepstore_s3_errors_total[5s]) > 0")) > 0

    until(work)
    missing = [one for one in expressions() if not prometheus.series(one) and not any(n in one for n in ELSEWHERE)]
    assert missing == []
    (rules,) = prometheus.ask("rules")["groups"]
    assert {rule["health"] for rule in rules["rules"]} == {"ok"}
    assert [alert for alert in prometheus.ask("alerts")["alerts"] if alert["state"] == "firing"] == []
