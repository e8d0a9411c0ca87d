"""`bleepstore rates`, while a server of several workers runs."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from bleepstore_server.cli import main
from tests.serving.conftest import Served

Serve = Callable[..., Served]


def test_workers_count_together(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    server = serve("--workers", "2")
    data = ("--data", str(server.data))
    assert main(["keys", "add", *data, "--access-key", "carol", "--secret-key", "s3cret", "--owner-id", "c"]) == 0
    assert main(["rates", "set", *data, "--access-key", "carol", "--requests", "1", "--bytes", "10M"]) == 0
    assert main(["rates", "set", *data, "--account", "c", "--requests", "1000"]) == 0
    capsys.readouterr()
    assert main(["rates", "show", *data]) == 0
    assert capsys.readouterr().out == (
        "account\tc\t1000 requests/s\tany bytes\nkey\tcarol\t1 requests/s\t10485760 bytes/s\n"
    )
    begun, answered, codes = time.monotonic(), 0, set()
    for _ in range(12):  # each client has a connection of its own, to whichever worker
        try:
            server.client("carol", "s3cret").list_buckets()
            answered += 1
        except ClientError as error:
            codes.add(error.response["Error"]["Code"])
    assert 1 <= answered <= 2 + time.monotonic() - begun
    assert codes == {"SlowDown"}
    assert main(["rates", "remove", *data, "--access-key", "carol"]) == 0
