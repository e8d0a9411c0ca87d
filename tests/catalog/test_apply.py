"""What each command does to the catalog, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from bleepstore import commands as c
from bleepstore import errors
from bleepstore.catalog.apply import REMEMBERED_REQUESTS
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sweeps import COMPLETED_MEMORY_MS
from bleepstore.commands import Done, Removed, RemovedMany, Written
from bleepstore.model import (
    Acl,
    Grant,
    Group,
    Inline,
    ObjectAttributes,
    ObjectVersion,
    Owner,
    Permission,
    UploadToken,
)
from bleepstore.preconditions import WriteCondition
from tests.catalog.conftest import ALICE, BOB, Applier, apply_all

ONLY_NEW = WriteCondition(if_none_match=True)


def current(catalog: Catalog, key: str, bucket: str = "photos") -> ObjectVersion | None:
    with catalog.read() as reader:
        found = reader.find_object(bucket, key, with_data=False)
    return None if found is None else found.version


# -- buckets


def test_a_bucket_belongs_to_who_made_it_first(apply: Applier) -> None:
    assert apply.create_bucket("photos") == errors.BucketAlreadyOwnedByYou("photos")
    assert apply.create_bucket("photos", BOB) == errors.BucketAlreadyExists("photos")
    assert apply.create_bucket("other", BOB) == Done()


def test_a_bucket_with_objects_stays_and_an_empty_one_goes(apply: Applier) -> None:
    apply.put("photos", "k")
    assert apply(c.DeleteBucket(**apply.stamp(), bucket="photos")) == errors.BucketNotEmpty("photos")
    apply.delete("photos", "k")
    assert apply(c.DeleteBucket(**apply.stamp(), bucket="photos")) == Done()
    assert apply(c.DeleteBucket(**apply.stamp(), bucket="photos")) == errors.NoSuchBucket("photos")


def test_the_uploads_of_a_deleted_bucket_end_and_their_parts_become_garbage(apply: Applier) -> None:
    apply.create_upload("photos", "k", "u1", backend_token=UploadToken("t1"))
    apply.register("photos", "k", "u1", 1, "p1")
    apply(c.DeleteBucket(**apply.stamp(), bucket="photos"))
    assert apply.garbage() == [("p1", "t1")]
    assert apply.rows("SELECT * FROM upload") == apply.rows("SELECT * FROM part") == []
    apply.create_bucket("photos")
    assert apply.register("photos", "k", "u1", 2, "p2") == errors.NoSuchUpload("u1", "photos", "k")


def test_a_new_bucket_of_an_old_name_sees_nothing_of_it(apply: Applier, catalog: Catalog) -> None:
    apply.create_upload("photos", "k", "u1")
    apply.complete("photos", "k", "u1", {}, "h1")
    apply.delete("photos", "k")
    apply(c.DeleteBucket(**apply.stamp(), bucket="photos"))
    apply.create_bucket("photos")
    assert current(catalog, "k") is None
    with catalog.read() as reader:
        assert reader.find_completed("photos", "k", "u1") is None


def test_every_command_on_a_missing_bucket_is_refused(apply: Applier) -> None:
    missing = errors.NoSuchBucket("none")
    acl = Acl.private("alice")
    assert apply.put("none", "k") == missing
    assert apply.put("none", "k", condition=ONLY_NEW) == missing
    assert apply.delete("none", "k") == missing
    assert apply(c.DeleteObjects(**apply.stamp(), bucket="none", entries=())) == missing
    assert apply(c.PutObjectAcl(**apply.stamp(), bucket="none", key="k", acl=acl)) == missing
    assert apply(c.PutBucketAcl(**apply.stamp(), bucket="none", acl=acl)) == missing
    assert apply.create_upload("none", "k", "u") == missing
    assert apply.register("none", "k", "u", 1, "h") == missing
    assert apply.complete("none", "k", "u", {}, "h") == missing
    assert apply(c.AbortUpload(**apply.stamp(), bucket="none", key="k", upload_id="u")) == missing


# -- objects


def test_an_overwritten_blob_becomes_garbage_and_inline_bytes_go_at_once(apply: Applier, catalog: Catalog) -> None:
    apply.put("photos", "k", "h1")
    apply.put("photos", "k", "h2")
    assert apply.garbage() == [("h1", None)]
    apply.put("photos", "k", b"inline")
    apply.put("photos", "k", b"again")
    apply.delete("photos", "k")
    assert apply.garbage() == [("h1", None), ("h2", None)]
    assert apply.rows("SELECT * FROM inline_data") == []
    assert current(catalog, "k") is None


def test_a_refused_write_changes_nothing(apply: Applier, catalog: Catalog) -> None:
    apply.put("photos", "k", "h1", etag="one")
    before = current(catalog, "k")
    refused = errors.PreconditionFailed(errors.Condition.IF_NONE_MATCH, "photos", "k")
    assert apply.put("photos", "k", "h2", condition=ONLY_NEW) == refused
    refused = errors.PreconditionFailed(errors.Condition.IF_MATCH, "photos", "k")
    assert apply.put("photos", "k", "h2", condition=WriteCondition(if_match="two")) == refused
    assert apply.delete("photos", "k", condition=WriteCondition(if_match="two")) == refused
    missing = errors.NoSuchKey("photos", "x")
    assert apply.put("photos", "x", "h2", condition=WriteCondition(if_match="one")) == missing
    assert apply.delete("photos", "x", condition=WriteCondition(if_match="*")) == missing
    assert current(catalog, "k") == before
    assert apply.garbage() == []
    assert isinstance(apply.put("photos", "k", "h2", condition=WriteCondition(if_match="one")), Written)


def test_deleting_what_is_not_there_succeeds(apply: Applier) -> None:
    assert apply.delete("photos", "none") == Removed("none")
    assert apply.delete("photos", "none", version_id="null") == Removed("none", "null")


def test_deleting_a_version_that_does_not_exist_keeps_the_object(apply: Applier, catalog: Catalog) -> None:
    apply.put("photos", "k")
    assert apply.delete("photos", "k", version_id="v" * 32) == Removed("k", "v" * 32)
    assert apply.delete("photos", "k", version_id="v9") == errors.NoSuchVersion("photos", "k", "v9")
    assert current(catalog, "k") is not None
    assert apply.delete("photos", "k", version_id="null") == Removed("k", "null")
    assert current(catalog, "k") is None


def test_deleting_many_evaluates_each_alone_and_in_order(apply: Applier, catalog: Catalog) -> None:
    apply.put("photos", "a", etag="a")
    apply.put("photos", "b", etag="b")
    entries = (
        c.DeleteEntry(key="a", condition=WriteCondition(if_match="x")),
        c.DeleteEntry(key="b"),
        c.DeleteEntry(key="b", condition=WriteCondition(if_match="b")),
        c.DeleteEntry(key="none"),
    )
    result = apply(c.DeleteObjects(**apply.stamp(), bucket="photos", entries=entries))
    assert isinstance(result, RemovedMany)
    assert result.outcomes == (
        errors.PreconditionFailed(errors.Condition.IF_MATCH, "photos", "a"),
        Removed("b"),
        errors.NoSuchKey("photos", "b"),
        Removed("none"),
    )
    assert current(catalog, "a") is not None
    assert current(catalog, "b") is None


def test_an_objects_acl_is_replaced_in_place(apply: Applier, catalog: Catalog) -> None:
    apply.put("photos", "k", etag="one")
    before = current(catalog, "k")
    acl = Acl("alice", (Grant(Group.ALL_USERS, Permission.READ), Grant("bob", Permission.WRITE_ACP)))
    assert apply(c.PutObjectAcl(**apply.stamp(), bucket="photos", key="k", acl=acl)) == Done()
    after = current(catalog, "k")
    assert before is not None
    assert after is not None
    assert (after.acl, after.etag, after.modified_ms) == (acl, "one", before.modified_ms)
    for key, version, refusal in (
        ("none", None, errors.NoSuchKey("photos", "none")),
        ("k", "v9", errors.NoSuchVersion("photos", "k", "v9")),
    ):
        command = c.PutObjectAcl(**apply.stamp(), bucket="photos", key=key, version_id=version, acl=acl)
        assert apply(command) == refusal


def test_a_display_name_is_the_last_one_heard(apply: Applier, catalog: Catalog) -> None:
    apply.put("photos", "k", owner=Owner("carol", "Carol"))
    apply.put("photos", "l", owner=Owner("carol", ""))
    found = current(catalog, "k")
    assert found is not None
    assert found.owner == Owner("carol", "Carol")
    apply.put("photos", "l", owner=Owner("carol", "Caroline"))
    found = current(catalog, "k")
    assert found is not None
    assert found.owner.display_name == "Caroline"


# -- uploads


def test_a_part_that_is_uploaded_again_replaces_the_first(apply: Applier) -> None:
    apply.create_upload("photos", "k", "u1", backend_token=UploadToken("t"))
    apply.register("photos", "k", "u1", 1, "p1")
    apply.register("photos", "k", "u1", 1, "p2")
    assert apply.garbage() == [("p1", "t")]
    assert apply.rows("SELECT number, handle FROM part") == [(1, "p2")]


@pytest.mark.parametrize(
    ("bucket", "key", "upload_id"), [("photos", "k", "u2"), ("photos", "x", "u1"), ("other", "k", "u1")]
)
def test_an_upload_is_known_by_bucket_key_and_id(apply: Applier, bucket: str, key: str, upload_id: str) -> None:
    apply.create_bucket("other")
    apply.create_upload("photos", "k", "u1")
    refusal = errors.NoSuchUpload(upload_id, bucket, key)
    assert apply.register(bucket, key, upload_id, 1, "p") == refusal
    assert apply.complete(bucket, key, upload_id, {}, "h") == refusal
    assert apply(c.AbortUpload(**apply.stamp(), bucket=bucket, key=key, upload_id=upload_id)) == refusal


def test_completing_writes_the_object_as_the_upload_was_created(apply: Applier, catalog: Catalog) -> None:
    grants = (Grant(Group.ALL_USERS, Permission.READ),)
    attributes = ObjectAttributes(metadata={"m": "1"}, storage_class="GLACIER", grants=grants)
    apply.put("photos", "k", "old")
    apply.create_upload("photos", "k", "u1", attributes=attributes, backend_token=UploadToken("t"))
    apply.register("photos", "k", "u1", 2, "p2")
    apply.register("photos", "k", "u1", 3, "p3")
    assert isinstance(apply.complete("photos", "k", "u1", {2: "p2"}, "h1", size=77), Written)
    found = current(catalog, "k")
    assert found is not None
    assert (found.attributes, found.acl, found.size) == (attributes, Acl("alice", grants), 77)
    assert sorted(apply.garbage()) == [("old", None), ("p2", "t"), ("p3", "t")]
    assert apply.rows("SELECT * FROM upload") == apply.rows("SELECT * FROM part") == []


def test_a_part_that_was_replaced_while_it_was_assembled_refuses_the_completion(apply: Applier) -> None:
    apply.create_upload("photos", "k", "u1")
    apply.register("photos", "k", "u1", 1, "p1")
    apply.register("photos", "k", "u1", 1, "p2")
    assert isinstance(apply.complete("photos", "k", "u1", {1: "p1"}, "h"), errors.OperationAborted)
    assert isinstance(apply.complete("photos", "k", "u1", {1: "p2"}, "h"), Written)


def test_a_completion_sent_again_gives_its_first_answer(apply: Applier, catalog: Catalog) -> None:
    apply.create_upload("photos", "k", "u1")
    first = apply.complete("photos", "k", "u1", {}, "h1")
    assert apply.complete("photos", "k", "u1", {}, "h2") == first
    assert apply.complete("photos", "k", "u1", {}, "h3", etag="another") == errors.NoSuchUpload("u1", "photos", "k")
    assert [row[0] for row in apply.rows("SELECT handle FROM object_version")] == ["h1"]
    assert isinstance(first, Written)
    later = first.modified_ms + COMPLETED_MEMORY_MS + 1
    apply(c.BeginSweep(request_id="sweep", time_ms=later, until_ms=0))
    assert apply.complete("photos", "k", "u1", {}, "h4") == errors.NoSuchUpload("u1", "photos", "k")


@pytest.mark.parametrize(
    ("before", "during", "condition", "refusal"),
    [
        (None, None, ONLY_NEW, None),
        (None, "new", ONLY_NEW, errors.PreconditionFailed),
        ("old", None, ONLY_NEW, errors.PreconditionFailed),
        ("old", "new", ONLY_NEW, errors.PreconditionFailed),
        ("old", "new", WriteCondition(if_match="old"), errors.PreconditionFailed),
        ("old", "old", WriteCondition(if_match="old"), errors.ConditionalRequestConflict),
        ("old", "delete", ONLY_NEW, errors.ConditionalRequestConflict),
        ("old", None, WriteCondition(if_match="old"), None),
        ("old", None, WriteCondition(if_match="x"), errors.PreconditionFailed),
        ("old", "new", WriteCondition(if_match="new"), errors.ConditionalRequestConflict),
        ("old", "delete", WriteCondition(if_match="old"), errors.NoSuchKey),
        (None, None, WriteCondition(if_match="old"), errors.NoSuchKey),
        ("old", "new", WriteCondition(), None),
    ],
)
def test_conditional_completion(
    apply: Applier, before: str | None, during: str | None, condition: WriteCondition, refusal: type | None
) -> None:
    if before:
        apply.put("photos", "k", "b", etag=before)
    apply.create_upload("photos", "k", "u1")
    if during == "delete":
        apply.delete("photos", "k")
    elif during:
        apply.put("photos", "k", "d", etag=during)
    result = apply.complete("photos", "k", "u1", {}, "h1", condition=condition)
    assert type(result) is (refusal or Written)
    assert len(apply.rows("SELECT * FROM upload")) == (1 if refusal else 0)


def test_aborting_gives_the_parts_back(apply: Applier) -> None:
    apply.create_upload("photos", "k", "u1", backend_token=UploadToken("t"))
    apply.register("photos", "k", "u1", 1, "p1")
    assert apply(c.AbortUpload(**apply.stamp(), bucket="photos", key="k", upload_id="u1")) == Done()
    assert apply.garbage() == [("p1", "t")]
    assert isinstance(
        apply(c.AbortUpload(**apply.stamp(), bucket="photos", key="k", upload_id="u1")), errors.NoSuchUpload
    )


# -- sweeps


def test_a_blob_from_before_a_sweep_cannot_come_in_any_more(apply: Applier) -> None:
    apply.create_upload("photos", "k", "u1")
    apply(c.BeginSweep(**apply.stamp(), until_ms=500))
    apply(c.BeginSweep(**apply.stamp(), until_ms=400))
    assert isinstance(apply.put("photos", "k", "h", stored_ms=499), errors.OperationAborted)
    assert isinstance(apply.register("photos", "k", "u1", 1, "p", stored_ms=499), errors.OperationAborted)
    assert isinstance(apply.complete("photos", "k", "u1", {}, "h", stored_ms=499), errors.OperationAborted)
    assert isinstance(apply.put("photos", "k", "h", stored_ms=500), Written)
    assert isinstance(apply.put("photos", "inline", b"data"), Written)


def test_garbage_is_forgotten_by_its_number(apply: Applier, catalog: Catalog) -> None:
    apply.put("photos", "a", "h1")
    apply.put("photos", "a", "h2")
    apply.put("photos", "a", "h3")
    with catalog.read() as reader:
        first, _second = reader.list_garbage(10)
    assert apply(c.ForgetGarbage(**apply.stamp(), garbage_ids=(first.garbage_id, 999))) == Done()
    assert apply.garbage() == [("h2", None)]


# -- accounts


def test_credentials(apply: Applier, catalog: Catalog) -> None:
    def put(secret: str, **fields: Any) -> None:
        apply(c.PutCredential(**apply.stamp(), access_key="AK", secret_key=secret, **{"owner": ALICE, **fields}))

    def find() -> tuple[str, str, bool]:
        with catalog.read() as reader:
            found = reader.find_credential("AK")
        assert found is not None
        return found.secret_key, found.owner.id, found.enabled

    missing = apply(c.DisableCredential(**apply.stamp(), access_key="AK"))
    assert missing == errors.NoSuchCredential("AK")
    put("one")
    assert find() == ("one", "alice", True)
    assert apply(c.DisableCredential(**apply.stamp(), access_key="AK")) == Done()
    assert find() == ("one", "alice", False)
    put("two", owner=BOB, email="Bob@Example.com")
    assert find() == ("two", "bob", True)
    with catalog.read() as reader:
        owner = reader.owner_by_email("bob@example.com")
    assert owner == BOB


# -- transactions


def test_a_batch_is_applied_whole_or_not_at_all(apply: Applier, catalog: Catalog) -> None:
    before = apply.rows("SELECT applied_index FROM state")
    good = c.DeleteBucket(**apply.stamp(), bucket="photos")
    with pytest.raises((AttributeError, AssertionError)):
        catalog.apply([good, "not a command"])  # type: ignore[list-item]  # what a bug would do
    assert apply.rows("SELECT applied_index FROM state") == before
    assert apply.rows("SELECT name FROM bucket") == [("photos",)]
    assert catalog.apply([good]) == [Done()]


def test_a_refusal_within_a_batch_spoils_no_other_command(apply: Applier, catalog: Catalog) -> None:
    fields: dict[str, Any] = {"owner": ALICE, "size": 0, "etag": "e", "data": Inline(b"")}
    commands = [c.PutObject(**apply.stamp(), bucket="photos", key="k", condition=ONLY_NEW, **fields) for _ in range(3)]
    results = catalog.apply(commands)
    refusal = errors.PreconditionFailed(errors.Condition.IF_NONE_MATCH, "photos", "k")
    assert [type(result) for result in results] == [Written, errors.PreconditionFailed, errors.PreconditionFailed]
    assert results[1:] == [refusal, refusal]


def test_the_index_counts_every_command_refused_or_not(apply: Applier) -> None:
    before = apply.rows("SELECT applied_index FROM state")[0][0]
    apply.put("photos", "k")
    apply.put("none", "k")
    apply.delete("photos", "k")
    assert apply.rows("SELECT applied_index FROM state") == [(before + 3,)]


def test_the_memory_of_requests_is_bounded(apply: Applier, catalog: Catalog) -> None:
    count = 2 * REMEMBERED_REQUESTS
    apply_all(catalog, [c.DeleteObject(**apply.stamp(), bucket="photos", key="k") for _ in range(count)])
    remembered = apply.rows("SELECT count(*) FROM applied_request")[0][0]
    assert REMEMBERED_REQUESTS <= remembered <= 2 * REMEMBERED_REQUESTS


def test_a_closed_catalog_says_so(catalog: Catalog) -> None:
    catalog.close()
    catalog.close()
    with pytest.raises(errors.StoreClosed):
        catalog.apply([])
    with pytest.raises(errors.StoreClosed), catalog.read():
        pass
