"""AssumeRoleWithWebIdentity: a provider of OpenID Connect on this machine, and what it never signed."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import boto3
import jwt
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from bleepstore import Caller
from bleepstore.roles import Role
from bleepstore_server import AppConfig, create_app
from bleepstore_server.app_config import ConfigError
from bleepstore_server.sts.errors import ServiceError
from bleepstore_server.sts.web_identities import MAX_TOKEN, WebIdentities, fetch_document
from tests.answering import Answers, answered_by
from tests.server.conftest import ALICE, Listening, Server
from tests.server.test_roles import policy
from tests.server.test_sessions import code_of

Claims = dict[str, Any]


def jwk_of(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    algorithm = (
        jwt.algorithms.ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else jwt.algorithms.RSAAlgorithm
    )
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig", **more}


@attrs.define
class Issuer:
    """A provider: what it publishes, and how often it was asked."""

    url: str = ""
    documents: dict[str, bytes | int] = attrs.field(factory=dict)
    asked: list[str] = attrs.field(factory=list)
    rsa_key: Any = None
    ec_key: Any = None

    def publish(self, *keys: dict[str, Any], **configuration: Any) -> None:
        found = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **configuration}
        self.documents = {
            "/.well-known/openid-configuration": json.dumps(found).encode(),
            "/keys": json.dumps({"keys": list(keys)}).encode(),
        }

    def claims(self, **changes: Any) -> Claims:
        now = int(time.time())
        claims = {"iss": self.url, "aud": "app", "sub": "eve", "iat": now, "exp": now + 600, **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, *, algorithm: str = "RS256", key: Any = None, headers: Any = None, **changes: Any) -> str:
        if key is None:
            key = self.ec_key if algorithm.startswith("ES") else self.rsa_key
        header = {"kid": "ec" if algorithm.startswith("ES") else "rsa", **(headers or {})}
        return jwt.encode(self.claims(**changes), key, algorithm, headers=header)


@pytest.fixture(scope="session")
def provider() -> Iterator[Issuer]:
    issuer = Issuer()

    class Handler(Answers):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            found = issuer.documents.get(self.path, 404)
            self.send_response(found if isinstance(found, int) else 200)
            if isinstance(found, int) and 300 <= found < 400:
                self.send_header("Location", f"{issuer.url}/keys")
            body = b"" if isinstance(found, int) else found
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    issuer.rsa_key = rsa.generate_private_key(65537, 2048)
    issuer.ec_key = ec.generate_private_key(ec.SECP256R1())
    with answered_by(Handler) as issuer.url:
        yield issuer


@pytest.fixture
def issuer(provider: Issuer) -> Issuer:
    provider.asked.clear()
    provider.publish(jwk_of(provider.rsa_key, "rsa"), jwk_of(provider.ec_key, "ec"))
    return provider


@pytest.fixture
def identities(issuer: Issuer) -> WebIdentities:
    return WebIdentities((f"{issuer.url} app other-app",), lambda: time.time_ns() // 1_000_000)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ServiceError) as caught:
        call()
    return caught.value.code


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "ES256"])
def test_a_token_of_the_provider_is_believed(issuer: Issuer, identities: WebIdentities, algorithm: str) -> None:
    found = identities.verify(issuer.sign(algorithm=algorithm, aud=["x", "other-app"]))
    assert (found.issuer, found.audience, found.subject) == (issuer.url, "other-app", "eve")


def test_keys_are_fetched_once(issuer: Issuer, identities: WebIdentities) -> None:
    for _ in range(5):
        identities.verify(issuer.sign())
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


def test_an_unknown_key_has_them_fetched_again_but_not_at_once(issuer: Issuer, identities: WebIdentities) -> None:
    identities.verify(issuer.sign())
    for number in range(5):
        token = issuer.sign(headers={"kid": f"new-{number}"})
        with pytest.raises(ServiceError, match="InvalidIdentityToken"):
            identities.verify(token)
    assert len(issuer.asked) == 2, "within a minute of the last time"


def test_a_new_key_is_found(issuer: Issuer, identities: WebIdentities, monkeypatch: pytest.MonkeyPatch) -> None:
    identities.verify(issuer.sign())
    issuer.publish(jwk_of(issuer.rsa_key, "next"))
    monkeypatch.setattr("bleepstore_server.sts.web_identities._REFETCH_SECONDS", 0.0)
    identities.verify(issuer.sign(headers={"kid": "next"}))
    assert refusal(lambda: identities.verify(issuer.sign())) == "InvalidIdentityToken", "the key was withdrawn"


def forge(header: Claims, claims: Claims, signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def with_hmac_of_public_key(issuer: Issuer) -> str:
    """The public key as the secret of HS256: what a library that lets the token choose would accept."""
    pem = issuer.rsa_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = forge({"alg": "HS256", "kid": "rsa"}, issuer.claims()).rpartition(".")[0]
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = base64.urlsafe_b64encode(algorithm.sign(signed.encode(), pem)).decode().rstrip("=")
    return f"{signed}.{signature}"


def with_a_short_key(issuer: Issuer) -> str:
    signed = forge({"alg": "RS256", "kid": "small"}, issuer.claims()).rpartition(".")[0]
    signature = SMALL.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


OTHER = rsa.generate_private_key(65537, 2048)
SMALL = rsa.generate_private_key(65537, 1024)
PUBLISHED = rsa.generate_private_key(65537, 2048)
FORGED: dict[str, Callable[[Issuer], str]] = {
    "no algorithm": lambda issuer: forge({"alg": "none", "kid": "rsa"}, issuer.claims()),
    "no algorithm in other letters": lambda issuer: forge({"alg": "nOnE", "kid": "rsa"}, issuer.claims()),
    "the public key as a secret": with_hmac_of_public_key,
    "another key": lambda issuer: issuer.sign(key=OTHER),
    "a key in the token": lambda issuer: issuer.sign(key=OTHER, headers={"jwk": jwk_of(OTHER, "rsa")}),
    "an address of keys in the token": lambda issuer: issuer.sign(
        key=OTHER, headers={"jku": f"{issuer.url}/evil", "x5u": f"{issuer.url}/evil", "kid": "evil"}
    ),
    "a path as the key": lambda issuer: issuer.sign(key=OTHER, headers={"kid": "../../../../dev/null"}),
    "a key that is no text": lambda issuer: forge({"alg": "RS256", "kid": 5}, issuer.claims(), b"x"),
    "what must be understood": lambda issuer: issuer.sign(headers={"crit": ["exp"], "exp": 1}),
    "another type of key": lambda issuer: issuer.sign(algorithm="ES256", headers={"kid": "rsa"}),
    "a key of another algorithm": lambda issuer: issuer.sign(headers={"kid": "of-512"}),
    "a key to encrypt": lambda issuer: issuer.sign(headers={"kid": "to-encrypt"}),
    "a short key": with_a_short_key,
    "a private key that was published": lambda issuer: issuer.sign(key=PUBLISHED, headers={"kid": "published"}),
    "a signature cut off": lambda issuer: issuer.sign().rpartition(".")[0] + ".",
    "other claims": lambda issuer: ".".join(
        (issuer.sign().split(".")[0], forge({}, issuer.claims(sub="bob")).split(".")[1], issuer.sign().split(".")[2])
    ),
    "another audience": lambda issuer: issuer.sign(aud="another"),
    "no audience": lambda issuer: issuer.sign(aud=None),
    "an audience that is no text": lambda issuer: issuer.sign(aud=[None, 5, {}]),
    "another issuer": lambda issuer: issuer.sign(iss="http://127.0.0.1:1"),
    "an issuer that only begins the same": lambda issuer: issuer.sign(iss=issuer.url + "/"),
    "no issuer": lambda issuer: issuer.sign(iss=None),
    "no subject": lambda issuer: issuer.sign(sub=None),
    "an empty subject": lambda issuer: issuer.sign(sub=""),
    "a subject that is none": lambda issuer: forge({"alg": "RS256"}, issuer.claims(sub=5), b"x"),
    "a subject with a control character": lambda issuer: issuer.sign(sub="eve\0"),
    "a subject with half a character": lambda issuer: issuer.sign(sub="eve\ud800"),
    "a long subject": lambda issuer: issuer.sign(sub="x" * 256),
    "no expiry": lambda issuer: issuer.sign(exp=None),
    "no time of issue": lambda issuer: issuer.sign(iat=None),
    "times of another kind": lambda issuer: issuer.sign(nbf=True),
    "issued tomorrow": lambda issuer: issuer.sign(iat=int(time.time()) + 86_400),
    "not before tomorrow": lambda issuer: issuer.sign(nbf=int(time.time()) + 86_400),
    "no token": lambda _: "abc",
    "no base64": lambda _: "a.b.c",
    "bytes": lambda _: "é.é.é",
    "no object": lambda _: forge({"alg": "RS256"}, {}).replace("e30", "W10"),
    "deep": lambda _: ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in
                               (b'{"alg":"RS256"}', b"[" * 12_000, b"x")),
    "a deep header": lambda _: ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in
                                        (b"[" * 12_000, b"{}", b"x")),
    "huge": lambda issuer: issuer.sign(more="x" * MAX_TOKEN),
    "empty": lambda _: "",
}  # fmt: skip


@pytest.mark.parametrize("make", FORGED.values(), ids=FORGED)
def test_what_the_provider_did_not_sign_is_refused(
    issuer: Issuer, identities: WebIdentities, make: Callable[[Issuer], str]
) -> None:
    others = [jwk_of(issuer.rsa_key, "of-512", alg="RS512"), jwk_of(issuer.rsa_key, "to-encrypt", use="enc")]
    others.append({**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(PUBLISHED)), "kid": "published"})
    issuer.publish(jwk_of(issuer.rsa_key, "rsa"), jwk_of(issuer.ec_key, "ec"), jwk_of(SMALL, "small"), *others)
    assert refusal(lambda: identities.verify(make(issuer))) == "InvalidIdentityToken"
    assert "/evil" not in issuer.asked


@pytest.mark.parametrize("ago", [0, 1, 10**6])
def test_an_expired_token_is_refused(issuer: Issuer, identities: WebIdentities, ago: int) -> None:
    token = issuer.sign(exp=int(time.time()) - ago)
    assert refusal(lambda: identities.verify(token)) == "ExpiredTokenException"


UNREACHABLE: dict[str, Callable[[Issuer], None]] = {
    "nothing": lambda issuer: issuer.documents.clear(),
    "an error": lambda issuer: issuer.documents.update({"/keys": 503}),
    "a redirection": lambda issuer: issuer.documents.update({"/.well-known/openid-configuration": 302}),
    "no JSON": lambda issuer: issuer.documents.update({"/keys": b"<html>"}),
    "no object": lambda issuer: issuer.documents.update({"/keys": b"[]"}),
    "no keys": lambda issuer: issuer.documents.update({"/keys": b"{}"}),
    "many keys": lambda issuer: issuer.publish(*({"kid": str(number)} for number in range(101))),
    "too much": lambda issuer: issuer.documents.update({"/keys": b'{"keys": [' + b" " * 300_000 + b"]}"}),
    "deep": lambda issuer: issuer.documents.update({"/keys": b"[" * 100_000}),
    "another issuer": lambda issuer: issuer.publish(issuer="https://id.example.org"),
    "keys without TLS": lambda issuer: issuer.publish(jwks_uri="http://id.example.org/keys"),
    "keys in a file": lambda issuer: issuer.publish(jwks_uri="file:///etc/passwd"),
    "keys nowhere": lambda issuer: issuer.publish(jwks_uri=5),
}


@pytest.mark.parametrize("spoil", UNREACHABLE.values(), ids=UNREACHABLE)
def test_a_provider_that_cannot_be_asked(
    issuer: Issuer, identities: WebIdentities, spoil: Callable[[Issuer], None]
) -> None:
    token = issuer.sign()
    spoil(issuer)
    assert refusal(lambda: identities.verify(token)) == "IDPCommunicationError"
    asked = len(issuer.asked)
    assert refusal(lambda: identities.verify(token)) == "IDPCommunicationError"
    assert len(issuer.asked) == asked, "it is not asked again at once"


def test_keys_that_were_had_count_on_while_the_provider_is_away(
    issuer: Issuer, identities: WebIdentities, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities.verify(issuer.sign())
    issuer.documents.clear()
    monkeypatch.setattr("bleepstore_server.sts.web_identities._FRESH_SECONDS", -1.0)
    monkeypatch.setattr("bleepstore_server.sts.web_identities._REFETCH_SECONDS", 0.0)
    identities.verify(issuer.sign())
    monkeypatch.setattr("bleepstore_server.sts.web_identities._STALE_SECONDS", -1.0)
    assert refusal(lambda: identities.verify(issuer.sign())) == "IDPCommunicationError"


def test_no_other_scheme_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("{}")
    with pytest.raises(ConfigError):
        AppConfig(oidc_issuer=(f"file://{tmp_path} app",))
    for url in (f"file://{tmp_path}/keys", "ftp://127.0.0.1/keys", "data:,{}"):
        with pytest.raises(OSError, match="unknown url type"):
            fetch_document(url)


@pytest.mark.parametrize(
    "text",
    ["", "https://id.example.org", "http://id.example.org app", "ftp://id.example.org app", "https:// app",
     "https://id.example.org?a=b app", "https://eve@id.example.org app", "http://[::2] app", "id.example.org app"],
)  # fmt: skip
def test_what_is_no_issuer_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        AppConfig(oidc_issuer=(text,))


# -- on the wire


@pytest.fixture
def role(server: Server, listening: Listening, issuer: Issuer) -> Role:
    store = server.store
    listening.httpd.app = create_app(store, AppConfig(oidc_issuer=(f"{issuer.url} app",)))
    provider = issuer.url.removeprefix("http://")
    trusts = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::alice-id:oidc-provider/{provider}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {f"{provider}:aud": "app", f"{provider}:sub": "eve"},
            "IpAddress": {"aws:SourceIp": "127.0.0.0/8"},
        },
    }
    reads = policy({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"})
    store.create_bucket("photos", caller=Caller(ALICE))
    store.put_object("photos", "k", b"kept", caller=Caller(ALICE))
    return store.put_role("web", policy(trusts), {"reads": reads}, account=ALICE)


@pytest.fixture
def sts(server: Server) -> Iterator[Any]:
    config = Config(signature_version=UNSIGNED, retries={"max_attempts": 1}, parameter_validation=False)
    client = boto3.Session().client("sts", endpoint_url=server.url, region_name="us-east-1", config=config)
    with contextlib.closing(client):
        yield client


def test_a_role_is_assumed_by_a_web_identity(server: Server, issuer: Issuer, role: Role, sts: Any) -> None:
    asked = {"RoleArn": role.arn, "RoleSessionName": "eve-1", "WebIdentityToken": issuer.sign()}
    made = sts.assume_role_with_web_identity(**asked)
    assert made["SubjectFromWebIdentityToken"] == "eve"
    assert made["Audience"] == "app"
    assert made["Provider"].endswith(issuer.url.removeprefix("http:/"))
    assert made["AssumedRoleUser"]["Arn"] == "arn:aws:sts::alice-id:assumed-role/web/eve-1"
    keys = made["Credentials"]
    s3 = server.client(keys["AccessKeyId"], keys["SecretAccessKey"])
    with contextlib.closing(s3):
        signer: Any = s3
        signer._request_signer._credentials.token = keys["SessionToken"]
        assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"kept"
        server.store.revoke_sessions(role="web", account=ALICE)
        assert code_of(lambda: s3.head_object(Bucket="photos", Key="k"))[0] == 400


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda issuer: issuer.sign(sub="bob"), (403, "AccessDenied")),
        (lambda issuer: issuer.sign(aud="other"), (400, "InvalidIdentityToken")),
        (lambda issuer: issuer.sign(exp=1), (400, "ExpiredTokenException")),
        (lambda issuer: "x" * 30_000, (400, "InvalidIdentityToken")),
        (lambda issuer: "", (400, "ValidationError")),
    ],
    ids=["subject", "audience", "expired", "huge", "empty"],
)
def test_other_web_identities_get_no_session(
    issuer: Issuer, role: Role, sts: Any, change: Callable[[Issuer], str], expected: tuple[int, str]
) -> None:
    asked = {"RoleArn": role.arn, "RoleSessionName": "eve-1", "WebIdentityToken": change(issuer)}
    assert code_of(lambda: sts.assume_role_with_web_identity(**asked)) == expected


def test_a_server_without_providers_believes_none(server: Server, role: Role, issuer: Issuer, listening: Listening,
                                                  sts: Any) -> None:  # fmt: skip
    listening.httpd.app = create_app(server.store, AppConfig())
    asked = {"RoleArn": role.arn, "RoleSessionName": "eve-1", "WebIdentityToken": issuer.sign()}
    assert code_of(lambda: sts.assume_role_with_web_identity(**asked)) == (400, "InvalidIdentityToken")


def test_an_sdk_takes_the_token_of_a_file(
    server: Server, issuer: Issuer, role: Role, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a pod of Kubernetes."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "token").write_text(issuer.sign())
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", role.arn)
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "pod-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with contextlib.closing(boto3.Session(region_name="us-east-1").client("s3")) as s3:
        assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"kept"
