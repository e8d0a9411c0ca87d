"""How the values within records are written and read, from text and numbers up to the data and attributes of an object.

What goes with an object (`ATTRIBUTES`) has the attributes that say something, and what is not in it means what the
table of `bleepstore.attributes` says of its absence. So a new attribute does not change the records of objects that
have none, and a node that does not know it reads those.
"""

from __future__ import annotations

from typing import Any

from bleepstore import commands as c
from bleepstore import errors as e
from bleepstore.attributes import ATTRIBUTES as ATTRIBUTE_TABLE
from bleepstore.attributes import (
    DEFAULTS,
    read_encryption,
    read_grants,
    read_mapping,
    read_retention,
    write_encryption,
    write_grants,
    write_mapping,
    write_retention,
)
from bleepstore.bucket_settings import SETTINGS, read_replication, write_replication
from bleepstore.codec.records import (
    Fields,
    Kind,
    MalformedRecord,
    Struct,
    Tail,
    UnknownTag,
    optional,
    row,
    struct,
    tuple_of,
)
from bleepstore.configurations import ConfigurationKind
from bleepstore.digests import Algorithm
from bleepstore.events import EventRule, Origin
from bleepstore.lifecycle_due import Act
from bleepstore.model import (
    NO_ATTRIBUTES,
    Acl,
    BlobRef,
    BucketSetting,
    Checksum,
    ChecksumType,
    Data,
    Inline,
    ObjectAttributes,
    Owner,
    PartSummary,
    Restoration,
    UploadToken,
    Versioning,
)
from bleepstore.preconditions import UNCONDITIONAL, WriteCondition
from bleepstore.quotas import Quota, QuotaScope
from bleepstore.rates import Rate, RateScope
from bleepstore.replication import ReplicationStatus


def _write_data(data: Data, tail: Tail) -> Fields:
    if isinstance(data, Inline):
        tail.append(data.data)
        return {"inline": len(data.data)}
    return {"handle": data.handle}


def _read_data(record: Fields, tail: Tail) -> Data:
    match record:
        case {"inline": int(size), **others} if not others:
            if len(tail) != 1 or len(tail[0]) != size:
                raise MalformedRecord(f"{size} bytes of the object do not follow its record")
            return Inline(tail.pop())
        case {"handle": str(handle), **others} if not others:
            return BlobRef(handle)
    raise MalformedRecord("the data of an object are neither inline nor a handle")


def _write_attributes(attributes: ObjectAttributes, _tail: Tail) -> Fields:
    record: Fields = {}
    if attributes is NO_ATTRIBUTES:
        return record
    for attribute, default in DEFAULTS:
        value = getattr(attributes, attribute.name)
        if value is not default and value != default:
            record[attribute.name] = attribute.to_json(value)
    return record


_ATTRIBUTE_READERS = {attribute.name: attribute.from_json for attribute in ATTRIBUTE_TABLE}


def _read_attributes(record: Fields, _tail: Tail) -> ObjectAttributes:
    if not record:
        return NO_ATTRIBUTES
    given: dict[str, Any] = {}
    for name, value in record.items():
        read = _ATTRIBUTE_READERS.get(name)
        if read is None:
            raise UnknownTag(f"unknown attribute {name!r}: a newer version of BleepStore wrote it; upgrade this")
        given[name] = read(value)
    return ObjectAttributes(**given)


def _write_setting(setting: BucketSetting, _tail: Tail) -> Fields:
    value = setting.value
    return {"name": setting.name, "value": None if value is None else SETTINGS[setting.name].to_json(value)}


def _read_setting(record: Fields, _tail: Tail) -> BucketSetting:
    name, value = record.pop("name"), record.pop("value")
    if record:
        raise MalformedRecord(f"a setting of a bucket has no {sorted(record)}")
    if name not in SETTINGS:
        raise UnknownTag(f"unknown setting {name!r}: a newer version of BleepStore wrote it; upgrade this")
    return BucketSetting(name, None if value is None else SETTINGS[name].from_json(value))


def _read_version_name(pair: list[Any], _tail: Tail) -> tuple[str, str]:
    if [type(text) for text in pair] != [str, str]:
        raise MalformedRecord("a version is named by its key and its id")
    return pair[0], pair[1]


TEXT = Kind(str)
TEXTS = Kind(dict, lambda texts, _: write_mapping(texts), lambda texts, _: read_mapping(texts))
INTEGER = Kind(int)
BOOLEAN = Kind(bool)
OPTIONAL_TEXT = optional(TEXT)
OPTIONAL_INTEGER = optional(INTEGER)
ALGORITHM = Kind(str, read=lambda text, _: Algorithm(text))
CHECKSUM_TYPE = Kind(str, read=lambda text, _: ChecksumType(text))
VERSIONING = Kind(str, read=lambda text, _: Versioning(text))
CONFIGURATION_KIND = Kind(str, read=lambda text, _: ConfigurationKind(text))
CONDITION_NAME = Kind(str, read=lambda text, _: e.Condition(text))
UPLOAD_TOKEN = Kind(str, lambda token, _: token.text, lambda text, _: UploadToken(text))
DATA = Kind(dict, _write_data, _read_data)
SETTING = Kind(dict, _write_setting, _read_setting)
SETTINGS_LIST = tuple_of(SETTING)
ATTRIBUTES = Kind(dict, _write_attributes, _read_attributes)
OWNER = struct(Owner, id=TEXT, display_name=TEXT)
GRANTS = Kind(list, lambda grants, _: write_grants(grants), lambda rows, _: read_grants(rows))
ACL = struct(Acl, owner_id=TEXT, grants=GRANTS)
CHECKSUM = optional(struct(Checksum, algorithm=ALGORITHM, value=TEXT, type=CHECKSUM_TYPE))
_CONDITION = Struct(
    WriteCondition, {"if_match": OPTIONAL_TEXT, "if_none_match": BOOLEAN, "replaces_only_of": OPTIONAL_TEXT}
)
_UNCONDITIONAL_WRITTEN = _CONDITION.write(UNCONDITIONAL, [])


def _read_condition(record: Fields, tail: Tail) -> WriteCondition:
    condition: WriteCondition = UNCONDITIONAL if record == _UNCONDITIONAL_WRITTEN else _CONDITION.read(record, tail)
    return condition


CONDITION = Kind(dict, _CONDITION.write, _read_condition, struct=_CONDITION)
RETENTION = optional(Kind(list, lambda retention, _: write_retention(retention), lambda row, _: read_retention(row)))
ENCRYPTION = Kind(dict, lambda encryption, _: write_encryption(encryption), lambda record, _: read_encryption(record))
RESTORATION = struct(Restoration, ready_ms=INTEGER, until_ms=INTEGER)
PARTS = tuple_of(row(PartSummary, number=INTEGER, size=INTEGER, checksum=OPTIONAL_TEXT, crc64nvme=OPTIONAL_TEXT))
ASSEMBLED = tuple_of(row(c.AssembledPart, number=INTEGER, handle=TEXT))
ENTRIES = tuple_of(struct(c.DeleteEntry, key=TEXT, version_id=OPTIONAL_TEXT, condition=CONDITION))

RATE_SCOPE = Kind(str, read=lambda text, _: RateScope(text))
RATE = optional(struct(Rate, requests=OPTIONAL_INTEGER, bytes=OPTIONAL_INTEGER))
QUOTA_SCOPE = Kind(str, read=lambda text, _: QuotaScope(text))
QUOTA = optional(struct(Quota, max_bytes=OPTIONAL_INTEGER, max_objects=OPTIONAL_INTEGER))
LIFECYCLE_ENTRIES = tuple_of(
    struct(
        c.LifecycleEntry,
        key=TEXT,
        sequence=INTEGER,
        act=Kind(str, read=lambda text, _: Act(text)),
        storage_class=OPTIONAL_TEXT,
        expected_tags=optional(TEXTS),
        newer=INTEGER,
    )
)

ANY_ORIGIN = struct(
    Origin, event=OPTIONAL_TEXT, request_id=OPTIONAL_TEXT, principal=OPTIONAL_TEXT, source_ip=OPTIONAL_TEXT
)
ORIGIN = optional(ANY_ORIGIN)
EVENT_RULES = tuple_of(
    row(
        EventRule,
        source=TEXT,
        id=TEXT,
        destination=TEXT,
        events=tuple_of(TEXT),
        prefix=TEXT,
        suffix=TEXT,
    )
)

REPLICATION_RULES = Kind(list, lambda rules, _: write_replication(rules), lambda records, _: read_replication(records))
REPLICATION_OUTCOMES = tuple_of(
    row(
        c.ReplicationOutcome,
        number=INTEGER,
        revision=INTEGER,
        status=optional(Kind(str, read=lambda text, _: ReplicationStatus(text))),
        version_id=OPTIONAL_TEXT,
        error=OPTIONAL_TEXT,
    )
)
VERSION_NAME = Kind(list, lambda pair, _: list(pair), _read_version_name)
