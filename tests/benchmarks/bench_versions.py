"""What versions, locks and lifecycles cost: `python -m tests.benchmarks.bench_versions [VERSIONS]`.

Each row is a ratio of CPU times, of pairs that take turns, so that a busy machine disturbs both alike. All of it is by
the Python API, on stores in folders. VERSIONS is of how many the large buckets are (100,000; a million takes minutes).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

import bleepstore
from bleepstore import DeleteEntry, Expiration, LifecycleRule, ObjectLock, Store, Versioning
from bleepstore.catalog.sqlite.tables import SqliteTables

PAIRS = 30
BATCH = 50
FEW = 1000
BUCKET = "bench"
#: Older versions of one key.
_OLDER = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO object_version "
    "(bucket_id, noncurrent, key, sequence, version_id, is_delete_marker, modified_ms, noncurrent_ms, etag, size, "
    "owner_id) SELECT 1, 1, 'key', -i, printf('%032d', i), 0, i, i, 'e', 0, 'alice' FROM n"
)


@attrs.frozen
class Row:
    what: str
    ratio: float
    microseconds: float

    def __str__(self) -> str:
        return f"| {self.what:66} | {self.ratio:5.2f} | {self.microseconds:9.1f} |"


def compare(what: str, one: Callable[[], int], other: Callable[[], int]) -> Row:
    """`one` as a multiple of `other`. Both return how many things they did."""
    ratios, spent, done = [], 0.0, 0
    for turn in range(PAIRS):
        times = [0.0, 0.0]
        for which in (0, 1) if turn % 2 else (1, 0):
            call = (one, other)[which]
            begun = time.process_time()
            count = call()
            times[which] = (time.process_time() - begun) / count
            if which == 0:
                spent, done = spent + times[0] * count, done + count
        ratios.append(times[0] / times[1])
    return Row(what, statistics.median(ratios), spent / done * 1e6)


def opened(folder: Path, versions: int = 0) -> Store:
    store = bleepstore.open(folder)
    store.create_bucket(BUCKET)
    if versions:
        store.put_bucket_versioning(BUCKET, Versioning.ENABLED)
        store.put_object(BUCKET, "key", b"newest")
        with store.engine.catalog.transaction() as tables:
            assert isinstance(tables, SqliteTables)
            tables.connection.execute(_OLDER, (versions,))
    return store


def overwrites(store: Store) -> Callable[[], int]:
    def call() -> int:
        for number in range(BATCH):
            store.put_object(BUCKET, f"k{number}", b"x" * 100)
        return BATCH

    return call


def pages(store: Store) -> Callable[[], int]:
    """All of the bucket, a page after another."""
    return lambda: sum(1 for _ in store.iter_object_versions(BUCKET))


def first_pages(store: Store) -> Callable[[], int]:
    def call() -> int:
        for _ in range(20):
            store.list_objects(BUCKET)
        return 20

    return call


def deletes(store: Store, *, by_id: bool) -> Callable[[], int]:
    """Of what was written just before, which is not counted by what is compared: as many objects at once."""

    def call() -> int:
        keys = [f"d{number}" for number in range(200)]
        written = [store.put_object(BUCKET, key, b"").version_id for key in keys]
        entries = [
            DeleteEntry(key=key, version_id=version_id if by_id else None)
            for key, version_id in zip(keys, written, strict=True)
        ]
        store.delete_objects(BUCKET, entries)
        return len(entries)

    return call


def rows(folder: Path, versions: int) -> Iterator[Row]:
    plain, plain_again = opened(folder / "plain"), opened(folder / "again")
    yield compare("overwrite, the same twice (what a ratio may be off by)", overwrites(plain), overwrites(plain_again))
    ruled = opened(folder / "ruled")
    ruled.put_bucket_lifecycle(BUCKET, [LifecycleRule(expiration=Expiration(days=3650))])
    yield compare("overwrite with a lifecycle / without", overwrites(ruled), overwrites(plain))
    few, many = opened(folder / "few", FEW), opened(folder / "many", versions)
    yield compare(f"a version of {versions:,} in pages / of {FEW:,}", pages(many), pages(few))
    yield compare(f"a page of objects over {versions:,} versions / over {FEW:,}", first_pages(many), first_pages(few))
    yield compare(
        "write and delete 200 versions by id / 200 objects", deletes(few, by_id=True), deletes(plain, by_id=False)
    )
    yield compare("write a version / overwrite", overwrites(few), overwrites(plain))
    locked = opened(folder / "locked", FEW)
    locked.put_bucket_object_lock(BUCKET, ObjectLock())
    yield compare("write a version with object lock / without", overwrites(locked), overwrites(few))
    for store in (plain, plain_again, ruled, few, many, locked):
        store.close()


def main() -> None:
    versions = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print(f"| {'what':66} | ratio | µs of CPU |")
    print(f"| {'-' * 66} | ----: | --------: |")
    with tempfile.TemporaryDirectory(prefix="bleepstore-bench-") as folder:
        for row in rows(Path(folder), versions):
            print(row, flush=True)


if __name__ == "__main__":
    main()
