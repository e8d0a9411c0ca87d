"""Whom a statement is about ("AWS JSON policy elements: Principal").

An account is named by its id, which here is the canonical user id that S3 shows: `{"AWS": "<id>"}`,
`{"AWS": "arn:aws:iam::<id>:root"}` or `{"CanonicalUser": "<id>"}`. A user of an account is
`{"AWS": "arn:aws:iam::<id>:user/<name>"}`. `"*"` and `{"AWS": "*"}` are everybody, who did not sign too. Services of
AWS may be named, and are never who asks here. There are no roles and no federated users.
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from bleepstore.errors import MalformedPolicy

_SERVICE = re.compile(r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?")
_ARN = re.compile(r"arn:aws:iam::([^:*?]+):(?:(root)|user/([^*?]+))")
_ACCOUNT = re.compile(r"[^:/*?]+")


def account_name(account_id: str) -> str:
    """How an account, and everybody in it, is written among the names of principals."""
    return f"account:{account_id}"


def user_name(account_id: str, user: str) -> str:
    return f"user:{account_id}/{user}"


@attrs.frozen
class Principals:
    """The accounts and users that a statement names; None: it is about everybody. `excludes`: about all others."""

    names: frozenset[str] | None
    excludes: bool = False

    @property
    def is_everybody(self) -> bool:
        return self.names is None and not self.excludes

    def match(self, names: frozenset[str]) -> bool:
        """Whether the statement is about who is known by these names."""
        return self.names is None or self.names.isdisjoint(names) is self.excludes


def parse_principals(value: Any, *, excludes: bool) -> Principals:
    """Raises MalformedPolicy: "Invalid principal in policy"."""
    if value == "*":
        return _everybody(excludes)
    if not isinstance(value, dict) or not value:
        raise _invalid(value)
    names = set[str]()
    for kind, given in value.items():
        for text in given if isinstance(given, list) and given else [given]:
            if not isinstance(text, str):
                raise _invalid(given)
            if kind == "AWS" and text == "*":
                return _everybody(excludes)
            names |= _named(kind, text)
    return Principals(frozenset(names), excludes)


def _everybody(excludes: bool) -> Principals:
    if excludes:  # it would be about nobody, which nobody means
        raise _invalid("*")
    return Principals(None)


def _named(kind: str, text: str) -> set[str]:
    if kind == "AWS":
        match = _ARN.fullmatch(text)
        if match is not None:
            return {account_name(match[1]) if match[2] else user_name(match[1], match[3])}
        if _ACCOUNT.fullmatch(text):
            return {account_name(text)}
    elif kind == "CanonicalUser" and _ACCOUNT.fullmatch(text):
        return {account_name(text)}
    elif kind == "Service" and _SERVICE.fullmatch(text):
        return set()
    raise _invalid(text)


def _invalid(value: Any) -> MalformedPolicy:
    return MalformedPolicy("Invalid principal in policy", detail=value if isinstance(value, str) else None)
