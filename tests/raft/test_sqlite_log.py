"""The log in SQLite: the contract of every log, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from bleepstore.raft import sqlite_log
from bleepstore.raft.messages import HardState, SnapshotMeta
from bleepstore.raft.sqlite_log import (
    SqliteLog,
    check_sqlite_version,
    create_log,
    open_log,
    read_identity,
)
from bleepstore.raft.storage import LogDamaged, LogFailed, LogMisuse, LogStorage, LogTooNew, MemoryLog
from bleepstore.testing.crash_disk import RecordingDisk
from bleepstore.testing.raft_log_contract import CLUSTER, MEMBERS, NODE, OTHER, LogContract, content, entry, run


class TestMemoryLog(LogContract):
    def make(self, folder: Path) -> LogStorage:
        return MemoryLog(CLUSTER, NODE, SnapshotMeta(configuration=MEMBERS))

    def reopen(self, log: LogStorage) -> LogStorage:
        assert isinstance(log, MemoryLog)
        return log.copy()


class TestSqliteLog(LogContract):
    def make(self, folder: Path) -> LogStorage:
        return new(folder)

    def reopen(self, log: LogStorage) -> LogStorage:
        assert isinstance(log, SqliteLog)
        log.close()
        return open_log(log._path)


def new(folder: Path) -> SqliteLog:
    return create_log(folder / "raft.db", cluster=CLUSTER, node=NODE, configuration=MEMBERS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed log of ten entries, five of them committed."""
    log = new(tmp_path)
    log.save(HardState(1, NODE, 5), None, run(1, 10), None)
    log.close()
    return tmp_path / "raft.db"


def tamper(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()


@pytest.mark.parametrize(
    ("sql", "complaint"),
    [
        ("UPDATE raft_log SET data = x'00' WHERE idx = 3", "entry 3 or one before it was changed"),
        ("UPDATE raft_log SET request_id = 'other' WHERE idx = 7", "entry 7 or one before it was changed"),
        ("UPDATE raft_log SET term = 2 WHERE idx = 10", "entry 10 or one before it was changed"),
        ("UPDATE raft_log SET kind = 2 WHERE idx = 10", "entry 10 or one before it was changed"),
        ("UPDATE raft_log SET crc = crc + 1 WHERE idx = 4", "entry 4 or one before it was changed"),
        ("DELETE FROM raft_log WHERE idx = 4", "entry 4 is missing"),
        ("DELETE FROM raft_log WHERE idx = 1", "entry 1 is missing"),
        ("DELETE FROM raft_log WHERE idx > 6", "should end at entry 10, and ends at 6"),
        ("DELETE FROM raft_log", "should end at entry 10, and ends at 0"),
        ("INSERT INTO raft_log VALUES (11, 1, 1, 0, '', x'')", "entry 11"),
        ("UPDATE raft_state SET term = 2", "its state was changed"),
        ("UPDATE raft_state SET vote = 'node-2'", "its state was changed"),
        ("UPDATE raft_state SET vote = NULL", "its state was changed"),
        ("UPDATE raft_state SET node = 'node-2'", "its state was changed"),
        ("UPDATE raft_state SET commit_index = 4", "its state was changed"),
        ("UPDATE raft_state SET snapshot_index = 1", "its state was changed"),
        ("DELETE FROM raft_state", "its state is missing"),
        ("DROP TABLE raft_log", "no such table"),
    ],
)
def test_a_log_that_was_tampered_with_is_refused_and_left_as_it_is(path: Path, sql: str, complaint: str) -> None:
    tamper(path, sql)
    before = path.read_bytes()
    with pytest.raises(LogDamaged, match=complaint) as caught:
        open_log(path)
    assert "start the node anew with an empty one" in str(caught.value), "the message says what to do"
    assert path.read_bytes() == before, "nothing is repaired or cut off"


def test_an_old_tail_that_is_put_back_is_refused(path: Path) -> None:
    """Truncated entries that come back are of a chain that the log has left."""
    connection = apsw.Connection(str(path))
    old = connection.execute("SELECT * FROM raft_log WHERE idx >= 8").fetchall()
    connection.close()
    log = open_log(path)
    log.save(HardState(2, None, 7), 8, run(8, 10, 2), None)
    log.close()
    connection = apsw.Connection(str(path))
    connection.executemany("INSERT OR REPLACE INTO raft_log VALUES (?, ?, ?, ?, ?, ?)", old)
    connection.close()
    with pytest.raises(LogDamaged, match="exchanged"):
        open_log(path)


@pytest.mark.parametrize("seed", range(20))
def test_a_page_that_the_disk_changed_is_never_served(path: Path, seed: int) -> None:
    """Flip a byte anywhere in the file: it is refused, or the byte meant nothing."""
    good = open_log(path)
    expected = content(good)
    good.close()
    data = bytearray(path.read_bytes())
    position = (seed * 2654435761) % len(data)
    data[position] ^= 0xFF
    path.write_bytes(data)
    try:
        log = open_log(path)
    except (LogDamaged, LogTooNew, LogMisuse):
        return
    try:
        assert content(log) == expected
    finally:
        log.close()


def test_a_newer_format_is_refused(path: Path) -> None:
    tamper(path, "UPDATE raft_state SET format = 2")
    with pytest.raises(LogTooNew, match="upgrade it"):
        open_log(path)


def test_a_format_that_never_was_is_damage_and_no_reason_to_upgrade(path: Path) -> None:
    tamper(path, "UPDATE raft_state SET format = 0")
    with pytest.raises(LogDamaged, match="its format is 0"):
        open_log(path)


def test_an_entry_of_a_newer_kind_is_refused(path: Path) -> None:
    tamper(path, "UPDATE raft_log SET kind = 9 WHERE idx = 2")
    with pytest.raises(LogTooNew, match="unknown kind 9"):
        open_log(path)


def test_something_else_is_no_log(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    tamper(other, "CREATE TABLE t(x)")
    with pytest.raises(LogDamaged, match="something else"):
        open_log(other)
    text = tmp_path / "text.db"
    text.write_text("this is not a database" * 100)
    with pytest.raises(LogDamaged, match="damaged"):
        open_log(text)
    with pytest.raises(LogMisuse, match="cannot open"):
        open_log(tmp_path / "missing.db")
    (tmp_path / "empty.db").touch()
    # Its node may have promised what it has forgotten, so the advice is never to begin anew under the old id.
    with pytest.raises(LogMisuse, match="make a node with a NEW id"):
        open_log(tmp_path / "empty.db")


def test_an_id_is_not_given_to_a_second_log(path: Path) -> None:
    with pytest.raises(LogMisuse, match="has a log already"):
        create_log(path, cluster=CLUSTER, node=OTHER, configuration=MEMBERS)
    log = open_log(path)
    assert log.initial_state().node == NODE
    log.close()


def test_a_log_under_an_id_that_was_chosen_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever made it: the id could be that of another node, or was."""
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_log, "check_id", lambda _: None)
        create_log(tmp_path / "raft.db", cluster=CLUSTER, node="node-1", configuration=MEMBERS).close()
    with pytest.raises(LogMisuse, match="'node-1' is no id"):
        open_log(tmp_path / "raft.db")
    with pytest.raises(LogMisuse, match="'node-1' is no id"):
        read_identity(tmp_path / "raft.db")


def test_the_identity_is_read_without_the_rest(path: Path, tmp_path: Path) -> None:
    assert read_identity(path) == (CLUSTER, NODE)
    assert read_identity(tmp_path / "none.db") is None
    (tmp_path / "empty.db").touch()
    assert read_identity(tmp_path / "empty.db") is None
    (tmp_path / "text.db").write_text("this is no database at all, though it is long enough to be taken for one" * 9)
    with pytest.raises(LogDamaged):
        read_identity(tmp_path / "text.db")


def test_what_an_interrupted_setup_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "raft.db").touch()
    new(tmp_path).close()


def test_a_log_is_open_in_one_process(path: Path) -> None:
    log = open_log(path)
    try:
        script = (
            "import sys, pathlib\n"
            "from bleepstore.raft.sqlite_log import open_log\n"
            "try:\n    open_log(pathlib.Path(sys.argv[1]))\n"
            "except Exception as error:\n    print(type(error).__name__, error)\n"
        )
        found = subprocess.run(
            [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=True
        )
    finally:
        log.close()
    assert "LogMisuse" in found.stdout
    assert "in use by another process" in found.stdout


@pytest.mark.parametrize("version", ["3.51.2", "3.46.0", "3.7.17"])
def test_an_sqlite_that_may_lose_commits_is_refused(version: str) -> None:
    with pytest.raises(LogMisuse, match=r"3\.51\.3 or later"):
        check_sqlite_version(version)


@pytest.mark.parametrize("version", ["x", "", "3", "beta-3.53"])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(LogMisuse, match="no version of SQLite"):
        check_sqlite_version(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.52.0", "4.0.0", "3.53.0-beta", "3.53"])
def test_a_good_sqlite_is_accepted(version: str) -> None:
    check_sqlite_version(version)


def test_every_save_is_one_sync(tmp_path: Path) -> None:
    """Group commit: what a Ready holds costs one sync, however much it is."""
    with RecordingDisk() as disk:
        log = create_log(tmp_path / "raft.db", cluster=CLUSTER, node=NODE, configuration=MEMBERS, vfs=disk.name)
        log.save(HardState(1, NODE, 0), None, run(1, 2), None)  # the first one writes the header too
        for number in range(10):
            before = disk.syncs
            log.save(HardState(number + 2, None, 2), 3 if number else None, run(3, 100, number + 2), None)
            assert disk.syncs == before + 1
        log.close()


FULL_DISK = """
import pathlib, resource, signal, sys
from bleepstore.raft.messages import HardState
from bleepstore.raft.sqlite_log import open_log
from bleepstore.raft.storage import LogFailed
from bleepstore.testing.raft_log_contract import NODE, entry
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = pathlib.Path(sys.argv[1])
log = open_log(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
index = log.last_index()
try:
    while True:
        log.save(HardState(1, NODE, index), None, [entry(index + 1, 1, b"x" * 50_000)], None)
        index += 1
except LogFailed as error:
    print(index, error)
try:
    log.save(None, None, [], None)
except LogFailed as error:
    print(error)
"""


def test_a_failed_write_ends_the_log_and_loses_nothing_that_was_saved(path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    first, second = found.stdout.splitlines()
    saved = int(first.split()[0])
    assert saved > 10
    assert "this node must end" in first
    assert "failed before" in second, "a write is never tried again"
    log = open_log(path)
    assert log.last_index() == saved
    assert log.entries(11, saved + 1, 1 << 30) == [entry(index, 1, b"x" * 50_000) for index in range(11, saved + 1)]
    log.close()


def test_a_closed_log_takes_nothing(path: Path) -> None:
    log = open_log(path)
    log.close()
    with pytest.raises(LogFailed):
        log.save(None, None, run(11, 11), None)
