"""The errors of the store.

    BleepStoreError
    ├── S3Error                      has a `code`, named as in Amazon's S3 error list
    │   ├── NotFound                 NoSuchBucket, NoSuchKey, NoSuchVersion, NoSuchUpload, NoSuchTagSet,
    │   │                            NoSuchObjectLock, ObjectLockNotConfigured, NoSuchLifecycle,
    │   │                            NoSuchCors, NoSuchBucketEncryption, NoSuchBucketPolicy,
    │   │                            NoSuchOwnershipControls, NoSuchPublicAccessBlock,
    │   │                            NoSuchConfiguration, NoSuchMetadataConfiguration,
    │   │                            NoSuchReplication, NoSuchWebsite,
    │   │                            NoSuchCredential, NoSuchUser, NoSuchUserPolicy
    │   ├── Conflict                 BucketAlreadyExists, BucketAlreadyOwnedByYou, BucketNotEmpty,
    │   │                            ConditionalRequestConflict, OperationAborted,
    │   │                            RestoreAlreadyInProgress, InvalidBucketState,
    │   │                            UserAlreadyExists, TooManyUserPolicies
    │   ├── Precondition             PreconditionFailed, NotModified
    │   ├── Invalid                  names, arguments, digests, ranges, parts, sizes, tags,
    │   │                            lifecycles, configurations, policies, names of encryption keys,
    │   │                            ACLs where they are disabled
    │   ├── Denied                   AccessDenied, InvalidObjectState, MethodNotAllowed,
    │   │                            ObjectAlreadyInActiveTier, ObjectLocked, QuotaExceeded
    │   └── Unavailable              SlowDown, ServiceUnavailable, StorageFull, StorageUnavailable,
    │                                InternalError
    ├── BlobNotFound                 a backend no longer has what a handle names
    ├── UploadNotFound               a backend no longer has the upload of a token
    ├── BlobChanged                  a conditional write met something else under the name than what it was to replace
    ├── ObjectDamaged                stored bytes are not those that were written
    ├── BlobDamaged                  a backend finds that a blob is not as it was written
    ├── BlobBusy                     a blob that is being read cannot be deleted yet
    └── StoreError                   of the store as a whole: closed, read-only, damaged, too new, too old

An `S3Error` is a value before it is an exception: the catalog returns it as the result of a command that
it refuses, the codec can write it down, and `Store` raises it. It knows nothing of HTTP; the server has the table
from codes to statuses.
"""

from bleepstore.errors.refusals import *  # noqa: F403 - all of them are public
from bleepstore.errors.settings import *  # noqa: F403
from bleepstore.errors.storage import *  # noqa: F403
