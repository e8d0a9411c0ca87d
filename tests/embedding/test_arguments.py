"""Every method of a store says which option was wrong, and what it should be."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bleepstore
from bleepstore import ByteRange, ReadCondition, WriteCondition
from bleepstore.encryption import BucketEncryption
from bleepstore.errors import IncompleteBody, InvalidArgument, NotModified, PreconditionFailed
from bleepstore.store.arguments import CHECKED_ELSEWHERE, KINDS, annotations_of

WRONG: dict[str, Any] = {
    "metadata": 5,
    "range": (0, 5),
    "caller": "alice",
    "condition": "abc",
    "source_condition": '"abc"',
    "source_range": "bytes=0-5",
    "acl": "public-read",
    "system": {"content_type": "text/plain"},
    "attributes": {"storage_class": "GLACIER"},
    "allow_unchanged": 1,
    "checksum": "AAAA",
    "checksum_algorithm": "CRC32",
    "checksum_type": "COMPOSITE",
    "size": "5",
    "object_size": 5.0,
    "late_checksum": "AAAA",
    "storage_class": 5,
    "content_md5": b"x",
    "version_id": 7,
    "source_version_id": 7,
    "part_number": "1",
    "replace_metadata": "REPLACE",
    "prefix": b"a",
    "delimiter": None,
    "after": None,
    "after_key": None,
    "after_upload_id": None,
    "after_version_id": None,
    "versioning": "Enabled",
    "limit": "10",
    "location": None,
    "upload_id": 5,
    "number": "1",
    "parts": "abc",
    "entries": "abc",
    "owner": "alice",
    "rows": 5,
    "encryption": "AES256",
    "customer_key": b"k" * 32,
    "source_customer_key": b"k" * 32,
    "action": "GetObject",
    "rate": "1 MB",
    "sleep": 1.0,
    "email": 5,
    "content_type": 5,
    "locations": "eu-west-1",
}
METHODS = [
    (name, member)
    for name, member in inspect.getmembers(bleepstore.Store, inspect.isfunction)
    if not name.startswith("_")
]
CASES = [
    (name, option)
    for name, member in METHODS
    for option, kind in annotations_of(member).items()
    if kind in KINDS and option not in CHECKED_ELSEWHERE and option in WRONG
]


@pytest.mark.parametrize(("method", "option"), CASES, ids=["-".join(case) for case in CASES])
def test_a_wrong_option_is_named(method: str, option: str) -> None:
    with bleepstore.open() as store:
        store.create_bucket("photos")
        call = getattr(store, method)
        required = [
            name
            for name, parameter in inspect.signature(call).parameters.items()
            if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        ]
        given: dict[str, Any] = {"bucket": "photos", "source_bucket": "photos", "number": 1, "parts": [], "body": b""}
        given |= {"acl": bleepstore.CannedAcl.PRIVATE, "entries": [], "caller": None}
        given |= {"lock": bleepstore.ObjectLock(), "legal_hold": True, "retention": None, "rules": []}
        given |= {"ownership": bleepstore.ObjectOwnership.OBJECT_WRITER, "block": bleepstore.PublicAccessBlock()}
        given |= {"payer": bleepstore.Payer.REQUESTER, "callback": print}
        given |= {"kind": bleepstore.ConfigurationKind.WEBSITE, "document": {}}
        if method == "assume_role":
            given["signer"] = store.put_credential("AK", "a-secret")
        given["identity"] = bleepstore.WebIdentity("https://id.example.org", "app", "eve")
        if method == "put_bucket_encryption":
            given["encryption"] = BucketEncryption()
        if method == "update_object_encryption":
            given["encryption"] = bleepstore.NamedKey()
        given |= {"interval": dt.timedelta(days=1), "tags": {}, "days": 1}
        given |= {"action": bleepstore.Action.LIST_BUCKET, "versioning": bleepstore.Versioning.ENABLED}
        options = {name: given.get(name, "k") for name in required} | {option: WRONG[option]}
        with pytest.raises(TypeError, match=f"^{option} is .*, not {type(WRONG[option]).__name__}"):
            call(**options)
        assert store.list_objects("photos").objects == []


def test_every_option_of_a_store_is_checked() -> None:
    """The kind of each annotation is known: a new one is added to the table."""
    elsewhere = {"path", "progress", "target"}
    unknown = {
        (name, option, kind)
        for name, member in METHODS
        for option, kind in annotations_of(member).items()
        if option not in CHECKED_ELSEWHERE | elsewhere and kind not in KINDS
    }
    assert unknown == set()


def test_positional_arguments_are_checked_too(store: bleepstore.Store) -> None:
    store.create_bucket("photos")
    upload = store.create_upload("photos", "k")
    with pytest.raises(TypeError, match=r"^number is a whole number, not str: '1'"):
        store.put_part("photos", "k", upload.upload_id, "1", b"")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(TypeError, match=r"^acl is a CannedAcl"):
        store.put_object_acl("photos", "k", "private")  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("keyword", [{"content_typ": "x"}, {"metdata": {}}])
def test_an_option_that_is_none_is_named(store: bleepstore.Store, keyword: dict[str, Any]) -> None:
    store.create_bucket("photos")
    for call in (store.put_object, store.create_upload):
        body = [b""] if call == store.put_object else []
        with pytest.raises(TypeError, match=f"has no option '{next(iter(keyword))}'"):
            call("photos", "k", *body, **keyword)
    with pytest.raises(TypeError, match=r"^content_type is a str or None, not int"):
        store.put_object("photos", "k", b"", content_type=5)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("metadata", [{"a": 1}, {1: "a"}, {"a": b"b"}])
def test_metadata_are_text(store: bleepstore.Store, metadata: Any) -> None:
    store.create_bucket("photos")
    with pytest.raises(TypeError, match=r"^metadata is a mapping of str to str; it has"):
        store.put_object("photos", "k", b"", metadata=metadata)


def test_an_etag_is_the_same_with_quotes_and_without(store: bleepstore.Store) -> None:
    store.create_bucket("photos")
    etag = store.put_object("photos", "k", b"1").etag
    quoted = f'"{etag}"'
    assert WriteCondition(if_match=quoted) == WriteCondition(if_match=etag)
    for same in (etag, quoted, (etag,), ("other", quoted), [quoted]):
        condition = ReadCondition(if_match=same)
        store.head_object("photos", "k", condition=condition)
        with pytest.raises(NotModified):
            store.head_object("photos", "k", condition=ReadCondition(if_none_match=same))
    with pytest.raises(PreconditionFailed):  # a part of an ETag is another one
        store.head_object("photos", "k", condition=ReadCondition(if_match=etag + "0"))
    store.put_object("photos", "k", b"2", condition=WriteCondition(if_match=quoted))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: WriteCondition(if_match=5), "^if_match is an ETag"),  # type: ignore[arg-type]
        (lambda: WriteCondition(if_match=("a",)), "^if_match is an ETag"),  # type: ignore[arg-type]
        (lambda: WriteCondition(if_none_match="*"), "^if_none_match of a write is True"),  # type: ignore[arg-type]
        (lambda: ReadCondition(if_match=5), "^if_match is one ETag or a tuple"),  # type: ignore[arg-type]
        (lambda: ReadCondition(if_none_match=(5,)), "^if_none_match is an ETag"),  # type: ignore[arg-type]
        (lambda: ReadCondition(if_modified_since="now"), "^if_modified_since is a datetime"),  # type: ignore[arg-type]
        (lambda: ReadCondition(if_unmodified_since=dt.datetime(2026, 1, 1)), "^if_unmodified_since .* time zone"),
        (lambda: ByteRange("0", 5), "^first of a ByteRange"),  # type: ignore[arg-type]
        (lambda: ByteRange(0, 5.0), "^last of a ByteRange"),  # type: ignore[arg-type]
    ],
)
def test_what_makes_no_condition_says_so(make: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        make()


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (3, "The body has more than the 3 bytes that were declared as its size."),
        (9, "The body ended after 5 bytes; 9 were declared as its size."),
    ],
)
def test_a_body_of_another_size_is_told_which_is_longer(store: bleepstore.Store, size: int, said: str) -> None:
    store.create_bucket("photos")
    with pytest.raises(IncompleteBody) as refused:
        store.put_object("photos", "k", b"12345", size=size)
    assert refused.value.message == said


def test_only_what_is_passed_is_looked_at() -> None:
    """The methods are called all the time: checking costs a look at each argument, and no import or call beyond."""
    import sys

    calls: list[str] = []
    with bleepstore.open() as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", b"1")

        def note(frame: Any, event: str, _argument: object) -> None:
            if event == "call" and "arguments.py" in frame.f_code.co_filename:
                calls.append(frame.f_code.co_name)

        sys.setprofile(note)
        try:
            store.head_object("photos", "k", caller=None, version_id=None)
        finally:
            sys.setprofile(None)
    assert calls == ["call"]


@pytest.mark.parametrize("name", [5, b"k", Path("k"), ["k"], None, 1 << 80], ids=repr)
def test_a_name_of_a_wrong_type_is_named(store: bleepstore.Store, name: Any) -> None:
    """Whatever the name would have done first: be looked up, or be bound to a statement."""
    store.create_bucket("photos")
    upload = store.create_upload("photos", "k")
    with pytest.raises(TypeError, match=r"^key is a str, not"):
        store.get_object("photos", name)
    with pytest.raises(TypeError, match=r"^key is a str, not"):
        store.put_part("photos", name, upload.upload_id, 1, b"")
    for call in (store.get_object, store.head_object, store.delete_object, store.get_object_acl):
        with pytest.raises(TypeError, match=r"^bucket is a str, not"):
            call(name, "k")
    for whole in (store.head_bucket, store.delete_bucket, store.list_objects, store.iter_objects, store.create_bucket):
        with pytest.raises(TypeError, match=r"^bucket is a str, not"):
            whole(name)
    with pytest.raises(TypeError, match=r"^source_key is a str, not"):
        store.copy_object("photos", name, "photos", "k")


def test_a_name_that_may_be_none_is_not_blamed_for_being_so(store: bleepstore.Store) -> None:
    with pytest.raises(InvalidArgument, match="A limit is not negative"):
        store.put_quota(bucket=None, account="a", max_bytes=-1)
    with pytest.raises(TypeError, match=r"^bucket is a str or None, not int"):
        store.put_quota(bucket=5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "option", "wrong", "said"),
    [
        ("put_object", "acl", ("READ",), "^acl is a CannedAcl, a tuple of Grant, or None; it has str: 'READ'"),
        ("put_object_acl", "acl", (1,), "^acl is a CannedAcl, a tuple of Grant, or an Acl; it has int: 1"),
        ("complete_upload", "parts", [1], "^parts is a list of CompletedPart; it has int: 1"),
        ("delete_objects", "entries", ["k"], "^entries is a list of DeleteEntry; it has str: 'k'"),
        ("list_buckets", "locations", "eu-west-1", "^locations is a list or a set of str, or None, not str"),
        ("list_buckets", "locations", [1], "^locations is a list or a set of str, or None; it has int: 1"),
        ("fork", "clock", 1, "^clock is a function that gives milliseconds, or None, not int: 1"),
        ("restore", "snapshot", None, r"^snapshot is what snapshot\(\) gave, not NoneType"),
    ],
)
def test_what_is_in_an_option_is_checked_too(
    store: bleepstore.Store, method: str, option: str, wrong: Any, said: str
) -> None:
    store.create_bucket("photos")
    given = {"bucket": "photos", "key": "k", "body": b"", "upload_id": "u"}
    names = inspect.signature(getattr(store, method)).parameters
    with pytest.raises(TypeError, match=said):
        getattr(store, method)(**{name: value for name, value in given.items() if name in names} | {option: wrong})


def test_an_error_of_the_body_is_not_taken_for_one_of_a_name(store: bleepstore.Store) -> None:
    def body() -> Iterator[bytes]:
        yield b"1"
        raise TypeError("mine")

    store.create_bucket("photos")
    with pytest.raises(TypeError, match=r"^mine$"):
        store.put_object("photos", "k", body())


def test_a_late_checksum_of_another_type_is_named() -> None:
    with bleepstore.open() as store:
        store.create_bucket("photos")
        late: Any = "AAAA".lower  # a program without types may pass anything
        with pytest.raises(TypeError, match="late_checksum returns a Checksum or None, not str: 'aaaa'"):
            store.put_object("photos", "k", b"x", checksum_algorithm=bleepstore.Algorithm.CRC32, late_checksum=late)
        assert store.list_objects("photos").objects == []


def test_a_limit_of_any_size_is_a_limit() -> None:
    with bleepstore.open() as store:
        store.create_bucket("photos")
        upload = store.create_upload("photos", "k")
        store.put_part("photos", "k", upload.upload_id, 1, b"x")
        assert len(store.list_buckets(limit=2**80).buckets) == 1
        assert len(store.list_parts("photos", "k", upload.upload_id, limit=2**80).parts) == 1
        assert store.list_parts("photos", "k", upload.upload_id, after=2**80).parts == []


def test_a_folder_that_cannot_be_made_and_an_archive_that_is_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(bleepstore.errors.StoreError, match=r"file/x cannot be made or written: .* Name one"):
        bleepstore.open(tmp_path / "file" / "x")
    with pytest.raises(FileNotFoundError, match=r"none\.tar is no file: name one that `bleepstore backup` wrote"):
        bleepstore.restore(tmp_path / "none.tar", tmp_path / "deep" / "restored")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
