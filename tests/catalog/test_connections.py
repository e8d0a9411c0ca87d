"""What the connections of a catalog are set to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.connection import open_writer
from bleepstore.catalog.sqlite.reader import QUIET_READS

#: Executes each line of its input.
WRITER = """
import sys
import apsw
writer = apsw.Connection(sys.argv[1])
for statement in sys.stdin:
    writer.execute(statement)
    print(flush=True)
"""
_MAPS = Path("/proc/self/maps")
pytestmark = pytest.mark.skipif(not _MAPS.exists(), reason="what a process has mapped is asked of Linux")


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A catalog's file, which has all that its log had."""
    path = tmp_path / "catalog.db"
    Catalog(path).close()
    return path


def _read(catalog: Catalog, times: int = 2 * QUIET_READS) -> None:
    for _ in range(times + 1):
        with catalog.read() as reader:
            reader.find_bucket("photos")


def test_the_writer_maps_nothing(filled: Path) -> None:
    writer = open_writer(filled)
    writer.execute("SELECT * FROM state").fetchall()
    assert not _is_mapped(filled)
    writer.close()


def test_readers_map_the_file_while_nobody_writes(filled: Path) -> None:
    catalog = Catalog(filled)
    _read(catalog)
    assert _is_mapped(filled)
    catalog.close()
    assert not _is_mapped(filled)


def test_readers_map_nothing_while_another_process_writes(filled: Path) -> None:
    """Each commit ends a mapping, and to make one costs more than some reads without."""
    catalog = Catalog(filled)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(filled)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        _read(catalog)
        for _ in range(3):
            print("UPDATE state SET applied_index = applied_index + 1", file=other.stdin, flush=True)
            other.stdout.readline()
            _read(catalog, QUIET_READS)
        assert not _is_mapped(filled)
        other.stdin.close()
    _read(catalog)
    assert _is_mapped(filled)
    catalog.close()


def _is_mapped(path: Path) -> bool:
    return any(line.endswith(f" {path}") for line in _MAPS.read_text().splitlines())
