"""What every command's body needs: the open transaction, its index, and the few questions that all of them ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw
import attrs

from bleepstore.errors import OperationAborted
from bleepstore.model import Owner

Row = tuple[Any, ...]


@attrs.frozen
class Transaction:
    """`before_bucket_change` must be called before the row of a bucket or an owner's name changes."""

    connection: apsw.Connection
    index: int
    before_bucket_change: Callable[[], None]

    def row(self, sql: str, bindings: tuple[Any, ...]) -> Row | None:
        """The first row, or None."""
        return self.connection.execute(sql, bindings).fetchone()

    def run(self, sql: str, bindings: tuple[Any, ...]) -> None:
        self.connection.execute(sql, bindings)

    def bucket_id(self, bucket: str) -> int | None:
        row = self.row("SELECT bucket_id FROM bucket WHERE name = ?", (bucket,))
        return None if row is None else row[0]

    def remember_owner(self, owner: Owner) -> None:
        """Keep the display name of an id; a later one replaces it."""
        known = self.row("SELECT display_name FROM owner WHERE owner_id = ?", (owner.id,))
        if known is None:
            self.run("INSERT INTO owner VALUES (?, ?)", (owner.id, owner.display_name))
        elif owner.display_name and known[0] != owner.display_name:
            self.before_bucket_change()  # a bucket shows its owner's name
            self.run("UPDATE owner SET display_name = ? WHERE owner_id = ?", (owner.display_name, owner.id))

    def discard(self, handle: str, token: str | None = None) -> None:
        """Record that nothing refers to a blob any more; a job removes it after the commit."""
        self.run("INSERT INTO garbage (handle, token) VALUES (?, ?)", (handle, token))

    def swept_away(self, stored_ms: int | None) -> OperationAborted | None:
        """The refusal of a blob that a sweep may already have taken for an orphan, or None."""
        if stored_ms is None:
            return None
        row = self.row("SELECT sweep_begun_ms FROM state", ())
        if row is not None and stored_ms < row[0]:
            return OperationAborted("The upload took too long between its end and its commit. Send it again.")
        return None
