"""Why a policy decides as it does, statement by statement, for people."""

from __future__ import annotations

from bleepstore.access.policies.asked import Asked
from bleepstore.access.policies.document import Policy, Statement
from bleepstore.access.policies.evaluation import is_about_caller
from bleepstore.access.policies.names import PREFIX


def notes_on(policy: Policy, asked: Asked) -> tuple[str, ...]:
    """A line for each statement, in the order of the policy: that it applies, or the first reason why it does not."""
    return tuple(_note(statement, asked) for statement in policy.statements)


def _note(statement: Statement, asked: Asked) -> str:
    reason = reason_against(statement, asked)
    effect = f"{statement.name} ({statement.effect})"
    return f"{effect} applies" if reason is None else f"{effect} does not apply: {reason}"


def reason_against(statement: Statement, asked: Asked) -> str | None:
    """Why a statement is not about this; None if it is."""
    if not statement.has_action(asked.action.removeprefix(PREFIX)):
        return f"it is not about {asked.action}"
    if not is_about_caller(statement, asked):
        return "its principals do not include the caller"
    if statement.resources.match(asked.resource, asked.value) is statement.excludes_resources:
        return f"its resources do not include {asked.arn}"
    for condition in statement.conditions:
        if not condition.holds(asked):
            return f"its condition {condition.written} does not hold: the request has {_given(asked, condition.key)}"
    return None


def _given(asked: Asked, key: str) -> str:
    values = asked.values(key)
    return ", ".join(repr(value) for value in values) if values else "no such value"
