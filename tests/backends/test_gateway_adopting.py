"""`bleepstore adopt` shows how far it is."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bleepstore
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
