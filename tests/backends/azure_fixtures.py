"""What the tests of the gateway to Azure share: a container in the emulator, and the provider's own client."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient

import bleepstore
from bleepstore import Store
from bleepstore.backends import azure
from bleepstore.backends.azure.layouts import AzureBlobs, AzureKeys
from bleepstore.backends.gateway.names import Layout
from bleepstore.backends.gateway.settings import GatewaySettings
from tests.backends.emulators import AZURITE_ACCOUNT, AZURITE_KEY

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONNECTION_STRING", "SAS_TOKEN", "ACCOUNT"):
        monkeypatch.delenv(f"AZURE_STORAGE_{name}", raising=False)
    monkeypatch.delenv("AZURE_ACCESS_TOKEN", raising=False)
    monkeypatch.setenv("AZURE_STORAGE_KEY", AZURITE_KEY)


@pytest.fixture
def service(azurite_url: str) -> Iterator[BlobServiceClient]:
    """The provider's own client, as anybody else would use it."""
    credential = {"account_name": AZURITE_ACCOUNT, "account_key": AZURITE_KEY}
    with BlobServiceClient(azurite_url, credential=credential) as made:
        yield made


@pytest.fixture
def native(service: BlobServiceClient) -> ContainerClient:
    return service.create_container(f"own-{next(_numbers)}")


@pytest.fixture
def container(native: ContainerClient) -> str:
    name: str = native.container_name
    return name


@pytest.fixture
def store(container: str, azurite_url: str, tmp_path: Path) -> Iterator[Store]:
    with bleepstore.open(f"az://{container}", catalog=tmp_path / "catalog", endpoint_url=azurite_url) as opened:
        opened.create_bucket("photos")
        yield opened


def make_in(layout: Layout, container: str | None, url: str | None, **options: Any) -> AzureKeys | AzureBlobs:
    chosen: dict[str, Any] = {"deadline": 5} | options
    return azure.open_gateway(
        GatewaySettings(scheme="az", container=container, layout=layout, endpoint_url=url, connections=4, **chosen)
    )


def make(container: str | None, url: str | None, **options: Any) -> AzureKeys:
    made = make_in(Layout.KEYS, container, url, **options)
    assert isinstance(made, AzureKeys)
    return made


@pytest.fixture
def backend(container: str, azurite_url: str) -> Iterator[AzureKeys]:
    with contextlib.closing(make(container, azurite_url)) as made:
        yield made


def read(store: Store, key: str, **options: Any) -> bytes:
    with store.get_object("photos", key, **options) as found:
        return found.read()


def read_blob(backend: AzureKeys, handle: str) -> bytes:
    with backend.get_object(handle) as reader:
        return reader.read()


def stored_names(native: ContainerClient, folder: str = "") -> list[str]:
    """Whatever is paid for in a folder, blocks without a blob too, but for the note of whose it is."""
    found = native.list_blobs(name_starts_with=folder or None, include=["uncommittedblobs", "snapshots"])
    return [blob.name for blob in found if not blob.name.endswith("store.json")]
