"""In the layout `blobs` names begin with the time, so a sweep lists what is recent, however much is stored."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bleepstore
from bleepstore.backends.base import BlobSpec, Gateway, new_blob_id
from bleepstore.backends.gateway.names import LONGEST_WRITE_MS, Layout, Names
from bleepstore.backends.gateway.settings import GatewaySettings, open_gateway, parse_url
from bleepstore.errors import BlobNotFound
from bleepstore_server.live import live_server
from tests.backends.http_faults import HttpProxy, Request, http_proxy

FarEnd = Callable[[str], Callable[[], tuple[str, str]]]
DAY_MS = 24 * 3600 * 1000
_LISTS = re.compile(r"list-type=2|[?&]uploads\b|comp=list|/storage/v1/b/[^/]+/o\?")
#: Names of one page, so that few blobs make many pages.
PAGE = 3
OLD = 40
MANY_OLD = 10_000


@pytest.fixture(params=["aws", "azure", "gcs"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def proxied(kind: str, far_end_of: FarEnd) -> Iterator[tuple[Gateway, HttpProxy]]:
    url, endpoint = far_end_of(kind)()
    scheme, container, prefix = parse_url(url)
    with http_proxy(endpoint) as proxy:
        settings = GatewaySettings(
            scheme=scheme, container=container, prefix=prefix, layout=Layout.BLOBS, endpoint_url=proxy.url
        )
        with contextlib.closing(open_gateway(settings)) as backend:
            yield backend, proxy


def listings(proxy: HttpProxy) -> list[Request]:
    return [one for one in proxy.seen if one.method == "GET" and _LISTS.search(one.path)]


def put(backend: Gateway, number: int, time_ms: int) -> str:
    spec = BlobSpec(bucket="photos", key=f"{number}", new_id=lambda: new_blob_id(time_ms))
    return backend.put_object(spec, [b"x"]).handle


def test_a_sweep_lists_what_is_recent(
    kind: str, proxied: tuple[Gateway, HttpProxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, proxy = proxied
    backend.create_bucket("photos")
    now = int(time.time() * 1000)
    for number in range(OLD):
        put(backend, number, now - 400 * DAY_MS + number)
    new = {put(backend, number, now - number) for number in range(PAGE)}
    monkeypatch.setattr(f"bleepstore.backends.{kind}.listing._PAGE", PAGE)
    proxy.seen.clear()
    assert set(backend.iter_blobs(now - DAY_MS, now + DAY_MS)) == new
    assert len(listings(proxy)) <= 8, "less than a page for each three old blobs"
    proxy.seen.clear()
    assert len(set(backend.iter_blobs(0, now + DAY_MS))) == OLD + PAGE
    assert len(listings(proxy)) >= OLD // PAGE, "the requests are counted"


@pytest.mark.slow
def test_a_sweep_among_ten_thousand_old_blobs_lists_a_handful_of_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pages of their real size, and the whole of a store's sweep. The provider is in this process, so that the old
    blobs need no requests."""
    now = int(time.time() * 1000)
    with bleepstore.open() as provider, live_server(provider) as served, http_proxy(served.url) as proxy:
        for name, value in served.environ.items():
            monkeypatch.setenv(name, value)
        provider.create_bucket("container")
        folder = Names(container="container").blobs_of("photos")
        options: dict[str, Any] = {"catalog": tmp_path / "store", "layout": "blobs", "endpoint_url": proxy.url}
        with bleepstore.open("s3://container", **options) as store:
            store.create_bucket("photos")
            store.sweep(grace=dt.timedelta())  # the next one is of what came after it
            for number in range(MANY_OLD):
                provider.put_object(folder.container, folder.name + new_blob_id(now - 400 * DAY_MS + number), b"x")
            backend = store.engine.backend
            assert isinstance(backend, Gateway)
            kept = store.put_object("photos", "kept", b"x" * 100_000)
            new = [put(backend, number, now - number) for number in range(10)]
            proxy.seen.clear()
            store.sweep(grace=dt.timedelta(seconds=-10))  # a provider's times are of whole seconds
            assert len(listings(proxy)) <= 4
            assert [handle for handle in new if is_stored(backend, handle)] == []
            assert store.head_object("photos", "kept").version == kept
            proxy.seen.clear()
            assert sum(1 for _ in backend.names("photos")) == MANY_OLD + 1
            assert len(listings(proxy)) > MANY_OLD // 1000, "the requests are counted"


def is_stored(backend: Gateway, handle: str) -> bool:
    try:
        backend.head_object(handle)
    except BlobNotFound:
        return False
    return True


def test_the_id_is_in_the_name(proxied: tuple[Gateway, HttpProxy]) -> None:
    backend, _proxy = proxied
    backend.create_bucket("photos")
    blob_id = new_blob_id()
    handle = backend.put_object(BlobSpec(bucket="photos", key="k", new_id=lambda: blob_id), [b"x"]).handle
    assert blob_id in handle
    assert [name.rpartition("/")[2] for name in backend.names("photos")] == [blob_id]


@pytest.mark.parametrize("span_ms", [0, 1, 60_000, DAY_MS, 30 * DAY_MS, 4000 * DAY_MS])
@pytest.mark.parametrize("until_ms", [0, 1_700_000_000_000, 0x018FFFFFFFFF, 0x020000000001, 16**12 - 1, 1 << 62])
def test_the_beginnings_of_a_span_are_few_and_have_all_its_ids(span_ms: int, until_ms: int) -> None:
    names = Names(container="c")
    since_ms = max(until_ms - span_ms, 0)
    beginnings = [folder.name for folder in names.blobs_between("b", since_ms, until_ms)]
    assert len(beginnings) <= 8
    folder = names.blobs_of("b").name
    for time_ms in (since_ms - LONGEST_WRITE_MS, since_ms, (since_ms + until_ms) // 2, until_ms - 1):
        if 0 <= time_ms < 16**12:
            name = folder + new_blob_id(time_ms)
            assert sum(name.startswith(one) for one in beginnings) == 1
            assert name > names.before_blobs_since("b", since_ms)
