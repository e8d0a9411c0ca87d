"""`serve --create-bucket`, `--seed` and `--init`: what a store is given when its server starts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import bleepstore
from bleepstore import Owner
from bleepstore.errors import NoSuchKey
from bleepstore_server.app_config import ConfigError
from bleepstore_server.beginning import begin
from bleepstore_server.config import load_config
from bleepstore_server.serving import keys_for
from tests.serving.conftest import Served

DECLARED = """
[[accounts]]
id = "alice"
quota = { max_bytes = 1_000_000 }
rate = { requests = 100 }

[[users]]
name = "ann"
path = "/lab/"
quota = { max_bytes = 1000 }
canned = [{ policy = "readonly", on = ["photos"] }]
[users.policies.extra]
Version = "2012-10-17"
Statement = { Effect = "Allow", Action = "s3:GetObject", Resource = "*" }

[[keys]]
access_key = "ANN"
user = "ann"
secret_file = "ann.secret"

[[keys]]
access_key = "ALICE"
account = "alice"
display_name = "Alice"
secret_env = "ALICE_SECRET"

[[roles]]
name = "reader"
[roles.trust_policy]
[roles.trust_policy.Statement]
Effect = "Allow"
Principal = { AWS = "arn:aws:iam::bleepstore:user/lab/ann" }
Action = "sts:AssumeRole"

[[buckets]]
name = "photos"
versioning = "Enabled"
tags = { team = "a" }
quota = { max_objects = 10 }
cors = [{ allowed_origins = ["*"], allowed_methods = ["GET"] }]
public_access_block = {}
[buckets.policy]
Version = "2012-10-17"
Statement = { Effect = "Allow", Principal = "*", Action = "s3:GetObject", Resource = "arn:aws:s3:::photos/*" }

[[buckets]]
name = "ledger"
account = "alice"
object_lock = true
"""


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALICE_SECRET", "alice-secret")
    (tmp_path / "ann.secret").write_text("ann-secret\n")
    (tmp_path / "init.toml").write_text(DECLARED)
    return tmp_path / "init.toml"


def start(store: bleepstore.Store, **settings: str) -> None:
    begin(store, load_config(environ={}, flags={"data": ":memory:", **settings}))


def test_what_a_file_declares_is_there_and_stays_as_often_as_it_is_read(declared: Path) -> None:
    with bleepstore.open() as store:
        start(store, init=str(declared))
        photos = store.get_bucket("photos")
        assert photos.versioning is bleepstore.Versioning.ENABLED
        assert photos.settings.tags == {"team": "a"}
        assert photos.settings.cors is not None
        assert photos.settings.policy is not None
        assert store.get_bucket("ledger").owner.id == "alice"
        assert store.get_bucket_object_lock("ledger") is not None
        assert {key.access_key: key.secret_key for key in store.list_credentials()} == {
            "ANN": "ann-secret",
            "ALICE": "alice-secret",
        }
        ann = store.users.get("ann")
        assert list(ann.policies) == ["readonly", "extra"]
        assert store.list_roles()[0].name == "reader"
        assert [quota.name for quota in store.list_quotas()] == ["alice", "photos", ann.arn]
        assert [limit.name for limit in store.list_rate_limits()] == ["alice"]
        users, keys = store.users.list(), store.list_credentials()
        start(store, init=str(declared))
        assert (store.users.list(), store.list_credentials()) == (users, keys)
        assert store.get_bucket("photos") == photos


def test_what_the_file_does_not_say_stays_as_it_is(declared: Path) -> None:
    with bleepstore.open() as store:
        start(store, init=str(declared))
        store.disable_credential("ALICE")
        store.put_credential("OTHER", "s")
        store.put_bucket_versioning("photos", bleepstore.Versioning.SUSPENDED)
        store.create_bucket("more")
        start(store, init=str(declared))
        assert store.get_credential("ALICE") is None, "a key that was disabled is not accepted again"
        assert store.get_credential("OTHER") is not None
        assert store.get_bucket_versioning("photos") is bleepstore.Versioning.ENABLED
        assert store.head_bucket("more").name == "more"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("i.toml", "[[bucket]]\nname='a'", "there is no 'bucket'; known are accounts, users, keys, roles, buckets"),
        ("i.toml", "[[buckets]]\nname='a'\nversion=1", "there is no 'version'; known are name, account,"),
        ("i.toml", "[[buckets]]\ntags={}", "it is missing @ $.buckets[0].name"),
        ("i.toml", "[[buckets]]\nname=5", "5 is not a text @ $.buckets[0].name"),
        ("i.toml", "[[buckets]]\nname='abc'\nversioning='on'", "'on' is not one of Enabled, Suspended"),
        ("i.toml", "[[buckets]]\nname='abc'\nobject_lock='yes'", "'yes' is not true or false"),
        ("i.toml", "buckets='abc'", "'abc' is not a list @ $.buckets"),
        ("i.toml", "[[buckets]]\nname='A_b'", "the bucket A_b: InvalidBucketName: "),
        ("i.toml", "[[buckets]]\nname='abc'\npolicy={}", "the bucket abc: "),
        ("i.toml", "[[keys]]\naccess_key='A'", "the key A: give one of secret_file, secret_env, secret"),
        ("i.toml", "[[keys]]\naccess_key='A'\nsecret_env='NO_SUCH'", "the environment has no NO_SUCH"),
        ("i.toml", "[[keys]]\naccess_key='A'\nsecret_file='none'", "none cannot be read"),
        ("i.toml", "[[keys]]\naccess_key='A'\nsecret='s'\nuser='joe'", "the key A: "),
        ("i.toml", "[[users]]\nname='a b'", "the user a b: "),
        ("i.toml", "[[accounts]]\nid='a'\nquota={max_bytes=-1}", "the account a: InvalidArgument: A limit is not"),
        ("i.json", "{", "is no JSON"),
        ("i.json", "[" * 100_000, "is no JSON"),
        ("i.toml", "=", "is no TOML"),
        ("i.json", "[]", "[] is not an object"),
        ("i.yaml", "", "has to end in .toml or .json"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with bleepstore.open() as store, pytest.raises(ConfigError) as refused:
        start(store, init=str(tmp_path / name))
    assert said in str(refused.value)


def test_folders_of_a_seed_are_buckets_and_what_is_there_stays(tmp_path: Path) -> None:
    for name in ("photos/2024/cat.html", "photos/a", "empty/"):
        path = tmp_path / "seed" / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_text(name)
    (tmp_path / "seed" / "photos" / "link").symlink_to("a")
    with bleepstore.open() as store:
        start(store, seed=str(tmp_path / "seed"))
        assert [bucket.name for bucket in store.list_buckets().buckets] == ["empty", "photos"]
        assert store.head_object("photos", "2024/cat.html").version.system.content_type == "text/html"
        store.put_object("photos", "a", b"changed since")
        start(store, seed=str(tmp_path / "seed"))
        with store.get_object("photos", "a") as found:
            assert found.read() == b"changed since"
        with pytest.raises(NoSuchKey):
            store.head_object("photos", "link")


def test_what_is_wrong_with_buckets_and_seeds_is_named(tmp_path: Path) -> None:
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / "file").write_text("x")
    with bleepstore.open() as store:
        store.put_credential("ALICE", "s", owner=Owner("alice"))
        store.create_bucket("alices", caller=bleepstore.Caller(Owner("alice")))
        for settings, said in (
            ({"create_bucket": "a"}, "create_bucket: a: "),
            ({"create_bucket": "alices"}, "belongs to alice"),
            ({"seed": str(tmp_path / "none")}, "seed: there is no directory"),
            ({"seed": str(tmp_path / "seed")}, "is in no folder"),
        ):
            with pytest.raises(ConfigError, match=said):
                start(store, **settings)
    with pytest.raises(ConfigError, match="would change the store"):
        load_config(environ={"BLEEPSTORE_CREATE_BUCKET": "a"}, flags={"read_only": "true"})


def test_a_folder_is_given_it_before_the_workers_start(declared: Path, tmp_path: Path) -> None:
    """Keys that are declared need no other one."""
    config = load_config(environ={}, flags={"data": str(tmp_path / "data"), "init": str(declared)})
    _, shown = keys_for(config)
    assert shown.access_key in ("ANN", "ALICE")
    with bleepstore.open(tmp_path / "data") as store:
        assert len(store.list_credentials()) == 2


def test_the_example_of_the_guide_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "howto" / "administer.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"<!-- init -->\n```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "init.toml").write_text(found)
    monkeypatch.setenv("APP_SECRET", "s")
    with bleepstore.open() as store:
        start(store, init=str(tmp_path / "init.toml"))
        assert store.get_credential("APP") is not None
        assert store.get_bucket("photos").versioning is bleepstore.Versioning.ENABLED


@pytest.mark.slow
def test_two_workers_and_a_store_in_memory_begin_with_it(serve: Callable[..., Served], tmp_path: Path) -> None:
    (tmp_path / "seed" / "photos").mkdir(parents=True)
    (tmp_path / "seed" / "photos" / "k").write_text("v")
    (tmp_path / "init.json").write_text(json.dumps({"buckets": [{"name": "photos", "versioning": "Enabled"}]}))
    environ = {"BLEEPSTORE_SEED": str(tmp_path / "seed"), "BLEEPSTORE_INIT": str(tmp_path / "init.json")}
    for arguments in (["--workers", "2"], ["--data", ":memory:"]):
        server = serve("--create-bucket", "one", "--create-bucket", "two", *arguments, environ=environ)
        client = server.client()
        assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == ["one", "photos", "two"]
        assert len(client.list_object_versions(Bucket="photos")["Versions"]) == 1
        client.close()
        assert server.stop() == 0
