"""What the pages show and the forms change, without a browser."""

from __future__ import annotations

import contextlib
import html
import json
import re
import tomllib
from importlib import resources
from typing import Any
from urllib.request import urlopen

import pytest
from werkzeug.test import Client, TestResponse

import bleepstore
from bleepstore import CannedAcl, EncryptionKind, NamedKey, ObjectOwnership, Store, Versioning
from bleepstore_server import AppConfig, live_server
from bleepstore_server.console.app import Console
from bleepstore_server.console.documents import indented
from bleepstore_server.console.previews import MAX_ROWS, MAX_TEXT
from tests.cluster_store import open_nodes
from tests.console.conftest import ROOT, SECRET, Visitor


def done(answer: TestResponse) -> str:
    """Where a form leads that was accepted."""
    assert answer.status_code == 303, re.findall(r'<div class="alert bad".*', answer.text)
    return answer.headers["Location"].removeprefix("/console")


@pytest.fixture
def photos(store: Store) -> str:
    store.create_bucket("photos")
    return "photos"


def test_buckets_are_made_shown_counted_and_removed(visitor: Visitor, store: Store) -> None:
    assert "No buckets yet" in visitor.get("/buckets").text
    fields = {"bucket": "photos", "versioning": "on"}
    assert done(visitor.post("/buckets", fields)) == "/buckets/photos?done=bucket_created"
    assert store.get_bucket_versioning("photos") is Versioning.ENABLED
    store.put_object("photos", "cat", bytes(2048))
    assert visitor.get("/buckets/photos/usage").get_json() == {"bytes": "2.0 KiB", "objects": "1"}
    refused = visitor.post("/buckets/photos/remove")
    assert refused.status_code == 409
    assert "BucketNotEmpty" in refused.text
    store.delete_object("photos", "cat", version_id=next(store.iter_object_versions("photos")).version_id)
    assert done(visitor.post("/buckets/photos/remove")) == "/buckets?done=bucket_removed"


def test_a_form_that_is_refused_keeps_what_was_typed(visitor: Visitor) -> None:
    answer = visitor.post("/buckets", {"bucket": "Not A Name", "object_lock": "on"})
    assert answer.status_code == 400
    assert "InvalidBucketName" in answer.text
    assert 'value="Not A Name"' in answer.text
    assert re.search(r'name="object_lock"[^>]* checked', answer.text)


def test_folders_and_pages_show_every_object_once(visitor: Visitor, store: Store, photos: str) -> None:
    keys = [f"{number:03}" for number in range(250)]
    for key in [*keys, "a/1", "a/b/2"]:
        store.put_object(photos, key, b"")
    seen, path = [], "/buckets/photos"
    while path:
        text = visitor.get(path).text
        seen += re.findall(r'name="key" value="([^"]*)"', text)
        following = re.search(r'href="/console([^"]*)" rel="next"', text)
        path = following[1].replace("&amp;", "&") if following else ""
    assert seen == keys
    assert re.findall(r'name="key" value="([^"]*)"', visitor.get("/buckets/photos?prefix=a/").text) == ["a/1"]
    flat = visitor.get("/buckets/photos?prefix=a&flat=1").text
    assert re.findall(r'name="key" value="([^"]*)"', flat) == ["a/1", "a/b/2"]


def test_a_folder_is_an_object_that_other_clients_show_as_one(visitor: Visitor, store: Store, photos: str) -> None:
    assert done(visitor.post("/buckets/photos/folders?prefix=a/", {"name": " new "})) == (
        "/buckets/photos?done=folder_created&prefix=a/new/"
    )
    assert store.head_object(photos, "a/new/").size == 0
    assert "Nothing here yet" in visitor.get("/buckets/photos?prefix=a/new/").text


def test_a_folder_is_deleted_with_all_that_is_in_it(visitor: Visitor, store: Store, photos: str) -> None:
    for key in ("a/", "a/b/c", "a/d", "ab", "b/a/"):
        store.put_object(photos, key, b"12345678")
    page = visitor.get("/buckets/photos/folder?key=a/").text
    assert "There are 3 objects of 24 B in this folder and in those below it." in page
    assert done(visitor.post("/buckets/photos/folder/delete?key=a/")) == "/buckets/photos?done=folder_deleted"
    assert [row.key for row in store.iter_objects(photos)] == ["ab", "b/a/"]
    assert (
        done(visitor.post("/buckets/photos/folder/delete?key=b/a/")) == "/buckets/photos?done=folder_deleted&prefix=b/"
    )
    for none in ("", "?key=", "?key=ab", "?key=a"):
        assert visitor.get(f"/buckets/photos/folder{none}").status_code == 400
        assert visitor.post(f"/buckets/photos/folder/delete{none}").status_code == 400
    assert [row.key for row in store.iter_objects(photos)] == ["ab"]


def test_a_large_folder_is_deleted_step_by_step(
    visitor: Visitor, store: Store, photos: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bleepstore_server.console.folders.MAX_DELETED", 2)
    for number in range(21):
        store.put_object(photos, f"a/{number:02}", b"")
    assert "There are more than 20 objects" in visitor.get("/buckets/photos/folder?key=a/").text
    again = visitor.post("/buckets/photos/folder/delete?key=a/").headers["Location"]
    assert again == "/console/buckets/photos/folder?done=folder_partly_deleted&key=a/"
    assert "There is one object of 0 B" in visitor.get(again.removeprefix("/console")).text
    done(visitor.post("/buckets/photos/folder/delete?key=a/"))
    assert not list(store.iter_objects(photos))


def test_a_folder_whose_objects_may_not_be_deleted_says_which_one(visitor: Visitor, store: Store) -> None:
    store.create_bucket("vault", object_lock=True)
    store.put_object("vault", "a/b", b"b")
    store.put_bucket_policy(
        "vault",
        '{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject",'
        ' "Resource": "arn:aws:s3:::vault/a/*"}}',
    )
    answer = visitor.post("/buckets/vault/folder/delete?key=a/")
    assert answer.status_code == 403
    assert "a/b" in answer.text.partition('role="alert"')[2].partition("</div>")[0]
    assert [row.key for row in store.iter_objects("vault")] == ["a/b"]


def test_marked_objects_are_deleted_and_brought_back(visitor: Visitor, store: Store, photos: str) -> None:
    store.put_bucket_versioning(photos, Versioning.ENABLED)
    for key in ("a", "b", "c"):
        store.put_object(photos, key, key.encode())
    assert visitor.post("/buckets/photos/delete").status_code == 400
    done(visitor.post("/buckets/photos/delete", {"key": ["a", "b"]}))
    assert [row.key for row in store.iter_objects(photos)] == ["c"]
    marker = next(row for row in store.iter_object_versions(photos) if row.key == "a" and row.is_delete_marker)
    assert "Undelete" in visitor.get("/buckets/photos/versions").text
    done(visitor.post("/buckets/photos/versions/delete", {"key": "a", "version": marker.version_id, "marker": "1"}))
    assert [row.key for row in store.iter_objects(photos)] == ["a", "c"]


def test_an_earlier_version_is_made_the_current_one(visitor: Visitor, store: Store, photos: str) -> None:
    store.put_bucket_versioning(photos, Versioning.ENABLED)
    first = store.put_object(photos, "cat", b"first", metadata={"color": "grey"})
    store.put_object(photos, "cat", b"second")
    done(visitor.post("/buckets/photos/versions/restore", {"key": "cat", "version": first.version_id}))
    with store.get_object(photos, "cat") as found:
        assert (found.read(), found.metadata) == (b"first", {"color": "grey"})
    assert len(list(store.iter_object_versions(photos))) == 3


def test_a_download_is_a_file_and_goes_on_where_it_was_broken_off(visitor: Visitor, store: Store, photos: str) -> None:
    store.put_object(photos, 'a/käse "1".html', b"<script>0123456789</script>", content_type="text/html")
    path = "/buckets/photos/object/download?key=a/k%C3%A4se%20%221%22.html"
    answer = visitor.get(path)
    assert answer.data == b"<script>0123456789</script>"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["Content-Disposition"] == (
        "attachment; filename=\"k_se _1_.html\"; filename*=UTF-8''k%C3%A4se%20%221%22.html"
    )
    part = visitor.get(path, headers={"Range": "bytes=8-10", "If-Range": answer.headers["ETag"]})
    assert (part.status_code, part.data, part.headers["Content-Range"]) == (206, b"012", "bytes 8-10/27")
    whole = visitor.get(path, headers={"Range": "bytes=8-10", "If-Range": '"another"'})
    assert (whole.status_code, len(whole.data)) == (200, 27)
    assert visitor.get(path, headers={"Range": "bytes=-2"}).data == b"t>"
    assert visitor.get(path, headers={"Range": "bytes=27-"}).status_code == 416
    head = visitor.client.head(path, base_url="http://localhost/console/")
    assert (head.status_code, head.headers["Content-Length"]) == (200, "27")


def test_a_link_that_is_shared_works_at_the_s3_port() -> None:
    with bleepstore.open() as store, live_server(store) as served:
        store.put_credential(ROOT, SECRET)
        store.create_bucket("photos")
        store.put_object("photos", "käse & wein", b"shared")
        config = AppConfig(public_endpoint=served.url)
        visitor = Visitor(Client(Console(store, config)))
        visitor.sign_in()
        text = visitor.post("/buckets/photos/object/share?key=k%C3%A4se%20%26%20wein", {"expires": "3600"}).text
        link = re.search(r"data-select>([^<]*)<", text)
        assert link is not None
        with urlopen(html.unescape(link[1]), timeout=30) as answer:
            assert answer.read() == b"shared"
    assert "X-Amz-Expires=3600" in link[1]


def test_tags_metadata_retention_and_hold_are_set(visitor: Visitor, store: Store) -> None:
    store.create_bucket("vault", object_lock=True)
    store.put_object("vault", "deed", b"deed", content_type="text/plain", metadata={"a": "1"}, tags={"t": "1"})
    path = "/buckets/vault/object/{}?key=deed"
    done(visitor.post(path.format("tags"), {"tags": "city = Oslo\r\nkind=harbour = port\r\n"}))
    assert store.get_object_tags("vault", "deed") == {"city": "Oslo", "kind": "harbour = port"}
    etag = store.head_object("vault", "deed").etag
    fields = {"etag": etag, "content_type": "text/x-deed", "metadata": "b = 2"}
    done(visitor.post(path.format("metadata"), fields))
    version = store.head_object("vault", "deed").version
    assert (version.content_type, version.metadata, version.tags) == ("text/x-deed", {"b": "2"}, {
        "city": "Oslo", "kind": "harbour = port"
    })  # fmt: skip
    assert visitor.post(path.format("metadata"), {**fields, "etag": "0" * 32}).status_code == 412
    done(visitor.post(path.format("retention"), {"mode": "GOVERNANCE", "until": "2040-01-31"}))
    assert store.get_object_retention("vault", "deed").until.isoformat() == "2040-01-31T00:00:00+00:00"
    assert visitor.post(path.format("retention"), {"mode": "GOVERNANCE", "until": "soon"}).status_code == 400
    done(visitor.post(path.format("hold"), {"hold": "on"}))
    assert store.get_object_legal_hold("vault", "deed") is True
    version_id = store.head_object("vault", "deed").version.version_id
    locked = visitor.post("/buckets/vault/object/delete?key=deed&version=" + version_id)
    assert locked.status_code == 403
    assert "object lock" in locked.text


def test_metadata_that_no_line_can_have_stays_as_it_is(visitor: Visitor, store: Store, photos: str) -> None:
    odd = {"a": "one\nb = two", "spaces": "  x ", "d=e": "f", "none": ""}
    version = store.put_object(photos, "cat", b"a cat", metadata={"color": "grey", **odd})
    page = visitor.get("/buckets/photos/object?key=cat").text
    shown = page.partition('<textarea id="metadata"')[2].partition(">")[2].partition("</textarea>")[0]
    assert shown.split("\n") == ["color = grey", "none = ", ""]
    fields = {"etag": version.etag, "metadata": shown.replace("grey", "black")}
    done(visitor.post("/buckets/photos/object/metadata?key=cat", fields))
    assert dict(store.head_object(photos, "cat").version.metadata) == {"color": "black", **odd}


def test_a_copy_onto_itself_loses_neither_encryption_nor_class_nor_list(visitor: Visitor, store: Store) -> None:
    store.create_bucket("safe", ownership=ObjectOwnership.OBJECT_WRITER)
    store.delete_public_access_block("safe")
    store.put_bucket_versioning("safe", Versioning.ENABLED)
    first = store.put_object(
        "safe", "deed", b"deed", encryption=NamedKey(), storage_class="STANDARD_IA", acl=CannedAcl.PUBLIC_READ
    )
    fields = {"etag": first.etag, "metadata": "a = 1"}
    done(visitor.post("/buckets/safe/object/metadata?key=deed", fields))
    done(visitor.post("/buckets/safe/versions/restore", {"key": "deed", "version": first.version_id}))
    for row in store.iter_object_versions("safe"):
        version = store.head_object("safe", "deed", version_id=row.version_id).version
        assert version.encryption is not None
        assert (version.encryption.kind, version.storage_class) == (EncryptionKind.NAMED, "STANDARD_IA")
        assert version.attributes.grants == first.attributes.grants


def test_an_archived_object_says_so_and_is_restored(visitor: Visitor, store: Store, photos: str) -> None:
    store.put_object(photos, "old", b"old", storage_class="GLACIER")
    assert "No preview:" in visitor.get("/buckets/photos/object?key=old").text
    done(visitor.post("/buckets/photos/object/thaw?key=old", {"days": "2"}))
    assert "<pre" in visitor.get("/buckets/photos/object?key=old").text


@pytest.mark.parametrize(
    ("name", "document", "part"),
    [
        ("policy", json.dumps({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::photos/*", "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}},
        }]}), "192.0.2.0/24"),
        ("lifecycle", "<LifecycleConfiguration><Rule><ID>&lt;x&gt;</ID><Filter/><Status>Enabled</Status><Expiration>"
         "<Days>3</Days></Expiration></Rule></LifecycleConfiguration>", "<Days>3</Days>"),
        ("cors", "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
         "</CORSRule></CORSConfiguration>", "<AllowedOrigin>*</AllowedOrigin>"),
        ("website", "<WebsiteConfiguration><IndexDocument><Suffix>i.html</Suffix></IndexDocument>"
         "</WebsiteConfiguration>", "<Suffix>i.html</Suffix>"),
    ],
    ids=lambda value: value if len(value) < 12 else "",
)  # fmt: skip
def test_a_document_is_shown_as_it_may_be_saved_again(
    visitor: Visitor, photos: str, name: str, document: str, part: str
) -> None:
    path = f"/buckets/photos/settings/{name}"
    assert done(visitor.post(path, {"do": "save", "document": document})).endswith(f"?done=settings_saved#{name}")
    shown = shown_document(visitor, name)
    assert part in shown
    done(visitor.post(path, {"do": "save", "document": shown}))
    assert shown_document(visitor, name) == shown
    refused = visitor.post(path, {"do": "save", "document": "<no"})
    assert refused.status_code == 400
    assert "Malformed" in refused.text
    assert "&lt;no</textarea>" in refused.text
    assert shown_document(visitor, name) == shown
    done(visitor.post(path, {"do": "remove"}))
    assert shown_document(visitor, name) == ""


def shown_document(visitor: Visitor, name: str) -> str:
    text = visitor.get("/buckets/photos/settings").text
    found = re.search(rf'<textarea id="{name}_text"[^>]*>([^<]*)</textarea>', text)
    assert found is not None
    return html.unescape(found[1])


def test_settings_are_forms(visitor: Visitor, store: Store, photos: str) -> None:
    def save(section: str, **fields: Any) -> None:
        done(visitor.post(f"/buckets/photos/settings/{section}", {"do": "save", **fields}))

    save("versioning", versioning="Enabled")
    save("lock", mode="GOVERNANCE", days="3")
    save("ownership", ownership="BucketOwnerPreferred")
    save("block", block_public_acls="on")
    save("encryption", encryption="named", key_id="")
    save("tags", tags="team = blue")
    save("quota", max_bytes="1000000", max_objects="")
    found = store.get_bucket("photos")
    assert found.versioning is Versioning.ENABLED
    settings = found.settings
    assert settings.object_lock is not None
    assert settings.object_lock.default is not None
    assert settings.object_lock.default.days == 3
    assert settings.ownership == "BucketOwnerPreferred"
    assert settings.public_access_block is not None
    assert settings.public_access_block.block_public_acls
    assert not settings.public_access_block.block_public_policy
    assert settings.encryption is not None
    assert settings.tags == {"team": "blue"}
    assert store.list_quotas()[0].quota.max_bytes == 1_000_000
    assert visitor.get("/buckets/photos/settings").status_code == 200
    done(visitor.post("/buckets/photos/settings/quota", {"do": "remove"}))
    assert not store.list_quotas()


def test_notifications_are_saved_and_removed(visitor: Visitor, photos: str) -> None:
    document = (
        "<NotificationConfiguration><EventBridgeConfiguration></EventBridgeConfiguration></NotificationConfiguration>"
    )
    answer = visitor.post("/buckets/photos/settings/notification", {"do": "save", "document": document})
    assert answer.status_code in (303, 400)
    done(visitor.post("/buckets/photos/settings/notification", {"do": "remove"}))


def test_access_is_explained_for_me_anybody_and_a_user(visitor: Visitor, store: Store, photos: str) -> None:
    store.users.add("reader")
    path = "/buckets/photos/settings?action=s3:GetObject&key=cat&who={}&user={}"
    assert "is allowed to" in visitor.get(path.format("me", "")).text
    anybody = visitor.get(path.format("anybody", "")).text
    assert "The bucket has no policy." in anybody
    assert '<strong class="break">anybody</strong>' in anybody
    assert '<span class="badge bad">denied</span>' in anybody
    assert "No policy of the user allows it" in visitor.get(path.format("user", "reader")).text
    assert visitor.get(path.format("user", "nobody")).status_code == 404


def test_users_get_policies_and_keys_whose_secret_is_shown_once(visitor: Visitor, store: Store) -> None:
    assert done(visitor.post("/users", {"name": "ada"})) == "/users/ada?done=user_added"
    done(visitor.post("/users/ada/canned", {"canned": "readonly", "buckets": "photos logs/2026"}))
    assert "logs/2026*" in store.users.get_policy("ada", "readonly")
    done(visitor.post("/users/ada/policies", {"policy": "own", "document": store.users.get_policy("ada", "readonly")}))
    assert visitor.post("/users/ada/policies", {"policy": "bad", "document": "{"}).status_code == 400
    made = visitor.post("/users/ada/keys").text
    secret = re.search(r'id="made_secret">([^<]+)<', made)
    assert secret is not None
    (key,) = [one for one in store.list_credentials() if one.user is not None]
    assert key.secret_key == secret[1]
    assert secret[1] not in visitor.get("/users/ada").text
    done(visitor.post("/keys/change", {"access_key": key.access_key, "do": "disable", "user": "ada"}))
    assert store.get_credential(key.access_key) is None
    done(visitor.post("/keys/change", {"access_key": key.access_key, "do": "enable", "user": "ada"}))
    enabled = store.get_credential(key.access_key)
    assert enabled is not None
    assert enabled.user is not None
    assert enabled.secret_key == key.secret_key
    done(visitor.post("/users/ada/policies", {"policy": "own", "do": "remove"}))
    done(visitor.post("/users/ada/remove"))
    assert not store.users.list()
    assert visitor.get("/users/ada").status_code == 404


def test_quotas_jobs_status_and_cluster(visitor: Visitor, store: Store, photos: str) -> None:
    done(visitor.post("/quotas", {"scope": "account", "name": store.owner.id, "max_objects": "5"}))
    assert "0 / 5" in visitor.get("/quotas").text
    assert visitor.post("/quotas", {"scope": "bucket", "name": "photos", "max_bytes": "many"}).status_code == 400
    done(visitor.post("/quotas", {"scope": "account", "name": store.owner.id, "do": "remove"}))
    ann = store.users.add("ann")
    done(visitor.post("/quotas", {"scope": "user", "name": ann.arn, "max_objects": "7"}))
    assert "0 / 7" in (shown := visitor.get("/quotas").text)
    assert ann.arn in shown
    done(visitor.post("/quotas", {"scope": "user", "name": ann.arn, "do": "remove"}))
    assert visitor.post("/quotas", {"scope": "user", "name": "ann", "max_objects": "7"}).status_code == 400
    assert done(visitor.post("/jobs", {"job": "garbage"})) == "/jobs?done=job_ran"
    assert visitor.post("/jobs", {"job": "no-such-job"}).status_code == 400
    figures = visitor.get("/status/figures").get_json()
    assert figures["shown"] == {"is_ready": "ready", "jobs_failed": "0", "damaged_reads": "0"}
    assert figures["counters"] == {}  # nobody counts here
    assert visitor.get("/status").status_code == 200
    assert "This store is on one node" in visitor.get("/cluster").text


def test_the_members_of_a_cluster_are_shown() -> None:
    with open_nodes() as nodes, contextlib.ExitStack() as stack:
        leader, follower, _other = [stack.enter_context(nodes.open_at(one)) for one in nodes.cluster.members.values()]
        leader.put_credential(ROOT, SECRET)
        shown = {}
        for name, store in (("leader", leader), ("follower", follower)):
            visitor = Visitor(Client(Console(store)))
            assert visitor.sign_in().status_code == 303
            shown[name] = visitor.get("/cluster").text
        for text in shown.values():
            assert "takes part" in text
            assert all(member in text for member in nodes.cluster.ids)
        assert '<dd class="break">follower</dd>' in shown["follower"]
        assert ">unknown<" in shown["follower"], "how far the others are"
        assert ">unknown<" not in shown["leader"]


# -- previews


def preview(visitor: Visitor, store: Store, key: str, data: bytes, content_type: str | None = None) -> str:
    store.put_object("photos", key, data, content_type=content_type)
    text = visitor.get("/buckets/photos/object", query_string={"key": key}).text
    found = re.search(r'<section class="card" aria-labelledby="preview_title">(.*?)</section>', text, re.DOTALL)
    assert found is not None
    return found[1]


def test_texts_and_tables_are_escaped_and_bounded(visitor: Visitor, store: Store, photos: str) -> None:
    hostile = "<script>alert(1)</script>"
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in preview(visitor, store, "a.html", hostile.encode(), "text/html")
    table = preview(visitor, store, "a.csv", f"{hostile},b\n<img src=x onerror=alert(1)>,2\n".encode())
    assert "<td>&lt;img src=x onerror=alert(1)&gt;</td>" in table
    long = preview(visitor, store, "long.csv", b"a,b\n" * 5000)
    assert long.count("<tr>") == MAX_ROWS + 1
    assert "This is the beginning of it." in long
    assert preview(visitor, store, "a.tsv", b"a\tb\n1\t2\n").count("<td>") == 2
    rows = json.dumps([{"name": hostile, "n": 1}, {"name": "b", "more": {"x": 1}}]).encode()
    assert "<td>{&#34;x&#34;: 1}</td>" in preview(visitor, store, "a.json", rows)
    assert "&#34;a&#34;: 1" in preview(visitor, store, "b.json", b'{"a": 1}')
    for broken in (b"[" * 100_000, b"{", b"[1, 2]", b"[]"):
        assert "<pre" in preview(visitor, store, "c.json", broken)
    for half in (rb'"\ud800"', rb'[{"\ud800": "\udfff"}]'):  # of a surrogate pair
        assert "?" in preview(visitor, store, "d.json", half)
    deep = b"[" * 400 + b"1," * 100_000 + b"1" + b"]" * 400
    assert "This is the beginning of it." in preview(visitor, store, "deep.json", deep)
    cut = preview(visitor, store, "long.txt", "ä".encode() * MAX_TEXT)
    assert "This is the beginning of it." in cut
    assert "There is no preview" in preview(visitor, store, "bytes", bytes(range(256)))
    assert "has no bytes" in preview(visitor, store, "empty", b"")
    assert "<pre" in preview(visitor, store, "quotes.csv", b'a,b\n"' + b"x" * 300_000)


def test_images_are_of_types_that_hold_no_script(visitor: Visitor, store: Store, photos: str) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    for content_type in ("image/svg+xml", "image/svg+xml; charset=utf-8", "text/html", "application/xhtml+xml"):
        assert "&lt;script&gt;" in preview(visitor, store, "a.svg", svg, content_type)
        assert visitor.get("/buckets/photos/object/image?key=a.svg").status_code == 404
    # What says that it is an image is sent as one, whatever it is.
    assert "<img" in preview(visitor, store, "a.png", svg, "image/png")
    answer = visitor.get("/buckets/photos/object/image?key=a.png")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert "<img" in preview(visitor, store, "b.JPG", b"\xff\xd8\xff")


def test_a_pdf_is_opened_at_the_origin_of_s3(visitor: Visitor, store: Store, photos: str) -> None:
    assert "Open the PDF" in preview(visitor, store, "a.pdf", b"%PDF-1.7")
    answer = visitor.get("/buckets/photos/object/pdf?key=a.pdf")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("http://localhost:9000/photos/a.pdf?")
    assert "response-content-type=application%2Fpdf" in answer.headers["Location"]


# -- the documents of the console itself


def test_each_page_carries_what_keeps_others_out(visitor: Visitor, photos: str) -> None:
    for path in ("/buckets", "/buckets/photos", "/sign-in", "/no-such-page", "/users"):
        headers = visitor.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"


def test_no_template_has_scripts_or_styles_of_its_own() -> None:
    templates = resources.files("bleepstore_server.console").joinpath("templates")
    for file in templates.iterdir():
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]* src=)|\|safe", text), file.name


def test_every_text_is_used_and_no_template_has_one_of_its_own() -> None:
    package = resources.files("bleepstore_server.console")
    texts = tomllib.loads(package.joinpath("texts.toml").read_text(encoding="utf-8"))
    sources = [file for folder in ("templates", "static", ".") for file in package.joinpath(folder).iterdir()]
    used = "\n".join(
        file.read_text(encoding="utf-8") for file in sources if file.name.endswith((".html", ".js", ".py"))
    )
    chosen = {"notification", "website", *texts["canned"], *texts["failure"]}  # by a name that is no text of a file
    for table in [texts, *(one for one in texts.values() if isinstance(one, dict))]:
        for name in table.keys() - chosen:
            assert re.search(rf"\b{name.removeprefix('theme_')}\b", used), name
    templates = [file for file in sources if file.name.endswith(".html")]
    for file in templates:
        bare = re.sub(r"{%.*?%}|{{.*?}}|<[^>]*>|\s|[–·/:]", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not re.search(r"[A-Za-z]{3}", bare.replace("&nbsp;", "")), (file.name, bare)


def test_assets_are_kept_by_browsers_until_they_change(visitor: Visitor) -> None:
    text = visitor.get("/buckets").text
    urls = re.findall(r'(?:src|href)="/console(/static/[^"]+)"', text)
    assert len(urls) >= 3
    for url in urls:
        answer = visitor.get(url)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
    assert "immutable" not in visitor.get("/static/other/console.js").headers["Cache-Control"]
    assert visitor.get("/static/other/../app.py").status_code == 404


def test_documents_are_indented_by_their_elements() -> None:
    document = b'<?xml version="1.0"?>\n<A xmlns="u"><B><C>1 &lt; 2</C><D/><E></E></B></A>'
    assert indented(document) == '<A xmlns="u">\n  <B>\n    <C>1 &lt; 2</C>\n    <D/>\n    <E></E>\n  </B>\n</A>'
