"""The server in a thread: for what needs a socket."""

from __future__ import annotations

import concurrent.futures
import http.client
import os
import random
import socket
import subprocess
import sys
import threading
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.config import Config

import bleepstore
from bleepstore.errors import StoreError
from bleepstore_server import AppConfig, in_process
from bleepstore_server.live import live_server

pytestmark = pytest.mark.stores("local")


def test_it_serves_at_once_and_ends_with_its_threads(store: bleepstore.Store) -> None:
    before = set(threading.enumerate())
    with live_server(store) as server:
        client = server.client()
        client.create_bucket(Bucket="photos")
        data = random.Random(1).randbytes(300_000)
        client.put_object(Bucket="photos", Key="a//b c", Body=data, Metadata={"my_key": "v"})
        got = client.get_object(Bucket="photos", Key="a//b c")
        assert (got["Body"].read(), got["Metadata"]) == (data, {"my_key": "v"})
        client.close()
        stalled = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
        stalled.sendall(b"GET / HT")
    stalled.close()
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert left <= {"bleepstore-jobs"}
    with pytest.raises(OSError, match="refused"):
        urlopen(server.url)
    assert store.head_bucket("photos").name == "photos"


def test_presigned_urls_are_open_to_anything(store: bleepstore.Store) -> None:
    with live_server(store) as server:
        client = server.client(config=Config(signature_version="s3v4"))
        client.create_bucket(Bucket="photos")
        url = client.generate_presigned_url("put_object", {"Bucket": "photos", "Key": "k"})
        assert urlopen(Request(url, b"data", {"Content-Type": "text/plain"}, method="PUT")).status == 200
        assert urlopen(client.generate_presigned_url("get_object", {"Bucket": "photos", "Key": "k"})).read() == b"data"
        client.close()


def test_a_target_that_begins_with_two_slashes_keeps_them() -> None:
    config = AppConfig(domains=("store.test",), allow_well_known_key=True)
    with bleepstore.open(acl_defaults="legacy") as store, live_server(store, config=config) as server:
        server.store.create_bucket("photos")
        server.store.put_object("photos", "/k", b"1", acl=bleepstore.CannedAcl.PUBLIC_READ)
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        connection.request("GET", "//k", headers={"Host": "photos.store.test"})
        assert connection.getresponse().read() == b"1"
        connection.close()


def test_a_block_leaves_live_servers_alone() -> None:
    """What goes to the URL of a server gets to the store of that server."""
    with live_server() as server, in_process() as inside:
        before = boto3.session.Session().client("s3", endpoint_url=server.url)
        for client in (server.client(), before):
            client.list_buckets()
        server.client().create_bucket(Bucket="afar")
        boto3.client("s3").create_bucket(Bucket="inside")
        assert [bucket.name for bucket in server.store.list_buckets().buckets] == ["afar"]
        assert [bucket.name for bucket in inside.list_buckets().buckets] == ["inside"]


def test_many_clients_at_once() -> None:
    with live_server() as server:
        client = server.client(config=Config(max_pool_connections=16))
        client.create_bucket(Bucket="photos")

        def work(number: int) -> bytes:
            client.put_object(Bucket="photos", Key=str(number), Body=b"%d" % number)
            body: bytes = client.get_object(Bucket="photos", Key=str(number))["Body"].read()
            return body

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, range(60))) == [b"%d" % number for number in range(60)]
        client.close()


def test_a_subprocess_finds_it_by_the_environment() -> None:
    script = "import boto3; print(boto3.client('s3').list_buckets()['Buckets'][0]['Name'])"
    with live_server() as server:
        server.store.create_bucket("photos")
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | server.environ
        assert subprocess.check_output([sys.executable, "-c", script], env=environ, text=True).strip() == "photos"


def test_ports_and_keys_can_be_chosen() -> None:
    config: Any = AppConfig(access_key="mine", secret_key="my-secret")
    with live_server(config=config) as server:
        assert (server.access_key, server.secret_key) == ("mine", "my-secret")
        assert "my-secret" not in repr(server)
        client = server.client()
        client.list_buckets()
        client.close()
        with pytest.raises(OSError, match="in use"), live_server(port=int(server.url.rpartition(":")[2])):
            raise AssertionError("two servers, one port")
    with pytest.raises(StoreError, match="no access key"), live_server(config=AppConfig()):
        raise AssertionError("no key")


@pytest.mark.parametrize("kind", ["obstore", "pyarrow"])
def test_clients_that_are_not_botocore(kind: str) -> None:
    pytest.importorskip(kind)
    with live_server() as server:
        server.store.create_bucket("photos")
        if kind == "obstore":
            from obstore.store import S3Store

            far = S3Store(
                "photos",
                config={
                    "endpoint": server.url,
                    "access_key_id": server.access_key,
                    "secret_access_key": server.secret_key,
                    "region": "us-east-1",
                },
                client_options={"allow_http": True},
            )
            far.put("k", b"data")
        else:
            from pyarrow.fs import S3FileSystem

            far = S3FileSystem(
                access_key=server.access_key,
                secret_key=server.secret_key,
                endpoint_override=server.url.removeprefix("http://"),
                scheme="http",
                region="us-east-1",
            )
            with far.open_output_stream("photos/k") as stream:
                stream.write(b"data")
        assert server.store.get_object("photos", "k").read() == b"data"


def test_a_file_system_of_the_server_before_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """As s3fs is: made of options that do not name the endpoint, which it takes from the environment."""
    import fsspec

    class Likewise(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no type information
        protocol = ("s3", "s3a")

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.endpoint = os.environ.get("AWS_ENDPOINT_URL")

    class Derived(Likewise):
        pass

    class Other(fsspec.AbstractFileSystem):  # type: ignore[misc]  # as above
        protocol = "other"

    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for kind in (Likewise, Derived):
        assert kind().endpoint is None
        other = Other()
        for _ in range(2):
            with live_server() as server, monkeypatch.context() as patch:
                patch.setenv("AWS_ENDPOINT_URL", server.url)
                assert kind().endpoint == server.url
                assert kind() is kind()
        assert kind().endpoint is None
        assert Other() is other


def test_s3fs_reaches_the_server_of_each_test(monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs", reason="s3fs holds botocore back: tox -e aiobotocore")
    import fsspec

    for number in range(3):
        with live_server() as server, monkeypatch.context() as patch:
            for name, value in server.environ.items():
                patch.setenv(name, value)
            server.store.create_bucket("photos")
            s3fs.S3FileSystem().pipe("photos/k", b"%d" % number)
            assert server.store.get_object("photos", "k").read() == b"%d" % number
            with fsspec.open("s3://photos/k") as file:
                assert file.read() == b"%d" % number
