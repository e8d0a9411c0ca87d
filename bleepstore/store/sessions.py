"""Operations on sessions: temporary credentials."""

from __future__ import annotations

import base64
import datetime as dt
import functools
import hashlib
import hmac
import os
import time
from collections.abc import Callable

import attrs

from bleepstore.access import Session, SessionCredentials
from bleepstore.access.sessions import (
    DEFAULT_KEY_DURATION,
    MAX_KEY_DURATION,
    MAX_ROOT_DURATION,
    check_duration,
    lifetime_of,
    new_access_key,
    new_secret_key,
    read_session,
    write_session,
)
from bleepstore.commands import PutSessionKey, RevokeSessions
from bleepstore.errors import ExpiredToken, InvalidToken, NotSupported
from bleepstore.model import Credential, Owner, User
from bleepstore.store.accounts import CREDENTIAL_MEMORY_SECONDS, Accounts
from bleepstore.store.engine import Engine

_MAX_REMEMBERED = 1024
_KEY_BYTES = 32
FindCredential = Callable[[str], Credential | None]


@attrs.frozen
class LiveSession:
    """A session that has not ended. `origin` is the access key that began it, as it is now."""

    session: Session
    origin: Credential | None

    @property
    def access_key(self) -> str:
        return self.session.access_key

    @property
    def secret_key(self) -> str:
        return self.session.secret_key

    @property
    def owner(self) -> Owner:
        return self.session.owner

    @property
    def user(self) -> User | None:
        """Whose rights it has, with the policies that count now; None: those of its account."""
        return None if self.origin is None else self.origin.user


class Sessions:
    """Temporary credentials, which need no record: see `bleepstore.access.sessions`. They need the extra
    `encryption`: NotSupported without it."""

    def __init__(self, engine: Engine, accounts: Accounts) -> None:
        self._engine = engine
        self._accounts = accounts
        self._remembered: dict[str, tuple[float, Session]] = {}

    def create_session(
        self, credential: Credential, *, duration: dt.timedelta = DEFAULT_KEY_DURATION
    ) -> SessionCredentials:
        """Temporary credentials with the rights of an access key, for 15 minutes to 36 hours; those of an account's
        root last an hour at most, whatever is asked for. They end with the key, and when it gets another secret.

        Raises InvalidArgument for another duration.
        """
        check_duration(duration, MAX_KEY_DURATION)
        if credential.user is None:
            duration = min(duration, MAX_ROOT_DURATION)
        issued_ms, expires_ms = lifetime_of(self._engine.wall_clock(), duration)
        return self._seal(
            Session(
                access_key=new_access_key(),
                secret_key=new_secret_key(),
                owner=credential.owner,
                issued_ms=issued_ms,
                expires_ms=expires_ms,
                principals=_principals_of(credential),
                origin=credential.access_key,
                origin_proof=_proof_of(credential),
            )
        )

    def find_session(
        self, token: str, access_key: str, *, find_credential: FindCredential | None = None
    ) -> LiveSession:
        """The session of a token, if it is the one of this access key and has not ended. `find_credential` knows the
        access keys that may have begun it: those of the store.

        What ends a session elsewhere does so here within a second. Raises InvalidToken, ExpiredToken.
        """
        now = time.monotonic()
        known = self._remembered.get(token)
        if known is None or known[0] <= now:
            known = now + CREDENTIAL_MEMORY_SECONDS, self._open(token)
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[token] = known
        session = known[1]
        if session.access_key != access_key:
            raise InvalidToken
        if session.expires_ms <= self._engine.wall_clock():
            raise ExpiredToken
        if session.origin is None:
            return LiveSession(session, None)
        origin = (find_credential or self._accounts.get_credential)(session.origin)
        if (
            origin is None
            or not _begins_with(session.principals, _principals_of(origin))
            or not hmac.compare_digest(_proof_of(origin), session.origin_proof or "")
        ):
            raise ExpiredToken
        return LiveSession(session, origin)

    def revoke_sessions(self, principal: str) -> None:
        """End all sessions of a principal that have begun by now: of an account (`account:<id>`), of a user
        (`user:<id>`) or of a role (`role:<id>`). Other processes know it within a second."""
        stamp = self._engine.stamp()
        self._engine.submit(RevokeSessions(**stamp, principal=principal, until_ms=stamp["time_ms"]))
        self.forget_remembered()

    def forget_remembered(self) -> None:
        """The catalog may now say something else of every session."""
        self._remembered.clear()

    def _seal(self, session: Session) -> SessionCredentials:
        seal, _open = _sealing()
        key = self._find_key()
        if key is None:
            made = base64.b64encode(os.urandom(_KEY_BYTES)).decode()
            self._engine.submit(PutSessionKey(**self._engine.stamp(), key=made))
            key = self._find_key()  # another process may have been first
            assert key is not None
        return SessionCredentials(session, seal(key, write_session(session)))

    def _open(self, token: str) -> Session:
        _seal, open_ = _sealing()
        key = self._find_key()
        data = None if key is None else open_(key, token)
        if data is None:
            raise InvalidToken
        session = read_session(data)
        with self._engine.catalog.read() as reader:
            if reader.revoked_until(session.principals) >= session.issued_ms:
                raise ExpiredToken
        return session

    def _find_key(self) -> bytes | None:
        self._engine.committer.read_barrier()
        with self._engine.catalog.read() as reader:
            key = reader.session_key()
        return None if key is None else base64.b64decode(key)


def _begins_with(principals: tuple[str, ...], first: tuple[str, ...]) -> bool:
    return principals[: len(first)] == first


def _principals_of(credential: Credential) -> tuple[str, ...]:
    """Whose sessions those are that an access key begins."""
    account = f"account:{credential.owner.id}"
    return (account,) if credential.user is None else (account, f"user:{credential.user.id}")


def _proof_of(credential: Credential) -> str:
    """Tells one secret of an access key from another; it tells nothing of it, and is only ever sealed."""
    return hashlib.sha256(b"bleepstore session\0" + credential.secret_key.encode()).hexdigest()[:32]


@functools.cache
def _sealing() -> tuple[Callable[[bytes, bytes], str], Callable[[bytes, str], bytes | None]]:
    """What seals and opens tokens. Raises NotSupported."""
    try:
        from bleepstore.sealing.tokens import open_token, seal_token
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "cryptography":
            raise
        raise NotSupported("Sessions need the package cryptography: pip install 'bleepstore[encryption]'") from None
    return seal_token, open_token
