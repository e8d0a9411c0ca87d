"""`bleepstore quotas`: how much buckets, accounts and users may hold, and how much they do."""

from __future__ import annotations

import argparse
import re

from bleepstore import CountedQuota
from bleepstore.store.facade import open_quotas
from bleepstore_server.cli_data import data_parser, existing

_UNITS: dict[str, int] = {unit: 1024**power for power, unit in enumerate(("", "K", "M", "G", "T", "P"))}
_SIZE = re.compile(r"(\d{1,18})([KMGTP]?)(iB)?", re.ASCII)


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    quotas = commands.add_parser(
        "quotas",
        help="limit what buckets, accounts and users may hold, and show what they do",
        description="Quotas of buckets, of accounts and of users: of an account all buckets count that it owns, of a "
        "user what it has made in these. All of it works while a server runs, which heeds it at once.",
    )
    actions = quotas.add_subparsers(required=True, metavar="ACTION")
    common = data_parser()
    one = argparse.ArgumentParser(add_help=False)
    whose = one.add_mutually_exclusive_group(required=True)
    whose.add_argument("--bucket", metavar="NAME")
    whose.add_argument("--account", metavar="ID", help="the canonical user id of an account")
    whose.add_argument(
        "--user", metavar="ARN", help="of a user, as `bleepstore users list` shows it, or of a role, with its sessions"
    )

    put = actions.add_parser("set", parents=[common, one], help="limit what a bucket, an account or a user may hold")
    put.add_argument(
        "--bytes", metavar="SIZE", type=parse_size, help="at most so many bytes; 10G and 10GiB are 10 * 1024³"
    )
    put.add_argument("--objects", metavar="COUNT", type=parse_size, help="at most so many versions and delete markers")
    put.set_defaults(run=_set)

    show = actions.add_parser("show", parents=[common], help="list the quotas, and what is stored of each")
    show.set_defaults(run=_show)

    remove = actions.add_parser("remove", parents=[common, one], help="limit it no more")
    remove.set_defaults(run=_remove)

    recount = actions.add_parser("recount", parents=[common], help="count anew what is stored, after a damage")
    recount.set_defaults(run=_recount)


def parse_size(text: str) -> int:
    """Bytes: 500, 10K, 10KiB. Raises argparse.ArgumentTypeError."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: 500, 10K, 10M, 10G, 10GiB")
    unit: int = _UNITS[found[2]]
    return int(found[1]) * unit


def _set(arguments: argparse.Namespace) -> None:
    with open_quotas(existing(arguments.data)) as quotas:
        quotas.put_quota(
            bucket=arguments.bucket,
            account=arguments.account,
            user=arguments.user,
            max_bytes=arguments.bytes,
            max_objects=arguments.objects,
        )
        for counted in quotas.list_quotas():
            if counted.name == getattr(arguments, counted.scope):
                print(_line(counted))


def _show(arguments: argparse.Namespace) -> None:
    with open_quotas(existing(arguments.data)) as quotas:
        for counted in quotas.list_quotas():
            print(_line(counted))


def _remove(arguments: argparse.Namespace) -> None:
    with open_quotas(existing(arguments.data)) as quotas:
        quotas.delete_quota(bucket=arguments.bucket, account=arguments.account, user=arguments.user)


def _recount(arguments: argparse.Namespace) -> None:
    with open_quotas(existing(arguments.data)) as quotas:
        quotas.recount_usage()


def _line(counted: CountedQuota) -> str:
    quota, usage = counted.quota, counted.usage
    return "\t".join(
        (
            counted.scope,
            counted.name,
            _of(usage.bytes, quota.max_bytes, "bytes"),
            _of(usage.objects, quota.max_objects, "objects"),
        )
    )


def _of(used: int, limit: int | None, unit: str) -> str:
    return f"{used} {unit}" if limit is None else f"{used} of {limit} {unit}"
