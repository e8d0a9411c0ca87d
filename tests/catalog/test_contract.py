"""The catalog in SQLite is a catalog: in memory, and in a file."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bleepstore.catalog.port import CatalogPort
from bleepstore.catalog.sqlite import Catalog
from bleepstore.testing.catalog_contract import CatalogContract


@contextlib.contextmanager
def making(paths: Iterator[Path | None]) -> Iterator[Callable[[], CatalogPort]]:
    with contextlib.ExitStack() as stack:

        def make() -> CatalogPort:
            return stack.enter_context(contextlib.closing(Catalog(next(paths))))

        yield make


class TestInMemory(CatalogContract):
    @pytest.fixture
    def make(self) -> Iterator[Callable[[], CatalogPort]]:
        with making(itertools.repeat(None)) as make:
            yield make


class TestInFile(CatalogContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Iterator[Callable[[], CatalogPort]]:
        with making(tmp_path / f"catalog{number}.db" for number in itertools.count()) as make:
            yield make
