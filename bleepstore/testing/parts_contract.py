"""The laws of multipart uploads. See `bleepstore.testing.backend_contract`."""

from __future__ import annotations

import pytest

from bleepstore.backends.base import BlobRange, PartBlob, StorageBackend, new_blob_id
from bleepstore.errors import BlobNotFound, UploadNotFound
from bleepstore.testing.contract_tools import (
    ContractTools,
    pattern,
)


class PartsContract(ContractTools):
    """Part of `BackendContract`."""

    # -- parts

    def test_parts_become_one_blob_in_the_order_given(self, backend: StorageBackend) -> None:
        bodies = self.bodies(4)
        token = backend.begin_parts(self.spec())
        numbers = (2, 30, 400, 10_000)  # neither adjacent nor from 1
        uploaded = self.put_parts(backend, token, list(zip(numbers, bodies, strict=True))[::-1])
        parts = [part for part, _ in uploaded[::-1]]
        blob = backend.assemble_parts(token, self.spec(size=sum(map(len, bodies))), parts)
        assert backend.head_object(blob.handle) == sum(map(len, bodies))
        assert self.read(backend, blob.handle) == b"".join(bodies)
        backend.delete_parts(token, [part.handle for part in parts])
        assert self.read(backend, blob.handle) == b"".join(bodies)

    def test_parts_that_are_left_out_are_not_in_the_blob(self, backend: StorageBackend) -> None:
        bodies = self.bodies(3)
        token = backend.begin_parts(self.spec())
        uploaded = self.put_parts(backend, token, list(enumerate(bodies, start=1)))
        parts = [part for part, _ in uploaded]
        blob = backend.assemble_parts(token, self.spec(), [parts[0], parts[2]])
        backend.delete_parts(token, [part.handle for part in parts])
        assert self.read(backend, blob.handle) == bodies[0] + bodies[2]

    def test_a_part_that_is_uploaded_again_replaces_the_first(self, backend: StorageBackend) -> None:
        token = backend.begin_parts(self.spec())
        old = backend.put_part(token, 1, [b"old"], new_id=new_blob_id)
        new = backend.put_part(token, 1, [b"newer"], new_id=new_blob_id)
        assert new.handle != old.handle
        backend.delete_parts(token, [old.handle])
        blob = backend.assemble_parts(token, self.spec(size=5), [PartBlob(new.handle, 5)])
        assert self.read(backend, blob.handle) == b"newer"

    def test_one_part_and_an_empty_part_are_blobs_too(self, backend: StorageBackend) -> None:
        assert self.read(backend, self.assembled(backend, [b"only"], "one").handle) == b"only"
        empty = self.assembled(backend, [b""], "empty")
        assert backend.head_object(empty.handle) == 0
        assert self.read(backend, empty.handle) == b""

    def test_parts_from_ranges_of_blobs(self, backend: StorageBackend) -> None:
        size = max(self.minimum_part, 1000)
        source = pattern(3 * size + 100)
        sources = [(self.put(backend, source, "source").handle, source)]
        bodies = self.bodies(3)
        sources.append((self.assembled(backend, bodies, "source-in-parts").handle, b"".join(bodies)))
        for handle, data in sources:
            token = backend.begin_parts(self.spec())
            spans = [(100, 100 + size), (0, size), (len(data) - 7, len(data))]
            stored = [
                backend.put_part(token, number, BlobRange(handle, start, stop), new_id=new_blob_id)
                for number, (start, stop) in enumerate(spans, start=1)
            ]
            parts = [PartBlob(blob.handle, stop - start) for blob, (start, stop) in zip(stored, spans, strict=True)]
            blob = backend.assemble_parts(token, self.spec(size=sum(p.size for p in parts)), parts)
            backend.delete_object(handle)
            assert self.read(backend, blob.handle) == b"".join(data[start:stop] for start, stop in spans)

    def test_a_missing_part_is_reported(self, backend: StorageBackend) -> None:
        token = backend.begin_parts(self.spec())
        bodies = self.bodies(2)
        parts = [part for part, _ in self.put_parts(backend, token, list(enumerate(bodies, start=1)))]
        # Where the provider removes parts only with their upload, that is what is missing.
        backend.delete_parts(token, [parts[1].handle] if self.sweeps == "parts" else [])
        before = self.listed(backend)
        with pytest.raises((BlobNotFound, UploadNotFound)):
            backend.assemble_parts(token, self.spec(), parts)
        assert self.listed(backend) <= before

    def test_parts_can_be_assembled_again(self, backend: StorageBackend) -> None:
        """A completion whose condition does not hold gives its blob back; the upload goes on."""
        if not self.parts_survive_assembly:
            pytest.skip("this backend's parts end with their assembly")
        token = backend.begin_parts(self.spec())
        bodies = self.bodies(3)
        parts = [part for part, _ in self.put_parts(backend, token, list(enumerate(bodies, start=1)))]
        first = backend.assemble_parts(token, self.spec(), parts)
        backend.delete_object(first.handle)
        second = backend.assemble_parts(token, self.spec(), parts)
        assert self.read(backend, second.handle) == b"".join(bodies)

    def test_an_upload_that_is_given_up_leaves_nothing(self, backend: StorageBackend) -> None:
        before = self.listed(backend)
        token = backend.begin_parts(self.spec())
        parts = [part for part, _ in self.put_parts(backend, token, list(enumerate(self.bodies(3), start=1)))]
        handles = [part.handle for part in parts]
        backend.delete_parts(token, handles)
        backend.delete_parts(token, handles)
        backend.delete_parts(token, [])
        assert self.listed(backend) == before

    def test_another_process_goes_on_with_an_upload(
        self, backend: StorageBackend, other_process: StorageBackend
    ) -> None:
        bodies = self.bodies(2)
        token = backend.begin_parts(self.spec())
        one = backend.put_part(token, 1, [bodies[0]], new_id=new_blob_id)
        two = other_process.put_part(token, 2, [bodies[1]], new_id=new_blob_id)
        parts = [PartBlob(one.handle, len(bodies[0])), PartBlob(two.handle, len(bodies[1]))]
        blob = other_process.assemble_parts(token, self.spec(), parts)
        assert self.read(backend, blob.handle) == b"".join(bodies)
        backend.delete_object(blob.handle)
        with pytest.raises(BlobNotFound):
            other_process.get_object(blob.handle)

    def test_as_many_parts_as_s3_allows(self, backend: StorageBackend) -> None:
        count = self.many_parts
        bodies = [(b"%05d," % number).ljust(self.minimum_part, b".") for number in range(1, count + 1)]
        token = backend.begin_parts(self.spec())
        parts = [part for part, _ in self.put_parts(backend, token, list(enumerate(bodies, start=1)))]
        blob = backend.assemble_parts(token, self.spec(size=sum(map(len, bodies))), parts)
        size = len(bodies[0])
        assert backend.head_object(blob.handle) == size * count
        assert self.read(backend, blob.handle, 0, 3 * size) == b"".join(bodies[:3])
        assert self.read(backend, blob.handle, size * (count - 2)) == b"".join(bodies[-2:])
        backend.delete_parts(token, [part.handle for part in parts])
        with backend.get_object(blob.handle) as reader:
            for body in bodies:
                got = reader.read(size)
                while len(got) < size:
                    more = reader.read(size - len(got))
                    assert more, "the blob ended early"
                    got += more
                assert got == body
            assert reader.read(1) == b""
