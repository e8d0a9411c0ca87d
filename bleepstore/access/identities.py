"""What the policies of a user say ("Identity-based policies and resource-based policies")."""

from __future__ import annotations

from collections.abc import Mapping

from bleepstore.access.policies import (
    Asked,
    Effect,
    Statement,
    allows_some,
    compile_policy,
    deciding_statement,
    notes_on,
)


def deciding_policy(policies: Mapping[str, str], asked: Asked) -> tuple[str, Statement] | None:
    """The policy, by its name, and its statement that decides: one that denies, before one that allows. None: none is
    about this, which allows nothing. Raises MalformedPolicy for one that this version cannot read."""
    found = None
    for name, text in policies.items():
        statement = deciding_statement(compile_policy(text, None), asked)
        if statement is not None:
            if statement.effect is Effect.DENY:
                return name, statement
            found = found or (name, statement)
    return found


def some_policy_allows(policies: Mapping[str, str], *questions: Asked) -> bool:
    """Whether something is allowed of what is asked, whatever it is on."""
    compiled = [compile_policy(text, None) for text in policies.values()]
    return any(allows_some(policy, asked) for policy in compiled for asked in questions)


def notes_on_policies(policies: Mapping[str, str], asked: Asked) -> tuple[str, ...]:
    """A line for each statement of each policy, and why it applies or not. Raises MalformedPolicy."""
    return tuple(
        f"{name}: {note}" for name, text in policies.items() for note in notes_on(compile_policy(text, None), asked)
    )
