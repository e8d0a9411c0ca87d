"""Why something is allowed or denied: from Python, and on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bleepstore
from bleepstore import ANONYMOUS, Action, Caller, Ground, Owner, Store
from bleepstore.errors import NoSuchBucket
from bleepstore_server.cli import main

TEAM, APP = Caller(Owner("team")), Caller(Owner("app"))


def statement(effect: str, sid: str, action: str, **more: Any) -> dict[str, Any]:
    resource = "arn:aws:s3:::uploads" + ("" if "Bucket" in action else "/in/*")
    made = {"Sid": sid, "Effect": effect, "Principal": {"AWS": "app"}, "Action": action, "Resource": resource}
    return {**made, **more}


POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            statement("Allow", "Reads", "s3:GetObject"),
            statement("Allow", "Writes", "s3:PutObject", Condition={"StringEquals": {"s3:x-amz-acl": "private"}}),
            statement("Deny", "OnlyByTls", "s3:PutObject", Principal="*", Condition={
                "Bool": {"aws:SecureTransport": "false"}}),
            statement("Allow", "Lists", "s3:ListBucket", Condition={"StringLike": {"s3:prefix": "in/*"}}),
        ],
    }
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with bleepstore.open(tmp_path / "store") as store:
        store.create_bucket("uploads", caller=TEAM)
        store.put_credential("APP", "secret", owner=APP.account)
        store.put_object("uploads", "in/a", b"1", caller=TEAM)
        store.put_bucket_policy("uploads", POLICY, caller=TEAM)
    return tmp_path / "store"


@pytest.fixture
def uploads(folder: Path) -> Iterator[Store]:
    with bleepstore.open(folder) as store:
        yield store


def test_the_statement_that_decides_is_named(uploads: Store) -> None:
    found = uploads.access.explain(Action.GET_OBJECT, "uploads", "in/a", caller=APP)
    assert found.allowed
    assert found.decision.ground is Ground.POLICY_ALLOWS
    assert found.decision.statement is not None
    assert found.decision.statement.sid == "Reads"
    assert found.notes[2:] == (
        "statement 1 (Reads) (Allow) applies",
        "statement 2 (Writes) (Allow) does not apply: it is not about s3:GetObject",
        "statement 3 (OnlyByTls) (Deny) does not apply: it is not about s3:GetObject",
        "statement 4 (Lists) (Allow) does not apply: it is not about s3:GetObject",
    )


def test_each_reason_is_told(uploads: Store) -> None:
    by_tls = Caller(APP.account, secure=True)
    found = uploads.access.explain(Action.PUT_OBJECT, "uploads", "in/b", caller=by_tls)
    assert not found.allowed
    assert found.decision.ground is Ground.NOTHING_ALLOWS
    assert (
        "statement 2 (Writes) (Allow) does not apply: its condition StringEquals s3:x-amz-acl does not hold: the "
        "request has no such value" in found.notes
    )
    assert (
        "statement 3 (OnlyByTls) (Deny) does not apply: its condition Bool aws:SecureTransport does not hold: the "
        "request has 'true'" in found.notes
    )
    found = uploads.access.explain(Action.GET_OBJECT, "uploads", "out/a", caller=APP)
    assert "its resources do not include arn:aws:s3:::uploads/out/a" in str(found)
    found = uploads.access.explain(Action.GET_OBJECT, "uploads", "in/a", caller=ANONYMOUS)
    assert "its principals do not include the caller" in str(found)


def test_what_decides_beside_policies_is_told(uploads: Store) -> None:
    assert uploads.explain_access(Action.GET_OBJECT, "uploads", "in/a").decision.ground is Ground.PROGRAM
    found = uploads.explain_access(Action.GET_OBJECT, "uploads", "in/a", caller=TEAM)
    assert found.decision.ground is Ground.OWNER_OR_ACL
    uploads.delete_bucket_policy("uploads")
    found = uploads.explain_access(Action.GET_OBJECT, "uploads", "in/a", caller=APP)
    assert found.notes == ("The bucket belongs to team.", "The object belongs to team.", "The bucket has no policy.")
    with pytest.raises(NoSuchBucket):
        uploads.explain_access(Action.GET_OBJECT, "none", "in/a", caller=APP)


@pytest.mark.parametrize(
    ("words", "status", "shown"),
    [
        ("--owner-id app s3:GetObject uploads in/a", 0, "statement 1 (Reads) that decides"),
        ("--access-key APP s3:GetObject uploads in/a", 0, "is allowed to app."),
        ("--anonymous s3:GetObject uploads in/a", 1, "is denied to"),
        ("--owner-id app s3:ListBucket uploads", 1, "the request has no such value"),
        ("--owner-id app --with s3:prefix=in/a s3:ListBucket uploads", 0, "statement 4 (Lists) that decides"),
        ("--owner-id app --with x-amz-acl=private s3:PutObject uploads in/b", 0, "statement 2 (Writes) that decides"),
        ("--owner-id app --plain-http --with x-amz-acl=private s3:PutObject uploads in/b", 1, "OnlyByTls"),
        ("--owner-id team s3:PutObject uploads out/b", 0, "The owner of the bucket"),
        ("--owner-id app s3:Unknown uploads", 2, "no operation of this store asks for such an action"),
        ("--access-key NONE s3:GetObject uploads in/a", 2, "there is no key NONE"),
        ("--owner-id app --with prefix s3:ListBucket uploads", 2, "is not KEY=VALUE"),
        ("--owner-id app s3:GetObject none in/a", 2, "NoSuchBucket"),
    ],
)
def test_the_command_line_says_it_too(
    folder: Path, capsys: pytest.CaptureFixture[str], words: str, status: int, shown: str
) -> None:
    assert main(["access", "explain", "--data", str(folder), *words.split()]) == status
    captured = capsys.readouterr()
    assert shown in captured.out + captured.err
