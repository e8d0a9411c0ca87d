"""What a node of a cluster tells of itself and of the others, as values."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class ClusterMember:
    """A member as a node sees it. What is null is known to the leader alone, of the others; `is_low_on_space` is null
    also until the member has told its leader. `match` is the index up to which its log is durable and that of the
    leader, `level` the feature level that it has announced."""

    id: str
    is_voter: bool
    match: int | None = None
    is_heard_of: bool | None = None
    is_low_on_space: bool | None = None
    level: int | None = None


@attrs.frozen(kw_only=True)
class ClusterCounters:
    """What has happened at a node since it was started."""

    elections: int
    leaderships: int
    messages_handled: int
    messages_dropped: int
    entries_appended: int
    log_saves: int
    compactions: int
    snapshots_offered: int
    snapshots_sent: int
    snapshots_fetched: int
    snapshots_refused: int
    proposals_repeated: int
    state_agreements: int
    state_disagreements: int
    #: Of messages and proposals, by their reason.
    refused: Mapping[str, int]


@attrs.frozen(kw_only=True)
class ClusterStatus:
    """A node of a cluster. Its log has the entries `first_index` to `last_index`. `agreed_index` is the last one at
    which a majority was found to have the same state. `trouble` says why it cannot take part (null: it does), and
    `is_for_good` that it never will again: it is to be removed, and another node added."""

    cluster: str
    node: str
    role: str
    term: int
    #: Null: none is known here.
    leader: str | None
    members: tuple[ClusterMember, ...]
    is_membership_changing: bool
    #: The feature level that is in effect, and the highest one that this program knows.
    level: int
    known_level: int
    first_index: int
    last_index: int
    committed_index: int
    applied_index: int
    agreed_index: int
    log_bytes: int
    proposals_waiting: int
    is_low_on_space: bool
    trouble: str | None
    is_for_good: bool
    counters: ClusterCounters
