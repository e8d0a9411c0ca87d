"""gunicorn's settings for S3: `gunicorn -c python:bleepstore_server.gunicorn_conf 'bleepstore_server:app_from_env()'`.

`bleepstore serve` uses the same. Each differs from gunicorn's default for the reason given.
"""

from __future__ import annotations

import sys
from pathlib import Path

worker_class = "bleepstore_server.worker.Worker"
threads = 8
# Each worker listens on a socket of its own, or all kept-alive connections may end up with one of them.
reuse_port = sys.platform == "linux"
# The app decides which proxies it believes (`trusted_proxies`).
forwarded_allow_ips = ""
# A presigned URL of a key of 1,024 bytes, each percent-encoded, fits.
limit_request_line = 8190
# The metadata limit of 2 KB admits some 400 fields.
limit_request_fields = 500
# SDKs keep connections for a minute.
keepalive = 75
# Of each worker; fewer where the limit of open files says so.
worker_connections = 10_000
backlog = 2048
timeout = 120
# Workers show that they live by touching a file: not one of a disk that may hang.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
graceful_timeout = 30
# The server is steered by signals alone.
control_socket_disable = True
proc_name = "bleepstore"
loglevel = "warning"
