"""Who may not do a thing is told so before anything that was sent is looked at: no bodies parsed, no accounts named."""

from __future__ import annotations

import io
from typing import Any

import pytest

from bleepstore import Caller, Permission
from bleepstore_server import create_app
from bleepstore_server.router import ROUTES, Resource, Route
from tests.server.conftest import ALICE, BOB, Server
from tests.server.tools import Refused, Wire

pytestmark = [pytest.mark.legacy_acls, pytest.mark.parametrize("store", ["local"], indirect=True)]

WRITES = [route for route in ROUTES if route.action is not None and not route.reads and not route.own_answer]
BODIES = [b"no XML", b"<" + b"a" * 100_000]
PROBES = [
    {},
    {"x-amz-grant-read": "emailAddress=alice@example.com"},
    {"x-amz-grant-read": "emailAddress=nobody@example.com"},
    {"x-amz-grant-read": "id=alice-id"},
    {"x-amz-grant-read": "id=nobody-id"},
    {"x-amz-acl": "nonsense"},
    {"x-amz-storage-class": "nonsense"},
    {"x-amz-tagging": "a=b"},
    {"Content-MD5": "nonsense"},
    {"If-Match": "*"},
    {"x-amz-expected-bucket-owner": "alice-id"},
    {"x-amz-expected-bucket-owner": "bob-id"},
]


def _target(route: Route) -> str:
    path = "/photos" if route.resource is Resource.BUCKET else "/photos/kept"
    query = {"uploadId": "uploadId=none&partNumber=1"}.get(route.sub_resource or "", route.sub_resource)
    if route.operation in ("CompleteMultipartUpload", "AbortMultipartUpload"):
        query = "uploadId=none"
    return path + (f"?{query}" if query else "")


@pytest.mark.parametrize("who", ["nobody", "bob"])
@pytest.mark.parametrize("route", WRITES, ids=lambda route: route.operation)
def test_a_stranger_learns_nothing(refused: Refused, route: Route, who: str) -> None:
    if who == "bob":
        refused._wire = Wire(refused._wire.url, "bob", "bob-secret")
    answers = set()
    for headers, body in [*((headers, b"") for headers in PROBES), *(({}, body) for body in BODIES)]:
        sent = {**headers, **({"x-amz-copy-source": "/photos/kept"} if route.copies else {})}
        answer = refused("AccessDenied", 403, route.method, _target(route), body, sent, signed=who != "nobody")
        answers.add(answer.error["Message"])
    assert len(answers) == 1


def test_anonymous_callers_create_no_bucket_whatever_they_send(refused: Refused) -> None:
    for headers in PROBES[:-2]:
        for body in (b"", *BODIES):
            refused("AccessDenied", 403, "PUT", "/new", body, headers, signed=False)


def test_whoever_may_write_may_ask_for_grants(server: Server, prepared: Wire) -> None:
    """The other half: permission is enough."""
    bob = Wire(prepared.url, "bob", "bob-secret")
    grant = {"x-amz-grant-read": "emailAddress=alice@example.com"}
    assert bob.send("PUT", "/photos/new", b"x", grant).status == 403
    prepared.send("PUT", "/photos?acl", headers={"x-amz-grant-write": "id=bob-id"})
    assert bob.send("PUT", "/photos/new", b"x", grant).status == 200
    acl = server.store.get_object_acl("photos", "new")
    assert acl.owner_id == BOB.id
    assert [(g.grantee, g.permission) for g in acl.grants] == [(ALICE.id, Permission.READ)]


@pytest.mark.parametrize("framed", [False, True], ids=["plain", "aws-chunked"])
@pytest.mark.parametrize("target", ["/photos/kept", "/photos/kept?uploadId={}&partNumber=1"], ids=["object", "part"])
def test_nothing_is_read_of_the_body_of_whoever_may_not_write(
    server: Server, prepared: Wire, target: str, framed: bool
) -> None:
    """What is read of it afterwards is read in haste, so that its sender sees the answer."""
    target = target.format(server.store.create_upload("photos", "kept").upload_id)
    bob = Wire(prepared.url, "bob", "bob-secret")
    payload, fields = "UNSIGNED-PAYLOAD", {}
    if framed:
        payload, fields = "STREAMING-UNSIGNED-PAYLOAD-TRAILER", {"x-amz-decoded-content-length": "4"}
    signed = bob.sign("PUT", target, fields, payload)
    seen: list[str] = []

    class Body(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            seen.append("read")
            return super().read(size)

    environ: dict[str, Any] = {
        "REQUEST_METHOD": "PUT",
        "RAW_URI": target,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": "4",
        "bleepstore.headers": {name.lower(): value for name, value in signed.items()},
        "bleepstore.hurry": lambda _hurried: seen.append("hurry"),
        "wsgi.input": Body(b"data"),
        "wsgi.input_terminated": True,
        "wsgi.url_scheme": "http",
    }
    answer = b"".join(create_app(server.store)(environ, lambda status, *_: seen.append(status)))  # type: ignore[arg-type]  # it writes nothing
    assert b"<Code>AccessDenied</Code>" in answer
    assert seen[0] == "hurry"


@pytest.mark.parametrize(
    "fault", [{}, {"x-amz-metadata-directive": "x"}, {"x-amz-copy-source-range": "x"}, {"x-amz-acl": "x"}]
)
@pytest.mark.parametrize("parts", [False, True], ids=["copy", "part"])
def test_whoever_may_not_read_a_source_does_not_learn_whose_it_is(
    server: Server, prepared: Wire, parts: bool, fault: dict[str, str]
) -> None:
    """Not by a second fault either, which would be named only where the owner was guessed right."""
    store, bob = server.store, Wire(prepared.url, "bob", "bob-secret")
    store.create_bucket("own", caller=Caller(BOB))
    upload_id = store.create_upload("own", "k", caller=Caller(BOB)).upload_id
    target = f"/own/k?partNumber=1&uploadId={upload_id}" if parts else "/own/k"
    for owner in ("alice-id", "bob-id", "nobody"):
        headers = {"x-amz-copy-source": "/photos/kept", "x-amz-source-expected-bucket-owner": owner, **fault}
        answer = bob.send("PUT", target, b"", headers)
        assert (answer.status, answer.code) == (403, "AccessDenied")


@pytest.mark.parametrize("owner", ["alice-id", "bob-id"])
def test_whoever_asks_for_a_name_that_is_taken_does_not_learn_by_whom(prepared: Wire, owner: str) -> None:
    """CreateBucket and forms have no x-amz-expected-bucket-owner."""
    bob = Wire(prepared.url, "bob", "bob-secret")
    expected = {"x-amz-expected-bucket-owner": owner}
    assert bob.send("PUT", "/photos", b"", expected).code == "BucketAlreadyExists"
    assert bob.send("PUT", "/of-nobody", b"", expected).status == 200
    form = {"Content-Type": "multipart/form-data; boundary=x", **expected}
    assert prepared.send("POST", "/photos", b"--x--", form, signed=False).status == 400
