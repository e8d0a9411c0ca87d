"""A power cut at any moment: nothing that was acknowledged is lost, nothing corrupt is served.

The log is written through a disk that records writes and syncs; the record is cut anywhere, what was not synced is
kept, lost or torn, and the log is opened again. It must be exactly what it was after the last `save` that returned, or
after the one that was under way. A first run that proves less than 500 images would be a fault of this file.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from bleepstore.raft.messages import Configuration, HardState, SnapshotMeta
from bleepstore.raft.sqlite_log import SqliteLog, create_log, open_log
from bleepstore.raft.storage import LogFailed, LogMisuse
from bleepstore.testing.crash_disk import Moment, RecordingDisk, Synced
from bleepstore.testing.raft_log_contract import CLUSTER, MEMBERS, NODE, content, entry, run

IMAGES_PER_SEED = 80
SEEDS = range(8)


def history(log: SqliteLog, disk: RecordingDisk, rng: random.Random) -> None:
    """A random life of a log; before each write what may come of it is noted, after it that it is acknowledged."""
    log._connection.pragma("wal_autocheckpoint", 12)  # checkpoints, and a log that begins anew, are frequent
    term, steps = 1, 60
    for step in range(steps):
        before = content(log)
        disk.mark(("begin", before))
        term += rng.randrange(4) == 0
        _write_something(log, rng, term, step)
        disk.mark(("acknowledged", content(log)))


def _write_something(log: SqliteLog, rng: random.Random, term: int, step: int) -> None:
    first, last = log.first_index(), log.last_index()
    kind = rng.randrange(12)
    if kind == 0 and last >= first:
        index = rng.randrange(first, last + 1)
        log.compact(SnapshotMeta(index, log.term(index), MEMBERS, f"copy-{step}"))
        return
    snapshot = truncate_from = None
    if kind == 1:
        last += rng.randrange(1, 9)
        snapshot = SnapshotMeta(last, term, Configuration((NODE,)), f"installed-{step}")
    elif kind < 4 and last >= first:
        truncate_from = rng.randrange(first, last + 1)
        last = truncate_from - 1
    size = rng.choice((10, 300, 9000))
    entries = [entry(index, term, rng.randbytes(size)) for index in range(last + 1, last + 1 + rng.randrange(5))]
    log.save(HardState(term, rng.choice([None, NODE]), last), truncate_from, entries, snapshot)


def allowed_at(disk: RecordingDisk, cut: int) -> list[Any]:
    """What the log may be after a crash at `cut`: as acknowledged, or as the write under way would leave it."""
    acknowledged, under_way = None, False
    for event in disk.events[:cut]:
        if isinstance(event, Moment):
            kind, value = event.note
            under_way = kind == "begin"
            acknowledged = value
    if acknowledged is None:
        return []
    if not under_way:
        return [acknowledged]
    following = (e.note for e in disk.events[cut:] if isinstance(e, Moment))
    return [acknowledged, next(value for kind, value in following if kind == "acknowledged")]


def check_image(disk: RecordingDisk, cut: int, rng: random.Random, folder: Path) -> bool:
    """Whether the image opened; before the log was made it need not."""
    disk.image(cut, rng, folder)
    allowed = allowed_at(disk, cut)
    try:
        log = open_log(folder / "raft.db")
    except LogMisuse:
        assert not allowed, f"cut {cut}: an acknowledged log is gone"
        # The setup was not finished, and can be finished now.
        create_log(folder / "raft.db", cluster=CLUSTER, node=NODE, configuration=MEMBERS).close()
        return False
    try:
        found = content(log)
        if allowed:
            assert found in allowed, f"cut {cut}: neither what was acknowledged nor what was under way"
        else:
            assert found[1] == []
        # It goes on from there.
        log.save(HardState(99, None, 0), None, [entry(log.last_index() + 1, 99)], None)
    finally:
        log.close()
    return True


@pytest.mark.parametrize("seed", SEEDS)
def test_a_power_cut_anywhere_loses_nothing_acknowledged(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    live = tmp_path / "live"
    live.mkdir()
    with RecordingDisk() as disk:
        log = create_log(live / "raft.db", cluster=CLUSTER, node=NODE, configuration=MEMBERS, vfs=disk.name)
        history(log, disk, rng)
        opened = 0
        for number in range(IMAGES_PER_SEED):
            folder = tmp_path / str(number)
            folder.mkdir()
            cut = rng.randrange(1, len(disk.events) + 1)
            opened += check_image(disk, cut, rng, folder)
        log.close()
        files = [event.file for event in disk.events if isinstance(event, Synced)]
    assert files.count("raft.db") > 5, "the history has checkpoints"
    assert opened > IMAGES_PER_SEED * 0.9


def test_there_are_enough_images() -> None:
    assert IMAGES_PER_SEED * len(SEEDS) >= 500


def test_a_crash_at_every_event_of_the_first_steps(tmp_path: Path) -> None:
    """Also while the log is being made."""
    rng = random.Random(0)
    with RecordingDisk() as disk:
        log = create_log(tmp_path / "raft.db", cluster=CLUSTER, node=NODE, configuration=MEMBERS, vfs=disk.name)
        for number in range(3):
            disk.mark(("begin", content(log)))
            log.save(HardState(1, NODE, number), None, [entry(number + 1)], None)
            disk.mark(("acknowledged", content(log)))
        for cut in range(len(disk.events) + 1):
            folder = tmp_path / str(cut)
            folder.mkdir()
            check_image(disk, cut, rng, folder)
        log.close()


def test_the_checks_would_notice_a_log_that_does_not_sync(tmp_path: Path) -> None:
    """The same images of a log with synchronous=OFF lose what was acknowledged."""
    rng = random.Random(1)
    lost = 0
    live = tmp_path / "live"
    live.mkdir()
    with RecordingDisk() as disk:
        log = create_log(live / "raft.db", cluster=CLUSTER, node=NODE, configuration=MEMBERS, vfs=disk.name)
        log._connection.pragma("synchronous", "off")
        history(log, disk, rng)
        for number in range(40):
            folder = tmp_path / str(number)
            folder.mkdir()
            try:
                check_image(disk, rng.randrange(1, len(disk.events) + 1), rng, folder)
            except Exception as error:  # noqa: BLE001  # whichever way it shows
                lost += isinstance(error, AssertionError) or "damaged" in str(error)
        log.close()
    assert lost > 20


@pytest.mark.parametrize("after", range(4))
def test_a_sync_that_fails_ends_the_log(after: int, tmp_path: Path) -> None:
    """It is not tried again: the kernel may have dropped what it could not write, and report success."""
    with RecordingDisk() as disk:
        log = create_log(tmp_path / "raft.db", cluster=CLUSTER, node=NODE, configuration=MEMBERS, vfs=disk.name)
        log.save(HardState(1, NODE, 0), None, run(1, 3), None)
        disk.fail_sync_after = after
        saved = 3
        with pytest.raises(LogFailed, match="must end"):  # noqa: PT012  # the write that fails is the last of several
            for index in range(4, 20):
                log.save(None, None, [entry(index)], None)
                saved = index
        disk.fail_sync_after = None
        assert saved == 3 + after
        with pytest.raises(LogFailed, match="failed before"):
            log.save(None, None, [entry(saved + 1)], None)
        log.close()
    again = open_log(tmp_path / "raft.db")
    assert again.last_index() >= saved
    assert again.entries(1, saved + 1, 1 << 30) == run(1, saved)
    again.close()
