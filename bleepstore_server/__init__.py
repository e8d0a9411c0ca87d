"""BleepStore as a server: a WSGI app that S3 clients cannot tell from S3."""

from bleepstore_server.app import create_app
from bleepstore_server.config import AppConfig, ServerConfig, load_config
from bleepstore_server.serving import app_from_env

__all__ = ["AppConfig", "ServerConfig", "app_from_env", "create_app", "load_config"]
