"""Encryption with real server processes, which share their keys."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.serving.conftest import Served

AES: Any = {"ServerSideEncryption": "AES256"}
BODY = bytes(range(256)) * 2000


def test_workers_share_the_file_of_keys_which_the_start_names(serve: Callable[..., Served], tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = serve("--workers", "2", data=data)
    assert "encryption" not in first.banner
    s3 = first.client()
    s3.create_bucket(Bucket="photos")
    for number in range(6):
        s3.put_object(Bucket="photos", Key=f"{number}", Body=BODY, **AES)
    for number in range(6):
        assert s3.get_object(Bucket="photos", Key=f"{number}")["Body"].read() == BODY
        assert s3.get_object(Bucket="photos", Key=f"{number}", Range="bytes=-9")["Body"].read() == BODY[-9:]
    s3.close()
    first.stop()
    keys = data / "encryption.keys"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert len(keys.read_text().splitlines()) == 1
    second = serve(data=data)
    assert f"encryption  with the keys in {keys}: keep a copy\n" in second.banner
    s3 = second.client()
    assert s3.get_object(Bucket="photos", Key="0")["Body"].read() == BODY
    s3.close()


def test_keys_of_the_configuration(serve: Callable[..., Served], tmp_path: Path) -> None:
    key = base64.b64encode(os.urandom(32)).decode()
    served = serve(environ={"BLEEPSTORE_ENCRYPTION_KEYS": f"store {key}, orders {key}"})
    assert "encryption  with the keys of the configuration" in served.banner
    assert key not in served.banner
    s3 = served.client()
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="k", Body=BODY, ServerSideEncryption="aws:kms", SSEKMSKeyId="alias/orders")
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == BODY
    s3.close()
    assert not (served.data / "encryption.keys").exists()
