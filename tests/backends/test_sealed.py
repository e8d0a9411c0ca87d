"""A backend through which an encrypted object is seen keeps the laws of the protocol."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import attrs
import pytest

import bleepstore
from bleepstore import StoreKey
from bleepstore.backends.base import BlobId, BlobRange, BlobSpec, PartBlob, StorageBackend, StoredBlob
from bleepstore.backends.local import LocalBackend
from bleepstore.backends.memory import MemoryBackend
from bleepstore.backends.sealed import SealedBackend
from bleepstore.encryption import Layout, SealedPart
from bleepstore.model import UploadToken
from bleepstore.sealing.cipher import Seal
from bleepstore.testing.backend_contract import BackendContract

SEAL = Seal(bytes(range(32)))


class Remembering:
    """Knows of which parts a blob was put together, as the catalog does."""

    def __init__(self, inner: StorageBackend) -> None:
        self._sealed = SealedBackend(inner, SEAL)
        self._numbers: dict[str, SealedPart] = {}
        self._layouts: dict[str, Layout] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sealed, name)

    def _of(self, handle: str) -> SealedBackend:
        return attrs.evolve(self._sealed, layout=self._layouts.get(handle))

    def get_object(self, handle: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        return self._of(handle).get_object(handle, start, stop)

    def head_object(self, handle: str) -> int:
        return self._of(handle).head_object(handle)

    def copy_object(self, handle: str, spec: BlobSpec) -> StoredBlob:
        return self._of(handle).copy_object(handle, spec)

    def put_part(
        self,
        token: UploadToken | None,
        number: int,
        source: Iterable[bytes] | BlobRange,
        size: int | None = None,
        *,
        new_id: Callable[[], BlobId],
    ) -> StoredBlob:
        sealed = self._of(source.handle) if isinstance(source, BlobRange) else self._sealed
        stored = sealed.put_part(token, number, source, size, new_id=new_id)
        self._layouts[stored.handle] = (SealedPart(number, self._sealed.head_object(stored.handle)),)
        return stored

    def assemble_parts(self, token: UploadToken | None, spec: BlobSpec, parts: Sequence[PartBlob]) -> StoredBlob:
        stored = self._sealed.assemble_parts(token, spec, parts)
        self._layouts[stored.handle] = tuple(one for part in parts for one in self._layouts[part.handle])
        return stored


class TestSealedMemory(BackendContract):
    streams = False  # its store is this process's memory
    many_parts = 1000

    @pytest.fixture
    def backend(self) -> Iterator[StorageBackend]:
        with contextlib.closing(MemoryBackend()) as inner:
            yield cast("StorageBackend", Remembering(inner))


class TestSealedLocal(BackendContract):
    many_parts = 1000

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[StorageBackend]:
        with contextlib.closing(LocalBackend(tmp_path)) as inner:
            yield cast("StorageBackend", Remembering(inner))


def test_what_is_encrypted_at_a_provider_is_read_by_its_own_catalog_alone(
    far_end_of: Callable[[str], Callable[[], tuple[str, str]]], tmp_path: Path
) -> None:
    """Its data key is nowhere else: nobody is given the encrypted bytes for those of an object."""
    url, endpoint = far_end_of("aws")()
    options: Any = {"layout": "blobs", "endpoint_url": endpoint}
    data = bytes(200_000)
    with bleepstore.open(url, catalog=tmp_path / "first", **options) as store:
        store.create_bucket("photos")
        store.put_object("photos", "sealed", data, encryption=StoreKey())
        store.put_object("photos", "plain", data)
        with store.get_object("photos", "sealed") as found:
            assert found.read() == data
    with bleepstore.open(url, catalog=tmp_path / "second", take_over=True, **options) as store:
        store.adopt("photos")
        assert [one.key for one in store.list_objects("photos").objects] == ["plain"]
    with bleepstore.open(url, **options) as store, pytest.raises(bleepstore.errors.NotSupported, match="a folder"):
        store.put_object("photos", "sealed", data, encryption=StoreKey())
