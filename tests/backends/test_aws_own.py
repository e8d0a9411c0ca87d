"""What the gateway to S3 does beyond the laws: native names and metadata, what others do there, failures."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

import bleepstore
from bleepstore import ByteRange, CompletedPart, Store, SystemMetadata, WriteCondition, errors
from bleepstore.backends import aws
from bleepstore.backends.aws.backend import AwsBackend
from bleepstore.backends.aws.layouts import AwsBlobs, AwsKeys
from bleepstore.backends.base import BlobSpec, KeyedSpec, KeyState, PartBlob, new_blob_id
from bleepstore.backends.gateway.names import Layout
from bleepstore.backends.gateway.settings import GatewaySettings
from bleepstore.errors import AccessDenied, BlobChanged, ServiceUnavailable, SlowDown, UploadNotFound
from bleepstore.store.adopting import Adopted
from bleepstore.testing.contract_tools import ODD_KEYS, Broken, broken_after, pattern
from bleepstore_server.faults import Faults, parse_rule
from bleepstore_server.live import live_server
from tests.backends.tcp_faults import FaultProxy, fault_proxy
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY, Served

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_numbers = itertools.count()
MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def native(far_bleepstore: Served) -> Iterator[S3Client]:
    """The provider's own client, as anybody else would use it. (boto3's default session keeps the credentials of the
    test that first asked it for a client.)"""
    with contextlib.closing(boto3.Session().client("s3", endpoint_url=far_bleepstore.url)) as client:
        yield client


@pytest.fixture
def container(native: S3Client) -> str:
    name = f"own-{next(_numbers)}"
    native.create_bucket(Bucket=name)
    return name


@pytest.fixture
def store(container: str, far_bleepstore: Served, tmp_path: Path) -> Iterator[Store]:
    with bleepstore.open(f"s3://{container}", catalog=tmp_path / "catalog", endpoint_url=far_bleepstore.url) as opened:
        opened.create_bucket("photos")
        yield opened


def make_in(layout: Layout, container: str | None, url: str, deadline: float = 5) -> AwsKeys | AwsBlobs:
    return aws.open_gateway(
        GatewaySettings(
            scheme="s3", container=container, layout=layout, endpoint_url=url, connections=4, deadline=deadline
        )
    )


def make(container: str | None, url: str, deadline: float = 5) -> AwsKeys:
    made = make_in(Layout.KEYS, container, url, deadline)
    assert isinstance(made, AwsKeys)
    return made


@pytest.fixture
def backend(container: str, far_bleepstore: Served) -> Iterator[AwsKeys]:
    with contextlib.closing(make(container, far_bleepstore.url)) as made:
        yield made


def read(store: Store, key: str, **options: Any) -> bytes:
    with store.get_object("photos", key, **options) as found:
        return found.read()


# -- as the provider's own tools see it


def test_an_object_is_stored_under_its_own_key_with_its_own_metadata(
    store: Store, native: S3Client, container: str
) -> None:
    system = SystemMetadata(content_type="image/jpeg", content_encoding="gzip", cache_control="no-store")
    made = store.put_object("photos", "2024/cat.jpg", b"meow", system=system, metadata={"owner": "alice"})
    found = native.get_object(Bucket=container, Key="photos/2024/cat.jpg")
    assert found["Body"].read() == b"meow"
    assert (found["ContentType"], found["ContentEncoding"], found["CacheControl"]) == ("image/jpeg", "gzip", "no-store")
    assert found["Metadata"]["owner"] == "alice"
    assert found["ETag"].strip('"') == made.etag == hashlib.md5(b"meow").hexdigest()
    store.delete_object("photos", "2024/cat.jpg")
    assert "Contents" not in native.list_objects_v2(Bucket=container, Prefix="photos/")


def test_a_multipart_object_has_the_etag_of_s3_on_both_sides(store: Store, native: S3Client, container: str) -> None:
    upload = store.create_upload("photos", "big")
    bodies = [pattern(5 * MIB, 1), pattern(100, 2)]
    parts = [
        CompletedPart(number=number, etag=store.put_part("photos", "big", upload.upload_id, number, body).etag)
        for number, body in enumerate(bodies, start=1)
    ]
    made = store.complete_upload("photos", "big", upload.upload_id, parts)
    assert native.head_object(Bucket=container, Key="photos/big")["ETag"].strip('"') == made.etag
    assert made.etag.endswith("-2")
    assert read(store, "big") == b"".join(bodies)


def test_metadata_that_the_provider_would_refuse_come_back(store: Store, tmp_path: Path, container: str) -> None:
    metadata = {"plain": "1", "name": "ü€ \U0001f600", "empty": "", "bleepstore-etag": "mine", "spaces": " x "}
    system = SystemMetadata(content_type="text/plain", expires="Thu, 01 Dec 2033 16:00:00 GMT", content_language="dé")
    store.put_object("photos", "k", b"data", metadata=metadata, system=system)
    backend = store.engine.backend
    assert isinstance(backend, AwsKeys)
    found = backend.find("photos", "k")
    assert found is not None
    assert found.attributes.metadata == metadata
    assert found.attributes.system == system


def test_odd_keys_are_found_again_from_the_provider_alone(store: Store) -> None:
    for key in ODD_KEYS:
        store.put_object("photos", key, key.encode())
    backend = store.engine.backend
    assert isinstance(backend, AwsKeys)
    found = {blob.key: blob for _, blob in backend.iter_found("photos") if blob is not None}
    assert set(found) == set(ODD_KEYS)
    assert {key: blob.etag for key, blob in found.items()} == {
        key: hashlib.md5(key.encode()).hexdigest() for key in ODD_KEYS
    }


# -- what others do there


def test_a_change_behind_our_back_is_adopted_when_it_is_read(store: Store, native: S3Client, container: str) -> None:
    store.put_object("photos", "k", b"ours", metadata={"by": "us"})
    native.put_object(
        Bucket=container, Key="photos/k", Body=b"theirs, longer", ContentType="text/x", Metadata={"by": "them"}
    )
    assert read(store, "k") == b"theirs, longer"
    head = store.head_object("photos", "k").version
    assert (head.size, head.etag) == (14, hashlib.md5(b"theirs, longer").hexdigest())
    assert head.system.content_type == "text/x"
    assert head.metadata == {"by": "them"}
    assert store.list_objects("photos").objects[0].size == 14


def test_the_same_bytes_written_by_another_are_another_blob(store: Store, native: S3Client, container: str) -> None:
    store.put_object("photos", "k", b"same", metadata={"by": "us"})
    native.put_object(Bucket=container, Key="photos/k", Body=b"same", Metadata={"by": "them"})
    assert read(store, "k") == b"same"
    assert store.head_object("photos", "k").version.metadata == {"by": "them"}


def test_what_others_deleted_is_gone_when_it_is_read(store: Store, native: S3Client, container: str) -> None:
    store.put_object("photos", "k", b"ours")
    native.delete_object(Bucket=container, Key="photos/k")
    with pytest.raises(errors.NoSuchKey):
        read(store, "k")
    assert store.list_objects("photos").objects == []
    with pytest.raises(errors.NoSuchKey):
        store.head_object("photos", "k")


def test_a_range_of_what_others_replaced_is_of_the_new_bytes(store: Store, native: S3Client, container: str) -> None:
    store.put_object("photos", "k", b"0123456789")
    native.put_object(Bucket=container, Key="photos/k", Body=b"abcdefgh")
    assert read(store, "k", range=ByteRange(2, 4)) == b"cde"
    native.put_object(Bucket=container, Key="photos/k", Body=b"x")
    with pytest.raises(errors.InvalidRange):
        read(store, "k", range=ByteRange(2, 4))


def test_a_reader_never_mixes_bytes(store: Store, native: S3Client, container: str) -> None:
    """One that was opened before goes on with what it began, or fails."""
    store.put_object("photos", "k", b"a" * (8 * MIB))
    with store.get_object("photos", "k") as found:
        head = found.read(1000)
        native.put_object(Bucket=container, Key="photos/k", Body=b"b" * (8 * MIB))
        try:
            rest = b"".join(iter(lambda: found.read(MIB), b""))
        except ServiceUnavailable:
            rest = b""
    assert set(head + rest) == {ord("a")}


def test_a_copy_of_what_others_replaced_has_the_new_bytes(store: Store, native: S3Client, container: str) -> None:
    store.put_object("photos", "k", b"ours")
    native.put_object(Bucket=container, Key="photos/k", Body=b"theirs")
    copied = store.copy_object("photos", "k", "photos", "copy")
    assert read(store, "copy") == b"theirs"
    assert copied.etag == hashlib.md5(b"theirs").hexdigest()


def test_a_condition_meets_what_others_wrote(store: Store, native: S3Client, container: str) -> None:
    etag = store.put_object("photos", "k", b"ours").etag
    native.put_object(Bucket=container, Key="photos/k", Body=b"theirs")
    with pytest.raises(errors.PreconditionFailed):
        store.put_object("photos", "k", b"new", condition=WriteCondition(if_match=etag))
    assert native.get_object(Bucket=container, Key="photos/k")["Body"].read() == b"theirs"
    native.put_object(Bucket=container, Key="photos/fresh", Body=b"theirs")
    with pytest.raises(errors.PreconditionFailed):
        store.put_object("photos", "fresh", b"new", condition=WriteCondition(if_none_match=True))
    assert read(store, "fresh") == b"theirs"  # it was adopted
    with pytest.raises(errors.PreconditionFailed):
        store.delete_object("photos", "k", condition=WriteCondition(if_match=etag))
    native.delete_object(Bucket=container, Key="photos/k")
    with pytest.raises(errors.NoSuchKey):
        store.put_object("photos", "k", b"new", condition=WriteCondition(if_match=hashlib.md5(b"theirs").hexdigest()))


def test_what_others_created_is_found_and_deleted(store: Store, native: S3Client, container: str) -> None:
    native.put_object(Bucket=container, Key="photos/new", Body=b"theirs")
    native.put_object(Bucket=container, Key="photos/other", Body=b"theirs")
    assert store.head_object("photos", "new").version.size == 6
    assert read(store, "new") == b"theirs"
    store.delete_object("photos", "other")
    assert [item["Key"] for item in native.list_objects_v2(Bucket=container, Prefix="photos/")["Contents"]] == [
        "photos/new"
    ]


def test_what_is_deleted_is_gone_also_if_others_replaced_it(store: Store, native: S3Client, container: str) -> None:
    store.put_object("photos", "k", b"ours")
    native.put_object(Bucket=container, Key="photos/k", Body=b"theirs")
    store.delete_object("photos", "k")
    assert "Contents" not in native.list_objects_v2(Bucket=container, Prefix="photos/")
    with pytest.raises(errors.NoSuchKey):
        read(store, "k")


def test_the_sweep_leaves_the_objects_of_others(store: Store, native: S3Client, container: str) -> None:
    native.put_object(Bucket=container, Key="photos/theirs", Body=b"theirs")
    store.sweep(grace=dt.timedelta(milliseconds=-(10**7)))
    assert native.get_object(Bucket=container, Key="photos/theirs")["Body"].read() == b"theirs"


# -- catalogs


def test_a_lost_catalog_is_built_anew(store: Store, far_bleepstore: Served, container: str, tmp_path: Path) -> None:
    objects = {}
    for number in range(30):
        made = store.put_object("photos", f"k{number}", bytes([number]) * number, metadata={"n": str(number)})
        objects[made.key] = (made.etag, made.size, dict(made.metadata))
    store.close()
    url, endpoint = f"s3://{container}", far_bleepstore.url
    with pytest.raises(errors.StoreError, match="belongs to another catalog"):
        bleepstore.open(url, catalog=tmp_path / "new", endpoint_url=endpoint)
    with bleepstore.open(url, catalog=tmp_path / "new", endpoint_url=endpoint, take_over=True) as rebuilt:
        assert rebuilt.adoptable_buckets() == ["photos"]
        seen: list[int] = []
        done = rebuilt.adopt("photos", lambda progress: seen.append(progress.seen))
        assert (done.adopted, done.known, done.skipped) == (30, 0, 0)
        assert seen == [30]
        assert rebuilt.adopt("photos").known == 30
        assert {item.key: (item.etag, item.size) for item in rebuilt.list_objects("photos").objects} == {
            key: value[:2] for key, value in objects.items()
        }
        assert read(rebuilt, "k7") == bytes([7]) * 7
        assert rebuilt.head_object("photos", "k7").version.metadata == {"n": "7"}


def test_without_a_catalog_it_is_made_of_what_is_stored_there(
    store: Store, far_bleepstore: Served, container: str
) -> None:
    store.put_object("photos", "k", b"data")
    with bleepstore.open(f"s3://{container}", endpoint_url=far_bleepstore.url) as other:
        assert read(other, "k") == b"data"
        other.put_object("photos", "more", b"more")
        other.sweep()
    assert read(store, "k") == b"data"


def _files(native: S3Client, container: str, *keys: str) -> None:
    for key in keys:
        native.put_object(Bucket=container, Key=key, Body=b"x")


def _keys(store: Store, bucket: str = "photos") -> list[str]:
    return [item.key for item in store.list_objects(bucket).objects]


class CutOff(Exception):
    """The process ends here."""


def test_an_adoption_goes_on_where_it_was(
    store: Store, native: S3Client, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bleepstore.store.adopting._BATCH", 2)
    _files(native, container, *(f"photos/{number}" for number in range(5)), "videos/a")

    def cut(done: Adopted) -> None:
        if done.bucket == "photos" and done.seen == 4:
            raise CutOff

    with pytest.raises(CutOff):
        list(store.adopt_all(["videos", "photos"], cut))
    assert _keys(store) == ["0", "1", "2", "3"]
    _files(native, container, "photos/00")  # in what was listed already
    videos, photos = store.adopt_all(["videos", "photos"])
    assert videos.before
    assert photos.adopted == 1
    assert store.adopt("photos").adopted == 1  # the next run is a whole one
    assert not next(store.adopt_all(["videos"])).before


def test_how_far_an_adoption_was_is_not_believed_of_another_catalog(
    store: Store,
    far_bleepstore: Served,
    native: S3Client,
    container: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bleepstore.store.adopting._BATCH", 2)
    _files(native, container, *(f"photos/{number}" for number in range(5)))

    def cut(done: Adopted) -> None:
        raise CutOff

    with pytest.raises(CutOff):
        store.adopt("photos", cut)
    store.close()
    for path in (tmp_path / "catalog").glob("catalog.db*"):
        path.unlink()
    with bleepstore.open(f"s3://{container}", catalog=tmp_path / "catalog", endpoint_url=far_bleepstore.url) as rebuilt:
        assert rebuilt.adopt("photos").adopted == 5


def test_an_adoption_removes_what_others_deleted(
    store: Store, native: S3Client, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bleepstore.store.adopting._BATCH", 2)
    for key in ("0", "1", "2", "3", "4", "5", "a//b", "c/../d", "z//z"):
        store.put_object("photos", key, b"x")
    for key in ("0", "3", "5"):
        native.delete_object(Bucket=container, Key=f"photos/{key}")
    done = store.adopt("photos")
    assert (done.adopted, done.known, done.removed) == (0, 6, 3)
    assert _keys(store) == ["1", "2", "4", "a//b", "c/../d", "z//z"]


def test_a_bucket_that_is_stored_nowhere_is_not_adopted(store: Store) -> None:
    with pytest.raises(errors.NoSuchBucket):
        store.adopt("tpyo")
    assert [bucket.name for bucket in store.list_buckets().buckets] == ["photos"]


def test_a_catalog_is_of_one_container(store: Store, far_bleepstore: Served, container: str, tmp_path: Path) -> None:
    store.close()
    for url, layout in [(f"s3://{container}/elsewhere", "keys"), (f"s3://{container}", "blobs")]:
        with pytest.raises(errors.StoreError, match="is the catalog of"):
            bleepstore.open(url, catalog=tmp_path / "catalog", layout=layout, endpoint_url=far_bleepstore.url)
    with pytest.raises(errors.StoreError, match="open that URL with this catalog"):
        bleepstore.open(tmp_path / "catalog")


# -- conditions at the provider


def test_a_write_on_a_condition_is_the_providers(backend: AwsKeys) -> None:
    def put(body: bytes, expected_current: KeyState | None) -> str:
        return backend.put_object(
            KeyedSpec(bucket="photos", key="k", size=len(body), expected_current=expected_current, new_id=new_blob_id),
            [body],
        ).handle

    first = put(b"1", KeyState(None))
    with pytest.raises(BlobChanged):
        put(b"2", KeyState(None))
    second = put(b"2", KeyState(first))
    with pytest.raises(BlobChanged):
        put(b"3", KeyState(first))
    copied = backend.copy_object(
        second, KeyedSpec(bucket="photos", key="copy", expected_current=KeyState(None), new_id=new_blob_id)
    )
    with pytest.raises(BlobChanged):
        backend.copy_object(
            second, KeyedSpec(bucket="photos", key="copy", expected_current=KeyState(None), new_id=new_blob_id)
        )
    assert backend.remove(copied.handle)
    assert not backend.remove(copied.handle)
    assert backend.remove(second)
    with pytest.raises(BlobChanged):
        put(b"3", KeyState(second))


# -- failures


@pytest.mark.parametrize("size", [100, 9 * MIB])
def test_a_body_that_breaks_leaves_nothing_billable(store: Store, native: S3Client, container: str, size: int) -> None:
    with pytest.raises(Broken):
        store.put_object("photos", "k", broken_after(pattern(size)), size=2 * size)
    with pytest.raises(errors.BadDigest):
        store.put_object("photos", "k", pattern(size), size=size, content_md5="1B2M2Y8AsgTpgAmY7PhCfg==")
    assert "Contents" not in native.list_objects_v2(Bucket=container, Prefix="photos/")
    assert "Uploads" not in native.list_multipart_uploads(Bucket=container)


def test_an_aborted_upload_leaves_nothing_billable(store: Store, native: S3Client, container: str) -> None:
    upload = store.create_upload("photos", "k")
    store.put_part("photos", "k", upload.upload_id, 1, b"part")
    assert len(native.list_multipart_uploads(Bucket=container)["Uploads"]) == 1
    store.abort_upload("photos", "k", upload.upload_id)
    assert "Uploads" not in native.list_multipart_uploads(Bucket=container)


def test_a_part_copied_by_the_provider_is_not_read(
    store: Store, backend: AwsKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pattern(12 * MIB)
    store.put_object("photos", "source", data)
    upload = store.create_upload("photos", "k")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the bytes pass through this process")

    with monkeypatch.context() as patch:
        patch.setattr(AwsBackend, "get_object", refuse)
        part = store.copy_part(
            "photos", "source", "photos", "k", upload.upload_id, 1, source_range=ByteRange(1, 6 * MIB)
        )
        store.copy_object("photos", "source", "photos", "copy")
    assert part.etag == hashlib.md5(data[1 : 6 * MIB + 1]).hexdigest()
    store.complete_upload("photos", "k", upload.upload_id, [CompletedPart(number=1, etag=part.etag)])
    assert read(store, "k") == data[1 : 6 * MIB + 1]


def test_wrong_credentials_are_named(container: str, far_bleepstore: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-wrong-secret")
    with contextlib.closing(make(container, far_bleepstore.url)) as backend:
        with pytest.raises(AccessDenied, match="SignatureDoesNotMatch") as refused:
            backend.check()
        with pytest.raises(AccessDenied):
            backend.put_object(BlobSpec(bucket="photos", key="k", size=1, new_id=new_blob_id), [b"x"])
    assert "a-wrong-secret" not in str(refused.value)


def test_missing_credentials_are_named(container: str, far_bleepstore: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    closing = contextlib.closing(make(container, far_bleepstore.url))
    with closing as backend, pytest.raises(AccessDenied, match="needs credentials"):
        backend.check()


def test_a_missing_bucket_is_named(far_bleepstore: Served, tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="does not exist"):
        bleepstore.open("s3://not-there", catalog=tmp_path / "catalog", endpoint_url=far_bleepstore.url)


def test_an_endpoint_that_does_not_answer_is_named_within_the_deadline(container: str) -> None:
    closing = contextlib.closing(make(container, "http://127.0.0.1:9", deadline=0.5))
    with closing as backend, pytest.raises(ServiceUnavailable, match="did not answer"):
        backend.check()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("PutObject=slowdown;times=2", None),
        ("PutObject=internal-error;times=2", None),
        ("PutObject=slowdown", SlowDown),
        ("PutObject=internal-error", ServiceUnavailable),
        ("PutObject=reset;times=1", None),
    ],
)
def test_what_passes_is_repeated_until_the_deadline(
    rule: str, expected: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults([parse_rule(rule)])
    with bleepstore.open() as far, live_server(far, faults=faults) as server:
        far.create_bucket("far")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
        with contextlib.closing(make("far", server.url, deadline=2 if expected is None else 0.5)) as backend:
            spec = BlobSpec(bucket="photos", key="k", size=4, new_id=new_blob_id)
            if expected is not None:
                with pytest.raises(expected):
                    backend.put_object(spec, [b"data"])
                assert backend.find("photos", "k") is None
            else:
                blob = backend.put_object(spec, [b"data"])
                with backend.get_object(blob.handle) as reader:
                    assert reader.read() == b"data"


@pytest.fixture
def proxy(far_bleepstore: Served) -> Iterator[FaultProxy]:
    with fault_proxy(far_bleepstore.port) as made:
        yield made


@pytest.mark.parametrize("kind", ["cut", "truncate"])
def test_a_broken_download_goes_on_where_it_ended(container: str, proxy: FaultProxy, kind: str) -> None:
    data = pattern(6 * MIB)
    with contextlib.closing(make(container, proxy.url)) as backend:
        blob = backend.put_object(BlobSpec(bucket="photos", key="k", size=len(data), new_id=new_blob_id), [data])
        for start, stop in [(0, None), (1000, 5 * MIB)]:
            proxy.inject(kind, received=2 * MIB)
            proxy.inject(kind, received=MIB)
            before = proxy.hits
            with backend.get_object(blob.handle, start, stop) as reader:
                assert b"".join(iter(lambda: reader.read(300_000), b"")) == data[start:stop]
            assert proxy.hits == before + 2


def test_a_download_that_breaks_for_good_fails_and_gives_no_wrong_byte(container: str, proxy: FaultProxy) -> None:
    data = pattern(6 * MIB)
    with contextlib.closing(make(container, proxy.url, deadline=1)) as backend:
        blob = backend.put_object(BlobSpec(bucket="photos", key="k", size=len(data), new_id=new_blob_id), [data])
        proxy.inject("cut", received=MIB)
        proxy.inject("cut", received=1, times=10_000)
        got = b""

        def read_on() -> None:
            nonlocal got
            while chunk := reader.read(100_000):
                got += chunk

        with backend.get_object(blob.handle) as reader, pytest.raises(ServiceUnavailable):
            read_on()
        assert data.startswith(got)
        assert len(got) < len(data)


@pytest.mark.parametrize("kind", ["cut", "truncate"])
@pytest.mark.parametrize("size", [MIB, 12 * MIB])
def test_a_broken_upload_is_sent_again(
    container: str, native: S3Client, proxy: FaultProxy, kind: str, size: int
) -> None:
    data = pattern(size)
    with contextlib.closing(make(container, proxy.url)) as backend:
        backend.check()
        proxy.inject(kind, sent=size // 2)
        blob = backend.put_object(BlobSpec(bucket="photos", key="k", size=size, new_id=new_blob_id), [data])
        assert proxy.hits == 1
        with backend.get_object(blob.handle) as reader:
            assert reader.read() == data
    assert [found["Key"] for found in native.list_objects_v2(Bucket=container)["Contents"]] == ["photos/k"]
    assert "Uploads" not in native.list_multipart_uploads(Bucket=container)


def test_an_answer_that_is_lost_does_not_fail_a_conditional_write(container: str, proxy: FaultProxy) -> None:
    """The first request was carried out; sent again, its condition no longer holds, but what is stored there is
    ours."""
    with contextlib.closing(make(container, proxy.url)) as backend:
        backend.check()
        proxy.inject("truncate", sent=500)  # of the put: its head and its body
        spec = KeyedSpec(bucket="photos", key="k", size=4, expected_current=KeyState(None), new_id=new_blob_id)
        blob = backend.put_object(spec, [b"data"])
        with backend.get_object(blob.handle) as reader:
            assert reader.read() == b"data"
        assert proxy.hits == 1


def test_an_upload_that_another_process_completed_is_found(container: str, far_bleepstore: Served) -> None:
    """A process died between the provider's completion and the catalog's; the client completes once more."""
    spec = BlobSpec(bucket="photos", key="k", size=4, new_id=new_blob_id)
    with contextlib.closing(make(container, far_bleepstore.url)) as one:
        token = one.begin_parts(spec)
        part = one.put_part(token, 1, [b"data"], new_id=new_blob_id)
        first = one.assemble_parts(token, spec, [PartBlob(part.handle, 4)])
    with contextlib.closing(make(container, far_bleepstore.url)) as two:
        again = two.assemble_parts(token, spec, [PartBlob(part.handle, 4)])
        assert again.handle == first.handle
        other = two.put_object(spec, [b"other"])
        with pytest.raises(UploadNotFound):
            two.assemble_parts(token, spec, [PartBlob(part.handle, 4)])
        assert two.head_object(other.handle) == 5
