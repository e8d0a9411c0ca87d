"""A server with somebody's private object, and a client that sends what it is told."""

from __future__ import annotations

from tests.server.conftest import prepared, refused, s3, server, upload_id

__all__ = ["prepared", "refused", "s3", "server", "upload_id"]
