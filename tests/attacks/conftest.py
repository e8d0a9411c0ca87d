"""A server with somebody's private object, and a client that sends what it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import bleepstore
from tests.conftest import acl_defaults_of
from tests.server.conftest import listening, prepared, refused, s3, server, upload_id

__all__ = ["listening", "prepared", "refused", "s3", "server", "upload_id"]


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[bleepstore.Store]:
    """In memory: who is let in does not depend on where the bytes are."""
    with bleepstore.open(acl_defaults=acl_defaults_of(request)) as opened:
        yield opened
