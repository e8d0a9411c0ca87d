"""The command line: `bleepstore serve`, `keys`, `import`, `export`, `sync`, `backup`, `restore`, `adopt`,
`fsck`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import bleepstore
from bleepstore import Owner
from bleepstore.errors import BleepStoreError
from bleepstore.store.accounts import AccountOperations
from bleepstore.store.opening import open_accounts
from bleepstore_server import cli_adopt, cli_backup, cli_fsck, cli_transfer
from bleepstore_server.config import SETTINGS, ConfigError, load_config
from bleepstore_server.extras import needing

_EPILOG = """\
Every setting can also be given by the environment (--tls-cert is BLEEPSTORE_TLS_CERT) or in a TOML file
(tls_cert = "..."). Flags win over the environment, and that over the file.

examples:
  bleepstore serve                                    the store in ./bleepstore-data at http://127.0.0.1:9000
  bleepstore serve --data :memory: --workers 1 --port 0 --allow-well-known-key     a throw-away store for tests
  bleepstore keys add --access-key ALICE --owner-id alice --display-name Alice     another user
"""


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "serve",
        help="run the S3 server",
        description="Run the S3 server: gunicorn, with several workers that share one store. SIGTERM ends it in order.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="a TOML file with settings (BLEEPSTORE_CONFIG)")
    for setting in SETTINGS:
        if not setting.metadata["flag"]:
            continue
        flag = "--" + setting.name.replace("_", "-")
        default = setting.default
        text = setting.metadata["help"] + ("" if default in (None, (), False) else f" (default: {default})")
        if isinstance(default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            parser.add_argument(flag, metavar=setting.name.rpartition("_")[2].upper(), help=text)
    parser.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> None:
    names = {setting.name for setting in SETTINGS}
    flags = {name: value for name, value in vars(arguments).items() if name in names and value is not None}
    config = load_config(file=arguments.config, environ=os.environ, flags=flags)
    with needing("server"):
        from bleepstore_server.serving import serve

        serve(config)


def _add_keys(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    keys = commands.add_parser(
        "keys",
        help="add, list and disable access keys",
        description="Access keys and their owners, kept in the store. All of it works while a server runs.",
    )
    actions = keys.add_subparsers(required=True, metavar="ACTION")
    common = argparse.ArgumentParser(add_help=False)
    data = os.environ.get("BLEEPSTORE_DATA", "bleepstore-data")
    common.add_argument("--data", default=data, metavar="DIR", help=f"the folder of the store (default: {data})")

    add = actions.add_parser("add", parents=[common], help="add a key, or change the secret and owner of a known one")
    add.add_argument("--access-key", required=True, metavar="KEY")
    add.add_argument("--secret-key", metavar="SECRET", help="a random one is made and printed if this is not given")
    add.add_argument("--owner-id", metavar="ID", help="the canonical user id; keys of one id share what they own")
    add.add_argument("--display-name", metavar="NAME", default="", help="the owner's name for people")
    add.add_argument("--email", metavar="ADDRESS", help="lets others grant rights by e-mail address")
    add.set_defaults(run=_keys_add)

    show = actions.add_parser("list", parents=[common], help="list the keys")
    show.add_argument("--show-secrets", action="store_true", help="print the secrets too")
    show.set_defaults(run=_keys_list)

    disable = actions.add_parser("disable", parents=[common], help="refuse a key, within a second")
    disable.add_argument("--access-key", required=True, metavar="KEY")
    disable.set_defaults(run=_keys_disable)


def _open_existing(data: str) -> AccountOperations:
    if not (Path(data) / "catalog.db").exists():
        raise ConfigError(f"data: there is no store in {data}; `bleepstore serve --data {data}` makes one")
    return open_accounts(data)


def _keys_add(arguments: argparse.Namespace) -> None:
    import secrets

    owner = None if arguments.owner_id is None else Owner(arguments.owner_id, arguments.display_name)
    secret = arguments.secret_key or secrets.token_urlsafe(30)
    if not (Path(arguments.data) / "catalog.db").exists():
        bleepstore.open(arguments.data).close()
    with open_accounts(arguments.data) as store:
        credential = store.put_credential(arguments.access_key, secret, owner=owner, email=arguments.email)
    print(f"{credential.access_key} belongs to {credential.owner.display_name or credential.owner.id}")
    if arguments.secret_key is None:
        print(f"secret key {secret}")


def _keys_list(arguments: argparse.Namespace) -> None:
    with _open_existing(arguments.data) as store:
        for known in store.list_credentials():
            secret = f"\t{known.secret_key}" if arguments.show_secrets else ""
            state = "enabled" if known.enabled else "disabled"
            print(f"{known.access_key}\t{state}\t{known.owner.id}\t{known.owner.display_name}{secret}")


def _keys_disable(arguments: argparse.Namespace) -> None:
    with _open_existing(arguments.data) as store:
        store.disable_credential(arguments.access_key)
    print(f"{arguments.access_key} is refused from now on")


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="bleepstore", description="The S3 you can import, as a server. See `bleepstore COMMAND --help`."
    )
    parser.add_argument("--version", action="version", version=f"bleepstore {bleepstore.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_keys(commands)
    cli_transfer.add_commands(commands)
    cli_backup.add_commands(commands)
    cli_adopt.add_commands(commands)
    cli_fsck.add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; errors are one line on standard error and status 2."""
    parsed = make_parser().parse_args(arguments)
    try:
        status = parsed.run(parsed)
    except (BleepStoreError, OSError) as error:
        print(f"bleepstore: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bleepstore: interrupted", file=sys.stderr)
        return 130  # as a shell says that SIGINT ended it
    return status or 0
