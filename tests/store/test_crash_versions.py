"""SIGKILL in the middle of what makes, takes, tags and locks versions: what was acknowledged is so, and what was under
way is done or not; no version that is locked is gone."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

import bleepstore
from bleepstore import Expiration, LifecycleFilter, LifecycleRule, ListedVersion, NoncurrentExpiration, Store
from bleepstore.store import rolled_back
from bleepstore.testing.clock import Clock
from tests.serving.test_crash import check_nothing_is_left_over
from tests.store.crash_script import BUCKET, digest

#: Runs of the lifecycle are a day each; a round has fewer than so many.
DAYS_OF_A_ROUND = 2000
RULES = [
    LifecycleRule(
        filter=LifecycleFilter(prefix="expiring/"),
        expiration=Expiration(days=1),
        noncurrent_expiration=NoncurrentExpiration(days=1),
    ),
    LifecycleRule(
        filter=LifecycleFilter(prefix="expiring/"), expiration=Expiration(expired_object_delete_marker=True)
    ),
]  # fmt: skip


@attrs.define
class Known:
    """What is known of a version. `digest` is None of a delete marker."""

    digest: str | None
    tags: dict[str, str]
    is_held: bool
    is_retained: bool

    @property
    def is_locked(self) -> bool:
        return self.is_held or self.is_retained


@attrs.define
class Ledger:
    """All that was acknowledged, and what was under way when the process was killed, by who did it."""

    versions: dict[tuple[str, str], Known] = attrs.field(factory=dict)
    pending: dict[str, dict[str, Any]] = attrs.field(factory=dict)

    def read(self, line: bytes) -> None:
        fact = json.loads(line)
        if "do" in fact:
            self.pending[fact["by"]] = fact
        else:
            self.acknowledge(self.pending.pop(fact["by"]), fact["made"])

    def acknowledge(self, begun: dict[str, Any], made: str | None) -> None:
        key = begun["key"]
        match begun["do"]:
            case "write":
                assert made is not None
                assert (key, made) not in self.versions
                self.versions[key, made] = known_of(begun)
            case "remove":
                known = self.versions[key, begun["id"]]
                assert known.is_locked == (made == "refused")
                if made is None:
                    del self.versions[key, begun["id"]]
            case "tag":
                self.versions[key, begun["id"]].tags = begun["tags"]
            case "hold":
                self.versions[key, begun["id"]].is_held = begun["held"]

    def resolve(self, store: Store) -> None:
        """Compare it with what is there, and go on from that."""
        found = {(row.key, row.version_id): row for row in store.iter_object_versions(BUCKET)}
        for begun in self.pending.values():
            self.resolve_one(begun, found)
        self.pending.clear()
        for which in set(self.versions) - set(found):
            assert which[0].startswith("expiring/"), f"{which} was acknowledged and is gone"
            assert not self.versions[which].is_locked, f"{which} is locked and gone"
            del self.versions[which]
        for which in set(found) - set(self.versions):
            assert which[0].startswith("expiring/"), f"nobody wrote {which}"
            assert found[which].is_delete_marker
        for (key, version_id), known in self.versions.items():
            assert found[key, version_id].is_delete_marker == (known.digest is None)
            if known.digest is not None:
                check(store, key, version_id, known)

    def resolve_one(self, begun: dict[str, Any], found: dict[tuple[str, str], ListedVersion]) -> None:
        key = begun["key"]
        mine = (key, begun.get("id", ""))
        if begun["do"] == "write":
            for which in set(found) - set(self.versions):
                # Else it is a delete marker of the lifecycle's.
                if which[0] == key and found[which].is_delete_marker == (begun["digest"] is None):
                    self.versions[which] = known_of(begun)
        elif begun["do"] == "remove" and mine not in found:
            assert not self.versions.pop(mine).is_locked
        elif begun["do"] in ("tag", "hold"):
            self.versions[mine].tags |= {"maybe": json.dumps(begun)}


def known_of(begun: dict[str, Any]) -> Known:
    locked = begun["locked"]
    return Known(begun["digest"], begun["tags"], "legal_hold" in locked, "retention" in locked)


def check(store: Store, key: str, version_id: str, known: Known) -> None:
    with store.get_object(BUCKET, key, version_id=version_id) as found:
        assert digest(found.read()) == known.digest
        version = found.version
    if (begun := known.tags.pop("maybe", None)) is not None:
        change = json.loads(begun)
        if change["do"] == "tag" and dict(version.tags) == change["tags"]:
            known.tags = change["tags"]
        elif change["do"] == "hold" and bool(version.legal_hold) == change["held"]:
            known.is_held = change["held"]
    assert dict(version.tags) == known.tags
    assert (bool(version.legal_hold), version.retention is not None) == (known.is_held, known.is_retained)


def crash(folder: Path, seed: int, ledger: Ledger) -> None:
    """One round: write until enough was acknowledged, and kill the process wherever it is then."""
    day = seed * DAYS_OF_A_ROUND
    arguments = [sys.executable, "-m", "tests.store.crash_script", str(folder), str(seed), str(day)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        for _ in range(random.Random(seed).randrange(40, 300)):
            line = process.stdout.readline()
            assert line, "it ended by itself"
            ledger.read(line)
        process.kill()
        for line in process.stdout:
            ledger.read(line)
    clock = Clock()
    clock.advance(days=day + DAYS_OF_A_ROUND - 10)
    with bleepstore.open(folder, clock=clock) as store:
        ledger.resolve(store)
        # What the lifecycle leaves is locked: an object ends one day, and as an older version two days later.
        for _ in range(3):
            clock.advance(days=2)
            while store.jobs.run("lifecycle").changed:
                pass
        left = [row for row in store.iter_object_versions(BUCKET, prefix="expiring/") if not row.is_delete_marker]
        assert all(ledger.versions[row.key, row.version_id].is_locked for row in left)
        ledger.resolve(store)


@pytest.fixture(autouse=True)
def a_write_may_take_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a kill after a day passed at once and before the next commit, the blobs are a day younger than the last one.
    That is no sign of an older catalog here."""
    monkeypatch.setattr(rolled_back, "GRACE_MS", DAYS_OF_A_ROUND * 24 * 60 * 60 * 1000)


def run_rounds(tmp_path: Path, seeds: range) -> None:
    folder = tmp_path / "data"
    with bleepstore.open(folder) as store:
        store.create_bucket(BUCKET, object_lock=True)
        store.put_bucket_lifecycle(BUCKET, RULES)
    ledger = Ledger()
    for seed in seeds:
        print(f"crash round with seed {seed}")  # noqa: T201  # shown when it fails
        crash(folder, seed, ledger)
    check_nothing_is_left_over(folder)


def test_a_crash_loses_no_version(tmp_path: Path) -> None:
    run_rounds(tmp_path, range(1, 2))


@pytest.mark.slow
def test_forty_crashes_lose_no_version(tmp_path: Path) -> None:
    run_rounds(tmp_path, range(100, 140))
