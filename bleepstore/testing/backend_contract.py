"""The laws of `bleepstore.backends.base`, as tests that any backend and any wrapper of one can be put to.

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def backend(self, tmp_path):
            with contextlib.closing(MyBackend(tmp_path)) as made:
                yield made

An empty subclass with that one fixture runs them all. The class attributes say what a kind of backend cannot do by its
nature; each is a promise less to the store, so change one only for a reason that can be written beside it.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import io
import itertools
import os
import threading
from collections.abc import Iterable, Iterator

import pytest

from bleepstore.backends.base import BlobId, BlobRange, BlobSpec, KeyedBackend, PartBlob, StorageBackend, new_blob_id
from bleepstore.errors import BlobBusy, BlobNotFound
from bleepstore.model import ObjectAttributes, SystemMetadata
from bleepstore.testing.contract_tools import (
    BUCKET,
    MIB,
    ODD_KEYS,
    Broken,
    broken_after,
    pattern,
    pieces,
)
from bleepstore.testing.parts_contract import PartsContract


class BackendContract(PartsContract):
    """Subclass it with a fixture `backend`. See the module's docstring."""

    # -- buckets

    def test_creating_a_bucket_again_is_not_an_error_and_keeps_its_blobs(self, backend: StorageBackend) -> None:
        blob = self.put(backend, b"data")
        backend.create_bucket(BUCKET)
        assert self.read(backend, blob.handle) == b"data"

    def test_a_bucket_can_be_deleted_and_created_again(self, backend: StorageBackend) -> None:
        backend.delete_object(self.put(backend, b"data").handle)
        backend.delete_bucket(BUCKET)
        backend.create_bucket(BUCKET)
        assert self.read(backend, self.put(backend, b"new").handle) == b"new"

    # -- writing and reading

    @pytest.mark.parametrize("size", [0, 1, 1000, MIB, 3 * MIB + 17])
    def test_what_is_put_is_got(self, backend: StorageBackend, size: int) -> None:
        data = pattern(size)
        blob = self.put(backend, data)
        assert backend.head_object(blob.handle) == size
        assert self.read(backend, blob.handle) == data

    def test_the_size_need_not_be_known_before(self, backend: StorageBackend) -> None:
        data = pattern(200_000)
        blob = backend.put_object(self.spec(size=None), pieces(data, 1000))
        assert backend.head_object(blob.handle) == len(data)
        assert self.read(backend, blob.handle) == data

    def test_an_iterable_without_chunks_is_an_empty_blob(self, backend: StorageBackend) -> None:
        blob = backend.put_object(self.spec(), iter(()))
        assert backend.head_object(blob.handle) == 0
        assert self.read(backend, blob.handle) == b""

    def test_all_that_a_spec_may_hold_is_accepted(self, backend: StorageBackend) -> None:
        spec = BlobSpec(
            bucket=BUCKET,
            key="key",
            size=4,
            attributes=ObjectAttributes(
                system=SystemMetadata(
                    content_type="text/plain; charset=utf-8",
                    content_encoding="gzip",
                    content_language="de",
                    content_disposition='attachment; filename="a.txt"',
                    cache_control="no-store",
                    expires="Thu, 01 Dec 2033 16:00:00 GMT",
                ),
                metadata={
                    "a": "1",
                    "with_underscore": "2",
                    "with-hyphen": "3",
                    "0digit": "4",
                    "name": "ü€ \U0001f600",
                    "e": "",
                },
                storage_class="STANDARD_IA",
            ),
            etag=lambda: "8d777f385d3dfec8815d20f7496026dc",
            new_id=new_blob_id,
        )
        blob = backend.put_object(spec, [b"data"])
        assert self.read(backend, blob.handle) == b"data"
        assert self.read(backend, backend.copy_object(blob.handle, spec).handle) == b"data"

    def test_the_etag_is_asked_for_only_when_all_bytes_were_consumed(self, backend: StorageBackend) -> None:
        ended: list[bool] = []

        def body() -> Iterator[bytes]:
            yield pattern(200_000)
            ended.append(True)

        def etag() -> str:
            assert ended, "the ETag is not known before the end of the body"
            return hashlib.md5(pattern(200_000), usedforsecurity=False).hexdigest()

        backend.put_object(BlobSpec(bucket=BUCKET, key="key", size=200_000, etag=etag, new_id=new_blob_id), body())
        assert ended

    def test_odd_keys_are_only_names(self, backend: StorageBackend) -> None:
        for key in ODD_KEYS:
            data = key.encode()
            blob = self.put(backend, data, key)
            assert self.read(backend, blob.handle) == data, ascii(key)
            backend.delete_object(blob.handle)
            with pytest.raises(BlobNotFound):
                backend.get_object(blob.handle)

    def test_odd_keys_do_not_collide(self, backend: StorageBackend) -> None:
        blobs = {key: self.put(backend, key.encode(), key) for key in ODD_KEYS}
        assert len({blob.handle for blob in blobs.values()}) == len(blobs)
        assert {key: self.read(backend, blob.handle) for key, blob in blobs.items()} == {
            key: key.encode() for key in ODD_KEYS
        }

    def test_ranges_give_exactly_their_bytes(self, backend: StorageBackend) -> None:
        for data, handle in self.readers(backend):
            size = len(data)
            middle = size // 2
            for start, stop in [
                (0, 1), (0, size), (1, size), (size - 1, size), (middle, middle + 1), (middle - 500, middle + 500),
                (middle, middle), (size, size), (size - 7, size), (999, 1001),
            ]:  # fmt: skip
                assert self.read(backend, handle, start, stop) == data[start:stop], (start, stop)
            assert self.read(backend, handle, middle) == data[middle:]
            assert self.read(backend, handle, middle, None) == data[middle:]

    def test_a_reader_is_a_binary_file(self, backend: StorageBackend) -> None:
        for data, handle in self.readers(backend):
            with backend.get_object(handle, 3, len(data) - 3) as reader:
                wanted = data[3:-3]
                assert reader.read(0) == b""
                head = reader.read(10)
                assert 0 < len(head) <= 10
                rest = b"".join(iter(lambda: reader.read(9999), b""))
                assert head + rest == wanted
                assert reader.read(1) == b""
                assert reader.read() == b""
            assert reader.closed
            reader.close()
            with backend.get_object(handle) as reader:
                assert reader.read() == data

    def test_a_file_number_is_of_one_real_file_at_the_right_position_or_there_is_none(
        self, backend: StorageBackend
    ) -> None:
        for data, handle in self.readers(backend):
            with backend.get_object(handle, 5, 25) as reader:
                try:
                    number = reader.fileno()
                except io.UnsupportedOperation:
                    continue
                assert os.lseek(number, 0, os.SEEK_CUR) == 5
                assert os.pread(number, 20, 5) == data[5:25]

    # -- ids

    def test_a_blob_has_the_id_that_its_caller_gives(self, backend: StorageBackend) -> None:
        if isinstance(backend, KeyedBackend):
            pytest.skip("an object is called after its key")
        given: list[str] = []

        def new_id() -> BlobId:
            given.append(new_blob_id())
            return BlobId(given[-1])

        def body() -> Iterator[bytes]:
            yield b"data"

        spec = BlobSpec(bucket=BUCKET, key="key", new_id=new_id)
        stored = backend.put_object(spec, body())
        copied = backend.copy_object(stored.handle, spec)
        assert len(given) == 2
        assert given[0] in stored.handle
        assert given[1] in copied.handle

    def test_ids_sort_by_the_time_at_which_they_were_given(self, backend: StorageBackend) -> None:
        ids = [new_blob_id(time_ms) for time_ms in (0, 1, 255, 256, 1_700_000_000_000, 16**12 - 1)]
        assert ids == sorted(ids)
        assert [one.time_ms for one in ids] == [0, 1, 255, 256, 1_700_000_000_000, 16**12 - 1]

    # -- immutability

    def test_two_writes_never_give_the_same_handle(self, backend: StorageBackend) -> None:
        same = [self.put(backend, b"same") for _ in range(5)]
        others = [self.put(backend, b"same", f"key-{number}") for number in range(5)]
        handles = [blob.handle for blob in same + others]
        assert len(set(handles)) == len(handles)

    def test_a_blob_never_changes(self, backend: StorageBackend) -> None:
        first = self.put(backend, b"first")
        second = self.put(backend, b"second, longer")
        assert self.read(backend, second.handle) == b"second, longer"
        if self.keeps_superseded:
            assert self.read(backend, first.handle) == b"first"
        else:
            with pytest.raises(BlobNotFound):
                self.read(backend, first.handle)

    def test_deleting_a_superseded_blob_leaves_the_one_that_replaced_it(self, backend: StorageBackend) -> None:
        first = self.put(backend, b"first")
        second = self.put(backend, b"second")
        backend.delete_object(first.handle)
        assert self.read(backend, second.handle) == b"second"

    # -- failures

    @pytest.mark.parametrize("size", [0, 1, 100_000, 2 * MIB])
    def test_a_failed_write_leaves_nothing(self, backend: StorageBackend, size: int) -> None:
        kept = self.put(backend, b"kept")
        before = self.listed(backend)
        with pytest.raises(Broken):
            backend.put_object(self.spec(size=2 * size + 1), broken_after(pattern(size)))
        assert self.listed(backend) == before
        assert self.read(backend, kept.handle) == b"kept"

    @pytest.mark.parametrize("size", [0, 1, 100_000, 2 * MIB])
    def test_a_failed_part_leaves_nothing(self, backend: StorageBackend, size: int) -> None:
        spec = self.spec()
        token = backend.begin_parts(spec)
        before = self.listed(backend)
        with pytest.raises(Broken):
            backend.put_part(token, 1, broken_after(pattern(size)), new_id=new_blob_id)
        assert self.listed(backend) == before
        stored = backend.put_part(token, 1, [b"good"], new_id=new_blob_id)
        blob = backend.assemble_parts(token, self.spec(size=4), [PartBlob(stored.handle, 4)])
        assert self.read(backend, blob.handle) == b"good"

    def test_what_is_missing_is_reported(self, backend: StorageBackend) -> None:
        blob = self.put(backend, b"data")
        token = backend.begin_parts(self.spec("parts"))
        backend.delete_object(blob.handle)
        for use in (
            lambda: backend.get_object(blob.handle),
            lambda: backend.get_object(blob.handle, 1, 2),
            lambda: backend.head_object(blob.handle),
            lambda: backend.copy_object(blob.handle, self.spec("copy")),
            lambda: backend.put_part(token, 1, BlobRange(blob.handle, 0, 4), new_id=new_blob_id),
        ):
            with pytest.raises(BlobNotFound):
                use()
        assert blob.handle not in self.listed(backend)

    # -- deleting

    def test_deleting_again_is_not_an_error(self, backend: StorageBackend) -> None:
        plain, assembled = self.put(backend, b"data").handle, self.assembled(backend, self.bodies(2)).handle
        for handle in (plain, assembled, plain, assembled):
            backend.delete_object(handle)
        assert not {plain, assembled} & self.listed(backend)

    def test_a_reader_that_is_open_is_undisturbed_by_a_delete(self, backend: StorageBackend) -> None:
        for data, handle in self.readers(backend):
            with backend.get_object(handle) as reader:
                head = reader.read(1000)
                with contextlib.suppress(BlobBusy):
                    backend.delete_object(handle)
                rest = b"".join(iter(lambda: reader.read(100_000), b""))
                assert head + rest == data
            backend.delete_object(handle)
            with pytest.raises(BlobNotFound):
                backend.get_object(handle)

    def test_a_reader_that_is_open_is_undisturbed_by_another_write(self, backend: StorageBackend) -> None:
        data = pattern(3 * MIB)
        with backend.get_object(self.put(backend, data).handle) as reader:
            head = reader.read(1000)
            self.put(backend, b"another")
            assert head + b"".join(iter(lambda: reader.read(100_000), b"")) == data

    # -- copies

    def test_a_copy_is_a_blob_of_its_own(self, backend: StorageBackend) -> None:
        for number, (data, handle) in enumerate(self.readers(backend)):
            copy = backend.copy_object(handle, self.spec(f"copy-{number}", len(data)))
            assert copy.handle != handle
            backend.delete_object(handle)
            assert backend.head_object(copy.handle) == len(data)
            assert self.read(backend, copy.handle) == data
            again = backend.copy_object(copy.handle, self.spec(f"again-{number}", len(data)))
            backend.delete_object(copy.handle)
            assert self.read(backend, again.handle) == data

    def test_a_copy_onto_the_same_key_replaces_it(self, backend: StorageBackend) -> None:
        first = self.put(backend, b"data")
        second = backend.copy_object(first.handle, self.spec(size=4))
        assert second.handle != first.handle
        backend.delete_object(first.handle)
        assert self.read(backend, second.handle) == b"data"

    # -- what is stored

    def test_blobs_are_found_by_the_time_they_were_stored(self, backend: StorageBackend) -> None:
        plain, copied = self.put(backend, b"data"), self.put(backend, b"source", "source")
        blobs = [plain, copied, backend.copy_object(copied.handle, self.spec("copy", 6))]
        blobs.append(self.assembled(backend, self.bodies(2)))
        token = backend.begin_parts(self.spec("parts"))
        part = backend.put_part(token, 1, [b"part"], new_id=new_blob_id)
        if self.sweeps == "parts":
            blobs.append(part)
        timed = blobs
        if isinstance(backend, KeyedBackend):  # what is stored under a key is no sweep's business
            timed = [part] if self.sweeps == "parts" else []
        for blob in timed:
            assert blob.handle in self.listed(backend)
            assert blob.handle in self.listed(backend, blob.stored_ms, blob.stored_ms + 1)
            assert blob.handle not in self.listed(backend, blob.stored_ms + 1)
            assert blob.handle not in self.listed(backend, 0, blob.stored_ms)
        uploads = {token} if self.sweeps == "uploads" else set()
        assert self.listed(backend) == {blob.handle for blob in blobs} | uploads

    def test_each_blob_is_found_once(self, backend: StorageBackend) -> None:
        handles = [self.put(backend, b"data", f"key-{number}").handle for number in range(30)]
        assert sorted(self.visited(backend)) == sorted(handles)

    def test_blobs_may_be_deleted_while_they_are_visited(self, backend: StorageBackend) -> None:
        handles = {self.put(backend, b"data", f"key-{number}").handle for number in range(30)}
        visited = set()
        for handle in self.visited(backend):
            assert isinstance(handle, str)
            backend.delete_object(handle)
            visited.add(handle)
        assert visited == handles
        assert self.listed(backend) == set()

    def test_recovery_keeps_what_is_stored(self, backend: StorageBackend) -> None:
        found = list(self.readers(backend))
        backend.recover()
        for data, handle in found:
            assert self.read(backend, handle) == data
        assert self.listed(backend) == {handle for _, handle in found}

    # -- memory

    def test_no_verb_holds_a_whole_blob_in_memory(self, backend: StorageBackend) -> None:
        if not self.streams:
            pytest.skip("this backend's store is memory")
        chunk = pattern(MIB)
        count = self.large // MIB

        def body() -> Iterator[bytes]:
            return (bytes([number % 256]) + chunk[1:] for number in range(count))

        def check(reader: Iterable[bytes]) -> None:
            size = 0
            for piece in reader:
                assert len(piece) <= MIB
                size += len(piece)
            assert size == self.large

        def read_all(handle: str) -> None:
            with backend.get_object(handle) as reader:
                check(iter(lambda: reader.read(MIB), b""))

        self.put(backend, b"warm up")  # imports, connections and caches are not what is measured
        blob = self.within_bound(lambda: backend.put_object(self.spec(size=self.large), body()))
        self.within_bound(lambda: read_all(blob.handle))
        token = backend.begin_parts(self.spec("parts"))
        part = self.within_bound(lambda: backend.put_part(token, 1, body(), new_id=new_blob_id))
        ranged = self.within_bound(
            lambda: backend.put_part(token, 2, BlobRange(blob.handle, 0, self.large), new_id=new_blob_id)
        )
        parts = [PartBlob(part.handle, self.large), PartBlob(ranged.handle, self.large)]
        self.within_bound(lambda: backend.assemble_parts(token, self.spec("parts", 2 * self.large), parts))
        self.within_bound(lambda: backend.copy_object(blob.handle, self.spec("copy", self.large)))

    # -- concurrency

    def test_many_threads_read_one_blob(self, backend: StorageBackend) -> None:
        for data, handle in list(self.readers(backend)):

            def read(number: int, data: bytes = data, handle: str = handle) -> bool:
                start = number * 1000 % len(data)
                return self.read(backend, handle, start) == data[start:]

            with concurrent.futures.ThreadPoolExecutor(self.threads) as pool:
                assert all(pool.map(read, range(4 * self.threads)))

    def test_writers_readers_and_deleters_race(self, backend: StorageBackend) -> None:
        """Writers of one and the same key, each reading its own blob, while others delete every second one."""
        rounds = 5
        start = threading.Barrier(self.threads)
        written: list[tuple[str, bytes]] = []
        numbers = itertools.count()

        def work(worker: int) -> None:
            start.wait()
            for _ in range(rounds):
                number = next(numbers)
                data = pattern(50_000 + number, number)
                blob = self.put(backend, data, "contended" if number % 2 else f"own-{worker}")
                try:
                    assert self.read(backend, blob.handle) == data
                except BlobNotFound:
                    assert not self.keeps_superseded
                written.append((blob.handle, data))
                if number % 3 == 0:
                    victim = written[number % len(written)][0]
                    if victim == blob.handle:
                        continue
                    with contextlib.suppress(BlobBusy):
                        backend.delete_object(victim)
                        deleted.add(victim)

        deleted: set[str] = set()
        with concurrent.futures.ThreadPoolExecutor(self.threads) as pool:
            for result in [pool.submit(work, worker) for worker in range(self.threads)]:
                result.result()
        assert len({handle for handle, _ in written}) == self.threads * rounds
        alive = set()
        for handle, data in written:
            try:
                assert self.read(backend, handle) == data
            except BlobNotFound:
                assert handle in deleted or not self.keeps_superseded
            else:
                assert handle not in deleted
                alive.add(handle)
        assert self.listed(backend) == alive
        assert alive
