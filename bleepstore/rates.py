"""How fast an access key, or an account with all its keys, may ask a server."""

from __future__ import annotations

import enum

import attrs


class RateScope(enum.StrEnum):
    """Whose requests are counted together."""

    ACCOUNT = "account"
    KEY = "key"


@attrs.frozen(kw_only=True)
class Rate:
    """At most so many requests, and so many bytes of bodies in both directions, in a second; None: any number."""

    requests: int | None = None
    bytes: int | None = None


@attrs.frozen(kw_only=True)
class RateLimit:
    """The rate of an access key, or of an account, by its id. `slot` is a small number of its own, by which the
    processes of a server count together."""

    slot: int
    scope: RateScope
    name: str
    rate: Rate
