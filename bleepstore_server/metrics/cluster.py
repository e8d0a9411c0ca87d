"""The metrics of a store that is on a cluster: what its node is at, and what it knows of the others."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from bleepstore.cluster_status import ClusterStatus

#: Those that a node may have, each a series, so that a change of it is seen.
ROLES = ("leader", "follower", "learner", "candidate", "pre-candidate")

_COUNTERS = {
    "elections": "Elections that this node called.",
    "leaderships": "Terms that this node led.",
    "messages_handled": "Messages of other nodes.",
    "messages_dropped": "Messages that were lost here, as too many waited.",
    "entries_appended": "Entries that were added to the log.",
    "log_saves": "Transactions of the log, each with one fsync.",
    "compactions": "How often the beginning of the log was dropped.",
    "snapshots_offered": "States that a member behind was offered.",
    "snapshots_sent": "Copies of the state that were made for other nodes.",
    "snapshots_fetched": "States that were fetched from another node and taken over.",
    "snapshots_refused": "States that were fetched and were not what they should be.",
    "proposals_repeated": "Changes that were offered to a leader once more.",
    "state_agreements": "Comparisons at which a majority had the same state.",
    "state_disagreements": "Members that had another state than this node.",
}


def metrics_of(status: ClusterStatus) -> Iterator[Metric]:
    """Cheap: nothing is asked of other nodes."""
    for name, text, value in (
        ("has_leader", "1: this node knows the leader of its term.", status.leader is not None),
        ("has_trouble", "1: this node takes no part, and the health check cluster says why.", bool(status.trouble)),
        ("is_condemned", "1: it never will again: remove it, and add another.", status.is_for_good),
        ("is_low_on_space", "1: changes are refused here, as the disk is almost full.", status.is_low_on_space),
        ("is_membership_changing", "1: the cluster goes over to another membership.", status.is_membership_changing),
        ("term", "The term of this node.", status.term),
        ("level", "The feature level that is in effect.", status.level),
        ("last_index", "The last entry of the log here.", status.last_index),
        ("committed_index", "The last entry that is known to be on a majority.", status.committed_index),
        ("applied_index", "The last entry that the catalog here has.", status.applied_index),
        ("agreed_index", "The last entry at which a majority had the same state.", status.agreed_index),
        ("log_entries", "Entries of the log.", status.last_index - status.first_index + 1),
        ("log_bytes", "Bytes of these.", status.log_bytes),
        ("proposals_waiting", "Changes that wait for the cluster here.", status.proposals_waiting),
        ("members", "Members of the cluster.", len(status.members)),
        ("voters", "Of these, those with a vote.", sum(member.is_voter for member in status.members)),
    ):
        yield GaugeMetricFamily(f"bleepstore_raft_{name}", text, value)
    roles = GaugeMetricFamily("bleepstore_raft_role", "1: the role of this node.", labels=["role"])
    for role in ROLES:
        roles.add_metric([role], role == status.role)
    yield roles
    yield from _of_members(status)
    for name, text in _COUNTERS.items():
        yield CounterMetricFamily(f"bleepstore_raft_{name}", text, getattr(status.counters, name))
    refused = CounterMetricFamily("bleepstore_raft_refused", "Messages and changes refused.", labels=["reason"])
    for reason, count in sorted(status.counters.refused.items()):
        refused.add_metric([reason], count)
    yield refused


def _of_members(status: ClusterStatus) -> Iterator[Metric]:
    """At the leader alone: it knows."""
    lag = GaugeMetricFamily("bleepstore_raft_member_lag", "Entries that a member has yet to get.", labels=["member"])
    heard = GaugeMetricFamily("bleepstore_raft_member_heard_of", "1: a member was heard of lately.", labels=["member"])
    full = GaugeMetricFamily("bleepstore_raft_member_low_on_space", "1: its disk is almost full.", labels=["member"])
    for member in status.members:
        if status.role == "leader" and member.match is not None:
            lag.add_metric([member.id], max(0, status.last_index - member.match))
            heard.add_metric([member.id], bool(member.is_heard_of))
            if member.is_low_on_space is not None:
                full.add_metric([member.id], member.is_low_on_space)
    yield from (lag, heard, full)
