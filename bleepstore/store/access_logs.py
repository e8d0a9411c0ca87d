"""The access logs of buckets: what is noted of a request, and how it comes to the bucket that it is for."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from bleepstore.access import LOGGING_SERVICE, Action, Caller, authorize
from bleepstore.access_log import LogEntry, LogFileName, LogTarget, key_of, parse_target, render_line
from bleepstore.acl_rules import is_enforced
from bleepstore.configurations import ConfigurationKind
from bleepstore.errors import NoSuchBucket, NotSupported, S3Error, Unavailable
from bleepstore.jobs.access_logs import AccessLogsJob
from bleepstore.jobs.log_spool import SpooledFile, SpooledLine
from bleepstore.model import DAY_MS, Bucket, Grant, Group, Permission
from bleepstore.store.engine import Engine
from bleepstore.store.objects import Objects

_DEFAULT_LOCATION = "us-east-1"


@attrs.frozen
class _Batch:
    """Lines of one bucket, which become one object."""

    bucket: Bucket
    target: LogTarget
    lines: list[SpooledLine]


class AccessLogs:
    """What happens to buckets with a logging configuration. A server notes each request; the job "access-logs"
    delivers.

    A line is kept from when it is noted, in a store in a folder over the end of the process, too, and delivered once or
    more: again under the same key. What cannot be kept, or may not be delivered, is dropped and counted.
    """

    def __init__(self, engine: Engine, objects: Objects) -> None:
        self._engine = engine
        self._objects = objects
        self._spool = engine.log_spool
        engine.jobs.add(AccessLogsJob(engine.log_spool, _weakly(self)))

    @property
    def dropped(self) -> int:
        """Lines that were lost since the store was opened."""
        return self._spool.dropped

    def add(self, bucket: str, entries: Iterable[LogEntry]) -> None:
        """Note what happened to a bucket, if it has a log."""
        found = self._engine.catalog.find_bucket(bucket)
        if found is None or _target_of(found) is None:
            self._engine.logged_buckets.discard(bucket)
            return
        for entry in entries:
            self._spool.add(bucket, entry.time_ms, render_line(found.owner.id, bucket, entry))
        with contextlib.suppress(RuntimeError):  # no thread is to be had now; the next entry tries again
            self._engine.jobs.start()

    def deliver(self, file: SpooledFile) -> int:
        """Put what is complete into the buckets where it belongs; returns how many lines. Raises what passes."""
        delivered = 0
        for batch in self._batches(file.lines):
            try:
                self._put(batch, file.name)
                delivered += len(batch.lines)
            except S3Error as error:
                if isinstance(error, Unavailable) and not isinstance(error, NotSupported):
                    raise  # the lines stay, and are delivered later
                self._spool.drop(
                    len(batch.lines),
                    f"the log of {batch.bucket.name} may not go to {batch.target.bucket}: {error}. Allow "
                    f"{LOGGING_SERVICE} to s3:PutObject there, by its policy.",
                )
        return delivered

    def _batches(self, lines: Iterable[SpooledLine]) -> Iterable[_Batch]:
        batches: dict[tuple[str, int], _Batch] = {}
        found: dict[str, Bucket | None] = {}
        for line in lines:
            name = line.bucket
            if name not in found:
                found[name] = self._engine.catalog.find_bucket(name)
            bucket = found[name]
            target = None if bucket is None else _target_of(bucket)
            if bucket is None or target is None:  # nobody wants it any more
                continue
            day = line.time_ms // DAY_MS if target.partition == "EventTime" else 0
            batches.setdefault((name, day), _Batch(bucket, target, [])).lines.append(line)
        return batches.values()

    def _put(self, batch: _Batch, file_name: str) -> None:
        bucket, target = batch.bucket, batch.target
        found = self._engine.find_bucket(target.bucket)
        if found.owner.id != bucket.owner.id:  # it is another bucket now
            raise NoSuchBucket(target.bucket)
        made_of = LogFileName(file_name, batch.lines[-1].time_ms)
        key = key_of(target, bucket.name, bucket.owner.id, bucket.location or _DEFAULT_LOCATION, made_of)
        service = Caller.of_service(LOGGING_SERVICE, bucket, self._engine.wall_clock())
        authorize(Action.PUT_OBJECT, service, found, None, key)
        body = "".join(f"{one.line}\n" for one in batch.lines).encode()
        # "The bucket owner is automatically granted FULL_CONTROL to all logs."
        acl = None if is_enforced(found.settings) else self._grants(target, found.owner.id)
        self._objects.put_object(target.bucket, key, body, content_type="text/plain", acl=acl)

    def _grants(self, target: LogTarget, owner_id: str) -> tuple[Grant, ...] | None:
        if not target.grants:
            return None
        own = Grant(owner_id, Permission.FULL_CONTROL)
        given = [(self._grantee(one["Grantee"]), Permission(one["Permission"])) for one in target.grants]
        return (own, *(Grant(grantee, permission) for grantee, permission in given if grantee is not None))

    def _grantee(self, document: Mapping[str, Any]) -> str | Group | None:
        """None: there is none of this address, or no such group."""
        if document["Type"] == "CanonicalUser":
            return str(document["ID"])
        if document["Type"] == "Group":
            name = str(document["URI"]).rpartition("/")[2]
            return Group(name) if name in list(Group) else None
        with self._engine.catalog.read() as reader:
            owner = reader.owner_by_email(document["EmailAddress"])
        return None if owner is None else owner.id


def _target_of(bucket: Bucket) -> LogTarget | None:
    document = (bucket.settings.configurations or {}).get(ConfigurationKind.LOGGING, {}).get("")
    return None if document is None else parse_target(document)


def _weakly(logs: AccessLogs) -> Callable[[SpooledFile], int | None]:
    """`deliver`, by what does not keep the store from being dropped; None: it was."""
    known = weakref.ref(logs)

    def deliver(file: SpooledFile) -> int | None:
        found = known()
        return None if found is None else found.deliver(file)

    return deliver
