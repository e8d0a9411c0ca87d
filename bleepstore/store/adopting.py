"""Bringing into the catalog what lies at a provider already."""

from __future__ import annotations

import concurrent.futures
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from bleepstore.backends.base import FoundBlob, Gateway
from bleepstore.catalog import listing
from bleepstore.commands import CreateBucket
from bleepstore.errors import (
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    InvalidBucketName,
    KeyTooLong,
    NoSuchBucket,
    OperationAborted,
    S3Error,
    StoreError,
)
from bleepstore.model import MAX_PAGE, Acl, Replaced
from bleepstore.names import check_bucket_name, check_key
from bleepstore.store.own_names import OwnNameOperations

#: How far adoptions came, beside the catalog: {bucket: its progress}.
PROGRESS_FILE = "adopting.json"
_BATCH = 500
_COUNTED = 1000  # names between two calls of `progress`
_COMMITS = 8  # under way at once


@attrs.frozen(kw_only=True)
class Adopted:
    """What an adoption has done so far in a bucket: objects brought in, objects that were known as they are, names at
    the provider that cannot be objects of S3, and objects that the provider no longer has. `before` says that it was
    done by a run that was cut off later, `resumed` that it goes on where that one was; `total` is how many names this
    run has to look at, as far as they were counted, which is done only for who wants to see progress."""

    bucket: str
    adopted: int = 0
    known: int = 0
    skipped: int = 0
    removed: int = 0
    before: bool = False
    resumed: bool = False
    total: int = 0

    @property
    def seen(self) -> int:
        return self.adopted + self.known + self.skipped


@attrs.frozen(kw_only=True)
class _Progress:
    """How far a bucket is. `created_ms` is that of the bucket in the catalog: for another catalog, or the same one made
    anew, this says nothing. `after` is the provider's text to go on from, `key` up to where objects that are gone were
    removed."""

    created_ms: int
    after: str = ""
    key: str = ""
    done: bool = False


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
        """Bring the objects of a bucket into the catalog, as the provider has them; known ones follow the provider, and
        leave the catalog if they are gone there.

        The bucket is made if need be. An adoption that was cut off goes on where it was, as long as its catalog is on
        disk. `progress` is called now and then. Raises StoreError if the store is not at a provider, InvalidBucketName,
        NoSuchBucket if there is none of this name here nor there.
        """
        (done,) = self.adopt_all([bucket], progress)
        return done

    def adopt_all(self, buckets: Sequence[str], progress: Callable[[Adopted], None] | None = None) -> Iterator[Adopted]:
        """Adopt buckets, one after the other. If this is cut off, the next call lists none again that was finished."""
        for bucket in buckets:
            self._make_bucket(bucket)
        notes = _Notes(self._catalog.path)
        for bucket in buckets:
            created_ms = self._created_ms(bucket)
            start = notes.read(bucket)
            if start is None or start.created_ms != created_ms:
                start = _Progress(created_ms=created_ms)
            if start.done:
                yield Adopted(bucket=bucket, before=True)
                continue
            yield self._adopt_bucket(bucket, start, notes, progress)
        notes.forget(buckets)

    def _adopt_bucket(
        self, bucket: str, start: _Progress, notes: _Notes, progress: Callable[[Adopted], None] | None
    ) -> Adopted:
        done, at = Adopted(bucket=bucket, resumed=start.after != ""), start
        if progress is not None:
            done = self._count(done, start.after, progress)
        batch: list[FoundBlob] = []
        for after, blob in self._require_gateway().iter_found(bucket, start.after):
            if blob is None or not _is_object(blob):
                done = attrs.evolve(done, skipped=done.skipped + 1)
            else:
                batch.append(blob)
            if len(batch) >= _BATCH:
                upto = max((found.key for found in batch if found.native), default=at.key)
                done = self._adopt_batch(batch, at.key, upto, done)
                at = attrs.evolve(at, after=after, key=max(upto, at.key))
                notes.write(bucket, at)
                batch = []
                if progress is not None:
                    progress(done)
        done = self._adopt_batch(batch, at.key, None, done)
        notes.write(bucket, attrs.evolve(at, done=True))
        if progress is not None:
            progress(done)
        return done

    def _count(self, done: Adopted, after: str, progress: Callable[[Adopted], None]) -> Adopted:
        """Listings alone are far quicker than what follows: a commit for each object, at some providers a request."""
        for _ in self._require_gateway().sizes(done.bucket, after):
            done = attrs.evolve(done, total=done.total + 1)
            if done.total % _COUNTED == 0:
                progress(done)
        return done

    def _require_gateway(self) -> Gateway:
        self.check_open()
        if not isinstance(self._backend, Gateway):
            raise StoreError("There is nothing to adopt: this store's bytes are not at a provider.")
        return self._backend

    def _make_bucket(self, bucket: str) -> None:
        gateway = self._require_gateway()
        check_bucket_name(bucket)
        if self._catalog.find_bucket(bucket) is not None:
            return
        if bucket not in gateway.buckets():
            raise NoSuchBucket(bucket)
        command = CreateBucket(
            **self._stamp(), bucket=bucket, owner=self._owner, location="", acl=Acl.private(self._owner.id)
        )
        result = self._committer.submit(command)
        if isinstance(result, S3Error) and not isinstance(result, BucketAlreadyOwnedByYou | BucketAlreadyExists):
            raise result

    def _created_ms(self, bucket: str) -> int:
        self._committer.read_barrier()
        found = self._catalog.find_bucket(bucket)
        if found is None:
            raise NoSuchBucket(bucket)
        return found.created_ms

    def _adopt_batch(self, batch: list[FoundBlob], start: str, stop: str | None, done: Adopted) -> Adopted:
        """Bring in what was found, and remove what the catalog alone has of the keys after `start` up to `stop`.

        Several threads, for the committer gathers what comes at once in one transaction."""
        with concurrent.futures.ThreadPoolExecutor(_COMMITS) as pool:
            brought_in = sum(pool.map(self._adopt_blob, batch))
            found = {blob.key for blob in batch}
            unseen = (key for key in self._keys(done.bucket, start, stop) if key not in found)
            removed = sum(pool.map(functools.partial(self._remove_gone, done.bucket), unseen))
        return attrs.evolve(
            done,
            adopted=done.adopted + brought_in,
            known=done.known + len(batch) - brought_in,
            removed=done.removed + removed,
        )

    def _keys(self, bucket: str, start: str, stop: str | None) -> list[str]:
        """The catalog's keys after `start` up to `stop`. In the layout `blobs` nobody else removes objects."""
        if self._gateway is None:
            return []
        keys: list[str] = []
        with self._catalog.read() as connection:
            bucket_id = listing.bucket_id(connection, bucket)
            after: str | None = start
            while bucket_id is not None and after is not None:
                page = listing.list_objects(connection, bucket_id, "", "", after, MAX_PAGE)
                for item in page.objects:
                    if stop is not None and item.key > stop:
                        return keys
                    keys.append(item.key)
                after = page.next_key
        return keys

    def _remove_gone(self, bucket: str, key: str) -> bool:
        """Whether it is gone: it may have been listed in another place, or written since."""
        current = self._current(bucket, key)
        if current is None:
            return False
        self._follow(bucket, key, current)
        return self._current(bucket, key) is None

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


class _Notes:
    """The file that says how far adoptions are, beside the catalog; there is none of a catalog in memory."""

    def __init__(self, catalog: Path | None) -> None:
        self._path = None if catalog is None else catalog.with_name(PROGRESS_FILE)

    def _load(self) -> dict[str, Any]:
        try:
            found = json.loads("{}" if self._path is None else self._path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def read(self, bucket: str) -> _Progress | None:
        try:
            return _Progress(**self._load()[bucket])
        except (KeyError, TypeError):
            return None

    def write(self, bucket: str, progress: _Progress) -> None:
        self._save(self._load() | {bucket: attrs.asdict(progress)})

    def forget(self, buckets: Sequence[str]) -> None:
        self._save({name: progress for name, progress in self._load().items() if name not in buckets})

    def _save(self, known: dict[str, Any]) -> None:
        if self._path is None:
            return
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(known))
        temporary.replace(self._path)


def _is_object(blob: FoundBlob) -> bool:
    try:
        check_key(blob.key)
    except KeyTooLong:
        return False
    return blob.key != ""
