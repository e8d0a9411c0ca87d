"""A small backup tool, as another project would have it: it knows boto3 and nothing of BleepStore.

    chunks/SHA256                what files are made of; a chunk is stored once
    snapshots/TIME-HOST          JSON: {"files": {path: [SHA256, ...]}}
    lock                         HOST UUID; held while a backup or a prune is under way

A chunk is written with `If-None-Match: *`, so two backups never write the same one twice; the lock likewise. What
cannot be verified is never restored.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

CHUNK = 64 * 1024
STALE = dt.timedelta(hours=1)
#: How often to ask for what others keep changing between our questions.
ATTEMPTS = 10

#: What S3 answers when there is nothing, to a read and to a write with If-Match.
MISSING = ("NoSuchKey", "404")


class Locked(Exception):
    """Another backup is under way."""


class Exists(Exception):
    """There is another snapshot of this name."""


class Damaged(Exception):
    """A chunk is missing, or is not what it was."""


def _is(error: ClientError, *codes: str) -> bool:
    return error.response["Error"]["Code"] in codes


class Repository:
    """Backups in a bucket."""

    def __init__(
        self, client: S3Client, bucket: str, host: str = "host", now: Callable[[], dt.datetime] | None = None
    ) -> None:
        self._s3 = client
        self._bucket = bucket
        self._host = host
        self._now = now or (lambda: dt.datetime.now(dt.UTC))

    # -- the lock

    @contextlib.contextmanager
    def _locked(self) -> Iterator[Callable[[], None]]:
        """Hold the lock; gives a check, which raises Locked once another may have taken ours for left behind."""
        taken = self._now()
        etag = self._lock()

        def check() -> None:
            if self._now() - taken >= STALE:
                raise Locked("our own lock is so old that another may have taken it over")

        try:
            yield check
        finally:
            self._unlock(etag)

    def _lock(self) -> str:
        """The ETag of our lock. One that is older than an hour is taken over; of two that try, one succeeds.

        Between two requests others lock and unlock, so every answer but "it is held" means: look again.
        """
        body = f"{self._host} {uuid.uuid4()}".encode()  # no two locks have one ETag
        replaced: dict[str, str] = {"IfNoneMatch": "*"}
        for _ in range(ATTEMPTS):
            etag = self._put_if("lock", body, replaced)
            if etag is not None:
                return etag
            found = self._find("lock")
            if found is None:
                replaced = {"IfNoneMatch": "*"}  # it was given back since we asked
                continue
            if found["Body"].read() == body:
                return found["ETag"]  # ours: the answer was lost, and the client asked once more
            age = self._now() - found["LastModified"]
            if age < STALE:
                raise Locked(f"locked {age} ago")
            replaced = {"IfMatch": found["ETag"]}
        raise Locked("others keep taking the lock")

    def _unlock(self, etag: str) -> None:
        try:
            self._s3.delete_object(Bucket=self._bucket, Key="lock", IfMatch=etag)
        except ClientError as error:
            # Another took it over, or the answer to a first attempt was lost: either way it is no longer ours.
            if not _is(error, "PreconditionFailed", *MISSING):
                raise

    def _put_if(self, key: str, body: bytes, condition: dict[str, str]) -> str | None:
        """Write an object if the condition holds; its ETag, or None if it does not hold."""
        options: Any = {"Bucket": self._bucket, "Key": key, "Body": body} | condition
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._s3.put_object(**options)["ETag"]
            except ClientError as error:
                if _is(error, "PreconditionFailed", *MISSING):
                    return None
                # 409: another write or delete was under way, and nothing is said of what came of it.
                if not _is(error, "ConditionalRequestConflict") or attempt == ATTEMPTS:
                    raise
        raise AssertionError("the loop returns or raises")

    def _find(self, key: str) -> GetObjectOutputTypeDef | None:
        try:
            return self._s3.get_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if _is(error, *MISSING):
                return None
            raise

    # -- backups

    def back_up(self, folder: Path, name: str) -> int:
        """Store all files below `folder` as the snapshot `name`; returns how many chunks were new. Raises Locked."""
        new = 0
        files: dict[str, list[str]] = {}
        with self._locked() as check_lock:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    names = files[str(path.relative_to(folder))] = []
                    with path.open("rb") as file:
                        while chunk := file.read(CHUNK):
                            names.append(hashlib.sha256(chunk).hexdigest())
                            new += self._put_chunk(names[-1], chunk)
            body = json.dumps({"files": files}).encode()
            check_lock()
            if self._put_if(f"snapshots/{name}", body, {"IfNoneMatch": "*"}) is None:
                self._check_snapshot(name, body)
        return new

    def _check_snapshot(self, name: str, body: bytes) -> None:
        """A write whose answer was lost meets itself; anything else under this name is another's. Raises Exists."""
        found = self._find(f"snapshots/{name}")
        if found is None or found["Body"].read() != body:
            raise Exists(f"there is a snapshot {name} already")

    def _put_chunk(self, name: str, chunk: bytes) -> bool:
        """Whether the chunk is new. One that is there is the same: its name is its digest."""
        return self._put_if(f"chunks/{name}", chunk, {"IfNoneMatch": "*"}) is not None

    def snapshots(self) -> list[str]:
        """The names of all snapshots."""
        return [key.removeprefix("snapshots/") for key in self._keys("snapshots/")]

    def restore(self, name: str, folder: Path) -> None:
        """Write the files of a snapshot below `folder`. Raises Damaged; what is written by then is sound."""
        for relative, chunks in self._files(name).items():
            path = folder / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(self._get_chunk(chunk) for chunk in chunks))

    def prune(self, keep: int) -> int:
        """Forget all but the last `keep` snapshots and remove chunks that no snapshot has; returns how many."""
        with self._locked() as check_lock:
            for name in self.snapshots()[:-keep]:
                self._s3.delete_object(Bucket=self._bucket, Key=f"snapshots/{name}")
            used = {chunk for name in self.snapshots() for chunks in self._files(name).values() for chunk in chunks}
            unused = [key for key in self._keys("chunks/") if key.removeprefix("chunks/") not in used]
            for start in range(0, len(unused), 1000):
                check_lock()
                batch: Any = [{"Key": key} for key in unused[start : start + 1000]]
                self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": batch, "Quiet": True})
        return len(unused)

    def _files(self, name: str) -> dict[str, list[str]]:
        answer = self._s3.get_object(Bucket=self._bucket, Key=f"snapshots/{name}")
        files: dict[str, list[str]] = json.loads(answer["Body"].read())["files"]
        return files

    def _get_chunk(self, name: str) -> bytes:
        try:
            chunk = self._s3.get_object(Bucket=self._bucket, Key=f"chunks/{name}")["Body"].read()
        except self._s3.exceptions.NoSuchKey as error:
            raise Damaged(f"chunk {name} is missing") from error
        if hashlib.sha256(chunk).hexdigest() != name:
            raise Damaged(f"chunk {name} is not what it was")
        return chunk

    def _keys(self, prefix: str) -> Iterator[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        for page in pages:
            for item in page.get("Contents", []):
                yield item["Key"]
