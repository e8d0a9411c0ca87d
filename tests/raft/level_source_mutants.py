"""What raises feature levels and compares states, wrong at one point of its source, and what catches each."""

from __future__ import annotations

from tests.raft.source_mutants import SourceMutant

LEVEL_SOURCE_MUTANTS: dict[str, SourceMutant] = {
    "a level is raised without the learners": SourceMutant(
        "raft.membership",
        "who = self.configuration.members if change.level",
        "who = self.configuration.voters if change.level",
        "test test_levels learners_too_have_to_announce_a_level_and_one_that_knows_less_is_not_promoted",
    ),
    "a learner that is too old is promoted": SourceMutant(
        "raft.membership",
        "level = max(change.level, self.configuration.level)",
        "level = change.level",
        "test test_levels learners_too_have_to_announce_a_level_and_one_that_knows_less_is_not_promoted",
    ),
    "results of another version are compared": SourceMutant(
        "raft.replication",
        "if m.level == self.settings.level:  # see `_on_heartbeat`",
        "if True:  # see",
        "test test_levels a_leader_does_not_compare_itself_with_another_version",
    ),
    "one index is compared for ever": SourceMutant(
        "raft.comparison",
        "if self._own and (self._asked not in self._own or self._asked in self._agreed):",
        "if self._own and self._asked not in self._own:",
        "check the_newest_window_is_asked_for_once_one_is_agreed_on",
    ),
    "an answer to another question is counted": SourceMutant(
        "raft.comparison",
        "if not index or index != self._asked or index not in self._own:",
        "if not index or index not in self._own:",
        "test test_comparison an_answer_to_another_question_counts_for_nothing",
    ),
    "what follows a level in its batch is lost": SourceMutant(
        "raft.applier",
        "if position + 1 < len(entries):",
        "if False:",
        "test test_levels a_level_is_raised_once_between_the_commands_around_it",
    ),
    "what precedes a level in its batch is lost": SourceMutant(
        "raft.applier",
        "                if position:\n",
        "                if False:\n",
        "test test_levels a_level_is_raised_once_between_the_commands_around_it",
    ),
    "a level is raised again by the next change": SourceMutant(
        "raft.applier",
        "            self.state_machine.raise_level(level, entry.index)\n            self._level = level\n",
        "            self.state_machine.raise_level(level, entry.index)\n",
        "test test_levels a_level_is_raised_once_between_the_commands_around_it",
    ),
    "a snapshot does not bring its level": SourceMutant(
        "raft.applier",
        "            self.state_machine.install(name)\n            self._level = level\n",
        "            self.state_machine.install(name)\n",
        "test test_levels a_snapshot_brings_its_level_and_begins_no_window_in_its_midst",
    ),
    "a window goes on over a snapshot": SourceMutant(
        "raft.applier",
        "            self._level = level\n            self._fingerprint = Fingerprint()\n            applied",
        "            self._level = level\n            applied",
        "test test_levels a_snapshot_brings_its_level_and_begins_no_window_in_its_midst",
    ),
    "the entry of a level is in no window": SourceMutant(
        "raft.applier",
        'found = self._fingerprint.take(entry.index, [b""])',
        "found = []",
        "harmless: it adds nothing to a checksum, and a window that it begins or ends is the same everywhere",
    ),
    "entries without a result shift those after them": SourceMutant(
        "raft.applier",
        "if len(results) == len(entries):",
        "if len(results) >= 0:",
        "check fingerprints_do_not_depend_on_batches",
    ),
    "a start forgets the level": SourceMutant(
        "raft.driver",
        "            level=self.core.configuration.level,\n",
        "            level=1,\n",
        "harmless: what a level has brought is not brought again",
    ),
    "a snapshot of a level to come is fetched": SourceMutant(
        "raft.driver",
        "            self._check_level(ready.fetch.meta.configuration.level)\n",
        "",
        "check a_snapshot_of_a_level_to_come_ends_the_node",
    ),
    "the levels between two bring nothing": SourceMutant(
        "catalog.sqlite.schema",
        "if level is None or since <= level:",
        "if level is None or since == level:",
        "check a_level_brings_what_belongs_to_it_and_to_those_below",
    ),
    "a level brings what belongs to later ones": SourceMutant(
        "catalog.sqlite.schema",
        "if level is None or since <= level:",
        "if True:",
        "check a_level_brings_what_belongs_to_it_and_to_those_below",
    ),
    "what a level has brought is brought again": SourceMutant(
        "catalog.sqlite.schema",
        "enumerate(MIGRATIONS[version:], start=version + 1)",
        "enumerate(MIGRATIONS, start=1)",
        "check a_level_brings_what_belongs_to_it_and_to_those_below",
    ),
    "a start brings what belongs to levels to come": SourceMutant(
        "catalog.sqlite.schema",
        "raise_schema(connection, 1 if replicated else None)",
        "raise_schema(connection, None)",
        "check a_level_brings_what_belongs_to_it_and_to_those_below",
    ),
    "a level is raised without its index": SourceMutant(
        "cluster",
        "            tables.raise_level(level)\n            tables.set_applied_index(through)\n",
        "            tables.raise_level(level)\n",
        "check a_level_brings_what_belongs_to_it_and_to_those_below",
    ),
}
