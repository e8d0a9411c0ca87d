"""Bringing into the catalog what is stored at a provider already, while others may use the store.

How one object comes in is in `bleepstore.store.adopters`. What was new is then listed once more, a page at a time: what
is missing then was deleted meanwhile, and is removed again.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from bleepstore.backends.base import FoundBlob, Gateway
from bleepstore.commands import CreateBucket, PutBucketVersioning
from bleepstore.errors import (
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    InvalidBucketName,
    KeyTooLong,
    NoSuchBucket,
    S3Error,
    StoreError,
)
from bleepstore.model import MAX_PAGE, Acl, Bucket, Versioning
from bleepstore.names import check_bucket_name, check_key
from bleepstore.store.adopters import Adopter, BlobAdopter, KeyedAdopter, Outcome
from bleepstore.store.engine import Engine
from bleepstore.store.keyed_engine import KeyedEngine
from bleepstore.threads import map_in_threads

#: How far adoptions came, beside the catalog: {bucket: its progress}.
PROGRESS_FILE = "adopting.json"
#: Beside a catalog that begins anew where another was, until all is adopted: what it does not know is no orphan.
TAKEN_OVER_FILE = "taken-over"
_BATCH = 1000  # a page of a provider's listing
#: Names that a batch may have more when it is listed again: Azure begins with the whole page, and others write.
_RELISTED_MORE = 2000
_COUNTED = 1000  # names between two calls of `progress`
_COMMITS = 8  # under way at once


@attrs.frozen(kw_only=True)
class Adopted:
    """What an adoption has done so far in a bucket: objects and versions brought in, objects that the catalog knew as
    they are (or that were written or deleted meanwhile), names at the provider that cannot be objects of S3, and
    objects that the provider no longer has. `kept` are older versions of what was written or deleted meanwhile: they
    stay there, unknown to the catalog. `before` says that it was done by a run that was cut off later, `resumed` that
    it goes on where that one was; `total` is how many names this run has to look at, as far as they were counted, which
    is done only for who wants to see progress."""

    bucket: str
    adopted: int = 0
    known: int = 0
    skipped: int = 0
    removed: int = 0
    kept: int = 0
    before: bool = False
    resumed: bool = False
    total: int = 0

    @property
    def seen(self) -> int:
        return self.adopted + self.known + self.skipped + self.kept


@attrs.frozen(kw_only=True)
class _Progress:
    """How far a bucket is. `created_ms` is that of the bucket in the catalog: for another catalog, or the same one made
    anew, this says nothing. `after` is the provider's text to go on from, `key` up to where objects that are gone were
    removed."""

    created_ms: int
    after: str = ""
    key: str = ""
    done: bool = False


@attrs.frozen(kw_only=True)
class _Batch:
    """What was listed in one go: what can be objects of these `listed` names. `after` is the text to go on from;
    nothing is left to list if it `ends` the bucket."""

    blobs: list[FoundBlob]
    listed: int
    after: str
    ends: bool = False

    @property
    def last_key(self) -> str:
        """Up to where all keys that are names were listed."""
        return max((blob.key for blob in self.blobs if blob.native), default="")


class Adoption:
    """Only for a store at a provider."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def _adopter(self) -> Adopter:
        if isinstance(self._engine.object_engine, KeyedEngine):
            return KeyedAdopter(self._engine.object_engine)
        return BlobAdopter(
            catalog=self._engine.catalog,
            committer=self._engine.committer,
            backend=self._require_gateway(),
            stamp=self._engine.stamp,
            clock=self._engine.clock,
        )

    def adoptable_buckets(self) -> list[str]:
        """The names of what is stored at the provider that can be buckets, and are not another catalog's."""
        found = []
        for name in self._require_gateway().buckets():
            try:
                check_bucket_name(name)
            except InvalidBucketName:
                continue
            if not self._require_gateway().belongs_to_another_store(name):
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
        notes = _Notes(self._engine.folder)
        for bucket in buckets:
            is_new = notes.begin(bucket)  # before it is claimed: from then on a sweep would look into it
            try:
                self._make_bucket(bucket)
            except (InvalidBucketName, NoSuchBucket, StoreError):  # refused before it was claimed
                if is_new:
                    notes.forget([bucket])
                raise
        kept = 0
        for bucket in buckets:
            found = self._find_bucket(bucket)
            start = notes.read(bucket)
            if start is None or start.created_ms != found.created_ms:
                start = _Progress(created_ms=found.created_ms)
            if start.done:
                yield Adopted(bucket=bucket, before=True)
                continue
            done = self._adopt_bucket(found, start, notes, progress)
            kept += done.kept
            yield done
        notes.forget(buckets)
        if not kept and self._engine.folder is not None and set(self.adoptable_buckets()) <= set(buckets):
            (self._engine.folder / TAKEN_OVER_FILE).unlink(missing_ok=True)

    def _adopt_bucket(
        self, bucket: Bucket, start: _Progress, notes: _Notes, progress: Callable[[Adopted], None] | None
    ) -> Adopted:
        done, at = Adopted(bucket=bucket.name, resumed=start.after != ""), start
        if progress is not None:
            done = self._count(done, start.after, progress)
        for batch in self._batches(bucket.name, start.after):
            done = self._adopt_batch(bucket, batch, at, done)
            at = attrs.evolve(at, after=batch.after, key=max(batch.last_key, at.key), done=batch.ends)
            notes.write(bucket.name, at)
            if progress is not None:
                progress(done)
        return done

    def _batches(self, bucket: str, start: str) -> Iterator[_Batch]:
        """The last one may be empty."""
        blobs: list[FoundBlob] = []
        listed, after = 0, start
        for after, blob in self._require_gateway().iter_found(bucket, start):
            listed += 1
            if blob is not None and _is_object(blob):
                blobs.append(blob)
            if len(blobs) >= _BATCH:
                yield _Batch(blobs=blobs, listed=listed, after=after)
                blobs, listed = [], 0
        yield _Batch(blobs=blobs, listed=listed, after=after, ends=True)

    def _count(self, done: Adopted, after: str, progress: Callable[[Adopted], None]) -> Adopted:
        """Listings alone are far quicker than what follows: a commit for each object, at some providers a request."""
        for _ in self._require_gateway().names(done.bucket, after):
            done = attrs.evolve(done, total=done.total + 1)
            if done.total % _COUNTED == 0:
                progress(done)
        return done

    def _require_gateway(self) -> Gateway:
        self._engine.catalog.check_usable()
        if not isinstance(self._engine.backend, Gateway):
            raise StoreError("There is nothing to adopt: this store's bytes are not at a provider.")
        return self._engine.backend

    def _make_bucket(self, bucket: str) -> None:
        gateway = self._require_gateway()
        check_bucket_name(bucket)
        is_known = self._engine.catalog.find_bucket(bucket) is not None
        if not is_known and bucket not in gateway.buckets():
            raise NoSuchBucket(bucket)
        try:
            gateway.claim_bucket(bucket)
        except BucketAlreadyExists:
            raise StoreError(
                f"The bucket {bucket} at {gateway.url} belongs to another catalog: open it with that one. If it is "
                "lost, take the bucket over: `bleepstore adopt --take-over`, or open(..., take_over=True) and adopt()"
            ) from None
        if is_known:
            return
        command = CreateBucket(
            **self._engine.stamp(),
            bucket=bucket,
            owner=self._engine.owner,
            location="",
            acl=Acl.private(self._engine.owner.id),
            settings=self._engine.new_bucket_settings,
        )
        result = self._engine.committer.submit(command)
        if isinstance(result, S3Error) and not isinstance(result, BucketAlreadyOwnedByYou | BucketAlreadyExists):
            raise result

    def _find_bucket(self, bucket: str) -> Bucket:
        self._engine.committer.read_barrier()
        found = self._engine.catalog.find_bucket(bucket)
        if found is None:
            raise NoSuchBucket(bucket)
        return found

    def _adopt_batch(self, bucket: Bucket, batch: _Batch, at: _Progress, done: Adopted) -> Adopted:
        """Bring in what was found, and remove what the catalog alone has of the keys up to the last one.

        Several threads, for the committer gathers what comes at once in one transaction."""
        adopter = self._adopter
        if any(blob.keeps_versions for blob in batch.blobs):
            bucket = self._keep_versions(bucket)

        def bring_in(blobs: list[FoundBlob]) -> list[Outcome]:
            return [adopter.bring_in(bucket, blob) for blob in blobs]

        remove_gone = functools.partial(adopter.remove_gone, bucket)
        by_key = _by_key(batch.blobs)
        outcomes = [
            (blob, outcome)
            for blobs, found in zip(by_key, map_in_threads(bring_in, by_key, _COMMITS), strict=True)
            for blob, outcome in zip(blobs, found, strict=True)
        ]
        new = [blob for blob, outcome in outcomes if outcome is Outcome.NEW]
        doubtful = self._doubtful(bucket.name, new, batch, at.after)
        taken_back = sum(map_in_threads(remove_gone, doubtful, _COMMITS))
        listed = {blob.key for blob in batch.blobs}
        known = self._keys(bucket.name, at.key, None if batch.ends else batch.last_key)
        removed = sum(map_in_threads(remove_gone, (key for key in known if key not in listed), _COMMITS))
        adopted = len(new) - taken_back
        kept = sum(outcome is Outcome.KEPT for _, outcome in outcomes)
        return attrs.evolve(
            done,
            adopted=done.adopted + adopted,
            known=done.known + len(batch.blobs) - adopted - kept,
            kept=done.kept + kept,
            skipped=done.skipped + batch.listed - len(batch.blobs),
            removed=done.removed + removed,
        )

    def _keep_versions(self, bucket: Bucket) -> Bucket:
        """The bucket with its versioning enabled, as it was when these blobs were written."""
        if bucket.versioning is None:
            command = PutBucketVersioning(
                **self._engine.stamp(), bucket=bucket.name, bucket_id=bucket.id, versioning=Versioning.ENABLED
            )
            result = self._engine.committer.submit(command)
            if isinstance(result, S3Error):
                raise result
        return self._find_bucket(bucket.name)

    def _doubtful(self, bucket: str, new: list[FoundBlob], batch: _Batch, after: str) -> list[str]:
        """The keys of what was brought in that a delete may have overtaken.

        In this order: garbage is removed at the provider before the catalog forgets it."""
        with self._engine.catalog.read() as reader:
            garbage = {blob.key for blob in new if reader.is_garbage(blob.handle)}
        missing = {blob.name: blob.key for blob in new}
        if missing:
            for name in itertools.islice(self._require_gateway().names(bucket, after), batch.listed + _RELISTED_MORE):
                missing.pop(name, None)
                if not missing:
                    break
        return sorted(garbage.union(missing.values()))

    def _keys(self, bucket: str, start: str, stop: str | None) -> list[str]:
        """The catalog's keys after `start` up to `stop`. In the layout `blobs` nobody else removes objects."""
        if not self._adopter.others_delete:
            return []
        keys: list[str] = []
        with self._engine.catalog.read() as reader:
            after: str | None = start
            while after is not None:
                page = reader.list_objects(bucket, "", "", after, MAX_PAGE)
                for item in page.objects:
                    if stop is not None and item.key > stop:
                        return keys
                    keys.append(item.key)
                after = page.next_key
        return keys


def is_adopting(folder: Path) -> bool:
    """Whether there may be something at the provider that the catalog here has yet to be told: it is no orphan."""
    return (folder / TAKEN_OVER_FILE).exists() or _Notes(folder).is_one_unfinished()


class _Notes:
    """The file that says how far adoptions are, in the catalog's folder; there is none of a catalog in memory."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / PROGRESS_FILE

    def _load(self) -> dict[str, Any]:
        try:
            found = json.loads("{}" if self._path is None else self._path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def begin(self, bucket: str) -> bool:
        """Note that it is to be adopted; whether that was not noted yet."""
        if bucket in self._load():
            return False
        self.write(bucket, _Progress(created_ms=-1))
        return True

    def is_one_unfinished(self) -> bool:
        return not all(isinstance(one, dict) and one.get("done") for one in self._load().values())

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


def _by_key(blobs: list[FoundBlob]) -> list[list[FoundBlob]]:
    """The blobs of each key, the oldest first: what they are called begins with the time."""
    found: dict[str, list[FoundBlob]] = {}
    for blob in sorted(blobs, key=lambda blob: (blob.stored_ms, blob.name)):
        found.setdefault(blob.key, []).append(blob)
    return list(found.values())


def _is_object(blob: FoundBlob) -> bool:
    try:
        check_key(blob.key)
    except KeyTooLong:
        return False
    return blob.key != ""
