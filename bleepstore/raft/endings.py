"""Why a node has ended, as a status for whoever supervises its process.

The numbers are those of <sysexits.h>, which supervisors know: `Ending.exit_status` is what the process should exit
with, and `may_restart` whether starting it again can help before somebody has done something.
"""

from __future__ import annotations

import enum

from bleepstore.errors import NO_SPACE, CatalogDamaged, CatalogTooNew, NotUnderstood, StorageFull, StorageUnavailable
from bleepstore.raft.comparison import StateDiffers
from bleepstore.raft.storage import LogDamaged, LogFailed, LogFull, LogTooNew


class Ending(enum.Enum):
    """(exit status, whether to start again, what to do)."""

    STOPPED = (0, False, "it was stopped")
    FAULT = (70, True, "an error that nobody expected: start it again, and report what the log says")
    DISK_FULL = (75, False, "the disk is full: free some space, then start it again")
    DISK_FAILED = (74, True, "the disk failed: started again it goes on from what is there; look at the disk")
    DAMAGED = (65, False, "what is stored is not sound: remove the node, and add one with an empty directory")
    DIFFERS = (76, False, "its state is not that of the others: remove the node, and add one with an empty directory")
    TOO_OLD = (78, False, "the cluster uses what this version does not know: upgrade it, then start it again")

    def __init__(self, exit_status: int, may_restart: bool, advice: str) -> None:
        self.exit_status = exit_status
        self.may_restart = may_restart
        self.advice = advice


def ending_of(error: BaseException | None) -> Ending:
    """What ended a node that `error` has ended; None: nothing has. Of several that led to each other the first that
    says something counts.
    """
    if error is None:
        return Ending.STOPPED
    while error is not None:
        match error:
            case LogFull() | StorageFull():
                return Ending.DISK_FULL
            case OSError() if error.errno in NO_SPACE:
                return Ending.DISK_FULL
            case LogFailed() | StorageUnavailable() | OSError():
                return Ending.DISK_FAILED
            case LogDamaged() | CatalogDamaged():
                return Ending.DAMAGED
            case StateDiffers():
                return Ending.DIFFERS
            case LogTooNew() | CatalogTooNew() | NotUnderstood():
                return Ending.TOO_OLD
            case _:
                error = error.__cause__
    return Ending.FAULT
