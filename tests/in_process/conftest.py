"""Clients without a socket, over both shapes of requests that botocore makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bleepstore
from bleepstore_server.clients import client_for
from tests.serving.conftest import certificate

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["certificate"]


@pytest.fixture(autouse=True)
def one_authority(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is reached here; to read all authorities of the system takes longer than a request, for each client."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@pytest.fixture(
    params=["https://s3.amazonaws.com", "http://store.invalid:9000", "https://s3.eu-central-1.amazonaws.com"]
)
def endpoint(request: pytest.FixtureRequest) -> str:
    """http endpoints send a signed body, https ones send trailers; Amazon's hosts name the bucket."""
    url: str = request.param
    return url


@pytest.fixture
def s3(store: bleepstore.Store, endpoint: str) -> Iterator[S3Client]:
    client = client_for(store, endpoint_url=endpoint)
    client.create_bucket(Bucket="photos")
    yield client
    client.close()
