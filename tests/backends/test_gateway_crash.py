"""SIGKILL of a server whose objects are stored at a provider: what was acknowledged is there, and nothing is half
there."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bleepstore
from bleepstore.backends.gateway.names import LONGEST_WRITE_MS
from bleepstore.model import UploadToken
from tests.serving.conftest import Served, start
from tests.serving.test_crash import BUCKET, Known, crash

FarEnds = Callable[[str], Callable[[], tuple[str, str]]]


@pytest.mark.parametrize(
    ("kind", "layout", "rounds"),
    [
        ("aws", "keys", 1),
        pytest.param("aws", "keys", 3, marks=pytest.mark.slow),
        pytest.param("aws", "blobs", 3, marks=pytest.mark.slow),
        pytest.param("azure", "keys", 3, marks=pytest.mark.slow),
        pytest.param("azure", "blobs", 3, marks=pytest.mark.slow),
        pytest.param("gcs", "keys", 3, marks=pytest.mark.slow),
        pytest.param("gcs", "blobs", 3, marks=pytest.mark.slow),
    ],
)
def test_a_gateway_that_is_killed(kind: str, layout: str, rounds: int, far_end_of: FarEnds, tmp_path: Path) -> None:
    url, endpoint = far_end_of(kind)()
    credentials = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "AZURE_"))}
    where = ["--backend-url", url, "--backend-endpoint-url", endpoint, "--backend-layout", layout]
    with contextlib.ExitStack() as stack:

        def serve(*arguments: str) -> Served:
            served = start(tmp_path / "data", *arguments, *where, environ=credentials)
            stack.callback(served.stop)
            return served

        known: dict[str, Known] = {}
        for seed in range(rounds):
            crash(serve, seed, known)
    with bleepstore.open(url, catalog=tmp_path / "data", layout=layout, endpoint_url=endpoint) as store:
        for upload in store.list_uploads(BUCKET).uploads:
            store.abort_upload(BUCKET, upload.key, upload.upload_id)
        store.sweep(
            grace=dt.timedelta(milliseconds=-LONGEST_WRITE_MS - 60_000)
        )  # the provider's clock is this machine's
        assert list(_orphans(store)) == []


def _orphans(store: bleepstore.Store) -> Iterator[str | UploadToken]:
    with store.engine.catalog.read() as reader:
        yield from (
            handle for handle in store.engine.backend.iter_blobs(0, 1 << 60) if not reader.is_referenced(handle)
        )
