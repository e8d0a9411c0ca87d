"""The commits of quick requests: those of one round of the loop share one transaction.

The round looks for more before it ends (`Loop`): an fsync takes longer than a look at the sockets, and with more
workers each transaction makes the others wait.

Each request is a task that pauses in its commit. The loop's thread commits, as long as that is a matter of a few
milliseconds; where it takes longer, a thread of its own does, and the loop goes on meanwhile. If it hangs, another
thread leads the loop: a hung disk holds the writes alone.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
from queue import SimpleQueue

from bleepstore.commands import Command, Result
from bleepstore.committer import DirectCommitter, Pending
from bleepstore_server.http1.loop import Loop
from bleepstore_server.http1.pace import Pace
from bleepstore_server.http1.tasks import Task, current_task

_Batch = list[tuple[Task, Command]]


class GroupCommits:
    """Takes the commands of a loop's tasks; one batch is on its way at a time."""

    def __init__(self, loop: Loop, committer: DirectCommitter) -> None:
        self._loop = loop
        self._committer = committer
        self._queue: deque[tuple[Task, Command]] = deque()
        self._done: deque[tuple[Task, Pending]] = deque()
        self._is_out = False
        self._pace = Pace()
        self._batches: SimpleQueue[_Batch | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="bleepstore-commits", daemon=True)
        self._thread.start()
        committer.gather = self.submit
        loop.gathered.append(self._queue)
        loop.after_round.append(self.flush)

    def submit(self, command: Command) -> Result | None:
        """The result of a command, for which the task of the loop pauses; None in every other thread."""
        task = current_task()
        if task is None or task.hub is not self._loop.leader or self._committer.is_stalled():
            return None
        self._queue.append((task, command))
        if task.hub is not self._loop.leader:  # it lost the lead just now
            self._loop.post(_nothing)
        pending: Pending = task.pause()
        return pending.outcome()

    def flush(self) -> None:
        """Have what is queued committed, batch after batch, and the tasks go on that it is done for."""
        if self._resume() and self._pace.is_slow:
            self._loop.soon(_nothing)  # the next batch takes along what clients send that are answered now
            return
        while self._queue and not self._is_out:
            self._is_out = True
            batch = self._drain()
            if self._pace.is_slow:
                self._batches.put(batch)
            else:
                self._loop.offer(partial(self._commit, batch))
                self._resume()
        if self._queue and self._committer.is_stalled():
            self._loop.offer(partial(self._submit, self._drain()))  # to be refused at once
            self._resume()

    def _drain(self) -> _Batch:
        return [self._queue.popleft() for _ in range(len(self._queue))]

    def _commit(self, batch: _Batch) -> None:
        begun = time.monotonic()
        self._submit(batch)
        self._pace.note(time.monotonic() - begun)
        self._is_out = False
        self._loop.post(_nothing)  # its rounds end with a flush

    def _submit(self, batch: _Batch) -> None:
        outcomes = self._committer.submit_many([command for _task, command in batch])
        self._done.extend((task, outcome) for (task, _command), outcome in zip(batch, outcomes, strict=True))

    def _resume(self) -> bool:
        """Whether there were any to go on."""
        has_any = bool(self._done)
        while self._done:
            self._loop.switch(*self._done.popleft())
        return has_any

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            self._commit(batch)

    def close(self) -> None:
        """End the thread, after the batch that it has begun."""
        self._committer.gather = None
        self._batches.put(None)
        self._thread.join()


def _nothing() -> None:
    pass
