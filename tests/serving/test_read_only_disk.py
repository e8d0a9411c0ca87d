"""A store that is copied after its server ended, and one that is served from a disk that is mounted read-only."""

from __future__ import annotations

import shutil
import subprocess
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
