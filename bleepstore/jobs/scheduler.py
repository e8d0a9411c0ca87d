"""What of a store's jobs runs when: by the store's clock, one at a time, in one thread."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from bleepstore.errors import StoreError, StoreReadOnly
from bleepstore.jobs.job import Budget, Job, JobStatus
from bleepstore.jobs.lease import Lease
from bleepstore.jobs.memory import JobsFile, Remembered
from bleepstore.jobs.removing import log
from bleepstore.threads import Background

#: How long the thread lets garbage gather, so that a busy store is asked twice a second at the most.
_GATHER_SECONDS = 0.5
#: So that nobody forgets that it is paused.
MAX_PAUSE_SECONDS = 24 * 3600
#: How long a program that drops a store waits for the run that is under way.
_ABANDON_SECONDS = 1.0


@attrs.define
class _Entry:
    job: Job
    next_ms: int
    last_ms: int | None = None
    is_under_way: bool = False
    examined: int = 0
    changed: int = 0
    error: str | None = None

    def status(self) -> JobStatus:
        return JobStatus(
            name=self.job.name,
            last_run_ms=self.last_ms,
            next_run_ms=self.next_ms,
            is_under_way=self.is_under_way,
            examined=self.examined,
            changed=self.changed,
            left=self.job.left,
            error=self.error,
        )


class Jobs:
    """The jobs of a store. It runs them when it is asked to; those that are due also run in a thread, which begins with
    the first thing that there is to do.

    All methods are thread-safe, and work in every process that has the store open.
    """

    def __init__(
        self, clock: Callable[[], int], lease: Lease, *, folder: Path | None = None, read_only: bool = False
    ) -> None:
        self._clock = clock
        self._lease = lease
        self._file = JobsFile(None if read_only else folder)
        self._read_only = read_only
        self._entries: dict[str, _Entry] = {}
        #: The process that had the lease at its last look: a forked child has a copy of this object, and not the lease.
        self._holder: int | None = None
        #: Where there is no folder that says it.
        self._paused_ms = 0
        self._is_paused = False
        #: What was asked for where there is no folder.
        self._wanted: set[str] = set()
        self._notified = threading.Event()
        self._stopped = threading.Event()
        self._at_end: Callable[[], None] | None = None
        self._thread = Background("bleepstore-jobs")
        self._work_lock = threading.RLock()

    @property
    def holds_lease(self) -> bool:
        """Whether this process, of all that have the store open, is the one whose thread runs the jobs."""
        return self._holder == os.getpid()

    def add(self, job: Job) -> None:
        """One more job, which replaces one of this name. It runs after those that were added before it."""
        with self._work_lock:
            self._entries[job.name] = _Entry(job, self._clock() + job.first_wait_ms)
            if job.is_remembered:
                self._recall()

    def run(self, name: str) -> JobStatus:
        """Run one job now, from the beginning of a pass to its end: "garbage", "uploads", "orphans", "containers",
        "lifecycle".

        Raises what the job does; StoreError for a name that no job has; StoreReadOnly."""
        with self.paused():
            self._find(name).job.restart()
            return self.finish(name)

    def ask(self, name: str) -> None:
        """Have a job run, from the beginning of a pass, by the process whose thread runs the jobs: within seconds,
        once no other job is under way. Where none does, one will when it starts. While the jobs are paused it waits.

        Raises StoreError for a name that no job has; StoreReadOnly, OSError."""
        self._find(name)
        self._file.want(name)
        self._wanted.add(name)
        self.notify()

    def _take_wanted(self) -> None:
        """Those that were asked for are due now."""
        names = self._file.take_wanted(self._entries) if self._file.is_kept else list(self._wanted)
        self._wanted.difference_update(names)
        for name in names:
            with self._work_lock:
                self._entries[name].job.restart()
                self._entries[name].next_ms = 0

    def finish(self, name: str) -> JobStatus:
        """As `run`, to the end of the pass that is under way, if one is."""
        entry = self._find(name)
        with self.paused():
            while not self._run_once(entry, Budget()):
                pass
            return entry.status()

    def run_due(self) -> tuple[str, ...]:
        """Run, once each, the jobs that are due by the store's clock; returns their names. What one of them raises is
        logged, and in its status. A store that is read-only runs those that change nothing."""
        return self._run_those(lambda _job: True, Budget)

    def _run_those(self, wanted: Callable[[Job], bool], new_budget: Callable[[], Budget]) -> tuple[str, ...]:
        ran = []
        for entry in list(self._entries.values()):
            if self._read_only and entry.job.writes:
                continue
            if self._clock() >= entry.next_ms and wanted(entry.job):
                self._try(entry, new_budget())
                ran.append(entry.job.name)
        return tuple(ran)

    def status(self) -> tuple[JobStatus, ...]:
        """What can be seen of each job, of its last run in whatever process that was."""
        told = {} if self.holds_lease else self._file.read_statuses()
        found = [entry.status() for entry in list(self._entries.values())]
        return tuple(max(one, told.get(one.name, one), key=_last_run) for one in found)

    def pause(self, seconds: float) -> int:
        """Have no process run what is due by itself for so long, a day at the most; 0 ends a pause. What is under way
        ends its run. `run` works all the same. Returns until when, in milliseconds of the store's clock.

        Raises ValueError, StoreReadOnly, OSError."""
        if not 0 <= seconds <= MAX_PAUSE_SECONDS:
            raise ValueError(f"a pause lasts {MAX_PAUSE_SECONDS} seconds at the most, not {seconds}")
        if self._read_only:
            raise StoreReadOnly("The store was opened with read_only=True: its jobs run elsewhere, if at all.")
        until_ms = 0 if not seconds else self._clock() + int(seconds * 1000)
        self._file.write_pause_ms(until_ms)
        self._paused_ms = until_ms
        if not seconds:
            self.notify()
        return until_ms

    @property
    def paused_until_ms(self) -> int:
        """0: they are not paused."""
        until_ms = self._file.read_pause_ms() if self._file.is_kept else self._paused_ms
        return until_ms if until_ms > self._clock() else 0

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """A block in which no other thread of this process runs a job."""
        with self._work_lock:
            yield

    def _find(self, name: str) -> _Entry:
        found = self._entries.get(name)
        if found is None:
            raise StoreError(f"no job is called {name!r}: there are {', '.join(self._entries)}")
        if self._read_only and found.job.writes:
            raise StoreReadOnly("The store was opened with read_only=True: open it without to change it.")
        return found

    def _recall(self) -> None:
        """When those jobs are due whose last pass may have been another process's."""
        ended = self._file.read().ended_ms
        for name, entry in self._entries.items():
            if entry.job.is_remembered and not entry.is_under_way and name in ended:
                # No later than a whole interval from now, should the clock have been wrong.
                entry.next_ms = min(ended[name], self._clock()) + entry.job.interval_ms

    def _remember(self, ended: str | None = None) -> None:
        known = self._file.read()
        times = known.ended_ms if ended is None else known.ended_ms | {ended: self._clock()}
        self._file.write(Remembered(os.getpid() if self.holds_lease else known.holder, times))

    def _run_once(self, entry: _Entry, budget: Budget) -> bool:
        """Whether the pass is over."""
        with self._work_lock:
            if not entry.is_under_way:
                entry.examined = entry.changed = 0
            try:
                ran = entry.job.run(budget)
            except BaseException as error:
                entry.error = f"{type(error).__name__}: {error}"
                entry.is_under_way = False  # what it did not do is done later, not at once
                raise
            finally:
                entry.last_ms = self._clock()
                entry.examined += budget.examined
                entry.changed += budget.changed
            entry.error = None
            entry.is_under_way = not ran.is_done
            entry.next_ms = entry.last_ms + ran.wait_ms
            if ran.is_done and entry.job.is_remembered:
                self._remember(entry.job.name)
            if budget.changed:
                log.debug("%s: %d of %d", entry.job.name, entry.changed, entry.examined)
                for other in self._entries.values():
                    if other.job.follows == entry.job.name:
                        other.next_ms = 0
            return ran.is_done

    def _try(self, entry: _Entry, budget: Budget) -> None:
        try:
            self._run_once(entry, budget)
        except Exception:  # noqa: BLE001  # whatever it is, it is logged and tried again
            # The thread must outlive a full disk or a provider's bad hour: what was not done is still to be done.
            entry.next_ms = self._clock()
            log.exception("the job %s failed; it will be tried again", entry.job.name)

    # -- the thread

    def notify(self) -> None:
        """Something may have become garbage. What was done stands, also if there is no thread to be had now."""
        if not self._thread.is_started:
            with contextlib.suppress(RuntimeError):
                self.start()
        if not self._notified.is_set():  # which is cheaper; the thread takes it back before it looks
            self._notified.set()

    def start(self) -> None:
        """Begin to run what is due, in a thread. Raises RuntimeError if there is none to be had."""
        if not self._read_only:
            self._thread.start(self._run)

    def _run(self) -> None:
        try:
            self._run_until_stopped()
        finally:
            self._lease.release()
            if self._at_end is not None:
                self._at_end()

    def _run_until_stopped(self) -> None:
        """While something happens it looks twice a second, then less and less often. What becomes garbage in other
        processes is on the catalog's list, and what they notify is not heard here."""
        rest = _GATHER_SECONDS
        while not self._stopped.is_set():
            try:
                notified = self._notified.wait(min(rest, self._wait_seconds()))
                self._notified.clear()
                if notified and self._stopped.wait(_GATHER_SECONDS):
                    return
                has_changed = self._look()
            except Exception:  # noqa: BLE001  # the thread outlives a clock that raises, too
                log.exception("what is due could not be looked at; it will be tried again")
                if self._stopped.wait(rest):
                    return
                notified = has_changed = False
            rest = _GATHER_SECONDS if notified or has_changed else min(2 * rest, self._lease.poll_seconds)

    def _look(self) -> bool:
        """Run what is due, if that is for this process to do. Whether anything was changed."""
        held, holds = self.holds_lease, self._lease.acquire()
        self._holder = os.getpid() if holds else None
        if holds and not held:
            with self._work_lock:
                self._remember()
                self._recall()
        self._is_paused = bool(holds and self.paused_until_ms)
        if holds and not self._is_paused:
            self._take_wanted()
        ran = self._run_those(self._is_ours, lambda: Budget(is_stopped=self._stopped.is_set))
        if ran and holds:
            self._file.write_statuses([entry.status() for entry in list(self._entries.values())])
        return any(self._entries[name].changed or self._goes_on(self._entries[name]) for name in ran)

    def _is_ours(self, job: Job) -> bool:
        return not job.needs_lease or (self.holds_lease and not self._is_paused)

    def _goes_on(self, entry: _Entry) -> bool:
        return entry.is_under_way and self._is_ours(entry.job)

    def _wait_seconds(self) -> float:
        """How long there is nothing to do, if nothing is said."""
        under_way = [entry.next_ms for entry in list(self._entries.values()) if self._goes_on(entry)]
        if not under_way:
            return math.inf
        return max((min(under_way) - self._clock()) / 1000, 0)

    def stop(self) -> None:
        """End the thread; it finishes the run that it is in."""
        self._stopped.set()
        self._notified.set()
        self._thread.end()

    def abandon(self, then: Callable[[], None]) -> None:
        """End the thread, and call `then` once it has ended. For a store that was dropped without being closed: this
        may come in the middle of anything that any thread does, so nobody is waited for without a limit."""
        if not self._thread.is_alive:
            self._stopped.set()
            then()
            return
        self._at_end = then
        self._stopped.set()
        self._notified.set()
        self._thread.join(_ABANDON_SECONDS)


def _last_run(status: JobStatus) -> int:
    return status.last_run_ms or 0
