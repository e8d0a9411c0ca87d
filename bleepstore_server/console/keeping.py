"""What a copy of an object onto itself would lose: it comes with the copy only if it is asked for."""

from __future__ import annotations

from typing import TypedDict

from bleepstore.encryption import EncryptionKind, EncryptionRequest, NamedKey, StoreKey
from bleepstore.model import Grant, ObjectVersion


class Kept(TypedDict, total=False):
    """Options of `copy_object`."""

    storage_class: str
    encryption: EncryptionRequest | None
    acl: tuple[Grant, ...]


def kept_options(version: ObjectVersion) -> Kept:
    """The encryption, the storage class and the access control list of a version, for its copy. One that is encrypted
    with a key of its writer's cannot be copied without that."""
    options: Kept = {"storage_class": version.storage_class, "encryption": _request_of(version)}
    if version.attributes.grants is not None:
        options["acl"] = version.attributes.grants
    return options


def _request_of(version: ObjectVersion) -> EncryptionRequest | None:
    found = version.encryption
    if found is None or found.kind is EncryptionKind.CUSTOMER:
        return None
    if found.kind is EncryptionKind.STORE:
        return StoreKey()
    return NamedKey(key_id=found.key_id, context=found.context, bucket_key=found.bucket_key)
