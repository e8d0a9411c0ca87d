"""The catalog in SQLite: its connections, its schema, and the statements behind the port."""

from bleepstore.catalog.sqlite.catalog import Catalog

__all__ = ["Catalog"]
