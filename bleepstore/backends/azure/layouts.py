"""The two gateways to Azure: blobs under names of their own, and one object under each key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from azure.core import MatchConditions

from bleepstore.backends.azure.backend import AzureBackend
from bleepstore.backends.azure.errors import ProviderNotFound, ProviderPreconditionFailed
from bleepstore.backends.azure.pins import CODEC, Pin, read_handle, to_ms
from bleepstore.backends.base import BlobSpec, FoundBlob, KeyedSpec, KeyState
from bleepstore.errors import BlobNotFound
from bleepstore.model import UploadToken


class AzureBlobs(AzureBackend):
    """The layout `blobs`, a `Gateway`."""

    def iter_blobs(self, since_ms: int, until_ms: int) -> Iterator[str | UploadToken]:
        yield from super().iter_blobs(since_ms, until_ms)
        for bucket in filter(self._claims.is_ours, self.buckets()):
            for folder in self._names.blobs_between(bucket, since_ms, until_ms):
                for _, blob in self._pages(folder):
                    if since_ms <= to_ms(blob.last_modified) < until_ms:
                        yield Pin(folder.container, blob.name, blob.etag).handle


class AzureKeys(AzureBackend):
    """The layout `keys`, a `KeyedBackend`."""

    def _condition(self, spec: BlobSpec) -> dict[str, Any]:
        if not isinstance(spec, KeyedSpec) or spec.expected_current is None:
            return {}
        if spec.expected_current.handle is None:
            return {"match_condition": MatchConditions.IfMissing}
        return read_handle(spec.expected_current.handle).condition

    def _expecting_nothing(self, spec: BlobSpec) -> BlobSpec:
        if not isinstance(spec, KeyedSpec) or spec.expected_current is None:
            return spec
        return attrs.evolve(spec, expected_current=KeyState(None))

    def find(self, bucket: str, key: str) -> FoundBlob | None:
        address = self._names.of_key(bucket, key)
        try:
            return self._found(bucket, address, self._call(self._blob(address).get_blob_properties), key)
        except ProviderNotFound:
            return None

    def put_tags(self, handle: str, tags: Mapping[str, str]) -> str:
        """They are in the metadata, a change of which makes another ETag."""
        pin = read_handle(handle)
        blob = self._blob(pin.address)
        try:
            found = self._call(blob.get_blob_properties, **pin.condition)
            answer = self._call(blob.set_blob_metadata, metadata=CODEC.with_tags(found.metadata, tags), **pin.condition)
        except (ProviderNotFound, ProviderPreconditionFailed):
            raise BlobNotFound(handle) from None
        return Pin(pin.container, pin.name, answer["etag"]).handle
