"""The catalog of a gateway that is older than what is stored at the provider: nothing there is removed."""

from __future__ import annotations

import datetime as dt
import logging
import shutil
from pathlib import Path

import pytest

import bleepstore
from bleepstore.backends.gateway.names import LONGEST_WRITE_MS
from tests.backends.http_faults import HttpProxy
from tests.backends.test_aws_refusals import container, credentials, native, proxy

__all__ = ["container", "credentials", "native", "proxy"]

ALL_GRACE = -LONGEST_WRITE_MS - 60_000  # what was stored until now counts as old


@pytest.mark.parametrize("layout", ["keys", "blobs"])
def test_what_an_older_catalog_does_not_know_stays_until_it_is_adopted(
    container: str, proxy: HttpProxy, tmp_path: Path, layout: str, caplog: pytest.LogCaptureFixture
) -> None:
    catalog = tmp_path / "catalog"

    def opened() -> bleepstore.Store:
        return bleepstore.open(f"s3://{container}", catalog=catalog, endpoint_url=proxy.url, layout=layout)

    with opened() as store:
        store.create_bucket("photos")
        store.put_object("photos", "a", b"first")
    shutil.copy(catalog / "catalog.db", tmp_path / "older.db")
    with opened() as store:
        store.put_object("photos", "b", b"second")
        store.sweep(grace=dt.timedelta(milliseconds=ALL_GRACE))
        stored = sorted(store.engine.backend.iter_blobs(0, 1 << 60))
    assert len(stored) == (2 if layout == "blobs" else 0)  # under its own key an object is no orphan
    shutil.copy(tmp_path / "older.db", catalog / "catalog.db")
    for _ in range(2):  # the second start finds a mark that fits, and still removes nothing
        with caplog.at_level(logging.WARNING, "bleepstore.store"), opened() as store:
            store.sweep(grace=dt.timedelta(milliseconds=ALL_GRACE))
            assert sorted(store.engine.backend.iter_blobs(0, 1 << 60)) == stored
    assert sum("is older than what is stored at" in record.message for record in caplog.records) == 1
    if layout == "keys":
        with opened() as store:
            store.adopt("photos")
            with store.get_object("photos", "b") as found:
                assert found.read() == b"second"
