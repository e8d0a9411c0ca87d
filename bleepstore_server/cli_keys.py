"""`bleepstore keys`: access keys and their owners."""

from __future__ import annotations

import argparse
import getpass
import os
import secrets
import sys
from contextlib import AbstractContextManager

import bleepstore
from bleepstore import Owner
from bleepstore.model import Credential
from bleepstore.store.accounts import Accounts
from bleepstore.store.facade import open_accounts
from bleepstore_server.app_config import ConfigError
from bleepstore_server.cli_data import data_parser, existing, is_store
from bleepstore_server.config import clean_secret, read_secret_file
from bleepstore_server.master_keys import keys_of

_SECRETS = """\
Without any of these a random secret is made, and printed. What stands on a command line is seen by every user of the
machine (in `ps`), so rather than --secret-key use --ask-secret, --secret-file or --secret-env.
"""


_SEALING = """\
A line `secrets KEY` in the store's encryption keys (a file by BLEEPSTORE_ENCRYPTION_KEY_FILE, or encryption.keys in its
folder), with 32 random bytes as base64, is the key. To rotate it, add another line of that name, restart the servers,
run this, and remove the older line.
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    keys = commands.add_parser(
        "keys",
        help="add, list, rotate, enable, disable and remove access keys",
        description="Access keys and their owners, kept in the store. All of it works while a server runs.",
    )
    actions = keys.add_subparsers(required=True, metavar="ACTION")
    common = data_parser()
    one = argparse.ArgumentParser(add_help=False)
    one.add_argument("--access-key", required=True, metavar="KEY")

    add = actions.add_parser(
        "add", parents=[common, one], help="add a key, or give a known one a new secret; the key is enabled by this"
    )
    _add_secret(add)
    add.add_argument(
        "--owner-id",
        metavar="ID",
        help="the canonical user id; keys of one id share what they own (default: the key's owner, if it is known, "
        "or else the store's)",
    )
    add.add_argument(
        "--user",
        metavar="NAME",
        help="a user of that owner (`bleepstore users add`), whose policies say what the key may do (default: the user "
        "that the key has, or else none: it may do all that the owner may)",
    )
    add.add_argument("--display-name", metavar="NAME", help="the name for people of the owner with that id")
    add.add_argument("--email", metavar="ADDRESS", help="lets others grant rights by e-mail address")
    add.set_defaults(run=_add)

    show = actions.add_parser("list", parents=[common], help="list the keys")
    show.add_argument("--show-secrets", action="store_true", help="print the secrets too")
    show.set_defaults(run=_list)

    secret = actions.add_parser("show-secret", parents=[common, one], help="print the secret of a key and nothing else")
    secret.set_defaults(run=_show_secret)

    rotate = actions.add_parser(
        "rotate", parents=[common, one], help="give a key a new secret; the old one is refused within a second"
    )
    _add_secret(rotate)
    rotate.set_defaults(run=_rotate)

    enable = actions.add_parser("enable", parents=[common, one], help="accept a disabled key again, with its secret")
    enable.set_defaults(run=_enable)

    disable = actions.add_parser("disable", parents=[common, one], help="refuse a key, within a second")
    disable.set_defaults(run=_disable)

    remove = actions.add_parser("remove", parents=[common, one], help="remove a key for good, within a second")
    remove.set_defaults(run=_remove)

    seal = actions.add_parser(
        "seal",
        parents=[common],
        help="encrypt all secrets where they are stored, by the key `secrets`",
        epilog=_SEALING,
    )
    seal.set_defaults(run=_seal)


def _add_secret(parser: argparse.ArgumentParser) -> None:
    source = parser.add_argument_group("the secret", _SECRETS).add_mutually_exclusive_group()
    source.add_argument("--ask-secret", action="store_true", help="ask for it on the terminal, without showing it")
    source.add_argument("--secret-file", metavar="FILE", help="read it from a file of one line; - is standard input")
    source.add_argument("--secret-env", metavar="NAME", help="take it from this environment variable")
    source.add_argument("--secret-key", metavar="SECRET", help="the secret itself, for all to see")


def open_or_make(data: str) -> AbstractContextManager[Accounts]:
    """The accounts of the store in this folder, which is made if need be."""
    if not is_store(data):
        bleepstore.open(data).close()
    return open_accounts(data, encryption_keys=keys_of(os.environ))


def open_existing(data: str) -> AbstractContextManager[Accounts]:
    """Raises ConfigError if there is no store."""
    return open_accounts(existing(data), encryption_keys=keys_of(os.environ))


def _find(store: Accounts, access_key: str) -> Credential | None:
    return next((known for known in store.list_credentials() if known.access_key == access_key), None)


def _given_secret(arguments: argparse.Namespace) -> str | None:
    """The secret by whichever way it was given; None if it was not. Raises ConfigError."""
    if arguments.secret_key is not None:
        print(
            "bleepstore: --secret-key is seen by every user of this machine while the command runs: "
            "rather use --ask-secret, --secret-file or --secret-env",
            file=sys.stderr,
        )
        return clean_secret(arguments.secret_key, "--secret-key")
    if arguments.secret_env is not None:
        if arguments.secret_env not in os.environ:
            raise ConfigError(f"--secret-env: there is no environment variable {arguments.secret_env}")
        return clean_secret(os.environ[arguments.secret_env], f"--secret-env: {arguments.secret_env}")
    if arguments.secret_file is not None:
        return read_secret_file(arguments.secret_file, "--secret-file")
    return _asked_secret() if arguments.ask_secret else None


def _asked_secret() -> str:
    if not sys.stdin.isatty():
        raise ConfigError("--ask-secret: there is no terminal to ask on; --secret-file - reads standard input")
    secret = clean_secret(getpass.getpass("Secret key: "), "--ask-secret")
    if getpass.getpass("Again: ") != secret:
        raise ConfigError("--ask-secret: the two differ, so nothing was changed")
    return secret


def _add(arguments: argparse.Namespace) -> None:
    if arguments.display_name is not None and arguments.owner_id is None:
        raise ConfigError("--display-name: it names the owner that --owner-id gives: add --owner-id")
    given = _given_secret(arguments)
    secret = secrets.token_urlsafe(30) if given is None else given
    with open_or_make(arguments.data) as store:
        known = _find(store, arguments.access_key)
        if arguments.owner_id is not None:
            owner: Owner | None = Owner(arguments.owner_id, arguments.display_name or "")
            email = arguments.email
        else:
            # A new secret must not give the key of somebody to the owner of the store.
            owner = None if known is None else known.owner
            email = known.email if known is not None and arguments.email is None else arguments.email
        user = _user_for(known, owner, arguments)
        credential = store.put_credential(arguments.access_key, secret, owner=owner, email=email, user=user)
    print(f"{credential.access_key} belongs to {_holder(credential)}")
    if given is None:
        print(f"secret key {secret}")


def _user_for(known: Credential | None, owner: Owner | None, arguments: argparse.Namespace) -> str | None:
    """Whose key it will be. Raises ConfigError for a key of a user that would become its account's own."""
    if arguments.user is not None or known is None or known.user is None:
        user: str | None = arguments.user
        return user
    if owner is not None and owner.id != known.owner.id:
        raise ConfigError(
            f"--owner-id: {known.access_key} is a key of the user {known.user.name}: remove it, or name another --user"
        )
    return known.user.name


def _holder(credential: Credential) -> str:
    owner = credential.owner.display_name or credential.owner.id
    return owner if credential.user is None else f"the user {credential.user.name} of {owner}"


def _list(arguments: argparse.Namespace) -> None:
    with open_existing(arguments.data) as store:
        for known in store.list_credentials():
            secret = f"\t{known.secret_key}" if arguments.show_secrets else ""
            state = "enabled" if known.enabled else "disabled"
            user = "" if known.user is None else known.user.name
            print(f"{known.access_key}\t{state}\t{known.owner.id}\t{known.owner.display_name}\t{user}{secret}")


def _find_known(store: Accounts, arguments: argparse.Namespace) -> Credential:
    known = _find(store, arguments.access_key)
    if known is None:
        raise ConfigError(f"--access-key: there is no key {arguments.access_key} in {arguments.data}")
    return known


def _show_secret(arguments: argparse.Namespace) -> None:
    with open_existing(arguments.data) as store:
        print(_find_known(store, arguments).secret_key)


def _rotate(arguments: argparse.Namespace) -> None:
    given = _given_secret(arguments)
    with open_existing(arguments.data) as store:
        known = _find_known(store, arguments)
        if not known.enabled:
            raise ConfigError(
                f"--access-key: {known.access_key} is disabled; `bleepstore keys enable` accepts it again"
            )
        secret = secrets.token_urlsafe(30) if given is None else given
        _put_again(store, known, secret)
    print(f"{known.access_key} has a new secret")
    if given is None:
        print(f"secret key {secret}")


def _put_again(store: Accounts, known: Credential, secret: str) -> None:
    user = None if known.user is None else known.user.name
    store.put_credential(known.access_key, secret, owner=known.owner, email=known.email, user=user)


def _enable(arguments: argparse.Namespace) -> None:
    with open_existing(arguments.data) as store:
        known = _find_known(store, arguments)
        _put_again(store, known, known.secret_key)
    print(f"{known.access_key} is accepted from now on")


def _disable(arguments: argparse.Namespace) -> None:
    with open_existing(arguments.data) as store:
        store.disable_credential(arguments.access_key)
    print(f"{arguments.access_key} is refused from now on")


def _remove(arguments: argparse.Namespace) -> None:
    with open_existing(arguments.data) as store:
        store.delete_credential(arguments.access_key)
    print(f"{arguments.access_key} is removed, and refused from now on")


def _seal(arguments: argparse.Namespace) -> None:
    with open_existing(arguments.data) as store:
        sealed, plain = store.seal_secrets()
    if plain:
        raise ConfigError(
            f"there is no key `secrets` among the encryption keys: {plain} secrets are stored as they are"
        )
    print(f"{sealed} secrets are encrypted")
