"""Real servers for the tests of replication."""

from tests.serving.conftest import serve

__all__ = ["serve"]
