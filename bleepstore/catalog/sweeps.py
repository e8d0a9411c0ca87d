"""Commands of the jobs."""

from __future__ import annotations

from bleepstore.catalog.port import Tables
from bleepstore.commands import BeginSweep, Done, EndSweep, ForgetGarbage, Result
from bleepstore.errors import OperationAborted

#: How long a completed upload is remembered, so that a Complete that is sent again finds its answer.
COMPLETED_MEMORY_MS = 24 * 3600 * 1000


def begin_sweep(tables: Tables, command: BeginSweep) -> Result:
    tables.begin_sweep(command.until_ms)
    tables.forget_completed(command.time_ms - COMPLETED_MEMORY_MS)
    return Done()


def end_sweep(tables: Tables, command: EndSweep) -> Result:
    tables.end_sweep(command.until_ms)
    return Done()


def forget_garbage(tables: Tables, command: ForgetGarbage) -> Result:
    tables.forget_garbage(command.garbage_ids)
    return Done()


def check_fence(tables: Tables, stored_ms: int) -> OperationAborted | None:
    """The refusal of a blob that a sweep may already have found to be an orphan, or None."""
    if stored_ms < tables.sweep_begun_ms():
        return OperationAborted("The upload took too long between its end and its commit. Send it again.")
    return None
