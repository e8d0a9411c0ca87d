"""`bleepstore doctor`: what is wrong with a store or its machine, and what to do."""

from __future__ import annotations

import argparse
import json
import os

import attrs

from bleepstore.posix import check_posix
from bleepstore_server.addresses import add_store
from bleepstore_server.config import load_config
from bleepstore_server.extras import needing


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "doctor",
        help="look for what is wrong with a store or its machine",
        description="Look at what a server with these settings would use: permissions, file system, free space, clock, "
        "limits, certificates, catalog, keys. Nothing is changed, and a server may run meanwhile. The status is 0 if "
        "all is well, 1 if there are warnings, 2 if something has failed.",
    )
    add_store(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, a line for each check")
    parser.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    check_posix("bleepstore doctor")
    with needing("server"):
        from bleepstore_server.admin.checks import State
        from bleepstore_server.doctor import examine
    flags = {} if arguments.data is None else {"data": arguments.data}
    config = load_config(file=arguments.config, environ=os.environ, flags=flags)
    states = set()
    for finding in examine(config):
        states.add(finding.state)
        if arguments.json:
            print(json.dumps(attrs.asdict(finding)))
            continue
        print(f"{finding.state:8} {finding.check:12} {finding.detail}")
        if finding.advice:
            print(f"{'':21} -> {finding.advice}")
    return 2 if State.FAILURE in states else 1 if State.WARNING in states else 0
