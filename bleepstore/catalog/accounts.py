"""Commands on access keys."""

from __future__ import annotations

from bleepstore.catalog.port import Tables
from bleepstore.commands import DisableCredential, Done, PutCredential, PutRateLimit, Result
from bleepstore.errors import NoSuchCredential


def put_credential(tables: Tables, command: PutCredential) -> Result:
    """A new access key, or a new secret and owner for a known one, which this also enables."""
    tables.remember_owner(command.owner)
    tables.put_credential(command)
    return Done()


def put_rate_limit(tables: Tables, command: PutRateLimit) -> Result:
    tables.put_rate_limit(command.scope, command.name, command.rate)
    return Done()


def disable_credential(tables: Tables, command: DisableCredential) -> Result:
    return Done() if tables.disable_credential(command.access_key) else NoSuchCredential(command.access_key)
