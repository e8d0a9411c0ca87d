"""`bleepstore.fsck`: whether the catalog of a folder and the blobs beside it fit together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from bleepstore.backends.local import LocalBackend, ReadOnlyBackend, make_folder
from bleepstore.catalog.port import CatalogReader
from bleepstore.catalog.sqlite import Catalog
from bleepstore.clock import Stamps, now_ms
from bleepstore.commands import RecountUsage
from bleepstore.errors import BlobNotFound, CatalogDamaged, StoreError
from bleepstore.posix import check_posix, fcntl
from bleepstore.quotas import Usage
from bleepstore.store.rolled_back import CATALOG_ID, has_catalog, is_of_others

_END_OF_TIME = 1 << 62


@attrs.frozen(kw_only=True)
class Finding:
    """What does not fit. `moved_to` is where a repair has put it.

    `kind` is "missing" (the catalog has a blob that is not there), "wrong size", "unknown" (a blob that the catalog
    does not have), "leftover" (of a write that was cut off), "miscounted" (a quota), "damaged", "no catalog" or
    "another store" (the blobs are another catalog's).
    """

    kind: str
    name: str
    detail: str
    moved_to: Path | None = None

    def __str__(self) -> str:
        moved = "" if self.moved_to is None else f"; moved to {self.moved_to}"
        return f"{self.kind}: {self.name}: {self.detail}{moved}"


def fsck(
    path: str | os.PathLike[str], *, repair: bool = False, progress: Callable[[int, int], None] | None = None
) -> list[Finding]:
    """Compare the catalog and the blobs of the store in the folder `path`, both ways; the bytes are not read.

    Nobody may have the store open. `repair` moves what is unknown, of the wrong size or left over to the folder
    `quarantine` in it; nothing is ever removed, and an object whose bytes are missing stays in the catalog. Beside a
    catalog that is damaged nothing but leftovers is moved. What a quota counts is counted anew.
    `progress` is called with (blobs looked at, blobs that the catalog has).

    Raises StoreError if there is no store or it is in use.
    """
    root = Path(path).absolute()
    check_posix(f"A store in the folder {root}")
    if not (root / "blobs").is_dir():
        raise StoreError(f"there is no store in {root}")
    lock = os.open(root / "store.lock", (os.O_RDWR | os.O_CREAT if repair else os.O_RDONLY) | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"The store in {root} is in use: stop its server, or close it, and check again.") from None
        backend = LocalBackend(root) if repair else ReadOnlyBackend(root)
        with contextlib.closing(backend):
            return list(_check(root, backend, repair, progress or (lambda _done, _total: None)))
    finally:
        os.close(lock)


def _check(root: Path, backend: LocalBackend, repair: bool, progress: Callable[[int, int], None]) -> Iterator[Finding]:
    yield from _leftovers(root, repair)
    if not has_catalog(root):
        yield Finding(kind="no catalog", name=str(root / "catalog.db"), detail="it is missing or empty")
        yield from _unknown(backend, lambda _handle: False, repair)
        return
    try:
        with contextlib.closing(Catalog(root / "catalog.db", read_only=True)) as catalog, catalog.read() as reader:
            problems = reader.damages()
            for problem in problems:
                yield Finding(kind="damaged", name="catalog.db", detail=problem)
            repair = repair and not problems  # what it does not know now, it may have known before
            if is_of_others(root, reader.catalog_id()):
                yield Finding(kind="another store", name="catalog.db", detail="the blobs beside it are another's")
            yield from _known(catalog, backend, repair, progress)
            yield from _unknown(backend, reader.is_referenced, repair)
            if repair:
                (root / CATALOG_ID).unlink(missing_ok=True)  # what is left is this catalog's: the next opening says so
            miscounted = list(_miscounted(reader))
        if miscounted and repair:
            with contextlib.closing(Catalog(root / "catalog.db")) as catalog:
                stamp = Stamps(now_ms, now_ms)()
                catalog.apply([RecountUsage(**stamp)])
        yield from miscounted
    except CatalogDamaged as error:
        yield Finding(kind="damaged", name="catalog.db", detail=str(error))


def _miscounted(reader: CatalogReader) -> Iterator[Finding]:
    for counted in reader.list_quotas():
        found = reader.count_quota(counted.scope, counted.name)
        if found != counted.usage:
            detail = f"it counts {_shown(counted.usage)} instead of {_shown(found)}"
            yield Finding(kind="miscounted", name=f"the quota of the {counted.scope} {counted.name}", detail=detail)


def _shown(usage: Usage) -> str:
    return f"{usage.objects} objects of {usage.bytes} bytes"


def _known(
    catalog: Catalog, backend: LocalBackend, repair: bool, progress: Callable[[int, int], None]
) -> Iterator[Finding]:
    with catalog.read() as reader:
        total = reader.count_blobs()[0]
        for done, (handle, size) in enumerate(reader.iter_blobs(), start=1):
            progress(done, total)
            name, moved_to = reader.name_of_blob(handle), None
            try:
                found = backend.head_object(handle)
            except BlobNotFound:
                yield Finding(kind="missing", name=name, detail=f"its blob {handle} is not there")
                continue
            if found != size:
                if repair:
                    moved_to = backend.quarantine(handle)
                detail = f"its blob {handle} has {found} bytes instead of {size}"
                yield Finding(kind="wrong size", name=name, detail=detail, moved_to=moved_to)


def _unknown(backend: LocalBackend, is_known: Callable[[str], bool], repair: bool) -> Iterator[Finding]:
    for handle in list(backend.iter_blobs(0, _END_OF_TIME)):
        if not is_known(handle):
            with contextlib.suppress(BlobNotFound):
                yield Finding(
                    kind="unknown",
                    name=handle,
                    detail="the catalog does not have it",
                    moved_to=backend.quarantine(handle) if repair else None,
                )


def _leftovers(root: Path, repair: bool) -> Iterator[Finding]:
    for name in ("tmp", "snapshots"):
        if not (root / name).is_dir():
            continue
        for path in sorted((root / name).iterdir()):
            target = None
            if repair:
                folder = root / "quarantine" / name
                make_folder(folder)
                target = folder / path.name
                number = 1
                while target.exists():
                    target, number = folder / f"{path.name}.{number}", number + 1
                path.rename(target)
            yield Finding(kind="leftover", name=f"{name}/{path.name}", detail="of what was cut off", moved_to=target)
