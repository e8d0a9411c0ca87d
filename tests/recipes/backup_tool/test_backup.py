"""The suite of the backup tool: it uses the fixtures of BleepStore's plugin and nothing else of ours.

What such a suite must be able to show: what is stored, that it survives a bad hour of S3, what two of them do at
once, and what happens when time passes.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from bleepstore_server.faults import Corrupt, InternalError, Refuse, Reset, SlowDown
from tests.recipes.backup_tool.backup import CHUNK, Damaged, Exists, Locked, Repository

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from bleepstore import Store
    from bleepstore.testing.clock import Clock
    from bleepstore_server.faults import Faults


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files to back up: 5 chunks, of which two are equal."""
    made = tmp_path / "files"
    (made / "sub").mkdir(parents=True)
    data = random.Random(1).randbytes(3 * CHUNK)
    (made / "a").write_bytes(data)
    (made / "sub" / "b").write_bytes(data[:CHUNK] + b"more")
    (made / "empty").write_bytes(b"")
    return made


@pytest.fixture
def repository(s3_client: S3Client, s3_bucket: str) -> Repository:
    return Repository(s3_client, s3_bucket)


def read(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_backed_up_is_restored(repository: Repository, folder: Path, tmp_path: Path) -> None:
    assert repository.back_up(folder, "1") == 4
    repository.restore("1", tmp_path / "restored")
    assert read(tmp_path / "restored") == read(folder)


def test_a_chunk_is_stored_once(repository: Repository, folder: Path, s3_store: Store, s3_bucket: str) -> None:
    repository.back_up(folder, "1")
    assert repository.back_up(folder, "2") == 0
    (folder / "c").write_bytes(b"new")
    assert repository.back_up(folder, "3") == 1
    assert len(s3_store.list_objects(s3_bucket, prefix="chunks/").objects) == 5
    assert repository.snapshots() == ["1", "2", "3"]


def test_pruning_removes_what_nobody_needs(repository: Repository, folder: Path, tmp_path: Path) -> None:
    repository.back_up(folder, "1")
    (folder / "a").unlink()
    repository.back_up(folder, "2")
    assert repository.prune(keep=1) == 2
    repository.restore("2", tmp_path / "restored")
    assert read(tmp_path / "restored") == read(folder)


@pytest.mark.parametrize("fault", [SlowDown(), InternalError(), Reset()], ids=lambda fault: type(fault).__name__)
def test_one_failure_in_four_is_survived(
    repository: Repository,
    folder: Path,
    tmp_path: Path,
    s3_faults: Faults,
    fault: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # botocore waits between its attempts
    with s3_faults.inject(fault, times=1, after=3) as first, s3_faults.inject(fault, times=1, after=8) as second:
        repository.back_up(folder, "1")
        repository.restore("1", tmp_path / "restored")
    assert first.hits + second.hits == 2
    assert read(tmp_path / "restored") == read(folder)


def test_a_backup_that_fails_leaves_the_lock_open(repository: Repository, folder: Path, s3_faults: Faults) -> None:
    refusal = s3_faults.inject(Refuse(403, "AccessDenied", "No."), operations="PutObject", prefix="snapshots/")
    with refusal, pytest.raises(ClientError, match="AccessDenied"):
        repository.back_up(folder, "1")
    assert repository.snapshots() == []
    repository.back_up(folder, "1")


def test_wrong_bytes_are_never_restored(
    repository: Repository, folder: Path, tmp_path: Path, s3_faults: Faults, s3_store: Store, s3_bucket: str
) -> None:
    repository.back_up(folder, "1")
    spoiled = s3_faults.inject(Corrupt(), operations="GetObject", prefix="chunks/")
    with spoiled, pytest.raises((Damaged, BotoCoreError)):
        repository.restore("1", tmp_path / "restored")
    chunk = s3_store.list_objects(s3_bucket, prefix="chunks/").objects[0].key
    s3_store.put_object(s3_bucket, chunk, b"rotten")
    with pytest.raises(Damaged, match="not what it was"):
        repository.restore("1", tmp_path / "restored")
    s3_store.delete_object(s3_bucket, chunk)
    with pytest.raises(Damaged, match="missing"):
        repository.restore("1", tmp_path / "restored")


def test_of_two_at_once_one_waits(repository: Repository, folder: Path, s3_client: S3Client, s3_bucket: str) -> None:
    outcomes: list[str] = []

    def work(number: int) -> None:
        try:
            Repository(s3_client, s3_bucket, f"host-{number}").back_up(folder, str(number))
            outcomes.append("done")
        except Locked:
            outcomes.append("locked")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 4
    assert outcomes.count("done") == len(repository.snapshots()) >= 1


def at(s3_client: S3Client, operation: str, key: str, action: Callable[[], object]) -> None:
    """Do something once, just before the client sends its next request of this kind: what another does meanwhile."""
    event = f"before-call.s3.{operation}"

    def meanwhile(params: Any, **_event: object) -> None:
        if params["url_path"].endswith(key):
            s3_client.meta.events.unregister(event, meanwhile)
            action()

    s3_client.meta.events.register(event, meanwhile)


def test_a_lock_that_is_given_back_while_we_ask_is_ours(
    repository: Repository, folder: Path, s3_client: S3Client, s3_store: Store, s3_bucket: str
) -> None:
    s3_store.put_object(s3_bucket, "lock", b"another")
    at(s3_client, "GetObject", "/lock", lambda: s3_store.delete_object(s3_bucket, "lock"))
    repository.back_up(folder, "1")
    assert repository.snapshots() == ["1"]
    assert s3_store.list_objects(s3_bucket, prefix="lock").objects == []


def test_of_two_that_take_over_one_lock_the_later_waits(
    folder: Path, s3_client: S3Client, s3_store: Store, s3_bucket: str, s3_clock: Clock
) -> None:
    s3_store.put_object(s3_bucket, "lock", b"gone")
    s3_clock.advance(hours=2)
    repository = Repository(s3_client, s3_bucket, now=lambda: s3_clock.now)

    def faster() -> None:  # the first PUT is refused; the second would replace what was left behind
        at(s3_client, "PutObject", "/lock", lambda: s3_store.put_object(s3_bucket, "lock", b"another"))

    at(s3_client, "GetObject", "/lock", faster)
    with pytest.raises(Locked, match="ago"):
        repository.back_up(folder, "1")
    with s3_store.get_object(s3_bucket, "lock") as left:
        assert left.read() == b"another"


def test_who_is_overtaken_leaves_the_lock_of_the_other_alone_and_writes_no_snapshot(
    folder: Path, s3_client: S3Client, s3_store: Store, s3_bucket: str, s3_clock: Clock
) -> None:
    slow = Repository(s3_client, s3_bucket, now=lambda: s3_clock.now)
    quick = Repository(s3_client, s3_bucket, now=lambda: s3_clock.now)
    held: list[str] = []

    def overtake() -> None:
        s3_clock.advance(hours=2)
        held.append(quick._lock())

    at(
        s3_client, "PutObject", "", lambda: at(s3_client, "PutObject", "", overtake)
    )  # while its first chunk is on its way
    with pytest.raises(Locked, match="our own lock"):
        slow.back_up(folder, "1")
    assert slow.snapshots() == []
    assert [f'"{item.etag}"' for item in s3_store.list_objects(s3_bucket, prefix="lock").objects] == held


@pytest.mark.parametrize("operation", ["PutObject", "DeleteObject"])
@pytest.mark.parametrize("prefix", ["lock", "snapshots/"])
def test_an_answer_that_is_lost_is_no_refusal(
    repository: Repository,
    folder: Path,
    s3_faults: Faults,
    operation: str,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client sends such a request once more, and its condition then meets what the first one did."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # botocore waits between its attempts
    with s3_faults.inject(Reset(late=True), operations=operation, prefix=prefix, times=1) as fault:
        repository.back_up(folder, "1")
        repository.back_up(folder, "2")
        repository.prune(keep=1)
    assert fault.hits == 1
    assert repository.snapshots() == ["2"]
    repository.back_up(folder, "3")


def test_a_conflict_is_tried_again(repository: Repository, folder: Path, tmp_path: Path, s3_faults: Faults) -> None:
    conflict = Refuse(409, "ConditionalRequestConflict", "Another request is under way.")
    with s3_faults.inject(conflict, operations="PutObject", prefix="chunks/", times=2) as fault:
        repository.back_up(folder, "1")
    assert fault.hits == 2
    repository.restore("1", tmp_path / "restored")
    assert read(tmp_path / "restored") == read(folder)


def test_a_snapshot_is_never_replaced(repository: Repository, folder: Path) -> None:
    repository.back_up(folder, "1")
    (folder / "new").write_bytes(b"new")
    with pytest.raises(Exists):
        repository.back_up(folder, "1")


def test_a_lock_that_was_left_behind_is_taken_over(
    folder: Path, s3_client: S3Client, s3_store: Store, s3_bucket: str, s3_clock: Clock
) -> None:
    s3_store.put_object(s3_bucket, "lock", b"gone")
    repository = Repository(s3_client, s3_bucket, now=lambda: s3_clock.now)
    s3_clock.advance(minutes=59)
    with pytest.raises(Locked, match="0:5"):
        repository.back_up(folder, "1")
    s3_clock.advance(minutes=2)
    repository.back_up(folder, "1")
    assert repository.snapshots() == ["1"]
