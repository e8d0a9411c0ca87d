"""What a decision costs of a GET of 1 KiB: `python -m tests.benchmarks.bench_access`.

A store in memory has four buckets: one without a policy; one whose policy has a statement that is about nobody here;
two of 20 statements whose principals, actions and resources all match, so that the conditions of each are looked at:
none of them holds. The GETs are those of their owner, by Python, by the WSGI app alone, by boto3 without a socket, and
from a server with such buckets in a folder, over one connection.

*Decision alone* is `access.authorize` with what a request has, compared with a GET of the same bucket. *Beside no
policy* is the median over pairs: a batch of GETs from the one bucket and one from the bucket without a policy right
after each other, in turns. For that bucket it is GETs by `caller=None`, about whom nothing is decided. All times are
processor time: of this thread, and of the server's processes for what it serves.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import bleepstore
from bleepstore import Caller
from bleepstore.access import Action, authorize
from bleepstore_server import client_for
from bleepstore_server.app_config import WELL_KNOWN, AppConfig
from bleepstore_server.clients import EVENT
from tests.benchmarks.bench_server import KEYS, Peer, ours
from tests.benchmarks.bench_structure import Capture

BODY = b"x" * 1024
NONE, ONE, USUAL_KEYS, MANY_KEYS = "no policy", "1 statement", "20 statements, 5 keys", "20 statements, 15 keys"
#: What holds for no GET here, though each is looked at: of the five keys that policies ask for most.
USUAL: tuple[dict[str, Any], ...] = (
    {"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "198.51.100.0/24"]}},
    {"NotIpAddress": {"aws:SourceIp": ["127.0.0.0/8", "10.0.0.0/8"]}},
    {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
    {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/guest-*"}},
    {"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::bleepstore:*"}},
    {"StringLike": {"aws:UserAgent": "BadRobot/*"}},
    {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}, "StringLike": {"aws:UserAgent": "*curl*"}},
    {"StringNotEquals": {"aws:PrincipalAccount": "bleepstore"}},
    {"StringLike": {"aws:UserAgent": ["*spider*", "*crawler*"]}},
    {"NotIpAddress": {"aws:SourceIp": "127.0.0.1/32"}},
)
#: And of ten more, two of which have another value in each request.
OTHERS: tuple[dict[str, Any], ...] = (
    {"StringEquals": {"aws:Referer": "https://evil.example.com/"}},
    {"DateGreaterThan": {"aws:CurrentTime": "2099-01-01T00:00:00Z"}},
    {"StringEquals": {"s3:authType": "REST-QUERY-STRING"}},
    {"NumericGreaterThan": {"s3:signatureAge": "1000000000000"}},
    {"StringEquals": {"s3:ExistingObjectTag/secret": "yes"}},
    {"StringNotEqualsIgnoreCase": {"s3:signatureversion": "AWS4-HMAC-SHA256"}},
    {"StringLike": {"s3:ExistingObjectTag/project": "secret-*"}},
    {"StringEquals": {"aws:PrincipalType": ["Anonymous", "FederatedUser"]}},
    {"Bool": {"aws:ViaAWSService": "true"}},
    {"StringEquals": {"s3:ExistingObjectTag/state": "draft"}, "Null": {"s3:ExistingObjectTag/state": "false"}},
)
CONDITIONS: dict[str, tuple[dict[str, Any], ...]] = {NONE: (), ONE: (), USUAL_KEYS: USUAL, MANY_KEYS: USUAL + OTHERS}


def policy_of(bucket: str, conditions: tuple[dict[str, Any], ...]) -> str:
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    deny = {"Effect": "Deny", "Principal": "*", "Action": ["s3:Get*", "s3:List*"], "Resource": resources}
    if not conditions:
        nobody = {**deny, "Effect": "Allow", "Principal": {"Service": "logs.amazonaws.com"}}
        return json.dumps({"Version": "2012-10-17", "Statement": [nobody]})
    statements = [{**deny, "Condition": conditions[number % len(conditions)]} for number in range(20)]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def make_buckets(store: bleepstore.Store) -> dict[str, str]:
    """By the name of a row: the bucket."""
    found = {}
    for number, (name, conditions) in enumerate(CONDITIONS.items()):
        bucket = found[name] = f"bench-{number}"
        store.create_bucket(bucket)
        store.put_object(bucket, "key", BODY)
        if name != NONE:
            store.put_bucket_policy(bucket, policy_of(bucket, conditions))
    return found


def ways_of(store: bleepstore.Store, buckets: Mapping[str, str]) -> dict[str, dict[str, Callable[[], object]]]:
    """By the way that a GET takes and the name of a row: what does one."""
    caller = a_caller(store)

    def by_python(bucket: str, caller: Caller | None = caller) -> Callable[[], object]:
        return lambda: store.get_object(bucket, "key", caller=caller).read()

    s3: Any = client_for(store)

    def by_boto3(bucket: str) -> Callable[[], object]:
        def get() -> object:
            return s3.get_object(Bucket=bucket, Key="key")["Body"].read()

        return get

    ways = {"Python": by_python, "the app": lambda bucket: _by_app(store, bucket), "boto3": by_boto3}
    found = {way: {name: make(bucket) for name, bucket in buckets.items()} for way, make in ways.items()}
    found["Python"][""] = by_python(buckets[NONE], None)
    return found


def a_caller(store: bleepstore.Store) -> Caller:
    """The owner of the buckets, with all that a server knows of a client."""
    sent = {"authtype": "REST-HEADER", "signatureversion": "AWS4-HMAC-SHA256", "signatureage": "20"}
    return Caller(
        store.owner,
        source_ip="127.0.0.1",
        secure=True,
        time_ms=int(time.time() * 1000),
        user_agent="Boto3/1.40",
        sent=sent.get,
    )


def _by_app(store: bleepstore.Store, bucket: str) -> Callable[[], object]:
    capture = Capture(store, AppConfig(allow_well_known_key=True))
    key, secret = WELL_KNOWN
    s3: Any = boto3.client("s3", aws_access_key_id=key, aws_secret_access_key=secret, region_name="us-east-1")
    s3.meta.events.register(EVENT, lambda request, **_event: capture.send(request))
    s3.get_object(Bucket=bucket, Key="key")

    def start(status: str, _headers: object, _error: object = None) -> Any:
        assert status.startswith("200"), status

    def get() -> object:
        answer: Any = capture.again(start)
        body = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        assert body == BODY
        return body

    return get


@contextlib.contextmanager
def served() -> Iterator[tuple[Peer, dict[str, Callable[[], object]]]]:
    """A server, and by the name of a row what does a GET."""
    with tempfile.TemporaryDirectory() as folder, ours(Path(folder)) as peer:
        s3 = peer.s3
        connection = http.client.HTTPConnection(peer.url.removeprefix("http://"))

        def get_of(bucket: str) -> Callable[[], object]:
            path = f"/{bucket}/key"
            request = AWSRequest("GET", peer.url + path, headers={"User-Agent": "Boto3/1.40"})
            S3SigV4Auth(Credentials(*KEYS), "s3", "us-east-1").add_auth(request)
            headers = dict(request.headers)

            def get() -> object:
                connection.request("GET", path, headers=headers)
                answer = connection.getresponse()
                body = answer.read()
                assert body == BODY, answer.status
                return body

            return get

        ways = {}
        for number, (name, conditions) in enumerate(CONDITIONS.items()):
            bucket = f"bench-{number}"
            s3.create_bucket(Bucket=bucket)
            s3.put_object(Bucket=bucket, Key="key", Body=BODY)
            if name != NONE:
                s3.put_bucket_policy(Bucket=bucket, Policy=policy_of(bucket, conditions))
            ways[name] = get_of(bucket)
        yield peer, ways
        connection.close()


def cpu_of(work: Callable[[], object], count: int, clock: Callable[[], int] = time.thread_time_ns) -> float:
    """Microseconds for one call."""
    begun = clock()
    for _ in range(count):
        work()
    return (clock() - begun) / count / 1000


def pairs_of(
    one: Callable[[], object],
    other: Callable[[], object],
    rounds: int,
    count: int,
    clock: Callable[[], int] = time.thread_time_ns,
) -> tuple[float, float]:
    """(microseconds of `one`, how much more that is than `other`), medians."""
    costs, ratios = [], []
    for number in range(rounds):
        if number % 2:
            cost, beside = cpu_of(one, count, clock), cpu_of(other, count, clock)
        else:
            beside, cost = cpu_of(other, count, clock), cpu_of(one, count, clock)
        costs.append(cost)
        ratios.append(cost / beside - 1)
    return statistics.median(costs), statistics.median(ratios)


def main(rounds: int, count: int) -> None:
    with bleepstore.open() as store, served() as (peer, served_gets):
        buckets = make_buckets(store)
        ways = ways_of(store, buckets)
        version = store.head_object(buckets[NONE], "key").version
        caller = a_caller(store)
        print("| | decision alone | way | a GET | decision / GET | beside no policy |")
        print("| --- | ---: | --- | ---: | ---: | ---: |")
        for name, bucket in buckets.items():
            record = store.engine.find_bucket(bucket)
            alone = statistics.median(
                cpu_of(lambda record=record: authorize(Action.GET_OBJECT, caller, record, version), 2000)  # type: ignore[misc]
                for _ in range(rounds)
            )
            for way, gets in ways.items():
                beside = gets[NONE] if name != NONE else gets.get("", gets[NONE])
                cost, more = pairs_of(gets[name], beside, rounds, count)
                told = "" if beside is gets[name] else f"{more:+.1%}"
                print(f"| {name} | {alone:.2f} us | {way} | {cost:.0f} us | {alone / cost:.1%} | {told} |")
            cost, more = pairs_of(served_gets[name], served_gets[NONE], rounds * 3, count, peer.processor_ns)
            told = "" if name == NONE else f"{more:+.1%}"
            print(f"| {name} | {alone:.2f} us | the server | {cost:.0f} us | {alone / cost:.1%} | {told} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--count", type=int, default=300)
    given = parser.parse_args()
    main(given.rounds, given.count)
