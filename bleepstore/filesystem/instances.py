"""How file systems are made of the options that users, URLs and fsspec's configuration give."""

from __future__ import annotations

import os
from typing import Any

from fsspec.spec import AbstractFileSystem

from bleepstore.store.settings import check_location

_OURS = frozenset({"path", "store", "version_aware"})
_OF_FSSPEC = frozenset(
    {"asynchronous", "loop", "listings_expiry_time", "max_paths", "skip_instance_cache", "use_listings_cache"}
)


class Instances(type(AbstractFileSystem)):  # type: ignore[misc]  # fsspec has no type information
    """fsspec finds a known instance by its options, so a path must be the same folder after a change of directory.

    A file system of a given store is made anew each time: fsspec would keep it, and thus the store, for ever.

    A mistyped option is refused: without its path= a file system would be of the store in memory.
    """

    def __call__(cls, *args: Any, **options: Any) -> Any:
        unknown = options.keys() - _OURS - _OF_FSSPEC
        if unknown:
            raise TypeError(
                f"{min(unknown)!r} is no option of this file system: it has path= (a folder), store= and version_aware="
            )
        if options.get("path") is not None:
            check_location(options["path"], "path")
            options["path"] = os.path.realpath(options["path"])
        if options.get("store") is not None:
            options["skip_instance_cache"] = True
        return super().__call__(*args, **options)
