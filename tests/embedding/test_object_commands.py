"""`bleepstore ls`, `cp` and the like, on a store in a folder and on an S3 endpoint."""

from __future__ import annotations

import io
import json
import os
import random
import sys
import types
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import bleepstore
from bleepstore_server.cli import main
from bleepstore_server.live import LiveServer, live_server
from bleepstore_server.locations import BucketLocation, LocationEntry

MIB = 1024 * 1024
Run = Callable[..., str]


class Ends:
    """`bleepstore` on one of the two kinds of addresses, in this process: what it prints."""

    def __init__(self, scheme: str, options: list[str], captured: pytest.CaptureFixture[str]) -> None:
        self.scheme = scheme
        self._options = options
        self._captured = captured

    def __call__(self, command: str, *words: object, status: int = 0) -> str:
        """Standard output, and standard error if it fails. `@` begins an address."""
        given = [str(word).replace("@", self.scheme, 1) if str(word).startswith("@") else str(word) for word in words]
        assert main([command, *self._options, *given]) == status
        shown = self._captured.readouterr()
        return shown.err if status else shown.out

    def json(self, command: str, *words: object) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self(command, "--json", *words).splitlines()]


@pytest.fixture(scope="module")
def far() -> Iterator[LiveServer]:
    with live_server() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> tuple[str, list[str]]:
    """A store in a folder with one bucket, `photos`: how addresses begin, and the options."""
    with bleepstore.open(tmp_path / "data") as store:
        store.create_bucket("photos")
    return "bleepstore://", ["--data", str(tmp_path / "data")]


@pytest.fixture
def endpoint(far: LiveServer, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    """An S3 endpoint likewise."""
    for name, value in far.environ.items():
        if "ENDPOINT" not in name:
            monkeypatch.setenv(name, value)
    options = ["--endpoint-url", far.url]
    for bucket in far.store.list_buckets().buckets:
        assert main(["rb", *options, "--force", f"s3://{bucket.name}"]) == 0
    far.store.create_bucket("photos")
    return "s3://", options


@pytest.fixture(params=["folder", pytest.param("endpoint", marks=pytest.mark.slow)])
def end(request: pytest.FixtureRequest) -> tuple[str, list[str]]:
    found: tuple[str, list[str]] = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def run(end: tuple[str, list[str]], capsys: pytest.CaptureFixture[str]) -> Ends:
    capsys.readouterr()
    return Ends(*end, capsys)


def give_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(data)))


def test_a_file_goes_there_is_seen_and_comes_back(run: Ends, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(MIB)
    (tmp_path / "cat.jpg").write_bytes(data)
    run("cp", tmp_path / "cat.jpg", "@photos/2024/", "--metadata", "camera=x")
    assert [one.get("folder") for one in run.json("ls", "@photos")] == ["2024/"]
    (listed,) = run.json("ls", "@photos/20", "-r")
    assert (listed["key"], listed["size"]) == ("2024/cat.jpg", MIB)
    (known,) = run.json("stat", "@photos/2024/cat.jpg")
    assert known["Metadata"] == {"camera": "x"}
    assert known["ContentType"] == "image/jpeg"
    assert known["ETag"] == listed["etag"]
    assert run("cp", "@photos/2024/cat.jpg", tmp_path / "back.jpg").startswith(f"{run.scheme}photos/2024/cat.jpg to ")
    assert (tmp_path / "back.jpg").read_bytes() == data
    assert run.json("du", "@photos")[0]["bytes"] == MIB
    assert "1,048,576 bytes" in run("du")
    assert [one["bucket"] for one in run.json("ls", "@")] == ["photos"]


def test_standard_input_and_output_carry_bytes(
    end: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    scheme, options = end
    data = random.Random(2).randbytes(9 * MIB)  # more than one part
    give_input(monkeypatch, data)
    assert main(["cp", *options, "-", f"{scheme}photos/a b", "--content-type", "x/y"]) == 0
    capfdbinary.readouterr()
    for words in (["cat", f"{scheme}photos/a b"], ["cp", f"{scheme}photos/a b", "-"]):
        assert main([words[0], *options, *words[1:]]) == 0
        assert capfdbinary.readouterr().out == data


def test_a_folder_is_copied_within_moved_and_removed(run: Ends, tmp_path: Path) -> None:
    for name in ("a", "b/c", "b/d"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name)
    assert "3 objects copied (7 bytes), 0 were equal" in run("cp", "-r", tmp_path / "in", "@photos/in")
    assert "0 objects copied (0 bytes), 3 were equal" in run("cp", "-r", tmp_path / "in", "@photos/in")
    run("tag", "@photos/in/a", "k=v")
    run("mb", "@other")
    assert "3 objects copied" in run("cp", "-r", "@photos/in", "@other")
    assert run("tag", "@other/a") == "k=v\n", "tags go along with a copy"
    assert "would remove" in run("rm", "-r", "@photos/in/b", "--dry-run")
    run("mv", "-r", "@other", "@photos/moved")
    assert run("ls", "-r", "@other") == ""
    run("mv", "@photos/moved/a", "@photos/renamed")
    assert [one["key"] for one in run.json("ls", "-r", "@photos")] == [
        "in/a", "in/b/c", "in/b/d", "moved/b/c", "moved/b/d", "renamed",
    ]  # fmt: skip
    run("mv", "-r", "@photos/moved", tmp_path / "out")
    assert (tmp_path / "out" / "b" / "c").read_text() == "b/c"
    assert "removed 2 from" in run("rm", "-r", "@photos/in/b")
    run("rm", "@photos/renamed")
    assert [one["key"] for one in run.json("ls", "-r", "@photos")] == ["in/a"]


def test_versions_are_kept_listed_read_and_removed(run: Ends, tmp_path: Path) -> None:
    run("versions", "--enable", "@photos")
    for text in ("one", "two"):
        (tmp_path / "k").write_text(text)
        run("cp", tmp_path / "k", "@photos/k")
    run("rm", "@photos/k")
    marker, _, first = run.json("versions", "@photos/k")
    assert marker["is_delete_marker"]
    assert marker["is_latest"]
    run("cp", "--version-id", first["version_id"], "@photos/k", tmp_path / "first")
    assert (tmp_path / "first").read_text() == "one"
    assert "delete marker *" in run("versions", "@photos")
    run("rm", "--version-id", marker["version_id"], "@photos/k")
    assert run.json("ls", "@photos")[0]["size"] == 3
    assert run.json("du", "--versions", "@photos/")[0]["versions"] == 2
    assert "BucketNotEmpty" in run("rb", "@photos", status=2)
    run("rb", "--force", "@photos")
    assert run.json("ls", "@") == []


def test_tags_of_objects_and_buckets(run: Ends) -> None:
    assert run("tag", "@photos") == ""
    run("tag", "@photos", "team=a", "cost=b=c")
    assert run.json("tag", "@photos") == [{"url": f"{run.scheme}photos", "tags": {"team": "a", "cost": "b=c"}}]
    run("tag", "@photos", "--remove")
    assert run("tag", "@photos") == ""


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["cat", "@photos/none"], 1, "there is none"),
        (["stat", "@photos/none"], 1, "there is none"),
        (["stat", "@none"], 1, "there is none"),
        (["ls", "@none"], 1, "NoSuchBucket"),
        (["ls", "@photos/none"], 1, "nothing begins with it"),
        (["cp", "/nowhere", "@photos"], 1, "there is no file"),
        (["cp", "-r", "/nowhere", "@photos"], 1, "there is no directory"),
        (["cp", "a", "b"], 2, "both are paths"),
        (["cp", "@photos", "b"], 2, "-r copies all"),
        (["cp", "/", "@photos"], 2, "-r copies all"),
        (["cp", "-", "@photos"], 2, "has no name"),
        (["mv", "-r", "@photos/a", "@photos/a/b"], 2, "one is in the other"),
        (["cp", "-r", "@photos/a", "@photos"], 2, "one is in the other"),
        (["mv", "s3://photos/a", "bleepstore://photos/b"], 2, "may be one store"),
        (["rm", "@photos"], 2, "names no object"),
        (["rm", "-r", "@"], 2, "names no bucket"),
        (["rm", "photos"], 2, "is a path"),
        (["rm", "@photos/k", "--versions"], 2, "it is for -r"),
        (["mb", "@Not_A_Name"], 2, "InvalidBucketName"),
        (["mb", "@photos/k"], 2, "names an object"),
        (["tag", "@photos", "k"], 2, "is not KEY=VALUE"),
        (["presign", "bleepstore://photos/k"], 2, "no address on the network"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_wrong_is_told(
    folder: tuple[str, list[str]], capsys: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    assert said in Ends(*folder, capsys)(*words, status=status)


def test_a_move_onto_itself_removes_nothing(run: Ends, tmp_path: Path) -> None:
    (tmp_path / "k").write_text("v")
    run("cp", tmp_path / "k", "@photos/k")
    assert "it is there already" in run("mv", "@photos/k", "@photos", status=2)
    assert len(run.json("ls", "@photos")) == 1


@pytest.mark.parametrize("words", [("@photos/a/k", "@other/k"), ("-r", "@photos/a", "@other")], ids=["one", "folder"])
def test_a_move_keeps_what_overwrote_its_source_meanwhile(
    end: tuple[str, list[str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: Sequence[str],
) -> None:
    run = Ends(*end, capsys)
    (tmp_path / "k").write_text("old")
    run("mb", "@other")
    run("cp", tmp_path / "k", "@photos/a/k")
    copy = BucketLocation.copy

    def copy_and_overwrite(self: BucketLocation, key: str, source: BucketLocation, entry: LocationEntry) -> None:
        copy(self, key, source, entry)
        source.client.put_object(Bucket="photos", Key="a/k", Body=b"newer")

    monkeypatch.setattr(BucketLocation, "copy", copy_and_overwrite)
    assert "it was overwritten meanwhile" in run("mv", *words, status=2)
    assert [one["size"] for one in run.json("ls", "@photos/a/k", "@other/k")] == [5, 3]


def test_a_move_whose_source_was_removed_meanwhile_is_done(run: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    give_input(monkeypatch, b"v")
    run("cp", "-", "@photos/k")
    copy = BucketLocation.copy

    def copy_and_remove(self: BucketLocation, key: str, source: BucketLocation, entry: LocationEntry) -> None:
        copy(self, key, source, entry)
        source.client.delete_object(Bucket="photos", Key="k")

    monkeypatch.setattr(BucketLocation, "copy", copy_and_remove)
    run("mv", "@photos/k", "@photos/moved")
    assert [one["key"] for one in run.json("ls", "@photos")] == ["moved"]


@pytest.mark.parametrize("words", [("@photos/k", "there/k"), ("-r", "@photos", "there")], ids=["one", "folder"])
def test_a_device_or_a_pipe_is_not_replaced_by_a_file(
    run: Ends, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: Sequence[str]
) -> None:
    """/dev/null, say."""
    give_input(monkeypatch, b"v")
    run("cp", "-", "@photos/k")
    (tmp_path / "there").mkdir()
    os.mkfifo(tmp_path / "there" / "k")
    given = [str(tmp_path / word) if word.startswith("there") else word for word in words]
    run("cp", *given, status=2)
    assert (tmp_path / "there" / "k").is_fifo()


def test_keys_do_not_steer_the_terminal(run: Ends, tmp_path: Path) -> None:
    (tmp_path / "k").write_text("v")
    run("cp", tmp_path / "k", "@photos/red\x1b[31m")
    assert "\\x1b[31m" in (listed := run("ls", "@photos"))
    assert "\x1b" not in listed
    assert run.json("ls", "@photos")[0]["key"] == "red\x1b[31m"


def test_a_presigned_url_works(
    far: LiveServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in far.environ.items():
        monkeypatch.setenv(name, value)
    far.store.create_bucket("signed")
    far.store.put_object("signed", "a b", b"v")
    assert main(["presign", "s3://signed/a b", "--expires", "60"]) == 0
    url = capsys.readouterr().out.strip()
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"v"
    far.store.delete_object("signed", "a b")
    far.store.delete_bucket("signed")
