"""The commits of quick requests: those of all that are ready in one round of the loop share one transaction.

Each request is a task that pauses in its commit. One thread commits, so that a disk that hangs holds the writes alone.
The loop waits for it for a moment, since two threads that take the interpreter from each other would be slower.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue

from bleepstore.commands import Command, Result
from bleepstore.committer import DirectCommitter, Pending
from bleepstore_server.http1.loop import Loop
from bleepstore_server.http1.tasks import Task, current_task

#: How long the loop waits for a commit before it goes on with other requests.
_WAIT_SECONDS = 0.005


class GroupCommits:
    """Takes the commands of a loop's tasks; one batch is on its way at a time."""

    def __init__(self, loop: Loop, committer: DirectCommitter) -> None:
        self._loop = loop
        self._committer = committer
        self._queue: list[tuple[Task, Command]] = []
        #: The tasks of the batch on its way, and what became of it.
        self._tasks: list[Task] = []
        self._outcomes: list[Pending] | None = None
        self._batches: SimpleQueue[list[Command] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._done = threading.Lock()  # released when a batch is done for which the loop waits
        self._done.acquire()
        self._loop_waits = False
        self._thread = threading.Thread(target=self._run, name="bleepstore-commits", daemon=True)
        self._thread.start()
        committer.gather = self.submit
        loop.after_round = self.flush

    def submit(self, command: Command) -> Result | None:
        """The result of a command, for which the task of the loop pauses; None in every other thread."""
        task = current_task()
        if task is None or task.hub is not self._loop or self._committer.is_stalled():
            return None
        self._queue.append((task, command))
        pending: Pending = task.pause()
        return pending.outcome()

    def flush(self) -> None:
        """Have what is queued committed, batch after batch, as long as each takes no longer than a moment."""
        if self._tasks and self._queue and self._committer.is_stalled():
            queue, self._queue = self._queue, []
            refused = self._committer.submit_many([command for _task, command in queue])  # at once
            for (task, _command), outcome in zip(queue, refused, strict=True):
                task.switch(outcome)
        while self._queue and not self._tasks:
            self._tasks = [task for task, _command in self._queue]
            self._loop_waits = True
            self._batches.put([command for _task, command in self._queue])
            self._queue = []
            if not self._done.acquire(timeout=_WAIT_SECONDS):
                with self._lock:
                    self._loop_waits = False
                    if self._outcomes is None:
                        return
                    self._done.acquire()
            self._resume()

    def _run(self) -> None:
        while (commands := self._batches.get()) is not None:
            outcomes = self._committer.submit_many(commands)
            with self._lock:
                self._outcomes = outcomes
                if self._loop_waits:
                    self._done.release()
                else:
                    self._loop.post(self._resume)

    def _resume(self) -> None:
        """Have the tasks of the batch go on, each with what became of its command."""
        tasks, outcomes = self._tasks, self._outcomes
        self._tasks, self._outcomes = [], None
        for task, outcome in zip(tasks, outcomes or (), strict=True):
            task.switch(outcome)

    def close(self) -> None:
        """End the thread, after the batch that it has begun."""
        self._committer.gather = None
        self._batches.put(None)
        self._thread.join()
