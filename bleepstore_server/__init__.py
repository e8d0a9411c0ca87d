"""BleepStore as a server: a WSGI app that S3 clients cannot tell from S3."""

from bleepstore_server.app import create_app
from bleepstore_server.config import AppConfig

__all__ = ["AppConfig", "create_app"]
