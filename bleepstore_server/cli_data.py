"""`--data`, the option of the commands that work on the folder of a store."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from bleepstore_server.app_config import ConfigError


def add_data(parser: argparse.ArgumentParser) -> None:
    """The text that is given, or what the environment says."""
    data = os.environ.get("BLEEPSTORE_DATA", "bleepstore-data")
    parser.add_argument("--data", default=data, metavar="DIR", help=f"the folder of the store (default: {data})")


def data_parser() -> argparse.ArgumentParser:
    """One of the `parents` of commands that have the option."""
    parser = argparse.ArgumentParser(add_help=False)
    add_data(parser)
    return parser


def is_store(data: str | Path) -> bool:
    return (Path(data) / "catalog.db").exists()


def existing(data: str | Path) -> str:
    """The folder of a store. Raises ConfigError if there is none."""
    if not is_store(data):
        raise ConfigError(f"data: there is no store in {data}; `bleepstore serve --data {data}` makes one")
    return os.fspath(data)
