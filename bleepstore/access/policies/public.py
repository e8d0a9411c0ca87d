"""Whether a policy makes a bucket public ("The meaning of public" in "Blocking public access to your Amazon S3
storage").

"When evaluating a bucket policy, Amazon S3 begins by assuming that the policy is public. It then evaluates the policy
to determine whether it qualifies as non-public. To be considered non-public, a bucket policy must grant access only to
fixed values (values that don't contain a wildcard or an IAM policy variable) for one or more of the following".
"""

from __future__ import annotations

import functools
import ipaddress
from typing import Any

from bleepstore.access.policies.conditions import Condition, SetOperator
from bleepstore.access.policies.document import Effect, Statement, compile_policy
from bleepstore.access.policies.operators import OPERATORS
from bleepstore.access.policies.patterns import has_variable, has_wildcard

_FIXED = frozenset(
    {
        "aws:principalorgid", "aws:principalorgpaths", "aws:sourcearn", "aws:sourcevpc", "aws:sourcevpce",
        "aws:sourceowner", "aws:sourceaccount", "aws:userid", "s3:dataaccesspointarn", "s3:dataaccesspointaccount",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
    }
)  # fmt: skip
_ACCESS_POINT = "s3:dataaccesspointarn"
#: Of its ARN, up to the account; the name of the access point follows.
_COMPONENTS = 5
#: The aws:userid of everybody who does not sign, which limits nobody.
_ANONYMOUS = "anonymous"
_TEXTS = frozenset(
    OPERATORS[name] for name in ("StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike")
)
#: "Bucket policies that grant access conditioned on the aws:SourceIp condition key with very broad IP ranges (for
#: example, 0.0.0.0/1) are evaluated as public. This includes values broader than /8 for IPv4 and /32 for IPv6
#: (excluding RFC1918 private ranges)."
_BROADEST = {4: 8, 6: 32}


@functools.lru_cache(maxsize=1024)
def is_public(policy: str, bucket: str) -> bool:
    """Whether the text of a bucket's policy grants something to everybody. What it denies does not count."""
    compiled = compile_policy(policy, bucket)
    return any(_is_public(statement) for statement in compiled.statements if statement.effect is Effect.ALLOW)


def _is_public(statement: Statement) -> bool:
    principals = statement.principals
    if principals is not None and principals.names is not None and not principals.excludes:
        return False
    return not any(_limits(condition) for condition in statement.conditions)


def _limits(condition: Condition) -> bool:
    """Whether a condition is fulfilled by fixed values alone."""
    if condition.if_exists or condition.quantifier is SetOperator.ALL or condition.operator is None:
        return False
    if condition.key == "aws:sourceip" and condition.operator is OPERATORS["IpAddress"]:
        return all(map(_is_narrow, condition.wanted))
    if condition.key == "aws:userid" and _ANONYMOUS in map(_text, (*condition.texts, *condition.wanted)):
        return False
    is_fixed = _is_of_account if condition.key == _ACCESS_POINT else _is_fixed
    return condition.key in _FIXED and condition.operator in _TEXTS and all(map(is_fixed, condition.wanted))


def _text(wanted: Any) -> str:
    """What is compared with the value of a request, in lower case, if it has neither wildcards nor variables."""
    return "".join(map(str, wanted)).lower()


def _is_narrow(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return network.prefixlen >= _BROADEST[network.version]


def _is_of_account(wanted: Any) -> bool:
    """ "When used in a bucket policy, this value can contain a wildcard for the access point name without rendering the
    policy public, as long as the account ID is fixed." """
    if _is_fixed(wanted):
        return True
    if isinstance(wanted[0], tuple):
        return _is_fixed(wanted[:_COMPONENTS])
    return isinstance(wanted[0], str) and wanted[0].count(":") >= _COMPONENTS and not has_variable(wanted)


def _is_fixed(wanted: Any) -> bool:
    """A text is a tuple of pieces, an ARN one of texts."""
    texts = wanted if any(isinstance(one, tuple) for one in wanted) else (wanted,)
    return not any(has_wildcard(text) or has_variable(text) for text in texts)
