"""`with in_process():` catches every S3 client of the process, and leaves everything as it was."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.endpoint import Endpoint
from botocore.exceptions import ClientError
from botocore.handlers import BUILTIN_HANDLERS

import bleepstore
from bleepstore.errors import StoreError
from bleepstore_server import AppConfig, in_process
from bleepstore_server.clients import attach, client_for
from bleepstore_server.live import LiveServer, live_server

pytestmark = pytest.mark.stores("local")

AMAZON: Any = {
    "region_name": "us-east-1",
    "aws_access_key_id": "bleepstore",
    "aws_secret_access_key": "bleepstore-secret",
}


#: One of each partition that botocore knows.
REGIONS = ("us-east-1", "cn-north-1", "eusc-de-east-1", "us-gov-west-1", "us-iso-east-1", "us-isob-east-1",
           "eu-isoe-west-1", "us-isof-south-1")  # fmt: skip


class Network(Exception):
    """A request would have gone to the network."""


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(_session: object, _request: object) -> None:
        raise Network

    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", send)
    monkeypatch.delenv("AWS_PROFILE", raising=False)


def buckets(client: Any) -> list[str]:
    return [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]


def test_a_client_made_within_just_works() -> None:
    with in_process() as store:
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="cat", Body=b"meow")
        assert store.get_object("photos", "cat").read() == b"meow"
        boto3.resource("s3").Bucket("photos").put_object(Key="dog", Body=b"woof")
        assert store.get_object("photos", "dog").read() == b"woof"
        plain: Any = botocore.session.get_session().create_client("s3")
        plain.delete_object(Bucket="photos", Key="dog")
        assert [item.key for item in store.list_objects("photos").objects] == ["cat"]


def test_clients_made_before_are_caught_and_released() -> None:
    before = boto3.client("s3", **AMAZON)
    default = boto3.DEFAULT_SESSION
    with pytest.raises(Network):
        before.list_buckets()
    with in_process() as store:
        store.create_bucket("photos")
        assert buckets(before) == ["photos"]
    with pytest.raises(Network):
        before.list_buckets()
    assert boto3.DEFAULT_SESSION is default


def test_a_block_makes_a_session_when_one_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session takes 8 ms, and a suite enters a block for each test."""
    before = boto3.client("s3", **AMAZON)
    made: list[object] = []
    monkeypatch.setattr(botocore.session.Session, "_register_builtin_handlers", lambda *_: made.append(1))
    with in_process() as store:
        store.create_bucket("photos")
        assert buckets(before) == ["photos"]
    assert made == []
    monkeypatch.undo()
    with in_process():
        session = boto3.DEFAULT_SESSION
        assert isinstance(session, boto3.Session)
        assert session.region_name == "us-east-1"
        assert session is boto3.DEFAULT_SESSION
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            session.nothing  # type: ignore[attr-defined]  # noqa: B018  # to ask for it is the test


def test_a_client_made_within_says_afterwards_what_to_do() -> None:
    with in_process():
        client = boto3.client("s3")
        client.list_buckets()
    with pytest.raises(StoreError, match="has ended"):
        client.list_buckets()
    with in_process() as again:
        again.create_bucket("again")
        assert buckets(client) == ["again"]


@pytest.mark.parametrize(
    ("region", "dual_stack"), [*((region, False) for region in REGIONS), *((region, True) for region in REGIONS[:4])]
)
def test_a_client_of_any_partition_reaches_the_store(region: str, dual_stack: bool) -> None:
    config = Config(s3={"addressing_style": "virtual"}, use_dualstack_endpoint=dual_stack)
    with in_process() as store:
        client = boto3.client("s3", region_name=region, config=config)
        store.create_bucket("photos")
        client.put_object(Bucket="photos", Key="k", Body=b"1")
        assert [item.key for item in store.list_objects("photos").objects] == ["k"]
        assert "://photos." in client.generate_presigned_url("get_object", {"Bucket": "photos", "Key": "k"})
    with pytest.raises(StoreError, match="has ended"):
        client.list_buckets()


def test_other_credentials_are_told_which_ones_there_are(
    store: bleepstore.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a suite that was written for moto has them."""
    store.create_bucket("photos")
    # What is set within the block is undone within it: the block puts back what was there before.
    with in_process(store), monkeypatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        client = boto3.client("s3")
        with pytest.raises(ClientError, match=r"InvalidAccessKeyId.*'bleepstore-secret'.*put_credential\(") as refused:
            client.list_buckets()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        store.put_credential("testing", "testing", owner=store.owner)
        assert buckets(client) == ["photos"]
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            buckets(boto3.client("s3", aws_secret_access_key="other", aws_access_key_id="testing"))


def test_everything_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    environ, handlers, send = dict(os.environ), list(BUILTIN_HANDLERS), Endpoint._send  # type: ignore[attr-defined]

    def work() -> None:
        with in_process():
            assert os.environ["AWS_ACCESS_KEY_ID"] == "bleepstore"
            assert "AWS_SESSION_TOKEN" not in os.environ
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert dict(os.environ) == environ
    assert handlers == BUILTIN_HANDLERS
    assert Endpoint._send is send  # type: ignore[attr-defined]


def test_a_decorated_function_has_a_store_for_each_call() -> None:
    @in_process()
    def make(name: str, *, more: str) -> list[str]:
        """Make two buckets."""
        client = boto3.client("s3")
        client.create_bucket(Bucket=name)
        client.create_bucket(Bucket=more)
        return buckets(client)

    assert make("photos", more="second") == ["photos", "second"]
    assert make("photos", more="third") == ["photos", "third"]
    assert (make.__name__, make.__doc__) == ("make", "Make two buckets.")


def test_what_cannot_be_decorated_says_so(store: bleepstore.Store) -> None:
    def piecemeal() -> Iterator[None]:
        yield

    class Helpers: ...

    with pytest.raises(TypeError, match="Helpers has no tests"):
        in_process(store)(Helpers)
    with pytest.raises(TypeError, match="parentheses"):
        in_process(piecemeal)  # type: ignore[arg-type]  # on purpose


def test_blocks_nest_and_the_innermost_counts() -> None:
    with in_process() as outer:
        client = boto3.client("s3")
        client.create_bucket(Bucket="outer")
        with in_process() as inner:
            assert buckets(client) == []
            boto3.client("s3").create_bucket(Bucket="inner")
            assert [bucket.name for bucket in inner.list_buckets().buckets] == ["inner"]
        assert buckets(client) == ["outer"]
        assert buckets(boto3.client("s3")) == ["outer"]
        assert [bucket.name for bucket in outer.list_buckets().buckets] == ["outer"]


def test_blocks_that_end_in_another_order_leave_the_right_one() -> None:
    environ = dict(os.environ)
    first, second = in_process(), in_process()
    one, two = first.__enter__(), second.__enter__()
    one.create_bucket("one")
    two.create_bucket("two")
    first.__exit__(None, None, None)
    assert buckets(boto3.client("s3")) == ["two"]
    second.__exit__(None, None, None)
    assert dict(os.environ) == environ


def test_one_block_can_be_entered_again_within_itself() -> None:
    environ, block = dict(os.environ), in_process()
    with block as outer:
        with block as inner:
            assert inner is not outer
            boto3.client("s3").create_bucket(Bucket="inner")
        assert buckets(boto3.client("s3")) == []
    assert dict(os.environ) == environ


def test_the_files_and_variables_of_the_user_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text("[default]\ns3 =\n  use_accelerate_endpoint = true\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.invalid:9000")
    with bleepstore.open() as store:
        client = client_for(store)
        assert client.meta.endpoint_url == "https://s3.amazonaws.com"
        client.create_bucket(Bucket="photos")
        assert buckets(client) == ["photos"]
        client.close()
    with in_process():
        client = boto3.client("s3")
        assert client.meta.region_name == "us-east-1"
        assert buckets(client) == []


def test_a_client_of_ours_has_nothing_of_the_one_before(store: bleepstore.Store) -> None:
    first = client_for(store)
    first.meta.events.register("before-call.s3", lambda **_: pytest.fail("another client's handler"))
    second = client_for(store)
    assert buckets(second) == []


def test_dates_are_as_botocore_reads_them(store: bleepstore.Store) -> None:
    from botocore.utils import parse_timestamp

    from bleepstore_server.clients import read_timestamp

    others = ("2026-11-24T07:30:09.123Z", "1790000000", "24 Nov 2026 07:30 +0100")
    for text in ("Tue, 24 Nov 2026 07:30:09 GMT", *others):
        ours, theirs = read_timestamp(text), parse_timestamp(text)
        assert (ours, ours.utcoffset(), repr(ours)) == (theirs, theirs.utcoffset(), repr(theirs))
    with pytest.raises(ValueError, match="Invalid timestamp"):
        read_timestamp("Xxx, 99 Xxx 2026 99:99:99 GMT")


def test_a_store_that_was_given_stays_open(store: bleepstore.Store) -> None:
    with in_process(store) as same:
        assert same is store
        boto3.client("s3").create_bucket(Bucket="photos")
    assert store.head_bucket("photos").name == "photos"


def test_two_clients_have_two_stores_at_once() -> None:
    with bleepstore.open() as left, bleepstore.open() as right, in_process() as third:
        clients = [client_for(left), client_for(right), boto3.client("s3")]
        for number, client in enumerate(clients):
            client.create_bucket(Bucket=f"bucket-{number}")
        assert [[b.name for b in store.list_buckets().buckets] for store in (left, right, third)] == [
            ["bucket-0"],
            ["bucket-1"],
            ["bucket-2"],
        ]


def test_two_stores_at_once_in_threads() -> None:
    def work(number: int) -> list[str]:
        with bleepstore.open() as store:
            client = client_for(store)
            for count in range(20):
                client.create_bucket(Bucket=f"b{number}-{count}")
            return buckets(client)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for number, found in enumerate(pool.map(work, range(4))):
            assert found == sorted(f"b{number}-{count}" for count in range(20))


def test_a_block_holds_for_all_threads_and_another_thread_is_told() -> None:
    with in_process(), concurrent.futures.ThreadPoolExecutor(1) as pool:
        client = boto3.client("s3")
        pool.submit(client.create_bucket, Bucket="from-a-thread").result()
        assert buckets(client) == ["from-a-thread"]

        def enter() -> None:
            with in_process():
                raise AssertionError("two threads, one environment")

        with pytest.raises(StoreError, match="client_for"):
            pool.submit(enter).result()
    done = threading.Event()

    def alone() -> None:
        with in_process():
            boto3.client("s3").list_buckets()
        done.set()

    thread = threading.Thread(target=alone)
    thread.start()
    thread.join()
    assert done.is_set()


def test_other_services_pass() -> None:
    with in_process():
        with pytest.raises(Network):
            boto3.client("sqs", region_name="us-east-1").list_queues()
        with pytest.raises(Network):
            boto3.client("s3control", region_name="us-east-1").get_public_access_block(AccountId="123456789012")
    with bleepstore.open() as store, pytest.raises(StoreError, match="sqs"):
        attach(boto3.client("sqs", **AMAZON), store)


def test_attaching_can_be_undone(store: bleepstore.Store) -> None:
    client = boto3.client("s3", **AMAZON)
    detach = attach(client, store)
    client.create_bucket(Bucket="photos")
    detach()
    with pytest.raises(Network):
        client.list_buckets()


def test_the_environment_can_be_left_alone(store: bleepstore.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "my-secret")
    with in_process(store, environment=False):
        client = boto3.session.Session().client("s3", region_name="us-east-1")
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            client.list_buckets()
        store.put_credential("mine", "my-secret")
        assert buckets(client) == []


def test_keys_of_ones_own_are_in_the_environment() -> None:
    with in_process(config=AppConfig(access_key="mine", secret_key="my-secret", region="eu-west-1")):
        client = boto3.client("s3")
        assert client.meta.region_name == "eu-west-1"
        assert buckets(client) == []
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            boto3.client("s3", **AMAZON).list_buckets()
    with pytest.raises(StoreError, match="no access key"), in_process(config=AppConfig()):
        raise AssertionError("entered")


def test_it_works_beside_moto() -> None:
    """moto answers the other services, and S3 if it is not told to pass it: ours comes first."""
    moto = pytest.importorskip("moto")
    for passthrough in (["s3"], []):
        with moto.mock_aws(config={"core": {"passthrough": {"services": passthrough}}}), in_process() as store:
            client = boto3.client("s3")
            client.create_bucket(Bucket="photos")
            assert buckets(client) == ["photos"]
            assert store.head_bucket("photos").name == "photos"
            assert boto3.client("sts", region_name="us-east-1").get_caller_identity()["Account"] == "123456789012"


class AioS3:
    """Has what `attach` looks at of an aiobotocore client."""

    def __init__(self, client: Any) -> None:
        self.meta = client.meta


def test_an_asynchronous_client_is_told_to_use_a_socket(store: bleepstore.Store) -> None:
    AioS3.__module__ = "aiobotocore.client"
    with pytest.raises(StoreError, match="live_server"):
        attach(AioS3(boto3.client("s3", **AMAZON)), store)


def test_a_real_asynchronous_client_is_told_to_use_a_socket() -> None:
    """One that was made within the block, and one that was made before; a live server is what it is told to use."""
    pytest.importorskip("aiobotocore", reason="aiobotocore holds botocore back: tox -e aiobotocore")
    import asyncio

    from aiobotocore.session import get_session

    async def ask(early: bool) -> None:
        async with contextlib.AsyncExitStack() as stack:
            if not early:
                stack.enter_context(in_process())
            client = await stack.enter_async_context(get_session().create_client("s3", **AMAZON))
            if early:
                stack.enter_context(in_process())
            with pytest.raises(StoreError, match="live_server"):
                await client.list_buckets()

    async def use_a_socket(server: LiveServer) -> None:
        async with get_session().create_client("s3", endpoint_url=server.url, **AMAZON) as client:
            await client.create_bucket(Bucket="afar")

    for early in (False, True):
        asyncio.run(ask(early))
    with in_process(), live_server() as server:
        asyncio.run(use_a_socket(server))
        assert server.store.head_bucket("afar").name == "afar"


def test_the_module_says_how_the_folder_of_a_store_is_used(tmp_path: Path) -> None:
    with bleepstore.open(tmp_path / "s") as kept, in_process(kept):
        boto3.client("s3").create_bucket(Bucket="kept")
    with bleepstore.open(tmp_path / "s") as kept:
        assert kept.head_bucket("kept").name == "kept"
