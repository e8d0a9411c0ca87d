"""What all commands have."""

from __future__ import annotations

from typing import ClassVar


class Change:
    """What a committer asks of a command before it takes it."""

    __slots__ = ()
    #: Whether less is stored once it is applied, so that it is taken on a disk that is nearly full.
    frees_space: ClassVar[bool] = False
    #: The feature level of a cluster at which the command may be proposed: every node knows it then.
    level: ClassVar[int] = 1
    #: Whether the command belongs to bytes that were just written elsewhere on the disk.
    brings_blob: ClassVar[bool] = False
