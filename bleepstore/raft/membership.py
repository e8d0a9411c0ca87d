"""Who is a member: joint consensus, the configuration of each index, and the hand-over of leadership.

A configuration entry carries the whole new membership. The leader makes it from the membership in effect, and there is
never a second one in the log before the first has taken effect. A change of voters goes through a joint membership
(Raft paper, section 6); the leader leaves it by itself.

Configurations take effect when applied, so a node could know an outdated one. That is safe because an entry that
carries the next-but-one configuration is only proposed when the next one is applied, hence committed, and its message
(and every later one that carries it) says so: whoever has it in the log knows that the next one is committed, and may
not campaign before having applied it.
"""

from __future__ import annotations

import attrs

from bleepstore.errors import BleepStoreError
from bleepstore.raft.messages import (
    Accepted,
    AppendReply,
    ConfChange,
    Configuration,
    EntryKind,
    NodeId,
    Refusal,
    Removed,
    Role,
    SnapshotMeta,
    is_text,
)
from bleepstore.raft.reads import Reads


class ImpossibleChange(BleepStoreError):
    """The change does not fit the present membership."""


def changed(configuration: Configuration, change: ConfChange) -> Configuration:
    """The membership that `change` leads to, joint if it changes the voters. Raises ImpossibleChange."""
    now = configuration
    if now.is_joint:
        raise ImpossibleChange("the last change is not finished")
    if not (change.learn or change.promote or change.remove or change.level):
        raise ImpossibleChange("nothing to change")
    if change.level and change.level <= now.level:
        raise ImpossibleChange(f"the feature level is {now.level} already, and never falls")
    members = frozenset(now.members)
    for one in change.learn:
        if one in members or one in change.promote or one in change.remove:
            raise ImpossibleChange(f"{one} is a member already")
    for one in change.promote:
        if one not in now.learners or one in change.remove:
            raise ImpossibleChange(f"{one} is no learner that stays")
    for one in change.remove:
        if one not in members:
            raise ImpossibleChange(f"{one} is no member")
    voters = tuple(one for one in (*now.voters, *change.promote) if one not in change.remove)
    if not voters:
        raise ImpossibleChange("no voter would be left")
    learners = tuple(
        one for one in (*now.learners, *change.learn) if one not in change.remove and one not in change.promote
    )
    outgoing = now.voters if set(voters) != set(now.voters) else ()
    following = now.followed_by(voters, outgoing, learners)
    return attrs.evolve(following, level=change.level) if change.level else following


class Membership(Reads):
    """Changes of the membership, and who leads."""

    __slots__ = ()

    @property
    def configuration(self) -> Configuration:
        """The membership in effect here."""
        return self.tracker.configuration

    @property
    def is_removed(self) -> bool:
        """Whether this node was removed, and knows it; not as long as it has to lead on."""
        is_out = self._was_told_of_removal or self.node in self.tracker.removed
        return is_out and self.role is not Role.LEADER

    def _on_removed(self, m: Removed) -> Refusal | None:
        """A member has applied that this node was removed. An id never comes back, so it stays removed."""
        self._was_told_of_removal = True
        if self.role is not Role.FOLLOWER:
            self._become_follower(self.term, None)
        return None

    def propose_conf(self, change: ConfChange) -> Accepted | Refusal:
        """Propose a change of the membership, at the leader only. One at a time."""
        refusal = self._change_refusal(change)
        if refusal is not None:
            return self._refuse(refusal)
        try:
            target = changed(self.tracker.configuration, change)
        except ImpossibleChange:
            return self._refuse(Refusal.BAD_CHANGE)
        return self._append_configuration(target)

    def _change_refusal(self, change: ConfChange) -> Refusal | None:
        if self.role is not Role.LEADER or self._farewell:
            return Refusal.NOT_LEADER
        if self.is_handing_over:
            return Refusal.TRANSFERRING
        if self._change_pending():
            return Refusal.CHANGE_PENDING
        if any(one in self.tracker.removed for one in change.learn):
            return Refusal.REMOVED_SENDER
        if not all(map(is_text, change.learn)):
            return Refusal.MALFORMED_TEXT
        level = max(change.level, self.configuration.level)
        who = self.configuration.members if change.level else change.promote
        if any(self._announced(one) < level for one in who):
            return Refusal.LEVEL_NOT_ANNOUNCED
        return None if all(self._is_caught_up(one) for one in change.promote) else Refusal.NOT_CAUGHT_UP

    def _announced(self, member: NodeId) -> int:
        """The feature level that a member has announced to this leader."""
        if member == self.node:
            return self.settings.level
        peer = self.tracker.progress.get(member)
        return 1 if peer is None else peer.level

    def announced_level(self) -> int:
        """The feature level that all members have announced, at the leader."""
        return min(map(self._announced, self.configuration.members), default=1)

    def _is_caught_up(self, learner: NodeId) -> bool:
        """It has almost the whole log, and in any case the entry that made it a learner: a node without any log or
        membership refuses to vote, so as a voter it could never help to elect the leader that would send it one.
        """
        peer = self.tracker.progress.get(learner)
        needed = max(self.log.last - self.settings.promote_lag, self.configurations[-1][0])
        return peer is not None and peer.match >= needed

    def _change_pending(self) -> bool:
        return self.pending_configuration_index > self.log.applied or self.tracker.configuration.is_joint

    def _append_configuration(self, configuration: Configuration) -> Accepted:
        entry = self._append_own(EntryKind.CONFIGURATION, configuration.encode())
        self.pending_configuration_index = entry.index
        return Accepted(entry.index, entry.term)

    def _maybe_leave_joint(self) -> None:
        """The joint membership is in effect and so committed: go on to the new one."""
        now = self.tracker.configuration
        if self.role is Role.LEADER and now.is_joint and self.pending_configuration_index <= self.log.applied:
            self._append_configuration(now.followed_by(now.voters, (), now.learners))

    # --- into effect ---

    def applied(self, index: int) -> None:
        """The state machine has applied everything that was handed out up to `index`."""
        log = self.log
        if index <= log.applied:
            return
        log.applied = min(index, log.handed)
        applying = self._applying
        while applying and applying[0][0] <= log.applied:
            self._applying_bytes -= applying.pop(0)[1]
        unapplied = self._unapplied
        while unapplied and next(iter(unapplied.values())) <= log.applied:
            unapplied.popitem(last=False)
        pending = self._handed_configurations
        while pending and pending[0] <= log.applied:
            entry = log.slice(pending[0], pending[0] + 1, 1)[0]
            pending.pop(0)
            self._switch(entry.index, Configuration.decode(entry.data))
        if self.tracker.configuration.voters_outgoing:
            self._maybe_leave_joint()
        if self.role is Role.LEADER and self._farewell and log.applied >= self._farewell:
            self._pump()
            heir = self.heir()
            if heir is not None:
                self._tell_to_campaign(heir)  # so that the others need not wait for an election timeout
            self._become_follower(self.term, None)

    def _switch(self, index: int, configuration: Configuration) -> None:
        self.configurations.append((index, configuration))
        self.tracker.switch(self.node, configuration, self.log.last)
        if self.role is not Role.LEADER:
            return
        if not self.tracker.is_voter(self.node):
            # Whoever has this entry knows that the new membership is decided, and can elect without this node.
            self._farewell = self._append_own(EntryKind.NOOP, b"").index
        if self.transfer_target is not None and self.transfer_target not in self.tracker.progress:
            self.transfer_target = None
        self._acknowledge_own()
        self._maybe_commit()
        self._confirm_reads()
        self._pump_due = True

    def _acknowledge_own(self) -> None:
        """The leader counts itself for what is durable here, no more."""
        own = self.tracker.progress.get(self.node)
        if own is not None:
            own.acknowledge(self._own_durable_index())

    def _own_durable_index(self) -> int:
        return self.log.stable

    # --- snapshots ---

    def install_snapshot(self, meta: SnapshotMeta) -> Refusal | None:
        """The state that was asked for by `Ready.fetch` is here, verified and durable: begin from it.

        Refused if the log has caught up without it. Otherwise the next Ready has it in `snapshot`; until that Ready is
        durable the old state must still be there.
        """
        self._fetching = None
        if self._has_all_of(meta):
            # The entries came in meanwhile. What follows them may be acknowledged already, so the log must stay.
            self._commit_to(meta.index)
            if self.leader is not None and self.leader != self.node:
                self._reply_append(self.leader, self.log.committed)
            return self._refuse(Refusal.STALE_SNAPSHOT)
        if self.role is not Role.FOLLOWER or meta.term > self.term:
            # What is committed is in the log of every leader that still is one; and the source may have gone on to a
            # later term than its offer was of.
            self._become_follower(max(self.term, meta.term), None)
        self.log.restore(meta)
        self._handed_configurations.clear()
        self._applying.clear()
        self._applying_bytes = 0
        self.configurations = [(meta.index, self._configuration_of_snapshot(meta))]
        self.tracker.switch(self.node, self.configurations[0][1], meta.index)
        self.counters.snapshots_installed += 1
        if self.leader is not None and self.leader != self.node:
            self._after.append(AppendReply(self.cluster, self.node, self.leader, self.term, meta.index))
        return None

    def _has_all_of(self, meta: SnapshotMeta) -> bool:
        return meta.index <= self.log.committed or self.log.holds(meta.index, meta.term)

    def _configuration_of_snapshot(self, meta: SnapshotMeta) -> Configuration:
        return meta.configuration

    def snapshot_failed(self) -> None:
        """The state could not be fetched; the leader's next offer asks for it again."""
        self._fetching = None

    def compacted(self, meta: SnapshotMeta) -> None:
        """Storage was compacted: `LogStorage.compact(meta)` has returned. `meta` is of `snapshot_meta(index)`."""
        self.log.compacted(meta)
        history = self.configurations
        while len(history) > 1 and history[1][0] <= meta.index:
            history.pop(0)

    def compaction_limit(self) -> int:
        """The highest index to compact to without taking from a member what it is about to need (`kept_after`)."""
        limit = self.log.applied
        if self.role is Role.LEADER:
            for peer in self.tracker.peers:
                kept_after = peer.kept_after
                if kept_after is not None and kept_after < limit:
                    limit = kept_after
        return limit

    # --- hand-over ---

    def heir(self, *, with_space: bool = False) -> NodeId | None:
        """The voter that could take over soonest, at the leader; None if none was heard of lately. `with_space`: only
        one that has said that it has some. Of two that are as near, such a one is better.
        """
        voters = self.tracker.configuration.voters
        heard = [one for one in self.tracker.peers if one.node in voters and (one.recent_active or one.was_active)]
        if with_space:
            heard = [one for one in heard if one.low_on_space is False]
        if not heard or self.role is not Role.LEADER:
            return None
        return max(heard, key=lambda one: (one.match, one.low_on_space is False)).node

    def transfer_leadership(self, to: NodeId) -> Refusal | None:
        """Hand over to a voter, at the leader only. Proposals are refused until it is done or an election timeout has
        passed; then this node goes on leading.
        """
        if self.role is not Role.LEADER:
            return self._refuse(Refusal.NOT_LEADER)
        if to == self.node or to not in self.tracker.configuration.voters:
            return self._refuse(Refusal.NOT_A_VOTER)
        self.transfer_target = to
        self.election_elapsed = 0
        self._pump_due = True
        self._maybe_hand_over()
        return None
