"""The document of a bucket's default encryption."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from bleepstore.encryption import BucketEncryption, EncryptionKind
from bleepstore_server.wire.documents.declare import (
    BOOLEAN,
    child,
    choice,
    document,
    element,
    elements,
    malformed,
    parse,
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
