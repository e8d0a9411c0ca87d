"""`bleepstore access`: who may do what, and why."""

from __future__ import annotations

import argparse
import os
import time

import bleepstore
from bleepstore import ANONYMOUS, Action, Caller
from bleepstore.errors import NoSuchUser
from bleepstore.model import ANONYMOUS_OWNER, Owner, User
from bleepstore_server.app_config import ConfigError
from bleepstore_server.cli_data import add_data, existing
from bleepstore_server.master_keys import keys_of

_EPILOG = """\
What a request would have under a condition key is given by --with, without "s3:":

  bleepstore access explain --owner-id bob --with prefix=home/ s3:ListBucket photos
  bleepstore access explain --user ann s3:PutObject photos public/cat.jpg
  bleepstore access explain --anonymous s3:GetObject photos public/cat.jpg

The status is 0 if it is allowed, and 1 if it is denied.
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    access = commands.add_parser(
        "access", help="say who may do what, and why", description="Questions about rights. Nothing is changed."
    )
    actions = access.add_subparsers(required=True, metavar="ACTION")
    explain = actions.add_parser(
        "explain",
        help="say whether a request would be allowed, and what decides that",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data(explain)
    who = explain.add_mutually_exclusive_group()
    who.add_argument("--access-key", metavar="KEY", help="the account or the user asks whose key this is")
    who.add_argument("--user", metavar="NAME", help="a user asks: of the account of --owner-id, or else of the store's")
    who.add_argument("--anonymous", action="store_true", help="nobody signs the request")
    explain.add_argument("--owner-id", metavar="ID", help="the account with this canonical user id asks")
    explain.add_argument("--source-ip", metavar="ADDRESS", help="where the request comes from")
    explain.add_argument("--plain-http", action="store_true", help="the request does not come by TLS")
    explain.add_argument(
        "--region", default="us-east-1", metavar="NAME", help="the region of the server (default: us-east-1)"
    )
    explain.add_argument("--version-id", metavar="ID", help="the version that the request names")
    explain.add_argument(
        "--with", action="append", default=[], dest="given", metavar="KEY=VALUE", help="what the request has (repeat)"
    )
    explain.add_argument("action", metavar="s3:ACTION", help="what is asked for, as policies name it: s3:GetObject")
    explain.add_argument("bucket", metavar="BUCKET")
    explain.add_argument("key", metavar="KEY", nargs="?", default="", help="the object; without one, the bucket")
    explain.set_defaults(run=_explain)


def _explain(arguments: argparse.Namespace) -> int:
    if arguments.action not in list(Action):
        raise ConfigError(f"{arguments.action}: no operation of this store asks for such an action")
    with bleepstore.open(existing(arguments.data), read_only=True, encryption_keys=keys_of(os.environ)) as store:
        explanation = store.explain_access(
            Action(arguments.action),
            arguments.bucket,
            arguments.key,
            version_id=arguments.version_id,
            caller=_caller(store, arguments),
        )
    print(explanation)
    return 0 if explanation.allowed else 1


def _caller(store: bleepstore.Store, arguments: argparse.Namespace) -> Caller:
    given = dict(_pair(text) for text in arguments.given)
    account, user = _asking(store, arguments)
    return Caller(
        account,
        user=user,
        access_key=arguments.access_key,
        source_ip=arguments.source_ip,
        secure=not arguments.plain_http,
        region=arguments.region,
        time_ms=time.time_ns() // 1_000_000,
        sent=given.get,
    )


def _asking(store: bleepstore.Store, arguments: argparse.Namespace) -> tuple[Owner, User | None]:
    """The account and, if one asks, its user. Raises ConfigError."""
    owner = None if arguments.owner_id is None else Owner(arguments.owner_id)
    if arguments.user is not None:
        try:
            user = store.users.get(arguments.user, account=owner)
        except NoSuchUser as error:
            raise ConfigError(f"--user: the account {error.account_id} has no user {error.user}") from None
        return user.account, user
    if owner is not None:
        if arguments.access_key is not None or arguments.anonymous:
            raise ConfigError("--owner-id: say by one option alone who asks")
        return (ANONYMOUS_OWNER if owner.id == ANONYMOUS_OWNER.id else owner), None
    if arguments.anonymous:
        return ANONYMOUS.account, None
    if arguments.access_key is None:
        raise ConfigError("say who asks: --access-key, --owner-id, --user or --anonymous")
    known = store.get_credential(arguments.access_key)
    if known is None:
        raise ConfigError(
            f"--access-key: there is no key {arguments.access_key} in {arguments.data}, or it is disabled"
        )
    return known.owner, known.user


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"--with: {text!r} is not KEY=VALUE")
    return key.lower().removeprefix("s3:"), value
