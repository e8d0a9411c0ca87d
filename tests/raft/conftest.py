"""Options of the Raft tests."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-scenarios",
        action="store_true",
        help="write what the golden scenarios print now into their files (pytest tests/raft --rewrite-scenarios)",
    )
