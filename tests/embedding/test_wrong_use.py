"""What is passed by mistake is refused by an error that says what to pass."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

import bleepstore
from bleepstore.errors import InvalidArgument, StoreClosed, StoreError
from bleepstore_server import attach, client_for, in_process, live_server


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("", StoreError, "is empty"),
        (":memory:", StoreError, "without a path is a store in memory"),
        ("file:///srv/data", StoreError, "'s3://"),
        ("S3://bucket", StoreError, "'s3://"),
        ("http://127.0.0.1:9000", StoreError, "'s3://"),
        (Path("s3://bucket"), StoreError, "as str"),
        (b"data", TypeError, "not bytes"),
        (5, TypeError, "not int"),
        (["data"], TypeError, "not list"),
    ],
)
def test_a_near_miss_makes_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Any, error: type[Exception], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=said):
        bleepstore.open(path)
    with pytest.raises(error, match=said):
        bleepstore.open("s3://bucket", catalog=path)
    assert list(tmp_path.iterdir()) == []


def test_a_store_leaves_alone_what_else_is_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_bytes(b"kept")
    with bleepstore.open(tmp_path) as store:
        store.sweep()
    assert (tmp_path / "server.log").read_bytes() == b"kept"


@pytest.mark.parametrize(
    "option",
    [
        {"owner": "me"},
        {"inline_limit": "16"},
        {"upload_expiry": 7},
        {"clock": 0},
        {"connections": "many"},
    ],
)
def test_an_option_of_a_wrong_type_is_named(option: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"^{next(iter(option))} is .*, not "):
        bleepstore.open(**option)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("text", "not str: encode it"),
        (None, "not NoneType"),
        (Path("x"), "not .*Path: open it"),
        ({"a": 1}, "not dict"),
        (["text"], "iterable of str"),
        ([1], "iterable of int"),
        (5, "not int"),
        (io.StringIO("text"), "mode 'rb'"),
        (io.StringIO(""), "mode 'rb'"),
    ],
)
def test_what_is_no_body_is_refused(store: bleepstore.Store, body: Any, said: str) -> None:
    store.create_bucket("photos")
    upload = store.create_upload("photos", "k")
    for put in (
        lambda: store.put_object("photos", "k", body),
        lambda: store.put_part("photos", "k", upload.upload_id, 1, body),
    ):
        with pytest.raises(TypeError, match=said):
            put()
    assert store.list_objects("photos").objects == []


def test_what_is_a_body_is_stored(store: bleepstore.Store) -> None:
    store.create_bucket("photos")
    pieces = (piece for piece in (b"", b"1"))
    for body in (b"1", bytearray(b"1"), memoryview(b"1"), io.BytesIO(b"1"), [b"1"], pieces, [bytearray(b"1")]):
        store.put_object("photos", "k", body)  # type: ignore[arg-type]  # a list of bytearray works too
        assert store.get_object("photos", "k").read() == b"1"


@pytest.mark.parametrize("name", [b"bytes", None, 5, Path("path")])
def test_names_are_text(store: bleepstore.Store, name: Any) -> None:
    store.create_bucket("photos")
    with_key: list[Callable[[], object]] = [
        lambda: store.put_object("photos", name, b""),
        lambda: store.get_object("photos", name),
        lambda: store.head_object("photos", name),
        lambda: store.delete_object("photos", name),
        lambda: store.create_upload("photos", name),
    ]
    for call in with_key:
        with pytest.raises(TypeError, match=r"^key is a str, not "):
            call()
    with_bucket: list[Callable[[], object]] = [
        lambda: store.create_bucket(name),
        lambda: store.head_bucket(name),
        lambda: store.delete_bucket(name),
        lambda: store.put_object(name, "k", b""),
        lambda: store.list_objects(name),
    ]
    for call in with_bucket:
        with pytest.raises(TypeError, match=r"^bucket is a str, not "):
            call()
    with pytest.raises(InvalidArgument):
        store.put_object("photos", "", b"")


def test_a_closed_store_begins_no_block() -> None:
    store = bleepstore.open()
    store.close()
    with pytest.raises(StoreClosed), store:
        pass


def test_clients_are_of_stores(store: bleepstore.Store, tmp_path: Path) -> None:
    for path in ("data", os.fspath(tmp_path), tmp_path):
        for use in (client_for, in_process, live_server):
            with pytest.raises(TypeError, match=r"bleepstore\.open\(\) gives"):
                with_block(use, path)
    resource = boto3.resource("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    with pytest.raises(TypeError, match=r"attach\(resource\.meta\.client, store\)"):
        attach(resource, store)
    with pytest.raises(TypeError, match="makes one"):
        attach("s3", store)
    with pytest.raises(TypeError, match="takes a store"):
        attach(resource.meta.client, "data")  # type: ignore[arg-type]  # on purpose
    resource.meta.client.close()


def with_block(use: Any, store: object) -> None:
    with use(store):
        pass


def test_a_store_stays_where_it_is_when_the_process_changes_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with bleepstore.open("store") as store:
        store.create_bucket("photos")
        monkeypatch.chdir(tmp_path / "elsewhere")
        store.put_object("photos", "large", bytes(100_000))
        store.sweep()
        with store.get_object("photos", "large") as found:
            assert len(found.read()) == 100_000
    assert list((tmp_path / "elsewhere").iterdir()) == []
