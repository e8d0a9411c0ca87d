"""Commands of the jobs."""

from __future__ import annotations

from bleepstore.catalog.transaction import Transaction
from bleepstore.commands import BeginSweep, Done, EndSweep, ForgetGarbage, Result

#: How long a completed upload is remembered, so that a Complete that is sent again finds its answer.
COMPLETED_MEMORY_MS = 24 * 3600 * 1000


def begin_sweep(tx: Transaction, command: BeginSweep) -> Result:
    tx.run("UPDATE state SET sweep_begun_ms = max(sweep_begun_ms, ?)", (command.until_ms,))
    tx.run("DELETE FROM completed_upload WHERE completed_ms < ?", (command.time_ms - COMPLETED_MEMORY_MS,))
    return Done()


def end_sweep(tx: Transaction, command: EndSweep) -> Result:
    tx.run("UPDATE state SET sweep_ended_ms = max(sweep_ended_ms, ?)", (command.until_ms,))
    return Done()


def forget_garbage(tx: Transaction, command: ForgetGarbage) -> Result:
    tx.connection.executemany("DELETE FROM garbage WHERE garbage_id = ?", [(i,) for i in command.garbage_ids])
    return Done()
