"""The Azure gateway keeps the laws of the protocol, before Microsoft's emulator."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import attrs
import pytest
from azure.storage.blob import BlobServiceClient

from bleepstore.backends import azure
from bleepstore.backends.base import BlobSpec, StorageBackend, new_blob_id
from bleepstore.backends.gateway.names import Layout
from bleepstore.backends.gateway.settings import GatewaySettings
from bleepstore.errors import AccessDenied, ServiceUnavailable
from bleepstore.testing.backend_contract import BackendContract
from bleepstore.testing.contract_tools import MIB, pattern
from bleepstore.testing.keyed_contract import KeyedContract
from tests.backends.emulators import AZURITE_ACCOUNT, AZURITE_KEY, azurite
from tests.backends.tcp_faults import fault_proxy
from tests.serving.conftest import certificate

__all__ = ["certificate"]

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
        with contextlib.closing(azure.open_gateway(wanted)) as made:
            yield made

    @pytest.fixture
    def other_process(self, backend: StorageBackend, wanted: GatewaySettings) -> Iterator[StorageBackend]:
        with contextlib.closing(azure.open_gateway(wanted)) as other:
            yield other


class TestKeys(KeyedContract, _AzureContract):
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


# -- over https, with a bearer token


def bearer_token(lifetime: float = 3600) -> str:
    """A token as Microsoft Entra ID makes them, as far as the emulator looks at it: nobody signed this one."""
    now = int(time.time())
    claims = {
        "aud": "https://storage.azure.com",
        "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000000/",
        "nbf": now - 60,
        "iat": now - 60,
        "exp": now + int(lifetime),
    }
    fields = [{"alg": "RS256", "typ": "JWT"}, claims, "signature"]
    return ".".join(base64.urlsafe_b64encode(json.dumps(field).encode()).decode().rstrip("=") for field in fields)


@pytest.fixture(scope="module")
def https_url(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[str]:
    with azurite(tmp_path_factory.mktemp("azurite-https"), certificate) as url:
        yield url


@pytest.fixture
def bearer(https_url: str, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The endpoint, with a token and its certificate in the environment."""
    monkeypatch.delenv("AZURE_STORAGE_KEY")
    monkeypatch.setenv("AZURE_ACCESS_TOKEN", bearer_token())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    return https_url


@pytest.mark.slow  # in the default run one blob goes to and fro, and what differs is tested below
class TestBearer(_AzureContract):
    """Everything once more, with the credential that cannot sign URLs."""

    layout = Layout.KEYS
    keeps_superseded = False
    large = 24 * MIB

    @pytest.fixture
    def wanted(self, bearer: str) -> GatewaySettings:
        wanted = settings(bearer, self.layout, f"bearer-{next(_numbers)}")
        with contextlib.closing(azure.open_gateway(wanted)) as made:
            made._service.create_container(wanted.container or "")
        return wanted


@pytest.mark.parametrize("layout", Layout)
def test_a_bearer_token_is_enough(bearer: str, layout: Layout) -> None:
    """It can sign no URLs, by which large bodies and copies would go."""
    wanted = settings(bearer, layout, f"token-{next(_numbers)}")
    data = pattern(24 * MIB)
    with contextlib.closing(azure.open_gateway(wanted)) as backend:
        backend._service.create_container(wanted.container or "")
        backend.check()
        first = backend.put_object(BlobSpec(bucket="photos", key="k", size=len(data), new_id=new_blob_id), [data])
        copied = BlobSpec(bucket="photos", key="copy", size=len(data), new_id=new_blob_id)
        for blob in (first, backend.copy_object(first.handle, copied)):
            with backend.get_object(blob.handle) as reader:
                assert reader.read() == data
            backend.delete_object(blob.handle)


def test_an_expired_token_is_named(bearer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    token = bearer_token(-30)
    monkeypatch.setenv("AZURE_ACCESS_TOKEN", token)
    with contextlib.closing(azure.open_gateway(settings(bearer, Layout.KEYS, "any-container"))) as backend:
        with pytest.raises(AccessDenied, match="expired") as refused:
            backend.check()
        with pytest.raises(AccessDenied):
            backend.put_object(BlobSpec(bucket="photos", key="k", size=1, new_id=new_blob_id), [b"x"])
    assert token not in str(refused.value)


def test_a_certificate_that_nobody_vouches_for_is_refused(bearer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    wanted = attrs.evolve(settings(bearer, Layout.KEYS, "any-container"), deadline=0.3)
    closing = contextlib.closing(azure.open_gateway(wanted))
    with closing as backend, pytest.raises(ServiceUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        backend.check()


def test_a_download_that_is_damaged_on_its_way_goes_on_where_it_was(bearer: str) -> None:
    """TLS notices, in the midst of the body, what the emulator never sent."""
    data = pattern(6 * MIB)
    port = urlsplit(bearer).port or 0
    with fault_proxy(port) as proxy:
        url = bearer.replace(f":{port}", f":{urlsplit(proxy.url).port}")
        with contextlib.closing(azure.open_gateway(settings(url, Layout.KEYS, f"damaged-{next(_numbers)}"))) as backend:
            backend._service.create_container(backend._settings.container or "")
            blob = backend.put_object(BlobSpec(bucket="photos", key="k", size=len(data), new_id=new_blob_id), [data])
            proxy.inject("damage", received=2 * MIB)
            with backend.get_object(blob.handle) as reader:
                assert b"".join(iter(lambda: reader.read(300_000), b"")) == data
            assert proxy.hits == 1
