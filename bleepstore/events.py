"""What happens to objects, as values: an event, which rule of a bucket it is for, and what is known of its cause.

The names of events are S3's without "s3:", as in its messages: "ObjectCreated:Put".
"""

from __future__ import annotations

import attrs

#: What a bucket's rules may ask for, and never happens here -> why.
NEVER_SENT = {
    "ReducedRedundancyLostObject": "no object is lost by its storage class",
    "Replication:OperationMissedThreshold": "replication has no time limit here",
    "Replication:OperationReplicatedAfterThreshold": "replication has no time limit here",
    "Replication:OperationNotTracked": "replication has no time limit here",
    "IntelligentTiering": "nothing is moved to an archive tier by its use",
    "ObjectRestore:Delete": "the bytes of an archived object stay where they are",
    "ObjectAnnotation:*": "objects have no annotations",
    "ObjectAnnotation:Put": "objects have no annotations",
    "ObjectAnnotation:Delete": "objects have no annotations",
}


@attrs.frozen(kw_only=True)
class Origin:
    """What a command carries of the request that it is for, for the events of it; None where it is not known.

    `event` names the event, where the command alone does not: "ObjectCreated:Copy" of a write, "ObjectTagging:Delete"
    of a change of tags, and for a delete what begins the name, "LifecycleExpiration". `principal` is the id of who
    asked.
    """

    event: str | None = None
    request_id: str | None = None
    principal: str | None = None
    source_ip: str | None = None


#: Of a command whose request is not known.
UNKNOWN_ORIGIN = Origin()
#: Of what a bucket's lifecycle removes.
BY_LIFECYCLE = Origin(event="LifecycleExpiration")


@attrs.frozen(kw_only=True)
class EventRule:
    """Events of a bucket that are kept for a destination: those named, of keys that begin with `prefix` and end with
    `suffix`.

    `source` is the kind of the configuration that the rule is of, `id` its id there. `events` are names, and
    "ObjectCreated:*" is all that begin so; "*" is every event.
    """

    source: str
    id: str
    destination: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def matches(self, event: str, key: str) -> bool:
        return key.startswith(self.prefix) and key.endswith(self.suffix) and is_named(event, self.events)


def is_named(event: str, names: tuple[str, ...]) -> bool:
    """Whether one of the names, or patterns that end with "*", is for this event."""
    return any(event == name or (name.endswith("*") and event.startswith(name[:-1])) for name in names)


@attrs.frozen(kw_only=True)
class FailedReplication:
    """Why a version could not be copied to a bucket, by which rule."""

    rule_id: str
    destination: str
    reason: str


@attrs.frozen(kw_only=True)
class Event:
    """Something that happened to an object, at `time_ms` (milliseconds since the epoch).

    `sequencer` is greater for the later of two events of a key. `version_id` is None where the bucket never kept
    versions; `size` and `etag` are of what was written. `owner_id` and `location` are the bucket's. `storage_class` is
    what an object was moved to, or is restored from, `restored_until_ms` until when it can be read. `replication` is of
    what could not be copied.
    """

    name: str
    time_ms: int
    bucket: str
    owner_id: str
    location: str
    key: str
    sequencer: int
    version_id: str | None = None
    size: int | None = None
    etag: str | None = None
    origin: Origin = UNKNOWN_ORIGIN
    storage_class: str | None = None
    restored_until_ms: int | None = None
    replication: FailedReplication | None = None


@attrs.frozen
class WaitingEvent:
    """An event in the outbox. The numbers of a destination rise by one."""

    number: int
    rule_id: str
    event: Event


@attrs.frozen(kw_only=True)
class WaitingEvents:
    """How many events wait for a destination, and since when the oldest does: None if none does. `dropped` is how many
    were given up, ever, because too many waited."""

    destination: str
    count: int
    oldest_ms: int | None
    dropped: int
