"""The laws of a backend before the real providers, if the environment says where.

    BLEEPSTORE_LIVE_S3=s3://bucket/prefix      with AWS's credentials
    BLEEPSTORE_LIVE_GS=gs://bucket/prefix      with Google's
    BLEEPSTORE_LIVE_AZ=az://container/prefix   with Azure's

Each test has a folder of its own below the prefix, and removes its objects. BLEEPSTORE_LIVE_S3_ENDPOINT and its like
name another address: an emulator's, to test these tests.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import attrs
import pytest

import bleepstore
from bleepstore import CompletedPart, WriteCondition
from bleepstore.backends.base import Gateway, StorageBackend
from bleepstore.backends.gateway.names import Layout
from bleepstore.backends.gateway.settings import GatewaySettings, open_gateway, parse_url
from bleepstore.errors import PreconditionFailed
from bleepstore.model import UploadToken
from bleepstore.testing.backend_contract import BackendContract
from bleepstore.testing.contract_tools import END_OF_TIME_MS, MIB, ODD_KEYS, pattern

if not any(f"BLEEPSTORE_LIVE_{scheme}" in os.environ for scheme in ("S3", "GS", "AZ")):
    pytest.skip("no BLEEPSTORE_LIVE_S3, _GS or _AZ says where, such as s3://bucket/prefix", allow_module_level=True)


def settings_of(scheme: str) -> GatewaySettings:
    """A folder of one test's own. Skips where nothing is configured."""
    variable = f"BLEEPSTORE_LIVE_{scheme.upper()}"
    url = os.environ.get(variable)
    if not url:
        pytest.skip(f"{variable} does not say where, such as {scheme}://bucket/prefix")
    found, container, prefix = parse_url(url)
    assert found == scheme, f"{variable} must begin with {scheme}://"
    return GatewaySettings(
        scheme=scheme,
        container=container,
        prefix=f"{prefix}bleepstore-{secrets.token_hex(6)}/",
        endpoint_url=os.environ.get(f"{variable}_ENDPOINT"),
        connections=8,
    )


def clean(backend: Gateway) -> None:
    """Remove all that a test left, but for the note of whose it was."""
    for bucket in list(backend.buckets()):
        for _, found in list(backend.iter_found(bucket)):
            if found is not None:
                backend.remove(found.handle)
    for left in list(backend.iter_blobs(0, END_OF_TIME_MS)):
        if isinstance(left, UploadToken):
            backend.delete_parts(left, [])
        else:
            backend.delete_object(left)


class _LiveContract(BackendContract):
    scheme: ClassVar[str]
    layout: ClassVar[Layout] = Layout.KEYS
    keeps_superseded = False
    many_parts = 40
    threads = 4

    @pytest.fixture
    def wanted(self) -> GatewaySettings:
        return attrs.evolve(settings_of(self.scheme), layout=self.layout)

    @pytest.fixture
    def backend(self, wanted: GatewaySettings) -> Iterator[StorageBackend]:
        with contextlib.closing(open_gateway(wanted)) as made:
            yield made
            clean(made)

    @pytest.fixture
    def other_process(self, backend: StorageBackend, wanted: GatewaySettings) -> Iterator[StorageBackend]:
        with contextlib.closing(open_gateway(wanted)) as other:
            yield other


class TestS3Keys(_LiveContract):
    scheme = "s3"
    parts_survive_assembly = False
    minimum_part = 5 * MIB
    many_parts = 6
    sweeps: ClassVar[Literal["parts", "uploads", "nothing"]] = "nothing"


class TestS3Blobs(TestS3Keys):
    layout = Layout.BLOBS
    keeps_superseded = True
    sweeps = "uploads"


class TestGsKeys(_LiveContract):
    scheme = "gs"


class TestGsBlobs(TestGsKeys):
    layout = Layout.BLOBS
    keeps_superseded = True


class TestAzKeys(_LiveContract):
    scheme = "az"
    sweeps: ClassVar[Literal["parts", "uploads", "nothing"]] = "uploads"


class TestAzBlobs(TestAzKeys):
    layout = Layout.BLOBS
    keeps_superseded = True


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_a_store_over_a_provider(scheme: str, layout: Layout, tmp_path: Path) -> None:
    settings = settings_of(scheme)
    body = pattern(11 * MIB)
    with bleepstore.open(
        settings.url, catalog=tmp_path, layout=layout.value, endpoint_url=settings.endpoint_url
    ) as store:
        store.create_bucket("photos")
        for key in ODD_KEYS:
            store.put_object("photos", key, key.encode(), metadata={"key": "ü"})
        with pytest.raises(PreconditionFailed):
            store.put_object("photos", "plain", b"no", condition=WriteCondition(if_none_match=True))
        upload = store.create_upload("photos", "big")
        parts = [
            CompletedPart(number=n, etag=store.put_part("photos", "big", upload.upload_id, n, piece).etag)
            for n, piece in enumerate((body[: 6 * MIB], body[6 * MIB :]), 1)
        ]
        assert store.complete_upload("photos", "big", upload.upload_id, parts).etag.endswith("-2")
        store.copy_object("photos", "big", "photos", "copy")
        for key in (*ODD_KEYS, "big", "copy"):
            with store.get_object("photos", key) as found:
                assert found.read() == (body if key in ("big", "copy") else key.encode())
            store.delete_object("photos", key)
        assert store.list_objects("photos").objects == []
        store.sweep()
        assert isinstance(store.engine.backend, Gateway)
        clean(store.engine.backend)
