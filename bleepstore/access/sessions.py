"""Sessions: temporary credentials, which come with a token that says all there is to know of them.

A session is recorded nowhere: its token is sealed by a key of the store, and whoever has the store can open it. It ends
by its time, with the access key that began it, with its role, or when the sessions of one of its `principals` are
revoked: `account:<id>`, `user:<id>`, `role:<id>`.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
from typing import Any

import attrs

from bleepstore.errors import InvalidArgument
from bleepstore.model import Owner

#: Of all sessions ("DurationSeconds", in the API Reference of AWS STS).
MIN_DURATION = dt.timedelta(minutes=15)
#: "You can provide a value from 900 seconds (15 minutes) up to the maximum session duration setting for the role ...
#: between 1 and 12 hours" (AssumeRole).
MAX_ROLE_DURATION = dt.timedelta(hours=12)
#: "range from 900 seconds (15 minutes) to 129,600 seconds (36 hours), with 43,200 seconds (12 hours) as the default.
#: Sessions for AWS account owners are restricted to a maximum of 3,600 seconds (one hour)" (GetSessionToken).
MAX_KEY_DURATION, DEFAULT_KEY_DURATION = dt.timedelta(hours=36), dt.timedelta(hours=12)
MAX_ROOT_DURATION = dt.timedelta(hours=1)
_SECOND_MS = 1000


@attrs.frozen(kw_only=True)
class Session:
    """Temporary credentials of `owner`'s account. Times are milliseconds since the epoch.

    `origin` is the access key that began it, and `origin_proof` tells whether it has the same secret still; None: a
    web identity began it.
    """

    access_key: str
    secret_key: str = attrs.field(repr=False)
    owner: Owner
    issued_ms: int
    expires_ms: int
    principals: tuple[str, ...]
    origin: str | None = None
    origin_proof: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class SessionCredentials:
    """A new session, and the token that must come with its access key."""

    session: Session
    token: str = attrs.field(repr=False)


def new_access_key() -> str:
    """Temporary ones begin with ASIA ("Understanding unique ID prefixes")."""
    return "ASIA" + base64.b32encode(os.urandom(10)).decode()


def new_secret_key() -> str:
    return base64.b64encode(os.urandom(30)).decode()


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
