"""What a node is at, as values: for those who watch a cluster."""

from __future__ import annotations

from bleepstore.cluster_status import ClusterCounters, ClusterMember, ClusterStatus
from bleepstore.raft.core import Raft
from bleepstore.raft.endings import Ending
from bleepstore.raft.messages import Role
from bleepstore.raft.node import Node
from bleepstore.raft.tracker import Progress


def status_of(node: Node) -> ClusterStatus:
    """What a node is at. It is looked at while its thread goes on: a figure may be a moment older than the next."""
    core, status, counters = node.core, node.status, node.counters
    configuration, leads = core.configuration, status.role is Role.LEADER
    role = status.role.value
    if status.role is Role.FOLLOWER and node.id in configuration.learners:
        role = "learner"
    trouble = None
    if status.ending is not None:
        trouble = f"the node has ended: {status.ending.advice}"
    elif core.is_removed:
        trouble = "the node was removed from the cluster"
    return ClusterStatus(
        cluster=core.cluster,
        node=node.id,
        role=role,
        term=status.term,
        leader=None if trouble else status.leader,
        members=tuple(_member_of(core, one, leads) for one in core.tracker.progress.values()),
        is_membership_changing=configuration.is_joint,
        level=configuration.level,
        known_level=node.settings.core.level,
        first_index=core.log.first,
        last_index=core.log.last,
        committed_index=status.committed,
        applied_index=status.applied,
        agreed_index=core.comparison.agreed_index,
        log_bytes=node.log_bytes,
        proposals_waiting=node.proposals_waiting,
        is_low_on_space=core.low_on_space,
        trouble=trouble,
        is_for_good=core.is_removed or status.ending in (Ending.DAMAGED, Ending.DIFFERS),
        counters=ClusterCounters(
            elections=core.counters.elections,
            leaderships=core.counters.leaderships,
            messages_handled=core.counters.steps,
            messages_dropped=counters.messages_dropped,
            entries_appended=core.counters.entries_appended,
            log_saves=counters.saves,
            compactions=counters.compactions,
            snapshots_offered=core.counters.snapshots_offered,
            snapshots_sent=counters.snapshots_sent,
            snapshots_fetched=core.counters.snapshots_installed,
            snapshots_refused=counters.snapshots_refused,
            proposals_repeated=counters.retries,
            state_agreements=core.comparison.agreements,
            state_disagreements=core.comparison.disagreements,
            refused={reason.name.lower(): count for reason, count in core.counters.refused.copy().items()},
        ),
    )


def _member_of(core: Raft, member: Progress, leads: bool) -> ClusterMember:
    is_voter = core.tracker.is_voter(member.node)
    if member.node == core.node:
        return ClusterMember(
            id=member.node,
            is_voter=is_voter,
            match=core.log.stable,
            is_heard_of=True,
            is_low_on_space=core.low_on_space,
            level=core.settings.level,
        )
    if not leads:
        return ClusterMember(id=member.node, is_voter=is_voter)
    return ClusterMember(
        id=member.node,
        is_voter=is_voter,
        match=member.match,
        is_heard_of=member.recent_active or member.was_active,
        is_low_on_space=member.low_on_space,
        level=member.level,
    )
