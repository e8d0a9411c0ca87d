"""`bleepstore adopt`: bring what is stored at a provider into the catalog."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from bleepstore.posix import check_posix
from bleepstore.store.adopting import Adopted
from bleepstore_server.app_config import ConfigError
from bleepstore_server.config import load_config
from bleepstore_server.extras import needing
from bleepstore_server.progress import shown_progress


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "adopt",
        help="bring what is stored in a cloud bucket into the catalog",
        description="Register the objects that are stored at a provider already, or build a lost catalog anew. "
        "What is known is left as it is, what is gone there leaves the catalog, and a run that was cut off goes on "
        "where it was. A server may run meanwhile.",
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
        help="the catalog that these objects belonged to is lost: this is the new one. Until a run for all buckets has "
        "ended, nothing is removed for the reason that this catalog does not know it",
    )
    parser.set_defaults(run=_adopt)


class _Bars:
    """A bar for each bucket, one after the other."""

    def __init__(self) -> None:
        self._shown = contextlib.ExitStack()
        self._update: Callable[[int, int], None] | None = None

    def __call__(self, done: Adopted) -> None:
        if self._update is None:
            what = f"{done.bucket} (resumed)" if done.resumed else done.bucket
            self._update = self._shown.enter_context(shown_progress(what, "objects"))
        self._update(done.seen, max(done.total, done.seen))

    def close(self) -> None:
        self._update = None
        self._shown.close()


def _adopt(arguments: argparse.Namespace) -> None:
    names = ("data", "backend_url", "backend_layout", "backend_endpoint_url")
    flags = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    config = load_config(file=arguments.config, environ=os.environ, flags=flags)
    if config.backend_url is None:
        raise ConfigError("backend_url: say where the objects are stored, such as --backend-url s3://bucket")
    if config.in_memory:
        raise ConfigError("data: a catalog in memory is made anew at every start, and needs no adoption")
    check_posix(f"A store in the folder {config.data}")
    with needing("server"):
        from bleepstore_server.serving import open_configured_store

    with open_configured_store(config, take_over=arguments.take_over) as store, contextlib.closing(_Bars()) as bars:
        for done in store.adopt_all(arguments.bucket or store.adoptable_buckets(), bars):
            bars.close()
            if done.before:
                print(f"{done.bucket}: done by the run that was cut off")
                continue
            print(
                f"{done.bucket}: {done.adopted:,} objects adopted, {done.known:,} were known, "
                f"{done.removed:,} are gone there and removed here, {done.skipped:,} names cannot be objects"
            )
            if done.kept:
                print(
                    f"{done.bucket}: {done.kept:,} older versions of what was written meanwhile stay at the provider, "
                    "unknown to this catalog. Until a run brings all in nothing is removed because it is unknown."
                )
