"""The forms of all records, listed by hand.

A form is never edited once a release has written it. When a class changes:

1. Its form here gets the next tag (`put-object/2`) and the new fields.
2. The old tag goes into the successors, with a function that makes the new fields of the old ones.
3. The golden file of the old tag stays, and is read by the tests for ever; the new tag gets its own.

What goes with an object (`ATTRIBUTES`) has a form of its own: a record has the attributes that say something, and what
is not in it means what the table of `bleepstore.attributes` says of its absence. So a new attribute does not change the
records of objects that have none, and a node that does not know it reads those.
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
    RecordForm,
    Records,
    Struct,
    Tail,
    UnknownTag,
    Upcast,
    form,
    optional,
    row,
    struct,
    tuple_of,
)
from bleepstore.configurations import ConfigurationKind
from bleepstore.digests import Algorithm
from bleepstore.events import Event, EventRule, FailedReplication, Origin
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

_ORIGIN = struct(
    Origin, event=OPTIONAL_TEXT, request_id=OPTIONAL_TEXT, principal=OPTIONAL_TEXT, source_ip=OPTIONAL_TEXT
)
ORIGIN = optional(_ORIGIN)
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

_STAMP: dict[str, Kind] = {"request_id": TEXT, "time_ms": INTEGER}
_BUCKET = {**_STAMP, "bucket": TEXT, "bucket_id": OPTIONAL_INTEGER}
_KEY = {**_BUCKET, "key": TEXT}
_UPLOAD = {**_KEY, "upload_id": TEXT}


def _write_command(command: c.Command, tail: Tail) -> Fields:
    return COMMANDS.write(command, tail)


def _read_command(record: Fields, tail: Tail) -> Any:
    return COMMANDS.read(record, tail)


#: A command within another one: a record of its own, so that it is read in the form that it has.
_COMMAND = Kind(dict, _write_command, _read_command)

COMMAND_FORMS: tuple[RecordForm, ...] = (
    form(
        "create-bucket/1",
        c.CreateBucket,
        **_STAMP,
        bucket=TEXT,
        owner=OWNER,
        location=TEXT,
        acl=ACL,
        settings=SETTINGS_LIST,
    ),
    form("delete-bucket/1", c.DeleteBucket, **_BUCKET),
    form("put-bucket-acl/1", c.PutBucketAcl, **_BUCKET, acl=ACL),
    form("put-bucket-setting/1", c.PutBucketSetting, **_BUCKET, setting=SETTING, makes_public=BOOLEAN),
    form(
        "put-bucket-configuration/1",
        c.PutBucketConfiguration,
        **_BUCKET,
        kind=CONFIGURATION_KIND,
        id=TEXT,
        document=OPTIONAL_TEXT,
        rules=EVENT_RULES,
        replication=REPLICATION_RULES,
    ),
    form("put-bucket-versioning/1", c.PutBucketVersioning, **_BUCKET, versioning=VERSIONING),
    form(
        "put-object/1",
        c.PutObject,
        **_KEY,
        owner=OWNER,
        creator_id=OPTIONAL_TEXT,
        size=INTEGER,
        etag=TEXT,
        data=DATA,
        stored_ms=OPTIONAL_INTEGER,
        attributes=ATTRIBUTES,
        checksum=CHECKSUM,
        crc64nvme=OPTIONAL_TEXT,
        parts=PARTS,
        condition=CONDITION,
        origin=ORIGIN,
    ),
    form(
        "delete-object/1",
        c.DeleteObject,
        **_KEY,
        version_id=OPTIONAL_TEXT,
        owner=optional(OWNER),
        creator_id=OPTIONAL_TEXT,
        condition=CONDITION,
        bypasses_governance=BOOLEAN,
        origin=ORIGIN,
    ),
    form(
        "delete-objects/1",
        c.DeleteObjects,
        **_BUCKET,
        owner=optional(OWNER),
        creator_id=OPTIONAL_TEXT,
        bypasses_governance=BOOLEAN,
        origin=ORIGIN,
        entries=ENTRIES,
    ),
    form("apply-lifecycle/1", c.ApplyLifecycle, **_BUCKET, rules_digest=TEXT, entries=LIFECYCLE_ENTRIES),
    form(
        "put-object-acl/1",
        c.PutObjectAcl,
        **_KEY,
        version_id=OPTIONAL_TEXT,
        expected_sequence=OPTIONAL_INTEGER,
        expected_acl=optional(ACL),
        origin=ORIGIN,
        acl=ACL,
    ),
    form(
        "put-object-tags/1",
        c.PutObjectTags,
        **_KEY,
        version_id=OPTIONAL_TEXT,
        expected_sequence=OPTIONAL_INTEGER,
        origin=ORIGIN,
        tags=TEXTS,
    ),
    form(
        "put-object-retention/1",
        c.PutObjectRetention,
        **_KEY,
        version_id=OPTIONAL_TEXT,
        expected_sequence=OPTIONAL_INTEGER,
        bypasses_governance=BOOLEAN,
        origin=ORIGIN,
        retention=RETENTION,
    ),
    form(
        "put-object-legal-hold/1",
        c.PutObjectLegalHold,
        **_KEY,
        version_id=OPTIONAL_TEXT,
        expected_sequence=OPTIONAL_INTEGER,
        legal_hold=BOOLEAN,
    ),
    form(
        "put-object-encryption/1",
        c.PutObjectEncryption,
        **_KEY,
        version_id=OPTIONAL_TEXT,
        expected_sequence=OPTIONAL_INTEGER,
        expected_wrapped_key=TEXT,
        encryption=ENCRYPTION,
    ),
    form(
        "restore-object/1",
        c.RestoreObject,
        **_KEY,
        version_id=OPTIONAL_TEXT,
        expected_sequence=OPTIONAL_INTEGER,
        origin=ORIGIN,
        days=INTEGER,
        delay_ms=INTEGER,
    ),
    form(
        "create-upload/1",
        c.CreateUpload,
        **_UPLOAD,
        owner=OWNER,
        initiator=OWNER,
        attributes=ATTRIBUTES,
        checksum_algorithm=optional(ALGORITHM),
        checksum_type=optional(CHECKSUM_TYPE),
        backend_token=optional(UPLOAD_TOKEN),
    ),
    form(
        "register-part/1",
        c.RegisterPart,
        **_UPLOAD,
        number=INTEGER,
        size=INTEGER,
        etag=TEXT,
        checksum=CHECKSUM,
        crc64nvme=OPTIONAL_TEXT,
        handle=TEXT,
        stored_ms=INTEGER,
    ),
    form(
        "complete-upload/1",
        c.CompleteUpload,
        **_UPLOAD,
        assembled=ASSEMBLED,
        parts=PARTS,
        size=INTEGER,
        etag=TEXT,
        checksum=CHECKSUM,
        crc64nvme=OPTIONAL_TEXT,
        handle=TEXT,
        stored_ms=OPTIONAL_INTEGER,
        condition=CONDITION,
        origin=ORIGIN,
    ),
    form("abort-upload/1", c.AbortUpload, **_UPLOAD),
    form(
        "follow-provider/1",
        c.FollowProvider,
        **_KEY,
        expected_current=OPTIONAL_TEXT,
        written=optional(_COMMAND),
        upload_id=OPTIONAL_TEXT,
        origin=ORIGIN,
    ),
    form(
        "put-credential/1",
        c.PutCredential,
        **_STAMP,
        access_key=TEXT,
        secret_key=TEXT,
        owner=OWNER,
        email=OPTIONAL_TEXT,
        user=OPTIONAL_TEXT,
        sealed_by=OPTIONAL_TEXT,
    ),
    form("disable-credential/1", c.DisableCredential, **_STAMP, access_key=TEXT),
    form("put-rate-limit/1", c.PutRateLimit, **_STAMP, scope=RATE_SCOPE, name=TEXT, rate=RATE),
    form("delete-credential/1", c.DeleteCredential, **_STAMP, access_key=TEXT),
    form(
        "replace-secret/1",
        c.ReplaceSecret,
        **_STAMP,
        access_key=TEXT,
        expected=TEXT,
        secret_key=TEXT,
        sealed_by=OPTIONAL_TEXT,
    ),
    form("create-user/1", c.CreateUser, **_STAMP, account=OWNER, name=TEXT, path=TEXT, user_id=TEXT),
    form("delete-user/1", c.DeleteUser, **_STAMP, account_id=TEXT, name=TEXT),
    form(
        "put-user-policy/1",
        c.PutUserPolicy,
        **_STAMP,
        account_id=TEXT,
        user=TEXT,
        policy=TEXT,
        document=OPTIONAL_TEXT,
    ),
    form("put-quota/1", c.PutQuota, **_STAMP, scope=QUOTA_SCOPE, name=TEXT, quota=QUOTA),
    form("recount-usage/1", c.RecountUsage, **_STAMP),
    form(
        "put-role/1",
        c.PutRole,
        **_STAMP,
        name=TEXT,
        role_id=TEXT,
        account=OWNER,
        trust_policy=TEXT,
        policies=TEXTS,
        max_session_seconds=INTEGER,
    ),
    form("delete-role/1", c.DeleteRole, **_STAMP, account_id=TEXT, name=TEXT),
    form(
        "put-session-key/1",
        c.PutSessionKey,
        **_STAMP,
        key=TEXT,
        sealed_by=OPTIONAL_TEXT,
        expected=OPTIONAL_TEXT,
    ),
    form("revoke-sessions/1", c.RevokeSessions, **_STAMP, principal=TEXT, until_ms=INTEGER),
    form("begin-sweep/1", c.BeginSweep, **_STAMP, until_ms=INTEGER),
    form("end-sweep/1", c.EndSweep, **_STAMP, until_ms=INTEGER),
    form("forget-garbage/1", c.ForgetGarbage, **_STAMP, garbage_ids=tuple_of(INTEGER)),
    form("end-restorations/1", c.EndRestorations, **_STAMP, until_ms=INTEGER),
    form("forget-events/1", c.ForgetEvents, **_STAMP, destination=TEXT, through=INTEGER),
    form(
        "put-replica/1",
        c.PutReplica,
        **_KEY,
        version_id=TEXT,
        sequence=INTEGER,
        owner=OWNER,
        creator_id=OPTIONAL_TEXT,
        modified_ms=INTEGER,
        written=optional(_COMMAND),
    ),
    form(
        "put-replica-attributes/1",
        c.PutReplicaAttributes,
        **_KEY,
        version_id=TEXT,
        attributes=ATTRIBUTES,
        keeps_acl=BOOLEAN,
    ),
    form("end-replications/1", c.EndReplications, **_STAMP, destination=TEXT, outcomes=REPLICATION_OUTCOMES),
    form("queue-replications/1", c.QueueReplications, **_BUCKET, versions=tuple_of(VERSION_NAME)),
)
COMMAND_SUCCESSORS: dict[str, tuple[str, Upcast]] = {}


def _write_outcome(outcome: c.Removed | e.S3Error, tail: Tail) -> Fields:
    return RESULTS.write(outcome, tail)


def _read_outcome(record: Fields, tail: Tail) -> Any:
    return RESULTS.read(record, tail)


#: What one of the entries of a DeleteObjects ended in: a record within a record.
_OUTCOME = Kind(dict, _write_outcome, _read_outcome)
#: All that a command may end in. The refusals are those that apply gives.
RESULT_FORMS: tuple[RecordForm, ...] = (
    form("done/1", c.Done),
    form("written/1", c.Written, version_id=OPTIONAL_TEXT, modified_ms=INTEGER, retention=RETENTION),
    form("removed/1", c.Removed, key=TEXT, version_id=OPTIONAL_TEXT, delete_marker_id=OPTIONAL_TEXT),
    form("removed-many/1", c.RemovedMany, outcomes=tuple_of(_OUTCOME)),
    form("lifecycle-applied/1", c.LifecycleApplied, changed=INTEGER, refused=INTEGER),
    form("restored/1", c.Restored, restoration=RESTORATION, is_extended=BOOLEAN),
    form("access-control-list-not-supported/1", e.AccessControlListNotSupported),
    form("access-denied/1", e.AccessDenied, reason=OPTIONAL_TEXT),
    form("bucket-already-exists/1", e.BucketAlreadyExists, bucket=TEXT),
    form("bucket-already-owned-by-you/1", e.BucketAlreadyOwnedByYou, bucket=TEXT),
    form("bucket-not-empty/1", e.BucketNotEmpty, bucket=TEXT, is_versioned=BOOLEAN),
    form(
        "conditional-request-conflict/1",
        e.ConditionalRequestConflict,
        bucket=TEXT,
        key=TEXT,
        condition=optional(CONDITION_NAME),
    ),
    form(
        "method-not-allowed/1",
        e.MethodNotAllowed,
        resource_type=OPTIONAL_TEXT,
        version_id=OPTIONAL_TEXT,
        modified_ms=OPTIONAL_INTEGER,
    ),
    form(
        "invalid-argument/1",
        e.InvalidArgument,
        reason=TEXT,
        argument_name=OPTIONAL_TEXT,
        argument_value=OPTIONAL_TEXT,
    ),
    form("invalid-bucket-acl-with-object-ownership/1", e.InvalidBucketAclWithObjectOwnership),
    form("invalid-bucket-state/1", e.InvalidBucketState, reason=TEXT),
    form(
        "invalid-object-state/1",
        e.InvalidObjectState,
        reason=OPTIONAL_TEXT,
        storage_class=OPTIONAL_TEXT,
        of_source=optional(BOOLEAN),
    ),
    form("invalid-logging-target/1", e.InvalidLoggingTarget, target_bucket=TEXT),
    form("invalid-request/1", e.InvalidRequest, reason=TEXT, argument_name=OPTIONAL_TEXT),
    form("no-such-bucket/1", e.NoSuchBucket, bucket=TEXT),
    form("no-such-configuration/1", e.NoSuchConfiguration, bucket=TEXT, configuration_id=OPTIONAL_TEXT),
    form("no-such-credential/1", e.NoSuchCredential, access_key=TEXT),
    form("no-such-user/1", e.NoSuchUser, account_id=TEXT, user=TEXT),
    form("no-such-user-policy/1", e.NoSuchUserPolicy, account_id=TEXT, user=TEXT, policy=TEXT),
    form("user-already-exists/1", e.UserAlreadyExists, account_id=TEXT, user=TEXT),
    form("too-many-user-policies/1", e.TooManyUserPolicies, limit=INTEGER),
    form(
        "no-such-key/1", e.NoSuchKey, bucket=TEXT, key=TEXT, version_id=OPTIONAL_TEXT, delete_marker=optional(BOOLEAN)
    ),
    form("no-such-metadata-configuration/1", e.NoSuchMetadataConfiguration, bucket=TEXT),
    form("no-such-role/1", e.NoSuchRole, role=TEXT),
    form("no-such-upload/1", e.NoSuchUpload, upload_id=TEXT, bucket=OPTIONAL_TEXT, key=OPTIONAL_TEXT),
    form("no-such-version/1", e.NoSuchVersion, bucket=TEXT, key=TEXT, version_id=TEXT),
    form("object-already-in-active-tier/1", e.ObjectAlreadyInActiveTier, storage_class=OPTIONAL_TEXT),
    form("object-locked/1", e.ObjectLocked),
    form("operation-aborted/1", e.OperationAborted, reason=OPTIONAL_TEXT),
    form(
        "precondition-failed/1",
        e.PreconditionFailed,
        condition=CONDITION_NAME,
        bucket=OPTIONAL_TEXT,
        key=OPTIONAL_TEXT,
        of_source=BOOLEAN,
    ),
    form("quota-exceeded/1", e.QuotaExceeded, bucket=TEXT, scope=TEXT, unit=TEXT, limit=INTEGER),
    form("restore-already-in-progress/1", e.RestoreAlreadyInProgress),
    form("service-unavailable/1", e.ServiceUnavailable, reason=OPTIONAL_TEXT),
    form("too-many-configurations/1", e.TooManyConfigurations, limit=INTEGER),
)
RESULT_SUCCESSORS: dict[str, tuple[str, Upcast]] = {}
#: What the outbox keeps.
EVENT_FORMS: tuple[RecordForm, ...] = (
    form(
        "event/1",
        Event,
        name=TEXT,
        time_ms=INTEGER,
        bucket=TEXT,
        owner_id=TEXT,
        location=TEXT,
        key=TEXT,
        sequencer=INTEGER,
        version_id=OPTIONAL_TEXT,
        size=OPTIONAL_INTEGER,
        etag=OPTIONAL_TEXT,
        origin=_ORIGIN,
        storage_class=OPTIONAL_TEXT,
        restored_until_ms=OPTIONAL_INTEGER,
        replication=optional(struct(FailedReplication, rule_id=TEXT, destination=TEXT, reason=TEXT)),
    ),
)
EVENT_SUCCESSORS: dict[str, tuple[str, Upcast]] = {}

COMMANDS: Records = Records(COMMAND_FORMS, COMMAND_SUCCESSORS)
RESULTS: Records = Records(RESULT_FORMS, RESULT_SUCCESSORS)
EVENTS: Records = Records(EVENT_FORMS, EVENT_SUCCESSORS)
