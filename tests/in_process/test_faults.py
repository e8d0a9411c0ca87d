"""Faults happen as described, when asked for, and never otherwise."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    FlexibleChecksumError,
    IncompleteReadError,
    ResponseStreamingError,
)

import bleepstore
from bleepstore_server.clients import client_for
from bleepstore_server.faults import (
    Corrupt,
    FaultError,
    Faults,
    InternalError,
    Refuse,
    Reset,
    Slow,
    SlowDown,
    Truncate,
    WrongChecksum,
    parse_rule,
)
from bleepstore_server.live import live_server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BODY = b"0123456789" * 10_000
WRONG = (
    "*=slowdown;status=1",
    "PutObjekt=slowdown",
    "*=slow;seconds=-1",
    "*=truncate;keep=2",
    "*=slowdown;probability=1.5",
    "*=slowdown;times=-1",
    "*=slow;seconds=inf",
    "*=reset;late=yes",
)


@pytest.fixture
def faults() -> Faults:
    return Faults(seed=7)


@pytest.fixture(params=["in_process", "live_server"])
def connect(request: pytest.FixtureRequest, store: bleepstore.Store, faults: Faults) -> Iterator[Any]:
    """Makes clients that try as often as they are told, by either way."""
    store.create_bucket("photos")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(live_server(store, faults=faults)) if request.param == "live_server" else None

        def make(attempts: int = 1) -> S3Client:
            config = Config(retries={"total_max_attempts": attempts, "mode": "standard"})
            made = (
                client_for(store, faults=faults, client_config=config)
                if server is None
                else server.client(config=config)
            )
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def s3(connect: Any) -> S3Client:
    client: S3Client = connect()
    return client


def test_without_a_rule_there_is_no_fault(s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=BODY)
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == BODY


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (SlowDown(), ("SlowDown", 503)),
        (InternalError(), ("InternalError", 500)),
        (Refuse(403, "AccessDenied", "No."), ("AccessDenied", 403)),
    ],
)
def test_a_refusal_is_an_s3_error_and_nothing_is_done(
    s3: S3Client, faults: Faults, store: bleepstore.Store, fault: Refuse, expected: tuple[str, int]
) -> None:
    with faults.inject(fault, operations="PutObject") as rule, pytest.raises(ClientError) as refused:
        s3.put_object(Bucket="photos", Key="k", Body=BODY)
    answer = refused.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == expected
    assert rule.hits == 1
    assert store.list_objects("photos").objects == []
    s3.put_object(Bucket="photos", Key="k", Body=BODY)


def test_a_client_that_retries_survives_one_failure(
    connect: Any, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    client = connect(3)
    for fault in (SlowDown(), InternalError(), Reset()):
        with faults.inject(fault, times=1) as rule:
            answer = client.put_object(Bucket="photos", Key="k", Body=b"data")
        assert (answer["ResponseMetadata"]["RetryAttempts"], rule.hits) == (1, 1)


def test_a_reset_before_leaves_nothing_and_a_late_one_everything(
    s3: S3Client, faults: Faults, store: bleepstore.Store
) -> None:
    for late in (False, True):
        with faults.inject(Reset(late=late), operations="PutObject"), pytest.raises(ConnectionClosedError):
            s3.put_object(Bucket="photos", Key="k", Body=BODY)
        assert [item.key for item in store.list_objects("photos").objects] == ["k"] * late


def test_a_body_breaks_off(s3: S3Client, faults: Faults) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=BODY)
    with faults.inject(Truncate(0.25), operations="GetObject"):
        body = s3.get_object(Bucket="photos", Key="k")["Body"]
        received = bytearray()

        def read() -> None:
            for chunk in body.iter_chunks(1000):
                received.extend(chunk)

        with pytest.raises(IncompleteReadError):
            read()
    assert received == BODY[: len(BODY) // 4]
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == BODY


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda body: body.read(), ResponseStreamingError),
        (lambda body: list(body.iter_lines()), IncompleteReadError),
        (lambda body: (body.read(1000), body.read()), ResponseStreamingError),
    ],
)
def test_a_body_that_breaks_off_raises_what_it_does_on_the_wire(
    s3: S3Client, faults: Faults, read: Any, expected: type[Exception]
) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=BODY)
    with faults.inject(Truncate(0.25), operations="GetObject"):
        body = s3.get_object(Bucket="photos", Key="k")["Body"]
        with pytest.raises(expected):
            read(body)


@pytest.mark.parametrize("fault", [Corrupt(), WrongChecksum()])
def test_a_wrong_answer_is_found_by_its_checksum(s3: S3Client, faults: Faults, fault: Corrupt | WrongChecksum) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=BODY, ChecksumAlgorithm="CRC32")
    with faults.inject(fault, operations="GetObject"), pytest.raises(FlexibleChecksumError):
        s3.get_object(Bucket="photos", Key="k")["Body"].read()


def test_a_wrong_etag(s3: S3Client, faults: Faults) -> None:
    with faults.inject(WrongChecksum(), operations="PutObject"):
        wrong = s3.put_object(Bucket="photos", Key="k", Body=BODY)["ETag"]
    assert s3.head_object(Bucket="photos", Key="k")["ETag"] != wrong


def test_a_header_that_is_no_digest_stays_as_it_is(s3: S3Client, faults: Faults) -> None:
    with faults.inject(WrongChecksum()) as rule:
        answer = s3.create_multipart_upload(
            Bucket="photos", Key="k", ChecksumAlgorithm="CRC32C", ChecksumType="COMPOSITE"
        )
        assert (answer["ChecksumAlgorithm"], answer["ChecksumType"]) == ("CRC32C", "COMPOSITE")
        part = s3.upload_part(
            Bucket="photos", Key="k", UploadId=answer["UploadId"], PartNumber=1, Body=b"1", ChecksumAlgorithm="CRC32C"
        )
    assert part["ChecksumCRC32C"] == "AAAAAA=="
    assert rule.hits == 2


@pytest.mark.parametrize("fault", [Truncate(0.5), Corrupt()])
def test_a_body_that_is_empty_cannot_be_spoiled(s3: S3Client, faults: Faults, fault: Truncate | Corrupt) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=b"")
    with faults.inject(fault):
        assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b""
        assert s3.head_object(Bucket="photos", Key="k")["ContentLength"] == 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda faults: faults.add(SlowDown), "such as SlowDown"),
        (lambda faults: faults.add("slowdown"), "such as SlowDown"),
        (lambda faults: faults.add(SlowDown(), operations=()), "no operations"),
        (lambda faults: faults.add(SlowDown(), operations=[None]), "None is no S3 operation"),
        (
            lambda faults: faults.add(SlowDown(), probability="often"),
            "^probability is a number from 0 to 1, not 'often'$",
        ),
        (lambda faults: faults.add(SlowDown(), probability=float("nan")), "probability"),
        (lambda faults: faults.add(SlowDown(), times=1.5), "^times is a whole number from 0 on, not 1.5$"),
        (lambda faults: faults.add(SlowDown(), prefix=b"p"), "prefix"),
        (lambda _: Refuse("503"), "status"),  # type: ignore[arg-type]  # on purpose
        (lambda _: Refuse(200), "status"),
        (lambda _: Slow(-1), "seconds"),
        (lambda _: Slow(float("inf")), "seconds"),
        (lambda _: Truncate(2), "keep"),
        (lambda _: Reset("late"), "late"),  # type: ignore[arg-type]  # on purpose
    ],
)
def test_what_cannot_be_is_refused_where_it_is_made(faults: Faults, make: Any, said: str) -> None:
    with pytest.raises(FaultError, match=said):
        make(faults)


def test_slow_is_slow(s3: S3Client, faults: Faults) -> None:
    begun = time.monotonic()
    with faults.inject(Slow(0.1), operations="HeadBucket"):
        s3.head_bucket(Bucket="photos")
        s3.list_buckets()
    assert time.monotonic() - begun >= 0.1


def test_rules_choose_their_requests(s3: S3Client, faults: Faults) -> None:
    with faults.inject(SlowDown(), operations=["PutObject", "Get*"], bucket="photos", prefix="a/", after=1, times=2):
        outcomes = []
        for key in ("b", "a/1", "a/2", "a/3", "a/4"):
            try:
                s3.put_object(Bucket="photos", Key=key, Body=b"")
                outcomes.append(True)
            except ClientError:
                outcomes.append(False)
    assert outcomes == [True, True, False, False, True]


def test_chance_is_repeatable(store: bleepstore.Store) -> None:
    def run(seed: int | None) -> list[bool]:
        faults = Faults(seed=seed)
        faults.add(SlowDown(), operations="ListBuckets", probability=0.5)
        client = client_for(store, faults=faults, client_config=Config(retries={"total_max_attempts": 1}))
        outcomes = []
        for _ in range(40):
            try:
                client.list_buckets()
                outcomes.append(True)
            except (ClientError, BotoCoreError):
                outcomes.append(False)
        client.close()
        return outcomes

    assert run(3) == run(3) != run(4)
    assert 5 < sum(run(3)) < 35


def test_rules_are_written_in_text() -> None:
    rule = parse_rule("PutObject+Get*=slowdown;times=2;after=1;bucket=photos;prefix=a/;probability=0.5")
    assert rule.fault == SlowDown()
    assert (rule.operations, rule.times, rule.after) == (("PutObject", "Get*"), 2, 1)
    assert (rule.bucket, rule.prefix, rule.probability) == ("photos", "a/", 0.5)
    assert parse_rule("*=slow;seconds=0.5").fault == Slow(0.5)
    assert parse_rule("*=reset;late=1").fault == Reset(late=True)
    assert parse_rule("GetObject=truncate;keep=0.1").fault == Truncate(0.1)
    for wrong in ("", "PutObject", "PutObject=fire", "*=slow;times=x", "*=reset;keep=1", *WRONG):
        with pytest.raises(FaultError):
            parse_rule(wrong)


def test_presigned_urls_meet_faults_too(faults: Faults) -> None:
    with live_server(faults=faults) as server:
        server.store.create_bucket("photos")
        server.store.put_object("photos", "k", BODY)
        client = server.client()
        url = client.generate_presigned_url("get_object", {"Bucket": "photos", "Key": "k"})
        with faults.inject(Reset(), times=1), pytest.raises(OSError, match=r"reset|closed"):
            urlopen(url)
        with urlopen(url) as answer:
            assert answer.read() == BODY
        client.close()
