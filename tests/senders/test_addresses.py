"""URLs of destinations: what is refused, and that no error tells a password."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bleepstore.errors import StoreError
from bleepstore.senders import SCHEMES, Message, SendError, open_sender
from bleepstore.senders.address import CREDENTIALS, parse_address


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://host", "needs the option stream"),
        ("redis://host?stream=", "cannot be read|needs the option stream"),
        ("redis://host/name?stream=s", "number of a database"),
        ("redis://host?stream=s&maxlen=many", "maxlen"),
        ("redis://host?stream=s&stream=t", "twice"),
        ("redis://host?stream=s&colour=red", "no option 'colour'"),
        ("redis://host:port?stream=s", "port"),
        ("redis://?stream=s", "no host"),
        ("redis://host?stream=s&timeout=0", "timeout"),
        ("redis://host?stream=s&timeout=nan", "timeout"),
        ("redis://host?stream=s&timeout=3600", "timeout"),
        ("amqp://host", r"\?queue=NAME"),
        ("amqp://host?queue=q&exchange=e", r"\?queue=NAME"),
        ("amqp://host?queue=q&routing_key=k", r"\?queue=NAME"),
        ("kafka://host", "name of a topic"),
        ("kafka://host/topic?sasl=NONE", "sasl"),
        ("nats://host", "subject"),
        ("nats://host/events.*", "subject"),
        ("sqs+https://user:secret@host/1/q", "environment"),
        ("sns+https://host/topic", "ARN"),
        ("sqs+https://host/1/q?colour=red", "no option 'colour'"),
        ("gopher://host", "schemes are http, https, redis"),
        ("host", "schemes are"),
        ("redis://[::1?stream=s", "cannot be read"),
        ("redis://:pass#word@host?stream=s", "quote special characters with %"),
        ("kafka://host/topic#1", "quote special characters with %"),
    ],
)
def test_a_wrong_url_is_refused_when_it_is_opened(url: str, says: str) -> None:
    with pytest.raises(StoreError, match=says):
        open_sender(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:s3cret@host?colour=s3cret",
        "redis://user:s3cret@host:port?stream=s",
        "redis://user:s3cret@[::1?stream=s",
        "amqp://user:s3cret@host",
        "kafka://user:s3cret@host",
        "nats://user:s3cret@host",
        "sqs+https://user:s3cret@host/1/q",
        "redis://user:s3cret@127.0.0.1:1?stream=s&timeout=1",
        "amqp://user:s3cret@127.0.0.1:1?queue=s&timeout=1",
        "nats://user:s3cret@127.0.0.1:1/s?timeout=1",
        "kafka://user:s3cret@127.0.0.1:1/s?timeout=1",
    ],
)
def test_no_error_tells_a_password(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nor does a log: the last ones find nobody there."""
    with pytest.raises(StoreError) as caught:  # noqa: PT012 - whichever of the two refuses
        sender = open_sender(url)
        sender.send([Message(b"{}", "bucket/key")])
    told = [str(error) for error in (caught.value, caught.value.__cause__, caught.value.__context__)]
    assert not [text for text in (*told, caplog.text) if "s3cret" in text]


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1?stream=s", "amqp://127.0.0.1:1?queue=q", "nats://127.0.0.1:1/s"])
def test_who_refuses_connections_is_not_waited_for(url: str) -> None:
    sender = open_sender(f"{url}{'&' if '?' in url else '?'}timeout=300")
    with pytest.raises(SendError, match=r"(?i)refused|Connect call failed"):
        sender.send([Message(b"{}", "bucket/key")])
    sender.close()


def test_the_parts_of_a_url() -> None:
    address = parse_address("amqps://us%40er:p%2Fw@[::1]:7/v%2Fhost?queue=a%26b&timeout=2.5", CREDENTIALS | {"queue"})
    assert (address.user, address.password()) == ("us@er", "p/w")
    assert address.host_and_port(5671) == ("::1", 7)
    assert address.path == "v/host"
    assert address.options["queue"] == "a&b"
    assert address.timeout == 2.5
    assert str(address) == "amqps://[::1]:7/v/host"
    assert "p/w" not in repr(address)


def test_a_password_is_read_of_a_file_or_the_environment_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    address = parse_address(f"redis://user@host?password_file={file}", CREDENTIALS)
    assert address.password() == "first"
    file.write_text("second\n")
    assert address.password() == "second"
    file.unlink()
    with pytest.raises(SendError, match="cannot be read"):
        address.password()
    monkeypatch.setenv("BROKER_PASSWORD", "third")
    assert parse_address("redis://user@host?password_env=BROKER_PASSWORD", CREDENTIALS).password() == "third"


@pytest.mark.parametrize("scheme", sorted(scheme for scheme, (_, _, extra) in SCHEMES.items() if extra is not None))
def test_a_missing_client_is_named_with_its_extra(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, _, extra = SCHEMES[scheme]
    assert extra is not None
    client = {"redis": "redis", "rabbitmq": "pika", "kafka": "confluent_kafka", "nats": "nats", "aws": "boto3"}[extra]
    monkeypatch.delitem(sys.modules, f"bleepstore.senders.{module}", raising=False)
    for name in [name for name in sys.modules if name == client or name.startswith(f"{client}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, client, None)
    with pytest.raises(StoreError, match=rf"pip install 'bleepstore\[{extra}\]'"):
        open_sender(f"{scheme}://host")
