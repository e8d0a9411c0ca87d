"""Buckets that are copied to each other."""

from __future__ import annotations

from typing import Any

from bleepstore import ConfigurationKind, Store
from bleepstore.model import Versioning
from bleepstore.replication import ReplicationStatus

ROLE = "arn:aws:iam::111122223333:role/replicates"


def rule(destination: str = "copies", **more: Any) -> dict[str, Any]:
    """Of all objects, with their delete markers."""
    return {
        "Priority": 1,
        "Filter": {"Prefix": ""},
        "Status": "Enabled",
        "DeleteMarkerReplication": {"Status": "Enabled"},
        "Destination": {"Bucket": f"arn:aws:s3:::{destination}"},
    } | more


def replicate(store: Store, bucket: str, *rules: dict[str, Any], role: str = ROLE, **options: Any) -> None:
    document = {"Role": role, "Rules": list(rules)}
    store.put_bucket_configuration(bucket, ConfigurationKind.REPLICATION, document, **options)


def make_buckets(store: Store, *names: str, **options: Any) -> None:
    for name in names:
        store.create_bucket(name, **options)
        store.put_bucket_versioning(name, Versioning.ENABLED)


def copy_all(store: Store) -> None:
    """Have all that waits copied."""
    store.jobs.run("replication")


def status_of(store: Store, bucket: str, key: str, version_id: str | None = None) -> ReplicationStatus | None:
    state = store.head_object(bucket, key, version_id=version_id).version.replication
    return None if state is None else state.status


def error_of(store: Store, bucket: str, key: str) -> str | None:
    state = store.head_object(bucket, key).version.replication
    return None if state is None else state.replicas[0].error


def versions(store: Store, bucket: str) -> list[tuple[str, str, bool, str]]:
    """(key, version id, whether it is a delete marker, ETag) of all."""
    return [(one.key, one.version_id, one.is_delete_marker, one.etag) for one in store.iter_object_versions(bucket)]
