"""The two gateways to S3: blobs under names of their own, and one object under each key."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from bleepstore.backends.aws.backend import AwsBackend
from bleepstore.backends.aws.errors import ProviderNotFound, Unsupported
from bleepstore.backends.aws.pins import Pin, ProviderUpload, new_write, read_handle, stored_ms, to_ms
from bleepstore.backends.base import BlobSpec, FoundBlob, KeyedSpec, StoredBlob
from bleepstore.backends.gateway.names import LONGEST_WRITE_MS, Address
from bleepstore.errors import BlobNotFound
from bleepstore.model import UploadToken


class AwsBlobs(AwsBackend):
    """The layout `blobs`, a `Gateway`."""

    def _new_write(self, address: Address) -> str:
        return new_write(address.name)

    def _stored(self, pin: Pin) -> StoredBlob:
        """The sweep asks for the provider's time."""
        head = self._on_blob(pin.handle, "head_object", **pin.address)
        return StoredBlob(pin.handle, stored_ms(head))

    def _delete(self, handle: str, pin: Pin) -> None:
        self._call("delete_object", **pin.address)

    def iter_blobs(self, since_ms: int, until_ms: int) -> Iterator[str | UploadToken]:
        for bucket in filter(self._claims.is_ours, self.buckets()):
            folder = self._names.blobs_of(bucket)
            listed = self._list(folder, self._names.before_blobs_since(bucket, since_ms))
            recent = (item for item in listed if since_ms <= stored_ms(item) < until_ms)
            yield from (blob.handle for _, blob in self._describe(bucket, recent) if isinstance(blob, FoundBlob))
            yield from self._uploads(folder, since_ms, until_ms)

    def _uploads(self, folder: Address, since_ms: int, until_ms: int) -> Iterator[UploadToken]:
        parameters: dict[str, Any] = {"Bucket": folder.container, "Prefix": folder.name}
        while True:
            page = self._call("list_multipart_uploads", **parameters)
            for found in page.get("Uploads", []):
                if since_ms <= to_ms(found["Initiated"]) + LONGEST_WRITE_MS < until_ms:
                    yield ProviderUpload(
                        folder.container, found["Key"], found["UploadId"], new_write(found["Key"])
                    ).token
            if not page.get("IsTruncated"):
                return
            parameters |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


class AwsKeys(AwsBackend):
    """The layout `keys`, a `KeyedBackend`."""

    keeps_tags = True

    def _new_write(self, address: Address) -> str:
        return new_write()

    def _condition(self, spec: BlobSpec) -> dict[str, Any]:
        if not isinstance(spec, KeyedSpec) or spec.expected_current is None:
            return {}
        if spec.expected_current.handle is None:
            return {"IfNoneMatch": "*"}
        return {"IfMatch": f'"{read_handle(spec.expected_current.handle).etag}"'}

    def _stored(self, pin: Pin) -> StoredBlob:
        """No sweep asks for its time."""
        return StoredBlob(pin.handle, int(time.time() * 1000))

    def _delete(self, handle: str, pin: Pin) -> None:
        """In a bucket with versions this adds a delete marker: what was there before must not come back."""
        self.head_object(handle)
        try:
            self._call("delete_object", **pin.named)
        except Unsupported:  # what HEAD just said must do
            self._call("delete_object", Bucket=pin.container, Key=pin.name)

    def _source(self, handle: str) -> dict[str, Any]:
        """Raises BlobNotFound for what only a bucket with versions has still."""
        if read_handle(handle).version:
            self.head_object(handle)
        return super()._source(handle)

    def iter_blobs(self, since_ms: int, until_ms: int) -> Iterator[str | UploadToken]:
        """Nothing: what is stored under a key is an object, and others may have uploads there too."""
        yield from ()

    def find(self, bucket: str, key: str) -> FoundBlob | None:
        address = self._names.of_key(bucket, key)
        try:
            head = self._head(Bucket=address.container, Key=address.name)
        except ProviderNotFound:
            return None
        return self._found(bucket, address, head, key)

    def put_tags(self, handle: str, tags: Mapping[str, str]) -> str:
        self.head_object(handle)
        address = read_handle(handle).address
        try:
            if tags:
                tag_set = [{"Key": key, "Value": value} for key, value in tags.items()]
                self._call("put_object_tagging", **address, Tagging={"TagSet": tag_set})
            else:
                self._call("delete_object_tagging", **address)
        except ProviderNotFound:
            raise BlobNotFound(handle) from None
        return handle
