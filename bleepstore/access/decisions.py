"""The decision: an action, by a caller, on a bucket and on what is in it.

What a policy denies is denied. Else it is allowed if the policy of the bucket, its ownership or an ACL allows it ("How
Amazon S3 authorizes a request"). That is what an account may do. A user may do of that what its own policies allow, and
what the policy of a bucket of its account allows the user by name, or everybody ("Policy evaluation logic").
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Unpack

import attrs

from bleepstore.access.actions import Action
from bleepstore.access.callers import LOGGING_SERVICE, Caller
from bleepstore.access.identities import deciding_policy, some_policy_allows
from bleepstore.access.policies import (
    Asked,
    Effect,
    Facts,
    Statement,
    allows_some,
    compile_policy,
    deciding_statement,
    is_public,
    undecided_in,
)
from bleepstore.access.sessions import RoleSession
from bleepstore.errors import AccessDenied, MalformedPolicy
from bleepstore.model import Acl, Bucket, Group, ObjectVersion, Permission, Upload
from bleepstore.ownership import Payer, PublicAccessBlock

_READ, _WRITE = Permission.READ, Permission.WRITE
_READ_ACP, _WRITE_ACP = _OF_THE_LIST = Permission.READ_ACP, Permission.WRITE_ACP

#: By the ACL of the bucket: the permission ("Mapping of ACL permissions and access policy permissions").
_BY_BUCKET: Mapping[Action, Permission] = {
    Action.LIST_BUCKET: _READ,
    Action.LIST_BUCKET_VERSIONS: _READ,
    Action.LIST_BUCKET_MULTIPART_UPLOADS: _READ,
    Action.GET_BUCKET_ACL: _READ_ACP,
    Action.PUT_BUCKET_ACL: _WRITE_ACP,
    Action.PUT_OBJECT: _WRITE,
    Action.DELETE_OBJECT: _WRITE,
    Action.DELETE_OBJECT_VERSION: _WRITE,
    Action.ABORT_MULTIPART_UPLOAD: _WRITE,
    Action.LIST_MULTIPART_UPLOAD_PARTS: _WRITE,
}
#: By the ACL of the object.
_BY_OBJECT: Mapping[Action, Permission] = {
    Action.GET_OBJECT: _READ,
    Action.GET_OBJECT_VERSION: _READ,
    Action.GET_OBJECT_VERSION_FOR_REPLICATION: _READ,
    Action.GET_OBJECT_ATTRIBUTES: _READ,
    Action.GET_OBJECT_VERSION_ATTRIBUTES: _READ,
    Action.GET_OBJECT_TORRENT: _READ,
    Action.GET_OBJECT_ACL: _READ_ACP,
    Action.GET_OBJECT_VERSION_ACL: _READ_ACP,
    Action.PUT_OBJECT_ACL: _WRITE_ACP,
    Action.PUT_OBJECT_VERSION_ACL: _WRITE_ACP,
}
#: What an ACL grants to nobody, and the owners of the object and of its bucket may do ("By default, the bucket owner
#: has this permission and can grant this permission to others").
_BY_OWNERS = frozenset(
    {
        Action.GET_OBJECT_TAGGING,
        Action.GET_OBJECT_VERSION_TAGGING,
        Action.PUT_OBJECT_TAGGING,
        Action.PUT_OBJECT_VERSION_TAGGING,
        Action.DELETE_OBJECT_TAGGING,
        Action.DELETE_OBJECT_VERSION_TAGGING,
        Action.UPDATE_OBJECT_ENCRYPTION,
        Action.RESTORE_OBJECT,
        Action.GET_OBJECT_LEGAL_HOLD,
        Action.PUT_OBJECT_LEGAL_HOLD,
        Action.GET_OBJECT_RETENTION,
        Action.PUT_OBJECT_RETENTION,
    }
)
#: What an ACL grants to nobody, and the bucket's owner alone may do.
_BY_OWNER = frozenset(
    {
        Action.DELETE_BUCKET,
        Action.GET_BUCKET_LOCATION,
        Action.GET_ACCELERATE_CONFIGURATION,
        Action.GET_ANALYTICS_CONFIGURATION,
        Action.PUT_ACCELERATE_CONFIGURATION,
        Action.PUT_ANALYTICS_CONFIGURATION,
        Action.CREATE_BUCKET_METADATA_TABLE,
        Action.GET_BUCKET_METADATA_TABLE,
        Action.DELETE_BUCKET_METADATA_TABLE,
        Action.UPDATE_BUCKET_METADATA_JOURNAL_TABLE,
        Action.UPDATE_BUCKET_METADATA_INVENTORY_TABLE,
        Action.UPDATE_BUCKET_METADATA_ANNOTATION_TABLE,
        Action.GET_BUCKET_ABAC,
        Action.PUT_BUCKET_ABAC,
        Action.GET_BUCKET_CORS,
        Action.PUT_BUCKET_CORS,
        Action.GET_BUCKET_LOGGING,
        Action.PUT_BUCKET_LOGGING,
        Action.GET_BUCKET_NOTIFICATION,
        Action.PUT_BUCKET_NOTIFICATION,
        Action.GET_BUCKET_OBJECT_LOCK_CONFIGURATION,
        Action.PUT_BUCKET_OBJECT_LOCK_CONFIGURATION,
        Action.GET_BUCKET_OWNERSHIP_CONTROLS,
        Action.PUT_BUCKET_OWNERSHIP_CONTROLS,
        Action.GET_BUCKET_POLICY,
        Action.PUT_BUCKET_POLICY,
        Action.DELETE_BUCKET_POLICY,
        Action.GET_BUCKET_POLICY_STATUS,
        Action.GET_BUCKET_PUBLIC_ACCESS_BLOCK,
        Action.PUT_BUCKET_PUBLIC_ACCESS_BLOCK,
        Action.GET_BUCKET_REQUEST_PAYMENT,
        Action.PUT_BUCKET_REQUEST_PAYMENT,
        Action.GET_BUCKET_TAGGING,
        Action.PUT_BUCKET_TAGGING,
        Action.TAG_RESOURCE,
        Action.GET_BUCKET_VERSIONING,
        Action.PUT_BUCKET_VERSIONING,
        Action.GET_BUCKET_WEBSITE,
        Action.PUT_BUCKET_WEBSITE,
        Action.DELETE_BUCKET_WEBSITE,
        Action.GET_ENCRYPTION_CONFIGURATION,
        Action.PUT_ENCRYPTION_CONFIGURATION,
        Action.GET_INTELLIGENT_TIERING_CONFIGURATION,
        Action.PUT_INTELLIGENT_TIERING_CONFIGURATION,
        Action.GET_INVENTORY_CONFIGURATION,
        Action.PUT_INVENTORY_CONFIGURATION,
        Action.GET_LIFECYCLE_CONFIGURATION,
        Action.PUT_LIFECYCLE_CONFIGURATION,
        Action.GET_METRICS_CONFIGURATION,
        Action.PUT_METRICS_CONFIGURATION,
        Action.GET_REPLICATION_CONFIGURATION,
        Action.PUT_REPLICATION_CONFIGURATION,
        Action.INITIATE_REPLICATION,
        Action.REPLICATE_OBJECT,
        Action.REPLICATE_DELETE,
        Action.REPLICATE_TAGS,
        Action.OBJECT_OWNER_OVERRIDE,
        Action.BYPASS_GOVERNANCE_RETENTION,
    }
)
#: Of no bucket: for whoever signs.
_BY_ACCOUNT = frozenset({Action.LIST_ALL_MY_BUCKETS, Action.CREATE_BUCKET})
#: What the initiator of an upload and the bucket's owner may do with it, whatever a list grants; others by a policy
#: ("Multipart upload API and permissions").
_OF_ANY_UPLOAD = frozenset({Action.ABORT_MULTIPART_UPLOAD, Action.LIST_MULTIPART_UPLOAD_PARTS})

#: WRITE "allows grantee to create new objects in the bucket. For the bucket and object owners of existing objects, also
#: allows deletions and overwrites of those objects."
_REPLACING = frozenset({Action.PUT_OBJECT, Action.DELETE_OBJECT})

#: "To ensure that bucket owners don't inadvertently lock themselves out of their own buckets, the root principal in a
#: bucket owner's AWS account can perform the GetBucketPolicy, PutBucketPolicy, and DeleteBucketPolicy API actions, even
#: if their bucket policy explicitly denies the root principal's access."
_OF_POLICY = frozenset({Action.GET_BUCKET_POLICY, Action.PUT_BUCKET_POLICY, Action.DELETE_BUCKET_POLICY})
#: "To use GetObjectAttributes, you must have READ access to the object": who may ask for them may also do this.
_ALSO: Mapping[Action, Action] = {
    Action.GET_OBJECT_ATTRIBUTES: Action.GET_OBJECT,
    Action.GET_OBJECT_VERSION_ATTRIBUTES: Action.GET_OBJECT_VERSION,
}

_OF_VERSION: Mapping[Action, Action] = {
    Action.GET_OBJECT: Action.GET_OBJECT_VERSION,
    Action.GET_OBJECT_ACL: Action.GET_OBJECT_VERSION_ACL,
    Action.GET_OBJECT_ATTRIBUTES: Action.GET_OBJECT_VERSION_ATTRIBUTES,
    Action.GET_OBJECT_TAGGING: Action.GET_OBJECT_VERSION_TAGGING,
    Action.PUT_OBJECT_TAGGING: Action.PUT_OBJECT_VERSION_TAGGING,
    Action.DELETE_OBJECT_TAGGING: Action.DELETE_OBJECT_VERSION_TAGGING,
    Action.PUT_OBJECT_ACL: Action.PUT_OBJECT_VERSION_ACL,
    Action.DELETE_OBJECT: Action.DELETE_OBJECT_VERSION,
}


def of_version(action: Action, version_id: str | None) -> Action:
    """What IAM calls an action on an object when it names a version of it."""
    return action if version_id is None else _OF_VERSION.get(action, action)


def is_of_object(action: Action) -> bool:
    """Whether an object that exists is needed to decide."""
    return action in _BY_OBJECT or action in _BY_OWNERS


class Ground(enum.Enum):
    """Why something is allowed or denied."""

    PROGRAM = "The program that embeds the store is above all rules."
    UNPAID = "The requester pays for the requests to this bucket, and does not say that it does."
    POLICY_DENIES = "The bucket's policy denies it."
    POLICY_UNREADABLE = "The bucket's policy cannot be read by this version, so everything is denied."
    OWN_POLICY = "The bucket's policy denies it, but the owner of a bucket may always read and change its policy."
    POLICY_ALLOWS = "The bucket's policy allows it."
    OWNER_OR_ACL = "The owner of the bucket or of the object may do it, or an access control list grants it."
    RESTRICTED = "The policy would allow it, but is public, and RestrictPublicBuckets lets it allow nothing to others."
    IDENTITY_DENIES = "A policy of the user denies it."
    IDENTITY_UNREADABLE = "A policy of the user cannot be read by this version, so everything is denied to it."
    IDENTITY_ALLOWS = "A policy of the user allows it, of what the user's account may do."
    IDENTITY_SILENT = "No policy of the user allows it, nor does the bucket's policy allow it to the user itself."
    SESSION_DENIES = "The policy of the session denies it."
    SESSION_SILENT = "The policy of the session does not allow it."
    SESSION_UNREADABLE = "The policy of the session cannot be read by this version, so everything is denied to it."
    NOTHING_ALLOWS = "Neither ownership, nor an access control list, nor the bucket's policy allows it."


@attrs.frozen
class Decision:
    """Whether something is allowed, and by what. `statement` is the one of a policy that decided: of the bucket's, or
    of the one of the user that has the name `policy`."""

    allowed: bool
    ground: Ground
    statement: Statement | None = None
    policy: str | None = None


_PROGRAM = Decision(True, Ground.PROGRAM)
_BY_RIGHTS = Decision(True, Ground.OWNER_OR_ACL)
_UNPAID = Decision(False, Ground.UNPAID)
_BY_NOTHING = Decision(False, Ground.NOTHING_ALLOWS)
_RESTRICTED = Decision(False, Ground.RESTRICTED)
_BY_NO_POLICY = Decision(False, Ground.IDENTITY_SILENT)
_DENIED_BY_NONE = (Ground.NOTHING_ALLOWS, Ground.RESTRICTED)


def authorize(
    action: Action,
    caller: Caller | None,
    bucket: Bucket | None,
    subject: ObjectVersion | Upload | None = None,
    key: str | None = None,
    **facts: Unpack[Facts],
) -> str | None:
    """Raise AccessDenied unless `caller` may do this.

    `bucket` is None for what is of no bucket. `subject` is the object, or the upload, that the action is on; `key` is
    that of an object which need not exist. Policies ask for `facts`.

    Returns the id of the account whose objects alone may be replaced or deleted by this, None if anybody's may. That
    is decided when the change is made (`WriteCondition.replaces_only_of`), since only then it is known whose they are.
    """
    if caller is None:
        return None
    if bucket is not None and bucket.settings.payer is not None and _is_unpaid(caller, bucket):
        raise AccessDenied
    if caller.user is None and (bucket is None or bucket.settings.policy is None):
        allowed = _by_rights(action, caller, bucket, subject)
    else:
        # An account is decided on in one step less.
        decide_for = _of_account if caller.user is None else _of_user
        decision = decide_for(action, caller, bucket, subject, key, facts)
        if decision.ground is Ground.POLICY_ALLOWS:
            return None
        allowed = decision.allowed
    if not allowed:
        raise AccessDenied
    account_id = caller.account.id
    return account_id if bucket is not None and action in _REPLACING and account_id != bucket.owner.id else None


def is_allowed(
    action: Action,
    caller: Caller | None,
    bucket: Bucket | None,
    subject: ObjectVersion | Upload | None = None,
    key: str | None = None,
    **facts: Unpack[Facts],
) -> bool:
    """As `authorize`. What is not known is denied: an action of no table here, an object's action without an object."""
    return decide(action, caller, bucket, subject, key, **facts).allowed


def decide(
    action: Action,
    caller: Caller | None,
    bucket: Bucket | None,
    subject: ObjectVersion | Upload | None = None,
    key: str | None = None,
    **facts: Unpack[Facts],
) -> Decision:
    """What `authorize` would do, and why."""
    if caller is None:
        return _PROGRAM
    if bucket is not None and bucket.settings.payer is not None and _is_unpaid(caller, bucket):
        return _UNPAID
    return (_of_account if caller.user is None else _of_user)(action, caller, bucket, subject, key, facts)


def authorize_new_bucket(
    caller: Caller | None, bucket: str, further: Iterable[Action] = (), **facts: Unpack[Facts]
) -> None:
    """Raise AccessDenied unless `caller` may create a bucket of this name, and do these `further` things to it, which
    the account to which it will belong may."""
    if caller is None:
        return
    facts["new_bucket"] = bucket
    authorize(Action.CREATE_BUCKET, caller, None, **facts)
    if caller.user is not None:
        for action in further:
            if not _narrowed(question_of(action, caller, None, None, None, facts), _BY_RIGHTS).allowed:
                raise AccessDenied


def authorize_new_acl(caller: Caller | None, bucket: Bucket, key: str, **facts: Unpack[Facts]) -> None:
    """Raise AccessDenied unless `caller`, who may write an object, may give it an ACL: what it writes is its own, but
    a policy that allows it to write may not allow that, or deny it."""
    if caller is None or (caller.user is None and bucket.settings.policy is None):
        return
    decision = _of_account(Action.PUT_OBJECT_ACL, caller, bucket, None, key, facts)
    if decision.statement is None:
        decision = _BY_RIGHTS if _by_rights(Action.PUT_OBJECT, caller, bucket, None) else _BY_NOTHING
    if caller.user is not None:
        decision = _narrowed(question_of(Action.PUT_OBJECT_ACL, caller, bucket, None, key, facts), decision)
    if not decision.allowed:
        raise AccessDenied


def authorize_absent(action: Action, caller: Caller | None, bucket: Bucket, key: str, **facts: Unpack[Facts]) -> None:
    """Raise AccessDenied if a policy denies an action on an object that does not exist, or none of a user allows it."""
    if caller is None or (caller.user is None and bucket.settings.policy is None):
        return
    decision = _of_account(action, caller, bucket, None, key, facts)
    if not decision.allowed and decision.ground in _DENIED_BY_NONE:
        decision = _BY_RIGHTS
    if caller.user is not None:
        decision = _narrowed(question_of(action, caller, bucket, None, key, facts), decision)
    if not decision.allowed:
        raise AccessDenied


def question_of(
    action: Action,
    caller: Caller,
    bucket: Bucket | None,
    subject: ObjectVersion | Upload | None,
    key: str | None,
    facts: Facts,
) -> Asked:
    """The question, as policies are asked it."""
    undecided = undecided_in(action, subject, facts)
    return Asked(action, caller, bucket, key if subject is None else subject.key, subject, facts, undecided)


def _of_user(
    action: Action,
    caller: Caller,
    bucket: Bucket | None,
    subject: ObjectVersion | Upload | None,
    key: str | None,
    facts: Facts,
) -> Decision:
    """The decision about a user."""
    decision = _narrowed(
        question_of(action, caller, bucket, subject, key, facts),
        _of_account(action, caller, bucket, subject, key, facts),
    )
    also = _ALSO.get(action) if decision.allowed else None
    return decision if also is None else _of_user(also, caller, bucket, subject, key, facts)


def _narrowed(asked: Asked, of_account: Decision) -> Decision:
    """What is left for a user of a decision about its account, and of that for a session with a policy of its own: what
    is allowed must be allowed by that too, whatever allows it."""
    decision = _of_identity(asked, of_account)
    user = asked.caller.user
    if not decision.allowed or not isinstance(user, RoleSession) or user.policy is None:
        return decision
    policies = {"session": user.policy}
    try:
        if _is_of_keys(asked) and some_policy_allows(policies, asked, _of_versions(asked)):
            return decision
        found = deciding_policy(policies, asked)
    except MalformedPolicy:
        return Decision(False, Ground.SESSION_UNREADABLE)
    if found is None:
        return Decision(False, Ground.SESSION_SILENT)
    name, statement = found
    denies = statement.effect is Effect.DENY
    return Decision(False, Ground.SESSION_DENIES, statement, name) if denies else decision


def _of_identity(asked: Asked, of_account: Decision) -> Decision:
    """What is left for a user of a decision about its account, in which the bucket's policy was asked about the user:
    nothing, unless a policy of its own allows it too. Whatever the policy of a bucket of its own account allows the
    user, it needs no other for.
    """
    user, bucket = asked.caller.user, asked.bucket
    assert user is not None
    try:
        if _is_of_keys(asked) and some_policy_allows(user.policies, asked, _of_versions(asked)):
            return Decision(True, Ground.IDENTITY_ALLOWS)
        found = deciding_policy(user.policies, asked)
    except MalformedPolicy:
        return Decision(False, Ground.IDENTITY_UNREADABLE)
    name, statement = (None, None) if found is None else found
    if statement is not None and statement.effect is Effect.DENY:
        return Decision(False, Ground.IDENTITY_DENIES, statement, name)
    by_policy = of_account.ground is Ground.POLICY_ALLOWS
    is_direct = by_policy and bucket is not None and bucket.owner.id == user.account.id
    if statement is None and not is_direct and not _is_own_upload(asked):
        return _BY_NO_POLICY if of_account.allowed or of_account.ground in _DENIED_BY_NONE else of_account
    if not of_account.allowed or by_policy or statement is None:
        return of_account
    return Decision(True, Ground.IDENTITY_ALLOWS, statement, name)


def _is_own_upload(asked: Asked) -> bool:
    """Whether it is on an upload that this user has begun. "By default, the bucket owner and the initiator of the
    multipart upload are allowed to perform this action" (to list its parts, and to stop it)."""
    user, subject = asked.caller.user, asked.subject
    return (
        user is not None
        and isinstance(subject, Upload)
        and asked.action in _OF_ANY_UPLOAD
        and subject.initiator.id == user.arn
    )


def _is_of_keys(asked: Asked) -> bool:
    """Whether it is a deletion, of which keys and versions is not known yet: each is decided on."""
    return asked.action is Action.DELETE_OBJECT and asked.key is None and asked.facts.get("is_preliminary", False)


def _of_versions(asked: Asked) -> Asked:
    return attrs.evolve(asked, action=Action.DELETE_OBJECT_VERSION)


def _of_account(
    action: Action,
    caller: Caller,
    bucket: Bucket | None,
    subject: ObjectVersion | Upload | None,
    key: str | None,
    facts: Facts,
) -> Decision:
    """The decision about an account, or what the account of a user may do, and the bucket's policy lets the user do."""
    if bucket is None or bucket.settings.policy is None:
        return _BY_RIGHTS if _by_rights(action, caller, bucket, subject) else _BY_NOTHING
    # Calls are what a decision costs.
    is_usual = subject.__class__ is not Upload and "completes_upload" not in facts and "is_preliminary" not in facts
    asked = Asked(
        action,
        caller,
        bucket,
        key if subject is None else subject.key,
        subject,
        facts,
        () if is_usual else undecided_in(action, subject, facts),
    )
    is_own = action in _OF_POLICY and caller.user is None and caller.account.id == bucket.owner.id
    try:
        policy = compile_policy(bucket.settings.policy, bucket.name)
    except MalformedPolicy:
        return Decision(is_own, Ground.POLICY_UNREADABLE)
    block = bucket.settings.public_access_block
    counts = block is None or not block.restrict_public_buckets or not is_restricted(caller, bucket)
    if (
        counts
        and not is_usual
        and _is_of_keys(asked)
        and (allows_some(policy, asked) or allows_some(policy, _of_versions(asked)))
    ):
        return Decision(True, Ground.POLICY_ALLOWS)
    statement = deciding_statement(policy, asked)
    if statement is not None and statement.effect is Effect.DENY:
        return Decision(is_own, Ground.OWN_POLICY if is_own else Ground.POLICY_DENIES, statement)
    if statement is not None and counts and _is_of_policy(action, caller, bucket, subject):
        decision = Decision(True, Ground.POLICY_ALLOWS, statement)
    elif _by_rights(action, caller, bucket, subject):
        decision = _BY_RIGHTS
    else:
        return _BY_NOTHING if counts or statement is None else _RESTRICTED
    also = _ALSO.get(action)
    return decision if also is None else _of_account(also, caller, bucket, subject, key, facts)


def is_restricted(caller: Caller, bucket: Bucket) -> bool:
    """Whether nothing that the bucket's policy allows this caller counts. RestrictPublicBuckets "restricts access to a
    bucket with a public policy to only AWS service principals and authorized users within the bucket owner's account".
    """
    block, policy = bucket.settings.public_access_block, bucket.settings.policy
    if block is None or policy is None or not block.restrict_public_buckets or caller.service is not None:
        return False
    return caller.account.id != bucket.owner.id and is_public(policy, bucket.name)


def _is_unpaid(caller: Caller, bucket: Bucket) -> bool:
    """Whether somebody would have to pay for this who does not. "If the requester forgets to include this header in the
    API request, or if the request is an anonymous request", it is refused ("Using Requester Pays buckets")."""
    if bucket.settings.payer is not Payer.REQUESTER or caller.account.id == bucket.owner.id:
        return False
    return caller.is_anonymous or not caller.pays


def _is_of_policy(action: Action, caller: Caller, bucket: Bucket, subject: ObjectVersion | Upload | None) -> bool:
    """Whether what the bucket's policy allows counts. "The permissions attached to a bucket apply to all of the objects
    in the bucket that are owned by the bucket owner": those to read them and their lists. What the owner of the bucket
    may do with the objects of others it may also grant. No policy lets put parts into an upload of another."""
    if action in _BY_OBJECT:
        return subject is None or subject.owner.id == bucket.owner.id
    return action is not Action.PUT_OBJECT or not isinstance(subject, Upload) or _is_of_initiator(caller, subject)


def _by_rights(action: Action, caller: Caller, bucket: Bucket | None, subject: ObjectVersion | Upload | None) -> bool:
    """Whether ownership or an ACL allows it."""
    if bucket is None:
        return action in _BY_ACCOUNT and not caller.is_anonymous
    if isinstance(subject, Upload) and action in _OF_ANY_UPLOAD and not caller.is_anonymous:
        return caller.account.id == bucket.owner.id or _is_of_initiator(caller, subject)
    permission = _BY_BUCKET.get(action)
    if permission is not None:
        if action is Action.DELETE_OBJECT_VERSION and caller.account.id != bucket.owner.id:
            # "When the grantee is the bucket owner, granting WRITE permission in a bucket ACL allows the
            # s3:DeleteObjectVersion action to be performed on any version in that bucket."
            return False
        return allows(bucket.acl, caller, permission, bucket.settings.public_access_block) and (
            subject is None or not isinstance(subject, Upload) or _is_of_initiator(caller, subject)
        )
    permission = _BY_OBJECT.get(action)
    if permission is not None:
        if not isinstance(subject, ObjectVersion):
            return False
        if subject.attributes.grants is None:  # the object is private, and calls are what a decision costs
            return caller.account.id == subject.owner.id
        return allows(subject.acl, caller, permission, bucket.settings.public_access_block)
    if caller.account.id == bucket.owner.id:
        return action in _BY_OWNER or action in _BY_OWNERS
    return (
        action in _BY_OWNERS
        and isinstance(subject, ObjectVersion)
        and caller.account.id == subject.owner.id
        and not caller.is_anonymous
    )


def allows(acl: Acl, caller: Caller, permission: Permission, block: PublicAccessBlock | None = None) -> bool:
    """Whether `caller` has `permission`. An owner can always read and write the list itself, whatever it says. `block`
    may have it that nothing is granted to everybody."""
    account_id = caller.account.id
    if account_id == acl.owner_id and permission in _OF_THE_LIST:
        return True
    for grant in acl.grants:
        if grant.permission is permission or grant.permission is Permission.FULL_CONTROL:
            grantee = grant.grantee
            if not isinstance(grantee, Group):  # asked first: a Group is a str, and an owner id may read like one
                if grantee == account_id:
                    return True
            elif grantee is Group.LOG_DELIVERY:
                if caller.service is not None and caller.service.name == LOGGING_SERVICE:
                    return True
            elif block is not None and block.ignore_public_acls:
                continue
            elif grantee is Group.ALL_USERS or (grantee is Group.AUTHENTICATED_USERS and not caller.is_anonymous):
                return True
    return False


def _is_of_initiator(caller: Caller, upload: Upload) -> bool:
    """Nobody but who initiated an upload puts parts into what becomes the initiator's object; nor, if that was a user,
    anybody but its account ("If the initiator is an IAM user, that user's AWS account is also allowed")."""
    account_id, initiator_id = caller.account.id, upload.initiator.id
    return account_id == initiator_id or initiator_id.startswith(f"arn:aws:iam::{account_id}:")
