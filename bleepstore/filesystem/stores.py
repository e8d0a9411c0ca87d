"""Which store a file system is of, and who closes it.

fsspec keeps an instance of a file system for each thread. All instances for one folder share one open store, which is
closed with the last of them, or at the end of the process. A forked process opens the folder anew.
"""

from __future__ import annotations

import os
import secrets
import threading
import weakref
from typing import Any

from bleepstore.errors import StoreError
from bleepstore.posix import run_in_forks
from bleepstore.store import Store, open_store


class OpenFolder:
    """A store that file systems opened; it is closed when the last of them releases this."""

    def __init__(self, path: str) -> None:
        self.store = open_store(path)
        self.pid = os.getpid()
        self.close = weakref.finalize(self, _close, self.store, self.pid)


def _close(store: Store, pid: int) -> None:
    if pid == os.getpid():  # a forked child has the parent's object, not its connections
        store.close()


_lock = threading.Lock()
_folders: weakref.WeakValueDictionary[str, OpenFolder] = weakref.WeakValueDictionary()
_shared: Store | None = None
#: Stores that cannot be opened again from their path, by the name that stands for them in a pickle.
_process = secrets.token_hex(8)
_named: weakref.WeakValueDictionary[str, Store] = weakref.WeakValueDictionary()


def _forget_parents_stores() -> None:
    """In a forked child: its parent's connections are of no use to it, and its lock may be held by nobody."""
    global _lock, _folders, _shared, _process, _named
    _lock = threading.Lock()
    _folders = weakref.WeakValueDictionary()
    _shared = None
    _process = secrets.token_hex(8)
    _named = weakref.WeakValueDictionary()


run_in_forks(_forget_parents_stores)


def open_folder(path: str) -> OpenFolder:
    """The store in a folder, shared by all who ask for it at the same time. Raises what `bleepstore.open` does."""
    with _lock:
        found = _folders.get(path)
        if found is None or not found.close.alive:
            found = _folders[path] = OpenFolder(path)
        return found


def shared_store() -> Store:
    """The store in memory that everyone in this process has who names no other."""
    global _shared
    with _lock:
        if _shared is None:
            _shared = open_store()
        return _shared


def name_of(store: Store | None) -> str:
    """A name by which `named_store` finds a store again, within this process only. None: the shared one."""
    if store is None:
        return f"{_process}-shared"
    name = f"{_process}-{id(store):x}"
    with _lock:
        _named[name] = store
    return name


def named_store(name: str) -> dict[str, Any]:
    """The storage options for the store of a pickled file system. Raises StoreError in another process."""
    process, _, which = name.partition("-")
    if process != _process:
        raise StoreError(
            "This file system is of a store in the memory of another process: give it a path= to share it."
        )
    if which == "shared":
        return {}
    store = _named.get(name)
    if store is None:
        raise StoreError("The store in memory that this file system was of is gone.")
    return {"store": store}
