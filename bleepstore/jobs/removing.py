"""Removing blobs where some of them cannot be removed for now."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bleepstore.backends.base import Gateway
from bleepstore.backends.gateway.retry import Outage
from bleepstore.errors import BlobBusy, S3Error
from bleepstore.jobs.parts import Parts
from bleepstore.model import UploadToken

log = logging.getLogger("bleepstore.jobs")

_MAX_REFUSED = 10_000


class Remover:
    """What a provider refuses to remove is logged once, and must not keep the rest from being removed."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._refused: set[str] = set()  # what was logged

    def remove(self, handles: Sequence[str], token: UploadToken | None, outage: Outage) -> bool:
        """Remove blobs, or parts of the upload with this token; no parts are all of it. Whether they are gone."""
        try:
            outage.call(self._remove, handles, token)
        except BlobBusy:
            return False
        except S3Error as error:
            if outage.error is None:
                self.report(token.text if token is not None else "".join(handles[:1]), error)
            return False
        return True

    def _remove(self, handles: Sequence[str], token: UploadToken | None) -> None:
        backend = self._parts.backend
        if token is None:
            for handle in handles:
                backend.delete_object(handle)
            return
        if handles:
            backend.delete_parts(token, handles)
        if not handles or (isinstance(backend, Gateway) and not self._is_under_way(token)):
            backend.delete_parts(token, [])

    def _is_under_way(self, token: UploadToken) -> bool:
        with self._parts.catalog.read() as reader:
            return reader.is_referenced(token)

    def report(self, name: str, error: S3Error) -> None:
        """Once, for it may be tried again and again."""
        if name not in self._refused:
            if len(self._refused) >= _MAX_REFUSED:
                self._refused.clear()
            log.warning("%s cannot be removed for now: %s", name, error)
        self._refused.add(name)
