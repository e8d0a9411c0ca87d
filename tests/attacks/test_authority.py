"""What was decided for a request counts only for the bucket, the object and the owner that it was decided for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from bleepstore import ANONYMOUS, Acl, Caller, CannedAcl, Grant, Permission, Store
from tests.server.conftest import ALICE, BOB, Server
from tests.server.tools import Wire, snapshot

pytestmark = pytest.mark.legacy_acls

WRITERS = (Grant("alice-id", Permission.FULL_CONTROL), Grant("bob-id", Permission.WRITE))


def before_commit(store: Store, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Have `act` done once, when the next request was let in and its body has come."""
    submit = store.engine.committer.submit
    waiting = [act]

    def submit_later(command: Any) -> Any:
        if waiting:
            waiting.pop()()
        return submit(command)

    monkeypatch.setattr(store.engine.committer, "submit", submit_later)


@pytest.mark.parametrize("size", [5, 100_000])
def test_a_put_does_not_land_in_a_bucket_that_was_made_again(
    server: Server, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    alice, bob = server.client(), server.client("bob", "bob-secret")
    alice.create_bucket(Bucket="photos")

    def act() -> None:
        alice.delete_bucket(Bucket="photos")
        bob.create_bucket(Bucket="photos")
        bob.put_object(Bucket="photos", Key="k", Body=b"of Bob")

    before_commit(server.store, monkeypatch, act)
    with pytest.raises(alice.exceptions.NoSuchBucket):
        alice.put_object(Bucket="photos", Key="k", Body=b"x" * size)
    assert bob.get_object(Bucket="photos", Key="k")["Body"].read() == b"of Bob"
    server.store.sweep()
    assert list(server.store.engine.backend.iter_blobs(0, 1 << 62)) == []
    for client in (alice, bob):
        client.close()


def test_an_acl_is_not_set_on_the_object_that_replaced_the_one_it_was_allowed_on(
    server: Server, prepared: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    grants = (Grant("alice-id", Permission.FULL_CONTROL), Grant("bob-id", Permission.WRITE_ACP))
    server.store.put_object("photos", "k", b"for Bob too", acl=grants, caller=Caller(ALICE))
    before_commit(
        server.store, monkeypatch, lambda: server.store.put_object("photos", "k", b"secret", caller=Caller(ALICE))
    )
    bob = attrs.evolve(prepared, access_key="bob", secret_key="bob-secret")
    answer = bob.send("PUT", "/photos/k?acl", headers={"x-amz-acl": "public-read"})
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert server.store.get_object_acl("photos", "k") == Acl.private("alice-id")


def test_a_caller_is_what_is_known_of_the_request(
    server: Server, prepared: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    callers: list[Caller] = []
    list_objects = server.store.list_objects

    def note(*names: Any, caller: Caller, **options: Any) -> Any:
        callers.append(caller)
        return list_objects(*names, caller=caller, **options)

    monkeypatch.setattr(server.store, "list_objects", note)
    server.store.put_bucket_acl("photos", CannedAcl.PUBLIC_READ)
    headers = {"User-Agent": "tool/1", "Referer": "http://example.com/"}
    before = server.store.wall_time_ms()
    for signed in (True, False):
        assert prepared.send("GET", "/photos", headers=headers, signed=signed).status == 200
    known, unknown = callers
    assert (known.account, known.access_key, known.is_anonymous) == (ALICE, "alice", False)
    assert (unknown.account, unknown.access_key, unknown.is_anonymous) == (ANONYMOUS.account, None, True)
    for caller in callers:
        assert (caller.source_ip, caller.secure) == ("127.0.0.1", False)
        assert (caller.user_agent, caller.referer) == ("tool/1", "http://example.com/")
        assert caller.time_ms is not None
        assert before <= caller.time_ms <= server.store.wall_time_ms()


#: Requests that would replace or delete the object `kept`.
REPLACING = {
    "PutObject": ("PUT", "/photos/kept", b"new", {}),
    "CopyObject": ("PUT", "/photos/kept", b"", {"x-amz-copy-source": "/photos/public"}),
    "DeleteObject": ("DELETE", "/photos/kept", b"", {}),
    "DeleteObject of a version": ("DELETE", "/photos/kept?versionId=null", b"", {}),
    "PutObject on a condition": ("PUT", "/photos/kept", b"new", {"If-None-Match": "*"}),
    "DeleteObject on a condition": ("DELETE", "/photos/kept", b"", {"If-Match": '"none"'}),
    "PutObject with a wrong digest": ("PUT", "/photos/kept", b"new", {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}),
    "PutObject with a wrong header": ("PUT", "/photos/kept", b"new", {"x-amz-storage-class": "NONE"}),
    "DeleteObject with a wrong header": ("DELETE", "/photos/kept", b"", {"If-None-Match": "*"}),
}  # fmt: skip


@pytest.mark.parametrize("request_", REPLACING)
@pytest.mark.parametrize("who", ["bob", "anonymous"])
def test_who_may_write_does_not_touch_the_objects_of_others(
    server: Server, prepared: Wire, who: str, request_: str
) -> None:
    """And is told nothing of what else is wrong."""
    server.store.put_bucket_acl("photos", CannedAcl.PUBLIC_READ_WRITE)
    server.store.put_object("photos", "public", b"public", acl=CannedAcl.PUBLIC_READ)
    before = snapshot(server.store)
    sender = attrs.evolve(prepared, access_key="bob", secret_key="bob-secret")
    method, target, body, headers = REPLACING[request_]
    answer = sender.send(method, target, body, headers, signed=who == "bob")
    assert (answer.status, answer.code) == (403, "AccessDenied"), answer
    assert snapshot(server.store) == before


def test_of_many_deletes_those_of_others_are_refused_each(server: Server, prepared: Wire) -> None:
    server.store.put_bucket_acl("photos", WRITERS)
    server.store.put_object("photos", "bobs", b"", caller=Caller(BOB))
    bob = server.client("bob", "bob-secret")
    objects = [{"Key": key} for key in ("kept", "bobs", "absent")]
    answer = bob.delete_objects(Bucket="photos", Delete={"Objects": objects})  # type: ignore[typeddict-item]  # keys alone
    assert [(error["Key"], error["Code"]) for error in answer["Errors"]] == [("kept", "AccessDenied")]
    assert [deleted["Key"] for deleted in answer["Deleted"]] == ["bobs", "absent"]
    assert [found.key for found in server.store.list_objects("photos").objects] == ["kept"]
    bob.close()


def test_an_upload_is_not_completed_as_the_object_of_another(server: Server, prepared: Wire) -> None:
    server.store.put_bucket_acl("photos", WRITERS)
    bob = server.client("bob", "bob-secret")
    upload_id = bob.create_multipart_upload(Bucket="photos", Key="kept")["UploadId"]
    part = bob.upload_part(Bucket="photos", Key="kept", UploadId=upload_id, PartNumber=1, Body=b"part")
    with pytest.raises(bob.exceptions.ClientError, match="AccessDenied"):
        bob.complete_multipart_upload(
            Bucket="photos",
            Key="kept",
            UploadId=upload_id,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
        )
    bob.close()


def test_a_form_does_not_replace_the_object_of_another(server: Server, prepared: Wire) -> None:
    server.store.put_bucket_acl("photos", CannedAcl.PUBLIC_READ_WRITE)
    body = (
        b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nkept\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nnew\r\n--x--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = prepared.send("POST", "/photos", body, headers, signed=False)
    assert (answer.status, answer.code) == (403, "AccessDenied"), answer
    assert prepared.send("POST", "/photos", body.replace(b"kept", b"new"), headers, signed=False).status == 204


def test_what_nobody_signed_is_everybodys(server: Server, prepared: Wire) -> None:
    """An anonymous writer is one account with all others, and the bucket's owner has the last word."""
    server.store.put_bucket_acl("photos", CannedAcl.PUBLIC_READ_WRITE)
    server.store.put_object("photos", "open", b"1", caller=ANONYMOUS)
    bob = attrs.evolve(prepared, access_key="bob", secret_key="bob-secret")
    assert bob.send("PUT", "/photos/open", b"2").status == 403
    assert prepared.send("PUT", "/photos/open", b"3", signed=False).status == 200
    assert prepared.send("DELETE", "/photos/open").status == 204
