"""`bleepstore quotas`, while a server runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from bleepstore_server.cli import main
from tests.serving.conftest import Served

Serve = Callable[..., Served]


def test_a_quota_is_set_shown_and_removed_while_the_server_runs(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve("--workers", "2")
    data, s3 = ("--data", str(server.data)), server.client()
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="a", Body=bytes(1000))
    assert main(["quotas", "set", *data, "--bucket", "photos", "--bytes", "1K", "--objects", "2"]) == 0
    assert capsys.readouterr().out == "bucket\tphotos\t1000 of 1024 bytes\t1 of 2 objects\n"
    for number in range(8):  # whichever worker it is
        with pytest.raises(ClientError, match="QuotaExceeded"):
            s3.put_object(Bucket="photos", Key=f"b{number}", Body=bytes(25))
    s3.put_object(Bucket="photos", Key="b", Body=bytes(24))
    assert main(["quotas", "set", *data, "--account", "bob"]) == 0
    assert main(["quotas", "recount", *data]) == 0
    capsys.readouterr()
    assert main(["quotas", "show", *data]) == 0
    assert capsys.readouterr().out == (
        "account\tbob\t0 bytes\t0 objects\nbucket\tphotos\t1024 of 1024 bytes\t2 of 2 objects\n"
    )
    assert main(["users", "add", *data, "ann"]) == 0
    arn = capsys.readouterr().out.strip()
    assert main(["quotas", "set", *data, "--user", arn, "--objects", "3"]) == 0
    assert capsys.readouterr().out == f"user\t{arn}\t0 bytes\t0 of 3 objects\n"
    assert main(["quotas", "remove", *data, "--user", arn]) == 0
    assert main(["quotas", "remove", *data, "--bucket", "photos"]) == 0
    s3.put_object(Bucket="photos", Key="c", Body=bytes(2000))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set", "--bucket", "photos", "--bytes", "1.5G"], "'1.5G' is no size"),
        (["set", "--bytes", "1"], "one of the arguments --bucket --account --user is required"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["quotas", *words])
    assert said in capsys.readouterr().err
