"""A server with somebody's private object, and a client that sends what it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import bleepstore
from tests.server.conftest import listening, prepared, refused, s3, server, upload_id

__all__ = ["listening", "prepared", "refused", "s3", "server", "upload_id"]


@pytest.fixture
def store() -> Iterator[bleepstore.Store]:
    """In memory: who is let in does not depend on where the bytes are."""
    with bleepstore.open() as opened:
        yield opened
