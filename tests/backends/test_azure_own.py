"""What the gateway to Azure does beyond the laws: native names and metadata, what others do there, races."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import itertools
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from azure.storage.blob import BlobBlock, BlobClient, BlobServiceClient, ContainerClient, ContentSettings

from bleepstore import ByteRange, CompletedPart, Store, SystemMetadata, WriteCondition, errors
from bleepstore.backends.azure.backend import AzureBackend
from bleepstore.backends.azure.layouts import AzureKeys
from bleepstore.backends.base import BlobSpec, KeyedSpec, KeyState, PartBlob, new_blob_id
from bleepstore.backends.gateway.names import Layout
from bleepstore.errors import BlobChanged, BlobNotFound, UploadNotFound
from bleepstore.model import ObjectAttributes
from bleepstore.testing.contract_tools import MIB, ODD_KEYS, pattern
from tests.backends.azure_fixtures import (
    backend,
    container,
    credentials,
    make,
    make_in,
    native,
    read,
    read_blob,
    service,
    store,
    stored_names,
)

__all__ = ["backend", "container", "credentials", "native", "service", "store"]

_numbers = itertools.count()


# -- as the provider's own tools see it


def test_an_object_is_stored_under_its_own_key_with_its_own_metadata(store: Store, native: ContainerClient) -> None:
    system = SystemMetadata(content_type="image/jpeg", content_language="de", cache_control="no-store")
    made = store.put_object("photos", "2024/cat.jpg", b"meow", system=system, metadata={"owner": "alice"})
    found = native.download_blob("photos/2024/cat.jpg")
    assert found.readall() == b"meow"
    content = found.properties.content_settings
    assert (content.content_type, content.content_language, content.cache_control) == ("image/jpeg", "de", "no-store")
    assert found.properties.metadata["owner"] == "alice"
    assert found.properties.metadata["bleepstore_etag"] == made.etag == hashlib.md5(b"meow").hexdigest()
    assert bytes(content.content_md5 or b"").hex() == made.etag
    store.delete_object("photos", "2024/cat.jpg")
    assert stored_names(native) == []


def test_a_large_object_has_its_md5_and_leaves_no_blocks(store: Store, native: ContainerClient) -> None:
    data = pattern(9 * MIB)
    made = store.put_object("photos", "k", data)
    content = native.get_blob_client("photos/k").get_blob_properties().content_settings
    assert bytes(content.content_md5 or b"").hex() == made.etag == hashlib.md5(data).hexdigest()
    assert read(store, "k") == data
    assert stored_names(native) == ["photos/k"]


def test_a_multipart_object_carries_the_etag_of_s3(store: Store, native: ContainerClient, backend: AzureKeys) -> None:
    upload = store.create_upload("photos", "big", metadata={"owner": "alice"})
    bodies = [pattern(5 * MIB, 1), pattern(100, 2)]
    parts = [
        CompletedPart(number=number, etag=store.put_part("photos", "big", upload.upload_id, number, body).etag)
        for number, body in enumerate(bodies, start=1)
    ]
    made = store.complete_upload("photos", "big", upload.upload_id, parts)
    assert made.etag.endswith("-2")
    found = backend.find("photos", "big")
    assert found is not None
    assert (found.etag, found.size, dict(found.attributes.metadata)) == (made.etag, 5 * MIB + 100, {"owner": "alice"})
    assert native.download_blob("photos/big").readall() == b"".join(bodies)
    store.sweep()
    assert stored_names(native) == ["photos/big"]


def test_metadata_that_the_provider_would_refuse_come_back(store: Store, backend: AzureKeys) -> None:
    metadata = {
        "plain": "1", "with-hyphen": "2", "0digit": "3", "name": "ü€ \U0001f600", "empty": "", "spaces": " x ",
        "bleepstore_etag": "mine",
    }  # fmt: skip
    system = SystemMetadata(content_type="text/plain", expires="Thu, 01 Dec 2033 16:00:00 GMT", content_language="dé")
    store.put_object("photos", "k", b"data", metadata=metadata, system=system)
    store.copy_object("photos", "k", "photos", "copy")
    for key in ("k", "copy"):
        found = backend.find("photos", key)
        assert found is not None
        assert found.attributes.metadata == metadata
        assert found.attributes.system == system


def test_odd_keys_are_found_again_from_the_provider_alone(store: Store, backend: AzureKeys) -> None:
    for key in ODD_KEYS:
        store.put_object("photos", key, key.encode())
    found = {blob.key: blob for _, blob in backend.iter_found("photos") if blob is not None}
    assert {key: blob.etag for key, blob in found.items()} == {
        key: hashlib.md5(key.encode()).hexdigest() for key in ODD_KEYS
    }


def test_a_key_of_characters_that_azure_does_not_accept_is_named_by_its_digest(
    store: Store, native: ContainerClient, backend: AzureKeys
) -> None:
    """ "Code points like \\uE000 ... cannot be used." The emulator takes them."""
    keys = ["\ue000", "a/\uf8ff", "\ud7ff", "\uf900"]
    for key in keys:
        store.put_object("photos", key, key.encode())
        assert read(store, key) == key.encode()
    assert {blob.key for _, blob in backend.iter_found("photos") if blob is not None} == set(keys)
    names = [name for name in stored_names(native) if not name.startswith("photos/.bleepstore/keys/")]
    assert names == ["photos/\ud7ff", "photos/\uf900"]


@pytest.mark.parametrize("layout", list(Layout))
def test_finding_goes_on_where_it_was(container: str, azurite_url: str, layout: Layout) -> None:
    with contextlib.closing(make_in(layout, container, azurite_url)) as backend:
        handles = {
            backend.put_object(BlobSpec(bucket="photos", key=f"k{number}", size=1, new_id=new_blob_id), [b"x"]).handle
            for number in range(9)
        }
        listed = list(backend.iter_found("photos"))
        assert {blob.handle for _, blob in listed if blob is not None} == handles
        assert {blob.key for _, blob in listed if blob is not None} == {f"k{number}" for number in range(9)}
        rest = {blob.handle for _, blob in backend.iter_found("photos", listed[3][0]) if blob is not None}
        assert {blob.handle for _, blob in listed[4:] if blob is not None} <= rest
        assert list(backend.buckets()) == ["photos"]


def test_gzip_labelled_bytes_are_never_unpacked(store: Store, native: ContainerClient) -> None:
    """They need not even be gzip."""
    data = pattern(3 * MIB)
    store.put_object("photos", "k", data, system=SystemMetadata(content_encoding="gzip"))
    assert read(store, "k") == data
    assert read(store, "k", range=ByteRange(5, 2 * MIB)) == data[5 : 2 * MIB + 1]
    assert native.get_blob_client("photos/k").get_blob_properties().content_settings.content_encoding == "gzip"


# -- what others do there


def test_a_change_behind_our_back_is_adopted_when_it_is_read(store: Store, native: ContainerClient) -> None:
    store.put_object("photos", "k", b"ours", metadata={"by": "us"})
    native.upload_blob(
        "photos/k", b"theirs, longer", overwrite=True, metadata={"by": "them"},
        content_settings=ContentSettings(content_type="text/x"),
    )  # fmt: skip
    assert read(store, "k") == b"theirs, longer"
    head = store.head_object("photos", "k").version
    assert (head.size, head.etag) == (14, hashlib.md5(b"theirs, longer").hexdigest())
    assert (head.system.content_type, head.metadata) == ("text/x", {"by": "them"})


def test_what_others_made_of_blocks_has_an_etag_that_claims_no_md5(store: Store, native: ContainerClient) -> None:
    blob = native.get_blob_client("photos/theirs")
    blob.stage_block("1", b"block")
    blob.commit_block_list([BlobBlock("1")])
    assert store.adopt("photos").adopted == 1
    etag = store.head_object("photos", "theirs").version.etag
    assert len(etag) == 34
    assert etag.endswith("-1")


def test_what_others_deleted_is_gone_when_it_is_read(store: Store, native: ContainerClient) -> None:
    store.put_object("photos", "k", b"ours")
    native.delete_blob("photos/k")
    with pytest.raises(errors.NoSuchKey):
        read(store, "k")
    assert store.list_objects("photos").objects == []


def test_a_range_of_what_others_replaced_is_of_the_new_bytes(store: Store, native: ContainerClient) -> None:
    store.put_object("photos", "k", b"0123456789")
    native.upload_blob("photos/k", b"abcdefgh", overwrite=True)
    assert read(store, "k", range=ByteRange(2, 4)) == b"cde"
    native.upload_blob("photos/k", b"x", overwrite=True)
    with pytest.raises(errors.InvalidRange):
        read(store, "k", range=ByteRange(2, 4))


def test_a_copy_of_what_others_replaced_has_the_new_bytes(store: Store, native: ContainerClient) -> None:
    store.put_object("photos", "k", b"ours")
    native.upload_blob("photos/k", b"theirs", overwrite=True)
    copied = store.copy_object("photos", "k", "photos", "copy")
    assert read(store, "copy") == b"theirs"
    assert copied.etag == hashlib.md5(b"theirs").hexdigest()


def test_a_condition_meets_what_others_wrote(store: Store, native: ContainerClient) -> None:
    etag = store.put_object("photos", "k", b"ours").etag
    native.upload_blob("photos/k", b"theirs", overwrite=True)
    with pytest.raises(errors.PreconditionFailed):
        store.put_object("photos", "k", b"new", condition=WriteCondition(if_match=etag))
    native.upload_blob("photos/fresh", b"theirs")
    with pytest.raises(errors.PreconditionFailed):
        store.put_object("photos", "fresh", b"new", condition=WriteCondition(if_none_match=True))
    assert native.download_blob("photos/k").readall() == b"theirs"
    assert read(store, "fresh") == b"theirs"  # it was adopted


def test_sweeping_leaves_what_others_put_there(store: Store, native: ContainerClient) -> None:
    store.put_object("photos", "k", b"ours")
    native.upload_blob("photos/k", b"theirs", overwrite=True)
    native.upload_blob("photos/other", b"theirs")
    store.delete_object("photos", "k")
    store.sweep(grace=dt.timedelta(milliseconds=-(10**7)))
    assert stored_names(native) == ["photos/other"]


def test_a_container_for_each_bucket_is_removed_only_if_nothing_else_is_in_it(
    azurite_url: str, service: BlobServiceClient, caplog: pytest.LogCaptureFixture
) -> None:
    prefix = f"each-{next(_numbers)}-"
    with contextlib.closing(make(None, azurite_url, prefix=prefix)) as backend:
        for bucket in ("empty", "used"):
            backend.create_bucket(bucket)
            backend.create_bucket(bucket)
        assert list(backend.buckets()) == ["empty", "used"]
        backend.begin_parts(BlobSpec(bucket="empty", key="k", new_id=new_blob_id))
        backend.put_object(BlobSpec(bucket="used", key="k", size=1, new_id=new_blob_id), [b"x"])
        assert service.get_blob_client(f"{prefix}used", "k").exists()
        with caplog.at_level(logging.WARNING):
            backend.delete_bucket("empty")
            backend.delete_bucket("used")
            backend.delete_bucket("never-made")
        assert [item.name for item in service.list_containers(name_starts_with=prefix)] == [f"{prefix}used"]
        assert f"{prefix}used" in caplog.text


# -- conditions and races


@pytest.mark.parametrize("size", [1, 9 * MIB])
def test_a_write_on_a_condition_is_the_providers(backend: AzureKeys, native: ContainerClient, size: int) -> None:
    def put(byte: bytes, expected_current: KeyState | None) -> str:
        spec = KeyedSpec(bucket="photos", key="k", size=size, expected_current=expected_current, new_id=new_blob_id)
        return backend.put_object(spec, [byte * size]).handle

    first = put(b"1", KeyState(None))
    with pytest.raises(BlobChanged):
        put(b"2", KeyState(None))
    second = put(b"2", KeyState(first))
    with pytest.raises(BlobChanged):
        put(b"3", KeyState(first))
    copied = backend.copy_object(
        second, KeyedSpec(bucket="photos", key="copy", expected_current=KeyState(None), new_id=new_blob_id)
    )
    with pytest.raises(BlobChanged):
        backend.copy_object(
            second, KeyedSpec(bucket="photos", key="copy", expected_current=KeyState(None), new_id=new_blob_id)
        )
    spec = KeyedSpec(bucket="photos", key="k", expected_current=KeyState(first), new_id=new_blob_id)
    token = backend.begin_parts(spec)
    part = backend.put_part(token, 1, [b"part"], new_id=new_blob_id)
    with pytest.raises(BlobChanged):
        backend.assemble_parts(token, spec, [PartBlob(part.handle, 4)])
    backend.delete_parts(token, [])
    assert backend.remove(copied.handle)
    assert not backend.remove(copied.handle)
    assert backend.remove(second)
    with pytest.raises(BlobChanged):
        put(b"3", KeyState(second))
    assert stored_names(native) == []


def test_large_writes_of_one_key_at_once_both_end_and_one_of_them_is_there(
    backend: AzureKeys, native: ContainerClient
) -> None:
    bodies = [pattern(9 * MIB, seed) for seed in range(3)]

    def put(body: bytes) -> str:
        chunks = [body[start : start + MIB] for start in range(0, len(body), MIB)]
        return backend.put_object(BlobSpec(bucket="photos", key="k", size=len(body), new_id=new_blob_id), chunks).handle

    with ThreadPoolExecutor(3) as pool:
        handles = dict(zip(pool.map(put, bodies), bodies, strict=True))
    found = backend.find("photos", "k")
    assert found is not None
    assert read_blob(backend, found.handle) == handles[found.handle]
    for handle in handles.keys() - {found.handle}:
        with pytest.raises(BlobNotFound):
            backend.get_object(handle)
    assert stored_names(native) == ["photos/k"]


@pytest.mark.parametrize("changed", [False, True])
def test_a_copy_that_is_replaced_at_once_is_never_taken_for_the_other(
    backend: AzureKeys, native: ContainerClient, monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    source = backend.put_object(BlobSpec(bucket="photos", key="source", size=4, new_id=new_blob_id), [b"ours"])
    system = SystemMetadata(content_type="text/other") if changed else SystemMetadata()
    start = BlobClient.start_copy_from_url

    def start_and_lose(self: BlobClient, *arguments: Any, **options: Any) -> Any:
        answer = start(self, *arguments, **options)
        native.upload_blob("photos/copy", b"theirs", overwrite=True)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(BlobClient, "start_copy_from_url", start_and_lose)
        copied = backend.copy_object(
            source.handle,
            BlobSpec(bucket="photos", key="copy", attributes=ObjectAttributes(system=system), new_id=new_blob_id),
        )
    with pytest.raises(BlobNotFound):
        backend.get_object(copied.handle)
    assert native.download_blob("photos/copy").readall() == b"theirs"


@pytest.mark.parametrize("others", [1, 2])
def test_completions_at_once_never_give_each_others_parts(
    backend: AzureKeys, container: str, azurite_url: str, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """Of the same parts they agree. Of fewer, the parts that were left out are gone: Azure discards them."""
    spec = BlobSpec(bucket="photos", key="k", new_id=new_blob_id)
    token = backend.begin_parts(spec)
    parts = [PartBlob(backend.put_part(token, number, [b"part"], new_id=new_blob_id).handle, 4) for number in (1, 2)]
    commit = AzureBackend._commit
    commits: list[AzureKeys] = []
    with contextlib.closing(make(container, azurite_url)) as other:

        def commit_and_lose(self: AzureKeys, *arguments: Any) -> Any:
            committed = commit(self, *arguments)
            commits.append(self)
            if commits == [backend]:
                other.assemble_parts(token, spec, parts[:others])
            return committed

        monkeypatch.setattr(AzureBackend, "_commit", commit_and_lose)
        if others == 2:
            blob = backend.assemble_parts(token, spec, parts)
            assert read_blob(backend, blob.handle) == b"partpart"
        else:
            with pytest.raises(UploadNotFound):
                backend.assemble_parts(token, spec, parts)
            found = backend.find("photos", "k")
            assert found is not None
            assert read_blob(backend, found.handle) == b"part"
    assert commits == [backend, other]


def test_copies_and_completions_do_not_pass_through_this_process(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pattern(6 * MIB)
    store.put_object("photos", "source", data)
    upload = store.create_upload("photos", "k")
    etag = store.put_part("photos", "k", upload.upload_id, 1, data).etag

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the bytes pass through this process")

    with monkeypatch.context() as patch:
        patch.setattr(AzureBackend, "get_object", refuse)
        store.copy_object("photos", "source", "photos", "copy")
        store.complete_upload("photos", "k", upload.upload_id, [CompletedPart(number=1, etag=etag)])
    assert read(store, "copy") == read(store, "k") == data
