"""Continuation tokens: opaque to clients, and just the last key for us."""

from __future__ import annotations

import base64
import binascii

from bleepstore_server.wire.errors import RequestError


def encode_token(text: str) -> str:
    return base64.urlsafe_b64encode(b"1" + text.encode()).decode("ascii")


def decode_token(token: str) -> str:
    """The text of a token. Raises RequestError for any that `encode_token` did not make."""
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        if raw[:1] == b"1":
            return raw[1:].decode()
    except (binascii.Error, UnicodeError, ValueError):
        pass
    raise RequestError(
        "InvalidArgument",
        "The continuation token provided is incorrect",
        fields={"ArgumentName": "continuation-token", "ArgumentValue": token},
    )
