"""What is stored in an account: buckets, blobs for the sweep, and objects to rebuild a catalog from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from azure.core import MatchConditions

from bleepstore.backends.azure.client import AzureClient
from bleepstore.backends.azure.errors import ProviderNotFound, ProviderPreconditionFailed
from bleepstore.backends.azure.pins import SYSTEM, Pin, ProviderUpload, notes_of, to_ms
from bleepstore.backends.base import FoundBlob
from bleepstore.backends.gateway.claims import Claims, ClaimVerbs
from bleepstore.backends.gateway.names import LONGEST_WRITE_MS, OWN, Address
from bleepstore.backends.gateway.settings import GatewaySettings
from bleepstore.errors import ServiceUnavailable
from bleepstore.model import UploadToken

_PAGE = 1000  # names of one request


class AzureListing(ClaimVerbs, AzureClient):
    """Part of `AzureBackend`."""

    def __init__(self, settings: GatewaySettings) -> None:
        super().__init__(settings)
        self._claims = Claims(
            settings, self._names, read=self._read_small, write=self._write_small, is_empty=self._is_empty
        )

    def _pages(
        self, folder: Address, marker: str = "", include: tuple[str, ...] = ("metadata",)
    ) -> Iterator[tuple[str, Any]]:
        """(marker of its page, blob) of what is stored in a folder."""
        container = self._service.get_container_client(folder.container)
        while True:
            pages = container.list_blobs(name_starts_with=folder.name, include=list(include), results_per_page=_PAGE)
            by_page: Any = pages.by_page(marker or None)

            def next_page(by_page: Any = by_page) -> list[Any]:
                return list(next(by_page, ()))

            page = self._call(next_page)
            for blob in page:
                yield marker, blob
            marker = by_page.continuation_token or ""
            if not marker:
                return

    def iter_blobs(self, since_ms: int, until_ms: int) -> Iterator[str | UploadToken]:
        """What was staged and is left; `AzureBlobs` adds the blobs."""
        for folder in self._own_folders():
            uploads = Address(folder.container, f"{folder.name}uploads/")
            for _, blob in self._pages(uploads, include=("uncommittedblobs",)):
                upload = ProviderUpload(folder.container, blob.name)
                if since_ms <= upload.begun_ms + LONGEST_WRITE_MS < until_ms:
                    yield upload.token

    def _own_folders(self) -> Iterator[Address]:
        if self._settings.container is not None:
            yield self._names.own("")
            return
        for bucket in filter(self._claims.is_ours, self.buckets()):
            yield self._names.own(bucket)

    def check(self) -> None:
        try:
            if self._settings.container is None:
                self._call(lambda: next(iter(self._service.list_containers(results_per_page=1)), None))
            else:
                self._look_into(self._settings.container)
        except ProviderNotFound as missing:
            raise ServiceUnavailable(f"{self.url} does not exist: create the container first. ({missing})") from None

    def check_bucket(self, bucket: str) -> None:
        self._look_into(self._names.container_of(bucket))

    def _look_into(self, container: str) -> None:
        """Raise ContainerNotFound, or what keeps us from it. "You cannot grant permissions to read ... container
        properties ... with a container SAS"; to list blobs can be granted."""
        pages = self._service.get_container_client(container).list_blobs(results_per_page=1)
        self._call(lambda: next(pages.by_page(), None))

    def _read_small(self, address: Address) -> bytes | None:
        try:
            found: bytes = self._call(lambda: self._blob(address).download_blob().readall())
        except ProviderNotFound:
            return None
        return found

    def _write_small(self, address: Address, body: bytes, overwrite: bool) -> bool:
        condition: dict[str, Any] = {} if overwrite else {"match_condition": MatchConditions.IfMissing}
        try:
            self._call(self._blob(address).upload_blob, body, overwrite=True, **condition)
        except ProviderPreconditionFailed:
            return False
        return True

    def _is_empty(self, container: str) -> bool:
        return next(self._pages(Address(container, ""), include=()), None) is None

    def buckets(self) -> Iterator[str]:
        prefix = self._settings.prefix
        if self._settings.container is None:
            for found in self._call(lambda: list(self._service.list_containers(name_starts_with=prefix or None))):
                yield self._names.bucket_of_container(found.name)
            return
        container = self._service.get_container_client(self._settings.container)
        for folder in self._call(lambda: list(container.walk_blobs(name_starts_with=prefix or None, delimiter="/"))):
            name = folder.name.removeprefix(prefix)
            if name.endswith("/") and name != OWN:
                yield name.removesuffix("/")

    def iter_found(self, bucket: str, after: str = "") -> Iterator[tuple[str, FoundBlob | None]]:
        """`after` is the marker of a page, which is given once more from its beginning."""
        folder = self._naming.folder_of(bucket)
        for marker, blob in self._pages(folder, after):
            address = Address(folder.container, blob.name)
            is_ours = self._naming.is_object(bucket, address.name)
            yield marker, self._found(bucket, address, blob, None) if is_ours else None

    def names(self, bucket: str, after: str = "") -> Iterator[str]:
        for _, blob in self._pages(self._naming.folder_of(bucket), after, include=()):
            yield blob.name

    def _found(self, bucket: str, address: Address, blob: Any, key: str | None) -> FoundBlob | None:
        content = blob.content_settings
        md5 = bytes(content.content_md5).hex() if content.content_md5 else None
        notes = notes_of(blob.metadata, blob.size, md5)
        is_native = self._naming.is_native(bucket, address.name)
        if key is None:
            key = address.name.removeprefix(self._names.root_of(bucket)) if is_native else notes.key
        if key is None:
            return None
        etag = notes.etag or md5 or hashlib.md5(blob.etag.encode(), usedforsecurity=False).hexdigest() + "-1"
        system = {name: text for name in SYSTEM if (text := getattr(content, name))}
        return FoundBlob(
            bucket=bucket,
            key=key,
            name=address.name,
            handle=Pin(address.container, address.name, blob.etag).handle,
            size=blob.size,
            etag=etag,
            stored_ms=to_ms(blob.last_modified),
            attributes=notes.attributes(system),
            native=is_native,
            keeps_versions=notes.keeps_versions,
        )
