"""Entries on their way from the leader to the followers, and when they count as committed."""

from __future__ import annotations

from collections.abc import Sequence

from bleepstore.raft.messages import (
    ENTRY_OVERHEAD,
    Accepted,
    AppendEntries,
    AppendReply,
    Configuration,
    Entry,
    EntryKind,
    Forwarded,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    MalformedValue,
    NodeId,
    ProposeRefused,
    ProposeRequest,
    Refusal,
    Role,
    SnapshotFetch,
    SnapshotMeta,
    TimeoutNow,
    is_text,
)
from bleepstore.raft.state import RaftState
from bleepstore.raft.tracker import Flow, Progress


class Replication(RaftState):
    """The leader's appends and the followers' answers."""

    __slots__ = ()

    # --- the leader's log ---

    def _append_own(self, kind: EntryKind, data: bytes, request_id: str = "") -> Entry:
        entry = Entry(self.log.last + 1, self.term, kind, data, request_id)
        self.log.append((entry,))
        self.counters.entries_appended += 1
        self._pump_due = True
        return entry

    def propose(self, request_id: str, data: bytes, *, frees_space: bool = False) -> Accepted | Forwarded | Refusal:
        """Append a command, or pass it on to the leader. One that `frees_space` is taken on a disk that is almost full.
        What this leader has appended and not applied yet is not appended again.

        Accepted or forwarded does not mean committed: that shows when `Ready.committed` holds an entry with
        `request_id`. If that does not come, propose again with the same id; the state machine sees to repeats.
        """
        if self.role is not Role.LEADER:
            if len(data) > self.settings.max_entry_bytes:
                return self._refuse(Refusal.ENTRY_TOO_LARGE)
            if self.is_removed:
                return self._refuse(Refusal.REMOVED)
            if self.leader is None:
                return self._refuse(Refusal.NO_LEADER)
            return self._pass_on(self.leader, request_id, bytes(data), frees_space)
        known = self._unapplied.get(request_id)
        if known is not None:
            return Accepted(known, self.term)
        refusal = self._proposal_refusal(len(data), frees_space)
        if refusal is not None:
            return self._refuse(refusal)
        entry = self._append_command(request_id, bytes(data))
        return Accepted(entry.index, entry.term)

    def _pass_on(self, leader: NodeId, request_id: str, data: bytes, frees_space: bool) -> Forwarded:
        self._last_offer += 1
        about = (self.incarnation, self._last_offer)
        self._messages.append(
            ProposeRequest(self.cluster, self.node, leader, self.term, request_id, data, frees_space, *about)
        )
        return Forwarded(leader, self._last_offer)

    def _append_command(self, request_id: str, data: bytes) -> Entry:
        self.uncommitted_bytes += len(data) + ENTRY_OVERHEAD
        entry = self._append_own(EntryKind.COMMAND, data, request_id)
        if request_id:
            self._unapplied[request_id] = entry.index
        return entry

    def _proposal_refusal(self, size: int, frees_space: bool) -> Refusal | None:
        if size > self.settings.max_entry_bytes:
            return Refusal.ENTRY_TOO_LARGE
        if self.node not in self.tracker.progress:
            return Refusal.NOT_LEADER
        if self.low_on_space and not frees_space:
            return Refusal.NO_SPACE
        if self.is_handing_over:
            return Refusal.TRANSFERRING
        after = self.uncommitted_bytes + size + ENTRY_OVERHEAD
        return (
            Refusal.TOO_MUCH_UNCOMMITTED
            if self.uncommitted_bytes and after > self.settings.max_uncommitted_bytes
            else None
        )

    def _on_propose_request(self, m: ProposeRequest) -> Refusal | None:
        if self.role is not Role.LEADER:
            return Refusal.NOT_LEADER  # there will be another leader, to whom all is offered again
        if not is_text(m.request_id):
            return Refusal.MALFORMED_TEXT
        if not self._offers_heard.is_new(m.sender, m.incarnation, m.offer):
            return Refusal.REPEATED_OFFER  # not answered: one copy may be taken, so no other one is refused
        if m.request_id in self._unapplied:
            return Refusal.ALREADY_TAKEN  # not answered: the proposer sees it applied
        answer = self._proposal_refusal(len(m.data), m.frees_space)
        if answer is None:
            self._append_command(m.request_id, m.data)
        else:
            about = (m.request_id, answer, m.incarnation, m.offer)
            self._messages.append(ProposeRefused(self.cluster, self.node, m.sender, self.term, *about))
        return answer

    def _on_propose_refused(self, m: ProposeRefused) -> Refusal | None:
        """The driver tells the proposer, if this is not refused."""
        if m.incarnation != self.incarnation:
            return Refusal.UNKNOWN_OFFER
        return None if m.sender == self.leader else Refusal.NOT_FROM_LEADER

    # --- the leader sends ---

    def _pump(self) -> None:
        """Send every member what it lacks, as far as its window allows; what was proposed meanwhile goes together."""
        self._pump_due = False
        last = self.log.last
        for peer in self.tracker.peers:
            while self._may_send(peer) and peer.next <= last:
                if not self._send_append(peer):
                    break
            if peer.flow is Flow.REPLICATE and peer.sent_commit < min(self.log.committed, peer.next - 1):
                self._send_append(peer, with_entries=False)

    def _may_send(self, peer: Progress) -> bool:
        if peer.flow is Flow.REPLICATE:
            return len(peer.inflight) < self.settings.max_inflight
        return peer.flow is Flow.PROBE and not peer.paused

    def _send_append(self, peer: Progress, *, with_entries: bool = True) -> bool:
        """Send one message of entries, or none but the position and the commit index. False: a snapshot is needed."""
        log = self.log
        prev = peer.next - 1
        prev_term = log.term(prev)
        if prev_term < 0:
            self._offer_snapshot(peer)
            return False
        entries = tuple(log.slice(peer.next, log.last + 1, self.settings.max_message_bytes)) if with_entries else ()
        self._messages.append(
            AppendEntries(
                self.cluster, self.node, peer.node, self.term, prev, prev_term, entries, log.committed, peer.attempt
            )
        )
        if peer.flow is Flow.PROBE:
            peer.paused = True
        elif entries:
            peer.next = entries[-1].index + 1
            peer.inflight.append(peer.next - 1)
        peer.sent_commit = log.committed
        return True

    def _offer_snapshot(self, peer: Progress) -> None:
        meta = self.snapshot_meta(self.log.first - 1)
        if meta is None or meta.index == 0:
            return
        peer.await_snapshot(meta.index)
        self.counters.snapshots_offered += 1
        self._messages.append(InstallSnapshot(self.cluster, self.node, peer.node, self.term, meta, self.state_bytes))

    def snapshot_meta(self, index: int) -> SnapshotMeta | None:
        """What a snapshot of the state at `index` must carry; None if `index` was compacted, is not applied, or is from
        before this node was a member: what the cluster began with is in no entry, so it does not know who was.
        """
        term = self.log.term(index)
        if term < 0 or index > self.log.applied:
            return None
        for since, configuration in reversed(self.configurations):
            if since <= index:
                return SnapshotMeta(index, term, configuration) if configuration.voters else None
        return None

    def _send_heartbeats(self) -> None:
        """They carry the read round too, so one that was lost is asked again."""
        committed = self.log.committed
        compared = self.comparison.question(self.node)
        for peer in self.tracker.peers:
            commit = peer.match if peer.match < committed else committed
            self._messages.append(
                Heartbeat(
                    self.cluster, self.node, peer.node, self.term, commit, self._round, *compared, self.settings.level
                )
            )

    # --- a follower receives ---

    def _on_append_entries(self, m: AppendEntries) -> Refusal | None:
        refusal = self._follow(m.sender) or self._check_entries(m)
        if refusal is not None:
            return refusal
        log = self.log
        if m.prev_index < log.committed:
            # Entries up to here are in every leader's log (leader completeness), so there is nothing to compare.
            self._reply_append(m.sender, log.committed)
            return None
        if not log.holds(m.prev_index, m.prev_term):
            if m.prev_index == log.committed:
                return Refusal.CONTRADICTS_COMMITTED
            self._reject_append(m)
            return None
        verified = m.prev_index + len(m.entries)
        if m.entries:
            self._take_entries(m.entries)
        self._commit_to(self._believed_commit(m.commit, verified))
        self._reply_append(m.sender, verified)
        return None

    def _believed_commit(self, leader_commit: int, verified: int) -> int:
        """Raft paper, figure 2: min(leaderCommit, index of last new entry). What follows it may be of another log."""
        return leader_commit if leader_commit < verified else verified

    def _take_entries(self, entries: Sequence[Entry]) -> None:
        """Append what is new. Only a real contradiction truncates: an old message must not undo what was
        acknowledged since (Raft paper, section 5.3 and figure 2, AppendEntries point 3).
        """
        log = self.log
        if entries[0].index <= log.last:
            position = self._first_difference(entries)
            if position == len(entries):
                return
            if entries[position].index <= log.last:
                log.truncate(entries[position].index)
            entries = entries[position:]
        log.append(entries)
        self.counters.entries_appended += len(entries)

    def _first_difference(self, entries: Sequence[Entry]) -> int:
        for position, entry in enumerate(entries):
            if self.log.term(entry.index) != entry.term:
                return position
        return len(entries)

    def _check_entries(self, m: AppendEntries) -> Refusal | None:
        if m.prev_index < 0 or m.commit < 0:
            return Refusal.INDEX_GAP
        index, term = m.prev_index, m.prev_term
        for entry in m.entries:
            index += 1
            if entry.index != index:
                return Refusal.INDEX_GAP
            if not term <= entry.term <= m.term:
                return Refusal.TERM_DISORDER
            term = entry.term
            refusal = _check_command(entry) if entry.kind is EntryKind.COMMAND else _check_special(entry)
            if refusal is not None:
                return refusal
        return None

    def _reply_append(self, leader: NodeId, index: int) -> None:
        self._after.append(AppendReply(self.cluster, self.node, leader, self.term, index))

    def _reject_append(self, m: AppendEntries) -> None:
        hint_index, hint_term = self.log.may_agree(min(m.prev_index, self.log.last), m.prev_term)
        self._after.append(
            AppendReply(
                self.cluster, self.node, m.sender, self.term, m.prev_index, True, hint_index, hint_term, m.attempt
            )
        )

    def _follow(self, leader: NodeId) -> Refusal | None:
        """A message that only the leader of this node's term sends has come from `leader`."""
        if self.role is not Role.FOLLOWER:
            if self.role is Role.LEADER:
                return Refusal.TWO_LEADERS
            self._become_follower(self.term, leader)
        elif self.leader is None:
            self.leader = leader
        elif self.leader != leader:
            return Refusal.TWO_LEADERS
        self.election_elapsed = 0
        return None

    def _on_heartbeat(self, m: Heartbeat) -> Refusal | None:
        refusal = self._follow(m.sender)
        if refusal is not None:
            return refusal
        if m.commit > self.log.last:
            return Refusal.COMMIT_BEYOND_LOG
        self._commit_to(m.commit)
        if m.level == self.settings.level:  # another version may write its results in another form
            self.comparison.agree(m.agreed, m.fingerprint)
        self._after.append(
            HeartbeatReply(
                self.cluster, self.node, m.sender, self.term, m.read_round, self.low_on_space, self.settings.level,
                *self.comparison.answer(m.asked),
            )
        )  # fmt: skip
        return None

    def _commit_to(self, index: int) -> None:
        self.log.committed = max(self.log.committed, index)

    def _on_install_snapshot(self, m: InstallSnapshot) -> Refusal | None:
        refusal = self._follow(m.sender)
        if refusal is not None:
            return refusal
        meta, log = m.meta, self.log
        if meta.index <= log.committed:
            self._reply_append(m.sender, log.committed)
        elif log.holds(meta.index, meta.term):
            # The log has it all: knowing that it is committed is enough.
            self._commit_to(meta.index)
            self._reply_append(m.sender, meta.index)
        elif self._fetching is None:
            self._fetch = self._fetching = SnapshotFetch(m.sender, meta, m.size)
        return None

    # --- the leader hears ---

    def _on_append_reply(self, m: AppendReply) -> Refusal | None:
        if self.role is not Role.LEADER:
            return Refusal.NOT_LEADER
        if m.index > self.log.last:
            return Refusal.BEYOND_LOG
        peer = self.tracker.progress[m.sender]
        peer.recent_active = True
        if m.rejected:
            self._back_off(peer, m)
            return None
        if not peer.acknowledge(m.index) and not (peer.flow is Flow.PROBE and peer.match == m.index):
            return None
        if peer.flow is Flow.PROBE or (peer.flow is Flow.SNAPSHOT and peer.match + 1 >= self.log.first):
            peer.replicate()
        if peer.offered_index and peer.match + self.settings.promote_lag >= self.log.last:
            peer.offered_index = 0
        self._maybe_commit()
        self._pump_due = True
        if peer.node == self.transfer_target:
            self._maybe_hand_over()
        return None

    def _back_off(self, peer: Progress, m: AppendReply) -> None:
        """Go back to where the logs may agree, by the hint in one step for a whole term (Raft paper, section 5.3).

        One lost or overtaken message makes all that were sent after it be rejected. Only the first of these
        rejections counts: if each began a new volley, volleys would breed volleys.
        """
        if m.attempt != peer.attempt:
            return
        if peer.flow is Flow.REPLICATE:
            if m.index <= peer.match:
                return  # an answer to a message from before `match` was acknowledged
            peer.probe()
        elif peer.flow is Flow.PROBE and m.index == peer.next - 1:
            agreed = m.hint_index
            if m.hint_term > 0:
                agreed, _ = self.log.may_agree(min(m.hint_index, self.log.last), m.hint_term)
            peer.next = max(min(m.index, agreed + 1), peer.match + 1)
            peer.paused = False
        else:
            return
        self._pump_due = True

    def _on_heartbeat_reply(self, m: HeartbeatReply) -> Refusal | None:
        if self.role is not Role.LEADER:
            return Refusal.NOT_LEADER
        if m.read_round > self._round:
            return Refusal.BEYOND_LOG
        peer = self.tracker.progress[m.sender]
        peer.recent_active = True
        peer.low_on_space = m.low_on_space
        peer.level = m.level
        if m.level == self.settings.level:  # see `_on_heartbeat`
            self.comparison.answered(m.sender, m.compared, m.fingerprint, self.tracker.configuration.voters)
        if m.read_round > peer.read_round:
            peer.read_round = m.read_round
            self._confirm_reads()
        if m.sender == self.transfer_target:
            self._maybe_hand_over()  # the first word of it may be lost, or have come before it could be obeyed
        if peer.flow is Flow.SNAPSHOT:
            self._offer_snapshot(peer)
        elif peer.match < self.log.last or peer.flow is Flow.PROBE:
            # Something may have been lost: ask where the member is, also if its window is full.
            peer.paused = False
            self._send_append(peer, with_entries=self._may_send(peer))
        return None

    # --- commit ---

    def _maybe_commit(self) -> bool:
        index = self.tracker.durable_index()
        if index <= self.log.committed or not self._may_count(index):
            return False
        self.log.committed = index
        self._pump_due = True
        self._release_early_reads()
        return True

    def _may_count(self, index: int) -> bool:
        """Raft paper, section 5.4.2 and figure 8: only an entry of the own term is committed by counting copies; those
        before it are committed with it.
        """
        return self.log.term(index) == self.term

    @property
    def is_handing_over(self) -> bool:
        """Whether another node shall lead: nothing is taken meanwhile that would hold up that node."""
        return self.transfer_target is not None or self.is_leaving

    def _maybe_hand_over(self) -> None:
        target = self.tracker.progress.get(self.transfer_target or "")
        if target is not None and target.match == self.log.last:
            self._tell_to_campaign(target.node)

    def _tell_to_campaign(self, heir: NodeId) -> None:
        self._messages.append(TimeoutNow(self.cluster, self.node, heir, self.term))

    # --- what the layers above do ---

    @property
    def is_removed(self) -> bool:
        raise NotImplementedError

    def _confirm_reads(self) -> None:
        raise NotImplementedError

    def _release_early_reads(self) -> None:
        raise NotImplementedError


def _check_command(entry: Entry) -> Refusal | None:
    return None if is_text(entry.request_id) else Refusal.MALFORMED_TEXT


def _check_special(entry: Entry) -> Refusal | None:
    if entry.kind is EntryKind.CONFIGURATION:
        try:
            Configuration.decode(entry.data)
        except MalformedValue:
            return Refusal.MALFORMED_CONFIGURATION
        return None
    return None if entry.kind is EntryKind.NOOP else Refusal.UNKNOWN_ENTRY_KIND
