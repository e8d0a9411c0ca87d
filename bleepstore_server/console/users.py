"""Users, their policies, and access keys: for the administrator alone."""

from __future__ import annotations

import secrets

from werkzeug.wrappers import Response

from bleepstore.access import CannedPolicy
from bleepstore.errors import NoSuchCredential
from bleepstore.model import Credential, User
from bleepstore_server.console.visit import Visit
from bleepstore_server.wire.errors import RequestError


def show_users(visit: Visit, made: tuple[str, str] | None = None) -> Response:
    """`made` is a key and its secret, which are shown this once."""
    visit.check_administrator()
    return visit.page(
        "users.html", users=_users(visit), keys=visit.store.list_credentials(), made=made, section="users"
    )


def _users(visit: Visit) -> list[User]:
    return [user for user in visit.store.users.list() if user.account.id == visit.store.owner.id]


def add_user(visit: Visit) -> Response:
    visit.check_administrator()
    user = visit.store.users.add(visit.field("name").strip())
    return visit.go("users", user.name, done="user_added")


def show_user(visit: Visit, name: str, made: tuple[str, str] | None = None) -> Response:
    visit.check_administrator()
    user = visit.store.users.get(name)
    keys = [key for key in visit.store.list_credentials() if key.user is not None and key.user.arn == user.arn]
    policy = visit.argument("policy")
    return visit.page(
        "user.html",
        user=user,
        keys=keys,
        made=made,
        canned=list(CannedPolicy),
        policy=policy,
        document=user.policies.get(policy, ""),
        section="users",
    )


def remove_user(visit: Visit, name: str) -> Response:
    visit.check_administrator()
    visit.store.users.remove(name)
    return visit.go("users", done="user_removed")


def put_policy(visit: Visit, name: str) -> Response:
    visit.check_administrator()
    policy = visit.field("policy").strip()
    if visit.field("do") == "remove":
        visit.store.users.remove_policy(name, policy)
        return visit.go("users", name, done="policy_removed")
    visit.store.users.put_policy(name, policy, visit.field("document"))
    return visit.go("users", name, done="policy_saved")


def put_canned_policy(visit: Visit, name: str) -> Response:
    """One of those that need not be written, for all buckets or for those that are named."""
    visit.check_administrator()
    try:
        canned = CannedPolicy(visit.field("canned"))
    except ValueError:
        raise RequestError("InvalidArgument", visit.pages.texts["errors"]["choice"].format(name="canned")) from None
    document = canned.document(visit.field("buckets").split())
    visit.store.users.put_policy(name, canned.value, document)
    return visit.go("users", name, done="policy_saved")


# -- keys


def add_key(visit: Visit) -> Response:
    """A key of the account itself."""
    visit.check_administrator()
    return show_users(visit, made=_new_key(visit, None))


def add_user_key(visit: Visit, name: str) -> Response:
    visit.check_administrator()
    return show_user(visit, name, made=_new_key(visit, visit.store.users.get(name).name))


def _new_key(visit: Visit, user: str | None) -> tuple[str, str]:
    pair = "BLEEP" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30)
    visit.store.put_credential(*pair, user=user)
    return pair


def change_key(visit: Visit) -> Response:
    """Disable a key, enable it again with the secret that it has, or remove it."""
    visit.check_administrator()
    access_key, do = visit.field("access_key"), visit.field("do")
    if access_key == visit.caller.access_key and do != "enable":
        raise RequestError("InvalidArgument", visit.pages.texts["errors"]["own_key"])
    if do == "enable":
        key = _find_key(visit, access_key)
        visit.store.put_credential(
            access_key,
            key.secret_key,
            owner=key.owner,
            email=key.email,
            user=None if key.user is None else key.user.name,
        )
        done = "key_enabled"
    elif do == "remove":
        visit.store.delete_credential(access_key)
        done = "key_removed"
    else:
        visit.store.disable_credential(access_key)
        done = "key_disabled"
    user = visit.field("user")
    return visit.go("users", *([user] if user else []), done=done)


def _find_key(visit: Visit, access_key: str) -> Credential:
    for key in visit.store.list_credentials():
        if key.access_key == access_key:
            return key
    raise NoSuchCredential(access_key)
