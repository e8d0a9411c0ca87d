"""What a test sees of a store's answers, and how it is compared with that of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from bleepstore import Acl, Caller, ObjectVersion, Part, Store
from bleepstore.errors import S3Error
from tests.store.model import Grants, Model, Refused


@attrs.define(eq=False)
class World:
    """A store and what it must be like."""

    store: Store
    model: Model


def grants_in(acl: Acl) -> Grants:
    return frozenset((str(grant.grantee), str(grant.permission)) for grant in acl.grants)


def acl_seen(acl: Acl) -> tuple[str, Grants]:
    return acl.owner_id, grants_in(acl)


def version_seen(version: ObjectVersion) -> tuple[object, ...]:
    return (
        version.etag, version.size, version.owner.id, grants_in(version.acl), tuple(sorted(version.metadata.items())),
        version.system.content_type, version.storage_class, version.modified_ms, version.parts_count,
        version.version_id == "null",
    )  # fmt: skip


def part_seen(part: Part) -> tuple[int, int, str, int]:
    return part.number, part.size, part.etag, part.modified_ms


def ask_both(
    world: World, real: Callable[[Store], Any], modelled: Callable[[Model], Any], seen: Callable[[Any], Any]
) -> Any:
    try:
        expected = modelled(world.model)
    except Refused as refused:
        expected = f"refused: {refused}"
    try:
        found = seen(real(world.store))
    except S3Error as error:
        found = f"refused: {type(error).__name__}"
    assert found == expected
    return found


def list_all(store: Store, bucket: str, limit: int, **options: Any) -> list[tuple[object, ...]]:
    """The entries of all pages in the order of keys; each page but the last is full."""
    found: list[tuple[object, ...]] = []
    after = ""
    while True:
        page = store.list_objects(bucket, after=after, limit=limit, **options)
        entries: list[tuple[object, ...]] = [(prefix,) for prefix in page.common_prefixes]
        entries += [
            (one.key, one.etag, one.size, one.modified_ms, one.storage_class, one.owner_id) for one in page.objects
        ]
        found += sorted(entries, key=lambda entry: str(entry[0]))
        if page.next_key is None:
            return found
        assert len(entries) == limit
        after = page.next_key


def list_all_versions(store: Store, bucket: str, limit: int, **options: Any) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    key = version_id = ""
    while True:
        page = store.list_object_versions(bucket, after_key=key, after_version_id=version_id, limit=limit, **options)
        entries: list[tuple[object, ...]] = [(prefix,) for prefix in page.common_prefixes]
        entries += [
            (row.key, row.version_id, row.is_latest, row.is_delete_marker, row.etag, row.size, row.modified_ms,
             row.owner_id)
            for row in page.versions
        ]  # fmt: skip
        found += sorted(entries, key=lambda entry: str(entry[0]))
        if page.next_key is None:
            return found
        assert len(entries) == limit
        key, version_id = page.next_key, page.next_version_id or ""


def learn_ids(world: World) -> None:
    """Have the model know the ids that the store gave to what was written last, if it gave any."""
    for name, bucket in world.model.buckets.items():
        for key, versions in bucket.versions.items():
            if all(one.version_id for one in versions):
                continue
            rows = [row for row in world.store.iter_object_versions(name, prefix=key) if row.key == key]
            assert len({row.version_id for row in rows}) == len(rows) == len(versions)
            for at, (one, row) in enumerate(zip(versions, rows, strict=True)):
                if not one.version_id:
                    assert row.version_id != "null"
                    versions[at] = attrs.evolve(one, version_id=row.version_id)


def list_all_uploads(store: Store, bucket: str, limit: int, **options: Any) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    key = upload_id = ""
    while True:
        page = store.list_uploads(bucket, after_key=key, after_upload_id=upload_id, limit=limit, **options)
        entries: list[tuple[object, ...]] = [(prefix,) for prefix in page.common_prefixes]
        entries += [(one.key, one.upload_id, one.initiator.id, one.initiated_ms) for one in page.uploads]
        found += sorted(entries, key=lambda entry: [str(field) for field in entry[:2]])
        if page.next_key is None:
            return found
        assert len(entries) == limit
        key, upload_id = page.next_key, page.next_upload_id or ""


def parts_of(
    store: Store, upload: tuple[str, str, str], limit: int, caller: Caller | None
) -> list[tuple[int, int, str, int]]:
    found: list[tuple[int, int, str, int]] = []
    after = 0
    while True:
        page = store.list_parts(*upload, after=after, limit=limit, caller=caller)
        found += map(part_seen, page.parts)
        if page.next_number is None:
            return found
        after = page.next_number


def compare_all(world: World) -> None:
    """Everything of a store is as in its model."""
    store, model = world.store, world.model
    assert [bucket.name for bucket in store.iter_buckets()] == sorted(model.buckets)
    for name, bucket in model.buckets.items():
        assert acl_seen(store.get_bucket_acl(name)) == (bucket.owner, bucket.grants)
        assert [one.key for one in store.iter_objects(name)] == sorted(bucket.objects)
        options: Any = {"prefix": "", "delimiter": "", "caller": None}
        assert list_all_versions(store, name, 1000, **options) == model.list_versions(name, **options)
        assert store.get_bucket_versioning(name) == bucket.versioning
        for key, versions in bucket.versions.items():
            for expected in versions:
                if not expected.is_marker:
                    with store.get_object(name, key, version_id=expected.version_id) as found:
                        assert version_seen(found.version) == expected.seen
                        assert found.read() == expected.body
        assert {one.upload_id for one in store.iter_uploads(name)} == set(bucket.uploads)
        for upload_id, upload in bucket.uploads.items():
            where = (name, upload.key, upload_id)
            assert parts_of(store, where, 1000, None) == model.list_parts(*where, None)
