"""Drivers, and the parts around them, that are wrong at one point of their source, and what catches each."""

from __future__ import annotations

from tests.raft.source_mutants import SourceMutant

DRIVER_SOURCE_MUTANTS: dict[str, SourceMutant] = {
    "entries that come without a new term are saved later": SourceMutant(
        "raft.driver",
        ("            and not ready.entries\n            and ready.truncate_from is None\n"),
        "            and ready.truncate_from is None\n",
        "node seed 0",
    ),
    "a truncation alone is saved later": SourceMutant(
        "raft.driver",
        ("            and not ready.entries\n            and ready.truncate_from is None\n"),
        "            and not ready.entries\n",
        "harmless: the core truncates only to append",
    ),
    "a hard state that was saved is saved again later": SourceMutant(
        "raft.driver",
        ("        self._unsaved_hard = None\n        if hard is not None:\n            self._saved_hard = hard\n"),
        ("        if hard is not None:\n            self._saved_hard = hard\n"),
        "node seed 1",
    ),
    "what is saved is not remembered": SourceMutant(
        "raft.driver",
        ("        if hard is not None:\n            self._saved_hard = hard\n"),
        "",
        "check the_commit_of_a_change_is_saved",
    ),
    "a snapshot is saved without the term": SourceMutant(
        "raft.driver",
        ("        hard = ready.hard_state or self._unsaved_hard\n        self.applier.replace"),
        ("        hard = None\n        self.applier.replace"),
        "check a_ready_is_one_save",
    ),
    "the log is compacted past what members need": SourceMutant(
        "raft.driver",
        "else min(durable, self.core.compaction_limit())",
        "else durable",
        "check what_a_member_needs_is_kept",
    ),
    "one entry too many is compacted": SourceMutant(
        "raft.driver",
        "        index = limit - settings.keep_entries\n",
        "        index = limit + 1 - settings.keep_entries\n",
        "check only_what_is_durable_is_compacted",
    ),
    "compaction does not wait for the commit index": SourceMutant(
        "raft.driver",
        ("        self.flush()\n        self._log.compact"),
        "        self._log.compact",
        "harmless: a start takes what is applied for committed",
    ),
    "what was forwarded is not offered again": SourceMutant(
        "raft.driver",
        "        proposal.resend_at = self._now() + self.settings.retry_ticks\n",
        "        proposal.resend_at = math.inf\n",
        "check a_command_is_offered_in_one_envelope",
    ),
    "what a leader has appended is not offered again": SourceMutant(
        "raft.driver",
        "        proposal.resend_at = self._now() + self.settings.retry_ticks\n",
        (
            "        is_own = isinstance(answered, Accepted)\n"
            "        proposal.resend_at = math.inf if is_own else self._now() + self.settings.retry_ticks\n"
        ),
        "test test_node what_is_proposed_again_between_its_result_and_word_of_it_is_answered",
    ),
    "the failure of a proposal is that of whichever has its id": SourceMutant(
        "raft.waiting",
        "            waits = self._waiting.get(proposal.request_id) is proposal\n",
        "            waits = proposal.request_id in self._waiting\n",
        "check a_proposal_that_was_answered_does_not_fail_the_next_one_of_its_id",
    ),
    "what a leader has not taken waits as if it were lost": SourceMutant(
        "raft.driver",
        "            proposal.resend_at = self._now() + proposal.pause\n",
        "",
        "check what_the_leader_has_not_taken_comes_again_later_each_time",
    ),
    "what a leader has not taken is offered to it all the time": SourceMutant(
        "raft.driver",
        "            proposal.pause = min(2 * proposal.pause, self.settings.retry_ticks)\n",
        "",
        "check what_the_leader_has_not_taken_comes_again_later_each_time",
    ),
    "what a node cannot take is offered to it all the time": SourceMutant(
        "raft.driver",
        "            self._put_off(proposal, answered, proposal.offers)\n",
        "            proposal.resend_at = self._now() + 1\n",
        "check what_a_node_cannot_take_comes_again_later_each_time",
    ),
    "the next leader is offered as seldom as the last one": SourceMutant(
        "raft.driver",
        "                    proposal.pause = 1.0  #",
        "                    pass  #",
        "check what_the_leader_has_not_taken_comes_again_later_each_time",
    ),
    "a refusal counts for whatever is offered": SourceMutant(
        "raft.driver",
        "if proposal is not None and proposal.offer == message.offer:",
        "if proposal is not None:",
        "check a_refusal_counts_for_the_last_offer_alone",
    ),
    "a refusal that is doubled counts twice": SourceMutant(
        "raft.driver",
        "            proposal.offer = 0\n",
        "",
        "check what_the_leader_has_not_taken_comes_again_later_each_time",
    ),
    "what the leader never takes is offered until its time is up": SourceMutant(
        "raft.driver",
        "if reason not in (Refusal.NO_SPACE, Refusal.ENTRY_TOO_LARGE):",
        "if reason is not Refusal.NO_SPACE:",
        "check what_the_leader_never_takes_is_refused_at_once",
    ),
    "what was offered twice is said to be refused": SourceMutant(
        "raft.driver",
        "        if offers_before > 0:  #",
        "        if False:  #",
        "check what_the_leader_never_takes_is_refused_at_once",
    ),
    "what a node appended itself was offered to nobody": SourceMutant(
        "raft.driver",
        "        proposal.offers += 1\n",
        "        proposal.offers += not isinstance(answered, Accepted)\n",
        "check what_a_node_appended_itself_is_not_said_to_be_refused",
    ),
    "what a snapshot includes is not offered again": SourceMutant(
        "raft.driver",
        "        if has_new_leader or ready.snapshot is not None:\n",
        "        if has_new_leader:\n",
        "check what_a_snapshot_may_include_is_offered_again",
    ),
    "lost reads are not asked again": SourceMutant(
        "raft.driver",
        "            self._asking += [read for read in self._asked.pop(context, ()) if not read.future.done()]\n",
        "            self._asked.pop(context, None)\n",
        "node seed 8",
    ),
    "reads that were asked outlive the membership": SourceMutant(
        "raft.driver",
        "[*self._asking, *(read for group in self._asked.values() for read in group)]:\n",
        "self._asking:\n",
        "check a_read_that_was_asked_ends_with_the_membership",
    ),
    "a read is asked under the last context": SourceMutant(
        "raft.driver",
        "        self._context += 1\n",
        "        self._context = max(1, self._context)\n",
        "node seed 3",
    ),
    "a refused read is dropped": SourceMutant(
        "raft.driver",
        ("            self._asked[self._context] = self._asking\n            self._asking = []\n"),
        ("            self._asked[self._context] = self._asking\n        self._asking = []\n"),
        "node seed 1 tearing",
    ),
    "acknowledges before the save": SourceMutant(
        "raft.driver",
        (
            "        if ready.snapshot is None and (ready.must_save or self._unsaved_hard is not None):\n"
            "            self._save(ready)\n"
            "        if ready.messages_after:\n"
            "            self._senders.send(ready.messages_after)\n"
            "        self.core.advance(ready.token)\n"
        ),
        (
            "        self.core.advance(ready.token)\n"
            "        if ready.snapshot is None and (ready.must_save or self._unsaved_hard is not None):\n"
            "            self._save(ready)\n"
            "        if ready.messages_after:\n"
            "            self._senders.send(ready.messages_after)\n"
        ),
        "harmless: what follows from it leaves with the next Ready, after the save",
    ),
    "committed entries are applied twice": SourceMutant(
        "raft.driver",
        "            self.applier.put(ready.committed)\n",
        ("            self.applier.put(ready.committed)\n            self.applier.put(ready.committed)\n"),
        "check each_committed_entry_reaches_the_state_machine_once",
    ),
    "committed entries are applied with the next only": SourceMutant(
        "raft.driver",
        "            self.applier.put(ready.committed)\n",
        "            self.applier.put(ready.committed[1:] or ready.committed)\n",
        "node seed 0",
    ),
    "a fetched state is not installed": SourceMutant(
        "raft.driver",
        "            if not self._fetcher.ends(attempt) or self.core.install_snapshot(attrs.evolve(meta, name=name)):",
        "            if not self._fetcher.ends(attempt):",
        "node seed 3",
    ),
    "a fetched state has no name": SourceMutant(
        "raft.driver",
        "self.core.install_snapshot(attrs.evolve(meta, name=name))",
        "self.core.install_snapshot(meta)",
        "node seed 3",
    ),
    "a refused state stays": SourceMutant(
        "raft.driver",
        "                self._state_machine.discard(name)\n",
        "                pass\n",
        "check a_state_that_is_not_installed_is_discarded",
    ),
    "a failed fetch is not told to the core": SourceMutant(
        "raft.driver",
        ("        if self._fetcher.tick():\n            self.core.snapshot_failed()\n"),
        "        self._fetcher.tick()\n",
        "node seed 5",
    ),
    "a stop saves nothing more": SourceMutant(
        "raft.driver",
        ("        if self._unsaved_hard is not None:\n            self._log.save"),
        ("        if False:\n            self._log.save"),
        "harmless: a commit index is learnt again",
    ),
    "an answer for a node that leads is a hand-over": SourceMutant(
        "raft.driver",
        "if self.core.is_leaving and self.core.role is not Role.LEADER and self.core.leader is not None:",
        "if self.core.is_leaving and self.core.leader is not None:",
        "check a_leader_that_leaves_waits_for_the_next_one",
    ),
    "a leader that leaves hands over once": SourceMutant(
        "raft.driver",
        "            self._leave()  #",
        "            pass  #",
        "check a_leader_that_leaves_says_so_until_another_one_leads_and_takes_nothing",
    ),
    "a leader that leaves waits for ever": SourceMutant(
        "raft.driver",
        "if self._leaves_at is not None and self._ticks >= self._leaves_at:",
        "if False:",
        "check a_leader_that_leaves_ends_if_nobody_takes_over",
    ),
    "a leader that leaves chooses an heir in each tick": SourceMutant(
        "raft.driver",
        "and self.core.role is Role.LEADER and self.core.transfer_target is None:",
        "and self.core.role is Role.LEADER:",
        "check a_leader_that_leaves_and_hears_of_nobody_steps_down",
    ),
    "a node applies more than its batch says": SourceMutant(
        "raft.applier",
        "        through = entries[-1].index\n",
        "        through = entries[-1].index + 1\n",
        "node seed 0",
    ),
    "a batch says less than it applies": SourceMutant(
        "raft.applier",
        "        through = entries[-1].index\n",
        "        through = max(entries[0].index, entries[-1].index - 1)\n",
        "node seed 0",
    ),
    "a snapshot does not end an era": SourceMutant(
        "raft.applier",
        ("            self._era += 1\n            save()"),
        "            save()",
        "check what_was_handed_out_before_a_snapshot_is_void",
    ),
    "reads do not see a snapshot": SourceMutant(
        "raft.applier",
        "        self.watch.reached(applied)\n",
        "",
        "check a_read_sees_a_snapshot",
    ),
    "a proposal is answered with the next result": SourceMutant(
        "raft.applier",
        "for entry, result in zip(commands, results, strict=True):",
        "for entry, result in zip(commands, [*results[1:], *results[:1]], strict=True):",
        "node seed 0",
    ),
    "nobody is told what is applied": SourceMutant(
        "raft.applier",
        '        self._post(("applied", through))',
        "        pass",
        "node seed 5",
    ),
    "entries that nobody checked the order of": SourceMutant(
        "raft.applier",
        "if first != self.state_machine.applied + 1 or last != first + len(entries) - 1:",
        "if False:",
        "check entries_are_applied_once_each",
    ),
    "a read is answered one index early": SourceMutant(
        "raft.waiting",
        "            if index > self._applied:",
        "            if index > self._applied + 1:",
        "node seed 9",
    ),
    "a read waits for one index more": SourceMutant(
        "raft.waiting",
        "self._heap[0][0] <= applied:",
        "self._heap[0][0] < applied:",
        "check a_read_waits_until_what_it_must_see_is_applied",
    ),
    "waiting proposals are never fewer": SourceMutant(
        "raft.waiting",
        "        self._bytes -= len(proposal.data)\n",
        "        pass\n",
        "check an_answered_proposal_gives_back_its_bytes",
    ),
    "a repeated proposal is a second one": SourceMutant(
        "raft.waiting",
        ("            if known is not None:\n                return known, False\n"),
        "",
        "check a_proposal_that_waits_is_one",
    ),
    "any fetch that ends is the one that is awaited": SourceMutant(
        "raft.fetcher",
        (
            "        if attempt is not self._attempt:\n"
            "            return False\n"
            "        self._attempt = None\n"
            "        self._failures = 0"
        ),
        ("        self._attempt = None\n        self._failures = 0"),
        "check a_fetch_that_was_given_up_is_over",
    ),
    "a fetch that failed is never tried again": SourceMutant(
        "raft.fetcher",
        "        self._again_at = self._now() + wait\n",
        "        self._again_at = None\n",
        "node seed 5",
    ),
    "a chunk is taken wherever it belongs": SourceMutant(
        "raft.snapshot_transfer",
        "                if chunk.offset != file.tell():",
        "                if False:",
        "check each_piece_of_a_snapshot_is_verified",
    ),
    "a chunk is taken without its hash": SourceMutant(
        "raft.snapshot_transfer",
        "                if not chunk.is_sound:",
        "                if False:",
        "check each_piece_of_a_snapshot_is_verified",
    ),
    "a snapshot may end early": SourceMutant(
        "raft.snapshot_transfer",
        "            if file.tell() != stream.size:",
        "            if False:",
        "check each_piece_of_a_snapshot_is_verified",
    ),
    "a copy that is too old is shared": SourceMutant(
        "raft.snapshot_transfer",
        "if self._newest is None or self._newest[0].index < least_index:",
        "if self._newest is None:",
        "check a_copy_is_shared_while_it_is_new_enough",
    ),
    "a state is given that is older than was asked for": SourceMutant(
        "raft.node",
        "        if stream.meta.index < least_index:\n",
        "        if False:\n",
        "check no_state_is_given_that_is_older_than_was_asked_for",
    ),
    "a copy that is too old stays": SourceMutant(
        "raft.node",
        "            stream.close()\n            raise SnapshotUnavailable",
        "            raise SnapshotUnavailable",
        "check no_state_is_given_that_is_older_than_was_asked_for",
    ),
    "a copy outlives its readers": SourceMutant(
        "raft.snapshot_transfer",
        ("        path.unlink(missing_ok=True)\n\n\ndef receive"),
        ("\n\ndef receive"),
        "check a_copy_is_shared_while_it_is_new_enough",
    ),
    "a log that is too large waits for a member": SourceMutant(
        "raft.driver",
        "limit = durable if meter.size > settings.max_log_bytes else",
        "limit = durable if False else",
        "check a_log_that_is_too_large_keeps_nothing_for_a_member",
    ),
    "the wait after a failed fetch stays as it is": SourceMutant(
        "raft.fetcher",
        "self._first_wait * 2**self._failures",
        "self._first_wait",
        "check a_fetch_that_ends_well_is_a_new_beginning",
    ),
    "failed fetches are not forgotten": SourceMutant(
        "raft.fetcher",
        "        self._attempt = None\n        self._failures = 0\n",
        "        self._attempt = None\n",
        "check a_fetch_that_ends_well_is_a_new_beginning",
    ),
}
