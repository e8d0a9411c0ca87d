"""A small backup tool, as another project would have it: it knows boto3 and nothing of BleepStore.

    chunks/SHA256                what files are made of; a chunk is stored once
    snapshots/TIME-HOST          JSON: {"files": {path: [SHA256, ...]}}
    lock                         held while a backup or a prune is under way

A chunk is written with `If-None-Match: *`, so two backups never write the same one twice; the lock likewise. What
cannot be verified is never restored.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK = 64 * 1024
STALE = dt.timedelta(hours=1)


class Locked(Exception):
    """Another backup is under way."""


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
    def _locked(self) -> Iterator[None]:
        etag = self._lock()
        try:
            yield
        finally:
            self._s3.delete_object(Bucket=self._bucket, Key="lock", IfMatch=etag)

    def _lock(self) -> str:
        """The ETag of our lock. One that is older than an hour is taken over; of two that try, one succeeds."""
        lock = {"Bucket": self._bucket, "Key": "lock", "Body": self._host.encode()}
        try:
            return self._put(lock | {"IfNoneMatch": "*"})
        except ClientError as error:
            if not _is(error, "PreconditionFailed", "ConditionalRequestConflict"):
                raise
        found = self._s3.head_object(Bucket=self._bucket, Key="lock")
        age = self._now() - found["LastModified"]
        if age < STALE:
            raise Locked(f"locked {age} ago")
        try:
            return self._put(lock | {"IfMatch": found["ETag"]})
        except ClientError as error:
            raise Locked("another took it over") from error

    def _put(self, options: dict[str, Any]) -> str:
        return self._s3.put_object(**options)["ETag"]

    # -- backups

    def back_up(self, folder: Path, name: str) -> int:
        """Store all files below `folder` as the snapshot `name`; returns how many chunks were new. Raises Locked."""
        new = 0
        files: dict[str, list[str]] = {}
        with self._locked():
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    names = files[str(path.relative_to(folder))] = []
                    with path.open("rb") as file:
                        while chunk := file.read(CHUNK):
                            names.append(hashlib.sha256(chunk).hexdigest())
                            new += self._put_chunk(names[-1], chunk)
            body = json.dumps({"files": files}).encode()
            self._s3.put_object(Bucket=self._bucket, Key=f"snapshots/{name}", Body=body, IfNoneMatch="*")
        return new

    def _put_chunk(self, name: str, chunk: bytes) -> bool:
        try:
            self._s3.put_object(Bucket=self._bucket, Key=f"chunks/{name}", Body=chunk, IfNoneMatch="*")
        except ClientError as error:
            if _is(error, "PreconditionFailed"):
                return False
            raise
        return True

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
        with self._locked():
            for name in self.snapshots()[:-keep]:
                self._s3.delete_object(Bucket=self._bucket, Key=f"snapshots/{name}")
            used = {chunk for name in self.snapshots() for chunks in self._files(name).values() for chunk in chunks}
            unused = [key for key in self._keys("chunks/") if key.removeprefix("chunks/") not in used]
            for start in range(0, len(unused), 1000):
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
