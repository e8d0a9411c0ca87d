"""The command on configurations that are stored as they are given."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bleepstore.acl_rules import is_enforced
from bleepstore.attributes import dump
from bleepstore.bucket_settings import value_of
from bleepstore.catalog.port import Tables
from bleepstore.catalog.records import StoredBucket
from bleepstore.commands import Done, PutBucketConfiguration, Result
from bleepstore.configurations import (
    KINDS_WITH_IDS,
    MADE_ONCE,
    MAX_CONFIGURATIONS,
    MAX_STORED,
    ConfigurationKind,
)
from bleepstore.errors import (
    InvalidBucketState,
    InvalidLoggingTarget,
    InvalidRequest,
    NoSuchBucket,
    NoSuchConfiguration,
    NoSuchMetadataConfiguration,
    S3Error,
    TooManyConfigurations,
)
from bleepstore.model import BucketSetting, Versioning
from bleepstore.replication import ReplicationRule


def put_bucket_configuration(tables: Tables, command: PutBucketConfiguration) -> Result:
    bucket = tables.find_bucket(command.bucket, command.bucket_id)
    if bucket is None:
        return NoSuchBucket(command.bucket)
    kind, document = command.kind, command.document
    kept = configurations_of(tables, bucket)
    of_kind = kept.setdefault(kind, {})
    if document is not None:
        if kind is ConfigurationKind.METADATA and command.id:
            if "" not in of_kind:
                return NoSuchMetadataConfiguration(command.bucket)
            of_kind[""] = _with_part(of_kind[""], command.id, document)
        elif refused := _check(tables, bucket, command, json.loads(document), of_kind):
            return refused
        else:
            of_kind[command.id] = document
        if len(of_kind) > MAX_CONFIGURATIONS or _size_of(kept) > MAX_STORED:
            return TooManyConfigurations(MAX_CONFIGURATIONS)
    elif of_kind.pop(command.id, None) is None:
        if kind in KINDS_WITH_IDS:
            return NoSuchConfiguration(command.bucket, command.id)
        if kind in MADE_ONCE:
            return NoSuchMetadataConfiguration(command.bucket)
    if kind is ConfigurationKind.NOTIFICATION:
        others = tuple(rule for rule in bucket.settings.events or () if rule.source != kind)
        tables.set_bucket_setting(bucket, BucketSetting("events", (*others, *command.rules) or None))
    if kind is ConfigurationKind.REPLICATION:
        tables.set_bucket_setting(bucket, BucketSetting("replication", command.replication or None))
    left = {name: documents for name, documents in kept.items() if documents}
    tables.set_bucket_setting(bucket, BucketSetting("configurations", left or None))
    return Done()


def _with_part(whole: str, name: str, part: str) -> str:
    """A metadata configuration in which what is given of a part is changed."""
    document = json.loads(whole)
    return dump(document | {name: document.get(name, {}) | json.loads(part)})


def configurations_of(tables: Tables, bucket: StoredBucket) -> dict[str, dict[str, str]]:
    """All of a bucket, by kind and id."""
    document = tables.setting_document(bucket.bucket_id, "configurations")
    if document is None:
        return {}
    configurations: dict[str, dict[str, str]] = value_of("configurations", document)
    return configurations


def _size_of(kept: dict[str, dict[str, str]]) -> int:
    return sum(len(document) for documents in kept.values() for document in documents.values())


def _check(
    tables: Tables, bucket: StoredBucket, command: PutBucketConfiguration, document: Any, of_kind: Mapping[str, str]
) -> S3Error | None:
    """The refusal of a configuration by what there is."""
    if command.kind in MADE_ONCE and of_kind:
        return InvalidBucketState("The bucket has a metadata configuration: delete it, or update its tables.")
    if command.kind is ConfigurationKind.LOGGING:
        return _check_logging(tables, bucket, document["LoggingEnabled"])
    if command.kind is ConfigurationKind.REPLICATION:
        return _check_replication(tables, bucket, command.replication)
    return None


def _check_logging(tables: Tables, bucket: StoredBucket, logging: Any) -> S3Error | None:
    """ "Buckets that use the bucket owner enforced setting for Object Ownership don't support target grants." """
    name = logging["TargetBucket"]
    target = tables.find_bucket(name)
    is_refused = target is None or target.owner_id != bucket.owner_id
    if is_refused or (target is not None and logging.get("TargetGrants") and is_enforced(target.settings)):
        return InvalidLoggingTarget(name)
    return None


def _check_replication(tables: Tables, bucket: StoredBucket, rules: Sequence[ReplicationRule]) -> S3Error | None:
    """ "Both source and destination buckets must have versioning enabled", and "if the source bucket has S3 Object Lock
    enabled, the destination buckets must also have S3 Object Lock enabled". Of a bucket elsewhere nothing is known."""
    if bucket.versioning != Versioning.ENABLED:
        return InvalidRequest("Versioning must be 'Enabled' on the bucket to apply a replication configuration")
    for name in dict.fromkeys(rule.destination for rule in rules if not rule.is_remote):
        target = tables.find_bucket(name)
        if target is None:
            return InvalidRequest("Destination bucket must exist.")
        if target.versioning != Versioning.ENABLED:
            return InvalidRequest("Destination bucket must have versioning enabled.")
        if target.bucket_id == bucket.bucket_id:
            return InvalidRequest("Destination bucket cannot be the same as the source bucket.")
        if bucket.object_lock is not None and target.object_lock is None:
            return InvalidRequest("Destination bucket must have Object Lock enabled, as the source bucket has.")
    return None
