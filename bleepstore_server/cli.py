"""The command line: `bleepstore serve`, what looks after a store (`keys`, `users`, `roles`, `sessions`, `access`,
`quotas`, `rates`, `import`, `export`, `sync`, `backup`, `restore`, `adopt`, `fsck`, `doctor`), and a client of S3
(`ls`, `cp`, ...)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bleepstore
from bleepstore.errors import BleepStoreError
from bleepstore.posix import check_posix
from bleepstore_server import (
    cli_access,
    cli_admin,
    cli_adopt,
    cli_backup,
    cli_copy,
    cli_doctor,
    cli_fsck,
    cli_keys,
    cli_objects,
    cli_quotas,
    cli_rates,
    cli_replication,
    cli_roles,
    cli_transfer,
    cli_users,
)
from bleepstore_server.addresses import NotThere
from bleepstore_server.app_config import ConfigError
from bleepstore_server.completion import SHELLS, commands_of
from bleepstore_server.config import SETTINGS, ServerConfig, is_text, load_config
from bleepstore_server.extras import needing

_EPILOG = """\
Every setting can also be given by the environment (--tls-cert is BLEEPSTORE_TLS_CERT) or in a TOML file
(tls_cert = "..."). Flags win over the environment, and that over the file.

examples:
  bleepstore serve                                    the store in ./bleepstore-data at http://127.0.0.1:9000
  bleepstore serve --data :memory: --port 0 --allow-well-known-key     a throw-away store for tests
  bleepstore keys add --access-key ALICE --owner-id alice --display-name Alice     another account
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
        elif isinstance(default, tuple):
            text += " (may be repeated)"
            parser.add_argument(flag, action="append", metavar=setting.name.rpartition("_")[2].upper(), help=text)
        else:
            parser.add_argument(flag, metavar=setting.name.rpartition("_")[2].upper(), help=text)
    parser.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> None:
    names = {setting.name for setting in SETTINGS}
    flags = {name: value for name, value in vars(arguments).items() if name in names and value is not None}
    flags = {name: ",".join(value) if isinstance(value, list) else value for name, value in flags.items()}

    environ = dict(os.environ)  # as it was given: serving tells its workers things by it

    def load() -> ServerConfig:
        return load_config(file=arguments.config, environ=environ, flags=flags)

    check_posix("bleepstore serve")
    config = load()
    with needing("server"):
        from bleepstore_server.serving import serve

        serve(config, load)


def _add_completion(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "completion",
        help="print what a shell needs to complete this command line",
        description="Print what a shell needs to complete this command line. For bash, in ~/.bashrc: "
        "source <(bleepstore completion bash). For zsh the same in ~/.zshrc. For fish: bleepstore completion fish > "
        "~/.config/fish/completions/bleepstore.fish",
    )
    parser.add_argument("shell", choices=list(SHELLS))
    parser.set_defaults(run=_print_completion)


def _print_completion(arguments: argparse.Namespace) -> None:
    sys.stdout.write(SHELLS[arguments.shell](list(commands_of(make_parser()))))


class _Parser(argparse.ArgumentParser):
    """Takes options by their whole names: `serve --secret-key X` is no `--secret-key-file X`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **options})


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser: argparse.ArgumentParser = _Parser(
        prog="bleepstore", description="The S3 you can import, as a server. See `bleepstore COMMAND --help`."
    )
    parser.add_argument("--version", action="version", version=f"bleepstore {bleepstore.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    cli_keys.add_commands(commands)
    cli_users.add_commands(commands)
    cli_roles.add_commands(commands)
    cli_access.add_commands(commands)
    cli_quotas.add_commands(commands)
    cli_rates.add_commands(commands)
    cli_replication.add_commands(commands)
    cli_objects.add_commands(commands)
    cli_copy.add_commands(commands)
    cli_transfer.add_commands(commands)
    cli_backup.add_commands(commands)
    cli_adopt.add_commands(commands)
    cli_fsck.add_commands(commands)
    cli_doctor.add_commands(commands)
    cli_admin.add_commands(commands)
    _add_completion(commands)
    return parser


def _check_utf_8(words: Sequence[str]) -> None:
    """Raise ConfigError for bytes that no text has (Python shows each as a lone surrogate): names and keys are text."""
    for number, word in enumerate(words, 1):
        if not is_text(word):
            # The word is not shown, for it may be a secret.
            after = f" (after {words[number - 2]})" if number > 1 and is_text(words[number - 2]) else ""
            raise ConfigError(f"argument {number}{after} is not UTF-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; errors are one line on standard error and status 2, or 1 if what is named is not there."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        _check_utf_8(words)
        parsed = make_parser().parse_args(words)
        status: int | None = parsed.run(parsed)
    except BrokenPipeError:  # as of `bleepstore ls | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor does the end of Python write to it
        return 141  # as a shell says that SIGPIPE ended it
    except (BleepStoreError, OSError) as error:
        print(f"bleepstore: {error}", file=sys.stderr)
        return 1 if isinstance(error, NotThere) else 2
    except KeyboardInterrupt:
        print("bleepstore: interrupted", file=sys.stderr)
        return 130  # as a shell says that SIGINT ended it
    return status or 0
