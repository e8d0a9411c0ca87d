"""The condition operators ("IAM JSON policy elements: Condition operators").

Each has a way to read the values that a policy has for it, and a test of such a value against one of a request. What a
request has that cannot be read is equal to nothing, greater than nothing, and of no network.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import decimal
import functools
import ipaddress
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from bleepstore.access.policies.patterns import Piece, ValueOf, matches, parse_template, with_values

#: A value of a policy as it was read, one of the request, and the request's other values.
Test = Callable[[Any, str, ValueOf], bool]


@attrs.frozen
class Operator:
    """`parse` raises ValueError. `negated`: it holds where the test of no value succeeds."""

    parse: Callable[[str, bool], Any]
    test: Test
    negated: bool = False


def _template(text: str, variables: bool) -> tuple[Piece, ...]:
    return parse_template(text, variables=variables)


def plain_template(text: str, variables: bool) -> tuple[Piece, ...]:
    return parse_template(text, variables=variables, wildcards=False)


def _any_case(text: str, variables: bool) -> tuple[Piece, ...]:
    return plain_template(text, variables)


def _equals(wanted: tuple[Piece, ...], given: str, value_of: ValueOf) -> bool:
    known = with_values(wanted, value_of)
    return known is not None and "".join(map(str, known)) == given


def _equals_ignoring_case(wanted: tuple[Piece, ...], given: str, value_of: ValueOf) -> bool:
    known = with_values(wanted, value_of)
    return known is not None and "".join(map(str, known)).lower() == given.lower()


# -- ARNs: "Each of the six colon-delimited components of the ARN is checked separately and each can include multi-
# character match wildcards (*) or single-character match wildcards (?)."

_COMPONENTS = 6


def _arn(text: str, variables: bool) -> tuple[tuple[Piece, ...], ...]:
    """The components as templates. A variable is within one of them, though its key has a colon."""
    parts: list[str] = []
    depth = start = 0
    for at, character in enumerate(text):
        if text.startswith("${", at):
            depth += 1
        elif character == "}" and depth:
            depth -= 1
        elif character == ":" and not depth and len(parts) < _COMPONENTS - 1:
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    if len(parts) != _COMPONENTS or parts[0] not in ("arn", "*"):
        if text == "*":
            parts = ["*"] * _COMPONENTS
        else:
            raise ValueError(text)
    return tuple(_template(part, variables) for part in parts)


def _is_arn_like(wanted: tuple[tuple[Piece, ...], ...], given: str, value_of: ValueOf) -> bool:
    parts = given.split(":", _COMPONENTS - 1)
    return len(parts) == _COMPONENTS and all(
        matches(pieces, part, value_of) for pieces, part in zip(wanted, parts, strict=True)
    )


# -- numbers, dates, truth, bytes, addresses

_NUMBER = re.compile(r"[-+]?[0-9]{1,30}(\.[0-9]{1,30})?")


def _number(text: str, _variables: bool = False) -> decimal.Decimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return decimal.Decimal(text)


#: "W3C implementations of the ISO 8601 date formats" have it, and datetime has not.
_MONTH = re.compile(r"\d{4}-\d{2}", re.ASCII)


def _date(text: str, _variables: bool = False) -> dt.datetime:
    """ "You can specify date values in the ISO 8601 formats, or in epoch (Unix) time." """
    if _NUMBER.fullmatch(text):
        try:
            return dt.datetime.fromtimestamp(float(text), dt.UTC)
        except (OverflowError, OSError):
            raise ValueError(text) from None
    found = dt.datetime.fromisoformat(f"{text}-01" if _MONTH.fullmatch(text) else text)
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)


def _truth(text: str, _variables: bool = False) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _bytes(text: str, _variables: bool = False) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError(text) from None


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: How a server that listens for both kinds sees the clients of IPv4.
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def parse_network(text: str, _variables: bool = False) -> _Network:
    """ "If the IP address is not followed by a prefix, IAM uses the default prefix value of /32." Of an address with a
    prefix only the network counts."""
    network = ipaddress.ip_network(text, strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        return ipaddress.IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


@functools.lru_cache(maxsize=256)
def _address(given: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read once for all networks of a policy."""
    try:
        address = ipaddress.ip_address(given)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _is_within(network: _Network, given: str, _value_of: ValueOf) -> bool:
    address = _address(given)
    return address is not None and address in network


def _comparing(read: Callable[[str], Any], compare: Callable[[Any, Any], bool]) -> Test:
    """A test of a value of the request with one of the policy. The former is read once for all conditions on it."""
    read = functools.lru_cache(maxsize=256)(read)

    def test(wanted: Any, given: str, _value_of: ValueOf) -> bool:
        try:
            return compare(read(given), wanted)
        except ValueError:
            return False

    return test


_COMPARISONS = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}


def _ordered(kind: str, parse: Callable[..., Any]) -> dict[str, Operator]:
    found = {kind + name: Operator(parse, _comparing(parse, compare)) for name, compare in _COMPARISONS.items()}
    found[f"{kind}NotEquals"] = Operator(parse, found[f"{kind}Equals"].test, negated=True)
    return found


OPERATORS: Mapping[str, Operator] = {
    "StringEquals": Operator(plain_template, _equals),
    "StringNotEquals": Operator(plain_template, _equals, negated=True),
    "StringEqualsIgnoreCase": Operator(_any_case, _equals_ignoring_case),
    "StringNotEqualsIgnoreCase": Operator(_any_case, _equals_ignoring_case, negated=True),
    "StringLike": Operator(_template, matches),
    "StringNotLike": Operator(_template, matches, negated=True),
    **_ordered("Numeric", _number),
    **_ordered("Date", _date),
    "Bool": Operator(_truth, _comparing(_truth, operator.eq)),
    "BinaryEquals": Operator(_bytes, _comparing(_bytes, operator.eq)),
    "IpAddress": Operator(parse_network, _is_within),
    "NotIpAddress": Operator(parse_network, _is_within, negated=True),
    "ArnEquals": Operator(_arn, _is_arn_like),
    "ArnLike": Operator(_arn, _is_arn_like),
    "ArnNotEquals": Operator(_arn, _is_arn_like, negated=True),
    "ArnNotLike": Operator(_arn, _is_arn_like, negated=True),
}
#: Whether a key is missing ("true") or not ("false"); it is no test of a value.
NULL = "Null"
