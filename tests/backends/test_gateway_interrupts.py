"""Work at a provider ends before an interrupt closes its store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import bleepstore
from bleepstore import DeleteEntry, Store
from bleepstore.backends.aws.backend import AwsBackend
from bleepstore.backends.gateway.names import Layout
from tests.interrupts import InterruptedStart


def delete(store: Store) -> None:
    store.delete_objects("photos", [DeleteEntry(key=key) for key in "ab"])


def adopt(store: Store) -> None:
    store.adopt("photos")


@pytest.mark.parametrize(("method", "act"), [("remove", delete), ("_head", adopt)])
def test_nothing_is_under_way_after_an_interrupt(
    method: str,
    act: Callable[[Store], None],
    far_end_of: Callable[[str], Callable[[], tuple[str, str]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, endpoint = far_end_of("aws")()

    def opened() -> Store:
        return bleepstore.open(url, catalog=tmp_path / "store", layout=Layout.KEYS, endpoint_url=endpoint)

    with opened() as store:
        store.create_bucket("photos")
        for key in "ab":
            store.put_object("photos", key, b"x")
    interrupted = InterruptedStart(monkeypatch, AwsBackend, method)

    def use() -> None:
        with opened() as store:
            act(store)

    with pytest.raises(KeyboardInterrupt):
        use()
    left = [*interrupted.under_way]
    interrupted.is_over.set()
    assert left == []
