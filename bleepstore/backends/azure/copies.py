"""What a write to Azure depends on, and the copies that Azure makes within an account."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from azure.core import MatchConditions
from azure.storage.blob import BlobType

from bleepstore.backends.azure.errors import PROVIDER, OtherType, ProviderNotFound, ProviderPreconditionFailed
from bleepstore.backends.azure.listing import AzureListing
from bleepstore.backends.azure.pins import CODEC, SYSTEM, Pin, to_ms
from bleepstore.backends.base import BlobSpec, StoredBlob
from bleepstore.backends.gateway.names import Address
from bleepstore.errors import BlobChanged, ServiceUnavailable

#: How long a copy within an account may take, in seconds.
_COPY_PATIENCE = 600.0


class AzureCopies(AzureListing):
    """Part of `AzureBackend`."""

    def _condition(self, spec: BlobSpec) -> dict[str, Any]:
        """The parameters that make a write depend on what it replaces."""
        return {}

    def _expecting_nothing(self, spec: BlobSpec) -> BlobSpec:
        """The same write, where nothing may be stored any more if it depends on what it replaces."""
        return spec

    def _raise_changed(self, spec: BlobSpec, refused: Exception) -> NoReturn:
        raise BlobChanged(spec.bucket, spec.key) from refused

    def _stored(self, address: Address, answer: Mapping[str, Any]) -> StoredBlob:
        return StoredBlob(Pin(address.container, address.name, answer["etag"]).handle, to_ms(answer["last_modified"]))

    def _find_write(self, address: Address, write: str) -> Mapping[str, Any] | None:
        """What is stored there, if it is of this write of ours: a request whose answer was lost had been carried
        out."""
        try:
            found = self._call(self._blob(address).get_blob_properties)
        except ProviderNotFound:
            return None
        return found if CODEC.decode(found.metadata).write == write else None

    def _replace_any_type(
        self,
        address: Address,
        spec: BlobSpec,
        copy: Callable[[BlobSpec], StoredBlob],
        blob_type: str = BlobType.BLOCKBLOB,
    ) -> StoredBlob:
        """Copy to where a blob of another type may be stored: "If the destination blob already exists, it must be of
        the same blob type as the source blob." That one is removed then, for nothing replaces it at once without its
        bytes."""
        try:
            return copy(spec)
        except OtherType:
            self._make_way(address, spec, blob_type)
        return copy(self._expecting_nothing(spec))

    def _make_way(self, address: Address, spec: BlobSpec, blob_type: str) -> None:
        """Remove a blob of another type than this, but not what somebody wrote there meanwhile."""
        blob, condition = self._blob(address), self._condition(spec)
        try:
            if condition.get("match_condition") is MatchConditions.IfMissing:
                raise ProviderPreconditionFailed("a blob of another type is stored there")
            found = self._call(blob.get_blob_properties, **condition)
            if found.blob_type != blob_type:
                self._call(blob.delete_blob, **Pin(address.container, address.name, found.etag).condition)
        except ProviderNotFound:
            pass
        except ProviderPreconditionFailed as refused:
            if condition:
                self._raise_changed(spec, refused)

    def _copy(
        self,
        source: Pin,
        address: Address,
        condition: Mapping[str, Any],
        write: str,
        described: Mapping[str, Any],
        source_settings: Any,
    ) -> StoredBlob:
        """Have Azure copy a blob and wait for it. Its content settings come with it, so others take a second request.

        What another writes there meanwhile is never taken for the copy: then the handle is that of what was replaced.
        """
        answer = self._start_copy(source, address, condition, write, described["metadata"])
        if answer["copy_status"] != "success":
            found = self._await_copy(address, write)
            if found is None:
                return self._stored(address, answer)
            answer = found
        wanted = described["content_settings"]
        if _same_settings(source_settings, wanted) and wanted.content_md5 is None:
            return self._stored(address, answer)
        wanted.content_md5 = source_settings.content_md5 or wanted.content_md5
        pin = Pin(address.container, address.name, answer["etag"])
        try:
            headed = self._call(self._blob(address).set_http_headers, content_settings=wanted, **pin.condition)
            return self._stored(address, headed)
        except (ProviderNotFound, ProviderPreconditionFailed):
            # Either the answer to this very request was lost, or another write came right after ours.
            return self._stored(address, self._find_write(address, write) or answer)

    def _start_copy(
        self, source: Pin, address: Address, condition: Mapping[str, Any], write: str, metadata: Mapping[str, str]
    ) -> Mapping[str, Any]:
        blob = self._blob(address)
        try:
            # An empty mapping would mean the source's metadata: there is always a note of ours in it.
            answer: Mapping[str, Any] = self._call(
                blob.start_copy_from_url,
                self._blob(source.address).url,
                metadata=metadata,
                **source.source_condition,
                **condition,
            )
        except (ProviderNotFound, ProviderPreconditionFailed):
            # An answer may have been lost, and the conditions held only the first time.
            found = self._find_write(address, write)
            if found is None:
                raise
            return {**found, "copy_status": found["copy"].status}
        return answer

    def _await_copy(self, address: Address, write: str) -> Mapping[str, Any] | None:
        """What was copied, once it is; None if another write replaced it."""
        end, pause = time.monotonic() + _COPY_PATIENCE, 0.01
        while (found := self._find_write(address, write)) is not None:
            copy = found["copy"]
            if copy.status == "success":
                return found
            if copy.status != "pending" or time.monotonic() > end:
                raise ServiceUnavailable(f"{PROVIDER} did not copy: {copy.status} {copy.status_description}")
            time.sleep(pause)
            pause = min(2 * pause, 1.0)
        return None


def _same_settings(one: Any, other: Any) -> bool:
    default = {"content_type": "application/octet-stream"}  # Azure's, where none is given
    return all(
        (getattr(one, name) or default.get(name)) == (getattr(other, name) or default.get(name)) for name in SYSTEM
    )
