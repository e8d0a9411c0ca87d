"""How what a bucket is configured with is stored: one row for each field of `BucketSettings`.

From these rows come the documents that the catalog keeps, and the form of a setting in records. A new setting is a
field of `BucketSettings` and a row here: the command that changes it, the table and what copies a catalog are there.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from bleepstore import lifecycle as lc
from bleepstore.attributes import dump, read_mapping, write_mapping
from bleepstore.configurations import Configurations
from bleepstore.cors import CorsRule
from bleepstore.encryption import BucketEncryption, EncryptionKind
from bleepstore.events import EventRule
from bleepstore.model import NO_SETTINGS, BucketSetting, BucketSettings
from bleepstore.object_lock import DefaultRetention, ObjectLock, RetentionMode
from bleepstore.ownership import ObjectOwnership, Payer, PublicAccessBlock
from bleepstore.replication import ReplicationRule


@attrs.frozen
class SettingForm:
    """`to_json` and `from_json` give what a record, or as text a document of the catalog, holds of a value. Equal
    values give equal JSON."""

    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]


def _write_date(date: dt.date | None) -> str | None:
    return None if date is None else date.isoformat()


def _read_date(text: str | None) -> dt.date | None:
    return None if text is None else dt.date.fromisoformat(text)


def _write_rule(rule: lc.LifecycleRule) -> dict[str, Any]:
    wanted, end, older = rule.filter, rule.expiration, rule.noncurrent_expiration
    return {
        "id": rule.id,
        "enabled": rule.enabled,
        "filter": [wanted.prefix, write_mapping(wanted.tags), wanted.size_greater_than, wanted.size_less_than],
        "expiration": end and [end.days, _write_date(end.date), end.expired_object_delete_marker],
        "transitions": [[one.storage_class, one.days, _write_date(one.date)] for one in rule.transitions],
        "noncurrent_expiration": older and [older.days, older.newer_versions],
        "noncurrent_transitions": [
            [one.storage_class, one.days, one.newer_versions] for one in rule.noncurrent_transitions
        ],
        "abort_uploads_days": rule.abort_uploads_days,
        "is_prefix_form": rule.is_prefix_form,
    }


def _read_rule(record: dict[str, Any]) -> lc.LifecycleRule:
    prefix, tags, greater_than, less_than = record.pop("filter")
    end, older = record.pop("expiration"), record.pop("noncurrent_expiration")
    transitions, older_transitions = record.pop("transitions"), record.pop("noncurrent_transitions")
    return lc.LifecycleRule(
        filter=lc.LifecycleFilter(
            prefix=prefix, tags=read_mapping(tags), size_greater_than=greater_than, size_less_than=less_than
        ),
        expiration=end and lc.Expiration(days=end[0], date=_read_date(end[1]), expired_object_delete_marker=end[2]),
        transitions=tuple(
            lc.Transition(storage_class=name, days=days, date=_read_date(date)) for name, days, date in transitions
        ),
        noncurrent_expiration=older and lc.NoncurrentExpiration(days=older[0], newer_versions=older[1]),
        noncurrent_transitions=tuple(
            lc.NoncurrentTransition(storage_class=name, days=days, newer_versions=newer)
            for name, days, newer in older_transitions
        ),
        **record,
    )


def _write_lifecycle(lifecycle: lc.Lifecycle) -> dict[str, Any]:
    return {
        "rules": [_write_rule(rule) for rule in lifecycle.rules],
        "transition_minimum": lifecycle.transition_minimum.value,
    }


def _read_lifecycle(record: Mapping[str, Any]) -> lc.Lifecycle:
    return lc.Lifecycle(
        rules=tuple(_read_rule(dict(rule)) for rule in record["rules"]),
        transition_minimum=lc.TransitionMinimum(record["transition_minimum"]),
    )


def _write_lock(lock: ObjectLock) -> dict[str, Any]:
    default = lock.default
    if default is None:
        return {}
    return {"mode": default.mode.value, "days": default.days, "years": default.years}


def _read_lock(record: Mapping[str, Any]) -> ObjectLock:
    if not record:
        return ObjectLock()
    return ObjectLock(DefaultRetention(RetentionMode(record["mode"]), days=record["days"], years=record["years"]))


def _write_encryption(encryption: BucketEncryption) -> dict[str, Any]:
    return {
        "kind": encryption.kind.value,
        "key_id": encryption.key_id,
        "bucket_key": encryption.bucket_key,
        "refuses_customer_keys": encryption.refuses_customer_keys,
    }


def _read_encryption(record: Mapping[str, Any]) -> BucketEncryption:
    given = dict(record)
    return BucketEncryption(kind=EncryptionKind(given.pop("kind")), **given)


def _write_cors(rules: tuple[CorsRule, ...]) -> list[dict[str, Any]]:
    return [
        {
            "origins": list(rule.allowed_origins),
            "methods": list(rule.allowed_methods),
            "headers": list(rule.allowed_headers),
            "expose_headers": list(rule.expose_headers),
            "max_age_seconds": rule.max_age_seconds,
            "id": rule.id,
        }
        for rule in rules
    ]


def _read_cors(records: Iterable[Mapping[str, Any]]) -> tuple[CorsRule, ...]:
    return tuple(
        CorsRule(
            allowed_origins=tuple(record["origins"]),
            allowed_methods=tuple(record["methods"]),
            allowed_headers=tuple(record["headers"]),
            expose_headers=tuple(record["expose_headers"]),
            max_age_seconds=record["max_age_seconds"],
            id=record["id"],
        )
        for record in records
    )


_SWITCHES = tuple(switch.name for switch in attrs.fields(PublicAccessBlock))


def _write_block(block: PublicAccessBlock) -> list[str]:
    return [name for name in _SWITCHES if getattr(block, name)]


def _read_block(names: Iterable[str]) -> PublicAccessBlock:
    return PublicAccessBlock(**dict.fromkeys(names, True))


def _write_configurations(configurations: Configurations) -> dict[str, dict[str, str]]:
    return {kind: write_mapping(documents) for kind, documents in sorted(configurations.items())}


def _write_events(rules: Iterable[EventRule]) -> list[list[Any]]:
    return [[one.source, one.id, one.destination, list(one.events), one.prefix, one.suffix] for one in rules]


def _read_events(rows: Iterable[list[Any]]) -> tuple[EventRule, ...]:
    return tuple(
        EventRule(source=source, id=id, destination=destination, events=tuple(events), prefix=prefix, suffix=suffix)
        for source, id, destination, events, prefix, suffix in rows
    )


def write_replication(rules: Iterable[ReplicationRule]) -> list[dict[str, Any]]:
    """As JSON."""
    return [attrs.asdict(rule) | {"tags": write_mapping(rule.tags)} for rule in rules]


def read_replication(records: Iterable[Mapping[str, Any]]) -> tuple[ReplicationRule, ...]:
    """What `write_replication` wrote."""
    return tuple(_read_replication_rule(dict(record)) for record in records)


def _read_replication_rule(record: dict[str, Any]) -> ReplicationRule:
    prefixes, excluded, tags = (record.pop(name) for name in ("excluded_prefixes", "excluded_tags", "tags"))
    return ReplicationRule(
        excluded_prefixes=tuple(prefixes),
        excluded_tags=tuple((key, value) for key, value in excluded),
        tags=read_mapping(tags),
        **record,
    )


SETTINGS: Mapping[str, SettingForm] = {
    "tags": SettingForm(write_mapping, read_mapping),
    "lifecycle": SettingForm(_write_lifecycle, _read_lifecycle),
    "object_lock": SettingForm(_write_lock, _read_lock),
    "encryption": SettingForm(_write_encryption, _read_encryption),
    "policy": SettingForm(str, str),
    "cors": SettingForm(_write_cors, _read_cors),
    "ownership": SettingForm(str, ObjectOwnership),
    "public_access_block": SettingForm(_write_block, _read_block),
    "payer": SettingForm(str, Payer),
    "configurations": SettingForm(_write_configurations, dict),
    "events": SettingForm(_write_events, _read_events),
    "replication": SettingForm(write_replication, read_replication),
}


def document_of(setting: BucketSetting) -> str | None:
    """The value as the catalog keeps it; None: the bucket has none."""
    return None if setting.value is None else dump(SETTINGS[setting.name].to_json(setting.value))


def digest_of(document: str | None) -> str:
    """By which a command names the value that was decided on; "" for none."""
    return "" if document is None else hashlib.sha256(document.encode()).hexdigest()


def value_of(name: str, document: str) -> Any:
    """The value of the setting of this name that `document_of` wrote."""
    return SETTINGS[name].from_json(json.loads(document))


def from_documents(documents: Iterable[tuple[str, str]]) -> BucketSettings:
    """The settings whose names and documents these are."""
    given = {name: value_of(name, text) for name, text in documents}
    return BucketSettings(**given) if given else NO_SETTINGS
