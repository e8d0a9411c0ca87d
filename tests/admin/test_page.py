"""Numbers that processes share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from bleepstore_server.metrics.page import SLOT_BYTES, Page, Slot


def in_child(page: Page, number: int) -> int:
    """The pid of a child that has counted in a row and waits to be killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        page.claim().row("requests", ("GET", "ü"), 2)[1] += number
        os.write(writing, b"1")
        signal.pause()
    assert os.read(reading, 1) == b"1"
    os.close(reading)
    os.close(writing)
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


SCRIPT = """
from tests.admin.test_page import in_child, kill
from bleepstore_server.metrics.page import Page

page = Page(slots=3)
own = page.claim()
first, second = in_child(page, 5), in_child(page, 7)
found = [(row.labels, row.cells, row.is_alive) for row in page.read(own)]
assert found == [(("GET", "ü"), [0, 5], True), (("GET", "ü"), [0, 7], True)], found
assert set(page.pids(own)) >= {first, second}
kill(first)
found = [(row.cells, row.is_alive) for row in page.read(own)]
assert found == [([0, 5], False), ([0, 7], True)], "what it counted stays"
assert first not in page.pids(own)
third = in_child(page, 1)
assert [row.cells for row in page.read(own)] == [[0, 6], [0, 7]], "the next one goes on"
kill(second)
kill(third)

page = Page(slots=1)
only = in_child(page, 1)
own = page.claim()
own.row("requests", (), 1)[0] += 1
assert [row.cells for row in page.read(own)] == [[0, 1]], "without a free slot a process counts for itself"
kill(only)
"""


def test_counts_outlive_the_process_and_the_next_one_goes_on() -> None:
    # A process of its own: pytest has threads, with which nobody forks.
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_row_is_the_same_cells_each_time() -> None:
    slot = Page(slots=1).claim()
    slot.row("a", ("x",), 3)[2] += 1
    slot.row("b", (), 1)[0] += 1
    assert slot.row("a", ("x",), 3).tolist() == [0, 0, 1]


def test_a_full_slot_takes_no_more_rows_and_refuses_nothing() -> None:
    page = Page(slots=1)
    slot = page.claim()
    for number in range(SLOT_BYTES // 800):
        slot.row("r", (str(number),), 100)[0] += 1
    rows = list(page.read(slot))
    assert 0 < len(rows) < SLOT_BYTES // 800
    assert all(row.cells[0] == 1 for row in rows)


def test_threads_that_ask_for_a_row_get_one() -> None:
    threads = 8
    page = Page(slots=1)
    slot: Slot = page.claim()
    barrier = threading.Barrier(threads)

    def ask() -> None:
        barrier.wait()
        for number in range(50):
            slot.row("r", (str(number),), 1)

    started = [threading.Thread(target=ask) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    assert len(list(page.read(slot))) == 50
