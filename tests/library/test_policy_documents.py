"""What is a policy, whom and what its statements are about, and what of it makes a bucket public."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bleepstore.access.actions import Action
from bleepstore.access.policies import MAX_POLICY_BYTES, compile_policy, is_public, names
from bleepstore.errors import MalformedPolicy

BUCKET, OBJECTS = "arn:aws:s3:::photos", "arn:aws:s3:::photos/*"


def statement(**changes: Any) -> dict[str, Any]:
    """One that is valid, with `changes`; None takes an element away."""
    made = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": OBJECTS, **changes}
    return {name: value for name, value in made.items() if value is not None}


def text_of(*statements: Any, **more: Any) -> str:
    return json.dumps({"Version": "2012-10-17", **more, "Statement": list(statements)})


def refusal(text: str, bucket: str | None = "photos") -> str:
    with pytest.raises(MalformedPolicy) as refused:
        compile_policy(text, bucket)
    return refused.value.reason


NOT_JSON = "Policies must be valid JSON and the first byte must be '{'"
INVALID = "This policy contains invalid Json"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", NOT_JSON), ("[]", NOT_JSON), ("null", NOT_JSON), ("<Policy/>", NOT_JSON), ("{", INVALID), ("{} {}",
        INVALID),
        ('{"Version": NaN}', INVALID), ('{"Statement": [], "Statement": []}', INVALID),
        ('{"Id": "\\ud800"}', "Missing required field Statement"), ("{" * 5000, INVALID),
        ('{"a":' * 4000 + "1" + "}" * 4000, "Policy exceeds the maximum allowed document size."),
        ("{" + " " * MAX_POLICY_BYTES + "}", "Policy exceeds the maximum allowed document size."),
        ("{}", "Missing required field Statement"), ('{"Statement": []}',
        "Could not parse the policy: Statement is empty!"),
        (text_of(statement(), Version="2013-01-01"), "The policy must contain a valid version string"),
        (text_of(statement(), Version=None), "The policy must contain a valid version string"),
        (text_of(statement(), Id=1), "Invalid policy syntax."),
        (text_of(statement(), Statements=[]), "Unknown field Statements"),
        (text_of("Allow"), "Invalid policy syntax."), (text_of([]), "Invalid policy syntax."),
        (text_of({}), "Missing required field Effect"), (text_of(statement(Effect="allow")), "Invalid effect: allow"),
        (text_of(statement(Sid=1)), "Invalid policy syntax."), (text_of(statement(Acton="x")), "Unknown field Acton"),
        (text_of(statement(Sid="a"), statement(Sid="a")), "Statement IDs (SID) in a single policy must be unique."),
        (text_of(statement(Principal=None)), "Missing required field Principal"),
        (text_of(statement(NotPrincipal="*")), "Statement/policy already has instance of Principal"),
        (text_of(statement(Action=None)), "Missing required field Action"),
        (text_of(statement(NotAction="s3:*")), "Statement/policy already has instance of Action"),
        (text_of(statement(Resource=None)), "Missing required field Resource"),
        (text_of(statement(NotResource=OBJECTS)), "Statement/policy already has instance of Resource"),
        (text_of(statement(Condition=[])), "Invalid policy syntax."),
        (text_of(statement(Condition={"Bool": "true"})), "Invalid policy syntax."),
    ],
)  # fmt: skip
def test_what_is_no_policy_is_refused_in_amazons_words(text: str, reason: str) -> None:
    assert refusal(text) == reason


@pytest.mark.parametrize(
    "action",
    [
        "",
        "GetObject",
        "s3",
        "s3:",
        "s3:GetObjects",
        "ec2:*",
        "s3:Frob*",
        1,
        [],
        ["s3:GetObject", "s3:Nothing"],
        None,
        {},
    ],
)
def test_an_action_that_s3_has_not_is_refused(action: Any) -> None:
    reason = "Missing required field Action" if action is None else "Policy has invalid action"
    assert refusal(text_of(statement(Action=action))) == reason


@pytest.mark.parametrize(
    "resource",
    [
        "", "*", "photos", "photos/*", "arn:aws:s3:::", "arn:aws:s3:::other", "arn:aws:s3:::other/*", "arn:aws:s3:::*",
        "arn:aws:s3:::photos2", "arn:aws:s3:::photo*", "arn:aws:s3:::Photos/*", "arn:aws:s3:us-east-1::photos", 1, [],
        "arn:aws:s3:::${aws:username}/*", [OBJECTS, "arn:aws:s3:::other"],
    ],
)  # fmt: skip
def test_a_resource_that_is_not_of_the_bucket_is_refused(resource: Any) -> None:
    assert refusal(text_of(statement(Resource=resource, Action="s3:*"))) == "Policy has invalid resource"


@pytest.mark.parametrize(
    "principal",
    [
        "", "alice", "arn:aws:iam::1:root", {}, [], {"AWS": ""}, {"AWS": []}, {"AWS": 1},
        {"AWS": "arn:aws:iam::1:role/*"}, {"AWS": "arn:aws:iam::1:role/"}, {"AWS": "arn:aws:sts::1:assumed-role/a"},
        {"AWS": "arn:aws:iam::1:user/*"}, {"AWS": "arn:aws:iam::*:root"}, {"AWS": "arn:aws:iam::1:group/x"},
        {"AWS": "arn:aws:sts::1:assumed-role/a/*"}, {"AWS": "arn:aws:iam:::root"}, {"AWS": "a*"},
        {"CanonicalUser": "*"},
        {"CanonicalUser": "arn:aws:iam::1:root"}, {"Service": "*"}, {"Service": "example.com"},
        {"Federated": "x.example"},
        {"Users": "alice"}, {"AWS": ["alice", None]},
        {"AWS": ["*", "a*"]}, {"AWS": "*", "Users": "alice"}, {"AWS": ["*", None]},
    ],
)  # fmt: skip
def test_a_principal_that_is_nobody_is_refused(principal: Any) -> None:
    assert refusal(text_of(statement(Principal=principal))) == "Invalid principal in policy"


def test_everybody_cannot_be_left_out() -> None:
    assert refusal(text_of(statement(Principal=None, NotPrincipal="*"))) == "Invalid principal in policy"


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        ({"AWS": "alice"}, {"account:alice"}),
        ({"AWS": "123456789012"}, {"account:123456789012"}),
        ({"AWS": "arn:aws:iam::123456789012:root"}, {"account:123456789012"}),
        ({"AWS": "arn:aws:iam::alice:user/ann"}, {"user:alice/ann"}),
        ({"AWS": "arn:aws:iam::alice:user/team/ann"}, {"user:alice/team/ann"}),
        ({"CanonicalUser": "79a59df900b949e55d96a1e698fbaced"}, {"account:79a59df900b949e55d96a1e698fbaced"}),
        ({"AWS": ["alice", "bob"], "CanonicalUser": ["carol"]}, {"account:alice", "account:bob", "account:carol"}),
        ({"Service": "logging.s3.amazonaws.com"}, {"service:logging.s3.amazonaws.com"}),
        ({"Service": ["delivery.logs.amazonaws.com", "cloudtrail.amazonaws.com"], "AWS": "alice"},
         {"service:delivery.logs.amazonaws.com", "service:cloudtrail.amazonaws.com", "account:alice"}),
        ("*", None), ({"AWS": "*"}, None), ({"AWS": ["alice", "*"]}, None),
    ],
)  # fmt: skip
def test_principals_are_read(principal: Any, expected: set[str] | None) -> None:
    (read,) = compile_policy(text_of(statement(Principal=principal)), "photos").statements
    assert read.principals is not None
    assert read.principals.names == expected


PAIR = "Action does not apply to any resource(s) in statement"


@pytest.mark.parametrize(
    ("action", "resource", "is_fit"),
    [
        ("s3:GetObject", BUCKET, False), ("s3:ListBucket", OBJECTS, False), ("s3:ListBucket", BUCKET, True),
        ("s3:GetObject", [BUCKET, OBJECTS], True), (["s3:GetObject", "s3:ListBucket"], OBJECTS, False),
        (["s3:GetObject", "s3:ListBucket"], [BUCKET, OBJECTS], True), ("s3:*", BUCKET, True), ("s3:*", OBJECTS, True),
        ("*", OBJECTS, True), ("s3:Get*", BUCKET, True), ("s3:GetObject*", BUCKET, False), ("s3:List*", OBJECTS, True),
        ("s3:ListAllMyBuckets", [BUCKET, OBJECTS], False), ("s3:GetObject", BUCKET + "*", True),
        ("s3:ListBucket", BUCKET + "*", True), ("s3:GetObject", BUCKET + "/a/b.txt", True), ("S3:getobject", OBJECTS,
        True),
        ("s3:GetObjec?", OBJECTS, True), ("s3:PutBucketNotification", BUCKET, True), ("s3:ReplicateObject", OBJECTS,
        True),
    ],
)  # fmt: skip
def test_actions_need_a_resource_of_their_sort(action: Any, resource: Any, is_fit: bool) -> None:
    text = text_of(statement(Action=action, Resource=resource))
    if is_fit:
        compile_policy(text, "photos")
    else:
        assert refusal(text) == PAIR


KEYS = "Conditions do not apply to combination of actions and resources in statement"


@pytest.mark.parametrize(
    ("action", "key", "is_fit"),
    [
        ("s3:ListBucket", "s3:prefix", True), ("s3:GetObject", "s3:prefix", False), ("s3:*", "s3:prefix", True),
        ("s3:ListBucketVersions", "s3:max-keys", True), ("s3:PutObject", "s3:x-amz-acl", True),
        ("s3:GetObject", "s3:x-amz-acl", False), ("s3:GetObject", "s3:ExistingObjectTag/a", True),
        ("s3:DeleteObject", "s3:ExistingObjectTag/a", False), ("s3:PutObject", "s3:RequestObjectTag/a", True),
        ("s3:GetObject", "s3:RequestObjectTagKeys", False), ("s3:PutObject", "s3:object-lock-mode", True),
        ("s3:GetObjectVersion", "s3:VersionId", True), ("s3:GetObject", "s3:authType", True),
        ("s3:PutObject", "s3:x-amz-server-side-encryption", True), ("s3:GetObject", "aws:SourceIp", True),
        ("s3:GetObject", "s3:TlsVersion", True),
    ],
)  # fmt: skip
def test_conditions_need_an_action_that_has_their_key(action: str, key: str, is_fit: bool) -> None:
    resource = BUCKET if "Bucket" in action else OBJECTS
    text = text_of(statement(Action=action, Resource=resource, Condition={"StringEquals": {key: "a"}}))
    if is_fit:
        compile_policy(text, "photos")
    else:
        assert refusal(text) == KEYS


def test_every_action_of_the_store_is_one_of_s3() -> None:
    known = names.OBJECT_ACTIONS | names.BUCKET_ACTIONS | names.OTHER_ACTIONS
    assert {action.removeprefix("s3:") for action in Action} <= known
    assert names.OBJECT_ACTIONS.isdisjoint(names.BUCKET_ACTIONS)


def test_a_policy_is_compiled_once() -> None:
    text = text_of(statement())
    assert compile_policy(text, "photos") is compile_policy(text, "photos")


POINT = "arn:aws:s3:us-west-2:"


#: "The meaning of public": a policy is public unless what it allows is for fixed values alone.
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True), ({"Principal": {"AWS": "*"}}, True), ({"Principal": {"AWS": "alice"}}, False),
        ({"Principal": {"CanonicalUser": "alice"}}, False), ({"Principal": {"Service": "sns.amazonaws.com"}}, False),
        ({"Principal": None, "NotPrincipal": {"AWS": "alice"}}, True), ({"Effect": "Deny"}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/1"}}}, True),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}}, True),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "2001:db8::/32"}}}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "2000::/3"}}}, True),
        ({"Condition": {"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "0.0.0.0/1"]}}}, True),
        ({"Condition": {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}, True),
        ({"Condition": {"IpAddressIfExists": {"aws:SourceIp": "203.0.113.0/24"}}}, True),
        ({"Condition": {"StringEquals": {"aws:SourceVpc": "vpc-91237329"}}}, False),
        ({"Condition": {"StringLike": {"aws:SourceVpc": "vpc-91237329"}}}, False),
        ({"Condition": {"StringLike": {"aws:SourceVpc": "vpc-*"}}}, True),
        ({"Condition": {"StringEquals": {"aws:SourceVpc": "${aws:username}"}}}, True),
        ({"Condition": {"StringNotEquals": {"aws:SourceVpc": "vpc-91237329"}}}, True),
        ({"Condition": {"StringEqualsIfExists": {"aws:SourceVpc": "vpc-91237329"}}}, True),
        ({"Condition": {"ForAllValues:StringEquals": {"aws:SourceVpc": "vpc-91237329"}}}, True),
        ({"Condition": {"ForAnyValue:StringEquals": {"aws:PrincipalOrgPaths": "o-a1b2c3/r-ab/"}}}, False),
        ({"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:sns:us-east-1:123456789012:topic"}}}, False),
        ({"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:123456789012:*"}}}, True),
        ({"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3"}}}, False),
        ({"Condition": {"StringEquals": {"aws:PrincipalOrgID": ["o-a1b2c3", "o-d4e5f6"]}}}, False),
        ({"Condition": {"StringLike": {"aws:PrincipalOrgID": "o-*"}}}, True),
        ({"Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}}, False),
        ({"Condition": {"StringEquals": {"aws:SourceOwner": "123456789012"}}}, False),
        ({"Condition": {"StringEquals": {"aws:SourceVpce": "vpce-1a2b3c4d"}}}, False),
        ({"Condition": {"StringEqualsIgnoreCase": {"aws:SourceVpce": "VPCE-1A2B3C4D"}}}, False),
        ({"Condition": {"StringLike": {"aws:userid": "AROAEXAMPLEID:*"}}}, True),
        ({"Condition": {"StringEquals": {"aws:userid": "anonymous"}}}, True),
        ({"Condition": {"StringEquals": {"aws:PrincipalAccount": "123456789012"}}}, True),
        ({"Condition": {"StringEquals": {"s3:DataAccessPointAccount": "123456789012"}}}, False),
        ({"Condition": {"ArnLike": {"s3:DataAccessPointArn": POINT + "123456789012:accesspoint/*"}}}, False),
        ({"Condition": {"StringLike": {"s3:DataAccessPointArn": POINT + "123456789012:accesspoint/*"}}}, False),
        ({"Condition": {"ArnLike": {"s3:DataAccessPointArn": POINT + "*:accesspoint/logs"}}}, True),
        ({"Condition": {"StringLike": {"s3:DataAccessPointArn": POINT + "12345678*:accesspoint/*"}}}, True),
        ({"Condition": {"StringLike": {"s3:DataAccessPointArn": "*"}}}, True),
        ({"Action": "s3:PutObject",
          "Condition": {"StringEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": "key-1"}}}, False),
        ({"Action": None, "NotAction": "s3:DeleteObject"}, True),
        ({"Resource": None, "NotResource": "arn:aws:s3:::photos/private/*"}, True),
        ({"Condition": {"StringEquals": {"aws:userid": "AIDACKCEVSQ6C2EXAMPLE"}}}, False),
        ({"Condition": {"StringEquals": {"aws:Referer": "https://example.com/"}}}, True),
        ({"Condition": {"Bool": {"aws:SecureTransport": "true"}}}, True),
        ({"Condition": {"Null": {"aws:SourceVpc": "false"}}}, True),
        ({"Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}, "Bool": {"aws:SecureTransport": True}}}, False),
    ],
)  # fmt: skip
def test_a_policy_is_public_unless_it_is_for_fixed_values(changes: dict[str, Any], expected: bool) -> None:
    assert is_public(text_of(statement(**changes)), "photos") is expected
    private = statement(Principal={"AWS": "alice"})
    assert is_public(text_of(private, statement(**changes)), "photos") is expected
