"""From the replication configuration of a bucket to the rules by which its versions are copied."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from bleepstore.configurations import bucket_of_arn
from bleepstore.replication import ReplicationRule


def replication_rules(document: Mapping[str, Any], actor: str, remote: Collection[str]) -> tuple[ReplicationRule, ...]:
    """The rules of a checked document. `actor` is who copies, `remote` are the names of destinations elsewhere."""
    return tuple(_rule(one, actor, remote) for one in document["Rules"])


def _rule(one: Mapping[str, Any], actor: str, remote: Collection[str]) -> ReplicationRule:
    destination, criteria = one["Destination"], one.get("SourceSelectionCriteria", {})
    name = bucket_of_arn(destination["Bucket"])
    wanted = _wanted(one)
    return ReplicationRule(
        id=one["ID"],
        is_enabled=one["Status"] == "Enabled",
        destination=name,
        actor=actor,
        is_remote=name in remote,
        priority=one.get("Priority", 0),
        prefix=wanted.get("Prefix", ""),
        tags=_tags_of(wanted),
        **_excluded(wanted.get("Not", {})),
        # The earlier version of a configuration copies those that a user made, and has no element for them.
        delete_markers=_is_on(one, "DeleteMarkerReplication") if "Filter" in one else True,
        named_keys=_is_on(criteria, "SseKmsEncryptedObjects"),
        replica_changes=_is_on(criteria, "ReplicaModifications"),
        storage_class=destination.get("StorageClass"),
        key_id=destination.get("EncryptionConfiguration", {}).get("ReplicaKmsKeyID"),
        takes_ownership="AccessControlTranslation" in destination,
        account=destination.get("Account"),
    )


def _wanted(one: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a rule asks of keys and tags, all of which must hold."""
    wanted: Mapping[str, Any] = one.get("Filter", {"Prefix": one.get("Prefix", "")})
    both: Mapping[str, Any] = wanted.get("And", wanted)
    return both


def _tags_of(wanted: Mapping[str, Any]) -> dict[str, str]:
    tags = [*wanted.get("Tags", ()), *([wanted["Tag"]] if "Tag" in wanted else [])]
    return {tag["Key"]: tag["Value"] for tag in tags}


def _excluded(unwanted: Mapping[str, Any]) -> dict[str, Any]:
    """One of them is enough."""
    either = unwanted.get("Or", {})
    prefixes = [*either.get("Prefixes", ()), *([unwanted["Prefix"]] if "Prefix" in unwanted else [])]
    tags = [*either.get("Tags", ()), *([unwanted["Tag"]] if "Tag" in unwanted else [])]
    return {
        "excluded_prefixes": tuple(prefixes),
        "excluded_tags": tuple((tag["Key"], tag["Value"]) for tag in tags),
    }


def _is_on(element: Mapping[str, Any], name: str) -> bool:
    return bool(element.get(name, {}).get("Status") == "Enabled")
