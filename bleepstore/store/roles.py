"""Operations on roles."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from bleepstore.access import check_trust_policy, compile_policy
from bleepstore.commands import DeleteRole, PutRole
from bleepstore.errors import InvalidArgument, NoSuchRole
from bleepstore.model import Owner
from bleepstore.names import check_account_id
from bleepstore.roles import MAX_MAX_SESSION, MIN_MAX_SESSION, Role, check_role_name
from bleepstore.store.engine import Engine
from bleepstore.store.sessions import Sessions

#: "Role aggregate policy size can't exceed 10,240 characters" (IAM quotas).
MAX_POLICIES = 10_240
_MAX_POLICY_NAME = 128


class Roles:
    """The roles of accounts: of the store's owner, where no `account` is given. They are for the program that embeds
    the store and for its operator: no access key may change them."""

    def __init__(self, engine: Engine, sessions: Sessions) -> None:
        self._engine = engine
        self.sessions = sessions

    def put_role(
        self,
        name: str,
        trust_policy: str,
        policies: Mapping[str, str],
        *,
        account: Owner | None = None,
        max_session_seconds: int = MIN_MAX_SESSION,
    ) -> Role:
        """Add a role, or replace the documents of one. They count for sessions that have begun, too, within a second.

        `trust_policy` says who may assume it, `policies`, by their names, what it may do: JSON in the language of IAM.
        A session lasts `max_session_seconds` at most, one to twelve hours. Raises MalformedPolicy, InvalidArgument.
        """
        check_role_name(name)
        account = account or self._engine.owner
        check_account_id(account.id)
        check_trust_policy(trust_policy, account.id)
        for policy_name, text in policies.items():
            if not policy_name or len(policy_name) > _MAX_POLICY_NAME:
                raise InvalidArgument("The name of a policy has 1 to 128 characters.", "policies", policy_name[:64])
            compile_policy(text, None)
        if sum(map(len, policies.values())) > MAX_POLICIES:
            raise InvalidArgument(
                f"The policies of a role have {MAX_POLICIES} characters together at most.", "policies"
            )
        if not MIN_MAX_SESSION <= max_session_seconds <= MAX_MAX_SESSION:
            raise InvalidArgument(
                f"max_session_seconds is {MIN_MAX_SESSION} to {MAX_MAX_SESSION}.",
                "max_session_seconds",
                str(max_session_seconds),
            )
        self._engine.submit(
            PutRole(
                **self._engine.stamp(),
                name=name,
                role_id="AROA" + base64.b32encode(self._engine.random_bytes(10)).decode(),
                account=account,
                trust_policy=trust_policy,
                policies=dict(policies),
                max_session_seconds=max_session_seconds,
            )
        )
        self.sessions.forget_remembered()
        return self.get_role(name, account=account)

    def get_role(self, name: str, *, account: Owner | None = None) -> Role:
        """Raises NoSuchRole."""
        self._engine.committer.read_barrier()
        with self._engine.catalog.read() as reader:
            found = reader.find_role((account or self._engine.owner).id, name)
        if found is None:
            raise NoSuchRole(name)
        return found

    def list_roles(self) -> list[Role]:
        """Those of all accounts."""
        self._engine.committer.read_barrier()
        with self._engine.catalog.read() as reader:
            return reader.list_roles()

    def delete_role(self, name: str, *, account: Owner | None = None) -> None:
        """Remove a role, and end its sessions within a second. Raises NoSuchRole."""
        account_id = (account or self._engine.owner).id
        self._engine.submit(DeleteRole(**self._engine.stamp(), account_id=account_id, name=name))
        self.sessions.forget_remembered()
