"""Access logs of buckets over a server's end, and what is delivered again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import bleepstore
from bleepstore import ConfigurationKind
from bleepstore.access_log import LogEntry
from bleepstore.store.engine import LOG_FOLDER
from tests.serving.conftest import Served, certificate, serve

__all__ = ["certificate", "serve"]

POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:PutObject",
     "Principal": {"Service": "logging.s3.amazonaws.com"}, "Resource": "arn:aws:s3:::logs/*"}]}
)  # fmt: skip


def prepare(store: bleepstore.Store) -> None:
    for bucket in ("photos", "logs"):
        store.create_bucket(bucket)
    store.put_bucket_policy("logs", POLICY)
    enabled = {"TargetBucket": "logs", "TargetPrefix": ""}
    store.put_bucket_configuration("photos", ConfigurationKind.LOGGING, {"LoggingEnabled": enabled})


def logged_keys(store: bleepstore.Store) -> list[str]:
    keys = []
    for listed in store.iter_objects("logs"):
        with store.get_object("logs", listed.key) as stored:
            keys += [line.split()[8] for line in stored.read().decode().splitlines()]
    return sorted(keys)


def test_what_a_killed_server_noted_is_delivered_by_the_next(serve: Callable[..., Served], tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "data") as store:
        prepare(store)
    server = serve("--workers", "2")
    s3 = server.client()
    for number in range(20):
        s3.put_object(Bucket="photos", Key=f"{number:02}", Body=b"")
    server.kill()
    with bleepstore.open(tmp_path / "data") as store:
        store.jobs.run("access-logs")
        found = logged_keys(store)
        # An answer is noted once it is sent: the last one may be missing.
        assert found[:19] == [f"{number:02}" for number in range(19)]
        assert len(set(found)) == len(found)
        assert list((tmp_path / "data" / LOG_FOLDER).iterdir()) == []


@pytest.mark.slow
def test_the_log_tells_how_a_connection_is_encrypted(
    serve: Callable[..., Served], certificate: Path, tmp_path: Path
) -> None:
    with bleepstore.open(tmp_path / "data") as store:
        prepare(store)
    server = serve("--workers", "1", certificate=certificate)
    for _ in range(2):
        server.client().head_bucket(Bucket="photos")
    server.stop()
    with bleepstore.open(tmp_path / "data") as store:
        store.jobs.run("access-logs")
        (listed, *_) = store.iter_objects("logs")
        with store.get_object("logs", listed.key) as stored:
            line = stored.read().decode().splitlines()[0]
    assert re.search(r" SigV4 TLS_\w+ AuthHeader 127.0.0.1:\d+ TLSv1.3 - - -$", line), line


def test_what_is_delivered_again_replaces_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bleepstore.open(tmp_path / "data") as store:
        prepare(store)
        store.access_logs.add("photos", [LogEntry(time_ms=0, operation="REST.GET.OBJECT", key="a")])
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", lambda *_args, **_options: 1 / 0)  # as if the process ended here
            with pytest.raises(ZeroDivisionError):
                store.jobs.run("access-logs")
        assert logged_keys(store) == ["a"]
        store.jobs.run("access-logs")
        assert logged_keys(store) == ["a"]
