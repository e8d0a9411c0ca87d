"""fsspec's own suite for file systems, on a store in memory and on one in a folder."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)

import bleepstore
from bleepstore.filesystem import BleepStoreFileSystem


class Fixtures(AbstractFixtures):  # type: ignore[misc]  # fsspec has no type information
    @pytest.fixture
    def fs(self, store: bleepstore.Store) -> BleepStoreFileSystem:
        store.create_bucket("bucket")
        return BleepStoreFileSystem(store=store, skip_instance_cache=True)

    @pytest.fixture
    def fs_path(self) -> str:
        return "bucket/folder"

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *names: "/".join(names)

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(AbstractCopyTests, Fixtures):  # type: ignore[misc]  # as above
    pass


class TestGet(AbstractGetTests, Fixtures):  # type: ignore[misc]  # as above
    pass


class TestOpen(AbstractOpenTests, Fixtures):  # type: ignore[misc]  # as above
    pass


class TestPipe(AbstractPipeTests, Fixtures):  # type: ignore[misc]  # as above
    pass


class TestPut(AbstractPutTests, Fixtures):  # type: ignore[misc]  # as above
    pass
