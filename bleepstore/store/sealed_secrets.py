"""Secrets of access keys, encrypted where they are stored.

They are where the store's encryption keys (`bleepstore.sealing.keys`) have one of the name SECRETS_KEY; else they are
stored as they are, in files that their owner alone may read. Who reads a backup, a snapshot or a log of the catalog
sees no secret without that key.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import attrs

from bleepstore.errors import EncryptionKeyNotFound, NotSupported, StoreError
from bleepstore.model import Credential
from bleepstore.store.engine import Engine
from bleepstore.store.settings import KEY_FILE

if TYPE_CHECKING:
    from bleepstore.sealing.keys import KeyService

SECRETS_KEY = "secrets"
#: What the key of sessions is encrypted as: no access key has a space.
SESSION_KEY = "of sessions"


class SealedSecrets:
    """What of the secrets of one store is encrypted."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def seal(self, access_key: str, secret: str) -> tuple[str, str | None]:
        """(how it is stored, by which key it is encrypted). Raises StoreError if it would be stored as it is, while
        others are encrypted."""
        keys = self._keys()
        if keys is not None:
            try:
                sealed_by, wrapped = keys.wrap(SECRETS_KEY, secret.encode(), _context(access_key))
            except EncryptionKeyNotFound:
                pass
            else:
                return base64.b64encode(wrapped).decode(), sealed_by
        with self._engine.catalog.read() as reader:
            others = [found.access_key for found in reader.list_credentials() if found.sealed_by is not None]
        if others:
            raise StoreError(
                f"secrets of this store are encrypted (that of {others[0]!r} is), and its encryption keys have none of "
                f"the name {SECRETS_KEY!r}: configure the keys as they were"
            )
        return secret, None

    def open(self, credential: Credential) -> Credential:
        """With the secret itself. Raises StoreError without the right key."""
        if credential.sealed_by is None:
            return credential
        secret = self.unseal(credential.access_key, credential.secret_key, credential.sealed_by)
        return attrs.evolve(credential, secret_key=secret, sealed_by=None)

    def unseal(self, access_key: str, stored: str, sealed_by: str) -> str:
        """What `seal` encrypted. Raises StoreError without the right key."""
        keys = self._keys()
        if keys is not None:
            try:
                return keys.unwrap(sealed_by, base64.b64decode(stored), _context(access_key)).decode()
            except EncryptionKeyNotFound:
                pass
        raise StoreError(
            f"the secret of the access key {access_key!r} is encrypted by the key {sealed_by!r}, "
            "which is not among the encryption keys of the store: configure them as they were"
        )

    def _keys(self) -> KeyService | None:
        engine = self._engine
        if engine.settings.encryption_keys is None and (
            engine.folder is None or not (engine.folder / KEY_FILE).exists()
        ):
            return None
        try:
            return engine.open_keys()
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "cryptography":
                raise
            raise NotSupported(
                "Encryption needs the package cryptography: pip install 'bleepstore[encryption]'"
            ) from None


def _context(access_key: str) -> bytes:
    """What an encrypted secret belongs to: that of another access key is refused."""
    return b"secret of the access key " + access_key.encode()
