"""A bucket at an endpoint of S3: of Amazon, or of what speaks its protocol."""

from __future__ import annotations

import base64
import contextlib
import functools
import urllib.parse
from collections.abc import Iterator
from typing import Any, BinaryIO

import attrs
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError

from bleepstore.cleanup import on_error
from bleepstore.encryption import EncryptionKind
from bleepstore.errors import StoreError
from bleepstore.model import MAX_PARTS, STANDARD, ObjectAttributes, ObjectVersion
from bleepstore.remotes import MARK, Remote, RemoteCopy, RemoteLatest, RemoteRefused
from bleepstore.senders.address import CREDENTIALS, Address, parse_address

#: What is larger is uploaded in parts of this size, or of larger ones if they were too many.
_PART = 16 * 1024 * 1024
_CONNECT = 5.0  # seconds
#: Statuses of what is tried again: the credentials may be changed there, or the bucket be made.
_MAY_BE_OVER = (401, 403, 408, 429)
_REFUSED = 4  # hundred and something
_NOT_FOUND = 404
_NO_BUCKET = "NoSuchBucket"


def remote(url: str) -> Remote:
    """Raises StoreError for a URL that is wrong."""
    address = parse_address(url, CREDENTIALS | {"region", "account"})
    bucket, _, prefix = address.path.partition("/")
    if not bucket:
        raise StoreError(f"{address} names no bucket")
    return Remote(functools.partial(_open, address, bucket, prefix), address.options.get("account"))


def _open(address: Address, bucket: str, prefix: str, source: str) -> S3Bucket:
    return S3Bucket(_client(address), bucket, prefix.replace("{bucket}", source))


def _client(address: Address) -> Any:
    config = Config(
        connect_timeout=min(_CONNECT, address.timeout),
        read_timeout=address.timeout,
        retries={"total_max_attempts": 1},
        tcp_keepalive=True,
        signature_version="s3v4",
        s3={"addressing_style": "path"},
    )
    keys: Any = {}
    if address.user is not None:
        keys = {"aws_access_key_id": address.user, "aws_secret_access_key": address.password() or ""}
    session: Any = boto3.Session(**keys)
    return session.client(
        "s3",
        endpoint_url=f"{address.scheme.partition('+')[2]}://{address.hosts[0]}",
        region_name=address.options.get("region", session.region_name or "us-east-1"),
        verify=address.options.get("ca_file", True),
        config=config,
    )


class S3Bucket:
    """See `bleepstore.remotes.RemoteBucket`."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    def latest(self, key: str) -> RemoteLatest | None:
        try:
            answer = self._client.head_object(**self._name(key))
        except ClientError as error:
            answered = error.response["ResponseMetadata"]
            if answered["HTTPStatusCode"] != _NOT_FOUND:
                raise
            headers = answered["HTTPHeaders"]
            is_marker = headers.get("x-amz-delete-marker") == "true"
            return RemoteLatest(headers.get("x-amz-version-id"), None, True) if is_marker else None
        return RemoteLatest(answer.get("VersionId"), answer["Metadata"].get(MARK))

    def put(self, key: str, copy: RemoteCopy, body: BinaryIO) -> str | None:
        fields = self._name(key) | _fields_of(copy)
        size = copy.version.size
        with _refusals():
            if size <= _PART:
                answer = self._client.put_object(**fields, Body=body.read())
            else:
                answer = self._upload(key, fields, body, max(_PART, -(-size // MAX_PARTS)))
        version_id: str | None = answer.get("VersionId")
        return version_id

    def _upload(self, key: str, fields: dict[str, Any], body: BinaryIO, part_size: int) -> Any:
        upload = {
            **self._name(key),
            "UploadId": self._client.create_multipart_upload(**fields, ChecksumAlgorithm="CRC32")["UploadId"],
        }
        with on_error(lambda: self._client.abort_multipart_upload(**upload)):
            parts: list[dict[str, Any]] = []
            while piece := body.read(part_size):
                number = len(parts) + 1
                part = self._client.upload_part(**upload, PartNumber=number, Body=piece, ChecksumAlgorithm="CRC32")
                parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part.get("ChecksumCRC32")})
            done = [{name: value for name, value in part.items() if value is not None} for part in parts]
            return self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": done})

    def update(self, key: str, version_id: str | None, version: ObjectVersion) -> None:
        named = self._name(key) | ({} if version_id is None else {"VersionId": version_id})
        wanted = dict(version.tags)
        with _refusals():
            there = {one["Key"]: one["Value"] for one in self._client.get_object_tagging(**named)["TagSet"]}
            if there != wanted:
                tags = [{"Key": name, "Value": value} for name, value in wanted.items()]
                self._client.put_object_tagging(**named, Tagging={"TagSet": tags})
            if version.retention is not None:
                retention = {"Mode": version.retention.mode.value, "RetainUntilDate": version.retention.until}
                self._client.put_object_retention(**named, Retention=retention)
            if version.legal_hold:  # one that was set there alone stays
                self._client.put_object_legal_hold(**named, LegalHold={"Status": "ON"})

    def delete(self, key: str) -> str | None:
        with _refusals():
            version_id: str | None = self._client.delete_object(**self._name(key)).get("VersionId")
        return version_id

    def close(self) -> None:
        self._client.close()

    def _name(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Makes RemoteRefused of errors that would come again."""
    try:
        yield
    except ParamValidationError as error:
        raise RemoteRefused(str(error)) from error
    except ClientError as error:
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        if status // 100 == _REFUSED and status not in _MAY_BE_OVER and error.response["Error"]["Code"] != _NO_BUCKET:
            raise RemoteRefused(str(error)) from error
        raise


def _fields_of(copy: RemoteCopy) -> dict[str, Any]:
    """The parameters of a write. ACLs are of accounts that are not known there."""
    attributes = copy.version.attributes
    fields: dict[str, Any] = {"Metadata": {**{n: _ascii(v) for n, v in attributes.metadata.items()}, MARK: copy.mark}}
    for name, value in attrs.asdict(attributes.system).items():
        if value is not None:
            fields[name.title().replace("_", "")] = value
    if copy.storage_class != STANDARD:
        fields["StorageClass"] = copy.storage_class
    if attributes.tags:
        fields["Tagging"] = urllib.parse.urlencode(attributes.tags)
    if attributes.retention is not None:
        fields["ObjectLockMode"] = attributes.retention.mode.value
        fields["ObjectLockRetainUntilDate"] = attributes.retention.until
    if attributes.legal_hold:
        fields["ObjectLockLegalHoldStatus"] = "ON"
    return fields | _encryption(attributes, copy.key_id)


def _encryption(attributes: ObjectAttributes, key_id: str | None) -> dict[str, Any]:
    if attributes.encryption is None:
        return {}
    if attributes.encryption.kind is EncryptionKind.STORE:
        return {"ServerSideEncryption": "AES256"}
    return {"ServerSideEncryption": "aws:kms"} | ({} if key_id is None else {"SSEKMSKeyId": key_id})


def _ascii(text: str) -> str:
    """Text as a header holds it: RFC 2047, as S3 decodes it."""
    return text if text.isascii() else f"=?UTF-8?B?{base64.b64encode(text.encode()).decode()}?="
