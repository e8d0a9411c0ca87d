"""How what goes with an object is stored: one row for each field of `ObjectAttributes`.

From these rows come the columns of the tables of versions and uploads (`bleepstore.catalog.sqlite.rows`), and the form
of attributes in records. A new attribute is a field of `ObjectAttributes`, a row here, and a migration that gives both
tables its column. What was written before has no such attribute, which means what `absent` says; so `absent` is never
changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from bleepstore.encryption import Encryption, EncryptionKind
from bleepstore.model import (
    NO_ATTRIBUTES,
    NO_SYSTEM,
    Grant,
    Group,
    Permission,
    Restoration,
    SystemMetadata,
)
from bleepstore.object_lock import Retention, RetentionMode
from bleepstore.replication import Replica, Replication, ReplicationStatus
from bleepstore.values import NO_TEXTS, FrozenTexts

_SYSTEM_FIELDS = tuple(field.name for field in attrs.fields(SystemMetadata))


def _write_system(system: SystemMetadata) -> dict[str, str]:
    given: dict[str, str] = {}
    if system is not NO_SYSTEM:
        for name in _SYSTEM_FIELDS:
            if (value := getattr(system, name)) is not None:
                given[name] = value
    return given


def read_mapping(given: object) -> FrozenTexts:
    """What `write_mapping` wrote: a JSON object of texts. Raises ValueError for anything else: it is damaged."""
    if type(given) is not dict:
        raise ValueError(f"stored attributes hold {type(given).__name__} instead of an object")
    for value in given.values():
        if type(value) is not str:
            raise ValueError(f"stored attributes hold {type(value).__name__} instead of a text")
    return FrozenTexts(given) if given else NO_TEXTS


def _read_text(given: object) -> str:
    if type(given) is not str:
        raise ValueError(f"stored attributes hold {type(given).__name__} instead of a text")
    return given


def _read_system(given: object) -> SystemMetadata:
    return SystemMetadata(**read_mapping(given)) if given != {} else NO_SYSTEM


def write_mapping(texts: Mapping[str, str]) -> dict[str, str]:
    """As JSON: sorted, because equal mappings must be stored as equal bytes."""
    return dict(sorted(texts.items())) if texts else {}


def write_grants(grants: Iterable[Grant] | None) -> list[list[Any]] | None:
    """As JSON: whether to a group, to whom, what."""
    if grants is None:
        return None
    return [[isinstance(one.grantee, Group), str(one.grantee), one.permission.value] for one in grants]


def read_grants(rows: object) -> tuple[Grant, ...] | None:
    """What `write_grants` wrote. Raises ValueError or TypeError for anything else."""
    if rows is None:
        return None
    if type(rows) is not list:
        raise ValueError(f"stored attributes hold {type(rows).__name__} instead of a list")
    return tuple([_read_grant(*row) for row in rows])


def _read_grant(is_group: object, who: object, what: object) -> Grant:
    if type(is_group) is not bool:
        raise ValueError(f"a stored grant holds {type(is_group).__name__} instead of true or false")
    return Grant(Group(_read_text(who)) if is_group else _read_text(who), Permission(_read_text(what)))


def _write_restoration(restoration: Restoration | None) -> list[int] | None:
    return None if restoration is None else [restoration.ready_ms, restoration.until_ms]


def _read_restoration(times: object) -> Restoration | None:
    if times is None:
        return None
    if type(times) is not list or [type(one) for one in times] != [int, int]:
        raise ValueError("a stored restoration is two times")
    return Restoration(*times)


def write_retention(retention: Retention | None) -> list[Any] | None:
    """As JSON: the mode, and until when."""
    return None if retention is None else [retention.mode.value, retention.until_ms]


def read_retention(row: Sequence[Any] | None) -> Retention | None:
    """What `write_retention` wrote."""
    return None if row is None else Retention(RetentionMode(row[0]), row[1])


def _same(value: bool | None) -> bool | None:
    return value


def write_encryption(encryption: Encryption | None) -> dict[str, Any] | None:
    if encryption is None:
        return None
    return {
        "kind": encryption.kind.value,
        "wrapped_key": encryption.wrapped_key,
        "master_key": encryption.master_key,
        "key_id": encryption.key_id,
        "context": write_mapping(encryption.context),
        "bucket_key": encryption.bucket_key,
        "part_numbers": list(encryption.part_numbers),
    }


def read_encryption(record: Any) -> Encryption | None:
    if record is None:
        return None
    given = dict(record)
    return Encryption(
        kind=EncryptionKind(given.pop("kind")),
        context=read_mapping(given.pop("context")),
        part_numbers=tuple(given.pop("part_numbers")),
        **given,
    )


def _write_replication(replication: Replication | None) -> list[Any] | None:
    """As JSON: whether it is a replica, and the replicas of it."""
    if replication is None:
        return None
    rows = [[one.destination, one.status.value, one.version_id, one.error] for one in replication.replicas]
    return [replication.is_replica, rows]


def _read_replication(record: Any) -> Replication | None:
    if record is None:
        return None
    is_replica, rows = record
    if type(is_replica) is not bool:
        raise ValueError(f"a stored replication holds {type(is_replica).__name__} instead of true or false")
    return Replication(tuple([_read_replica(*row) for row in rows]), is_replica)


def _read_replica(destination: object, status: object, version_id: str | None, error: str | None) -> Replica:
    return Replica(_read_text(destination), ReplicationStatus(_read_text(status)), version_id, error)


def load_encryption(text: str | None) -> Encryption | None:
    """Of a column."""
    return None if text is None else read_encryption(json.loads(text))


#: A JSON value as a column holds it.
dump: Callable[[object], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@attrs.frozen
class Attribute:
    """`to_json` and `from_json` give what a record holds. A column holds that as text, or NULL for what is absent."""

    name: str
    absent: Any
    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]
    is_text: bool = False  # its JSON is a string, which the column holds without quotes
    is_common: bool = True  # many objects have the same, so what was read of one is kept for others


ATTRIBUTES = (
    Attribute("system", {}, _write_system, _read_system),
    Attribute("metadata", {}, write_mapping, read_mapping, is_common=False),
    Attribute("storage_class", "STANDARD", str, _read_text, is_text=True),
    Attribute("grants", None, write_grants, read_grants),
    Attribute("tags", {}, write_mapping, read_mapping, is_common=False),
    Attribute("restoration", None, _write_restoration, _read_restoration),
    Attribute("retention", None, write_retention, read_retention),
    Attribute("legal_hold", None, _same, _same),
    Attribute("encryption", None, write_encryption, read_encryption, is_common=False),
    Attribute("replication", None, _write_replication, _read_replication),
)
#: What the columns are called.
COLUMNS = tuple(attribute.name for attribute in ATTRIBUTES)
#: Each with the value of `ObjectAttributes` that is not stored, as it is the same as to be absent.
DEFAULTS = tuple((attribute, getattr(NO_ATTRIBUTES, attribute.name)) for attribute in ATTRIBUTES)
