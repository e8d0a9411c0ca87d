"""What a store is given when its server starts: what a file declares, buckets, and the objects of a directory.

All of it is done anew at each start, and changes nothing that is there already. Several workers that start by
themselves (`app_from_env`) do it one after the other.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from bleepstore import Store, SystemMetadata, WriteCondition
from bleepstore.errors import BleepStoreError, NoSuchKey, PreconditionFailed
from bleepstore.posix import fcntl
from bleepstore_server.app_config import ConfigError
from bleepstore_server.config import ServerConfig
from bleepstore_server.declared import apply, make_bucket, read_declaration
from bleepstore_server.extras import needing
from bleepstore_server.progress import shown_progress

_log = logging.getLogger("bleepstore.server")
_LOCK = "start.lock"


def begin(store: Store, config: ServerConfig) -> None:
    """Give a store what the configuration says. Raises ConfigError, which names what cannot be."""
    if not (config.create_bucket or config.seed or config.init):
        return
    declared = None if config.init is None else read_declaration(Path(config.init))  # wrong: nothing is done
    with _alone(store):
        if declared is not None and config.init is not None:
            apply(store, declared, Path(config.init))
        for name in config.create_bucket:
            try:
                make_bucket(store, name)
            except BleepStoreError as error:
                raise ConfigError(f"create_bucket: {name}: {error}") from error
        if config.seed is not None:
            _seed(store, Path(config.seed))


@contextlib.contextmanager
def _alone(store: Store) -> Iterator[None]:
    """A block that one process at a time is in."""
    if store.engine.folder is None:
        yield
        return
    lock = os.open(store.engine.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _seed(store: Store, root: Path) -> None:
    with needing("server"):
        from bleepstore_server.locations import Directory, NotTransferred
    if not root.is_dir():
        raise ConfigError(f"seed: there is no directory {root}")
    made: set[str] = set()
    try:
        files = Directory(root, _pass_over, _pass_over)
        with shown_progress("seed") as progress:
            done = 0
            for folder in sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink()):
                make_bucket(store, folder)
                made.add(folder)
            for entry in files.entries():
                bucket, _, key = entry.key.partition("/")
                if bucket not in made:
                    raise ConfigError(f"seed: {entry.key} is in no folder of {root}: its folders are buckets")
                if _is_missing(store, bucket, key):
                    with files.open(entry) as body, contextlib.suppress(PreconditionFailed):
                        store.put_object(
                            bucket,
                            key,
                            iter(lambda: body.read(1 << 20), b""),
                            size=body.size,
                            system=SystemMetadata(content_type=body.described.get("ContentType")),
                            condition=WriteCondition(if_none_match=True),
                        )
                done += entry.size
                progress(done, done)
    except NotTransferred as error:
        raise ConfigError(f"seed: {error}") from None
    except BleepStoreError as error:
        raise error if isinstance(error, ConfigError) else ConfigError(f"seed: {error}") from error


def _is_missing(store: Store, bucket: str, key: str) -> bool:
    try:
        store.head_object(bucket, key)
    except NoSuchKey:
        return True
    return False


def _pass_over(key: str, why: str) -> None:
    _log.warning("seed: %r is left out: %s", key, why)
