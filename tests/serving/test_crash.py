"""SIGKILL in the middle of writes: the acknowledged is there, nothing is half there, nothing is left over."""

from __future__ import annotations

import hashlib
import itertools
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
from botocore.exceptions import BotoCoreError, ClientError

import bleepstore
from tests.serving.conftest import Served

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Serve = Callable[..., Served]
BUCKET = "crash"
WRITERS = 4
KEYS = 5
PART = 5 * 1024 * 1024


@attrs.define
class Known:
    """What a writer knows of a key: the digests that a reader may find (None: no such key)."""

    certain: str | None = None
    maybe: set[str | None] = attrs.field(factory=set)

    def begin(self, outcome: str | None) -> None:
        self.maybe = {outcome}

    def acknowledge(self, outcome: str | None) -> None:
        self.certain, self.maybe = outcome, set()

    def resolve(self, found: str | None) -> None:
        assert found == self.certain or found in self.maybe
        self.acknowledge(found)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Writer:
    """Writes, overwrites, uploads in parts and deletes keys of its own until the server is gone."""

    def __init__(self, s3: S3Client, name: str, seed: int, known: dict[str, Known], acknowledged: threading.Semaphore):
        self.name = name
        self.thread = threading.Thread(target=self._run)
        self._s3 = s3
        self._chance = random.Random(seed)
        self._known = known
        self._acknowledged = acknowledged
        self.unexpected: Exception | None = None

    def _run(self) -> None:
        try:
            while True:
                key = f"{self.name}/{self._chance.randrange(KEYS)}"
                step = self._chance.choices([self._put, self._upload, self._delete, self._create], [8, 1, 3, 2])[0]
                step(key, self._known.setdefault(key, Known()))
                self._acknowledged.release()
        except BotoCoreError:
            """The server is gone, as it should be."""
        except Exception as error:  # noqa: BLE001  # the main thread fails with it
            self.unexpected = error

    def _bytes(self) -> bytes:
        return self._chance.randbytes(self._chance.choice([0, 100, 10_000, 100_000, 400_000]))

    def _put(self, key: str, known: Known) -> None:
        data = self._bytes()
        known.begin(digest(data))
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=data)
        known.acknowledge(digest(data))

    def _create(self, key: str, known: Known) -> None:
        data = self._bytes()
        known.begin(digest(data))
        if known.certain is None:
            self._s3.put_object(Bucket=BUCKET, Key=key, Body=data, IfNoneMatch="*")
            known.acknowledge(digest(data))
        else:
            # Of an answer that the kill cut off botocore shows the status alone.
            with pytest.raises(ClientError, match=r"PreconditionFailed|\(412\)"):
                self._s3.put_object(Bucket=BUCKET, Key=key, Body=data, IfNoneMatch="*")
            known.acknowledge(known.certain)

    def _upload(self, key: str, known: Known) -> None:
        parts = [self._chance.randbytes(PART), self._bytes()]
        upload = self._s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        etags = [
            self._s3.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=number, Body=part)["ETag"]
            for number, part in enumerate(parts, start=1)
        ]
        known.begin(digest(b"".join(parts)))
        self._s3.complete_multipart_upload(
            Bucket=BUCKET,
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, start=1)]},
        )
        known.acknowledge(digest(b"".join(parts)))

    def _delete(self, key: str, known: Known) -> None:
        known.begin(None)
        self._s3.delete_object(Bucket=BUCKET, Key=key)
        known.acknowledge(None)


def read(s3: S3Client, key: str) -> str | None:
    """The digest of an object whose length and ETag fit, or None if there is none."""
    try:
        answer = s3.get_object(Bucket=BUCKET, Key=key)
    except s3.exceptions.NoSuchKey:
        return None
    data = answer["Body"].read()
    assert len(data) == answer["ContentLength"]
    if "-" not in answer["ETag"]:
        assert answer["ETag"].strip('"') == hashlib.md5(data).hexdigest()
    return digest(data)


def crash(serve: Serve, seed: int, known: dict[str, Known]) -> None:
    """One round: write until enough was acknowledged, and kill the server wherever it is then."""
    chance = random.Random(seed)
    served = serve("--workers", "2")
    clients = [served.client() for _ in range(WRITERS)]
    if not known:
        clients[0].create_bucket(Bucket=BUCKET)
    acknowledged = threading.Semaphore(0)
    writers = [
        Writer(client, f"writer-{number}", chance.randrange(1 << 30), known, acknowledged)
        for number, client in enumerate(clients)
    ]
    for writer in writers:
        writer.thread.start()
    for _ in range(chance.randrange(20, 120)):
        assert acknowledged.acquire(timeout=60)
    served.kill()
    for writer in writers:
        writer.thread.join(timeout=120)
        assert writer.unexpected is None, writer.unexpected
    again = serve("--workers", "2")
    s3 = again.client()
    for key, state in known.items():
        state.resolve(read(s3, key))
    listed = {
        entry["Key"]
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        for entry in page.get("Contents", [])
    }
    assert listed == {key for key, state in known.items() if state.certain is not None}
    assert again.stop() == 0


def check_nothing_is_left_over(data: Path) -> None:
    """After the recovery at start-up and a sweep, every stored blob is one that the catalog refers to."""
    with bleepstore.open(data) as store:
        for upload in store.list_uploads(BUCKET).uploads:
            store.abort_upload(BUCKET, upload.key, upload.upload_id)
        store.sweep()
        stored = list(store.engine.backend.iter_blobs(0, 1 << 60))
        with store.engine.catalog.read() as reader:
            assert [handle for handle in stored if not reader.is_referenced(handle)] == []
            assert reader.list_garbage(1) == []
    on_disk = {path.name for path in (data / "blobs").glob("*/*")}
    assert on_disk == set(stored)
    assert list((data / "tmp").iterdir()) == []
    assert not (data / "quarantine").exists(), "what a kill interrupts is no sign of an older catalog"


def run_rounds(serve: Serve, tmp_path: Path, rounds: int, first_seed: int) -> None:
    known: dict[str, Known] = {}
    for seed in itertools.islice(itertools.count(first_seed), rounds):
        print(f"crash round with seed {seed}")  # noqa: T201  # shown when it fails
        crash(serve, seed, known)
    check_nothing_is_left_over(tmp_path / "data")


def test_two_crashes(serve: Serve, tmp_path: Path) -> None:
    run_rounds(serve, tmp_path, 2, first_seed=1)


@pytest.mark.slow
def test_fifty_crashes(serve: Serve, tmp_path: Path) -> None:
    run_rounds(serve, tmp_path, 50, first_seed=100)
