"""Every fault of `bleepstore serve --faults`, as clients of a real server meet it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    FlexibleChecksumError,
    IncompleteReadError,
    ResponseStreamingError,
)

from tests.serving.conftest import Served, start

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: In the catalog, and in a file that the server would send by itself.
BODIES = {"small": b"0123456789" * 20, "large": b"0123456789" * 20_000}
#: A rule for each bucket, which is named after its fault.
FAULTS = {
    "slow": "*=slow;seconds=0.3",
    "slowdown": "GetObject=slowdown",
    "internal-error": "GetObject=internal-error",
    "reset": "GetObject=reset",
    "late-reset": "DeleteObject=reset;late=1",
    "truncate": "GetObject+HeadObject=truncate;keep=0.25",
    "nothing-kept": "GetObject=truncate;keep=0",
    "corrupt": "GetObject+HeadObject=corrupt",
    "wrong-checksum": "*=wrong-checksum",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    rules = ",".join(f"{rule};bucket={bucket}" for bucket, rule in FAULTS.items())
    served = start(tmp_path_factory.mktemp("faults") / "data", "--workers", "1", "--faults", rules)
    client = served.client()
    for bucket in ("other", *FAULTS):
        client.create_bucket(Bucket=bucket)
    client.close()
    yield served
    served.end()


@pytest.fixture
def s3(served: Served) -> Iterator[S3Client]:
    client = served.client(retries={"total_max_attempts": 1})
    yield client
    client.close()


@pytest.fixture(params=BODIES)
def get(request: pytest.FixtureRequest, s3: S3Client) -> Callable[[str], bytes]:
    """Writes and reads an object of the bucket of a fault."""

    def read(bucket: str) -> bytes:
        s3.put_object(Bucket=bucket, Key=request.param, Body=BODIES[request.param])
        content: bytes = s3.get_object(Bucket=bucket, Key=request.param)["Body"].read()
        assert content == BODIES[request.param]
        return content

    return read


def test_without_a_rule_there_is_no_fault(get: Callable[[str], bytes]) -> None:
    get("other")


def test_slow(get: Callable[[str], bytes]) -> None:
    begun = time.monotonic()
    get("slow")
    assert time.monotonic() - begun > 0.5, "two requests"


@pytest.mark.parametrize(("bucket", "code"), [("slowdown", "SlowDown"), ("internal-error", "InternalError")])
def test_refusals(get: Callable[[str], bytes], bucket: str, code: str) -> None:
    with pytest.raises(ClientError, match=code):
        get(bucket)


def test_a_reset(get: Callable[[str], bytes]) -> None:
    with pytest.raises(ConnectionClosedError):
        get("reset")


def test_a_late_reset(s3: S3Client) -> None:
    s3.put_object(Bucket="late-reset", Key="k", Body=b"1")
    with pytest.raises(ConnectionClosedError):
        s3.delete_object(Bucket="late-reset", Key="k")
    assert s3.list_objects_v2(Bucket="late-reset")["KeyCount"] == 0


@pytest.mark.parametrize("bucket", ["truncate", "nothing-kept"])
def test_a_body_that_breaks_off(get: Callable[[str], bytes], s3: S3Client, bucket: str) -> None:
    with pytest.raises((IncompleteReadError, ResponseStreamingError)):
        get(bucket)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"], "the server goes on"


def test_an_answer_without_a_body_is_whole(s3: S3Client) -> None:
    for bucket in ("truncate", "corrupt"):
        s3.put_object(Bucket=bucket, Key="empty", Body=b"")
        assert s3.head_object(Bucket=bucket, Key="empty")["ContentLength"] == 0
        assert s3.get_object(Bucket=bucket, Key="empty")["Body"].read() == b""


@pytest.mark.parametrize("bucket", ["corrupt", "wrong-checksum"])
def test_a_wrong_answer(get: Callable[[str], bytes], bucket: str) -> None:
    with pytest.raises(FlexibleChecksumError):
        get(bucket)


def test_wrong_checksums_of_an_upload(s3: S3Client) -> None:
    upload = s3.create_multipart_upload(Bucket="wrong-checksum", Key="k", ChecksumAlgorithm="SHA256")
    assert upload["ChecksumAlgorithm"] == "SHA256"
