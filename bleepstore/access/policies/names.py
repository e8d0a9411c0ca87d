"""The names that policies for Amazon S3 use: actions, and condition keys ("Actions, resources, and condition keys for
Amazon S3" in the Service Authorization Reference).

This is IAM's language, and not the wire's, though many keys are named after headers. A policy may name actions that no
operation of this store asks for.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping

from bleepstore.access.policies.patterns import expression, parse_template

PREFIX = "s3:"
#: The condition key of the key by which an object is encrypted.
KEY_ID = "s3:x-amz-server-side-encryption-aws-kms-key-id"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: On objects: a resource with a key.
OBJECT_ACTIONS = _names(
    """
    AbortMultipartUpload BypassGovernanceRetention DeleteObject DeleteObjectAnnotation DeleteObjectTagging
    DeleteObjectVersion DeleteObjectVersionTagging GetObject GetObjectAcl GetObjectAnnotation GetObjectAttributes
    GetObjectLegalHold GetObjectRetention GetObjectTagging GetObjectTorrent GetObjectVersion GetObjectVersionAcl
    GetObjectVersionAttributes GetObjectVersionForReplication GetObjectVersionTagging GetObjectVersionTorrent
    InitiateReplication ListMultipartUploadParts ListObjectAnnotations ObjectOwnerOverrideToBucketOwner PutObject
    PutObjectAcl PutObjectAnnotation PutObjectLegalHold PutObjectRetention PutObjectTagging PutObjectVersionAcl
    PutObjectVersionTagging ReplicateDelete ReplicateObject ReplicateTags RestoreObject UpdateObjectEncryption
    """
)
#: On buckets.
BUCKET_ACTIONS = _names(
    """
    CreateBucket CreateBucketMetadataTableConfiguration DeleteBucket DeleteBucketMetadataTableConfiguration
    DeleteBucketPolicy DeleteBucketWebsite GetAccelerateConfiguration GetAnalyticsConfiguration GetBucketAbac
    GetBucketAcl GetBucketCORS GetBucketLocation GetBucketLogging GetBucketMetadataTableConfiguration
    GetBucketNotification GetBucketObjectLockConfiguration GetBucketOwnershipControls GetBucketPolicy
    GetBucketPolicyStatus GetBucketPublicAccessBlock GetBucketRequestPayment GetBucketTagging GetBucketVersioning
    GetBucketWebsite GetEncryptionConfiguration GetIntelligentTieringConfiguration GetInventoryConfiguration
    GetLifecycleConfiguration GetMetricsConfiguration GetReplicationConfiguration ListBucket
    ListBucketMultipartUploads ListBucketVersions ListTagsForResource PutAccelerateConfiguration
    PutAnalyticsConfiguration PutBucketAbac PutBucketAcl PutBucketCORS PutBucketLogging PutBucketNotification
    PutBucketObjectLockConfiguration PutBucketOwnershipControls PutBucketPolicy PutBucketPublicAccessBlock
    PutBucketRequestPayment PutBucketTagging PutBucketVersioning PutBucketWebsite PutEncryptionConfiguration
    PutIntelligentTieringConfiguration PutInventoryConfiguration PutLifecycleConfiguration PutMetricsConfiguration
    PutReplicationConfiguration TagResource UntagResource UpdateBucketMetadataAnnotationTableConfiguration
    UpdateBucketMetadataInventoryTableConfiguration UpdateBucketMetadataJournalTableConfiguration
    """
)
#: On an account, or on what this store has not: access points, jobs, grants, lenses.
OTHER_ACTIONS = _names(
    """
    AssociateAccessGrantsIdentityCenter CreateAccessGrant CreateAccessGrantsInstance CreateAccessGrantsLocation
    CreateAccessPoint CreateAccessPointForObjectLambda CreateJob CreateMultiRegionAccessPoint
    CreateStorageLensGroup DeleteAccessGrant DeleteAccessGrantsInstance DeleteAccessGrantsInstanceResourcePolicy
    DeleteAccessGrantsLocation DeleteAccessPoint DeleteAccessPointForObjectLambda DeleteAccessPointPolicy
    DeleteAccessPointPolicyForObjectLambda DeleteJobTagging DeleteMultiRegionAccessPoint
    DeleteStorageLensConfiguration DeleteStorageLensConfigurationTagging DeleteStorageLensGroup DescribeJob
    DescribeMultiRegionAccessPointOperation DissociateAccessGrantsIdentityCenter GetAccessGrant
    GetAccessGrantsInstance GetAccessGrantsInstanceForPrefix GetAccessGrantsInstanceResourcePolicy
    GetAccessGrantsLocation GetAccessPoint GetAccessPointConfigurationForObjectLambda
    GetAccessPointForObjectLambda GetAccessPointPolicy GetAccessPointPolicyForObjectLambda
    GetAccessPointPolicyStatus GetAccessPointPolicyStatusForObjectLambda GetAccountPublicAccessBlock GetDataAccess
    GetJobTagging GetMultiRegionAccessPoint GetMultiRegionAccessPointPolicy
    GetMultiRegionAccessPointPolicyStatus GetMultiRegionAccessPointRoutes GetStorageLensConfiguration
    GetStorageLensConfigurationTagging GetStorageLensDashboard GetStorageLensGroup ListAccessGrants
    ListAccessGrantsInstances ListAccessGrantsLocations ListAccessPoints ListAccessPointsForObjectLambda
    ListAllMyBuckets ListCallerAccessGrants ListJobs ListMultiRegionAccessPoints ListStorageLensConfigurations
    ListStorageLensGroups PauseReplication PutAccessGrantsInstanceResourcePolicy
    PutAccessPointConfigurationForObjectLambda PutAccessPointPolicy PutAccessPointPolicyForObjectLambda
    PutAccessPointPublicAccessBlock PutAccountPublicAccessBlock PutJobTagging PutMultiRegionAccessPointPolicy
    PutStorageLensConfiguration PutStorageLensConfigurationTagging SubmitMultiRegionAccessPointRoutes
    UpdateAccessGrantsLocation UpdateJobPriority UpdateJobStatus UpdateStorageLensGroup
    """
)
_ACTIONS = OBJECT_ACTIONS | BUCKET_ACTIONS | OTHER_ACTIONS

_WRITES_OBJECT = _names("PutObject ReplicateObject")
_VERSION_ACTIONS = frozenset(name for name in OBJECT_ACTIONS if "ObjectVersion" in name)
_LISTS = _names("ListBucket ListBucketVersions")
_SETS_ACL = _names("CreateBucket PutBucketAcl PutObject PutObjectAcl PutObjectVersionAcl")
_LOCKS = _names("PutObject PutObjectLegalHold PutObjectRetention ReplicateObject BypassGovernanceRetention")
_TAGS = _names("PutObject PutObjectTagging PutObjectVersionTagging ReplicateTags")
#: "You cannot create a policy to grant or deny a user permissions to delete or overwrite an object based on its
#: existing tags."
_TAGGED = OBJECT_ACTIONS - _names("PutObject DeleteObject DeleteObjectVersion AbortMultipartUpload ReplicateObject")
_ANY_ACTION = _ACTIONS

#: Keys of S3, in lower case -> the actions whose requests may have them. Those that end in "/" are followed by a tag.
S3_KEYS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("prefix", "delimiter", "max-keys"), _LISTS),
    **dict.fromkeys(
        (
            "x-amz-acl", "x-amz-grant-full-control", "x-amz-grant-read", "x-amz-grant-read-acp", "x-amz-grant-write",
            "x-amz-grant-write-acp",
        ),
        _SETS_ACL,
    ),
    **dict.fromkeys(
        (
            "x-amz-copy-source", "x-amz-metadata-directive", "x-amz-server-side-encryption",
            "x-amz-server-side-encryption-aws-kms-key-id", "x-amz-server-side-encryption-customer-algorithm",
            "x-amz-storage-class", "x-amz-website-redirect-location", "if-match", "if-none-match",
        ),
        _WRITES_OBJECT | _names("DeleteObject DeleteObjectVersion UpdateObjectEncryption"),
    ),
    **dict.fromkeys(
        (
            "object-lock-mode", "object-lock-retain-until-date", "object-lock-remaining-retention-days",
            "object-lock-legal-hold",
        ),
        _LOCKS,
    ),
    "requestobjecttag/": _TAGS,
    "requestobjecttagkeys": _TAGS,
    "existingobjecttag/": _TAGGED,
    "versionid": _VERSION_ACTIONS | _names("GetObjectAttributes RestoreObject GetObjectLegalHold GetObjectRetention "
                                           "PutObjectLegalHold PutObjectRetention"),
    "objectcreationoperation": _WRITES_OBJECT,
    "locationconstraint": _names("CreateBucket"),
    "x-amz-object-ownership": _names("CreateBucket PutBucketOwnershipControls"),
    "inventoryaccessibleoptionalfields": _names("PutInventoryConfiguration"),
    **dict.fromkeys(
        (
            "authtype", "signatureage", "signatureversion", "tlsversion", "x-amz-content-sha256", "resourceaccount",
            "accesspointnetworkorigin", "dataaccesspointaccount", "dataaccesspointarn", "accessgrantsinstancearn",
            "buckettag/", "accesspointtag/",
        ),
        _ANY_ACTION,
    ),
}  # fmt: skip


def s3_key_actions(key: str) -> frozenset[str] | None:
    """The actions whose requests may have a key of S3, in lower case without its prefix; None: there is no such key."""
    name, separator, _tag = key.partition("/")
    return S3_KEYS.get(name + separator)


_BITS = {name: 1 << number for number, name in enumerate(sorted(_ACTIONS))}


def mask_of(actions: Iterable[str]) -> int:
    """A set of actions as an integer, which takes a hundredth of the memory: a policy of 20 KB may have hundreds of
    statements that name nearly all."""
    mask = 0
    for name in actions:
        mask |= _BITS[name]
    return mask


def is_in_mask(action: str, mask: int) -> bool:
    return bool(_BITS.get(action, 0) & mask)


@functools.lru_cache(maxsize=1024)
def actions_like(text: str) -> frozenset[str]:
    """The actions of S3, without the prefix, that an element of Action stands for: "Prefixes and action names are case
    insensitive." """
    pattern = re.compile(expression(parse_template(text, variables=False)), re.IGNORECASE | re.DOTALL)
    return frozenset(name for name in _ACTIONS if pattern.fullmatch(PREFIX + name))
