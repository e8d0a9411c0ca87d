"""What makes a command durable."""

from __future__ import annotations

import contextlib
import math
import operator
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from bleepstore.catalog.port import CatalogPort
from bleepstore.cluster_status import ClusterStatus
from bleepstore.commands import Command, PutObject, Result
from bleepstore.errors import S3Error, SlowDown, StorageFull
from bleepstore.model import Inline

MAX_BATCH = 256
#: Bytes of a file system that only commands which free some may use up: a full disk that refused them would stay full.
#: They have to hold the write-ahead log between two checkpoints on a disk with little space, and a batch of deletes.
#: What the log still adds to the database file is kept free beside them (`CatalogPort.spare_bytes`).
RESERVE = 4 * 1024 * 1024
#: What a command without a body may add to the log and to the database.
_COMMAND_BYTES = 32 * 1024
_yield_processor: Callable[[], None] = getattr(os, "sched_yield", partial(time.sleep, 0))


class Committer(Protocol):
    """The one way to change a catalog."""

    is_alone: bool
    """Whether queries see every command as soon as it is acknowledged, so that `read_barrier` need not be asked."""

    def submit(self, command: Command) -> Result:
        """Make `command` durable and apply it; returns its result, which may be a refusal."""

    def read_barrier(self) -> None:
        """Return once every command that was acknowledged before this call can be seen by queries."""

    def cluster_status(self) -> ClusterStatus | None:
        """What the node is at that the commands are replicated by; None: they are not. Never waits."""


class Pending:
    """A command on its way."""

    __slots__ = ("command", "done", "error", "result")

    def __init__(self, command: Command) -> None:
        self.command = command
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()

    def outcome(self) -> Result:
        """Its result, once it is done. Raises what kept it from being applied."""
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result


_command_of = operator.attrgetter("command")


def _stalled() -> SlowDown:
    return SlowDown("Another process keeps the catalog to itself. Reads go on; try again later.")


class DirectCommitter:
    """Applies commands to the local catalog; those that wait at the same time share one transaction and one fsync.

    A thread queues its command. If nobody leads, it leads: when other processes let it, it commits all that is queued
    by then, wakes those that wait for it, and hands the lead to the first of those that came meanwhile. A thread that
    is woken either has its result or the lead.

    In memory there is no fsync to share: each command is a transaction of its own.
    """

    is_alone = True
    #: A program that runs many operations in one thread, each of which can wait without keeping the thread, sets this.
    #: It gets each command: it has it submitted together with others by `submit_many`, and returns the result or
    #: raises; or it returns None, and the thread submits the command and waits.
    gather: Callable[[Command], Result | None] | None = None
    #: Is told of each batch: how many commands, and how many seconds until they were durable.
    on_commit: Callable[[int, float], object] | None = None

    def __init__(self, catalog: CatalogPort) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._queue: deque[Pending] = deque()
        self._has_leader = False
        self._contended = False
        self._spare = catalog.spare_bytes() - RESERVE
        self._waits_for_disk = self._spare != math.inf

    def submit(self, command: Command) -> Result:
        if self.gather is not None:
            gathered = self.gather(command)
            if gathered is not None:
                return gathered
        if not self._waits_for_disk:
            return self._apply(command)
        if not self._has_space(command):
            return StorageFull()
        if self._has_leader and self._catalog.is_stalled():
            return _stalled()  # one writer that waits is enough: the other threads are there for reads
        pending = Pending(command)
        with self._lock:
            self._queue.append(pending)
            leads, self._has_leader = not self._has_leader, True
        if not leads:
            self._wait(pending)
            leads = pending.result is None and pending.error is None
        if leads:
            if self._contended:
                _yield_processor()  # others that are about to submit get the interpreter, and come along
            self._lead(pending)
        if pending.error is not None:
            raise pending.error
        assert pending.result is not None
        return pending.result

    def _apply(self, command: Command) -> Result:
        begun = time.monotonic()
        (result,) = self._catalog.apply((command,))
        if self.on_commit is not None:
            self.on_commit(1, time.monotonic() - begun)
        return result

    def submit_many(self, commands: Sequence[Command]) -> list[Pending]:
        """Have commands of many operations done by one thread, in as few transactions as they fit in; returns when all
        are done."""
        pending = [Pending(command) for command in commands]
        is_stalled = self.is_stalled()
        for one in pending:
            try:
                if is_stalled:
                    one.result = _stalled()
                elif not self._has_space(one.command):
                    one.result = StorageFull()
            except Exception as error:  # noqa: BLE001  # it is raised where the command comes from
                one.error = error
        queued = [one for one in pending if one.result is None and one.error is None]
        leads = False
        with self._lock:
            self._queue.extend(queued)
            if queued:
                leads, self._has_leader = not self._has_leader, True
        for one in queued:
            if one.result is not None:
                continue
            if not leads:
                self._wait(one)
                leads = one.result is None and one.error is None
            if leads:
                self._lead(one)
                leads = False
                if one.error is not None and self._catalog.is_stalled():
                    self._refuse(queued)  # to wait as long for each would add up
        return pending

    def _refuse(self, commands: Sequence[Pending]) -> None:
        """Take back those of the commands that still wait for their turn."""
        with self._lock:
            leads = bool(self._queue) and self._queue[0] in commands
            for one in commands:
                if one in self._queue:
                    self._queue.remove(one)
                    one.result = _stalled()
            if leads:
                self._pass_lead()

    def is_stalled(self) -> bool:
        """Whether another process keeps the catalog to itself, and a thread waits for it already."""
        return self._has_leader and self._catalog.is_stalled()

    def _has_space(self, command: Command) -> bool:
        """Whether the reserve is untouched, or the command may use it. To ask the file system costs a small command too
        much: one that brings no blob believes what was found after the last batch."""
        if self._spare == math.inf:
            return True
        need = _COMMAND_BYTES
        if isinstance(command, PutObject) and isinstance(command.data, Inline):
            need += 2 * len(command.data.data)  # once in the log, and once in the database
            is_known = self._spare >= need
        elif command.frees_space:
            return True
        else:
            is_known = self._spare >= need and not command.brings_blob
        if not is_known:
            self._spare = self._catalog.spare_bytes() - RESERVE
        with self._lock:  # those that come at the same time must find space together
            self._spare -= need
            return self._spare >= 0

    def _wait(self, pending: Pending) -> None:
        try:
            while not pending.done.acquire(timeout=1):
                with self._lock:
                    if self._catalog.is_stalled() and pending in self._queue and self._queue[0] is not pending:
                        self._queue.remove(pending)
                        pending.result = _stalled()
                        return
        except BaseException:  # an interrupt of the main thread: nobody else must wait for it
            with self._lock:
                if pending in self._queue:
                    self._queue.remove(pending)
                    if not pending.done.locked():
                        self._pass_lead()
            raise

    def _lead(self, own: Pending) -> None:
        batch = self._commit_queued(own)
        try:
            self._contended = len(batch) > 1
            if self._spare != math.inf:
                self._spare = 0  # ask again, should the disk not say now
                with contextlib.suppress(S3Error):
                    self._spare = self._catalog.spare_bytes() - RESERVE
        finally:  # whatever happens, those that wait go on
            with self._lock:
                self._pass_lead()
            for pending in batch:
                pending.done.release()

    def _pass_lead(self) -> None:
        """Wake the first that waits, if any; call it with the lock held."""
        self._has_leader = bool(self._queue)
        if self._has_leader:
            self._queue[0].done.release()

    def _commit_queued(self, own: Pending) -> list[Pending]:
        batch: list[Pending] = []

        def drain() -> list[Command]:
            with self._lock:
                if len(self._queue) <= MAX_BATCH:
                    batch.extend(self._queue)
                    self._queue.clear()
                else:
                    batch.extend([self._queue.popleft() for _ in range(MAX_BATCH)])
            return list(map(_command_of, batch))

        begun = time.monotonic()
        try:
            results = self._catalog.apply_next(drain)
        except BaseException as error:  # noqa: BLE001  # every waiter gets it, and this thread raises its own
            if not batch:  # its turn never came: the next leader finds out for itself
                with self._lock:
                    self._queue.remove(own)
                batch.append(own)
            for pending in batch:
                pending.error = error
            return batch
        for pending, result in zip(batch, results, strict=True):
            pending.result = result
        if self.on_commit is not None:
            self.on_commit(len(batch), time.monotonic() - begun)
        return batch

    def read_barrier(self) -> None:
        """Nothing to wait for: an acknowledged command is in the file that every query reads."""

    def cluster_status(self) -> None:
        """There is no cluster."""
