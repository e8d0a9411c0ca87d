"""Containers at emulated providers, for tests of a store of which only the bytes are stored there."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
from azure.storage.blob import BlobServiceClient
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests.backends.emulators import AZURITE_ACCOUNT, AZURITE_KEY, azurite, fake_gcs
from tests.backends.far_ends import far_end
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY

#: Gives the URL of a new empty container, and the endpoint.
NewContainer = Callable[[], tuple[str, str]]

AWS_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def aws(folder: Path) -> Iterator[NewContainer]:
    numbers = itertools.count(1)
    with far_end(folder) as served, _environment(**AWS_ENVIRONMENT):
        # The default session of boto3 may have found other credentials for a test before.
        client = boto3.Session().client("s3", endpoint_url=served.url)

        def new_container() -> tuple[str, str]:
            name = f"container-{next(numbers)}"
            client.create_bucket(Bucket=name)
            return f"s3://{name}/folder", served.url

        with contextlib.closing(client):
            yield new_container


@contextlib.contextmanager
def azure(folder: Path) -> Iterator[NewContainer]:
    numbers = itertools.count(1)
    credential = {"account_name": AZURITE_ACCOUNT, "account_key": AZURITE_KEY}
    with azurite(folder) as endpoint, _environment(AZURE_STORAGE_KEY=AZURITE_KEY):
        service = BlobServiceClient(endpoint, credential=credential)

        def new_container() -> tuple[str, str]:
            name = f"container-{next(numbers)}"
            service.create_container(name)
            return f"az://{name}/folder", endpoint

        with service:
            yield new_container


@contextlib.contextmanager
def gcs(folder: Path) -> Iterator[NewContainer]:
    numbers = itertools.count(1)
    with fake_gcs(folder) as endpoint:
        options = {"api_endpoint": endpoint}
        anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]
        client = storage.Client(project="test", credentials=anonymous, client_options=options)

        def new_container() -> tuple[str, str]:
            name = f"container-{next(numbers)}"
            client.create_bucket(name)
            return f"gs://{name}/folder", endpoint

        with contextlib.closing(client):
            yield new_container


#: By the kinds of tests/conftest.py.
PROVIDERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[NewContainer]]] = {
    "aws": aws,
    "azure": azure,
    "gcs": gcs,
}
