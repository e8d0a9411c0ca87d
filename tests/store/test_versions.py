"""Versions, by the Python API: what a bucket keeps, what a delete does, in what order it is listed."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import pytest

from bleepstore import (
    ByteRange,
    Caller,
    CannedAcl,
    CompletedPart,
    DeletedObject,
    DeleteEntry,
    DeleteFailure,
    ListedVersion,
    ObjectLock,
    Owner,
    Retention,
    Store,
    Versioning,
    VersionPage,
    WriteCondition,
    errors,
)
from bleepstore.errors import (
    AccessDenied,
    BucketNotEmpty,
    InvalidArgument,
    InvalidRequest,
    MethodNotAllowed,
    NoSuchKey,
    NoSuchVersion,
    NotSupported,
    PreconditionFailed,
)

pytestmark = pytest.mark.stores("local", "cluster", "aws-blobs")

BIG = random.Random(3).randbytes(300_000)
ENABLED, SUSPENDED = Versioning.ENABLED, Versioning.SUSPENDED
ALICE, BOB = Caller(Owner("alice-id", "Alice")), Caller(Owner("bob-id", "Bob"))
NO_VERSION = "x" * 32


def keeps_versions(kind: str) -> bool:
    return not kind.endswith("-keys")


@pytest.fixture
def bucket(store: Store, store_kind: str) -> str:
    """Of Alice, with versioning."""
    if not keeps_versions(store_kind):
        pytest.skip("one object is stored under each key")
    store.create_bucket("photos", caller=ALICE)
    store.put_bucket_versioning("photos", ENABLED, caller=ALICE)
    return "photos"


def put(store: Store, body: bytes, key: str = "k") -> str:
    """The id of the new version."""
    return store.put_object("photos", key, body).version_id


def body_of(store: Store, version_id: str | None = None, key: str = "k") -> bytes:
    with store.get_object("photos", key, version_id=version_id) as found:
        return found.read()


def listed(store: Store) -> list[tuple[str, str, bool, bool]]:
    """(key, id, whether it is the latest, whether it is a delete marker) of all."""
    rows = store.iter_object_versions("photos")
    return [(row.key, row.version_id, row.is_latest, row.is_delete_marker) for row in rows]


def ids(store: Store, key: str = "k") -> list[str]:
    return [row.version_id for row in store.iter_object_versions("photos") if row.key == key]


# -- whether a bucket keeps versions


@pytest.mark.stores("local", "cluster", "aws-blobs", "gcs-keys")
def test_a_bucket_keeps_versions_once_it_is_told_to(store: Store, store_kind: str) -> None:
    store.create_bucket("photos")
    assert store.get_bucket_versioning("photos") is None
    if not keeps_versions(store_kind):
        with pytest.raises(NotSupported, match="layout 'blobs'"):
            store.put_bucket_versioning("photos", ENABLED)
        assert store.get_bucket_versioning("photos") is None
        return
    for state in (ENABLED, SUSPENDED, ENABLED):
        store.put_bucket_versioning("photos", state)
        assert store.get_bucket_versioning("photos") is state
        assert store.get_bucket("photos").versioning is state
    with pytest.raises(errors.NoSuchBucket):
        store.put_bucket_versioning("nowhere", ENABLED)
    with pytest.raises(TypeError, match="versioning is a Versioning"):
        store.put_bucket_versioning("photos", "Enabled")  # type: ignore[arg-type]  # on purpose


@pytest.mark.legacy_acls
def test_only_the_owner_of_a_bucket_says_whether_it_keeps_versions(store: Store, bucket: str) -> None:
    store.put_bucket_acl(bucket, CannedAcl.PUBLIC_READ_WRITE)
    with pytest.raises(AccessDenied):
        store.put_bucket_versioning(bucket, SUSPENDED, caller=BOB)
    with pytest.raises(AccessDenied):
        store.get_bucket_versioning(bucket, caller=BOB)
    assert store.get_bucket_versioning(bucket, caller=ALICE) is ENABLED


# -- writing and reading


@pytest.mark.parametrize("size", [1, len(BIG)])
def test_every_version_stays_readable(store: Store, bucket: str, size: int) -> None:
    bodies = [bytes([number]) + BIG[:size] for number in range(4)]
    written = [put(store, body) for body in bodies]
    assert len({*written}) == 4
    assert all(len(version_id) == 32 for version_id in written)
    store.sweep()
    assert [body_of(store, version_id) for version_id in written] == bodies
    assert body_of(store) == bodies[-1]
    with store.get_object(bucket, "k", version_id=written[0], range=ByteRange(0, 0)) as found:
        assert (found.read(), found.version.version_id) == (b"\0", written[0])
    assert store.head_object(bucket, "k").version.version_id == written[-1]
    assert store.head_object(bucket, "k").version.is_versioned
    assert listed(store) == [("k", version_id, version_id == written[-1], False) for version_id in reversed(written)]
    assert [row.key for row in store.iter_objects(bucket)] == ["k"]


@pytest.mark.stores("local", "cluster", "aws-blobs", "gcs-keys")
def test_what_was_there_before_has_the_id_null(store: Store, store_kind: str) -> None:
    if not keeps_versions(store_kind):
        pytest.skip("one object is stored under each key")
    store.create_bucket("photos")
    old = store.put_object("photos", "k", b"old")
    assert (old.version_id, old.is_versioned) == ("null", False)
    store.put_bucket_versioning("photos", ENABLED)
    new = put(store, b"new")
    assert listed(store) == [("k", new, True, False), ("k", "null", False, False)]
    assert (body_of(store), body_of(store, "null"), body_of(store, new)) == (b"new", b"old", b"new")


def test_suspended_writes_replace_the_null_version_alone(store: Store, bucket: str) -> None:
    first = put(store, b"1")
    store.put_bucket_versioning(bucket, SUSPENDED)
    assert put(store, BIG) == "null"
    assert put(store, BIG + b"again") == "null"
    assert listed(store) == [("k", "null", True, False), ("k", first, False, False)]
    store.put_bucket_versioning(bucket, ENABLED)
    second = put(store, b"2")
    assert ids(store) == [second, "null", first]
    store.put_bucket_versioning(bucket, SUSPENDED)
    assert put(store, b"null again") == "null", "it replaces the older null version, and is the latest"
    assert ids(store) == ["null", second, first]
    store.sweep()
    assert (body_of(store), body_of(store, second), body_of(store, first)) == (b"null again", b"2", b"1")


def test_what_a_suspended_write_replaces_is_removed(store: Store, bucket: str) -> None:
    store.put_bucket_versioning(bucket, SUSPENDED)
    put(store, BIG)
    put(store, BIG[1:])
    store.sweep()
    with store.engine.catalog.read() as reader:
        assert reader.count_blobs()[0] == 1
        assert reader.list_garbage(10) == []


def test_a_version_that_is_not_there(store: Store, bucket: str) -> None:
    with pytest.raises(NoSuchVersion):
        store.get_object(bucket, "k", version_id=NO_VERSION)
    version_id = put(store, b"1")
    for absent in (NO_VERSION, "null"):
        with pytest.raises(NoSuchVersion) as refused:
            store.head_object(bucket, "k", version_id=absent)
        assert refused.value.version_id == absent
    with pytest.raises(NoSuchVersion):
        store.get_object(bucket, "other", version_id=version_id)
    for wrong in ("", "abc"):
        with pytest.raises(InvalidArgument):
            store.get_object(bucket, "k", version_id=wrong)


def test_a_write_condition_is_of_the_current_version(store: Store, bucket: str) -> None:
    first = store.put_object(bucket, "k", b"1")
    with pytest.raises(PreconditionFailed):
        store.put_object(bucket, "k", b"2", condition=WriteCondition(if_none_match=True))
    second = store.put_object(bucket, "k", b"2", condition=WriteCondition(if_match=first.etag))
    with pytest.raises(PreconditionFailed):
        store.put_object(bucket, "k", b"3", condition=WriteCondition(if_match=first.etag))
    store.delete_object(bucket, "k")
    with pytest.raises(NoSuchKey):
        store.put_object(bucket, "k", b"3", condition=WriteCondition(if_match=second.etag))
    third = store.put_object(bucket, "k", b"3", condition=WriteCondition(if_none_match=True))
    assert store.head_object(bucket, "k").version.version_id == third.version_id


# -- delete markers


def test_a_delete_makes_a_marker(store: Store, bucket: str) -> None:
    version_id = put(store, b"1")
    deleted = store.delete_object(bucket, "k", caller=ALICE)
    marker = deleted.delete_marker_id
    assert marker is not None
    assert deleted == DeletedObject(key="k", delete_marker_id=marker)
    assert deleted.is_delete_marker
    assert listed(store) == [("k", marker, True, True), ("k", version_id, False, False)]
    assert list(store.iter_objects(bucket)) == []
    with pytest.raises(NoSuchKey) as gone:
        store.get_object(bucket, "k")
    assert (gone.value.version_id, gone.value.delete_marker) == (marker, True)
    with pytest.raises(MethodNotAllowed) as refused:
        store.get_object(bucket, "k", version_id=marker)
    (row, _) = store.iter_object_versions(bucket)
    assert refused.value.modified_ms == row.modified_ms
    assert (row.owner_id, row.size, row.etag) == ("alice-id", 0, "")
    assert body_of(store, version_id) == b"1"


@pytest.mark.parametrize("operation", ["head_object", "get_object_acl", "list_object_parts"])
def test_nothing_but_a_delete_takes_a_marker(store: Store, bucket: str, operation: str) -> None:
    marker = store.delete_object(bucket, "k").delete_marker_id
    with pytest.raises(MethodNotAllowed):
        getattr(store, operation)(bucket, "k", version_id=marker)
    with pytest.raises(MethodNotAllowed):
        store.put_object_acl(bucket, "k", CannedAcl.PUBLIC_READ, version_id=marker)
    with pytest.raises(AccessDenied):
        getattr(store, operation)(bucket, "k", version_id=marker, caller=BOB)


def test_a_key_that_never_was_gets_a_marker_too(store: Store, bucket: str) -> None:
    first = store.delete_object(bucket, "k").delete_marker_id
    second = store.delete_object(bucket, "k").delete_marker_id
    assert listed(store) == [("k", second, True, True), ("k", first, False, True)]


def test_removing_the_marker_brings_the_object_back(store: Store, bucket: str) -> None:
    version_id = put(store, BIG)
    older = store.delete_object(bucket, "k").delete_marker_id
    newer = store.delete_object(bucket, "k").delete_marker_id
    assert newer is not None
    removed = store.delete_object(bucket, "k", version_id=newer)
    assert removed == DeletedObject(key="k", version_id=newer, delete_marker_id=newer)
    with pytest.raises(NoSuchKey):
        store.head_object(bucket, "k")
    store.delete_object(bucket, "k", version_id=older)
    assert listed(store) == [("k", version_id, True, False)]
    assert body_of(store) == BIG
    assert [row.key for row in store.iter_objects(bucket)] == ["k"]


def test_removing_the_current_version_makes_the_next_one_current(store: Store, bucket: str) -> None:
    first, second = put(store, BIG), put(store, b"2")
    marker = store.delete_object(bucket, "k").delete_marker_id
    third = put(store, b"3")
    assert store.delete_object(bucket, "k", version_id=third) == DeletedObject(key="k", version_id=third)
    with pytest.raises(NoSuchKey):
        body_of(store)
    assert listed(store)[0] == ("k", marker, True, True)
    store.delete_object(bucket, "k", version_id=marker)
    store.delete_object(bucket, "k", version_id=second)
    assert body_of(store) == BIG
    assert store.delete_object(bucket, "k", version_id=second) == DeletedObject(key="k", version_id=second)
    store.delete_object(bucket, "k", version_id=first)
    assert listed(store) == []
    store.sweep()
    with store.engine.catalog.read() as reader:
        assert (reader.count_blobs(), reader.total_bytes()) == ((0, 0), 0)


def test_a_delete_in_a_suspended_bucket_replaces_the_null_version(store: Store, bucket: str) -> None:
    first = put(store, b"1")
    store.put_bucket_versioning(bucket, SUSPENDED)
    put(store, BIG)
    assert store.delete_object(bucket, "k") == DeletedObject(key="k", delete_marker_id="null")
    assert listed(store) == [("k", "null", True, True), ("k", first, False, False)]
    store.delete_object(bucket, "k")
    assert listed(store) == [("k", "null", True, True), ("k", first, False, False)]
    put(store, b"back")
    assert listed(store) == [("k", "null", True, False), ("k", first, False, False)]
    store.delete_object(bucket, "k")
    assert store.delete_object(bucket, "k", version_id="null") == DeletedObject(
        key="k", version_id="null", delete_marker_id="null"
    )
    assert body_of(store) == b"1"


def test_a_marker_made_while_enabled_stays_when_suspended(store: Store, bucket: str) -> None:
    marker = store.delete_object(bucket, "k").delete_marker_id
    store.put_bucket_versioning(bucket, SUSPENDED)
    store.delete_object(bucket, "k")
    assert listed(store) == [("k", "null", True, True), ("k", marker, False, True)]


def test_a_delete_condition_is_of_the_current_version(store: Store, bucket: str) -> None:
    first = store.put_object(bucket, "k", b"1")
    second = store.put_object(bucket, "k", b"2")
    with pytest.raises(PreconditionFailed):
        store.delete_object(bucket, "k", version_id=first.version_id, condition=WriteCondition(if_match=first.etag))
    with pytest.raises(PreconditionFailed):
        store.delete_object(bucket, "k", condition=WriteCondition(if_match=first.etag))
    assert ids(store) == [second.version_id, first.version_id]
    store.delete_object(bucket, "k", version_id=first.version_id, condition=WriteCondition(if_match=second.etag))
    store.delete_object(bucket, "k", condition=WriteCondition(if_match="*"))
    with pytest.raises(NoSuchKey):
        store.delete_object(bucket, "k", condition=WriteCondition(if_match="*"))
    assert len(ids(store)) == 2


def test_one_delete_of_many_takes_versions_and_makes_markers(store: Store, bucket: str) -> None:
    first, second = put(store, BIG), put(store, b"2")
    put(store, b"other", "other")
    outcomes = store.delete_objects(
        bucket,
        [
            DeleteEntry(key="k", version_id=first),
            DeleteEntry(key="k", version_id=second),
            DeleteEntry(key="k"),
            DeleteEntry(key="k"),
            DeleteEntry(key="other", version_id=NO_VERSION),
            DeleteEntry(key="other", version_id="abc"),
            DeleteEntry(key="other", condition=WriteCondition(if_match="none")),
        ],
    )
    markers = ids(store)
    assert len(markers) == 2
    assert outcomes[:5] == [
        DeletedObject(key="k", version_id=first),
        DeletedObject(key="k", version_id=second),
        DeletedObject(key="k", delete_marker_id=markers[1]),
        DeletedObject(key="k", delete_marker_id=markers[0]),
        DeletedObject(key="other", version_id=NO_VERSION),
    ]
    refused = [one.error.code for one in outcomes[5:] if isinstance(one, DeleteFailure)]
    assert refused == ["NoSuchVersion", "PreconditionFailed"]
    again = store.delete_objects(bucket, [DeleteEntry(key="k", version_id=one) for one in markers])
    assert again == [DeletedObject(key="k", version_id=one, delete_marker_id=one) for one in markers]
    assert ids(store) == []


def test_a_bucket_with_a_version_or_a_marker_is_not_empty(store: Store, bucket: str) -> None:
    version_id = put(store, b"1")
    marker = store.delete_object(bucket, "k").delete_marker_id
    for left in (version_id, marker):
        with pytest.raises(BucketNotEmpty):
            store.delete_bucket(bucket)
        store.delete_object(bucket, "k", version_id=left)
    store.delete_bucket(bucket)


# -- who may do what


@pytest.mark.legacy_acls
def test_only_the_owner_of_a_bucket_removes_versions(store: Store, bucket: str) -> None:
    store.put_bucket_acl(bucket, CannedAcl.PUBLIC_READ_WRITE)
    of_bob = store.put_object(bucket, "k", b"Bob's", caller=BOB)
    with pytest.raises(AccessDenied):
        store.delete_object(bucket, "k", version_id=of_bob.version_id, caller=BOB)
    (outcome,) = store.delete_objects(bucket, [DeleteEntry(key="k", version_id=of_bob.version_id)], caller=BOB)
    assert isinstance(outcome, DeleteFailure)
    assert outcome.error.code == "AccessDenied"
    first, second = store.delete_objects(
        bucket, [DeleteEntry(key="k"), DeleteEntry(key="k", version_id=of_bob.version_id)], caller=BOB
    )
    assert isinstance(first, DeletedObject)
    assert isinstance(second, DeleteFailure)
    rows = list(store.iter_object_versions(bucket, caller=BOB))
    assert [(row.owner_id, row.is_delete_marker) for row in rows] == [("bob-id", True), ("bob-id", False)]
    store.delete_object(bucket, "k", version_id=of_bob.version_id, caller=ALICE)


@pytest.mark.legacy_acls
def test_a_version_is_shown_to_whom_its_own_acl_says(store: Store, bucket: str) -> None:
    first = put(store, b"1")
    second = store.put_object(bucket, "k", b"2", acl=CannedAcl.PUBLIC_READ).version_id
    with store.get_object(bucket, "k", version_id=second, caller=BOB) as found:
        assert found.read() == b"2"
    with pytest.raises(AccessDenied):
        store.get_object(bucket, "k", version_id=first, caller=BOB)
    store.put_object_acl(bucket, "k", CannedAcl.PUBLIC_READ, version_id=first)
    store.put_object_acl(bucket, "k", CannedAcl.PRIVATE, version_id=second)
    with store.get_object(bucket, "k", version_id=first, caller=BOB) as found:
        assert found.read() == b"1"
    with pytest.raises(AccessDenied):
        store.get_object(bucket, "k", caller=BOB)
    assert len(store.get_object_acl(bucket, "k", version_id=first).grants) == 2
    with pytest.raises(AccessDenied):
        store.list_object_versions(bucket, caller=BOB)


@pytest.mark.legacy_acls
def test_a_suspended_write_replaces_no_other_accounts_object(store: Store, bucket: str) -> None:
    """The null version that would go need not be the current one."""
    store.put_bucket_versioning(bucket, SUSPENDED)
    store.put_object(bucket, "k", b"Alice's", caller=ALICE)
    store.put_bucket_versioning(bucket, ENABLED)
    store.delete_object(bucket, "k")
    store.put_bucket_versioning(bucket, SUSPENDED)
    store.put_bucket_acl(bucket, CannedAcl.PUBLIC_READ_WRITE)
    before = listed(store)
    with pytest.raises(AccessDenied):
        store.put_object(bucket, "k", b"Bob's", caller=BOB)
    with pytest.raises(AccessDenied):
        store.delete_object(bucket, "k", caller=BOB)
    assert listed(store) == before


# -- copies and uploads


def test_a_version_is_copied(store: Store, bucket: str) -> None:
    first = store.put_object(bucket, "k", BIG, metadata={"a": "1"})
    put(store, b"2")
    copied = store.copy_object(bucket, "k", bucket, "copy", source_version_id=first.version_id)
    assert copied.source_version_id == first.version_id
    assert store.head_object(bucket, "copy").version.metadata == {"a": "1"}
    assert body_of(store, key="copy") == BIG
    restored = store.copy_object(bucket, "k", bucket, "k", source_version_id=first.version_id)
    assert ids(store)[0] == restored.version_id
    assert len(ids(store)) == 3
    assert body_of(store) == BIG
    store.delete_object(bucket, "k", version_id=first.version_id)
    store.sweep()
    assert body_of(store) == BIG


def test_a_marker_is_not_copied(store: Store, bucket: str) -> None:
    put(store, b"1")
    marker = store.delete_object(bucket, "k").delete_marker_id
    with pytest.raises(NoSuchKey):
        store.copy_object(bucket, "k", bucket, "copy")
    with pytest.raises(InvalidRequest, match="delete marker"):
        store.copy_object(bucket, "k", bucket, "copy", source_version_id=marker)
    upload = store.create_upload(bucket, "new")
    with pytest.raises(InvalidRequest, match="delete marker"):
        store.copy_part(bucket, "k", bucket, "new", upload.upload_id, 1, source_version_id=marker)


def test_an_upload_completes_as_a_version(store: Store, bucket: str) -> None:
    first = put(store, BIG)
    upload = store.create_upload(bucket, "k")
    part = store.copy_part(bucket, "k", bucket, "k", upload.upload_id, 1, source_version_id=first)
    assert part.source_version_id == first
    listed_parts = [CompletedPart(number=1, etag=part.etag)]
    made = store.complete_upload(bucket, "k", upload.upload_id, listed_parts)
    assert made.is_versioned
    assert ids(store) == [made.version_id, first]
    put(store, b"later")
    again = store.complete_upload(bucket, "k", upload.upload_id, listed_parts)
    assert again.version_id == made.version_id, "one that is sent again gives the first answer"
    assert len(ids(store)) == 3
    version, parts, _ = store.list_object_parts(bucket, "k", version_id=made.version_id)
    assert (version.version_id, [one.size for one in parts]) == (made.version_id, [len(BIG)])
    assert [one.size for one in store.iter_object_parts(bucket, "k", version_id=made.version_id)] == [len(BIG)]
    assert store.list_object_parts(bucket, "k", version_id=first)[1] == []


def test_a_conditional_completion_minds_what_became_of_the_key(store: Store, bucket: str) -> None:
    put(store, b"1")
    upload = store.create_upload(bucket, "k")
    part = store.put_part(bucket, "k", upload.upload_id, 1, b"part")
    listed_parts = [CompletedPart(number=1, etag=part.etag)]
    second = store.put_object(bucket, "k", b"2")
    condition = WriteCondition(if_match=second.etag)
    with pytest.raises(errors.ConditionalRequestConflict):
        store.complete_upload(bucket, "k", upload.upload_id, listed_parts, condition=condition)
    store.delete_object(bucket, "k", version_id=second.version_id)
    with pytest.raises(PreconditionFailed):
        store.complete_upload(bucket, "k", upload.upload_id, listed_parts, condition=condition)
    assert len(ids(store)) == 1


# -- listing


def pages(store: Store, limit: int, **options: Any) -> list[VersionPage]:
    found = [store.list_object_versions("photos", limit=limit, **options)]
    while found[-1].next_key is not None:
        more: dict[str, Any] = {"after_key": found[-1].next_key, "after_version_id": found[-1].next_version_id or ""}
        found.append(store.list_object_versions("photos", limit=limit, **(options | more)))
    return found


@pytest.fixture
def filled(store: Store, bucket: str) -> str:
    for key in ("a", "b/1", "b/2", "c", "b/1", "a", "d/x", "c"):
        put(store, b"", key)
    for key in ("b/2", "c", "d/x"):
        store.delete_object(bucket, key)
    return bucket


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
@pytest.mark.parametrize("prefix", ["", "b/", "c"])
def test_pages_have_every_version_once(store: Store, filled: str, limit: int, prefix: str) -> None:
    whole = [row for row in store.list_object_versions(filled).versions if row.key.startswith(prefix)]
    found = pages(store, limit, prefix=prefix)
    assert all(len(page.versions) <= limit for page in found)
    assert [row for page in found for row in page.versions] == whole
    latest = [row.key for row in whole if row.is_latest]
    assert latest == sorted({row.key for row in whole})


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_a_delimiter_rolls_versions_up(store: Store, filled: str, limit: int) -> None:
    found = pages(store, limit, delimiter="/")
    entries = [page.common_prefixes + [row.key for row in page.versions] for page in found]
    assert all(len(one) <= limit for one in entries)
    assert sorted(entry for one in entries for entry in one) == ["a", "a", "b/", "c", "c", "c", "d/"]
    assert [page.next_version_id for page in found if page.next_key == "b/"] in ([], [None])


def test_a_page_begins_behind_a_key_or_a_version(store: Store, filled: str) -> None:
    whole = store.list_object_versions(filled).versions
    newest_of_c = next(row for row in whole if row.key == "c")

    def after(key: str, version_id: str = "") -> list[ListedVersion]:
        return store.list_object_versions(filled, after_key=key, after_version_id=version_id).versions

    assert after("b/2") == [row for row in whole if row.key > "b/2"]
    behind = after("c", newest_of_c.version_id)
    assert behind == whole[whole.index(newest_of_c) + 1 :]
    assert not behind[0].is_latest
    assert after("c", NO_VERSION) == [row for row in whole if row.key >= "c"], "none is left out"
    with pytest.raises(InvalidArgument):
        after("c", "abc")
    assert store.list_object_versions(filled, limit=0).versions == []


def test_versions_are_deleted_page_by_page(store: Store, bucket: str) -> None:
    """As clients empty a bucket: the version that a page ended with is gone when the next one is asked for."""
    for number in range(23):
        put(store, b"", f"k{number % 2}")
    after = ("", "")
    count = 0
    while True:
        page = store.list_object_versions(bucket, after_key=after[0], after_version_id=after[1], limit=5)
        count += len(page.versions)
        store.delete_objects(bucket, [DeleteEntry(key=row.key, version_id=row.version_id) for row in page.versions])
        if page.next_key is None:
            break
        after = (page.next_key, page.next_version_id or "")
    assert count == 23
    assert ids(store, "k0") == ids(store, "k1") == []
    store.delete_bucket(bucket)


def test_a_bucket_without_versioning_lists_its_objects(store: Store) -> None:
    store.create_bucket("photos")
    store.put_object("photos", "k", b"1")
    assert listed(store) == [("k", "null", True, False)]
    assert store.delete_object("photos", "k", version_id="null") == DeletedObject(key="k", version_id="null")
    assert listed(store) == []


def test_ids_do_not_tell_the_order(store: Store, bucket: str) -> None:
    written = [put(store, b"") for _ in range(12)]
    assert written != sorted(written)
    assert len({version_id[:4] for version_id in written}) == 12


@pytest.mark.stores("local", "cluster", "aws-blobs", "gcs-keys")
def test_a_store_in_layout_keys_has_no_object_lock(store: Store, store_kind: str) -> None:
    if not store_kind.endswith("-keys"):
        pytest.skip("only where one object is stored under each key")
    with pytest.raises(NotSupported, match="blobs"):
        store.create_bucket("photos", object_lock=True)
    store.create_bucket("photos")
    with pytest.raises(NotSupported, match="blobs"):
        store.put_bucket_object_lock("photos", ObjectLock())
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    with pytest.raises(InvalidRequest, match="missing Object Lock"):
        store.put_object("photos", "k", b"1", retention=Retention.governance(until))
    assert store.list_objects("photos").objects == []
