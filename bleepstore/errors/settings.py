"""Refusals for what a bucket or an object is set to: tags, archives, lifecycles, locks, other settings."""

from __future__ import annotations

import attrs

from bleepstore.errors.refusals import Conflict, Denied, Invalid, NotFound


@attrs.define
class InvalidTag(Invalid):
    code = "InvalidTag"
    summary = "A tag is not valid."
    reason: str
    tag_key: str | None = None
    tag_value: str | None = None


@attrs.define
class TooManyTags(Invalid):
    code = "BadRequest"
    summary = "There are more tags than an object or a bucket can have."
    reason: str
    limit: int


@attrs.define
class NoSuchTagSet(NotFound):
    code = "NoSuchTagSet"
    summary = "The bucket has no tags."
    bucket: str


@attrs.define
class InvalidObjectState(Denied):
    """`of_source`: it is the source of a copy."""

    code = "InvalidObjectState"
    summary = "The object is archived, and cannot be read before it is restored."
    reason: str | None = None
    storage_class: str | None = None
    of_source: bool | None = None


@attrs.define
class ObjectAlreadyInActiveTier(Denied):
    code = "ObjectAlreadyInActiveTierError"
    summary = "The object is not archived, so it need not be restored."
    storage_class: str | None = None


@attrs.define
class RestoreAlreadyInProgress(Conflict):
    code = "RestoreAlreadyInProgress"
    summary = "The object is being restored already."


@attrs.define
class MalformedLifecycle(Invalid):
    code = "MalformedXML"
    summary = "The rules of the lifecycle are not well-formed."
    reason: str


@attrs.define
class NoSuchLifecycle(NotFound):
    code = "NoSuchLifecycleConfiguration"
    summary = "The bucket has no lifecycle."
    bucket: str


@attrs.define
class InvalidBucketState(Conflict):
    code = "InvalidBucketState"
    summary = "The request is not valid for the current state of the bucket."
    reason: str


@attrs.define
class ObjectLocked(Denied):
    code = "AccessDenied"
    summary = "The version is protected by its retention or by a legal hold."


@attrs.define
class InvalidRetentionPeriod(Invalid):
    code = "InvalidRetentionPeriod"
    summary = "The default retention period is not valid."
    reason: str


@attrs.define
class NoSuchObjectLock(NotFound):
    code = "NoSuchObjectLockConfiguration"
    summary = "The version has no retention, or no legal hold."
    bucket: str
    key: str


@attrs.define
class ObjectLockNotConfigured(NotFound):
    code = "ObjectLockConfigurationNotFoundError"
    summary = "The bucket has no object lock."
    bucket: str


@attrs.define
class MalformedConfiguration(Invalid):
    code = "MalformedXML"
    summary = "The configuration is not well-formed."
    reason: str


@attrs.define
class NoSuchCors(NotFound):
    code = "NoSuchCORSConfiguration"
    summary = "The bucket has no rules for cross-origin requests."
    bucket: str


@attrs.define
class NoSuchBucketEncryption(NotFound):
    code = "ServerSideEncryptionConfigurationNotFoundError"
    summary = "The bucket has no default encryption."
    bucket: str


@attrs.define
class EncryptionKeyNotFound(Invalid):
    """There is no master key of this name, or not the one that an object's key was encrypted with."""

    code = "KMS.NotFoundException"
    summary = "There is no such encryption key."
    key_id: str


# -- configurations that are stored


@attrs.define
class NoSuchConfiguration(NotFound):
    """`configuration_id` is that of one of many."""

    code = "NoSuchConfiguration"
    summary = "The bucket has no such configuration."
    bucket: str
    configuration_id: str | None = None


@attrs.define
class NoSuchReplication(NotFound):
    code = "ReplicationConfigurationNotFoundError"
    summary = "The bucket has no replication configuration."
    bucket: str


@attrs.define
class NoSuchMetadataConfiguration(NotFound):
    code = "MetadataConfigurationNotFound"
    summary = "The bucket has no metadata configuration."
    bucket: str


@attrs.define
class NoSuchWebsite(NotFound):
    code = "NoSuchWebsiteConfiguration"
    summary = "The bucket has no website configuration."
    bucket: str


@attrs.define
class TooManyConfigurations(Invalid):
    code = "TooManyConfigurations"
    summary = "The bucket has as many configurations as it may have."
    limit: int


@attrs.define
class InvalidLoggingTarget(Invalid):
    code = "InvalidTargetBucketForLogging"
    summary = "Logs go to a bucket of the same owner that exists, and grants where ACLs are enabled."
    target_bucket: str


# -- whose objects are, and what may be public


@attrs.define
class AccessControlListNotSupported(Invalid):
    code = "AccessControlListNotSupported"
    summary = "The bucket does not allow ACLs: its objects are its owner's (BucketOwnerEnforced)."


@attrs.define
class InvalidBucketAclWithObjectOwnership(Invalid):
    code = "InvalidBucketAclWithObjectOwnership"
    summary = "A bucket whose ACL grants something to others cannot have the object ownership BucketOwnerEnforced."


@attrs.define
class InvalidBucketAclWithBlockPublicAccess(Invalid):
    code = "InvalidBucketAclWithBlockPublicAccessError"
    summary = "A new bucket blocks public access, so it cannot have a public ACL."


@attrs.define
class NoSuchOwnershipControls(NotFound):
    code = "OwnershipControlsNotFoundError"
    summary = "The bucket has no ownership controls."
    bucket: str


@attrs.define
class NoSuchPublicAccessBlock(NotFound):
    code = "NoSuchPublicAccessBlockConfiguration"
    summary = "The bucket has no public access block."
    bucket: str


# -- policies


@attrs.define
class MalformedPolicy(Invalid):
    """`detail` is what of the policy is meant."""

    code = "MalformedPolicy"
    summary = "The policy is not one that can be applied."
    reason: str
    detail: str | None = None


@attrs.define
class NoSuchBucketPolicy(NotFound):
    code = "NoSuchBucketPolicy"
    summary = "The bucket has no policy."
    bucket: str
