"""The settings of a bucket: a form for each, or its document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import attrs
from werkzeug.exceptions import NotFound as NoSuchPage
from werkzeug.wrappers import Response

from bleepstore.access import ANONYMOUS, Action, Caller, Explanation
from bleepstore.encryption import BucketEncryption, EncryptionKind
from bleepstore.errors import AccessDenied, MethodNotAllowed, NotFound
from bleepstore.model import Versioning
from bleepstore.object_lock import DefaultRetention, ObjectLock, RetentionMode
from bleepstore.ownership import ObjectOwnership, PublicAccessBlock
from bleepstore.quotas import CountedQuota, QuotaScope
from bleepstore.store import Store
from bleepstore_server.console.documents import BY_NAME, DOCUMENTS
from bleepstore_server.console.forms import line_of, pairs_of
from bleepstore_server.console.visit import Visit
from bleepstore_server.wire.errors import RequestError

_Value = TypeVar("_Value")
BLOCKS = tuple(field.name for field in attrs.fields(PublicAccessBlock))


@attrs.frozen(kw_only=True)
class Setting:
    """What a bucket has of a setting: `value` is None if it has none. `is_hidden`: the caller may not see it."""

    value: object = None
    is_hidden: bool = False


def _read(read: Callable[[], object]) -> Setting:
    try:
        return Setting(value=read())
    except NotFound:
        return Setting()
    except (AccessDenied, MethodNotAllowed):
        return Setting(is_hidden=True)


def show_settings(visit: Visit, bucket: str, section: str | None = None) -> Response:
    store, caller = visit.store, visit.caller
    store.head_bucket(bucket, caller=caller)

    def get(method: Callable[..., object]) -> Setting:
        return _read(lambda: method(store, bucket, caller=caller))

    return visit.page(
        "settings.html",
        bucket=bucket,
        failed=section,
        line_of=line_of,
        versioning=get(Store.get_bucket_versioning),
        encryption=get(Store.get_bucket_encryption),
        ownership=get(Store.get_bucket_ownership),
        block=get(Store.get_public_access_block),
        lock=get(Store.get_bucket_object_lock),
        tags=get(Store.get_bucket_tags),
        documents=[(one, _read(lambda one=one: one.read(visit, bucket))) for one in DOCUMENTS],  # type: ignore[misc]
        quota=_quota_of(visit, bucket) if visit.is_administrator else None,
        blocks=BLOCKS,
        ownerships=list(ObjectOwnership),
        modes=list(RetentionMode),
        actions=_ACTIONS,
        explanation=_explanation(visit, bucket),
        may_explain=visit.may(Action.GET_BUCKET_POLICY, bucket),
    )


def put_setting(visit: Visit, bucket: str, section: str) -> Response:
    function = _FORMS.get(section)
    if section in BY_NAME:
        _put_document(visit, bucket, section)
    elif function is not None:
        function(visit, bucket)
    else:
        raise NoSuchPage
    done = "settings_removed" if _removes(visit) else "settings_saved"
    return Response(
        status=303, headers=[("Location", f"{visit.url('buckets', bucket, 'settings', done=done)}#{section}")]
    )


def _removes(visit: Visit) -> bool:
    return visit.field("do") == "remove"


def _put_document(visit: Visit, bucket: str, name: str) -> None:
    document = BY_NAME[name]
    if _removes(visit):
        document.remove(visit, bucket)
    else:
        document.write(visit, bucket, visit.field("document"))


# -- forms


def _put_versioning(visit: Visit, bucket: str) -> None:
    versioning = _choice(visit, Versioning, "versioning")
    visit.store.put_bucket_versioning(bucket, versioning, caller=visit.caller)


def _put_encryption(visit: Visit, bucket: str) -> None:
    kind = visit.field("encryption")
    if kind == "none":
        visit.store.delete_bucket_encryption(bucket, caller=visit.caller)
        return
    key_id = visit.field("key_id").strip() or None
    encryption = BucketEncryption()
    if kind == EncryptionKind.NAMED:
        encryption = BucketEncryption(kind=EncryptionKind.NAMED, key_id=key_id)
    visit.store.put_bucket_encryption(bucket, encryption, caller=visit.caller)


def _put_ownership(visit: Visit, bucket: str) -> None:
    if _removes(visit):
        visit.store.delete_bucket_ownership(bucket, caller=visit.caller)
    else:
        visit.store.put_bucket_ownership(bucket, _choice(visit, ObjectOwnership, "ownership"), caller=visit.caller)


def _put_block(visit: Visit, bucket: str) -> None:
    block = PublicAccessBlock(**{name: visit.field(name) == "on" for name in BLOCKS})
    visit.store.put_public_access_block(bucket, block, caller=visit.caller)


def _put_lock(visit: Visit, bucket: str) -> None:
    days = visit.number("days")
    default = None if days is None else DefaultRetention(_choice(visit, RetentionMode, "mode"), days=days)
    visit.store.put_bucket_object_lock(bucket, ObjectLock(default), caller=visit.caller)


def _put_tags(visit: Visit, bucket: str) -> None:
    visit.store.put_bucket_tags(bucket, pairs_of(visit, visit.field("tags")), caller=visit.caller)


def _put_quota(visit: Visit, bucket: str) -> None:
    visit.check_administrator()
    if _removes(visit):
        visit.store.delete_quota(bucket=bucket)
    else:
        visit.store.put_quota(
            bucket=bucket, max_bytes=visit.number("max_bytes"), max_objects=visit.number("max_objects")
        )


_FORMS: Mapping[str, Callable[[Visit, str], None]] = {
    "versioning": _put_versioning,
    "encryption": _put_encryption,
    "ownership": _put_ownership,
    "block": _put_block,
    "lock": _put_lock,
    "tags": _put_tags,
    "quota": _put_quota,
}


def _choice(visit: Visit, kind: Callable[[str], _Value], name: str) -> _Value:
    try:
        return kind(visit.field(name))
    except ValueError:
        raise RequestError("InvalidArgument", visit.pages.texts["errors"]["choice"].format(name=name)) from None


def _quota_of(visit: Visit, bucket: str) -> CountedQuota | None:
    for counted in visit.store.list_quotas():
        if counted.scope is QuotaScope.BUCKET and counted.name == bucket:
            return counted
    return None


# -- why something is allowed or denied

#: What is asked most often first; then all others.
_OFTEN = (Action.GET_OBJECT, Action.PUT_OBJECT, Action.DELETE_OBJECT, Action.LIST_BUCKET)
_ACTIONS = tuple(dict.fromkeys([*_OFTEN, *Action]))


def _explanation(visit: Visit, bucket: str) -> Explanation | None:
    """Of a question in the address: an action, a key, and who. Who may read the policy may ask what it does for itself
    and for everybody; what users' own policies say is for the administrator."""
    action = visit.argument("action")
    if action not in {one.value for one in Action}:
        return None
    visit.store.check_access(Action.GET_BUCKET_POLICY, bucket, caller=visit.caller)
    who, name = visit.argument("who"), visit.argument("user").strip()
    caller = ANONYMOUS if who == "anybody" else visit.caller
    if who == "user":
        visit.check_administrator()
        caller = Caller.of_user(visit.store.users.get(name))
    return visit.store.explain_access(Action(action), bucket, visit.argument("key"), caller=caller)
