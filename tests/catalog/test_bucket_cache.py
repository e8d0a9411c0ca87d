"""A bucket that is kept is the bucket that a query would find, whatever any process did."""

from __future__ import annotations

import contextlib
import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from bleepstore import commands as c
from bleepstore.catalog.apply import apply
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.shared import BucketCache, Life
from bleepstore.catalog.sqlite.tables import SqliteTables
from bleepstore.commands import Command
from bleepstore.model import Acl, Bucket, BucketSetting, Grant, Inline, Owner, Permission, Versioning
from bleepstore.ownership import ObjectOwnership
from bleepstore.quotas import Quota, QuotaScope

NAMES = ("alpha", "beta", "gamma")


def _asked(catalog: Catalog, name: str) -> Bucket | None:
    with catalog.read() as reader:
        return reader.find_bucket(name)


def _stamp(number: int) -> dict[str, Any]:
    return {"request_id": f"{number:012x}-test", "time_ms": 1_000_000 + number}


def _random_command(chance: random.Random, number: int) -> Command:
    stamp = _stamp(number)
    name = chance.choice(NAMES)
    owner = Owner(chance.choice(("alice", "bob")), chance.choice(("A", "B", "C")))
    match chance.randrange(10):
        case 0:
            return c.CreateBucket(**stamp, bucket=name, owner=owner, location="", acl=Acl.private(owner.id))
        case 1:
            return c.DeleteBucket(**stamp, bucket=name)
        case 2:
            grants = (Grant("carol", chance.choice((Permission.READ, Permission.WRITE))),)
            return c.PutBucketAcl(**stamp, bucket=name, acl=Acl(owner.id, grants))
        case 3:
            return c.PutCredential(**stamp, access_key="k", secret_key="s", owner=owner)
        case 4:
            setting = BucketSetting("tags", chance.choice((None, {"a": "1"}, {"b": "2"})))
            return c.PutBucketSetting(**stamp, bucket=name, setting=setting)
        case 5:
            setting = BucketSetting("ownership", chance.choice(tuple(ObjectOwnership)))
            return c.PutBucketSetting(**stamp, bucket=name, setting=setting)
        case 6:
            return c.PutBucketVersioning(**stamp, bucket=name, versioning=chance.choice(tuple(Versioning)))
        case 7:
            scope, whose = chance.choice(((QuotaScope.BUCKET, name), (QuotaScope.ACCOUNT, owner.id)))
            return c.PutQuota(**stamp, scope=scope, name=whose, quota=chance.choice((None, Quota(max_objects=100))))
        case 8:
            return c.DeleteObject(**stamp, bucket=name, key="k")
        case _:
            return c.PutObject(**stamp, bucket=name, key="k", data=Inline(b""), owner=owner, size=0, etag="e")


def test_an_owner_that_another_process_renamed_is_named_again(tmp_path: Path) -> None:
    one, other = (Catalog(tmp_path / "catalog.db") for _ in range(2))

    def write(catalog: Catalog, number: int, name: str) -> None:
        command = c.PutCredential(**_stamp(number), access_key=f"k{number}", secret_key="s", owner=Owner("alice", name))
        catalog.apply([command])

    for number, (catalog, name) in enumerate([(one, "A"), (one, "A"), (other, "B"), (one, "A"), (other, "B")]):
        write(catalog, number, name)
        with one.read() as reader:
            assert reader.find_owner("alice") == Owner("alice", name)
    with contextlib.suppress(RuntimeError), one.transaction() as tables:
        for _ in range(2):
            tables.remember_owner(Owner("bob", "C"))
        raise RuntimeError
    with one.transaction() as tables:
        for name in ("C", "D", "C"):
            tables.remember_owner(Owner("alice", name))
            tables.remember_owner(Owner("bob", name))
    with other.read() as reader:
        assert [reader.find_owner(owner) for owner in ("alice", "bob")] == [Owner("alice", "C"), Owner("bob", "C")]
    one.close()
    other.close()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("processes", [0, 3], ids=["memory", "file"])
def test_it_is_what_a_query_finds(tmp_path: Path, processes: int, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "catalog.db"
    catalogs = [Catalog(path) for _ in range(processes)] or [Catalog(None)]
    for number in range(60):
        writer = chance.choice(catalogs)
        writer.apply([_random_command(chance, number) for _ in range(chance.randint(1, 3))])
        for catalog in chance.sample(catalogs, len(catalogs) // 2 + 1):
            for name in NAMES:
                assert catalog.find_bucket(name) == _asked(catalog, name)
    for catalog in catalogs:
        catalog.close()


class UndoneError(Exception):
    """Ends a transaction."""


def _assert_commands_find(catalog: Catalog) -> None:
    with catalog.transaction() as tables:
        query = SqliteTables(tables.connection, lambda: None)
        query.watches_all = tables.watches_all
        for name in NAMES:
            assert tables.find_bucket(name) == query.find_bucket(name)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("processes", [0, 3], ids=["memory", "file"])
def test_commands_find_what_a_query_finds(tmp_path: Path, processes: int, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "catalog.db"
    catalogs = [Catalog(path) for _ in range(processes)] or [Catalog(None)]
    for number in range(60):
        writer = chance.choice(catalogs)
        commands = [_random_command(chance, number) for _ in range(chance.randint(1, 3))]
        if chance.randrange(3):
            writer.apply(commands)
        else:
            with contextlib.suppress(UndoneError), writer.transaction() as tables:
                for command in commands:
                    apply(tables, command)
                raise UndoneError
        for catalog in chance.sample(catalogs, len(catalogs) // 2 + 1):
            _assert_commands_find(catalog)
    for catalog in catalogs:
        catalog.close()


def test_a_transaction_after_another_asks_for_no_bucket_again() -> None:
    catalog = Catalog(None)
    owner = Owner("alice", "A")
    catalog.apply([c.CreateBucket(**_stamp(0), bucket="photos", owner=owner, location="", acl=Acl.private("alice"))])
    put = c.PutObject(**_stamp(1), bucket="photos", key="k", data=Inline(b""), owner=owner, size=0, etag="e")
    catalog.apply([put])
    asked: list[str] = []

    def note(_cursor: object, sql: str, _bindings: object) -> bool:
        asked.append(sql)
        return True

    with catalog.transaction() as tables:
        tables.connection.exec_trace = note
    catalog.apply([put, put])
    assert asked
    assert not [sql for sql in asked if "FROM bucket b" in sql]
    catalog.close()


def test_nobody_finds_an_older_bucket_after_a_newer(tmp_path: Path) -> None:
    owner = Owner("alice", "0")
    writer, *readers = [Catalog(tmp_path / "catalog.db") for _ in range(3)]
    writer.apply([c.CreateBucket(**_stamp(0), bucket="photos", owner=owner, location="", acl=Acl.private("alice"))])
    last_seen, ended, failures = 0, threading.Event(), []
    lock = threading.Lock()

    def read(catalog: Catalog) -> None:
        nonlocal last_seen
        while not ended.is_set():
            before = last_seen
            found = catalog.find_bucket("photos")
            assert found is not None
            seen = int(found.owner.display_name)
            if seen < before:
                failures.append((before, seen))
            with lock:
                last_seen = max(last_seen, seen)

    threads = [threading.Thread(target=read, args=(catalog,)) for catalog in readers for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1, 200):
        renamed = Owner("alice", str(number))
        writer.apply([c.PutCredential(**_stamp(number), access_key="k", secret_key="s", owner=renamed)])
        with lock:
            last_seen = max(last_seen, number)  # acknowledged
    ended.set()
    for thread in threads:
        thread.join()
    for catalog in (writer, *readers):
        catalog.close()
    assert not failures


class Asked:
    """A cache over a query that counts, and finds a bucket of any name."""

    def __init__(self, file: int | None) -> None:
        self.count = 0
        self.cache = BucketCache(file, Life(), self._ask)

    def _ask(self, name: str) -> Bucket:
        self.count += 1
        return Bucket(name, Owner("alice", ""), 1, "", id=1, acl=Acl.private("alice"))

    def is_kept(self, name: str) -> bool:
        before = self.count
        assert self.cache.find(name) == self._ask(name)
        return self.count == before + 1


def test_a_writer_that_was_killed_before_its_end(tmp_path: Path) -> None:
    file = os.open(tmp_path / "counter", os.O_RDWR | os.O_CREAT)
    Asked(file).cache.begin()
    asked = Asked(file)
    assert not asked.is_kept("photos")
    assert not asked.is_kept("photos")
    asked.cache.end()
    assert not asked.is_kept("photos")
    assert asked.is_kept("photos")
    Asked(file).cache.begin()
    assert not asked.is_kept("photos")
    os.close(file)


def test_it_is_bounded() -> None:
    asked = Asked(None)
    for number in range(3_000):
        asked.cache.find(str(number))
    assert len(asked.cache._kept) <= 1024
    assert asked.is_kept("2999")


def test_nothing_is_kept_by_one_that_is_closed() -> None:
    asked = Asked(None)
    asked.cache.find("photos")
    asked.cache.close()
    assert not asked.is_kept("photos")
