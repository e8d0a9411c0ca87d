"""Storage classes: what is archived cannot be read before it is restored, for as long as it is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

import bleepstore
from bleepstore import (
    ANONYMOUS,
    Acl,
    Caller,
    CompletedPart,
    Grant,
    Owner,
    Permission,
    RestoreTier,
    Store,
    Versioning,
    errors,
)

pytestmark = pytest.mark.stores("cluster", "aws-blobs")

DAY = 24 * 60 * 60 * 1000
#: 15 October 2012, 10:30 UTC: the guide's example.
START = 1_350_297_000_000
MIDNIGHT = 1_350_259_200_000
ARCHIVES = ["GLACIER", "DEEP_ARCHIVE"]
OTHERS = ["STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "GLACIER_IR"]


SHARED = Acl("alice", (Grant("alice", Permission.FULL_CONTROL), Grant("bob", Permission.FULL_CONTROL)))


class Clock:
    def __init__(self) -> None:
        self.time_ms = START

    def __call__(self) -> int:
        return self.time_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(clock: Clock) -> Iterator[Store]:
    with bleepstore.open(clock=clock, acl_defaults="legacy") as store:
        store.create_bucket("photos")
        yield store


@pytest.fixture
def slow(clock: Clock) -> Iterator[Store]:
    """It takes an hour to restore something."""
    with bleepstore.open(clock=clock, restore_delay=dt.timedelta(hours=1)) as store:
        store.create_bucket("photos")
        yield store


def test_what_is_archived_is_not_read_before_it_is_restored(store: Store) -> None:
    store.create_bucket("photos")
    for kind in ARCHIVES:
        for data in (b"small", b"x" * 100_000):
            store.put_object("photos", "k", data, storage_class=kind)
            upload = store.create_upload("photos", "u")
            with pytest.raises(errors.InvalidObjectState) as of_read:
                store.get_object("photos", "k")
            with pytest.raises(errors.InvalidObjectState) as of_copy:
                store.copy_object("photos", "k", "photos", "copy")
            with pytest.raises(errors.InvalidObjectState) as of_part:
                store.copy_part("photos", "k", "photos", "u", upload.upload_id, 1)
            assert {error.value.storage_class for error in (of_read, of_copy, of_part)} == {kind}
            head = store.head_object("photos", "k")
            assert (head.size, head.version.storage_class) == (len(data), kind)
            assert not store.restore_object("photos", "k", days=1).is_extended
            with store.get_object("photos", "k") as stored:
                assert stored.read() == data
            copy = store.copy_object("photos", "k", "photos", "copy")
            assert (copy.storage_class, copy.attributes.restoration) == ("STANDARD", None)
            part = store.copy_part("photos", "k", "photos", "u", upload.upload_id, 1)
            store.complete_upload("photos", "u", upload.upload_id, [CompletedPart(number=1, etag=part.etag)])
            with store.get_object("photos", "u") as stored:
                assert stored.read() == data


@pytest.mark.parametrize("kind", OTHERS)
def test_other_classes_are_read_and_not_restored(timed: Store, kind: str) -> None:
    timed.put_object("photos", "k", b"data", storage_class=kind)
    with timed.get_object("photos", "k") as stored:
        assert stored.read() == b"data"
    with pytest.raises(errors.InvalidObjectState, match="Restore is not allowed for the object's current"):
        timed.restore_object("photos", "k", days=1)


def test_what_tiers_by_itself_is_active(timed: Store) -> None:
    timed.put_object("photos", "k", b"data", storage_class="INTELLIGENT_TIERING")
    with pytest.raises(errors.ObjectAlreadyInActiveTier):
        timed.restore_object("photos", "k", days=0)


@pytest.mark.parametrize("kind", ["OUTPOSTS", "SNOW", "EXPRESS_ONEZONE", "FSX_ONTAP", "FSX_OPENZFS", "glacier", "X"])
def test_what_is_no_class_of_a_general_purpose_bucket_is_refused(timed: Store, kind: str) -> None:
    timed.put_object("photos", "k", b"")
    for refused in (
        lambda: timed.put_object("photos", "k", b"", storage_class=kind),
        lambda: timed.create_upload("photos", "k", storage_class=kind),
        lambda: timed.copy_object("photos", "k", "photos", "l", storage_class=kind),
    ):
        with pytest.raises(errors.InvalidArgument) as error:
            refused()
        assert error.value.argument_name == "storage_class"


def test_it_ends_at_the_midnight_after_the_days(timed: Store, clock: Clock) -> None:
    """ "if an object was restored on October 15, 2012 10:30 AM UTC, and the restore period was specified as three days,
    then the restored copy expires on October 19, 2012 00:00 UTC." """
    timed.put_object("photos", "k", b"data", storage_class="GLACIER")
    restored = timed.restore_object("photos", "k", days=3)
    assert restored.restoration.until_ms == MIDNIGHT + 4 * DAY
    clock.time_ms = MIDNIGHT + 4 * DAY - 1
    timed.get_object("photos", "k").close()
    clock.time_ms += 1
    with pytest.raises(errors.InvalidObjectState):
        timed.get_object("photos", "k")
    assert not timed.restore_object("photos", "k", days=1).is_extended
    timed.get_object("photos", "k").close()


def test_a_restored_object_is_restored_for_longer_or_shorter_from_now_on(timed: Store, clock: Clock) -> None:
    timed.put_object("photos", "k", b"data", storage_class="GLACIER")
    timed.restore_object("photos", "k", days=10)
    clock.time_ms += DAY
    shorter = timed.restore_object("photos", "k", days=1)
    assert (shorter.is_extended, shorter.restoration.until_ms) == (True, MIDNIGHT + 3 * DAY)
    longer = timed.restore_object("photos", "k", days=20)
    assert (longer.is_extended, longer.restoration.until_ms) == (True, MIDNIGHT + 22 * DAY)


def test_a_delay_keeps_it_archived_until_it_is_over(slow: Store, clock: Clock) -> None:
    slow.put_object("photos", "k", b"data", storage_class="DEEP_ARCHIVE")
    restored = slow.restore_object("photos", "k", days=1, tier=RestoreTier.BULK)
    assert restored.restoration.ready_ms == START + 60 * 60 * 1000
    with pytest.raises(errors.RestoreAlreadyInProgress):
        slow.restore_object("photos", "k", days=5)
    with pytest.raises(errors.InvalidObjectState):
        slow.get_object("photos", "k")
    clock.time_ms = restored.restoration.ready_ms
    slow.get_object("photos", "k").close()
    extended = slow.restore_object("photos", "k", days=5)
    assert extended.is_extended
    slow.get_object("photos", "k").close()


def test_the_days_and_the_tier_are_checked(timed: Store) -> None:
    timed.put_object("photos", "k", b"data", storage_class="DEEP_ARCHIVE")
    for days in (0, -1, 10**9):
        with pytest.raises(errors.InvalidArgument, match="days"):
            timed.restore_object("photos", "k", days=days)
    with pytest.raises(errors.InvalidArgument, match="Retrieval option is not supported by this storage class"):
        timed.restore_object("photos", "k", days=1, tier=RestoreTier.EXPEDITED)
    with pytest.raises(errors.NoSuchKey):
        timed.restore_object("photos", "none", days=1)
    with pytest.raises(errors.InvalidObjectState):
        timed.get_object("photos", "k")


def test_what_replaces_a_restored_object_is_archived_again(timed: Store) -> None:
    timed.put_object("photos", "k", b"data", storage_class="GLACIER")
    timed.restore_object("photos", "k", days=1)
    attributes = timed.head_object("photos", "k").version.attributes
    assert attributes.restoration is not None
    timed.put_object("photos", "k", b"data", attributes=attributes)
    with pytest.raises(errors.InvalidObjectState):
        timed.get_object("photos", "k")


def test_each_version_is_restored_for_itself(timed: Store) -> None:
    timed.put_bucket_versioning("photos", Versioning.ENABLED)
    first = timed.put_object("photos", "k", b"1", storage_class="GLACIER").version_id
    timed.put_object("photos", "k", b"2", storage_class="GLACIER")
    timed.restore_object("photos", "k", days=1, version_id=first)
    with timed.get_object("photos", "k", version_id=first) as stored:
        assert stored.read() == b"1"
    with pytest.raises(errors.InvalidObjectState):
        timed.get_object("photos", "k")


def test_it_is_kept_where_the_store_is(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> None:
    folder = tmp_path_factory.mktemp("store")
    with bleepstore.open(folder, clock=clock) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", b"data", storage_class="GLACIER", tags={"a": "1"})
        store.put_bucket_tags("photos", {"b": "2"})
        store.restore_object("photos", "k", days=1)
        fork = store.fork()
    with bleepstore.open(folder, clock=clock) as again, fork:
        for one in (again, fork):
            with one.get_object("photos", "k") as stored:
                assert stored.read() == b"data"
            assert one.get_object_tags("photos", "k") == {"a": "1"}
            assert one.get_bucket_tags("photos") == {"b": "2"}


def test_the_owners_alone_restore(timed: Store) -> None:
    alice, bob = Caller(Owner("alice")), Caller(Owner("bob"))
    timed.create_bucket("alices", caller=alice)
    timed.put_bucket_acl("alices", SHARED)
    timed.put_object("alices", "k", b"data", storage_class="GLACIER", caller=alice)
    timed.put_object_acl("alices", "k", SHARED)
    for caller in (bob, ANONYMOUS):
        with pytest.raises(errors.AccessDenied):
            timed.restore_object("alices", "k", days=1, caller=caller)
    timed.restore_object("alices", "k", days=1, caller=alice)
    timed.get_object("alices", "k", caller=bob).close()
