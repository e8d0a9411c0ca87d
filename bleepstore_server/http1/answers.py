"""The answers of quick requests leave together, at the end of the round of the loop in which they are ready.

A client that gets an answer wakes up, and as a rule takes the processor at once: whatever is computed between two
answers finds in the processor's caches what the client has left of them.

What has to be written before they leave, as to the audit log, is written together then: what a client was told is in
the log, whatever becomes of the worker.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from bleepstore_server.http1.connection import Connection
from bleepstore_server.http1.loop import Loop
from bleepstore_server.http1.tasks import Pool, Task, current_task

_log = logging.getLogger("bleepstore.server")

T = TypeVar("T")


#: An answer that only has to be sent: all of its bytes, or none and what sends it, as a task, and ends the request.
_Ready = tuple[Connection, Sequence[bytes], Callable[[], object]]


class GroupAnswers(Generic[T]):
    """Takes the answers of the tasks of a loop. `write` is given what these added, before it sends any of them."""

    def __init__(self, loop: Loop, pool: Pool, write: Callable[[Sequence[T]], object]) -> None:
        self._loop = loop
        self._pool = pool
        self._write = write
        #: What was added by tasks that have no answer yet.
        self._added: dict[Task, T] = {}
        #: Answers of this round, and what is to be written before each.
        self._waiting: deque[tuple[_Ready, T | None]] = deque()
        self._ready: deque[_Ready] = deque()
        #: Those before which something is to be written; and whether such a write is under way: of writes that hang
        #: there is one.
        self._unwritten: list[tuple[_Ready, T]] = []
        self._is_writing = False
        loop.gathered.append(self._waiting)
        loop.send_answers = self.flush

    def add(self, item: T) -> bool:
        """Have an item written with those of others, before the answer of the task that calls this; False, and it is
        not, in every thread but the loop's."""
        task = current_task()
        if task is None or task.hub is not self._loop.leader:
            return False
        self._added[task] = item
        return True

    def take(self, connection: Connection, pieces: Sequence[bytes], send: Callable[[], object]) -> bool:
        """Send the answer of the task that calls this at the end of the round: `pieces`, if there are any, after which
        the connection goes on; otherwise by calling `send` in a task. Returns False, and does not, in every thread but
        the loop's."""
        task = current_task()
        if task is None:
            return False
        item = self._added.pop(task, None) if self._added else None
        if item is None and task.hub is not self._loop.leader:
            return False
        self._waiting.append(((connection, pieces, send), item))
        if task.hub is not self._loop.leader:  # it hung, even if only until now
            self._loop.post(_nothing)
        return True

    def flush(self) -> None:
        """Have what was added written, and send the answers. Called by the leader."""
        while self._waiting:
            answer, item = self._waiting.popleft()
            if item is None:
                self._ready.append(answer)
            else:
                self._unwritten.append((answer, item))
        if self._unwritten and not self._is_writing:
            self._begin_write()
        while self._ready:
            connection, pieces, send = self._ready.popleft()
            if pieces:
                self._send(connection, pieces)
            else:
                self._loop.begin(send)

    def _begin_write(self) -> None:
        """In the leader's thread, unless a task is paused there that would wait for a write that hangs."""
        assert self._loop.leader is not None
        self._is_writing = True
        write = partial(self._write_all, self._unwritten)
        self._unwritten = []
        if self._loop.leader.task_count:
            self._pool.run_beside(lambda _thread: write())
        else:
            self._loop.offer(write)

    def _write_all(self, unwritten: Sequence[tuple[_Ready, T]]) -> None:
        try:
            self._write([item for _answer, item in unwritten])
        except Exception:  # noqa: BLE001  # a fault of ours keeps back no answer
            _log.exception("what goes before the answers of a round could not be written")
        self._ready.extend(answer for answer, _item in unwritten)
        self._is_writing = False
        self._loop.post(_nothing)  # another thread may lead now, and more may wait: its rounds end with a flush

    def _send(self, connection: Connection, pieces: Sequence[bytes]) -> None:
        try:
            sent = connection.send_now(pieces)
        except OSError as error:
            _log.debug("%s went away: %s", connection.peer, error)
            self._loop.post(connection.close)
            return
        if sent == sum(map(len, pieces)):
            self._loop.post(connection.end_request)
        else:
            connection.send_rest(memoryview(b"".join(pieces))[sent:])


def _nothing() -> None: ...
