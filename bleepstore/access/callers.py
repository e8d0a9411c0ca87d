"""Who asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from bleepstore.access.sessions import RoleSession, Session
from bleepstore.model import ANONYMOUS_OWNER, Bucket, Owner, User
from bleepstore.values import statically_frozen

#: The services of Amazon S3 that put objects into buckets of others, by the names that policies know them by: access
#: logs, and all others (inventories, replication).
LOGGING_SERVICE, S3_SERVICE = "logging.s3.amazonaws.com", "s3.amazonaws.com"


@attrs.frozen
class Service:
    """A service of the store itself that asks, on behalf of a bucket whose owner's account `source_account` is."""

    name: str
    source_arn: str
    source_account: str


@statically_frozen
class Caller:
    """An account that asks for something, or one of its users, and what is known of the request: `Caller(owner)` and
    `Caller.of_user(user)` in a program.

    A server makes one for each request. What rules may ask of a request is None where it is not known, and a rule that
    asks for what is not known does not allow. Where a store is called without a caller, the program itself asks.

    `session` is the one whose temporary credentials it has. `source_ip` is the address of the client, `secure` whether
    it came by TLS, `time_ms` when, in milliseconds since the epoch; `user_agent` and `referer` are what it says of
    itself. `region` is the one that the server says it is in. It `pays` for the request where the bucket asks that.
    `request_id` is what the server calls the request, `by_form` whether a browser's form brought the object. `sent`
    gives what its request has under one of the condition keys of S3 that are named after fields and parameters
    ("x-amz-acl", "prefix"), in lower case and without "s3:"; a program
    has none, and the arguments of its call are asked.
    """

    account: Owner
    #: Who of the account, with the policies that count: a user, or who has assumed a role. None: its root.
    user: User | RoleSession | None = attrs.field(default=None, kw_only=True)
    #: Of whom no account asks: the account is that of nobody.
    service: Service | None = attrs.field(default=None, kw_only=True)
    access_key: str | None = attrs.field(default=None, kw_only=True)
    session: Session | None = attrs.field(default=None, kw_only=True)
    source_ip: str | None = attrs.field(default=None, kw_only=True)
    secure: bool | None = attrs.field(default=None, kw_only=True)
    time_ms: int | None = attrs.field(default=None, kw_only=True)
    user_agent: str | None = attrs.field(default=None, kw_only=True)
    referer: str | None = attrs.field(default=None, kw_only=True)
    region: str | None = attrs.field(default=None, kw_only=True)
    pays: bool | None = attrs.field(default=None, kw_only=True)
    request_id: str | None = attrs.field(default=None, kw_only=True)
    by_form: bool = attrs.field(default=False, kw_only=True)
    sent: Callable[[str], str | None] | None = attrs.field(default=None, kw_only=True, eq=False, repr=False)

    @classmethod
    def of_user(cls, user: User | RoleSession, **known: Any) -> Caller:
        """A user that asks, or who has a session of a role."""
        return cls(user.account, user=user, **known)

    @classmethod
    def of_service(cls, name: str, bucket: Bucket, time_ms: int) -> Caller:
        """A service that asks on behalf of a bucket."""
        service = Service(name, f"arn:aws:s3:::{bucket.name}", bucket.owner.id)
        return cls(ANONYMOUS_OWNER, service=service, secure=True, time_ms=time_ms)

    @property
    def principal(self) -> Owner:
        """Who it is: the account, or the user or role, whose id is its ARN."""
        return self.account if self.user is None else Owner(self.user.arn, self.user.name)

    @property
    def creator_id(self) -> str | None:
        """The ARN of the user or the role, in whose quota counts what it makes; None: it is an account."""
        return None if self.user is None else self.user.arn

    @property
    def requester(self) -> str:
        """How logs, events and refusals name it: by the id of its `principal`, a session of a role by its own ARN."""
        return self.user.session_arn if isinstance(self.user, RoleSession) else self.principal.id

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody signed the request."""
        return self.account.id == ANONYMOUS_OWNER.id


#: Who does not say who it is, and nothing else is known of.
ANONYMOUS = Caller(ANONYMOUS_OWNER)
