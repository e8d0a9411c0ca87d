"""Versions, delete markers, tags and locks from and to directories, stores and other S3 endpoints."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bleepstore
from bleepstore import CompletedPart, Retention, RetentionMode, Store, SystemMetadata, Versioning
from bleepstore.testing.clock import Clock
from bleepstore_server.cli import main
from bleepstore_server.faults import Faults, Refuse
from bleepstore_server.live import LiveServer, live_server

if TYPE_CHECKING:
    from bleepstore.pages import ListedVersion

Row = tuple[object, ...]
LATER = dt.datetime(2090, 1, 1, tzinfo=dt.UTC)
#: In the order of neither files nor folders.
KEYS = ("a", "a.b", "a.versions", "a/x", "dir/")


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    """Another S3 endpoint, whose clock stands still: times of versions tell no order."""
    store = bleepstore.open(clock=Clock(dt.datetime(2020, 1, 1, tzinfo=dt.UTC)))
    with store, live_server(store) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        yield server


def fill(store: Store, keys: tuple[str, ...] = ("a", "a/x"), bucket: str = "photos") -> None:
    store.create_bucket(bucket)
    store.put_object(bucket, "a", b"before there were versions", tags={"age": "old"})
    store.put_bucket_versioning(bucket, Versioning.ENABLED)
    for key in keys:
        store.put_object(bucket, key, b"1", metadata={"n": "1"}, tags={"k": "v +=ü", "e": ""})
        store.delete_object(bucket, key)
        store.put_object(bucket, key, b"2", storage_class="STANDARD_IA", system=SystemMetadata(content_type="image/x"))
        store.put_object(bucket, key, b"2")
    for _ in range(2):
        store.delete_object(bucket, "a/x")
    store.put_object(bucket, "large", bytes(200_000))


def described(store: Store, bucket: str, row: ListedVersion) -> Row:
    if row.is_delete_marker:
        return row.key, "delete marker"
    with store.get_object(bucket, row.key, version_id=row.version_id) as found:
        version = found.version
        body = found.read()
    attributes = (
        dict(version.metadata),
        version.content_type or "binary/octet-stream",
        version.storage_class,
        dict(version.tags),
    )
    return row.key, body, version.etag, attributes, (version.retention, version.legal_hold)


def seen(store: Store | Path, bucket: str = "photos", prefix: str = "") -> list[Row]:
    """All of a bucket, but for its version ids."""
    if isinstance(store, Path):
        with bleepstore.open(store) as opened:
            return seen(opened, bucket, prefix)
    rows = [described(store, bucket, row) for row in store.iter_object_versions(bucket, prefix=prefix)]
    return [(str(key).removeprefix(prefix), *rest) for key, *rest in rows]


def test_versions_go_to_another_s3_to_a_directory_and_back(
    data: Path, far: LiveServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(far.store, KEYS)
    wanted = seen(far.store)
    folder = tmp_path / "out"
    for command in (
        ["import", "s3://photos", "photos", "--endpoint-url", far.url],
        ["export", "photos", folder],
    ):
        for brought, equal in ((len(wanted), 0), (0, len(wanted))):
            capsys.readouterr()
            assert run(*command, "--data", data, "--versions") == 0
            said = capsys.readouterr().out
            assert said.startswith(f"{brought} versions brought")
            assert f"{equal} were equal, 0 removed" in said
    assert run("import", folder, "back/sub", "--data", data, "--versions") == 0
    assert run("sync", folder, tmp_path / "again", "--versions") == 0
    assert seen(data) == wanted
    assert seen(data, "back", "sub/") == wanted
    far.store.create_bucket("there")
    far.store.put_bucket_versioning("there", Versioning.ENABLED)
    assert run("sync", tmp_path / "again", "s3://there", "--target-endpoint-url", far.url, "--versions") == 0
    assert seen(far.store, "there") == wanted


def test_the_files_of_a_version_say_what_it_is(data: Path, tmp_path: Path) -> None:
    with bleepstore.open(data) as store:
        store.create_bucket("photos")
        store.put_bucket_versioning("photos", Versioning.ENABLED)
        store.put_object("photos", "2024/cat.jpg", b"meow", content_type="image/jpeg", tags={"k": "v"})
        store.delete_object("photos", "2024/cat.jpg")
    assert run("export", "photos", tmp_path / "out", "--data", data, "--versions") == 0
    folder = tmp_path / "out" / "2024" / "cat.jpg.versions"
    assert {path.name for path in folder.iterdir()} == {"00000001.data", "00000001.json", "00000002.json"}
    assert (folder / "00000001.data").read_bytes() == b"meow"
    known = json.loads((folder / "00000001.json").read_text())
    assert known["described"] == {"ContentType": "image/jpeg", "Tagging": "k=v"}
    assert json.loads((folder / "00000002.json").read_text()) == {"is_delete_marker": True}


@pytest.mark.parametrize("target", ["folder", "bucket"])
def test_a_transfer_of_versions_that_was_cut_off_goes_on_where_it_was(
    data: Path, far: LiveServer, tmp_path: Path, target: str
) -> None:
    """One version after the other, however often it is cut off, and with versions that look alike."""
    far.store.create_bucket("photos")
    far.store.put_bucket_versioning("photos", Versioning.ENABLED)
    for body in (b"a", b"a", b"b", b"a", b"a"):
        far.store.put_object("photos", "k", body)
    faults = Faults()
    out = tmp_path / "out" if target == "folder" else "bleepstore://photos"
    if target == "bucket":
        with bleepstore.open(data) as store:
            store.create_bucket("photos")
            store.put_bucket_versioning("photos", Versioning.ENABLED)
    with live_server(far.store, faults=faults) as server:
        command = ("sync", "s3://photos", out, "--data", data, "--source-endpoint-url", server.url, "--versions")
        for left in (1, 0):
            with faults.inject(Refuse(403, "AccessDenied"), operations="GetObject", after=4):
                assert run(*command) == (2 if left else 0)
        assert run(*command) == 0
    if target == "folder":
        assert run("import", out, "photos", "--data", data, "--versions") == 0
    assert [row[1] for row in seen(data)] == [b"a", b"a", b"b", b"a", b"a"]


def test_tags_go_along_without_versions_too(data: Path, far: LiveServer) -> None:
    fill(far.store)
    assert run("import", "s3://photos", "photos", "--data", data, "--endpoint-url", far.url) == 0
    far.store.put_object("photos", "tagged", b"1", tags={"k": "v +=ü", "e": ""})
    assert run("import", "s3://photos", "photos", "--data", data, "--endpoint-url", far.url) == 0
    with bleepstore.open(data) as store:
        assert store.get_object_tags("photos", "tagged") == {"k": "v +=ü", "e": ""}
        assert store.get_bucket_versioning("photos") is None


def test_a_target_with_a_history_of_its_own_gets_the_sources_behind_it(data: Path, far: LiveServer) -> None:
    fill(far.store)
    wanted = seen(far.store)
    command = ("import", "s3://photos", "photos", "--data", data, "--endpoint-url", far.url, "--versions")
    with bleepstore.open(data) as store:
        store.create_bucket("photos")
        store.put_bucket_versioning("photos", Versioning.ENABLED)
        mine = [store.put_object("photos", key, b"mine") for key in ("a", "mine")]
        for _ in range(2):
            assert run(*command) == 0
            assert [row[:2] for row in seen(store)] == [
                row[:2]
                for key in ("a", "a/x", "large", "mine")
                for row in (
                    *(row for row in wanted if row[0] == key),
                    *((key, b"mine") for one in mine if one.key == key),
                )
            ]
        before = seen(store)
        assert run(*command, "--delete", "--dry-run") == 0
        assert seen(store) == before
        assert run(*command, "--delete") == 0
        assert seen(store) == wanted


def test_old_versions_that_expired_do_not_come_again(data: Path, far: LiveServer) -> None:
    fill(far.store)
    command = ("import", "s3://photos", "photos", "--data", data, "--endpoint-url", far.url, "--versions")
    assert run(*command) == 0
    before = seen(data)
    oldest = [row for row in far.store.iter_object_versions("photos", prefix="a") if row.key == "a"][-1]
    far.store.delete_object("photos", "a", version_id=oldest.version_id)
    far.store.put_object("photos", "a", b"newest")
    assert run(*command) == 0
    assert [row for row in seen(data) if row[1] != b"newest"] == before
    assert seen(data)[0][1] == b"newest"


def test_a_bucket_that_keeps_no_versions_is_no_target_of_them(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    with bleepstore.open(data) as store:
        store.create_bucket("photos")
    assert run("import", tmp_path / "in", "photos", "--data", data, "--versions") == 2
    assert "the bucket photos does not keep versions" in capsys.readouterr().err
    assert run("import", tmp_path / "in", "photos", "--data", data, "--locks") == 2
    assert "give --versions too" in capsys.readouterr().err


def test_what_is_no_folder_of_versions_is_named(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "in"
    files = {
        "plain.txt": "x",
        "bytes.versions/00000001.json": "{}",
        "list.versions/00000001.json": "[]",
        "ok.versions/00000001.json": '{"described": {"ContentType": 7, "Tagging": "k=v", "ACL": "public-read"}}',
        "ok.versions/00000001.data": "1",
        "ok.versions/00000002.data": "of a run that was killed",
        "time.versions/00000001.json": '{"described": {"ObjectLockRetainUntilDate": "soon"}}',
        "time.versions/00000001.data": "1",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "linked.versions").symlink_to(root / "ok.versions")
    assert run("import", root, "photos", "--data", data, "--versions", "--locks") == 2
    said = capsys.readouterr().err
    for name in ("plain.txt", "bytes", "list", "time", "linked.versions"):
        assert f"failed: '{name}'" in said
    assert [row[:2] for row in seen(data)] == [("ok", b"1")]
    with bleepstore.open(data) as store:
        assert store.get_object_tags("photos", "ok") == {"k": "v"}
        store.put_object("photos", "x.versions/00000001.json", b"1")
    assert run("export", "photos", tmp_path / "out", "--data", data, "--versions") == 2
    assert "failed: 'x.versions/00000001.json'" in capsys.readouterr().err


def test_a_version_that_cannot_be_read_holds_back_the_later_ones_of_its_key(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("export", "photos", tmp_path / "out", "--data", data, "--versions")
    with bleepstore.open(data) as store:
        store.create_bucket("photos")
        store.put_bucket_versioning("photos", Versioning.ENABLED)
        archived = store.put_object("photos", "k", b"1", storage_class="GLACIER")
        for key in ("k", "other"):
            store.put_object("photos", key, b"2")
        assert run(*command) == 2
        assert "failed: 'k': InvalidObjectState" in capsys.readouterr().err
        assert [path.parent.name for path in (tmp_path / "out").rglob("*.data")] == ["other.versions"]
        store.restore_object("photos", "k", version_id=archived.version_id, days=1)
        assert run(*command) == 0
    assert run("import", tmp_path / "out", "back", "--data", data, "--versions") == 0
    with bleepstore.open(data) as store:
        found = [(row.key, row.storage_class) for row in store.iter_object_versions("back")]
    assert found == [("k", "STANDARD"), ("k", "GLACIER"), ("other", "STANDARD")]


def test_the_parts_of_a_version_stay_as_they_were(data: Path, tmp_path: Path) -> None:
    with bleepstore.open(data) as store:
        store.create_bucket("photos")
        upload = store.create_upload("photos", "k")
        parts = [
            store.put_part("photos", "k", upload.upload_id, number, bytes(size))
            for number, size in ((1, 5 * 1024 * 1024), (2, 7))
        ]
        done = [CompletedPart(number=part.number, etag=part.etag) for part in parts]
        etag = store.complete_upload("photos", "k", upload.upload_id, done).etag
    assert run("export", "photos", tmp_path / "out", "--data", data, "--versions") == 0
    assert run("import", tmp_path / "out", "back", "--data", data, "--versions") == 0
    assert [row[2] for row in seen(data, "back")] == [etag]


# -- locks


def fill_locked(store: Store) -> None:
    store.create_bucket("ledger", object_lock=True)
    for mode in RetentionMode:
        store.put_object("ledger", mode, b"1", retention=Retention(mode, Retention.compliance(LATER).until_ms))
    store.put_object("ledger", "held", b"1", legal_hold=True)
    store.put_object("ledger", "over", b"1", retention=Retention.compliance(dt.datetime(2020, 1, 2, tzinfo=dt.UTC)))


def locks(store: Store | Path, bucket: str) -> dict[object, object]:
    return {row[0]: row[-1] for row in seen(store, bucket)}


def test_locks_go_along_where_that_is_asked_for(data: Path, far: LiveServer, tmp_path: Path) -> None:
    fill_locked(far.store)
    wanted = locks(far.store, "ledger") | {"over": (None, None)}
    command = ("import", "s3://ledger", "open", "--data", data, "--endpoint-url", far.url, "--versions")
    assert run(*command) == 0
    assert set(locks(data, "open").values()) == {(None, None)}
    assert run(*("import", "s3://ledger", "ledger", *command[3:]), "--locks") == 0
    assert locks(data, "ledger") == wanted
    assert run("export", "ledger", tmp_path / "out", "--data", data, "--versions", "--locks") == 0
    assert run("import", tmp_path / "out", "again", "--data", data, "--versions", "--locks") == 0
    assert locks(data, "again") == wanted


def test_no_transfer_removes_or_changes_what_is_locked(
    data: Path, far: LiveServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_locked(far.store)
    command = ("import", "s3://ledger", "ledger", "--data", data, "--endpoint-url", far.url, "--versions", "--locks")
    assert run(*command) == 0
    before = seen(data, "ledger")
    for key in ("GOVERNANCE", "held"):  # the source releases what its owner may
        far.store.put_object_retention("ledger", key, None, bypass_governance=True)
        far.store.put_object_legal_hold("ledger", key, False)
    assert run(*command, "--delete") == 0
    assert seen(data, "ledger") == before
    (tmp_path / "empty").mkdir()
    for versions in ([], ["--versions", "--locks"]):
        assert run("import", tmp_path / "empty", "ledger", "--data", data, "--delete", *versions) == (
            2 if versions else 0
        )
    said = capsys.readouterr().err
    for key in ("COMPLIANCE", "GOVERNANCE", "held"):
        assert f"failed: '{key}': AccessDenied" in said
    after = [row for row in seen(data, "ledger") if row[1] != "delete marker"]
    assert after == [row for row in before if row[0] != "over"]
