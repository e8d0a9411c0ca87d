"""The conditions of a statement ("IAM JSON policy elements: Condition", "Condition operators", "Set operators for
multivalued context keys").

All conditions of a statement must hold. Of several values that a policy has for one key one is enough; with an operator
that negates, none may be equal.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs

from bleepstore.access.policies import names
from bleepstore.access.policies.operators import NULL, OPERATORS, Operator, plain_template
from bleepstore.access.policies.patterns import ValueOf, has_variable, has_variables, in_lower_case
from bleepstore.encryption import key_name
from bleepstore.errors import MalformedPolicy

_IF_EXISTS = "IfExists"
#: Keys under which nearly each request has another value.
_EVER_NEW = frozenset(
    {
        "s3:signatureage", "s3:object-lock-retain-until-date", "s3:object-lock-remaining-retention-days",
        "s3:x-amz-content-sha256",
    }
)  # fmt: skip


class SetOperator(enum.StrEnum):
    ALL = "ForAllValues"
    ANY = "ForAnyValue"


class Context(Protocol):
    """What conditions ask of a request."""

    @property
    def undecided(self) -> tuple[str, ...]:
        """How the condition keys begin that are decided on at another time."""

    @property
    def known(self) -> Mapping[str, tuple[str, ...]]:
        """What was asked for already."""

    def values(self, key: str) -> tuple[str, ...]:
        """What the request has under a condition key, in lower case; nothing if it is missing."""

    def value(self, key: str) -> str | None:
        """The one value of a key; None if there is none, or are several."""


@attrs.frozen(eq=False)
class Condition:
    """One key, and what must hold of its values. `operator` None is Null, with `wanted` (True,) where the key must be
    missing. `texts` are those of the wanted that are nothing but texts. `written` is how the policy has it.

    `lenient`: where the key is decided on at another time, it holds: what allows may still allow, and what
    denies not yet deny. `is_steady`: it depends on the values of its key and nothing else of a request, and the next
    request may well have the same.
    """

    key: str
    operator: Operator | None
    wanted: tuple[Any, ...]
    quantifier: SetOperator | None
    if_exists: bool
    lenient: bool
    written: str
    texts: frozenset[str] = frozenset()
    is_steady: bool = False

    def holds(self, context: Context) -> bool:
        if context.undecided and self.key.startswith(context.undecided):
            return self.lenient
        given = context.known.get(self.key)
        if given is None:
            given = context.values(self.key)
        return self.holds_of(given, context.value)

    def holds_of(self, given: tuple[str, ...], value_of: ValueOf) -> bool:
        """Whether it holds of these values of its key."""
        operator = self.operator
        if operator is None:
            return (not given) in self.wanted
        if not given:
            if self.if_exists or self.quantifier is SetOperator.ALL:
                return True
            return operator.negated and self.quantifier is None
        needs_all = operator.negated if self.quantifier is None else self.quantifier is SetOperator.ALL
        for one in given:
            is_equal = one in self.texts
            if not is_equal:
                for wanted in self.wanted:
                    if operator.test(wanted, one, value_of):
                        is_equal = True
                        break
            if is_equal is operator.negated:
                if needs_all:
                    return False
            elif not needs_all:
                return True
        return needs_all


def parse_conditions(
    element: Any, *, variables: bool, lenient: bool, of_any_service: bool = False
) -> tuple[Condition, ...]:
    """The conditions of a statement. `of_any_service`: it may also be about services of AWS that are not here, whose
    keys are always missing. Raises MalformedPolicy."""
    if not isinstance(element, dict):
        raise MalformedPolicy("Invalid policy syntax.")
    found = []
    for operator, keys in element.items():
        if not isinstance(keys, dict):
            raise MalformedPolicy("Invalid policy syntax.")
        for key, values in keys.items():
            _check_key(key, of_any_service)
            found.append(_condition(operator, key, values, variables, lenient))
    return tuple(found)


def _condition(written: str, key: str, values: Any, variables: bool, lenient: bool) -> Condition:
    set_name, separator, name = written.rpartition(":")
    if separator and set_name not in list(SetOperator):
        raise MalformedPolicy(f"Invalid Condition type : {written}")
    if_exists = name.endswith(_IF_EXISTS)
    name = name.removesuffix(_IF_EXISTS)
    operator = OPERATORS.get(name)
    if operator is None and (name != NULL or if_exists or separator):
        raise MalformedPolicy(f"Invalid Condition type : {written}")
    parse: Callable[[str, bool], Any] = OPERATORS["Bool"].parse if operator is None else operator.parse
    wanted = []
    for text in _meant(key, _texts(values), operator):
        try:
            wanted.append(parse(text, variables))
        except ValueError:
            raise MalformedPolicy(f"Invalid Condition value : {text}", detail=key) from None
    texts: set[str] = set()
    if operator is not None and operator.parse is plain_template:
        texts = {"".join(map(str, one)) for one in wanted if not has_variable(one)}
        wanted = [one for one in wanted if has_variable(one)]
    return Condition(
        texts=frozenset(texts),
        is_steady=key.lower() not in _EVER_NEW and not has_variables(wanted),
        key=in_lower_case(key),
        operator=operator,
        wanted=tuple(wanted),
        quantifier=SetOperator(set_name) if separator else None,
        if_exists=if_exists,
        lenient=lenient,
        written=f"{written} {key}",
    )


def _meant(key: str, texts: list[str], operator: Operator | None) -> list[str]:
    """Older examples of AWS begin the source of a copy with a slash. A key of an encryption has several names, by each
    of which a request may ask for it: where texts are compared, what it is called alone counts too."""
    if key.lower() == "s3:x-amz-copy-source":
        return [text.removeprefix("/") for text in texts]
    if key.lower() == names.KEY_ID and operator is not None and operator.parse is plain_template:
        return [*texts, *map(key_name, texts)]
    return texts


def _check_key(key: str, of_any_service: bool) -> None:
    """A key of the services and of S3; a key of all of AWS may be a new one, and is then always missing."""
    service, _, rest = in_lower_case(key).partition(":")
    is_known = names.s3_key_actions(rest) is not None if service == "s3" else of_any_service or service == "aws"
    if not rest or not is_known:
        raise MalformedPolicy("Policy has an invalid condition key", detail=key)


def _texts(values: Any) -> list[str]:
    """Truth and numbers may be written without quotes."""
    found = []
    for value in values if isinstance(values, list) else [values]:
        if isinstance(value, bool):
            found.append("true" if value else "false")
        elif isinstance(value, int | float | str):
            found.append(str(value))
        else:
            raise MalformedPolicy("Invalid policy syntax.")
    if not found:
        raise MalformedPolicy("Invalid policy syntax.")
    return found
