"""Who asks."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from bleepstore.model import ANONYMOUS_OWNER, Owner


@attrs.frozen
class Caller:
    """An account that asks for something, and what is known of its request: `Caller(owner)` in a program.

    A server makes one for each request. What rules may ask of a request is None where it is not known, and a rule that
    asks for what is not known does not allow. Where a store is called without a caller, the program itself asks.

    `source_ip` is the address of the client, `secure` whether it came by TLS, `time_ms` when, in milliseconds since the
    epoch; `user_agent` and `referer` are what it says of itself. It `pays` for the request where the bucket asks that.
    `sent` gives what its request has under one of the condition keys of S3 that are named after fields and parameters
    ("x-amz-acl", "prefix"), in lower case and without "s3:"; a program has none, and the arguments of its call are
    asked. `request_id` is what the server calls the request, `by_form` whether a browser's form brought the object.
    """

    account: Owner
    access_key: str | None = attrs.field(default=None, kw_only=True)
    source_ip: str | None = attrs.field(default=None, kw_only=True)
    secure: bool | None = attrs.field(default=None, kw_only=True)
    time_ms: int | None = attrs.field(default=None, kw_only=True)
    user_agent: str | None = attrs.field(default=None, kw_only=True)
    referer: str | None = attrs.field(default=None, kw_only=True)
    pays: bool | None = attrs.field(default=None, kw_only=True)
    request_id: str | None = attrs.field(default=None, kw_only=True)
    by_form: bool = attrs.field(default=False, kw_only=True)
    sent: Callable[[str], str | None] | None = attrs.field(default=None, kw_only=True, eq=False, repr=False)

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody signed the request."""
        return self.account.id == ANONYMOUS_OWNER.id


#: Who does not say who it is, and nothing else is known of.
ANONYMOUS = Caller(ANONYMOUS_OWNER)
