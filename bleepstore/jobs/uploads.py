"""Uploads that nobody ended."""

from __future__ import annotations

from bleepstore.backends.gateway.retry import Outage
from bleepstore.commands import AbortUpload
from bleepstore.jobs.clock_jumps import ClockJumps
from bleepstore.jobs.job import Budget, Job, Ran
from bleepstore.jobs.parts import Parts
from bleepstore.jobs.removing import Remover

_BATCH = 100
_INTERVAL_MS = 60_000
#: How far the system's clock may run ahead of the time that passed: it is adjusted, and the machine sleeps.
_BELIEVED_MS = 3600 * 1000


class ExpiredUploadsJob(Job):
    """Aborts the uploads that were created too long ago, and removes their parts.

    No upload expires if the clock ran ahead of the real time by more than an hour since the last pass, or since the
    store was last used: a machine may start with a wrong clock, and nobody knows how long it was off. A clock that was
    set wrong is put right before long, and uploads that it ended would be lost. The next pass believes it, if it is
    still so. A program that asks for a pass may have a clock of its own: then that is twice the time of expiry, and it
    knows how late it is when it opens the store.
    """

    name = "uploads"

    def __init__(self, parts: Parts, remover: Remover, expiry_ms: int) -> None:
        self._parts = parts
        self._remover = remover
        self._expiry_ms = expiry_ms
        self._believed_ms = _BELIEVED_MS
        self._jumps = ClockJumps(parts.wall_clock, parts.last_used_ms)
        self._before_ms: int | None = None  # of a pass that is under way

    @property
    def first_wait_ms(self) -> int:
        return _INTERVAL_MS

    def restart(self) -> None:
        self._before_ms = None
        self._believed_ms = max(2 * self._expiry_ms, _BELIEVED_MS)
        self._jumps.believe_opening()

    def run(self, budget: Budget) -> Ran:
        if self._before_ms is None:
            jumped, self._believed_ms = self._jumps.jumped(self._believed_ms), _BELIEVED_MS
            if jumped:
                return Ran(is_done=True, wait_ms=_INTERVAL_MS)
            self._before_ms = self._parts.wall_clock() - self._expiry_ms
        outage = Outage()
        while not budget.is_spent:
            with self._parts.catalog.read() as reader:
                expired = reader.expired_uploads(self._before_ms, _BATCH)
            for upload in expired:
                if outage.error is not None:
                    break  # what is not ended at the provider must not be forgotten here
                self._parts.submit(
                    AbortUpload(
                        **self._parts.stamp(),
                        bucket=upload.bucket,
                        bucket_id=upload.bucket_id,
                        key=upload.key,
                        upload_id=upload.upload_id,
                    )
                )
                budget.spend(items=1)
                budget.changed += 1
                self._remover.remove([], upload.backend_token, outage)
            if len(expired) < _BATCH or outage.error is not None:
                self._before_ms = None
                return Ran(is_done=True, wait_ms=_INTERVAL_MS)
        return Ran(is_done=False, wait_ms=0)
