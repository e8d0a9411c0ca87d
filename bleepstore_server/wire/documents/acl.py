"""The document of an access control list, and the list that it stands for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bleepstore.errors import MalformedACL
from bleepstore.model import Acl, Grant, Group, Permission
from bleepstore_server.wire.documents.common import Account
from bleepstore_server.wire.documents.declare import (
    attribute,
    child,
    choice,
    document,
    element,
    parse,
    wrapped,
)
from bleepstore_server.wire.errors import DETAIL, RequestError

MAX_GRANTS = 100
GROUP_URIS = {
    Group.ALL_USERS: "http://acs.amazonaws.com/groups/global/AllUsers",
    Group.AUTHENTICATED_USERS: "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
    Group.LOG_DELIVERY: "http://acs.amazonaws.com/groups/s3/LogDelivery",
}
_GROUPS = {uri: group for group, uri in GROUP_URIS.items()}

Names = Callable[[str], str]  # owner id -> display name
FindByEmail = Callable[[str], str]  # e-mail -> owner id; raises if unknown
CheckId = Callable[[str], None]  # raises if the owner id is unknown


@document()
class Grantee:
    kind: str = attribute("type")
    id: str | None = element("ID", default=None)
    display_name: str | None = element("DisplayName", default=None)
    email: str | None = element("EmailAddress", default=None)
    uri: str | None = element("URI", default=None)


@document()
class GrantElement:
    grantee: Grantee = child("Grantee", Grantee)
    permission: Permission = element("Permission", choice(Permission))


@document("AccessControlPolicy")
class AccessControlPolicy:
    owner: Account = child("Owner", Account)
    grants: Sequence[GrantElement] = wrapped("AccessControlList", "Grant", GrantElement, at_most=MAX_GRANTS)


def policy_of(acl: Acl, names: Names) -> AccessControlPolicy:
    owner = Account(id=acl.owner_id, display_name=names(acl.owner_id))
    grants = [GrantElement(grantee=_grantee(grant.grantee, names), permission=grant.permission) for grant in acl.grants]
    return AccessControlPolicy(owner=owner, grants=grants)


def _grantee(grantee: str | Group, names: Names) -> Grantee:
    if isinstance(grantee, Group):
        return Grantee(kind="Group", uri=GROUP_URIS[grantee])
    return Grantee(kind="CanonicalUser", id=grantee, display_name=names(grantee))


def parse_acl(body: bytes, find_by_email: FindByEmail, check_id: CheckId) -> Acl:
    """An AccessControlPolicy with every grantee known to this store. Raises MalformedACL for whatever is no such
    document, and what `find_by_email` and `check_id` raise."""
    try:
        policy = parse(AccessControlPolicy, body)
    except RequestError as error:
        detail = error.fields.get(DETAIL, "")
        raise MalformedACL(f"The body is not an AccessControlPolicy document. {detail}".rstrip()) from None
    grants = tuple(
        Grant(_grantee_of(grant.grantee, find_by_email, check_id), grant.permission) for grant in policy.grants
    )
    return Acl(policy.owner.id, grants)


def _grantee_of(grantee: Grantee, find_by_email: FindByEmail, check_id: CheckId) -> str | Group:
    if grantee.uri:
        return group_of(grantee.uri)
    if grantee.email:
        return find_by_email(grantee.email)
    if not grantee.id or grantee.kind not in ("", "CanonicalUser"):
        raise MalformedACL("A grantee needs an ID, a URI or an EmailAddress.")
    check_id(grantee.id)
    return grantee.id


def group_of(uri: str) -> Group:
    group = _GROUPS.get(uri.strip())
    if group is None:
        raise RequestError(
            "InvalidArgument", "Invalid group uri.", fields={"ArgumentName": "uri", "ArgumentValue": uri}
        )
    return group
