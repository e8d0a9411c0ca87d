"""What a client gets that asks faster than its key, or its account, may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from bleepstore import Rate, RateLimit, RateScope, errors
from bleepstore_server import AppConfig, create_app
from bleepstore_server.rates import RateMeter, TooFast
from tests.server.conftest import Listening, Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SECOND = 10**9


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 10**15

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limited(server: Server, listening: Listening, clock: Clock) -> Server:
    """A server of which Alice's key may ask twice in a second."""
    config = AppConfig(customer_keys_over_http=True)
    listening.httpd.app = create_app(server.store, config, meter=RateMeter(clock=clock))
    server.store.put_rate_limit(access_key="alice", max_requests=2)
    return server


def limit(slot: int = 1, **rate: int) -> RateLimit:
    return RateLimit(slot=slot, scope=RateScope.KEY, name=f"k{slot}", rate=Rate(**rate))


def refused(call: Any, **arguments: Any) -> Any:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    response: Any = error.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == ("SlowDown", 503)
    return response


def test_who_asks_too_fast_is_told_to_slow_down(limited: Server, s3: S3Client, clock: Clock) -> None:
    s3.create_bucket(Bucket="photos")
    s3.list_buckets()
    response = refused(s3.put_object, Bucket="photos", Key="k", Body=bytes(100_000))
    assert response["Error"]["Message"] == "Please reduce your request rate."
    assert response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
    clock.advance(0.5)
    s3.put_object(Bucket="photos", Key="k", Body=b"1")
    refused(s3.list_buckets)
    limited.client("bob", "bob-secret").list_buckets()
    clock.advance(10)
    s3.list_buckets()
    s3.list_buckets()
    refused(s3.list_buckets)  # what was not used in ten seconds is not saved


def test_a_rate_is_changed_and_removed_while_the_server_runs(limited: Server, s3: S3Client) -> None:
    s3.list_buckets()
    s3.list_buckets()
    limited.store.put_rate_limit(access_key="alice", max_requests=3)
    for _ in range(3):
        s3.list_buckets()
    refused(s3.list_buckets)
    assert limited.store.list_rate_limits() == [
        RateLimit(slot=2, scope=RateScope.KEY, name="alice", rate=Rate(requests=3))
    ]
    limited.store.delete_rate_limit(access_key="alice")
    s3.list_buckets()
    assert limited.store.list_rate_limits() == []


def test_all_keys_of_an_account_count_together(limited: Server, s3: S3Client) -> None:
    store = limited.store
    store.delete_rate_limit(access_key="alice")
    store.put_credential("other", "other-secret", owner=limited.store.find_owner("alice-id"))
    store.put_rate_limit(account="alice-id", max_requests=2)
    s3.list_buckets()
    other = limited.client("other", "other-secret")
    other.list_buckets()
    refused(s3.list_buckets)
    refused(other.list_buckets)


def test_bytes_both_ways_are_made_up_for(limited: Server, s3: S3Client, clock: Clock) -> None:
    s3.create_bucket(Bucket="photos")
    limited.store.put_rate_limit(access_key="alice", max_bytes=100_000)
    s3.put_object(Bucket="photos", Key="k", Body=bytes(250_000))
    response = refused(s3.list_buckets)
    assert response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "2"
    clock.advance(1.6)
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == bytes(250_000)
    refused(s3.list_buckets)
    clock.advance(2.5)
    s3.head_object(Bucket="photos", Key="k")
    s3.head_object(Bucket="photos", Key="k")


def test_a_request_that_is_refused_by_one_limit_is_counted_by_none(clock: Clock) -> None:
    meter = RateMeter(clock=clock)
    narrow, wide = limit(1, requests=1), limit(2, requests=2)
    meter.admit([wide, narrow])
    with pytest.raises(TooFast):
        meter.admit([wide, narrow])
    meter.admit([wide])
    with pytest.raises(TooFast) as error:
        meter.admit([wide])
    assert error.value.retry_after == 1
    meter.charge([narrow], 10**9)  # has no limit of bytes


def test_any_number_of_bytes_can_be_charged(clock: Clock) -> None:
    meter, slow = RateMeter(clock=clock), limit(1, bytes=1)
    for _ in range(4):
        meter.charge([slow], 5 * 1024**4)
    with pytest.raises(TooFast):
        meter.admit([slow])


def test_wrong_rates_are_refused(server: Server) -> None:
    store = server.store
    for wrong in (
        {"access_key": "alice"},
        {"access_key": "alice", "account": "a", "max_requests": 1},
        {"max_requests": 1},
        {"account": "", "max_requests": 1},
        {"account": "a", "max_requests": 0},
        {"account": "a", "max_bytes": 10**16},
    ):
        with pytest.raises(errors.InvalidArgument):
            store.put_rate_limit(**wrong)


def test_a_session_counts_with_the_key_that_began_it(limited: Server) -> None:
    store = limited.store
    known = store.get_credential("alice")
    assert known is not None
    begun = store.create_session(known)
    found = store.find_session(begun.token, begun.session.access_key)
    assert [limit.name for limit in found.rate_limits] == ["alice"]
