"""Bringing into the catalog what lies at a provider already."""

from __future__ import annotations

import concurrent.futures
import json
from collections.abc import Callable
from pathlib import Path

import attrs

from bleepstore.backends.base import FoundBlob, Gateway
from bleepstore.commands import CreateBucket
from bleepstore.errors import (
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    InvalidBucketName,
    KeyTooLong,
    OperationAborted,
    S3Error,
    StoreError,
)
from bleepstore.model import Acl, Replaced
from bleepstore.names import check_bucket_name, check_key
from bleepstore.store.own_names import OwnNameOperations

#: How far adoption came, beside the catalog: {bucket: where to go on}.
PROGRESS_FILE = "adopting.json"
_BATCH = 500
_COMMITS = 8  # under way at once


@attrs.frozen(kw_only=True)
class Adopted:
    """What an adoption has done so far in a bucket: objects brought in, objects that were known as they are, and names
    at the provider that cannot be objects of S3."""

    bucket: str
    adopted: int = 0
    known: int = 0
    skipped: int = 0

    @property
    def seen(self) -> int:
        return self.adopted + self.known + self.skipped


class AdoptOperations(OwnNameOperations):
    """Only for a store at a provider."""

    def adoptable_buckets(self) -> list[str]:
        """The names of what lies at the provider that can be buckets."""
        found = []
        for name in self._require_gateway().buckets():
            try:
                check_bucket_name(name)
            except InvalidBucketName:
                continue
            found.append(name)
        return found

    def adopt(self, bucket: str, progress: Callable[[Adopted], None] | None = None) -> Adopted:
        """Bring the objects of a bucket into the catalog, as the provider has them; known ones follow the provider.

        The bucket is made if need be. An adoption that was cut off goes on where it was, as long as its catalog is on
        disk. `progress` is called now and then. Raises StoreError if the store is not at a provider, InvalidBucketName,
        BucketAlreadyExists.
        """
        gateway = self._require_gateway()
        check_bucket_name(bucket)
        self._make_bucket(bucket)
        done = Adopted(bucket=bucket)
        batch: list[FoundBlob] = []
        for after, blob in gateway.iter_found(bucket, self._adopted_until(bucket)):
            if blob is None or not _is_object(blob):
                done = attrs.evolve(done, skipped=done.skipped + 1)
            else:
                batch.append(blob)
            if len(batch) >= _BATCH:
                done = self._adopt_batch(batch, done)
                self._note_adopted_until(bucket, after)
                batch = []
                if progress is not None:
                    progress(done)
        done = self._adopt_batch(batch, done)
        self._note_adopted_until(bucket, None)
        if progress is not None:
            progress(done)
        return done

    def _require_gateway(self) -> Gateway:
        self.check_open()
        if not isinstance(self._backend, Gateway):
            raise StoreError("There is nothing to adopt: this store's bytes are not at a provider.")
        return self._backend

    def _make_bucket(self, bucket: str) -> None:
        command = CreateBucket(
            **self._stamp(), bucket=bucket, owner=self._owner, location="", acl=Acl.private(self._owner.id)
        )
        result = self._committer.submit(command)
        if isinstance(result, S3Error) and not isinstance(result, BucketAlreadyOwnedByYou | BucketAlreadyExists):
            raise result

    def _adopt_batch(self, batch: list[FoundBlob], done: Adopted) -> Adopted:
        """Several threads, for the committer gathers what comes at once in one transaction."""
        with concurrent.futures.ThreadPoolExecutor(_COMMITS) as pool:
            brought_in = sum(pool.map(self._adopt_blob, batch))
        return attrs.evolve(done, adopted=done.adopted + brought_in, known=done.known + len(batch) - brought_in)

    def _adopt_blob(self, blob: FoundBlob) -> bool:
        """Whether it was brought in; False if it was known, or is older than what is known."""
        gateway = self._require_gateway()
        current = self._current(blob.bucket, blob.key)
        if current is not None and current.handle == blob.handle:
            return False
        owner = current.version.owner if current is not None else self._find_owner(blob.bucket)
        acl = None if current is None else current.version.acl
        if gateway.own_names:
            result = self._committer.submit(
                self._adoption(blob, owner, acl, Replaced(None if current is None else current.handle))
            )
            if isinstance(result, OperationAborted):
                return False  # it was written again meanwhile, and is known
        else:
            if current is not None and current.version.modified_ms >= blob.stored_ms:
                return False
            result = self._committer.submit(self._adoption(blob, owner, acl, None))
        if isinstance(result, S3Error):
            raise result
        return True

    # -- where to go on

    def _progress_file(self) -> Path | None:
        path = self._catalog.path
        return None if path is None else path.with_name(PROGRESS_FILE)

    def _adopted_until(self, bucket: str) -> str:
        path = self._progress_file()
        if path is None or not path.exists():
            return ""
        return str(json.loads(path.read_text()).get(bucket, ""))

    def _note_adopted_until(self, bucket: str, after: str | None) -> None:
        path = self._progress_file()
        if path is None:
            return
        known = json.loads(path.read_text()) if path.exists() else {}
        if after is None:
            known.pop(bucket, None)
        else:
            known[bucket] = after
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(known))
        temporary.replace(path)


def _is_object(blob: FoundBlob) -> bool:
    try:
        check_key(blob.key)
    except KeyTooLong:
        return False
    return blob.key != ""
