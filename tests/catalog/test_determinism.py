"""The same commands make the same catalog, wherever and however they are applied."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from bleepstore import codec
from bleepstore import commands as c
from bleepstore.catalog.objects import new_version_id
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.connection import NONDETERMINISTIC, open_writer
from bleepstore.catalog.sqlite.reader import Reader
from bleepstore.commands import Command, Written
from bleepstore.configurations import ConfigurationKind
from bleepstore.digests import Algorithm
from bleepstore.model import (
    Acl,
    BlobRef,
    BucketSetting,
    Checksum,
    Data,
    Grant,
    Group,
    Inline,
    ObjectAttributes,
    Owner,
    PartSummary,
    Permission,
    Versioning,
    user_arns,
)
from bleepstore.preconditions import WriteCondition
from bleepstore.quotas import Quota, QuotaScope
from tests.catalog.conftest import Applier, apply_all, content
from tests.library.samples import COMMANDS

OWNERS = [Owner("alice", "Alice"), Owner("bob", ""), Owner("carol", "Carol")]


def random_commands(seed: int, count: int) -> Iterator[Command]:
    """A history of a store: names collide often, so that every command meets every state."""
    chance, creators = random.Random(seed), random.Random(seed)

    def acl() -> Acl:
        return Acl(chance.choice(OWNERS).id, (Grant(chance.choice(["alice", Group.ALL_USERS]), Permission.READ),))

    def condition() -> WriteCondition:
        return chance.choice([WriteCondition(), WriteCondition(if_none_match=True), WriteCondition(if_match="e1")])

    puts: list[tuple[dict[str, Any], str]] = []
    for number in range(count):
        stamp: dict[str, Any] = {"request_id": f"{number:08x}", "time_ms": 1000 + number}
        bucket: dict[str, Any] = {"bucket": chance.choice(["b1", "b2"])}
        where: dict[str, Any] = {**bucket, "key": chance.choice(["k1", "k2", "a/é", "a/\U0001f600"])}
        upload: dict[str, Any] = {**where, "upload_id": chance.choice(["u1", "u2"])}
        owner = chance.choice(OWNERS)
        etag = chance.choice(["e1", "e2"])
        version_id = chance.choice([None, None, "null"])
        creator_id = creators.choice([None, *(f"{user_arns(one.id)}/ann" for one in OWNERS)])
        match chance.randrange(14):
            case 0:
                yield c.CreateBucket(**stamp, **bucket, owner=owner, location="", acl=acl())
            case 1:
                yield c.DeleteBucket(**stamp, **bucket)
            case 2 | 3 | 4:
                data: Data = Inline(b"data") if chance.random() < 0.5 else BlobRef(f"h{number}")
                checksum = chance.choice([None, Checksum(Algorithm.CRC32, "AAAAAA==")])
                metadata = chance.choice([{}, {"b": "2", "a": "1"}])
                puts.append((where, new_version_id(stamp["request_id"])))
                yield c.PutObject(
                    **stamp, **where, owner=owner, creator_id=creator_id, size=4, etag=etag, data=data,
                    stored_ms=1000 + number,
                    attributes=ObjectAttributes(metadata=metadata), checksum=checksum, condition=condition(),
                )  # fmt: skip
            case 5:
                if puts and chance.random() < 0.6:  # a version that may well be there
                    where, version_id = chance.choice(puts[-8:])
                yield c.DeleteObject(
                    **stamp,
                    **where,
                    version_id=version_id,
                    owner=chance.choice([None, owner]),
                    creator_id=creator_id,
                    condition=chance.choice([WriteCondition(), WriteCondition(if_match="*")]),
                )
            case 6:
                keys = chance.choices(["k1", "k2", "a/é"], k=3)
                entries = tuple(c.DeleteEntry(key=key, version_id=version_id) for key in keys)
                yield c.DeleteObjects(**stamp, **bucket, entries=entries)
            case 7:
                yield c.PutObjectAcl(**stamp, **where, version_id=version_id, acl=acl())
            case 8:
                yield c.CreateUpload(
                    **stamp, **where, upload_id=f"u{chance.randrange(3)}-{number}", owner=owner, initiator=owner
                )
                yield c.CreateUpload(
                    **{**stamp, "request_id": f"{number:08x}b"},
                    **where,
                    upload_id=f"x{number}",
                    owner=owner,
                    initiator=owner if creator_id is None else Owner(creator_id, "ann"),
                )
                yield c.RegisterPart(
                    **{**stamp, "request_id": f"{number:08x}c"}, **where, upload_id=f"x{number}", number=1, size=4,
                    etag=etag, handle=f"p{number}", stored_ms=1000 + number,
                )  # fmt: skip
            case 9:
                found = number - chance.randrange(1, 10)
                yield c.CompleteUpload(
                    **stamp, **{**upload, "upload_id": f"x{found}"},
                    assembled=(c.AssembledPart(number=1, handle=f"p{found}"),), parts=(PartSummary(1, 4),),
                    size=4, etag=etag, handle=f"h{number}", stored_ms=1000 + number, condition=condition(),
                )  # fmt: skip
            case 10:
                yield c.AbortUpload(**stamp, **{**upload, "upload_id": f"x{number - chance.randrange(1, 10)}"})
            case 11:
                versioning = chance.choice([Versioning.ENABLED, Versioning.ENABLED, Versioning.SUSPENDED])
                yield c.PutBucketVersioning(**stamp, **bucket, versioning=versioning)
            case 12:
                tags = chance.choice([None, {}, {"a": "1"}, {"b": "2", "a": "1"}])
                yield c.PutBucketSetting(**stamp, **bucket, setting=BucketSetting("tags", tags))
                document = chance.choice([None, '{"Id":"a"}', '{"Id":"a","Filter":{"Prefix":"b"}}'])
                configuration = {**stamp, "request_id": f"{number:08x}c"}
                yield c.PutBucketConfiguration(
                    **configuration, **bucket, kind=ConfigurationKind.METRICS, id="a", document=document
                )
                quota = {**stamp, "request_id": f"{number:08x}d"}
                limit = chance.choice([None, 60, 1000])
                yield c.PutQuota(**quota, scope=QuotaScope.BUCKET, name=bucket["bucket"], quota=Quota(max_bytes=limit))
                quota["request_id"] += "e"
                limits = chance.choice([None, Quota(), Quota(max_objects=limit)])
                yield c.PutQuota(**quota, scope=QuotaScope.ACCOUNT, name=owner.id, quota=limits)
                quota["request_id"] += "f"
                yield c.CreateUser(**quota, account=owner, name="ann", path="/", user_id="AIDA")
                quota["request_id"] += "g"
                ann = f"{user_arns(owner.id)}/ann"
                yield c.PutQuota(**quota, scope=QuotaScope.USER, name=ann, quota=limits and Quota())
                tag = {**stamp, "request_id": f"{number:08x}b"}
                yield c.PutObjectTags(**tag, **where, version_id=version_id, tags=tags or {})
            case _:
                yield c.BeginSweep(**stamp, until_ms=1000 + number - chance.randrange(5))


def check_versions(connection: apsw.Connection) -> None:
    """What every catalog must be, whatever was applied to it."""
    rows = connection.execute(
        "SELECT bucket_id, key, noncurrent, is_delete_marker, version_id, handle FROM object_version "
        "ORDER BY bucket_id, key, sequence"
    ).fetchall()
    assert len({(row[0], row[1], row[4]) for row in rows}) == len(rows), "an id twice"
    latest = None
    for row in rows:
        is_latest, latest = row[:2] != latest, row[:2]
        assert (row[2] == 0) == (is_latest and row[3] == 0), "the current version is the latest, if that is an object"
    handles = [row[5] for row in rows if row[5] is not None]
    handles += [handle for (handle,) in connection.execute("SELECT handle FROM garbage UNION SELECT handle FROM part")]
    assert len(handles) == len(set(handles)), "garbage that is in use"
    quotas = Reader(connection)
    for counted in quotas.list_quotas():
        assert counted.usage == quotas.count_quota(counted.scope, counted.name), counted


@pytest.mark.parametrize("seed", range(4))
def test_equal_commands_make_equal_catalogs(seed: int, tmp_path: Path) -> None:
    """One by one, in batches of any size, and after a way through the log: the same content and the same results."""
    history = list(random_commands(seed, 600))
    chance = random.Random(seed)
    one_by_one, batched, replayed = Catalog(None), Catalog(tmp_path / "a.db"), Catalog(None)
    try:
        results = [apply_all(one_by_one, [command])[0] for command in history]
        assert sum(isinstance(result, Written) for result in results) > 40, "the history must do something"
        in_batches = []
        rest = history
        while rest:
            size = chance.randrange(1, 50)
            in_batches += apply_all(batched, rest[:size])
            rest = rest[size:]
        again = [codec.decode_command(codec.encode_command(command)) for command in history]
        assert again == history
        assert in_batches == results == apply_all(replayed, again)
        contents = []
        for catalog in (one_by_one, batched, replayed):
            with catalog.read() as reader:
                contents.append(content(reader.connection))
                check_versions(reader.connection)
        assert contents[0] == contents[1] == contents[2]
    finally:
        for catalog in (one_by_one, batched, replayed):
            catalog.close()


@pytest.mark.parametrize("seed", range(2))
def test_every_command_applied_twice_gives_its_first_result_and_changes_nothing(seed: int) -> None:
    history = list(random_commands(seed, 300))
    once, twice = Catalog(None), Catalog(None)
    try:
        first = [apply_all(once, [command])[0] for command in history]
        for command, result in zip(history, first, strict=True):
            assert apply_all(twice, [command]) == [result]
            assert apply_all(twice, [command, command]) == [result, result]
        with once.read() as reader:
            expected = content(reader.connection)
        with twice.read() as reader:
            repeated = content(reader.connection)
        for table, rows in expected.items():
            if table not in ("state", "applied_request"):  # the index counts repetitions too
                assert repeated[table] == rows, table
    finally:
        once.close()
        twice.close()


def test_a_retry_is_recognised_after_other_commands(apply: Applier) -> None:
    put = c.PutObject(
        request_id="r1",
        time_ms=5,
        bucket="photos",
        key="k",
        owner=OWNERS[0],
        size=1,
        etag="e",
        data=Inline(b"1"),
        condition=WriteCondition(if_none_match=True),
    )
    first = apply(put)
    assert first == Written(None, 5)
    apply.delete("photos", "k")
    apply.put("photos", "other")
    assert apply(put) == first, "a retry must not be evaluated again"
    assert apply.rows("SELECT count(*) FROM object_version WHERE key = 'k'") == [(0,)]


@pytest.mark.parametrize("full", [True, False], ids=["full", "minimal"])
def test_every_kind_of_command_can_be_applied_to_an_empty_catalog(full: bool) -> None:
    """No command is too odd for the state machine: it answers with a result, never with an exception."""
    catalog = Catalog(None)
    try:
        for pair in COMMANDS.values():
            (result,) = apply_all(catalog, [pair[0 if full else 1]])
            assert codec.decode_result(codec.encode_result(result)) == result
    finally:
        catalog.close()


CALLS = {
    "date": "date('now')",
    "time": "time('now')",
    "strftime": "strftime('%s', 'now')",
    "timediff": "timediff('now', 'now')",
    "randomblob": "randomblob(4)",
    "current_date": "current_date",
    "current_time": "current_time",
    "current_timestamp": "CURRENT_TIMESTAMP",
}


@pytest.mark.parametrize("function", sorted(NONDETERMINISTIC))
def test_a_function_that_is_not_deterministic_is_refused_where_commands_are_applied(function: str) -> None:
    connection = open_writer(None)
    plain = apsw.Connection(":memory:")
    try:
        sql = f"SELECT {CALLS.get(function, f'{function}()')}"
        plain.execute(sql)  # it is a real function of SQLite
        with pytest.raises((apsw.AuthError, apsw.SQLError)):
            connection.execute(sql)
        with pytest.raises((apsw.AuthError, apsw.SQLError)):
            connection.execute(
                f"CREATE TABLE t(x DEFAULT ({CALLS.get(function, f'{function}()')})); INSERT INTO t DEFAULT VALUES"
            )
    finally:
        connection.close()
        plain.close()


def test_deterministic_functions_are_allowed() -> None:
    connection = open_writer(None)
    try:
        assert connection.execute("SELECT max(1, 2), lower('A'), json('[1]'), count(*)").fetchone() == (
            2,
            "a",
            "[1]",
            1,
        )
    finally:
        connection.close()
