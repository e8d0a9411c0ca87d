"""Who may assume a role ("Using IAM roles", "Cross-account policy evaluation logic").

The trust policy of a role says whom it trusts. A user or a role that it names may assume the role, if it is of the
role's account; what it gives to an account, a user or role of that account needs a policy of its own for. What any of
these policies denies is denied. Other than at AWS, the root of an account that is trusted may assume the role.

Who has a web identity is trusted by the name of its provider (`Federated`), never by `*`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from bleepstore.access.actions import Action
from bleepstore.access.callers import Caller
from bleepstore.access.policies.asked import Asked
from bleepstore.access.policies.conditions import Condition, parse_conditions
from bleepstore.access.policies.document import Effect, compile_policy, statements_in
from bleepstore.access.policies.patterns import Piece, expression, matches, parse_template
from bleepstore.access.policies.principals import account_name, parse_principals
from bleepstore.access.sessions import MAX_SESSION_POLICY, RoleSession, WebIdentity
from bleepstore.errors import InvalidArgument, MalformedPolicy
from bleepstore.model import User
from bleepstore.roles import Role

ASSUME, ASSUME_BY_WEB = "sts:AssumeRole", "sts:AssumeRoleWithWebIdentity"
PASS_ROLE = "iam:PassRole"
_OF_STATEMENT = frozenset({"Sid", "Effect", "Principal", "Action", "Condition"})
_PROVIDER = re.compile(r"arn:aws:iam::([^:*?]+):oidc-provider/([^*?\s]+)")


@attrs.frozen(eq=False)
class Assumption:
    """What is asked of a role: `caller`, or who has the web `identity`, wants a session of this name."""

    session_name: str
    caller: Caller | None = None
    identity: WebIdentity | None = None
    external_id: str | None = None
    #: The service that a role is given to, for `may_pass`.
    passed_to: str | None = None
    #: As conditions ask for it.
    undecided: tuple[str, ...] = attrs.field(default=(), init=False)
    known: dict[str, tuple[str, ...]] = attrs.field(factory=dict, init=False, repr=False)

    def values(self, key: str) -> tuple[str, ...]:
        """What there is under a condition key, in lower case; nothing if it is missing."""
        if self.identity is not None:
            provider, _, claim = key.rpartition(":")
            if provider.lower() == self.identity.provider.lower():
                return {"aud": (self.identity.audience,), "sub": (self.identity.subject,)}.get(claim.lower(), ())
        if key == "sts:rolesessionname":
            return (self.session_name,)
        if key == "sts:externalid":
            return () if self.external_id is None else (self.external_id,)
        if key == "iam:passedtoservice":
            return () if self.passed_to is None else (self.passed_to,)
        return self.asked.values(key) if self.caller is not None and key.startswith("aws:") else ()

    def value(self, key: str) -> str | None:
        found = self.values(key)
        return found[0] if len(found) == 1 else None

    @property
    def asked(self) -> Asked:
        """What is known of the caller is found as for S3; there is no action of S3 in question."""
        assert self.caller is not None
        return Asked(Action.LIST_ALL_MY_BUCKETS, self.caller, None, None, None, {})


def may_assume(role: Role, assumption: Assumption) -> bool:
    """Whether `assumption.caller` may. Fails closed: a policy that cannot be read allows nothing."""
    caller = assumption.caller
    if caller is None or caller.is_anonymous:
        return False
    names = assumption.asked.names
    account = account_name(caller.account.id)
    try:
        trusting = _deciding(_trust(role.trust_policy), ASSUME, assumption, names)
        if not trusting or caller.user is None:
            return bool(trusting)
        is_direct = any(one.names is None or one.names & (names - {account}) for one in trusting)
        own = _identity_allows(caller.user.policies, ASSUME, role.arn, assumption)
        within = _session_allows(caller.user, ASSUME, role.arn, assumption)
    except MalformedPolicy:
        return False
    if own is False or not within:
        return False
    return own is True or (is_direct and caller.account.id == role.account.id)


def may_pass(role: Role, caller: Caller, service: str) -> bool:
    """Whether `caller` may name a role of its account as what a service acts as: the account itself, or a user or role
    by a policy of its own ("Grant a user permissions to pass a role to an AWS service")."""
    if caller.is_anonymous or caller.account.id != role.account.id:
        return False
    if caller.user is None:
        return True
    passing = Assumption("", caller, passed_to=service)
    try:
        own = _identity_allows(caller.user.policies, PASS_ROLE, role.arn, passing)
        return own is True and _session_allows(caller.user, PASS_ROLE, role.arn, passing)
    except MalformedPolicy:
        return False


def may_assume_by_web(role: Role, assumption: Assumption) -> bool:
    """Whether who has `assumption.identity` may."""
    if assumption.identity is None:
        return False
    names = frozenset((_provider_name(role.account.id, assumption.identity.provider),))
    try:
        trusting = _deciding(_trust(role.trust_policy), ASSUME_BY_WEB, assumption, names)
    except MalformedPolicy:
        return False
    return any(one.names is not None for one in trusting)


def trusts_service(role: Role, service: Caller) -> bool:
    """Whether a role lets a service act as it, which is a `Caller.of_service`."""
    assumption = Assumption("service", caller=service)
    try:
        return bool(_deciding(_trust(role.trust_policy), ASSUME, assumption, assumption.asked.names))
    except MalformedPolicy:
        return False


def check_session_policy(text: str) -> None:
    """Raise MalformedPolicy, InvalidArgument for what no session may have as its policy."""
    if len(text) > MAX_SESSION_POLICY:
        raise InvalidArgument(
            f"The policy of a session has {MAX_SESSION_POLICY} characters at most.", "policy", str(len(text))
        )
    compile_policy(text, None)
    _own(text)


def check_trust_policy(text: str, account_id: str) -> None:
    """Raise MalformedPolicy for what is no trust policy of a role of this account."""
    for statement in _trust(text):
        for name in statement.names or ():
            if name.startswith("provider:") and not name.startswith(_provider_name(account_id, "")):
                raise MalformedPolicy("Invalid principal in policy", detail=name.partition("/")[2])


# -- trust policies


@attrs.frozen(eq=False)
class _Trust:
    """One statement. `names` are those of `principals.py`, and of providers; None: everybody who signs."""

    effect: Effect
    names: frozenset[str] | None
    actions: re.Pattern[str]
    conditions: tuple[Condition, ...]


@functools.lru_cache(maxsize=256)
def _trust(text: str) -> tuple[_Trust, ...]:
    written, variables = statements_in(text)
    return tuple(_trust_statement(one, variables) for one in written)


def _trust_statement(written: Any, variables: bool) -> _Trust:
    effect = _effect_of(written)
    for name in written:
        if name not in _OF_STATEMENT:
            raise MalformedPolicy(f"Has prohibited field {name}")
    for name in ("Principal", "Action"):
        if name not in written:
            raise MalformedPolicy(f"Missing required field {name}")
    return _Trust(
        effect, _names(written["Principal"]), _actions(written["Action"]), _conditions(written, effect, variables)
    )


def _names(principal: Any) -> frozenset[str] | None:
    if not isinstance(principal, dict):
        return parse_principals(principal, excludes=False).names
    others = {kind: given for kind, given in principal.items() if kind != "Federated"}
    names = parse_principals(others, excludes=False).names if others or "Federated" not in principal else frozenset()
    if "Federated" not in principal:
        return names
    if names is None:
        raise MalformedPolicy("Invalid principal in policy")
    found = set(names)
    for text in _texts(principal["Federated"], "Invalid principal in policy"):
        match = _PROVIDER.fullmatch(text)
        if match is None:
            raise MalformedPolicy("Invalid principal in policy", detail=text)
        found.add(_provider_name(match[1], match[2]))
    return frozenset(found)


def _provider_name(account_id: str, provider: str) -> str:
    return f"provider:{account_id}/{provider}"


def _deciding(
    statements: Iterable[_Trust], action: str, assumption: Assumption, names: frozenset[str]
) -> tuple[_Trust, ...]:
    """The statements that allow it; none, if one denies it."""
    found = []
    for one in statements:
        is_about = one.names is None or not one.names.isdisjoint(names)
        if is_about and one.actions.fullmatch(action) and all(known.holds(assumption) for known in one.conditions):
            if one.effect is Effect.DENY:
                return ()
            found.append(one)
    return tuple(found)


# -- what the policies of users and roles say of it


@attrs.frozen(eq=False)
class _Own:
    effect: Effect
    actions: re.Pattern[str]
    excludes_actions: bool
    resources: tuple[tuple[Piece, ...], ...]
    excludes_resources: bool
    conditions: tuple[Condition, ...]


def _session_allows(user: User | RoleSession, action: str, arn: str, assumption: Assumption) -> bool:
    """Whether the policy of a session, if that is one and has one, allows it."""
    if not isinstance(user, RoleSession) or user.policy is None:
        return True
    return bool(_identity_allows({"session": user.policy}, action, arn, assumption))


def _identity_allows(policies: Mapping[str, str], action: str, arn: str, assumption: Assumption) -> bool | None:
    """True, False if it is denied, None if nothing is said of it."""
    allowed = None
    for text in policies.values():
        for one in _own(text):
            if (one.actions.fullmatch(action) is None) is not one.excludes_actions:
                continue
            found = any(matches(pieces, arn, assumption.value) for pieces in one.resources)
            if found is one.excludes_resources or not all(known.holds(assumption) for known in one.conditions):
                continue
            if one.effect is Effect.DENY:
                return False
            allowed = True
    return allowed


@functools.lru_cache(maxsize=256)
def _own(text: str) -> tuple[_Own, ...]:
    written, variables = statements_in(text)
    return tuple(_own_statement(one, variables) for one in written)


def _own_statement(written: Any, variables: bool) -> _Own:
    effect = _effect_of(written)
    resources = _texts(written.get("Resource", written.get("NotResource")), "Policy has invalid resource")
    return _Own(
        effect,
        _actions(written.get("Action", written.get("NotAction"))),
        "NotAction" in written,
        tuple(parse_template(text, variables=variables) for text in resources),
        "NotResource" in written,
        _conditions(written, effect, variables),
    )


# -- what both have


def _effect_of(written: Any) -> Effect:
    if not isinstance(written, dict):
        raise MalformedPolicy("Invalid policy syntax.")
    if written.get("Effect") not in list(Effect):
        raise MalformedPolicy(f"Invalid effect: {written.get('Effect')}")
    return Effect(written["Effect"])


def _texts(value: Any, reason: str) -> list[str]:
    found = value if isinstance(value, list) else [value]
    if not found or not all(isinstance(one, str) for one in found):
        raise MalformedPolicy(reason)
    return found


def _actions(value: Any) -> re.Pattern[str]:
    patterns = [
        expression(parse_template(text, variables=False)) for text in _texts(value, "Policy has invalid action")
    ]
    return re.compile("|".join(f"(?:{one})" for one in patterns), re.IGNORECASE | re.DOTALL)


def _conditions(written: Mapping[str, Any], effect: Effect, variables: bool) -> tuple[Condition, ...]:
    return parse_conditions(
        written.get("Condition", {}), variables=variables, lenient=effect is Effect.ALLOW, of_any_service=True
    )
