"""What versions cost, in steps of SQLite's machine: pages of many, deletes of many, buckets without any."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from bleepstore.catalog.apply import apply
from bleepstore.catalog.sqlite import Catalog
from bleepstore.commands import DeleteEntry, DeleteObjects, RemovedMany
from bleepstore.model import Versioning
from tests.catalog.conftest import Applier
from tests.catalog.test_listing import Steps
from tests.catalog.test_versions import filled

_ROWS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO object_version "
    "(bucket_id, noncurrent, key, sequence, version_id, is_delete_marker, modified_ms, etag, size, owner_id) "
    "SELECT 1, 0, printf('k%07d', i), -i, CASE WHEN ? THEN printf('%032d', i) ELSE 'null' END, 0, i, 'e', 0, 'alice' "
    "FROM n"
)


def steps_of_all_pages(path: Path, count: int) -> int:
    """To page through `count` older versions of one key, and as many keys with a delete marker."""
    catalog = filled(path, count)
    key = version_id = ""
    shown = 0
    with catalog.read() as reader, Steps(reader.connection) as steps:
        while True:
            page = reader.list_versions("photos", "", "", key, version_id, 1000)
            shown += len(page.versions)
            if page.next_key is None:
                break
            key, version_id = page.next_key, page.next_version_id or ""
    catalog.close()
    assert shown == 2 * count + 3
    return steps.count


def check_paging(tmp_path: Path, few: int, many: int) -> None:
    """As much for each version, however many there are."""
    counts = [steps_of_all_pages(tmp_path / f"{count}.db", count) for count in (few, many)]
    assert counts[1] < 1.1 * many / few * counts[0]


def test_paging_versions_is_linear(tmp_path: Path) -> None:
    check_paging(tmp_path, 2_000, 20_000)


@pytest.mark.slow
def test_paging_a_million_versions_is_linear(tmp_path: Path) -> None:
    check_paging(tmp_path, 5_000, 500_000)


def with_objects(path: Path, count: int, versioning: Versioning | None) -> Catalog:
    catalog = Catalog(path)
    Applier(catalog).create_bucket("photos")
    connection = apsw.Connection(str(path))
    with connection:
        connection.execute(_ROWS, (count, versioning is not None))
        connection.execute("UPDATE bucket SET versioning = ?", (versioning and versioning.value,))
    connection.close()
    return catalog


def steps_of_deletes(path: Path, count: int, versioning: Versioning | None) -> int:
    catalog = with_objects(path, count, versioning)
    entries = tuple(
        DeleteEntry(key=f"k{number:07d}", version_id=None if versioning is None else f"{number:032d}")
        for number in range(1, 1001)
    )
    command = DeleteObjects(request_id="r", time_ms=10**12, bucket="photos", entries=entries)
    with catalog.transaction() as tables, Steps(tables.connection) as steps:
        removed = apply(tables, command)
        assert isinstance(removed, RemovedMany)
        left = tables.connection.execute("SELECT count(*) FROM object_version").get
    catalog.close()
    assert left == count - 1000
    return steps.count


def test_deletes_of_versions_keep_up_with_those_of_objects(tmp_path: Path) -> None:
    """Of a thousand: in a large bucket as in a small one, and at most three times as much as without versions. A
    version is found by its id, and the next one of its key is looked for."""
    plain = steps_of_deletes(tmp_path / "plain.db", 20_000, None)
    few = steps_of_deletes(tmp_path / "few.db", 2_000, Versioning.ENABLED)
    many = steps_of_deletes(tmp_path / "many.db", 20_000, Versioning.ENABLED)
    assert many < 1.1 * few
    assert many < 3 * plain
