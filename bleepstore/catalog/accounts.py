"""Commands on access keys."""

from __future__ import annotations

from bleepstore.catalog.transaction import Transaction
from bleepstore.commands import DisableCredential, Done, PutCredential, Result
from bleepstore.errors import NoSuchCredential


def put_credential(tx: Transaction, command: PutCredential) -> Result:
    """A new access key, or a new secret and owner for a known one, which this also enables."""
    tx.remember_owner(command.owner)
    tx.run(
        "INSERT INTO credential VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT (access_key) DO UPDATE SET "
        "secret_key = excluded.secret_key, owner_id = excluded.owner_id, email = excluded.email, enabled = 1",
        (command.access_key, command.secret_key, command.owner.id, command.email, command.time_ms),
    )
    return Done()


def disable_credential(tx: Transaction, command: DisableCredential) -> Result:
    if tx.row("SELECT 1 FROM credential WHERE access_key = ?", (command.access_key,)) is None:
        return NoSuchCredential(command.access_key)
    tx.run("UPDATE credential SET enabled = 0 WHERE access_key = ?", (command.access_key,))
    return Done()
