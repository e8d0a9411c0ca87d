"""Nobody may do more in the console than over S3: the store decides for the key that signed in."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from werkzeug.test import Client

from bleepstore import CannedPolicy, Owner, Store, Versioning
from bleepstore_server.console.app import Console
from bleepstore_server.console.routes import ROUTES
from tests.console.conftest import MOUNTED, Visitor

READER, OTHER = ("READER", "reader's secret"), ("OTHER", "other's secret")
#: May see and read what is below one prefix of one bucket, and write nothing.
NARROW = CannedPolicy.READONLY.document(["photos/public/"])


@pytest.fixture(autouse=True)
def filled(store: Store) -> None:
    store.create_bucket("photos")
    store.put_bucket_versioning("photos", Versioning.ENABLED)
    store.put_object("photos", "public/cat", b"a cat")
    store.put_object("photos", "secret/plan", b"the plan")
    store.users.add("reader")
    store.users.put_policy("reader", "narrow", NARROW)
    store.put_credential(*READER, user="reader")
    store.put_credential(*OTHER, owner=Owner("other-account", "other"))


@pytest.fixture
def reader(new_console: Callable[..., Console]) -> Visitor:
    visitor = Visitor(Client(new_console()))
    assert visitor.sign_in(*READER).status_code == 303
    return visitor


def test_a_user_sees_what_its_policy_lets_it_see(reader: Visitor) -> None:
    assert "You may not list buckets" in reader.get("/buckets").text
    refused = reader.get("/buckets/photos")
    assert refused.status_code == 403
    assert 'href="/console/buckets/photos?prefix=public/"' in refused.text  # the way on
    assert 'name="prefix"' in refused.text
    assert 'name="prefix"' in reader.get("/buckets/photos?prefix=secret/").text
    assert reader.get("/buckets/nowhere").status_code == 404
    listing = reader.get("/buckets/photos?prefix=public/")
    assert listing.status_code == 200
    assert "public/cat" in listing.text
    assert 'id="upload"' not in listing.text  # what it may not do is not offered
    assert reader.get("/buckets/photos/object?key=public/cat").status_code == 200
    assert reader.get("/buckets/photos/object/download?key=public/cat").data == b"a cat"


@pytest.mark.parametrize(
    "path",
    [
        "/buckets/photos/object?key=secret/plan", "/buckets/photos/object/download?key=secret/plan",
        "/buckets/photos/object/image?key=secret/plan", "/buckets/photos/object/pdf?key=secret/plan",
        "/buckets/photos?prefix=secret/", "/buckets/photos/versions", "/buckets/photos/uploads",
        "/buckets/photos/settings", "/buckets/photos/usage",
        "/users", "/users/reader", "/quotas", "/status", "/status/figures", "/jobs", "/cluster",
    ],
)  # fmt: skip
def test_a_user_does_not_see_the_rest(reader: Visitor, path: str) -> None:
    answer = reader.get(path)
    assert answer.status_code == 403
    assert "the plan" not in answer.text


FORMS = [
    ("/buckets", {"bucket": "mine"}),
    ("/buckets/photos/remove", {}),
    ("/buckets/photos/folders?prefix=public/", {"name": "new"}),
    ("/buckets/photos/folder/delete?key=public/", {}),
    ("/buckets/photos/delete?prefix=public/", {"key": "public/cat"}),
    ("/buckets/photos/versions/delete", {"key": "public/cat", "version": "null"}),
    ("/buckets/photos/versions/restore", {"key": "public/cat", "version": "null"}),
    ("/buckets/photos/uploads/abort", {"key": "public/cat", "upload": "0" * 52}),
    ("/buckets/photos/object/share?key=secret/plan", {"expires": "3600"}),
    ("/buckets/photos/object/tags?key=public/cat", {"tags": "a = b"}),
    ("/buckets/photos/object/metadata?key=public/cat", {"etag": "c1d0e44b09d5ac52f90f463fe410fc88"}),
    ("/buckets/photos/object/retention?key=public/cat", {"mode": "GOVERNANCE", "until": "2040-01-01"}),
    ("/buckets/photos/object/hold?key=public/cat", {"hold": "on"}),
    ("/buckets/photos/object/thaw?key=public/cat", {"days": "1"}),
    ("/buckets/photos/object/delete?key=public/cat", {}),
    *(
        (f"/buckets/photos/settings/{name}", {"do": do, "versioning": "Suspended", "encryption": "store", "days": "1",
         "mode": "GOVERNANCE", "ownership": "ObjectWriter", "document": "{}", "max_bytes": "1"})
        for name in ("versioning", "encryption", "ownership", "block", "lock", "tags", "quota", "policy", "lifecycle",
                     "cors", "notification", "website")
        for do in ("save", "remove")
    ),
    ("/users", {"name": "mallory"}),
    ("/users/reader/remove", {}),
    ("/users/reader/policies", {"policy": "more", "document": CannedPolicy.ADMIN.document()}),
    ("/users/reader/canned", {"canned": "admin"}),
    ("/users/reader/keys", {}),
    ("/keys", {}),
    ("/keys/change", {"access_key": "ROOT", "do": "disable"}),
    ("/quotas", {"scope": "bucket", "name": "photos", "max_bytes": "1"}),
    ("/jobs", {"job": "garbage"}),
]  # fmt: skip


def test_the_list_of_forms_is_complete() -> None:
    """A new form is tried too."""
    tried = {path.partition("?")[0] for path, _ in FORMS}
    given = {"<bucket>": "photos", "<name>": "reader", "<section>": "policy"}
    for route in ROUTES:
        if route.method == "POST" and route.function is not None and not route.streams:
            path = route.path
            for name, value in given.items():
                path = path.replace(name, value)
            assert path in tried


def state_of(store: Store) -> object:
    versions = [
        (row.key, row.version_id, dict(store.get_object_tags("photos", row.key, version_id=row.version_id)))
        for row in store.iter_object_versions("photos")
    ]
    users = [(user.name, dict(user.policies)) for user in store.users.list()]
    return (
        list(store.iter_buckets()), versions, users, store.list_credentials(), store.list_quotas()
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "fields"), FORMS, ids=lambda value: value if isinstance(value, str) else value.get("do", "")
)
def test_no_form_does_what_the_key_may_not(reader: Visitor, store: Store, path: str, fields: dict[str, str]) -> None:
    before = state_of(store)
    answer = reader.post(path, fields)
    assert answer.status_code in (400, 403, 404, 412), answer.text
    assert answer.status_code != 400 or "settings" in path
    assert state_of(store) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/buckets/photos/objects?key=public/dog"),
        ("POST", "/buckets/photos/uploads/begin?key=public/dog"),
        ("PUT", f"/buckets/photos/uploads/{'0' * 52}/1?key=public/dog"),
        ("POST", f"/buckets/photos/uploads/{'0' * 52}/complete?key=public/dog"),
        ("DELETE", f"/buckets/photos/uploads/{'0' * 52}?key=public/dog"),
    ],
)
def test_no_upload_does_what_the_key_may_not(reader: Visitor, store: Store, method: str, path: str) -> None:
    answer = reader.send(method, path, b'[{"number": 1, "etag": "a"}]')
    assert (answer.status_code, answer.get_json()["code"]) == (403, "AccessDenied")
    assert [row.key for row in store.iter_objects("photos")] == ["public/cat", "secret/plan"]


def test_a_policy_that_is_taken_away_counts_at_once(reader: Visitor, store: Store) -> None:
    store.users.remove_policy("reader", "narrow")
    assert reader.get("/buckets/photos/object?key=public/cat").status_code == 403


def test_a_user_whose_policy_denies_by_address_is_denied(reader: Visitor, store: Store) -> None:
    """Conditions of policies hear of this request what they would of one of S3."""
    deny = {
        "Effect": "Deny",
        "Action": "s3:*",
        "Resource": "*",
        "Condition": {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    store.users.put_policy("reader", "by-address", document)
    path = "/buckets/photos/object?key=public/cat"
    outside = {"REMOTE_ADDR": "198.51.100.1"}
    assert reader.get(path, environ_overrides=outside).status_code == 403
    assert reader.get(path, environ_overrides={"REMOTE_ADDR": "192.0.2.7"}).status_code == 200


def test_another_account_sees_nothing_of_this_one(new_console: Callable[..., Console]) -> None:
    other = Visitor(Client(new_console()))
    other.sign_in(*OTHER)
    assert "photos" not in other.get("/buckets").text
    assert other.get("/buckets/photos?prefix=public/").status_code == 403
    assert other.get("/users").status_code == 403  # the root of another account is no administrator of the store
    assert other.post("/keys").status_code == 403


def test_the_menu_offers_the_administrators_pages_to_the_administrator(visitor: Visitor, reader: Visitor) -> None:
    assert f'href="{MOUNTED}/users"' in visitor.get("/buckets").text
    assert f'href="{MOUNTED}/users"' not in reader.get("/buckets").text


def test_the_administrator_cannot_take_away_the_key_it_signed_in_with(visitor: Visitor, store: Store) -> None:
    assert visitor.post("/keys/change", {"access_key": "ROOT", "do": "remove"}).status_code == 400
    assert store.get_credential("ROOT") is not None
