"""Frames: every message comes back as it was, and what is no message is refused with a reason, never a crash."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any, get_args

import pytest

from bleepstore.raft.codec import MalformedFrame, decode_message, encode_message
from bleepstore.raft.messages import (
    MAX_NUMBER,
    AppendEntries,
    AppendReply,
    Configuration,
    Entry,
    EntryKind,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    ProposeRefused,
    ProposeRequest,
    ReadIndexReply,
    ReadIndexRequest,
    Refusal,
    Removed,
    RequestVote,
    SnapshotMeta,
    TimeoutNow,
    VoteReply,
)
from bleepstore.raft.sqlite_log import create_log
from bleepstore.raft.state import Settings
from bleepstore.testing.raft_log_contract import CLUSTER, MEMBERS, NODE, OTHER
from tests.raft.driver import DrivenNode, Echo

HALF = "\ud800"  # half of a surrogate pair: JSON has it, UTF-8 does not
HEAD = ("c", "b", "a", 5)
SHORT = Configuration(("a", "b", "c"))
MESSAGES: list[Message] = [
    RequestVote(*HEAD, 10, 4, False, True, 3, 2),
    VoteReply(*HEAD, True, False, 3, 2),
    AppendEntries(*HEAD, 1, 1, (Entry(2, 5, EntryKind.COMMAND, b"\0x", "ä"), Entry(3, 5, EntryKind.NOOP)), 1, 2),
    AppendReply(*HEAD, 7, True, 6, 4, 1),
    Heartbeat(*HEAD, 3, 9, 32, 16, 77, 2),
    HeartbeatReply(*HEAD, 9, True, 2, 32, 78),
    InstallSnapshot(*HEAD, SnapshotMeta(7, 4, Configuration(("a", "b"), removed=("z",)), "copy"), 60_000_000),
    TimeoutNow(*HEAD),
    ReadIndexRequest(*HEAD, MAX_NUMBER - 1, 3),
    ReadIndexReply(*HEAD, 1, 3, 7),
    ProposeRequest(*HEAD, "request", b"data", True, MAX_NUMBER - 1, 3),
    Removed(*HEAD),
    ProposeRefused(*HEAD, "request", Refusal.TOO_MUCH_UNCOMMITTED, 1, 3),
]


def frame(header: list[Any], data: bytes = b"") -> bytes:
    """A frame whose checksum is right."""
    text = json.dumps(header).encode()
    length = struct.pack(">I", len(text))
    body = text + data
    return b"BRF1" + struct.pack(">I", zlib.crc32(body, zlib.crc32(length))) + length + body


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_comes_back_as_it_was(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


def test_no_kind_of_message_was_left_out() -> None:
    assert {type(message) for message in MESSAGES} == set(get_args(Message))


@pytest.mark.parametrize(
    "bad",
    [
        frame(["RequestVote", "c", HALF, "a", 5, 10, 5, False, False, 0, 0]),
        frame(["RequestVote", HALF, "b", "a", 5, 10, 5, False, False, 0, 0]),
        frame(["AppendEntries", "c", "b", "a", 5, 0, 0, [[1, 5, 1, HALF, 1]], 0, 0], b"x"),
        frame(["ProposeRequest", "c", "b", "a", 5, HALF, 1, False, 1, 1], b"x"),
        frame(["InstallSnapshot", "c", "b", "a", 5, [1, 1, SHORT.encode().decode(), HALF], 0]),
        frame(["InstallSnapshot", "c", "b", "a", 5, [1, 1, SHORT.encode().decode().replace("b", "\\ud800"), ""], 0]),
        frame(["Heartbeat", "c", "b", "a", MAX_NUMBER, 0, 0, 0, 0, 0]),
        frame(["Heartbeat", "c", "b", "a", 2**63 - 1, 0, 0, 0, 0, 0]),
        frame(["Heartbeat", "c", "b", "a", -1, 0, 0, 0, 0, 0]),
        frame(["Heartbeat", "c", "b", "a", 1.0, 0, 0, 0, 0, 0]),
        frame(["Heartbeat", "c", "b", "a", True, 0, 0, 0, 0, 0]),
        frame(["AppendEntries", "c", "b", "a", 5, 0, 0, [[1, 5, 9, "", 0]], 0, 0]),
        frame(["AppendEntries", "c", "b", "a", 5, 0, 0, [[1, 5, 1, "", 5]], 0, 0], b"x"),
        frame(["TimeoutNow", "c", "b", "a", 5], b"more"),
        frame(["TimeoutNow", "c", "b", "a"]),
        frame(["ProposeRefused", "c", "b", "a", 5, "request", "OUT_OF_ORDER", 1, 1]),
        frame(["ProposeRefused", "c", "b", "a", 5, "request", 3, 1, 1]),
        frame(["Nothing", "c", "b", "a", 5]),
        b"BRF1",
        b"BRF2" + frame(["TimeoutNow", "c", "b", "a", 5])[4:],
        frame(["TimeoutNow", "c", "b", "a", 5])[:-1] + b" ",
    ],
)
def test_what_is_no_message_is_refused(bad: bytes) -> None:
    with pytest.raises(MalformedFrame):
        decode_message(bad)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (RequestVote(CLUSTER, HALF, NODE, 5, 10, 5), Refusal.MALFORMED_TEXT),
        (RequestVote(CLUSTER, OTHER, NODE, 2**63 - 1, 10, 5), Refusal.OUT_OF_RANGE),
        (Heartbeat(CLUSTER, OTHER, NODE, MAX_NUMBER, 0, 0), Refusal.OUT_OF_RANGE),
        (RequestVote(CLUSTER, OTHER, NODE, -1, 10, 5), Refusal.OUT_OF_RANGE),
        (
            AppendEntries(CLUSTER, OTHER, NODE, 5, 0, 0, (Entry(1, 5, EntryKind.COMMAND, b"x", HALF),), 0),
            Refusal.MALFORMED_TEXT,
        ),
    ],
)
def test_a_message_that_no_frame_carries_does_not_end_a_node_either(
    tmp_path: Path, message: Message, reason: Refusal
) -> None:
    """A transport could build messages otherwise; the log could not store these."""
    log = create_log(tmp_path / "raft.db", cluster=CLUSTER, node=NODE, configuration=MEMBERS)
    node = DrivenNode(log, Echo())
    node.deliver(message)
    assert node.core.counters.refused == {reason: 1}
    assert node.core.term < MAX_NUMBER
    node.deliver(Heartbeat(CLUSTER, OTHER, NODE, MAX_NUMBER - 1, 0, 0))
    assert node.core.leader == OTHER, "it lives"
    node.close()


def test_a_leader_refuses_a_request_id_that_is_no_text(tmp_path: Path) -> None:
    log = create_log(tmp_path / "raft.db", cluster=CLUSTER, node=NODE, configuration=MEMBERS)
    node = DrivenNode(log, Echo(), core=Settings(election_ticks=2))
    node.elect(OTHER)
    node.deliver(ProposeRequest(CLUSTER, OTHER, NODE, node.core.term, HALF, b"x", False, 1, 1))
    assert node.core.counters.refused == {Refusal.MALFORMED_TEXT: 1}
    node.close()
