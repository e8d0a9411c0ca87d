"""The versions of a key: their order is the key's own, and older ones cost a listing nothing."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from bleepstore.catalog.apply import apply as apply_command
from bleepstore.catalog.records import StoredVersion
from bleepstore.catalog.sqlite import Catalog
from bleepstore.commands import Command, PutBucketSetting, PutBucketVersioning, PutObject, Written
from bleepstore.errors import ConditionalRequestConflict
from bleepstore.model import BlobRef, BucketSetting, Inline, UploadToken, Versioning
from bleepstore.object_lock import DefaultRetention, ObjectLock, RetentionMode
from bleepstore.preconditions import WriteCondition
from bleepstore.testing.catalog_commands import Commands
from tests.catalog.conftest import ALICE, Applier
from tests.catalog.test_listing import Steps


def put(version_id: str, **fields: Any) -> PutObject:
    fields = {"time_ms": 5, "data": Inline(version_id.encode()), **fields}
    size, etag = len(version_id), f"etag-{version_id}"
    return PutObject(request_id="r", bucket="photos", key="k", owner=ALICE, size=size, etag=etag, **fields)


def write(catalog: Catalog, *commands: PutObject) -> list[StoredVersion]:
    """Write each of `commands` as a version of its own, all in one transaction; returns them as they were current. The
    ids are v1, v2, ..."""
    written = []
    with catalog.transaction() as tables:
        bucket = tables.find_bucket("photos")
        assert bucket is not None
        for number, command in enumerate(commands, start=1):
            current = tables.current_version(bucket.bucket_id, "k")
            if current is not None:
                tables.make_noncurrent(bucket.bucket_id, "k", current, command.time_ms)
            sequence = max(command.time_ms, 0 if current is None else current.sequence + 1)
            tables.write_version(bucket.bucket_id, command, f"v{number}", sequence, None)
            found = tables.current_version(bucket.bucket_id, "k")
            assert found is not None
            written.append(found)
    return written


def test_one_transaction_writes_several_versions_of_a_key(apply: Applier, catalog: Catalog) -> None:
    first, second = write(catalog, put("v1"), put("v2"))
    assert (first.version_id, second.version_id) == ("v1", "v2")
    assert first.sequence < second.sequence
    assert first.inline_id != second.inline_id
    rows = apply.rows("SELECT version_id, noncurrent, data FROM object_version NATURAL JOIN inline_data ORDER BY 2")
    assert rows == [("v2", 0, b"v2"), ("v1", 1, b"v1")]
    with catalog.read() as reader:
        found = reader.find_object("photos", "k", with_data=True)
        assert found is not None
        assert (found.version.version_id, found.data) == ("v2", b"v2")
        assert [listed.etag for listed in reader.list_objects("photos", "", "", "", 10).objects] == ["etag-v2"]


def test_versions_stay_in_order_when_the_clock_goes_back(apply: Applier, catalog: Catalog) -> None:
    versions = write(catalog, put("v1", time_ms=1000), put("v2", time_ms=10), put("v3", time_ms=5000))
    assert [version.sequence for version in versions] == [1000, 1001, 5000]


def test_the_order_does_not_depend_on_what_else_is_in_the_log(apply: Applier, catalog: Catalog) -> None:
    apply.put("photos", "k")
    before = apply.rows("SELECT * FROM object_version")
    other = Catalog(None)
    applier = Applier(other)
    applier.create_bucket("photos")
    other.apply([put("null", time_ms=1) for _ in range(3)])
    with other.transaction() as tables:
        tables.remove_version(1, "k", tables.current_version(1, "k") or pytest.fail("it was just written"))
    applier.put("photos", "k")
    assert applier.rows("SELECT * FROM object_version") == before
    other.close()


def test_a_key_that_was_deleted_and_written_again_has_changed(apply: Applier) -> None:
    """An upload that began before must find out, though the key's versions were counted anew."""
    apply.put("photos", "k", b"data")
    apply.create_upload("photos", "k", "u1")
    apply.register("photos", "k", "u1", 1, "h1")
    apply.delete("photos", "k")
    apply.put("photos", "k", b"data")
    refused = apply.complete("photos", "k", "u1", {1: "h1"}, "h", condition=WriteCondition(if_match="etag-4"))
    assert isinstance(refused, ConditionalRequestConflict)


def test_inline_bytes_are_kept_apart_from_the_order_of_commands(apply: Applier) -> None:
    for data in (b"1", b"22", "handle", b"333", b""):
        apply.put("photos", "k", data)
        apply.put("photos", "other", data)
    assert apply.rows("SELECT count(*), count(DISTINCT inline_id) FROM object_version") == [(2, 2)]
    assert apply.rows("SELECT data FROM inline_data") == [(b"",), (b"",)]
    assert apply.garbage() == [("handle", None), ("handle", None)]


# -- cost


def filled(path: Path, noncurrent: int) -> Catalog:
    """Three objects, of one of which there are so many older versions, and so many keys with a delete marker alone."""
    catalog = Catalog(path)
    apply = Applier(catalog)
    apply.create_bucket("photos")
    for key in ("a", "k", "z"):
        apply.put("photos", key)
    connection = apsw.Connection(str(path))
    with connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO object_version "
            "(bucket_id, noncurrent, key, sequence, version_id, is_delete_marker, modified_ms, etag, size, owner_id) "
            "SELECT 1, 1, 'k', -i, 'v' || i, 0, 1, 'd41d8cd98f00b204e9800998ecf8427e', 0, 'alice' FROM n UNION ALL "
            "SELECT 1, 1, 'k' || i, -i, 'v' || i, 1, 1, '', 0, 'alice' FROM n",
            (noncurrent,),
        )
        connection.execute("UPDATE bucket SET versioning = 'Enabled'")
    connection.close()
    return catalog


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Catalogs with few and with many older versions of a key."""
    paths = [tmp_path_factory.mktemp("made") / "few.db", tmp_path_factory.mktemp("made") / "many.db"]
    for path, noncurrent in zip(paths, (2, 100_000), strict=True):
        filled(path, noncurrent).close()
    return paths


@pytest.fixture
def catalogs(made: list[Path], tmp_path: Path) -> Iterator[list[Catalog]]:
    """Copies of them."""
    with contextlib.ExitStack() as stack:
        paths = [Path(shutil.copy(path, tmp_path)) for path in made]
        yield [stack.enter_context(contextlib.closing(Catalog(path))) for path in paths]


QUESTIONS: dict[str, Callable[[Any], Any]] = {
    "a listing": lambda reader: reader.list_objects("photos", "", "", "", 1000),
    "a listing of a prefix": lambda reader: reader.list_objects("photos", "k", "", "", 1000),
    "a listing with a delimiter": lambda reader: reader.list_objects("photos", "", "/", "a", 1000),
    "a read": lambda reader: reader.find_object("photos", "k", with_data=True),
    "a read of a version": lambda reader: reader.find_version("photos", "k", "v1", with_data=True),
    "a read of the null version": lambda reader: reader.find_version("photos", "k1", "null", with_data=True),
    "the latest version": lambda reader: reader.latest_version("photos", "k1"),
    "the first versions": lambda reader: reader.list_versions("photos", "", "", "", "", 2),
    "versions of a prefix": lambda reader: reader.list_versions("photos", "z", "", "", "", 2),
    "versions behind one": lambda reader: reader.list_versions("photos", "", "", "k", "v2", 1),
    "versions behind a key": lambda reader: reader.list_versions("photos", "", "", "k1", "", 1),
    "rolled up versions": lambda reader: reader.list_versions("photos", "", "k", "", "", 3),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_older_versions_of_a_key_cost_nothing(catalogs: list[Catalog], question: str) -> None:
    counts = []
    for catalog in catalogs:
        with catalog.read() as reader, Steps(reader.connection) as steps:
            QUESTIONS[question](reader)
        counts.append(steps.count)
    assert counts[1] <= counts[0] + 2, f"{question}: {counts} tens of steps, with 2 and 100,000 older versions"


def test_a_write_meets_no_older_version(catalogs: list[Catalog]) -> None:
    counts = []
    for catalog in catalogs:
        with catalog.transaction() as tables, Steps(tables.connection) as steps:
            tables.write_version(1, put("null", data=BlobRef("h")), "null", 99, tables.current_version(1, "k"))
        counts.append(steps.count)
    assert counts[1] <= counts[0] + 2


CHANGES: dict[str, Callable[[Commands], Command]] = {
    "a write": lambda commands: commands.put("k", "h"),
    "a delete": lambda commands: commands.delete("k"),
    "a delete of a version": lambda commands: commands.delete("k", version_id="v" * 32),
    "a delete of a delete marker": lambda commands: commands.delete("k1", version_id="v" * 32),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("versioning", ["Enabled", "Suspended"])
def test_a_change_meets_no_older_version(catalogs: list[Catalog], change: str, versioning: str) -> None:
    counts = []
    for catalog in catalogs:
        commands = Commands()
        with catalog.transaction() as tables:
            tables.connection.execute("UPDATE bucket SET versioning = ?", (versioning,))
            sql = "UPDATE object_version SET version_id = ? WHERE version_id = 'v1'"
            tables.connection.execute(sql, ("v" * 32,))
            with Steps(tables.connection) as steps:
                apply_command(tables, CHANGES[change](commands))
        counts.append(steps.count)
    assert counts[1] <= counts[0] + 3, f"{change}: {counts} tens of steps, with 2 and 100,000 older versions"


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (lambda reader: reader.list_objects("photos", "a", "", "", 10), "PRIMARY KEY (bucket_id=? AND noncurrent=?"),
        (lambda reader: reader.find_object("photos", "k", with_data=False), "(bucket_id=? AND noncurrent=? AND key=?)"),
        (lambda reader: reader.expired_uploads(10, 10), "INDEX upload_age (initiated_ms<?)"),
        (lambda reader: reader.is_referenced(UploadToken("t")), "INDEX upload_token (backend_token=?)"),
        (
            lambda reader: reader.find_version("photos", "k", "v", with_data=False),
            "INDEX version_id (bucket_id=? AND key=? AND version_id=?)",
        ),
        (lambda reader: reader.list_versions("photos", "a", "", "", "", 10), "MERGE (UNION ALL)"),
    ],
    ids=["listing", "read", "expired uploads", "tokens", "version", "versions"],
)
def test_a_question_is_answered_by_an_index(catalog: Catalog, ask: Callable[[Any], Any], index: str) -> None:
    asked: list[tuple[str, Any]] = []

    def trace(_cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
        asked.append((sql, bindings))
        return True

    with catalog.read() as reader:
        reader.connection.exec_trace = trace
        ask(reader)
        reader.connection.exec_trace = None
        ((sql, bindings),) = asked
        plan = [str(row[3]) for row in reader.connection.execute(f"EXPLAIN QUERY PLAN {sql}", bindings)]
    assert any(index in step for step in plan), plan
    assert not any("TEMP B-TREE" in step or step.startswith("SCAN") for step in plan if "CONSTANT" not in step), plan


@pytest.mark.usefixtures("apply")
def test_a_write_over_an_object_needs_no_table_of_its_own(catalog: Catalog) -> None:
    """Not knowing that there is one row of a key, SQLite notes the rows in a table before it changes the first."""
    catalog.apply([put("v1")])
    asked: list[tuple[str, Any]] = []

    def trace(_cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
        asked.append((sql, bindings))
        return True

    with catalog.transaction() as tables:
        connection = tables.connection
    connection.exec_trace = trace
    catalog.apply([put("v2")])
    connection.exec_trace = None
    updates = [(sql, bindings) for sql, bindings in asked if sql.startswith("UPDATE")]
    assert len(updates) == 3
    for sql, bindings in updates:
        steps = [row[1] for row in connection.execute(f"EXPLAIN {sql}", bindings)]
        assert "OpenEphemeral" not in steps, sql


def test_a_completion_applied_again_has_the_retention_that_it_gave(apply: Applier, catalog: Catalog) -> None:
    """Two clients complete an upload at once: both learn of the default retention of the bucket."""
    apply.create_bucket("photos")
    commands, default = Commands(), DefaultRetention(RetentionMode.GOVERNANCE, days=1)
    lock = BucketSetting("object_lock", ObjectLock(default))
    first, second = (commands.complete("k", "u", {1: "p1"}, handle) for handle in ("h1", "h2"))
    *_, written, again = catalog.apply(
        [
            PutBucketVersioning(**commands.stamp(), bucket="photos", versioning=Versioning.ENABLED),
            PutBucketSetting(**commands.stamp(), bucket="photos", setting=lock),
            commands.create_upload("k", "u"),
            commands.part("k", "u", 1, "p1"),
            first,
            second,
        ]
    )
    assert isinstance(written, Written)
    assert written.retention is not None
    assert again == written
