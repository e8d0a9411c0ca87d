"""Lines of access logs, and what keeps them until they are delivered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bleepstore.access_log import LogEntry, LogFileName, LogTarget, key_of, parse_target, render_line
from bleepstore.jobs import log_spool
from bleepstore.jobs.log_spool import LogSpool

#: 2019-02-06T00:00:38Z
TIME = 1_549_411_238_123
#: A line as the user guide describes it: 27 fields, of which one is in brackets and three are in quotes.
LINE = re.compile(r'\S+ \S+ \[[^\]]+\] \S+ \S+ \S+ \S+ \S+ "[^"]+" (?:\S+ ){6}"[^"]+" "[^"]+" (?:\S+ ){9}\S+')


def test_a_line_has_the_fields_of_the_user_guide() -> None:
    entry = LogEntry(
        time_ms=TIME, remote="192.0.2.3", principal_id="alice", request_id="3E57", operation="REST.GET.OBJECT",
        key="a b/ü.jpg", target="GET /photos/a%20b/%C3%BC.jpg?versionId=v HTTP/1.1", status=206, bytes_sent=113,
        object_size=2000, total_ms=7, turnaround_ms=5, referer="http://page.example/", user_agent="curl/8 (x)",
        version_id="v", signature="SigV4", cipher="TLS_AES_256_GCM_SHA384", authentication="AuthHeader",
        host="localhost:9000", tls="TLSv1.3",
    )  # fmt: skip
    assert render_line("owner", "photos", entry) == (
        "owner photos [06/Feb/2019:00:00:38 +0000] 192.0.2.3 alice 3E57 REST.GET.OBJECT a%20b/%C3%BC.jpg "
        '"GET /photos/a%20b/%C3%BC.jpg?versionId=v HTTP/1.1" 206 - 113 2000 7 5 "http://page.example/" "curl/8 (x)" '
        "v 3E57 SigV4 TLS_AES_256_GCM_SHA384 AuthHeader localhost:9000 TLSv1.3 - - -"
    )
    assert render_line("owner", "photos", LogEntry(time_ms=0, operation="S3.EXPIRE.OBJECT")) == (
        'owner photos [01/Jan/1970:00:00:00 +0000] - - - S3.EXPIRE.OBJECT - "-" - - - - - - "-" "-" - - - - - - - - - -'
    )


HOSTILE = st.none() | st.text(max_size=8) | st.sampled_from(['"', '" x', "\r\nx", " ", "-", "\\", "\0", "\ud800"])


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_whatever_is_sent_a_line_has_its_fields(target: str, referer: str, agent: str, other: str) -> None:
    entry = LogEntry(
        time_ms=TIME, operation="REST.GET.OBJECT", target=target, referer=referer, user_agent=agent, host=other,
        version_id=other, remote=other, principal_id=other, key=None if other is None else other.replace("\ud800", ""),
    )  # fmt: skip
    line = render_line("owner id", "photos", entry)
    assert LINE.fullmatch(line), line
    assert line.isascii()


def test_keys_are_simple_or_partitioned() -> None:
    file = LogFileName("f", TIME)

    def key(partition: str | None) -> str:
        return key_of(LogTarget(bucket="logs", prefix="p/", partition=partition), "photos", "o", "eu-west-1", file)

    assert re.fullmatch("p/2019-02-06-00-00-38-[0-9A-F]{16}", key(None))
    day = "p/o/eu-west-1/photos/2019/02/06/2019-02-06"
    assert re.fullmatch(f"{day}-00-00-38-[0-9A-F]{{16}}", key("DeliveryTime"))
    assert re.fullmatch(f"{day}-00-00-00-[0-9A-F]{{16}}", key("EventTime"))
    assert (
        key(None)
        == key(None)
        != key_of(LogTarget(bucket="logs", prefix="p/", partition=None), "other", "o", "eu-west-1", file)
    )


def test_a_partition_is_of_the_time_of_events_unless_it_says_otherwise() -> None:
    text = '{"LoggingEnabled": {"TargetBucket": "l", "TargetPrefix": "", "TargetObjectKeyFormat": %s}}'
    assert parse_target(text % '{"PartitionedPrefix": {}}').partition == "EventTime"
    assert parse_target(text % '{"SimplePrefix": {}}').partition is None


# -- the spool


def lines(spool: LogSpool) -> list[str]:
    return [one.line for file in spool.complete() for one in file.lines]


@pytest.fixture(params=["memory", "folder"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> LogSpool:
    return LogSpool(None if request.param == "memory" else tmp_path / "logs")


def test_lines_are_kept_until_they_were_looked_at(spool: LogSpool) -> None:
    assert lines(spool) == []
    for number in range(3):
        spool.add("photos", number, f"line {number}")
    files = spool.complete()
    assert len(next(files).lines) == 3
    files.close()  # as when they cannot be delivered
    spool.add("photos", 3, "line 3")
    assert sorted(lines(spool)) == [f"line {number}" for number in range(4)]
    assert lines(spool) == []


def test_what_another_process_writes_is_left_alone_until_it_ends(tmp_path: Path) -> None:
    writer, other = LogSpool(tmp_path / "logs"), LogSpool(tmp_path / "logs")
    writer.add("photos", 1, "one")
    assert lines(other) == []
    writer.close()
    assert lines(other) == ["one"]
    assert list((tmp_path / "logs").iterdir()) == []


def test_half_a_line_is_no_line(tmp_path: Path) -> None:
    spool = LogSpool(tmp_path / "logs")
    spool.add("photos", 1, "whole")
    spool.close()
    (path,) = (tmp_path / "logs").iterdir()
    path.write_bytes(path.read_bytes() + b"photos 2 hal")
    assert lines(spool) == ["whole"]


@pytest.mark.parametrize("damage", [b"\0" * 4096, b"photos", b"photos soon line", b"photos 2 \xff", b""])
def test_a_damaged_line_is_dropped_and_counted(tmp_path: Path, damage: bytes) -> None:
    spool = LogSpool(tmp_path / "logs")
    spool.add("photos", 1, "before")
    spool.close()
    (path,) = (tmp_path / "logs").iterdir()
    path.write_bytes(path.read_bytes() + damage + b"\nphotos 3 after\n")
    assert lines(spool) == ["before", "after"]
    assert spool.dropped == 1
    assert list((tmp_path / "logs").iterdir()) == []


def test_a_file_that_another_process_delivers_meanwhile_loses_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def glob(folder: Path, pattern: str) -> list[Path]:
        return [folder / pattern.replace("*", "delivered")]

    spool = LogSpool(tmp_path / "logs")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "glob", glob)
        spool.add("photos", 1, "line")
    assert spool.dropped == 0
    assert lines(spool) == ["line"]


def test_what_there_is_no_space_for_is_dropped_and_counted(spool: LogSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_spool, "MAX_MEMORY_BYTES", 10)
    monkeypatch.setattr(log_spool, "MAX_FILE_BYTES", 20)
    monkeypatch.setattr(log_spool, "MAX_WAITING_BYTES", 19)
    for number in range(10):
        spool.add("photos", number, "12345678")
    kept = lines(spool)
    assert len(kept) + spool.dropped == 10
    assert kept
    assert spool.dropped
    spool.add("photos", 11, "again")
    assert lines(spool) == ["again"]


def test_a_folder_that_cannot_be_written_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "logs").write_bytes(b"a file")
    spool = LogSpool(tmp_path / "logs")
    spool.add("photos", 1, "lost")
    assert spool.dropped == 1
