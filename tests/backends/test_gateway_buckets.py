"""Where each bucket has a container of its own at the provider: deletions and creations of one name at once.

What was acknowledged holds: a bucket that is there has its container, and its objects stay.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import bleepstore
from bleepstore import CompletedPart, Store
from bleepstore.backends.base import BlobSpec, Gateway, new_blob_id
from bleepstore.commands import Command, CreateBucket, Result
from bleepstore.errors import (
    AccessDenied,
    BlobNotFound,
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    NoSuchBucket,
    ServiceUnavailable,
    StoreError,
)
from tests.backends.http_faults import Answer, HttpProxy, Request, http_proxy, once

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


@pytest.fixture
def blobs(kind: str, proxy: HttpProxy, tmp_path: Path) -> Iterator[Store]:
    """A store whose objects are all stored in our own folder."""
    url = f"{SCHEMES[kind]}:///race-{secrets.token_hex(4)}-"
    with bleepstore.open(url, catalog=tmp_path / "blobs", endpoint_url=proxy.url, layout="blobs") as opened:
        opened.create_bucket("photos")
        yield opened


def _asks_for_container(request: Request) -> bool:
    """The first request of a removal: for what is there, or for the lease."""
    path = urlsplit(request.path)
    return "-photos" in path.path and (request.method == "GET" or "comp=lease" in path.query)


def _removes_container(request: Request) -> bool:
    return request.method == "DELETE" and urlsplit(request.path).path.rstrip("/").endswith("-photos")


def _is_usable(store: Store) -> bool:
    store.put_object("photos", "after", b"after")
    with store.get_object("photos", "after") as found:
        return found.read() == b"after"


def test_a_bucket_that_is_made_while_its_container_is_removed_has_a_container(store: Store, proxy: HttpProxy) -> None:
    def race(_request: Request) -> None:
        store.create_bucket("photos")

    proxy.before = once(_removes_container, race)
    store.delete_bucket("photos")
    assert [bucket.name for bucket in store.list_buckets().buckets] == ["photos"]
    assert _is_usable(store)


def test_an_object_that_is_put_while_the_container_is_removed_stays(store: Store, proxy: HttpProxy) -> None:
    """Put into the bucket that was made meanwhile, after the deletion saw that nothing was there."""

    def race(_request: Request) -> None:
        store.create_bucket("photos")
        store.put_object("photos", "k", b"precious")

    proxy.before = once(_removes_container, race)
    store.delete_bucket("photos")
    with store.get_object("photos", "k") as found:
        assert found.read() == b"precious"
    assert _is_usable(store)


@pytest.mark.parametrize(("layout", "key"), [("keys", "k"), ("keys", "a/../odd"), ("blobs", "k")])
def test_an_object_that_is_put_before_the_container_is_looked_at_stays(
    layout: str, key: str, request: pytest.FixtureRequest, proxy: HttpProxy
) -> None:
    """It may be stored in our own folder, among what is garbage."""
    store: Store = request.getfixturevalue("store" if layout == "keys" else "blobs")

    def race(_request: Request) -> None:
        store.create_bucket("photos")
        store.put_object("photos", key, b"precious")

    proxy.before = once(_asks_for_container, race)
    store.delete_bucket("photos")
    store.sweep()
    with store.get_object("photos", key) as found:
        assert found.read() == b"precious"
    assert _is_usable(store)


def test_the_container_of_a_deleted_bucket_goes_when_the_garbage_in_it_is_gone(blobs: Store, proxy: HttpProxy) -> None:
    upload = blobs.create_upload("photos", "u").upload_id
    blobs.put_part("photos", "u", upload, 1, b"part")
    with blobs.jobs.paused():  # the garbage stays for as long
        blobs.put_object("photos", "k", b"old")
        blobs.delete_object("photos", "k")
        blobs.delete_bucket("photos")
        assert not any(_removes_container(request) for request in proxy.seen)
    blobs.sweep()
    assert any(_removes_container(request) for request in proxy.seen)
    assert isinstance(blobs.engine.backend, Gateway)
    assert list(blobs.engine.backend.buckets()) == []


def test_a_bucket_that_has_lost_its_container_gets_another_when_it_is_made_again(store: Store) -> None:
    assert store.engine.backend.delete_bucket("photos")
    with pytest.raises(BucketAlreadyOwnedByYou):
        store.create_bucket("photos")
    assert _is_usable(store)


def test_a_bucket_whose_container_others_removed_can_be_deleted(store: Store) -> None:
    assert store.engine.backend.delete_bucket("photos")
    assert store.engine.backend.delete_bucket("photos")
    store.delete_bucket("photos")
    assert store.list_buckets().buckets == []


def test_a_bucket_whose_container_cannot_be_made_is_not_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make = store.engine.backend.create_bucket

    def refuse(bucket: str, *, known: bool = False) -> None:
        if known:
            raise ServiceUnavailable("its name is still being deleted")
        make(bucket)

    with monkeypatch.context() as patch:
        patch.setattr(store.engine.backend, "create_bucket", refuse)
        with pytest.raises(ServiceUnavailable):
            store.create_bucket("videos")
    assert [bucket.name for bucket in store.list_buckets().buckets] == ["photos"]
    store.create_bucket("videos")


# -- whose a container is


@pytest.fixture(params=["keys", "blobs"])
def layout(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def open_at(kind: str, proxy: HttpProxy, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens stores with a container for each bucket, by their catalogs and by what their prefixes add to a common
    one."""
    common = f"{SCHEMES[kind]}:///whose-{secrets.token_hex(4)}-"
    with contextlib.ExitStack() as stack:

        def open_store(catalog: str | None, prefix: str = "", **options: Any) -> Store:
            root = None if catalog is None else tmp_path / catalog
            return stack.enter_context(
                bleepstore.open(common + prefix, catalog=root, endpoint_url=proxy.url, **options)
            )

        yield open_store


def sweep_all(store: Store) -> None:
    """As a sweep long after what there is was written."""
    store.sweep(grace=dt.timedelta(milliseconds=-1000 * 60 * 60 * 24 * 14))


def test_another_catalog_neither_gets_nor_sweeps_the_container_of_a_bucket(
    open_at: Callable[..., Store], layout: str
) -> None:
    first = open_at("first", layout=layout)
    first.create_bucket("photos")
    first.put_object("photos", "k", b"precious")
    upload = first.create_upload("photos", "u").upload_id
    part = first.put_part("photos", "u", upload, 1, b"part")
    second, neighbour = open_at("second", layout=layout), open_at("third", "photos"[:2], layout=layout)
    with pytest.raises(BucketAlreadyExists):
        second.create_bucket("photos")
    second.create_bucket("videos")
    neighbour.create_bucket("others")
    for other in (second, neighbour):
        sweep_all(other)
    first.complete_upload("photos", "u", upload, [CompletedPart(number=1, etag=part.etag)])
    for key, data in (("k", b"precious"), ("u", b"part")):
        with first.get_object("photos", key) as found:
            assert found.read() == data


def test_a_container_that_may_not_be_looked_into_ends_no_sweep_unless_it_is_ours(
    open_at: Callable[..., Store], proxy: HttpProxy
) -> None:
    other = open_at(None)
    for name in ("photos", "strange"):
        other.create_bucket(name)
    store = open_at("store", layout="blobs")
    store.adopt("photos")
    handle = store.engine.backend.put_object(
        BlobSpec(bucket="photos", key="orphan", size=1, new_id=new_blob_id), [b"x"]
    ).handle
    for refused in ("-photos", "-strange"):

        def refuse(request: Request, refused: str = refused) -> Answer | None:
            return Answer(403) if refused in request.path and "store.json" in request.path else None

        proxy.before = refuse
        if refused == "-photos":
            with pytest.raises(AccessDenied):
                sweep_all(store)
        else:
            sweep_all(store)
    with pytest.raises(BlobNotFound):
        store.engine.backend.head_object(handle)


def test_a_container_with_objects_of_others_is_adopted_and_not_created(open_at: Callable[..., Store]) -> None:
    other = open_at(None)  # a catalog in memory claims nothing
    other.create_bucket("photos")
    other.put_object("photos", "salaries", b"secret")
    store = open_at("store")
    with pytest.raises(BucketAlreadyExists):
        store.create_bucket("photos")
    store.adopt("photos")
    with store.get_object("photos", "salaries") as found:
        assert found.read() == b"secret"


def test_a_catalog_whose_container_was_taken_over_is_refused_until_it_takes_it_back(
    open_at: Callable[..., Store], layout: str
) -> None:
    with open_at("first", layout=layout) as first:
        first.create_bucket("photos")
        first.put_object("photos", "k", b"one")
    with open_at("second", layout=layout, take_over=True) as second:
        assert second.adopt("photos").adopted == 1
    with pytest.raises(StoreError, match="belongs to another catalog"):
        open_at("first", layout=layout)
    with open_at("first", layout=layout, take_over=True) as first:
        first.adopt("photos")
        first.put_object("photos", "k", b"two")
    with pytest.raises(StoreError, match="belongs to another catalog"):
        open_at("second", layout=layout)
    first = open_at("first", layout=layout)
    sweep_all(first)
    with first.get_object("photos", "k") as found:
        assert found.read() == b"two"


def test_only_what_is_nobody_elses_is_offered_to_be_adopted(open_at: Callable[..., Store]) -> None:
    with open_at("first") as first:
        first.create_bucket("photos")
    other = open_at(None)
    other.create_bucket("videos")
    assert open_at("second").adoptable_buckets() == ["videos"]
    assert open_at("third", take_over=True).adoptable_buckets() == ["photos", "videos"]


def containers_left(store: Store) -> int:
    """How many containers of deleted buckets are still to be deleted."""
    (found,) = [status.left for status in store.jobs.status() if status.name == "containers"]
    return found


def test_a_container_that_one_worker_remembers_and_another_catalog_has_stays(
    open_at: Callable[..., Store],
) -> None:
    one, two = open_at("first", layout="blobs"), open_at("first", layout="blobs")
    one.create_bucket("photos")
    one.put_object("photos", "k", b"old")
    with one.jobs.paused(), two.jobs.paused():
        one.delete_object("photos", "k")
        one.delete_bucket("photos")
        assert containers_left(one) == 1
    two.sweep()
    two.create_bucket("photos")
    two.delete_bucket("photos")
    stranger = open_at("second", layout="blobs")
    stranger.create_bucket("photos")
    one.sweep()
    assert containers_left(one) == 0
    stranger.put_object("photos", "k", b"precious")
    assert not any(bucket.name == "photos" for bucket in one.list_buckets().buckets)


def test_a_catalog_that_has_swept_adopts_what_is_older(open_at: Callable[..., Store]) -> None:
    with open_at("first", layout="blobs") as first:
        first.create_bucket("photos")
        first.put_object("photos", "k", b"precious")
    with open_at("second", layout="blobs") as second:
        second.create_bucket("videos")
        sweep_all(second)
    with open_at("second", layout="blobs", take_over=True) as second:
        assert second.adopt("photos").adopted == 1
    second = open_at("second", layout="blobs")
    sweep_all(second)
    with second.get_object("photos", "k") as found:
        assert found.read() == b"precious"


def test_what_was_claimed_before_an_adoption_was_refused_is_not_swept(open_at: Callable[..., Store]) -> None:
    other = open_at(None, layout="blobs")
    other.create_bucket("photos")
    other.put_object("photos", "k", b"precious")
    store = open_at("store", layout="blobs")
    with pytest.raises(NoSuchBucket):
        list(store.adopt_all(["photos", "not-there"]))
    sweep_all(store)
    assert store.adopt("photos").adopted == 1
    sweep_all(store)
    with store.get_object("photos", "k") as found:
        assert found.read() == b"precious"


def test_a_container_of_another_catalog_is_adopted_by_taking_it_over(open_at: Callable[..., Store]) -> None:
    with open_at("first") as first:
        first.create_bucket("photos")
        first.put_object("photos", "k", b"precious")
    second = open_at("second")
    with pytest.raises(StoreError, match="take-over"):
        second.adopt("photos")
    third = open_at("third", take_over=True)
    third.adopt("photos")
    with third.get_object("photos", "k") as found:
        assert found.read() == b"precious"


def test_a_bucket_whose_container_is_removed_before_its_commit_has_a_container(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there when the creation began, for a deletion was not done with it."""
    began, removed = threading.Event(), threading.Event()
    remove = store.engine.backend.delete_bucket
    submit = store.engine.committer.submit

    def slow_removal(bucket: str, is_back: Callable[[], bool]) -> bool:
        began.set()
        assert removed.wait(30)
        return remove(bucket, is_back)

    def late_commit(command: Command) -> Result:
        if isinstance(command, CreateBucket):
            removed.set()
            deleting.join()
        return submit(command)

    monkeypatch.setattr(store.engine.backend, "delete_bucket", slow_removal)
    monkeypatch.setattr(store.engine.committer, "submit", late_commit)
    deleting = threading.Thread(target=store.delete_bucket, args=("photos",))
    deleting.start()
    assert began.wait(30)
    store.create_bucket("photos")
    assert _is_usable(store)


def test_a_bucket_that_is_deleted_has_no_container_any_more(store: Store, proxy: HttpProxy) -> None:
    store.delete_bucket("photos")
    assert any(_removes_container(request) for request in proxy.seen)
    store.create_bucket("photos")
    assert _is_usable(store)
