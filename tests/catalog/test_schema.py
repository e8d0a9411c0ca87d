"""Opening catalogs: new, older, newer, foreign and damaged ones."""

from __future__ import annotations

import random
from pathlib import Path

import apsw
import pytest

import bleepstore
from bleepstore.catalog.sqlite import Catalog, schema
from bleepstore.errors import CatalogDamaged, CatalogTooNew, CatalogTooOld, StoreError
from bleepstore.model import Acl, Grant, Group, ObjectAttributes, Permission
from tests.catalog.conftest import Applier


def pragma(path: Path, name: str) -> object:
    connection = apsw.Connection(str(path))
    try:
        return connection.pragma(name)
    finally:
        connection.close()


def execute(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    try:
        connection.execute(sql)
    finally:
        connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


@pytest.fixture
def existing(path: Path) -> Path:
    """A catalog with a bucket and an object."""
    catalog = Catalog(path)
    apply = Applier(catalog)
    apply.create_bucket("photos")
    apply.put("photos", "k", b"data")
    catalog.close()
    return path


def keys(path: Path) -> list[str]:
    catalog = Catalog(path)
    try:
        with catalog.read() as reader:
            return [str(row[0]) for row in reader.connection.execute("SELECT key FROM object_version")]
    finally:
        catalog.close()


def test_a_new_catalog_has_the_present_schema(path: Path) -> None:
    Catalog(path).close()
    assert pragma(path, "user_version") == len(schema.MIGRATIONS)
    assert pragma(path, "application_id") == schema.APPLICATION_ID
    assert pragma(path, "journal_mode") == "wal"


def test_an_existing_catalog_is_opened_as_it_is(existing: Path) -> None:
    assert keys(existing) == ["k"]
    assert keys(existing) == ["k"]


def test_objects_are_keyed_by_bucket_key_and_version(existing: Path) -> None:
    connection = apsw.Connection(str(existing))
    columns = {row[1]: row[5] for row in connection.execute("PRAGMA table_info(object_version)")}
    connection.close()
    assert [name for name, position in columns.items() if position] == ["bucket_id", "noncurrent", "key", "sequence"]
    assert {"version_id", "is_delete_marker"} <= columns.keys()


def test_an_older_catalog_is_migrated_and_keeps_its_content(existing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    next_one = (
        "CREATE TABLE ceiling(bucket_id INTEGER PRIMARY KEY) STRICT; INSERT INTO ceiling SELECT bucket_id FROM bucket;"
    )
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, (2, next_one)))
    assert keys(existing) == ["k"]
    assert pragma(existing, "user_version") == len(schema.MIGRATIONS)
    connection = apsw.Connection(str(existing))
    assert connection.execute("SELECT count(*) FROM ceiling").get == 1
    connection.close()
    assert keys(existing) == ["k"], "and is not migrated twice"


def test_an_object_from_before_an_attribute_has_none_of_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new attribute is a column that a migration adds; NULL says that it is absent."""
    catalog = Catalog(path)
    apply = Applier(catalog)
    apply.create_bucket("photos")
    apply.put("photos", "k", attributes=ObjectAttributes(storage_class="GLACIER"))
    catalog.close()
    tables = ("object_version", "upload")
    execute(path, "".join(f"ALTER TABLE {table} DROP COLUMN grants;" for table in tables))  # as if it had never been
    added = "".join(f"ALTER TABLE {table} ADD COLUMN grants TEXT;" for table in tables)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, (2, added)))
    catalog = Catalog(path)
    try:
        with catalog.read() as reader:
            found = reader.find_object("photos", "k", with_data=False)
        assert found is not None
        assert found.version.attributes == ObjectAttributes(storage_class="GLACIER")
        grants = (Grant(Group.ALL_USERS, Permission.READ),)
        apply.catalog = catalog
        apply.put("photos", "k", attributes=ObjectAttributes(grants=grants))
        with catalog.read() as reader:
            found = reader.find_object("photos", "k", with_data=False)
        assert found is not None
        assert found.version.acl == Acl("alice", grants)
    finally:
        catalog.close()


def test_a_migration_that_fails_leaves_the_catalog_as_it_was(existing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = schema.MIGRATIONS
    broken = "CREATE TABLE ceiling(id INTEGER) STRICT; INSERT INTO no_such_table VALUES (1);"
    monkeypatch.setattr(schema, "MIGRATIONS", (*before, (2, broken)))
    with pytest.raises(apsw.SQLError):
        Catalog(existing)
    monkeypatch.setattr(schema, "MIGRATIONS", before)
    assert pragma(existing, "user_version") == len(before)
    assert keys(existing) == ["k"]


def test_a_newer_catalog_is_refused_and_untouched(existing: Path) -> None:
    execute(existing, "PRAGMA user_version = 999")
    with pytest.raises(CatalogTooNew, match="upgrade") as refused:
        Catalog(existing)
    assert isinstance(refused.value, StoreError)
    assert "999" in str(refused.value)
    assert pragma(existing, "user_version") == 999


def test_a_database_of_something_else_is_refused(path: Path) -> None:
    execute(path, "CREATE TABLE addresses(name TEXT)")
    with pytest.raises(CatalogDamaged, match="something else"):
        Catalog(path)
    assert pragma(path, "user_version") == 0


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"This is not a database, and it is long enough to have a header of a hundred bytes or more." * 20)
    before = path.read_bytes()
    with pytest.raises(CatalogDamaged, match="backup"):
        Catalog(path)
    assert path.read_bytes() == before


def test_a_damaged_schema_page_is_refused(existing: Path) -> None:
    """The first page after the header: the table of tables."""
    for suffix in ("-wal", "-shm"):
        existing.with_name(existing.name + suffix).unlink(missing_ok=True)
    damaged = bytearray(existing.read_bytes())
    damaged[100:4096] = random.Random(1).randbytes(3996)
    existing.write_bytes(damaged)
    with pytest.raises(CatalogDamaged):
        Catalog(existing)


def test_a_truncated_catalog_is_refused(existing: Path) -> None:
    size = existing.stat().st_size
    with existing.open("r+b") as file:
        file.truncate(size // 2)
    with pytest.raises(CatalogDamaged):
        keys(existing)


def test_a_store_in_use_by_an_older_version_is_not_brought_up_to_date(tmp_path: Path) -> None:
    """The older process would go on with tables that it does not know."""
    older = bleepstore.open(tmp_path)
    execute(tmp_path / "catalog.db", "PRAGMA user_version = 0")  # as if this were the first one of a newer version
    with pytest.raises(CatalogTooOld, match="in use by an older BleepStore"):
        bleepstore.open(tmp_path)
    assert pragma(tmp_path / "catalog.db", "user_version") == 0
    older.create_bucket("photos")
    older.close()
