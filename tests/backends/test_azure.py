"""The Azure gateway keeps the laws of the protocol, before Microsoft's emulator."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import ClassVar

import pytest
from azure.storage.blob import BlobServiceClient

from bleepstore.backends.azure.backend import AzureBackend
from bleepstore.backends.base import StorageBackend
from bleepstore.backends.gateway.names import Layout
from bleepstore.backends.gateway.settings import GatewaySettings
from bleepstore.testing.backend_contract import BackendContract
from tests.backends.emulators import AZURITE_ACCOUNT, AZURITE_KEY

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_KEY", AZURITE_KEY)
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)


def new_container(url: str) -> str:
    name = f"far-end-{next(_numbers)}"
    credential = {"account_name": AZURITE_ACCOUNT, "account_key": AZURITE_KEY}
    with BlobServiceClient(url, credential=credential) as service:
        service.create_container(name)
    return name


def settings(url: str, layout: Layout, container: str | None, prefix: str = "pre/") -> GatewaySettings:
    return GatewaySettings(
        scheme="az", container=container, prefix=prefix, layout=layout, endpoint_url=url, connections=8, deadline=10
    )


class _AzureContract(BackendContract):
    layout: ClassVar[Layout]
    sweeps = "uploads"  # blocks are removed with the blob on which they are staged
    many_parts = 60
    threads = 4

    def test_a_missing_part_is_reported(self, backend: StorageBackend) -> None:
        pytest.skip("azurite still has the blocks of a blob that was deleted")

    @pytest.fixture
    def wanted(self, azurite_url: str) -> GatewaySettings:
        return settings(azurite_url, self.layout, new_container(azurite_url))

    @pytest.fixture
    def backend(self, wanted: GatewaySettings) -> Iterator[StorageBackend]:
        with contextlib.closing(AzureBackend(wanted)) as made:
            yield made

    @pytest.fixture
    def other_process(self, backend: StorageBackend, wanted: GatewaySettings) -> Iterator[StorageBackend]:
        with contextlib.closing(AzureBackend(wanted)) as other:
            yield other


class TestKeys(_AzureContract):
    layout = Layout.KEYS
    keeps_superseded = False  # the name is the key


class TestBlobs(_AzureContract):
    layout = Layout.BLOBS


@pytest.mark.slow  # what differs is in test_azure_own
class TestAContainerForEach(_AzureContract):
    layout = Layout.KEYS
    keeps_superseded = False

    @pytest.fixture
    def wanted(self, azurite_url: str) -> GatewaySettings:
        return settings(azurite_url, self.layout, None, f"each-{next(_numbers)}-")
