"""What the tests of the gateway to Google Cloud Storage share: a container in the emulator, the provider's own
client."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

import bleepstore
from bleepstore import Store
from bleepstore.backends import gcs
from bleepstore.backends.gateway.names import Layout
from bleepstore.backends.gateway.settings import GatewaySettings
from bleepstore.backends.gcs.layouts import GcsBlobs, GcsKeys

_numbers = itertools.count()


@pytest.fixture
def service(fake_gcs_url: str) -> Iterator[storage.Client]:
    """The provider's own client, as anybody else would use it."""
    anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]
    client = storage.Client(project="test", credentials=anonymous, client_options={"api_endpoint": fake_gcs_url})
    yield client
    client.close()


@pytest.fixture
def native(service: storage.Client) -> Any:
    return service.create_bucket(f"own-{next(_numbers)}")


@pytest.fixture
def store(native: Any, fake_gcs_url: str, tmp_path: Path) -> Iterator[Store]:
    with bleepstore.open(f"gs://{native.name}", catalog=tmp_path / "catalog", endpoint_url=fake_gcs_url) as opened:
        opened.create_bucket("photos")
        yield opened


def make_in(layout: Layout, container: str | None, url: str | None, **options: Any) -> GcsKeys | GcsBlobs:
    chosen: dict[str, Any] = {"deadline": 5} | options
    return gcs.open_gateway(
        GatewaySettings(scheme="gs", container=container, layout=layout, endpoint_url=url, connections=4, **chosen)
    )


def make(container: str | None, url: str | None, **options: Any) -> GcsKeys:
    made = make_in(Layout.KEYS, container, url, **options)
    assert isinstance(made, GcsKeys)
    return made


@pytest.fixture
def backend(native: Any, fake_gcs_url: str) -> Iterator[GcsKeys]:
    with contextlib.closing(make(native.name, fake_gcs_url)) as made:
        yield made


def read(store: Store, key: str, **options: Any) -> bytes:
    with store.get_object("photos", key, **options) as found:
        return found.read()


def read_blob(backend: GcsKeys, handle: str) -> bytes:
    with backend.get_object(handle) as reader:
        return reader.read()


def put(native: Any, name: str, data: bytes, content_type: str = "text/x", **metadata: str) -> None:
    """What others do."""
    blob = native.blob(name)
    blob.metadata = metadata
    blob.upload_from_string(data, content_type=content_type)


def stored_names(native: Any) -> list[str]:
    """Whatever is paid for, but for the note of whose it is."""
    return [blob.name for blob in native.list_blobs() if not blob.name.endswith("store.json")]
