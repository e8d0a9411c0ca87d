"""How a node is driven, where it runs, and what can be seen of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import attrs

from bleepstore.raft.core import Raft
from bleepstore.raft.endings import Ending
from bleepstore.raft.messages import NodeId, Role
from bleepstore.raft.state import RandomSource, Settings


@attrs.frozen
class NodeSettings:
    """How a node is driven. Ticks are the unit of time."""

    core: Settings = Settings()
    tick_seconds: float | None = 0.05  # None: only `Node.tick` ticks
    answer_ticks: int = 200  # a proposal or read that has waited so long is given up
    retry_ticks: int = 20  # a proposal that was passed to a leader is passed on again after so many
    max_waiting: int = 4096  # proposals that may wait for their result; more are refused
    max_waiting_bytes: int = 64 << 20
    max_inbox: int = 20_000  # messages that may wait; more are lost
    compact_after: int = 10_000  # entries of the log beyond `keep_entries`
    keep_entries: int = 2_000  # are kept for followers that are a little behind
    min_free_bytes: int = 64 << 20  # below it proposals are refused, here and by followers, and reads go on
    space_ticks: int = 1200  # between two hand-overs of a leader whose disk is almost full
    spare_bytes: int = 16 << 20  # what a fetched state must leave free
    compact_after_bytes: int = 256 << 20  # or if the log has more than this
    keep_bytes: int = 64 << 20  # no more of `keep_entries` than this
    max_log_bytes: int = 2 << 30  # beyond it nothing is kept for members that catch up


DEFAULTS = NodeSettings()


def start_thread(work: Callable[[], None], name: str) -> threading.Thread:
    """Have `work` done beside the caller."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


@attrs.frozen
class Host:
    """What a node takes from where it runs; a simulation gives its own."""

    rng: RandomSource | None = None  # None: seeded by the operating system
    clock: Callable[[], float] = time.monotonic  # in seconds
    free_bytes: Callable[[], int] | None = None  # on the disk of the log; None: it never fills
    make_core: Callable[..., Raft] = Raft
    spawn: Callable[[Callable[[], None], str], threading.Thread | None] = start_thread


HOST = Host()


@attrs.frozen
class Status:
    """What a node is."""

    role: Role
    leader: NodeId | None
    term: int
    committed: int
    applied: int
    failure: BaseException | None
    ending: Ending | None  # None: the node runs


@attrs.define
class NodeCounters:
    """What happened to a node, beside the core's own counters. Only ever rises."""

    saves: int = 0  # transactions of the log, each with one fsync
    entries_saved: int = 0
    messages_dropped: int = 0  # came in or were to go out, and found too many waiting
    snapshots_sent: int = 0
    snapshots_refused: int = 0  # came in, and were not what they should be
    compactions: int = 0
    retries: int = 0  # proposals offered again
    proposals_malformed: int = 0
