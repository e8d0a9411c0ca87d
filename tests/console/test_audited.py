"""What is done in the console is in the audit log, as what comes in by the other doors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
import pytest
from werkzeug.test import Client

from bleepstore import Store
from bleepstore_server.audit import AuditLog
from bleepstore_server.console.app import Console
from bleepstore_server.metrics.exposition import Metrics
from tests.console.conftest import ROOT, SECRET, Visitor


@attrs.define
class Lines:
    """A target that keeps all, or takes nothing."""

    lines: list[dict[str, Any]] = attrs.field(factory=list)
    is_full: bool = False

    @property
    def has_failed(self) -> bool:
        return self.is_full

    def write(self, lines: Sequence[bytes]) -> int:
        self.lines += [json.loads(line) for line in lines]
        return 0

    def is_failing(self) -> bool:
        return self.is_full

    def close(self) -> None:
        pass

    def take(self) -> list[tuple[Any, ...]]:
        """(operation, bucket, key, outcome) of what came since."""
        found = [tuple(line.get(name) for name in ("operation", "bucket", "key", "outcome")) for line in self.lines]
        self.lines.clear()
        return found


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture(params=[False], ids=["changes"])
def audited(lines: Lines, new_console: Callable[..., Console], request: pytest.FixtureRequest) -> Iterator[Visitor]:
    log = AuditLog([lines], reads=request.param, refuses=True, failed=lambda _lost: None)
    visitor = Visitor(Client(new_console(audit=log)))
    visitor.sign_in()
    yield visitor
    log.close()


def test_signing_in_and_out_is_audited(audited: Visitor, lines: Lines) -> None:
    begin, line = lines.lines
    assert begin["operation"] == "Begin"
    assert (line["door"], line["operation"], line["access_key"], line["outcome"]) == (
        "console", "SignIn", ROOT, "success"
    )  # fmt: skip
    assert line["principal"]
    assert SECRET not in json.dumps(line)
    lines.take()
    audited.post("/sign-out")
    audited.post("/sign-in", {"access_key": "mallory", "secret_key": "guess"})
    out, tried = lines.lines
    assert (out["operation"], out["access_key"], out["outcome"]) == ("SignOut", ROOT, "success")
    assert (tried["operation"], tried["access_key"], tried["outcome"]) == ("SignIn", "mallory", "denied")
    assert "principal" not in tried


def test_what_changes_something_is_audited_and_what_shows_it_is_not(audited: Visitor, lines: Lines) -> None:
    lines.take()
    audited.post("/buckets", {"bucket": "photos"})
    audited.send("PUT", "/buckets/photos/objects?key=a%20cat", b"a cat")
    audited.send("PUT", "/buckets/photos/objects?key=dog", b"a dog")
    audited.get("/buckets/photos")
    audited.get("/static/x/console.css")
    audited.post("/buckets/photos/delete", {"key": ["a cat", "dog"]})
    audited.post("/buckets/photos/remove", {"csrf": "wrong"})
    audited.post("/users", {"name": "not a name"})
    assert lines.take() == [
        ("CreateBucket", "photos", None, "success"),
        ("PutObject", "photos", "a cat", "success"),
        ("PutObject", "photos", "dog", "success"),
        ("DeleteObjects", "photos", "a cat", "success"),
        ("DeleteObjects", "photos", "dog", "success"),
        ("RemoveBucket", "photos", None, "denied"),
        ("AddUser", None, "/users/not a name", "failure"),
    ]


@pytest.mark.parametrize("audited", [True], indirect=True, ids=["reads"])
def test_reads_are_audited_if_the_log_has_reads(audited: Visitor, lines: Lines, store: Store) -> None:
    store.create_bucket("photos")
    store.put_object("photos", "cat", b"a cat")
    lines.take()
    audited.get("/buckets/photos/object/download?key=cat")
    assert lines.take() == [("Download", "photos", "cat", "success")]


def test_what_is_refused_for_want_of_rights_is_audited(
    audited: Visitor, lines: Lines, new_console: Callable[..., Console], store: Store
) -> None:
    store.users.add("reader")
    store.put_credential("READER", "its secret", user="reader")
    audited.sign_in("READER", "its secret")
    lines.take()
    audited.get("/users")
    assert lines.take() == [("ShowUsers", None, "/users", "denied")]


def test_a_form_that_cannot_be_read_is_audited_too(audited: Visitor, lines: Lines) -> None:
    lines.take()
    assert audited.post("/buckets", {"bucket": "a" * 3_000_000}).status_code == 413
    assert lines.take() == [("CreateBucket", None, "/buckets", "failure")]


def test_nothing_is_done_that_a_full_log_would_not_know(audited: Visitor, lines: Lines, store: Store) -> None:
    lines.is_full = True
    answer = audited.post("/buckets", {"bucket": "photos"})
    assert answer.status_code == 503
    assert not list(store.iter_buckets())
    assert audited.get("/buckets").status_code == 200


def test_figures_are_those_of_the_server(new_console: Callable[..., Console], store: Store) -> None:
    store.create_bucket("photos")
    store.put_object("photos", "cat", bytes(1024))
    visitor = Visitor(Client(new_console(metrics=Metrics(store))))
    visitor.sign_in()
    figures = visitor.get("/status/figures").get_json()
    shown = figures["shown"]
    assert (shown["buckets"], shown["objects"], shown["stored"]) == ("1", "1", "1.0 KiB")
    assert figures["counters"] == {"requests": 0, "errors": 0, "received": 0, "sent": 0}
    assert 'data-rate="errors"' in visitor.get("/status").text
