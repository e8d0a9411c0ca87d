"""Majorities, of one set of voters and of two."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bleepstore.raft.quorum import Tally, joint_tally, joint_value, majority_value, tally

_values = st.lists(st.integers(0, 9), max_size=7)
_voters = st.sets(st.sampled_from("abcdefg"), max_size=7).map(sorted)
_votes = st.dictionaries(st.sampled_from("abcdefgxyz"), st.booleans())


@given(_values)
def test_a_majority_reaches_the_value_and_no_greater_one(values: list[int]) -> None:
    value = majority_value(values)
    if not values:
        assert value == 0
        return
    assert 2 * sum(one >= value for one in values) > len(values)
    assert 2 * sum(one > value for one in values) <= len(values)


@given(_values, _values)
def test_a_joint_value_is_reached_by_both(incoming: list[int], outgoing: list[int]) -> None:
    expected = min(majority_value(incoming), majority_value(outgoing)) if outgoing else majority_value(incoming)
    assert joint_value(incoming, outgoing) == expected


@given(_voters, _votes)
def test_a_vote_is_won_by_a_majority_and_lost_when_it_cannot_be_won_any_more(
    voters: list[str], votes: dict[str, bool]
) -> None:
    granted = sum(votes.get(voter, False) for voter in voters)
    open_ = sum(voter not in votes for voter in voters)
    result = tally(voters, votes)
    assert (result is Tally.WON) == (2 * granted > len(voters))
    assert (result is Tally.LOST) == (2 * (granted + open_) <= len(voters))


@given(_voters, _voters, _votes)
def test_a_joint_vote_needs_both_majorities(incoming: list[str], outgoing: list[str], votes: dict[str, bool]) -> None:
    result = joint_tally(incoming, outgoing, votes)
    results = {tally(incoming, votes)} | ({tally(outgoing, votes)} if outgoing else set())
    assert (result is Tally.WON) == (results == {Tally.WON})
    assert (result is Tally.LOST) == (Tally.LOST in results)
