"""What a policy denies, and what nothing allows, is not to be had by another way of asking for it."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any

import pytest

import bleepstore
from bleepstore import Algorithm, Caller, Checksum, NamedKey, StoreKey
from bleepstore.access import ANONYMOUS, Action, Ground, compile_policy, is_allowed
from bleepstore.errors import AccessDenied, InvalidRequest
from tests.server.conftest import ALICE, BOB, Server
from tests.server.tools import Wire

BUCKET = "arn:aws:s3:::photos"
OBJECTS = f"{BUCKET}/*"
METHOD = "s3:x-amz-server-side-encryption"
ENCRYPTED = {"x-amz-server-side-encryption": "AES256"}


def statement(effect: str, actions: str | list[str], resource: str | list[str] = OBJECTS, **more: Any) -> Any:
    return {"Effect": effect, "Principal": {"AWS": "bob-id"}, "Action": actions, "Resource": resource, **more}


def put_policy(store: bleepstore.Store, *statements: Any) -> None:
    store.put_bucket_policy("photos", json.dumps({"Version": "2012-10-17", "Statement": statements}))


@pytest.fixture
def bob(prepared: Wire) -> Wire:
    return Wire(prepared.url, "bob", "bob-secret")


def test_a_prefix_that_is_no_listings_tells_nothing_of_keys(bob: Wire, server: Server) -> None:
    """ListBucket of a prefix lets nobody see from 404 or 403 whether there is an object elsewhere."""
    put_policy(
        server.store, statement("Allow", "s3:ListBucket", BUCKET, Condition={"StringLike": {"s3:prefix": "a/*"}})
    )
    for target in ("/photos/kept?prefix=a/b", "/photos/none?prefix=a/b", "/photos/none?versionId=null&prefix=a/b"):
        assert (target, bob.send("GET", target).code) == (target, "AccessDenied")
        assert bob.send("HEAD", target).status == 403
    assert bob.send("GET", "/photos?prefix=a/b").status == 200


def test_an_ipv4_client_of_a_server_for_both_kinds_is_of_its_network(bob: Wire, server: Server) -> None:
    store = server.store
    inside = {"aws:SourceIp": ["192.0.2.0/24", "::ffff:198.51.100.0/120"]}
    for effect, operator in (("Deny", "IpAddress"), ("Allow", "NotIpAddress")):
        put_policy(
            store,
            statement("Allow", "s3:ListBucket" if effect == "Deny" else "s3:ListBucketVersions", BUCKET),
            statement(effect, "s3:ListBucket", BUCKET, Condition={operator: inside}),
        )
        bucket = store.get_bucket("photos")
        for address in ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201", "198.51.100.7", "::ffff:198.51.100.7"):
            assert not is_allowed(Action.LIST_BUCKET, Caller(BOB, source_ip=address), bucket), (effect, address)
        for address in ("192.0.3.1", "::ffff:192.0.3.1", "2001:db8::1"):
            assert is_allowed(Action.LIST_BUCKET, Caller(BOB, source_ip=address), bucket), (effect, address)


@pytest.mark.parametrize("condition", [{"Null": {METHOD: "true"}}, {"StringNotEquals": {METHOD: "AES256"}}])
def test_uploads_in_parts_are_decided_by_how_they_began(bob: Wire, server: Server, condition: Any) -> None:
    """A policy that denies what is not encrypted: "you only need to specify the server-side encryption parameters in
    the initial" request."""
    store, caller = server.store, Caller(BOB)
    put_policy(
        store,
        statement("Allow", "s3:PutObject"),
        statement("Deny", "s3:PutObject", Principal="*", Condition=condition),
    )
    assert bob.send("PUT", "/photos/x", b"x").code == "AccessDenied"
    assert bob.send("POST", "/photos/x?uploads").code == "AccessDenied"
    assert bob.send("PUT", "/photos/x", b"x", ENCRYPTED).status == 200
    begun = bob.send("POST", "/photos/x?uploads", headers=ENCRYPTED)
    upload = begun.body.partition(b"<UploadId>")[2].partition(b"<")[0].decode()
    part = bob.send("PUT", f"/photos/x?partNumber=1&uploadId={upload}", b"part")
    done = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{part.headers['etag']}</ETag></Part></CompleteMultipartUpload>"
    )
    completed = bob.send("POST", f"/photos/x?uploadId={upload}", done.encode())
    assert (part.status, completed.status) == (200, 200), completed.body
    assert completed.headers["x-amz-server-side-encryption"] == "AES256"
    # The same from a program, whose arguments say it.
    for encryption in (None, NamedKey()) if "Null" not in condition else (None,):
        with pytest.raises(AccessDenied):
            store.put_object("photos", "y", b"y", encryption=encryption, caller=caller)
        with pytest.raises(AccessDenied):
            store.create_upload("photos", "y", encryption=encryption, caller=caller)
    store.put_object("photos", "y", b"y", encryption=StoreKey(), caller=caller)
    begun_here = store.create_upload("photos", "y", encryption=StoreKey(), caller=caller)
    made = store.put_part("photos", "y", begun_here.upload_id, 1, b"part", caller=caller)
    store.complete_upload(
        "photos", "y", begun_here.upload_id, [bleepstore.CompletedPart(number=1, etag=made.etag)], caller=caller
    )


def test_writes_that_must_be_conditional_may_be_uploads_in_parts(bob: Wire, server: Server) -> None:
    """The policies of "Enforce conditional writes on Amazon S3 buckets"."""
    store, caller = server.store, Caller(BOB)
    unconditional = {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}
    put_policy(
        store,
        statement("Allow", "s3:PutObject"),
        statement("Deny", "s3:PutObject", Principal="*", Condition=unconditional),
    )
    assert bob.send("PUT", "/photos/x", b"x").code == "AccessDenied"
    assert bob.send("PUT", "/photos/x", b"x", {"If-None-Match": "*"}).status == 200
    with pytest.raises(AccessDenied):
        store.put_object("photos", "y", b"y", caller=caller)
    only_new = bleepstore.WriteCondition(if_none_match=True)
    store.put_object("photos", "y", b"y", condition=only_new, caller=caller)
    upload = store.create_upload("photos", "z", caller=caller).upload_id
    part = store.put_part("photos", "z", upload, 1, b"part", caller=caller)
    parts = [bleepstore.CompletedPart(number=1, etag=part.etag)]
    with pytest.raises(AccessDenied):
        store.complete_upload("photos", "z", upload, parts, caller=caller)
    body = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{part.etag}</ETag></Part></CompleteMultipartUpload>"
    ).encode()
    assert bob.send("POST", f"/photos/z?uploadId={upload}", body).code == "AccessDenied"
    assert bob.send("POST", f"/photos/z?uploadId={upload}", body, {"If-None-Match": "*"}).status == 200


def test_a_key_of_an_encryption_is_the_same_by_every_name(bob: Wire, server: Server) -> None:
    key, other = "arn:aws:kms:us-east-1:000000000000:key/team", "arn:aws:kms:us-east-1:000000000000:key/other"
    names = [key, "team", "alias/team", "arn:aws:kms:eu-west-1:111122223333:alias/team", "arn:x:key/team"]
    method = "x-amz-server-side-encryption"
    condition_key = f"s3:{method}-aws-kms-key-id"
    for wanted in names:
        for operator, is_denied in (("StringEquals", True), ("StringNotEquals", False)):
            put_policy(
                server.store,
                statement("Allow", "s3:PutObject"),
                statement("Deny", "s3:PutObject", Condition={operator: {condition_key: wanted}}),
            )
            for name in (*names, other, "other"):
                expected = "AccessDenied" if is_denied is name.endswith("team") else None
                sent = {method: "aws:kms", f"{method}-aws-kms-key-id": name}
                assert bob.send("PUT", "/photos/x", b"x", sent).code == expected, (wanted, operator, name)
    with pytest.raises(AccessDenied):
        server.store.put_object("photos", "y", b"y", encryption=NamedKey(key_id="other"), caller=Caller(BOB))
    server.store.put_object("photos", "y", b"y", encryption=NamedKey(key_id="alias/team"), caller=Caller(BOB))


def test_what_is_denied_is_denied_by_every_way(bob: Wire, server: Server) -> None:
    """A key that is written another way is the same, or another one; and no operation reads or writes it."""
    store, alice = server.store, Caller(ALICE)
    store.put_bucket_versioning("photos", bleepstore.Versioning.ENABLED)
    version = store.put_object("photos", "secret/x", b"SECRET", tags={"a": "b"}, caller=alice).version_id
    store.create_bucket("own", caller=Caller(BOB))
    put_policy(
        store,
        statement("Allow", "s3:*", [BUCKET, OBJECTS]),
        statement("Deny", "s3:*", f"{BUCKET}/secret/*", Principal="*"),
        statement("Deny", "s3:ListBucket*", BUCKET, Principal="*", Condition={"StringNotLike": {"s3:prefix": "kept*"}}),
    )
    before = store.list_object_versions("photos").versions
    upload = store.create_upload("own", "m", caller=Caller(BOB)).upload_id
    key = "/photos/secret/x"
    requests: list[tuple[str, str, bytes, dict[str, str]]] = []
    for target in (
        key,
        "/photos/secret%2Fx",
        "/photos/%73ecret/x",
        f"{key}?versionId={version}",
        f"{key}?partNumber=1",
    ):
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            requests += [(method, target, b"", {}), (method, target, b"", {"If-Match": "*"})]
    for of in (
        "acl",
        "tagging",
        "retention",
        "legal-hold",
        "attributes",
        f"tagging&versionId={version}",
        "uploadId=none",
    ):
        requests.append(("GET", f"{key}?{of}", b"", {"x-amz-object-attributes": "ETag"}))
        requests.append(("PUT", f"{key}?{of}", b"<Tagging/>", {}))
        requests.append(("DELETE", f"{key}?{of}", b"", {}))
    for source in (
        "photos/secret/x",
        "/photos/secret%2Fx",
        f"photos/secret/x?versionId={version}",
        "photos/kept/../secret/x",
    ):
        copy = {"x-amz-copy-source": source}
        requests += [("PUT", "/own/c", b"", copy), ("PUT", "/photos/kept2", b"", copy)]
        requests += [("PUT", f"/own/m?partNumber=1&uploadId={upload}", b"", copy)]
    requests += [("PUT", key, b"", {"x-amz-copy-source": "photos/kept"}), ("POST", f"{key}?uploads", b"", {})]
    for query in ("", "?prefix=secret", "?list-type=2", "?versions", "?Prefix=kept", "?prefix=kept&prefix="):
        requests.append(("GET", f"/photos{query}", b"", {}))
    for method, target, body, headers in requests:
        answer = bob.send(method, target, body, headers)
        assert answer.status >= 400, (method, target, headers)
        assert b"SECRET" not in answer.body
        assert b"secret/x</Key>" not in answer.body
    assert store.list_object_versions("photos").versions == before
    assert store.list_objects("own").objects == []


def test_a_policy_reads_no_secrets_of_a_request(bob: Wire, server: Server) -> None:
    """Variables have the values of condition keys, and of nothing else that a client sends."""
    name = "x-amz-server-side-encryption-customer-key"
    put_policy(server.store, statement("Allow", "s3:PutObject", f"{BUCKET}/${{s3:{name}}}"))
    assert bob.send("PUT", "/photos/guessed", b"x", {name: "guessed"}).code == "AccessDenied"
    put_policy(server.store, statement("Allow", "s3:PutObject", f"{BUCKET}/${{s3:x-amz-storage-class}}"))
    assert bob.send("PUT", "/photos/STANDARD", b"x", {"x-amz-storage-class": "STANDARD"}).status == 200


@pytest.mark.parametrize("operator", ["StringEquals", "StringEqualsIgnoreCase", "StringLike"])
def test_who_does_not_sign_is_everybody(prepared: Wire, server: Server, operator: str) -> None:
    condition = {operator: {"aws:userid": ["AIDA", "anonymous"]}}
    public = statement("Allow", "s3:GetObject", Principal="*", Condition=condition)
    with pytest.raises(AccessDenied):
        put_policy(server.store, public)
    server.store.delete_public_access_block("photos")
    put_policy(server.store, public)
    assert prepared.send("GET", "/photos/kept", signed=False).status == 200
    assert server.store.is_bucket_policy_public("photos")
    server.store.put_public_access_block("photos", bleepstore.PublicAccessBlock(restrict_public_buckets=True))
    assert prepared.send("GET", "/photos/kept", signed=False).code == "AccessDenied"
    explained = server.store.explain_access(Action.GET_OBJECT, "photos", "kept", caller=ANONYMOUS)
    assert explained.decision.ground is Ground.RESTRICTED
    assert prepared.send("GET", "/photos/none", signed=False).code == "AccessDenied"


def test_texts_that_are_no_texts_are_no_policy(prepared: Wire, server: Server) -> None:
    """Half of a character can be written in JSON, and stored nowhere."""
    for element in ('"Principal": {"AWS": "\\ud800"}', '"Principal": "*", "Sid": "\\udfff"'):
        text = f'{{"Statement": {{"Effect": "Deny", {element}, "Action": "s3:GetObject", "Resource": "{OBJECTS}"}}}}'
        answer = prepared.send("PUT", "/photos?policy", text.encode())
        assert (answer.status, answer.code) == (400, "MalformedPolicy"), element


def test_a_policy_of_many_variables_costs_little(prepared: Wire, server: Server) -> None:
    """A pattern is not compiled for each value that a client sends."""
    resources = [f"{BUCKET}/${{aws:UserAgent}}*a{number}*" for number in range(430)]
    put_policy(server.store, statement("Allow", "s3:GetObject", resources, Principal={"AWS": "bob-id"}))
    bucket = server.store.get_bucket("photos")
    began = time.process_time()
    for number in range(5):
        caller = Caller(BOB, user_agent="x" * 6000 + str(number))
        assert not is_allowed(Action.GET_OBJECT, caller, bucket, key="k")
    assert time.process_time() - began < 2  # it took minutes
    assert not is_allowed(Action.GET_OBJECT, ANONYMOUS, bucket, key="k")


def test_a_policy_of_many_actions_takes_little_memory() -> None:
    """Hundreds of them are kept compiled."""
    one = '{"Effect":"Allow","Principal":"*","Action":["s3:*","s3:Get*"],"Resource":"arn:aws:s3:::photos"}'
    policy = compile_policy('{"Statement":[' + ",".join([one] * 200) + "]}", "photos")
    assert len(policy.statements) == 200
    assert all(statement.actions.bit_length() < 512 for statement in policy.statements)


def test_a_late_checksum_of_another_algorithm_is_refused(store: bleepstore.Store) -> None:
    store.create_bucket("photos")
    late = Checksum(Algorithm.SHA1, base64.b64encode(hashlib.sha1(b"x").digest()).decode())
    for algorithm in (None, Algorithm.CRC32):
        with pytest.raises(InvalidRequest):
            store.put_object("photos", "k", b"x", late_checksum=lambda: late, checksum_algorithm=algorithm)
    assert store.list_objects("photos").objects == []
    store.put_object("photos", "k", b"x", late_checksum=lambda: late, checksum_algorithm=Algorithm.SHA1)


@pytest.mark.legacy_acls
def test_an_explanation_sees_objects_as_the_bucket_has_them(store: bleepstore.Store) -> None:
    """What somebody wrote before the bucket's owner owned all is the owner's."""
    alice, bob = Caller(ALICE), Caller(BOB)
    store.create_bucket("other", caller=bob)
    store.create_bucket("photos", caller=alice)
    store.put_bucket_policy("photos", json.dumps({"Statement": [statement("Allow", "s3:PutObject")]}))
    store.put_object("photos", "k", b"k", caller=bob)
    store.put_bucket_ownership("photos", bleepstore.ObjectOwnership.BUCKET_OWNER_ENFORCED)
    assert store.get_object("photos", "k", caller=alice).version.owner == ALICE
    assert store.explain_access(Action.GET_OBJECT, "photos", "k", caller=alice).allowed
    assert not store.explain_access(Action.GET_OBJECT, "photos", "k", caller=bob).allowed
