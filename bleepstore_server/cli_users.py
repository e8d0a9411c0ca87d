"""`bleepstore users`: the users of accounts, and what they may do."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bleepstore import CannedPolicy, Owner, User
from bleepstore.errors import NoSuchUser
from bleepstore.store.accounts import Accounts
from bleepstore.store.users import Users
from bleepstore_server.app_config import ConfigError
from bleepstore_server.cli_data import data_parser
from bleepstore_server.cli_keys import open_existing, open_or_make

_POLICIES = """\
A user may do what its policies allow, of what its account may. Each has a name:

  bleepstore users policy ann --canned readonly --on photos --on papers/2024/
  bleepstore users policy ann --name uploads --file uploads.json
  bleepstore users policy ann --name uploads            (shows it)
  bleepstore users policy ann --name uploads --remove

A policy in a file is JSON in the language of IAM, as for a user of AWS; - is standard input.
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    users = commands.add_parser(
        "users",
        help="add, list, show and remove users, and say what they may do",
        description="Users of the accounts of a store. All of it counts within a second where a server runs.",
    )
    actions = users.add_subparsers(required=True, metavar="ACTION")
    common = data_parser()
    one = argparse.ArgumentParser(add_help=False)
    one.add_argument("user", metavar="NAME")
    one.add_argument(
        "--owner-id", metavar="ID", help="the canonical user id of the account (default: that of the store)"
    )

    add = actions.add_parser(
        "add", parents=[common, one], help="add a user; `bleepstore keys add --user` gives it keys"
    )
    add.add_argument("--path", default="/", help="a part of the user's ARN, as /lab/")
    _add_canned(add)
    add.set_defaults(run=_add)

    show = actions.add_parser("show", parents=[common, one], help="print a user's keys and policies")
    show.set_defaults(run=_show)

    remove = actions.add_parser("remove", parents=[common, one], help="remove a user, its keys and its policies")
    remove.set_defaults(run=_remove)

    listing = actions.add_parser("list", parents=[common], help="list the users")
    listing.set_defaults(run=_list)

    policy = actions.add_parser(
        "policy",
        parents=[common, one],
        help="give a user a policy, show one, or take it away",
        epilog=_POLICIES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    policy.add_argument("--name", metavar="POLICY", help="the name of the policy (default: that of the canned one)")
    policy.add_argument("--file", metavar="FILE", help="the policy, as JSON")
    policy.add_argument("--remove", action="store_true", help="take the policy away")
    _add_canned(policy)
    policy.set_defaults(run=_policy)


def _add_canned(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--canned", choices=list(CannedPolicy), help="a policy that need not be written")
    parser.add_argument(
        "--on",
        action="append",
        default=[],
        metavar="BUCKET[/PREFIX]",
        help="of the canned policy: in this bucket alone, and on keys with this prefix (repeat; default: in all)",
    )


def _account(arguments: argparse.Namespace) -> Owner | None:
    return None if arguments.owner_id is None else Owner(arguments.owner_id)


def _canned(arguments: argparse.Namespace) -> tuple[str, str] | None:
    """The name of the canned policy that is asked for, and its document. Raises ConfigError."""
    if arguments.canned is None:
        if arguments.on:
            raise ConfigError("--on: it says of a canned policy where it counts: add --canned")
        return None
    return arguments.canned, CannedPolicy(arguments.canned).document(arguments.on)


def _add(arguments: argparse.Namespace) -> None:
    policy = _canned(arguments)
    with open_or_make(arguments.data) as store:
        user = store.users.add(arguments.user, path=arguments.path, account=_account(arguments))
        if policy is not None:
            store.users.put_policy(user.name, *policy, account=user.account)
    print(user.arn)


def _show(arguments: argparse.Namespace) -> None:
    with open_existing(arguments.data) as store:
        user = _find(store.users, arguments)
        keys = [key for key in store.list_credentials() if key.user is not None and key.user.arn == user.arn]
    print(f"{user.arn}\t{user.id}")
    for key in keys:
        print(f"key {key.access_key}\t{'enabled' if key.enabled else 'disabled'}")
    for name, document in user.policies.items():
        print(f"policy {name}\n{document}")


def _find(users: Users, arguments: argparse.Namespace) -> User:
    try:
        return users.get(arguments.user, account=_account(arguments))
    except NoSuchUser as error:
        raise ConfigError(f"there is no user {error.user} of the account {error.account_id}") from None


def _remove(arguments: argparse.Namespace) -> None:
    with open_existing(arguments.data) as store:
        user = _find(store.users, arguments)
        store.users.remove(user.name, account=user.account)
    print(f"{user.arn} is removed, and its keys are refused from now on")


def _list(arguments: argparse.Namespace) -> None:
    with open_existing(arguments.data) as store:
        for user in store.users.list():
            print(f"{user.account.id}\t{user.name}\t{user.arn}\t{', '.join(user.policies) or 'no policy'}")


def _policy(arguments: argparse.Namespace) -> None:
    policy = _canned(arguments)
    if (policy is not None) + (arguments.file is not None) + arguments.remove > 1:
        raise ConfigError("--canned, --file, --remove: one of them")
    if arguments.file is not None:
        policy = ("", _read(arguments.file))
    name = arguments.name or (policy[0] if policy else "")
    if not name:
        raise ConfigError("--name: say which policy")
    with open_existing(arguments.data) as store:
        _put_or_show(store, _find(store.users, arguments), name, None if policy is None else policy[1], arguments)


def _put_or_show(store: Accounts, user: User, name: str, document: str | None, arguments: argparse.Namespace) -> None:
    if arguments.remove:
        store.users.remove_policy(user.name, name, account=user.account)
        print(f"{user.name} has no policy {name} any more")
    elif document is None:
        print(store.users.get_policy(user.name, name, account=user.account))
    else:
        store.users.put_policy(user.name, name, document, account=user.account)
        print(f"{user.name} has the policy {name}")


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"--file: {file} is not UTF-8") from None
