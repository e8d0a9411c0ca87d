"""What a catalog does with the versions of a key: a part of `catalog_contract`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bleepstore import commands as c
from bleepstore import errors
from bleepstore.catalog.port import CatalogPort, CatalogReader
from bleepstore.commands import Command, Removed, RemovedMany, Result, Written
from bleepstore.model import (
    Acl,
    UploadToken,
    Versioning,
)
from bleepstore.testing.catalog_commands import BOB, Commands, seen


class VersionsContract:
    """For a `catalog` and `commands` as `CatalogContract` has them."""

    def apply(self, catalog: CatalogPort, *commands: Command) -> list[Result]:
        return catalog.apply(commands)

    def refused(self, catalog: CatalogPort, command: Command) -> Result:
        """The result of a command that changes nothing."""
        with catalog.read() as reader:
            before = seen(reader)
        (result,) = catalog.apply([command])
        with catalog.read() as reader:
            assert seen(reader) == before, f"{command} was refused with {result} and changed something"
        return result

    def garbage(self, catalog: CatalogPort) -> list[tuple[str, UploadToken | None]]:
        with catalog.read() as reader:
            return [(found.handle, found.token) for found in reader.list_garbage(1000)]

    def test_one_transaction_writes_several_versions_of_a_key(self, catalog: CatalogPort, commands: Commands) -> None:
        with catalog.transaction() as tables:
            bucket = tables.find_bucket("photos")
            assert bucket is not None
            sequences = []
            for number in (1, 2):
                if (current := tables.current_version(bucket.bucket_id, "k")) is not None:
                    tables.make_noncurrent(bucket.bucket_id, "k", current, number)
                put = commands.put("k", b"x" * number)
                tables.write_version(bucket.bucket_id, put, f"v{number}", number, None)
                current = tables.current_version(bucket.bucket_id, "k")
                assert current is not None
                sequences.append(current.sequence)
        assert sequences == [1, 2]
        with catalog.read() as reader:
            found = reader.find_object("photos", "k", with_data=True)
            assert found is not None
            assert (found.version.version_id, found.data) == ("v2", b"xx")
            assert [listed.size for listed in reader.list_objects("photos", "", "", "", 10).objects] == [2]
            versions = {content.version_id: data for content, data in reader.iter_inline()}
            assert versions == {"v1": b"x", "v2": b"xx"}

    def ids(self, catalog: CatalogPort, key: str = "k") -> list[str]:
        """Of the versions of a key, the newest first; a delete marker has its in brackets."""
        with catalog.read() as reader:
            rows = reader.list_versions("photos", key, "", "", "", 100).versions
        assert [row.is_latest for row in rows] == [at == 0 for at in range(len(rows))]
        return [f"[{row.version_id}]" if row.is_delete_marker else row.version_id for row in rows]

    def written(self, catalog: CatalogPort, *put: Command) -> list[str]:
        """The ids of what was written."""
        found = []
        for result in self.apply(catalog, *put):
            assert isinstance(result, Written)
            assert result.version_id is not None
            found.append(result.version_id)
        return found

    def test_a_bucket_keeps_versions_as_it_is_told(self, catalog: CatalogPort, commands: Commands) -> None:
        self.apply(catalog, commands.put("k", "h0"), commands.versioning(Versioning.ENABLED))
        found = catalog.find_bucket("photos")
        assert found is not None
        assert found.versioning is Versioning.ENABLED
        first, second = self.written(catalog, commands.put("k", "h1"), commands.put("k", b"inline"))
        assert self.ids(catalog) == [second, first, "null"]
        self.apply(catalog, commands.versioning(Versioning.SUSPENDED))
        assert self.written(catalog, commands.put("k", "h2")) == ["null"]
        assert self.ids(catalog) == ["null", second, first]
        assert self.garbage(catalog) == [("h0", None)]
        with catalog.read() as reader:
            for version_id, handle, data in ((first, "h1", None), (second, None, b"inline"), ("null", "h2", None)):
                version = reader.find_version("photos", "k", version_id, with_data=True)
                assert version is not None
                assert (version.handle, version.data, version.version.is_versioned) == (handle, data, True)
            assert reader.find_version("photos", "k", "x" * 32, with_data=True) is None
            assert reader.find_version("photos", "other", first, with_data=True) is None
            assert [row.etag for row in reader.list_objects("photos", "", "", "", 10).objects] == ["etag-2"]
        assert self.refused(catalog, commands.delete_bucket()) == errors.BucketNotEmpty("photos", True)

    def test_a_delete_marker_hides_what_stays(self, catalog: CatalogPort, commands: Commands) -> None:
        self.apply(catalog, commands.versioning(Versioning.ENABLED))
        (version_id,) = self.written(catalog, commands.put("k", "h1"))
        ((marker),) = self.apply(catalog, commands.delete("k", owner=BOB))
        assert isinstance(marker, Removed)
        assert marker.delete_marker_id is not None
        assert self.ids(catalog) == [f"[{marker.delete_marker_id}]", version_id]
        with catalog.read() as reader:
            assert reader.find_object("photos", "k", with_data=True) is None
            latest = reader.latest_version("photos", "k")
            assert latest is not None
            assert (latest.version.is_delete_marker, latest.version.owner) == (True, BOB)
            assert reader.list_objects("photos", "", "", "", 10).objects == []
            assert reader.count_blobs() == (1, 2)
            assert list(reader.iter_inline()) == []
            assert [content.version_id for content, _data in reader.page_of_objects(())[0]] == [version_id]
        acl = c.PutObjectAcl(
            **commands.stamp(), bucket="photos", key="k", version_id=marker.delete_marker_id, acl=Acl.private("bob")
        )
        assert isinstance(self.refused(catalog, acl), errors.MethodNotAllowed)
        removed = self.apply(catalog, commands.delete("k", version_id=marker.delete_marker_id))
        assert removed == [Removed("k", marker.delete_marker_id, marker.delete_marker_id)]
        with catalog.read() as reader:
            assert reader.find_object("photos", "k", with_data=True) is not None
        assert self.apply(catalog, commands.delete("k", version_id=version_id)) == [Removed("k", version_id)]
        assert self.ids(catalog) == []
        assert self.garbage(catalog) == [("h1", None)]

    def test_a_suspended_delete_takes_the_null_version(self, catalog: CatalogPort, commands: Commands) -> None:
        self.apply(catalog, commands.put("k", "h0"), commands.versioning(Versioning.ENABLED))
        (version_id,) = self.written(catalog, commands.put("k", "h1"))
        self.apply(catalog, commands.versioning(Versioning.SUSPENDED))
        for _ in range(2):
            assert self.apply(catalog, commands.delete("k")) == [Removed("k", None, "null")]
            assert self.ids(catalog) == ["[null]", version_id]
        assert self.garbage(catalog) == [("h0", None)]
        self.apply(catalog, commands.put("k", "h2"))
        assert self.ids(catalog) == ["null", version_id]

    def test_one_command_makes_several_versions_of_a_key(self, catalog: CatalogPort, commands: Commands) -> None:
        self.apply(catalog, commands.versioning(Versioning.ENABLED))
        (version_id,) = self.written(catalog, commands.put("k", "h1"))
        entries = (c.DeleteEntry(key="k"), c.DeleteEntry(key="k", version_id=version_id), c.DeleteEntry(key="k"))
        (result,) = self.apply(catalog, c.DeleteObjects(**commands.stamp(), bucket="photos", entries=entries))
        assert isinstance(result, RemovedMany)
        markers = [one.delete_marker_id for one in result.outcomes if isinstance(one, Removed)]
        assert self.ids(catalog) == [f"[{markers[2]}]", f"[{markers[0]}]"]
        assert markers[1] is None

    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    def test_versions_are_listed_in_pages(self, catalog: CatalogPort, commands: Commands, limit: int) -> None:
        self.apply(catalog, commands.versioning(Versioning.ENABLED))
        for key in ("a", "b/1", "b/2", "c", "a", "b/1"):
            self.apply(catalog, commands.put(key))
        self.apply(catalog, commands.delete("b/2"), commands.delete("c"))

        def pages(reader: CatalogReader, prefix: str, delimiter: str) -> Iterator[str]:
            key = version_id = ""
            while True:
                page = reader.list_versions("photos", prefix, delimiter, key, version_id, limit)
                entries = [*page.common_prefixes, *(row.key for row in page.versions)]
                assert len(entries) <= limit
                yield from sorted(entries)
                if page.next_key is None:
                    return
                key, version_id = page.next_key, page.next_version_id or ""

        with catalog.read() as reader:
            everything = ["a", "a", "b/1", "b/1", "b/2", "b/2", "c", "c"]
            assert list(pages(reader, "", "")) == everything
            assert list(pages(reader, "b/", "")) == everything[2:6]
            assert list(pages(reader, "", "/")) == ["a", "a", "b/", "c", "c"]
            gone = reader.list_versions("photos", "", "", "b/1", "x" * 32, 100).versions
            assert [row.key for row in gone] == everything[2:], "the versions of that key come again"
            behind = reader.list_versions("photos", "", "", "b/1", "", 100).versions
            assert [row.key for row in behind] == everything[4:]
