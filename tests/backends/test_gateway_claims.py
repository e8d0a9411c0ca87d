"""Which catalog the blobs at a provider belong to, and what is left when it is lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import bleepstore
from bleepstore.backends.gateway.names import Layout
from bleepstore.backends.gateway.settings import GatewaySettings, open_gateway
from bleepstore.errors import StoreError
from tests.backends.providers import PROVIDERS

#: By the kind of a provider: what gives the URL and the endpoint of a new empty container.
FarEnds = Callable[[str], Callable[[], tuple[str, str]]]


@pytest.fixture(params=list(PROVIDERS))
def container(request: pytest.FixtureRequest, far_end_of: FarEnds) -> tuple[str, str]:
    """Its URL and endpoint, at each provider."""
    return far_end_of(request.param)()


@pytest.mark.parametrize("layout", list(Layout))
def test_a_lost_catalog_is_built_anew(container: tuple[str, str], tmp_path: Path, layout: Layout) -> None:
    url, endpoint = container
    options: dict[str, Any] = {"endpoint_url": endpoint, "layout": layout.value}
    data = bytes(range(250)) * 800
    with bleepstore.open(url, catalog=tmp_path / "old", **options) as store:
        store.create_bucket("photos")
        made = store.put_object("photos", "a-1//ü", data, metadata={"n": "1"})
    with pytest.raises(StoreError, match="belongs to another catalog"):
        bleepstore.open(url, catalog=tmp_path / "new", **options)
    with bleepstore.open(url, catalog=tmp_path / "new", take_over=True, **options) as store:
        assert store.adoptable_buckets() == ["photos"]
        assert store.adopt("photos").adopted == 1
        head = store.head_object("photos", "a-1//ü").version
        assert (head.etag, head.size, head.metadata) == (made.etag, len(data), {"n": "1"})
        with store.get_object("photos", "a-1//ü") as found:
            assert found.read() == data


def test_a_container_is_claimed_once_unless_it_is_taken_over(container: tuple[str, str]) -> None:
    url, endpoint = container
    scheme, name, folder, *_ = urlsplit(url)
    settings = GatewaySettings(
        scheme=scheme, container=name, prefix=f"{folder[1:]}/", endpoint_url=endpoint, connections=4, deadline=5
    )
    with contextlib.closing(open_gateway(settings)) as one, contextlib.closing(open_gateway(settings)) as two:
        assert one.claim("first") == "first"
        assert two.claim("second") == "first"
        assert two.claim("second", take_over=True) == "second"
        assert one.claim("first") == "second"
