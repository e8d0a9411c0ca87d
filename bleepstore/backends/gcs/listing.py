"""What is stored at Google Cloud Storage: buckets, blobs for the sweep, and objects to rebuild a catalog from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from bleepstore.backends.base import FoundBlob
from bleepstore.backends.gateway.claims import Claims, ClaimVerbs
from bleepstore.backends.gateway.names import OWN, Address
from bleepstore.backends.gateway.settings import GatewaySettings
from bleepstore.backends.gcs.client import GcsClient
from bleepstore.backends.gcs.errors import ProviderNotFound, ProviderPreconditionFailed, no_bucket
from bleepstore.backends.gcs.pins import SYSTEM, md5_of, notes_of, pin_of, to_ms
from bleepstore.errors import ServiceUnavailable
from bleepstore.model import UploadToken

_PAGE = 1000  # names of one request


class GcsListing(ClaimVerbs, GcsClient):
    """Part of `GcsBackend`."""

    def __init__(self, settings: GatewaySettings) -> None:
        super().__init__(settings)
        self._claims = Claims(
            settings, self._names, read=self._read_small, write=self._write_small, is_empty=self._is_empty
        )

    def _list(self, folder: Address, after: str = "") -> Iterator[Any]:
        """What is stored in a folder, in the order of UTF-8; with `after`, what comes behind that name."""
        marker: str | None = None
        while True:

            def next_page(marker: str | None = marker) -> tuple[list[Any], str | None]:
                found = self._client.list_blobs(
                    folder.container,
                    prefix=folder.name or None,
                    start_offset=after or None,
                    page_token=marker,
                    page_size=_PAGE,
                    **self._once(),
                )
                return list(next(found.pages, ())), found.next_page_token

            try:
                page, marker = self._retry.run(next_page)
            except ProviderNotFound as missing:  # an emulator's; Google itself says what is missing
                raise no_bucket(str(missing)) from None
            for blob in page:
                if blob.name != after:
                    yield blob
            if not marker:
                return

    def iter_blobs(self, since_ms: int, until_ms: int) -> Iterator[str | UploadToken]:
        for blob in self._swept(since_ms):
            if since_ms <= to_ms(blob.time_created) < until_ms:
                yield pin_of(blob).handle

    def _swept(self, since_ms: int) -> Iterator[Any]:
        """The parts of uploads, and the blobs that may have been stored since."""
        if self._settings.container is not None:
            yield from self._list(self._parts_of(self._names.own("")))
        for bucket in filter(self._claims.is_ours, self.buckets()):
            if self._settings.container is None:
                yield from self._list(self._parts_of(self._names.own(bucket)))
            yield from self._blobs_since(bucket, since_ms)

    def _blobs_since(self, bucket: str, since_ms: int) -> Iterator[Any]:
        """What else a sweep looks at in a bucket: no objects that are stored under their keys."""
        return iter(())

    @staticmethod
    def _parts_of(own: Address) -> Address:
        return Address(own.container, f"{own.name}parts/")

    def check(self) -> None:
        try:
            if self._settings.container is None:
                self._retry.run(lambda: next(iter(self._client.list_buckets(max_results=1, **self._once())), None))
            else:
                address = Address(self._settings.container, self._settings.prefix)
                self._retry.run(lambda: next(self._list(address), None))
        except ProviderNotFound as missing:
            raise ServiceUnavailable(f"{self.url} does not exist: create the bucket first. ({missing})") from None

    def check_bucket(self, bucket: str) -> None:
        self._check_container(self._names.container_of(bucket))

    def _check_container(self, container: str) -> None:
        """A missing bucket may look like a missing object, to an emulator at least. Whoever may list may ask this."""
        next(self._list(Address(container, "")), None)

    def _read_small(self, address: Address) -> bytes | None:
        try:
            found: bytes = self._call(self._blob(address).download_as_bytes)
        except ProviderNotFound:
            return None
        return found

    def _write_small(self, address: Address, body: bytes, overwrite: bool) -> bool:
        condition = {} if overwrite else {"if_generation_match": 0}
        try:
            self._call(self._blob(address).upload_from_string, body, content_type="application/json", **condition)
        except ProviderPreconditionFailed:
            return False
        return True

    def _is_empty(self, container: str) -> bool:
        return next(self._list(Address(container, "")), None) is None

    def buckets(self) -> Iterator[str]:
        prefix = self._settings.prefix
        if self._settings.container is None:

            def list_names() -> list[Any]:
                return list(self._client.list_buckets(prefix=prefix or None, **self._once()))

            for found in self._retry.run(list_names):
                yield self._names.bucket_of_container(found.name)
            return

        def list_folders() -> set[str]:
            found = self._client.list_blobs(
                self._settings.container, prefix=prefix or None, delimiter="/", **self._once()
            )
            for _ in found.pages:
                pass
            return set(found.prefixes)

        for folder in sorted(self._retry.run(list_folders)):
            name = folder.removeprefix(prefix)
            if name != OWN:
                yield name.removesuffix("/")

    def iter_found(self, bucket: str, after: str = "") -> Iterator[tuple[str, FoundBlob | None]]:
        for blob in self._list(self._naming.folder_of(bucket), after):
            yield blob.name, self._found(bucket, blob, None) if self._naming.is_object(bucket, blob.name) else None

    def names(self, bucket: str, after: str = "") -> Iterator[str]:
        for blob in self._list(self._naming.folder_of(bucket), after):
            yield blob.name

    def _found(self, bucket: str, blob: Any, key: str | None) -> FoundBlob | None:
        notes = notes_of(blob)
        is_native = self._naming.is_native(bucket, blob.name)
        if key is None:
            key = blob.name.removeprefix(self._names.root_of(bucket)) if is_native else notes.key
        if key is None:
            return None
        pin = pin_of(blob)
        etag = notes.etag or md5_of(blob) or hashlib.md5(pin.handle.encode(), usedforsecurity=False).hexdigest() + "-1"
        system = {name: text for name in SYSTEM if (text := getattr(blob, name))}
        return FoundBlob(
            bucket=bucket,
            key=key,
            name=blob.name,
            handle=pin.handle,
            size=blob.size,
            etag=etag,
            stored_ms=to_ms(blob.time_created),
            attributes=notes.attributes(system),
            native=is_native,
            keeps_versions=notes.keeps_versions,
        )
