"""What every catalog must do, as a suite of tests: subclass it and give it the fixture `catalog`.

    class TestMyCatalog(CatalogContract):
        @pytest.fixture
        def catalog(self) -> Iterator[CatalogPort]: ...

The catalog is open, empty, and the test's alone. Commands are applied, and their effects are read back through the
port; `twin` asks for a second, equally empty one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
import pytest

from bleepstore import commands as c
from bleepstore import errors
from bleepstore.catalog.apply import apply_once
from bleepstore.catalog.port import CatalogPort, Tables
from bleepstore.commands import Command, Done, Removed, RemovedMany, Result, Written
from bleepstore.errors import StoreClosed
from bleepstore.model import (
    MAX_USER_POLICIES,
    NO_SETTINGS,
    Acl,
    BucketSetting,
    Grant,
    Group,
    ObjectAttributes,
    Owner,
    PartSummary,
    Permission,
    SystemMetadata,
    UploadToken,
)
from bleepstore.preconditions import WriteCondition
from bleepstore.quotas import Quota, QuotaScope, Usage
from bleepstore.testing.catalog_commands import ALICE, ANN, BOB, Commands, seen
from bleepstore.testing.outbox_contract import OutboxContract
from bleepstore.testing.session_contract import SessionContract
from bleepstore.testing.versions_contract import VersionsContract

#: Keys whose order in UTF-8 differs from that in UTF-16, and from that of a locale.
_KEYS = ("B", "a", "a/1", "a/2", "a0", "b/c/1", "b/c/2", "ä", "\uff61", "\U0001f600")
_TOKEN = UploadToken("t")


class CatalogContract(VersionsContract, SessionContract, OutboxContract):
    """The suite. `make` is also a catalog: another one, empty like the first."""

    @pytest.fixture
    def make(self) -> Iterator[Callable[[], CatalogPort]]:
        """Opens empty catalogs, and closes them at the end. A subclass gives it."""
        raise NotImplementedError

    @pytest.fixture
    def catalog(self, make: Callable[[], CatalogPort], commands: Commands) -> CatalogPort:
        """With the bucket `photos`."""
        catalog = make()
        self.apply(catalog, commands.create_bucket())
        return catalog

    @pytest.fixture
    def commands(self) -> Commands:
        return Commands()

    # -- buckets and owners

    def test_an_empty_catalog_knows_nothing(self, make: Callable[[], CatalogPort]) -> None:
        catalog = make()
        assert catalog.find_bucket("photos") is None
        with catalog.read() as reader:
            assert reader.applied_index() == 0
            assert reader.find_object("photos", "k", with_data=True) is None
            assert reader.list_objects("photos", "", "", "", 10).objects == []
            assert reader.find_upload("photos", "k", "u") is None
            assert reader.find_credential("AK") is None
            assert reader.find_user("bob", "ben") is None
            assert reader.list_users() == []
            assert reader.sweep_times() == (0, 0)
            assert not reader.is_referenced("h")

    def test_a_bucket_belongs_to_who_made_it_first(self, catalog: CatalogPort, commands: Commands) -> None:
        assert self.refused(catalog, commands.create_bucket()) == errors.BucketAlreadyOwnedByYou("photos")
        assert self.refused(catalog, commands.create_bucket(owner=BOB)) == errors.BucketAlreadyExists("photos")
        found = catalog.find_bucket("photos")
        assert found is not None
        assert (found.owner, found.acl) == (ALICE, Acl.private("alice"))
        with catalog.read() as reader:
            assert reader.find_bucket("photos") == found
            assert reader.find_owner("alice") == ALICE

    def test_a_new_bucket_of_an_old_name_sees_nothing_of_it(self, catalog: CatalogPort, commands: Commands) -> None:
        self.apply(catalog, commands.put("k"), commands.create_upload("k", "u", backend_token=_TOKEN))
        self.apply(catalog, commands.part("k", "u", 1, "p1"))
        assert self.refused(catalog, commands.delete_bucket()) == errors.BucketNotEmpty("photos")
        assert self.apply(catalog, commands.delete("k"), commands.delete_bucket()) == [Removed("k"), Done()]
        assert catalog.find_bucket("photos") is None
        assert self.garbage(catalog) == [("p1", _TOKEN)]
        self.apply(catalog, commands.create_bucket(owner=BOB))
        found = catalog.find_bucket("photos")
        assert found is not None
        assert found.owner == BOB
        with catalog.read() as reader:
            assert reader.find_upload("photos", "k", "u") is None
            assert reader.list_parts("u", 0, 10) == []

    def test_a_command_for_one_bucket_is_refused_by_the_next_of_its_name(
        self, catalog: CatalogPort, commands: Commands
    ) -> None:
        old = catalog.find_bucket("photos")
        assert old is not None
        assert isinstance(self.apply(catalog, commands.put("k", "h", bucket_id=old.id))[0], Written)
        self.apply(catalog, commands.delete("k"), commands.delete_bucket(), commands.create_bucket())
        late = commands.put("k", "h", bucket_id=old.id)
        assert self.refused(catalog, late) == errors.NoSuchBucket("photos")

    def test_a_bucket_shows_the_last_name_of_its_owner(self, catalog: CatalogPort, commands: Commands) -> None:
        self.apply(catalog, commands.put("k", owner=Owner("alice", "Alice Liddell")))
        self.apply(catalog, commands.put("k", owner=Owner("alice")))
        found = catalog.find_bucket("photos")
        assert found is not None
        assert found.owner.display_name == "Alice Liddell"

    def test_buckets_are_listed_in_order(self, catalog: CatalogPort, commands: Commands) -> None:
        self.apply(catalog, *(commands.create_bucket(name, BOB) for name in ("zebra", "photos2", "apple")))
        with catalog.read() as reader:

            def names(*question: Any) -> list[str]:
                return [found.name for found in reader.list_buckets(*question)]

            assert names(None, "", None, "", 10) == ["apple", "photos", "photos2", "zebra"]
            assert names("bob", "", None, "apple", 10) == ["photos2", "zebra"]
            assert names(None, "photos", None, "", 1) == ["photos"]
            assert names(None, "", ["elsewhere"], "", 10) == []

    # -- objects

    @pytest.mark.parametrize("data", [b"", b"\x00\xff inline", "a-handle"])
    def test_an_object_is_read_as_it_was_written(
        self, catalog: CatalogPort, commands: Commands, data: bytes | str
    ) -> None:
        attributes = ObjectAttributes(system=SystemMetadata(content_type="text/plain"), metadata={"b": "ä", "a": ""})
        parts = (PartSummary(1, 3, "c", "d"), PartSummary(2, 4))
        put = commands.put("k", data, attributes=attributes, crc64nvme="crc", parts=parts, owner=BOB)
        assert self.apply(catalog, put) == [Written(None, put.time_ms)]
        with catalog.read() as reader:
            found = reader.find_object("photos", "k", with_data=True)
            assert found is not None
            assert (found.data, found.handle) == ((None, data) if isinstance(data, str) else (data, None))
            assert found.crc64nvme == "crc"
            version = found.version
            assert (version.attributes, version.owner, version.size) == (attributes, BOB, len(data))
            assert (version.etag, version.modified_ms, version.parts_count) == (put.etag, put.time_ms, 2)
            assert reader.object_parts(version) == parts
            bare = reader.find_object("photos", "k", with_data=False)
            assert bare is not None
            assert (bare.version, bare.data) == (version, None)

    def test_what_is_replaced_or_deleted_becomes_garbage(self, catalog: CatalogPort, commands: Commands) -> None:
        for data in ("h1", "h2", b"inline", b"again", "h3"):
            self.apply(catalog, commands.put("k", data))
        assert self.garbage(catalog) == [("h1", None), ("h2", None)]
        entries = (c.DeleteEntry(key="k"), c.DeleteEntry(key="none"))
        (result,) = self.apply(catalog, c.DeleteObjects(**commands.stamp(), bucket="photos", entries=entries))
        assert result == RemovedMany((Removed("k"), Removed("none")))
        assert [handle for handle, _token in self.garbage(catalog)] == ["h1", "h2", "h3"]
        with catalog.read() as reader:
            found = reader.list_garbage(2)
            assert [one.handle for one in reader.list_garbage(10, found[-1].garbage_id)] == ["h3"]
            assert reader.is_garbage("h3")
            assert reader.is_referenced("h3")
        ids = tuple(one.garbage_id for one in found)
        self.apply(catalog, c.ForgetGarbage(**commands.stamp(), garbage_ids=ids))
        assert [handle for handle, _token in self.garbage(catalog)] == ["h3"]

    def test_a_condition_that_does_not_hold_changes_nothing(self, catalog: CatalogPort, commands: Commands) -> None:
        self.apply(catalog, commands.put("k", "h1"))
        only_new, other = WriteCondition(if_none_match=True), WriteCondition(if_match="other")
        assert isinstance(self.refused(catalog, commands.put("k", "h2", condition=only_new)), errors.PreconditionFailed)
        assert isinstance(self.refused(catalog, commands.put("k", "h2", condition=other)), errors.PreconditionFailed)
        assert isinstance(self.refused(catalog, commands.delete("k", condition=other)), errors.PreconditionFailed)
        missing = errors.NoSuchKey("photos", "x")
        assert self.refused(catalog, commands.put("x", condition=WriteCondition(if_match="*"))) == missing
        nowhere = errors.NoSuchBucket("nowhere")
        assert self.refused(catalog, commands.put("k", "h2", bucket="nowhere")) == nowhere

    def test_an_acl_is_of_one_bucket_and_of_one_object(self, catalog: CatalogPort, commands: Commands) -> None:
        self.apply(catalog, commands.create_bucket("other"), commands.put("k"), commands.put("k2"))
        acl = Acl("alice", (Grant(Group.ALL_USERS, Permission.READ),))
        set_acl = c.PutBucketAcl(**commands.stamp(), bucket="photos", acl=acl)
        assert self.apply(catalog, set_acl) == [Done()]
        buckets = [catalog.find_bucket(name) for name in ("photos", "other")]
        assert [bucket and bucket.acl for bucket in buckets] == [acl, Acl.private("alice")]

        def put_acl(**fields: Any) -> Command:
            return c.PutObjectAcl(**commands.stamp(), bucket="photos", key="k", acl=acl, **fields)

        assert isinstance(self.refused(catalog, put_acl(expected_acl=acl)), errors.OperationAborted)
        assert self.apply(catalog, put_acl(expected_acl=Acl.private("alice"))) == [Done()]
        assert isinstance(self.refused(catalog, put_acl(expected_acl=Acl.private("alice"))), errors.OperationAborted)
        with catalog.read() as reader:
            found = [reader.find_object("photos", key, with_data=False) for key in ("k", "k2")]
        assert [one and one.version.acl for one in found] == [acl, Acl.private("alice")]

    def test_a_setting_is_of_one_bucket_and_replaced_as_a_whole(self, catalog: CatalogPort, commands: Commands) -> None:
        self.apply(catalog, commands.create_bucket("other"))

        def put(value: Any, **fields: Any) -> Command:
            fields = {"bucket": "photos", **fields}
            return c.PutBucketSetting(**commands.stamp(), **fields, setting=BucketSetting("tags", value))

        def tags() -> list[Any]:
            found = [catalog.find_bucket(name) for name in ("photos", "other")]
            return [bucket and bucket.settings.tags for bucket in found]

        assert tags() == [None, None]
        assert self.apply(catalog, put({"a": "1", "b": "ü"})) == [Done()]
        assert self.apply(catalog, put({"c": ""})) == [Done()]
        assert tags() == [{"c": ""}, None]
        with catalog.read() as reader:
            assert [bucket.settings.tags for bucket in reader.list_buckets(None, "", None, "", 10)] == [None, {"c": ""}]
        for fields in ({"bucket": "none"}, {"bucket_id": 99}):
            assert isinstance(self.refused(catalog, put({}, **fields)), errors.NoSuchBucket)
        assert self.apply(catalog, put(None), put(None)) == [Done(), Done()]
        assert tags() == [None, None]

    def test_a_bucket_that_is_made_again_has_no_settings(self, catalog: CatalogPort, commands: Commands) -> None:
        setting = BucketSetting("tags", {"a": "1"})
        put = c.PutBucketSetting(**commands.stamp(), bucket="photos", setting=setting)
        self.apply(catalog, put, commands.delete_bucket(), commands.create_bucket())
        found = catalog.find_bucket("photos")
        assert found is not None
        assert found.settings == NO_SETTINGS

    # -- listings

    @pytest.mark.parametrize("delimiter", ["", "/"])
    @pytest.mark.parametrize("prefix", ["", "a", "b/", "none"])
    @pytest.mark.parametrize("limit", [1, 2, 1000])
    def test_pages_follow_each_other(
        self, catalog: CatalogPort, commands: Commands, delimiter: str, prefix: str, limit: int
    ) -> None:
        self.apply(catalog, *(commands.put(key) for key in reversed(_KEYS)))
        expected: list[str] = []
        for key in sorted(_KEYS, key=str.encode):
            if key.startswith(prefix):
                at = key.find(delimiter, len(prefix)) if delimiter else -1
                entry = key if at < 0 else key[: at + 1]
                if entry not in expected:
                    expected.append(entry)
        entries: list[str] = []
        after: str | None = ""
        while after is not None:
            with catalog.read() as reader:
                page = reader.list_objects("photos", prefix, delimiter, after, limit)
            found = [*(listed.key for listed in page.objects), *page.common_prefixes]
            assert len(found) <= limit
            entries += sorted(found, key=str.encode)
            after = page.next_key
        assert entries == expected

    # -- uploads

    def test_an_upload_becomes_an_object(self, catalog: CatalogPort, commands: Commands) -> None:
        attributes = ObjectAttributes(metadata={"m": "1"})
        self.apply(catalog, commands.create_upload("k", "u", attributes=attributes, backend_token=_TOKEN))
        self.apply(catalog, *(commands.part("k", "u", number, f"p{number}") for number in (2, 1, 3)))
        self.apply(catalog, commands.part("k", "u", 1, "again"))
        with catalog.read() as reader:
            upload = reader.find_upload("photos", "k", "u")
            assert upload is not None
            assert (upload.owner, upload.initiator, upload.attributes) == (ALICE, BOB, attributes)
            assert [part.handle for part in reader.list_parts("u", 0, 2)] == ["again", "p2"]
            assert [part.number for part in reader.list_parts("u", 2, 10)] == [3]
            assert reader.is_referenced(_TOKEN)
        stale = commands.complete("k", "u", {1: "p1"}, "h")
        assert isinstance(self.refused(catalog, stale), errors.OperationAborted)
        complete = commands.complete("k", "u", {1: "again", 2: "p2"}, "h")
        written = self.apply(catalog, complete)
        assert written == self.apply(catalog, complete), "one that is sent again has its first answer"
        assert self.garbage(catalog) == [("p1", _TOKEN), ("again", _TOKEN), ("p2", _TOKEN), ("p3", _TOKEN)]
        with catalog.read() as reader:
            found = reader.find_object("photos", "k", with_data=True)
            assert found is not None
            assert (found.handle, found.version.attributes, found.version.parts_count) == ("h", attributes, 2)
            assert reader.find_upload("photos", "k", "u") is None
            assert reader.find_completed("photos", "k", "u") == ("multi-1", complete.time_ms, None)
            assert not reader.is_referenced(_TOKEN)

    def test_a_conditional_completion_sees_what_happened_since(self, catalog: CatalogPort, commands: Commands) -> None:
        self.apply(catalog, commands.put("k", b"data"), commands.create_upload("k", "u"))
        self.apply(catalog, commands.part("k", "u", 1, "p1"))
        with catalog.read() as reader:
            assert not reader.object_since("photos", "k", "u").changed
        self.apply(catalog, commands.delete("k"), commands.put("k", b"data"))
        with catalog.read() as reader:
            assert reader.object_since("photos", "k", "u").changed
        complete = commands.complete("k", "u", {1: "p1"}, "h", condition=WriteCondition(if_match="etag-4"))
        assert isinstance(self.refused(catalog, complete), errors.ConditionalRequestConflict)

    @pytest.mark.parametrize("data", [b"data", "blob"])
    def test_a_conditional_completion_sees_what_happened_while_the_clock_stood_still(
        self, catalog: CatalogPort, commands: Commands, data: bytes | str
    ) -> None:
        """The version is another one, though its time and its ETag are the same."""
        put = commands.put("k", data)
        self.apply(catalog, put, commands.create_upload("k", "u"), commands.part("k", "u", 1, "p1"))
        again = attrs.evolve(put, **commands.stamp() | {"time_ms": put.time_ms})
        self.apply(catalog, commands.delete("k"), again)
        with catalog.read() as reader:
            assert reader.object_since("photos", "k", "u").changed
        complete = commands.complete("k", "u", {1: "p1"}, "h", condition=WriteCondition(if_match="etag-4"))
        assert isinstance(self.refused(catalog, complete), errors.ConditionalRequestConflict)
        self.apply(catalog, commands.create_upload("k", "later"))
        with catalog.read() as reader:
            assert not reader.object_since("photos", "k", "later").changed

    def test_uploads_are_listed_and_the_oldest_expire_first(self, catalog: CatalogPort, commands: Commands) -> None:
        for key, upload_id in (("b", "u3"), ("a/1", "u2"), ("a/1", "u1"), ("c", "u4")):
            self.apply(catalog, commands.create_upload(key, upload_id))
        with catalog.read() as reader:
            page = reader.list_uploads("photos", "", "", "", "", 2)
            assert [upload.upload_id for upload in page.uploads] == ["u1", "u2"]
            assert page.next_key is not None
            page = reader.list_uploads("photos", "", "", page.next_key, page.next_upload_id or "", 10)
            assert [upload.upload_id for upload in page.uploads] == ["u3", "u4"]
            page = reader.list_uploads("photos", "", "/", "", "", 10)
            assert (page.common_prefixes, [upload.key for upload in page.uploads]) == (["a/"], ["b", "c"])
            assert [upload.upload_id for upload in reader.expired_uploads(1 << 60, 2)] == ["u3", "u2"]
            assert reader.expired_uploads(0, 10) == []
        for change in (commands.abort("b", "u1"), commands.part("b", "u1", 1, "p1")):
            assert self.refused(catalog, change) == errors.NoSuchUpload("u1", "photos", "b"), "it is of another key"
        assert self.apply(catalog, commands.abort("a/1", "u1")) == [Done()]
        assert self.refused(catalog, commands.abort("a/1", "u1")) == errors.NoSuchUpload("u1", "photos", "a/1")

    # -- accounts and sweeps

    def test_access_keys_are_found_and_disabled(self, catalog: CatalogPort, commands: Commands) -> None:
        stamp = commands.stamp()
        self.apply(
            catalog, c.PutCredential(**stamp, access_key="AK", secret_key="s", owner=BOB, email="Bob@example.com")
        )
        with catalog.read() as reader:
            assert reader.owner_by_email("bob@EXAMPLE.com") == BOB
            found = reader.find_credential("AK")
        assert found is not None
        assert (found.secret_key, found.owner, found.enabled, found.created_ms) == ("s", BOB, True, stamp["time_ms"])
        assert self.apply(catalog, c.DisableCredential(**commands.stamp(), access_key="AK")) == [Done()]
        with catalog.read() as reader:
            assert [found.enabled for found in reader.list_credentials()] == [False]
        unknown = c.DisableCredential(**commands.stamp(), access_key="other")
        assert self.refused(catalog, unknown) == errors.NoSuchCredential("other")

    def test_an_access_key_that_is_deleted_is_not_there(self, catalog: CatalogPort, commands: Commands) -> None:
        self.apply(catalog, c.PutCredential(**commands.stamp(), access_key="AK", secret_key="s", owner=BOB))
        delete = c.DeleteCredential(**commands.stamp(), access_key="AK")
        assert self.apply(catalog, delete) == [Done()]
        with catalog.read() as reader:
            assert reader.find_credential("AK") is None
        again = c.DeleteCredential(**commands.stamp(), access_key="AK")
        assert self.refused(catalog, again) == errors.NoSuchCredential("AK")

    def test_a_secret_is_stored_in_another_way_if_it_is_the_one_that_was_read(
        self, catalog: CatalogPort, commands: Commands
    ) -> None:
        self.apply(catalog, c.PutCredential(**commands.stamp(), access_key="AK", secret_key="s", owner=BOB))
        self.apply(catalog, c.DisableCredential(**commands.stamp(), access_key="AK"))

        def replace(access_key: str, expected: str) -> c.Command:
            return c.ReplaceSecret(
                **commands.stamp(), access_key=access_key, expected=expected, secret_key="x", sealed_by="k:1"
            )

        for wrong in (replace("AK", "other"), replace("other", "s")):
            assert self.refused(catalog, wrong) == errors.OperationAborted()
        assert self.apply(catalog, replace("AK", "s")) == [Done()]
        with catalog.read() as reader:
            found = reader.find_credential("AK")
        assert found is not None
        assert (found.secret_key, found.sealed_by, found.enabled) == ("x", "k:1", False)

    def test_a_user_is_there_with_its_policies_until_it_is_deleted(
        self, catalog: CatalogPort, commands: Commands
    ) -> None:
        def create(name: str) -> c.Command:
            return c.CreateUser(**commands.stamp(), account=BOB, name=name, path="/lab/", user_id=f"AIDA{name}")

        def put(policy: str, document: str | None, user: str = "ben") -> c.Command:
            return c.PutUserPolicy(**commands.stamp(), account_id="bob", user=user, policy=policy, document=document)

        first = create("ben")
        assert self.apply(catalog, first, create("ada")) == [Done(), Done()]
        assert self.refused(catalog, create("BEN")) == errors.UserAlreadyExists("bob", "BEN")
        for document in ("{1}", "{3}"):
            assert self.apply(catalog, put("reads", document), put("writes", "{2}", "Ben")) == [Done(), Done()]
        with catalog.read() as reader:
            ben = reader.find_user("bob", "bEn")
            assert ben is not None
            assert (ben.account, ben.name, ben.id, ben.path) == (BOB, "ben", "AIDAben", "/lab/")
            assert ben.created_ms == first.time_ms
            assert ben.policies == {"reads": "{3}", "writes": "{2}"}
            assert [user.name for user in reader.list_users()] == ["ada", "ben"]
            assert reader.find_user("alice", "ben") is None
        assert self.refused(catalog, put("p", "{}", "joe")) == errors.NoSuchUser("bob", "joe")
        assert self.refused(catalog, put("p", None)) == errors.NoSuchUserPolicy("bob", "ben", "p")
        assert self.apply(catalog, put("writes", None)) == [Done()]
        for number in range(MAX_USER_POLICIES - 1):
            assert self.apply(catalog, put(f"p{number}", "{}")) == [Done()]
        assert self.refused(catalog, put("one more", "{}")) == errors.TooManyUserPolicies(MAX_USER_POLICIES)
        delete = c.DeleteUser(**commands.stamp(), account_id="bob", name="Ben")
        assert self.apply(catalog, delete) == [Done()]
        again = c.DeleteUser(**commands.stamp(), account_id="bob", name="ben")
        assert self.refused(catalog, again) == errors.NoSuchUser("bob", "ben")
        with catalog.read() as reader:
            assert [user.name for user in reader.list_users()] == ["ada"]

    def test_the_access_keys_of_a_user_end_with_it(self, catalog: CatalogPort, commands: Commands) -> None:
        def put(access_key: str, user: str | None) -> c.Command:
            return c.PutCredential(
                **commands.stamp(), access_key=access_key, secret_key="s", owner=BOB, user=user, sealed_by="k:1"
            )

        self.apply(catalog, c.CreateUser(**commands.stamp(), account=BOB, name="ben", path="/", user_id="AIDA"))
        assert self.apply(catalog, put("AK1", "BEN"), put("AK2", None)) == [Done(), Done()]
        assert self.refused(catalog, put("AK3", "joe")) == errors.NoSuchUser("bob", "joe")
        with catalog.read() as reader:
            first, second = reader.list_credentials()
            assert (first.user, first.sealed_by, second.user) == (reader.find_user("bob", "ben"), "k:1", None)
            assert reader.find_credential("AK1") == first
        self.apply(catalog, c.DeleteUser(**commands.stamp(), account_id="bob", name="ben"))
        with catalog.read() as reader:
            assert reader.list_credentials() == [second]

    def test_a_sweep_fences_older_blobs(self, catalog: CatalogPort, commands: Commands) -> None:
        for begun, ended in ((500, 400), (100, 100)):  # the times never go back
            self.apply(catalog, c.BeginSweep(**commands.stamp(), until_ms=begun))
            self.apply(catalog, c.EndSweep(**commands.stamp(), until_ms=ended))
        with catalog.read() as reader:
            assert reader.sweep_times() == (500, 400)
        assert isinstance(self.refused(catalog, commands.put("k", "h", stored_ms=499)), errors.OperationAborted)
        assert isinstance(self.apply(catalog, commands.put("k", "h", stored_ms=500))[0], Written)

    def test_every_blob_and_every_inline_object_is_gone_through(self, catalog: CatalogPort, commands: Commands) -> None:
        self.apply(catalog, *(commands.put(f"k{number}", f"h{number}") for number in range(3)))
        self.apply(catalog, commands.put("inline", b"bytes"), commands.create_upload("u", "u"))
        self.apply(catalog, commands.part("u", "u", 1, "p1"))
        with catalog.read() as reader:
            assert list(reader.iter_blobs()) == [("h0", 2), ("h1", 2), ("h2", 2), ("p1", 5)]
            assert reader.count_blobs() == (4, 11)
            assert reader.total_bytes() == 16
            assert [(content.key, data) for content, data in reader.iter_inline()] == [("inline", b"bytes")]
            part = reader.content_of("p1")
            assert part is not None
            assert (part.key, part.part_number, part.size) == ("u", 1, 5)
            assert reader.content_of("none") is None
            assert reader.name_of_blob("h1") == "photos/k1"
            assert reader.name_of_blob("none") == "none"
            objects, after = reader.page_of_objects(())
            while after:
                more, after = reader.page_of_objects(after)
                objects += more
            assert sorted(content.key for content, _data in objects) == ["inline", "k0", "k1", "k2"]
            parts, _after = reader.page_of_parts(())
            assert [content.handle for content, _data in parts] == ["p1"]

    # -- the log

    def test_each_command_is_counted_once(self, catalog: CatalogPort, commands: Commands) -> None:
        with catalog.read() as reader:
            before = reader.applied_index()
        self.apply(catalog, commands.put("k"), commands.delete("k"), commands.delete("k"))
        with catalog.read() as reader:
            assert reader.applied_index() == before + 3

    def test_a_command_that_comes_twice_gives_its_first_result(self, catalog: CatalogPort, commands: Commands) -> None:
        put = commands.put("k", condition=WriteCondition(if_none_match=True))

        def apply(tables: Tables, index: int, valid_to: int) -> Result:
            return apply_once(tables, put, index, valid_to)

        with catalog.transaction() as tables:
            first = apply(tables, 10, 20)
        with catalog.transaction() as tables:
            assert apply(tables, 11, 20) == first == apply(tables, 30, 20)
            tables.forget_results(10)
            assert isinstance(apply(tables, 12, 20), errors.PreconditionFailed), "it was forgotten"
            tables.forget_results(12)
            assert isinstance(apply(tables, 21, 20), errors.ServiceUnavailable), "it came too late"

    def test_an_exception_leaves_everything_as_it_was(self, catalog: CatalogPort, commands: Commands) -> None:
        with catalog.read() as reader:
            before = seen(reader), reader.applied_index()
        with pytest.raises(AssertionError):
            catalog.apply([commands.put("k", "h"), "no command"])  # type: ignore[list-item]  # what a bug would do
        with catalog.read() as reader:
            assert (seen(reader), reader.applied_index()) == before
        assert isinstance(self.apply(catalog, commands.put("k", "h"))[0], Written)

    @pytest.mark.parametrize("seed", range(3))
    def test_equal_commands_make_equal_catalogs(self, make: Callable[[], CatalogPort], seed: int) -> None:
        """In batches of any size."""
        chance = random.Random(seed)
        history = [_draw(chance, commands) for commands in [Commands()] for _ in range(300)]
        one_by_one, batched = make(), make()
        results = [one_by_one.apply([command])[0] for command in history]
        in_batches: list[Result] = []
        rest: Sequence[Command] = history
        while rest:
            size = chance.randrange(1, 40)
            in_batches += batched.apply(rest[:size])
            rest = rest[size:]
        assert in_batches == results
        assert sum(isinstance(result, Written) for result in results) > 20, "the history must do something"
        with one_by_one.read() as one, batched.read() as other:
            assert seen(one) == seen(other)
            bucket = one.find_bucket("photos")
            used = Usage() if bucket is None else one.count_usage(bucket.id)
            for counted in one.list_quotas():
                assert counted.usage == one.count_quota(counted.scope, counted.name)
                if counted.scope is not QuotaScope.USER:
                    is_of_owner = bucket is not None and counted.name in ("photos", bucket.owner.id)
                    assert counted.usage == (used if is_of_owner else Usage())

    def test_one_that_is_closed_says_so(self, make: Callable[[], CatalogPort]) -> None:
        catalog = make()
        catalog.close()
        catalog.close()
        for use in (lambda: catalog.apply([]), catalog.check_usable, lambda: catalog.find_bucket("photos")):
            with pytest.raises(StoreClosed):
                use()
        with pytest.raises(StoreClosed), catalog.read():
            pass


def _draw(chance: random.Random, commands: Commands) -> Command:
    """A random command: few names, so that refusals and replacements are frequent."""
    key = chance.choice("abc")
    creator_id = chance.choice((None, ANN, "arn:aws:iam::bob:user/ann"))
    match chance.randrange(11):
        case 0:
            return commands.create_bucket(owner=chance.choice((ALICE, BOB)))
        case 1:
            return commands.delete_bucket()
        case 2:
            return commands.delete(key)
        case 10:
            return commands.create_user("ann")
        case 9:
            quota = chance.choice((None, Quota(), Quota(max_bytes=40), Quota(max_objects=2)))
            scope, name = chance.choice(
                ((QuotaScope.BUCKET, "photos"), (QuotaScope.ACCOUNT, "alice"), (QuotaScope.USER, ANN))
            )
            return commands.quota(scope, name, quota)
        case 3:
            return commands.create_upload(key, f"upload-{commands.stamp()['time_ms']}")
        case 4:
            return commands.put(key, chance.choice((b"1", b"22")), condition=WriteCondition(if_none_match=True))
        case 5 | 6:
            return commands.put(key, chance.choice((b"", b"inline")), creator_id=creator_id)
        case _:
            return commands.put(key, f"h{chance.randrange(10**9)}", creator_id=creator_id)
