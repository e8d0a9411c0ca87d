"""How fast keys and accounts may ask a server. The store keeps it; a server heeds it."""

from __future__ import annotations

from bleepstore.commands import PutRateLimit
from bleepstore.errors import InvalidArgument
from bleepstore.rates import Rate, RateLimit, RateScope
from bleepstore.store.accounts import Accounts
from bleepstore.store.engine import Engine

#: A thousand million requests, or bytes, a second are no limit any more, and let the server count in nanoseconds.
_MAX_REQUESTS = 10**9
_MAX_BYTES = 10**15


class Rates:
    """The rates of a store's keys and accounts."""

    def __init__(self, engine: Engine, accounts: Accounts) -> None:
        self._engine = engine
        self._accounts = accounts

    def put_rate_limit(
        self,
        *,
        access_key: str | None = None,
        account: str | None = None,
        max_requests: int | None = None,
        max_bytes: int | None = None,
    ) -> None:
        """Limit the requests in a second, and the bytes of bodies sent and received, of an access key, or of all keys
        of an account together, by its id, instead of the limit that it has. Servers heed it within a second: they
        refuse what is too fast with SlowDown. Calls of this API are not counted.

        Raises InvalidArgument.
        """
        scope, name = _scope_of(access_key, account)
        for argument, limit, most in (
            ("max_requests", max_requests, _MAX_REQUESTS),
            ("max_bytes", max_bytes, _MAX_BYTES),
        ):
            if limit is not None and not 1 <= limit <= most:
                raise InvalidArgument(f"A rate is between 1 and {most}.", argument, str(limit))
        if max_requests is None and max_bytes is None:
            raise InvalidArgument("A rate limits requests or bytes.", "max_requests")
        self._submit(scope, name, Rate(requests=max_requests, bytes=max_bytes))

    def delete_rate_limit(self, *, access_key: str | None = None, account: str | None = None) -> None:
        """Limit the rate of a key, or of an account, no more. Raises InvalidArgument."""
        scope, name = _scope_of(access_key, account)
        self._submit(scope, name, None)

    def _submit(self, scope: RateScope, name: str, rate: Rate | None) -> None:
        self._engine.submit(PutRateLimit(**self._engine.stamp(), scope=scope, name=name, rate=rate))
        self._accounts.forget_remembered()

    def list_rate_limits(self) -> list[RateLimit]:
        """All, those of accounts first."""
        self._engine.committer.read_barrier()
        with self._engine.catalog.read() as reader:
            return reader.list_rate_limits()


def _scope_of(access_key: str | None, account: str | None) -> tuple[RateScope, str]:
    if (access_key is None) == (account is None):
        raise InvalidArgument("A rate is either of an access key or of an account.", "access_key", access_key)
    if not (name := access_key or account):
        raise InvalidArgument("An access key, and the id of an account, is not empty.", "access_key", name)
    return (RateScope.ACCOUNT if access_key is None else RateScope.KEY), name
