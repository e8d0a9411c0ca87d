"""Multipart uploads, by the Python API."""

from __future__ import annotations

import datetime as dt
import hashlib
import random

import pytest

import bleepstore
from bleepstore import Algorithm, ByteRange, Checksum, ChecksumType, CompletedPart, Part, Store, WriteCondition, errors

pytestmark = pytest.mark.stores("local", "cluster", "providers")

MIB = 1024 * 1024
PART = random.Random(2).randbytes(5 * MIB)


def listed(*parts: Part) -> list[CompletedPart]:
    return [CompletedPart(number=part.number, etag=part.etag, checksum=part.checksum) for part in parts]


@pytest.fixture
def upload(store: Store) -> bleepstore.Upload:
    store.create_bucket("photos")
    return store.create_upload("photos", "k", metadata={"m": "1"})


def put(store: Store, upload: bleepstore.Upload, number: int, body: bytes) -> Part:
    return store.put_part(upload.bucket, upload.key, upload.upload_id, number, body)


def complete(store: Store, upload: bleepstore.Upload, *parts: Part) -> bleepstore.ObjectVersion:
    return store.complete_upload(upload.bucket, upload.key, upload.upload_id, listed(*parts))


def test_an_upload_becomes_one_object(store: Store, upload: bleepstore.Upload) -> None:
    last, first = put(store, upload, 7, b"tail"), put(store, upload, 2, PART)
    version = complete(store, upload, first, last)
    digests = hashlib.md5(PART).digest() + hashlib.md5(b"tail").digest()
    assert version.etag == hashlib.md5(digests).hexdigest() + "-2"
    assert version.metadata == {"m": "1"}
    with store.get_object("photos", "k") as found:
        assert found.read() == PART + b"tail"
    with store.get_object("photos", "k", range=ByteRange(5 * MIB - 2, 5 * MIB + 1)) as found:
        assert found.read() == PART[-2:] + b"ta"
    with store.get_object("photos", "k", part_number=2) as found:
        assert (found.read(), found.start, found.version.parts_count) == (b"tail", 5 * MIB, 2)
    with pytest.raises(errors.InvalidPartNumber):
        store.get_object("photos", "k", part_number=3)
    assert complete(store, upload, first, last) == version
    store.sweep()
    with store.get_object("photos", "k") as found:
        assert found.read() == PART + b"tail"


def test_completing_is_refused_unless_all_is_right(store: Store, upload: bleepstore.Upload) -> None:
    small, big = put(store, upload, 1, b"small"), put(store, upload, 2, PART)
    upload_id = upload.upload_id
    with pytest.raises(errors.EntityTooSmall):
        complete(store, upload, small, big)
    with pytest.raises(errors.InvalidPartOrder):
        complete(store, upload, big, small)
    with pytest.raises(errors.InvalidPart):
        store.complete_upload("photos", "k", upload_id, [CompletedPart(number=3, etag=big.etag)])
    with pytest.raises(errors.InvalidPart):
        store.complete_upload("photos", "k", upload_id, [CompletedPart(number=2, etag=small.etag)])
    with pytest.raises(errors.NoSuchUpload):
        store.complete_upload("photos", "other", upload_id, listed(big))
    with pytest.raises(errors.InvalidRequest):
        store.complete_upload("photos", "k", upload_id, listed(big), object_size=1)
    for number in (0, 10_001):
        with pytest.raises(errors.InvalidArgument):
            put(store, upload, number, b"")
    assert complete(store, upload, small).size == 5


@pytest.mark.parametrize("algorithm", [Algorithm.CRC32, Algorithm.CRC32C, Algorithm.CRC64NVME])
def test_a_full_object_checksum_is_that_of_the_bytes(store: Store, algorithm: Algorithm) -> None:
    store.create_bucket("photos")
    upload = store.create_upload("photos", "k", checksum_algorithm=algorithm, checksum_type=ChecksumType.FULL_OBJECT)
    parts = [put(store, upload, 1, PART), put(store, upload, 2, b"tail")]
    expected = store.put_object("photos", "whole", PART + b"tail", checksum_algorithm=algorithm).checksum
    wrong = Checksum(algorithm, {4: "AAAAAA==", 8: "AAAAAAAAAAA="}[4 if "64" not in algorithm else 8])
    with pytest.raises(errors.BadDigest):
        store.complete_upload("photos", "k", upload.upload_id, listed(*parts), checksum=wrong)
    version = store.complete_upload("photos", "k", upload.upload_id, listed(*parts), checksum=expected)
    assert version.checksum == expected


@pytest.mark.parametrize("algorithm", [Algorithm.CRC32, Algorithm.SHA1, Algorithm.SHA256])
def test_a_composite_checksum_needs_every_part(store: Store, algorithm: Algorithm) -> None:
    store.create_bucket("photos")
    upload = store.create_upload("photos", "k", checksum_algorithm=algorithm)
    with pytest.raises(errors.InvalidRequest):
        put(store, upload, 1, b"data")
    assert store.list_parts("photos", "k", upload.upload_id).parts == []
    part = store.put_part("photos", "k", upload.upload_id, 1, b"data", checksum_algorithm=algorithm)
    with pytest.raises(errors.InvalidRequest):
        store.complete_upload("photos", "k", upload.upload_id, [CompletedPart(number=1, etag=part.etag)])
    version = complete(store, upload, part)
    assert version.checksum is not None
    assert version.checksum.type == ChecksumType.COMPOSITE


def test_algorithms_and_types_that_do_not_go_together(store: Store) -> None:
    store.create_bucket("photos")
    for algorithm, kind in (
        (Algorithm.CRC64NVME, ChecksumType.COMPOSITE),
        (Algorithm.SHA256, ChecksumType.FULL_OBJECT),
        (None, ChecksumType.COMPOSITE),
    ):
        with pytest.raises(errors.InvalidRequest):
            store.create_upload("photos", "k", checksum_algorithm=algorithm, checksum_type=kind)


def test_conditional_completion(store: Store, upload: bleepstore.Upload) -> None:
    part = put(store, upload, 1, b"data")
    store.put_object("photos", "k", b"in between")
    only_new = WriteCondition(if_none_match=True)
    with pytest.raises(errors.PreconditionFailed):
        store.complete_upload("photos", "k", upload.upload_id, listed(part), condition=only_new)
    written = WriteCondition(if_match=store.head_object("photos", "k").version.etag)
    with pytest.raises(errors.ConditionalRequestConflict):
        store.complete_upload("photos", "k", upload.upload_id, listed(part), condition=written)
    second = store.create_upload("photos", "k")
    part = put(store, second, 1, b"data")
    with pytest.raises(errors.PreconditionFailed):
        store.complete_upload("photos", "k", second.upload_id, listed(part), condition=only_new)
    etag = store.head_object("photos", "k").version.etag
    store.complete_upload("photos", "k", second.upload_id, listed(part), condition=WriteCondition(if_match=etag))


def test_parts_by_copy(store: Store, upload: bleepstore.Upload) -> None:
    store.put_object("photos", "source", PART + b"tail")
    small = store.put_object("photos", "small", b"inline")
    one = store.copy_part(
        "photos", "source", "photos", "k", upload.upload_id, 1, source_range=ByteRange(0, 5 * MIB - 1)
    )
    two = store.copy_part("photos", "small", "photos", "k", upload.upload_id, 2)
    assert (one.etag, two.etag) == (hashlib.md5(PART).hexdigest(), small.etag)
    complete(store, upload, one, two)
    with store.get_object("photos", "k") as found:
        assert found.read() == PART + b"inline"
    with pytest.raises(errors.NoSuchUpload):
        store.copy_part("photos", "source", "photos", "k", upload.upload_id, 1)
    again = store.create_upload("photos", "k")
    with pytest.raises(errors.InvalidArgument):
        store.copy_part("photos", "small", "photos", "k", again.upload_id, 1, source_range=ByteRange(0, 6))


def test_listing_and_aborting(store: Store, upload: bleepstore.Upload) -> None:
    for number in range(1, 6):
        put(store, upload, number, bytes([number]))
    page = store.list_parts("photos", "k", upload.upload_id, limit=2)
    assert [part.number for part in page.parts] == [1, 2]
    assert page.next_number == 2
    rest = store.list_parts("photos", "k", upload.upload_id, after=2)
    assert [part.number for part in rest.parts] == [3, 4, 5]
    assert rest.next_number is None
    others = [store.create_upload("photos", key).upload_id for key in ("a/1", "a/2", "k", "z")]
    uploads = store.list_uploads("photos", delimiter="/")
    assert uploads.common_prefixes == ["a/"]
    assert [u.upload_id for u in uploads.uploads] == [upload.upload_id, others[2], others[3]]
    first = store.list_uploads("photos", prefix="k", limit=1)
    assert [u.upload_id for u in first.uploads] == [upload.upload_id]
    second = store.list_uploads(
        "photos", prefix="k", after_key=first.next_key or "", after_upload_id=first.next_upload_id or ""
    )
    assert [u.upload_id for u in second.uploads] == [others[2]]
    store.abort_upload("photos", "k", upload.upload_id)
    with pytest.raises(errors.NoSuchUpload):
        store.list_parts("photos", "k", upload.upload_id)
    with pytest.raises(errors.NoSuchUpload):
        store.abort_upload("photos", "k", upload.upload_id)


def test_expired_uploads_are_reaped() -> None:
    now = 1_700_000_000_000
    with bleepstore.open(clock=lambda: now, upload_expiry=dt.timedelta(days=1)) as store:
        store.create_bucket("photos")
        old = store.create_upload("photos", "k")
        store.put_part("photos", "k", old.upload_id, 1, b"data")
        now += 12 * 3600 * 1000
        young = store.create_upload("photos", "k")
        now += 13 * 3600 * 1000
        store.sweep()
        assert [u.upload_id for u in store.list_uploads("photos").uploads] == [young.upload_id]
