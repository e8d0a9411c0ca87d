"""`bleepstore rates`: how fast access keys and accounts may ask."""

from __future__ import annotations

import argparse

from bleepstore.store.facade import open_rates
from bleepstore_server.cli_data import data_parser, existing
from bleepstore_server.cli_quotas import parse_size


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    rates = commands.add_parser(
        "rates",
        help="limit how fast access keys and accounts may ask",
        description="Requests and bytes in a second, of an access key, or of an account with all its keys. All of it "
        "works while a server runs, which heeds it within a second.",
    )
    actions = rates.add_subparsers(required=True, metavar="ACTION")
    common = data_parser()
    one = argparse.ArgumentParser(add_help=False)
    whose = one.add_mutually_exclusive_group(required=True)
    whose.add_argument("--access-key", metavar="KEY")
    whose.add_argument("--account", metavar="ID", help="the canonical user id of an account")

    put = actions.add_parser("set", parents=[common, one], help="limit the rate of a key, or of an account")
    put.add_argument("--requests", metavar="COUNT", type=int, help="at most so many requests in a second")
    put.add_argument("--bytes", metavar="SIZE", type=parse_size, help="at most so many bytes in a second, both ways")
    put.set_defaults(run=_set)

    show = actions.add_parser("show", parents=[common], help="list the rates")
    show.set_defaults(run=_show)

    remove = actions.add_parser("remove", parents=[common, one], help="limit it no more")
    remove.set_defaults(run=_remove)


def _set(arguments: argparse.Namespace) -> None:
    with open_rates(existing(arguments.data)) as rates:
        rates.put_rate_limit(
            access_key=arguments.access_key,
            account=arguments.account,
            max_requests=arguments.requests,
            max_bytes=arguments.bytes,
        )


def _show(arguments: argparse.Namespace) -> None:
    with open_rates(existing(arguments.data)) as rates:
        for limit in rates.list_rate_limits():
            requests, size = limit.rate.requests, limit.rate.bytes
            print(
                limit.scope,
                limit.name,
                "any requests" if requests is None else f"{requests} requests/s",
                "any bytes" if size is None else f"{size} bytes/s",
                sep="\t",
            )


def _remove(arguments: argparse.Namespace) -> None:
    with open_rates(existing(arguments.data)) as rates:
        rates.delete_rate_limit(access_key=arguments.access_key, account=arguments.account)
