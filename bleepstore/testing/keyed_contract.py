"""What a backend that keeps one object under each key promises beyond `bleepstore.testing.backend_contract`.

The key can be asked for, and a write can depend on what is stored under it (a compare-and-swap).

    class TestMyKeys(KeyedContract, BackendContract):
        keeps_superseded = False
"""

from __future__ import annotations

import concurrent.futures
from typing import ClassVar

import pytest

from bleepstore.backends.base import KeyedBackend, KeyedSpec, KeyState, PartBlob, new_blob_id
from bleepstore.errors import BlobChanged, BlobNotFound
from bleepstore.testing.contract_tools import BUCKET, ContractTools

_NOTHING = KeyState(None)
_WRITERS = 4
_INCREMENTS = 4
#: Another writer gets ahead each time at the worst.
_ATTEMPTS = _WRITERS * _INCREMENTS * 4


def _expecting(expected_current: KeyState, key: str = "key") -> KeyedSpec:
    return KeyedSpec(bucket=BUCKET, key=key, expected_current=expected_current, new_id=new_blob_id)


class KeyedContract(ContractTools):
    """Mix it into a subclass of `BackendContract` with a fixture `backend`."""

    #: Whether copies and completions depend on what they replace. False only where an emulator does less than its
    #: provider.
    compares_copies: ClassVar[bool] = True

    def test_what_is_stored_under_a_key_is_found(self, backend: KeyedBackend) -> None:
        assert backend.find(BUCKET, "key") is None
        for data in (b"first", b"second"):
            stored = self.put(backend, data)
            found = backend.find(BUCKET, "key")
            assert found is not None
            assert (found.handle, found.key, found.size) == (stored.handle, "key", len(data))

    def test_a_write_that_expects_nothing_replaces_nothing(self, backend: KeyedBackend) -> None:
        stored = backend.put_object(_expecting(_NOTHING), [b"first"])
        with pytest.raises(BlobChanged):
            backend.put_object(_expecting(_NOTHING), [b"second"])
        assert self.read(backend, stored.handle) == b"first"

    def test_a_write_replaces_what_it_expects_and_nothing_else(self, backend: KeyedBackend) -> None:
        first = self.put(backend, b"first")
        second = backend.put_object(_expecting(KeyState(first.handle)), [b"second"])
        with pytest.raises(BlobChanged):
            backend.put_object(_expecting(KeyState(first.handle)), [b"third"])
        assert self.read(backend, second.handle) == b"second"
        assert backend.remove(second.handle)
        with pytest.raises(BlobChanged):
            backend.put_object(_expecting(KeyState(second.handle)), [b"fourth"])
        assert backend.find(BUCKET, "key") is None

    def test_a_copy_replaces_what_it_expects_and_nothing_else(self, backend: KeyedBackend) -> None:
        if not self.compares_copies:
            pytest.skip("this emulator compares nothing here")
        source, first = self.put(backend, b"source", "source"), self.put(backend, b"first")
        copied = backend.copy_object(source.handle, _expecting(KeyState(first.handle)))
        with pytest.raises(BlobChanged):
            backend.copy_object(source.handle, _expecting(KeyState(first.handle)))
        assert self.read(backend, copied.handle) == b"source"

    def test_a_completion_replaces_what_it_expects_and_nothing_else(self, backend: KeyedBackend) -> None:
        if not self.compares_copies:
            pytest.skip("this emulator compares nothing here")
        stored = self.put(backend, b"first")
        token = backend.begin_parts(self.spec())
        part = PartBlob(backend.put_part(token, 1, [b"part"], new_id=new_blob_id).handle, 4)
        with pytest.raises(BlobChanged):
            backend.assemble_parts(token, _expecting(_NOTHING), [part])
        assert self.read(backend, stored.handle) == b"first"
        backend.delete_parts(token, [])

    def test_only_what_is_stored_still_is_removed(self, backend: KeyedBackend) -> None:
        first = self.put(backend, b"first")
        second = self.put(backend, b"second")
        assert not backend.remove(first.handle)
        assert self.read(backend, second.handle) == b"second"
        assert backend.remove(second.handle)
        assert not backend.remove(second.handle)

    def test_of_writers_that_compare_and_swap_none_is_lost(self, backend: KeyedBackend) -> None:
        self.put(backend, b"0")

        def increment() -> None:
            for _ in range(_ATTEMPTS):
                found = backend.find(BUCKET, "key")
                assert found is not None
                try:
                    count = int(self.read(backend, found.handle))
                    backend.put_object(_expecting(KeyState(found.handle)), [b"%d" % (count + 1)])
                except (BlobChanged, BlobNotFound):
                    continue
                return
            pytest.fail("another writer was ahead each time")

        with concurrent.futures.ThreadPoolExecutor(_WRITERS) as pool:
            done = [pool.submit(increment) for _ in range(_WRITERS * _INCREMENTS)]
            for one in done:
                one.result()
        found = backend.find(BUCKET, "key")
        assert found is not None
        assert self.read(backend, found.handle) == b"%d" % (_WRITERS * _INCREMENTS)
