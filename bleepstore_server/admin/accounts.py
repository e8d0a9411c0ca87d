"""The rows of users, access keys, roles and sessions."""

from __future__ import annotations

import datetime as dt
import json
import secrets
from typing import Any

import attrs

from bleepstore import Credential, Owner, Quota, Role, User
from bleepstore.errors import NoSuchCredential
from bleepstore.rates import Rate
from bleepstore.roles import MIN_MAX_SESSION
from bleepstore_server.admin.paging import PageQuery, page_of, time_of
from bleepstore_server.admin.rows import AdminError, Call, Done, Row, Who
from bleepstore_server.declared import Canned, Document

_USERS, _KEYS, _ROLES = "/admin/v1/users", "/admin/v1/keys", "/admin/v1/roles"


@attrs.frozen(kw_only=True)
class AccountQuery:
    """Whose it is: the id of an account, or that of the store."""

    account: str | None = None

    @property
    def owner(self) -> Owner | None:
        return None if self.account is None else Owner(self.account)


# -- users


@attrs.frozen(kw_only=True)
class ShownUser:
    account: str
    name: str
    path: str
    arn: str
    id: str
    #: Name -> document.
    policies: dict[str, Any]


@attrs.frozen(kw_only=True)
class UserPage:
    users: tuple[ShownUser, ...]
    #: What `after` is for the next page; null at the end.
    next: str | None


@attrs.frozen(kw_only=True)
class NewUser:
    name: str
    account: str | None = None
    path: str = "/"
    canned: tuple[Canned, ...] = ()


@attrs.frozen(kw_only=True)
class NewPolicy:
    """One of the two."""

    document: Document | None = None
    canned: Canned | None = None


def _shown_user(user: User) -> ShownUser:
    return ShownUser(
        account=user.account.id,
        name=user.name,
        path=user.path,
        arn=user.arn,
        id=user.id,
        policies={name: json.loads(text) for name, text in user.policies.items()},
    )


def _list_users(call: Call) -> UserPage:
    found = {f"{user.account.id}/{user.name}": user for user in call.services.store.users.list()}
    names, following = page_of(sorted(found), call.query)
    return UserPage(users=tuple(_shown_user(found[name]) for name in names), next=following)


def _add_user(call: Call) -> ShownUser:
    users, wanted = call.services.store.users, call.body
    account = None if wanted.account is None else Owner(wanted.account)
    policies = {canned.policy.value: canned.policy.document(canned.on) for canned in wanted.canned}
    user = users.add(wanted.name, path=wanted.path, account=account)
    for name, text in policies.items():
        users.put_policy(user.name, name, text, account=account)
    return _shown_user(users.get(user.name, account=account))


def _get_user(call: Call) -> ShownUser:
    return _shown_user(call.services.store.users.get(call.names["user"], account=call.query.owner))


def _remove_user(call: Call) -> Done:
    call.services.store.users.remove(call.names["user"], account=call.query.owner)
    return Done()


def _put_policy(call: Call) -> ShownUser:
    users, wanted = call.services.store.users, call.body
    if (wanted.document is None) == (wanted.canned is None):
        raise AdminError(400, "BadShape", "Give either document or canned.")
    text = json.dumps(wanted.document, indent=2)
    if wanted.canned is not None:
        text = wanted.canned.policy.document(wanted.canned.on)
    users.put_policy(call.names["user"], call.names["policy"], text, account=call.query.owner)
    return _get_user(call)


def _remove_policy(call: Call) -> Done:
    call.services.store.users.remove_policy(call.names["user"], call.names["policy"], account=call.query.owner)
    return Done()


def _put_user_quota(call: Call) -> Done:
    user = call.services.store.users.get(call.names["user"], account=call.query.owner)
    return _put_quota(call, user.arn)


def _remove_user_quota(call: Call) -> Done:
    user = call.services.store.users.get(call.names["user"], account=call.query.owner)
    return _remove_quota(call, user.arn)


def _put_quota(call: Call, arn: str) -> Done:
    call.services.store.put_quota(user=arn, max_bytes=call.body.max_bytes, max_objects=call.body.max_objects)
    return Done()


def _remove_quota(call: Call, arn: str) -> Done:
    call.services.store.delete_quota(user=arn)
    return Done()


# -- keys


@attrs.frozen(kw_only=True)
class ShownKey:
    """Without its secret, which is only told when it is made."""

    access_key: str
    enabled: bool
    account: str
    display_name: str
    email: str | None
    user: str | None
    created: dt.datetime


@attrs.frozen(kw_only=True)
class KeyPage:
    keys: tuple[ShownKey, ...]
    next: str | None


@attrs.frozen(kw_only=True)
class NewKey:
    """Without an `access_key` and a `secret_key` random ones are made."""

    access_key: str | None = None
    secret_key: str | None = attrs.field(default=None, repr=False)
    account: str | None = None
    display_name: str = ""
    email: str | None = None
    user: str | None = None


@attrs.frozen(kw_only=True)
class NewSecret:
    """Without one a random one is made."""

    secret_key: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class KeyWithSecret:
    access_key: str
    secret_key: str = attrs.field(repr=False)


def _shown_key(key: Credential) -> ShownKey:
    return ShownKey(
        access_key=key.access_key,
        enabled=key.enabled,
        account=key.owner.id,
        display_name=key.owner.display_name,
        email=key.email,
        user=None if key.user is None else key.user.name,
        created=time_of(key.created_ms),
    )


def _find_key(call: Call) -> Credential:
    name = call.names["access_key"]
    for known in call.services.store.list_credentials():
        if known.access_key == name:
            return known
    raise NoSuchCredential(name)


def _list_keys(call: Call) -> KeyPage:
    found = {known.access_key: known for known in call.services.store.list_credentials()}
    names, following = page_of(sorted(found), call.query)
    return KeyPage(keys=tuple(_shown_key(found[name]) for name in names), next=following)


def _get_key(call: Call) -> ShownKey:
    return _shown_key(_find_key(call))


def _add_key(call: Call) -> KeyWithSecret:
    store, wanted = call.services.store, call.body
    access_key = wanted.access_key or "BLEEP" + secrets.token_hex(8).upper()
    if any(known.access_key == access_key for known in store.list_credentials()):
        raise AdminError(409, "KeyExists", f"There is a key {access_key}: POST to its /rotate gives it a new secret.")
    secret = wanted.secret_key or secrets.token_urlsafe(30)
    owner = None if wanted.account is None else Owner(wanted.account, wanted.display_name)
    store.put_credential(access_key, secret, owner=owner, email=wanted.email, user=wanted.user)
    return KeyWithSecret(access_key=access_key, secret_key=secret)


def _put_again(call: Call, known: Credential, secret: str) -> None:
    user = None if known.user is None else known.user.name
    call.services.store.put_credential(known.access_key, secret, owner=known.owner, email=known.email, user=user)


def _rotate_key(call: Call) -> KeyWithSecret:
    known, secret = _find_key(call), call.body.secret_key or secrets.token_urlsafe(30)
    if not known.enabled:
        raise AdminError(409, "KeyDisabled", f"{known.access_key} is disabled: POST to its /enable accepts it again.")
    _put_again(call, known, secret)
    return KeyWithSecret(access_key=known.access_key, secret_key=secret)


def _enable_key(call: Call) -> ShownKey:
    known = _find_key(call)
    _put_again(call, known, known.secret_key)
    return _get_key(call)


def _disable_key(call: Call) -> ShownKey:
    call.services.store.disable_credential(call.names["access_key"])
    return _get_key(call)


def _remove_key(call: Call) -> Done:
    call.services.store.delete_credential(call.names["access_key"])
    return Done()


def _put_key_rate(call: Call) -> Done:
    key = _find_key(call).access_key
    call.services.store.put_rate_limit(access_key=key, max_requests=call.body.requests, max_bytes=call.body.bytes)
    return Done()


def _remove_key_rate(call: Call) -> Done:
    call.services.store.delete_rate_limit(access_key=_find_key(call).access_key)
    return Done()


# -- roles and sessions


@attrs.frozen(kw_only=True)
class ShownRole:
    account: str
    name: str
    arn: str
    trust_policy: Any
    policies: dict[str, Any]
    max_session_seconds: int
    created: dt.datetime


@attrs.frozen(kw_only=True)
class RolePage:
    roles: tuple[ShownRole, ...]
    next: str | None


@attrs.frozen(kw_only=True)
class NewRole:
    trust_policy: Document
    policies: dict[str, Document] = attrs.field(factory=dict)
    max_session_seconds: int = MIN_MAX_SESSION


@attrs.frozen(kw_only=True)
class WhoseSessions:
    """Those of a role or of a user, or else of the whole account."""

    account: str | None = None
    role: str | None = None
    user: str | None = None


def _shown_role(role: Role) -> ShownRole:
    return ShownRole(
        account=role.account.id,
        name=role.name,
        arn=role.arn,
        trust_policy=json.loads(role.trust_policy),
        policies={name: json.loads(text) for name, text in role.policies.items()},
        max_session_seconds=role.max_session_seconds,
        created=time_of(role.created_ms),
    )


def _list_roles(call: Call) -> RolePage:
    found = {f"{role.account.id}/{role.name}": role for role in call.services.store.list_roles()}
    names, following = page_of(sorted(found), call.query)
    return RolePage(roles=tuple(_shown_role(found[name]) for name in names), next=following)


def _get_role(call: Call) -> ShownRole:
    return _shown_role(call.services.store.get_role(call.names["role"], account=call.query.owner))


def _put_role(call: Call) -> ShownRole:
    wanted = call.body
    role = call.services.store.put_role(
        call.names["role"],
        json.dumps(wanted.trust_policy, indent=2),
        {name: json.dumps(policy, indent=2) for name, policy in wanted.policies.items()},
        account=call.query.owner,
        max_session_seconds=wanted.max_session_seconds,
    )
    return _shown_role(role)


def _remove_role(call: Call) -> Done:
    call.services.store.delete_role(call.names["role"], account=call.query.owner)
    return Done()


def _put_role_quota(call: Call) -> Done:
    return _put_quota(call, call.services.store.get_role(call.names["role"], account=call.query.owner).arn)


def _remove_role_quota(call: Call) -> Done:
    return _remove_quota(call, call.services.store.get_role(call.names["role"], account=call.query.owner).arn)


def _revoke_sessions(call: Call) -> Done:
    whose = call.body
    account = None if whose.account is None else Owner(whose.account)
    call.services.store.revoke_sessions(account=account, role=whose.role, user=whose.user)
    return Done()


def _row(method: str, path: str, summary: str, handler: Any, **shapes: Any) -> Row:
    return Row(method=method, path=path, who=Who.ADMIN, summary=summary, handler=handler, **shapes)


_USER, _KEY, _ROLE = f"{_USERS}/{{user}}", f"{_KEYS}/{{access_key}}", f"{_ROLES}/{{role}}"
_POLICY = f"{_USER}/policies/{{policy}}"
ROWS = (
    _row("GET", _USERS, "The users of all accounts, and what they may do", _list_users, query=PageQuery,
         answer=UserPage),
    _row("POST", _USERS, "Add a user", _add_user, body=NewUser, answer=ShownUser, status=201),
    _row("GET", _USER, "A user, with its policies", _get_user, query=AccountQuery, answer=ShownUser),
    _row("DELETE", _USER, "Remove a user, its policies and its keys", _remove_user, query=AccountQuery, answer=Done),
    _row("PUT", _POLICY, "Give a user a policy, instead of the one of this name", _put_policy, query=AccountQuery,
         body=NewPolicy, answer=ShownUser),
    _row("DELETE", _POLICY, "Take a policy away", _remove_policy, query=AccountQuery, answer=Done),
    _row("PUT", f"{_USER}/quota", "Limit what a user may hold in the buckets of its account", _put_user_quota,
         query=AccountQuery, body=Quota, answer=Done),
    _row("DELETE", f"{_USER}/quota", "Limit a user no more", _remove_user_quota, query=AccountQuery, answer=Done),
    _row("GET", _KEYS, "The access keys, without their secrets", _list_keys, query=PageQuery, answer=KeyPage),
    _row("POST", _KEYS, "Add an access key; its secret is told this once", _add_key, body=NewKey,
         answer=KeyWithSecret, status=201),
    _row("GET", _KEY, "An access key", _get_key, answer=ShownKey),
    _row("DELETE", _KEY, "Remove an access key for good", _remove_key, answer=Done),
    _row("POST", f"{_KEY}/rotate", "Give a key a new secret", _rotate_key, body=NewSecret, answer=KeyWithSecret),
    _row("POST", f"{_KEY}/disable", "Refuse a key, within a second", _disable_key, answer=ShownKey),
    _row("POST", f"{_KEY}/enable", "Accept a disabled key again", _enable_key, answer=ShownKey),
    _row("PUT", f"{_KEY}/rate", "Limit what is asked with a key in a second", _put_key_rate, body=Rate, answer=Done),
    _row("DELETE", f"{_KEY}/rate", "Limit a key no more", _remove_key_rate, answer=Done),
    _row("GET", _ROLES, "The roles of all accounts", _list_roles, query=PageQuery, answer=RolePage),
    _row("GET", _ROLE, "A role", _get_role, query=AccountQuery, answer=ShownRole),
    _row("PUT", _ROLE, "Add a role, or replace its documents", _put_role, query=AccountQuery, body=NewRole,
         answer=ShownRole),
    _row("DELETE", _ROLE, "Remove a role, and end its sessions", _remove_role, query=AccountQuery, answer=Done),
    _row("PUT", f"{_ROLE}/quota", "Limit what the sessions of a role may hold together", _put_role_quota,
         query=AccountQuery, body=Quota, answer=Done),
    _row("DELETE", f"{_ROLE}/quota", "Limit the sessions of a role no more", _remove_role_quota, query=AccountQuery,
         answer=Done),
    _row("POST", "/admin/v1/sessions/revoke", "End the sessions that have begun by now", _revoke_sessions,
         body=WhoseSessions, answer=Done),
)  # fmt: skip
