"""Where each bucket has a place of its own at the provider: deletions and creations of one name at once.

What was acknowledged holds: a bucket that is there has its place, and its objects stay.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import bleepstore
from bleepstore import Store
from bleepstore.commands import Command, CreateBucket, Result
from tests.backends.http_faults import HttpProxy, Request, http_proxy, once

SCHEMES = {"aws": "s3", "azure": "az", "gcs": "gs"}


@pytest.fixture(params=list(SCHEMES))
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def proxy(kind: str, far_end_of: Callable[[str], Callable[[], tuple[str, str]]]) -> Iterator[HttpProxy]:
    _url, endpoint = far_end_of(kind)()
    with http_proxy(endpoint) as made:
        yield made


@pytest.fixture
def store(kind: str, proxy: HttpProxy, tmp_path: Path) -> Iterator[Store]:
    url = f"{SCHEMES[kind]}:///race-{secrets.token_hex(4)}-"
    with bleepstore.open(url, catalog=tmp_path / "catalog", endpoint_url=proxy.url) as opened:
        opened.create_bucket("photos")
        yield opened


def _removes_place(request: Request) -> bool:
    return request.method == "DELETE" and urlsplit(request.path).path.rstrip("/").endswith("-photos")


def _is_usable(store: Store) -> bool:
    store.put_object("photos", "after", b"after")
    with store.get_object("photos", "after") as found:
        return found.read() == b"after"


def test_a_bucket_that_is_made_while_its_place_is_removed_has_a_place(store: Store, proxy: HttpProxy) -> None:
    def race(_request: Request) -> None:
        store.create_bucket("photos")

    proxy.before = once(_removes_place, race)
    store.delete_bucket("photos")
    assert [bucket.name for bucket in store.list_buckets().buckets] == ["photos"]
    assert _is_usable(store)


def test_an_object_that_is_put_while_the_place_is_removed_stays(store: Store, proxy: HttpProxy) -> None:
    """Put into the bucket that was made meanwhile, after the deletion saw that nothing was there."""

    def race(_request: Request) -> None:
        store.create_bucket("photos")
        store.put_object("photos", "k", b"precious")

    proxy.before = once(_removes_place, race)
    store.delete_bucket("photos")
    with store.get_object("photos", "k") as found:
        assert found.read() == b"precious"
    assert _is_usable(store)


def test_a_bucket_whose_place_is_removed_before_its_commit_has_a_place(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there when the creation began, for a deletion was not done with it."""
    began, removed = threading.Event(), threading.Event()
    remove = store._backend.delete_bucket
    submit = store._submit

    def slow_removal(bucket: str) -> None:
        began.set()
        assert removed.wait(30)
        remove(bucket)

    def late_commit(command: Command) -> Result:
        if isinstance(command, CreateBucket):
            removed.set()
            deleting.join()
        return submit(command)

    monkeypatch.setattr(store._backend, "delete_bucket", slow_removal)
    monkeypatch.setattr(store, "_submit", late_commit)
    deleting = threading.Thread(target=store.delete_bucket, args=("photos",))
    deleting.start()
    assert began.wait(30)
    store.create_bucket("photos")
    assert _is_usable(store)


def test_a_bucket_that_is_deleted_has_no_place_any_more(store: Store, proxy: HttpProxy) -> None:
    store.delete_bucket("photos")
    assert any(_removes_place(request) for request in proxy.seen)
    store.create_bucket("photos")
    assert _is_usable(store)
