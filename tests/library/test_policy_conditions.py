"""The conditions of policies, row by row: what a policy asks, what a request has, and whether the condition holds.

Each table names the part of AWS's documentation that it is from.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from bleepstore.access.policies.conditions import parse_conditions
from bleepstore.errors import MalformedPolicy

#: A request that does not have the key.
MISSING: tuple[str, ...] = ()
YES, NO = True, False
Row = tuple[str, Any, str | tuple[str, ...], bool]


@attrs.frozen
class Request:
    """A request that has these values and no others."""

    known: Mapping[str, tuple[str, ...]]
    undecided: tuple[str, ...] = ()

    def values(self, key: str) -> tuple[str, ...]:
        return self.known.get(key, ())

    def value(self, key: str) -> str | None:
        found = self.values(key)
        return found[0] if len(found) == 1 else None


#: What variables of the rows below stand for.
KNOWN = {"aws:username": ("ann",), "aws:userid": ("A*B",), "aws:principaltag/Team": ("red",)}


def holds(operator: str, wanted: Any, given: str | tuple[str, ...], *, key: str = "aws:Key") -> bool:
    (condition,) = parse_conditions({operator: {key: wanted}}, variables=True, lenient=True)
    values = given if isinstance(given, tuple) else (given,)
    return condition.holds(Request({**KNOWN, key.lower(): values}))


#: "String condition operators"; "Policy variables: Supported", "Wildcards: Supported" of StringLike alone.
STRINGS: list[Row] = [
    ("StringEquals", "a", "a", YES),
    ("StringEquals", "a", "A", NO),
    ("StringEquals", "a", "ab", NO),
    ("StringEquals", "", "", YES),
    ("StringEquals", "", "a", NO),
    ("StringEquals", "a*", "ab", NO),
    ("StringEquals", "a*", "a*", YES),
    ("StringEquals", "a?", "ab", NO),
    ("StringEquals", ["a", "b"], "b", YES),
    ("StringEquals", ["a", "b"], "c", NO),
    ("StringEquals", "ä", "ä", YES),
    ("StringEquals", "a\n", "a", NO),
    ("StringEquals", "a", "a\n", NO),
    ("StringEquals", "a", MISSING, NO),
    ("StringNotEquals", "a", "a", NO),
    ("StringNotEquals", "a", "A", YES),
    ("StringNotEquals", "a", "b", YES),
    ("StringNotEquals", ["a", "b"], "a", NO),
    ("StringNotEquals", ["a", "b"], "b", NO),
    ("StringNotEquals", ["a", "b"], "c", YES),
    ("StringNotEquals", "a*", "ab", YES),
    ("StringNotEquals", "a", MISSING, YES),
    ("StringEqualsIgnoreCase", "a", "A", YES),
    ("StringEqualsIgnoreCase", "A", "a", YES),
    ("StringEqualsIgnoreCase", "aB", "Ab", YES),
    ("StringEqualsIgnoreCase", "a", "b", NO),
    ("StringEqualsIgnoreCase", "a*", "AB", NO),
    ("StringEqualsIgnoreCase", "a", MISSING, NO),
    ("StringNotEqualsIgnoreCase", "a", "A", NO),
    ("StringNotEqualsIgnoreCase", "a", "b", YES),
    ("StringNotEqualsIgnoreCase", ["a", "b"], "B", NO),
    ("StringNotEqualsIgnoreCase", "a", MISSING, YES),
    ("StringLike", "a", "a", YES),
    ("StringLike", "a", "A", NO),
    ("StringLike", "a*", "a", YES),
    ("StringLike", "a*", "abc", YES),
    ("StringLike", "a*", "bac", NO),
    ("StringLike", "*a", "ba", YES),
    ("StringLike", "*a", "ab", NO),
    ("StringLike", "*", "", YES),
    ("StringLike", "*", "a/b\nc", YES),
    ("StringLike", "*", MISSING, NO),
    ("StringLike", "?", "a", YES),
    ("StringLike", "?", "", NO),
    ("StringLike", "?", "ab", NO),
    ("StringLike", "a?c", "abc", YES),
    ("StringLike", "a?c", "a/c", YES),
    ("StringLike", "a?c", "ac", NO),
    ("StringLike", "a*c", "abbbc", YES),
    ("StringLike", "a*c", "abbb", NO),
    ("StringLike", "a*b*c", "axxbyyc", YES),
    ("StringLike", "a*b*c", "axxcyyb", NO),
    ("StringLike", "*a*a*", "aa", YES),
    ("StringLike", "*a*a*", "a", NO),
    ("StringLike", "a*a", "a", NO),
    ("StringLike", "a*ab", "aab", YES),
    ("StringLike", "*ab*ab", "abab", YES),
    ("StringLike", "*ab*ab", "ab", NO),
    ("StringLike", "home/*", "home/ann/x", YES),
    ("StringLike", "home/*", "home", NO),
    ("StringLike", "a.c", "abc", NO),
    ("StringLike", "[a]", "a", NO),
    ("StringLike", "[a]", "[a]", YES),
    ("StringLike", "a+", "aa", NO),
    ("StringLike", "(a|b)", "a", NO),
    ("StringLike", "a\\*", "a\\b", YES),
    ("StringLike", ["x*", "y*"], "yy", YES),
    ("StringLike", ["x*", "y*"], "zz", NO),
    ("StringNotLike", "a*", "ab", NO),
    ("StringNotLike", "a*", "ba", YES),
    ("StringNotLike", ["a*", "b*"], "bb", NO),
    ("StringNotLike", ["a*", "b*"], "cc", YES),
    ("StringNotLike", "*", "", NO),
    ("StringNotLike", "a*", MISSING, YES),
]
#: "IAM policy elements: Variables and tags"; "Specifying default values"; "Special characters".
VARIABLES: list[Row] = [
    ("StringEquals", "${aws:username}", "ann", YES),
    ("StringEquals", "${aws:username}", "bob", NO),
    ("StringEquals", "${aws:username}", "${aws:username}", NO),
    ("StringEquals", "${AWS:UserName}", "ann", YES),
    ("StringEquals", "x-${aws:username}-y", "x-ann-y", YES),
    ("StringEquals", "${aws:username}${aws:username}", "annann", YES),
    ("StringEquals", "${aws:unknown}", "", NO),
    ("StringEquals", "${aws:unknown}", "${aws:unknown}", NO),
    ("StringEquals", "${aws:unknown, 'nobody'}", "nobody", YES),
    ("StringEquals", "${aws:unknown,'nobody'}", "nobody", YES),
    ("StringEquals", "${aws:unknown, ''}", "", YES),
    ("StringEquals", "${aws:username, 'nobody'}", "ann", YES),
    ("StringEquals", "${aws:username, 'nobody'}", "nobody", NO),
    ("StringEquals", "${aws:PrincipalTag/Team}", "red", YES),
    ("StringEquals", "${AWS:principaltag/Team}", "red", YES),
    ("StringEquals", "${aws:PrincipalTag/team}", "red", NO),
    ("StringEquals", "${aws:PrincipalTag/other, 'blue'}", "blue", YES),
    ("StringNotEquals", "${aws:username}", "ann", NO),
    ("StringNotEquals", "${aws:username}", "bob", YES),
    ("StringNotEquals", "${aws:unknown}", "bob", YES),
    ("StringLike", "${aws:username}/*", "ann/x", YES),
    ("StringLike", "${aws:username}/*", "bob/x", NO),
    ("StringLike", "*/${aws:username}", "a/b/ann", YES),
    ("StringLike", "${aws:userid}", "A*B", YES),
    ("StringLike", "${aws:userid}", "AxB", NO),
    ("StringLike", "${aws:unknown}*", "x", NO),
    ("StringNotLike", "${aws:username}/*", "ann/x", NO),
    ("StringNotLike", "${aws:username}/*", "bob/x", YES),
    ("StringLike", "a${*}", "a*", YES),
    ("StringLike", "a${*}", "ab", NO),
    ("StringLike", "a${?}", "a?", YES),
    ("StringLike", "a${?}", "ab", NO),
    ("StringLike", "${$}{x}*", "${x}y", YES),
    ("StringEquals", "${$}", "$", YES),
    ("StringEquals", "${*}", "*", YES),
    ("StringEquals", "${", "${", YES),
    ("StringEquals", "$", "$", YES),
    ("StringEqualsIgnoreCase", "${aws:username}", "ANN", YES),
    ("StringEqualsIgnoreCase", "${aws:unknown}", "ANN", NO),
    ("ArnLike", "arn:aws:iam::1:user/${aws:username}", "arn:aws:iam::1:user/ann", YES),
    ("ArnLike", "arn:aws:iam::1:user/${aws:username}", "arn:aws:iam::1:user/bob", NO),
    ("ArnLike", "arn:aws:iam::${aws:username}:root", "arn:aws:iam::ann:root", YES),
]
#: "Numeric condition operators".
NUMBERS: list[Row] = [
    ("NumericEquals", "10", "10", YES),
    ("NumericEquals", 10, "10", YES),
    ("NumericEquals", "10", "10.0", YES),
    ("NumericEquals", "10", "010", YES),
    ("NumericEquals", "10", "11", NO),
    ("NumericEquals", "-1", "-1", YES),
    ("NumericEquals", ["1", "2"], "2", YES),
    ("NumericEquals", "10", "ten", NO),
    ("NumericEquals", "10", "", NO),
    ("NumericEquals", "10", "1e1", NO),
    ("NumericEquals", "10", "NaN", NO),
    ("NumericEquals", "10", MISSING, NO),
    ("NumericNotEquals", "10", "10", NO),
    ("NumericNotEquals", "10", "11", YES),
    ("NumericNotEquals", ["1", "2"], "2", NO),
    ("NumericNotEquals", "10", "ten", YES),
    ("NumericNotEquals", "10", MISSING, YES),
    ("NumericLessThan", "10", "9", YES),
    ("NumericLessThan", "10", "10", NO),
    ("NumericLessThan", "10", "9.99", YES),
    ("NumericLessThan", "10", "x", NO),
    ("NumericLessThan", "10", MISSING, NO),
    ("NumericLessThanEquals", "10", "10", YES),
    ("NumericLessThanEquals", "10", "11", NO),
    ("NumericLessThanEquals", "10", "-11", YES),
    ("NumericLessThanEquals", "10", MISSING, NO),
    ("NumericGreaterThan", "10", "11", YES),
    ("NumericGreaterThan", "10", "10", NO),
    ("NumericGreaterThan", "1.2", "1.3", YES),
    ("NumericGreaterThan", "10", "x", NO),
    ("NumericGreaterThan", "10", MISSING, NO),
    ("NumericGreaterThanEquals", "10", "10", YES),
    ("NumericGreaterThanEquals", "10", "9", NO),
    ("NumericGreaterThanEquals", ["10", "5"], "6", YES),
    ("NumericGreaterThanEquals", "10", MISSING, NO),
]
#: "Date condition operators": "the ISO 8601 formats, or ... epoch (Unix) time".
NOON = "2030-01-01T12:00:00Z"
DATES: list[Row] = [
    ("DateEquals", NOON, NOON, YES),
    ("DateEquals", NOON, "2030-01-01T12:00:00+00:00", YES),
    ("DateEquals", NOON, "2030-01-01T13:00:00+01:00", YES),
    ("DateEquals", NOON, "1893499200", YES),
    ("DateEquals", "1893499200", NOON, YES),
    ("DateEquals", 1893499200, NOON, YES),
    ("DateEquals", "2030-01-01", "2030-01-01T00:00:00Z", YES),
    ("DateEquals", "2030-01", "2030-01-01T00:00:00Z", YES),
    ("DateEquals", "2030-01", "2030-01-02T00:00:00Z", NO),
    ("DateEquals", NOON, "2030-01-01T12:00:01Z", NO),
    ("DateEquals", NOON, "noon", NO),
    ("DateEquals", NOON, MISSING, NO),
    ("DateNotEquals", NOON, NOON, NO),
    ("DateNotEquals", NOON, "2030-01-01T12:00:01Z", YES),
    ("DateNotEquals", NOON, MISSING, YES),
    ("DateLessThan", NOON, "2030-01-01T11:59:59Z", YES),
    ("DateLessThan", NOON, NOON, NO),
    ("DateLessThan", NOON, "2031-01-01T00:00:00Z", NO),
    ("DateLessThan", NOON, "never", NO),
    ("DateLessThan", NOON, MISSING, NO),
    ("DateLessThanEquals", NOON, NOON, YES),
    ("DateLessThanEquals", NOON, "2030-01-01T12:00:01Z", NO),
    ("DateLessThanEquals", NOON, MISSING, NO),
    ("DateGreaterThan", NOON, "2030-01-01T12:00:01Z", YES),
    ("DateGreaterThan", NOON, NOON, NO),
    ("DateGreaterThan", NOON, MISSING, NO),
    ("DateGreaterThanEquals", NOON, NOON, YES),
    ("DateGreaterThanEquals", NOON, "2030-01-01T11:59:59.999Z", NO),
    ("DateGreaterThanEquals", "2029-12-31", NOON, YES),
    ("DateGreaterThanEquals", NOON, MISSING, NO),
]
#: "Boolean condition operators", "Binary condition operators".
TRUTH: list[Row] = [
    ("Bool", "true", "true", YES),
    ("Bool", True, "true", YES),
    ("Bool", "True", "true", YES),
    ("Bool", "true", "false", NO),
    ("Bool", "false", "false", YES),
    ("Bool", False, "false", YES),
    ("Bool", "false", "true", NO),
    ("Bool", "false", "", NO),
    ("Bool", "false", "yes", NO),
    ("Bool", ["true", "false"], "false", YES),
    ("Bool", "true", MISSING, NO),
    ("Bool", "false", MISSING, NO),
    ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", YES),
    ("BinaryEquals", "QmluYXJ5", "QmluYXJ6", NO),
    ("BinaryEquals", "QmluYXJ5", "!", NO),
    ("BinaryEquals", "QmluYXJ5", MISSING, NO),
]
#: "IP address condition operators": IPv4 and IPv6, with and without a prefix.
ADDRESSES: list[Row] = [
    ("IpAddress", "203.0.113.0/24", "203.0.113.0", YES),
    ("IpAddress", "203.0.113.0/24", "203.0.113.255", YES),
    ("IpAddress", "203.0.113.0/24", "203.0.114.0", NO),
    ("IpAddress", "203.0.113.7", "203.0.113.7", YES),
    ("IpAddress", "203.0.113.7", "203.0.113.8", NO),
    ("IpAddress", "203.0.113.7/24", "203.0.113.200", YES),
    ("IpAddress", "0.0.0.0/0", "8.8.8.8", YES),
    ("IpAddress", "0.0.0.0/0", "2001:db8::1", NO),
    ("IpAddress", "2001:DB8:1234:5678::/64", "2001:db8:1234:5678::1", YES),
    ("IpAddress", "2001:db8:1234:5678::/64", "2001:db8:1234:5679::1", NO),
    ("IpAddress", "::1", "::1", YES),
    ("IpAddress", "::/0", "203.0.113.7", NO),
    ("IpAddress", ["10.0.0.0/8", "192.168.0.0/16"], "192.168.1.1", YES),
    ("IpAddress", ["10.0.0.0/8", "192.168.0.0/16"], "172.16.0.1", NO),
    ("IpAddress", "10.0.0.0/8", "", NO),
    ("IpAddress", "10.0.0.0/8", "localhost", NO),
    ("IpAddress", "10.0.0.0/8", MISSING, NO),
    ("NotIpAddress", "10.0.0.0/8", "10.1.2.3", NO),
    ("NotIpAddress", "10.0.0.0/8", "11.1.2.3", YES),
    ("NotIpAddress", ["10.0.0.0/8", "11.0.0.0/8"], "11.1.2.3", NO),
    ("NotIpAddress", "10.0.0.0/8", "2001:db8::1", YES),
    ("NotIpAddress", "10.0.0.0/8", "localhost", YES),
    ("NotIpAddress", "10.0.0.0/8", MISSING, YES),
]
#: "Amazon Resource Name (ARN) condition operators": "ArnEquals and ArnLike behave identically." "Each of the six
#: colon-delimited components of the ARN is checked separately".
ARNS: list[Row] = [
    (operator, wanted, given, expected)
    for operator in ("ArnEquals", "ArnLike")
    for wanted, given, expected in (
        ("arn:aws:s3:::photos", "arn:aws:s3:::photos", YES),
        ("arn:aws:s3:::photos", "arn:aws:s3:::photo", NO),
        ("arn:aws:s3:::Photos", "arn:aws:s3:::photos", NO),
        ("arn:aws:s3:::photo*", "arn:aws:s3:::photos", YES),
        ("arn:aws:s3:::photo?", "arn:aws:s3:::photos", YES),
        ("arn:aws:iam::*:user/ann", "arn:aws:iam::123456789012:user/ann", YES),
        ("arn:aws:iam::*:user/ann", "arn:aws:iam::123456789012:user/bob", NO),
        ("arn:aws:*:*:*:user/ann", "arn:aws:iam::123456789012:user/ann", YES),
        ("arn:aws:iam::123456789012:user/*", "arn:aws:iam::123456789012:user/a/b:c", YES),
        ("arn:*:iam::*:*", "arn:aws-cn:iam::1:root", YES),
        ("arn:aws:sns:*:123456789012:*", "arn:aws:sns:eu-west-1:123456789012:topic", YES),
        ("arn:aws:sns:*:123456789012:*", "arn:aws:sns:eu-west-1:210987654321:topic", NO),
        ("*", "arn:aws:sns:eu-west-1:210987654321:topic", YES),
        ("*", "no ARN", NO),
        (["arn:aws:s3:::a", "arn:aws:s3:::b"], "arn:aws:s3:::b", YES),
        ("arn:aws:s3:::photos", MISSING, NO),
    )
] + [
    (f"ArnNot{name}", wanted, given, expected)
    for name in ("Equals", "Like")
    for wanted, given, expected in (
        ("arn:aws:s3:::photo*", "arn:aws:s3:::photos", NO),
        ("arn:aws:s3:::photo*", "arn:aws:s3:::videos", YES),
        (["arn:aws:s3:::a", "arn:aws:s3:::b"], "arn:aws:s3:::b", NO),
        ("arn:aws:s3:::photos", "no ARN", YES),
        ("arn:aws:s3:::photos", MISSING, YES),
    )
]
#: "...IfExists condition operators": "If the policy key is present in the context of the request, process the key as
#: specified in the policy. If the key is not present, evaluate the condition element as true."
IF_EXISTS: list[Row] = [
    (f"{operator}IfExists", wanted, given, expected)
    for operator, wanted, good, bad in (
        ("StringEquals", "a", "a", "b"),
        ("StringNotEquals", "a", "b", "a"),
        ("StringEqualsIgnoreCase", "a", "A", "b"),
        ("StringNotEqualsIgnoreCase", "a", "b", "A"),
        ("StringLike", "a*", "ab", "ba"),
        ("StringNotLike", "a*", "ba", "ab"),
        ("NumericEquals", "1", "1", "2"),
        ("NumericNotEquals", "1", "2", "1"),
        ("NumericLessThan", "1", "0", "2"),
        ("NumericLessThanEquals", "1", "1", "2"),
        ("NumericGreaterThan", "1", "2", "0"),
        ("NumericGreaterThanEquals", "1", "1", "0"),
        ("DateEquals", NOON, NOON, "2030-01-02"),
        ("DateNotEquals", NOON, "2030-01-02", NOON),
        ("DateLessThan", NOON, "2029-01-01", "2031-01-01"),
        ("DateLessThanEquals", NOON, "2029-01-01", "2031-01-01"),
        ("DateGreaterThan", NOON, "2031-01-01", "2029-01-01"),
        ("DateGreaterThanEquals", NOON, "2031-01-01", "2029-01-01"),
        ("Bool", "true", "true", "false"),
        ("BinaryEquals", "YQ==", "YQ==", "Yg=="),
        ("IpAddress", "10.0.0.0/8", "10.1.1.1", "11.1.1.1"),
        ("NotIpAddress", "10.0.0.0/8", "11.1.1.1", "10.1.1.1"),
        ("ArnLike", "arn:aws:s3:::a", "arn:aws:s3:::a", "arn:aws:s3:::b"),
        ("ArnEquals", "arn:aws:s3:::a", "arn:aws:s3:::a", "arn:aws:s3:::b"),
        ("ArnNotLike", "arn:aws:s3:::a", "arn:aws:s3:::b", "arn:aws:s3:::a"),
        ("ArnNotEquals", "arn:aws:s3:::a", "arn:aws:s3:::b", "arn:aws:s3:::a"),
    )
    for given, expected in ((good, YES), (bad, NO), (MISSING, YES))
]
#: "Null condition operator": "true (the key doesn't exist - it is null) or false (the key exists and its value is not
#: null)".
NULL: list[Row] = [
    ("Null", "true", MISSING, YES),
    ("Null", "true", "a", NO),
    ("Null", "false", MISSING, NO),
    ("Null", "false", "a", YES),
    ("Null", "false", "", YES),
    ("Null", True, MISSING, YES),
    ("Null", False, "a", YES),
    ("Null", ["true", "false"], "a", YES),
    ("Null", ["true", "false"], MISSING, YES),
]
#: "Set operators for multivalued context keys", with the tables of "Evaluation logic for multivalued context keys".
SETS: list[Row] = [
    ("ForAllValues:StringEquals", ["a", "b"], ("a",), YES),
    ("ForAllValues:StringEquals", ["a", "b"], ("a", "b"), YES),
    ("ForAllValues:StringEquals", ["a", "b"], ("a", "c"), NO),
    ("ForAllValues:StringEquals", ["a", "b"], ("c",), NO),
    ("ForAllValues:StringEquals", ["a", "b"], MISSING, YES),
    ("ForAllValues:StringNotEquals", ["a", "b"], ("c", "d"), YES),
    ("ForAllValues:StringNotEquals", ["a", "b"], ("a", "c"), NO),
    ("ForAllValues:StringNotEquals", ["a", "b"], MISSING, YES),
    ("ForAllValues:StringLike", ["a*"], ("ab", "ac"), YES),
    ("ForAllValues:StringLike", ["a*"], ("ab", "bc"), NO),
    ("ForAllValues:StringNotLike", ["a*"], ("bb", "bc"), YES),
    ("ForAllValues:NumericLessThan", ["10"], ("1", "2"), YES),
    ("ForAllValues:NumericLessThan", ["10"], ("1", "20"), NO),
    ("ForAllValues:StringEqualsIfExists", ["a"], MISSING, YES),
    ("ForAllValues:StringEqualsIfExists", ["a"], ("b",), NO),
    ("ForAllValues:ArnLike", ["arn:aws:s3:::a*"], ("arn:aws:s3:::ab", "arn:aws:s3:::ac"), YES),
    ("ForAllValues:ArnLike", ["arn:aws:s3:::a*"], ("arn:aws:s3:::ab", "arn:aws:s3:::b"), NO),
    ("ForAnyValue:StringEquals", ["a", "b"], ("a",), YES),
    ("ForAnyValue:StringEquals", ["a", "b"], ("c", "b"), YES),
    ("ForAnyValue:StringEquals", ["a", "b"], ("c", "d"), NO),
    ("ForAnyValue:StringEquals", ["a", "b"], MISSING, NO),
    ("ForAnyValue:StringNotEquals", ["a", "b"], ("a", "c"), YES),
    ("ForAnyValue:StringNotEquals", ["a", "b"], ("a", "b"), NO),
    ("ForAnyValue:StringNotEquals", ["a", "b"], MISSING, NO),
    ("ForAnyValue:StringLike", ["a*"], ("b", "ab"), YES),
    ("ForAnyValue:StringLike", ["a*"], ("b", "c"), NO),
    ("ForAnyValue:StringNotLike", ["a*"], ("ab", "b"), YES),
    ("ForAnyValue:StringNotLike", ["a*"], ("ab", "ac"), NO),
    ("ForAnyValue:StringEqualsIfExists", ["a"], MISSING, YES),
    ("ForAnyValue:IpAddress", ["10.0.0.0/8"], ("11.1.1.1", "10.1.1.1"), YES),
    ("ForAnyValue:Bool", "true", ("false", "true"), YES),
    ("StringEquals", "a", ("a", "b"), YES),
    ("StringEquals", "a", ("c", "b"), NO),
    ("StringNotEquals", "a", ("a", "b"), NO),
    ("StringNotEquals", "a", ("c", "b"), YES),
]
TABLES = {
    "strings": STRINGS,
    "variables": VARIABLES,
    "numbers": NUMBERS,
    "dates": DATES,
    "truth": TRUTH,
    "addresses": ADDRESSES,
    "arns": ARNS,
    "if exists": IF_EXISTS,
    "null": NULL,
    "sets": SETS,
}
ROWS = [(f"{name} {number}", row) for name, rows in TABLES.items() for number, row in enumerate(rows, 1)]


@pytest.mark.parametrize("row", [row for _name, row in ROWS], ids=[name for name, _row in ROWS])
def test_a_condition_holds_as_the_documentation_says(row: Row) -> None:
    operator, wanted, given, expected = row
    assert holds(operator, wanted, given) is expected


def test_there_are_enough_rows() -> None:
    assert len(ROWS) >= 330


@pytest.mark.parametrize(
    ("operator", "wanted"),
    [
        ("NumericEquals", "ten"), ("NumericEquals", ""), ("NumericLessThan", "NaN"), ("NumericLessThan", "1e9"),
        ("DateEquals", "tomorrow"), ("DateEquals", "2030-13-01"), ("Bool", "yes"), ("Bool", "1"), ("Null", "maybe"),
        ("IpAddress", "10.0.0.0/33"), ("IpAddress", "10.0.0"), ("NotIpAddress", "*"), ("BinaryEquals", "?"),
        ("ArnLike", "photos"), ("ArnEquals", "arn:aws:s3"), ("StringEquals", None), ("StringEquals", [[]]),
        ("StringEquals", {}), ("StringEquals", []),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(operator: str, wanted: Any) -> None:
    with pytest.raises(MalformedPolicy):
        holds(operator, wanted, "a")


@pytest.mark.parametrize(
    "operator",
    [
        "StringEqual", "stringEquals", "", "IfExists", "NullIfExists", "ForAllValues:Null",
        "ForSomeValues:StringEquals",
        "ForAllValues:", "StringEqualsIfExistsIfExists", "StringMatches", "ForAllValues:ForAnyValue:StringEquals",
    ],
)  # fmt: skip
def test_an_unknown_operator_is_refused(operator: str) -> None:
    with pytest.raises(MalformedPolicy) as refused:
        holds(operator, "true", "a")
    assert refused.value.reason == f"Invalid Condition type : {operator}"


@pytest.mark.parametrize("key", ["s3:unknown", "prefix", "", "aws:", "s3:", ":", "ec2:Region", "s3:RequestObjectTag"])
def test_an_unknown_key_is_refused(key: str) -> None:
    with pytest.raises(MalformedPolicy) as refused:
        holds("StringEquals", "a", "a", key=key)
    assert refused.value.reason == "Policy has an invalid condition key"


def test_a_key_of_aws_that_nobody_knows_is_missing() -> None:
    """There may be new ones. "If the key that you specify in a policy condition is not present in the request context,
    the values do not match"; a condition that negates holds, so that what it denies is denied."""
    assert not holds("StringEquals", "a", MISSING, key="aws:BrandNew")
    assert holds("StringNotEquals", "a", MISSING, key="aws:BrandNew")


def test_names_of_keys_have_no_case_and_tags_have_one() -> None:
    (condition,) = parse_conditions(
        {"StringEquals": {"S3:existingobjecttag/Team": "red"}}, variables=True, lenient=False
    )
    assert condition.key == "s3:existingobjecttag/Team"


def test_variables_are_of_the_newer_version_alone() -> None:
    (condition,) = parse_conditions({"StringEquals": {"aws:Key": "${aws:username}"}}, variables=False, lenient=False)
    assert condition.holds(Request({**KNOWN, "aws:key": ("${aws:username}",)}))
    assert not condition.holds(Request({**KNOWN, "aws:key": ("ann",)}))


def test_no_pattern_takes_long() -> None:
    """An expression that goes back over all it has tried would take longer than the universe has existed."""
    for pattern in ("*a" * 40 + "b", "a*" * 500 + "b", "*?" * 500 + "b", "*a*a*" * 100 + "b"):
        assert not holds("StringLike", pattern, "a" * 1000 + "c")


def test_all_operators_of_the_documentation_are_known() -> None:
    kinds = {
        "String": ("Equals", "NotEquals", "EqualsIgnoreCase", "NotEqualsIgnoreCase", "Like", "NotLike"),
        "Numeric": ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"),
        "Date": ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"),
        "Arn": ("Equals", "Like", "NotEquals", "NotLike"),
        "": ("Bool", "BinaryEquals", "IpAddress", "NotIpAddress"),
    }
    names = {kind + name for kind, ends in kinds.items() for name in ends}
    in_rows = {row[0].removesuffix("IfExists") for row in itertools.chain.from_iterable(TABLES.values())}
    assert names <= in_rows
