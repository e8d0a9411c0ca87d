"""Garbage: the blobs that a command released. The catalog lists them."""

from __future__ import annotations

from collections.abc import Sequence

from bleepstore.backends.base import Gateway
from bleepstore.backends.gateway.retry import Outage
from bleepstore.catalog.records import Garbage
from bleepstore.commands import ForgetGarbage
from bleepstore.jobs.job import Budget, Job, Ran
from bleepstore.jobs.parts import Parts
from bleepstore.jobs.removing import Remover, log
from bleepstore.model import UploadToken
from bleepstore.threads import map_in_threads

_BATCH = 500
_REMOTE_DELETES = 8  # at once
#: How soon what could not be removed is tried again: later each time, until something of it is gone.
_MIN_RETRY_MS = 500
_MAX_RETRY_MS = 60_000


class GarbageJob(Job):
    """Removes the blobs that commands released. Those that are being read, or cannot be removed, stay on the list.

    The ids of the list rise, so a run goes on behind the last one that it saw: it costs what became garbage since.
    What stays on the list is tried again in passes of the whole of it, which come less and less often, up to one a
    minute."""

    name = "garbage"

    def __init__(self, parts: Parts, remover: Remover) -> None:
        self._parts = parts
        self._remover = remover
        self._after = 0  # the last id of the list that was seen
        self._left = 0  # how many of those before it are on the list still
        self._retry_wait_ms = _MIN_RETRY_MS
        self._retry_ms = 0  # when the next pass of the whole list is due
        self._is_under_way = False
        self._outage = Outage()

    @property
    def left(self) -> int:
        return self._left

    def restart(self) -> None:
        self._after = self._left = 0
        self._outage = Outage()

    def run(self, budget: Budget) -> Ran:
        now = self._parts.clock()
        if now >= self._retry_ms and not self._is_under_way:
            self.restart()
            self._retry_ms = now + _MAX_RETRY_MS
        is_done = False
        while not is_done and not budget.is_spent:
            is_done = self._run_batch(budget)
        self._is_under_way = not is_done
        if is_done:
            self._end(budget.changed > 0)
        return Ran(is_done, 0)

    def _run_batch(self, budget: Budget) -> bool:
        """Whether the list ended, or nothing more can be removed for now."""
        with self._parts.catalog.read() as reader:
            listed = reader.list_garbage(_BATCH, self._after)
        gone = self._remove(listed)
        if gone:
            self._parts.committer.submit(ForgetGarbage(**self._parts.stamp(), garbage_ids=tuple(gone)))
        budget.spend(items=len(listed))
        budget.changed += len(gone)
        self._left += len(listed) - len(gone)
        if listed:
            self._after = listed[-1].garbage_id
        return len(listed) < _BATCH or self._outage.error is not None

    def _end(self, has_changed: bool) -> None:
        if self._outage.error is not None:
            log.warning("what is garbage will be removed later: %s", self._outage.error)
            self._outage = Outage()
        if self._left:
            self._retry_wait_ms = _MIN_RETRY_MS if has_changed else min(2 * self._retry_wait_ms, _MAX_RETRY_MS)
            self._retry_ms = min(self._retry_ms, self._parts.clock() + self._retry_wait_ms)

    def _remove(self, garbage: Sequence[Garbage]) -> list[int]:
        """The ids of those that are gone. The parts of an upload are one request."""
        groups: dict[str | UploadToken, list[Garbage]] = {}
        for item in garbage:
            groups.setdefault(item.token or item.handle, []).append(item)

        def remove(group: list[Garbage]) -> bool:
            return self._remover.remove([item.handle for item in group], group[0].token, self._outage)

        if isinstance(self._parts.backend, Gateway):
            removed = map_in_threads(remove, groups.values(), _REMOTE_DELETES)
        else:
            removed = [remove(group) for group in groups.values()]
        return [
            item.garbage_id
            for group, is_gone in zip(groups.values(), removed, strict=True)
            if is_gone
            for item in group
        ]
