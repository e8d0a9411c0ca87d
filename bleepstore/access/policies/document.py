"""A policy as it is written, parsed once into frozen values ("Grammar of the IAM JSON policy language").

What is wrong with one is told in the words of Amazon S3, which does not store a policy that it cannot apply.
"""

from __future__ import annotations

import enum
import functools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from bleepstore.access.policies import names
from bleepstore.access.policies.conditions import Condition, parse_conditions
from bleepstore.access.policies.patterns import Patterns, Piece, parse_template
from bleepstore.access.policies.principals import Principals, parse_principals
from bleepstore.errors import MalformedPolicy

#: "Bucket policies are limited to 20 KB in size."
MAX_POLICY_BYTES = 20 * 1024
#: The version without variables, and the one with them. "If you do not include a Version element, the value defaults to
#: 2008-10-17."
_OLD, _NEW = "2008-10-17", "2012-10-17"
RESOURCE_PREFIX = "arn:aws:s3:::"
#: "Resource must be in ARN format or \"*\"" (IAM).
_ARN = re.compile(r"\*$|arn:")

_OF_POLICY = frozenset({"Version", "Id", "Statement"})
_OF_STATEMENT = frozenset(
    {
        "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition",
    }
)  # fmt: skip


class Effect(enum.StrEnum):
    ALLOW = "Allow"
    DENY = "Deny"


@attrs.frozen(eq=False)
class Statement:
    """One statement. `number` counts from 1. `actions` are those of `names.mask_of`; `resources` are matched without
    `RESOURCE_PREFIX`. `principals` None: it is of an identity, which is who has it."""

    number: int
    sid: str | None
    effect: Effect
    principals: Principals | None
    actions: int
    excludes_actions: bool
    resources: Patterns
    excludes_resources: bool
    conditions: tuple[Condition, ...]

    @property
    def name(self) -> str:
        """How people are told which it is."""
        return f"statement {self.number}" + (f" ({self.sid})" if self.sid else "")

    def has_action(self, name: str) -> bool:
        return names.is_in_mask(name, self.actions) is not self.excludes_actions


@attrs.frozen(eq=False)
class Policy:
    """A policy, as the evaluator uses it."""

    statements: tuple[Statement, ...]
    _of_action: dict[str, tuple[Statement, ...]] = attrs.field(factory=dict, init=False, repr=False)

    def statements_of(self, action: str) -> tuple[Statement, ...]:
        """The statements on an action of S3, those that deny first. Found once for each action."""
        found = self._of_action.get(action)
        if found is None:
            name = action.removeprefix(names.PREFIX)
            wanted = [statement for statement in self.statements if statement.has_action(name)]
            wanted.sort(key=lambda statement: statement.effect is Effect.ALLOW)
            found = self._of_action[action] = tuple(wanted)
        return found

    @property
    def account_names(self) -> frozenset[str]:
        """The accounts and users that the policy names, as `principals.py` writes them."""
        return frozenset(
            name for one in self.statements if one.principals is not None for name in one.principals.names or ()
        )


@functools.lru_cache(maxsize=512)
def compile_policy(text: str, bucket: str | None) -> Policy:
    """The policy of a bucket, or of an identity if `bucket` is None. Raises MalformedPolicy.

    It is compiled once for each text.
    """
    written, variables = statements_in(text)
    read = functools.partial(_statement, bucket=bucket, variables=variables)
    statements = tuple(read(number, one) for number, one in enumerate(written, 1))
    sids = [statement.sid for statement in statements if statement.sid]
    if len(sids) != len(set(sids)):
        raise MalformedPolicy("Statement IDs (SID) in a single policy must be unique.")
    return Policy(statements)


def statements_in(text: str) -> tuple[list[Any], bool]:
    """The statements of any policy as they are written, and whether it has the version that knows variables. Raises
    MalformedPolicy."""
    document = _parse_json(text)
    _refuse_unknown(document, _OF_POLICY)
    version = document.get("Version", _OLD)
    if version not in (_OLD, _NEW):
        raise MalformedPolicy("The policy must contain a valid version string")
    if not isinstance(document.get("Id", ""), str):
        raise MalformedPolicy("Invalid policy syntax.")
    if "Statement" not in document:
        raise MalformedPolicy("Missing required field Statement")
    written = _listed(document["Statement"])
    if not written:
        raise MalformedPolicy("Could not parse the policy: Statement is empty!")
    _check_characters(document)
    return written, version == _NEW


def _parse_json(text: str) -> Mapping[str, Any]:
    if len(text.encode("utf-8", "surrogatepass")) > MAX_POLICY_BYTES:
        raise MalformedPolicy("Policy exceeds the maximum allowed document size.")
    if not text.lstrip().startswith("{"):
        raise MalformedPolicy("Policies must be valid JSON and the first byte must be '{'")
    try:
        document = json.loads(text, object_pairs_hook=_without_repetition, parse_constant=_refuse_constant)
        text.encode()
    except MalformedPolicy:
        raise
    except (ValueError, RecursionError):
        raise MalformedPolicy("This policy contains invalid Json") from None
    assert isinstance(document, dict)
    return document


def _check_characters(document: Mapping[str, Any]) -> None:
    """Half of a character can be written in JSON, and then neither be looked for nor shown."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise MalformedPolicy("This policy contains invalid Json") from None


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An element that is there twice means something else to everybody."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedPolicy("This policy contains invalid Json")
    return found


def _refuse_constant(_text: str) -> Any:
    raise MalformedPolicy("This policy contains invalid Json")


def _refuse_unknown(element: Mapping[str, Any], known: frozenset[str]) -> None:
    for name in element:
        if name not in known:
            raise MalformedPolicy(f"Unknown field {name}")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _texts(value: Any, reason: str) -> list[str]:
    """The elements of a list of texts, or of one. Raises MalformedPolicy."""
    found = _listed(value)
    if not found or not all(isinstance(one, str) for one in found):
        raise MalformedPolicy(reason)
    return found


def _one_of(element: Mapping[str, Any], name: str) -> tuple[Any, bool]:
    """The value of an element that may be there as its opposite, and whether it is that."""
    opposite = f"Not{name}"
    if name in element and opposite in element:
        raise MalformedPolicy(f"Statement/policy already has instance of {name}")
    if name not in element and opposite not in element:
        raise MalformedPolicy(f"Missing required field {name}")
    return (element[opposite], True) if opposite in element else (element[name], False)


def _statement(number: int, written: Any, *, bucket: str | None, variables: bool) -> Statement:
    if not isinstance(written, dict):
        raise MalformedPolicy("Invalid policy syntax.")
    _refuse_unknown(written, _OF_STATEMENT)
    if "Effect" not in written:
        raise MalformedPolicy("Missing required field Effect")
    if written["Effect"] not in list(Effect):
        raise MalformedPolicy(f"Invalid effect: {written['Effect']}")
    effect = Effect(written["Effect"])
    sid = written.get("Sid")
    if sid is not None and not isinstance(sid, str):
        raise MalformedPolicy("Invalid policy syntax.")
    principals = _principals(written, bucket)
    asked, excludes_actions = _one_of(written, "Action")
    actions = [_actions(text, bucket) for text in _texts(asked, "Policy has invalid action")]
    meant, excludes_resources = _one_of(written, "Resource")
    texts = _texts(meant, "Policy has invalid resource")
    resources = tuple(piece for text in texts for piece in _resources(text, bucket, variables))
    if bucket is not None and not excludes_actions and not excludes_resources:
        _check_pairs(actions, texts, bucket)
    named = frozenset[str]().union(*actions)
    conditions = parse_conditions(
        written.get("Condition", {}),
        variables=variables,
        lenient=effect is Effect.ALLOW,
        of_any_service=bucket is None,
    )
    if bucket is not None and not excludes_actions:
        _check_conditions(conditions, named)
    return Statement(
        number=number,
        sid=sid,
        effect=effect,
        principals=principals,
        actions=names.mask_of(named),
        excludes_actions=excludes_actions,
        resources=Patterns.of(resources),
        excludes_resources=excludes_resources,
        conditions=conditions,
    )


def _principals(written: Mapping[str, Any], bucket: str | None) -> Principals | None:
    if bucket is None:
        if "Principal" in written or "NotPrincipal" in written:
            raise MalformedPolicy("Policy document should not specify a principal.")
        return None
    value, excludes = _one_of(written, "Principal")
    return parse_principals(value, excludes=excludes)


def _actions(text: str, bucket: str | None) -> frozenset[str]:
    """The actions that an element of Action stands for. A policy of an identity may have those of other services."""
    found = names.actions_like("s3:*" if text == "*" else text)
    if not found and bucket is not None:
        raise MalformedPolicy("Policy has invalid action")
    return found


def _resources(text: str, bucket: str | None, variables: bool) -> list[tuple[Piece, ...]]:
    """What is matched with `bucket` or `bucket/key`. A policy of a bucket is about that one."""
    name = text.removeprefix(RESOURCE_PREFIX)
    if bucket is None:
        if not _ARN.match(text):
            raise MalformedPolicy("Policy has invalid resource", detail=text)
        names = [name] if name != text else _behind_prefix(text)
        return [parse_template(one, variables=variables) for one in names]
    if name == text or not name:
        raise MalformedPolicy("Policy has invalid resource", detail=text)
    if not name.startswith(bucket) or name[len(bucket) : len(bucket) + 1] not in ("", *"/*?"):
        raise MalformedPolicy("Policy has invalid resource", detail=text)
    return [parse_template(name, variables=variables)]


def _behind_prefix(pattern: str) -> list[str]:
    """What is left of the resource of an identity's policy for the names of buckets, in each of the ways in which it
    can stand for the beginning of all resources of S3; nothing for those of other services. "If the * wildcard is the
    last character of a resource ARN segment, it can expand to match beyond the colon boundaries."
    """
    left = {pattern}
    for character in RESOURCE_PREFIX:
        left |= {one[1:] for one in left if one.startswith("*")}
        left = {one if one[0] == "*" else one[1:] for one in left if one and one[0] in ("*", "?", character)}
    return sorted(left)


def _check_pairs(actions: Iterable[frozenset[str]], resources: Iterable[str], bucket: str) -> None:
    """Each action must be one of buckets, where the statement has a bucket, or of objects, where it has objects."""
    sort = set[str]()
    for text in resources:
        name = text.removeprefix(RESOURCE_PREFIX)
        if "/" not in name:
            sort |= names.BUCKET_ACTIONS
        if name != bucket:
            sort |= names.OBJECT_ACTIONS
    if any(named.isdisjoint(sort) for named in actions):
        raise MalformedPolicy("Action does not apply to any resource(s) in statement")


def _check_conditions(conditions: Iterable[Condition], actions: frozenset[str]) -> None:
    for condition in conditions:
        if condition.key.startswith(names.PREFIX):
            of_key = names.s3_key_actions(condition.key.removeprefix(names.PREFIX))
            if of_key is not None and of_key.isdisjoint(actions):
                raise MalformedPolicy("Conditions do not apply to combination of actions and resources in statement")
