"""Another process that was stopped while it held the catalog's write lock: reads go on, and writes are refused soon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import bleepstore
from bleepstore.catalog.sqlite import writer
from bleepstore.errors import SlowDown
from tests.stopping import stop

#: How long a writer waits here: enough for whoever has the lock and was not stopped, and no five seconds.
SECONDS = 1.0
#: For other processes.
WAIT_LESS = f"from bleepstore.catalog.sqlite import writer; writer.LOCK_SECONDS = {SECONDS}"

HOLDER = (
    "import sys, bleepstore\n"
    "with bleepstore.open(sys.argv[1]) as store, store.engine.catalog.hold():\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.readline()\n"
)

OPENING = "import sys, bleepstore; bleepstore.open(sys.argv[1]).close()"


def seconds_of_refusals(store: bleepstore.Store) -> float:
    """How long 16 threads wait until they are told that they cannot write. Meanwhile the object is read."""
    refused: list[BaseException] = []

    def write() -> None:
        try:
            store.put_object("photos", "k", b"other")
        except SlowDown as error:
            refused.append(error)

    threads = [threading.Thread(target=write) for _ in range(16)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    with store.get_object("photos", "k") as found:
        assert found.read() == b"data"
    for thread in threads:
        thread.join(60)
    assert len(refused) == 16
    return time.monotonic() - started


def test_a_stopped_holder_of_the_lock_keeps_no_one_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "LOCK_SECONDS", SECONDS)
    with bleepstore.open(tmp_path) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", b"data")
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        stop(holder.pid)
        assert seconds_of_refusals(store) < 30
        os.kill(holder.pid, signal.SIGCONT)
        holder.communicate("\n", timeout=60)
        store.put_object("photos", "k", b"after")
        with store.get_object("photos", "k") as found:
            assert found.read() == b"after"


def test_who_opens_a_store_meanwhile_is_told_what_it_waits_for(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path):
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        opening = subprocess.Popen(
            [sys.executable, "-c", f"{WAIT_LESS}\n{OPENING}", str(tmp_path)],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert opening.stderr is not None
        assert f"{tmp_path}/catalog.lock: another process" in opening.stderr.readline()
        holder.communicate("\n", timeout=60)
        assert opening.communicate(timeout=60)[1] == ""
        assert opening.returncode == 0


def test_another_program_in_a_transaction_keeps_no_one_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As somebody does who looks at the catalog by the SQLite shell, begins to change it, and goes to lunch."""
    monkeypatch.setattr(writer, "LOCK_SECONDS", 0.4)
    program = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "print('held', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    with bleepstore.open(tmp_path) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", b"data")
        holder = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "catalog.db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert seconds_of_refusals(store) < 10
        with pytest.raises(SlowDown):
            store.ping()
        holder.communicate("\n", timeout=60)
        store.put_object("photos", "k", b"after")
        store.ping()
