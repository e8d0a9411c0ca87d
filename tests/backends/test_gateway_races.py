"""Operations of a gateway that end while others are under way: what was acknowledged stays readable.

An object is stored under its own name, so by the time that an operation is refused it may have replaced another one.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bleepstore
from bleepstore import Action, CompletedPart, Store
from bleepstore.backends.azure.backend import AzureBackend
from bleepstore.backends.azure.pins import read_token
from bleepstore.backends.base import Gateway
from bleepstore.digests import Algorithm
from bleepstore.errors import NoSuchKey, NoSuchUpload, ServiceUnavailable
from bleepstore.store.keyed_engine import KeyedEngine

FarEnd = Callable[[str], Callable[[], tuple[str, str]]]
PART = b"part" * 2000  # too large for the catalog


@pytest.fixture(params=["aws", "azure", "gcs"])
def far_end(request: pytest.FixtureRequest, far_end_of: FarEnd) -> tuple[str, str]:
    return far_end_of(request.param)()


@pytest.fixture(params=["keys", "blobs"])
def store(request: pytest.FixtureRequest, far_end: tuple[str, str], tmp_path: Path) -> Iterator[Store]:
    url, endpoint = far_end
    with bleepstore.open(url, catalog=tmp_path, endpoint_url=endpoint, layout=request.param) as opened:
        opened.create_bucket("photos")
        opened.put_object("photos", "k", b"precious")
        yield opened


def is_keyed(store: Store) -> bool:
    return isinstance(store.engine.object_engine, KeyedEngine)


def read(store: Store, key: str = "k") -> bytes:
    with store.get_object("photos", key) as found:
        return found.read()


def upload(store: Store) -> tuple[str, list[CompletedPart]]:
    upload_id = store.create_upload("photos", "k").upload_id
    part = store.put_part("photos", "k", upload_id, 1, PART)
    return upload_id, [CompletedPart(number=1, etag=part.etag)]


def after_assembly(store: Store, monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> None:
    """Have something happen between an assembly and its commit."""
    assemble = store.engine.backend.assemble_parts

    def assemble_then(*arguments: Any) -> Any:
        made = assemble(*arguments)
        monkeypatch.setattr(store.engine.backend, "assemble_parts", assemble)
        then()
        return made

    monkeypatch.setattr(store.engine.backend, "assemble_parts", assemble_then)


def test_an_abort_in_the_midst_of_a_completion_loses_no_object(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    upload_id, parts = upload(store)
    after_assembly(store, monkeypatch, lambda: store.abort_upload("photos", "k", upload_id))
    if not is_keyed(store):
        with pytest.raises(NoSuchUpload):
            store.complete_upload("photos", "k", upload_id, parts)
        assert read(store) == b"precious"
    else:
        written = store.complete_upload("photos", "k", upload_id, parts)
        assert read(store) == PART
        found = store.head_object("photos", "k").version
        assert (found.etag, found.checksum, found.parts_count) == (written.etag, written.checksum, 1)
    store.sweep()
    assert read(store) == (b"precious" if not is_keyed(store) else PART)


def test_a_new_object_that_is_deleted_before_its_commit_is_gone_when_it_is_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = store.engine.backend.put_object

    def put_then_delete(*arguments: Any) -> Any:
        made = put(*arguments)
        store.delete_object("photos", "new")
        return made

    with monkeypatch.context() as patch:
        patch.setattr(store.engine.backend, "put_object", put_then_delete)
        store.put_object("photos", "new", b"x")
    if not is_keyed(store):  # the put is the later one
        assert read(store, "new") == b"x"
    else:
        with pytest.raises(NoSuchKey):
            read(store, "new")
        assert [found.key for found in store.list_objects("photos").objects] == ["k"]


def test_a_part_that_is_sent_while_its_upload_is_aborted_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id, _parts = upload(store)
    send = store.engine.backend.put_part

    def send_then_abort(*arguments: Any, **options: Any) -> Any:
        made = send(*arguments, **options)
        store.abort_upload("photos", "k", upload_id)
        return made

    monkeypatch.setattr(store.engine.backend, "put_part", send_then_abort)
    with pytest.raises(NoSuchUpload):
        store.put_part("photos", "k", upload_id, 2, PART)
    store.sweep()
    with store.engine.catalog.read() as reader:
        left = [one for one in store.engine.backend.iter_blobs(0, 1 << 62) if not reader.is_referenced(one)]
    assert not left


def test_an_upload_that_the_provider_has_ended_is_there_no_more(store: Store) -> None:
    """As a rule of the account does with old ones."""
    store.put_object("photos", "source", PART)
    upload_id, parts = upload(store)
    token = store.uploads.find("photos", "k", upload_id, Action.PUT_OBJECT, None).backend_token
    # Azurite keeps the blocks of a blob that is deleted before a commit.
    if isinstance(store.engine.backend, AzureBackend):
        store.engine.backend._blob(read_token(token).address).commit_block_list([])
    store.engine.backend.delete_parts(token, [])
    with pytest.raises(NoSuchUpload):
        store.complete_upload("photos", "k", upload_id, parts)
    with contextlib.suppress(NoSuchUpload):  # some providers take parts under any name
        store.put_part("photos", "k", upload_id, 2, PART)
    with contextlib.suppress(NoSuchUpload):
        store.copy_part("photos", "source", "photos", "k", upload_id, 3)
    assert read(store) == b"precious"


def test_an_object_that_is_copied_onto_itself_gets_another_checksum(store: Store) -> None:
    store.put_object("photos", "k", PART, metadata={"a": "1"})
    before = store.head_object("photos", "k").version
    store.copy_object("photos", "k", "photos", "k", storage_class="STANDARD", checksum_algorithm=Algorithm.SHA256)
    after = store.head_object("photos", "k").version
    assert (after.etag, after.metadata) == (before.etag, {"a": "1"})
    assert after.checksum is not None
    assert after.checksum.algorithm is Algorithm.SHA256
    assert read(store) == PART


def test_a_copy_of_parts_has_the_etag_that_is_noted_at_the_provider(store: Store) -> None:
    """A catalog that is rebuilt from the provider finds the same."""
    upload_id, parts = upload(store)
    store.complete_upload("photos", "k", upload_id, parts)
    copy = store.copy_object("photos", "k", "photos", "copy")
    assert copy.etag == hashlib.md5(read(store)).hexdigest()
    assert isinstance(store.engine.backend, Gateway)
    noted = {found.key: found.etag for _, found in store.engine.backend.iter_found("photos") if found is not None}
    assert noted["copy"] == copy.etag
    assert read(store, "copy") == read(store)


def test_a_copy_of_what_cannot_be_read_replaces_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put_object("photos", "source", PART)

    def refuse(*_: object) -> Any:
        raise ServiceUnavailable("it cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr(store.engine.backend, "get_object", refuse)
        with pytest.raises(ServiceUnavailable):
            store.copy_object("photos", "source", "photos", "k", checksum_algorithm=Algorithm.SHA256)
    assert read(store) == b"precious"
