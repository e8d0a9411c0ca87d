"""Who is signed in: a cookie that all workers can check, and that nothing is recorded of.

A cookie is a claim and its seal: the access key, when it signed in and was last seen, and a random id, sealed by
HMAC-SHA256 with a key that is derived from the secret of the access key. So a session ends with the key: when it is
disabled, removed or has another secret; for good, also if the key is enabled again. It also ends when it was idle, or
has lasted, too long, and when its user signs out. The token of temporary credentials is part of the claim; it says
nothing to whoever cannot open it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
from typing import Any

import attrs

from bleepstore.access import LiveSession
from bleepstore.errors import S3Error
from bleepstore.model import Credential
from bleepstore_server.console.shared import Ended
from bleepstore_server.layers.authenticate import Authenticator
from bleepstore_server.wire.errors import RequestError

Signer = Credential | LiveSession

COOKIE = "bleepstore_console"
#: A session that nobody used for so long has ended, in milliseconds.
IDLE_MS = 30 * 60 * 1000
#: And so has one that is so old.
MAX_AGE_MS = 12 * 60 * 60 * 1000
#: How old the cookie's note of its last use may be before it is written anew.
RENEW_MS = 60 * 1000
#: What browsers keep of a cookie, with its name and attributes.
MAX_COOKIE = 3800
_PURPOSE = b"bleepstore console session 1"


@attrs.frozen(kw_only=True)
class ConsoleSession:
    """Somebody who is signed in. Times are milliseconds since the epoch, by the clock that signatures are checked
    by."""

    signer: Signer
    id: str
    issued_ms: int
    seen_ms: int
    token: str | None = attrs.field(default=None, repr=False)

    @property
    def csrf(self) -> str:
        """What forms of this session carry, so that no page of another site can send them."""
        return hmac.new(_key_of(self.signer), b"csrf\0" + self.id.encode(), hashlib.sha256).hexdigest()

    @property
    def cookie(self) -> str:
        claim = {
            "k": self.signer.access_key, "n": self.id, "i": self.issued_ms, "s": self.seen_ms, "t": self.token,
        }  # fmt: skip
        sealed = _encode(json.dumps({name: value for name, value in claim.items() if value is not None}).encode())
        return f"{sealed}.{_seal(self.signer, sealed)}"


class Sessions:
    """The sessions of one console."""

    def __init__(self, authenticator: Authenticator, ended: Ended) -> None:
        self._authenticator = authenticator
        self._ended = ended

    def begin(self, access_key: str, secret_key: str, token: str | None, now_ms: int) -> ConsoleSession | None:
        """A session of whoever knows the secret; None if it is another, or there is no such key."""
        signer = self._find(access_key, token)
        # The secret is compared in any case: how long it takes does not tell whether there is such a key.
        known = hashlib.sha256(b"" if signer is None else signer.secret_key.encode()).digest()
        given = hashlib.sha256(secret_key.encode("utf-8", "replace")).digest()
        if not hmac.compare_digest(known, given) or signer is None:
            return None
        return ConsoleSession(signer=signer, id=os.urandom(16).hex(), issued_ms=now_ms, seen_ms=now_ms, token=token)

    def find(self, cookie: str | None, now_ms: int) -> ConsoleSession | None:
        """The session of a cookie, if it is one and has not ended."""
        sealed, _, seal = (cookie or "").partition(".")
        claim = _read(sealed)
        if claim is None:
            return None
        access_key, id, token = claim["k"], claim["n"], claim.get("t")
        signer = self._find(access_key, token)
        if signer is None or not hmac.compare_digest(_seal(signer, sealed).encode(), seal.encode()):
            return None
        session = ConsoleSession(signer=signer, id=id, issued_ms=claim["i"], seen_ms=claim["s"], token=token)
        is_over = now_ms - session.seen_ms >= IDLE_MS or now_ms - session.issued_ms >= MAX_AGE_MS
        if is_over or session.id in self._ended:
            return None
        # That of temporary credentials is looked at with their token.
        is_revoked = token is None and self._authenticator.ended_ms(access_key) >= session.issued_ms
        return None if is_revoked else session

    def end(self, session: ConsoleSession) -> None:
        """Sign out: the cookie counts no more, whoever has it."""
        self._ended.add(session.id)

    def _find(self, access_key: str, token: str | None) -> Signer | None:
        try:
            if token is None:
                return self._authenticator.find_credential(access_key)
            return self._authenticator.find_signer(token)(access_key)
        except (S3Error, RequestError):  # it is no token, or has expired
            return None


def _key_of(signer: Signer) -> bytes:
    return hmac.new(signer.secret_key.encode(), _PURPOSE, hashlib.sha256).digest()


def _seal(signer: Signer, sealed: str) -> str:
    return _encode(hmac.new(_key_of(signer), sealed.encode(), hashlib.sha256).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _read(sealed: str) -> dict[str, Any] | None:
    """A claim that nobody has vouched for yet; None if it is none."""
    if len(sealed) > MAX_COOKIE or not sealed.isascii():
        return None
    try:
        claim = json.loads(base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    kinds: dict[str, type] = {"k": str, "n": str, "i": int, "s": int}
    if not isinstance(claim, dict) or not all(isinstance(claim.get(name), kind) for name, kind in kinds.items()):
        return None
    return claim if isinstance(claim.get("t"), str | None) else None
