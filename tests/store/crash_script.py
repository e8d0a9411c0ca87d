"""Writes, removes, tags and locks versions, and runs their lifecycle, until it is killed: see test_crash_versions.py.

python -m tests.store.crash_script FOLDER SEED DAY

Says on stdout, a line of JSON each, what it begins and what came of that. Each thread has keys of its own, so that what
one says is in order. The clock is that of the system, and DAY days ahead; a run of the lifecycle moves it on by one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import random
import sys
import threading
from typing import Any

import bleepstore
from bleepstore import CompletedPart, ListedVersion, Retention, Store
from bleepstore.errors import ObjectLocked
from bleepstore.testing.clock import Clock

BUCKET = "crash"
WRITERS = 3
KEYS = 3
#: No round gets there.
LATE = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)


def say(**fact: Any) -> None:
    """In one write, which a kill does not cut in two."""
    os.write(1, json.dumps(fact).encode() + b"\n")


class Writer:
    def __init__(self, store: Store, name: str, seed: int, clock: Clock) -> None:
        self.store, self.name, self.clock, self.chance = store, name, clock, random.Random(seed)

    def run(self) -> None:
        steps = [self.put, self.upload, self.copy, self.mark, self.remove, self.tag, self.hold]
        while True:
            (step,) = self.chance.choices(steps, [8, 1, 2, 3, 4, 2, 2])
            step(f"{self.name}/{self.chance.randrange(KEYS)}")

    def body(self) -> bytes:
        return self.chance.randbytes(self.chance.choice([0, 100, 10_000, 100_000]))

    def begin(self, do: str, key: str, **facts: Any) -> None:
        say(by=self.name, do=do, key=key, **facts)

    def end(self, made: str | None) -> None:
        say(by=self.name, made=made)

    def locks(self) -> dict[str, Any]:
        kinds: list[dict[str, Any]] = [{"legal_hold": True}, {"retention": Retention.compliance(LATE)}, *[{}] * 6]
        return self.chance.choice(kinds)

    def put(self, key: str) -> None:
        body, locks = self.body(), self.locks()
        tags = self.chance.choice([{}, {"a": "1"}])
        self.begin("write", key, digest=digest(body), tags=tags, locked=list(locks))
        self.end(self.store.put_object(BUCKET, key, body, tags=tags, **locks).version_id)

    def upload(self, key: str) -> None:
        body, locks = self.body(), self.locks()
        upload = self.store.create_upload(BUCKET, key, **locks)
        part = self.store.put_part(BUCKET, key, upload.upload_id, 1, body)
        self.begin("write", key, digest=digest(body), tags={}, locked=list(locks))
        parts = [CompletedPart(number=1, etag=part.etag)]
        self.end(self.store.complete_upload(BUCKET, key, upload.upload_id, parts).version_id)

    def copy(self, key: str) -> None:
        found = self.drawn(key)
        if found is None or found.is_delete_marker:
            return
        with self.store.get_object(BUCKET, key, version_id=found.version_id) as source:
            body = source.read()
        self.begin("write", key, digest=digest(body), tags=dict(source.version.tags), locked=[])
        copied = self.store.copy_object(BUCKET, key, BUCKET, key, source_version_id=found.version_id)
        self.end(copied.version_id)

    def mark(self, key: str) -> None:
        self.begin("write", key, digest=None, tags={}, locked=[])
        self.end(self.store.delete_object(BUCKET, key).delete_marker_id)

    def remove(self, key: str) -> None:
        if (found := self.drawn(key)) is not None:
            self.begin("remove", key, id=found.version_id)
            try:
                self.store.delete_object(BUCKET, key, version_id=found.version_id)
            except ObjectLocked:
                self.end("refused")
            else:
                self.end(None)

    def tag(self, key: str) -> None:
        found = self.drawn(key)
        if found is not None and not found.is_delete_marker:
            tags = {"b": str(self.chance.randrange(9))}
            self.begin("tag", key, id=found.version_id, tags=tags)
            self.store.put_object_tags(BUCKET, key, tags, version_id=found.version_id)
            self.end(None)

    def hold(self, key: str) -> None:
        found = self.drawn(key)
        if found is not None and not found.is_delete_marker:
            held = self.chance.random() < 0.5
            self.begin("hold", key, id=found.version_id, held=held)
            self.store.put_object_legal_hold(BUCKET, key, held, version_id=found.version_id)
            self.end(None)

    def drawn(self, key: str) -> ListedVersion | None:
        rows = self.store.list_object_versions(BUCKET, prefix=key, limit=20).versions
        return self.chance.choice(rows) if rows else None


class ExpiringWriter(Writer):
    """Its keys end by the lifecycle: nobody knows which are left, but for what is locked."""

    def run(self) -> None:
        while True:
            for _ in range(self.chance.randrange(12)):
                self.chance.choice([self.put, self.mark])(f"expiring/{self.chance.randrange(KEYS)}")
            self.clock.advance(days=1)
            self.begin("lifecycle", "")
            self.store.jobs.run("lifecycle")
            self.end(None)


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def main(folder: str, seed: str, day: str) -> None:
    clock = Clock()
    clock.advance(days=int(day))
    with bleepstore.open(folder, clock=clock) as store:
        writers = [Writer(store, f"w{number}", 100 * int(seed) + number, clock) for number in range(WRITERS)]
        writers.append(ExpiringWriter(store, "expiring", int(seed), clock))
        threads = [threading.Thread(target=writer.run) for writer in writers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
