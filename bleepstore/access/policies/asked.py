"""What is asked for, as policies see it: each condition key with the value that a request has under it.

A value is found when a condition asks for it, never before. Who asks and from where is known of its `Caller`, what it
asks for of the operation: `Facts`. A server knows what its client has sent under the keys that are named after fields
and parameters of a request; for a program the arguments of its call say that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TypedDict

import attrs

from bleepstore.access.acl import AclRequest, CannedAcl
from bleepstore.access.actions import Action
from bleepstore.access.callers import Caller, Service
from bleepstore.access.policies.document import RESOURCE_PREFIX
from bleepstore.access.policies.names import KEY_ID, PREFIX, S3_KEYS
from bleepstore.access.policies.principals import account_name, role_name, service_name, session_name, user_name
from bleepstore.access.sessions import RoleSession
from bleepstore.encryption import CustomerKey, EncryptionRequest, NamedKey, StoreKey, key_name
from bleepstore.model import (
    ANONYMOUS_OWNER,
    DAY_MS,
    Acl,
    Bucket,
    Group,
    ObjectAttributes,
    ObjectVersion,
    Permission,
    Upload,
    User,
    to_datetime,
)
from bleepstore.object_lock import Retention
from bleepstore.preconditions import WriteCondition

#: A decision before an operation has begun knows nothing of these: most are in the body of a request.
_OF_THE_BODY = (
    "s3:requestobjecttag", "s3:object-lock-", "s3:x-amz-copy-source", "s3:objectcreationoperation", "s3:if-match",
)  # fmt: skip
#: Of what changes how an object is encrypted these are in its body too.
_OF_ENCRYPTION = ("s3:x-amz-server-side-encryption",)
#: What an object that is uploaded in parts will be is decided on when its upload is begun: "You don't need to specify
#: the encryption parameters in each UploadPart request. Instead, you only need to specify the server-side encryption
#: parameters in the initial Initiate Multipart request" (UploadPart).
_OF_BEGINNING = (
    "s3:x-amz-acl", "s3:x-amz-grant-", "s3:x-amz-server-side-encryption", "s3:x-amz-storage-class",
    "s3:x-amz-website-redirect-location", "s3:requestobjecttag", "s3:object-lock-",
)  # fmt: skip
_GROUP_URI = "http://acs.amazonaws.com/groups/"
#: "EU" is an old name, which buckets may still have as their location.
_OLD_REGIONS = {"EU": "eu-west-1"}
_NOBODY = frozenset[str]()
#: The resource of an action that has none, as s3:ListAllMyBuckets: `*` and `arn:aws:s3:::*` stand for it.
_NO_BUCKET = "*"
_Values = tuple[str, ...]


class Facts(TypedDict, total=False):
    """What operations tell of what is asked, where they know it.

    `version` is the id of the version that is named. `attributes` and `acl` are of what is written, `tags`, `retention`
    and `legal_hold` what an operation on these sets; `source` is what is copied, as `bucket/key`, `new_bucket` the name
    of a bucket that is created. `encryption` and
    `replaces_metadata` are the options of these names, `write_condition` is that of a write. `begins_upload`,
    `completes_upload`: a write does that. `is_preliminary`: the body was not read yet.
    """

    version: str | None
    prefix: str
    delimiter: str
    max_keys: int
    attributes: ObjectAttributes
    acl: AclRequest | Acl | None
    tags: Mapping[str, str]
    retention: Retention | None
    legal_hold: bool
    source: str
    new_bucket: str
    location: str
    encryption: EncryptionRequest | None
    replaces_metadata: bool
    write_condition: WriteCondition
    begins_upload: bool
    completes_upload: bool
    is_preliminary: bool


@attrs.define(eq=False)
class Asked:
    """One question of `authorize`, and what was found of it so far. `bucket` is None for what is of no bucket, or of
    one that is created."""

    action: Action
    caller: Caller
    bucket: Bucket | None
    key: str | None
    subject: ObjectVersion | Upload | None
    facts: Facts
    #: How the keys begin that are decided on before this, or after it.
    undecided: tuple[str, ...] = ()
    #: What was asked for already.
    known: dict[str, _Values] = attrs.field(factory=dict, init=False, repr=False)

    @property
    def resource(self) -> str:
        """What policies call it, without the beginning that all resources of S3 have."""
        if self.bucket is None:
            return self.facts.get("new_bucket", _NO_BUCKET)
        return self.bucket.name if self.key is None else f"{self.bucket.name}/{self.key}"

    @property
    def arn(self) -> str:
        return RESOURCE_PREFIX + self.resource

    @property
    def names(self) -> frozenset[str]:
        """Those of `principals.py` under which the caller is known."""
        caller = self.caller
        if caller.user is not None:
            return frozenset((account_name(caller.account.id), *_own_names(caller.user)))
        if caller.service is not None:
            return frozenset((service_name(caller.service.name),))
        return _names_of_account(caller.account.id)

    @property
    def granted_names(self) -> frozenset[str]:
        """Those of them by which a statement that allows something must name the caller: a user of the account that
        owns the bucket has what is allowed to that account by its own policies alone."""
        user = self.caller.user
        if user is None or self.bucket is None or user.account.id != self.bucket.owner.id:
            return self.names
        return frozenset(_own_names(user))

    def values(self, key: str) -> _Values:
        """What there is under a condition key, in lower case but for a tag at its end; nothing if it is missing."""
        known = self.known.get(key)
        if known is None:
            known = self.known[key] = finder_of(key)(self)
        return known

    def value(self, key: str) -> str | None:
        found = self.values(key)
        return found[0] if len(found) == 1 else None


@functools.lru_cache(maxsize=1024)
def _names_of_account(account_id: str) -> frozenset[str]:
    """Made once: its hash, which is asked for at each decision, is kept with it."""
    return _NOBODY if account_id == ANONYMOUS_OWNER.id else frozenset((account_name(account_id),))


@functools.lru_cache(maxsize=1024)
def finder_of(key: str) -> Callable[[Asked], _Values]:
    """What finds the values of a condition key, in lower case but for a tag at its end."""
    find = _KEYS.get(key)
    if find is not None:
        return find
    name, separator, tag = key.partition("/")
    if separator:
        return _tag_finder(_TAGS[name], tag) if name in _TAGS else _find_nothing
    name = name.removeprefix(PREFIX)
    # Variables of a policy may name anything: only what a condition key is named after is told, and never the key of an
    # encryption.
    return _sent_finder(name) if key.startswith(PREFIX) and name in S3_KEYS else _find_nothing


def _find_nothing(_asked: Asked) -> _Values:
    return ()


def _tag_finder(of_tags: Callable[[Asked], Mapping[str, str]], tag: str) -> Callable[[Asked], _Values]:
    def find(asked: Asked) -> _Values:
        value = of_tags(asked).get(tag)
        return () if value is None else (value,)

    return find


def _sent_finder(name: str) -> Callable[[Asked], _Values]:
    """What a client has sent, or the arguments of a program's call say."""
    of_call = _OF_CALLS.get(name, _say_nothing)

    def find(asked: Asked) -> _Values:
        sent = asked.caller.sent
        value = of_call(asked) if sent is None else sent(name)
        return () if value is None else (value,)

    return find


def _say_nothing(_asked: Asked) -> None:
    return None


def undecided_in(action: Action, subject: ObjectVersion | Upload | None, facts: Facts) -> tuple[str, ...]:
    """For `Asked.undecided`."""
    of_upload = isinstance(subject, Upload) or "completes_upload" in facts
    undecided: tuple[str, ...] = _OF_BEGINNING if of_upload and action is Action.PUT_OBJECT else ()
    if not facts.get("is_preliminary"):
        return undecided
    if action is Action.UPDATE_OBJECT_ENCRYPTION:
        undecided += _OF_ENCRYPTION
    return undecided + _OF_THE_BODY


def _optional(value: str | None) -> _Values:
    return () if value is None else (value,)


def _truth(value: bool | None) -> _Values:
    return () if value is None else ("true" if value else "false",)


# -- of the caller


def _time(asked: Asked) -> _Values:
    time_ms = asked.caller.time_ms
    return () if time_ms is None else (_second(time_ms // 1000),)


@functools.lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    """The time of a request is a second, as S3 dates requests: those of one second are decided on alike."""
    return to_datetime(seconds * 1000).isoformat()


def _epoch(asked: Asked) -> _Values:
    time_ms = asked.caller.time_ms
    return () if time_ms is None else (str(time_ms // 1000),)


def _account(asked: Asked) -> _Values:
    return () if asked.caller.is_anonymous else (asked.caller.account.id,)


def _own_names(user: User | RoleSession) -> tuple[str, ...]:
    """Those of a user, or of a session of a role, beside that of the account."""
    if isinstance(user, RoleSession):
        account_id, name = user.account.id, user.name
        return role_name(account_id, name), session_name(account_id, name, user.session_name)
    return (user_name(user.account.id, f"{user.path[1:]}{user.name}"),)


def _principal_arn(asked: Asked) -> _Values:
    caller = asked.caller
    if caller.user is not None:
        return (caller.user.arn,)
    return () if caller.is_anonymous else (f"arn:aws:iam::{caller.account.id}:root",)


# Of each kind of principal: "Principal key values" in "IAM policy elements: Variables and tags".


def _principal_type(asked: Asked) -> _Values:
    caller = asked.caller
    if isinstance(caller.user, RoleSession):
        return ("AssumedRole",)
    return ("User" if caller.user is not None else "Anonymous" if caller.is_anonymous else "Account",)


def _user_id(asked: Asked) -> _Values:
    caller = asked.caller
    return (caller.user.id if caller.user is not None else "anonymous" if caller.is_anonymous else caller.account.id,)


def _username(asked: Asked) -> _Values:
    user = asked.caller.user
    return (user.name,) if isinstance(user, User) else ()


def _token_issue_time(asked: Asked) -> _Values:
    session = asked.caller.session
    return () if session is None else (to_datetime(session.issued_ms).isoformat(),)


def _owner(asked: Asked) -> _Values:
    return () if asked.bucket is None else (asked.bucket.owner.id,)


def _requested_region(asked: Asked) -> _Values:
    """A request to a bucket goes to the region that the bucket is in, as AWS redirects those that do not. What a client
    has signed for does not count, since it may sign for any."""
    location = "" if asked.bucket is None else asked.bucket.location
    return _optional(_OLD_REGIONS.get(location, location) or asked.caller.region)


def _service(find: Callable[[Service], str]) -> Callable[[Asked], _Values]:
    return lambda asked: () if asked.caller.service is None else (find(asked.caller.service),)


# -- of what is asked


def _creates_object(asked: Asked) -> _Values:
    """ "You must specify the s3:ObjectCreationOperation condition key to exempt the CreateMultipartUpload, UploadPart,
    and UploadPartCopy operations" (Enforce conditional writes on Amazon S3 buckets)."""
    if asked.action is not Action.PUT_OBJECT:
        return ()
    if asked.facts.get("completes_upload"):
        return ("true",)
    return ("false",) if isinstance(asked.subject, Upload) or asked.facts.get("begins_upload") else ("true",)


def _if_match(asked: Asked) -> _Values:
    """Of a header, or of one of many deletions."""
    condition, sent = asked.facts.get("write_condition"), asked.caller.sent
    header = None if sent is None else sent("if-match")
    return _optional(condition.if_match if header is None and condition is not None else header)


def _version_id(asked: Asked) -> _Values:
    return _optional(asked.facts.get("version"))


def _request_tags(asked: Asked) -> Mapping[str, str]:
    tags = asked.facts.get("tags")
    if tags is not None:
        return tags
    attributes = asked.facts.get("attributes")
    return {} if attributes is None else attributes.tags


def _existing_tags(asked: Asked) -> Mapping[str, str]:
    return asked.subject.tags if isinstance(asked.subject, ObjectVersion) else {}


def _bucket_tags(asked: Asked) -> Mapping[str, str]:
    return {} if asked.bucket is None else asked.bucket.settings.tags or {}


def _retention(asked: Asked) -> Retention | None:
    attributes = asked.facts.get("attributes")
    return asked.facts.get("retention") if attributes is None else attributes.retention


def _mode(asked: Asked) -> _Values:
    retention = _retention(asked)
    return () if retention is None else (retention.mode.value,)


def _until(asked: Asked) -> _Values:
    retention = _retention(asked)
    return () if retention is None else (to_datetime(retention.until_ms).isoformat(),)


def _remaining_days(asked: Asked) -> _Values:
    retention, now = _retention(asked), asked.caller.time_ms
    return () if retention is None or now is None else (f"{(retention.until_ms - now) / DAY_MS:.6f}",)


def _legal_hold(asked: Asked) -> _Values:
    attributes = asked.facts.get("attributes")
    held = asked.facts.get("legal_hold") if attributes is None else attributes.legal_hold
    return () if held is None else ("ON" if held else "OFF",)


def _key_id(asked: Asked) -> str | None:
    encryption = asked.facts.get("encryption")
    return encryption.key_id if isinstance(encryption, NamedKey) else None


def _sent_encryption(asked: Asked) -> Callable[[str], str | None] | None:
    """Reads the headers of a request that say how to encrypt. None where a body says it, and of a call."""
    return None if asked.action is Action.UPDATE_OBJECT_ENCRYPTION else asked.caller.sent


def _key_names(asked: Asked) -> _Values:
    """As it is named in the request, and what it is called alone: an ARN, an alias and a name may be of one key."""
    sent = _sent_encryption(asked)
    key_id = _key_id(asked) if sent is None else sent(KEY_ID.removeprefix(PREFIX))
    return () if not key_id else tuple(dict.fromkeys((key_id, key_name(key_id))))


def _encryption_method(asked: Asked) -> _Values:
    sent = _sent_encryption(asked)
    return _optional(_method(asked) if sent is None else sent("x-amz-server-side-encryption"))


_KEYS: Mapping[str, Callable[[Asked], _Values]] = {
    "aws:currenttime": _time,
    "aws:epochtime": _epoch,
    "aws:sourceip": lambda asked: () if asked.caller.source_ip is None else (asked.caller.source_ip,),
    "aws:securetransport": lambda asked: _truth(asked.caller.secure),
    "aws:useragent": lambda asked: () if asked.caller.user_agent is None else (asked.caller.user_agent,),
    "aws:referer": lambda asked: () if asked.caller.referer is None else (asked.caller.referer,),
    "aws:principalaccount": _account,
    "aws:principalarn": _principal_arn,
    "aws:principaltype": _principal_type,
    "aws:userid": _user_id,
    "aws:username": _username,
    "aws:tokenissuetime": _token_issue_time,
    "aws:principalisawsservice": lambda asked: _truth(asked.caller.service is not None),
    "aws:principalservicename": _service(lambda service: service.name),
    "aws:sourcearn": _service(lambda service: service.source_arn),
    "aws:sourceaccount": _service(lambda service: service.source_account),
    "aws:viaawsservice": lambda _asked: ("false",),
    "aws:requestedregion": _requested_region,
    "aws:resourceaccount": _owner,
    "s3:resourceaccount": _owner,
    "s3:objectcreationoperation": _creates_object,
    "s3:versionid": _version_id,
    "s3:if-match": _if_match,
    "s3:requestobjecttagkeys": lambda asked: tuple(_request_tags(asked)),
    "s3:object-lock-mode": _mode,
    "s3:object-lock-retain-until-date": _until,
    "s3:object-lock-remaining-retention-days": _remaining_days,
    "s3:object-lock-legal-hold": _legal_hold,
    "s3:x-amz-copy-source": lambda asked: _optional(asked.facts.get("source")),
    KEY_ID: _key_names,
    "s3:x-amz-server-side-encryption": _encryption_method,
    "s3:locationconstraint": lambda asked: _optional(asked.facts.get("location") or None),
}
#: Keys that a tag's key ends, in the case that it has.
_TAGS: Mapping[str, Callable[[Asked], Mapping[str, str]]] = {
    "s3:requestobjecttag": _request_tags,
    "s3:existingobjecttag": _existing_tags,
    "s3:buckettag": _bucket_tags,
    "aws:resourcetag": _bucket_tags,
}


# -- what a server has from its client, of the arguments of a call


def _canned(asked: Asked) -> str | None:
    acl = asked.facts.get("acl")
    return acl.value if isinstance(acl, CannedAcl) else None


def _grants(permission: Permission) -> Callable[[Asked], str | None]:
    def find(asked: Asked) -> str | None:
        acl = asked.facts.get("acl")
        if not isinstance(acl, tuple):
            return None
        return ", ".join(_written(one.grantee) for one in acl if one.permission is permission) or None

    return find


def _written(grantee: str | Group) -> str:
    if not isinstance(grantee, Group):
        return f"id={grantee}"
    return f"uri={_GROUP_URI}{'s3' if grantee is Group.LOG_DELIVERY else 'global'}/{grantee}"


def _storage_class(asked: Asked) -> str | None:
    attributes = asked.facts.get("attributes")
    return None if attributes is None else attributes.storage_class


def _redirect(asked: Asked) -> str | None:
    attributes = asked.facts.get("attributes")
    return None if attributes is None else attributes.system.website_redirect_location


def _method(asked: Asked) -> str | None:
    match asked.facts.get("encryption"):
        case StoreKey():
            return "AES256"
        case NamedKey():
            return "aws:kms"
    return None


def _customer_method(asked: Asked) -> str | None:
    return "AES256" if isinstance(asked.facts.get("encryption"), CustomerKey) else None


def _directive(asked: Asked) -> str | None:
    replaces = asked.facts.get("replaces_metadata")
    return None if replaces is None else "REPLACE" if replaces else "COPY"


def _if_none_match(asked: Asked) -> str | None:
    condition = asked.facts.get("write_condition")
    return "*" if condition is not None and condition.if_none_match else None


_OF_CALLS: Mapping[str, Callable[[Asked], str | None]] = {
    "prefix": lambda asked: asked.facts.get("prefix"),
    "delimiter": lambda asked: asked.facts.get("delimiter") or None,
    "max-keys": lambda asked: str(asked.facts["max_keys"]) if "max_keys" in asked.facts else None,
    "x-amz-acl": _canned,
    "x-amz-grant-full-control": _grants(Permission.FULL_CONTROL),
    "x-amz-grant-read": _grants(Permission.READ),
    "x-amz-grant-read-acp": _grants(Permission.READ_ACP),
    "x-amz-grant-write": _grants(Permission.WRITE),
    "x-amz-grant-write-acp": _grants(Permission.WRITE_ACP),
    "x-amz-server-side-encryption-customer-algorithm": _customer_method,
    "x-amz-metadata-directive": _directive,
    "if-none-match": _if_none_match,
    "x-amz-storage-class": _storage_class,
    "x-amz-website-redirect-location": _redirect,
}
