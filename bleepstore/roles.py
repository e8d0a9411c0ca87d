"""Roles: rights that nobody has for good, and that whom a role trusts can have for the length of a session."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from bleepstore.errors import InvalidArgument
from bleepstore.model import Owner

#: "Names ... consisting of upper and lowercase alphanumeric characters with no spaces. You can also include any of the
#: following characters: _+=,.@-", up to 64 (CreateRole).
_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")
#: "an hour (3600 seconds) by default ... from 1 hour to 12 hours" (MaxSessionDuration of CreateRole).
MIN_MAX_SESSION, MAX_MAX_SESSION = 3600, 43200
#: Longer than any session: one of an access key lasts 36 hours at most (GetSessionToken), a day more for clocks.
MAX_SESSION_MS = 60 * 3600 * 1000
_ARN = re.compile(r"arn:aws:iam::([^:*?]+):role/([A-Za-z0-9_+=,.@-]{1,64})")


@attrs.frozen(kw_only=True)
class Role:
    """A role of an account. `trust_policy` says who may assume it, `policies` (name -> document) what it may do; both
    are JSON in the language of IAM. `id` is its own: a role that is made again under the name has another."""

    name: str
    id: str
    account: Owner
    trust_policy: str
    policies: Mapping[str, str] = attrs.field(factory=dict)
    max_session_seconds: int = MIN_MAX_SESSION
    created_ms: int = 0

    @property
    def arn(self) -> str:
        return role_arn(self.account.id, self.name)


def check_role_name(name: str) -> None:
    """Raise InvalidArgument unless a role may have this name."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument("The name of a role is 1 to 64 letters, digits and characters of _+=,.@-", "name", name)


def key_principal(access_key: str) -> str:
    """The principal of all sessions that this access key has begun."""
    return f"key:{access_key}"


def role_arn(account_id: str, name: str) -> str:
    return f"arn:aws:iam::{account_id}:role/{name}"


def parse_role_arn(arn: str) -> tuple[str, str] | None:
    """(id of the account, name) of `arn:aws:iam::ACCOUNT:role/NAME`; None: it is no such ARN."""
    match = _ARN.fullmatch(arn)
    return None if match is None else (match[1], match[2])
