"""A store that is copied after its server ended, and one that is served from a disk that is mounted read-only."""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

import bleepstore
from bleepstore.errors import StoreError
from tests.serving.conftest import Served

Serve = Callable[..., Served]


def test_after_sigterm_the_database_file_alone_is_the_catalog(serve: Serve, tmp_path: Path) -> None:
    served = serve("--workers", "2")
    s3 = served.client()
    s3.create_bucket(Bucket="photos")
    for number in range(20):
        s3.put_object(Bucket="photos", Key=f"{number}", Body=b"small")
    assert served.stop() == 0
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(served.data / "catalog.db", copy)
    with bleepstore.open(copy) as store:
        assert len(store.list_objects("photos").objects) == 20


@pytest.mark.parametrize("disk", ["writable", "read-only"])
def test_serve_read_only(serve: Serve, tmp_path: Path, disk: str) -> None:
    data = tmp_path / "data"
    with bleepstore.open(data) as store:
        store.create_bucket("photos")
        for key, body in (("small", b"s"), ("large", b"l" * 100_000)):
            store.put_object("photos", key, body)
    mounted = disk == "read-only"
    if mounted:
        bind = ["mount", "--bind", str(data), str(data)]
        if subprocess.run(bind, check=False, capture_output=True).returncode:
            pytest.skip("only root mounts a disk read-only")
    try:
        if mounted:
            subprocess.run(["mount", "-o", "remount,ro,bind", str(data)], check=True)
            with pytest.raises(StoreError, match="serve --read-only"):
                bleepstore.open(data)
        served = serve("--read-only", "--workers", "2", data=data)
        s3 = served.client()
        assert s3.get_object(Bucket="photos", Key="large")["Body"].read() == b"l" * 100_000
        assert len(s3.list_objects_v2(Bucket="photos")["Contents"]) == 2
        for write in (
            lambda: s3.put_object(Bucket="photos", Key="small", Body=b"x"),
            lambda: s3.put_object(Bucket="photos", Key="k", Body=b"x" * 100_000),
            lambda: s3.delete_object(Bucket="photos", Key="small"),
            lambda: s3.create_bucket(Bucket="other"),
        ):
            with pytest.raises(ClientError, match=r"AccessDenied.*served read-only"):
                write()
        with urllib.request.urlopen(f"{served.url}/readyz") as answer:
            assert answer.status == 200
        served.stop()
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(data)], check=True)


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


def mount(*words: str) -> None:
    if subprocess.run(["mount", *words], check=False, capture_output=True).returncode:
        pytest.skip("only root mounts disks")


@pytest.mark.parametrize("state", ["full", "read-only"])
def test_readyz_fails_when_nothing_can_be_written(serve: Serve, tmp_path: Path, state: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(32 * 1024 * 1024)
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("this machine makes no ext4")
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    mount("-o", "loop", str(image), str(disk))
    try:
        served = serve("--workers", "1", data=disk / "data")
        s3 = served.client()
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="k", Body=b"x" * 100_000)
        assert status_of(f"{served.url}/readyz") == 200
        if state == "full":
            free = shutil.disk_usage(disk).free
            (disk / "other").write_bytes(b"x" * (free - 2 * 1024 * 1024))
        else:  # as after an error of the disk
            subprocess.run(["mount", "-o", "remount,abort", str(disk)], check=True)
        assert status_of(f"{served.url}/readyz") == 503
        assert status_of(f"{served.url}/healthz") == 200
        with pytest.raises(ClientError) as refused:
            s3.put_object(Bucket="photos", Key="l", Body=b"x" * 100_000)
        expected = ("InsufficientStorage", 507) if state == "full" else ("ServiceUnavailable", 503)
        answer = refused.value.response
        assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == expected
        assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"x" * 100_000
        if state == "full":
            (disk / "other").unlink()
            assert status_of(f"{served.url}/readyz") == 200
            s3.put_object(Bucket="photos", Key="l", Body=b"x" * 100_000)
        served.stop()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_log_on_a_read_only_disk_is_named(tmp_path: Path) -> None:
    """A crash left it; SQLite would have to write to read it."""
    data = tmp_path / "data"
    script = (
        "import os, sys, bleepstore\nstore = bleepstore.open(sys.argv[1])\nstore.create_bucket('photos')\nos._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(data)], check=True)
    (data / "catalog.db-shm").unlink()
    mount("--bind", str(data), str(data))
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(data)], check=True)
        with pytest.raises(StoreError, match=r"catalog\.db-wal.*open it once where it can be written"):
            bleepstore.open(data, read_only=True)
    finally:
        subprocess.run(["umount", "-l", str(data)], check=True)
