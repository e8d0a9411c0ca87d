"""Uploads by HTML form ("Browser-Based Uploads Using POST"): the signature of the policy, and what the policy asks."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hmac
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Generic

import attrs

from bleepstore_server.wire import sigv2, sigv4
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.sigv4 import SecretT

_EXEMPT = frozenset({"x-amz-signature", "file", "policy", "signature", "awsaccesskeyid"})
_MAX_POLICY = 20 * 1024
_LENGTH = "content-length-range"


@attrs.frozen
class Grant(Generic[SecretT]):
    """What a verified form may upload: by whom, and the least and greatest length of the file."""

    access_key: str
    secret: SecretT
    min_length: int
    max_length: int | None


def verify_form(
    fields: Sequence[tuple[str, str]], bucket: str, lookup: Callable[[str], SecretT | None], now: int
) -> Grant[SecretT] | None:
    """Verify the fields of a form, all but the file. None: the form is anonymous."""
    form = {name.lower(): value for name, value in fields}
    if "policy" not in form:
        if "signature" in form or "x-amz-signature" in form:
            raise RequestError("InvalidArgument", "A signed form needs a policy.")
        return None
    access_key, secret = _verify_signature(form, lookup)
    form["bucket"] = bucket
    low, high = _check_policy(form["policy"], form, now)
    return Grant(access_key, secret, low, high)


def _verify_signature(form: dict[str, str], lookup: Callable[[str], SecretT | None]) -> tuple[str, SecretT]:
    policy = form["policy"]
    if "x-amz-signature" in form or form.get("x-amz-algorithm") == sigv4.ALGORITHM:
        missing = [n for n in ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature") if n not in form]
        if missing:
            raise RequestError("InvalidArgument", f"The form lacks the field {missing[0]}.")
        parts = form["x-amz-credential"].rsplit("/", 4)
        if len(parts) != 5:
            raise RequestError(
                "InvalidArgument", "x-amz-credential has the form ACCESS_KEY/DATE/REGION/s3/aws4_request."
            )
        access_key, date, region, service, _ = parts
        secret = _look_up(lookup, access_key)
        key = sigv4.signing_key(secret.secret_key, date, region, service)
        computed, given = hmac.digest(key, policy.encode(), "sha256").hex(), form["x-amz-signature"]
    else:
        for name in ("AWSAccessKeyId", "signature"):
            if name.lower() not in form:
                raise RequestError("InvalidArgument", f"Bucket POST must contain a field named '{name}'.")
        access_key = form["awsaccesskeyid"]
        secret = _look_up(lookup, access_key)
        computed, given = sigv2.sign(secret.secret_key, policy), form["signature"]
    if not hmac.compare_digest(computed.encode(), given.encode("utf-8", "replace")):
        raise RequestError("SignatureDoesNotMatch", fields={"AWSAccessKeyId": access_key, "SignatureProvided": given})
    return access_key, secret


def _look_up(lookup: Callable[[str], SecretT | None], access_key: str) -> SecretT:
    secret = lookup(access_key)
    if secret is None:
        raise RequestError("InvalidAccessKeyId", fields={"AWSAccessKeyId": access_key})
    return secret


def _bad_policy(what: str) -> RequestError:
    return RequestError("InvalidPolicyDocument", f"Invalid policy: {what}")


def _as_json(text: str) -> str:
    """Policies know two escapes that JSON does not: `\\$` for a dollar sign and `\\v` for a vertical tab."""
    known = {"\\$": "$", "\\v": "\\u000b"}
    return re.sub(r"\\.", lambda found: known.get(found[0], found[0]), text, flags=re.DOTALL)


def _parse_policy(encoded: str) -> tuple[dt.datetime, list[Any]]:
    if len(encoded) > _MAX_POLICY:
        raise _bad_policy("it is too long.")
    try:
        document = json.loads(_as_json(base64.b64decode(encoded, validate=True).decode()))
    except (binascii.Error, ValueError, RecursionError):
        raise _bad_policy("it is not base64 of a JSON document.") from None
    if not isinstance(document, dict) or "expiration" not in document:
        raise _bad_policy("it needs an expiration.")
    if not isinstance(document.get("conditions"), list):
        raise _bad_policy("it needs a list of conditions.")
    try:
        expiration = dt.datetime.fromisoformat(document["expiration"])
    except (TypeError, ValueError):
        raise _bad_policy("its expiration is not an ISO 8601 time.") from None
    if expiration.tzinfo is None:
        raise _bad_policy("its expiration needs a time zone.")
    return expiration, document["conditions"]


def _check_policy(encoded: str, form: dict[str, str], now: int) -> tuple[int, int | None]:
    expiration, conditions = _parse_policy(encoded)
    if expiration.timestamp() < now:
        raise RequestError("AccessDenied", "Invalid according to Policy: Policy expired.")
    covered: set[str] = set()
    low, high = 0, None
    for condition in conditions:
        match condition:
            case dict() if len(condition) == 1:
                ((name, value),) = condition.items()
                _check_condition("eq", name, value, form, covered)
            case [str() as kind, int() | str() as least, int() | str() as most] if kind.lower() == _LENGTH:
                low, high = _bytes(least), _bytes(most)
            case [str() as kind, str() as name, str() as value] if kind.lower() in ("eq", "starts-with"):
                if not name.startswith("$"):
                    raise _bad_policy(f"the name of a field begins with $, not as in {name!r}.")
                _check_condition(kind.lower(), name[1:], value, form, covered)
            case _:
                raise _bad_policy("a condition is not of a known form.")
    for name in form:
        if name not in covered and name not in _EXEMPT and not name.startswith("x-ignore-"):
            raise RequestError("AccessDenied", f"Invalid according to Policy: Extra input fields: {name}")
    return low, high


def _bytes(limit: int | str) -> int:
    """A limit of a length, which SDKs also write as a string."""
    if isinstance(limit, str) and not (limit.isascii() and limit.isdigit() and len(limit) < 20):
        raise _bad_policy(f"{_LENGTH} has numbers of bytes.")
    return int(limit)


def _check_condition(kind: str, name: str, value: Any, form: dict[str, str], covered: set[str]) -> None:
    if not isinstance(value, str):
        raise _bad_policy("the value of a condition must be a string.")
    name = name.lower()
    covered.add(name)
    given = form.get(name, "")
    if kind == "eq":
        holds = given == value
    elif name == "content-type":
        # "Content-Types values for a starts-with condition can include comma separated values."
        holds = all(item.strip().startswith(value) for item in given.split(","))
    else:
        holds = given.startswith(value)
    if not holds:
        raise RequestError(
            "AccessDenied", f'Invalid according to Policy: Policy Condition failed: ["{kind}", "${name}", "{value}"]'
        )
