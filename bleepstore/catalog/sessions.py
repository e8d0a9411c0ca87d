"""Commands on roles, and on the sessions of whoever has them."""

from __future__ import annotations

from bleepstore.catalog.port import Tables
from bleepstore.commands import DeleteRole, Done, PutRole, PutSessionKey, Result, RevokeSessions
from bleepstore.errors import NoSuchRole
from bleepstore.quotas import QuotaScope
from bleepstore.roles import MAX_SESSION_MS, role_arn


def put_role(tables: Tables, command: PutRole) -> Result:
    """A new role, or other documents for a known one."""
    tables.remember_owner(command.account)
    tables.put_role(command)
    return Done()


def delete_role(tables: Tables, command: DeleteRole) -> Result:
    """Its sessions end with it: the next role of this name has another id."""
    if not tables.delete_role(command.account_id, command.name):
        return NoSuchRole(command.name)
    tables.put_quota(QuotaScope.USER, role_arn(command.account_id, command.name), None)
    return Done()


def put_session_key(tables: Tables, command: PutSessionKey) -> Result:
    """Of several that are made at once the first stays: what it sealed must be opened."""
    tables.put_session_key(command.key, command.sealed_by, command.expected)
    return Done()


def revoke_sessions(tables: Tables, command: RevokeSessions) -> Result:
    """What was revoked so long ago that no session of then can go on is forgotten."""
    tables.forget_revocations(command.time_ms - MAX_SESSION_MS)
    tables.revoke_sessions(command.principal, command.until_ms)
    return Done()
