"""Buckets through fsspec: what its own suite does not ask."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.callbacks import Callback

import bleepstore
from bleepstore.errors import StoreClosed, StoreError
from bleepstore.filesystem import BleepStoreFileSystem
from bleepstore.filesystem import stores as known_stores

pytestmark = pytest.mark.stores("local")

MIB = 1024 * 1024


@pytest.fixture
def fs(store: bleepstore.Store) -> BleepStoreFileSystem:
    store.create_bucket("bucket")
    return BleepStoreFileSystem(store=store, skip_instance_cache=True)


def uploads(fs: BleepStoreFileSystem) -> list[bleepstore.Upload]:
    return fs.store.list_uploads("bucket").uploads


# -- versions


@pytest.fixture
def versioned(fs: BleepStoreFileSystem) -> BleepStoreFileSystem:
    fs.store.put_bucket_versioning("bucket", bleepstore.Versioning.ENABLED)
    for body in (b"first", b"second"):
        fs.pipe("bucket/a/k", body)
    fs.pipe("bucket/a/k2", b"2")
    fs.pipe("bucket/a/b/k", b"deeper")
    return BleepStoreFileSystem(store=fs.store, version_aware=True, skip_instance_cache=True)


def test_a_version_is_read_looked_at_copied_and_removed(versioned: BleepStoreFileSystem, tmp_path: Path) -> None:
    newest, oldest = (entry["VersionId"] for entry in versioned.object_version_info("bucket/a/k"))
    path = f"bucket/a/k?version_id={oldest}"
    assert versioned.info("bucket/a/k")["VersionId"] == newest
    assert versioned.info(path)["VersionId"] == oldest
    assert versioned.cat_file(f"bleepstore://{path}") == b"first"
    assert versioned.cat_file(path, start=-3) == b"rst"
    with versioned.open(path) as file:
        assert file.read() == b"first"
    versioned.get_file(path, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"first"
    versioned.cp_file(path, "bucket/a/k")  # an older version becomes the current one
    assert versioned.cat("bucket/a/k") == b"first"
    versioned.rm("bucket/a/k")
    assert not versioned.exists("bucket/a/k")
    versioned.rm(path)
    assert not versioned.exists(path)
    with pytest.raises(FileNotFoundError):
        versioned.rm_file(path)
    assert versioned.exists(f"bucket/a/k?version_id={newest}")
    with pytest.raises(ValueError, match="never written again"):
        versioned.open(path, "wb")


def test_an_open_file_stays_the_version_that_it_was(versioned: BleepStoreFileSystem, fs: BleepStoreFileSystem) -> None:
    with versioned.open("bucket/a/k") as file, fs.open("bucket/a/k") as unaware:
        fs.pipe("bucket/a/k", b"third!")
        assert file.read() == b"second"
        with pytest.raises(OSError, match="PreconditionFailed"):
            unaware.read()
    assert "VersionId" not in fs.info("bucket/a/k")
    assert not fs.exists(f"bucket/a/k?version_id={versioned.info('bucket/a/k')['VersionId']}"), "it is a key here"


def test_listings_of_versions_have_no_delete_markers(versioned: BleepStoreFileSystem) -> None:
    versioned.rm("bucket/a/k2")
    listed = versioned.ls("bucket/a", versions=True)
    assert [(entry["name"].partition("?")[0], entry["IsLatest"]) for entry in listed] == [
        ("bucket/a/k", True),
        ("bucket/a/k", False),
        ("bucket/a/k2", False),
    ]
    assert all(versioned.info(entry["name"])["ETag"] == entry["ETag"] for entry in listed)
    assert len(versioned.object_version_info("bucket/a/k")) == 2
    with pytest.raises(FileNotFoundError):
        versioned.ls("bucket/none", versions=True)


# -- finding the store


def test_fsspec_finds_it_by_its_entry_point(tmp_path: Path) -> None:
    """In a process that imports nothing of BleepStore itself."""
    script = (
        "import fsspec, sys\n"
        "fsspec.filesystem('bleepstore', path=sys.argv[1]).mkdir('data')\n"
        "with fsspec.open('bleepstore://data/a.txt', 'w', path=sys.argv[1]) as file: file.write('hello')\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "store"], check=True)
    with bleepstore.open(tmp_path / "store") as store, store.get_object("data", "a.txt") as stored:
        assert stored.read() == b"hello"


def test_without_options_it_is_one_store_in_memory_for_the_process() -> None:
    fs = fsspec.filesystem("bleepstore")
    fs.makedirs("shared", exist_ok=True)
    fs.pipe("shared/a", b"1")
    try:
        other = BleepStoreFileSystem(skip_instance_cache=True)
        assert other is not fs
        assert other.cat("shared/a") == b"1"
        assert pickle.loads(pickle.dumps(fs)).cat("shared/a") == b"1"
    finally:
        fs.rm("shared", recursive=True)
        BleepStoreFileSystem.clear_instance_cache()


def test_two_file_systems_of_a_folder_share_a_store_that_is_closed_with_the_last(tmp_path: Path) -> None:
    first = BleepStoreFileSystem(path=tmp_path / "store", skip_instance_cache=True)
    second = BleepStoreFileSystem(path=tmp_path / "store", skip_instance_cache=True)
    store = first.store
    assert second.store is store
    first.mkdir("bucket")
    del first
    gc.collect()
    assert second.exists("bucket")
    del second
    gc.collect()
    with pytest.raises(StoreClosed):
        store.check_open()


def test_a_closed_file_system_opens_its_folder_again(tmp_path: Path) -> None:
    fs = BleepStoreFileSystem(path=tmp_path / "store", skip_instance_cache=True)
    fs.mkdir("bucket")
    store = fs.store
    fs.close()
    with pytest.raises(StoreClosed):
        store.check_open()
    assert fs.ls("", detail=False) == ["bucket"]
    fs.close()


def test_a_relative_path_stays_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    monkeypatch.chdir(tmp_path / "one")
    one = fsspec.filesystem("bleepstore", path="store")
    one.mkdir("in-one")
    monkeypatch.chdir(tmp_path / "two")
    two = fsspec.filesystem("bleepstore", path="store")
    assert one.ls("", detail=False) == ["in-one"]
    assert two.ls("", detail=False) == []
    one.close()
    two.close()
    BleepStoreFileSystem.clear_instance_cache()


def test_a_store_that_was_given_is_left_open_and_its_closing_is_told() -> None:
    with bleepstore.open() as store:
        fs = BleepStoreFileSystem(store=store, skip_instance_cache=True)
        fs.mkdir("bucket")
        fs.close()
        assert fs.exists("bucket")
    with pytest.raises(StoreClosed):
        fs.ls("")


def test_a_file_system_is_of_the_store_that_was_given_and_of_no_other() -> None:
    with bleepstore.open() as first, bleepstore.open() as second:
        for store, text in ((first, b"first"), (second, b"second")):
            store.create_bucket("photos")
            store.put_object("photos", "k", text)
        one, other = (fsspec.filesystem("bleepstore", store=store) for store in (first, second))
        assert one.cat("photos/k") == b"first"
        assert other.cat("photos/k") == b"second"
        assert one != other
        assert one == fsspec.filesystem("bleepstore", store=first)
        for store, text in ((first, b"first"), (second, b"second")):
            with fsspec.open("simplecache::bleepstore://photos/k", bleepstore={"store": store}) as file:
                assert file.read() == text


def test_a_file_system_of_the_store_that_a_folder_was_opened_by_again(tmp_path: Path) -> None:
    for number in range(2):
        with bleepstore.open(tmp_path) as store:
            fs = fsspec.filesystem("bleepstore", store=store)
            fs.makedirs("photos", exist_ok=True)
            fs.pipe("photos/k", bytes([number]))
            assert fs.cat("photos/k") == bytes([number])


def test_a_pickle_of_a_store_in_a_folder_opens_the_folder(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "store") as store:
        fs = BleepStoreFileSystem(store=store, skip_instance_cache=True)
        fs.mkdir("bucket")
        fs.pipe("bucket/a", b"1")
        pickled = pickle.dumps(fs)
    read_it = "import pickle, sys; print(pickle.load(sys.stdin.buffer).cat('bucket/a'))"
    done = subprocess.run([sys.executable, "-c", read_it], input=pickled, capture_output=True, check=True)
    assert done.stdout.strip() == b"b'1'"


def test_a_pickle_of_a_store_in_memory_is_refused_elsewhere() -> None:
    with bleepstore.open() as store:
        fs = BleepStoreFileSystem(store=store, skip_instance_cache=True)
        again = pickle.loads(pickle.dumps(fs))
        assert again.store is store
        read_it = "import pickle, sys; pickle.load(sys.stdin.buffer)"
        done = subprocess.run([sys.executable, "-c", read_it], input=pickle.dumps(fs), capture_output=True, check=False)
        assert b"memory of another process" in done.stderr
    BleepStoreFileSystem.clear_instance_cache()


def _read_in_child(fs: BleepStoreFileSystem, send: multiprocessing.connection.Connection) -> None:
    send.send((fs.cat("bucket/a"), os.getpid()))
    fs.close()


def test_a_forked_process_opens_the_folder_for_itself(tmp_path: Path) -> None:
    fs = BleepStoreFileSystem(path=tmp_path / "store", skip_instance_cache=True)
    fs.mkdir("bucket")
    fs.pipe("bucket/a", b"1")
    receive, send = multiprocessing.Pipe(duplex=False)
    with receive, send:
        child = multiprocessing.get_context("fork").Process(target=_read_in_child, args=(fs, send))
        child.start()
        data, pid = receive.recv()
        child.join()
    assert (data, pid, child.exitcode) == (b"1", child.pid, 0)
    fs.pipe("bucket/a", b"2")  # the parent's goes on
    fs.close()


def test_a_name_of_another_process_is_no_store() -> None:
    with pytest.raises(StoreError, match="another process"):
        known_stores.named_store("0000-shared")


# -- reading and listing


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pth": "data"}, "'pth' is no option"),
        ({"url": "s3://bucket"}, "path= "),
        ({"path": ":memory:"}, "without a path"),
        ({"path": "s3://bucket"}, "no folder"),
        ({"path": ""}, "empty"),
    ],
)
def test_a_mistyped_option_is_refused(
    options: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, StoreError), match=said):
        fsspec.filesystem("bleepstore", **options)
    with pytest.raises((TypeError, StoreError), match=said), fsspec.open("bleepstore://data/k", "rb", **options):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_listing_shows_what_others_write_at_once(fs: BleepStoreFileSystem) -> None:
    assert fs.ls("bucket") == []
    fs.store.put_object("bucket", "a/b", b"12")
    assert fs.ls("bucket", detail=False) == ["bucket/a"]
    (entry,) = fs.ls("bleepstore://bucket/a/")
    assert (entry["name"], entry["type"], entry["size"]) == ("bucket/a/b", "file", 2)
    assert {name: fs.info("bucket/a/b")[name] for name in entry} == entry


def test_files_behind_an_empty_name_are_found_and_removed(fs: BleepStoreFileSystem) -> None:
    for key in ("a//b", "a/c", "/d", "e/"):
        fs.store.put_object("bucket", key, b"1")
    assert fs.find("bucket") == ["bucket//d", "bucket/a//b", "bucket/a/c"]
    assert fs.ls("bucket/a", detail=False) == ["bucket/a/c"]
    assert fs.isdir("bucket/e")
    assert fs.ls("bucket/e") == []
    assert [path for path, *_ in fs.walk("bucket")] == ["bucket", "bucket/a", "bucket/e"]
    fs.rm("bucket/a", recursive=True)
    assert fs.find("bucket") == ["bucket//d"]


@pytest.mark.parametrize(
    ("start", "end"), [(None, None), (2, 5), (-3, None), (None, -3), (-5, -2), (4, 2), (20, None), (8, 99), (0, 0)]
)
def test_a_slice_of_a_file_is_what_python_slices(fs: BleepStoreFileSystem, start: int | None, end: int | None) -> None:
    fs.pipe("bucket/a", b"0123456789")
    assert fs.cat_file("bucket/a", start, end) == b"0123456789"[start:end]
    assert fs.cat_ranges(["bucket/a"], [start], [end], max_gap=4) == [b"0123456789"[start:end]]


def test_an_error_says_what_s3_says(fs: BleepStoreFileSystem) -> None:
    with pytest.raises(FileNotFoundError, match="NoSuchKey"):
        fs.cat_file("bucket/missing", 0, 0)
    with pytest.raises(FileNotFoundError, match="NoSuchBucket") as caught:
        fs.pipe("nowhere/a", b"")
    assert caught.value.filename == "nowhere/a"
    with pytest.raises(FileNotFoundError):
        fs.open("nowhere/a", "wb")
    with pytest.raises(OSError, match="KeyTooLong"):
        fs.pipe("bucket/" + "k" * 1025, b"")
    with pytest.raises(NotImplementedError, match="presigned"):
        fs.sign("bucket/a")
    assert not fs.exists("nowhere/a")
    assert not fs.isdir("nowhere")


def test_a_file_that_is_overwritten_while_it_is_read_is_told(fs: BleepStoreFileSystem) -> None:
    fs.pipe("bucket/a", bytes(12 * MIB))
    with fs.open("bucket/a") as file:
        file.read(10)
        fs.pipe("bucket/a", b"other")
        with pytest.raises(OSError, match="PreconditionFailed"):
            file.seek(11 * MIB) and file.read(10)


def test_streaming_to_and_from_local_files_reports_progress(fs: BleepStoreFileSystem, tmp_path: Path) -> None:
    data = os.urandom(3 * MIB + 5)
    (tmp_path / "a.csv").write_bytes(data)
    up, down = Callback(), Callback()
    fs.put_file(tmp_path / "a.csv", "bucket/a.csv", callback=up)
    assert fs.info("bucket/a.csv")["ContentType"] == "text/csv"
    fs.get_file("bucket/a.csv", tmp_path / "new" / "b.csv", callback=down)
    assert (tmp_path / "new" / "b.csv").read_bytes() == data
    assert (up.size, up.value, down.size, down.value) == (len(data),) * 4
    with pytest.raises(FileExistsError):
        fs.put_file(tmp_path / "a.csv", "bucket/a.csv", mode="create")


# -- writing


def test_what_fills_no_buffer_is_one_write_and_more_is_an_upload(fs: BleepStoreFileSystem) -> None:
    with fs.open("bucket/small", "wb", metadata={"a": "b"}) as file:
        file.write(b"1")
    assert fs.info("bucket/small")["metadata"] == {"a": "b"}
    data = os.urandom(12 * MIB)
    with fs.open("bucket/large", "wb", content_type="x/y") as file:
        for start in range(0, len(data), MIB):
            file.write(data[start : start + MIB])
            assert file.buffer.tell() < 6 * MIB
        assert not fs.exists("bucket/large")
    assert fs.cat("bucket/large") == data
    assert fs.store.head_object("bucket", "large").version.parts_count == 3
    assert fs.info("bucket/large")["ContentType"] == "x/y"


def test_a_block_that_raises_writes_nothing_and_leaves_no_upload(fs: BleepStoreFileSystem) -> None:
    for size in (1, 6 * MIB):
        with pytest.raises(ZeroDivisionError), fs.open("bucket/a", "wb") as file:  # noqa: PT012  # it is what is tested
            file.write(bytes(size))
            raise ZeroDivisionError
        assert not fs.exists("bucket/a")
        assert uploads(fs) == []


def test_a_local_file_that_cannot_be_written_to_stays(fs: BleepStoreFileSystem, tmp_path: Path) -> None:
    fs.pipe("bucket/a", b"data")
    program = tmp_path / "sleep"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    running = subprocess.Popen([program, "60"])  # nobody, not even root, may write to a program that runs
    try:
        with pytest.raises(OSError, match="Text file busy"):
            fs.get_file("bucket/a", program)
        assert program.exists()
    finally:
        running.kill()
        running.wait()


@pytest.mark.parametrize("size", [1, 6 * MIB])
def test_exclusive_writing_is_refused_when_the_key_was_taken_meanwhile(fs: BleepStoreFileSystem, size: int) -> None:
    file = fs.open("bucket/a", "xb")
    file.write(bytes(size))
    fs.pipe("bucket/a", b"mine")
    with pytest.raises(FileExistsError):
        file.close()
    assert fs.cat("bucket/a") == b"mine"
    assert uploads(fs) == []


@pytest.mark.parametrize("size", [0, 10, 6 * MIB])
def test_appending_goes_on_behind_what_is_there(fs: BleepStoreFileSystem, size: int) -> None:
    data = os.urandom(size)
    fs.pipe("bucket/a", data, metadata={"kept": "yes"})
    with fs.open("bucket/a", "ab") as file:
        assert file.tell() == size
        file.write(b"more")
    assert fs.cat("bucket/a") == data + b"more"
    assert fs.info("bucket/a")["metadata"] == {"kept": "yes"}
    with fs.open("bucket/new", "ab") as file:
        file.write(b"first")
    assert fs.cat("bucket/new") == b"first"


@pytest.mark.parametrize("size", [10, 6 * MIB])
def test_an_append_never_loses_what_another_wrote(fs: BleepStoreFileSystem, size: int) -> None:
    fs.pipe("bucket/a", bytes(size))
    file = fs.open("bucket/a", "ab")
    file.write(b"late")
    fs.pipe("bucket/a", b"other")
    with pytest.raises(OSError, match=r"Precondition|Conditional"):
        file.close()
    assert fs.cat("bucket/a") == b"other"
    assert uploads(fs) == []


def test_a_transaction_shows_all_or_nothing(fs: BleepStoreFileSystem) -> None:
    with fs.transaction:
        fs.pipe("bucket/a", b"1")
        with fs.open("bucket/b", "wb") as file:
            file.write(b"2")
        assert not fs.exists("bucket/a")
        assert not fs.exists("bucket/b")
    assert fs.cat(["bucket/a", "bucket/b"]) == {"bucket/a": b"1", "bucket/b": b"2"}
    with pytest.raises(ZeroDivisionError), fs.transaction:  # noqa: PT012  # it is what is tested
        fs.pipe("bucket/c", b"3")
        raise ZeroDivisionError
    assert not fs.exists("bucket/c")
    assert uploads(fs) == []


def test_touch_makes_a_file_empty_or_only_newer(fs: BleepStoreFileSystem) -> None:
    fs.pipe("bucket/a", b"1", metadata={"a": "b"})
    before = fs.modified("bucket/a")
    checksum, ukey = fs.checksum("bucket/a"), fs.ukey("bucket/a")
    while fs.modified("bucket/a") == before:
        fs.touch("bucket/a", truncate=False)
    assert fs.created("bucket/a") > before
    assert (fs.cat("bucket/a"), fs.info("bucket/a")["metadata"]) == (b"1", {"a": "b"})
    assert fs.checksum("bucket/a") == checksum
    assert fs.ukey("bucket/a") != ukey
    fs.touch("bucket/a")
    assert fs.size("bucket/a") == 0
    assert fs.checksum("bucket/a") != checksum


# -- removing, and buckets


def test_removing_a_folder_of_thousands_takes_a_command_for_each_thousand(fs: BleepStoreFileSystem) -> None:
    for number in range(1100):
        fs.store.put_object("bucket", f"folder/{number}", b"")
    fs.store.put_object("bucket", "folder2", b"")
    with fs.store.engine.catalog.read() as reader:
        before = reader.applied_index()
    fs.rm("bucket/folder", recursive=True)
    assert fs.find("bucket") == ["bucket/folder2"]
    with fs.store.engine.catalog.read() as reader:
        done = reader.applied_index() - before
    assert done < 20  # two for the objects; the jobs may have added some


def test_removing_says_what_is_wrong(fs: BleepStoreFileSystem) -> None:
    fs.pipe("bucket/folder/a", b"")
    with pytest.raises(FileNotFoundError):
        fs.rm("bucket/missing")
    with pytest.raises(FileNotFoundError):
        fs.rm_file("bucket/missing")
    with pytest.raises(IsADirectoryError):
        fs.rm("bucket/folder")
    with pytest.raises(PermissionError):
        fs.rm("", recursive=True)
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir("bucket/folder")
    with pytest.raises(OSError, match="BucketNotEmpty"):
        fs.rmdir("bucket")
    assert fs.find("bucket") == ["bucket/folder/a"]
    fs.rm("bucket/f*/*")
    fs.rmdir("bucket")
    assert not fs.exists("bucket")


def test_buckets_are_made_as_directories_are(fs: BleepStoreFileSystem) -> None:
    with pytest.raises(FileExistsError):
        fs.mkdir("bucket")
    with pytest.raises(FileExistsError):
        fs.makedirs("bucket")
    fs.makedirs("bucket", exist_ok=True)
    with pytest.raises(FileNotFoundError):
        fs.mkdir("another/folder", create_parents=False)
    fs.makedirs("another/folder")
    assert fs.ls("", detail=False) == ["another", "bucket"]
    fs.rm("another", recursive=True)
    assert fs.ls("/", detail=False) == ["bucket"]


def test_a_copy_moves_no_bytes_and_keeps_the_metadata(fs: BleepStoreFileSystem) -> None:
    fs.pipe("bucket/a", b"1", content_type="x/y", metadata={"a": "b"})
    fs.cp_file("bucket/a", "bucket/b")
    assert fs.info("bucket/b")["ContentType"] == "x/y"
    fs.mv("bucket/b", "bucket/c")
    assert fs.ls("bucket", detail=False) == ["bucket/a", "bucket/c"]
    fs.cp_file("bucket/a", "bucket/a")
    assert fs.cat("bucket/a") == b"1"


# -- libraries


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Storage options of a store in a folder with a bucket."""
    with bleepstore.open(tmp_path / "store") as store:
        store.create_bucket("bucket")
        yield {"path": str(tmp_path / "store")}
    BleepStoreFileSystem.clear_instance_cache()


def test_pandas_reads_and_writes(folder: dict[str, str]) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    frame.to_csv("bleepstore://bucket/f.csv", index=False, storage_options=folder)
    pandas.testing.assert_frame_equal(pandas.read_csv("bleepstore://bucket/f.csv", storage_options=folder), frame)
    pytest.importorskip("pyarrow")
    frame.to_parquet("bleepstore://bucket/f.parquet", storage_options=folder)
    again = pandas.read_parquet("bleepstore://bucket/f.parquet", storage_options=folder)
    assert again.to_dict() == frame.to_dict()


def test_dask_reads_and_writes_in_other_processes(folder: dict[str, str]) -> None:
    dask = pytest.importorskip("dask")
    frames = pytest.importorskip("dask.dataframe")
    pandas = pytest.importorskip("pandas")
    with dask.config.set(scheduler="processes", num_workers=2):
        frame = frames.from_pandas(pandas.DataFrame({"a": range(10)}), npartitions=2)
        frame.to_csv("bleepstore://bucket/part-*.csv", index=False, storage_options=folder)
        read = frames.read_csv("bleepstore://bucket/part-*.csv", storage_options=folder)
        assert int(read["a"].sum().compute()) == 45


def test_zarr_reads_and_writes(folder: dict[str, str]) -> None:
    zarr = pytest.importorskip("zarr")
    array = zarr.open_array(
        "bleepstore://bucket/a.zarr", mode="w", shape=(4, 4), chunks=(2, 2), dtype="i4", storage_options=folder
    )
    array[:] = 7
    again = zarr.open_array("bleepstore://bucket/a.zarr", mode="r", storage_options=folder)
    assert int(again[:].sum()) == 7 * 16
