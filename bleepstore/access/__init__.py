"""Who may do what: the one module where that is decided.

`authorize(action, caller, bucket, subject)` is asked once by each operation of a store, whoever calls it: a server for
its clients, or a program. The bucket's policy decides, and the access control lists of the bucket and of the object.
Whatever comes to decide beside them (public access blocks, object ownership, the rights of an access key) belongs here.

`caller=None` is the program that embeds the store. It is above all rules. Whatever is not known is denied.
"""

from bleepstore.access.acl import AclRequest, CannedAcl, is_full_control, make_acl, resolve_acl
from bleepstore.access.actions import Action
from bleepstore.access.callers import ANONYMOUS, LOGGING_SERVICE, S3_SERVICE, Caller, Service
from bleepstore.access.canned import CannedPolicy
from bleepstore.access.decisions import (
    Decision,
    Ground,
    authorize,
    authorize_absent,
    authorize_new_acl,
    authorize_new_bucket,
    decide,
    is_allowed,
    is_of_object,
    of_version,
)
from bleepstore.access.explanations import Explanation, explain
from bleepstore.access.policies import (
    Assumption,
    Facts,
    check_session_policy,
    check_trust_policy,
    compile_policy,
    is_public,
    may_assume,
    may_assume_by_web,
    may_pass,
    trusts_service,
)
from bleepstore.access.sessions import LiveSession, RoleSession, Session, SessionCredentials, WebIdentity

__all__ = [
    "ANONYMOUS",
    "LOGGING_SERVICE",
    "S3_SERVICE",
    "AclRequest",
    "Action",
    "Assumption",
    "Caller",
    "CannedAcl",
    "CannedPolicy",
    "Decision",
    "Explanation",
    "Facts",
    "Ground",
    "LiveSession",
    "RoleSession",
    "Service",
    "Session",
    "SessionCredentials",
    "WebIdentity",
    "authorize",
    "authorize_absent",
    "authorize_new_acl",
    "authorize_new_bucket",
    "check_session_policy",
    "check_trust_policy",
    "compile_policy",
    "decide",
    "explain",
    "is_allowed",
    "is_full_control",
    "is_of_object",
    "is_public",
    "make_acl",
    "may_assume",
    "may_assume_by_web",
    "may_pass",
    "of_version",
    "resolve_acl",
    "trusts_service",
]
