"""The engine's public face, a module for each noun."""

from bleepstore.store.archiving import restore
from bleepstore.store.checking import Finding, fsck
from bleepstore.store.forking import Snapshot
from bleepstore.store.objects import DeleteFailure
from bleepstore.store.opening import Store, open_store
from bleepstore.store.reading import StoredObject

__all__ = ["DeleteFailure", "Finding", "Snapshot", "Store", "StoredObject", "fsck", "open_store", "restore"]
