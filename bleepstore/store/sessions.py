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

from bleepstore.access import (
    Assumption,
    Caller,
    Session,
    SessionCredentials,
    WebIdentity,
    check_session_policy,
    may_assume,
    may_assume_by_web,
)
from bleepstore.access.sessions import (
    DEFAULT_KEY_DURATION,
    DEFAULT_ROLE_DURATION,
    MAX_CHAINED_DURATION,
    MAX_KEY_DURATION,
    MAX_ROLE_DURATION,
    MAX_ROOT_DURATION,
    LiveSession,
    check_duration,
    check_session_name,
    lifetime_of,
    new_access_key,
    new_secret_key,
    read_session,
    write_session,
)
from bleepstore.commands import PutSessionKey, RevokeSessions
from bleepstore.errors import (
    AccessDenied,
    ExpiredToken,
    InvalidArgument,
    InvalidToken,
    NoSuchRole,
    NoSuchUser,
    NotSupported,
)
from bleepstore.model import Credential, Owner
from bleepstore.rates import RateLimit
from bleepstore.roles import Role, key_principal, parse_role_arn
from bleepstore.store.accounts import CREDENTIAL_MEMORY_SECONDS, Accounts
from bleepstore.store.engine import Engine
from bleepstore.store.sealed_secrets import SESSION_KEY, SealedSecrets

_MAX_REMEMBERED = 1024
_KEY_BYTES = 32
_USER = "user:"
FindCredential = Callable[[str], Credential | None]
Signer = Credential | LiveSession


class Sessions:
    """Temporary credentials, which need no record: see `bleepstore.access.sessions`. They need the extra
    `encryption`: NotSupported without it."""

    def __init__(self, engine: Engine, accounts: Accounts) -> None:
        self._engine = engine
        self._accounts = accounts
        self._secrets = SealedSecrets(engine)
        self._remembered: dict[str, tuple[float, Session, Role | None]] = {}

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
                principals=(*_principals_of(credential), key_principal(credential.access_key)),
                origin=credential.access_key,
                origin_proof=_proof_of(credential),
            )
        )

    def assume_role(
        self,
        signer: Signer,
        role: str,
        session_name: str,
        *,
        duration: dt.timedelta = DEFAULT_ROLE_DURATION,
        policy: str | None = None,
        external_id: str | None = None,
        caller: Caller | None = None,
    ) -> SessionCredentials:
        """Temporary credentials with the rights of a role, named by its ARN, for who has an access key or a session
        and is trusted by the role. They end with the role, and with the access key.

        `policy` leaves the session no more than it allows. `external_id` is for conditions of the role's trust policy,
        as is what is known of the request of the `caller`. Raises AccessDenied, also if there is no such role;
        InvalidArgument, MalformedPolicy.
        """
        begun = signer.session if isinstance(signer, LiveSession) else None
        if caller is None:
            caller = Caller(signer.owner, user=signer.user, access_key=signer.access_key, session=begun)
        found = self._find_assumed(role, session_name, policy)
        assumption = Assumption(session_name, caller=caller, external_id=external_id)
        if found is None or not may_assume(found, assumption):
            raise AccessDenied(
                f"User: {caller.requester} is not authorized to perform: sts:AssumeRole on resource: {role}"
            )
        if begun is not None and begun.role is not None and duration > MAX_CHAINED_DURATION:
            raise InvalidArgument(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
                "duration",
            )
        made = self._session_of(found, session_name, duration, policy)
        if isinstance(signer, LiveSession):
            # What is remembered of it is up to a second old, and the new one would live on.
            self._check_revoked(signer.session)
            origin, proof, before = signer.session.origin, signer.session.origin_proof, signer.session.principals
            return self._seal(_begun_by(made, origin, proof, before))
        before = (*_principals_of(signer), key_principal(signer.access_key))
        return self._seal(_begun_by(made, signer.access_key, _proof_of(signer), before))

    def assume_role_with_web_identity(
        self,
        identity: WebIdentity,
        role: str,
        session_name: str,
        *,
        duration: dt.timedelta = DEFAULT_ROLE_DURATION,
        policy: str | None = None,
        caller: Caller | None = None,
    ) -> SessionCredentials:
        """As `assume_role`, for who has no access key: a provider says who it is, which whoever calls this has
        verified. Of an anonymous `caller` the address and the like are known."""
        found = self._find_assumed(role, session_name, policy)
        assumption = Assumption(session_name, caller=caller, identity=identity)
        if found is None or not may_assume_by_web(found, assumption):
            raise AccessDenied("Not authorized to perform sts:AssumeRoleWithWebIdentity")
        return self._seal(self._session_of(found, session_name, duration, policy))

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
            known = now + CREDENTIAL_MEMORY_SECONDS, *self._open(token)
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[token] = known
        _, session, role = known
        if session.access_key != access_key:
            raise InvalidToken
        if session.expires_ms <= self._engine.wall_clock():
            raise ExpiredToken
        if session.origin is None:
            return LiveSession(session, None, role, self._rate_limits_of(session))
        origin = (find_credential or self._accounts.get_credential)(session.origin)
        if (
            origin is None
            or not _is_begun_by(session, origin)
            or not hmac.compare_digest(_proof_of(origin), session.origin_proof or "")
        ):
            raise ExpiredToken
        limits = origin.rate_limits if role is None else self._rate_limits_of(session)
        return LiveSession(session, origin, role, limits)

    def revoke_sessions(
        self, *, account: Owner | None = None, role: str | None = None, user: str | None = None
    ) -> None:
        """End all sessions that have begun by now: of an account (None: that of the store's owner), or of one of its
        roles or users, and those that were begun by these. Other processes know it within a second.

        Raises NoSuchRole, NoSuchUser, InvalidArgument.
        """
        account_id = (account or self._engine.owner).id
        principal = self._principal(account_id, role, user)
        stamp = self._engine.stamp()
        self._engine.submit(RevokeSessions(**stamp, principal=principal, until_ms=stamp["time_ms"]))
        self.forget_remembered()

    def _rate_limits_of(self, session: Session) -> tuple[RateLimit, ...]:
        """Those of the account whose role it is."""
        with self._engine.catalog.read() as reader:
            return reader.rate_limits_of(None, session.owner.id)

    def _principal(self, account_id: str, role: str | None, user: str | None) -> str:
        if role is not None and user is not None:
            raise InvalidArgument("The sessions of a role or of a user are revoked, not both.", "user", user)
        if role is not None:
            found_role = self._find_role(account_id, role)
            if found_role is None:
                raise NoSuchRole(role)
            return f"role:{found_role.id}"
        if user is None:
            return f"account:{account_id}"
        with self._engine.catalog.read() as reader:
            found_user = reader.find_user(account_id, user)
        if found_user is None:
            raise NoSuchUser(account_id, user)
        return f"{_USER}{found_user.id}"

    def ended_ms(self, access_key: str) -> int:
        """When all sessions ended that this access key had begun by then, in milliseconds since the epoch: it was
        disabled or removed. 0: never."""
        self._engine.committer.read_barrier()
        with self._engine.catalog.read() as reader:
            return reader.revoked_until((key_principal(access_key),))

    def forget_remembered(self) -> None:
        """The catalog may now say something else of every session."""
        self._remembered.clear()

    def _find_assumed(self, role: str, session_name: str, policy: str | None) -> Role | None:
        """The role of an ARN. Raises InvalidArgument and MalformedPolicy for what no session may have."""
        check_session_name(session_name)
        if policy is not None:
            check_session_policy(policy)
        parsed = parse_role_arn(role)
        if parsed is None:
            raise InvalidArgument(f"{role} is invalid", "role", role)
        return self._find_role(*parsed)

    def _session_of(self, role: Role, name: str, duration: dt.timedelta, policy: str | None) -> Session:
        check_duration(duration, MAX_ROLE_DURATION)
        if duration > dt.timedelta(seconds=role.max_session_seconds):
            raise InvalidArgument(
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.", "duration"
            )
        issued_ms, expires_ms = lifetime_of(self._engine.wall_clock(), duration)
        return Session(
            access_key=new_access_key(),
            secret_key=new_secret_key(),
            owner=role.account,
            issued_ms=issued_ms,
            expires_ms=expires_ms,
            principals=(f"account:{role.account.id}", f"role:{role.id}"),
            role=role.name,
            role_id=role.id,
            name=name,
            policy=policy,
        )

    def _seal(self, session: Session) -> SessionCredentials:
        seal, _open = _sealing()
        key = self._find_key()
        if key is None:
            made = base64.b64encode(os.urandom(_KEY_BYTES)).decode()
            stored, sealed_by = self._secrets.seal(SESSION_KEY, made)
            self._engine.submit(PutSessionKey(**self._engine.stamp(), key=stored, sealed_by=sealed_by))
            key = self._find_key()  # another process may have been first
            assert key is not None
        return SessionCredentials(session, seal(key, write_session(session)))

    def _open(self, token: str) -> tuple[Session, Role | None]:
        _seal, open_ = _sealing()
        key = self._find_key()
        data = None if key is None else open_(key, token)
        if data is None:
            raise InvalidToken
        session = read_session(data)
        self._check_revoked(session)
        role = None if session.role is None else self._find_role(session.owner.id, session.role)
        if session.role is not None and (role is None or role.id != session.role_id):
            raise ExpiredToken
        return session, role

    def _check_revoked(self, session: Session) -> None:
        with self._engine.catalog.read() as reader:
            if reader.revoked_until(session.principals) >= session.issued_ms:
                raise ExpiredToken

    def _find_role(self, account_id: str, name: str) -> Role | None:
        self._engine.committer.read_barrier()
        with self._engine.catalog.read() as reader:
            return reader.find_role(account_id, name)

    def _find_key(self) -> bytes | None:
        self._engine.committer.read_barrier()
        with self._engine.catalog.read() as reader:
            found = reader.session_key()
        if found is None:
            return None
        stored, sealed_by = found
        return base64.b64decode(stored if sealed_by is None else self._secrets.unseal(SESSION_KEY, stored, sealed_by))


def _begun_by(made: Session, origin: str | None, proof: str | None, before: tuple[str, ...]) -> Session:
    """Each principal once: a session may go to and fro between roles as often as it likes, and its token is read
    with each request."""
    principals = tuple(dict.fromkeys((*before, *made.principals)))
    return attrs.evolve(made, origin=origin, origin_proof=proof, principals=principals)


def _is_begun_by(session: Session, credential: Credential) -> bool:
    """Whether the access key is of whom it was of: a session of a user is not one of the account's root, nor one of
    the root that of a user."""
    account, *user = _principals_of(credential)
    users = [principal for principal in session.principals if principal.startswith(_USER)]
    return session.principals[0] == account and users == user


def _principals_of(credential: Credential) -> tuple[str, ...]:
    """Whose sessions those are that an access key begins."""
    account = f"account:{credential.owner.id}"
    return (account,) if credential.user is None else (account, f"{_USER}{credential.user.id}")


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
