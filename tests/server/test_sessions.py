"""Temporary credentials on the wire: STS, and the token of a session wherever a request may have it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import urllib.parse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import attrs
import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from bleepstore import Caller
from tests.attacks.signing import SCHEMES
from tests.server.conftest import ALICE, Server
from tests.server.tools import Wire

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


Keys = dict[str, str]


@attrs.frozen
class Service:
    """STS and S3 clients of a server, for any keys."""

    server: Server
    stack: contextlib.ExitStack

    def sts(
        self, access_key: str = "alice", secret_key: str = "alice-secret", *, path: str = "", **options: Any
    ) -> Any:
        client: Any = boto3.client(
            "sts",
            endpoint_url=self.server.url + path,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 1}, parameter_validation=False),
            **options,
        )
        return self.stack.enter_context(contextlib.closing(client))

    def s3(self, keys: Keys, **config: Any) -> S3Client:
        config = {"retries": {"max_attempts": 1}, **config}
        client = boto3.client(
            "s3",
            endpoint_url=self.server.url,
            region_name="us-east-1",
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys.get("SessionToken"),
            config=Config(**config),
        )
        return self.stack.enter_context(contextlib.closing(client))


@pytest.fixture
def service(server: Server) -> Iterator[Service]:
    server.store.create_bucket("photos", caller=Caller(ALICE))
    with contextlib.ExitStack() as stack:
        yield Service(server, stack)


@pytest.fixture
def keys(service: Service) -> Keys:
    found: Keys = service.sts().get_session_token()["Credentials"]
    return found


def code_of(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"], caught.value.response["Error"]["Code"]


# -- STS


@pytest.mark.parametrize("path", ["", "/", "/-/sts", "/-/sts/"])
def test_who_an_access_key_is_of(service: Service, path: str) -> None:
    found = service.sts(path=path).get_caller_identity()
    assert found["Arn"] == "arn:aws:iam::alice-id:root"
    assert (found["UserId"], found["Account"]) == ("alice-id", "alice-id")
    assert found["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "text/xml"


def test_who_a_session_is_of(service: Service, keys: Keys) -> None:
    sts = service.sts(keys["AccessKeyId"], keys["SecretAccessKey"], aws_session_token=keys["SessionToken"])
    assert sts.get_caller_identity()["Arn"] == "arn:aws:iam::alice-id:root"


def test_a_session_begins_no_other(service: Service, keys: Keys) -> None:
    sts = service.sts(keys["AccessKeyId"], keys["SecretAccessKey"], aws_session_token=keys["SessionToken"])
    assert code_of(sts.get_session_token) == (403, "AccessDenied")


@pytest.mark.parametrize(
    "options",
    [
        {"DurationSeconds": 899},
        {"DurationSeconds": 129_601},
        {"SerialNumber": "arn:aws:iam::1:mfa/a", "TokenCode": "123456"},
    ],
    ids=["short", "long", "mfa"],
)
def test_what_cannot_be_had_of_a_session_is_refused(service: Service, options: dict[str, Any]) -> None:
    assert code_of(lambda: service.sts().get_session_token(**options)) == (400, "ValidationError")


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (("nobody", "alice-secret"), (403, "InvalidClientTokenId")),
        (("alice", "wrong"), (403, "SignatureDoesNotMatch")),
        (("bob", "alice-secret"), (403, "SignatureDoesNotMatch")),
    ],
    ids=["key", "secret", "another's"],
)
def test_a_wrong_key_is_refused_in_the_words_of_sts(
    service: Service, pair: tuple[str, str], expected: tuple[int, str]
) -> None:
    assert code_of(service.sts(*pair).get_caller_identity) == expected


FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"Action=GetCallerIdentity&Version=2011-06-15", (403, "MissingAuthenticationToken")),
        (b"Action=GetCallerIdentity&Version=2010-01-01", (400, "InvalidAction")),
        (b"Action=DropAll&Version=2011-06-15", (400, "InvalidAction")),
        (b"Version=2011-06-15", (400, "MissingAction")),
        (b"", (400, "MissingAction")),
        (b"Action", (400, "ValidationError")),
        (b"Action=GetCallerIdentity&Action=GetSessionToken", (400, "ValidationError")),
        (b"Action=%ff", (400, "ValidationError")),
        (b"\xff=1", (400, "ValidationError")),
        (b"&".join(b"a%d=1" % number for number in range(300)), (400, "ValidationError")),
        (b"a=" + b"x" * 70_000, (400, "ValidationError")),
    ],
    ids=["unsigned", "version", "unknown", "none", "empty", "no value", "twice", "utf-8", "bytes", "many", "long"],
)
def test_a_bad_request_is_refused(service: Service, body: bytes, expected: tuple[int, str]) -> None:
    answer = Wire(service.server.url).send("POST", "/", body, FORM, signed=False)
    assert answer.status == expected[0]
    assert f"<Code>{expected[1]}</Code>".encode() in answer.body
    assert b'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">' in answer.body


def test_what_is_signed_for_s3_is_not_for_sts(service: Service) -> None:
    body = b"Action=GetSessionToken&Version=2011-06-15"
    answer = Wire(service.server.url).send("POST", "/-/sts", body, FORM)
    assert (answer.status, b"IncompleteSignature" in answer.body) == (400, True)


def test_a_signed_form_cannot_be_changed(service: Service) -> None:
    sts = service.sts()

    def change(request: Any, **_: Any) -> None:
        request.body = request.body.replace("DurationSeconds=900", "DurationSeconds=901")

    sts.meta.events.register("before-send.sts", change)
    assert code_of(lambda: sts.get_session_token(DurationSeconds=900)) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(("declared", "status"), [(b"Action=GetCallerIdentity", 200), (b"Action=Other", 403)])
def test_a_body_is_the_one_whose_digest_is_declared(service: Service, declared: bytes, status: int) -> None:
    """Some SDKs send x-amz-content-sha256 to every service."""
    headers = {**FORM, "X-Amz-Content-SHA256": hashlib.sha256(declared).hexdigest()}
    request = AWSRequest("POST", service.server.url + "/", headers, b"Action=GetCallerIdentity")
    SigV4Auth(Credentials("alice", "alice-secret"), "sts", "us-east-1").add_auth(request)
    sent = {name: str(value) for name, value in request.headers.items()}
    answer = Wire(service.server.url).send("POST", "/", b"Action=GetCallerIdentity", sent, signed=False)
    assert answer.status == status


def test_other_posts_to_the_service_are_none_of_sts(service: Service) -> None:
    answer = Wire(service.server.url).send("POST", "/", b"", {})
    assert (answer.status, b"<Code>MethodNotAllowed</Code>" in answer.body) == (405, True)


# -- the token of a session


def test_a_session_does_what_its_key_may(service: Service, keys: Keys) -> None:
    s3 = service.s3(keys)
    s3.put_object(Bucket="photos", Key="a", Body=b"1" * 100_000)
    assert s3.get_object(Bucket="photos", Key="a")["Body"].read() == b"1" * 100_000
    assert s3.list_buckets()["Buckets"][0]["Name"] == "photos"
    s3.upload_fileobj(io.BytesIO(b"2" * (9 << 20)), "photos", "large")
    s3.copy({"Bucket": "photos", "Key": "a"}, "photos", "b")


def with_token(keys: Keys, **changes: str | None) -> Keys:
    changed = {"AccessKeyId": keys["AccessKeyId"], "SecretAccessKey": keys["SecretAccessKey"],
               "SessionToken": keys["SessionToken"], **changes}  # fmt: skip
    return {name: value for name, value in changed.items() if value is not None}


LONG_TERM = {"AccessKeyId": "alice", "SecretAccessKey": "alice-secret"}


def test_without_its_token_a_session_is_nobodys(service: Service, keys: Keys) -> None:
    s3 = service.s3(with_token(keys, SessionToken=None))
    assert code_of(s3.list_buckets) == (403, "InvalidAccessKeyId")


@pytest.mark.parametrize("token", ["AAAA", "x" * 3000, "{}", "FwoGZXIvYXdzEBYaDG=="])
def test_what_is_no_token_is_refused(service: Service, keys: Keys, token: str) -> None:
    s3 = service.s3(with_token(keys, SessionToken=token))
    assert code_of(s3.list_buckets) == (400, "InvalidToken")


def test_a_token_counts_with_its_own_key_alone(service: Service, keys: Keys) -> None:
    other = service.sts().get_session_token()["Credentials"]
    swapped = service.s3(with_token(keys, SessionToken=other["SessionToken"]))
    assert code_of(swapped.list_buckets) == (400, "InvalidToken")
    long_term = service.s3(LONG_TERM | {"SessionToken": keys["SessionToken"]})
    assert code_of(long_term.list_buckets) == (400, "InvalidToken")
    mixed = service.s3(with_token(keys, SecretAccessKey=other["SecretAccessKey"]))
    assert code_of(mixed.list_buckets) == (403, "SignatureDoesNotMatch")


def test_a_token_must_be_signed(service: Service, keys: Keys) -> None:
    """Otherwise who sees a request could give its signature to another session."""
    wire = Wire(service.server.url, access_key=keys["AccessKeyId"], secret_key=keys["SecretAccessKey"])
    sent = SCHEMES["version 4 header"](wire, "GET", "/photos", {}).with_header(
        "x-amz-security-token", keys["SessionToken"]
    )
    answer = sent.send(wire)
    assert (answer.status, b"x-amz-security-token" in answer.body) == (403, True)


@pytest.mark.parametrize("scheme", ["version 4 header", "version 2 header"])
def test_a_token_in_the_query_is_that_of_a_url_alone(service: Service, keys: Keys, scheme: str) -> None:
    """Version 2 does not sign it there."""
    wire = Wire(service.server.url, access_key=keys["AccessKeyId"], secret_key=keys["SecretAccessKey"])
    target = f"/photos/k?x-amz-security-token={urllib.parse.quote(keys['SessionToken'], safe='')}"
    answer = SCHEMES[scheme](wire, "PUT", target, {}).send(wire)
    assert (answer.status, b"InvalidAccessKeyId" in answer.body) == (403, True)


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_every_way_to_sign_knows_tokens(service: Service, keys: Keys, scheme: str) -> None:
    wire = Wire(service.server.url, access_key=keys["AccessKeyId"], secret_key=keys["SecretAccessKey"])
    token = {"x-amz-security-token": keys["SessionToken"]}
    assert SCHEMES[scheme](wire, "PUT", "/photos/k", token).send(wire).status == 200
    assert SCHEMES[scheme](wire, "PUT", "/photos/k", {}).send(wire).status == 403
    sent = keys["SessionToken"]
    changed = {"x-amz-security-token": sent[:-2] + ("BA" if sent[-2] == "A" else "AA")}
    assert SCHEMES[scheme](wire, "PUT", "/photos/k", changed).send(wire).status == 400


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_url_is_signed_by_a_session_and_ends_with_it(service: Service, keys: Keys, version: str) -> None:
    s3, wire = service.s3(keys, signature_version=version), Wire(service.server.url)
    service.server.store.put_object("photos", "k", b"kept", caller=Caller(ALICE))
    url = s3.generate_presigned_url("get_object", {"Bucket": "photos", "Key": "k"}, ExpiresIn=604_800)
    target = url.removeprefix(service.server.url)
    assert wire.send("GET", target, signed=False).body == b"kept"
    name = "x-amz-security-token" if version == "s3" else "X-Amz-Security-Token"
    without = target.replace(f"{name}={urllib.parse.quote(keys['SessionToken'], safe='')}", "")
    assert without != target
    assert wire.send("GET", without, signed=False).status == 403
    service.server.store.revoke_sessions(account=ALICE)
    answer = wire.send("GET", target, signed=False)
    assert (answer.status, b"<Code>ExpiredToken</Code>" in answer.body) == (400, True)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_form_is_signed_by_a_session(service: Service, keys: Keys, version: str) -> None:
    s3, wire = service.s3(keys, signature_version=version), Wire(service.server.url)
    made = s3.generate_presigned_post("photos", "k")
    assert made["fields"]["x-amz-security-token"] == keys["SessionToken"]

    def post(fields: dict[str, str]) -> tuple[int, bytes]:
        parts = "".join(
            f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
        )
        body = f'{parts}--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ndata\r\n--b--\r\n'
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = wire.send("POST", "/photos", body.encode(), headers, signed=False)
        return answer.status, answer.body

    assert post(made["fields"])[0] == 204
    status, body = post({name: value for name, value in made["fields"].items() if name != "x-amz-security-token"})
    assert (status, b"InvalidAccessKeyId" in body) == (403, True)
    assert post({**made["fields"], "x-amz-security-token": "AAAA"})[0] == 400
