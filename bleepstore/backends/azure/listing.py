"""What lies in an account: buckets, blobs for the sweep, and objects to rebuild a catalog from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from azure.core import MatchConditions

from bleepstore.backends.azure.client import AzureClient
from bleepstore.backends.azure.errors import Gone, Unequal
from bleepstore.backends.azure.pins import SYSTEM, Pin, Upload, notes_of, to_ms
from bleepstore.backends.base import FoundBlob
from bleepstore.backends.gateway.claims import Claims, ClaimVerbs
from bleepstore.backends.gateway.names import LONGEST_WRITE_MS, OWN, Place
from bleepstore.backends.gateway.settings import GatewaySettings
from bleepstore.errors import ServiceUnavailable

_PAGE = 1000  # names of one request


class AzureListing(ClaimVerbs, AzureClient):
    """Part of `AzureBackend`."""

    def __init__(self, settings: GatewaySettings) -> None:
        super().__init__(settings)
        self._claims = Claims(
            settings, self._names, read=self._read_small, write=self._write_small, is_empty=self._is_empty
        )

    def _pages(
        self, folder: Place, marker: str = "", include: tuple[str, ...] = ("metadata",)
    ) -> Iterator[tuple[str, Any]]:
        """(marker of its page, blob) of what lies in a folder."""
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

    def iter_blobs(self, since_ms: int, until_ms: int) -> Iterator[str]:
        for folder in self._own_folders():
            uploads = Place(folder.container, f"{folder.name}uploads/")
            for _, blob in self._pages(uploads, include=("uncommittedblobs",)):
                upload = Upload(folder.container, blob.name)
                if since_ms <= upload.begun_ms + LONGEST_WRITE_MS < until_ms:
                    yield upload.token
        if not self.own_names:
            for bucket in filter(self._claims.is_ours, self.buckets()):
                for folder in self._names.blobs_between(bucket, since_ms, until_ms):
                    for _, blob in self._pages(folder):
                        if since_ms <= to_ms(blob.last_modified) < until_ms:
                            yield Pin(folder.container, blob.name, blob.etag).handle

    def _own_folders(self) -> Iterator[Place]:
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
        except Gone as gone:
            raise ServiceUnavailable(f"{self.url} does not exist: create the container first. ({gone})") from None

    def check_bucket(self, bucket: str) -> None:
        self._look_into(self._names.container_of(bucket))

    def _look_into(self, container: str) -> None:
        """Raise NoContainer, or what keeps us from it. "You cannot grant permissions to read ... container properties
        ... with a container SAS"; to list blobs can be granted."""
        pages = self._service.get_container_client(container).list_blobs(results_per_page=1)
        self._call(lambda: next(pages.by_page(), None))

    def _read_small(self, place: Place) -> bytes | None:
        try:
            found: bytes = self._call(lambda: self._blob(place).download_blob().readall())
        except Gone:
            return None
        return found

    def _write_small(self, place: Place, body: bytes, overwrite: bool) -> bool:
        condition: dict[str, Any] = {} if overwrite else {"match_condition": MatchConditions.IfMissing}
        try:
            self._call(self._blob(place).upload_blob, body, overwrite=True, **condition)
        except Unequal:
            return False
        return True

    def _is_empty(self, container: str) -> bool:
        return next(self._pages(Place(container, ""), include=()), None) is None

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

    def find(self, bucket: str, key: str) -> FoundBlob | None:
        place = self._names.of_key(bucket, key)
        try:
            return self._found(bucket, place, self._call(self._blob(place).get_blob_properties), key)
        except Gone:
            return None

    def iter_found(self, bucket: str, after: str = "") -> Iterator[tuple[str, FoundBlob | None]]:
        """`after` is the marker of a page, which is given once more from its beginning."""
        folder = self._names.objects_of(bucket, own=self.own_names)
        for marker, blob in self._pages(folder, after):
            place = Place(folder.container, blob.name)
            ours = self._names.can_be_native(bucket, place.name) or self._names.is_named_by_digest(bucket, place.name)
            yield marker, self._found(bucket, place, blob, None) if ours or not self.own_names else None

    def names(self, bucket: str, after: str = "") -> Iterator[str]:
        for _, blob in self._pages(self._names.objects_of(bucket, own=self.own_names), after, include=()):
            yield blob.name

    def _found(self, bucket: str, place: Place, blob: Any, key: str | None) -> FoundBlob | None:
        content = blob.content_settings
        md5 = bytes(content.content_md5).hex() if content.content_md5 else None
        notes = notes_of(blob.metadata, blob.size, md5)
        is_native = self.own_names and self._names.can_be_native(bucket, place.name)
        if key is None:
            key = place.name.removeprefix(self._names.root_of(bucket)) if is_native else notes.key
        if key is None:
            return None
        etag = notes.etag or md5 or hashlib.md5(blob.etag.encode(), usedforsecurity=False).hexdigest() + "-1"
        system = {name: text for name in SYSTEM if (text := getattr(content, name))}
        return FoundBlob(
            bucket=bucket,
            key=key,
            name=place.name,
            handle=Pin(place.container, place.name, blob.etag).handle,
            size=blob.size,
            etag=etag,
            stored_ms=to_ms(blob.last_modified),
            attributes=notes.attributes(system),
            native=is_native,
        )
