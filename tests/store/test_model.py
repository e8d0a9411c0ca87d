"""Random operations on a store and on a plain model of one (tests/store/model.py) give the same, in every kind.
Locks, tags, archives and lifecycles are in tests/store/test_model_one_bucket.py.

The examples are derived from the tests' own code (derandomize), so a failure here is the same failure everywhere. The
long suite takes new ones each time; its figure says by which seed to take the same again: `BLEEPSTORE_SEED=... pytest`.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import bleepstore
from bleepstore import (
    ByteRange,
    Caller,
    CannedAcl,
    CompletedPart,
    ReadCondition,
    Snapshot,
    Store,
    Versioning,
    WriteCondition,
)
from bleepstore.errors import StoreError
from tests.cluster_store import open_on_follower
from tests.store.comparing import (
    World,
    acl_seen,
    ask_both,
    compare_all,
    grants_in,
    learn_ids,
    list_all,
    list_all_uploads,
    part_seen,
    parts_of,
    version_seen,
)
from tests.store.drawing import (
    ALICE,
    BODIES,
    FIRST_KEYS,
    PART_BODIES,
    acls,
    bodies,
    buckets,
    callers,
    content_types,
    delimiters,
    etags,
    keys,
    limits,
    metadata,
    part_numbers,
    prefixes,
    ranges,
    read_conditions,
    run_examples,
    run_new_examples,
    set_acls,
    storage_classes,
    write_conditions,
)
from tests.store.model import ALWAYS, Model, Upload
from tests.store.version_rules import VersionRules

INLINE_LIMIT = 1024
MAX_WORLDS = 3


class StoreMachine(VersionRules):
    """Each rule asks a store and its model the same. Forks are further stores with models of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.exits = contextlib.ExitStack()
        self.time_ms = 1_700_000_000_000
        self.snapshots: list[tuple[Snapshot, Model]] = []
        self.uploads: list[tuple[str, str, str]] = []  # (bucket, key, id), under way or ended
        self.worlds = [World(self.open(), Model(self.now))]
        self.fill()

    def fill(self) -> None:
        """What makes most rules find something: a bucket of the program's and one of Alice's that all may write to."""
        world = self.worlds[0]
        for bucket, acl, caller in (("photos", None, None), ("videos", CannedAcl.PUBLIC_READ_WRITE, ALICE)):
            world.store.create_bucket(bucket, acl=acl, caller=caller)
            world.model.create_bucket(bucket, acl, caller)
            for key, body in zip(FIRST_KEYS, ("x", "blob", "none"), strict=True):
                world.store.put_object(bucket, key, BODIES[body], caller=caller)
                options: Any = {"metadata": {}, "content_type": None, "storage_class": "STANDARD", "acl": None}
                world.model.put_object(bucket, key, BODIES[body], condition=ALWAYS, caller=caller, **options)
            upload = world.store.create_upload(bucket, "a/b", caller=caller)
            made = world.model.create_upload(bucket, "a/b", caller=caller, **options)
            world.model.buckets[bucket].uploads[upload.upload_id] = made
            world.store.put_part(bucket, "a/b", upload.upload_id, 1, BODIES["blob"], caller=caller)
            world.model.put_part(bucket, "a/b", upload.upload_id, 1, BODIES["blob"], caller)
            if bucket == "videos":
                world.store.put_bucket_versioning(bucket, Versioning.ENABLED)
                world.model.put_bucket_versioning(bucket, "Enabled", None)
            self.uploads.append((bucket, "a/b", upload.upload_id))

    def now(self) -> int:
        return self.time_ms

    def open(self) -> Store:
        raise NotImplementedError

    #: Whether it can be forked.
    forks = True

    def teardown(self) -> None:
        try:
            for world in self.worlds:
                compare_all(world)
                world.store.sweep()
                compare_all(world)
        finally:
            for snapshot, _model in self.snapshots:
                snapshot.close()
            for world in reversed(self.worlds):
                world.store.close()
            self.exits.close()

    def both(
        self,
        data: st.DataObject,
        real: Callable[[Store], Any],
        modelled: Callable[[Model], Any],
        seen: Callable[[Any], Any] = lambda found: found,
    ) -> Any:
        """Ask a store and its model; what both gave, or the error's name."""
        self.time_ms += 1000
        world = data.draw(st.sampled_from(self.worlds)) if len(self.worlds) > 1 else self.worlds[0]
        found = ask_both(world, real, modelled, seen)
        learn_ids(world)
        return found

    # -- buckets

    @rule(data=st.data(), bucket=buckets, acl=acls, caller=callers)
    def create_bucket(self, data: st.DataObject, bucket: str, acl: Any, caller: Caller | None) -> None:
        self.both(
            data,
            lambda store: store.create_bucket(bucket, acl=acl, caller=caller),
            lambda model: model.create_bucket(bucket, acl, caller),
            lambda made: (made.name, made.owner.id, grants_in(made.acl), made.created_ms),
        )

    @rule(data=st.data(), bucket=buckets, caller=callers)
    def delete_bucket(self, data: st.DataObject, bucket: str, caller: Caller | None) -> None:
        self.both(
            data,
            lambda store: store.delete_bucket(bucket, caller=caller),
            lambda model: model.delete_bucket(bucket, caller),
        )

    @rule(data=st.data(), prefix=st.sampled_from(["", "p", "videos"]), limit=limits, caller=callers)
    def list_buckets(self, data: st.DataObject, prefix: str, limit: int, caller: Caller | None) -> None:
        def pages(store: Store) -> list[tuple[str, str, int]]:
            found, after = [], ""
            while True:
                page = store.list_buckets(prefix=prefix, after=after, limit=limit, caller=caller)
                assert len(page.buckets) <= limit
                found += [(one.name, one.owner.id, one.created_ms) for one in page.buckets]
                if page.next_name is None:
                    return found
                after = page.next_name

        self.both(data, pages, lambda model: model.list_buckets(prefix, caller))

    @rule(data=st.data(), bucket=buckets, acl=set_acls, caller=callers)
    def put_bucket_acl(self, data: st.DataObject, bucket: str, acl: Any, caller: Caller | None) -> None:
        self.both(
            data,
            lambda store: store.put_bucket_acl(bucket, acl, caller=caller),
            lambda model: model.put_bucket_acl(bucket, acl, caller),
        )

    @rule(data=st.data(), bucket=buckets, caller=callers)
    def get_bucket_acl(self, data: st.DataObject, bucket: str, caller: Caller | None) -> None:
        self.both(
            data,
            lambda store: store.get_bucket_acl(bucket, caller=caller),
            lambda model: model.get_bucket_acl(bucket, caller),
            acl_seen,
        )

    # -- objects

    @rule(
        data=st.data(), bucket=buckets, key=keys, body=bodies, condition=write_conditions, caller=callers,
        options=st.fixed_dictionaries(
            {"metadata": metadata, "content_type": content_types, "storage_class": storage_classes, "acl": acls}
        ),
    )  # fmt: skip
    def put_object(
        self,
        data: st.DataObject,
        bucket: str,
        key: str,
        body: str,
        condition: WriteCondition,
        caller: Caller | None,
        options: Any,
    ) -> None:
        self.both(
            data,
            lambda store: store.put_object(bucket, key, BODIES[body], condition=condition, caller=caller, **options),
            lambda model: model.put_object(bucket, key, BODIES[body], condition=condition, caller=caller, **options),
            version_seen,
        )

    @rule(
        data=st.data(), bucket=buckets, key=keys, condition=read_conditions, caller=callers,
        span=st.one_of(st.none(), st.none(), ranges, part_numbers),
    )  # fmt: skip
    def get_object(
        self,
        data: st.DataObject,
        bucket: str,
        key: str,
        condition: ReadCondition | None,
        caller: Caller | None,
        span: ByteRange | int | None,
    ) -> None:
        options: dict[str, Any] = {
            "range": span if isinstance(span, ByteRange) else None,
            "part_number": span if isinstance(span, int) else None,
            "condition": condition,
            "caller": caller,
        }

        def read(store: Store) -> tuple[tuple[object, ...], bytes]:
            head = store.head_object(bucket, key, **options)
            with store.get_object(bucket, key, **options) as found:
                body = found.read()
            assert (head.version, head.start, head.stop) == (found.version, found.start, found.stop)
            return version_seen(found.version), body

        self.both(data, read, lambda model: model.get_object(bucket, key, **options))

    @rule(
        data=st.data(), source_bucket=buckets, source_key=keys, bucket=buckets, key=keys, caller=callers,
        replaced=st.one_of(st.none(), metadata), storage_class=st.sampled_from([None, "GLACIER_IR"]), acl=acls,
        source_condition=read_conditions, condition=write_conditions,
    )  # fmt: skip
    def copy_object(
        self,
        data: st.DataObject,
        source_bucket: str,
        source_key: str,
        bucket: str,
        key: str,
        caller: Caller | None,
        replaced: dict[str, str] | None,
        storage_class: str | None,
        acl: Any,
        source_condition: ReadCondition | None,
        condition: WriteCondition,
    ) -> None:
        options: dict[str, Any] = {
            "source_condition": source_condition, "storage_class": storage_class, "acl": acl, "condition": condition,
            "caller": caller,
        }  # fmt: skip
        where = (source_bucket, source_key, bucket, key)
        self.both(
            data,
            lambda store: store.copy_object(
                *where, replace_metadata=replaced is not None, metadata=replaced or {}, **options
            ),
            lambda model: model.copy_object(*where, replaced_metadata=replaced, **options),
            version_seen,
        )

    @rule(
        data=st.data(), bucket=buckets, prefix=prefixes, delimiter=delimiters, limit=limits, caller=callers,
        start_after=st.one_of(st.just(""), keys),
    )  # fmt: skip
    def list_objects(
        self, data: st.DataObject, bucket: str, prefix: str, delimiter: str, limit: int, caller: Caller | None,
        start_after: str,
    ) -> None:  # fmt: skip
        options: dict[str, Any] = {"prefix": prefix, "delimiter": delimiter, "caller": caller}
        self.both(
            data,
            lambda store: list_all(store, bucket, limit, start_after=start_after, **options),
            lambda model: model.list_objects(bucket, start_after=start_after, **options),
        )

    @rule(data=st.data(), bucket=buckets, key=keys, caller=callers)
    def get_object_acl(self, data: st.DataObject, bucket: str, key: str, caller: Caller | None) -> None:
        self.both(
            data,
            lambda store: store.get_object_acl(bucket, key, caller=caller),
            lambda model: model.get_object_acl(bucket, key, caller),
            acl_seen,
        )

    @rule(data=st.data(), bucket=buckets, key=keys, acl=set_acls, caller=callers)
    def put_object_acl(self, data: st.DataObject, bucket: str, key: str, acl: Any, caller: Caller | None) -> None:
        self.both(
            data,
            lambda store: store.put_object_acl(bucket, key, acl, caller=caller),
            lambda model: model.put_object_acl(bucket, key, acl, caller),
        )

    # -- uploads

    @rule(
        data=st.data(), bucket=buckets, key=keys, caller=callers,
        options=st.fixed_dictionaries(
            {"metadata": metadata, "content_type": content_types, "storage_class": storage_classes, "acl": acls}
        ),
    )  # fmt: skip
    def create_upload(self, data: st.DataObject, bucket: str, key: str, caller: Caller | None, options: Any) -> None:
        made: list[Upload] = []
        touched: list[Model] = []

        def modelled(model: Model) -> tuple[object, ...]:
            made.append(model.create_upload(bucket, key, caller=caller, **options))
            touched.append(model)
            return key, made[0].initiator, made[0].created_ms

        ids: list[str] = []

        def seen(upload: bleepstore.Upload) -> tuple[object, ...]:
            ids.append(upload.upload_id)
            return upload.key, upload.initiator.id, upload.initiated_ms

        self.both(data, lambda store: store.create_upload(bucket, key, caller=caller, **options), modelled, seen)
        if made:
            touched[0].buckets[bucket].uploads[ids[0]] = made[0]
            self.uploads.append((bucket, key, ids[0]))

    def drawn_upload(self, data: st.DataObject) -> tuple[str, str, str]:
        return data.draw(st.sampled_from(self.uploads))

    @precondition(lambda self: self.uploads)
    @rule(data=st.data(), number=part_numbers, caller=callers, body=st.sampled_from(list(PART_BODIES)))
    def put_part(self, data: st.DataObject, number: int, caller: Caller | None, body: str) -> None:
        bucket, key, upload_id = self.drawn_upload(data)
        self.both(
            data,
            lambda store: store.put_part(bucket, key, upload_id, number, PART_BODIES[body], caller=caller),
            lambda model: model.put_part(bucket, key, upload_id, number, PART_BODIES[body], caller),
            part_seen,
        )

    @precondition(lambda self: self.uploads)
    @rule(
        data=st.data(), number=part_numbers, caller=callers, source_bucket=buckets, source_key=keys,
        source_range=st.sampled_from([None, ByteRange(0, 0), ByteRange(1, None), ByteRange(3, 1500)]),
    )  # fmt: skip
    def copy_part(
        self,
        data: st.DataObject,
        number: int,
        caller: Caller | None,
        source_bucket: str,
        source_key: str,
        source_range: ByteRange | None,
    ) -> None:
        upload = self.drawn_upload(data)
        self.both(
            data,
            lambda store: store.copy_part(
                source_bucket, source_key, *upload, number, source_range=source_range, caller=caller
            ),
            lambda model: model.copy_part(source_bucket, source_key, *upload, number, source_range, caller),
            part_seen,
        )

    @precondition(lambda self: self.uploads)
    @rule(data=st.data(), limit=limits, caller=callers)
    def list_parts(self, data: st.DataObject, limit: int, caller: Caller | None) -> None:
        upload = self.drawn_upload(data)
        self.both(
            data,
            lambda store: parts_of(store, upload, limit, caller),
            lambda model: model.list_parts(*upload, caller),
        )

    @precondition(lambda self: self.uploads)
    @rule(data=st.data(), condition=write_conditions, caller=callers, is_listed=st.sampled_from([True, True, False]))
    def complete_upload(
        self, data: st.DataObject, condition: WriteCondition, caller: Caller | None, is_listed: bool
    ) -> None:
        """Of the parts that are there, or of any."""
        bucket, key, upload_id = self.drawn_upload(data)
        known = [
            CompletedPart(number=number, etag=part.etag)
            for world in self.worlds
            if bucket in world.model.buckets and upload_id in world.model.buckets[bucket].uploads
            for number, part in sorted(world.model.buckets[bucket].uploads[upload_id].parts.items())
        ]
        listed = known if is_listed else data.draw(
            st.lists(st.builds(CompletedPart, number=part_numbers, etag=etags), max_size=2)
        )  # fmt: skip
        self.both(
            data,
            lambda store: store.complete_upload(bucket, key, upload_id, listed, condition=condition, caller=caller),
            lambda model: model.complete_upload(bucket, key, upload_id, listed, condition=condition, caller=caller),
            version_seen,
        )

    @precondition(lambda self: self.uploads)
    @rule(data=st.data(), caller=callers)
    def abort_upload(self, data: st.DataObject, caller: Caller | None) -> None:
        upload = self.drawn_upload(data)
        self.both(
            data,
            lambda store: store.abort_upload(*upload, caller=caller),
            lambda model: model.abort_upload(*upload, caller),
        )

    @rule(data=st.data(), bucket=buckets, prefix=prefixes, delimiter=delimiters, limit=limits, caller=callers)
    def list_uploads(
        self, data: st.DataObject, bucket: str, prefix: str, delimiter: str, limit: int, caller: Caller | None
    ) -> None:
        options: dict[str, Any] = {"prefix": prefix, "delimiter": delimiter, "caller": caller}
        self.both(
            data,
            lambda store: list_all_uploads(store, bucket, limit, **options),
            lambda model: model.list_uploads(bucket, **options),
        )

    # -- the whole

    @rule(data=st.data())
    def sweep(self, data: st.DataObject) -> None:
        self.both(data, lambda store: store.sweep(), lambda model: None)

    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        world = data.draw(st.sampled_from(self.worlds))
        if not self.forks:
            with pytest.raises(StoreError):
                world.store.fork()
        elif len(self.worlds) < MAX_WORLDS:
            self.worlds.append(World(world.store.fork(), world.model.copy()))

    @precondition(lambda self: self.forks and len(self.snapshots) < MAX_WORLDS)
    @rule()
    def snapshot(self) -> None:
        world = self.worlds[0]
        self.snapshots.append((world.store.snapshot(), world.model.copy()))

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        snapshot, model = data.draw(st.sampled_from(self.snapshots))
        self.worlds[0].store.restore(snapshot)
        self.worlds[0].model = model.copy()


class MemoryMachine(StoreMachine):
    def open(self) -> Store:
        return bleepstore.open(clock=self.now, inline_limit=INLINE_LIMIT, acl_defaults="legacy")


class FolderMachine(StoreMachine):
    """The store is also closed and opened again, and forked into a folder."""

    def open(self) -> Store:
        self.folder = Path(tempfile.mkdtemp(prefix="bleepstore-model-"))
        self.exits.callback(shutil.rmtree, self.folder)
        return self.open_again()

    def open_again(self) -> Store:
        return bleepstore.open(self.folder / "store", clock=self.now, inline_limit=INLINE_LIMIT, acl_defaults="legacy")

    @precondition(lambda self: not self.snapshots)  # which end with the store
    @rule()
    def reopen(self) -> None:
        self.worlds[0].store.close()
        self.worlds[0].store = self.open_again()

    @precondition(lambda self: len(self.worlds) < MAX_WORLDS)
    @rule()
    def fork_to_a_folder(self) -> None:
        world = self.worlds[0]
        folder = Path(tempfile.mkdtemp(dir=self.folder)) / "fork"
        self.worlds.append(World(world.store.fork(folder), world.model.copy()))


class ClusterMachine(StoreMachine):
    forks = False

    def open(self) -> Store:
        return self.exits.enter_context(
            open_on_follower(clock=self.now, inline_limit=INLINE_LIMIT, acl_defaults="legacy")
        )


KINDS: dict[str, type[StoreMachine]] = {"memory": MemoryMachine, "folder": FolderMachine, "cluster": ClusterMachine}
#: Random sequences of the default run, by what one costs.
EXAMPLES = {"memory": 24, "folder": 8, "cluster": 6}


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_is_like_its_model(kind: str) -> None:
    run_examples(KINDS[kind], EXAMPLES[kind])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_store_is_like_its_model_for_long(kind: str, record_property: Callable[[str, object], None]) -> None:
    run_new_examples(KINDS[kind], 80 * EXAMPLES[kind], f"random operations, {kind}", record_property)
