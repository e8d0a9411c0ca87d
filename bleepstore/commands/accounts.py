"""Commands on access keys, users, roles and sessions, and on what they may use."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from bleepstore.commands.change import Change
from bleepstore.model import (
    Owner,
)
from bleepstore.quotas import Quota, QuotaScope
from bleepstore.rates import Rate, RateScope


@attrs.frozen(kw_only=True)
class PutCredential(Change):
    request_id: str
    time_ms: int
    access_key: str
    secret_key: str = attrs.field(repr=False)
    owner: Owner
    email: str | None = None
    #: The name of one of the owner's users; None: it is a key of the account itself.
    user: str | None = None
    #: See `Credential`.
    sealed_by: str | None = None


@attrs.frozen(kw_only=True)
class DisableCredential(Change):
    frees_space = True

    request_id: str
    time_ms: int
    access_key: str


@attrs.frozen(kw_only=True)
class PutRateLimit(Change):
    """Replace the rate of an access key or of an account, by its id, or remove it, if `rate` is None."""

    request_id: str
    time_ms: int
    scope: RateScope
    name: str
    rate: Rate | None


@attrs.frozen(kw_only=True)
class DeleteCredential(Change):
    frees_space = True

    request_id: str
    time_ms: int
    access_key: str


@attrs.frozen(kw_only=True)
class ReplaceSecret(Change):
    """The same secret of an access key, stored in another way, if it is still stored as `expected`."""

    request_id: str
    time_ms: int
    access_key: str
    expected: str = attrs.field(repr=False)
    secret_key: str = attrs.field(repr=False)
    sealed_by: str | None


@attrs.frozen(kw_only=True)
class CreateUser(Change):
    """A user without policies. Of one account no two have names that differ in case alone."""

    request_id: str
    time_ms: int
    account: Owner
    name: str
    path: str
    user_id: str


@attrs.frozen(kw_only=True)
class DeleteUser(Change):
    """With its policies and its access keys."""

    frees_space = True

    request_id: str
    time_ms: int
    account_id: str
    name: str


@attrs.frozen(kw_only=True)
class PutUserPolicy(Change):
    """A policy of a user, instead of what it has under this name; None: nothing instead."""

    request_id: str
    time_ms: int
    account_id: str
    user: str
    policy: str
    document: str | None

    @property
    def frees_space(self) -> bool:  # type: ignore[override]  # it depends on the fields
        return self.document is None


@attrs.frozen(kw_only=True)
class PutQuota(Change):
    """Replace the quota of what `bleepstore.quotas.CountedQuota` names so, or remove it, if `quota` is None. What is
    stored is counted."""

    request_id: str
    time_ms: int
    scope: QuotaScope
    name: str
    quota: Quota | None

    @property
    def frees_space(self) -> bool:  # type: ignore[override]  # it depends on the fields
        return self.quota is None


@attrs.frozen(kw_only=True)
class RecountUsage(Change):
    """Count anew what all quotas count."""

    request_id: str
    time_ms: int


@attrs.frozen(kw_only=True)
class PutRole(Change):
    """A new role of an account, or other documents for a known one, which keeps its id."""

    request_id: str
    time_ms: int
    name: str
    role_id: str
    account: Owner
    trust_policy: str
    policies: Mapping[str, str]
    max_session_seconds: int


@attrs.frozen(kw_only=True)
class DeleteRole(Change):
    frees_space = True

    request_id: str
    time_ms: int
    account_id: str
    name: str


@attrs.frozen(kw_only=True)
class PutSessionKey(Change):
    """The key that seals the tokens of sessions, 32 bytes as base64; if `sealed_by` is not None, encrypted by this
    master key. It replaces the key that is stored as `expected`; None: if there is none. Else nothing changes."""

    request_id: str
    time_ms: int
    key: str = attrs.field(repr=False)
    sealed_by: str | None = None
    expected: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class RevokeSessions(Change):
    """Sessions of `principal` (see `bleepstore.access.sessions`) end that began at `until_ms` or before."""

    frees_space = True

    request_id: str
    time_ms: int
    principal: str
    until_ms: int
