"""`adopt` while a server takes writes and deletes: what it listed may be of before them."""

from __future__ import annotations

import datetime as dt
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import bleepstore
from bleepstore import Store
from bleepstore.backends.base import BlobSpec, FoundBlob, new_blob_id
from bleepstore.backends.gateway.names import Layout
from bleepstore.commands import BeginSweep, Command, FollowProvider, Removed, Result
from bleepstore.errors import BlobNotFound, NoSuchKey
from bleepstore.store.adopters import Outcome

FarEnd = Callable[[str], Callable[[], tuple[str, str]]]
KINDS = ["aws", "azure", "gcs"]
HOUR_MS = 3600 * 1000


@attrs.frozen
class Pair:
    """Two processes with one catalog: one serves, one adopts."""

    server: Store
    adopter: Store


@pytest.fixture
def options(request: pytest.FixtureRequest, far_end_of: FarEnd, tmp_path: Path) -> dict[str, Any]:
    kind, layout = request.param
    url, endpoint = far_end_of(kind)()
    return {"path": url, "endpoint_url": endpoint, "layout": layout, "catalog": tmp_path / "catalog"}


@pytest.fixture
def pair(options: dict[str, Any]) -> Iterator[Pair]:
    with bleepstore.open(**options) as server, bleepstore.open(**options) as adopter:
        server.create_bucket("photos")
        yield Pair(server, adopter)


everywhere = pytest.mark.parametrize("options", [(kind, layout) for kind in KINDS for layout in Layout], indirect=True)
in_blobs = pytest.mark.parametrize("options", [("gcs", Layout.BLOBS)], indirect=True)


def _read(store: Store, key: str) -> bytes:
    with store.get_object("photos", key) as found:
        return found.read()


def _keys(store: Store) -> list[str]:
    return [item.key for item in store.list_objects("photos").objects]


def _names_stored(store: Store) -> list[str]:
    return list(store.adoption._require_gateway().names("photos"))


def _after_the_listing(monkeypatch: pytest.MonkeyPatch, adopter: Store, act: Callable[[], None]) -> None:
    """Have `act` done when the adopter knows what is stored there, and has looked at none of it."""
    backend: Any = adopter.engine.backend
    iter_found = backend.iter_found

    def stale(bucket: str, after: str = "") -> Iterator[tuple[str, FoundBlob | None]]:
        found = list(iter_found(bucket, after))
        act()
        yield from found

    monkeypatch.setattr(backend, "iter_found", stale)


def _before_a_commit(monkeypatch: pytest.MonkeyPatch, store: Store, act: Callable[[Command], Result | None]) -> None:
    """Have `act` done once, before the next command of this store is applied, or instead of it if it gives a result."""
    committer: Any = store.engine.committer
    submit = committer.submit

    def late(command: Command) -> Result:
        monkeypatch.setattr(committer, "submit", submit)
        result: Result = act(command) or submit(command)
        return result

    monkeypatch.setattr(committer, "submit", late)


@everywhere
def test_what_is_acknowledged_after_the_listing_stays(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    server = pair.server
    for key in ("deleted", "overwritten", "swept", "untouched"):
        server.put_object("photos", key, b"old")

    def serve() -> None:
        server.put_object("photos", "overwritten", b"new")
        server.delete_object("photos", "swept")
        server.sweep()
        server.delete_object("photos", "deleted")

    _after_the_listing(monkeypatch, pair.adopter, serve)
    done = pair.adopter.adopt("photos")
    assert (done.adopted, done.known, done.removed) == (0, 4, 0)
    assert _keys(server) == ["overwritten", "untouched"]
    new = server.head_object("photos", "overwritten").version
    assert (new.size, new.checksum is None) == (3, False)
    server.sweep()
    assert _read(server, "overwritten") == b"new"
    for key in ("deleted", "swept"):
        with pytest.raises(NoSuchKey):
            _read(server, key)


@everywhere
def test_what_is_committed_and_deleted_before_its_adoption_is_taken_back(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adopter lists a write that is under way. Before it brings that in, it is committed and deleted again."""
    server, adopter = pair.server, pair.adopter

    def adopt(command: Command) -> Result:
        committed: list[Result] = []

        def commit_and_delete(_: Command) -> None:
            committed.append(server.engine.committer.submit(command))
            server.delete_object("photos", "k")

        _before_a_commit(monkeypatch, adopter, commit_and_delete)
        assert adopter.adopt("photos").adopted == 0
        return committed[0]

    _before_a_commit(monkeypatch, server, adopt)
    server.put_object("photos", "k", b"data")
    assert _keys(server) == []
    server.sweep()
    assert _names_stored(server) == []


@everywhere
def test_a_write_that_is_adopted_before_its_commit_is_no_garbage(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    server, adopter = pair.server, pair.adopter

    def adopt(_: Command) -> None:
        assert adopter.adopt("photos").adopted == 1

    _before_a_commit(monkeypatch, server, adopt)
    server.put_object("photos", "k", b"data")
    server.sweep()
    assert _read(server, "k") == b"data"


@everywhere
def test_what_is_unchanged_or_new_costs_no_request_of_its_own(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    adopter: Any = pair.adopter
    keys = [f"k{number}" for number in range(5)]
    for key in keys:
        pair.server.put_object("photos", key, b"x")
        if key != "k0":  # forgotten
            with adopter.engine.catalog.read() as reader:
                found = reader.find_object("photos", key, with_data=False)
            assert found is not None
            command = FollowProvider(**adopter.engine.stamp(), bucket="photos", key=key, expected_current=found.handle)
            assert isinstance(adopter.engine.committer.submit(command), Removed)
    for verb in {"find", "head_object"} & set(dir(adopter.engine.backend)):
        monkeypatch.setattr(adopter.engine.backend, verb, lambda *_: pytest.fail("asked for one object"))
    done = adopter.adopt("photos")
    assert (done.adopted, done.known) == (4, 1)
    assert _keys(adopter) == keys


@in_blobs
def test_of_two_blobs_of_a_key_the_later_is_adopted(
    pair: Pair, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever is looked at first, and whatever comes in between."""
    with pair.server.jobs.paused():
        pair.server.put_object("photos", "k", b"old")
        pair.server.put_object("photos", "k", b"new")
        pair.server.close()
        with bleepstore.open(**options | {"catalog": tmp_path / "new"}, take_over=True) as rebuilt:
            rebuilt.adoption._make_bucket("photos")
            found = [blob for _, blob in rebuilt.adoption._require_gateway().iter_found("photos") if blob is not None]
            old, new = sorted(found, key=lambda blob: blob.stored_ms)
            bucket = rebuilt.adoption._find_bucket("photos")

            def adopt_old(_: Command) -> None:
                assert rebuilt.adoption._adopter.bring_in(bucket, old) is Outcome.NEW

            _before_a_commit(monkeypatch, rebuilt, adopt_old)
            assert rebuilt.adoption._adopter.bring_in(bucket, new) is Outcome.NEW
            assert rebuilt.adoption._adopter.bring_in(bucket, old) is Outcome.KNOWN
            assert _read(rebuilt, "k") == b"new"


@in_blobs
def test_a_write_to_a_catalog_that_has_the_bucket_for_long_is_not_adopted(options: dict[str, Any]) -> None:
    """It may be refused in the end, and is removed then."""
    with bleepstore.open(**options, clock=lambda: int(time.time() * 1000) - HOUR_MS) as earlier:
        earlier.create_bucket("photos")
    with bleepstore.open(**options) as store:
        handle = store.engine.backend.put_object(
            BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [b"data"]
        ).handle
        assert store.adopt("photos").adopted == 0
        assert _keys(store) == []
        assert store.engine.backend.head_object(handle) == 4


@in_blobs
@pytest.mark.parametrize("lost", ["folder", "file"])
def test_a_catalog_that_begins_anew_sweeps_nothing_before_all_is_adopted(
    pair: Pair, options: dict[str, Any], lost: str
) -> None:
    for number in range(3):
        pair.server.put_object("photos", f"{number}", b"x")
    pair.server.close()
    pair.adopter.close()
    if lost == "folder":
        shutil.rmtree(options["catalog"])
    else:
        (options["catalog"] / "catalog.db").unlink()
    bleepstore.open(**options, take_over=lost == "folder").close()
    with bleepstore.open(**options) as rebuilt:
        rebuilt.sweep(grace=dt.timedelta())  # as if all this had been written long ago
        assert rebuilt.adopt("photos").adopted == 3
        orphan = rebuilt.engine.backend.put_object(
            BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [b"data"]
        ).handle
    with bleepstore.open(**options) as rebuilt:
        rebuilt.sweep(grace=dt.timedelta())
        assert _read(rebuilt, "2") == b"x"
        with pytest.raises(BlobNotFound):
            rebuilt.engine.backend.head_object(orphan)


@in_blobs
def test_an_adoption_brings_in_no_orphan_that_a_sweep_is_about_to_remove(pair: Pair) -> None:
    adopter = pair.adopter
    stored = adopter.engine.backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [b"data"])
    adopter.engine.committer.submit(BeginSweep(**adopter.engine.stamp(), until_ms=stored.stored_ms + 1))
    assert adopter.adopt("photos").adopted == 0
    assert _keys(adopter) == []
