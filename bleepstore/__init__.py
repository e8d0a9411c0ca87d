"""BleepStore: the S3 you can import.

import bleepstore

with bleepstore.open() as store:            # in memory; bleepstore.open("folder") keeps it on disk
    store.create_bucket("photos")
    store.put_object("photos", "cat.jpg", b"...")
    with store.get_object("photos", "cat.jpg") as cat:
        print(cat.version.etag, cat.read())
"""

from bleepstore import errors
from bleepstore.access import (
    ANONYMOUS,
    AclRequest,
    Action,
    Caller,
    CannedAcl,
    CannedPolicy,
    Decision,
    Explanation,
    Ground,
    LiveSession,
    RoleSession,
    Session,
    SessionCredentials,
    WebIdentity,
)
from bleepstore.cluster_status import ClusterCounters, ClusterMember, ClusterStatus
from bleepstore.commands import DeleteEntry, Restored
from bleepstore.configurations import ConfigurationKind
from bleepstore.cors import CorsRule
from bleepstore.digests import Algorithm
from bleepstore.encryption import BucketEncryption, CustomerKey, Encryption, EncryptionKind, NamedKey, StoreKey
from bleepstore.errors import Damage
from bleepstore.events import Event, Origin
from bleepstore.jobs.deliveries import DestinationStatus
from bleepstore.lifecycle import (
    Expiration,
    Lifecycle,
    LifecycleFilter,
    LifecycleRule,
    NoncurrentExpiration,
    NoncurrentTransition,
    Transition,
    TransitionMinimum,
)
from bleepstore.model import (
    Acl,
    Bucket,
    BucketSettings,
    ByteRange,
    Checksum,
    ChecksumType,
    CompletedPart,
    Credential,
    DeletedObject,
    Expiry,
    Grant,
    Group,
    ObjectAttributes,
    ObjectVersion,
    Owner,
    Part,
    PartSummary,
    Permission,
    Restoration,
    RestoreTier,
    SystemMetadata,
    Upload,
    User,
    Versioning,
)
from bleepstore.object_lock import DefaultRetention, ObjectLock, Retention, RetentionMode
from bleepstore.ownership import ObjectOwnership, Payer, PublicAccessBlock
from bleepstore.pages import (
    BucketPage,
    ConfigurationPage,
    ListedObject,
    ListedVersion,
    ObjectPage,
    PartPage,
    UploadPage,
    VersionPage,
)
from bleepstore.preconditions import ReadCondition, WriteCondition
from bleepstore.quotas import CountedQuota, Quota, QuotaScope, Usage
from bleepstore.rates import Rate, RateLimit, RateScope
from bleepstore.roles import Role
from bleepstore.store import DeleteFailure, Finding, Snapshot, Store, StoredObject, fsck, restore
from bleepstore.store import open_store as open  # bleepstore.open reads as sqlite3.connect does

__version__ = "0.1.0"

__all__ = [
    "ANONYMOUS",
    "Acl",
    "AclRequest",
    "Action",
    "Algorithm",
    "Bucket",
    "BucketEncryption",
    "BucketPage",
    "BucketSettings",
    "ByteRange",
    "Caller",
    "CannedAcl",
    "CannedPolicy",
    "Checksum",
    "ChecksumType",
    "ClusterCounters",
    "ClusterMember",
    "ClusterStatus",
    "CompletedPart",
    "ConfigurationKind",
    "ConfigurationPage",
    "CorsRule",
    "CountedQuota",
    "Credential",
    "CustomerKey",
    "Damage",
    "Decision",
    "DefaultRetention",
    "DeleteEntry",
    "DeleteFailure",
    "DeletedObject",
    "DestinationStatus",
    "Encryption",
    "EncryptionKind",
    "Event",
    "Expiration",
    "Expiry",
    "Explanation",
    "Finding",
    "Grant",
    "Ground",
    "Group",
    "Lifecycle",
    "LifecycleFilter",
    "LifecycleRule",
    "ListedObject",
    "ListedVersion",
    "LiveSession",
    "NamedKey",
    "NoncurrentExpiration",
    "NoncurrentTransition",
    "ObjectAttributes",
    "ObjectLock",
    "ObjectOwnership",
    "ObjectPage",
    "ObjectVersion",
    "Origin",
    "Owner",
    "Part",
    "PartPage",
    "PartSummary",
    "Payer",
    "Permission",
    "PublicAccessBlock",
    "Quota",
    "QuotaScope",
    "Rate",
    "RateLimit",
    "RateScope",
    "ReadCondition",
    "Restoration",
    "RestoreTier",
    "Restored",
    "Retention",
    "RetentionMode",
    "Role",
    "RoleSession",
    "Session",
    "SessionCredentials",
    "Snapshot",
    "Store",
    "StoreKey",
    "StoredObject",
    "SystemMetadata",
    "Transition",
    "TransitionMinimum",
    "Upload",
    "UploadPage",
    "Usage",
    "User",
    "VersionPage",
    "Versioning",
    "WebIdentity",
    "WriteCondition",
    "__version__",
    "errors",
    "fsck",
    "open",
    "restore",
]
