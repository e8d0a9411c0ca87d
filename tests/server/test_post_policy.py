"""The policy of a form: its signature, its expiry, and each of its conditions."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import json
from typing import Any

import attrs
import pytest
from botocore.auth import HmacV1PostAuth, S3SigV4PostAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bleepstore_server.wire import sigv2
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.post_policy import PolicyGrant, verify_form

ACCESS, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = 1_700_000_000
LATER = dt.datetime.fromtimestamp(NOW + 60, dt.UTC).isoformat().replace("+00:00", "Z")


@attrs.frozen
class Key:
    secret_key: str


def lookup(access_key: str) -> Key | None:
    return Key(SECRET) if access_key == ACCESS else None


def form(conditions: Any, fields: dict[str, str] | None = None, **document: Any) -> list[tuple[str, str]]:
    """A form with a policy, signed with version 2."""
    policy = {"expiration": LATER, "conditions": conditions, **document}
    encoded = base64.b64encode(json.dumps(policy).encode()).decode()
    return signed(encoded, fields)


def signed(encoded: str, fields: dict[str, str] | None = None) -> list[tuple[str, str]]:
    given = {"key": "k", **(fields or {})}
    return [
        *given.items(),
        ("policy", encoded),
        ("AWSAccessKeyId", ACCESS),
        ("signature", sigv2.sign(SECRET, encoded)),
    ]


def verify(
    fields: list[tuple[str, str]], bucket: str = "photos", now: int = NOW, region: str | None = None
) -> PolicyGrant[Key] | None:
    return verify_form({name.lower(): value for name, value in fields}, bucket, lookup, now, region)


def refusal(fields: list[tuple[str, str]], now: int = NOW) -> RequestError:
    with pytest.raises(RequestError) as refused:
        verify(fields, now=now)
    return refused.value


BUCKET_AND_KEY: list[Any] = [{"bucket": "photos"}, ["starts-with", "$key", ""]]


@pytest.mark.parametrize("signer", [HmacV1PostAuth, S3SigV4PostAuth])
def test_what_botocore_signs_is_accepted(signer: Any) -> None:
    fields = {"key": "k", "acl": "public-read"}
    policy = {
        "expiration": "2999-01-01T00:00:00Z",
        "conditions": [{"bucket": "photos"}, {"key": "k"}, {"acl": "public-read"}],
    }
    request = AWSRequest("POST", "http://localhost/photos")
    request.context["s3-presign-post-fields"] = fields
    request.context["s3-presign-post-policy"] = policy
    credentials = Credentials(ACCESS, SECRET)
    (signer(credentials, "s3", "us-east-1") if signer is S3SigV4PostAuth else signer(credentials)).add_auth(request)
    signed_fields = request.context["s3-presign-post-fields"]
    granted = verify(list(signed_fields.items()))
    assert granted is not None
    assert granted.access_key == ACCESS
    for name in signed_fields:
        if name.lower() in ("policy", "signature", "x-amz-signature"):
            changed = {**signed_fields, name: "A" + signed_fields[name][1:]}
            if changed[name] != signed_fields[name]:
                assert refusal(list(changed.items())).code == "SignatureDoesNotMatch"
        if name.lower() not in ("policy",):
            assert refusal([pair for pair in signed_fields.items() if pair[0] != name]).status in (400, 403), name


def test_a_form_without_a_policy_is_anonymous_and_may_not_pretend() -> None:
    assert verify([("key", "k")]) is None
    for extra in ("signature", "X-Amz-Signature"):
        assert refusal([("key", "k"), (extra, "x")]).code == "InvalidArgument"


def test_signatures() -> None:
    good = form(BUCKET_AND_KEY)
    assert verify(good) is not None
    assert refusal([pair for pair in good if pair[0] != "signature"]).code == "InvalidArgument"
    assert refusal([pair for pair in good if pair[0] != "AWSAccessKeyId"]).code == "InvalidArgument"
    unknown = [(name, "AKIANOBODY" if name == "AWSAccessKeyId" else value) for name, value in good]
    assert refusal(unknown).code == "InvalidAccessKeyId"
    wrong = [(name, "é" if name == "signature" else value) for name, value in good]
    assert refusal(wrong).code == "SignatureDoesNotMatch"


V4 = {
    "x-amz-algorithm": "AWS4-HMAC-SHA256",
    "x-amz-credential": f"{ACCESS}/20231114/us-east-1/s3/aws4_request",
    "x-amz-date": "20231114T000000Z",
    "x-amz-signature": "0",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, None) for name in V4 if name != "x-amz-algorithm"),
        ("x-amz-algorithm", ""),
        ("x-amz-algorithm", "AWS4-HMAC-SHA1"),
        ("x-amz-algorithm", "aws4-hmac-sha256"),
        ("x-amz-date", "x"),
        ("x-amz-credential", f"{ACCESS}/20231115/us-east-1/s3/aws4_request"),
        ("x-amz-credential", "nonsense"),
        ("x-amz-credential", f"{ACCESS}/20231114/us-east-1/s3/aws4"),
        ("x-amz-credential", f"{ACCESS}/20231114/us-east-1/ec2/aws4_request"),
        ("x-amz-credential", "/20231114/us-east-1/s3/aws4_request"),
    ],
)
def test_version_4_is_said_in_full(name: str, value: str | None) -> None:
    """Also where a valid signature of version 2 comes along: one form, one way to sign it."""
    good = form(BUCKET_AND_KEY)
    assert refusal([*good, *V4.items()]).code == "SignatureDoesNotMatch"
    changed = {**V4, name: value}
    error = refusal([*good, *((n, v) for n, v in changed.items() if v is not None)])
    assert (error.code, error.fields["ArgumentName"]) == ("InvalidArgument", name)


def test_a_form_is_signed_for_the_region_of_a_strict_store() -> None:
    signing = [*form(BUCKET_AND_KEY), *V4.items()]
    for region, code in ((None, "SignatureDoesNotMatch"), ("us-east-1", "SignatureDoesNotMatch")):
        with pytest.raises(RequestError, match=code):
            verify(signing, region=region)
    with pytest.raises(RequestError, match="expecting 'eu-west-1'"):
        verify(signing, region="eu-west-1")


def test_a_policy_expires() -> None:
    assert verify(form(BUCKET_AND_KEY), now=NOW + 60) is not None
    error = refusal(form(BUCKET_AND_KEY), now=NOW + 61)
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert "expired" in error.message


@pytest.mark.parametrize(
    ("condition", "fields", "holds"),
    [
        ({"acl": "public-read"}, {"acl": "public-read"}, True),
        ({"acl": "public-read"}, {"acl": "private"}, False),
        ({"acl": "public-read"}, {}, False),
        (["eq", "$acl", "public-read"], {"acl": "public-read"}, True),
        (["EQ", "$ACL", "public-read"], {"Acl": "public-read"}, True),
        (["eq", "$acl", "public-read"], {"acl": "public-readx"}, False),
        (["starts-with", "$x-amz-meta-a", "ab"], {"x-amz-meta-a": "abc"}, True),
        (["starts-with", "$x-amz-meta-a", "ab"], {"x-amz-meta-a": "ac"}, False),
        (["starts-with", "$x-amz-meta-a", ""], {"x-amz-meta-a": "anything"}, True),
        (["starts-with", "$x-amz-meta-a", ""], {}, False),
        (["starts-with", "$x-amz-meta-a", ""], {"x-amz-meta-a": ""}, True),
        (["eq", "$acl", ""], {}, False),
        (["starts-with", "$Content-Type", "image/"], {"Content-Type": "image/png"}, True),
        (["starts-with", "$Content-Type", "image/"], {"Content-Type": "image/png,image/gif"}, True),
        (["starts-with", "$Content-Type", "image/"], {"Content-Type": "image/png,text/html"}, False),
        (["eq", "$key", "k"], {}, True),
        (["eq", "$key", "other"], {}, False),
        ({"bucket": "other"}, {}, False),
        (["eq", "$bucket", "photos"], {"bucket": "other"}, True),
    ],
)
def test_conditions(condition: Any, fields: dict[str, str], holds: bool) -> None:
    given = form([*BUCKET_AND_KEY, condition], fields)
    if holds:
        assert verify(given) is not None
    else:
        error = refusal(given)
        assert (error.code, error.status) == ("AccessDenied", 403)
        shown = condition if isinstance(condition, list) else ["eq", *(f"${n}" for n in condition), *condition.values()]
        assert error.message == f"Invalid according to Policy: Policy Condition failed: {json.dumps(shown)}"


def test_a_field_that_the_policy_does_not_name_is_refused() -> None:
    error = refusal(form(BUCKET_AND_KEY, {"acl": "public-read"}))
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert "Extra input fields: acl" in error.message
    assert verify(form(BUCKET_AND_KEY, {"x-ignore-this": "1", "Bucket": "photos"})) is not None
    assert refusal(form([{"bucket": "photos"}])).code == "AccessDenied", "the key, too"


def test_the_range_of_lengths_is_handed_on() -> None:
    granted = verify(form([*BUCKET_AND_KEY, ["content-length-range", 5, 10]]))
    assert granted is not None
    assert (granted.min_length, granted.max_length) == (5, 10)
    granted = verify(form(BUCKET_AND_KEY))
    assert granted is not None
    assert (granted.min_length, granted.max_length) == (0, None)


def test_of_several_ranges_all_must_hold() -> None:
    limits: list[list[int | str]] = [[0, 100], [5, 50], ["2", "60"]]
    for ranges in itertools.permutations(limits):
        granted = verify(form([*BUCKET_AND_KEY, *(["content-length-range", *one] for one in ranges)]))
        assert granted is not None
        assert (granted.min_length, granted.max_length) == (5, 50)


def test_escapes_of_policies() -> None:
    r"""`\$` and `\v` are escapes in a policy, though not in JSON; a backslash before either is itself escaped."""
    for written, meant in (
        (r"\$money", "$money"),
        (r"a\vb", "a\x0bb"),
        (r"\\$", "\\$"),
        (r"\u00fc\n\"", 'ü\n"'),
    ):
        text = f'{{"expiration": "{LATER}", "conditions": [{{"bucket": "photos"}}, ["eq", "$key", "{written}"]]}}'
        assert verify(signed(base64.b64encode(text.encode()).decode(), {"key": meant})) is not None, written
        assert refusal(signed(base64.b64encode(text.encode()).decode(), {"key": meant + "x"})).code == "AccessDenied"


def encode(value: Any) -> str:
    return base64.b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("not base64!", "Invalid JSON."),
        ("é", "Invalid JSON."),
        (encode(b"not json"), "Invalid JSON."),
        (encode(b"\xff\xfe"), "Invalid JSON."),
        (encode(b"[" * 5000), "Invalid JSON."),
        (encode(b'{"expiration": ' + b"9" * 5000 + b"}"), "Invalid JSON."),
        (encode(b'{"conditions": [], "conditions": [], "expiration": ""}'), "Invalid JSON."),
        (encode(f'{{"expiration": "{LATER}", "conditions": [{{"acl": "a", "acl": "b"}}]}}'.encode()), "Invalid JSON."),
        (encode([]), "Invalid JSON."),
        (encode("text"), "Invalid JSON."),
        (encode({}), "Policy missing expiration."),
        (encode({"conditions": []}), "Policy missing expiration."),
        (encode({"expiration": LATER}), "Policy missing conditions"),
        (encode({"expiration": LATER, "conditions": {}}), "Policy missing conditions"),
        (encode({"expiration": LATER, "conditions": [5]}), "Invalid Condition"),
        (encode({"expiration": LATER, "conditions": ["x"]}), "Invalid Condition"),
        (encode({"expiration": LATER, "conditions": [{"a": "1", "b": "2"}]}), "Invalid Simple-Condition: Simple-Cond"),
        (encode({"expiration": LATER, "conditions": [{}]}), "Invalid Simple-Condition: Simple-Conditions must have"),
        (encode({"expiration": LATER, "conditions": [{"key": 5}]}), "Invalid Simple-Condition: value must be a"),
    ],
    ids=range(19),
)  # fmt: skip
def test_a_malformed_policy_is_refused(policy: str, message: str) -> None:
    error = refusal(signed(policy))
    assert (error.code, error.status) == ("InvalidPolicyDocument", 400)
    assert error.message.startswith(f"Invalid Policy: {message}")


@pytest.mark.parametrize(
    "expiration",
    [
        5, None, True, [LATER], "", "soon", "2999-01-01", "2999-01-01T00:00:00", "2999-01-01 00:00:00Z",
        "29990101T000000Z", "2999-W01-1T00:00:00Z", "2999-13-01T00:00:00Z", "2999-02-30T00:00:00Z",
        "2999-01-01T25:00:00Z", "2999-01-01T00:00:00+00:00", "2999-01-01T00:00:00z", "2999-01-01T00:00:00ZZ",
        "2999-01-01T00:00Z", "\u0662999-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_an_expiration_is_a_time_of_iso_8601_in_gmt(expiration: Any) -> None:
    error = refusal(form(BUCKET_AND_KEY, expiration=expiration))
    assert (error.code, error.status) == ("InvalidPolicyDocument", 400)
    assert error.message.startswith("Invalid Policy: Invalid 'expiration' value: ")


@pytest.mark.parametrize("expiration", ["2999-01-01T00:00:00Z", "2999-01-01T00:00:00.000Z", "2999-01-01T00:00:00.5Z"])
def test_expirations_that_clients_write(expiration: str) -> None:
    assert verify(form(BUCKET_AND_KEY, expiration=expiration)) is not None


@pytest.mark.parametrize(
    "condition",
    [
        [], ["eq"], ["eq", "$key"], ["eq", "$key", "k", "k"], ["eq", "key", "k"], ["like", "$key", "k"],
        ["ends-with", "$key", "k"], ["eq", "$key", 5], ["eq", 5, "k"], [["eq", "$key", "k"]], [None, None, None],
        ["eq", "$key", "\ud800"],
        ["content-length-range", "a", "b"], ["content-length-range", 1], ["content-length-range", 1, 2.5],
        ["content-length-range", -1, 5], ["content-length-range", True, 5], ["content-length-range", 1, None],
    ],
    ids=range(18),
)  # fmt: skip
def test_a_condition_that_cannot_be_made_out_does_not_hold(condition: Any) -> None:
    error = refusal(form([*BUCKET_AND_KEY, condition]))
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert error.message.startswith("Invalid according to Policy: Policy Condition failed: [")
    error.message.encode()
