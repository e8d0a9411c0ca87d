"""Objects from and to directories, stores and other S3 endpoints, by the command line."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import bleepstore
from bleepstore import CannedAcl, CompletedPart, SystemMetadata
from bleepstore_server.cli import main
from bleepstore_server.clients import client_for
from bleepstore_server.faults import Corrupt, Faults, Truncate
from bleepstore_server.live import LiveServer, live_server
from bleepstore_server.locations import (
    BucketLocation,
    Directory,
    LocationEntry,
    NotTransferred,
    is_equal,
)
from bleepstore_server.transfer import ObjectTransfer, merged
from tests.interrupts import InterruptedStart

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MIB = 1024 * 1024


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    """Another S3 endpoint, with the credentials in the environment."""
    with live_server() as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        yield server


def fill_folder(root: Path) -> dict[str, bytes]:
    files = {
        "a.txt": b"a",
        "a/b.html": b"<p>",
        "a-b": b"between a and a/",
        "empty": b"",
        "large": random.Random(1).randbytes(40 * MIB + 3),
        "ü/ключ": b"u",
        "z.json.gz": b"\x1f\x8b",
    }
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return files


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def objects_of(data: Path, bucket: str) -> dict[str, bytes]:
    found = {}
    with bleepstore.open(data) as store:
        for entry in store.list_objects(bucket).objects:
            with store.get_object(bucket, entry.key) as stored:
                found[entry.key] = stored.read()
    return found


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_a_directory_goes_into_a_store_and_comes_back(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = fill_folder(tmp_path / "in")
    assert run("import", tmp_path / "in", "photos/2024", "--data", data) == 0
    assert objects_of(data, "photos") == {f"2024/{name}": content for name, content in files.items()}
    assert f"{len(files)} objects brought ({sum(map(len, files.values())):,} bytes)" in capsys.readouterr().out
    with bleepstore.open(data) as store:
        assert store.head_object("photos", "2024/a/b.html").version.system.content_type == "text/html"
        assert store.head_object("photos", "2024/z.json.gz").version.system.content_type == "application/gzip"
        assert store.head_object("photos", "2024/large").version.parts_count == 3
    assert run("export", "photos/2024", tmp_path / "out", "--data", data) == 0
    assert files_of(tmp_path / "out") == files


def test_an_import_leaves_the_acl_of_its_bucket_as_it_is(tmp_path: Path, data: Path) -> None:
    fill_folder(tmp_path / "in")
    with bleepstore.open(data, acl_defaults="legacy") as store:
        store.create_bucket("photos", acl=CannedAcl.PUBLIC_READ)
        acl = store.get_bucket_acl("photos")
    assert run("import", tmp_path / "in", "photos", "--data", data) == 0
    with bleepstore.open(data) as store:
        assert store.get_bucket_acl("photos") == acl


def test_what_is_equal_is_left_as_it_is(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = fill_folder(tmp_path / "in")
    assert run("import", tmp_path / "in", "photos", "--data", data) == 0
    with bleepstore.open(data) as store:
        before = {one.key: one for one in store.list_objects("photos").objects}
    (tmp_path / "in" / "a.txt").write_bytes(b"b")  # of the same size
    capsys.readouterr()
    assert run("import", tmp_path / "in", "photos", "--data", data) == 0
    assert f"1 objects brought (1 bytes), {len(files) - 1} were equal" in capsys.readouterr().out
    with bleepstore.open(data) as store:
        after = {one.key: one for one in store.list_objects("photos").objects}
    assert [key for key in before if before[key] != after[key]] == ["a.txt"]
    assert run("export", "photos", tmp_path / "in", "--data", data) == 0
    assert f"0 objects brought (0 bytes), {len(files)} were equal" in capsys.readouterr().out


def test_only_delete_removes_and_a_dry_run_does_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_folder(tmp_path / "in")
    assert run("import", tmp_path / "in", "photos", "--data", data) == 0
    (tmp_path / "in" / "a" / "b.html").unlink()
    (tmp_path / "in" / "new").write_bytes(b"n")
    before = objects_of(data, "photos")
    capsys.readouterr()
    assert run("import", tmp_path / "in", "photos", "--data", data, "--delete", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "would bring: 'new'" in said
    assert "would remove: 'a/b.html'" in said
    assert objects_of(data, "photos") == before
    assert run("import", tmp_path / "in", "photos", "--data", data) == 0
    assert objects_of(data, "photos") == before | {"new": b"n"}
    assert run("import", tmp_path / "in", "photos", "--data", data, "--delete") == 0
    assert "a/b.html" not in objects_of(data, "photos")
    assert run("export", "photos", tmp_path / "in", "--data", data, "--delete") == 0
    (tmp_path / "in" / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "sub" / "deep" / "x").write_bytes(b"x")
    assert run("export", "photos", tmp_path / "in", "--data", data, "--delete") == 0
    assert not (tmp_path / "in" / "sub").exists(), "empty folders go with their last file"


def multipart(store: bleepstore.Store, key: str, sizes: list[int]) -> None:
    upload = store.create_upload("photos", key, metadata={"camera": "x"})
    parts = []
    for number, size in enumerate(sizes, 1):
        part = store.put_part("photos", key, upload.upload_id, number, random.Random(number).randbytes(size))
        parts.append(CompletedPart(number=number, etag=part.etag))
    store.complete_upload("photos", key, upload.upload_id, parts)


def test_buckets_of_two_endpoints_become_equal_with_their_metadata(
    data: Path, far: LiveServer, s3_far: S3Client, capsys: pytest.CaptureFixture[str]
) -> None:
    s3_far.create_bucket(Bucket="copy")
    with bleepstore.open(data) as store:
        store.create_bucket("photos")
        store.put_object(
            "photos", "cat", b"meow", metadata={"camera": "ü"}, system=SystemMetadata(content_type="image/x")
        )
        store.put_object("photos", "single", random.Random(9).randbytes(20 * MIB))
        multipart(store, "equal", [5 * MIB, 5 * MIB, 7])
        multipart(store, "uneven", [5 * MIB, 6 * MIB, 7])
    wanted = objects_of(data, "photos")
    command = ("export", "photos", "s3://copy/there", "--data", data, "--endpoint-url", far.url)
    assert run(*command) == 0
    got = {
        entry["Key"]: s3_far.get_object(Bucket="copy", Key=entry["Key"])["Body"].read()
        for entry in s3_far.list_objects_v2(Bucket="copy")["Contents"]
    }
    assert got == {f"there/{key}": content for key, content in wanted.items()}
    cat = s3_far.head_object(Bucket="copy", Key="there/cat")
    # As any client of S3 sees the source too.
    assert (cat["ContentType"], cat["Metadata"]) == ("image/x", {"camera": "=?UTF-8?B?w7w=?="})
    with bleepstore.open(data) as store:
        etag = store.head_object("photos", "equal").version.etag
    assert s3_far.head_object(Bucket="copy", Key="there/equal")["ETag"] == f'"{etag}"', "parts stay as they were"
    capsys.readouterr()
    assert run(*command) == 0
    assert "0 objects brought (0 bytes), 4 were equal" in capsys.readouterr().out
    assert run("import", "s3://copy/there/", "back", "--data", data, "--endpoint-url", far.url) == 0
    assert objects_of(data, "back") == wanted


@pytest.fixture
def s3_far(far: LiveServer) -> Iterator[S3Client]:
    client = far.client()
    yield client
    client.close()


def test_sync_goes_between_two_directories_and_two_endpoints(far: LiveServer, s3_far: S3Client, tmp_path: Path) -> None:
    files = fill_folder(tmp_path / "in")
    assert run("sync", tmp_path / "in", tmp_path / "out") == 0
    assert files_of(tmp_path / "out") == files
    for bucket in ("one", "two"):
        s3_far.create_bucket(Bucket=bucket)
    ends = ("--source-endpoint-url", far.url, "--target-endpoint-url", far.url)
    assert run("sync", tmp_path / "out", "s3://one", *ends) == 0
    assert run("sync", "s3://one", "s3://two", *ends) == 0
    assert run("sync", "s3://two", tmp_path / "again", *ends) == 0
    assert files_of(tmp_path / "again") == files


@pytest.mark.parametrize("key", ["../up", "/abs", "a//b", "dir/", "a/../../up", ".", "n" * 300, "nul\0", "dir/x"])
def test_a_key_that_can_be_no_file_is_named_and_the_others_are_brought(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    with bleepstore.open(data) as store:
        store.create_bucket("photos")
        for one in {key, "dir", "ok"}:
            store.put_object("photos", one, one.encode())
    target = tmp_path / "outer" / "out"
    assert run("export", "photos", target, "--data", data) == 2
    assert "1 could not be brought" in (said := capsys.readouterr().err)
    assert "failed: " in said
    found = files_of(tmp_path / "outer")
    assert found.pop("out/ok") == b"ok"
    assert set(found) <= {"out/dir", "out/dir/x"}
    assert len(found) == 1


def test_links_are_not_followed_and_not_written_through(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"s")
    root = tmp_path / "in"
    root.mkdir()
    (root / "ok").write_bytes(b"ok")
    (root / "file").symlink_to(outside / "secret")
    (root / "folder").symlink_to(outside)
    assert run("import", root, "photos", "--data", data) == 2
    assert "a symbolic link is not followed" in capsys.readouterr().err
    assert objects_of(data, "photos") == {"ok": b"ok"}
    with bleepstore.open(data) as store:
        store.put_object("photos", "folder/new", b"n")
        store.put_object("photos", "file", b"n")
    assert run("export", "photos", root, "--data", data) == 2
    assert files_of(outside) == {"secret": b"s"}


def test_a_name_that_is_not_text_is_named(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "in"
    root.mkdir()
    for name in (b"\xff", b"ok"):
        (root / os.fsdecode(name)).write_bytes(b"")
    assert run("import", tmp_path / "in", "photos", "--data", data) == 2
    assert "its name is not UTF-8" in capsys.readouterr().err
    assert set(objects_of(data, "photos")) == {"ok"}


@pytest.mark.parametrize("size", [1000, 20 * MIB])
def test_bytes_that_come_damaged_are_refused_and_leave_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    """By a source that gives other bytes than its listing and its ETag say."""
    with bleepstore.open(data) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", random.Random(3).randbytes(size))
        store.put_object("photos", "ok", b"ok")
        with store.get_object("photos", "k") as stored:
            good = stored.read()
        with live_server(store, faults=(faults := Faults())) as server:  # noqa: SIM117  # one needs the other
            with pytest.MonkeyPatch.context() as patch, faults.inject(Corrupt(), operations="GetObject", prefix="k"):
                for name, value in server.environ.items():
                    patch.setenv(name, value)
                for target in ("out", "bleepstore://copy"):
                    command = ["sync", "s3://photos", tmp_path / target if target == "out" else target]
                    with bleepstore.open(tmp_path / "other") as other:
                        if "copy" not in [bucket.name for bucket in other.list_buckets().buckets]:
                            other.create_bucket("copy")
                    ends = ("--source-endpoint-url", server.url, "--data", tmp_path / "other")
                    assert run(*command, *ends) == 2
                    assert re.search(r"failed: 'k': .*(damaged|checksum)", capsys.readouterr().err)
    assert files_of(tmp_path / "out") == {"ok": b"ok"}
    assert objects_of(tmp_path / "other", "copy") == {"ok": b"ok"}
    with bleepstore.open(tmp_path / "other") as other:
        assert not other.list_uploads("copy").uploads
    assert len(good) == size


def test_a_transfer_that_was_killed_goes_on(data: Path, tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    files = {f"{number:03}": random.Random(number).randbytes(200_000) for number in range(200)}
    for name, content in files.items():
        (root / name).write_bytes(content)
    with bleepstore.open(data) as store:
        store.create_bucket("photos")
        process = subprocess.Popen(
            [sys.executable, "-m", "bleepstore_server", "import", str(root), "photos", "--data", str(data)]
        )
        while len(store.list_objects("photos").objects) < 20:
            assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = {one.key: one for one in store.list_objects("photos").objects}
    assert 20 <= len(before) < 200
    assert all(objects_of(data, "photos")[key] == files[key] for key in before)
    assert run("import", root, "photos", "--data", data) == 0
    assert objects_of(data, "photos") == files
    with bleepstore.open(data) as store:
        after = {one.key: one for one in store.list_objects("photos").objects}
    assert {key: after[key] for key in before} == before, "what was there was not sent again"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "no-such-folder", "photos"], "there is no directory"),
        (["import", ".", "Bad_Name"], "bleepstore://Bad_Name in "),
        (["import", ".", "a"], "InvalidBucketName"),
        (["import", ".", "no:name"], "Invalid bucket name"),
        (["export", "none", "out"], "there is no store in "),
        (["sync", "bleepstore://none", "out"], "there is no store in "),
        (["sync", ".", "bleepstore://none"], "there is no store in "),
        (["sync", "s3:///x", "out"], "names no bucket"),
        (["sync", "s3://x", "out", "--source-profile", "none"], "none"),
    ],
)
def test_what_cannot_be_done_is_said(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    words = [str(tmp_path / "out") if word == "out" else word for word in arguments]
    assert run(*words, "--data", data) == 2
    assert said in capsys.readouterr().err
    assert data.exists() == (arguments[0] == "import" and arguments[1] == "."), "only an import makes a store"


def test_a_bucket_that_is_not_there_is_named_with_its_store(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bleepstore.open(data).close()
    assert run("export", "none", tmp_path / "out", "--data", data) == 2
    assert f"bleepstore://none in {data} to {tmp_path / 'out'}: NoSuchBucket" in (said := capsys.readouterr().err)
    assert "(bucket none)" in said


# -- the folders of stores


def test_an_import_of_the_folder_around_a_store_leaves_the_store_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default of --data is a folder in the current one, and a catalog holds the secrets of all access keys."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"a")
    (tmp_path / "sub").mkdir()
    bleepstore.open(tmp_path / "sub" / "another").close()
    for _ in range(2):
        assert run("import", ".", "photos") == 0
        said = capsys.readouterr().out
        assert "left out: 'bleepstore-data/': it is the folder of a store" in said
        assert "left out: 'sub/another/': it is the folder of a store" in said
    assert objects_of(tmp_path / "bleepstore-data", "photos") == {"a.txt": b"a"}


def test_an_export_writes_into_no_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keys = ("bleepstore-data/catalog.db", "bleepstore-data/blobs/x", "other/deep/x", "new/catalog.db", "ok")
    with bleepstore.open("bleepstore-data") as store:
        store.create_bucket("photos")
        for key in keys:
            store.put_object("photos", key, b"not a catalog")
    bleepstore.open("other").close()
    before = {path for folder in ("bleepstore-data", "other") for path in Path(folder).iterdir()}
    assert run("export", "photos", ".", "--delete") == 2
    said = capsys.readouterr().err
    for key in keys[:-1]:
        assert re.search(f"failed: '{key}': .*store", said), key
    assert (tmp_path / "ok").read_bytes() == b"not a catalog"
    assert not (tmp_path / "new" / "catalog.db").exists()
    assert not (tmp_path / "other" / "deep").exists()
    assert not (tmp_path / "bleepstore-data" / "blobs" / "x").exists()
    after = {path for folder in ("bleepstore-data", "other") for path in Path(folder).iterdir()}
    assert after == before
    assert set(objects_of(tmp_path / "bleepstore-data", "photos")) == set(keys)


@pytest.mark.parametrize("folder", ["data", "data/snapshots/x", "link/x"])
def test_a_directory_is_no_store_and_is_in_none(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    with bleepstore.open(data) as store:
        store.create_bucket("photos")
        store.put_object("photos", "x", b"x")
    (data / "snapshots" / "x").mkdir(parents=True)
    (data / "x").mkdir()
    (tmp_path / "link").symlink_to(data)
    for command in (["import", tmp_path / folder, "photos"], ["export", "photos", tmp_path / folder]):
        assert run(*command, "--data", data) == 2
        assert f"is in, or is, the folder of a store, {data}" in capsys.readouterr().err
    assert set(objects_of(data, "photos")) == {"x"}


# -- what goes wrong on the way


@pytest.mark.parametrize("size", [3000, 20 * MIB])
def test_an_object_whose_body_breaks_off_is_tried_again(
    data: Path, tmp_path: Path, far: LiveServer, s3_far: S3Client, size: int
) -> None:
    content = random.Random(5).randbytes(size)
    far.store.create_bucket("photos")
    far.store.put_object("photos", "k", content)
    faults = Faults()
    with live_server(far.store, faults=faults) as server:
        for command in (["import", "s3://photos", "copy"], ["sync", "s3://photos", tmp_path / "out"]):
            which = "--endpoint-url" if command[0] == "import" else "--source-endpoint-url"
            with faults.inject(Truncate(), operations="GetObject", times=2) as fault:
                assert run(*command, "--data", data, which, server.url) == 0
            assert fault.hits == 2
        with faults.inject(Truncate(), operations="GetObject"):
            assert run("import", "s3://photos", "more", "--data", data, "--endpoint-url", server.url) == 2
    assert objects_of(data, "copy") == {"k": content}
    assert files_of(tmp_path / "out") == {"k": content}


def test_the_marker_of_an_empty_folder_becomes_a_folder(data: Path, tmp_path: Path) -> None:
    with bleepstore.open(data) as store:
        store.create_bucket("photos")
        for key in ("empty/", "full/", "full/x"):
            store.put_object("photos", key, b"" if key.endswith("/") else b"x")
    for _ in range(2):
        assert run("export", "photos", tmp_path / "out", "--data", data) == 0
    assert (tmp_path / "out" / "empty").is_dir()
    assert files_of(tmp_path / "out") == {"full/x": b"x"}


def test_ctrl_c_ends_a_transfer_in_a_line(data: Path, tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    for number in range(300):
        (root / f"{number:03}").write_bytes(bytes(200_000))
    with bleepstore.open(data) as store:
        store.create_bucket("photos")
        # Tests that run in the background of a shell ignore it, and a child would inherit that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "bleepstore_server", "import", str(root), "photos", "--data", str(data)],
                stderr=subprocess.PIPE,
                text=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        while not store.list_objects("photos").objects:
            assert process.poll() is None, "it ended before it could be interrupted"
        process.send_signal(signal.SIGINT)
        said = process.communicate()[1]
    assert process.returncode == 130, said
    told = [line for line in said.splitlines() if not line.startswith("transfer: ")]  # the progress, if it is slow
    assert told == ["bleepstore: interrupted"]


def test_nothing_is_under_way_after_an_interrupted_transfer(
    tmp_path: Path, store: bleepstore.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"x")
    store.create_bucket("photos")
    told: list[tuple[str, ...]] = []
    with contextlib.closing(client_for(store)) as client:
        transfer = ObjectTransfer(
            source=Directory(tmp_path, print, print),
            target=BucketLocation(client, "photos", ""),
            progress=lambda _done, _found: None,
            tell=lambda *what: told.append(what),
        )
        interrupted = InterruptedStart(monkeypatch, BucketLocation, "put")
        with pytest.raises(KeyboardInterrupt):
            transfer.run()
        left = [*interrupted.under_way]
        interrupted.is_over.set()
    assert left == []
    assert told == []


def test_an_interrupt_after_a_completion_is_not_hidden(
    tmp_path: Path, store: bleepstore.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload cannot be aborted then."""
    (tmp_path / "large").write_bytes(bytes(20 * MIB))
    store.create_bucket("photos")
    source = Directory(tmp_path, print, print)
    with contextlib.closing(client_for(store)) as client:
        complete = client.complete_multipart_upload

        def interrupted(**parameters: Any) -> None:
            complete(**parameters)
            raise KeyboardInterrupt

        monkeypatch.setattr(client, "complete_multipart_upload", interrupted)
        with source.open(next(source.entries())) as body, pytest.raises(KeyboardInterrupt):
            BucketLocation(client, "photos", "").put("large", body)
    assert store.head_object("photos", "large").version.size == 20 * MIB


def test_a_comparison_that_is_not_wanted_any_more_ends(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(bytes(5 * MIB))
    one, other = (Directory(tmp_path / name, print, print) for name in ("a", "b"))
    read = []

    def count(size: int) -> None:
        read.append(size)
        raise NotTransferred("the transfer was stopped")

    entries = next(one.entries()), next(other.entries())
    with pytest.raises(NotTransferred, match="stopped"):
        is_equal(one, entries[0], other, entries[1], count)
    assert sum(read) < 5 * MIB
    assert is_equal(one, entries[0], other, entries[1])


def test_a_folder_lists_in_the_order_of_s3(tmp_path: Path) -> None:
    rng = random.Random(4)
    alphabet = ["a", "b", "-", ".", "0", "ü", "\ue000", "\U00010000"]
    for _ in range(200):
        folders = ["".join(rng.choices(alphabet, k=2)) for _ in range(rng.randrange(3))]
        path = tmp_path.joinpath(*folders, "".join(rng.choices(alphabet, k=2)) + "x")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    keys = [entry.key for entry in Directory(tmp_path, print, print).entries()]
    assert len(keys) > 100
    assert keys == sorted(keys, key=str.encode)


def test_listings_are_merged() -> None:
    def entries(keys: str) -> Iterator[LocationEntry]:
        return (LocationEntry(key, 0) for key in keys)

    pairs = [(one and one.key, other and other.key) for one, other in merged(entries("acd"), entries("bcde"))]
    assert pairs == [("a", None), (None, "b"), ("c", "c"), ("d", "d"), (None, "e")]
