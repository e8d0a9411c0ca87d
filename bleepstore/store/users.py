"""The users of accounts, and their policies."""

from __future__ import annotations

import re
import string
from collections.abc import Callable

from bleepstore.access.policies import compile_policy
from bleepstore.commands import CreateUser, DeleteUser, PutUserPolicy
from bleepstore.errors import InvalidArgument, MalformedPolicy, NoSuchUser, NoSuchUserPolicy
from bleepstore.model import Owner, User
from bleepstore.names import check_account_id
from bleepstore.store.arguments import checked
from bleepstore.store.engine import Engine

#: "Names ... must be alphanumeric, including the following common characters: plus (+), equal (=), comma (,), period
#: (.), at (@), underscore (_), and hyphen (-)" ("IAM and AWS STS quotas").
_WORD = r"[A-Za-z0-9_+=,.@-]"
_NAME = re.compile(_WORD + "{1,64}")
_POLICY_NAME = re.compile(_WORD + "{1,128}")
_PATH = re.compile(rf"/(?:{_WORD}+/)*")
MAX_PATH = 512
#: "The size of each managed policy cannot exceed 6,144 characters." "IAM doesn't count white space when calculating the
#: size of a policy against these quotas."
MAX_DOCUMENT = 6144
_ALPHABET = string.ascii_uppercase + "234567"


class Users:
    """The users of a store's accounts. `account` is whose user is meant: None for the account of the store.

    A user may do what its policies allow, of what its account may. What is changed here counts for this process at
    once, and for others within a second.
    """

    def __init__(self, engine: Engine, forget: Callable[[], None]) -> None:
        """`forget` drops what is remembered of access keys, with their users."""
        self._engine = engine
        self._forget = forget

    @checked
    def add(self, name: str, *, path: str = "/", account: Owner | None = None) -> User:
        """Add a user, which has no rights yet. Raises UserAlreadyExists, also for a name that differs in case alone."""
        account = account or self._engine.owner
        if not _NAME.fullmatch(name):
            raise InvalidArgument("The name of a user has 1 to 64 letters, digits and '_+=,.@-'.", "name", name)
        if not _PATH.fullmatch(path) or len(path) > MAX_PATH:
            raise InvalidArgument(
                "A path is '/', or up to 512 letters, digits, '_+=,.@-' and '/', with a slash at both ends.",
                "path",
                path,
            )
        check_account_id(account.id)
        user_id = "AIDA" + "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in self._engine.random_bytes(17))
        self._engine.submit(CreateUser(**self._engine.stamp(), account=account, name=name, path=path, user_id=user_id))
        return self.get(name, account=account)

    @checked
    def get(self, name: str, *, account: Owner | None = None) -> User:
        """The user that has this name, in whatever case. Raises NoSuchUser."""
        account_id = (account or self._engine.owner).id
        self._engine.committer.read_barrier()
        with self._engine.catalog.read() as reader:
            found = reader.find_user(account_id, name)
        if found is None:
            raise NoSuchUser(account_id, name)
        return found

    @checked
    def remove(self, name: str, *, account: Owner | None = None) -> None:
        """Remove a user, its policies and its access keys. Raises NoSuchUser."""
        account_id = (account or self._engine.owner).id
        self._engine.submit(DeleteUser(**self._engine.stamp(), account_id=account_id, name=name))
        self._forget()

    @checked
    def put_policy(self, name: str, policy: str, document: str, *, account: Owner | None = None) -> None:
        """Give a user a policy under the name `policy`, instead of what it has under it.

        `document` is JSON in the language of IAM, without principals; `CannedPolicy.READONLY.document(["photos"])` and
        its like make one. Raises NoSuchUser, MalformedPolicy, TooManyUserPolicies.
        """
        if not _POLICY_NAME.fullmatch(policy):
            raise InvalidArgument("The name of a policy has 1 to 128 letters, digits and '_+=,.@-'.", "policy", policy)
        if len("".join(document.split())) > MAX_DOCUMENT:
            raise MalformedPolicy(f"A policy of a user has at most {MAX_DOCUMENT} characters, blanks not counted.")
        compile_policy(document, None)
        self._put(name, policy, document, account)

    @checked
    def get_policy(self, name: str, policy: str, *, account: Owner | None = None) -> str:
        """A policy, as it was given. Raises NoSuchUser, NoSuchUserPolicy."""
        user = self.get(name, account=account)
        if policy not in user.policies:
            raise NoSuchUserPolicy(user.account.id, user.name, policy)
        return user.policies[policy]

    @checked
    def remove_policy(self, name: str, policy: str, *, account: Owner | None = None) -> None:
        """Raises NoSuchUser, NoSuchUserPolicy."""
        self._put(name, policy, None, account)

    def _put(self, name: str, policy: str, document: str | None, account: Owner | None) -> None:
        account_id = (account or self._engine.owner).id
        self._engine.submit(
            PutUserPolicy(**self._engine.stamp(), account_id=account_id, user=name, policy=policy, document=document)
        )
        self._forget()

    def list(self) -> list[User]:
        """The users of all accounts, in the order of these and of their names."""
        self._engine.committer.read_barrier()
        with self._engine.catalog.read() as reader:
            return reader.list_users()
