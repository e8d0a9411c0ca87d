"""What requests say of encryption in headers and in the fields of forms, and what answers say of it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping

from bleepstore.encryption import (
    CustomerKey,
    Encryption,
    EncryptionKind,
    EncryptionRequest,
    NamedKey,
    StoreKey,
)
from bleepstore.errors import InvalidArgument
from bleepstore_server.wire.errors import RequestError

ENCRYPTION = "x-amz-server-side-encryption"
KEY_ID = f"{ENCRYPTION}-aws-kms-key-id"
CONTEXT = f"{ENCRYPTION}-context"
BUCKET_KEY = f"{ENCRYPTION}-bucket-key-enabled"
_OF_NAMED_KEYS = frozenset({KEY_ID, CONTEXT, BUCKET_KEY})
_CUSTOMER = f"{ENCRYPTION}-customer-"
_SOURCE_CUSTOMER = "x-amz-copy-source-server-side-encryption-customer-"


def _customer_fields(prefix: str) -> frozenset[str]:
    return frozenset({f"{prefix}algorithm", f"{prefix}key", f"{prefix}key-md5"})


#: What a request may say of a key of the caller's, and a copy of that of its source.
CUSTOMER_FIELDS = _customer_fields(_CUSTOMER)
SOURCE_FIELDS = _customer_fields(_SOURCE_CUSTOMER)
#: What a request that makes an object may say of its encryption.
FIELDS = frozenset({ENCRYPTION}) | _OF_NAMED_KEYS | CUSTOMER_FIELDS
#: S3 has these too, and this store does not.
_UNSUPPORTED = frozenset({"aws:kms:dsse", "aws:fsx", "aws:backup"})

STORE_METHOD, NAMED_METHOD = "AES256", "aws:kms"
_MAX_CONTEXT = 8192
_NO_KMS = "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms"
_BOTH = "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
_NO_CONTEXT = (
    "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON which "
    "represents a string-string map"
)
_REQUESTS = "Requests specifying Server Side Encryption with Customer provided keys must"


def asked_encryption(fields: Mapping[str, str], *, is_private: bool) -> EncryptionRequest | None:
    """What a request asks for an object that it makes; None: nothing. For `is_private` see `customer_key`."""
    if FIELDS.isdisjoint(fields):
        return None
    method = fields.get(ENCRYPTION)
    customer = customer_key(fields, is_private=is_private)
    if customer is not None:
        if method is not None or KEY_ID in fields:
            raise _refusal(_BOTH, method)
        return customer
    if method is not None and method not in (STORE_METHOD, NAMED_METHOD):
        if method in _UNSUPPORTED:
            raise not_implemented(ENCRYPTION)
        raise RequestError(
            "InvalidEncryptionAlgorithmError", fields={"ArgumentName": ENCRYPTION, "ArgumentValue": method}
        )
    if method == NAMED_METHOD:
        return NamedKey(
            key_id=fields.get(KEY_ID) or None, context=_context(fields.get(CONTEXT)), bucket_key=_bucket_key(fields)
        )
    if not _OF_NAMED_KEYS.isdisjoint(fields):
        raise _refusal(_NO_KMS, method or "null")
    return StoreKey()


def customer_key(fields: Mapping[str, str], prefix: str = _CUSTOMER, *, is_private: bool) -> CustomerKey | None:
    """The key of the caller's own that a request brings. It is refused unless the request came on a way on which nobody
    else can read it: `is_private`."""
    method, key, md5 = (fields.get(f"{prefix}{name}") for name in ("algorithm", "key", "key-md5"))
    if method is None and key is None and md5 is None:
        return None
    if not is_private:
        raise RequestError("InvalidRequest", f"{_REQUESTS} be made over a secure connection.")
    if not method:
        raise _refusal(f"{_REQUESTS} provide a valid encryption algorithm.", None)
    if method != STORE_METHOD:
        raise RequestError(
            "InvalidEncryptionAlgorithmError", fields={"ArgumentName": ENCRYPTION, "ArgumentValue": method}
        )
    if not key:
        raise _refusal(f"{_REQUESTS} provide an appropriate secret key.", None)
    if not md5:
        raise _refusal(f"{_REQUESTS} provide the client calculated MD5 of the secret key.", None)
    try:
        made = CustomerKey(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError, InvalidArgument):
        raise _refusal("The secret key was invalid for the specified algorithm.", None) from None
    if md5 != _md5(made.key):
        raise _refusal("The calculated MD5 hash of the key did not match the hash that was provided.", None)
    return made


def source_customer_key(headers: Mapping[str, str], *, is_private: bool) -> CustomerKey | None:
    """That of the source of a copy."""
    return customer_key(headers, _SOURCE_CUSTOMER, is_private=is_private)


def _md5(key: bytes) -> str:
    return base64.b64encode(hashlib.md5(key, usedforsecurity=False).digest()).decode()


def _refusal(message: str, value: str | None) -> RequestError:
    """S3 names the header of the method whatever was wrong."""
    fields = {"ArgumentName": ENCRYPTION} if value is None else {"ArgumentName": ENCRYPTION, "ArgumentValue": value}
    return RequestError("InvalidArgument", message, fields=fields)


def not_implemented(name: str) -> RequestError:
    return RequestError(
        "NotImplemented",
        fields={"Header": name, "additionalMessage": f"This store does not implement the header {name}."},
    )


def _context(text: str | None) -> dict[str, str]:
    if text is None:
        return {}
    try:
        found = json.loads(base64.b64decode(text, validate=True).decode()) if len(text) <= _MAX_CONTEXT else None
        json.dumps(found, ensure_ascii=False).encode()  # "\ud800" is no character
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise RequestError(
            "InvalidArgument", _NO_CONTEXT, fields={"ArgumentName": CONTEXT, "ArgumentValue": text[:_MAX_CONTEXT]}
        )
    return found


def _bucket_key(fields: Mapping[str, str]) -> bool | None:
    text = fields.get(BUCKET_KEY)
    if text is None:
        return None
    if text.lower() not in ("true", "false"):
        raise RequestError(
            "InvalidArgument",
            f"The value of {BUCKET_KEY} is true or false.",
            fields={"ArgumentName": BUCKET_KEY, "ArgumentValue": text},
        )
    return text.lower() == "true"


def key_arn(key_id: str | None, region: str) -> str:
    """A named key as S3 shows it. What was named by its ARN is shown as it was named."""
    key_id = key_id or ""
    return key_id if key_id.startswith("arn:") else f"arn:aws:kms:{region}:000000000000:key/{key_id}"


def encryption_headers(
    encryption: Encryption, fields: Mapping[str, str], region: str, *, with_context: bool = False
) -> list[tuple[str, str]]:
    """What an answer says of an encrypted object. `fields` are those of the request; only the answer to the one that
    made the object has the context."""
    match encryption.kind:
        case EncryptionKind.STORE:
            return [(ENCRYPTION, STORE_METHOD)]
        case EncryptionKind.NAMED:
            shown = [(ENCRYPTION, NAMED_METHOD), (KEY_ID, key_arn(encryption.key_id, region))]
            if encryption.bucket_key:
                shown.append((BUCKET_KEY, "true"))
            if with_context and encryption.context:
                context = json.dumps(dict(encryption.context), separators=(",", ":")).encode()
                shown.append((CONTEXT, base64.b64encode(context).decode()))
            return shown
        case EncryptionKind.CUSTOMER:
            md5 = fields.get(f"{_CUSTOMER}key-md5")
            if md5 is None:
                return []
            return [(f"{_CUSTOMER}algorithm", STORE_METHOD), (f"{ENCRYPTION}-customer-key-MD5", md5)]
