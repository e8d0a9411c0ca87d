"""The admin API of a real server with two workers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bleepstore_server.admin.rows import Who
from bleepstore_server.admin.table import ROWS
from tests.admin.signing import Admin, signed_headers
from tests.admin.test_listener import admin_url, ask
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY, Served, serve, start

__all__ = ["serve"]

TOKEN = "a-token-of-enough-characters"
ADMIN_ROWS = [row for row in ROWS if row.who is Who.ADMIN]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = start(tmp_path_factory.mktemp("api") / "data", "--workers", "2", environ={"BLEEPSTORE_ADMIN_TOKEN": TOKEN})
    yield server
    server.end()


@pytest.fixture
def admin(served: Served) -> Admin:
    return Admin(served)


def becomes(found: Callable[[], Any], wanted: Any) -> bool:
    """What the workers tell each other takes a moment."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found() == wanted:
            return True
        time.sleep(0.05)
    return False


def test_buckets_are_made_counted_limited_and_deleted(admin: Admin, served: Served) -> None:
    assert admin.ask("POST", "buckets", {"name": "photos", "object_lock": True})[0] == 201
    client = served.client()
    client.put_object(Bucket="photos", Key="k", Body=b"12345")
    found = admin.do("GET", "buckets/photos")
    assert found["usage"] == {"objects": 1, "bytes": 5}
    assert (found["bucket"]["versioning"], found["bucket"]["object_lock"]) == ("Enabled", True)
    assert found["quota"] is None
    admin.do("PUT", "buckets/photos/quota", {"max_bytes": 10})
    admin.do("PUT", "accounts/alice/quota", {"max_objects": 1})
    assert [(one["scope"], one["name"]) for one in admin.do("GET", "quotas")["quotas"]] == [
        ("account", "alice"),
        ("bucket", "photos"),
    ]
    admin.do("DELETE", "buckets/photos/quota")
    admin.do("DELETE", "accounts/alice/quota")
    ann = admin.do("POST", "users", {"name": "ann", "account": "alice"})
    admin.do("PUT", "users/ann/quota?account=alice", {"max_bytes": 7})
    trust = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}]}
    role = admin.do("PUT", "roles/r?account=alice", {"trust_policy": trust})
    admin.do("PUT", "roles/r/quota?account=alice", {"max_objects": 7})
    found = [(one["scope"], one["name"], one["quota"]) for one in admin.do("GET", "quotas")["quotas"]]
    assert found == [
        ("user", role["arn"], {"max_bytes": None, "max_objects": 7}),
        ("user", ann["arn"], {"max_bytes": 7, "max_objects": None}),
    ]
    admin.do("DELETE", "roles/r/quota?account=alice")
    admin.do("DELETE", "users/ann/quota?account=alice")
    assert admin.do("GET", "quotas")["quotas"] == []
    assert admin.ask("PUT", "users/nobody/quota", {"max_bytes": 1})[0] == 404
    admin.do("DELETE", "roles/r?account=alice")
    admin.do("DELETE", "users/ann?account=alice")
    assert admin.ask("DELETE", "buckets/photos")[0] == 409
    status, refused = admin.ask("GET", "buckets/none")
    assert (status, refused["error"]["code"]) == (404, "NoSuchBucket")
    client.close()


def test_pages_are_bounded_and_follow_each_other(admin: Admin) -> None:
    for number in range(3):
        admin.do("POST", "buckets", {"name": f"page-{number}"})
        admin.do("POST", "users", {"name": f"page-{number}"})
        admin.do("POST", "keys", {"access_key": f"PAGE{number}", "user": f"page-{number}"})
    for what, after in (("buckets", "page-"), ("users", "bleepstore/page-"), ("keys", "PAGE")):
        names: list[str] = []
        query = f"?limit=2&after={after}"
        while True:
            page = admin.do("GET", f"{what}{query}")
            found = page[what]
            assert len(found) <= 2
            names += [one.get("name") or one["access_key"] for one in found]
            if page["next"] is None:
                break
            query = f"?limit=2&after={page['next']}"
        assert [name for name in names if "age-" in name or "PAGE" in name][:3] == names[:3]
        assert len(set(names)) == len(names)
    for query in ("limit=0", "limit=1001", "limit=x", "limit=-1", "limit=9" * 30, "size=1"):
        assert admin.ask("GET", f"users?{query}")[0] == 400, query


def test_users_and_keys_count_at_once(admin: Admin, served: Served) -> None:
    admin.do("POST", "buckets", {"name": "shared"})
    made = admin.do("POST", "users", {"name": "ann", "canned": [{"policy": "readonly", "on": ["shared"]}]})
    assert (made["arn"], list(made["policies"])) == ("arn:aws:iam::bleepstore:user/ann", ["readonly"])
    key = admin.do("POST", "keys", {"user": "ann"})
    client = served.client(key["access_key"], key["secret_key"])
    assert "Contents" not in client.list_objects_v2(Bucket="shared")
    assert "secret" not in json.dumps(admin.do("GET", f"keys/{key['access_key']}"))
    assert admin.do("POST", f"keys/{key['access_key']}/disable")["enabled"] is False
    assert admin.ask("POST", f"keys/{key['access_key']}/rotate", {})[0] == 409
    assert admin.do("POST", f"keys/{key['access_key']}/enable")["enabled"] is True
    rotated = admin.do("POST", f"keys/{key['access_key']}/rotate", {"secret_key": "new-secret"})
    assert rotated["secret_key"] == "new-secret"
    assert admin.do("GET", f"keys/{key['access_key']}")["user"] == "ann", "it stays the user's"
    statement = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": statement}
    assert admin.do("PUT", "users/ann/policies/more", {"document": policy})["policies"]["more"] == policy
    admin.do("DELETE", "users/ann/policies/more")
    admin.do("PUT", f"keys/{key['access_key']}/rate", {"requests": 5})
    assert admin.do("GET", "rates")["rates"][0]["rate"] == {"requests": 5, "bytes": None}
    admin.do("DELETE", f"keys/{key['access_key']}/rate")
    admin.do("DELETE", "users/ann")
    assert admin.ask("GET", f"keys/{key['access_key']}")[0] == 404
    client.close()


def test_roles_and_their_sessions(admin: Admin) -> None:
    admin.do("POST", "users", {"name": "rob"})
    principal = {"AWS": "arn:aws:iam::bleepstore:user/rob"}
    trust = {"Statement": {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}}
    role = admin.do("PUT", "roles/reader", {"trust_policy": trust, "max_session_seconds": 7200})
    assert role["arn"] == "arn:aws:iam::bleepstore:role/reader"
    assert [one["name"] for one in admin.do("GET", "roles")["roles"]] == ["reader"]
    admin.do("POST", "sessions/revoke", {"role": "reader"})
    assert admin.ask("POST", "sessions/revoke", {"role": "none"})[0] == 404
    assert admin.ask("DELETE", "roles/reader?account=other")[0] == 404
    admin.do("DELETE", "roles/reader")
    assert admin.ask("DELETE", "roles/reader")[0] == 404


def test_jobs_are_listed_paused_and_run_by_whichever_worker(admin: Admin) -> None:
    assert {"garbage", "scrub"} <= {job["name"] for job in admin.do("GET", "jobs")["jobs"]}
    assert admin.do("PUT", "jobs/pause", {"seconds": 60})["paused_until"] is not None
    assert admin.do("GET", "jobs")["paused_until"] is not None
    assert admin.do("DELETE", "jobs/pause")["paused_until"] is None
    assert admin.ask("PUT", "jobs/pause", {"seconds": 10**9})[0] == 400
    assert admin.ask("POST", "jobs/scrub/run")[0] == 202
    assert admin.ask("POST", "jobs/nothing/run")[0] == 404

    def scrubbed() -> bool:
        (scrub,) = (job for job in admin.do("GET", "jobs")["jobs"] if job["name"] == "scrub")
        return scrub["last_run"] is not None and scrub["next_run"] is None

    assert becomes(lambda: all(scrubbed() for _ in range(6)), True), "whichever worker is asked"


def test_the_configuration_has_its_sources_and_no_secret(admin: Admin) -> None:
    text = json.dumps(admin.do("GET", "configuration"))
    assert SECRET_KEY not in text
    assert TOKEN not in text
    found = {one["name"]: one for one in json.loads(text)["settings"]}
    assert (found["workers"]["value"], found["workers"]["source"]) == (2, "--workers")
    assert (found["admin_token"]["value"], found["admin_token"]["source"]) == ("(set)", "BLEEPSTORE_ADMIN_TOKEN")
    assert (found["region"]["value"], found["region"]["source"]) == ("us-east-1", "default")


def test_the_log_level_is_set_in_all_workers(admin: Admin) -> None:
    assert admin.do("GET", "log-level") == {"level": "WARNING"}
    assert admin.do("PUT", "log-level", {"level": "ERROR"}) == {"level": "ERROR"}
    assert {admin.do("GET", "log-level")["level"] for _ in range(6)} == {"ERROR"}
    admin.do("PUT", "log-level", {"level": "WARNING"})
    assert admin.ask("PUT", "log-level", {"level": "LOUD"})[0] == 400


def test_a_profile_shows_the_threads_of_a_worker(admin: Admin) -> None:
    status, headers, body = admin.raw("POST", "profile", b'{"seconds": 1}')
    assert (status, headers.get_content_type()) == (200, "text/plain")
    assert b"bleepstore_server.http1.loop" in body
    assert all(line.rsplit(b" ", 1)[1].isdigit() for line in body.splitlines())
    assert admin.ask("POST", "profile", {"seconds": 61})[0] == 400


def test_a_token_is_as_good_as_a_key(served: Served) -> None:
    assert Admin(served, token=TOKEN).do("GET", "store")["account"] == "bleepstore"
    for token in (TOKEN[:-1], "", "é" * 30):
        assert Admin(served, token=token).ask("GET", "store")[0] in (401, 403)


@pytest.mark.parametrize("row", ADMIN_ROWS, ids=lambda row: f"{row.method} {row.path}")
def test_nobody_asks_without_right(served: Served, admin: Admin, row: Any) -> None:
    """Neither who does not sign, nor who signs wrongly, nor a user or an account without right."""
    path = row.path.removeprefix("/admin/v1/").replace("{", "").replace("}", "")
    if row is ADMIN_ROWS[0]:
        admin.do("POST", "users", {"name": "joe", "canned": [{"policy": "readwrite"}]})
        admin.do("PUT", "users/joe/policies/admin", {"canned": {"policy": "admin", "on": ["photos"]}})
        admin.do("POST", "keys", {"access_key": "JOE", "secret_key": "joe", "user": "joe"})
        admin.do("POST", "keys", {"access_key": "EVE", "secret_key": "eve", "account": "eve"})
        admin.do("POST", "users", {"name": "mal", "account": "eve", "canned": [{"policy": "admin"}]})
        admin.do("POST", "keys", {"access_key": "MAL", "secret_key": "mal", "account": "eve", "user": "mal"})
    assert ask(f"{admin_url(served)}/admin/v1/{path}", row.method)[0] == 401
    for pair in ((ACCESS_KEY, "wrong"), ("NOBODY", "x"), ("JOE", "joe"), ("EVE", "eve"), ("MAL", "mal")):
        assert Admin(served, *pair).ask(row.method, path)[0] == 403, pair


def test_a_user_with_the_policy_admin_is_one_until_it_is_taken_away(served: Served, admin: Admin) -> None:
    admin.do("POST", "users", {"name": "ada", "canned": [{"policy": "admin"}]})
    admin.do("POST", "keys", {"access_key": "ADA", "secret_key": "ada", "user": "ada"})
    ada = Admin(served, "ADA", "ada")
    assert ada.do("GET", "users/ada")["name"] == "ada"
    admin.do("DELETE", "users/ada/policies/admin")
    assert becomes(lambda: ada.ask("GET", "store")[0], 403)


def test_a_session_of_an_administrator_is_none(served: Served) -> None:
    sts = boto3.client(
        "sts", endpoint_url=served.url, aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )  # fmt: skip
    lent = sts.get_session_token()["Credentials"]
    sts.close()
    url = f"{admin_url(served)}/admin/v1/store"
    request = AWSRequest(method="GET", url=url)
    pair = lent["AccessKeyId"], lent["SecretAccessKey"]
    S3SigV4Auth(Credentials(*pair, lent["SessionToken"]), "s3", "us-east-1").add_auth(request)
    status, _headers, body = ask(url, "GET", None, **dict(request.headers.items()))
    assert status == 403
    assert b"AccessDenied" in body


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "buckets", b"", 400),
        ("POST", "buckets", b"{", 400),
        ("POST", "buckets", b"[]", 400),
        ("POST", "buckets", b"null", 400),
        ("POST", "buckets", b'{"name": 5}', 400),
        ("POST", "buckets", b'{"name": "abc", "nme": 1}', 400),
        ("POST", "buckets", b'{"name": "A_b"}', 400),
        ("POST", "buckets", b'{"name": "abc", "object_lock": "yes"}', 400),
        ("POST", "buckets", b'{"name": "' + b"a" * 100_000 + b'"}', 400),
        ("POST", "buckets", b"[" * 100_000, 400),
        ("POST", "buckets", b'{"name": "\\ud800"}', 400),
        ("POST", "buckets", b'{"name": "abc", "account": ""}', 400),
        ("POST", "buckets", b'{"name": "abc", "account": "arn:aws:iam::a:user/b"}', 400),
        ("POST", "buckets", b'{"name": "abc", "account": "65a011a29cdf8ec533ec3d1ccaae921c"}', 403),
        ("POST", "buckets", b'{"name": "A_b", "name": "abc"}', 400),
        ("POST", "users", b'{"name": "\\ud800"}', 400),
        ("POST", "users", b'{"name": "a b"}', 400),
        ("POST", "users", b'{"name": "x", "account": "\\ud800"}', 400),
        ("POST", "users", b'{"name": "x", "account": ""}', 400),
        ("POST", "users", b'{"name": "x", "canned": [{"policy": "root"}]}', 400),
        ("PUT", "users/nobody/policies/p", b'{"document": {}}', 400),
        ("PUT", "users/nobody/policies/p", b"{}", 400),
        ("PUT", "users/nobody/policies/p", b'{"canned": {"policy": "admin"}}', 404),
        ("DELETE", "users/nobody", b"", 404),
        ("DELETE", "users/%F0%9F%98%80", b"", 404),
        ("POST", "keys", b'{"access_key": "a b"}', 400),
        ("POST", "keys", b'{"access_key": "X", "secret_key": "\\ud800"}', 400),
        ("POST", "keys", b'{"access_key": "X", "user": "nobody"}', 404),
        ("POST", "keys/NONE/rotate", b"{}", 404),
        ("POST", "keys/NONE/disable", b"", 404),
        ("PUT", "keys/NONE/rate", b'{"requests": 1}', 404),
        ("PUT", "accounts/a/rate", b"{}", 400),
        ("PUT", "accounts/a/rate", b'{"requests": 0}', 400),
        ("PUT", "accounts/a/quota", b'{"max_bytes": -1}', 400),
        ("PUT", "accounts/a/quota", b'{"max_bytes": 1e400}', 400),
        ("PUT", "accounts/a/quota", b'{"max_bytes": 99999999999999999999}', 400),
        ("PUT", "buckets/none/quota", b'{"max_bytes": 1}', 404),
        ("PUT", "roles/r", b'{"trust_policy": {}}', 400),
        ("PUT", "roles/r", b'{"trust_policy": "x"}', 400),
        ("PUT", "jobs/pause", b'{"seconds": true}', 400),
        ("PUT", "jobs/pause", b'{"seconds": NaN}', 400),
        ("DELETE", "store", b"", 405),
        ("GET", "store?x=1", b"", 400),
        ("GET", "nothing", b"", 404),
        ("GET", "store", b"{}", 400),
    ],
    ids=lambda value: str(value)[:50] if not isinstance(value, int) else None,
)  # fmt: skip
def test_hostile_calls_are_refused_and_change_nothing(
    admin: Admin, method: str, path: str, body: bytes, status: int
) -> None:
    found, _headers, text = admin.raw(method, path, body)
    assert found == status, text
    assert json.loads(text)["error"]["message"]


def test_a_signature_is_of_this_call_alone(served: Served, admin: Admin) -> None:
    url = f"{admin_url(served)}/admin/v1/buckets"
    body = b'{"name": "signed"}'
    headers = signed_headers("POST", url, body, ACCESS_KEY, SECRET_KEY)
    assert ask(url, "POST", b'{"name": "forged"}', **headers)[0] in (401, 403)
    assert ask(f"{url}?limit=1", "GET", None, **headers)[0] == 403
    unsigned = headers | {"x-amz-content-sha256": "UNSIGNED-PAYLOAD", "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    assert ask(url, "POST", body, **unsigned)[0] in (401, 403)
    assert {bucket["name"] for bucket in admin.do("GET", "buckets")["buckets"]}.isdisjoint({"forged", "signed"})


@pytest.mark.slow
def test_calls_are_audited_whether_they_were_allowed_or_not(serve: Callable[..., Served], tmp_path: Path) -> None:
    server = serve("--workers", "2", "--audit-log", str(tmp_path / "audit.log"), "--audit-reads")
    admin = Admin(server)
    admin.do("POST", "users", {"name": "ann"})
    admin.do("POST", "keys", {"access_key": "ANN", "secret_key": "ann", "user": "ann"})
    Admin(server, "ANN", "ann").ask("DELETE", "users/ann")
    ask(f"{admin_url(server)}/admin/v1/users/ann", "DELETE")
    admin.do("GET", "store")
    ask(f"{admin_url(server)}/healthz")
    server.stop()
    text = (tmp_path / "audit.log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line.get("access_key"), line["operation"], line["key"], line["status"]) for line in lines] == [
        (ACCESS_KEY, "POST /admin/v1/users", "/admin/v1/users/ann", 201),
        (ACCESS_KEY, "POST /admin/v1/keys", "/admin/v1/keys/ANN", 201),
        ("ANN", "DELETE /admin/v1/users/{user}", "/admin/v1/users/ann", 403),
        (None, "DELETE /admin/v1/users/{user}", "/admin/v1/users/ann", 401),
        (ACCESS_KEY, "GET /admin/v1/store", "/admin/v1/store", 200),
    ]
