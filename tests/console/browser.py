"""Chromium before a console: pages that fail a test for whatever they should not do."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from werkzeug.serving import make_server

import bleepstore
from bleepstore import Store
from bleepstore_server import AppConfig, live_server
from bleepstore_server.console.app import Console
from bleepstore_server.metrics.exposition import Metrics
from tests.clients.conftest import need
from tests.console.conftest import ROOT, SECRET

DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}


@attrs.frozen
class Shown:
    """A console at an address, and its store."""

    url: str
    store: Store
    s3_url: str


@contextlib.contextmanager
def show(store: Store) -> Iterator[Shown]:
    """A console in threads of this process, and S3 beside it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with live_server(store) as s3:
        config = AppConfig(public_endpoint=s3.url)
        console = Console(store, config, metrics=Metrics(store))
        server = make_server("127.0.0.1", 0, console, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield Shown(f"http://127.0.0.1:{server.port}", store, s3.url)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    program = need("chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(program), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def shown() -> Iterator[Shown]:
    with bleepstore.open() as store:
        store.put_credential(ROOT, SECRET)
        with show(store) as found:
            yield found


@attrs.define
class Window:
    """A page that is signed in. What it logs as an error, asks in a dialog that no test expects, or throws, is
    collected in `wrong`."""

    page: Any
    shown: Shown
    folder: Path
    wrong: list[str]

    def open(self, path: str) -> None:
        self.page.goto(self.shown.url + path)

    def snap(self, name: str) -> None:
        self.page.screenshot(path=self.folder / f"{name}.png", full_page=True)

    def accept_dialogs(self) -> None:
        """Say yes to what is asked before something is removed, until the end of the test."""
        self.page.on("dialog", lambda dialog: dialog.accept())


@contextlib.contextmanager
def window(chromium: Any, shown: Shown, folder: Path, **options: Any) -> Iterator[Window]:
    context = chromium.new_context(**{"viewport": DESKTOP, **options})
    context.set_default_timeout(20_000)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"threw: {error}"))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    made = Window(page, shown, folder, wrong)
    made.open("/sign-in")
    page.get_by_label("Access key").fill(ROOT)
    page.get_by_label("Secret key").fill(SECRET)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/buckets")
    yield made
    context.close()
    assert not wrong


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Where screenshots go: BLEEPSTORE_SCREENSHOTS, or the test's own folder."""
    folder = Path(os.environ.get("BLEEPSTORE_SCREENSHOTS", tmp_path / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def win(chromium: Any, shown: Shown, screenshots: Path) -> Iterator[Window]:
    with window(chromium, shown, screenshots) as made:
        yield made
