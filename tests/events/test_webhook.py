"""Events by HTTP, with a real receiver."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bleepstore
from bleepstore.errors import InvalidArgument, StoreError
from bleepstore.events import Event
from bleepstore.senders import Message, SendError, message_of, open_sender, test_message
from bleepstore.senders import webhook as module
from bleepstore.senders.webhook import SIGNATURE, Webhook
from tests.events.receiver import Receiver
from tests.events.tools import notify, queue
from tests.serving.conftest import make_certificate


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


OpenWebhook = Callable[..., Webhook]


@pytest.fixture
def open_webhook() -> Iterator[OpenWebhook]:
    """Opens senders that are closed with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(contextlib.closing(Webhook(*arguments, **options)))


def message(key: str) -> Message:
    event = Event(
        name="ObjectCreated:Put", time_ms=1, bucket="photos", owner_id="a", location="", key=key, sequencer=1, size=1
    )
    return message_of(event, "r")


def test_a_batch_is_one_request_with_a_record_for_each_event(open_webhook: OpenWebhook, receiver: Receiver) -> None:
    sender = open_webhook(receiver.url)
    assert sender.send([message("ü"), message("b")]) == 2
    assert sender.send([message("c")]) == 1
    sender.close()
    sender.close()
    assert len(receiver.requests) == 2
    headers, body = receiver.requests[0]
    assert headers["Content-Type"] == "application/json"
    assert SIGNATURE not in headers
    assert [record["s3"]["object"]["key"] for record in json.loads(body)["Records"]] == ["%C3%BC", "b"]


def test_a_test_message_is_sent_as_it_is(open_webhook: OpenWebhook, receiver: Receiver) -> None:
    assert open_webhook(receiver.url).send([test_message("photos", 1_000, "r1")]) == 1
    assert json.loads(receiver.requests[0][1]) == {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "1970-01-01T00:00:01.000Z",
        "Bucket": "photos",
        "RequestId": "r1",
        "HostId": "r1",
    }


@pytest.mark.parametrize("kind", ["secret", "secret_file", "secret_env"])
def test_a_secret_signs_the_time_and_the_body(
    kind: str,
    open_webhook: OpenWebhook,
    receiver: Receiver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "hook.secret").write_text("s3cret\n")
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    value = {"secret": "s3cret", "secret_file": str(tmp_path / "hook.secret"), "secret_env": "HOOK_SECRET"}[kind]
    open_webhook(f"{receiver.url}#{kind}={value}", clock=lambda: 1_700_000_000.9).send([message("a")])
    headers, body = receiver.requests[0]
    digest = hmac.new(b"s3cret", b"1700000000." + body, hashlib.sha256).hexdigest()
    assert headers[SIGNATURE] == f"t=1700000000,v1={digest}"
    assert b"s3cret" not in body


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 410, 429, 500, 503])
def test_what_is_not_taken_is_an_error(open_webhook: OpenWebhook, status: int, receiver: Receiver) -> None:
    """A redirect too: the receiver's address is what the operator says, and no one else."""
    with Receiver() as other:
        receiver.answer = (status, {"Location": other.url}, b"")
        sender = open_webhook(receiver.url)
        with pytest.raises(SendError, match=f"the status {status}"):
            sender.send([message("a")])
        assert len(receiver.requests) == 1
        assert other.requests == []
        receiver.answer = (204, {}, b"")
        assert sender.send([message("a")]) == 1


def test_a_connection_that_the_receiver_has_closed_is_not_used_again(open_webhook: OpenWebhook) -> None:
    is_closed = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for _ in range(2):
                connection, _address = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                is_closed.set()

        thread = threading.Thread(target=answer)
        thread.start()
        sender = open_webhook(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        sender.send([message("a")])
        assert is_closed.wait(60)
        sender.send([message("b")])
        thread.join()


def test_of_a_long_answer_little_is_read(open_webhook: OpenWebhook, receiver: Receiver) -> None:
    receiver.answer = (200, {}, b"x" * 1_000_000)
    sender = open_webhook(receiver.url)
    assert sender.send([message("a")]) == 1
    receiver.answer = (200, {}, b"")
    assert sender.send([message("b")]) == 1


def test_a_receiver_that_says_nothing_is_not_waited_for_long(
    open_webhook: OpenWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sender = open_webhook(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        with pytest.raises(SendError, match="timed out"):
            sender.send([message("a")])


def test_a_receiver_that_drips_is_not_waited_for_long(
    open_webhook: OpenWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then would restart a limit of each wait."""
    monkeypatch.setattr(module, "_REQUEST_SECONDS", 0.3)
    ended = threading.Event()

    def drip(listening: socket.socket) -> None:
        connected, _ = listening.accept()
        with connected:
            while not ended.wait(0.05):
                try:
                    connected.sendall(b"H")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip, args=(listening,))
        thread.start()
        sender = open_webhook(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        with pytest.raises(SendError):
            sender.send([message("a")])
        ended.set()
        thread.join()


def test_a_certificate_is_verified(open_webhook: OpenWebhook, tmp_path: Path) -> None:
    certificate = tmp_path / "server.pem"
    make_certificate(certificate)
    with Receiver() as receiver:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        receiver.wrap(context)
        url = receiver.url.replace("http:", "https:")
        with pytest.raises(SendError, match="CERTIFICATE_VERIFY_FAILED"):
            open_webhook(url).send([message("a")])
        assert open_webhook(f"{url}#ca_file={certificate}").send([message("a")]) == 1


@pytest.mark.parametrize("address", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"])
def test_addresses_of_a_cloud_s_credentials_are_refused(open_webhook: OpenWebhook, address: str) -> None:
    with pytest.raises(StoreError, match="link-local"):
        open_webhook(f"http://{address}/latest/")


def test_a_name_of_such_an_address_is_refused_too(
    open_webhook: OpenWebhook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_is_link_local", lambda text: text == "127.0.0.1")
    with pytest.raises(SendError, match="link-local"):
        open_webhook(receiver.url.replace("127.0.0.1", "localhost")).send([message("a")])
    assert receiver.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/", "host", "http:///path", "https://user:password@host/", "https://host/#wrong=1",
        "https://host/#secret=", "https://host/#secret=a&secret_env=B", "https://host/#secret_file=/none",
        "https://host/#secret_env=BLEEPSTORE_NO_SUCH_VARIABLE", "http://host:port/",
    ],
)  # fmt: skip
def test_a_wrong_url_is_refused_when_the_store_is_opened(url: str) -> None:
    with pytest.raises(StoreError):
        open_sender(url)
    with pytest.raises(StoreError):
        bleepstore.open(event_destinations={"hook": url})


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a/b", "x" * 257])
def test_a_wrong_name_is_refused_when_the_store_is_opened(name: str) -> None:
    with pytest.raises(StoreError, match="no name of a queue"):
        bleepstore.open(event_destinations={name: "http://127.0.0.1/"})


def test_a_receiver_that_is_down_gets_all_of_it_later(tmp_path: Path) -> None:
    with Receiver() as receiver:
        port = receiver.port
        store = bleepstore.open(tmp_path / "store", event_destinations={"hook": receiver.url})
        store.create_bucket("photos")
        notify(store, queue("hook"))
        assert json.loads(receiver.requests[0][1])["Event"] == "s3:TestEvent"
    with store:
        for key in "abc":
            store.put_object("photos", key, b"")
        store.jobs.run("events")
        (status,) = store.event_destinations()
        assert status.waiting == 3
        assert "cannot be reached" in str(status.error)
        with pytest.raises(InvalidArgument, match="Unable to validate"):
            notify(store, queue("hook"))
        with Receiver(port) as receiver:
            store.jobs.run("events")
            assert receiver.keys == ["a", "b", "c"]
            assert store.event_destinations()[0].waiting == 0
