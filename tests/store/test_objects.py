"""Objects, by the Python API."""

from __future__ import annotations

import base64
import concurrent.futures
import datetime as dt
import hashlib
import io
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import bleepstore
from bleepstore import (
    ANONYMOUS,
    Algorithm,
    ByteRange,
    Caller,
    CannedAcl,
    Checksum,
    CompletedPart,
    DeletedObject,
    DeleteEntry,
    DeleteFailure,
    Owner,
    ReadCondition,
    Store,
    SystemMetadata,
    WriteCondition,
    errors,
)
from bleepstore.digests import digest, encode_value
from bleepstore.errors import NoSuchVersion
from bleepstore.testing.clock import Clock

pytestmark = pytest.mark.stores("local", "cluster", "providers")

BIG = random.Random(1).randbytes(3 * 1024 * 1024 + 17)


@pytest.fixture
def bucket(store: Store) -> str:
    store.create_bucket("photos")
    return "photos"


def read(store: Store, bucket: str, key: str, **options: object) -> bytes:
    with store.get_object(bucket, key, **options) as found:  # type: ignore[arg-type]  # options of get_object
        return found.read()


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 65_536, b"x" * 65_537, BIG], ids=len)
@pytest.mark.parametrize(
    "form", [bytes, io.BytesIO, lambda b: iter([b[:10], b"", b[10:]])], ids=["bytes", "file", "iter"]
)
def test_what_is_put_is_got(store: Store, bucket: str, body: bytes, form: type) -> None:
    version = store.put_object(bucket, "k", form(body))
    assert version.etag == hashlib.md5(body).hexdigest()
    assert version.size == len(body)
    assert read(store, bucket, "k") == body


def test_metadata_come_back_as_given(store: Store, bucket: str) -> None:
    system = SystemMetadata(content_type="text/plain", cache_control="no-store", content_language="de")
    store.put_object(bucket, "k", b"", system=system, metadata={"a_b": "ü", "c": ""}, storage_class="STANDARD_IA")
    version = store.head_object(bucket, "k").version
    assert version.system == system
    assert version.metadata == {"a_b": "ü", "c": ""}
    assert version.storage_class == "STANDARD_IA"


@pytest.mark.parametrize("size", [100, len(BIG)])
def test_ranges_are_those_of_rfc_9110(store: Store, bucket: str, size: int) -> None:
    body = BIG[:size]
    store.put_object(bucket, "k", body)
    assert read(store, bucket, "k", range=ByteRange(0, 0)) == body[:1]
    assert read(store, bucket, "k", range=ByteRange(10, 19)) == body[10:20]
    assert read(store, bucket, "k", range=ByteRange(90, None)) == body[90:]
    assert read(store, bucket, "k", range=ByteRange(50, 10**12)) == body[50:]
    assert read(store, bucket, "k", range=ByteRange(None, 7)) == body[-7:]
    assert read(store, bucket, "k", range=ByteRange(None, 10**12)) == body
    for unsatisfiable in (ByteRange(size, None), ByteRange(None, 0)):
        with pytest.raises(errors.InvalidRange) as refused:
            store.get_object(bucket, "k", range=unsatisfiable)
        assert refused.value.actual_object_size == size


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("size", [10, 70_000])
def test_every_checksum_is_verified(store: Store, bucket: str, algorithm: Algorithm, size: int) -> None:
    body = BIG[:size]
    computed = store.put_object(bucket, "k", body, checksum_algorithm=algorithm).checksum
    assert computed is not None
    assert computed.algorithm == algorithm
    store.put_object(bucket, "k2", body, checksum=computed)
    wrong = bytearray(base64.b64decode(computed.value))
    wrong[0] ^= 1
    with pytest.raises(errors.BadDigest):
        store.put_object(bucket, "k3", body, checksum=Checksum(algorithm, base64.b64encode(wrong).decode()))
    with pytest.raises(errors.InvalidRequest):
        store.put_object(bucket, "k3", body, checksum=Checksum(algorithm, "AAA="))
    with pytest.raises(errors.NoSuchKey):
        store.head_object(bucket, "k3")


def test_known_checksum_values(store: Store, bucket: str) -> None:
    """The check values of the CRC catalogue, for "123456789"."""
    known = {Algorithm.CRC32: "cbf43926", Algorithm.CRC32C: "e3069283", Algorithm.CRC64NVME: "ae8b14860a799888"}
    for algorithm, value in known.items():
        checksum = store.put_object(bucket, "k", b"123456789", checksum_algorithm=algorithm).checksum
        assert checksum is not None
        assert base64.b64decode(checksum.value).hex() == value


@pytest.mark.parametrize("size", [10, 70_000])
def test_a_wrong_or_malformed_md5_is_refused(store: Store, bucket: str, size: int) -> None:
    body = BIG[:size]
    store.put_object(bucket, "k", body, content_md5=base64.b64encode(hashlib.md5(body).digest()).decode())
    with pytest.raises(errors.BadDigest):
        store.put_object(bucket, "k2", body, content_md5=base64.b64encode(bytes(16)).decode())
    with pytest.raises(errors.InvalidDigest):
        store.put_object(bucket, "k2", body, content_md5="not base64")


@pytest.mark.parametrize("declared", [9, 11, 39_999, 40_001])
def test_a_body_of_another_length_is_refused(store: Store, bucket: str, declared: int) -> None:
    body = BIG[: 10 if declared < 100 else 70_000]
    with pytest.raises(errors.IncompleteBody):
        store.put_object(bucket, "k", body, size=declared)
    with pytest.raises(errors.NoSuchKey):
        store.head_object(bucket, "k")


@pytest.mark.parametrize("size", [100, 100_000])
def test_a_body_that_fails_stores_nothing(store: Store, bucket: str, size: int) -> None:
    def broken() -> Iterator[bytes]:
        yield BIG[:size]
        raise ConnectionError("gone")

    store.put_object(bucket, "k", b"before")
    with pytest.raises(ConnectionError):
        store.put_object(bucket, "k", broken())
    assert read(store, bucket, "k") == b"before"


def test_limits_are_enforced(store: Store, bucket: str) -> None:
    store.put_object(bucket, "é" * 512, b"")
    with pytest.raises(errors.KeyTooLong):
        store.put_object(bucket, "é" * 513, b"")
    store.put_object(bucket, "k", b"", metadata={"a": "x" * 2047})
    with pytest.raises(errors.MetadataTooLarge):
        store.put_object(bucket, "k", b"", metadata={"a": "x" * 2048})
    with pytest.raises(errors.EntityTooLarge):
        store.put_object(bucket, "k", b"", size=5 * 1024**3 + 1)
    with pytest.raises(errors.NoSuchBucket):
        store.put_object("missing", "k", b"")


def test_conditional_writes(store: Store, bucket: str) -> None:
    first = store.put_object(bucket, "k", b"1", condition=WriteCondition(if_none_match=True))
    with pytest.raises(errors.PreconditionFailed):
        store.put_object(bucket, "k", b"2", condition=WriteCondition(if_none_match=True))
    with pytest.raises(errors.PreconditionFailed):
        store.put_object(bucket, "k", b"2", condition=WriteCondition(if_match="0" * 32))
    with pytest.raises(errors.NoSuchKey):
        store.put_object(bucket, "other", b"2", condition=WriteCondition(if_match=first.etag))
    store.put_object(bucket, "k", b"2", condition=WriteCondition(if_match=first.etag))
    with pytest.raises(errors.PreconditionFailed):
        store.delete_object(bucket, "k", condition=WriteCondition(if_match=first.etag))
    store.delete_object(bucket, "k", condition=WriteCondition(if_match="*"))
    with pytest.raises(errors.NoSuchKey):
        store.delete_object(bucket, "k", condition=WriteCondition(if_match="*"))


@pytest.mark.parametrize("size", [10, 70_000])
def test_of_many_creators_exactly_one_wins(store: Store, bucket: str, size: int) -> None:
    def create(number: int) -> bool:
        try:
            store.put_object(bucket, "k", bytes([number]) * size, condition=WriteCondition(if_none_match=True))
        except errors.PreconditionFailed:
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        won = list(pool.map(create, range(32)))
    assert sum(won) == 1
    assert read(store, bucket, "k") == bytes([won.index(True)]) * size


def test_compare_and_swap_loses_no_update(store: Store, bucket: str) -> None:
    store.put_object(bucket, "k", b"0")

    def increment(_: int) -> None:
        while True:
            with store.get_object(bucket, "k") as found:
                etag, value = found.version.etag, int(found.read())
            try:
                store.put_object(bucket, "k", str(value + 1).encode(), condition=WriteCondition(if_match=etag))
            except errors.PreconditionFailed:
                continue
            return

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(increment, range(30)))
    assert read(store, bucket, "k") == b"30"


def test_conditional_reads(store: Store, bucket: str) -> None:
    version = store.put_object(bucket, "k", b"1")
    past, future = version.modified - dt.timedelta(days=1), version.modified + dt.timedelta(days=1)
    for holds in (
        ReadCondition(if_match=(version.etag,)),
        ReadCondition(if_match=("*",)),
        ReadCondition(if_none_match=("x",)),
        ReadCondition(if_modified_since=past),
        ReadCondition(if_unmodified_since=future),
        ReadCondition(if_match=(version.etag,), if_unmodified_since=past),
        ReadCondition(if_none_match=("x",), if_modified_since=future),
        ReadCondition(if_modified_since=future),
    ):
        assert read(store, bucket, "k", condition=holds) == b"1"
    for refused in (ReadCondition(if_match=("x",)), ReadCondition(if_unmodified_since=past)):
        with pytest.raises(errors.PreconditionFailed):
            store.get_object(bucket, "k", condition=refused)
    same = version.modified.replace(microsecond=0)
    for unchanged in (ReadCondition(if_none_match=(version.etag,)), ReadCondition(if_modified_since=same)):
        with pytest.raises(errors.NotModified):
            store.head_object(bucket, "k", condition=unchanged)


def test_since_when_is_a_time_of_the_stores_clock(tmp_path: Path) -> None:
    """What is the future of the machine may be the past of a store whose clock a test moved on, and the other way."""
    clock = Clock()
    with bleepstore.open(tmp_path / "data", clock=clock) as store:
        store.create_bucket("photos")
        version = store.put_object("photos", "k", b"1")
        tomorrow = ReadCondition(if_modified_since=version.modified + dt.timedelta(days=1))
        assert read(store, "photos", "k", condition=tomorrow) == b"1"
        store.copy_object("photos", "k", "photos", "l", source_condition=tomorrow)
        clock.advance(dt.timedelta(days=2))
        with pytest.raises(errors.NotModified):
            store.get_object("photos", "k", condition=tomorrow)
        with pytest.raises(errors.PreconditionFailed):
            store.copy_object("photos", "k", "photos", "l", source_condition=tomorrow)


def test_the_last_bytes_of_an_empty_object_are_none(store: Store, bucket: str) -> None:
    store.put_object(bucket, "empty", b"")
    assert read(store, bucket, "empty", range=ByteRange(None, 5)) == b""
    assert store.head_object(bucket, "empty", range=ByteRange(None, 5)).length == 0
    for range_ in (ByteRange(0, None), ByteRange(0, 0), ByteRange(None, 0), ByteRange(3, 7)):
        with pytest.raises(errors.InvalidRange):
            store.get_object(bucket, "empty", range=range_)


def test_a_reader_finishes_undisturbed_by_overwrite_and_delete(store: Store, bucket: str) -> None:
    store.put_object(bucket, "k", BIG)
    with store.get_object(bucket, "k") as found:
        store.put_object(bucket, "k", b"new")
        store.delete_object(bucket, "k")
        store.sweep()
        assert found.read() == BIG


def test_deleting_many_reports_each(store: Store, bucket: str) -> None:
    store.put_object(bucket, "a", b"1")
    store.put_object(bucket, "b", b"1")
    outcomes = store.delete_objects(
        bucket,
        [DeleteEntry(key="a"), DeleteEntry(key="nope"), DeleteEntry(key="b", condition=WriteCondition(if_match="x"))],
    )
    assert outcomes[:2] == [DeletedObject(key="a"), DeletedObject(key="nope")]
    assert isinstance(outcomes[2], DeleteFailure)
    assert isinstance(outcomes[2].error, errors.PreconditionFailed)
    assert [o.key for o in store.list_objects(bucket).objects] == ["b"]
    with pytest.raises(errors.TooManyEntries):
        store.delete_objects(bucket, [DeleteEntry(key=str(n)) for n in range(1001)])


@pytest.mark.parametrize("size", [10, 70_000])
def test_copies(store: Store, bucket: str, size: int) -> None:
    source = store.put_object(bucket, "a", BIG[:size], metadata={"m": "1"})
    copy = store.copy_object(bucket, "a", bucket, "b")
    assert (copy.etag, copy.metadata, copy.checksum) == (source.etag, {"m": "1"}, source.checksum)
    store.delete_object(bucket, "a")
    store.sweep()
    assert read(store, bucket, "b") == BIG[:size]
    replaced = store.copy_object(bucket, "b", bucket, "b", replace_metadata=True, metadata={"n": "2"})
    assert replaced.metadata == {"n": "2"}
    assert read(store, bucket, "b") == BIG[:size]
    other = store.copy_object(bucket, "b", bucket, "c", checksum_algorithm=Algorithm.SHA256).checksum
    assert other is not None
    assert base64.b64decode(other.value) == hashlib.sha256(BIG[:size]).digest()
    with pytest.raises(errors.InvalidRequest):
        store.copy_object(bucket, "b", bucket, "b")
    with pytest.raises(errors.PreconditionFailed):
        store.copy_object(bucket, "b", bucket, "d", source_condition=ReadCondition(if_none_match=("*",)))


@pytest.mark.parametrize("algorithm", [None, Algorithm.CRC32, Algorithm.SHA256, Algorithm.CRC64NVME])
@pytest.mark.parametrize("wanted", [None, Algorithm.SHA1])
def test_a_copy_of_what_was_uploaded_in_parts_is_one_whole(
    store: Store, bucket: str, algorithm: Algorithm | None, wanted: Algorithm | None
) -> None:
    upload = store.create_upload(bucket, "parts", checksum_algorithm=algorithm)
    data = BIG + BIG
    parts = [
        store.put_part(bucket, "parts", upload.upload_id, n, chunk, checksum_algorithm=algorithm)
        for n, chunk in ((1, data), (2, b"tail"))
    ]
    listed = [CompletedPart(number=part.number, etag=part.etag, checksum=part.checksum) for part in parts]
    store.complete_upload(bucket, "parts", upload.upload_id, listed)
    data += b"tail"
    used = wanted or algorithm or Algorithm.CRC64NVME
    expected = Checksum(used, encode_value(digest(used, data)))
    for source, key in (("parts", "copy"), ("copy", "copy of a copy")):
        copy = store.copy_object(bucket, source, bucket, key, checksum_algorithm=wanted, metadata={"ignored": "1"})
        assert (copy.etag, copy.checksum, copy.parts_count) == (hashlib.md5(data).hexdigest(), expected, None)
        assert store.head_object(bucket, key).version == copy
        assert store.list_object_parts(bucket, key)[1] == []
        assert read(store, bucket, key) == data
    whole = store.copy_object(bucket, "parts", bucket, "parts", replace_metadata=True)
    assert (whole.etag, whole.parts_count) == (hashlib.md5(data).hexdigest(), None)
    store.delete_object(bucket, "copy")
    store.sweep()
    assert read(store, bucket, "parts") == read(store, bucket, "copy of a copy") == data


@pytest.mark.legacy_acls
def test_acls_decide_for_everyone_but_the_application(store: Store) -> None:
    alice, bob = Caller(Owner("alice", "Alice")), Caller(Owner("bob", "Bob"))
    store.create_bucket("alices", caller=alice)
    store.put_object("alices", "private", b"1", caller=alice)
    store.put_object("alices", "public", b"2", acl=CannedAcl.PUBLIC_READ, caller=alice)
    store.put_object("alices", "known", b"3", acl=CannedAcl.AUTHENTICATED_READ, caller=alice)
    assert read(store, "alices", "private", caller=alice) == b"1"
    assert read(store, "alices", "private") == b"1"
    assert read(store, "alices", "public", caller=ANONYMOUS) == b"2"
    assert read(store, "alices", "known", caller=bob) == b"3"
    for key, caller in (("private", bob), ("known", ANONYMOUS), ("missing", bob)):
        with pytest.raises(errors.AccessDenied):
            store.get_object("alices", key, caller=caller)
    with pytest.raises(errors.AccessDenied):
        store.put_object("alices", "k", b"", caller=bob)
    with pytest.raises(errors.AccessDenied):
        store.list_objects("alices", caller=bob)
    store.put_bucket_acl("alices", CannedAcl.PUBLIC_READ_WRITE, caller=alice)
    store.put_object("alices", "bobs", b"4", caller=bob)
    assert store.head_object("alices", "bobs").version.owner == bob.account
    with pytest.raises(errors.AccessDenied):
        store.get_object("alices", "bobs", caller=alice)
    with pytest.raises(errors.AccessDenied):
        store.put_object_acl("alices", "private", CannedAcl.PUBLIC_READ, caller=bob)
    with pytest.raises(errors.AccessDenied):
        store.delete_bucket("alices", caller=bob)


@pytest.mark.parametrize("version_id", ["", "abc"])
def test_an_entry_of_a_version_that_cannot_be_deletes_nothing_and_says_so(
    store: Store, bucket: str, version_id: str
) -> None:
    store.put_object(bucket, "k", b"data")
    (outcome,) = store.delete_objects(bucket, [DeleteEntry(key="k", version_id=version_id)])
    assert isinstance(outcome, DeleteFailure)
    assert isinstance(outcome.error, NoSuchVersion)
    assert store.head_object(bucket, "k").size == 4
