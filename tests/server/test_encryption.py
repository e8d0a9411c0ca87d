"""Encryption at rest, as clients ask for it and are told of it (SSE-S3, SSE-KMS, SSE-C)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

import bleepstore
from bleepstore.backends.local import LocalBackend
from bleepstore_server import AppConfig
from bleepstore_server.blocks import in_process
from tests.attacks.signing import v2_header
from tests.server.conftest import Server
from tests.server.tools import Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.stores("local", "aws-blobs")

AES: Any = {"ServerSideEncryption": "AES256"}
KMS: Any = {"ServerSideEncryption": "aws:kms"}
CUSTOMER: Any = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
OTHER: Any = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "o" * 32}
OF_SOURCE: Any = {"CopySource" + name: value for name, value in CUSTOMER.items()}
KINDS = {"none": {}, "AES256": AES, "aws:kms": KMS, "customer": CUSTOMER}
SOURCE: Any = {"Bucket": "photos", "Key": "k"}
ARN = "arn:aws:kms:us-east-1:000000000000:key/aws/s3"
BODY = bytes(range(256)) * 1200  # more than is kept in the catalog, and several chunks


@pytest.fixture
def s3(server: Server, store_kind: str) -> Iterator[S3Client]:
    if store_kind.endswith("-keys"):
        pytest.skip("others can read there what is stored under its key: see test_refused_in_layout_keys")
    client = server.client()
    client.create_bucket(Bucket="photos")
    yield client
    client.close()


def told(answer: Any) -> Any:
    """What an answer says of encryption."""
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    found = {name.removeprefix("x-amz-server-side-encryption"): text for name, text in headers.items()
             if name.startswith("x-amz-server-side-encryption")}  # fmt: skip
    return found.get("", found.get("-customer-algorithm") and "customer")


def by_hand(asked: dict[str, str]) -> Any:
    """For GetObjectAttributes, where boto3 neither encodes the key nor adds its MD5."""
    if not asked:
        return {}
    key = asked["SSECustomerKey"].encode()
    encoded, md5 = (base64.b64encode(data).decode() for data in (key, hashlib.md5(key).digest()))
    return asked | {"SSECustomerKey": encoded, "SSECustomerKeyMD5": md5}


def expected(server: Server, kind: str) -> str | None:
    """Of an object in memory S3's own default is said."""
    if kind != "none":
        return kind
    return "AES256" if server.store.in_memory else None


def read(s3: S3Client, key: str, kind: str, **asked: Any) -> bytes:
    customer = CUSTOMER if kind == "customer" else {}
    return s3.get_object(Bucket="photos", Key=key, **asked, **customer)["Body"].read()


@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_about_an_object_tells_how_it_is_encrypted(s3: S3Client, server: Server, kind: str) -> None:
    asked, shown = KINDS[kind], expected(server, kind)
    key = CUSTOMER if kind == "customer" else {}
    source = {"CopySource" + name: value for name, value in key.items()}
    assert told(s3.put_object(Bucket="photos", Key="k", Body=BODY, **asked)) == shown
    assert told(s3.copy_object(Bucket="photos", Key="copy", CopySource=SOURCE, **asked, **source)) == shown
    upload = s3.create_multipart_upload(Bucket="photos", Key="m", **asked)
    assert told(upload) == shown
    part: Any = {"Bucket": "photos", "Key": "m", "UploadId": upload["UploadId"]}
    first = s3.upload_part(**part, PartNumber=2, Body=bytes(5 << 20), **key)
    assert told(first) == shown
    copied = s3.upload_part_copy(**part, PartNumber=7, CopySource=SOURCE, CopySourceRange="bytes=5-99999",
                                 **key, **source)  # fmt: skip
    assert told(copied) == shown
    assert len(s3.list_parts(**part)["Parts"]) == 2
    parts = [{"PartNumber": 2, "ETag": first["ETag"]}, {"PartNumber": 7, "ETag": copied["CopyPartResult"]["ETag"]}]
    done = s3.complete_multipart_upload(**part, MultipartUpload={"Parts": parts})  # type: ignore[typeddict-item]
    assert told(done) == (None if kind == "customer" else shown)
    for name in ("k", "copy", "m"):
        assert told(s3.get_object(Bucket="photos", Key=name, **key)) == shown
        assert told(s3.get_object(Bucket="photos", Key=name, Range="bytes=0-1", **key)) == shown
        assert told(s3.head_object(Bucket="photos", Key=name, **key)) == shown
    assert read(s3, "k", kind) == read(s3, "copy", kind) == BODY
    assert read(s3, "m", kind) == bytes(5 << 20) + BODY[5:100_000]
    assert read(s3, "m", kind, Range="bytes=5242870-5242890") == bytes(10) + BODY[5:16]
    assert read(s3, "m", kind, PartNumber=2) == BODY[5:100_000]
    assert read(s3, "k", kind, Range="bytes=-70000") == BODY[-70_000:]


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_copies_from_every_kind_to_every_kind(s3: S3Client, server: Server, source: str, target: str) -> None:
    given = OF_SOURCE if source == "customer" else {}
    md5 = hashlib.md5(BODY).hexdigest()
    for key, body in (("large", BODY), ("small", b"data")):
        s3.put_object(Bucket="photos", Key=key, Body=body, **KINDS[source])
        answer = s3.copy_object(
            Bucket="photos", Key="copy", CopySource={"Bucket": "photos", "Key": key}, **KINDS[target], **given
        )
        assert told(answer) == expected(server, target)
        assert read(s3, "copy", target) == body
        if key == "large":
            assert (answer["CopyObjectResult"]["ETag"] == f'"{md5}"') == (target in ("none", "AES256"))


@pytest.mark.parametrize("kind", KINDS)
def test_no_byte_of_what_asks_for_it_is_stored_as_it_is(s3: S3Client, server: Server, kind: str) -> None:
    backend = server.store.engine.backend
    if not isinstance(backend, LocalBackend):
        pytest.skip("only files can be searched here")
    secret = b"the text that nobody may find" * 100
    for key, body in (("small", secret), ("large", secret * 20)):
        s3.put_object(Bucket="photos", Key=key, Body=body, **KINDS[kind])
    s3.copy_object(Bucket="photos", Key="copy", CopySource={"Bucket": "photos", "Key": "small"}, **KINDS[kind],
                   **(OF_SOURCE if kind == "customer" else {}))  # fmt: skip
    found = [path for path in backend.root.rglob("*") if path.is_file() and secret[:29] in path.read_bytes()]
    assert bool(found) == (kind == "none"), found
    keys = [path for path in backend.root.rglob("*") if path.is_file() and b"k" * 32 in path.read_bytes()]
    assert not keys


def test_etags_are_the_md5_where_amazon_says_so(s3: S3Client) -> None:
    md5 = f'"{hashlib.md5(BODY).hexdigest()}"'
    for kind, asked in KINDS.items():
        answer = s3.put_object(Bucket="photos", Key="k", Body=BODY, ChecksumAlgorithm="SHA256", **asked)
        assert (answer["ETag"] == md5) == (kind in ("none", "AES256"))
        assert len(answer["ETag"]) == len(md5)
        assert answer["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(BODY).digest()).decode()
        key = CUSTOMER if kind == "customer" else {}
        found = s3.head_object(Bucket="photos", Key="k", ChecksumMode="ENABLED", **key)
        assert (found["ETag"], found["ChecksumSHA256"]) == (answer["ETag"], answer["ChecksumSHA256"])


def test_named_keys(s3: S3Client, server: Server) -> None:
    context = base64.b64encode(b'{"a":"1"}').decode()
    answer = s3.put_object(
        Bucket="photos", Key="k", Body=b"data", **KMS, SSEKMSEncryptionContext=context, BucketKeyEnabled=True
    )
    assert answer["SSEKMSKeyId"] == ARN
    assert answer["SSEKMSEncryptionContext"] == context
    assert answer["BucketKeyEnabled"] is True
    found = s3.head_object(Bucket="photos", Key="k")
    assert found["SSEKMSKeyId"] == ARN
    assert found["BucketKeyEnabled"] is True
    if server.store.in_memory:
        arn = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"
        assert s3.put_object(Bucket="photos", Key="k", Body=b"", **KMS, SSEKMSKeyId=arn)["SSEKMSKeyId"] == arn
    else:
        with failure("KMS.NotFoundException", 400):
            s3.put_object(Bucket="photos", Key="new", Body=b"", **KMS, SSEKMSKeyId="orders")
        with failure("KMS.NotFoundException", 400):
            s3.create_multipart_upload(Bucket="photos", Key="new", **KMS, SSEKMSKeyId="alias/store")
    assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 1


def test_the_default_of_a_bucket(s3: S3Client, server: Server) -> None:
    def configure(**rule: Any) -> None:
        rules: Any = [rule]
        s3.put_bucket_encryption(Bucket="photos", ServerSideEncryptionConfiguration={"Rules": rules})

    def rules() -> Any:
        return s3.get_bucket_encryption(Bucket="photos")["ServerSideEncryptionConfiguration"]["Rules"]

    with failure("NoSuchBucket", 404):
        s3.get_bucket_encryption(Bucket="absent")
    default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}
    if server.store.in_memory:
        assert rules() == [default]
    else:
        with failure("ServerSideEncryptionConfigurationNotFoundError", 404):
            rules()
    configure(ApplyServerSideEncryptionByDefault={"SSEAlgorithm": "AES256"})
    assert rules() == [default]
    assert told(s3.put_object(Bucket="photos", Key="k", Body=BODY)) == "AES256"
    assert server.store.head_object("photos", "k").version.encryption is not None
    by_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/aws/s3"}
    configure(ApplyServerSideEncryptionByDefault=by_key, BucketKeyEnabled=True)
    assert rules() == [{"ApplyServerSideEncryptionByDefault": by_key, "BucketKeyEnabled": True}]
    answer = s3.copy_object(Bucket="photos", Key="copy", CopySource=SOURCE)
    assert (answer["ServerSideEncryption"], answer["SSEKMSKeyId"], answer["BucketKeyEnabled"]) == ("aws:kms", ARN, True)
    assert told(s3.create_multipart_upload(Bucket="photos", Key="m")) == "aws:kms"
    assert told(s3.put_object(Bucket="photos", Key="k", Body=BODY, **AES)) == "AES256"
    configure(
        ApplyServerSideEncryptionByDefault={"SSEAlgorithm": "AES256"},
        BlockedEncryptionTypes={"EncryptionType": ["SSE-C"]},
    )
    assert rules()[0]["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}
    with failure("AccessDenied", 403):
        s3.put_object(Bucket="photos", Key="k", Body=BODY, **CUSTOMER)
    with failure("InvalidArgument", 400):
        configure(ApplyServerSideEncryptionByDefault={"SSEAlgorithm": "AES256", "KMSMasterKeyID": "x"})
    with failure("MalformedXML", 400):
        configure(ApplyServerSideEncryptionByDefault={"SSEAlgorithm": "AES128"})
    with failure("NotImplemented", 501):
        configure(ApplyServerSideEncryptionByDefault={"SSEAlgorithm": "aws:kms:dsse"})
    with failure("MalformedXML", 400):
        s3.put_bucket_encryption(Bucket="photos", ServerSideEncryptionConfiguration={"Rules": []})
    s3.delete_bucket_encryption(Bucket="photos")
    assert told(s3.put_object(Bucket="photos", Key="k", Body=BODY)) == expected(server, "none")


def test_a_copy_onto_itself_that_names_its_encryption_changes_it(s3: S3Client) -> None:
    """As at S3, also if it was the same before."""
    s3.put_object(Bucket="photos", Key="k", Body=b"data", Metadata={"a": "1"})
    for _ in range(2):
        assert told(s3.copy_object(Bucket="photos", Key="k", CopySource=SOURCE, **AES)) == "AES256"
        found = s3.get_object(Bucket="photos", Key="k")
        assert (found["Body"].read(), found["Metadata"]) == (b"data", {"a": "1"})
    with failure("PreconditionFailed", 412):
        s3.copy_object(Bucket="photos", Key="k", CopySource=SOURCE, IfMatch='"abc"', **AES)
    with failure("InvalidRequest", 400):
        s3.copy_object(Bucket="photos", Key="k", CopySource=SOURCE)


BAD: dict[str, tuple[dict[str, Any], str, int, str]] = {
    "a method that is none": ({"ServerSideEncryption": "AES128"}, "InvalidEncryptionAlgorithmError", 400, ""),
    "encrypted twice": ({"ServerSideEncryption": "aws:kms:dsse"}, "NotImplemented", 501, ""),
    "a named key without its method": ({"SSEKMSKeyId": "k"}, "InvalidArgument", 400, "requires HTTP header"),
    "a named key with AES256": ({**AES, "SSEKMSKeyId": "k"}, "InvalidArgument", 400, "requires HTTP header"),
    "a context with AES256": (
        {**AES, "SSEKMSEncryptionContext": "e30="}, "InvalidArgument", 400, "requires HTTP header"
    ),
    "a context that is none": (
        {**KMS, "SSEKMSEncryptionContext": "WzFd"}, "InvalidArgument", 400, "string-string map"
    ),
    "both": ({**AES, **CUSTOMER}, "InvalidArgument", 400, "is incompatible with the encryption method"),
    "both, a named key": ({**KMS, **CUSTOMER}, "InvalidArgument", 400, "is incompatible with the encryption method"),
    "a customer's method that is none": (
        {**CUSTOMER, "SSECustomerAlgorithm": "AES128"}, "InvalidEncryptionAlgorithmError", 400, ""
    ),
    "a key without a method": ({"SSECustomerKey": "k" * 32}, "InvalidArgument", 400, "valid encryption algorithm"),
    "a method without a key": (
        {"SSECustomerAlgorithm": "AES256"}, "InvalidArgument", 400, "an appropriate secret key"
    ),
    "a short key": ({**CUSTOMER, "SSECustomerKey": "k" * 16}, "InvalidArgument", 400, "secret key was invalid"),
    "another MD5": (
        {
            **CUSTOMER,
            "SSECustomerKey": base64.b64encode(b"k" * 32).decode(),
            "SSECustomerKeyMD5": base64.b64encode(bytes(16)).decode(),
        },
        "InvalidArgument", 400, "calculated MD5 hash of the key did not match",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_refused(s3: S3Client, name: str) -> None:
    asked, code, status, message = BAD[name]
    s3.put_object(Bucket="photos", Key="k", Body=b"data")
    calls: list[Any] = [
        lambda **asked: s3.put_object(Bucket="photos", Key="x", Body=b"data", **asked),
        lambda **asked: s3.copy_object(Bucket="photos", Key="x", CopySource=SOURCE, **asked),
        lambda **asked: s3.create_multipart_upload(Bucket="photos", Key="x", **asked),
    ]
    for call in calls:
        with failure(code, status) as told:
            call(**asked)
        assert message in told["Error"]["Message"]
    assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 1
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="photos")


def test_reads_of_what_a_customer_encrypted(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=BODY, **CUSTOMER)
    s3.put_object(Bucket="photos", Key="plain", Body=BODY)
    attributes: Any = {"ObjectAttributes": ["ETag"]}
    for key, asked, code, status in (
        ("k", {}, "InvalidRequest", 400),
        ("k", OTHER, "AccessDenied", 403),
        ("plain", CUSTOMER, "InvalidRequest", 400),
    ):
        with failure(code, status):
            s3.get_object(Bucket="photos", Key=key, **asked)
        with failure(code, status):
            s3.get_object(Bucket="photos", Key=key, Range="bytes=0-1", **asked)
        with failure(str(status), status):
            s3.head_object(Bucket="photos", Key=key, **asked)
        with failure(code, status):
            s3.get_object_attributes(Bucket="photos", Key=key, **attributes, **by_hand(asked))
        source = {"CopySource" + name: value for name, value in asked.items()}
        with failure(code, status):
            s3.copy_object(Bucket="photos", Key="x", CopySource={"Bucket": "photos", "Key": key}, **source)
    assert s3.get_object_attributes(Bucket="photos", Key="k", **attributes, **by_hand(CUSTOMER))["ETag"]
    with failure("304", 304):
        s3.get_object(Bucket="photos", Key="k", IfModifiedSince="2099-01-01", IfNoneMatch="*", **CUSTOMER)
    assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 2
    s3.delete_object(Bucket="photos", Key="k")  # needs no key


def test_parts_need_the_key_of_their_upload(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=BODY)
    for created, sent, message in (
        (CUSTOMER, {}, "The multipart upload initiate requested encryption."),
        (CUSTOMER, OTHER, "The provided encryption parameters did not match the ones used originally."),
        ({}, CUSTOMER, "The multipart upload initiate did not request encryption."),
        (AES, CUSTOMER, "The multipart upload initiate did not request encryption."),
    ):
        upload = s3.create_multipart_upload(Bucket="photos", Key="m", **created)["UploadId"]
        part: Any = {"Bucket": "photos", "Key": "m", "UploadId": upload, "PartNumber": 1}
        with failure("InvalidRequest", 400) as told:
            s3.upload_part(**part, Body=b"data", **sent)
        assert message in told["Error"]["Message"]
        with failure("InvalidRequest", 400):
            s3.upload_part_copy(**part, CopySource=SOURCE, **sent)
        assert "Parts" not in s3.list_parts(Bucket="photos", Key="m", UploadId=upload)


def test_a_policy_requires_encryption(s3: S3Client) -> None:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::photos/*",
        "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "AES256"}},
    }
    s3.put_bucket_policy(Bucket="photos", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    refused: list[Any] = [{}, KMS, CUSTOMER]
    for asked in refused:
        with failure("AccessDenied", 403):
            s3.put_object(Bucket="photos", Key="k", Body=b"data", **asked)
        with failure("AccessDenied", 403):
            s3.create_multipart_upload(Bucket="photos", Key="k", **asked)
    assert told(s3.put_object(Bucket="photos", Key="k", Body=b"data", **AES)) == "AES256"


def send_form(s3: S3Client, server: Server, fields: dict[str, str]) -> Any:
    post = s3.generate_presigned_post("photos", "form", fields, [{name: text} for name, text in fields.items()])
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}' for name, text in post["fields"].items()
    ]
    parts += ['--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ndata', "--b--", ""]
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return Wire(server.url).send("POST", "/photos", "\r\n".join(parts).encode(), headers, signed=False)


def test_forms(s3: S3Client, server: Server) -> None:
    answer = send_form(s3, server, {"x-amz-server-side-encryption": "AES256"})
    assert (answer.status, answer.headers["x-amz-server-side-encryption"]) == (204, "AES256")
    assert server.store.head_object("photos", "form").version.encryption is not None
    key = b"k" * 32
    customer = {
        "x-amz-server-side-encryption-customer-algorithm": "AES256",
        "x-amz-server-side-encryption-customer-key": base64.b64encode(key).decode(),
        "x-amz-server-side-encryption-customer-key-MD5": base64.b64encode(hashlib.md5(key).digest()).decode(),
    }
    answer = send_form(s3, server, customer)
    assert answer.headers["x-amz-server-side-encryption-customer-algorithm"] == "AES256", answer
    assert read(s3, "form", "customer") == b"data"
    del customer["x-amz-server-side-encryption-customer-key-MD5"]
    assert send_form(s3, server, customer).code == "InvalidArgument"


def test_keys_of_customers_come_by_tls_unless_it_is_configured(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "store") as store, in_process(store, config=AppConfig(allow_well_known_key=True)):
        keys: Any = {"aws_access_key_id": "bleepstore", "aws_secret_access_key": "bleepstore-secret"}
        for url, code in (("http://s3.amazonaws.com", "InvalidRequest"), ("https://s3.amazonaws.com", None)):
            s3 = boto3.client("s3", region_name="us-east-1", endpoint_url=url, **keys)
            s3.create_bucket(Bucket="photos")
            if code is None:
                s3.put_object(Bucket="photos", Key="k", Body=b"data", **CUSTOMER)
            else:
                with failure(code, 400) as told:
                    s3.put_object(Bucket="photos", Key="k", Body=b"data", **CUSTOMER)
                assert "must be made over a secure connection" in told["Error"]["Message"]
            s3.close()


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/photos/k"),
        ("HEAD", "/photos/k"),
        ("DELETE", "/photos/k"),
        ("GET", "/photos?list-type=2"),
        ("PUT", "/photos/k?acl"),
        ("PUT", "/photos/k?uploadId=u&partNumber=1"),
        ("POST", "/photos/k?uploadId=u"),
        ("PUT", "/other"),
    ],
)
def test_only_what_makes_an_object_may_name_an_encryption(
    s3: S3Client, server: Server, method: str, target: str
) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=b"data")
    answer = Wire(server.url).send(method, target, b"", {"x-amz-server-side-encryption": "AES256"})
    assert answer.status == 400, answer
    if method != "HEAD":
        assert b"<Message>x-amz-server-side-encryption header is not supported for this operation.<" in answer.body
        assert b"<ArgumentName>x-amz-server-side-encryption</ArgumentName><ArgumentValue>AES256<" in answer.body
    assert s3.head_object(Bucket="photos", Key="k")["ContentLength"] == 4


@pytest.mark.stores("aws-keys")
def test_refused_in_layout_keys(server: Server, store_kind: str) -> None:
    if not store_kind.endswith("-keys"):
        pytest.skip("encrypted elsewhere")
    s3 = server.client()
    s3.create_bucket(Bucket="photos")
    for asked in (AES, KMS, CUSTOMER):
        with failure("NotImplemented", 501):
            s3.put_object(Bucket="photos", Key="k", Body=BODY, **asked)
    with failure("NotImplemented", 501):
        s3.put_bucket_encryption(
            Bucket="photos",
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
        )
    assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 0
    s3.close()


def test_which_stores_are_in_memory(tmp_path: Path) -> None:
    """A fork in memory of a store on disk reads what was there from the disk."""
    with bleepstore.open() as store, store.fork() as fork:
        assert store.in_memory
        assert fork.in_memory
    with bleepstore.open(tmp_path / "store") as store, store.fork() as fork:
        assert not store.in_memory
        assert not fork.in_memory


@pytest.mark.parametrize("at", [None, "store"], ids=["memory", "local"])
def test_in_process_says_of_every_object_what_amazon_says(tmp_path: Path, at: str | None) -> None:
    with bleepstore.open(None if at is None else tmp_path / at) as store, in_process(store):
        keys: Any = {"aws_access_key_id": "bleepstore", "aws_secret_access_key": "bleepstore-secret"}
        s3 = boto3.client("s3", region_name="us-east-1", **keys)
        s3.create_bucket(Bucket="photos")
        assert told(s3.put_object(Bucket="photos", Key="k", Body=b"")) == "AES256"
        assert told(s3.get_object(Bucket="photos", Key="k")) == "AES256"
        assert store.head_object("photos", "k").version.encryption is None
        assert told(s3.put_object(Bucket="photos", Key="k", Body=b"", **AES)) == "AES256"
        assert store.head_object("photos", "k").version.encryption is not None
        assert s3.get_bucket_encryption(Bucket="photos")["ServerSideEncryptionConfiguration"]["Rules"]
        s3.close()


# -- of what is stored


ORDERS = "arn:aws:kms:us-east-1:000000000000:key/aws/s3"


def update(s3: S3Client, key_arn: str = ORDERS, asked: Any = None) -> Any:
    named: Any = {"SSEKMS": {"KMSKeyArn": key_arn, **(asked or {})}}
    return s3.update_object_encryption(Bucket="photos", Key="k", ObjectEncryption=named)


@pytest.mark.parametrize("bucket_key", [None, False, True])
def test_what_is_stored_is_encrypted_by_a_named_key(s3: S3Client, bucket_key: bool | None) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=BODY, **AES)
    before = s3.head_object(Bucket="photos", Key="k")
    asked = {} if bucket_key is None else {"BucketKeyEnabled": bucket_key}
    assert update(s3, asked=asked)["ResponseMetadata"]["HTTPStatusCode"] == 200
    found = s3.get_object(Bucket="photos", Key="k")
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", ORDERS)
    assert found.get("BucketKeyEnabled", False) is (bucket_key or False)
    assert (found["ETag"], found["LastModified"]) == (before["ETag"], before["LastModified"])
    assert found["Body"].read() == BODY


def test_what_an_update_cannot_reach_is_refused_in_amazons_words(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=BODY, **CUSTOMER)
    with failure("InvalidRequest", 400) as refused:
        update(s3)
    assert "with the encryption type DSSE-KMS or SSE-C" in refused["Error"]["Message"]
    s3.put_object(Bucket="photos", Key="k", Body=BODY)
    with failure("InvalidRequest", 400) as refused:
        update(s3)
    assert "unencrypted source objects" in refused["Error"]["Message"]
    s3.put_object(Bucket="photos", Key="k", Body=BODY, **AES)
    with failure("InvalidRequest", 400) as refused:
        update(s3, "alias/aws/s3-that-is-no-arn")
    assert "require a valid AWS KMS key Amazon Resource Name (ARN)" in refused["Error"]["Message"]
    with failure("KMS.NotFoundException", 400):
        update(s3, "arn:aws:kms:us-east-1:000000000000:key/store")
    assert told(s3.head_object(Bucket="photos", Key="k")) == "AES256"


NAMED = f"<SSE-KMS><KMSKeyArn>{ORDERS}</KMSKeyArn><BucketKeyEnabled>{{}}</BucketKeyEnabled></SSE-KMS>"


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ("", "InvalidRequest", "require a valid new encryption type. Valid values are SSEKMS."),
        ("<SSE-S3/>", "InvalidRequest", "require a valid new encryption type. Valid values are SSEKMS."),
        ("<SSE-C/>", "InvalidRequest", "updating the encryption type to DSSE-KMS or SSE-C."),
        ("<SSE-KMS/>", "InvalidRequest", "require an AWS KMS key Amazon Resource Name (ARN)."),
        (NAMED.format("maybe"), "InvalidRequest", "The BucketKeyEnabled value isn't valid."),
        ("<SSE-KMS>", "MalformedXML", "not well-formed"),
    ],
)
def test_documents_that_ask_for_no_named_key_are_refused(
    s3: S3Client, server: Server, content: str, code: str, message: str
) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=b"data", **AES)
    body = f"<ObjectEncryption>{content}</ObjectEncryption>".encode()
    answer = Wire(server.url).send("PUT", "/photos/k?encryption", body)
    assert (answer.status, answer.error["Code"]) == (400, code)
    assert message in answer.error["Message"]
    assert told(s3.head_object(Bucket="photos", Key="k")) == "AES256"


def test_an_update_is_signed_with_version_4(s3: S3Client, server: Server) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=b"data", **AES)
    wire = Wire(server.url)
    answer = v2_header(wire, "PUT", "/photos/k?encryption", {}).send(wire)
    assert (answer.status, answer.error["Code"]) == (400, "InvalidRequest")
    assert "require AWS Signature Version 4" in answer.error["Message"]


def test_a_policy_says_by_which_keys_an_update_may_encrypt(s3: S3Client) -> None:
    """The key is in the body, and a request that is denied is denied before that is read where it is no matter."""
    s3.put_object(Bucket="photos", Key="k", Body=b"data", **AES)
    of_key = "s3:x-amz-server-side-encryption-aws-kms-key-id"
    statement: dict[str, Any] = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:UpdateObjectEncryption",
        "Resource": "arn:aws:s3:::photos/*",
    }

    def deny(condition: dict[str, Any]) -> None:
        policy = {"Version": "2012-10-17", "Statement": [statement | {"Condition": condition}]}
        s3.put_bucket_policy(Bucket="photos", Policy=json.dumps(policy))

    for denied in (
        {"StringEquals": {of_key: ORDERS}},
        {"StringEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}},
    ):
        deny(denied)
        with failure("AccessDenied", 403):
            update(s3)
    deny({"StringNotEquals": {of_key: ORDERS}})
    update(s3)
    assert told(s3.head_object(Bucket="photos", Key="k")) == "aws:kms"
