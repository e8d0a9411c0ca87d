"""Clients without a socket, over both shapes of requests that botocore makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

import bleepstore
from bleepstore_server.clients import client_for

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


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
