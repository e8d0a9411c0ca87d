"""The far ends that several modules of these tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends.emulators import azurite, fake_gcs, moto
from tests.backends.far_ends import far_end
from tests.serving.conftest import Served


@pytest.fixture(scope="session")
def far_bleepstore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """BleepStore itself as the provider."""
    with far_end(tmp_path_factory.mktemp("bleepstore")) as served:
        yield served


@pytest.fixture(scope="session")
def moto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture(scope="session")
def azurite_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with azurite(tmp_path_factory.mktemp("azurite")) as url:
        yield url


@pytest.fixture(scope="session")
def fake_gcs_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with fake_gcs(tmp_path_factory.mktemp("fake-gcs")) as url:
        yield url
