"""The documents of a bucket's default encryption, and of what an object is to be encrypted by."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence

from bleepstore.encryption import BucketEncryption, EncryptionKind, NamedKey
from bleepstore_server.wire.documents.declare import (
    BOOLEAN,
    TextKind,
    child,
    choice,
    document,
    element,
    elements,
    local_name,
    malformed,
    parse,
    parse_root,
)
from bleepstore_server.wire.errors import RequestError


class Method(enum.StrEnum):
    STORE = "AES256"
    NAMED = "aws:kms"
    NAMED_TWICE = "aws:kms:dsse"


class Blocked(enum.StrEnum):
    NONE = "NONE"
    CUSTOMER = "SSE-C"


@document()
class EncryptionByDefault:
    algorithm: Method = element("SSEAlgorithm", choice(Method))
    key_id: str | None = element("KMSMasterKeyID", default=None)


@document()
class BlockedEncryptionTypes:
    types: Sequence[Blocked] = elements("EncryptionType", choice(Blocked), default=())


@document()
class EncryptionRule:
    by_default: EncryptionByDefault | None = child(
        "ApplyServerSideEncryptionByDefault", EncryptionByDefault, default=None
    )
    bucket_key_enabled: bool | None = element("BucketKeyEnabled", BOOLEAN, default=None)
    blocked: BlockedEncryptionTypes | None = child("BlockedEncryptionTypes", BlockedEncryptionTypes, default=None)


@document("ServerSideEncryptionConfiguration")
class ServerSideEncryptionConfiguration:
    rules: Sequence[EncryptionRule] = elements("Rule", EncryptionRule)


def parse_encryption(body: bytes) -> BucketEncryption:
    """Raises RequestError: MalformedXML, NotImplemented. InvalidArgument: a key with AES256."""
    rules = parse(ServerSideEncryptionConfiguration, body).rules
    if len(rules) != 1:
        raise malformed("A ServerSideEncryptionConfiguration has one Rule.")
    (rule,) = rules
    default = rule.by_default or EncryptionByDefault(algorithm=Method.STORE)
    if default.algorithm is Method.NAMED_TWICE:
        raise RequestError("NotImplemented", "This store does not encrypt twice (aws:kms:dsse): name aws:kms.")
    blocked = () if rule.blocked is None else rule.blocked.types
    return BucketEncryption(
        kind=EncryptionKind.STORE if default.algorithm is Method.STORE else EncryptionKind.NAMED,
        key_id=default.key_id,
        bucket_key=bool(rule.bucket_key_enabled),
        refuses_customer_keys=Blocked.CUSTOMER in blocked,
    )


def encryption_document(encryption: BucketEncryption) -> ServerSideEncryptionConfiguration:
    method = Method.STORE if encryption.kind is EncryptionKind.STORE else Method.NAMED
    blocked = BlockedEncryptionTypes(types=[Blocked.CUSTOMER]) if encryption.refuses_customer_keys else None
    rule = EncryptionRule(
        by_default=EncryptionByDefault(algorithm=method, key_id=encryption.key_id),
        bucket_key_enabled=encryption.bucket_key,
        blocked=blocked,
    )
    return ServerSideEncryptionConfiguration(rules=[rule])


# -- of an object

#: "Pattern: (arn:aws[-a-z0-9]*:kms:[-a-z0-9]*:[0-9]{12}:key/.+)"
_KEY_ARN = re.compile("arn:aws[-a-z0-9]*:kms:[-a-z0-9]*:[0-9]{12}:key/.+")
_ASKS = "Requests that modify an object"
#: What S3 says of what is wrong (UpdateObjectEncryption), which programs look for.
_NO_TYPE = (
    f"{_ASKS} encryption configuration require a valid new encryption type. Valid values are SSEKMS. "
    "Modify the request to specify SSE-KMS for the updated encryption type, and then try again."
)
_OTHER_TYPE = (
    "The UpdateObjectEncryption operation doesn't support updating the encryption type to DSSE-KMS or SSE-C. "
    "Modify the request to specify SSE-KMS for the updated encryption type, and then try again."
)
_NO_ARN = (
    f"{_ASKS}'s encryption type to SSE-KMS require an AWS KMS key Amazon Resource Name (ARN). "
    "Modify the request to specify a KMS key ARN, and then try again."
)
_BAD_ARN = (
    f"{_ASKS}'s encryption type to SSE-KMS require a valid AWS KMS key Amazon Resource Name (ARN). "
    "Confirm that you have a correctly formatted KMS key ARN in your request, and then try again."
)
_BAD_BUCKET_KEY = (
    "The BucketKeyEnabled value isn't valid. Valid values are true or false. "
    "Modify the request to specify a valid value, and then try again."
)


def _read_bucket_key(text: str) -> bool:
    if text not in ("true", "false"):
        raise RequestError("InvalidRequest", _BAD_BUCKET_KEY)
    return text == "true"


#: Where S3 does not take anything else for false.
BUCKET_KEY_ENABLED = TextKind(BOOLEAN.noun, BOOLEAN.write, _read_bucket_key)


@document()
class NamedEncryption:
    key_arn: str | None = element("KMSKeyArn", default=None)
    bucket_key_enabled: bool | None = element("BucketKeyEnabled", BUCKET_KEY_ENABLED, default=None)


@document("ObjectEncryption")
class ObjectEncryption:
    named: NamedEncryption | None = child("SSE-KMS", NamedEncryption, default=None)


def parse_object_encryption(body: bytes) -> NamedKey:
    """What an object is to be encrypted by. Raises RequestError: MalformedXML, InvalidRequest."""
    given = {local_name(one) for one in parse_root("ObjectEncryption", body)}
    if given & {"DSSE-KMS", "SSE-C"}:
        raise RequestError("InvalidRequest", _OTHER_TYPE)
    named = parse(ObjectEncryption, body).named
    if named is None:
        raise RequestError("InvalidRequest", _NO_TYPE)
    if not named.key_arn:
        raise RequestError("InvalidRequest", _NO_ARN)
    if not _KEY_ARN.fullmatch(named.key_arn):
        raise RequestError("InvalidRequest", _BAD_ARN)
    return NamedKey(key_id=named.key_arn, bucket_key=bool(named.bucket_key_enabled))
