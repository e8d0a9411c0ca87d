"""The gateway to Azure when bytes or notes are not what they were, and when writes take long."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import attrs
import pytest
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobBlock, BlobServiceClient, ContainerClient, ContentSettings

import bleepstore
from bleepstore import ByteRange, CompletedPart, ReadCondition, Store, SystemMetadata, WriteCondition, errors
from bleepstore.backends.azure import backend as azure_backend
from bleepstore.backends.azure.layouts import AzureKeys
from bleepstore.backends.base import BlobSpec, KeyedSpec, KeyState, PartBlob, new_blob_id
from bleepstore.errors import BlobChanged, InvalidBucketName, OperationAborted, ServiceUnavailable
from bleepstore.testing.contract_tools import MIB, pattern
from tests.backends.azure_fixtures import (
    backend,
    container,
    credentials,
    make,
    native,
    read,
    read_blob,
    service,
    store,
    stored_names,
)
from tests.backends.http_faults import Answer, HttpProxy, Lost, Request, flipped, http_proxy, once

__all__ = ["backend", "container", "credentials", "native", "service", "store"]


@pytest.fixture
def proxy(azurite_url: str) -> Iterator[HttpProxy]:
    with http_proxy(azurite_url) as made:
        yield made


def _flip(request: Request) -> Request:
    return Request(request.method, request.path, request.headers, flipped(request.body))


def _is_large_put(request: Request) -> bool:
    return request.method == "PUT" and len(request.body) >= MIB


# -- what is being written


def test_a_sweep_leaves_what_a_long_put_has_staged(store: Store) -> None:
    """However long ago it began."""
    data = pattern(12 * MIB)

    def body() -> Iterator[bytes]:
        for start in range(0, len(data), MIB):
            yield data[start : start + MIB]
        store.sweep(grace=dt.timedelta(milliseconds=-(10**7)))

    store.put_object("photos", "slow", body(), size=len(data))
    assert read(store, "slow") == data


@pytest.mark.parametrize("size", [MIB, 12 * MIB])
def test_bytes_that_change_on_the_way_are_refused_and_leave_what_was_there(
    container: str, native: ContainerClient, proxy: HttpProxy, size: int
) -> None:
    with contextlib.closing(make(container, proxy.url)) as backend:
        old = backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [b"precious"])
        proxy.before = lambda request: _flip(request) if _is_large_put(request) else None
        with pytest.raises(ServiceUnavailable):
            backend.put_object(BlobSpec(bucket="photos", key="k", size=size, new_id=new_blob_id), [pattern(size)])
        assert read_blob(backend, old.handle) == b"precious"
        assert stored_names(native) == ["photos/k"]


@pytest.mark.parametrize("known", [True, False])
def test_a_large_body_of_which_bytes_change_while_it_comes_is_sent_again(
    container: str, native: ContainerClient, proxy: HttpProxy, known: bool
) -> None:
    """From disk, and with its MD5 before it."""
    data = pattern(12 * MIB)
    with contextlib.closing(make(container, proxy.url)) as backend:
        proxy.before = once(_is_large_put, _flip if known else lambda _: Answer(500))
        blob = backend.put_object(
            BlobSpec(bucket="photos", key="k", size=len(data) if known else None, new_id=new_blob_id), [data]
        )
        assert read_blob(backend, blob.handle) == data
    puts = [request for request in proxy.seen if _is_large_put(request)]
    assert ["content-md5" in request.headers for request in puts] == [not known, True]
    assert stored_names(native) == ["photos/k"]


@pytest.mark.parametrize("announced", [11 * MIB, 13 * MIB])
def test_a_body_of_another_length_than_announced_is_stored_as_it_came(
    backend: AzureKeys, native: ContainerClient, announced: int
) -> None:
    """It is for the store to refuse it."""
    data = pattern(12 * MIB)
    blob = backend.put_object(
        BlobSpec(bucket="photos", key="k", size=announced, new_id=new_blob_id), [data[: 9 * MIB], data[9 * MIB :]]
    )
    assert read_blob(backend, blob.handle) == data
    assert stored_names(native) == ["photos/k"]


@pytest.mark.parametrize("size", [MIB, 21 * MIB])  # in memory, on disk
def test_a_part_whose_bytes_change_on_the_way_is_refused(container: str, proxy: HttpProxy, size: int) -> None:
    with contextlib.closing(make(container, proxy.url)) as backend:
        token = backend.begin_parts(BlobSpec(bucket="photos", key="k", new_id=new_blob_id))
        proxy.before = once(_is_large_put, _flip)
        with pytest.raises(ServiceUnavailable):
            backend.put_part(token, 1, [pattern(size)], size, new_id=new_blob_id)


def test_a_large_block_is_sent_again(container: str, proxy: HttpProxy) -> None:
    data = pattern(21 * MIB)
    with contextlib.closing(make(container, proxy.url)) as backend:
        spec = BlobSpec(bucket="photos", key="k", new_id=new_blob_id)
        token = backend.begin_parts(spec)
        proxy.before = once(_is_large_put, lambda _: Answer(500, [("x-ms-error-code", "InternalError")]))
        part = backend.put_part(token, 1, [data], len(data), new_id=new_blob_id)
        blob = backend.assemble_parts(token, spec, [PartBlob(part.handle, len(data))])
        assert read_blob(backend, blob.handle) == data


@pytest.mark.parametrize("size", [MIB, 21 * MIB])
@pytest.mark.parametrize("kind", ["put", "part"])
def test_what_breaks_after_more_than_the_deadline_is_sent_again(
    container: str, proxy: HttpProxy, kind: str, size: int
) -> None:
    """For sending it may take as long as it takes."""
    data, now = pattern(size), [0.0]

    def break_late(_: Request) -> None:
        now[0] += 1000
        raise Lost

    with contextlib.closing(make(container, proxy.url)) as backend:
        backend._retry = attrs.evolve(backend._retry, clock=lambda: now[0], sleep=lambda _: None)
        proxy.before = once(_is_large_put, break_late)
        spec = BlobSpec(bucket="photos", key="k", new_id=new_blob_id)
        if kind == "put":
            blob = backend.put_object(spec, [data])
        else:
            token = backend.begin_parts(spec)
            part = backend.put_part(token, 1, [data], size, new_id=new_blob_id)
            blob = backend.assemble_parts(token, spec, [PartBlob(part.handle, size)])
        assert now == [1000]
        assert read_blob(backend, blob.handle) == data


# -- what is read


def _upload(store: Store, key: str, bodies: list[bytes]) -> None:
    upload = store.create_upload("photos", key)
    parts = [
        CompletedPart(number=number, etag=store.put_part("photos", key, upload.upload_id, number, body).etag)
        for number, body in enumerate(bodies, start=1)
    ]
    store.complete_upload("photos", key, upload.upload_id, parts)


def test_a_flipped_bit_of_a_multipart_object_is_noticed(container: str, proxy: HttpProxy, tmp_path: Path) -> None:
    bodies = [pattern(5 * MIB, 1), pattern(MIB, 2)]

    def flip(request: Request, answer: Answer) -> Answer | None:
        is_body = request.method == "GET" and len(answer.body) > MIB
        return Answer(answer.status, answer.headers, flipped(answer.body)) if is_body else None

    with bleepstore.open(f"az://{container}", catalog=tmp_path / "catalog", endpoint_url=proxy.url) as store:
        store.create_bucket("photos")
        _upload(store, "k", bodies)
        proxy.after = flip
        with pytest.raises(ServiceUnavailable, match="checksum"):
            read(store, "k")
        proxy.after = lambda _request, _answer: None
        assert read(store, "k") == b"".join(bodies)


def test_a_write_that_keeps_our_notes_is_read_as_it_is(store: Store, native: ContainerClient) -> None:
    _upload(store, "parts", [b"one"])
    for key in ("parts", "put"):
        if key == "put":
            store.put_object("photos", key, b"one")
        notes = native.get_blob_client(f"photos/{key}").get_blob_properties().metadata
        native.upload_blob(f"photos/{key}", b"two", overwrite=True, metadata=notes)
        assert read(store, key) == b"two"
        assert store.head_object("photos", key).version.etag == hashlib.md5(b"two").hexdigest()


def test_a_note_that_cannot_be_told_to_be_wrong_does_not_make_an_object_unreadable(
    store: Store, native: ContainerClient
) -> None:
    """Blocks of the same length, under the notes of a multipart object: nothing but the bytes says that they differ."""
    _upload(store, "k", [b"one"])
    blob = native.get_blob_client("photos/k")
    notes = blob.get_blob_properties().metadata
    blob.stage_block("1", b"two")
    blob.commit_block_list([BlobBlock("1")], metadata=notes)
    with pytest.raises(ServiceUnavailable, match="checksum"):
        read(store, "k")
    assert read(store, "k") == b"two"


@pytest.mark.parametrize("is_true", [True, False])
def test_what_others_wrote_is_compared_with_the_md5_that_it_has(
    container: str, native: ContainerClient, proxy: HttpProxy, tmp_path: Path, is_true: bool
) -> None:
    """Azure computes that of a small blob, and lets its writer say it of any."""
    data = pattern(MIB)
    native.upload_blob("photos/theirs", data)
    if not is_true:
        other = ContentSettings(content_md5=bytearray(hashlib.md5(b"other").digest()))
        native.get_blob_client("photos/theirs").set_http_headers(content_settings=other)

    def flip(request: Request, answer: Answer) -> Answer | None:
        is_body = request.method == "GET" and len(answer.body) == MIB
        return Answer(answer.status, answer.headers, flipped(answer.body)) if is_body else None

    with bleepstore.open(f"az://{container}", catalog=tmp_path / "catalog", endpoint_url=proxy.url) as store:
        store.create_bucket("photos")
        if is_true:
            proxy.after = flip
        with pytest.raises(ServiceUnavailable, match="checksum"):
            read(store, "theirs")
        proxy.after = lambda _request, _answer: None
        assert read(store, "theirs") == data


# -- what others changed, and the catalog would refuse by what it knows


def test_a_read_is_refused_only_by_what_is_stored_there_now(store: Store, native: ContainerClient) -> None:
    def change(key: str, data: bytes = b"0123456789") -> str:
        etag = store.put_object("photos", key, b"ours").etag
        native.upload_blob(f"photos/{key}", data, overwrite=True)
        return etag

    theirs = hashlib.md5(b"0123456789").hexdigest()
    old = change("unchanged")
    assert read(store, "unchanged", condition=ReadCondition(if_none_match=(old,))) == b"0123456789"
    change("new etag")
    assert read(store, "new etag", condition=ReadCondition(if_match=(theirs,))) == b"0123456789"
    change("range")
    assert read(store, "range", range=ByteRange(8, 9)) == b"89"
    old = change("head")
    assert store.head_object("photos", "head", condition=ReadCondition(if_none_match=(old,))).version.etag == theirs
    change("source")
    store.copy_object("photos", "source", "photos", "copy", source_condition=ReadCondition(if_match=(theirs,)))
    old = change("same")
    with pytest.raises(errors.PreconditionFailed):
        read(store, "same", condition=ReadCondition(if_match=(old,)))
    store.put_object("photos", "gone", b"ours")
    native.delete_blob("photos/gone")
    store.put_object("photos", "gone", b"new", condition=WriteCondition(if_none_match=True))
    assert read(store, "gone") == b"new"


def test_what_is_deleted_is_gone_also_if_others_replaced_it(store: Store, native: ContainerClient) -> None:
    store.put_object("photos", "k", b"ours")
    native.upload_blob("photos/k", b"theirs", overwrite=True)
    store.delete_object("photos", "k")
    assert stored_names(native) == []
    with pytest.raises(errors.NoSuchKey):
        read(store, "k")


# -- copies


@pytest.mark.parametrize("condition", [WriteCondition(), WriteCondition(if_none_match=True)])
def test_a_copy_whose_answer_is_lost_has_what_was_asked_for(
    container: str, native: ContainerClient, proxy: HttpProxy, tmp_path: Path, condition: WriteCondition
) -> None:
    left = [True]

    def lose(request: Request, _answer: Answer) -> None:
        if "x-ms-copy-source" in request.headers and left:
            left.clear()
            raise Lost

    with bleepstore.open(f"az://{container}", catalog=tmp_path / "catalog", endpoint_url=proxy.url) as store:
        store.create_bucket("photos")
        store.put_object("photos", "source", b"data", system=SystemMetadata(content_type="text/plain"))
        proxy.after = lose
        changed = SystemMetadata(content_type="image/png")
        store.copy_object(
            "photos", "source", "photos", "copy", replace_metadata=True, system=changed, condition=condition
        )
        assert not left
        assert read(store, "copy") == b"data"
    content = native.get_blob_client("photos/copy").get_blob_properties().content_settings
    assert content.content_type == "image/png"
    assert stored_names(native) == ["photos/copy", "photos/source"]


# -- blobs of another type


@pytest.fixture
def strict(native: ContainerClient, proxy: HttpProxy) -> HttpProxy:
    """Refuses what Azure documents, and the emulator does not: "If the destination blob already exists, it must be of
    the same blob type as the source blob." """

    def blob_type(path: str) -> str | None:
        name = unquote(urlsplit(path).path).partition(f"/{native.container_name}/")[2]
        blob = native.get_blob_client(name)
        return blob.get_blob_properties().blob_type if blob.exists() else None

    def refuse(request: Request) -> Answer | None:
        source = request.headers.get("x-ms-copy-source")
        if source is None or blob_type(request.path) in (None, blob_type(source)):
            return None
        return Answer(409, [("x-ms-error-code", "InvalidBlobType")])

    proxy.before = refuse
    return proxy


def _append(native: ContainerClient, name: str, data: bytes = b"line") -> None:
    blob = native.get_blob_client(name)
    blob.create_append_blob()
    blob.append_block(data)


@pytest.fixture
def strict_store(container: str, strict: HttpProxy, tmp_path: Path) -> Iterator[Store]:
    with bleepstore.open(f"az://{container}", catalog=tmp_path / "catalog", endpoint_url=strict.url) as store:
        store.create_bucket("photos")
        yield store


def test_a_large_put_over_an_append_blob_replaces_it_at_once(
    strict_store: Store, strict: HttpProxy, native: ContainerClient
) -> None:
    _append(native, "photos/log")
    data = pattern(9 * MIB)
    strict_store.put_object("photos", "log", data, size=len(data))
    assert read(strict_store, "log") == data
    assert stored_names(native) == ["photos/log"]
    deleted = [request.path for request in strict.seen if request.method == "DELETE"]
    assert all("/.bleepstore/uploads/" in path for path in deleted)


@pytest.mark.parametrize("is_conditional", [False, True])
def test_what_is_copied_replaces_a_blob_of_another_type(
    strict_store: Store, native: ContainerClient, monkeypatch: pytest.MonkeyPatch, is_conditional: bool
) -> None:
    monkeypatch.setattr(azure_backend, "_MAX_PUT", 4 * MIB)  # then large puts are copied only
    store = strict_store
    store.put_object("photos", "source", b"data")

    def replacing(key: str) -> WriteCondition:
        _append(native, f"photos/{key}")
        assert read(store, key) == b"line"
        etag = store.head_object("photos", key).version.etag
        return WriteCondition(if_match=etag) if is_conditional else WriteCondition()

    store.copy_object("photos", "source", "photos", "copy", condition=replacing("copy"))
    assert read(store, "copy") == b"data"
    condition = replacing("parts")
    upload = store.create_upload("photos", "parts")
    part = store.put_part("photos", "parts", upload.upload_id, 1, b"part")
    parts = [CompletedPart(number=1, etag=part.etag)]
    store.complete_upload("photos", "parts", upload.upload_id, parts, condition=condition)
    assert read(store, "parts") == b"part"
    data = pattern(9 * MIB)
    store.put_object("photos", "large", data, condition=replacing("large"))
    assert read(store, "large") == data
    _append(native, "photos/log")
    store.copy_object("photos", "log", "photos", "source")
    assert read(store, "source") == b"line"


def test_a_blob_of_another_type_is_removed_only_where_the_condition_holds(
    container: str, strict: HttpProxy, native: ContainerClient
) -> None:
    with contextlib.closing(make(container, strict.url)) as backend:
        source = backend.put_object(BlobSpec(bucket="photos", key="source", new_id=new_blob_id), [b"data"])
        _append(native, "photos/log")
        found = backend.find("photos", "log")
        assert found is not None
        native.get_blob_client("photos/log").append_block(b", line")
        for handle in (None, found.handle):
            with pytest.raises(BlobChanged):
                backend.copy_object(
                    source.handle,
                    KeyedSpec(bucket="photos", key="log", expected_current=KeyState(handle), new_id=new_blob_id),
                )
    assert native.download_blob("photos/log").readall() == b"line, line"


def test_a_blob_of_the_same_type_is_left_whatever_azure_says(
    container: str, proxy: HttpProxy, native: ContainerClient
) -> None:
    with contextlib.closing(make(container, proxy.url)) as backend:
        source = backend.put_object(BlobSpec(bucket="photos", key="source", new_id=new_blob_id), [b"data"])
        old = backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [b"precious"])
        refusal = Answer(409, [("x-ms-error-code", "InvalidBlobType")])
        proxy.before = lambda request: refusal if "x-ms-copy-source" in request.headers else None
        for expected_current in (None, KeyState(old.handle)):
            with pytest.raises(ServiceUnavailable, match="InvalidBlobType"):
                backend.copy_object(
                    source.handle,
                    KeyedSpec(bucket="photos", key="k", expected_current=expected_current, new_id=new_blob_id),
                )
    assert native.download_blob("photos/k").readall() == b"precious"


def test_a_blob_of_another_type_is_left_if_it_has_snapshots(
    container: str, strict: HttpProxy, native: ContainerClient
) -> None:
    _append(native, "photos/log")
    native.get_blob_client("photos/log").create_snapshot()
    with contextlib.closing(make(container, strict.url)) as backend:
        source = backend.put_object(BlobSpec(bucket="photos", key="source", new_id=new_blob_id), [b"data"])
        with pytest.raises(ServiceUnavailable, match="SnapshotsPresent"):
            backend.copy_object(source.handle, BlobSpec(bucket="photos", key="log", new_id=new_blob_id))
    assert native.download_blob("photos/log").readall() == b"line"


def test_what_comes_where_a_blob_of_another_type_was_removed_is_kept(
    container: str, strict: HttpProxy, native: ContainerClient
) -> None:
    """By a write on a condition, that is; one without replaces it as any other."""
    with contextlib.closing(make(container, strict.url)) as backend:
        source = backend.put_object(BlobSpec(bucket="photos", key="source", new_id=new_blob_id), [b"data"])
        for is_conditional in (True, False):
            _append(native, "photos/log")
            found = backend.find("photos", "log")
            assert found is not None

            def come(request: Request, _answer: Answer) -> None:
                if request.method == "DELETE":
                    native.upload_blob("photos/log", b"theirs")

            strict.after = come
            expected_current = KeyState(found.handle) if is_conditional else None
            spec = KeyedSpec(bucket="photos", key="log", expected_current=expected_current, new_id=new_blob_id)
            with pytest.raises(BlobChanged) if is_conditional else contextlib.nullcontext():
                backend.copy_object(source.handle, spec)
            expected = b"theirs" if is_conditional else b"data"
            assert native.download_blob("photos/log").readall() == expected


# -- containers


def _refusal(code: str) -> Any:
    def refuse(request: Request) -> Answer | None:
        is_creation = request.method == "PUT" and "restype=container" in request.path
        return Answer(409, [("x-ms-error-code", code)]) if is_creation else None

    return refuse


def test_a_bucket_whose_container_cannot_be_made_is_not_made(
    service: BlobServiceClient, proxy: HttpProxy, tmp_path: Path
) -> None:
    with bleepstore.open("az:///each-", catalog=tmp_path / "catalog", endpoint_url=proxy.url) as store:
        proxy.before = _refusal("ContainerBeingDeleted")
        with pytest.raises(OperationAborted, match="still deleting"):
            store.create_bucket("photos")
        proxy.before = lambda _: None
        with pytest.raises(InvalidBucketName):
            store.create_bucket("no--container")
        assert store.list_buckets().buckets == []
        service.create_container("each-photos")  # the account's own
        store.create_bucket("photos")
        store.put_object("photos", "k", b"data")
        assert read(store, "k") == b"data"


# -- what is slow


def test_no_attempt_waits_longer_than_what_is_left(container: str, proxy: HttpProxy) -> None:
    waits: list[float] = []
    with contextlib.closing(make(container, proxy.url, deadline=0.5)) as backend:
        send = RequestsTransport.send

        def note(self: Any, request: Any, **options: Any) -> Any:
            waits.append(options["read_timeout"])
            return send(self, request, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RequestsTransport, "send", note)
            backend.check()
    assert waits
    assert all(wait <= 0.5 for wait in waits)


def test_many_items_of_metadata_come_back(store: Store, backend: AzureKeys) -> None:
    """A client takes at most 100 headers of an answer."""
    metadata = {f"m{number:03}": "v" * 5 for number in range(120)}
    store.put_object("photos", "k", b"data", metadata=metadata)
    assert read(store, "k") == b"data"
    found = backend.find("photos", "k")
    assert found is not None
    assert found.attributes.metadata == metadata
