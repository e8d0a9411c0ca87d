"""Statements are planned once, however often other values are bound: planning takes longer than most queries."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.connection import open_reader, open_writer
from bleepstore.catalog.sqlite.reader import Reader
from bleepstore.catalog.sqlite.schema import migrate


@pytest.mark.parametrize("kind", ["writer", "reader", "memory"])
def test_a_query_is_planned_once(tmp_path: Path, kind: str) -> None:
    path = None if kind == "memory" else tmp_path / "catalog.db"
    writer = open_writer(path)
    migrate(writer)
    connection = writer if path is None or kind == "writer" else open_reader(path)
    planned: list[int] = []

    def count(action: int, *_: str | None) -> int:
        planned.append(action)
        return apsw.SQLITE_OK

    connection.authorizer = count  # SQLite asks it while it plans
    reader = Reader(connection)
    reader.find_object("bucket", "key", with_data=True)
    assert planned
    planned.clear()
    for number in range(10):
        reader.find_object(f"bucket-{number}", f"key-{number}", with_data=True)
    assert planned == []
    connection.close()
    writer.close()


def test_a_catalog_in_memory_makes_its_tables_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Catalog(None).close()
    monkeypatch.setattr("bleepstore.catalog.sqlite.blank.migrate", lambda _connection: pytest.fail("made anew"))
    catalog = Catalog(None)
    with catalog.read() as reader:
        assert reader.applied_index() == 0
    catalog.close()
