"""Inventories of buckets: listing what there is, and publishing the list."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import weakref
from collections.abc import Iterator, Sequence
from typing import IO

import attrs

from bleepstore.access import S3_SERVICE, Action, Caller, CannedAcl, authorize
from bleepstore.catalog.records import FoundObject
from bleepstore.configurations import ConfigurationKind
from bleepstore.errors import NoSuchBucket, S3Error
from bleepstore.inventory import (
    DataFile,
    Inventory,
    ListedItem,
    hive_folder,
    manifest_folder,
    parse_inventory,
    render_manifest,
    render_symlinks,
)
from bleepstore.jobs.inventory import InventoryJob, InventoryStep
from bleepstore.lifecycle_due import expiry_in
from bleepstore.model import Bucket
from bleepstore.store.engine import Engine
from bleepstore.store.inventory_files import InventoryFile, new_file, schema_of
from bleepstore.store.new_objects import as_owned
from bleepstore.store.objects import Objects

_log = logging.getLogger("bleepstore.inventory")

_PAGE = 250
#: Of one file.
MAX_ROWS = 1_000_000
_CHUNK = 1024 * 1024


@attrs.frozen
class _Report:
    """An inventory that is being made, of a bucket, since when and for which bucket."""

    bucket: Bucket
    inventory: Inventory
    began_ms: int
    files: list[DataFile] = attrs.field(factory=list)

    @property
    def folder(self) -> str:
        return self.inventory.folder(self.bucket.name)


class Inventories:
    """Adds the job "inventory", which makes what the inventory configurations of all buckets say.

    Each page of a list is of one moment, and a whole list is not: what is written while it is made may be in it or not.
    The manifest is written when all its files are there.
    """

    def __init__(self, engine: Engine, objects: Objects) -> None:
        self._engine = engine
        self._objects = objects
        known = weakref.ref(self)

        def steps(for_all: bool) -> Iterator[InventoryStep] | None:
            """By what does not keep the store from being dropped."""
            found = known()
            return None if found is None else found._steps(for_all)

        engine.jobs.add(InventoryJob(steps))

    def _steps(self, for_all: bool) -> Iterator[InventoryStep]:
        now_ms = self._engine.wall_clock()
        for bucket in self._buckets():
            configurations = (bucket.settings.configurations or {}).get(ConfigurationKind.INVENTORY, {})
            for id, document in configurations.items():
                try:
                    yield from self._make_if_due(bucket, parse_inventory(document), now_ms, for_all)
                except S3Error as error:
                    yield InventoryStep(error=error.code)
                    _log.warning("the inventory %s of %s is not published: %s: %s", id, bucket.name, error.code, error)

    def _make_if_due(self, bucket: Bucket, inventory: Inventory, now_ms: int, for_all: bool) -> Iterator[InventoryStep]:
        if inventory.is_enabled and (for_all or not self._is_published(bucket, inventory, now_ms)):
            yield from self._make(_Report(bucket, inventory, now_ms))

    def _buckets(self) -> Iterator[Bucket]:
        after = ""
        while True:
            with self._engine.catalog.read() as reader:
                page = reader.list_buckets(None, "", None, after, _PAGE)
            for bucket in page:
                found = self._engine.catalog.find_bucket(bucket.name)
                if found is not None:
                    yield found
            if len(page) < _PAGE:
                return
            after = page[-1].name

    def _is_published(self, bucket: Bucket, inventory: Inventory, now_ms: int) -> bool:
        """Whether there is one of this day or week, which its last object says."""
        folder = inventory.folder(bucket.name)
        since = manifest_folder(inventory.due_since_ms(now_ms))
        with self._engine.catalog.read() as reader:
            page = reader.list_objects(inventory.bucket, folder, "", "", _PAGE, folder + since)
        return any(one.key.endswith("/manifest.checksum") for one in page.objects)

    def _make(self, report: _Report) -> Iterator[InventoryStep]:
        inventory, folder = report.inventory, report.folder
        manifest = folder + manifest_folder(report.began_ms)
        self._authorize(report, f"{manifest}manifest.json")  # before anything is listed
        yield from self._write_files(report)
        schema = schema_of(inventory.format, inventory.columns)
        text = render_manifest(inventory, report.bucket.name, report.began_ms, schema, report.files)
        symlinks = render_symlinks(inventory, report.files)
        self._put(report, f"{folder}{hive_folder(report.began_ms)}symlink.txt", symlinks)
        self._put(report, f"{manifest}manifest.json", text)
        checksum = hashlib.md5(text, usedforsecurity=False).hexdigest()
        self._put(report, f"{manifest}manifest.checksum", checksum.encode())
        yield InventoryStep(is_published=True)

    def _write_files(self, report: _Report) -> Iterator[InventoryStep]:
        inventory = report.inventory
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(new_file(inventory.format, inventory.columns))
            for items in self._pages(report):
                file.add([[column.value(item) for column in inventory.columns] for item in items])
                if file.rows >= MAX_ROWS:
                    self._publish(report, file)
                    file = stack.enter_context(new_file(inventory.format, inventory.columns))
                yield InventoryStep(listed=len(items))
            if file.rows or not report.files:
                self._publish(report, file)

    def _publish(self, report: _Report, file: InventoryFile) -> None:
        file.finish()
        digest, size = hashlib.md5(usedforsecurity=False), 0
        file.file.seek(0)
        while chunk := file.file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
        file.file.seek(0)
        name = hashlib.md5(f"{report.began_ms}/{digest.hexdigest()}".encode(), usedforsecurity=False).hexdigest()
        key = f"{report.folder}data/{name}{report.inventory.format.suffix}"
        self._put(report, key, file.file)
        report.files.append(DataFile(key, size, digest.hexdigest()))
        file.close()

    def _pages(self, report: _Report) -> Iterator[Sequence[ListedItem]]:
        inventory, name = report.inventory, report.bucket.name
        after_key = after_version = ""
        following: str | None = ""
        while following is not None:
            self._check_is_same(report.bucket)
            items = []
            with self._engine.catalog.read() as reader:
                if inventory.of_versions:
                    versions = reader.list_versions(name, inventory.prefix, "", after_key, after_version, _PAGE)
                    following, after_version = versions.next_key, versions.next_version_id or ""
                    for row in versions.versions:
                        found = reader.find_version(name, row.key, row.version_id, with_data=False)
                        items += _items(report.bucket, found, row.is_latest)
                else:
                    page = reader.list_objects(name, inventory.prefix, "", after_key, _PAGE)
                    following = page.next_key
                    for listed in page.objects:
                        items += _items(report.bucket, reader.find_object(name, listed.key, with_data=False), True)
            after_key = following or ""
            yield items

    def _check_is_same(self, bucket: Bucket) -> None:
        found = self._engine.catalog.find_bucket(bucket.name)
        if found is None or found.id != bucket.id:
            raise NoSuchBucket(bucket.name)

    def _authorize(self, report: _Report, key: str) -> Bucket:
        """The destination, if its policy allows this service to write there."""
        destination = self._engine.find_bucket(report.inventory.bucket)
        service = Caller.of_service(S3_SERVICE, report.bucket, self._engine.wall_clock())
        acl, encryption = CannedAcl.BUCKET_OWNER_FULL_CONTROL, report.inventory.encryption
        authorize(Action.PUT_OBJECT, service, destination, None, key, acl=acl, encryption=encryption)
        return destination

    def _put(self, report: _Report, key: str, body: bytes | IO[bytes]) -> None:
        self._authorize(report, key)
        self._objects.put_object(report.inventory.bucket, key, body, encryption=report.inventory.encryption)


def _items(bucket: Bucket, found: FoundObject | None, is_latest: bool) -> list[ListedItem]:
    """Nothing, if it was removed meanwhile."""
    if found is None:
        return []
    version = as_owned(found, bucket).version
    if is_latest and not version.is_delete_marker:
        version = attrs.evolve(version, expiry=expiry_in(bucket, version))
    return [ListedItem(version, is_latest)]
