"""The containers of deleted buckets, which a provider gives back once nothing is in them."""

from __future__ import annotations

from bleepstore.backends.gateway.retry import Outage
from bleepstore.errors import S3Error
from bleepstore.jobs.job import Budget, Job, Ran
from bleepstore.jobs.parts import Parts
from bleepstore.jobs.removing import Remover

_INTERVAL_MS = 60_000


class ContainersJob(Job):
    """Tries again to delete the containers that still had garbage in them when their buckets were deleted. Each process
    knows those of the buckets that it deleted itself."""

    name = "containers"
    needs_lease = False
    follows = "garbage"

    def __init__(self, parts: Parts, remover: Remover) -> None:
        self._parts = parts
        self._remover = remover
        self._buckets: set[str] = set()

    @property
    def first_wait_ms(self) -> int:
        return _INTERVAL_MS

    @property
    def left(self) -> int:
        return len(self._buckets)

    def delete(self, bucket: str) -> None:
        """Delete the container of a deleted bucket, now or as soon as nothing is in it."""
        self._delete(bucket, Outage())

    def restart(self) -> None:
        """Every run is a whole pass."""

    def run(self, budget: Budget) -> Ran:
        outage = Outage()
        for bucket in list(self._buckets):
            if outage.error is not None or budget.is_spent:
                break
            self._delete(bucket, outage)
            budget.spend(items=1)
            budget.changed += bucket not in self._buckets
        return Ran(is_done=True, wait_ms=_INTERVAL_MS)

    def _delete(self, bucket: str, outage: Outage) -> None:
        """If the bucket was made again meanwhile it has its container: either that creation sees that the container is
        gone, or the bucket is seen here."""
        backend = self._parts.backend
        self._buckets.add(bucket)
        try:
            if self._has_bucket(bucket) or outage.call(backend.delete_bucket, bucket, lambda: self._has_bucket(bucket)):
                self._buckets.discard(bucket)
            if self._has_bucket(bucket):
                backend.create_bucket(bucket, known=True)
        except S3Error as error:  # the bucket is deleted all the same
            self._remover.report(f"the container of the bucket {bucket}", error)
            if outage.error is None:
                self._buckets.discard(bucket)  # it would be refused again

    def _has_bucket(self, bucket: str) -> bool:
        self._parts.committer.read_barrier()
        return self._parts.catalog.find_bucket(bucket) is not None
