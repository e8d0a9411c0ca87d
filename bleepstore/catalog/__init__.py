"""The metadata database: a deterministic state machine over SQLite, and the questions it answers."""

from bleepstore.catalog.catalog import Catalog

__all__ = ["Catalog"]
