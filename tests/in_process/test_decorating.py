"""`in_process` around whatever runs tests, and clients with keys of their own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError

import bleepstore
from bleepstore.errors import StoreError
from bleepstore_server import AppConfig, in_process
from bleepstore_server.clients import open_url

KEYS: Any = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}


def names() -> list[str]:
    return [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]]


def test_a_coroutine_has_a_store_for_each_call_also_where_they_overlap() -> None:
    first, second = asyncio.Event(), asyncio.Event()

    @in_process()
    async def make(name: str, mine: asyncio.Event, other: asyncio.Event) -> list[str]:
        boto3.client("s3").create_bucket(Bucket=name)
        found = names()
        mine.set()
        await other.wait()
        return found

    async def both() -> list[list[str]]:
        return list(await asyncio.gather(make("photos", first, second), make("videos", second, first)))

    assert asyncio.run(both()) == [["photos"], ["videos"]]
    assert make.__name__ == "make"


def test_a_generator_is_a_block_from_its_beginning_to_its_end() -> None:
    @in_process()
    def fixture() -> Iterator[list[str]]:
        boto3.client("s3").create_bucket(Bucket="photos")
        yield names()
        yield names()

    steps = fixture()
    assert next(steps) == ["photos"]
    assert names() == ["photos"]  # a test that the fixture is of
    assert list(steps) == [["photos"]]

    @in_process()
    async def late() -> AsyncIterator[list[str]]:
        boto3.client("s3").create_bucket(Bucket="videos")
        yield names()

    async def items() -> list[list[str]]:
        return [item async for item in late()]

    assert asyncio.run(items()) == [["videos"]]


def test_start_and_stop() -> None:
    block = in_process()
    store = block.start()
    store.create_bucket("photos")
    assert names() == ["photos"]
    block.stop()
    with pytest.raises(StoreError, match="without start"):
        block.stop()
    with pytest.raises(bleepstore.errors.StoreClosed):
        store.list_buckets()


UNITTEST = """
import unittest
import boto3
from bleepstore_server import in_process

MADE_AT_IMPORT = boto3.client(
    "s3", aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1"
)

def names():
    return [bucket["Name"] for bucket in MADE_AT_IMPORT.list_buckets()["Buckets"]]

@in_process(accept_any_key=True)
class Decorated(unittest.TestCase):
    def setUp(self):
        boto3.client("s3").create_bucket(Bucket="set-up")
    def tearDown(self):
        assert "set-up" in names()
    def test_one(self):
        MADE_AT_IMPORT.create_bucket(Bucket="one")
        self.assertEqual(names(), ["one", "set-up"])
    def test_two(self):
        self.assertEqual(names(), ["set-up"])

@in_process(accept_any_key=True)
class Late(unittest.IsolatedAsyncioTestCase):
    async def test_async(self):
        self.assertEqual(names(), [])

class Entered(unittest.TestCase):
    def setUp(self):
        self.store = self.enterContext(in_process(accept_any_key=True))
    def test_one(self):
        self.store.create_bucket("one")
        self.assertEqual(names(), ["one"])
    def test_two(self):
        self.assertEqual(names(), [])

class Started(unittest.TestCase):
    def setUp(self):
        block = in_process(accept_any_key=True)
        self.store = block.start()
        self.addCleanup(block.stop)
    def test_one(self):
        MADE_AT_IMPORT.create_bucket(Bucket="one")
        self.assertEqual(self.store.head_bucket("one").name, "one")
    @in_process(accept_any_key=True)
    def test_two(self):
        self.assertEqual(names(), [])
"""

PLAIN = """
import boto3
import pytest
from bleepstore_server import in_process

def names():
    return [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]]

@in_process()
class TestPlain:
    def setup_method(self):
        boto3.client("s3").create_bucket(Bucket="set-up")
    def teardown_method(self, method):
        assert "set-up" in names()
    def test_one(self):
        boto3.client("s3").create_bucket(Bucket="one")
        assert names() == ["one", "set-up"]
    @pytest.mark.parametrize("n", [1, 2])
    def test_two(self, n, tmp_path):
        assert names() == ["set-up"]

@in_process()
class TestWithout:
    def test_one(self):
        assert names() == []

@in_process()
class TestBroken:
    def setup_method(self):
        raise KeyError("broken")
    def test_one(self):
        raise AssertionError

@pytest.fixture
@in_process()
def store():
    boto3.client("s3").create_bucket(Bucket="of-the-fixture")
    yield

def test_a_fixture(store):
    assert names() == ["of-the-fixture"]

@in_process()
def test_nothing_is_left(tmp_path):
    assert names() == []
"""


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", *command],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("command", [("unittest", "-v", "test_it"), ("pytest", "-q", "test_it.py")], ids=lambda c: c[0])
def test_real_runs_of_unittest(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "test_it.py").write_text(UNITTEST)
    output = run(tmp_path, *command)
    assert ("Ran 7 tests" in output and "\nOK" in output) or "7 passed" in output, output


def test_a_real_run_of_plain_classes(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PLAIN)
    output = run(tmp_path, "pytest", "-q", "test_it.py")
    assert "6 passed, 1 error" in output, output


def test_any_key_is_accepted_and_all_of_its_signatures_verified() -> None:
    before = boto3.client("s3", **KEYS)
    with in_process() as store, pytest.raises(ClientError, match="accept_any_key=True"):
        before.list_buckets()
    with in_process(accept_any_key=True) as store:
        before.create_bucket(Bucket="photos")
        before.put_object(Bucket="photos", Key="k", Body=b"meow", ContentType="image/png")
        other = boto3.client("s3", **KEYS | {"aws_access_key_id": "other"})
        assert other.get_object(Bucket="photos", Key="k")["Body"].read() == b"meow"
        url = before.generate_presigned_url("get_object", {"Bucket": "photos", "Key": "k"})
        assert open_url(store, url).status == 403  # it is a request of its own, which no client made
        assert boto3.client("s3").list_buckets()["Buckets"][0]["Name"] == "photos"
        assert store.list_credentials() == []
        wrong = boto3.client("s3", **KEYS | {"aws_secret_access_key": "another secret"})
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            wrong.list_buckets()  # the first use of a key says which secret it has
        store.put_credential("known", "secret")
        known = boto3.client("s3", **KEYS | {"aws_access_key_id": "known"})
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            known.list_buckets()
    with in_process(accept_any_key=True):
        wrong.list_buckets()  # another block
    for client in (before, other, wrong, known):
        client.close()


def test_presigned_urls_of_any_key_are_accepted_and_expire() -> None:
    import requests

    with in_process(accept_any_key=True) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", b"meow")
        for version in ("s3", "s3v4"):
            s3 = boto3.client("s3", **KEYS, config=Config(signature_version=version))
            url = s3.generate_presigned_url("get_object", {"Bucket": "photos", "Key": "k"})
            assert requests.get(url, timeout=10).content == b"meow"
            assert requests.get(url.replace("testing", "unheard-of"), timeout=10).status_code == 403
            assert requests.get(url.replace("/k", "/j"), timeout=10).status_code == 403
            s3.close()


def test_a_client_that_was_made_without_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    early = boto3.session.Session().client("s3", region_name="us-east-1")
    with in_process(), pytest.raises(NoCredentialsError):
        early.list_buckets()
    with in_process(accept_any_key=True):
        assert early.list_buckets()["Buckets"] == []
    with in_process(config=AppConfig(access_key="a", secret_key="b"), accept_any_key=True):
        assert early.list_buckets()["Buckets"] == []
    early.close()
