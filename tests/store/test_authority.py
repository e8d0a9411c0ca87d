"""What was decided counts only for what it was decided of: the bucket, the version, the owner of what is replaced."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bleepstore import (
    ANONYMOUS,
    Acl,
    Caller,
    CannedAcl,
    CompletedPart,
    DeletedObject,
    DeleteEntry,
    DeleteFailure,
    Grant,
    Group,
    Owner,
    Permission,
    Store,
    WriteCondition,
    errors,
)
from bleepstore.backends.base import Gateway
from bleepstore.backends.gateway.names import LONGEST_WRITE_MS
from bleepstore.commands import PutObjectAcl
from bleepstore.errors import AccessDenied, NoSuchBucket
from bleepstore.store.keyed_engine import KeyedEngine

pytestmark = [pytest.mark.legacy_acls, pytest.mark.stores("cluster", "gcs-keys")]

ALICE, BOB, CAROL = (Caller(Owner(name, name.title())) for name in ("alice", "bob", "carol"))
SMALL, LARGE = b"small", b"large" * 20_000
OPEN = CannedAcl.PUBLIC_READ_WRITE


def keeps_one_under_a_key(store: Store) -> bool:
    """Such a backend is changed before the catalog is."""
    return isinstance(store.engine.object_engine, KeyedEngine)


def create_again(store: Store) -> None:
    """Another account gets the name, and writes the same key."""
    store.delete_bucket("photos")
    store.create_bucket("photos", acl=OPEN, caller=BOB)
    store.put_object("photos", "k", b"of Bob", caller=BOB)


def check_bobs(store: Store) -> None:
    """Bob's bucket is as he left it, and nothing else is kept."""
    assert store.get_bucket("photos").owner == BOB.account
    assert [found.key for found in store.list_objects("photos").objects] == ["k"]
    with store.get_object("photos", "k", caller=BOB) as found:
        assert found.read() == b"of Bob"
    assert store.get_object_acl("photos", "k") == Acl.private("bob")
    assert store.get_bucket_acl("photos").grants[1:] == (
        Grant(Group.ALL_USERS, Permission.READ),
        Grant(Group.ALL_USERS, Permission.WRITE),
    )
    assert store.list_uploads("photos").uploads == []
    check_no_orphans(store)


def check_no_orphans(store: Store) -> None:
    """After a sweep the backend keeps what the catalog knows, which may be an upload under way, and nothing else.

    A provider tells of an upload only when it began, so an orphan of that kind is kept for a week. The sweep is one of
    a week later; it would refuse what is written after it.
    """
    store.sweep(grace=-dt.timedelta(milliseconds=LONGEST_WRITE_MS))
    kept = list(store.engine.backend.iter_blobs(0, 1 << 62))
    with store.engine.catalog.read() as reader:
        assert [name for name in kept if not reader.is_referenced(name)] == []
        named = {name for name, _size in reader.iter_blobs()}
    if not isinstance(store.engine.backend, Gateway):  # a provider lists uploads, and their parts not at all
        assert named == set(kept)


def before_commit(store: Store, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Have `act` done once, after the next operation has decided and before anything is changed: at a provider that
    keeps one object under each key, or by the command."""
    submit, begin = store.engine.committer.submit, store.engine.object_engine.begin
    waiting = [act]

    def do_once() -> None:
        if waiting:
            waiting.pop()()

    def submit_later(command: Any) -> Any:
        do_once()
        return submit(command)

    def begin_before(*arguments: Any) -> Any:
        begun = begin(*arguments)
        do_once()
        return begun

    monkeypatch.setattr(store.engine.committer, "submit", submit_later)
    if keeps_one_under_a_key(store):
        monkeypatch.setattr(store.engine.object_engine, "begin", begin_before)


# -- a bucket that was deleted and made again


@pytest.mark.stores("cluster", "gcs-keys", "aws-blobs")
@pytest.mark.parametrize("caller", [ALICE, None], ids=["alice", "program"])
@pytest.mark.parametrize("piece", [SMALL, LARGE], ids=["small", "large"])
def test_a_body_does_not_land_in_the_bucket_of_another(store: Store, piece: bytes, caller: Caller | None) -> None:
    store.create_bucket("photos", caller=ALICE)

    def body() -> Iterator[bytes]:
        yield piece
        create_again(store)
        yield piece

    with pytest.raises(NoSuchBucket):
        store.put_object("photos", "k", body(), caller=caller)
    check_bobs(store)


@pytest.mark.stores("cluster", "gcs-keys", "aws-blobs")
@pytest.mark.parametrize("piece", [SMALL, LARGE], ids=["small", "large"])
def test_a_part_does_not_land_in_the_bucket_of_another(store: Store, piece: bytes) -> None:
    store.create_bucket("photos", caller=ALICE)
    upload = store.create_upload("photos", "k", caller=ALICE)

    def body() -> Iterator[bytes]:
        yield piece
        create_again(store)
        yield piece

    with pytest.raises(NoSuchBucket):
        store.put_part("photos", "k", upload.upload_id, 1, body(), caller=ALICE)
    check_bobs(store)


def _with_upload(store: Store) -> tuple[str, list[CompletedPart]]:
    upload_id = store.create_upload("photos", "k", caller=ALICE).upload_id
    part = store.put_part("photos", "k", upload_id, 1, b"part", caller=ALICE)
    return upload_id, [CompletedPart(number=1, etag=part.etag)]


@pytest.mark.stores("cluster", "gcs-keys", "aws-blobs")
@pytest.mark.parametrize(
    "operation",
    ["put", "copy", "delete", "delete version", "delete many", "create upload", "complete", "abort", "acl", "delete "
     "bucket"],
)  # fmt: skip
def test_nothing_is_done_in_the_bucket_of_another(
    store: Store, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    store.create_bucket("photos", caller=ALICE)
    store.create_bucket("source", caller=ALICE)
    store.put_object("source", "k", LARGE, caller=ALICE)
    upload_id, parts = _with_upload(store)
    calls: dict[str, Callable[[], object]] = {
        "put": lambda: store.put_object("photos", "k", LARGE, caller=ALICE),
        "copy": lambda: store.copy_object("source", "k", "photos", "k", caller=ALICE),
        "delete": lambda: store.delete_object("photos", "k", caller=ALICE),
        "delete version": lambda: store.delete_object("photos", "k", version_id="null", caller=ALICE),
        "delete many": lambda: store.delete_objects("photos", [DeleteEntry(key="k")], caller=ALICE),
        "create upload": lambda: store.create_upload("photos", "k", caller=ALICE),
        "complete": lambda: store.complete_upload("photos", "k", upload_id, parts, caller=ALICE),
        "abort": lambda: store.abort_upload("photos", "k", upload_id, caller=ALICE),
        "acl": lambda: store.put_bucket_acl("photos", CannedAcl.PRIVATE, caller=ALICE),
        "delete bucket": lambda: store.delete_bucket("photos", caller=ALICE),
    }
    before_commit(store, monkeypatch, lambda: create_again(store))
    with pytest.raises(NoSuchBucket):
        calls[operation]()
    check_bobs(store)


def test_an_acl_does_not_land_on_an_object_in_the_bucket_of_another(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create_bucket("photos", caller=ALICE)
    store.put_object("photos", "k", SMALL, caller=ALICE)

    def act() -> None:
        store.delete_object("photos", "k")
        create_again(store)

    before_commit(store, monkeypatch, act)
    with pytest.raises(NoSuchBucket):
        store.put_object_acl("photos", "k", CannedAcl.PUBLIC_READ, caller=ALICE)
    check_bobs(store)


def test_an_empty_bucket_that_was_made_again_is_not_deleted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create_bucket("photos", caller=ALICE)

    def act() -> None:
        store.delete_bucket("photos")
        store.create_bucket("photos", caller=BOB)

    before_commit(store, monkeypatch, act)
    with pytest.raises(NoSuchBucket):
        store.delete_bucket("photos", caller=ALICE)
    assert store.get_bucket("photos").owner == BOB.account


def test_a_creation_that_fails_does_not_undo_that_of_another(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container comes before the bucket, and is asked for once more after it."""
    create = store.engine.backend.create_bucket
    calls = []

    def fail_later(bucket: str, **options: Any) -> None:
        calls.append(bucket)
        if len(calls) == 2:
            store.delete_bucket("photos")
            store.create_bucket("photos", caller=BOB)
            raise errors.SlowDown
        create(bucket, **options)

    monkeypatch.setattr(store.engine.backend, "create_bucket", fail_later)
    with pytest.raises(errors.SlowDown):
        store.create_bucket("photos", caller=ALICE)
    assert store.get_bucket("photos").owner == BOB.account


def test_every_operation_says_which_bucket_it_was_decided_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, int | None] = {}
    submit = store.engine.committer.submit

    def note(command: Any) -> Any:
        if hasattr(command, "bucket_id"):
            seen[type(command).__name__] = command.bucket_id
        return submit(command)

    monkeypatch.setattr(store.engine.committer, "submit", note)
    store.create_bucket("photos", caller=ALICE)
    store.put_object("photos", "k", SMALL, caller=ALICE)
    store.put_object_acl("photos", "k", CannedAcl.PRIVATE, caller=ALICE)
    upload_id, parts = _with_upload(store)
    store.complete_upload("photos", "k", upload_id, parts, caller=ALICE)
    store.abort_upload("photos", "k", _with_upload(store)[0], caller=ALICE)
    store.put_bucket_acl("photos", CannedAcl.PRIVATE, caller=ALICE)
    store.delete_object("photos", "k", caller=ALICE)
    store.delete_objects("photos", [DeleteEntry(key="k")], caller=ALICE)
    bucket_id = store.get_bucket("photos").id
    store.delete_bucket("photos", caller=ALICE)
    assert len(seen) == (7 if keeps_one_under_a_key(store) else 10)  # there one command follows the provider
    assert set(seen.values()) == {bucket_id}


def test_the_rights_in_one_bucket_say_nothing_of_what_is_in_another(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the bucket and that at what is in it, another gets the name."""
    store.create_bucket("photos", caller=ALICE)
    of_alice = store.get_bucket("photos")
    create_again(store)
    upload_id = store.create_upload("photos", "k", caller=BOB).upload_id
    monkeypatch.setattr(store.engine, "find_bucket", lambda _bucket: of_alice)
    with pytest.raises(NoSuchBucket):
        store.list_parts("photos", "k", upload_id, caller=ALICE)
    with pytest.raises(NoSuchBucket):
        store.get_object("photos", "k")


def test_every_bucket_has_an_id_of_its_own(store: Store) -> None:
    made = store.create_bucket("photos")
    assert made == store.get_bucket("photos") == store.list_buckets().buckets[0]
    store.delete_bucket("photos")
    again = store.create_bucket("photos")
    assert again.id != made.id
    assert again.id == store.get_bucket("photos").id


# -- the version that was decided on


def test_an_acl_does_not_land_on_the_version_that_replaced_the_one_that_was_decided_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create_bucket("photos", caller=ALICE)
    grants = (Grant("alice", Permission.FULL_CONTROL), Grant("bob", Permission.WRITE_ACP))
    store.put_object("photos", "k", b"for Bob too", acl=grants, caller=ALICE)
    before_commit(store, monkeypatch, lambda: store.put_object("photos", "k", b"Alice's alone", caller=ALICE))
    with pytest.raises(AccessDenied):
        store.put_object_acl("photos", "k", CannedAcl.PUBLIC_READ, caller=BOB)
    assert store.get_object_acl("photos", "k") == Acl.private("alice")


def test_an_acl_that_took_a_right_away_meanwhile_counts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create_bucket("photos", caller=ALICE)
    grants = (Grant("alice", Permission.FULL_CONTROL), Grant("bob", Permission.WRITE_ACP))
    store.put_object("photos", "k", SMALL, acl=grants, caller=ALICE)
    before_commit(store, monkeypatch, lambda: store.put_object_acl("photos", "k", CannedAcl.PRIVATE, caller=ALICE))
    with pytest.raises(AccessDenied):
        store.put_object_acl("photos", "k", CannedAcl.PUBLIC_READ, caller=BOB)
    assert store.get_object_acl("photos", "k") == Acl.private("alice")


@pytest.mark.parametrize("acl", [(), None], ids=["another list", "the same list"])
def test_an_acl_is_decided_on_again_for_who_may_still_set_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, acl: tuple[Grant, ...] | None
) -> None:
    store.create_bucket("photos", caller=ALICE)
    store.put_object("photos", "k", b"1", caller=ALICE)

    def act() -> None:
        store.delete_object("photos", "k")
        store.put_object("photos", "k", b"2", acl=acl, caller=ALICE)

    before_commit(store, monkeypatch, act)
    store.put_object_acl("photos", "k", CannedAcl.PUBLIC_READ, caller=ALICE)
    assert Grant(Group.ALL_USERS, Permission.READ) in store.get_object_acl("photos", "k").grants


def test_an_acl_is_not_of_another_version_with_the_same_owner_and_the_same_list(store: Store) -> None:
    """What is decided on may be more than these."""
    store.create_bucket("photos", caller=ALICE)
    store.put_object("photos", "k", b"1", caller=ALICE)
    with store.engine.catalog.read() as reader:
        decided = reader.find_object("photos", "k", with_data=False)
    assert decided is not None
    store.put_object("photos", "k", b"2", caller=ALICE)
    command = PutObjectAcl(
        **store.engine.stamp(),
        bucket="photos",
        key="k",
        expected_acl=decided.version.acl,
        expected_sequence=decided.sequence,
        acl=Acl.private("bob"),
    )
    assert isinstance(store.engine.committer.submit(command), errors.OperationAborted)
    assert store.get_object_acl("photos", "k") == Acl.private("alice")


def test_an_acl_is_of_the_owner_that_the_object_has_when_it_is_set(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program's too, which is above all rules."""
    store.create_bucket("photos", caller=ALICE)
    store.put_object("photos", "k", b"1", caller=ALICE)
    before_commit(store, monkeypatch, lambda: _replace_as(store, BOB))
    store.put_object_acl("photos", "k", CannedAcl.PUBLIC_READ)
    assert store.get_object_acl("photos", "k").grants[0] == Grant("bob", Permission.FULL_CONTROL)


def _replace_as(store: Store, caller: Caller) -> None:
    store.delete_object("photos", "k")
    store.put_bucket_acl("photos", OPEN)
    store.put_object("photos", "k", b"2", caller=caller)


def test_an_object_that_is_gone_has_no_acl_to_set(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create_bucket("photos", caller=ALICE)
    store.put_object("photos", "k", b"1", caller=ALICE)
    before_commit(store, monkeypatch, lambda: store.delete_object("photos", "k"))
    with pytest.raises(errors.NoSuchKey):
        store.put_object_acl("photos", "k", CannedAcl.PUBLIC_READ, caller=ALICE)


# -- WRITE on a bucket ("For the bucket and object owners of existing objects, also allows deletions and overwrites")


@pytest.fixture
def shared(store: Store) -> Store:
    """Everyone may write into Alice's bucket, where Alice, Bob and nobody in particular have written."""
    store.create_bucket("photos", acl=OPEN, caller=ALICE)
    for caller in (ALICE, BOB, ANONYMOUS):
        store.put_object("photos", _key_of(caller), _bytes_of(caller), caller=caller)
    store.create_bucket("source", acl=OPEN, caller=CAROL)
    store.put_object("source", "k", b"copied", acl=CannedAcl.PUBLIC_READ, caller=CAROL)
    return store


def _key_of(caller: Caller) -> str:
    return f"of {caller.account.id}"


def _bytes_of(caller: Caller) -> bytes:
    return f"bytes of {caller.account.id}".encode()


def _names(caller: Caller | None) -> str:
    return "program" if caller is None else caller.account.display_name


#: (who asks, of whose object), and whether it is allowed.
CASES = [
    (caller, owner, caller in (None, ALICE) or caller == owner)
    for caller in (None, ALICE, BOB, CAROL, ANONYMOUS)
    for owner in (ALICE, BOB, ANONYMOUS)
]


def _complete(store: Store, key: str, caller: Caller | None, condition: WriteCondition) -> None:
    if caller is not None and caller.is_anonymous:
        raise AccessDenied  # has no uploads
    upload_id = store.create_upload("photos", key, caller=caller).upload_id
    part = store.put_part("photos", key, upload_id, 1, b"completed", caller=caller)
    parts = [CompletedPart(number=1, etag=part.etag)]
    store.complete_upload("photos", key, upload_id, parts, condition=condition, caller=caller)


CHANGES: dict[str, Callable[[Store, str, Caller | None, WriteCondition], object]] = {
    "put": lambda store, key, caller, condition: store.put_object(
        "photos", key, b"put", condition=condition, caller=caller
    ),
    "put large": lambda store, key, caller, condition: store.put_object(
        "photos", key, LARGE, condition=condition, caller=caller
    ),
    "copy": lambda store, key, caller, condition: store.copy_object(
        "source", "k", "photos", key, condition=condition, caller=caller
    ),
    "complete": _complete,
    "delete": lambda store, key, caller, condition: store.delete_object(
        "photos", key, condition=condition, caller=caller
    ),
    "delete version": lambda store, key, caller, condition: store.delete_object(
        "photos", key, version_id="null", condition=condition, caller=caller
    ),
}


def _is_as_it_was(store: Store, owner: Caller) -> bool:
    with store.get_object("photos", _key_of(owner)) as found:
        return found.read() == _bytes_of(owner) and found.version.owner == owner.account


def _id(value: object) -> str:
    return _names(value) if value is None or isinstance(value, Caller) else str(value)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("caller", "owner", "allowed"),
    CASES,
    ids=_id,
)
def test_write_lets_nobody_touch_the_objects_of_others(
    shared: Store, change: str, caller: Caller | None, owner: Caller, allowed: bool
) -> None:
    if change == "complete" and caller == ANONYMOUS:
        return
    condition = WriteCondition()
    if allowed and (change != "delete version" or caller in (None, ALICE)):  # else that is the bucket owner's alone
        CHANGES[change](shared, _key_of(owner), caller, condition)
        found = {listed.key: listed.owner_id for listed in shared.list_objects("photos").objects}
        writer = "alice" if caller is None else caller.account.id
        assert found.get(_key_of(owner)) == (None if change.startswith("delete") else writer)
        return
    with pytest.raises(AccessDenied):
        CHANGES[change](shared, _key_of(owner), caller, condition)
    assert _is_as_it_was(shared, owner)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("condition", [WriteCondition(if_none_match=True), WriteCondition(if_match="none")])
def test_who_may_not_touch_an_object_learns_nothing_of_it_by_a_condition(
    shared: Store, change: str, condition: WriteCondition
) -> None:
    if change.startswith("delete") and condition.if_none_match:
        return  # there is no such condition of a delete
    with pytest.raises(AccessDenied):
        CHANGES[change](shared, _key_of(ALICE), BOB, condition)
    assert _is_as_it_was(shared, ALICE)


@pytest.mark.stores("cluster", "aws-keys")
@pytest.mark.parametrize("change", sorted(CHANGES.keys() - {"delete version"}))
def test_the_owner_of_what_is_replaced_counts_at_the_moment_of_the_change(
    shared: Store, store_kind: str, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Bob may write a key that nobody has. Alice is faster."""
    if store_kind == "gcs-keys" and change in ("copy", "complete"):
        pytest.skip("fake-gcs-server copies and composes whatever ifGenerationMatch says")
    if change == "complete":
        upload_id = shared.create_upload("photos", "new", caller=BOB).upload_id
        part = shared.put_part("photos", "new", upload_id, 1, b"completed", caller=BOB)
        parts = [CompletedPart(number=1, etag=part.etag)]

        def run() -> object:
            return shared.complete_upload("photos", "new", upload_id, parts, caller=BOB)
    else:

        def run() -> object:
            return CHANGES[change](shared, "new", BOB, WriteCondition())

    before_commit(shared, monkeypatch, lambda: shared.put_object("photos", "new", b"of Alice", caller=ALICE))
    with pytest.raises(AccessDenied):
        run()
    with shared.get_object("photos", "new") as found:
        assert (found.read(), found.version.owner) == (b"of Alice", ALICE.account)
    check_no_orphans(shared)


def test_a_body_is_not_read_of_who_may_not_replace_what_is_there(shared: Store) -> None:
    read: list[bytes] = []

    def body() -> Iterator[bytes]:
        read.append(b"x")
        yield b"x"

    with pytest.raises(AccessDenied):
        shared.put_object("photos", _key_of(ALICE), body(), caller=BOB)
    assert not read


@pytest.mark.parametrize("caller", [None, ALICE, BOB, CAROL, ANONYMOUS], ids=_names)
def test_of_many_deletes_each_is_decided_by_itself(shared: Store, caller: Caller | None) -> None:
    owners = (ALICE, BOB, ANONYMOUS)
    entries = [DeleteEntry(key=_key_of(owner)) for owner in owners] + [DeleteEntry(key="absent")]
    outcomes = shared.delete_objects("photos", entries, caller=caller)
    allowed = [caller in (None, ALICE) or caller == owner for owner in owners] + [True]
    assert [isinstance(outcome, DeletedObject) for outcome in outcomes] == allowed
    failures = [outcome for outcome in outcomes if isinstance(outcome, DeleteFailure)]
    assert all(failure.error == AccessDenied() for failure in failures)
    left = {found.key for found in shared.list_objects("photos").objects}
    assert left == {_key_of(owner) for owner, deleted in zip(owners, allowed, strict=False) if not deleted}


def test_the_owner_of_a_bucket_needs_write_too(store: Store) -> None:
    """It can give itself the permission at any time."""
    store.create_bucket("photos", caller=ALICE)
    store.put_object("photos", "k", SMALL, caller=ALICE)
    store.put_bucket_acl("photos", (), caller=ALICE)
    with pytest.raises(AccessDenied):
        store.delete_object("photos", "k", caller=ALICE)
