"""SIGHUP: new workers with the configuration and the certificate as they are now, and no request that is lost."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from botocore.exceptions import ClientError

from tests.serving.conftest import Served, make_certificate
from tests.stopping import stop

Serve = Callable[..., Served]
pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="sees workers by Linux's /proc")


def reloaded(server: Served, before: set[int]) -> None:
    """Tell a server to read its configuration again, and wait until its workers are new ones."""
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 30
    while not (now := workers_of(server)) or now & before:
        assert time.monotonic() < deadline, "the workers stayed"
        os.sched_yield()


def workers_of(server: Served) -> set[int]:
    pid = server.process.pid
    return {int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def region_of(server: Served) -> str:
    """By a new connection."""
    client = server.client()
    region = client.head_bucket(Bucket="photos")["BucketRegion"]
    client.close()
    return region


def test_sighup_reads_the_configuration_and_the_certificate_again(
    serve: Serve, tmp_path: Path, certificate: Path
) -> None:
    file, chain = tmp_path / "bleepstore.toml", tmp_path / "chain.pem"
    shutil.copyfile(certificate, chain)
    shutil.copyfile(certificate.with_suffix(".key"), chain.with_suffix(".key"))
    file.write_text('region = "eu-west-1"\n')
    server = serve("--config", str(file), "--workers", "1", certificate=chain)
    server.client().create_bucket(Bucket="photos")
    assert region_of(server) == "eu-west-1"

    make_certificate(chain)
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{server.url}/healthz", verify=str(chain), timeout=30)
    file.write_text('region = "ap-south-1"\nclient_timeout = 7\nupload_expiry_days = 3\n')
    reloaded(server, workers_of(server))
    assert region_of(server) == "ap-south-1"

    other = f'data = "{tmp_path / "elsewhere"}"\nhost = "0.0.0.0"\nlog_format = "json"\nadmin_port = 1\n'
    file.write_text(f'region = "us-west-2"\n{other}')
    reloaded(server, workers_of(server))
    assert region_of(server) == "us-west-2"
    assert not (tmp_path / "elsewhere").exists()

    server.process.send_signal(signal.SIGTERM)
    log, _ = server.process.communicate(timeout=40)
    assert server.process.returncode == 0
    assert "these settings only change when the server is started again: host, admin_port, log_format" in log


@contextlib.contextmanager
def load(server: Served, path: str, keeps_alive: bool) -> Iterator[list[object]]:
    """A block while which a client asks one thing after the other, and tries nothing twice. Gives what it got: the
    status of each answer, or an error."""
    answers: list[object] = []
    ended = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        while not ended.is_set():
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                answers.append(answer.status)
            except (OSError, http.client.HTTPException) as error:
                answers.append(error)
                connection.close()
            if not keeps_alive:
                connection.close()
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        ended.set()
        thread.join()


def test_no_request_is_lost_under_load(serve: Serve) -> None:
    server = serve("--workers", "2")
    s3 = server.client(signature_version="s3v4")
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="cat", Body=bytes(100_000))
    link = s3.generate_presigned_url("get_object", {"Bucket": "photos", "Key": "cat"}).removeprefix(server.url)
    s3.close()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(load(server, link, keeps_alive)) for keeps_alive in (True, False, False)]
        reloaded(server, workers_of(server))
        seen = [len(answers) for answers in clients]
        while any(len(answers) < before + 10 for answers, before in zip(clients, seen, strict=True)):
            os.sched_yield()
    for answers in clients:
        assert set(answers) == {200}, [answer for answer in answers if answer != 200]


def test_what_workers_could_not_begin_with_is_refused(serve: Serve, tmp_path: Path, certificate: Path) -> None:
    file = tmp_path / "bleepstore.toml"
    file.touch()
    shutil.copyfile(certificate, tmp_path / "chain.pem")
    make_certificate(tmp_path / "other.pem")
    server = serve("--config", str(file), "--workers", "1")
    assert server.process.stdout is not None
    for text, said in (
        (
            f'tls_cert = "{tmp_path}/chain.pem"\ntls_key = "{tmp_path}/other.key"',
            "tls_cert and tls_key: they cannot be",
        ),
        (f'encryption_key_file = "{tmp_path}/none"', "there is no file"),
        ("threads = 0", "threads: 0 is not at least 1"),
        (
            f'event_destinations = ["a=redis://h/0?stream=s&password_file={tmp_path}/none"]',
            f"event_destinations: a: password_file: {tmp_path}/none: No such file",
        ),
    ):
        file.write_text(text)
        server.process.send_signal(signal.SIGHUP)
        while "the old one stays" not in (line := server.process.stdout.readline()):
            assert line, "the server has ended"
        assert said in line
    assert requests.get(f"{server.url}/healthz", timeout=30).status_code == 200


def test_a_store_in_memory_that_could_not_begin_anew_stays(serve: Serve, tmp_path: Path) -> None:
    """With all that is in it: its worker goes on."""
    file = tmp_path / "bleepstore.toml"
    file.touch()
    server = serve("--config", str(file), "--workers", "1", data=Path(":memory:"))
    server.client().create_bucket(Bucket="photos")
    before = workers_of(server)
    file.write_text(f'init = "{tmp_path}/none.toml"')
    assert server.process.stdout is not None
    for _ in range(2):  # when the second is refused, whatever the first one did has been done
        server.process.send_signal(signal.SIGHUP)
        assert "the old one stays: init: " in server.process.stdout.readline()
    assert workers_of(server) == before
    assert region_of(server) == "us-east-1"


#: Workers take two seconds before they have handlers of signals.
SLOW = """
import time
from bleepstore_server.worker import Worker
begin = Worker.init_process
Worker.init_process = lambda self: (time.sleep(2), begin(self))
"""


@pytest.mark.slow
def test_of_two_hangups_the_second_ends_the_workers_of_the_first(serve: Serve, tmp_path: Path) -> None:
    """Also while these begin: two workers would have a store in memory each."""
    file = tmp_path / "bleepstore.toml"
    file.touch()
    server = serve("--config", str(file), "--workers", "1", data=Path(":memory:"), before=SLOW)
    (first,) = workers_of(server)
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 20
    while first in workers_of(server):
        assert time.monotonic() < deadline
        os.sched_yield()
    (second,) = workers_of(server)  # which begins
    server.process.send_signal(signal.SIGHUP)
    while second in workers_of(server) or not workers_of(server):
        assert time.monotonic() < deadline, "it was not told to end"
        os.sched_yield()
    assert requests.get(f"{server.url}/healthz", timeout=30).status_code == 200


def test_a_configured_key_that_is_taken_away_does_not_come_back(serve: Serve, tmp_path: Path) -> None:
    """A store in memory has no other key."""
    file = tmp_path / "bleepstore.toml"
    file.write_text('access_key = "OLD"\nsecret_key = "old secret"\n')
    server = serve("--config", str(file), "--workers", "1", data=Path(":memory:"), keys=False)
    server.client("OLD", "old secret").create_bucket(Bucket="photos")
    file.write_text("")
    server.process.send_signal(signal.SIGHUP)
    assert server.process.stdout is not None
    assert "the old one stays: access_key: a store in memory" in server.process.stdout.readline()
    file.write_text('access_key = "NEW"\nsecret_key = "new secret"\n')
    reloaded(server, workers_of(server))
    server.client("NEW", "new secret").create_bucket(Bucket="photos")
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        server.client("OLD", "old secret").list_buckets()


def test_what_waits_for_a_worker_that_hangs_is_answered_by_another(serve: Serve) -> None:
    server = serve("--workers", "2")
    stopped = min(workers_of(server))
    stop(stopped)
    try:
        for _ in range(12):  # half of them would wait for the worker that is stopped
            assert requests.get(f"{server.url}/healthz", timeout=20).status_code == 200
    finally:
        os.kill(stopped, signal.SIGCONT)


def test_who_waits_for_a_worker_that_ends_is_answered_by_the_next(serve: Serve) -> None:
    server = serve("--workers", "1")
    (worker,) = workers_of(server)
    stop(worker)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", "/healthz")  # it is connected, and nobody has accepted it
    os.kill(worker, signal.SIGKILL)
    assert connection.getresponse().status == 200
    connection.close()
