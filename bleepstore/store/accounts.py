"""Operations on access keys and their owners."""

from __future__ import annotations

import time

import attrs

from bleepstore.commands import DeleteCredential, DisableCredential, PutCredential, PutSessionKey, ReplaceSecret
from bleepstore.errors import InvalidArgument
from bleepstore.model import ANONYMOUS_OWNER, Credential, Owner, is_arn
from bleepstore.names import check_access_key
from bleepstore.store.engine import Engine
from bleepstore.store.sealed_secrets import SESSION_KEY, SealedSecrets
from bleepstore.store.users import Users

#: How long a worker may go on with a credential that another process has disabled or changed.
CREDENTIAL_MEMORY_SECONDS = 1.0
MAX_REMEMBERED_CREDENTIALS = 1024


class Accounts:
    """Who may call."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._remembered: dict[str, tuple[float, Credential]] = {}
        self.users = Users(engine, self.forget_remembered)
        self._secrets = SealedSecrets(engine)

    def put_credential(
        self,
        access_key: str,
        secret_key: str,
        *,
        owner: Owner | None = None,
        email: str | None = None,
        user: str | None = None,
    ) -> Credential:
        """Add an access key for an owner, or give a known one a new secret, owner, e-mail and user; it is enabled by
        this. It is a key of the `user` of the owner that has this name (`Store.users`), and may do no more than that;
        without one it is the owner's own, which may do all that the owner may. Raises NoSuchUser."""
        owner = owner or self._engine.owner
        check_access_key(access_key)
        if not secret_key:
            raise InvalidArgument("A secret key must not be empty.", "secret_key")
        if not owner.id or owner.id == ANONYMOUS_OWNER.id or is_arn(owner.id):
            raise InvalidArgument("An access key needs an owner with an id of its own.", "owner", owner.id)
        texts = {"secret_key": secret_key, "owner": owner.id + owner.display_name, "email": email or ""}
        for name, text in texts.items():
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise InvalidArgument("This text cannot be written as UTF-8: it has a lone surrogate.", name)
        stored, sealed_by = self._secrets.seal(access_key, secret_key)
        command = PutCredential(
            **self._engine.stamp(),
            access_key=access_key,
            secret_key=stored,
            owner=owner,
            email=email,
            user=user,
            sealed_by=sealed_by,
        )
        self._engine.submit(command)
        self.forget_remembered()
        found = None if user is None else self.users.get(user, account=owner)
        return Credential(access_key, secret_key, owner, email, True, command.time_ms, found)

    def disable_credential(self, access_key: str) -> None:
        """Refuse an access key from now on; other processes do within a second. Raises NoSuchCredential."""
        self._engine.submit(DisableCredential(**self._engine.stamp(), access_key=access_key))
        self.forget_remembered()

    def delete_credential(self, access_key: str) -> None:
        """Remove an access key for good. Raises NoSuchCredential."""
        self._engine.submit(DeleteCredential(**self._engine.stamp(), access_key=access_key))
        self.forget_remembered()

    def seal_secrets(self) -> tuple[int, int]:
        """Store every secret, and the key of sessions, as a new one would be: encrypted by the newest key of the name
        `secrets` among the store's encryption keys. Once all processes have that one, older keys of the name are not
        needed any more.

        Returns how many are encrypted, and how many are not, since there is no such key. Raises StoreError if the key
        of one is missing.
        """
        with self._engine.catalog.read() as reader:
            found = reader.list_credentials()
        for credential in found:
            secret = self._secrets.open(credential).secret_key
            stored, sealed_by = self._secrets.seal(credential.access_key, secret)
            command = ReplaceSecret(
                **self._engine.stamp(),
                access_key=credential.access_key,
                expected=credential.secret_key,
                secret_key=stored,
                sealed_by=sealed_by,
            )
            # If it has another secret by now, that is stored so already.
            self._engine.committer.submit(command)
        self._seal_session_key()
        return self.count_secrets()

    def _seal_session_key(self) -> None:
        with self._engine.catalog.read() as reader:
            found = reader.session_key()
        if found is None:
            return
        before, sealed_by = found
        key = before if sealed_by is None else self._secrets.unseal(SESSION_KEY, before, sealed_by)
        stored, sealed_by = self._secrets.seal(SESSION_KEY, key)
        command = PutSessionKey(**self._engine.stamp(), key=stored, sealed_by=sealed_by, expected=before)
        self._engine.submit(command)

    def count_secrets(self) -> tuple[int, int]:
        """How many are stored encrypted, and how many are not."""
        with self._engine.catalog.read() as reader:
            found = [credential.sealed_by is not None for credential in reader.list_credentials()]
        return sum(found), len(found) - sum(found)

    def list_credentials(self) -> list[Credential]:
        """All access keys, enabled or not. Raises StoreError if one has an encrypted secret, and the key is missing."""
        self._engine.committer.read_barrier()
        with self._engine.catalog.read() as reader:
            found = reader.list_credentials()
        return [self._secrets.open(credential) for credential in found]

    def get_credential(self, access_key: str) -> Credential | None:
        """An enabled access key, or None. What is found is remembered for a second, as every request asks."""
        memory = self._remembered
        now = time.monotonic()
        known = memory.get(access_key)
        if known is not None and known[0] > now:
            return known[1]
        self._engine.committer.read_barrier()
        with self._engine.catalog.read() as reader:
            found = reader.find_credential(access_key)
            limits = () if found is None else reader.rate_limits_of(access_key, found.owner.id)
        if found is None or not found.enabled:
            memory.pop(access_key, None)
            return None
        if found.sealed_by is not None:
            found = self._secrets.open(found)
        if len(memory) >= MAX_REMEMBERED_CREDENTIALS:
            memory.clear()
        if limits:
            found = attrs.evolve(found, rate_limits=limits)
        memory[access_key] = (now + CREDENTIAL_MEMORY_SECONDS, found)
        return found

    def forget_remembered(self) -> None:
        """The catalog may now say something else of every key."""
        self._remembered.clear()

    def find_owner(self, owner_id: str) -> Owner | None:
        """An owner that this store has met, with the display name last heard of."""
        if owner_id == ANONYMOUS_OWNER.id:
            return ANONYMOUS_OWNER
        self._engine.committer.read_barrier()
        with self._engine.catalog.read() as reader:
            return reader.find_owner(owner_id)

    def display_name(self, owner_id: str) -> str:
        """The name for people, or "" if the id is unknown."""
        owner = self.find_owner(owner_id)
        return owner.display_name if owner else ""

    def owner_by_email(self, email: str) -> Owner | None:
        """The owner of an access key that was added with this e-mail address."""
        self._engine.committer.read_barrier()
        with self._engine.catalog.read() as reader:
            return reader.owner_by_email(email)
