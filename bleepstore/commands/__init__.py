"""Every change of the catalog: one frozen class each, the entries of a log.

The proposer stamps into a command all that is not in the catalog: time, ids, ETags, handles. Applying it needs no
clock, no random number and no I/O, so every node that applies the same commands in the same order has the same
catalog. Each command ends in one `Result`; a refusal is a result (an `S3Error`), not an exception.

`request_id` makes a retry safe: the second time a command is applied it gives the first result. Ids are made in the
order of time, which keeps the catalog's record of them cheap. The ids of versions are made of it.

`bucket_id` is the bucket that was decided on. Another that was created since under its name has another id, and the
command is refused with NoSuchBucket. None: nothing was decided, and whichever bucket has the name is meant.

`stored_ms` is the `StoredBlob.stored_ms` of the blob that the command brings in. A sweep that has begun to
remove unreferenced blobs up to some time refuses commands that would refer to a blob from before it.

`crc64nvme` is the base64 CRC64NVME of the bytes, by which the store compares what it reads, whatever checksum S3 shows.
None where the bytes never passed here: at a provider.

`origin` is what is known of the request, where the bucket's events are kept. None: they were not when the command was
made; if they are when it is applied, its events say nothing of the request.
"""

from bleepstore.commands.accounts import (
    CreateUser,
    DeleteCredential,
    DeleteRole,
    DeleteUser,
    DisableCredential,
    PutCredential,
    PutQuota,
    PutRateLimit,
    PutRole,
    PutSessionKey,
    PutUserPolicy,
    RecountUsage,
    ReplaceSecret,
    RevokeSessions,
)
from bleepstore.commands.buckets import (
    CreateBucket,
    DeleteBucket,
    PutBucketAcl,
    PutBucketConfiguration,
    PutBucketSetting,
    PutBucketVersioning,
)
from bleepstore.commands.change import Change
from bleepstore.commands.jobs import (
    MAX_RESTORATIONS,
    BeginSweep,
    EndRestorations,
    EndSweep,
    FollowProvider,
    ForgetEvents,
    ForgetGarbage,
)
from bleepstore.commands.objects import (
    ApplyLifecycle,
    DeleteEntry,
    DeleteObject,
    DeleteObjects,
    LifecycleEntry,
    PutObject,
    PutObjectAcl,
    PutObjectEncryption,
    PutObjectLegalHold,
    PutObjectRetention,
    PutObjectTags,
    RestoreObject,
)
from bleepstore.commands.replication import (
    EndReplications,
    PutReplica,
    PutReplicaAttributes,
    QueueReplications,
    ReplicationOutcome,
)
from bleepstore.commands.results import Done, LifecycleApplied, Removed, RemovedMany, Restored, Result, Written
from bleepstore.commands.uploads import AbortUpload, AssembledPart, CompleteUpload, CreateUpload, RegisterPart

Command = (
    CreateBucket
    | DeleteBucket
    | PutBucketAcl
    | PutBucketSetting
    | PutBucketConfiguration
    | PutBucketVersioning
    | PutObject
    | DeleteObject
    | DeleteObjects
    | ApplyLifecycle
    | PutObjectAcl
    | PutObjectTags
    | PutObjectRetention
    | PutObjectLegalHold
    | PutObjectEncryption
    | RestoreObject
    | CreateUpload
    | RegisterPart
    | CompleteUpload
    | AbortUpload
    | FollowProvider
    | PutCredential
    | DisableCredential
    | PutRateLimit
    | DeleteCredential
    | ReplaceSecret
    | CreateUser
    | DeleteUser
    | PutUserPolicy
    | PutQuota
    | RecountUsage
    | PutRole
    | DeleteRole
    | PutSessionKey
    | RevokeSessions
    | BeginSweep
    | EndSweep
    | ForgetGarbage
    | ForgetEvents
    | EndRestorations
    | PutReplica
    | PutReplicaAttributes
    | EndReplications
    | QueueReplications
)

__all__ = [
    "MAX_RESTORATIONS",
    "AbortUpload",
    "ApplyLifecycle",
    "AssembledPart",
    "BeginSweep",
    "Change",
    "Command",
    "CompleteUpload",
    "CreateBucket",
    "CreateUpload",
    "CreateUser",
    "DeleteBucket",
    "DeleteCredential",
    "DeleteEntry",
    "DeleteObject",
    "DeleteObjects",
    "DeleteRole",
    "DeleteUser",
    "DisableCredential",
    "Done",
    "EndReplications",
    "EndRestorations",
    "EndSweep",
    "FollowProvider",
    "ForgetEvents",
    "ForgetGarbage",
    "LifecycleApplied",
    "LifecycleEntry",
    "PutBucketAcl",
    "PutBucketConfiguration",
    "PutBucketSetting",
    "PutBucketVersioning",
    "PutCredential",
    "PutObject",
    "PutObjectAcl",
    "PutObjectEncryption",
    "PutObjectLegalHold",
    "PutObjectRetention",
    "PutObjectTags",
    "PutQuota",
    "PutRateLimit",
    "PutReplica",
    "PutReplicaAttributes",
    "PutRole",
    "PutSessionKey",
    "PutUserPolicy",
    "QueueReplications",
    "RecountUsage",
    "RegisterPart",
    "Removed",
    "RemovedMany",
    "ReplaceSecret",
    "ReplicationOutcome",
    "RestoreObject",
    "Restored",
    "Result",
    "RevokeSessions",
    "Written",
]
