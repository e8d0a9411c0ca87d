"""Which statement of a policy decides ("Policy evaluation logic"): one that denies, before one that allows."""

from __future__ import annotations

from bleepstore.access.policies.asked import Asked
from bleepstore.access.policies.document import Effect, Policy, Statement


def deciding_statement(policy: Policy, asked: Asked) -> Statement | None:
    """The statement that decides; None if none is about this, which allows nothing."""
    statements = policy.statements_of(asked.action)
    if not statements:
        return None
    names, resource = asked.names, asked.resource
    granted = names if asked.caller.user is None else asked.granted_names
    for statement in statements:
        of = statement.principals
        if of is not None and of.names is not None:
            allows = statement.effect is Effect.ALLOW
            if of.excludes:
                if not of.match(names, granted, allows=allows):
                    continue
            elif of.names.isdisjoint(granted if allows else names):
                continue
        patterns = statement.resources
        found = patterns.fixed is not None and patterns.fixed.fullmatch(resource) is not None
        if not found and patterns.variable:
            found = patterns.match(resource, asked.value)
        if found is statement.excludes_resources:
            continue
        for condition in statement.conditions:
            if not condition.holds(asked):
                break
        else:
            return statement
    return None


def allows_some(policy: Policy, asked: Asked) -> bool:
    """Whether a statement allows this caller the action on something, whatever it is and whatever else must hold."""
    return any(
        statement.effect is Effect.ALLOW and is_about_caller(statement, asked)
        for statement in policy.statements_of(asked.action)
    )


def is_about_caller(statement: Statement, asked: Asked) -> bool:
    """Whether its principals, if it has some, include the caller."""
    of = statement.principals
    allows = statement.effect is Effect.ALLOW
    return of is None or of.match(asked.names, asked.granted_names, allows=allows)
