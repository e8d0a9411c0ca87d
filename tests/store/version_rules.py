"""The rules of tests/store/test_model.py on versions and deletes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from bleepstore import (
    Caller,
    DeletedObject,
    DeleteEntry,
    DeleteFailure,
    ReadCondition,
    Store,
    Versioning,
    WriteCondition,
)
from tests.store.comparing import World, acl_seen, list_all_versions, version_seen
from tests.store.drawing import (
    buckets,
    callers,
    delete_conditions,
    delimiters,
    keys,
    limits,
    positions,
    prefixes,
    read_conditions,
    set_acls,
    versionings,
    write_conditions,
)
from tests.store.model import Model

Position = int | str
_ENTRIES = st.lists(
    st.tuples(keys, st.one_of(st.none(), positions), delete_conditions), min_size=1, max_size=4
)  # fmt: skip


class VersionRules(RuleBasedStateMachine):
    """What is asked for by a version's id. Ids are random, so what is drawn is a position (see `positions`)."""

    worlds: list[World]

    def both(
        self,
        data: st.DataObject,
        real: Callable[[Store], Any],
        modelled: Callable[[Model], Any],
        seen: Callable[[Any], Any] = lambda found: found,
    ) -> Any:
        raise NotImplementedError

    def version_id(self, bucket: str, key: str, position: Position) -> str:
        if isinstance(position, str):
            return position
        found = self.worlds[0].model.buckets.get(bucket)
        versions = [] if found is None else found.versions.get(key, [])
        return versions[position].version_id if position < len(versions) else "null"

    @rule(data=st.data(), bucket=buckets, versioning=versionings, caller=callers)
    def put_bucket_versioning(
        self, data: st.DataObject, bucket: str, versioning: Versioning, caller: Caller | None
    ) -> None:
        self.both(
            data,
            lambda store: store.put_bucket_versioning(bucket, versioning, caller=caller),
            lambda model: model.put_bucket_versioning(bucket, versioning.value, caller),
        )

    @rule(data=st.data(), bucket=buckets, caller=callers)
    def get_bucket_versioning(self, data: st.DataObject, bucket: str, caller: Caller | None) -> None:
        self.both(
            data,
            lambda store: store.get_bucket_versioning(bucket, caller=caller),
            lambda model: model.get_bucket_versioning(bucket, caller),
        )

    @rule(data=st.data(), bucket=buckets, prefix=prefixes, delimiter=delimiters, limit=limits, caller=callers)
    def list_object_versions(
        self, data: st.DataObject, bucket: str, prefix: str, delimiter: str, limit: int, caller: Caller | None
    ) -> None:
        options: dict[str, Any] = {"prefix": prefix, "delimiter": delimiter, "caller": caller}
        self.both(
            data,
            lambda store: list_all_versions(store, bucket, limit, **options),
            lambda model: model.list_versions(bucket, **options),
        )

    @rule(data=st.data(), bucket=buckets, key=keys, position=positions, condition=read_conditions, caller=callers)
    def get_version(
        self,
        data: st.DataObject,
        bucket: str,
        key: str,
        position: Position,
        condition: ReadCondition | None,
        caller: Caller | None,
    ) -> None:
        options: dict[str, Any] = {
            "version_id": self.version_id(bucket, key, position), "range": None, "part_number": None,
            "condition": condition, "caller": caller,
        }  # fmt: skip

        def read(store: Store) -> tuple[tuple[object, ...], bytes]:
            with store.get_object(bucket, key, **options) as found:
                return version_seen(found.version), found.read()

        self.both(data, read, lambda model: model.get_object(bucket, key, **options))

    @rule(data=st.data(), bucket=buckets, key=keys, position=positions, acl=set_acls, caller=callers)
    def put_version_acl(
        self, data: st.DataObject, bucket: str, key: str, position: Position, acl: Any, caller: Caller | None
    ) -> None:
        version_id = self.version_id(bucket, key, position)
        self.both(
            data,
            lambda store: store.put_object_acl(bucket, key, acl, version_id=version_id, caller=caller),
            lambda model: model.put_object_acl(bucket, key, acl, caller, version_id),
        )
        self.both(
            data,
            lambda store: store.get_object_acl(bucket, key, version_id=version_id, caller=caller),
            lambda model: model.get_object_acl(bucket, key, caller, version_id),
            acl_seen,
        )

    @rule(
        data=st.data(), source_bucket=buckets, source_key=keys, position=positions, bucket=buckets, key=keys,
        caller=callers, condition=write_conditions,
    )  # fmt: skip
    def copy_version(
        self,
        data: st.DataObject,
        source_bucket: str,
        source_key: str,
        position: Position,
        bucket: str,
        key: str,
        caller: Caller | None,
        condition: WriteCondition,
    ) -> None:
        version_id = self.version_id(source_bucket, source_key, position)
        where = (source_bucket, source_key, bucket, key)
        options: dict[str, Any] = {"source_version_id": version_id, "condition": condition, "caller": caller}
        options |= {"source_condition": None, "storage_class": None, "acl": None}
        self.both(
            data,
            lambda store: store.copy_object(*where, **options),
            lambda model: model.copy_object(*where, replaced_metadata=None, **options),
            version_seen,
        )

    @rule(
        data=st.data(), bucket=buckets, key=keys, position=st.one_of(st.none(), positions),
        condition=delete_conditions, caller=callers,
    )  # fmt: skip
    def delete_object(
        self,
        data: st.DataObject,
        bucket: str,
        key: str,
        position: Position | None,
        condition: WriteCondition,
        caller: Caller | None,
    ) -> None:
        version_id = None if position is None else self.version_id(bucket, key, position)
        options: dict[str, Any] = {"version_id": version_id, "condition": condition, "caller": caller}
        self.both(
            data,
            lambda store: store.delete_object(bucket, key, **options),
            lambda model: model.delete_object(bucket, key, **options),
            lambda deleted: (deleted.key, deleted.version_id, deleted.is_delete_marker),
        )

    @rule(data=st.data(), bucket=buckets, caller=callers, drawn=_ENTRIES)
    def delete_objects(
        self,
        data: st.DataObject,
        bucket: str,
        caller: Caller | None,
        drawn: list[tuple[str, Position | None, WriteCondition]],
    ) -> None:
        def outcome(one: DeletedObject | DeleteFailure) -> str:
            return type(one.error).__name__ if isinstance(one, DeleteFailure) else one.key

        entries = [
            DeleteEntry(
                key=key,
                version_id=None if position is None else self.version_id(bucket, key, position),
                condition=condition,
            )
            for key, position, condition in drawn
        ]
        self.both(
            data,
            lambda store: store.delete_objects(bucket, entries, caller=caller),
            lambda model: model.delete_objects(bucket, entries, caller),
            lambda outcomes: [outcome(one) for one in outcomes],
        )
