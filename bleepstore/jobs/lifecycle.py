"""The rules of buckets' lifecycles: what expires, changes its storage class, or was never completed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import attrs

from bleepstore.access_log import LogEntry, render_line
from bleepstore.backends.gateway.retry import Outage
from bleepstore.bucket_settings import digest_of, document_of
from bleepstore.catalog.port import CatalogReader
from bleepstore.catalog.port_of_passes import Cursor
from bleepstore.commands import AbortUpload, ApplyLifecycle, DeleteObject, LifecycleApplied, LifecycleEntry
from bleepstore.configurations import ConfigurationKind
from bleepstore.errors import NoSuchBucket, NoSuchUpload, OperationAborted, S3Error
from bleepstore.events import BY_LIFECYCLE
from bleepstore.jobs.clock_jumps import ClockJumps
from bleepstore.jobs.job import Budget, Job, Ran
from bleepstore.jobs.log_spool import LogSpool
from bleepstore.jobs.parts import Parts
from bleepstore.jobs.removing import Remover, log
from bleepstore.lifecycle import Lifecycle, LifecycleRule
from bleepstore.lifecycle_due import (
    Act,
    Aged,
    Decision,
    decide_current,
    decide_marker,
    decide_noncurrent,
    enabled,
    written_until,
)
from bleepstore.model import DAY_MS, Bucket, BucketSetting, Upload
from bleepstore.preconditions import WriteCondition

_PAGE = 250
_INTERVAL_MS = 3600 * 1000
#: How far the system's clock may run ahead of the time that passed.
_BELIEVED_MS = 3600 * 1000

#: Storage class -> what the access log calls the change to it.
_TRANSITIONS = {
    "STANDARD_IA": "S3.TRANSITION_SIA.OBJECT",
    "ONEZONE_IA": "S3.TRANSITION_ZIA.OBJECT",
    "INTELLIGENT_TIERING": "S3.TRANSITION_INT.OBJECT",
    "GLACIER_IR": "S3.TRANSITION_GIR.OBJECT",
    "DEEP_ARCHIVE": "S3.TRANSITION_GDA.OBJECT",
}

Read = Callable[[CatalogReader, Cursor], tuple[list[Aged], Cursor]]
Decide = Callable[[Aged], Decision | None]


@attrs.frozen
class _Ruled:
    """A bucket, its rules, and the time by which a pass decides."""

    bucket: Bucket
    lifecycle: Lifecycle
    digest: str
    now_ms: int


class LifecycleJob(Job):
    """Does once a day (in UTC) what the rules of each bucket say, and again when they are replaced.

    A pass reads, for each rule, the index of what is old enough for it, in pages. What is found is compared with all
    rules of its bucket, and changed by commands that name the versions that were decided on. A pass is cut off at the
    end of a page, and goes on there.

    `delete` removes objects where these are stored under their keys at a provider; elsewhere the command does all.

    As for uploads that expire, a clock that ran ahead is not believed at once, but by a program that asks for a pass.
    """

    name = "lifecycle"
    interval_ms = _INTERVAL_MS

    def __init__(
        self,
        parts: Parts,
        remover: Remover,
        delete: Callable[[DeleteObject], object] | None,
        log_spool: LogSpool,
    ) -> None:
        self._parts = parts
        self._remover = remover
        self._delete = delete
        self._log_spool = log_spool
        self._jumps = ClockJumps(parts.wall_clock, parts.last_used_ms)
        self._believed_ms: float = _BELIEVED_MS
        self._pass: Iterator[int] | None = None
        #: The midnight, and the rules, of the last pass of a bucket that left nothing to do.
        self._done: dict[int, tuple[int, str]] = {}
        self._refused = 0
        self._changed = 0
        self._outage = Outage()

    @property
    def first_wait_ms(self) -> int:
        return 60_000

    @property
    def left(self) -> int:
        """How many versions were not removed because something protects them."""
        return self._refused

    def restart(self) -> None:
        self.forget()
        self._believed_ms = math.inf

    def forget(self) -> None:
        """The catalog is another one: nothing of it was looked at."""
        self._pass = None
        self._done.clear()

    def run(self, budget: Budget) -> Ran:
        if self._pass is None:
            jumped, self._believed_ms = self._jumps.jumped(self._believed_ms), _BELIEVED_MS
            if jumped:
                return Ran(is_done=True, wait_ms=_INTERVAL_MS)
            self._refused, self._outage = 0, Outage()
            self._pass = self._run_pass(self._parts.wall_clock())
        try:
            for examined in self._pass:
                budget.spend(items=examined)
                budget.changed += self._changed
                self._changed = 0
                if budget.is_spent:
                    return Ran(is_done=False, wait_ms=0)
        except BaseException:
            self._pass = None
            raise
        self._pass = None
        return Ran(is_done=True, wait_ms=_INTERVAL_MS)

    def _run_pass(self, now_ms: int) -> Iterator[int]:
        """How much each page had."""
        with self._parts.catalog.read() as reader:
            buckets = reader.buckets_with_lifecycle()
        midnight = now_ms // DAY_MS * DAY_MS
        self._done = {bucket.id: self._done[bucket.id] for bucket in buckets if bucket.id in self._done}
        for bucket in buckets:
            lifecycle = bucket.settings.lifecycle
            assert lifecycle is not None
            digest = digest_of(document_of(BucketSetting("lifecycle", lifecycle)))
            if self._done.get(bucket.id) == (midnight, digest):
                continue
            refused = self._refused
            try:
                yield from self._run_bucket(_Ruled(bucket, lifecycle, digest, now_ms))
            except (NoSuchBucket, OperationAborted):
                continue  # it was deleted, or has other rules by now: they are looked at in the next pass
            if refused == self._refused and self._outage.error is None:
                self._done[bucket.id] = midnight, digest
        if self._outage.error is not None:
            log.warning("the lifecycle goes on later: %s", self._outage.error)

    def _run_bucket(self, ruled: _Ruled) -> Iterator[int]:
        lifecycle, now_ms, bucket = ruled.lifecycle, ruled.now_ms, ruled.bucket
        newer = _max_newer(lifecycle)
        is_versioned = bucket.versioning is not None

        def current(one: Aged) -> Decision | None:
            return decide_current(lifecycle, one, now_ms, is_versioned=is_versioned)

        def noncurrent(one: Aged) -> Decision | None:
            return decide_noncurrent(lifecycle, one, now_ms)

        def marker(one: Aged) -> Decision | None:
            return decide_marker(lifecycle, one, now_ms)

        for rule in enabled(lifecycle):
            prefix = rule.filter.prefix or ""
            if (until := _current_until(rule, now_ms)) is not None:
                yield from self._run_pages(ruled, _objects(bucket.id, prefix, until), current)
            if is_versioned and (until := _noncurrent_until(rule, now_ms)) is not None:
                yield from self._run_pages(ruled, _noncurrent(bucket.id, prefix, until, newer), noncurrent)
        if is_versioned:  # last, for what was removed may have left them alone
            for rule in enabled(lifecycle):
                if rule.expiration is not None and not rule.filter.tags and not rule.filter.has_size:
                    yield from self._run_pages(ruled, _lone_markers(bucket.id, rule.filter.prefix or ""), marker)
        for rule in enabled(lifecycle):
            if rule.abort_uploads_days is not None:
                yield from self._abort_uploads(ruled, rule, rule.abort_uploads_days)

    def _run_pages(self, ruled: _Ruled, read: Read, decide: Decide) -> Iterator[int]:
        after: Cursor = ()
        while True:
            with self._parts.catalog.read() as reader:
                page, after = read(reader, after)
            due = [(one, decision) for one in page if (decision := decide(one)) is not None]
            if due:
                self._do(ruled, due)
            yield len(page)
            if not after or self._outage.error is not None:
                return

    def _do(self, ruled: _Ruled, due: list[tuple[Aged, Decision]]) -> None:
        if self._delete is not None:
            for one, decision in due:
                if decision.act is Act.EXPIRE and self._outage.error is None:
                    self._delete_at_provider(self._delete, ruled, one)
            return
        has_tags = any(rule.filter.tags for rule in ruled.lifecycle.rules)
        entries = tuple(
            LifecycleEntry(
                key=one.key,
                sequence=one.sequence,
                act=decision.act,
                storage_class=decision.storage_class,
                expected_tags=one.tags if has_tags else None,
                newer=decision.newer,
            )
            for one, decision in due
        )
        command = ApplyLifecycle(
            **self._parts.stamp(),
            bucket=ruled.bucket.name,
            bucket_id=ruled.bucket.id,
            rules_digest=ruled.digest,
            entries=entries,
        )
        result = self._parts.submit(command)
        assert isinstance(result, LifecycleApplied)
        self._changed += result.changed
        self._refused += result.refused
        if result.changed and ConfigurationKind.LOGGING in (ruled.bucket.settings.configurations or {}):
            for entry in entries:
                if result.changed == len(entries) or self._has_expired(ruled.bucket, entry):
                    self._log(ruled.bucket, _logged_as(ruled.bucket, entry), entry.key)

    def _has_expired(self, bucket: Bucket, entry: LifecycleEntry) -> bool:
        if entry.act is not Act.EXPIRE:
            return False
        with self._parts.catalog.read() as reader:
            found = reader.find_object(bucket.name, entry.key, with_data=False)
        return found is None or found.sequence != entry.sequence

    def _log(self, bucket: Bucket, operation: str, key: str) -> None:
        """Note in the access log of the bucket what was done."""
        if ConfigurationKind.LOGGING in (bucket.settings.configurations or {}):
            now_ms = self._parts.wall_clock()
            entry = LogEntry(time_ms=now_ms, operation=operation, principal_id="AmazonS3", key=key)
            self._log_spool.add(bucket.name, now_ms, render_line(bucket.owner.id, bucket.name, entry))

    def _delete_at_provider(self, delete: Callable[[DeleteObject], object], ruled: _Ruled, one: Aged) -> None:
        """What is stored there may be another object than the catalog knows: it goes if it has the same ETag."""
        bucket = ruled.bucket
        with self._parts.catalog.read() as reader:
            found = reader.find_object(bucket.name, one.key, with_data=False)
        if found is None or found.version.modified_ms != one.since_ms:
            return
        command = DeleteObject(
            **self._parts.stamp(),
            bucket=bucket.name,
            bucket_id=bucket.id,
            key=one.key,
            condition=WriteCondition(if_match=found.version.etag),
            origin=BY_LIFECYCLE,
        )
        try:
            self._outage.call(delete, command)
            self._changed += 1
            self._log(bucket, "S3.EXPIRE.OBJECT", one.key)
        except S3Error as error:
            if self._outage.error is None:
                self._remover.report(f"{bucket.name}/{one.key}, which has expired,", error)
                self._refused += 1

    def _abort_uploads(self, ruled: _Ruled, rule: LifecycleRule, days: int) -> Iterator[int]:
        until = written_until(ruled.now_ms, days, None)
        assert until is not None
        after: Cursor = ()
        while True:
            with self._parts.catalog.read() as reader:
                page, after = reader.aged_uploads(ruled.bucket.id, rule.filter.prefix or "", until, after, _PAGE)
            for upload in page:
                if self._outage.error is None:  # what is not ended at the provider must not be forgotten here
                    self._abort(ruled.bucket, upload)
            yield len(page)
            if not after or self._outage.error is not None:
                return

    def _abort(self, bucket: Bucket, upload: Upload) -> None:
        try:
            self._parts.submit(
                AbortUpload(
                    **self._parts.stamp(),
                    bucket=upload.bucket,
                    bucket_id=upload.bucket_id,
                    key=upload.key,
                    upload_id=upload.upload_id,
                )
            )
        except NoSuchUpload:  # it was ended meanwhile
            return
        self._changed += 1
        self._log(bucket, "S3.DELETE.UPLOAD", upload.key)
        self._remover.remove([], upload.backend_token, self._outage)


def _logged_as(bucket: Bucket, entry: LifecycleEntry) -> str:
    """What the access log calls it ("Lifecycle actions and logging")."""
    if entry.storage_class is not None:
        return _TRANSITIONS.get(entry.storage_class, "S3.TRANSITION.OBJECT")
    is_marked = entry.act is Act.EXPIRE and bucket.versioning is not None
    return "S3.CREATE.DELETEMARKER" if is_marked else "S3.EXPIRE.OBJECT"


def _objects(bucket_id: int, prefix: str, until_ms: int) -> Read:
    return lambda reader, after: reader.aged_objects(bucket_id, prefix, until_ms, after, _PAGE)


def _noncurrent(bucket_id: int, prefix: str, until_ms: int, newer: int) -> Read:
    return lambda reader, after: reader.aged_noncurrent(bucket_id, prefix, until_ms, after, _PAGE, newer)


def _lone_markers(bucket_id: int, prefix: str) -> Read:
    return lambda reader, after: reader.lone_markers(bucket_id, prefix, after, _PAGE)


def _current_until(rule: LifecycleRule, now_ms: int) -> int | None:
    """Up to when what was written may be due by a rule; None: nothing is."""
    whens = [(one.days, one.date) for one in rule.transitions]
    if rule.expiration is not None and rule.expiration.expired_object_delete_marker is None:
        whens.append((rule.expiration.days, rule.expiration.date))
    times = [time for days, date in whens if (time := written_until(now_ms, days, date)) is not None]
    return max(times, default=None)


def _noncurrent_until(rule: LifecycleRule, now_ms: int) -> int | None:
    days = [one.days for one in rule.noncurrent_transitions]
    if rule.noncurrent_expiration is not None:
        days.append(rule.noncurrent_expiration.days)
    return written_until(now_ms, min(days), None) if days else None


def _max_newer(lifecycle: Lifecycle) -> int:
    """How many newer versions must be counted at the most."""
    return max(
        (
            one.newer_versions or 0
            for rule in enabled(lifecycle)
            for one in (rule.noncurrent_expiration, *rule.noncurrent_transitions)
            if one is not None
        ),
        default=0,
    )
