"""The gateway to Google Cloud Storage keeps the laws of the protocol, before an emulator."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import ClassVar

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from bleepstore.backends import gcs
from bleepstore.backends.base import StorageBackend
from bleepstore.backends.gateway.names import Layout
from bleepstore.backends.gateway.settings import GatewaySettings
from bleepstore.testing.backend_contract import BackendContract
from bleepstore.testing.keyed_contract import KeyedContract

_numbers = itertools.count()


def new_bucket(url: str) -> str:
    name = f"far-end-{next(_numbers)}"
    anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]
    client = storage.Client(project="test", credentials=anonymous, client_options={"api_endpoint": url})
    client.create_bucket(name)
    client.close()
    return name


def settings(url: str, layout: Layout, container: str | None, prefix: str = "pre/") -> GatewaySettings:
    return GatewaySettings(
        scheme="gs", container=container, prefix=prefix, layout=layout, endpoint_url=url, connections=8, deadline=10
    )


class _GcsContract(BackendContract):
    layout: ClassVar[Layout]
    many_parts = 60
    threads = 4

    @pytest.fixture
    def wanted(self, fake_gcs_url: str) -> GatewaySettings:
        return settings(fake_gcs_url, self.layout, new_bucket(fake_gcs_url))

    @pytest.fixture
    def backend(self, wanted: GatewaySettings) -> Iterator[StorageBackend]:
        with contextlib.closing(gcs.open_gateway(wanted)) as made:
            yield made

    @pytest.fixture
    def other_process(self, backend: StorageBackend, wanted: GatewaySettings) -> Iterator[StorageBackend]:
        with contextlib.closing(gcs.open_gateway(wanted)) as other:
            yield other


class TestKeys(KeyedContract, _GcsContract):
    layout = Layout.KEYS
    compares_copies = False  # fake-gcs-server ignores ifGenerationMatch of a rewrite and of a compose
    keeps_superseded = False  # the name is the key


class TestBlobs(_GcsContract):
    layout = Layout.BLOBS


@pytest.mark.slow  # what differs is in test_gcs_own
class TestABucketForEach(_GcsContract):
    layout = Layout.KEYS
    keeps_superseded = False

    @pytest.fixture
    def wanted(self, fake_gcs_url: str) -> GatewaySettings:
        return settings(fake_gcs_url, self.layout, None, f"each-{next(_numbers)}-")
