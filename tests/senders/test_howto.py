"""docs/howto/events-to-brokers.md is true: its commands and programs run, with a real broker and a real server."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import bleepstore
from tests.senders.brokers import BROKERS, PASSWORD, Broker
from tests.senders.test_brokers import restarts
from tests.serving.conftest import Served

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "events-to-brokers.md"
SECTIONS = {"redis": "Redis streams", "rabbitmq": "RabbitMQ", "kafka": "Kafka", "nats": "NATS JetStream"}
_BLOCK = re.compile(r"^```(py|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks_of(heading: str, broker: Broker | None = None) -> list[tuple[str, str]]:
    """(language, text) of a section; with the broker's own port."""
    (section,) = [part for part in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE) if part.startswith(heading)]
    port = "" if broker is None else str(broker.port)
    return [(kind, re.sub(r"localhost:\d+", f"127.0.0.1:{port}", text)) for kind, text in _BLOCK.findall(section)]


def test_each_broker_has_a_section() -> None:
    assert SECTIONS.keys() == BROKERS.keys()


@restarts
def test_a_reader_gets_the_event(
    broker: Broker, serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", PASSWORD)
    (kind,) = [kind for kind, made in BROKERS.items() if type(broker) is made]
    scope: dict[str, object] = {"__name__": "__main__"}
    for language, text in blocks_of(SECTIONS[kind], broker):
        if language == "py":
            exec(text, scope)
            continue
        arguments = shlex.split(text)
        assert arguments[:2] == ["bleepstore", "serve"]
        served = serve(*arguments[2:], data=tmp_path / "data", environ={"BROKER_PASSWORD": PASSWORD})
        s3 = served.client()
        scope["s3"] = s3
        s3.create_bucket(Bucket="photos")
        # What the page shows for all of them.
        exec(next(text for text in re.findall(r"^```py\n(.*?)^```", PAGE.read_text(), re.M | re.S)), scope)
        s3.put_object(Bucket="photos", Key="cat.jpg", Body=b"...")
        served.kill()
        (_, _, url) = arguments[-1].partition("=")
        with bleepstore.open(tmp_path / "data", event_destinations={"orders": url}) as store:
            store.jobs.run("events")  # what the server did not come to
            (orders,) = store.event_destinations()
            assert (orders.waiting, orders.error) == (0, None)
    assert scope["keys"] == ["cat.jpg"]
