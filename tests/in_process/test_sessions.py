"""STS and temporary credentials without a socket."""

from __future__ import annotations

import datetime as dt
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

import bleepstore
from bleepstore.testing.clock import Clock
from bleepstore_server import attach, in_process, presign_url
from bleepstore_server.clients import late_session_class, open_url


def s3_of(made: dict[str, Any]) -> Any:
    keys = made["Credentials"]
    return boto3.client(
        "s3",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def test_a_block_answers_sts_too() -> None:
    before = boto3.client("sts", aws_access_key_id="bleepstore", aws_secret_access_key="bleepstore-secret",
                          region_name="us-east-1")  # fmt: skip
    with in_process() as store:
        for sts in (boto3.client("sts"), before):
            assert sts.get_caller_identity()["Account"] == store.owner.id
            s3_of(sts.get_session_token()).create_bucket(Bucket=f"photos-{len(store.list_buckets().buckets)}")
        assert len(store.list_buckets().buckets) == 2


def test_one_client_of_sts_is_attached() -> None:
    sts = boto3.client("sts", aws_access_key_id="bleepstore", aws_secret_access_key="bleepstore-secret",
                       region_name="eu-west-1")  # fmt: skip
    with bleepstore.open() as store:
        undo = attach(sts, store)
        assert sts.get_caller_identity()["Account"] == store.owner.id
        undo()


def test_any_token_goes_with_any_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """As tests for other tools have them in the environment."""
    with in_process(accept_any_key=True, environment=False):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.setenv(name, "testing")
        session = boto3.Session(region_name="us-east-1")
        session.client("s3").create_bucket(Bucket="photos")
        assert session.client("sts").get_caller_identity()["Account"]


def test_a_session_ends_by_the_clock_of_the_store() -> None:
    clock = Clock()
    with bleepstore.open(clock=clock) as store, in_process(store):
        s3 = s3_of(boto3.client("sts").get_session_token(DurationSeconds=900))
        s3.create_bucket(Bucket="photos")
        clock.advance(minutes=14)
        s3.list_buckets()
        clock.advance(minutes=2)
        with pytest.raises(ClientError, match="ExpiredToken"):
            s3.list_buckets()


def test_a_url_is_signed_without_a_client() -> None:
    with bleepstore.open() as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", b"1")
        made = store.create_session(store.put_credential("a", "b"), duration=dt.timedelta(minutes=15))
        session = made.session
        keys: Any = {"access_key": session.access_key, "secret_key": session.secret_key}
        url = presign_url("GET", "photos", "k", endpoint="https://s3.example.org", session_token=made.token, **keys)
        assert open_url(store, url).status == 200
        url = presign_url("GET", "photos", "k", endpoint="https://s3.example.org", **keys)
        assert open_url(store, url).status == 403


def test_all_answers_are_parsed_by_one_parser() -> None:
    """botocore makes one for each, in a circle that only the garbage collector ends."""
    session = late_session_class()()
    parsers = session._session.get_component("response_parser_factory")
    assert parsers.create_parser("rest-xml") is parsers.create_parser("rest-xml")
    assert parsers.create_parser("rest-xml") is not parsers.create_parser("query")
