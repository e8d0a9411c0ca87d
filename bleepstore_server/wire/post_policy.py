"""Uploads by HTML form ("Browser-Based Uploads Using POST"): the signature of the policy, and what the policy asks."""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime as dt
import hmac
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Generic

import attrs

from bleepstore_server.wire import sigv2, sigv4
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.sigv4 import SecretT

#: Field names that no condition need name, all in lower case ("Conditions").
_EXEMPT = frozenset({"x-amz-signature", "file", "policy", "signature", "awsaccesskeyid"})
_IGNORED = "x-ignore-"
_LENGTH = "content-length-range"
#: "The expiration element specifies the expiration date and time of the POST policy in ISO8601 GMT date format."
_EXPIRATION = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z", re.ASCII)


@attrs.frozen
class PolicyGrant(Generic[SecretT]):
    """What a verified form may upload: by whom, and the least and greatest length of the file."""

    access_key: str
    secret: SecretT
    min_length: int
    max_length: int | None


def verify_form(
    fields: Mapping[str, str],
    bucket: str,
    lookup: Callable[[str], SecretT | None],
    now: int,
    region: str | None = None,
) -> PolicyGrant[SecretT] | None:
    """Verify the fields of a form by their names in lower case, all but the file. None: the form is anonymous.

    `region` is that of the credential, or None for any.
    """
    if "policy" not in fields:
        if "signature" in fields or "x-amz-signature" in fields:
            raise missing_field("policy")
        return None
    access_key, secret = _verify_signature(fields, lookup, region)
    low, high = _check_policy(fields["policy"], {**fields, "bucket": bucket}, now)
    return PolicyGrant(access_key, secret, low, high)


def missing_field(name: str) -> RequestError:
    """What to raise for a form that lacks a field."""
    return RequestError(
        "InvalidArgument",
        f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields.",
        fields={"ArgumentName": name, "ArgumentValue": ""},
    )


def _bad_field(name: str, value: str, message: str) -> RequestError:
    return RequestError("InvalidArgument", message, fields={"ArgumentName": name, "ArgumentValue": value})


def _verify_signature(
    form: Mapping[str, str], lookup: Callable[[str], SecretT | None], region: str | None
) -> tuple[str, SecretT]:
    policy = form["policy"]
    if "x-amz-signature" in form or "x-amz-algorithm" in form:
        access_key, date, signed_region = _parse_v4(form, region)
        secret = _look_up(lookup, access_key)
        key = sigv4.signing_key(secret.secret_key, date, signed_region, "s3")
        computed, given = key.sign(policy), form["x-amz-signature"]
    else:
        for name in ("AWSAccessKeyId", "signature"):
            if name.lower() not in form:
                raise missing_field(name)
        access_key = form["awsaccesskeyid"]
        secret = _look_up(lookup, access_key)
        computed, given = sigv2.sign(secret.secret_key, policy), form["signature"]
    if not hmac.compare_digest(computed.encode(), given.encode("utf-8", "replace")):
        raise RequestError(
            "SignatureDoesNotMatch",
            fields={"AWSAccessKeyId": access_key, "StringToSign": policy, "SignatureProvided": given},
        )
    return access_key, secret


def _parse_v4(form: Mapping[str, str], region: str | None) -> tuple[str, str, str]:
    """(access key, date, region) of a form that is signed with version 4."""
    for name in ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"):
        if name not in form:
            raise missing_field(name)
    algorithm, credential, date = form["x-amz-algorithm"], form["x-amz-credential"], form["x-amz-date"]
    if algorithm != sigv4.ALGORITHM:
        raise _bad_field("x-amz-algorithm", algorithm, f'x-amz-algorithm only supports "{sigv4.ALGORITHM}".')
    if sigv4.parse_date(date) is None:
        message = "x-amz-date must have the ISO 8601 form \"yyyyMMdd'T'HHmmss'Z'\"."
        raise _bad_field("x-amz-date", date, message)
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or not parts[0] or parts[1] != date[:8] or parts[3:] != ["s3", "aws4_request"]:
        message = "x-amz-credential has the form ACCESS_KEY/DATE/REGION/s3/aws4_request, with the date of x-amz-date."
        raise _bad_field("x-amz-credential", credential, message)
    if region is not None and parts[2] != region:
        message = f"The region '{parts[2]}' is wrong; expecting '{region}'."
        raise _bad_field("x-amz-credential", credential, message)
    return parts[0], parts[1], parts[2]


def _look_up(lookup: Callable[[str], SecretT | None], access_key: str) -> SecretT:
    secret = lookup(access_key)
    if secret is None:
        raise sigv4.unknown_key(access_key)
    return secret


def _bad_policy(what: str) -> RequestError:
    return RequestError("InvalidPolicyDocument", f"Invalid Policy: {what}")


def _denied(what: str) -> RequestError:
    return RequestError("AccessDenied", f"Invalid according to Policy: {what}")


def _as_json(text: str) -> str:
    """Policies know two escapes that JSON does not: `\\$` for a dollar sign and `\\v` for a vertical tab."""
    known = {"\\$": "$", "\\v": "\\u000b"}
    return re.sub(r"\\.", lambda found: known.get(found[0], found[0]), text, flags=re.DOTALL)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. A name that is there twice has two meanings, one of which would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _parse_policy(encoded: str) -> tuple[dt.datetime, list[Any]]:
    try:
        text = _as_json(base64.b64decode(encoded, validate=True).decode())
        document = json.loads(text, object_pairs_hook=_once)
    except (binascii.Error, ValueError, RecursionError):
        raise _bad_policy("Invalid JSON.") from None
    if not isinstance(document, dict):
        raise _bad_policy("Invalid JSON.")
    if "expiration" not in document:
        raise _bad_policy("Policy missing expiration.")
    if not isinstance(document.get("conditions"), list):
        raise _bad_policy("Policy missing conditions: they are a list.")
    return _parse_expiration(document["expiration"]), document["conditions"]


def _parse_expiration(value: Any) -> dt.datetime:
    if isinstance(value, str) and _EXPIRATION.fullmatch(value):
        with contextlib.suppress(ValueError):  # a day or an hour that there is not
            return dt.datetime.fromisoformat(value[:19]).replace(tzinfo=dt.UTC)
    raise _bad_policy(f"Invalid 'expiration' value: {json.dumps(value)}")


def _check_policy(encoded: str, form: Mapping[str, str], now: int) -> tuple[int, int | None]:
    """(least, greatest) length of the file, None: of any. Every condition must hold, also several of one field."""
    expiration, conditions = _parse_policy(encoded)
    if expiration.timestamp() < now:
        raise _denied("Policy expired.")
    covered: set[str] = set()
    low, high = 0, None
    for condition in conditions:
        match condition:
            case dict():
                covered.add(_check_simple(condition, form))
            case [str() as kind, least, most] if kind.lower() == _LENGTH:
                limits = _length(least), _length(most)
                if None in limits:
                    raise _failed(condition)
                low = max(low, limits[0] or 0)
                high = limits[1] if high is None else min(high, limits[1] or 0)
            case [str() as kind, str() as name, str() as value] if name.startswith("$"):
                if not _holds(kind.lower(), name[1:].lower(), value, form):
                    raise _failed(condition)
                covered.add(name[1:].lower())
            case list():
                raise _failed(condition)  # S3 answers this also to a condition that it cannot make out
            case _:
                raise _bad_policy("Invalid Condition: a condition is an object or a list.")
    for name in form:
        if name not in covered and name not in _EXEMPT and not name.startswith(_IGNORED):
            raise _denied(f"Extra input fields: {name}")
    return low, high


def _failed(condition: list[Any]) -> RequestError:
    text = json.dumps(condition, ensure_ascii=False).encode("utf-8", "replace").decode()
    return _denied(f"Policy Condition failed: {text}")


def _length(limit: Any) -> int | None:
    """A limit of a length, which SDKs also write as a string; None if it is not one."""
    if isinstance(limit, str) and limit.isascii() and limit.isdigit() and len(limit) < 20:
        return int(limit)
    return limit if type(limit) is int and limit >= 0 else None


def _check_simple(condition: dict[str, Any], form: Mapping[str, str]) -> str:
    """Check a condition of the form {"name": "value"}; returns the name in lower case."""
    if len(condition) != 1:
        raise _bad_policy("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
    ((name, value),) = condition.items()
    if not isinstance(value, str):
        raise _bad_policy("Invalid Simple-Condition: value must be a string.")
    if not _holds("eq", name.lower(), value, form):
        raise _failed(["eq", f"${name}", value])
    return name.lower()


def _holds(kind: str, name: str, value: str, form: Mapping[str, str]) -> bool:
    """Whether a field is there and is what a condition asks for."""
    given = form.get(name)
    if given is None:
        return False
    if kind == "eq":
        return given == value
    if kind != "starts-with":
        return False
    if name == "content-type":
        # "Content-Types values for a starts-with condition can include comma separated values."
        return all(item.strip().startswith(value) for item in given.split(","))
    return given.startswith(value)
