"""`bleepstore adopt`: bring what lies at a provider into the catalog."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from bleepstore.store.adopting import Adopted
from bleepstore_server.config import ConfigError, load_config

_SECONDS_BETWEEN_LINES = 5.0


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "adopt",
        help="bring what lies in a cloud bucket into the catalog",
        description="Register the objects that lie at a provider already, or build a lost catalog anew. What is known "
        "is left as it is, what is gone there leaves the catalog, and a run that was cut off goes on where it was. "
        "A server may run meanwhile.",
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="a TOML file with settings (BLEEPSTORE_CONFIG)")
    parser.add_argument("--data", metavar="DIR", help="the folder of the catalog")
    parser.add_argument("--backend-url", metavar="URL", help="s3://, gs:// or az://, a bucket or container, a prefix")
    parser.add_argument("--backend-layout", metavar="LAYOUT", help='"keys" (the default) or "blobs"')
    parser.add_argument("--backend-endpoint-url", metavar="URL", help="the provider's address, where it is another")
    parser.add_argument(
        "--bucket", metavar="NAME", action="append", help="only this bucket; can be given several times (default: all)"
    )
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="the catalog that these objects belonged to is lost: this is the new one",
    )
    parser.set_defaults(run=_adopt)


class _Progress:
    """A line that is written over on a terminal; a new line now and then elsewhere."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._shown = self._begun
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, done: Adopted) -> None:
        now = time.monotonic()
        text = f"{done.bucket}: {done.seen:,} seen, {done.adopted:,} adopted, {done.seen / (now - self._begun):,.0f}/s"
        if self._is_terminal:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
        elif now - self._shown >= _SECONDS_BETWEEN_LINES:
            self._shown = now
            sys.stderr.write(f"{text}\n")

    def end(self) -> None:
        if self._is_terminal:
            sys.stderr.write("\r\x1b[K")
        self._begun = time.monotonic()  # of the next bucket


def _adopt(arguments: argparse.Namespace) -> None:
    names = ("data", "backend_url", "backend_layout", "backend_endpoint_url")
    flags = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    config = load_config(file=arguments.config, environ=os.environ, flags=flags)
    if config.backend_url is None:
        raise ConfigError("backend_url: say where the objects lie, such as --backend-url s3://bucket")
    if config.in_memory:
        raise ConfigError("data: a catalog in memory is made anew at every start, and needs no adoption")
    from bleepstore_server.serving import open_configured_store

    with open_configured_store(config, take_over=arguments.take_over) as store:
        progress = _Progress()
        for done in store.adopt_all(arguments.bucket or store.adoptable_buckets(), progress):
            progress.end()
            if done.before:
                print(f"{done.bucket}: done by the run that was cut off")
                continue
            print(
                f"{done.bucket}: {done.adopted:,} objects adopted, {done.known:,} were known, "
                f"{done.removed:,} are gone there and removed here, {done.skipped:,} names cannot be objects"
            )
