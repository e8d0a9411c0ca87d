"""`bleepstore roles` and `bleepstore sessions`: whom roles trust, what they may do, and the end of sessions."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from bleepstore import CannedPolicy, Owner
from bleepstore.errors import NoSuchRole, NoSuchUser
from bleepstore.store.facade import open_roles
from bleepstore.store.roles import Roles
from bleepstore_server.app_config import ConfigError
from bleepstore_server.cli_data import data_parser, existing

_EXAMPLES = """\
  bleepstore roles add reporter --trusts alice --canned readonly --on reports
  bleepstore roles add reporter --trust trust.json --policy reads=reads.json --max-session 43200
  bleepstore roles add pods --trusts arn:aws:iam::ID:oidc-provider/id.example.org --canned readwrite --on jobs

A policy in a file is JSON in the language of IAM. --trusts makes one of it: an account by its id, a user or a role by
its ARN, or an OpenID Connect provider, whose tokens are then believed whoever they are of: --trust can have conditions.
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    common = data_parser()
    common.add_argument(
        "--owner-id", metavar="ID", help="the canonical user id of the account (default: that of the store)"
    )
    _add_roles(commands, common)
    sessions = commands.add_parser("sessions", help="end the sessions of temporary credentials")
    actions = sessions.add_subparsers(required=True, metavar="ACTION")
    revoke = actions.add_parser(
        "revoke",
        parents=[common],
        help="end all sessions that have begun by now: of an account, a role or a user",
        description="Within a second where a server runs. Sessions that begin afterwards are not concerned.",
    )
    of = revoke.add_mutually_exclusive_group()
    of.add_argument("--role", metavar="NAME", help="of this role of the account alone")
    of.add_argument("--user", metavar="NAME", help="of this user of the account alone")
    revoke.set_defaults(run=_revoke)


def _add_roles(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    roles = commands.add_parser(
        "roles",
        help="add, list, show and remove roles, which others assume for a time",
        description="Roles of the accounts of a store. All of it counts within a second where a server runs.",
    )
    actions = roles.add_subparsers(required=True, metavar="ACTION")
    one = argparse.ArgumentParser(add_help=False)
    one.add_argument("role", metavar="NAME")
    add = actions.add_parser(
        "add",
        parents=[common, one],
        help="add a role, or give a known one other documents",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    trust = add.add_mutually_exclusive_group(required=True)
    trust.add_argument("--trust", metavar="FILE", help="who may assume it; - is standard input")
    trust.add_argument("--trusts", action="append", metavar="PRINCIPAL", help="the same of a few (may be repeated)")
    add.add_argument(
        "--policy", action="append", default=[], metavar="POLICY=FILE", help="what it may do (may be repeated)"
    )
    add.add_argument("--canned", choices=list(CannedPolicy), help="a policy that need not be written")
    add.add_argument(
        "--on",
        action="append",
        default=[],
        metavar="BUCKET[/PREFIX]",
        help="of the canned policy: in this bucket alone, and on keys with this prefix (repeat; default: in all)",
    )
    add.add_argument(
        "--max-session", type=int, default=3600, metavar="SECONDS", help="the longest session (default: 3600)"
    )
    add.set_defaults(run=_add)
    show = actions.add_parser("show", parents=[common, one], help="print whom a role trusts, and its policies")
    show.set_defaults(run=_show)
    remove = actions.add_parser("remove", parents=[common, one], help="remove a role, and end its sessions")
    remove.set_defaults(run=_remove)
    listing = actions.add_parser("list", parents=[common], help="list the roles")
    listing.set_defaults(run=_list)


def _open(data: str) -> AbstractContextManager[Roles]:
    return open_roles(existing(data))


def _account(arguments: argparse.Namespace) -> Owner | None:
    return None if arguments.owner_id is None else Owner(arguments.owner_id)


def _read(file: str, flag: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{flag}: {file} is not UTF-8") from None


def _trust_in(principals: Sequence[str]) -> str:
    """A trust policy without conditions."""
    providers = [text for text in principals if ":oidc-provider/" in text]
    others = [text for text in principals if text not in providers]
    statements = []
    for kind, names, action in (
        ("AWS", others, "sts:AssumeRole"),
        ("Federated", providers, "sts:AssumeRoleWithWebIdentity"),
    ):
        if names:
            statements.append({"Effect": "Allow", "Principal": {kind: names}, "Action": action})
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _policies(arguments: argparse.Namespace) -> dict[str, str]:
    found = {}
    for text in arguments.policy:
        name, equals, file = text.partition("=")
        if not equals:
            raise ConfigError(f"--policy: {text!r} is not POLICY=FILE")
        found[name] = _read(file, "--policy")
    if arguments.canned is not None:
        found[arguments.canned] = CannedPolicy(arguments.canned).document(arguments.on)
    elif arguments.on:
        raise ConfigError("--on: it says of a canned policy where it counts: add --canned")
    return found


def _add(arguments: argparse.Namespace) -> None:
    trust = _trust_in(arguments.trusts) if arguments.trusts else _read(arguments.trust, "--trust")
    policies = _policies(arguments)
    with _open(arguments.data) as roles:
        made = roles.put_role(
            arguments.role,
            trust,
            policies,
            account=_account(arguments),
            max_session_seconds=arguments.max_session,
        )
    print(made.arn)


def _show(arguments: argparse.Namespace) -> None:
    with _open(arguments.data) as roles:
        try:
            found = roles.get_role(arguments.role, account=_account(arguments))
        except NoSuchRole:
            raise ConfigError(f"there is no role {arguments.role}") from None
    longest = dt.timedelta(seconds=found.max_session_seconds)
    print(f"{found.arn}\t{found.id}\tsessions of up to {longest}")
    print(f"trust\n{found.trust_policy}")
    for name, document in found.policies.items():
        print(f"policy {name}\n{document}")


def _remove(arguments: argparse.Namespace) -> None:
    with _open(arguments.data) as roles:
        try:
            roles.delete_role(arguments.role, account=_account(arguments))
        except NoSuchRole:
            raise ConfigError(f"there is no role {arguments.role}") from None
    print(f"{arguments.role} is removed, and its sessions are over")


def _list(arguments: argparse.Namespace) -> None:
    with _open(arguments.data) as roles:
        for role in roles.list_roles():
            print(f"{role.account.id}\t{role.name}\t{role.arn}\t{', '.join(role.policies) or 'no policy'}")


def _revoke(arguments: argparse.Namespace) -> None:
    with _open(arguments.data) as roles:
        try:
            roles.sessions.revoke_sessions(role=arguments.role, user=arguments.user, account=_account(arguments))
        except (NoSuchRole, NoSuchUser):
            raise ConfigError(f"there is no {'user' if arguments.user else 'role'} of this name") from None
    print("the sessions that have begun by now are over")
