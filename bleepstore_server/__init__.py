"""BleepStore as a server: a WSGI app that S3 clients cannot tell from S3.

What is named here is imported when it is first used: pytest loads the plugin of this package in every run.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from bleepstore_server.app import create_app
    from bleepstore_server.app_config import AppConfig
    from bleepstore_server.blocks import in_process
    from bleepstore_server.clients import attach, client_for
    from bleepstore_server.config import ServerConfig, load_config
    from bleepstore_server.faults import Faults
    from bleepstore_server.layers.record import Record
    from bleepstore_server.live import LiveServer, live_server
    from bleepstore_server.presigned import presign_url
    from bleepstore_server.serving import admin_from_env, app_from_env

__all__ = [
    "AppConfig",
    "Faults",
    "LiveServer",
    "Record",
    "ServerConfig",
    "admin_from_env",
    "app_from_env",
    "attach",
    "client_for",
    "create_app",
    "in_process",
    "live_server",
    "load_config",
    "presign_url",
]

_HOMES = {
    "create_app": "app",
    "AppConfig": "app_config",
    "ServerConfig": "config",
    "load_config": "config",
    "Faults": "faults",
    "attach": "clients",
    "client_for": "clients",
    "in_process": "blocks",
    "Record": "layers.record",
    "LiveServer": "live",
    "live_server": "live",
    "presign_url": "presigned",
    "admin_from_env": "serving",
    "app_from_env": "serving",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bleepstore_server.extras import needing

    with needing("server"):
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
