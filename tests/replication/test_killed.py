"""Processes that end while versions are on their way from one bucket to the other."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

import bleepstore
from bleepstore.commands import Command, EndReplications, Result
from bleepstore.jobs.parts import Parts
from bleepstore_server.cli import main
from tests.replication.tools import copy_all, make_buckets, replicate, rule, versions
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY, Served

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ENABLED: Any = {"Status": "Enabled"}
PATIENCE = 60.0  # seconds


def make_bucket(client: S3Client, bucket: str, destination: str | None = None) -> None:
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=ENABLED)
    if destination is not None:
        given: Any = {
            "Priority": 1,
            "Filter": {"Prefix": ""},
            "Status": "Enabled",
            "DeleteMarkerReplication": ENABLED,
            "Destination": {"Bucket": f"arn:aws:s3:::{destination}"},
        }
        role = "arn:aws:iam::111122223333:role/replicates"
        client.put_bucket_replication(Bucket=bucket, ReplicationConfiguration={"Role": role, "Rules": [given]})


def to_far(far: Served) -> tuple[str, ...]:
    url = f"s3+http://{ACCESS_KEY}:{SECRET_KEY}@127.0.0.1:{far.port}/far"
    return ("--replication-destinations", f"far={url}")


def history(client: S3Client, bucket: str) -> dict[str, list[tuple[str, str | None]]]:
    """Of each key its versions, the oldest first: (ETag, the id of the version that it is a copy of, or its own)."""
    found: dict[str, list[tuple[str, str | None]]] = {}
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for one in page.get("Versions", []):
            key, version_id = one["Key"], one["VersionId"]
            metadata = client.head_object(Bucket=bucket, Key=key, VersionId=version_id)["Metadata"]
            found.setdefault(key, []).insert(0, (one["ETag"], metadata.get("bleepstore-replica-of", version_id)))
    return found


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)


def test_what_waits_when_a_store_ends_is_copied_by_the_next_that_opens_it(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path) as store:
        make_buckets(store, "photos", "copies")
        replicate(store, "photos", rule())
        with store.jobs.paused():
            store.put_object("photos", "k", b"1")
            store.delete_object("photos", "k")
            written = versions(store, "photos")
            assert versions(store, "copies") == []
    with bleepstore.open(tmp_path) as store:
        wait_until(lambda: store.replication_destinations() == ())
        assert versions(store, "copies") == written


def test_a_copy_that_was_made_and_not_noted_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a kill between the two commands."""
    with bleepstore.open(tmp_path, inline_limit=-1) as store:
        make_buckets(store, "photos", "copies")
        replicate(store, "photos", rule())
        submit, failures = Parts.submit, [1]

        def fail_once(parts: Parts, command: Command) -> Result:
            if isinstance(command, EndReplications) and failures:
                failures.pop()
                raise KeyError("on purpose")
            return submit(parts, command)

        monkeypatch.setattr(Parts, "submit", fail_once)
        store.put_object("photos", "k", b"1")
        store.delete_object("photos", "k")
        while store.replication_destinations():
            copy_all(store)
        assert failures == []
        assert versions(store, "copies") == versions(store, "photos")
        store.sweep(grace=dt.timedelta())
        assert sum(1 for _ in store.engine.backend.iter_blobs(0, 1 << 62)) == 2


def test_the_command_line_has_copied_what_was_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ("--data", str(tmp_path))
    with bleepstore.open(tmp_path) as store:
        make_buckets(store, "photos", "copies")
        store.put_object("photos", "a/1", b"x")
        store.put_object("photos", "b/1", b"x")
        assert main(["replication", "existing", "photos", *data]) != 0
        replicate(store, "photos", rule())
        capsys.readouterr()
        with store.jobs.paused():
            assert main(["replication", "existing", "photos", "--prefix", "a/", *data]) == 0
            assert main(["replication", "show", *data]) == 0
        looked, shown = capsys.readouterr().out.splitlines()
        assert looked.startswith("1 versions of photos were looked at")
        assert shown.startswith("copies\t1 versions\t")
        copy_all(store)
        assert [one[0] for one in versions(store, "copies")] == ["a/1"]


def write_until_killed(served: Served, writer: int, written: list[tuple[str, str]], kill: Callable[[], None]) -> None:
    """Puts the same few keys again and again; keeps (key, version id) of each answer."""
    client = served.client()
    for number in itertools.count():
        key = f"{writer}-{number % 3}"
        try:
            put = client.put_object(Bucket="photos", Key=key, Body=f"{writer} {number}".encode() * 20_000)
        except (BotoCoreError, ClientError):
            return
        written.append((key, put["VersionId"]))
        if len(written) in (40, 80):
            kill()


@pytest.mark.slow
def test_both_ends_are_killed_in_the_stream(serve: Callable[..., Served], tmp_path: Path) -> None:
    """All versions that were answered are there in the end, each once, and of each key in their order."""
    ports = {"far": "0"}
    far = serve(data=tmp_path / "far")
    ports["far"] = str(far.port)
    make_bucket(far.client(), "far")
    near = serve(*to_far(far), "--workers", "2", data=tmp_path / "near")
    make_bucket(near.client(), "photos", "far")
    written: list[tuple[str, str]] = []
    servers = {"far": far, "near": near}

    def kill() -> None:
        """The far end first, which comes back at its port; then the near one."""
        if len(written) < 80:
            servers["far"].kill()
            servers["far"] = serve("--port", ports["far"], data=tmp_path / "far")
        else:
            near.kill()

    with concurrent.futures.ThreadPoolExecutor(2) as writers:
        for done in [writers.submit(write_until_killed, near, writer, written, kill) for writer in range(2)]:
            done.result()
    assert len(written) >= 80
    again = serve(*to_far(servers["far"]), data=tmp_path / "near")
    here, there = again.client(), servers["far"].client()
    wait_until(lambda: history(there, "far") == history(here, "photos"))
    known = {version_id for versions in history(there, "far").values() for _, version_id in versions}
    assert known.issuperset(version_id for _, version_id in written)
    states = [here.head_object(Bucket="photos", Key=key)["ReplicationStatus"] for key in history(here, "photos")]
    wait_until(lambda: all(state == "COMPLETED" for state in states))
