"""What a Raft node needs of the state machine it replicates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class SnapshotRefused(Exception):
    """The bytes of a snapshot are not what they should be; the message says what differs."""


class StateMachine(Protocol):
    """A deterministic state machine that keeps its own state.

    `apply`, `install` and `make_durable` are called by one thread at a time; `write_snapshot` and `prepare` by any.
    An exception of `apply` or `install` ends the node: what one node cannot do, and others can, would make them differ.
    """

    @property
    def applied(self) -> int:
        """The last index that was applied. When the node starts: the last that is durable."""

    @property
    def name(self) -> str:
        """Under which name the present state was prepared; "" for the state that a new node begins with."""

    def apply(self, batch: Sequence[tuple[int, bytes]], through: int) -> Sequence[object]:
        """Apply commands (index, data) in order, all or none, and remember `through` as applied with them.

        `through` is at least the last index of the batch: some entries of the log hold no command. Returns the result
        of each command. What was applied need not be durable: the log is, and it is applied again.
        """

    def fingerprint(self, result: object) -> bytes:
        """Bytes that the result of a command has in common on all nodes whose states are equal."""

    def raise_level(self, level: int, through: int) -> None:
        """The entry `through` raises the cluster's feature level to `level`, which this program knows: change the
        stored form as it needs, and remember `through` as applied, all or none.
        """

    def condemn(self, reason: str) -> None:
        """This state is not that of the others: see that it is never used again."""

    def make_durable(self) -> int:
        """Returns the last index whose effects a crash cannot undo any more; the log up to it may be dropped."""

    @property
    def size(self) -> int:
        """About how many bytes a snapshot of the present state has."""

    def write_snapshot(self, path: Path) -> int:
        """Write the state of one moment to the new file `path`, and return its applied index."""

    def incoming(self) -> Path:
        """A name for a file to receive a snapshot in, on the disk that holds the state."""

    def prepare(self, path: Path, index: int) -> str:
        """Verify the snapshot in the file `path`, which should be at `index`, and make it durable beside the present
        state. Returns the name that `install` or `discard` will be given. Raises SnapshotRefused.
        """

    def install(self, name: str) -> None:
        """The prepared state becomes the present one."""

    def discard(self, name: str) -> None:
        """A prepared state is not needed."""

    def close(self) -> None:
        """Release what is open."""
