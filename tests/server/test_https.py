"""Over HTTPS boto3 sends bodies in chunks of unknown length with a trailing checksum. The same server, with TLS."""

from __future__ import annotations

import hashlib
import io
import ssl
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from werkzeug.serving import make_server, make_ssl_devcert

from bleepstore import Algorithm, Store
from bleepstore.digests import digest, encode_value
from bleepstore_server import AppConfig, create_app
from tests.server.conftest import ALICE, _Handler
from tests.server.tools import failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BIG = bytes(range(256)) * 4 * 6000  # 6 MB


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """(certificate, key) for localhost."""
    return make_ssl_devcert(str(tmp_path_factory.mktemp("tls") / "localhost"), host="localhost", cn="localhost")


@pytest.fixture
def requests() -> list[dict[str, str]]:
    """The headers of every request that the server has seen."""
    return []


@pytest.fixture
def s3(store: Store, certificate: tuple[str, str], requests: list[dict[str, str]]) -> Iterator[S3Client]:
    store.put_credential("alice", "alice-secret", owner=ALICE)
    app = create_app(store, AppConfig())

    def watched(environ: Any, start_response: Any) -> Any:
        requests.append({name: value for name, value in environ.items() if isinstance(value, str)})
        return app(environ, start_response)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    httpd = make_server("127.0.0.1", 0, watched, threaded=True, request_handler=_Handler, ssl_context=context)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    client: S3Client = boto3.client(
        "s3",
        endpoint_url=f"https://localhost:{httpd.server_port}",
        aws_access_key_id="alice",
        aws_secret_access_key="alice-secret",
        region_name="us-east-1",
        verify=certificate[0],
        config=Config(retries={"max_attempts": 1}),
    )
    client.create_bucket(Bucket="photos")
    yield client
    client.close()
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
@pytest.mark.parametrize("body", [b"", b"small", BIG], ids=len)
def test_trailers_are_verified_and_kept(
    s3: S3Client, requests: list[dict[str, str]], algorithm: Any, body: bytes
) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=io.BytesIO(body), ChecksumAlgorithm=algorithm, ContentEncoding="gzip")
    sent = requests[-1]
    assert sent["HTTP_X_AMZ_CONTENT_SHA256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    assert sent["HTTP_X_AMZ_TRAILER"] == f"x-amz-checksum-{algorithm.lower()}"
    found: Any = s3.get_object(Bucket="photos", Key="k", ChecksumMode="ENABLED")
    assert found["Body"].read() == body
    assert found[f"Checksum{algorithm}"] == encode_value(digest(Algorithm(algorithm), body))
    assert found["ContentEncoding"] == "gzip"
    assert found["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'


def test_a_stream_of_unknown_length_goes_in_parts(s3: S3Client) -> None:
    s3.upload_fileobj(io.BytesIO(BIG * 2), "photos", "k")
    target = io.BytesIO()
    s3.download_fileobj("photos", "k", target)
    assert target.getvalue() == BIG * 2
    assert s3.head_object(Bucket="photos", Key="k")["ETag"].endswith('-2"')


def test_conditions_metadata_and_deletes(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=b"1", IfNoneMatch="*", Metadata={"a": "b"})
    with failure("PreconditionFailed", 412):
        s3.put_object(Bucket="photos", Key="k", Body=BIG, IfNoneMatch="*")
    assert s3.head_object(Bucket="photos", Key="k")["Metadata"] == {"a": "b"}
    s3.copy_object(Bucket="photos", Key="l", CopySource="photos/k")
    assert len(s3.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": "k"}, {"Key": "l"}]})["Deleted"]) == 2
    assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 0


def test_a_refusal_before_the_body_was_read(s3: S3Client) -> None:
    with failure("NoSuchBucket", 404):
        s3.put_object(Bucket="absent", Key="k", Body=io.BytesIO(b"x" * 300_000))
    with failure("NotImplemented", 501):
        s3.put_object(Bucket="photos", Key="k", Body=io.BytesIO(b"x" * 300_000), WriteOffsetBytes=5)
