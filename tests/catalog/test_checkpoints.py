"""The write-ahead log is copied to the database file beside the commits, and begins anew."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from bleepstore.catalog.sqlite import writer
from bleepstore.catalog.sqlite.connection import MAPPED_BYTES, commit_nothing, open_writer
from bleepstore.catalog.sqlite.shared import Life
from bleepstore.catalog.sqlite.writer import Checkpoints, WriterLock

PAGES = 40
#: For each line of its input: how many pages SQLite reads from the file, which it does with those that are not mapped.
READER = """
import sys
import apsw
reader = apsw.Connection(sys.argv[1])
reader.pragma("mmap_size", int(sys.argv[2]))
for query in sys.stdin:
    reader.status(apsw.SQLITE_DBSTATUS_CACHE_MISS, True)
    reader.execute(query).fetchall()
    print(*reader.status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[:1], flush=True)
"""


class Log:
    """A database whose log counts as long from so many `pages` on."""

    def __init__(self, folder: Path, pages: int = PAGES, idle_pages: int = PAGES, idle_seconds: float = 3600) -> None:
        self.path = folder / "catalog.db"
        self.lock = WriterLock(folder / "catalog.lock", Life(), read_only=False)
        self.connection = open_writer(self.path)
        self.connection.execute("CREATE TABLE filler(number INTEGER PRIMARY KEY, data BLOB)")
        self.connection.wal_checkpoint()
        self.checkpoints = Checkpoints(self.lock, pages, idle_pages, idle_seconds)
        self.checkpoints.watch(self.connection)
        self._numbers = itertools.count()

    def commit(self, pages: int = 1) -> None:
        with self.lock, self.connection:
            for _ in range(pages):
                self.connection.execute("INSERT INTO filler VALUES (?, zeroblob(4000))", (next(self._numbers),))

    def rows_in_the_file(self) -> int:
        """Without its log."""
        uri = f"file:{self.path}?immutable=1"
        connection = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        count: int = connection.execute("SELECT count(*) FROM filler").get
        connection.close()
        return count

    def size(self) -> int:
        return self.path.with_name("catalog.db-wal").stat().st_size

    def close(self) -> None:
        self.checkpoints.close()
        self.connection.close()
        self.lock.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path)
    yield made
    made.close()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "bleepstore-checkpoint"]


def wait() -> None:
    for thread in threads():
        thread.join()


def test_a_long_log_is_copied_by_another_thread_and_begins_anew(log: Log) -> None:
    log.commit(PAGES // 4)
    assert not threads()
    with log.lock:  # no commit comes in between
        log.commit(PAGES)
        assert threads(), "a commit has copied the log itself"
    wait()
    assert log.rows_in_the_file() == PAGES + PAGES // 4
    size = log.size()
    log.commit()
    assert log.size() <= size
    assert not threads()


def test_a_reader_does_not_have_it_copied_with_each_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = 10 * PAGES  # the next copy is due after an eighth of them
    log = Log(tmp_path, pages)
    copies: list[str] = []
    copy = Checkpoints._copy

    def count(checkpoints: Checkpoints, path: str) -> None:
        copies.append(path)
        copy(checkpoints, path)

    monkeypatch.setattr(Checkpoints, "_copy", count)
    reader = apsw.Connection(str(log.path))
    reader.execute("BEGIN; SELECT count(*) FROM filler").fetchall()
    log.commit(pages)
    wait()
    for _ in range(5):
        log.commit()
    (waiting,) = threads()
    assert log.rows_in_the_file() == 0
    reader.close()
    log.commit(pages)
    waiting.join()
    assert log.rows_in_the_file() == 2 * pages + 5
    assert len(copies) == 2
    log.close()


def test_a_log_that_becomes_long_while_it_is_copied_is_copied_again(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commits that come meanwhile may be the last ones for long."""
    copy, copies = Checkpoints._copy, 0

    def grow(checkpoints: Checkpoints, path: str) -> None:
        nonlocal copies
        copies += 1
        copy(checkpoints, path)
        if copies == 1:
            log.commit(PAGES)
            log.commit(PAGES)

    monkeypatch.setattr(Checkpoints, "_copy", grow)
    log.commit(PAGES)
    wait()
    assert log.rows_in_the_file() == 3 * PAGES


def test_a_read_that_ends_soon_keeps_nothing_in_the_log(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = apsw.Connection(str(log.path))

    def read_before(connection: apsw.Connection) -> None:
        reader.execute("BEGIN; SELECT count(*) FROM filler").fetchall()
        commit_nothing(connection)

    monkeypatch.setattr(writer, "commit_nothing", read_before)
    monkeypatch.setattr("time.sleep", lambda _seconds: reader.execute("ROLLBACK"))
    log.commit(PAGES)
    wait()
    pages, copied = log.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
    assert copied == pages
    reader.close()


def test_it_is_over_once_it_is_closed(log: Log) -> None:
    log.commit(PAGES)
    log.checkpoints.close()
    assert not threads()
    log.commit(PAGES)
    assert not threads()


def test_a_commit_stands_where_no_thread_can_be_started(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        log.commit(PAGES)
    log.commit()
    wait()
    assert log.rows_in_the_file() == PAGES + 1


def test_a_log_that_is_kept_short_is_copied_by_the_commits(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bleepstore.catalog.sqlite.writer.LOW_SPACE_PAGES", PAGES // 2)
    log.checkpoints.keep_short(log.connection)
    log.commit(PAGES)
    assert not threads()
    assert log.rows_in_the_file() == PAGES


def test_a_shorter_log_is_copied_once_nobody_adds_to_it(tmp_path: Path) -> None:
    log = Log(tmp_path, idle_pages=PAGES // 4, idle_seconds=0.05)
    log.commit()
    assert not threads(), "one page is not worth it"
    log.commit(PAGES // 4)
    wait()
    assert log.rows_in_the_file() == PAGES // 4 + 1
    log.commit()
    assert not threads(), "the log has begun anew"
    log.close()


def test_a_shorter_log_waits_as_long_as_commits_come(tmp_path: Path) -> None:
    log = Log(tmp_path, idle_pages=PAGES // 4, idle_seconds=3600)
    log.commit(PAGES // 4)
    (waiting,) = threads()
    log.commit()
    assert log.rows_in_the_file() == 0
    assert threads() == [waiting]
    log.commit(PAGES)
    waiting.join()
    assert log.rows_in_the_file() > PAGES, "it has become long"
    log.commit(PAGES // 4)
    log.close()
    assert not threads(), "closing waits for no commit"


def test_readers_of_other_processes_map_what_the_copy_has_made_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no commit follows, which would tell them to do so."""
    log = Log(tmp_path, 4 * PAGES, idle_seconds=0)
    log.commit(2)
    log.connection.wal_checkpoint()
    command = [sys.executable, "-c", READER, str(log.path), str(MAPPED_BYTES)]
    copy = Checkpoints._copy
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:

        def pages_read(query: str) -> int:
            assert reader.stdin is not None
            assert reader.stdout is not None
            print(query, file=reader.stdin, flush=True)
            return int(reader.stdout.readline())

        def map_before(checkpoints: Checkpoints, path: str) -> None:
            pages_read("SELECT min(data) FROM filler WHERE number < 2")  # they are in the file
            copy(checkpoints, path)

        monkeypatch.setattr(Checkpoints, "_copy", map_before)
        log.commit(PAGES)
        wait()
        assert log.rows_in_the_file() == PAGES + 2
        assert pages_read("SELECT max(data) FROM filler") <= 2, "only the first and the last page are never mapped"
        assert reader.stdin is not None
        reader.stdin.close()
    log.close()
