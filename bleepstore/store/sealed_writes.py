"""What becomes of a write whose bytes are encrypted. This module needs no cryptography."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from bleepstore.encryption import Encryption, EncryptionKind
from bleepstore.model import Bucket, Data, Inline, ObjectAttributes
from bleepstore.store.arguments import AttributeOptions
from bleepstore.store.engine import Engine

if TYPE_CHECKING:
    from bleepstore.sealing.cipher import Seal


def sealed_attributes(
    engine: Engine, attributes: ObjectAttributes, options: AttributeOptions, bucket: Bucket, key: str
) -> tuple[ObjectAttributes, Seal | None]:
    """`attributes` with how a new object is encrypted, and what encrypts it; None: nothing asks for it. Raises
    EncryptionKeyNotFound, NotSupported, AccessDenied."""
    asked = options.get("encryption")
    if asked is None and bucket.settings.encryption is None:
        return attributes, None
    encrypting = engine.encrypting
    encryption, seal = encrypting.seal(encrypting.request_for(bucket, asked), bucket.name, key)
    return attrs.evolve(attributes, encryption=encryption), seal


def sealed_data(seal: Seal, data: Data) -> Data:
    """What the catalog keeps of an object that `seal` encrypts."""
    return Inline(seal.encrypt_bytes(data.data)) if isinstance(data, Inline) else data


def etag_of(encryption: Encryption | None, md5: str, random_bytes: Callable[[int], bytes]) -> str:
    """The ETag of bytes with this MD5. "Objects created by the PUT Object, POST Object, or Copy operation ... that are
    encrypted by SSE-C or SSE-KMS have ETags that are not an MD5 digest of their object data." """
    if encryption is None or encryption.kind is EncryptionKind.STORE:
        return md5
    return random_bytes(16).hex()
