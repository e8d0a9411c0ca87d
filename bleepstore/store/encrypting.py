"""Which key encrypts what is written, and the way to the bytes of what is encrypted.

It is imported when the first object asks for encryption, as it needs an extra.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping

import attrs

from bleepstore.backends.base import StorageBackend
from bleepstore.backends.sealed import SealedBackend
from bleepstore.committer import Committer
from bleepstore.encryption import (
    STORE_KEY,
    CustomerKey,
    Encryption,
    EncryptionKind,
    EncryptionRequest,
    Layout,
    NamedKey,
    StoreKey,
    key_name,
)
from bleepstore.errors import (
    AccessDenied,
    EncryptionKeyNotFound,
    InvalidRequest,
    NotSupported,
    ServiceUnavailable,
)
from bleepstore.model import Bucket, Upload
from bleepstore.sealing.cipher import DATA_KEY_SIZE, Seal
from bleepstore.sealing.keys import KeyService, unwrap_with, wrap_with
from bleepstore.store.blob_engine import BlobEngine

#: Amazon's words, which programs look for.
_PART_NEEDS_KEY = (
    "The multipart upload initiate requested encryption. "
    "Subsequent part requests must include the appropriate encryption parameters."
)
_PART_NEEDS_NO_KEY = (
    "The multipart upload initiate did not request encryption. "
    "Please resend the request without sending encryption parameters."
)
_OTHER_KEY_OF_PART = "The provided encryption parameters did not match the ones used originally."


class Encrypting:
    """The encryption of one store. `open_keys` gives its master keys, or raises NotSupported where it has none."""

    def __init__(self, backend: StorageBackend, committer: Committer, open_keys: Callable[[], KeyService]) -> None:
        self._backend = backend
        self._committer = committer
        self._open_keys = open_keys

    def check(self) -> None:
        """Raises NotSupported where nothing can be encrypted."""
        self._open_keys()

    # -- writing

    def request_for(self, bucket: Bucket, asked: EncryptionRequest | None) -> EncryptionRequest:
        """What a new object is encrypted with: what its writer asks for, or else its bucket's default."""
        default = bucket.settings.encryption
        if default is None:
            assert asked is not None  # or nothing would ask for encryption
            return asked
        if isinstance(asked, CustomerKey) and default.refuses_customer_keys:
            raise AccessDenied("The bucket refuses objects that are encrypted with keys of the caller's.")
        if asked is None:
            return default.request
        if isinstance(asked, NamedKey) and asked.bucket_key is None:
            return attrs.evolve(asked, bucket_key=default.bucket_key)
        return asked

    def seal(self, request: EncryptionRequest, bucket: str, key: str) -> tuple[Encryption, Seal]:
        """A new data key for an object. Raises EncryptionKeyNotFound, NotSupported."""
        data_key = os.urandom(DATA_KEY_SIZE)
        return self._wrap(data_key, request, bucket, key), Seal(data_key)

    def rewrap(self, encryption: Encryption, request: NamedKey, bucket: str, key: str) -> Encryption:
        """How an object is encrypted whose bytes stay as they are, and whose data key another master key wraps. Raises
        as `seal` and `open`."""
        made = self._wrap(self._data_key(encryption, bucket, key, None), request, bucket, key)
        return attrs.evolve(made, part_numbers=encryption.part_numbers)

    def _wrap(self, data_key: bytes, request: EncryptionRequest, bucket: str, key: str) -> Encryption:
        master_key: str | None = None
        match request:
            case CustomerKey(customer_key):
                made = Encryption(kind=EncryptionKind.CUSTOMER, wrapped_key="")
                wrapped = wrap_with(customer_key, data_key, _proved(made, bucket, key))
            case StoreKey():
                made = Encryption(kind=EncryptionKind.STORE, wrapped_key="")
                try:
                    master_key, wrapped = self._open_keys().wrap(STORE_KEY, data_key, _proved(made, bucket, key))
                except EncryptionKeyNotFound:
                    raise NotSupported(f"The store has encryption keys, but none of the name {STORE_KEY!r}.") from None
            case NamedKey():
                name = key_name(request.key_id)
                if name == STORE_KEY:
                    raise EncryptionKeyNotFound(name)
                made = Encryption(
                    kind=EncryptionKind.NAMED,
                    wrapped_key="",
                    key_id=request.key_id if (request.key_id or "").startswith("arn:") else name,
                    context=request.context,
                    bucket_key=bool(request.bucket_key),
                )
                master_key, wrapped = self._open_keys().wrap(name, data_key, _proved(made, bucket, key))
        return attrs.evolve(made, wrapped_key=base64.b64encode(wrapped).decode(), master_key=master_key)

    def writer(self, seal: Seal) -> BlobEngine:
        """Writes an object that `seal` encrypts."""
        return BlobEngine(self.backend(seal), self._committer)

    def backend(self, seal: Seal, layout: Layout | None = None) -> SealedBackend:
        """The backend as an object with this seal sees it."""
        return SealedBackend(self._backend, seal, layout)

    # -- reading

    def open(self, encryption: Encryption, bucket: str, key: str, customer_key: CustomerKey | None) -> Seal:
        """The seal of an object. Raises AccessDenied for another key of the caller's, EncryptionKeyNotFound for a named
        key that is no longer there, ServiceUnavailable if the store has lost its own."""
        return Seal(self._data_key(encryption, bucket, key, customer_key))

    def _data_key(self, encryption: Encryption, bucket: str, key: str, customer_key: CustomerKey | None) -> bytes:
        wrapped, proved = base64.b64decode(encryption.wrapped_key), _proved(encryption, bucket, key)
        if encryption.kind is EncryptionKind.CUSTOMER:
            data_key = None if customer_key is None else unwrap_with(customer_key.key, wrapped, proved)
            if data_key is None:
                raise AccessDenied()
            return data_key
        try:
            return self._open_keys().unwrap(encryption.master_key or "", wrapped, proved)
        except EncryptionKeyNotFound:
            if encryption.kind is EncryptionKind.NAMED:
                raise
        except NotSupported as error:
            raise ServiceUnavailable(error.reason) from None
        raise ServiceUnavailable(
            f"The object is encrypted with the key {encryption.master_key!r}, which is not among the encryption keys "
            "of the store: put back the file of its keys, or configure them as they were."
        )

    def open_part(self, upload: Upload, customer_key: CustomerKey | None) -> Seal | None:
        """The seal of an upload; None if it is not encrypted. Raises InvalidRequest unless the key of the caller's is
        the one that it was created with."""
        encryption = upload.encryption
        if encryption is None or encryption.kind is not EncryptionKind.CUSTOMER:
            if customer_key is not None:
                raise InvalidRequest(_PART_NEEDS_NO_KEY, "customer_key")
            if encryption is None:
                return None
        elif customer_key is None:
            raise InvalidRequest(_PART_NEEDS_KEY, "customer_key")
        try:
            return self.open(encryption, upload.bucket, upload.key, customer_key)
        except AccessDenied:
            raise InvalidRequest(_OTHER_KEY_OF_PART, "customer_key") from None


def _proved(encryption: Encryption, bucket: str, key: str) -> bytes:
    """What a wrapped key belongs to. One that was moved to another object, or whose record was changed, is of no
    use."""
    context: Mapping[str, str] = dict(sorted(encryption.context.items()))
    return json.dumps([encryption.kind, bucket, key, encryption.key_id, context]).encode()
