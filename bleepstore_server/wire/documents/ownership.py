"""Documents of a bucket's ownership controls, its public access block, and who pays."""

from __future__ import annotations

from collections.abc import Sequence

from bleepstore.ownership import ObjectOwnership, Payer, PublicAccessBlock
from bleepstore_server.wire.documents.declare import BOOLEAN, choice, document, element, elements, parse


@document()
class OwnershipRule:
    ownership: ObjectOwnership = element("ObjectOwnership", choice(ObjectOwnership))


@document("OwnershipControls")
class OwnershipControlsDocument:
    rules: Sequence[OwnershipRule] = elements("Rule", OwnershipRule, at_least=1, at_most=1)


@document("PublicAccessBlockConfiguration")
class PublicAccessBlockConfiguration:
    block_public_acls: bool = element("BlockPublicAcls", BOOLEAN, default=False)
    ignore_public_acls: bool = element("IgnorePublicAcls", BOOLEAN, default=False)
    block_public_policy: bool = element("BlockPublicPolicy", BOOLEAN, default=False)
    restrict_public_buckets: bool = element("RestrictPublicBuckets", BOOLEAN, default=False)


@document("RequestPaymentConfiguration")
class RequestPaymentConfiguration:
    payer: Payer = element("Payer", choice(Payer))


def parse_ownership(body: bytes) -> ObjectOwnership:
    """Raises RequestError: MalformedXML."""
    return parse(OwnershipControlsDocument, body).rules[0].ownership


def ownership_document(ownership: ObjectOwnership) -> OwnershipControlsDocument:
    return OwnershipControlsDocument(rules=[OwnershipRule(ownership=ownership)])


def parse_block(body: bytes) -> PublicAccessBlock:
    """Raises RequestError: MalformedXML."""
    asked = parse(PublicAccessBlockConfiguration, body)
    return PublicAccessBlock(
        block_public_acls=asked.block_public_acls,
        ignore_public_acls=asked.ignore_public_acls,
        block_public_policy=asked.block_public_policy,
        restrict_public_buckets=asked.restrict_public_buckets,
    )


def block_document(block: PublicAccessBlock) -> PublicAccessBlockConfiguration:
    return PublicAccessBlockConfiguration(
        block_public_acls=block.block_public_acls,
        ignore_public_acls=block.ignore_public_acls,
        block_public_policy=block.block_public_policy,
        restrict_public_buckets=block.restrict_public_buckets,
    )
