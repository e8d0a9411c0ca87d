"""The lock of a store's folder: it tells whether other processes have the store open."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from bleepstore.backends.local import make_folder
from bleepstore.errors import StoreError
from bleepstore.posix import check_posix, fcntl

_FILE = "store.lock"
#: No store can be in such a folder, whatever becomes of the disk.
_UNMAKEABLE = frozenset({errno.EACCES, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EPERM})


class FolderLock:
    """A lock that is held while a store is open: shared, or exclusively by its only process."""

    def __init__(self, root: Path, descriptor: int) -> None:
        self._root = root
        self._descriptor: int | None = descriptor

    @classmethod
    def open(cls, root: Path) -> FolderLock:
        """The lock of a folder, which is made if need be. Raises StoreError, OSError."""
        check_posix(f"A store in the folder {root}")
        if root.exists() and not root.is_dir():
            raise StoreError(f"{root} is not a directory: a store needs one of its own")
        try:
            make_folder(root)
            return cls(root, os.open(root / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            if error.errno in _UNMAKEABLE:
                raise StoreError(
                    f"the folder {root} cannot be made or written: {error.strerror}. Name one that this user may write."
                ) from error
            if error.errno != errno.EROFS:
                raise
            raise StoreError(
                f"{root} is on a disk that is mounted read-only: read it with open(..., read_only=True), or "
                "`bleepstore serve --read-only`"
            ) from error

    @classmethod
    def open_read_only(cls, root: Path) -> FolderLock:
        """The lock of a store that is there already; nothing is changed. Raises StoreError, OSError."""
        check_posix(f"A store in the folder {root}")
        return cls(root, os.open(root / _FILE, os.O_RDONLY | os.O_CLOEXEC))

    def acquire(self) -> bool:
        """Hold it: exclusively and True if no other process uses the store, which lets us recover; else shared."""
        if self._try_exclusive():
            return True
        self.share()
        return False

    def share(self) -> None:
        """Hold it shared, so that nobody takes the store for unused."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def _try_exclusive(self) -> bool:
        assert self._descriptor is not None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """A block in which no other process has the store open. Raises StoreError if one has."""
        if not self._try_exclusive():
            self.share()  # a conversion that fails may have released the lock
            raise StoreError("Another process has the store open: close it there first.")
        try:
            yield
        finally:
            self.share()

    def is_replaced(self) -> bool:
        """Whether the store that is in the folder now is another one than that which was opened: somebody moved or
        removed it, and put another there."""
        if self._descriptor is None:
            return True
        try:
            return not os.path.samestat((self._root / _FILE).stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return True

    def close(self) -> None:
        """Closing twice is allowed."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
