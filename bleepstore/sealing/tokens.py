"""Tokens: what a store gives out sealed and believes when it gets it back, without a record of its own.

    token = url-safe base64 of: 16 random bytes (the salt), the data compressed and encrypted by AES-256-GCM

Each is encrypted by a key of its own, as a part of an object is (`bleepstore.sealing.cipher`): so one key of a store
seals any number of them. What was not sealed by it, or was changed anywhere, is no token.
"""

from __future__ import annotations

import base64
import binascii
import os
import zlib

from cryptography.exceptions import InvalidTag

from bleepstore.sealing.cipher import Seal

#: A longer text is no token.
MAX_TOKEN = 8192
_SALT = 16
#: The key of a token encrypts once.
_NONCE = bytes(12)
_PROVED = b"bleepstore token 1"


def seal_token(key: bytes, data: bytes) -> str:
    """A token, by a `key` of 32 bytes."""
    salt = os.urandom(_SALT)
    return _encode(salt + Seal(key).cipher(salt, 0).encrypt(_NONCE, zlib.compress(data), _PROVED))


def open_token(key: bytes, token: str) -> bytes | None:
    """What `seal_token` was given; None if this is none of its tokens."""
    if len(token) > MAX_TOKEN or not token.isascii():
        return None
    try:
        sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        if _encode(sealed) != token or len(sealed) <= _SALT:  # one text for each token
            return None
        return zlib.decompress(Seal(key).cipher(sealed[:_SALT], 0).decrypt(_NONCE, sealed[_SALT:], _PROVED))
    except (binascii.Error, InvalidTag):
        return None


def _encode(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")
