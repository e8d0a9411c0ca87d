"""Which statement of a policy decides ("Policy evaluation logic"): one that denies, before one that allows.

A policy of many statements is asked again and again with the same values of a few condition keys: where a client calls
from, what it is, how it signs. What was found of them is remembered.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import attrs

from bleepstore.access.policies.asked import Asked, finder_of
from bleepstore.access.policies.document import Effect, Policy, Statement
from bleepstore.access.policies.patterns import Patterns

#: Fewer are evaluated sooner than it is looked up what was found of them.
_MIN_REMEMBERED = 4
_Values = tuple[str, ...]


@attrs.frozen(eq=False)
class _Statements:
    """The statements on an action, those that deny first.

    `steady`: the positions of those that depend on nothing but the caller's names, on whether `patterns` match the
    resource, and on the values of `keys`, which `finders` find. `others`: the positions of all others.
    """

    all: tuple[Statement, ...]
    steady: tuple[int, ...]
    others: tuple[int, ...]
    patterns: tuple[Patterns, ...]
    keys: tuple[str, ...]
    finders: tuple[Callable[[Asked], _Values], ...]


@functools.lru_cache(maxsize=1024)
def _statements_of(policy: Policy, action: str) -> _Statements:
    found = policy.statements_of(action)
    positions = range(len(found))
    steady = tuple(position for position in positions if _is_steady(found[position]))
    if len(steady) < _MIN_REMEMBERED:
        steady = ()
    keys = tuple(dict.fromkeys(condition.key for position in steady for condition in found[position].conditions))
    return _Statements(
        all=found,
        steady=steady,
        others=tuple(position for position in positions if position not in steady),
        patterns=tuple(dict.fromkeys(found[position].resources for position in steady)),
        keys=keys,
        finders=tuple(map(finder_of, keys)),
    )


def _is_steady(statement: Statement) -> bool:
    """One without conditions is evaluated in no time."""
    conditions = statement.conditions
    return bool(conditions) and not statement.resources.variable and all(one.is_steady for one in conditions)


def deciding_statement(policy: Policy, asked: Asked) -> Statement | None:
    """The statement that decides; None if none is about this, which allows nothing."""
    statements = _statements_of(policy, asked.action)
    everything = statements.all
    if not everything:
        return None
    names, resource = asked.names, asked.resource
    granted = names if asked.caller.user is None else asked.granted_names
    first, others = len(everything), statements.others
    if asked.undecided:
        others = tuple(range(first))
    elif statements.steady:
        first = _first_steady(
            statements,
            names,
            granted,
            tuple([one.match(resource, asked.value) for one in statements.patterns]),
            tuple([find(asked) for find in statements.finders]),
        )
    last, is_last_found = None, False
    for position in others:
        if position > first:
            break
        statement = everything[position]
        of = statement.principals
        if of is not None and of.names is not None:
            allows = statement.effect is Effect.ALLOW
            if of.excludes:
                if not of.match(names, granted, allows=allows):
                    continue
            elif of.names.isdisjoint(granted if allows else names):
                continue
        patterns = statement.resources
        if patterns is not last:
            last, is_last_found = patterns, patterns.match(resource, asked.value)
        if is_last_found is statement.excludes_resources:
            continue
        for condition in statement.conditions:
            if not condition.holds(asked):
                break
        else:
            return statement
    return None if first == len(everything) else everything[first]


@functools.lru_cache(maxsize=2048)
def _first_steady(
    statements: _Statements,
    names: frozenset[str],
    granted: frozenset[str],
    matches: tuple[bool, ...],
    given: tuple[_Values, ...],
) -> int:
    """The position of the first steady statement that applies; if none does, that behind all."""
    is_found = dict(zip(statements.patterns, matches, strict=True))
    values = dict(zip(statements.keys, given, strict=True))
    for position in statements.steady:
        statement = statements.all[position]
        if (
            _is_about(statement, names, granted)
            and is_found[statement.resources] is not statement.excludes_resources
            and all(one.holds_of(values[one.key], _no_value) for one in statement.conditions)
        ):
            return position
    return len(statements.all)


def _no_value(_key: str) -> None:
    """No condition that is steady has a variable."""


def allows_some(policy: Policy, asked: Asked) -> bool:
    """Whether a statement allows this caller the action on something, whatever it is and whatever else must hold."""
    return any(
        statement.effect is Effect.ALLOW and is_about_caller(statement, asked)
        for statement in policy.statements_of(asked.action)
    )


def is_about_caller(statement: Statement, asked: Asked) -> bool:
    """Whether its principals, if it has some, include the caller."""
    return _is_about(statement, asked.names, asked.granted_names)


def _is_about(statement: Statement, names: frozenset[str], granted: frozenset[str]) -> bool:
    of = statement.principals
    return of is None or of.match(names, granted, allows=statement.effect is Effect.ALLOW)
