"""What a committer asks of commands."""

from __future__ import annotations

import attrs
import pytest

from bleepstore import commands as c
from bleepstore.commands import Command
from bleepstore.model import BlobRef
from tests.library.samples import COMMANDS

FREEING = {
    c.AbortUpload, c.ApplyLifecycle, c.BeginSweep, c.DeleteBucket, c.DeleteObject, c.DeleteObjects,
    c.DeleteCredential, c.DeleteUser,
    c.DeleteRole, c.DisableCredential, c.EndReplications, c.EndRestorations,
    c.EndSweep, c.ForgetEvents, c.ForgetGarbage, c.RevokeSessions,
}  # fmt: skip
ALL = [command for pair in COMMANDS.values() for command in pair]


@pytest.mark.parametrize("command", ALL, ids=lambda command: type(command).__name__)
def test_a_command_knows_whether_it_frees_space(command: Command) -> None:
    """A full disk that refused these would stay full; one that took others would end the store."""
    if isinstance(command, c.FollowProvider):
        assert command.frees_space is (command.written is None)
    elif isinstance(command, c.PutBucketSetting):
        assert command.frees_space is (command.setting.value is None)
    elif isinstance(command, c.PutBucketConfiguration | c.PutUserPolicy):
        assert command.frees_space is (command.document is None)
    elif isinstance(command, c.PutQuota):
        assert command.frees_space is (command.quota is None)
    else:
        assert command.frees_space is (type(command) in FREEING)


def test_a_command_knows_whether_a_blob_came_with_it() -> None:
    put = COMMANDS[c.PutObject][1]
    assert isinstance(put, c.PutObject)
    assert [put.brings_blob, attrs.evolve(put, data=BlobRef("h")).brings_blob] == [False, True]
    assert {type(command) for command in ALL if command.brings_blob} == {c.PutObject, c.PutReplica, c.RegisterPart}
