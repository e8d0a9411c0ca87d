"""`bleepstore adopt` shows how far it is, and brings the versions of a lost catalog back."""

from __future__ import annotations

import datetime as dt
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bleepstore
from bleepstore import CompletedPart, Store, Versioning
from bleepstore.backends.gateway.names import Layout
from bleepstore.store.adopting import Adopted
from bleepstore_server.cli import main

FarEnd = Callable[[str], Callable[[], tuple[str, str]]]


class CutOff(Exception):
    """The process ends here."""


def _filled(kind: str, far_end_of: FarEnd, folder: Path, layout: Layout) -> tuple[str, str]:
    """A container in which five objects are stored."""
    url, endpoint = far_end_of(kind)()
    with bleepstore.open(url, catalog=folder / "lost", layout=layout, endpoint_url=endpoint) as store:
        store.create_bucket("photos")
        for number in range(5):
            store.put_object("photos", f"{number}", bytes(200_000))  # too large for the catalog
    return url, endpoint


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("kind", ["aws", "azure", "gcs"])
def test_the_total_is_known_before_and_is_what_is_left_after_a_run_that_was_cut_off(
    kind: str, layout: Layout, far_end_of: FarEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bleepstore.store.adopting._BATCH", 2)
    monkeypatch.setattr("bleepstore.store.adopting._COUNTED", 2)
    url, endpoint = _filled(kind, far_end_of, tmp_path, layout)
    seen: list[tuple[int, int, bool]] = []

    def note(done: Adopted) -> None:
        seen.append((done.seen, done.total, done.resumed))

    def cut(done: Adopted) -> None:
        note(done)
        if done.seen == 2:
            raise CutOff

    options: dict[str, Any] = {"catalog": tmp_path / "catalog", "layout": layout, "endpoint_url": endpoint}
    with bleepstore.open(url, **options, take_over=True) as store:
        with pytest.raises(CutOff):
            store.adopt("photos", cut)
        assert seen == [(0, 2, False), (0, 4, False), (2, 5, False)]
        store.adopt("photos", note)
    # Azure lists the same page again.
    assert seen[-1] == ((5, 5, False) if kind == "azure" else (3, 3, True))


@pytest.mark.parametrize("terminal", [True, False])
def test_adopt_shows_a_bar_on_a_terminal(
    terminal: bool,
    far_end_of: FarEnd,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, endpoint = _filled("gcs", far_end_of, tmp_path, Layout.KEYS)
    stderr = io.StringIO()
    monkeypatch.setattr(stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stderr)
    flags = ["--data", str(tmp_path / "new"), "--backend-url", url, "--backend-endpoint-url", endpoint, "--take-over"]
    main(["adopt", *flags])
    assert "photos: 5 objects adopted" in capsys.readouterr().out
    assert ("photos: 100%" in stderr.getvalue()) == terminal
    assert ("5.00/5.00" in stderr.getvalue()) == terminal


KINDS = pytest.mark.parametrize("kind", ["aws", "azure", "gcs"])
BIG = bytes(200_000)


@pytest.fixture
def lost(kind: str, far_end_of: FarEnd, tmp_path: Path) -> dict[str, Any]:
    """A container with versions whose catalog is lost; how to open it with a new one."""
    url, endpoint = far_end_of(kind)()
    options: dict[str, Any] = {"layout": Layout.BLOBS, "endpoint_url": endpoint}
    with bleepstore.open(url, catalog=tmp_path / "lost", **options) as store:
        store.create_bucket("photos")
        store.put_object("photos", "a", BIG + b"before")
        store.put_bucket_versioning("photos", Versioning.ENABLED)
        for number in range(3):
            store.put_object("photos", "a", BIG + b"%d" % number, tags={"n": f"{number}"})
            store.put_object("photos", "b", BIG + b"%d" % number)
        store.copy_object("photos", "a", "photos", "b")
        upload = store.create_upload("photos", "c")
        part = store.put_part("photos", "c", upload.upload_id, 1, BIG)
        store.complete_upload("photos", "c", upload.upload_id, [CompletedPart(number=1, etag=part.etag)])
        store.put_object("photos", "c", BIG + b"later")
        store.delete_object("photos", "b")
        store.create_bucket("plain")
        store.put_object("plain", "k", BIG)
    return {"path": url, "catalog": tmp_path / "new", **options, "take_over": True}


def _versions(store: Store) -> list[tuple[str, bytes]]:
    found = []
    for row in store.iter_object_versions("photos"):
        with store.get_object("photos", row.key, version_id=row.version_id) as stored:
            found.append((row.key, stored.read().removeprefix(BIG)))
    return found


VERSIONS = [("a", b"2"), ("a", b"1"), ("a", b"0"), ("a", b"before")]
VERSIONS += [("b", b"2"), ("b", b"2"), ("b", b"1"), ("b", b"0"), ("c", b"later"), ("c", b"")]


@KINDS
def test_all_versions_of_a_lost_catalog_come_back_in_their_order(lost: dict[str, Any], kind: str) -> None:
    with bleepstore.open(**lost) as store:
        done = {one.bucket: one for one in store.adopt_all(["photos", "plain"])}
        assert (done["photos"].adopted, done["photos"].kept) == (len(VERSIONS), 0)
        assert store.get_bucket_versioning("photos") is Versioning.ENABLED
        assert store.get_bucket_versioning("plain") is None
        assert _versions(store) == VERSIONS
        assert store.get_object_tags("photos", "a") == {"n": "2"}
        store.sweep(grace=dt.timedelta())
        assert _versions(store) == VERSIONS
        assert store.adopt("photos").known == len(VERSIONS)


@pytest.mark.parametrize("kind", ["gcs"])
def test_what_cannot_be_brought_in_behind_a_later_write_stays_at_the_provider(
    lost: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    with bleepstore.open(**lost) as store:
        with store.jobs.paused():
            store.adoption._make_bucket("photos")
            store.put_object("photos", "a", BIG + b"meanwhile")
            done = list(store.adopt_all(["photos", "plain"]))
        assert sum(one.kept for one in done) == 4
        assert [version for version in _versions(store) if version[0] == "a"] == [("a", b"meanwhile")]
        names = sorted(store.adoption._require_gateway().names("photos"))
        store.sweep(grace=dt.timedelta())
        assert sorted(store.adoption._require_gateway().names("photos")) == names
