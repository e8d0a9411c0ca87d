"""What a file declares that a store has: accounts, users, keys, roles and buckets, with what they are set to.

`apply` makes it so, as often as it is called. What the file does not name is neither changed nor removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from bleepstore import Caller, CannedPolicy, Owner, Quota, QuotaScope, Store, Versioning
from bleepstore.cors import CorsRule
from bleepstore.encryption import BucketEncryption
from bleepstore.errors import BleepStoreError, NoSuchBucket, NoSuchUser
from bleepstore.object_lock import ObjectLock
from bleepstore.ownership import ObjectOwnership, PublicAccessBlock
from bleepstore.rates import Rate
from bleepstore.roles import MIN_MAX_SESSION
from bleepstore_server.app_config import ConfigError
from bleepstore_server.config import clean_secret, read_secret_file
from bleepstore_server.shapes import WrongShape, structured

#: A document in a language of its own, such as a policy.
Document = dict[str, Any]


@attrs.frozen(kw_only=True)
class DeclaredAccount:
    """How much the keys of an account may do together."""

    id: str
    quota: Quota | None = None
    rate: Rate | None = None


@attrs.frozen(kw_only=True)
class Canned:
    """A policy that need not be written. `on` are `bucket` or `bucket/prefix`; without, it is for all buckets."""

    policy: CannedPolicy
    on: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class DeclaredUser:
    """A user of an account, or of the store's owner. `policies` are documents by their names, `quota` is what it may
    store in the buckets of its account."""

    name: str
    account: str | None = None
    path: str = "/"
    canned: tuple[Canned, ...] = ()
    policies: dict[str, Document] = attrs.field(factory=dict)
    quota: Quota | None = None


@attrs.frozen(kw_only=True)
class DeclaredKey:
    """An access key, whose secret is in a file (beside this one, unless the path is absolute), in a variable of the
    environment, or here."""

    access_key: str
    secret_file: str | None = None
    secret_env: str | None = None
    secret: str | None = attrs.field(default=None, repr=False)
    account: str | None = None
    display_name: str = ""
    email: str | None = None
    user: str | None = None
    rate: Rate | None = None


@attrs.frozen(kw_only=True)
class DeclaredRole:
    """A role of an account, or of the store's owner."""

    name: str
    trust_policy: Document
    account: str | None = None
    policies: dict[str, Document] = attrs.field(factory=dict)
    max_session_seconds: int = MIN_MAX_SESSION


@attrs.frozen(kw_only=True)
class DeclaredBucket:
    """A bucket, which belongs to an account, or to the store's owner. What is not given stays as it is."""

    name: str
    account: str | None = None
    object_lock: bool = False
    versioning: Versioning | None = None
    ownership: ObjectOwnership | None = None
    public_access_block: PublicAccessBlock | None = None
    encryption: BucketEncryption | None = None
    policy: Document | None = None
    cors: tuple[CorsRule, ...] | None = None
    tags: dict[str, str] | None = None
    quota: Quota | None = None


@attrs.frozen(kw_only=True)
class Declaration:
    """All that a file declares."""

    accounts: tuple[DeclaredAccount, ...] = ()
    users: tuple[DeclaredUser, ...] = ()
    keys: tuple[DeclaredKey, ...] = ()
    roles: tuple[DeclaredRole, ...] = ()
    buckets: tuple[DeclaredBucket, ...] = ()


def read_declaration(path: Path) -> Declaration:
    """The declaration in a file, TOML or JSON by its name. Raises ConfigError."""
    loads = {".toml": tomllib.loads, ".json": json.loads}.get(path.suffix)
    if loads is None:
        raise ConfigError(f"init: {path}: the name of the file has to end in .toml or .json")
    try:
        value = loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"init: {path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"init: {path} is no {path.suffix[1:].upper()}: {error}") from None
    try:
        return structured(value, Declaration)
    except WrongShape as error:
        raise ConfigError(f"init: {path}: {error}") from None


def apply(store: Store, declared: Declaration, path: Path) -> None:
    """Make the store have what the file at `path` declares, users before the policies that name them.

    Raises ConfigError, which names what could not be made so; what comes before it was.
    """
    for user in declared.users:
        with _told(path, "user", user.name):
            _apply_user(store, user)
    for key in declared.keys:
        with _told(path, "key", key.access_key):
            _apply_key(store, key, path)
    for role in declared.roles:
        with _told(path, "role", role.name):
            store.put_role(
                role.name,
                _text(role.trust_policy),
                {name: _text(policy) for name, policy in role.policies.items()},
                account=_owner(role.account),
                max_session_seconds=role.max_session_seconds,
            )
    for account in declared.accounts:
        with _told(path, "account", account.id):
            _apply_limits(store, account)
    for bucket in declared.buckets:
        with _told(path, "bucket", bucket.name):
            _apply_bucket(store, bucket)


@contextlib.contextmanager
def _told(path: Path, kind: str, name: str) -> Iterator[None]:
    try:
        yield
    except BleepStoreError as error:
        raise ConfigError(f"init: {path}: the {kind} {name}: {error}") from error


def _owner(account: str | None, display_name: str = "") -> Owner | None:
    return None if account is None else Owner(account, display_name)


def _text(document: Document) -> str:
    return json.dumps(document, indent=2, default=str)  # TOML has times


def _apply_user(store: Store, user: DeclaredUser) -> None:
    account = _owner(user.account)
    try:
        known = store.users.get(user.name, account=account)
    except NoSuchUser:
        known = store.users.add(user.name, path=user.path, account=account)
    policies = {canned.policy.value: canned.policy.document(canned.on) for canned in user.canned}
    policies |= {name: _text(policy) for name, policy in user.policies.items()}
    for name, text in policies.items():
        if known.policies.get(name) != text:
            store.users.put_policy(user.name, name, text, account=account)
    if user.quota is not None:
        _put_quota(store, user.quota, QuotaScope.USER, known.arn)


def _apply_key(store: Store, key: DeclaredKey, path: Path) -> None:
    secret = _secret(key, path)
    known = next((known for known in store.list_credentials() if known.access_key == key.access_key), None)
    owner = _owner(key.account, key.display_name) or store.owner
    user = None if known is None or known.user is None else known.user.name
    # One that was disabled stays so: whoever did that knows more than a file.
    if known is None or (known.secret_key, known.owner, known.email, user) != (secret, owner, key.email, key.user):
        store.put_credential(key.access_key, secret, owner=owner, email=key.email, user=key.user)
        if known is not None and not known.enabled:
            store.disable_credential(key.access_key)
    if key.rate is not None:
        store.put_rate_limit(access_key=key.access_key, max_requests=key.rate.requests, max_bytes=key.rate.bytes)


def _secret(key: DeclaredKey, path: Path) -> str:
    given = [value for value in (key.secret_file, key.secret_env, key.secret) if value is not None]
    if len(given) != 1:
        raise ConfigError("give one of secret_file, secret_env, secret")
    if key.secret_file is not None:
        return read_secret_file(str(path.parent / key.secret_file), "secret_file")
    if key.secret_env is not None:
        if key.secret_env not in os.environ:
            raise ConfigError(f"secret_env: the environment has no {key.secret_env}")
        return clean_secret(os.environ[key.secret_env], f"secret_env {key.secret_env}")
    return clean_secret(key.secret or "", "secret")


def _apply_limits(store: Store, account: DeclaredAccount) -> None:
    quota, rate = account.quota, account.rate
    if quota is not None:
        _put_quota(store, quota, QuotaScope.ACCOUNT, account.id)
    if rate is not None:
        store.put_rate_limit(account=account.id, max_requests=rate.requests, max_bytes=rate.bytes)


def _put_quota(store: Store, quota: Quota, scope: QuotaScope, name: str) -> None:
    known = {counted.name: counted.quota for counted in store.list_quotas() if counted.scope is scope}
    if known.get(name) != quota:  # to put it counts all anew
        store.put_quota(**{scope.value: name}, max_bytes=quota.max_bytes, max_objects=quota.max_objects)


def make_bucket(store: Store, name: str, account: str | None = None, *, object_lock: bool = False) -> None:
    """Create a bucket unless it is there. Raises ConfigError if it is another account's."""
    owner = _owner(account) or store.owner
    try:
        found = store.get_bucket(name)
    except NoSuchBucket:
        store.create_bucket(name, object_lock=object_lock, caller=None if account is None else Caller(owner))
        return
    if found.owner.id != owner.id:
        raise ConfigError(f"it is there, and belongs to {found.owner.id}")


def _apply_bucket(store: Store, bucket: DeclaredBucket) -> None:
    name = bucket.name
    make_bucket(store, name, bucket.account, object_lock=bucket.object_lock)
    settings = store.get_bucket(name).settings
    if bucket.object_lock and settings.object_lock is None:
        store.put_bucket_object_lock(name, ObjectLock())
    if bucket.versioning is not None and store.get_bucket_versioning(name) != bucket.versioning:
        store.put_bucket_versioning(name, bucket.versioning)
    block = bucket.public_access_block
    if block is not None and settings.public_access_block != block:
        store.put_public_access_block(name, block)
    if bucket.ownership is not None and settings.ownership != bucket.ownership:
        store.put_bucket_ownership(name, bucket.ownership)
    if bucket.encryption is not None and settings.encryption != bucket.encryption:
        store.put_bucket_encryption(name, bucket.encryption)
    if bucket.cors is not None and settings.cors != bucket.cors:
        store.put_bucket_cors(name, bucket.cors)
    if bucket.tags is not None and settings.tags != bucket.tags:
        store.put_bucket_tags(name, bucket.tags)
    if bucket.policy is not None:
        store.put_bucket_policy(name, _text(bucket.policy))
    if bucket.quota is not None:
        _put_quota(store, bucket.quota, QuotaScope.BUCKET, name)
