"""A provider that cannot be reached, or refuses to remove one thing: the rest goes on."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import logging
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest

import bleepstore
from bleepstore import DeleteEntry, Store
from bleepstore.backends.base import BlobSpec, Gateway, StorageBackend, new_blob_id
from bleepstore.backends.gateway.retry import Outage, ProviderUnavailable
from bleepstore.backends.gateway.settings import GatewaySettings, open_gateway, parse_url
from bleepstore.errors import NoSuchKey, ServiceUnavailable
from bleepstore.store import DeleteFailure
from bleepstore.store.keyed_engine import KeyedEngine, ObjectKey
from bleepstore.testing.contract_tools import MIB, pattern
from tests.backends.http_faults import Answer, HttpProxy, Request, ResumableProxy, http_proxy
from tests.backends.tcp_faults import FaultProxy, fault_proxy

FarEnd = Callable[[str], Callable[[], tuple[str, str]]]


@pytest.fixture(params=["aws", "azure", "gcs"])
def far_end(request: pytest.FixtureRequest, far_end_of: FarEnd) -> tuple[str, str]:
    return far_end_of(request.param)()


@pytest.fixture
def proxy(far_end: tuple[str, str]) -> Iterator[HttpProxy]:
    with http_proxy(far_end[1]) as made:
        yield made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_impatient(settings: GatewaySettings) -> Any:
        return open_gateway(attrs.evolve(settings, deadline=0.3))

    monkeypatch.setattr("bleepstore.store.provider.open_gateway", open_impatient)


def open_at(far_end: tuple[str, str], proxy: HttpProxy, catalog: Path, layout: str = "keys", days: float = 7) -> Store:
    expiry = dt.timedelta(days=days)
    return bleepstore.open(far_end[0], catalog=catalog, endpoint_url=proxy.url, layout=layout, upload_expiry=expiry)


def is_down(_request: Request) -> Answer:
    return Answer(503)


def garbage(store: Store) -> int:
    with store.engine.catalog.read() as reader:
        return len(reader.list_garbage(1000))


def test_what_cannot_be_removed_keeps_no_other_garbage(
    far_end: tuple[str, str], proxy: HttpProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_at(far_end, proxy, tmp_path, "blobs") as store:
        store.create_bucket("photos")
        store.put_object("photos", "held", b"old" * 2000)
        held = store.stored.find("photos", "held", None, bleepstore.Action.GET_OBJECT, None, False).handle
        assert held is not None
        name = next(text for text in held.replace('"', " ").replace("/", " ").split() if len(text) == 28)
        proxy.before = lambda request: Answer(403) if request.method == "DELETE" and name in request.path else None
        with store.jobs.paused():
            for key in ("held", "other"):
                for data in (b"one", b"two"):
                    store.put_object("photos", key, data * 2000)
        assert garbage(store)
        with caplog.at_level(logging.WARNING, "bleepstore.jobs"):
            store.sweep()
            store.sweep()
        assert garbage(store) == 1
        said = [record.getMessage() for record in caplog.records if record.name == "bleepstore.jobs"]
        assert [name in text for text in said] == [True], "it is said once"
        proxy.before = lambda _request: None
        store.sweep()
        assert garbage(store) == 0


def test_a_bucket_is_deleted_while_the_provider_is_down_and_its_container_later(
    far_end: tuple[str, str], proxy: HttpProxy, tmp_path: Path
) -> None:
    each = f"{far_end[0].partition(':')[0]}:///down-{secrets.token_hex(4)}-"
    with open_at((each, far_end[1]), proxy, tmp_path) as store:
        store.create_bucket("photos")
        with store.jobs.paused():
            proxy.before = is_down
            store.delete_bucket("photos")
            assert store.list_buckets().buckets == []
            proxy.before = lambda _request: None
            assert isinstance(store.engine.backend, Gateway)
            assert list(store.engine.backend.buckets()) == ["photos"]
        store.sweep()
        assert list(store.engine.backend.buckets()) == []


def test_uploads_that_expire_while_the_provider_is_down_are_ended_later(
    far_end: tuple[str, str], proxy: HttpProxy, tmp_path: Path
) -> None:
    with open_at(far_end, proxy, tmp_path, days=-0.01) as store:
        store.create_bucket("photos")
        for number in range(4):
            upload = store.create_upload("photos", f"{number}").upload_id
            store.put_part("photos", f"{number}", upload, 1, b"x")
        proxy.before = is_down
        store.jobs.run("uploads")
        if not far_end[0].startswith("az"):
            assert len(store.list_uploads("photos").uploads) >= 3
        proxy.before = lambda _request: None
        store.sweep()
        assert store.list_uploads("photos").uploads == []
        assert list(store.engine.backend.iter_blobs(0, 1 << 62)) == []


def test_what_is_opened_while_the_provider_is_down_sweeps_no_orphans(
    far_end: tuple[str, str], proxy: HttpProxy, tmp_path: Path
) -> None:
    """Another catalog may have taken the container over, which could not be asked."""
    with open_at(far_end, proxy, tmp_path / "old", "blobs") as store:
        store.create_bucket("photos")
    with bleepstore.open(
        far_end[0], catalog=tmp_path / "new", endpoint_url=proxy.url, layout="blobs", take_over=True
    ) as new:
        new.create_bucket("photos")
        new.put_object("photos", "k", b"precious")
        proxy.before = is_down
        with open_at(far_end, proxy, tmp_path / "old", "blobs") as store:
            proxy.before = lambda _request: None
            store.sweep(grace=dt.timedelta(milliseconds=-1000 * 60 * 60 * 24 * 14))
        with new.get_object("photos", "k") as found:
            assert found.read() == b"precious"


def test_an_outage_is_waited_for_once_in_a_deletion_of_many(
    far_end: tuple[str, str], proxy: HttpProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_at(far_end, proxy, tmp_path) as store:
        store.create_bucket("photos")
        for number in range(5):
            store.put_object("photos", f"{number}", b"x")
        proxy.before = is_down
        asked = []
        engine = store.engine.object_engine
        assert isinstance(engine, KeyedEngine)
        remove = engine._delete

        def counted(at: ObjectKey, *rest: Any) -> None:
            asked.append(at.key)
            remove(at, *rest)

        monkeypatch.setattr(engine, "_delete", counted)
        monkeypatch.setattr("bleepstore.store.keyed_engine._PARALLEL_DELETES", 1)
        outcomes = store.delete_objects("photos", [DeleteEntry(key=f"{number}") for number in range(5)])
        assert asked == ["0"]
        assert len(outcomes) == 5
        assert all(isinstance(one, DeleteFailure) and isinstance(one.error, ServiceUnavailable) for one in outcomes)
        proxy.before = lambda _request: None
        assert len(store.list_objects("photos").objects) == 5


def test_what_was_opened_before_is_opened_while_the_provider_is_down(
    far_end: tuple[str, str], proxy: HttpProxy, tmp_path: Path
) -> None:
    """As a worker of a server that is started again."""
    with open_at(far_end, proxy, tmp_path) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", b"data")
    proxy.before = is_down
    with pytest.raises(ProviderUnavailable):
        open_at(far_end, proxy, tmp_path / "new")
    with open_at(far_end, proxy, tmp_path) as store:
        assert [found.key for found in store.list_objects("photos").objects] == ["k"]
        with pytest.raises(ServiceUnavailable):
            store.get_object("photos", "k")
        proxy.before = lambda _request: None
        with store.get_object("photos", "k") as found:
            assert found.read() == b"data"


@pytest.fixture
def stalling(far_end: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FaultProxy, StorageBackend]]:
    """A gateway that waits a second for its provider, behind a proxy."""
    for waits in ("aws.client.", "azure.client._Transport.", "gcs.client."):
        for name in ("_CONNECT", "_ANSWER"):  # sending waits as long as connecting
            monkeypatch.setattr(f"bleepstore.backends.{waits}{name}", 1.0)
    scheme, container, prefix = parse_url(far_end[0])
    with contextlib.ExitStack() as stack:
        url = far_end[1]
        if scheme == "gs":  # whose emulator ends an upload when it is asked how far it came
            url = stack.enter_context(contextlib.closing(ResumableProxy(url))).url
        endpoint = urlsplit(url)
        assert endpoint.port is not None
        faults = stack.enter_context(fault_proxy(endpoint.port))
        settings = GatewaySettings(
            scheme=scheme, container=container, prefix=prefix, endpoint_url=faults.url + endpoint.path
        )
        with contextlib.closing(open_gateway(settings)) as backend:
            backend.check()  # the connections are made
            yield faults, backend


def test_a_download_that_stalls_goes_on_where_it_was(stalling: tuple[FaultProxy, StorageBackend]) -> None:
    faults, backend = stalling
    data = pattern(6 * MIB)
    blob = backend.put_object(BlobSpec(bucket="photos", key="k", size=len(data), new_id=new_blob_id), [data])
    faults.inject("stall", received=2 * MIB)
    with backend.get_object(blob.handle) as reader:
        assert b"".join(iter(lambda: reader.read(300_000), b"")) == data
    assert faults.hits == 1


@pytest.mark.parametrize("size", [MIB, 12 * MIB])
def test_an_upload_that_stalls_is_sent_again(stalling: tuple[FaultProxy, StorageBackend], size: int) -> None:
    faults, backend = stalling
    data = pattern(size)
    faults.inject("stall", sent=size // 2)
    blob = backend.put_object(
        BlobSpec(bucket="photos", key="k", size=size, etag=lambda: hashlib.md5(data).hexdigest(), new_id=new_blob_id),
        [data],
    )
    assert faults.hits == 1
    with backend.get_object(blob.handle) as reader:
        assert b"".join(iter(lambda: reader.read(MIB), b"")) == data


def test_after_an_outage_nothing_else_is_asked() -> None:
    outage = Outage()
    with pytest.raises(NoSuchKey):
        outage.call(fail, NoSuchKey("photos", "k"))
    assert outage.call(str, 1) == "1"
    with pytest.raises(ProviderUnavailable):
        outage.call(fail, ProviderUnavailable("it is down"))
    with pytest.raises(ProviderUnavailable, match="it is down"):
        outage.call(str, 1)


def fail(error: Exception) -> None:
    raise error
