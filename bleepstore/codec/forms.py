"""The forms of all records, listed by hand.

A form is never edited once a release has written it. When a class changes:

1. Its form here gets the next tag (`put-object/2`) and the new fields.
2. The old tag goes into the successors, with a function that makes the new fields of the old ones.
3. The golden file of the old tag stays, and is read by the tests for ever; the new tag gets its own.
"""

from __future__ import annotations

from typing import Any

from bleepstore import commands as c
from bleepstore import errors as e
from bleepstore.codec.kinds import (
    ACL,
    ALGORITHM,
    ANY_ORIGIN,
    ASSEMBLED,
    ATTRIBUTES,
    BOOLEAN,
    CHECKSUM,
    CHECKSUM_TYPE,
    CONDITION,
    CONDITION_NAME,
    CONFIGURATION_KIND,
    DATA,
    ENCRYPTION,
    ENTRIES,
    EVENT_RULES,
    INTEGER,
    LIFECYCLE_ENTRIES,
    OPTIONAL_INTEGER,
    OPTIONAL_TEXT,
    ORIGIN,
    OWNER,
    PARTS,
    QUOTA,
    QUOTA_SCOPE,
    RATE,
    RATE_SCOPE,
    REPLICATION_OUTCOMES,
    REPLICATION_RULES,
    RESTORATION,
    RETENTION,
    SETTING,
    SETTINGS_LIST,
    TEXT,
    TEXTS,
    UPLOAD_TOKEN,
    VERSION_NAME,
    VERSIONING,
)
from bleepstore.codec.records import (
    Fields,
    Kind,
    RecordForm,
    Records,
    Tail,
    Upcast,
    form,
    optional,
    struct,
    tuple_of,
)
from bleepstore.events import Event, FailedReplication

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
        origin=ANY_ORIGIN,
        storage_class=OPTIONAL_TEXT,
        restored_until_ms=OPTIONAL_INTEGER,
        replication=optional(struct(FailedReplication, rule_id=TEXT, destination=TEXT, reason=TEXT)),
    ),
)
EVENT_SUCCESSORS: dict[str, tuple[str, Upcast]] = {}

COMMANDS: Records = Records(COMMAND_FORMS, COMMAND_SUCCESSORS)
RESULTS: Records = Records(RESULT_FORMS, RESULT_SUCCESSORS)
EVENTS: Records = Records(EVENT_FORMS, EVENT_SUCCESSORS)
