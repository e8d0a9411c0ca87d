"""What a catalog does with roles, and with what ends sessions: a part of `catalog_contract`."""

from __future__ import annotations

from bleepstore import commands as c
from bleepstore import errors
from bleepstore.catalog.port import CatalogPort
from bleepstore.commands import Done
from bleepstore.model import Owner
from bleepstore.roles import MAX_SESSION_MS
from bleepstore.testing.catalog_commands import ALICE, BOB, Commands


def _put(commands: Commands, role_id: str, trust: str, policies: dict[str, str], account: Owner = ALICE) -> c.PutRole:
    return c.PutRole(
        **commands.stamp(),
        name="reader",
        role_id=role_id,
        account=account,
        trust_policy=trust,
        policies=policies,
        max_session_seconds=3600,
    )


class SessionContract:
    """For a `catalog` and `commands` as `CatalogContract` has them."""

    def test_roles_are_found_replaced_and_removed(self, catalog: CatalogPort, commands: Commands) -> None:
        first = _put(commands, "AROA1", "{}", {"b": "{1}", "a": "ü"})
        catalog.apply([first, _put(commands, "AROA2", "[]", {}), _put(commands, "AROA3", "{}", {}, BOB)])
        with catalog.read() as reader:
            found = reader.find_role("alice", "reader")
            assert found is not None
            assert (found.id, found.trust_policy, found.policies) == ("AROA1", "[]", {}), "it keeps its id"
            assert (found.account, found.max_session_seconds, found.created_ms) == (ALICE, 3600, first.time_ms)
            assert [role.arn for role in reader.list_roles()] == [
                "arn:aws:iam::alice:role/reader",
                "arn:aws:iam::bob:role/reader",
            ]
        for result in (Done(), errors.NoSuchRole("reader")):
            delete = c.DeleteRole(**commands.stamp(), account_id="alice", name="reader")
            assert catalog.apply([delete]) == [result]
        with catalog.read() as reader:
            assert reader.find_role("alice", "reader") is None
            assert reader.find_role("bob", "reader") is not None

    def test_the_policies_of_a_role_are_kept_as_they_are(self, catalog: CatalogPort, commands: Commands) -> None:
        policies = {"b": "{1}", "a": 'ü "\n'}
        catalog.apply([_put(commands, "AROA1", "{}", policies)])
        with catalog.read() as reader:
            (found,) = reader.list_roles()
        assert found.policies == policies

    def test_the_first_key_of_sessions_stays(self, catalog: CatalogPort, commands: Commands) -> None:
        with catalog.read() as reader:
            assert reader.session_key() is None
        catalog.apply([c.PutSessionKey(**commands.stamp(), key=key) for key in ("first", "second")])
        with catalog.read() as reader:
            assert reader.session_key() == ("first", None)
        for expected, found in (("second", ("first", None)), ("first", ("third", "secrets:1"))):
            catalog.apply([c.PutSessionKey(**commands.stamp(), key="third", sealed_by="secrets:1", expected=expected)])
            with catalog.read() as reader:
                assert reader.session_key() == found

    def test_a_revocation_is_forgotten_once_no_session_of_then_can_go_on(
        self, catalog: CatalogPort, commands: Commands
    ) -> None:
        def revoke(principal: str, time_ms: int) -> c.Command:
            return c.RevokeSessions(**commands.stamp() | {"time_ms": time_ms}, principal=principal, until_ms=time_ms)

        began = 1_700_000_000_000
        catalog.apply([revoke("account:a", began), revoke("role:r", began + MAX_SESSION_MS)])
        with catalog.read() as reader:
            assert reader.revoked_until(("account:a",)) == began
        catalog.apply([revoke("role:s", began + MAX_SESSION_MS + 1)])
        with catalog.read() as reader:
            assert reader.revoked_until(("account:a",)) == 0
            assert reader.revoked_until(("role:r",)) == began + MAX_SESSION_MS

    def test_the_time_of_a_revocation_never_goes_back(self, catalog: CatalogPort, commands: Commands) -> None:
        for principal, until_ms in (("account:a", 5), ("account:a", 3), ("role:r", 4)):
            catalog.apply([c.RevokeSessions(**commands.stamp(), principal=principal, until_ms=until_ms)])
        asked = [("account:a",), ("role:r", "x"), ("role:r", "account:a"), ("x",)]
        with catalog.read() as reader:
            assert [reader.revoked_until(principals) for principals in asked] == [5, 4, 5, 0]
