"""A presigned URL that is made without a client is one that the server accepts."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

import bleepstore
from bleepstore.errors import InvalidBucketName
from bleepstore_server import live_server, presign_url
from bleepstore_server.clients import open_url

KEYS: Any = {"access_key": "bleepstore", "secret_key": "bleepstore-secret"}


@pytest.mark.parametrize("key", ["a.txt", "a b+c/é&?#%2F.txt", "/a//../b/", "x=1"])
def test_it_is_accepted_for_its_method_and_object_alone(key: str) -> None:
    with live_server() as server:
        server.store.create_bucket("photos")
        put = presign_url("PUT", "photos", key, endpoint=server.url, **KEYS)
        opened = requests.Request("PUT", put, data=b"meow").prepare()
        opened.url = put  # requests would take the dots out of the path
        with requests.Session() as session:
            assert session.send(opened).status_code == 200
            assert server.store.get_object("photos", key).read() == b"meow"
            get = presign_url(
                "GET", "photos", key, endpoint=server.url, query={"response-content-type": "text/a b"}, **KEYS
            )
            asked = requests.Request("GET", get).prepare()
            asked.url = get
            answer = session.send(asked)
            assert (answer.content, answer.headers["Content-Type"]) == (b"meow", "text/a b")
            opened.method = "DELETE"
            assert session.send(opened).status_code == 403


def test_it_ends(store: bleepstore.Store) -> None:
    store.create_bucket("photos")
    store.put_object("photos", "k", b"1")
    url = presign_url("GET", "photos", "k", endpoint="https://s3.example.org:443/", expires=60, **KEYS)
    assert urlsplit(url).netloc == "s3.example.org"
    assert open_url(store, url).status == 200
    assert open_url(store, url.replace("X-Amz-Expires=60", "X-Amz-Expires=61")).status == 403


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"endpoint": "127.0.0.1:9000"}, ValueError, "endpoint is a URL"),
        ({"endpoint": "http://h/?a=b"}, ValueError, "endpoint is a URL"),
        ({"expires": 0}, ValueError, "expires is between"),
        ({"expires": 8 * 24 * 3600}, ValueError, "expires is between"),
        ({"bucket": "A"}, InvalidBucketName, "3 to 63"),
        ({"key": 5}, TypeError, "a key is a str"),
    ],
)
def test_what_could_never_be_accepted_is_refused(options: Any, error: type[Exception], said: str) -> None:
    given = {"bucket": "photos", "key": "k", "endpoint": "http://h"} | KEYS | options
    with pytest.raises(error, match=said):
        presign_url("GET", given.pop("bucket"), given.pop("key"), **given)
