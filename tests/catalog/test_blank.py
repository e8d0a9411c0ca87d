"""Catalogs in memory are used again; nobody finds anything of an earlier one in them."""

from __future__ import annotations

import sys
import threading

import apsw
import pytest

import bleepstore
from bleepstore.catalog.sqlite import Catalog, blank, schema
from bleepstore.errors import StoreClosed
from tests.catalog.conftest import Applier


@pytest.fixture(autouse=True)
def _none_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blank, "_kept", type(blank._kept)())


def everything(connection: apsw.Connection) -> dict[str, list[tuple[object, ...]]]:
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    assert set(tables) == set(schema.TABLES)
    return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}


def fill(catalog: Catalog) -> None:
    apply = Applier(catalog)
    apply.create_bucket("photos")
    apply.put("photos", "small", b"data")
    apply.put("photos", "big", "handle")
    apply.create_upload("photos", "k", "upload")
    apply.delete("photos", "big")


def test_a_catalog_that_is_used_again_is_as_a_new_one() -> None:
    new = blank.take_blank()
    expected = everything(new)
    first = Catalog(None)
    with first.read() as reader:
        used = reader.connection
    fill(first)
    assert everything(used) != expected
    first.close()
    second = Catalog(None)
    with second.read() as reader:
        assert reader.connection is used
        assert everything(reader.connection) == expected
    fill(second)  # ids begin anew
    second.close()
    new.close()


def test_one_that_somebody_still_reads_is_not_given_to_another() -> None:
    first = Catalog(None)
    with first.read() as reader:
        first.close()
        second = Catalog(None)
        with second.read() as other:
            assert other.connection is not reader.connection
        second.close()
    with pytest.raises(apsw.ConnectionClosedError):
        reader.connection.execute("SELECT 1")


def test_who_waited_for_a_catalog_that_was_closed_meanwhile_is_refused() -> None:
    catalog = Catalog(None)
    refused: list[type[BaseException]] = []
    begun = threading.Event()

    def read() -> None:
        begun.set()
        try:
            with catalog.read():
                refused.append(AssertionError)
        except StoreClosed:
            refused.append(StoreClosed)

    catalog._lock.threads.acquire()
    thread = threading.Thread(target=read)
    thread.start()
    begun.wait()
    while thread.is_alive() and not _waits(thread):
        pass
    catalog.close()
    catalog._lock.threads.release()
    thread.join()
    assert refused == [StoreClosed]


def _waits(thread: threading.Thread) -> bool:
    """Whether the thread is in the function that takes the lock."""
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_qualname == "SharedReader.read"


def test_a_large_one_gives_its_memory_back() -> None:
    with bleepstore.open() as store:
        store.create_bucket("photos")
        for number in range(2000):
            store.put_object("photos", str(number), bytes(1000))
    assert not blank._kept
    with bleepstore.open() as store:
        store.create_bucket("photos")
    assert len(blank._kept) == 1


def test_no_more_are_kept_than_a_few() -> None:
    stores = [bleepstore.open() for _ in range(20)]
    for store in stores:
        store.close()
    assert len(blank._kept) == 8
