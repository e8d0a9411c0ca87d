"""The state machine: what each command does to the catalog.

All that a command depends on is evaluated here, inside the transaction that makes the change: a condition holds at
the moment of the write or the write does not happen. A function returns its refusal before its first change. What it
looks at and changes are the rows of `bleepstore.catalog.port.Tables`, whatever database keeps them.
"""

from __future__ import annotations

from typing import assert_never

from bleepstore import codec
from bleepstore.catalog import (
    accounts,
    attributes,
    buckets,
    configurations,
    events,
    following,
    lifecycle,
    objects,
    quotas,
    replicas,
    replication,
    sessions,
    sweeps,
    uploads,
)
from bleepstore.catalog.port import Tables
from bleepstore.commands import (
    AbortUpload,
    ApplyLifecycle,
    BeginSweep,
    Command,
    CompleteUpload,
    CreateBucket,
    CreateUpload,
    CreateUser,
    DeleteBucket,
    DeleteCredential,
    DeleteObject,
    DeleteObjects,
    DeleteRole,
    DeleteUser,
    DisableCredential,
    EndReplications,
    EndRestorations,
    EndSweep,
    FollowProvider,
    ForgetEvents,
    ForgetGarbage,
    PutBucketAcl,
    PutBucketConfiguration,
    PutBucketSetting,
    PutBucketVersioning,
    PutCredential,
    PutObject,
    PutObjectAcl,
    PutObjectEncryption,
    PutObjectLegalHold,
    PutObjectRetention,
    PutObjectTags,
    PutQuota,
    PutRateLimit,
    PutReplica,
    PutReplicaAttributes,
    PutRole,
    PutSessionKey,
    PutUserPolicy,
    QueueReplications,
    RecountUsage,
    RegisterPart,
    ReplaceSecret,
    RestoreObject,
    Result,
    RevokeSessions,
)
from bleepstore.errors import ServiceUnavailable

#: How many results of past commands are kept for retries, at least.
REMEMBERED_REQUESTS = 4096


def apply_once(tables: Tables, command: Command, index: int, valid_to: int) -> Result:
    """As `apply`, for a log in which a command may come twice: this one is at `index`.

    A command that was applied before (by its request id) changes nothing and gives its first result. One that comes
    after the index `valid_to` is refused: it may be a repeat of one whose result is forgotten.
    """
    first = tables.find_result(command.request_id)
    if first is not None:
        return codec.decode_result(first.encode())
    if index > valid_to:
        return ServiceUnavailable("The command waited too long for its turn in the log.")
    result = apply(tables, command)
    tables.keep_result(command.request_id, index, codec.encode_result(result).decode())
    if index % REMEMBERED_REQUESTS == 0:
        tables.forget_results(index - REMEMBERED_REQUESTS)
    return result


def apply(tables: Tables, command: Command) -> Result:
    """Carry out `command`."""
    match command:
        case PutObject():
            return objects.put_object(tables, command)
        case DeleteObject():
            return objects.delete_object(tables, command)
        case DeleteObjects():
            return objects.delete_objects(tables, command)
        case ApplyLifecycle():
            return lifecycle.apply_lifecycle(tables, command)
        case PutObjectAcl():
            return attributes.put_object_acl(tables, command)
        case PutObjectTags():
            return attributes.put_object_tags(tables, command)
        case PutObjectRetention():
            return attributes.put_object_retention(tables, command)
        case PutObjectLegalHold():
            return attributes.put_object_legal_hold(tables, command)
        case PutObjectEncryption():
            return attributes.put_object_encryption(tables, command)
        case RestoreObject():
            return attributes.restore_object(tables, command)
        case RegisterPart():
            return uploads.register_part(tables, command)
        case CreateUpload():
            return uploads.create_upload(tables, command)
        case CompleteUpload():
            return uploads.complete_upload(tables, command)
        case AbortUpload():
            return uploads.abort_upload(tables, command)
        case FollowProvider():
            return following.follow_provider(tables, command)
        case CreateBucket():
            return buckets.create_bucket(tables, command)
        case DeleteBucket():
            return buckets.delete_bucket(tables, command)
        case PutBucketAcl():
            return buckets.put_bucket_acl(tables, command)
        case PutBucketSetting():
            return buckets.put_bucket_setting(tables, command)
        case PutBucketConfiguration():
            return configurations.put_bucket_configuration(tables, command)
        case PutBucketVersioning():
            return buckets.put_bucket_versioning(tables, command)
        case PutCredential():
            return accounts.put_credential(tables, command)
        case DisableCredential():
            return accounts.disable_credential(tables, command)
        case PutRateLimit():
            return accounts.put_rate_limit(tables, command)
        case DeleteCredential():
            return accounts.delete_credential(tables, command)
        case ReplaceSecret():
            return accounts.replace_secret(tables, command)
        case CreateUser():
            return accounts.create_user(tables, command)
        case DeleteUser():
            return accounts.delete_user(tables, command)
        case PutUserPolicy():
            return accounts.put_user_policy(tables, command)
        case PutQuota():
            return quotas.put_quota(tables, command)
        case RecountUsage():
            return quotas.recount_usage(tables, command)
        case PutRole():
            return sessions.put_role(tables, command)
        case DeleteRole():
            return sessions.delete_role(tables, command)
        case PutSessionKey():
            return sessions.put_session_key(tables, command)
        case RevokeSessions():
            return sessions.revoke_sessions(tables, command)
        case BeginSweep():
            return sweeps.begin_sweep(tables, command)
        case EndSweep():
            return sweeps.end_sweep(tables, command)
        case ForgetGarbage():
            return sweeps.forget_garbage(tables, command)
        case ForgetEvents():
            return events.forget_events(tables, command)
        case EndRestorations():
            return attributes.end_restorations(tables, command)
        case PutReplica():
            return replicas.put_replica(tables, command)
        case PutReplicaAttributes():
            return replicas.put_replica_attributes(tables, command)
        case EndReplications():
            return replication.end_replications(tables, command)
        case QueueReplications():
            return replication.queue_replications(tables, command)
        case _:
            assert_never(command)
