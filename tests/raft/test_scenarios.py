"""The golden scenarios, and that there is one for every way in which others were bitten."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.raft import golden

ROOT = Path(__file__).parent.parent.parent

#: What has bitten others, as the specification lists it -> what shows that it does not bite here: a scenario, or
#: something else in a file::name, where the danger is outside of the core.
ROWS = {
    "vote forgotten at restart": "durability_vote_forgotten_at_restart",
    "missing directory fsync": "tests/raft/driver_checks.py::check_that_the_names_of_a_new_node_are_durable",
    "term and vote written apart": "durability_term_and_vote_written_apart",
    "single node acknowledges before fsync": "durability_single_node_acknowledges_before_fsync",
    "truncated entries back after restart": "durability_truncated_entries_back_after_restart",
    "leader's write fails and the index is reused": "durability_failed_write_and_reused_index",
    "a wiped disk rejoins under its old id": "durability_wiped_disk_same_id",
    "Figure 8": "log_figure_8",
    "a stale append truncates an acknowledged suffix": "log_stale_append_truncates_acknowledged_suffix",
    "stale-term ack": "log_stale_term_ack",
    "follower commits past what it verified": "log_follower_commits_past_verified",
    "async-append ABA": "log_async_append_aba",
    "two overlapping single-server changes": "membership_two_overlapping_changes",
    "configuration entry compacted then needed": "membership_configuration_compacted",
    "snapshot keeps a stale configuration": "membership_snapshot_keeps_stale_configuration",
    "remove plus leader crash": "membership_remove_and_leader_crash",
    "removed node campaigns": "membership_removed_node_campaigns",
    "new leader without a commit in its term": "reads_new_leader_without_commit",
    "reused read context after a pause": "reads_reused_context",
    "a deposed leader answers from itself": "reads_deposed_leader",
    "gap between log and snapshot at restart": "snapshots_gap_at_restart",
    "two in a row": "snapshots_two_in_a_row",
    "a follower that can never catch up": "snapshots_follower_that_never_catches_up",
    "a long reader holds the checkpoint": (
        "tests/raft/test_cluster_disks.py::test_a_long_reader_holds_the_checkpoint_and_nothing_else"
    ),
    "applied index outside the transaction": (
        "tests/raft/driver_checks.py::check_that_no_power_cut_parts_the_log_from_the_catalog"
    ),
    "SQL time/random in apply": (
        "tests/catalog/test_determinism.py::"
        "test_a_function_that_is_not_deterministic_is_refused_where_commands_are_applied"
    ),
    "an unknown command logged and skipped": "state_machine_unknown_entry",
    "ordering by node clocks": "state_machine_order_of_the_log",
}


@pytest.mark.parametrize("path", golden.scenario_files(), ids=lambda path: path.stem)
def test_scenario(path: Path, request: pytest.FixtureRequest) -> None:
    blocks = golden.parse(path.read_text())
    results = golden.run(blocks)
    if request.config.getoption("--rewrite-scenarios", default=False):
        path.write_text(golden.render(results))
        return
    for expected, found in zip(blocks, results, strict=True):
        commands = "\n".join(expected.source)
        assert found.expected == expected.expected, f"{path.name}, after\n{commands}"


@pytest.mark.parametrize("row", ROWS)
def test_every_known_trap_has_its_proof(row: str) -> None:
    file, separator, name = ROWS[row].partition("::")
    if separator:
        assert f"def {name}(" in (ROOT / file).read_text()
    else:
        assert (golden.FOLDER / f"{file}.txt").exists()


def test_no_row_of_the_specification_is_left_out() -> None:
    assert len(ROWS) == 28, "seven of durability, five of the log, five of membership, three of reads, four and four"


def test_every_command_of_the_scenarios_is_explained() -> None:
    from tests.raft.script import Script

    explained = (golden.FOLDER / "README.txt").read_text()
    commands = [name[3:].replace("_", "-") for name in vars(Script) if name.startswith("do_")]
    assert [name for name in commands if name not in explained] == []
