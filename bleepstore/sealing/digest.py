"""What tells that encrypted bytes are as they were written, without a key: see `bleepstore.sealing.cipher`."""

from __future__ import annotations

from bleepstore.digests import crc64nvme
from bleepstore.encryption import FOOTER_SIZE, Layout, sealed_size


class SealedDigest:
    """Compares encrypted bytes, as they pass by, with the CRCs in them. It needs no key, and proves no more than a CRC
    does."""

    def __init__(self, layout: Layout) -> None:
        self._parts = iter([sealed_size(part.size) for part in layout])
        self._left = 0
        self._crc = 0
        self._footer = b""
        self._damaged = False
        self._next()

    def _next(self) -> None:
        self._left = next(self._parts, 0)
        self._crc, self._footer = 0, b""

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if not self._left:
                self._damaged = True  # there is more than there should be
                return
            body = view[: max(0, self._left - FOOTER_SIZE)]
            self._crc = crc64nvme(body, self._crc)
            footer = view[len(body) : self._left]
            self._footer += bytes(footer)
            self._left -= len(body) + len(footer)
            view = view[len(body) + len(footer) :]
            if not self._left:
                self._damaged = self._damaged or self._footer != self._crc.to_bytes(FOOTER_SIZE, "big")
                self._next()

    def is_right(self) -> bool:
        """Whether all bytes have come, and each part has its CRC."""
        return not self._damaged and not self._left
