"""The jobs that remove what nothing refers to and what has expired, and how they follow each other when somebody asks
for all of them."""

from __future__ import annotations

from collections.abc import Callable

from bleepstore.commands import DeleteObject
from bleepstore.jobs.containers import ContainersJob
from bleepstore.jobs.garbage import GarbageJob
from bleepstore.jobs.lifecycle import LifecycleJob
from bleepstore.jobs.log_spool import LogSpool
from bleepstore.jobs.orphans import OrphansJob
from bleepstore.jobs.parts import Parts
from bleepstore.jobs.removing import Remover
from bleepstore.jobs.scheduler import Jobs
from bleepstore.jobs.uploads import ExpiredUploadsJob


class Sweeping:
    """Adds its jobs to `jobs`. For `delete` see LifecycleJob."""

    def __init__(
        self,
        jobs: Jobs,
        parts: Parts,
        upload_expiry_ms: int,
        delete: Callable[[DeleteObject], object] | None,
        log_spool: LogSpool,
    ) -> None:
        self._jobs = jobs
        remover = Remover(parts)
        self._garbage = GarbageJob(parts, remover)
        self.orphans = OrphansJob(parts, remover)
        self.containers = ContainersJob(parts, remover)
        self.lifecycle = LifecycleJob(parts, remover, delete, log_spool)
        for job in (
            self._garbage,
            ExpiredUploadsJob(parts, remover, upload_expiry_ms),
            self.orphans,
            self.containers,
            self.lifecycle,
        ):
            jobs.add(job)

    def sweep(self, grace_ms: int) -> None:
        """Remove all that can be removed now, up to blobs that were written `grace_ms` ago."""
        with self._jobs.paused():
            self._jobs.run("garbage")  # first, for it frees space, and the rest needs some on a full disk
            self._jobs.run("uploads")
            self.orphans.restart(grace_ms)
            self._jobs.finish("orphans")
            self._jobs.run("garbage")
            self._jobs.run("containers")

    def recover(self, set_aside: Callable[[str], bool], *, everywhere: bool) -> None:
        """Remove what an earlier process left, for the only one that has the store open. `set_aside` takes the orphans
        that may be needed. Uploads do not expire yet: nobody knows how long the clock has been right."""
        with self._jobs.paused():
            self._jobs.run("garbage")
            self.orphans.restart(0, set_aside=set_aside, everywhere=everywhere)
            self._jobs.finish("orphans")
            self._jobs.run("garbage")

    def start_anew(self) -> None:
        """The catalog is now another one, and no write is under way: remove the blobs that it does not know."""
        with self._jobs.paused():
            self._garbage.restart()
            self.lifecycle.forget()
            self.orphans.restart(0)
            self._jobs.finish("orphans")
