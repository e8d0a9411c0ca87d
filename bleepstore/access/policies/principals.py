"""Whom a statement is about ("AWS JSON policy elements: Principal").

An account is named by its id, which here is the canonical user id that S3 shows: `{"AWS": "<id>"}`,
`{"AWS": "arn:aws:iam::<id>:root"}` or `{"CanonicalUser": "<id>"}`. A user of an account is
`{"AWS": "arn:aws:iam::<id>:user/<name>"}`. `"*"` and `{"AWS": "*"}` are everybody, who did not sign too. Services of
AWS may be named: those that deliver access logs and inventories ask here, the others never. A role is
`{"AWS": "arn:aws:iam::<id>:role/<name>"}`, one session of it
`{"AWS": "arn:aws:sts::<id>:assumed-role/<name>/<session>"}`. There are no federated users.

Who asks is known by the name of its account and, if it is a user, by its own. What is denied to an account is denied to
its users. What is allowed to an account, its root may give on: "When you allow access to a different account, an
administrator in that account must then grant access to an identity (IAM user or role) in that account."
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from bleepstore.errors import MalformedPolicy

_SERVICE = re.compile(r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?")
_ARN = re.compile(r"arn:aws:iam::([^:*?]+):(?:(root)|user/([^*?]+))")
_ROLE = re.compile(r"arn:aws:iam::([^:*?]+):role/([^/*?]+)")
_SESSION = re.compile(r"arn:aws:sts::([^:*?]+):assumed-role/([^/*?]+)/([^/*?]+)")
_ACCOUNT = re.compile(r"[^:/*?]+")


def account_name(account_id: str) -> str:
    """How an account, and everybody in it, is written among the names of principals."""
    return f"account:{account_id}"


def user_name(account_id: str, user: str) -> str:
    return f"user:{account_id}/{user}"


def role_name(account_id: str, role: str) -> str:
    return f"role:{account_id}/{role}"


def session_name(account_id: str, role: str, session: str) -> str:
    return f"session:{account_id}/{role}/{session}"


def service_name(service: str) -> str:
    return f"service:{service}"


@attrs.frozen
class Principals:
    """The accounts and users that a statement names; None: it is about everybody. `excludes`: about all others."""

    names: frozenset[str] | None
    excludes: bool = False

    @property
    def is_everybody(self) -> bool:
        return self.names is None and not self.excludes

    def match(self, names: frozenset[str], granted: frozenset[str], *, allows: bool) -> bool:
        """Whether a statement that allows, or denies, is about who is known by these `names`. To be allowed something
        one must be named by one of `granted`.

        "If the NotPrincipal element contained only Bob's ARN, the effect of the policy would be to explicitly deny
        access to the AWS account that contains the user Bob": of what is denied to all others nobody is excepted
        unless each of its names is."""
        if self.names is None:
            return True
        if not self.excludes:
            return not self.names.isdisjoint(granted if allows else names)
        return self.names.isdisjoint(names) if allows else not names or not names <= self.names


def parse_principals(value: Any, *, excludes: bool) -> Principals:
    """Raises MalformedPolicy: "Invalid principal in policy"."""
    if value == "*":
        return _everybody(excludes)
    if not isinstance(value, dict) or not value:
        raise _invalid(value)
    names = set[str]()
    is_everybody = False
    for kind, given in value.items():
        for text in given if isinstance(given, list) and given else [given]:
            if not isinstance(text, str):
                raise _invalid(given)
            if kind == "AWS" and text == "*":
                is_everybody = True
            else:
                names |= _named(kind, text)
    return _everybody(excludes) if is_everybody else Principals(frozenset(names), excludes)


def _everybody(excludes: bool) -> Principals:
    if excludes:  # it would be about nobody, which nobody means
        raise _invalid("*")
    return Principals(None)


def _named(kind: str, text: str) -> set[str]:
    if kind == "AWS":
        match = _ARN.fullmatch(text)
        if match is not None:
            return {account_name(match[1]) if match[2] else user_name(match[1], match[3])}
        match = _ROLE.fullmatch(text)
        if match is not None:
            return {role_name(match[1], match[2])}
        match = _SESSION.fullmatch(text)
        if match is not None:
            return {session_name(match[1], match[2], match[3])}
        if _ACCOUNT.fullmatch(text):
            return {account_name(text)}
    elif kind == "CanonicalUser" and _ACCOUNT.fullmatch(text):
        return {account_name(text)}
    elif kind == "Service" and _SERVICE.fullmatch(text):
        return {service_name(text)}
    raise _invalid(text)


def _invalid(value: Any) -> MalformedPolicy:
    return MalformedPolicy("Invalid principal in policy", detail=value if isinstance(value, str) else None)
