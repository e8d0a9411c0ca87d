"""The two gateways to Google Cloud Storage: blobs under names of their own, and one object under each key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bleepstore.backends.base import BlobSpec, FoundBlob, KeyedSpec
from bleepstore.backends.gcs.backend import GcsBackend
from bleepstore.backends.gcs.errors import ProviderNotFound, ProviderPreconditionFailed
from bleepstore.backends.gcs.pins import CODEC, read_handle
from bleepstore.errors import BlobNotFound


class GcsBlobs(GcsBackend):
    """The layout `blobs`, a `Gateway`."""

    def _blobs_since(self, bucket: str, since_ms: int) -> Iterator[Any]:
        return self._list(self._names.blobs_of(bucket), self._names.before_blobs_since(bucket, since_ms))


class GcsKeys(GcsBackend):
    """The layout `keys`, a `KeyedBackend`."""

    def _condition(self, spec: BlobSpec) -> dict[str, Any]:
        if not isinstance(spec, KeyedSpec) or spec.expected_current is None:
            return {}
        handle = spec.expected_current.handle
        return {"if_generation_match": 0 if handle is None else read_handle(handle).generation}

    def find(self, bucket: str, key: str) -> FoundBlob | None:
        blob = self._blob(self._names.of_key(bucket, key))
        try:
            self._call(blob.reload)
        except ProviderNotFound:
            return None
        return self._found(bucket, blob, key)

    def put_tags(self, handle: str, tags: Mapping[str, str]) -> str:
        """They are in the metadata, a change of which makes no other generation."""
        pin = read_handle(handle)
        blob = self._blob(pin.address)
        try:
            self._call(blob.reload, if_generation_match=pin.generation)
            blob.metadata = {**dict.fromkeys(blob.metadata or {}), **CODEC.with_tags(blob.metadata, tags)}
            self._call(blob.patch, if_generation_match=pin.generation, if_metageneration_match=int(blob.metageneration))
        except (ProviderNotFound, ProviderPreconditionFailed):
            raise BlobNotFound(handle) from None
        return handle
