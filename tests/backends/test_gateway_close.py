"""A gateway that is closed leaves no connection behind."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import bleepstore
from bleepstore.backends.gateway.names import Layout


def _connections(port: int) -> int:
    """How many sockets of this process are connected to a port of this machine."""
    own = set()
    for path in Path("/proc/self/fd").iterdir():
        try:
            file = path.stat()
        except FileNotFoundError:  # the one that lists the folder
            continue
        if stat.S_ISSOCK(file.st_mode):
            own.add(file.st_ino)
    # sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
    rows = [re.split(r"\s+", row.strip()) for row in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and int(row[9]) in own for row in rows)


@pytest.mark.parametrize("kind", ["aws", "azure", "gcs"])
def test_close_ends_every_connection(
    kind: str, far_end_of: Callable[[str], Callable[[], tuple[str, str]]], tmp_path: Path
) -> None:
    url, endpoint = far_end_of(kind)()
    port = urlsplit(endpoint).port
    assert port is not None
    before = _connections(port)
    with bleepstore.open(url, catalog=tmp_path / "store", layout=Layout.BLOBS, endpoint_url=endpoint) as store:
        store.create_bucket("photos")
        store.put_object("photos", "large", b"0123456789" * 100_000)
        client = store.engine.backend._made  # type: ignore[attr-defined]  # held: freeing it would end connections too
        assert client is not None
        assert _connections(port) > before
    assert _connections(port) <= before
