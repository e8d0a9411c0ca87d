"""What the connections of a catalog are set to."""

from __future__ import annotations

from pathlib import Path

import pytest

from bleepstore.catalog.sqlite.connection import open_reader, open_writer

_MAPS = Path("/proc/self/maps")


@pytest.mark.skipif(not _MAPS.exists(), reason="what a process has mapped is asked of Linux")
def test_readers_map_the_database_and_the_writer_does_not(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    writer = open_writer(path)
    writer.execute("CREATE TABLE filler(data BLOB); INSERT INTO filler VALUES (zeroblob(100000))")
    writer.wal_checkpoint(mode=3)
    writer.execute("SELECT sum(length(data)), max(data) FROM filler").fetchall()
    assert not _is_mapped(path)
    reader = open_reader(path)
    reader.execute("SELECT max(data) FROM filler").fetchall()
    assert _is_mapped(path)
    reader.close()
    writer.close()


def _is_mapped(path: Path) -> bool:
    return any(line.endswith(f" {path}") for line in _MAPS.read_text().splitlines())
