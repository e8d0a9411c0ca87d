"""The engine's public face, a module for each noun."""

from bleepstore.store.archiving import restore
from bleepstore.store.checking import Finding, fsck
from bleepstore.store.facade import Store, open_store
from bleepstore.store.objects import DeleteFailure
from bleepstore.store.reading import StoredObject
from bleepstore.store.snapshots import Snapshot

__all__ = ["DeleteFailure", "Finding", "Snapshot", "Store", "StoredObject", "fsck", "open_store", "restore"]
