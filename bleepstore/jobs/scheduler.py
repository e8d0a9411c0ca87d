"""What of a store's jobs runs when: by the store's clock, one at a time, in one thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import attrs

from bleepstore.errors import StoreError, StoreReadOnly
from bleepstore.jobs.job import Budget, Job, JobStatus
from bleepstore.jobs.removing import log

#: How long the thread lets garbage gather, so that a busy store is asked twice a second at the most.
_GATHER_SECONDS = 0.5
#: How often the thread looks which jobs are due, if nothing was said to it.
_POLL_SECONDS = 60.0


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

    def __init__(self, clock: Callable[[], int], *, read_only: bool = False) -> None:
        self._clock = clock
        self._read_only = read_only
        self._entries: dict[str, _Entry] = {}
        self._notified = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._start_lock = threading.Lock()
        self._work_lock = threading.RLock()

    def add(self, job: Job) -> None:
        """One more job. It runs after those that were added before it."""
        self._entries[job.name] = _Entry(job, self._clock() + job.first_wait_ms)

    def run(self, name: str) -> JobStatus:
        """Run one job now, from the beginning of a pass to its end: "garbage", "uploads", "orphans", "containers".

        Raises what the job does; StoreError for a name that no job has; StoreReadOnly."""
        with self.paused():
            self._find(name).job.restart()
            return self.finish(name)

    def finish(self, name: str) -> JobStatus:
        """As `run`, to the end of the pass that is under way, if one is."""
        entry = self._find(name)
        with self.paused():
            while not self._run_once(entry, Budget()):
                pass
            return entry.status()

    def run_due(self) -> tuple[str, ...]:
        """Run, once each, the jobs that are due by the store's clock; returns their names. What one of them raises is
        logged, and in its status. Raises StoreReadOnly."""
        self._check_writable()
        ran = []
        for entry in list(self._entries.values()):
            if self._clock() >= entry.next_ms:
                self._try(entry)
                ran.append(entry.job.name)
        return tuple(ran)

    def status(self) -> tuple[JobStatus, ...]:
        """What can be seen of each job."""
        return tuple(entry.status() for entry in list(self._entries.values()))

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """A block in which no other thread of this process runs a job."""
        with self._work_lock:
            yield

    def _find(self, name: str) -> _Entry:
        self._check_writable()
        try:
            return self._entries[name]
        except KeyError:
            raise StoreError(f"no job is called {name!r}: there are {', '.join(self._entries)}") from None

    def _check_writable(self) -> None:
        if self._read_only:
            raise StoreReadOnly("The store was opened with read_only=True: open it without to change it.")

    def _run_once(self, entry: _Entry, budget: Budget) -> bool:
        """Whether the pass is over."""
        with self._work_lock:
            if not entry.is_under_way:
                entry.examined = entry.changed = 0
            try:
                ran = entry.job.run(budget)
            except BaseException as error:
                entry.error = f"{type(error).__name__}: {error}"
                raise
            finally:
                entry.last_ms = self._clock()
                entry.examined += budget.examined
                entry.changed += budget.changed
            entry.error = None
            entry.is_under_way = not ran.is_done
            entry.next_ms = entry.last_ms + ran.wait_ms
            if budget.changed:
                log.debug("%s: %d of %d", entry.job.name, entry.changed, entry.examined)
                for other in self._entries.values():
                    if other.job.follows == entry.job.name:
                        other.next_ms = 0
            return ran.is_done

    def _try(self, entry: _Entry) -> None:
        try:
            self._run_once(entry, Budget(is_stopped=self._stopped.is_set))
        except Exception:  # noqa: BLE001  # whatever it is, it is logged and tried again
            # The thread must outlive a full disk or a provider's bad hour: what was not done is still to be done.
            entry.next_ms = self._clock()
            log.exception("the job %s failed; it will be tried again", entry.job.name)

    # -- the thread

    def notify(self) -> None:
        """Something may have become garbage."""
        if self._thread is None:
            self.start()
        self._notified.set()

    def start(self) -> None:
        """Begin to run what is due, in a thread."""
        with self._start_lock:
            if self._thread is None and not self._stopped.is_set() and not self._read_only:
                self._thread = threading.Thread(target=self._run, name="bleepstore-jobs", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._notified.wait(self._wait_seconds())
            self._notified.clear()
            if self._stopped.wait(_GATHER_SECONDS):
                return
            self.run_due()

    def _wait_seconds(self) -> float:
        """How long there is nothing to do, if nothing is said."""
        under_way = [entry.next_ms for entry in list(self._entries.values()) if entry.is_under_way]
        if not under_way:
            return _POLL_SECONDS
        return min(max((min(under_way) - self._clock()) / 1000, 0), _POLL_SECONDS)

    def stop(self) -> None:
        """End the thread; it finishes the run that it is in."""
        self._stopped.set()
        self._notified.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
