"""Sessions: temporary credentials, which come with a token that says all there is to know of them.

A session is recorded nowhere: its token is sealed by a key of the store, and whoever has the store can open it. It ends
by its time, with the access key that began it, with its role, or when the sessions of one of its `principals` are
revoked: `account:<id>`, `user:<id>`, `role:<id>`, and `key:<access key>`, by which those end for good that were begun
before a key was disabled or removed.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import re
from collections.abc import Mapping
from typing import Any

import attrs

from bleepstore.errors import InvalidArgument
from bleepstore.model import Credential, Owner, User
from bleepstore.rates import RateLimit
from bleepstore.roles import Role

#: Of all sessions ("DurationSeconds", in the API Reference of AWS STS).
MIN_DURATION = dt.timedelta(minutes=15)
#: "You can provide a value from 900 seconds (15 minutes) up to the maximum session duration setting for the role ...
#: between 1 and 12 hours" (AssumeRole).
MAX_ROLE_DURATION = dt.timedelta(hours=12)
#: "range from 900 seconds (15 minutes) to 129,600 seconds (36 hours), with 43,200 seconds (12 hours) as the default.
#: Sessions for AWS account owners are restricted to a maximum of 3,600 seconds (one hour)" (GetSessionToken).
MAX_KEY_DURATION, DEFAULT_KEY_DURATION = dt.timedelta(hours=36), dt.timedelta(hours=12)
MAX_ROOT_DURATION = dt.timedelta(hours=1)
#: "Role chaining limits your ... role session to a maximum of one hour" (AssumeRole).
MAX_CHAINED_DURATION = dt.timedelta(hours=1)
DEFAULT_ROLE_DURATION = dt.timedelta(hours=1)
_SECOND_MS = 1000
#: RoleSessionName: "Length Constraints: Minimum length of 2. Maximum length of 64. Pattern: [\w+=,.@-]*".
_SESSION_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
#: "The plaintext that you use for both inline and managed session policies can't exceed 2,048 characters."
MAX_SESSION_POLICY = 2048


@attrs.frozen(kw_only=True)
class Session:
    """Temporary credentials of `owner`'s account. Times are milliseconds since the epoch.

    `origin` is the access key that began it, and `origin_proof` tells whether it has the same secret still; None: a
    web identity began it. Of a session of a role, `role` and `role_id` are that role, and `name` is its own; `policy`,
    JSON in the language of IAM, leaves it no more than it allows.
    """

    access_key: str
    secret_key: str = attrs.field(repr=False)
    owner: Owner
    issued_ms: int
    expires_ms: int
    principals: tuple[str, ...]
    origin: str | None = None
    origin_proof: str | None = attrs.field(default=None, repr=False)
    role: str | None = None
    role_id: str | None = None
    name: str | None = None
    policy: str | None = None


@attrs.frozen
class RoleSession:
    """Who has a session of a role: as a user, with the policies of the role, within that of the session."""

    role: Role
    session_name: str
    policy: str | None = None
    #: How policies name it, and whose the uploads are that it begins, which another session of the role may go on with.
    arn: str = attrs.field(init=False)

    @arn.default
    def _arn(self) -> str:
        return self.role.arn

    @property
    def account(self) -> Owner:
        return self.role.account

    @property
    def name(self) -> str:
        return self.role.name

    @property
    def id(self) -> str:
        """ "AROA...:session" ("Principal key values")."""
        return f"{self.role.id}:{self.session_name}"

    @property
    def policies(self) -> Mapping[str, str]:
        return self.role.policies

    @property
    def session_arn(self) -> str:
        return f"arn:aws:sts::{self.role.account.id}:assumed-role/{self.role.name}/{self.session_name}"


@attrs.frozen
class WebIdentity:
    """Who an OpenID Connect provider says somebody is, once that is verified. `issuer` is its URL, `audience` the one
    of those of the token that this store was configured with."""

    issuer: str
    audience: str
    subject: str

    @property
    def provider(self) -> str:
        """How policies name the issuer: its URL without the scheme."""
        return provider_of(self.issuer)


def provider_of(issuer: str) -> str:
    return issuer.partition("://")[2].rstrip("/")


@attrs.frozen
class SessionCredentials:
    """A new session, and the token that must come with its access key."""

    session: Session
    token: str = attrs.field(repr=False)


@attrs.frozen
class LiveSession:
    """A session that has not ended. `origin` is the access key that began it, `role` the one that it is of, both as
    they are now."""

    session: Session
    origin: Credential | None = None
    role: Role | None = None
    #: Those of the key that began it, or of the account whose role it is.
    rate_limits: tuple[RateLimit, ...] = ()

    @property
    def access_key(self) -> str:
        return self.session.access_key

    @property
    def secret_key(self) -> str:
        return self.session.secret_key

    @property
    def owner(self) -> Owner:
        return self.session.owner

    @property
    def user(self) -> User | RoleSession | None:
        """Whose rights it has, with the policies that count now; None: those of its account."""
        if self.role is not None and self.session.name is not None:
            return RoleSession(self.role, self.session.name, self.session.policy)
        return None if self.origin is None else self.origin.user


def new_access_key() -> str:
    """Temporary ones begin with ASIA ("Understanding unique ID prefixes")."""
    return "ASIA" + base64.b32encode(os.urandom(10)).decode()


def new_secret_key() -> str:
    return base64.b64encode(os.urandom(30)).decode()


def check_session_name(name: str) -> None:
    """Raise InvalidArgument unless a session of a role may have this name."""
    if not _SESSION_NAME.fullmatch(name):
        raise InvalidArgument(
            "The name of a session is 2 to 64 letters, digits and characters of _+=,.@-", "session_name", name
        )


def check_duration(duration: dt.timedelta, longest: dt.timedelta) -> dt.timedelta:
    """Raise InvalidArgument for one that no session may have."""
    if not MIN_DURATION <= duration <= longest:
        least, most = (int(limit.total_seconds()) for limit in (MIN_DURATION, longest))
        raise InvalidArgument(
            f"A session lasts {least} to {most} seconds.", "duration", str(int(duration.total_seconds()))
        )
    return duration


def lifetime_of(now_ms: int, duration: dt.timedelta) -> tuple[int, int]:
    """When a session that begins now was issued and expires: to the second, as it is shown."""
    expires_ms = now_ms + duration // dt.timedelta(milliseconds=1)
    return now_ms, expires_ms - expires_ms % _SECOND_MS


def write_session(session: Session) -> bytes:
    """What a token of the session has in it."""
    fields = attrs.asdict(session, filter=lambda _, value: value is not None)
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def read_session(data: bytes) -> Session:
    """The session of `write_session`."""
    fields: dict[str, Any] = json.loads(data)
    owner, principals = Owner(**fields.pop("owner")), tuple(fields.pop("principals"))
    return Session(owner=owner, principals=principals, **fields)
