"""gunicorn's settings for S3: `gunicorn -c python:bleepstore_server.gunicorn_conf 'bleepstore_server:app_from_env()'`.

`bleepstore serve` uses the same. Each differs from gunicorn's default for the reason given.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from typing import Any

worker_class = "bleepstore_server.worker.Worker"
threads = 8
# The C parser counts fields otherwise (it refuses 600 as a syntax error) and does not name unknown transfer codings.
http_parser = "python"
# Each worker listens on a socket of its own, or all kept-alive connections may end up with one of them.
reuse_port = sys.platform == "linux"
# Header names with "_" reach the worker, which keeps them from posing as others: metadata may have them.
header_map = "dangerous"
# The app decides which proxies it believes (`trusted_proxies`).
forwarded_allow_ips = ""
# A presigned URL of a key of 1,024 bytes, each percent-encoded, fits.
limit_request_line = 8190
# The metadata limit of 2 KB admits some 400 fields.
limit_request_fields = 500
# SDKs keep connections for a minute.
keepalive = 75
worker_connections = 2000
backlog = 2048
timeout = 120
graceful_timeout = 30
# The server is steered by signals alone.
control_socket_disable = True
proc_name = "bleepstore"
loglevel = "warning"


_contexts: dict[tuple[str, str], ssl.SSLContext] = {}


def ssl_context(config: Any, make_default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """One context for all connections: certificates are not read again and TLS sessions can be resumed."""
    files = (config.certfile, config.keyfile)
    if files not in _contexts:
        from bleepstore_server.worker import TlsSocket

        _contexts[files] = make_default()
        _contexts[files].sslsocket_class = TlsSocket
    return _contexts[files]
