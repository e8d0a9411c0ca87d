"""Tags of objects, of their versions, and of buckets, by the Python API."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

import pytest

import bleepstore
from bleepstore import (
    ANONYMOUS,
    Acl,
    Caller,
    CannedAcl,
    CompletedPart,
    Grant,
    ObjectAttributes,
    Owner,
    Permission,
    Store,
    Versioning,
    errors,
)

pytestmark = pytest.mark.stores("local", "cluster", "aws-keys")

ALICE, BOB = Caller(Owner("alice", "Alice")), Caller(Owner("bob", "Bob"))
SHARED = Acl("alice", (Grant("alice", Permission.FULL_CONTROL), Grant("bob", Permission.FULL_CONTROL)))
TEN = {f"key{number}": "v" for number in range(10)}
FIFTY = {f"key{number}": "v" for number in range(50)}


@pytest.fixture
def photos(store: Store) -> Store:
    store.create_bucket("photos", caller=ALICE)
    return store


def test_an_object_has_the_tags_it_was_written_with(photos: Store) -> None:
    photos.put_object("photos", "k", b"data", tags={"colour": "red", "size": ""})
    assert photos.get_object_tags("photos", "k") == {"colour": "red", "size": ""}
    assert photos.head_object("photos", "k").version.tags == {"colour": "red", "size": ""}
    photos.put_object("photos", "k", b"data")
    assert photos.get_object_tags("photos", "k") == {}
    photos.put_object("photos", "k", b"data", attributes=ObjectAttributes(tags={"a": "1"}))
    assert photos.get_object_tags("photos", "k") == {"a": "1"}


def test_tags_are_replaced_as_a_whole(photos: Store) -> None:
    photos.put_object("photos", "k", b"data", tags={"a": "1"})
    assert photos.put_object_tags("photos", "k", {"b": "2"}).tags == {"b": "2"}
    assert photos.get_object_tags("photos", "k") == {"b": "2"}
    photos.put_object_tags("photos", "k", {"c": "3"})
    photos.delete_object_tags("photos", "k")
    assert photos.get_object_tags("photos", "k") == {}
    photos.put_object_tags("photos", "k", {"d": "4"})
    photos.put_object_tags("photos", "k", {})
    assert photos.get_object_tags("photos", "k") == {}


@pytest.mark.legacy_acls
def test_a_change_of_tags_changes_nothing_else(photos: Store) -> None:
    photos.put_object("photos", "k", b"x" * 100_000, metadata={"m": "1"}, content_type="text/plain")
    before = photos.head_object("photos", "k").version
    photos.put_object_tags("photos", "k", {"a": "1"})
    with photos.get_object("photos", "k") as stored:
        after = stored.version
        assert stored.read() == b"x" * 100_000
    assert (after.etag, after.modified_ms, after.metadata, after.content_type, after.acl, after.checksum) == (
        before.etag, before.modified_ms, before.metadata, before.content_type, before.acl, before.checksum,
    )  # fmt: skip
    photos.put_object_acl("photos", "k", CannedAcl.PUBLIC_READ)
    assert photos.get_object_tags("photos", "k") == {"a": "1"}


def test_a_copy_has_its_sources_tags_or_its_own(photos: Store) -> None:
    photos.put_object("photos", "k", b"data", tags={"a": "1"}, metadata={"m": "1"})
    photos.copy_object("photos", "k", "photos", "copy")
    assert photos.get_object_tags("photos", "copy") == {"a": "1"}
    photos.copy_object("photos", "k", "photos", "copy", replace_tags=True, tags={"b": "2"})
    copy = photos.head_object("photos", "copy").version
    assert (copy.tags, copy.metadata) == ({"b": "2"}, {"m": "1"})
    photos.copy_object("photos", "k", "photos", "copy", replace_metadata=True, metadata={"n": "2"})
    copy = photos.head_object("photos", "copy").version
    assert (copy.tags, copy.metadata) == ({"a": "1"}, {"n": "2"})
    photos.copy_object("photos", "k", "photos", "copy", replace_tags=True)
    assert photos.get_object_tags("photos", "copy") == {}
    with pytest.raises(errors.InvalidRequest, match="replace_tags"):
        photos.copy_object("photos", "k", "photos", "copy", tags={"b": "2"})


def test_an_upload_becomes_an_object_with_its_tags(photos: Store) -> None:
    upload = photos.create_upload("photos", "k", tags={"a": "1"})
    part = photos.put_part("photos", "k", upload.upload_id, 1, b"data")
    photos.complete_upload("photos", "k", upload.upload_id, [CompletedPart(number=1, etag=part.etag)])
    assert photos.get_object_tags("photos", "k") == {"a": "1"}


def test_what_is_not_there_has_no_tags(photos: Store) -> None:
    for call in (
        lambda: photos.get_object_tags("photos", "none"),
        lambda: photos.put_object_tags("photos", "none", {}),
        lambda: photos.delete_object_tags("photos", "none"),
    ):
        with pytest.raises(errors.NoSuchKey):
            call()
    photos.put_object("photos", "k", b"")
    with pytest.raises(errors.NoSuchVersion):
        photos.put_object_tags("photos", "k", {}, version_id="x" * 32)
    with pytest.raises(errors.NoSuchBucket):
        photos.get_object_tags("none", "k")


def test_each_version_has_tags_of_its_own(photos: Store) -> None:
    with contextlib.suppress(errors.NotSupported):
        photos.put_bucket_versioning("photos", Versioning.ENABLED)
        first = photos.put_object("photos", "k", b"1", tags={"v": "1"}).version_id
        second = photos.put_object("photos", "k", b"2", tags={"v": "2"}).version_id
        changed = photos.put_object_tags("photos", "k", {"v": "first"}, version_id=first)
        assert changed.version_id == first
        assert photos.put_object_tags("photos", "k", {"v": "second"}).version_id == second
        marker = photos.delete_object("photos", "k").delete_marker_id
        assert marker is not None
        assert photos.get_object_tags("photos", "k", version_id=first) == {"v": "first"}
        assert photos.get_object_tags("photos", "k", version_id=second) == {"v": "second"}
        with pytest.raises(errors.MethodNotAllowed):
            photos.put_object_tags("photos", "k", {}, version_id=marker)
        with pytest.raises(errors.NoSuchKey):
            photos.get_object_tags("photos", "k")
        photos.delete_object_tags("photos", "k", version_id=first)
        assert photos.get_object_tags("photos", "k", version_id=first) == {}
        photos.copy_object("photos", "k", "photos", "copy", source_version_id=second)
        assert photos.get_object_tags("photos", "copy") == {"v": "second"}


# -- limits

KEY, VALUE = "The TagKey you have provided is invalid", "The TagValue you have provided is invalid"
ALLOWED: list[Mapping[str, str]] = [
    {},
    TEN,
    {"k" * 128: "v" * 256},
    {"\U00010400" * 64: "\U00010400" * 128},
    {"a+-=._:/@ Z9": "a+-=._:/@ Z9"},
    {"ключ": "значение", "鍵": "値", "٣": "½"},
    {" ": " "},
    {"Key": "", "key": ""},
    {"aws": "1", "xaws:": "2"},
]
REFUSED: list[tuple[Mapping[str, str], str]] = [
    ({"k" * 129: ""}, KEY),
    ({"\U00010400" * 65: ""}, KEY),
    ({"": "v"}, KEY),
    ({"a&b": "v"}, KEY),
    ({"a\nb": "v"}, KEY),
    ({"a,b": "v"}, KEY),
    ({"\U0001f600": "v"}, KEY),
    ({"k": "v" * 257}, VALUE),
    ({"k": "\U00010400" * 129}, VALUE),
    ({"k": "a;b"}, VALUE),
    ({"k": "a\tb"}, VALUE),
    ({"k": "(v)"}, VALUE),
]


@pytest.mark.parametrize("tags", ALLOWED, ids=range(len(ALLOWED)))
def test_what_may_be_a_tag(tags: Mapping[str, str]) -> None:
    with bleepstore.open() as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", b"", tags=tags)
        assert store.get_object_tags("photos", "k") == tags
        store.put_bucket_tags("photos", tags)
        assert store.head_bucket("photos").settings.tags == (tags or None)


@pytest.mark.parametrize(
    ("tags", "reason"), [*REFUSED, ({"aws:x": "v"}, ""), ({"AWS:x": "v"}, "")], ids=range(len(REFUSED) + 2)
)
def test_what_may_not_be_a_tag(tags: Mapping[str, str], reason: str) -> None:
    with bleepstore.open() as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", b"", tags={"a": "1"})
        store.put_bucket_tags("photos", {"a": "1"})
        reserved = ("Your TagKey cannot be prefixed with aws:", "System tags cannot be added/updated by requester")
        of_object, of_bucket = (reason, reason) if reason else reserved
        calls: list[tuple[Callable[[], object], str]] = [
            (lambda: store.put_object("photos", "k", b"", tags=tags), of_object),
            (lambda: store.put_object_tags("photos", "k", tags), of_object),
            (lambda: store.create_upload("photos", "k", tags=tags), of_object),
            (lambda: store.copy_object("photos", "k", "photos", "l", tags=tags, replace_tags=True), of_object),
            (lambda: store.put_bucket_tags("photos", tags), of_bucket),
        ]
        for call, message in calls:
            with pytest.raises(errors.InvalidTag) as refused:
                call()
            assert refused.value.message == message
            assert refused.value.tag_key == next(iter(tags))
        assert store.get_object_tags("photos", "k") == store.get_bucket_tags("photos") == {"a": "1"}


def test_there_are_ten_of_an_object_and_fifty_of_a_bucket(photos: Store) -> None:
    with pytest.raises(errors.TooManyTags, match="Object tags cannot be greater than 10"):
        photos.put_object("photos", "k", b"", tags={**TEN, "one more": ""})
    photos.put_object("photos", "k", b"", tags=TEN)
    with pytest.raises(errors.TooManyTags):
        photos.put_object_tags("photos", "k", {**TEN, "one more": ""})
    assert photos.get_object_tags("photos", "k") == TEN
    photos.put_bucket_tags("photos", FIFTY)
    with pytest.raises(errors.TooManyTags, match="50"):
        photos.put_bucket_tags("photos", {**FIFTY, "one more": ""})
    assert photos.get_bucket_tags("photos") == FIFTY


@pytest.mark.parametrize("tags", [{"a": 1}, {1: "a"}, {"a": None}, ["a"], "a=b", None])
def test_tags_are_a_mapping_of_texts(tags: object) -> None:
    with bleepstore.open() as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", b"")
        calls: list[Callable[[], object]] = [
            lambda: store.put_object_tags("photos", "k", tags),  # type: ignore[arg-type]  # on purpose
            lambda: store.put_bucket_tags("photos", tags),  # type: ignore[arg-type]  # on purpose
        ]
        if tags is not None:
            calls.append(lambda: store.put_object("photos", "k", b"", tags=tags))  # type: ignore[arg-type]  # on purpose
        for call in calls:
            with pytest.raises(TypeError, match="tags"):
                call()


# -- buckets


def test_a_bucket_has_tags(photos: Store) -> None:
    with pytest.raises(errors.NoSuchTagSet):
        photos.get_bucket_tags("photos")
    photos.put_bucket_tags("photos", {"team": "a"})
    photos.put_bucket_tags("photos", {"cost": "b"})
    assert photos.get_bucket_tags("photos") == {"cost": "b"}
    removals: list[Callable[[], None]] = [
        lambda: photos.delete_bucket_tags("photos"),
        lambda: photos.put_bucket_tags("photos", {}),
    ]
    for remove in removals:
        photos.put_bucket_tags("photos", {"cost": "b"})
        remove()
        with pytest.raises(errors.NoSuchTagSet):
            photos.get_bucket_tags("photos")
    photos.delete_bucket_tags("photos")
    with pytest.raises(errors.NoSuchBucket):
        photos.put_bucket_tags("none", {})


# -- who may


@pytest.mark.legacy_acls
def test_the_owners_alone_read_and_set_tags(photos: Store) -> None:
    photos.put_bucket_acl("photos", SHARED)
    photos.put_object("photos", "k", b"data", tags={"a": "1"}, acl=CannedAcl.PUBLIC_READ_WRITE, caller=ALICE)
    photos.put_object("photos", "bobs", b"data", caller=BOB)
    for caller in (BOB, ANONYMOUS):
        calls: list[Callable[[Caller], object]] = [
            lambda caller: photos.get_object_tags("photos", "k", caller=caller),
            lambda caller: photos.put_object_tags("photos", "k", {}, caller=caller),
            lambda caller: photos.delete_object_tags("photos", "k", caller=caller),
            lambda caller: photos.get_bucket_tags("photos", caller=caller),
            lambda caller: photos.put_bucket_tags("photos", {}, caller=caller),
            lambda caller: photos.delete_bucket_tags("photos", caller=caller),
            lambda caller: photos.put_object("photos", "n", b"", tags={"a": "1"}, caller=caller),
            lambda caller: photos.create_upload("photos", "n", tags={"a": "1"}, caller=caller),
            lambda caller: photos.copy_object("photos", "k", "photos", "n", caller=caller),
        ]
        for refused in calls:
            with pytest.raises(errors.AccessDenied):
                refused(caller)
    for caller in (ALICE, BOB):
        photos.put_object_tags("photos", "bobs", {"b": "2"}, caller=caller)
        assert photos.get_object_tags("photos", "bobs", caller=caller) == {"b": "2"}
    photos.copy_object("photos", "k", "photos", "n", caller=BOB, replace_tags=True)
    assert photos.get_object_tags("photos", "n") == {}
    assert photos.get_object_tags("photos", "k", caller=ALICE) == {"a": "1"}
