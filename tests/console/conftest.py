"""A store in memory, its console, and somebody who is signed in."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from werkzeug.test import Client, TestResponse

import bleepstore
from bleepstore import Store
from bleepstore_server import AppConfig
from bleepstore_server.console.app import Console
from bleepstore_server.console.shared import Shared

ROOT, SECRET = "ROOT", "the-secret-of-the-root"
MOUNTED = "/console"


@attrs.define
class Clock:
    """The time of a store, in milliseconds."""

    now_ms: int = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@attrs.define
class Visitor:
    """A browser without scripts."""

    client: Client
    csrf: str = ""

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(path, base_url=f"http://localhost{MOUNTED}/", **options)

    def post(self, path: str, fields: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        data = {"csrf": self.csrf, **(fields or {})}
        return self.client.post(path, data=data, base_url=f"http://localhost{MOUNTED}/", **options)

    def send(self, method: str, path: str, data: bytes = b"", **headers: str) -> TestResponse:
        """As the scripts do."""
        named = {"X-CSRF-Token": self.csrf, "Accept": "application/json"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open(path, method=method, data=data, headers=named, base_url=f"http://localhost{MOUNTED}/")

    def sign_in(self, access_key: str = ROOT, secret_key: str = SECRET, **more: str) -> TestResponse:
        answer = self.post("/sign-in", {"access_key": access_key, "secret_key": secret_key, **more})
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', self.get("/buckets").text)
        self.csrf = found[1] if found else ""
        return answer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Iterator[Store]:
    with bleepstore.open(clock=clock) as opened:
        opened.put_credential(ROOT, SECRET)
        yield opened


@pytest.fixture
def new_console(store: Store) -> Iterator[Callable[..., Console]]:
    with contextlib.ExitStack() as stack:
        shared = Shared(clock=lambda: 1000.0)
        stack.callback(shared.close)

        def make(config: AppConfig | None = None, **options: Any) -> Console:
            return Console(store, config, **{"port": 9000, "shared": shared, **options})

        yield make


@pytest.fixture
def stranger(new_console: Callable[..., Console]) -> Visitor:
    """Nobody who is signed in."""
    return Visitor(Client(new_console()))


@pytest.fixture
def visitor(stranger: Visitor) -> Visitor:
    """The root of the account."""
    assert stranger.sign_in().status_code == 303
    return stranger
