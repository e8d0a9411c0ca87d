"""Commands on access keys and users."""

from __future__ import annotations

import attrs

from bleepstore.catalog.port import Tables
from bleepstore.catalog.sessions import end_sessions
from bleepstore.commands import (
    CreateUser,
    DeleteCredential,
    DeleteUser,
    DisableCredential,
    Done,
    PutCredential,
    PutRateLimit,
    PutUserPolicy,
    ReplaceSecret,
    Result,
)
from bleepstore.errors import (
    NoSuchCredential,
    NoSuchUser,
    NoSuchUserPolicy,
    OperationAborted,
    TooManyUserPolicies,
    UserAlreadyExists,
)
from bleepstore.model import MAX_USER_POLICIES, User
from bleepstore.quotas import QuotaScope
from bleepstore.roles import key_principal


def put_credential(tables: Tables, command: PutCredential) -> Result:
    """A new access key, or a new secret, owner and user for a known one, which this also enables."""
    if command.user is not None:
        user = tables.find_user(command.owner.id, command.user)
        if user is None:
            return NoSuchUser(command.owner.id, command.user)
        command = attrs.evolve(command, user=user.name)
    tables.remember_owner(command.owner)
    tables.put_credential(command)
    return Done()


def put_rate_limit(tables: Tables, command: PutRateLimit) -> Result:
    tables.put_rate_limit(command.scope, command.name, command.rate)
    return Done()


def disable_credential(tables: Tables, command: DisableCredential) -> Result:
    if not tables.disable_credential(command.access_key):
        return NoSuchCredential(command.access_key)
    end_sessions(tables, key_principal(command.access_key), command.time_ms, command.time_ms)
    return Done()


def delete_credential(tables: Tables, command: DeleteCredential) -> Result:
    if not tables.delete_credential(command.access_key):
        return NoSuchCredential(command.access_key)
    end_sessions(tables, key_principal(command.access_key), command.time_ms, command.time_ms)
    return Done()


def replace_secret(tables: Tables, command: ReplaceSecret) -> Result:
    replaced = tables.replace_secret(command.access_key, command.expected, command.secret_key, command.sealed_by)
    return Done() if replaced else OperationAborted()


def create_user(tables: Tables, command: CreateUser) -> Result:
    if tables.find_user(command.account.id, command.name) is not None:
        return UserAlreadyExists(command.account.id, command.name)
    tables.remember_owner(command.account)
    tables.put_user(
        User(
            account=command.account,
            name=command.name,
            id=command.user_id,
            path=command.path,
            created_ms=command.time_ms,
        )
    )
    return Done()


def delete_user(tables: Tables, command: DeleteUser) -> Result:
    user = tables.find_user(command.account_id, command.name)
    if user is None:
        return NoSuchUser(command.account_id, command.name)
    for access_key in tables.delete_user(user):
        end_sessions(tables, key_principal(access_key), command.time_ms, command.time_ms)
    tables.put_quota(QuotaScope.USER, user.arn, None)
    return Done()


def put_user_policy(tables: Tables, command: PutUserPolicy) -> Result:
    user = tables.find_user(command.account_id, command.user)
    if user is None:
        return NoSuchUser(command.account_id, command.user)
    policies = dict(user.policies)
    if command.document is not None:
        policies[command.policy] = command.document
        if len(policies) > MAX_USER_POLICIES:
            return TooManyUserPolicies(MAX_USER_POLICIES)
    elif policies.pop(command.policy, None) is None:
        return NoSuchUserPolicy(command.account_id, user.name, command.policy)
    tables.put_user(attrs.evolve(user, policies=policies))
    return Done()
