"""Commands of replication."""

from __future__ import annotations

import attrs

from bleepstore.commands.change import Change
from bleepstore.commands.objects import PutObject
from bleepstore.model import BlobRef, ObjectAttributes, Owner
from bleepstore.replication import ReplicationStatus


@attrs.frozen(kw_only=True)
class PutReplica(Change):
    """Add a copy of a version, or of a delete marker if `written` is None, to a bucket that keeps versions, under the
    version's own id and time. A version of this id that is there already is left as it is. `sequence` is the version's
    own: a copy that is older than what is there already comes behind that.

    `written` is what the copy would be written as; its time is the version's, which may be long ago. `creator_id`, as
    in PutObject, is of the version.
    """

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    version_id: str
    sequence: int
    owner: Owner
    creator_id: str | None = None
    modified_ms: int
    written: PutObject | None = None

    @property
    def brings_blob(self) -> bool:  # type: ignore[override]  # it depends on the fields
        return self.written is not None and isinstance(self.written.data, BlobRef)


@attrs.frozen(kw_only=True)
class PutReplicaAttributes(Change):
    """Give a copy the tags, the ACL and the locks that its version has by now. A lock that may not be weakened stays as
    it is, and a legal hold stays on. A copy that belongs to the owner of its bucket `keeps_acl`."""

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    version_id: str
    attributes: ObjectAttributes
    keeps_acl: bool = False


@attrs.frozen(kw_only=True)
class ReplicationOutcome:
    """What became of the task `number`, as it was at `revision`. `status` None: there is nothing to copy any more.
    `version_id` and `error` are those of `bleepstore.replication.Replica`."""

    number: int
    revision: int
    status: ReplicationStatus | None
    version_id: str | None = None
    error: str | None = None


@attrs.frozen(kw_only=True)
class EndReplications(Change):
    """What became of tasks of one destination. Of a version that was changed meanwhile the task stays."""

    frees_space = True

    request_id: str
    time_ms: int
    destination: str
    outcomes: tuple[ReplicationOutcome, ...]


@attrs.frozen(kw_only=True)
class QueueReplications(Change):
    """Have versions copied, (key, version id) each, that the rules of their bucket are for: whether they were written
    before there were rules, are copies themselves, or failed. Those that were copied already are left out."""

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    versions: tuple[tuple[str, str], ...]
