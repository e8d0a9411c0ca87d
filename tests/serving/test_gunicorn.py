"""What gunicorn does otherwise than S3 clients need, and what we do about it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import boto3
import pytest
from botocore.config import Config

from tests.serving.conftest import ACCESS_KEY, LEGACY_ACLS, SECRET_KEY, Served, clean_environment

Serve = Callable[..., Served]
LISTENING = "0A"


def exchange(port: int, request: bytes) -> bytes:
    """What the server answers until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        received = b""
        while data := connection.recv(65536):
            received += data
    return received


def test_metadata_names_with_underscores_survive(shared_plain: Served) -> None:
    s3 = shared_plain.client()
    s3.create_bucket(Bucket="underscores")
    s3.put_object(Bucket="underscores", Key="k", Body=b"", Metadata={"my_key": "1", "my-key": "2"})
    assert s3.head_object(Bucket="underscores", Key="k")["Metadata"] == {"my_key": "1", "my-key": "2"}


def test_header_names_with_underscores_do_not_pose_as_others(shared_plain: Served) -> None:
    request = (
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nSCRIPT_NAME: /evil\r\nContent_Length: 5\r\nConnection: close\r\n\r\n"
    )
    assert exchange(shared_plain.port, request).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414", b"InvalidURI"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 20000 + b"\r\n\r\n", b"400", b"RequestHeaderSectionTooLarge"),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"a%d: b\r\n" % i for i in range(600)) + b"\r\n",
            b"400",
            b"RequestHeaderSectionTooLarge",
        ),
        (b"nonsense\r\n\r\n", b"400", b"BadRequest"),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", b"400", b"BadRequest"),
        (
            b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"400",
            b"BadRequest",
        ),
        (b"PUT /b/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x-odd\r\n\r\n", b"501", b"NotImplemented"),
    ],
)
def test_what_gunicorn_refuses_is_answered_in_s3_xml(
    shared_plain: Served, request_bytes: bytes, status: bytes, code: bytes
) -> None:
    answer = exchange(shared_plain.port, request_bytes)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"<Code>" + code + b"</Code>" in answer
    assert b"<RequestId>" in answer


def test_a_key_of_1024_bytes_fits_when_every_byte_is_encoded(shared_plain: Served) -> None:
    s3 = shared_plain.client(signature_version="s3v4")
    s3.create_bucket(Bucket="long-keys")
    key = "é" * 512
    s3.put_object(Bucket="long-keys", Key=key, Body=b"data")
    assert s3.list_objects_v2(Bucket="long-keys")["Contents"][0]["Key"] == key


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_clients_that_stall_do_not_keep_the_threads(serve: Serve, certificate: Path, scheme: str) -> None:
    tls = scheme == "https"
    server = serve(
        "--workers", "1", "--threads", "2", "--client-timeout", "1", certificate=certificate if tls else None
    )
    s3 = server.client()
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="big", Body=bytes(64 * 1024 * 1024))
    put = s3.generate_presigned_url("put_object", Params={"Bucket": "photos", "Key": "k"}).partition(str(server.port))[
        2
    ]
    get = s3.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "big"}).partition(
        str(server.port)
    )[2]
    stalls = [
        f"PUT {put} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 100\r\n\r\nabc",  # a body that stops
        f"GET {get} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n",  # an answer that nobody reads
        "GET / HTTP/1.1\r\nHost:",  # a header that stops
    ]
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(2):
            for stall in stalls:
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                if tls:
                    context = ssl.create_default_context(cafile=str(certificate))
                    connection = stack.enter_context(context.wrap_socket(connection, server_hostname="localhost"))
                connection.sendall(stall.encode())
                connections.append(connection)
            if tls:
                greeting = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                greeting.sendall(b"\x16\x03\x01")  # a handshake that stops
        assert s3.list_buckets()["Buckets"][0]["Name"] == "photos"  # botocore waits for a minute at the most
        connections[0].settimeout(30)
        answer = b""  # whose head and body may come apart
        while b"</Error>" not in answer and (more := connections[0].recv(65536)):
            answer += more
        assert b"<Code>RequestTimeout</Code>" in answer
    assert "Contents" in s3.list_objects_v2(Bucket="photos")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_clients_that_send_nothing_have_no_thread(serve: Serve, certificate: Path, scheme: str) -> None:
    server = serve("--workers", "1", "--threads", "2", certificate=certificate if scheme == "https" else None)
    # By itself gunicorn gives each idle connection a thread for 5 seconds: that is 50 seconds until it is our turn.
    s3 = server.client(read_timeout=20, retries={"total_max_attempts": 1})
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        assert s3.list_buckets()["Buckets"] == []


#: What begins a request that then comes byte by byte, and the error that it ends in.
DROPS = {
    "GET / HTTP/1.1\r\nHost: x\r\nX-Drop: ": None,
    "PUT /photos/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n": "NoSuchBucket",
    (
        "POST /photos HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    ): "RequestTimeout",
}


def answer_to_drops(server: Served, start: str) -> bytes:
    """What a client gets that sends a byte five times a second until the server ends the connection."""
    answer = b""
    with contextlib.ExitStack() as stack:
        slow = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        if server.certificate is not None:
            context = ssl.create_default_context(cafile=str(server.certificate))
            slow = stack.enter_context(context.wrap_socket(slow, server_hostname="localhost"))
        slow.sendall(start.encode())
        slow.settimeout(0.2)
        for _ in range(300):
            try:
                data = slow.recv(65536)
            except TimeoutError:
                with contextlib.suppress(OSError):  # the server has ended the connection
                    slow.sendall(b"x")
                continue
            except ConnectionError:
                return answer
            if not data:
                return answer
            answer += data
    raise AssertionError(f"not ended: {start}")


@pytest.mark.parametrize("scheme", ["http", pytest.param("https", marks=pytest.mark.slow)])
def test_drops_are_cut_off(serve: Serve, certificate: Path, scheme: str) -> None:
    threads = str(len(DROPS))
    server = serve("--workers", "1", "--threads", threads, certificate=certificate if scheme == "https" else None)
    with concurrent.futures.ThreadPoolExecutor(len(DROPS)) as pool:
        answers = list(pool.map(functools.partial(answer_to_drops, server), DROPS))
    for answer, code in zip(answers, DROPS.values(), strict=True):
        assert (f"<Code>{code}</Code>".encode() in answer) if code else not answer
    assert server.client().list_buckets()["Buckets"] == []


@pytest.mark.slow
def test_only_the_fields_of_a_form_are_hurried(serve: Serve) -> None:
    server = serve("--workers", "1", *LEGACY_ACLS)
    server.client().create_bucket(Bucket="open", ACL="public-read-write")
    part = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s'
    fields, data = part % (b"key", b"k\r\n") + part % (b'file"; filename="f', b""), bytes(70_000)
    length = len(fields) + len(data) + len(b"\r\n--x--\r\n")
    head = "POST /open HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as slow:
        slow.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + fields)
        for start in range(0, len(data), 10_000):
            time.sleep(1.2)  # what is tested is that the time that this takes is no reason to end it
            slow.sendall(data[start : start + 10_000])
        slow.sendall(b"\r\n--x--\r\n")
        assert slow.recv(65536).startswith(b"HTTP/1.1 204 ")
    assert server.client().list_objects_v2(Bucket="open")["Contents"][0]["Size"] == len(data)


@pytest.mark.skipif(sys.platform != "linux", reason="SO_REUSEPORT shares connections out on Linux only")
def test_each_worker_listens_on_a_socket_of_its_own(serve: Serve) -> None:
    server = serve("--workers", "3")
    address = f"{server.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert sum(row[1].endswith(":" + address) and row[3] == LISTENING for row in rows) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/net/unix is Linux's")
def test_there_is_no_control_socket(serve: Serve) -> None:
    before = set(Path("/proc/net/unix").read_text().split())
    serve()
    made = {word for word in set(Path("/proc/net/unix").read_text().split()) - before if "/" in word}
    assert not [name for name in made if "gunicorn" in name]


def test_plain_http_at_the_tls_port_does_no_harm(serve: Serve, certificate: Path) -> None:
    server = serve(certificate=certificate)
    assert exchange(server.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    assert server.client().list_buckets()["Buckets"] == []


def test_https_serves_the_configured_certificate(serve: Serve, certificate: Path) -> None:
    server = serve(certificate=certificate)
    with (
        socket.create_connection(("127.0.0.1", server.port)) as plain,
        ssl.create_default_context(cafile=str(certificate)).wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        assert tls.version() in ("TLSv1.2", "TLSv1.3")


@contextlib.contextmanager
def gunicorn(data: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], TextIO]]:
    """gunicorn with the app from the environment, and its log. It has ended after the block."""
    environ = clean_environment(
        BLEEPSTORE_DATA=str(data), BLEEPSTORE_ACCESS_KEY=ACCESS_KEY, BLEEPSTORE_SECRET_KEY=SECRET_KEY
    )
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "gunicorn", "--log-level", "info", *options, "bleepstore_server:app_from_env()"]
    with os.fdopen(reading) as log:
        process = subprocess.Popen(command, env=environ, stderr=writing, text=True)
        os.close(writing)
        try:
            yield process, log
        finally:
            process.terminate()
            log.read()
            assert process.wait(timeout=40) == 0


@pytest.mark.parametrize(("options", "warns"), [((), True), (("-k", "bleepstore_server.worker.Worker"), False)])
def test_a_gunicorn_without_our_worker_is_told_the_option(
    tmp_path: Path, options: tuple[str, ...], warns: bool
) -> None:
    hook = tmp_path / "hook.py"
    hook.write_text(
        "import sys\ndef post_worker_init(worker): print('the app is there', file=sys.stderr, flush=True)\n"
    )
    with gunicorn(tmp_path / "data", "-c", str(hook), "--bind", "127.0.0.1:0", *options) as (_process, log):
        lines: list[str] = []
        while not lines or "the app is there" not in lines[-1]:
            lines.append(log.readline())
            assert lines[-1], lines
    told = [line for line in lines if "-c python:bleepstore_server.gunicorn_conf" in line]
    assert len(told) == warns


def test_gunicorn_itself_can_run_the_app_from_the_environment(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        options = ("-c", "python:bleepstore_server.gunicorn_conf", "--bind", f"127.0.0.1:{port}", "--workers", "2")
        with gunicorn(tmp_path / "data", *options) as (process, log):
            booted = 0
            while booted < 2 and (line := log.readline()):
                booted += "Booting worker" in line
            server = Served(process, f"http://127.0.0.1:{port}", tmp_path / "data", "", None)
            s3 = server.client(retries={"max_attempts": 5})
            s3.create_bucket(Bucket="photos")
            s3.put_object(Bucket="photos", Key="k", Body=b"x", Metadata={"a_b": "c"})
            assert s3.head_object(Bucket="photos", Key="k")["Metadata"] == {"a_b": "c"}
            s3.close()


@pytest.mark.parametrize(
    ("expected", "continues"), [("100-continue", True), ("100-Continue", True), ("", False), ("200", False)]
)
def test_expectations(shared_plain: Served, expected: str, continues: bool) -> None:
    with contextlib.closing(shared_plain.client()) as s3:
        s3.create_bucket(Bucket="expected")
        url = s3.generate_presigned_url("put_object", {"Bucket": "expected", "Key": "k"})
    target = url.partition(str(shared_plain.port))[2]
    host = f"127.0.0.1:{shared_plain.port}"
    head = (
        f"PUT {target} HTTP/1.1\r\nHost: {host}\r\nExpect: {expected}\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
    )
    asked = b"HTTP/1.1 100 Continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shared_plain.port), timeout=30) as connection:
        connection.sendall(head.encode())
        received = connection.recv(len(asked)) if continues else b""
        connection.sendall(b"data")
        while data := connection.recv(65536):
            received += data
    assert received.startswith(asked + b"HTTP/1.1 200 OK" if continues else b"HTTP/1.1 200 OK")


def test_a_client_that_did_not_wait_is_not_asked(shared_plain: Served) -> None:
    host = f"127.0.0.1:{shared_plain.port}"
    head = f"PUT /absent/k HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n"
    answer = exchange(shared_plain.port, head.encode() + b"Connection: close\r\n\r\ndata")
    assert answer.startswith(b"HTTP/1.1 404 Not Found")


#: Target, header and status of uploads that are refused whatever their bodies are.
REFUSED_BY_HEADER = [
    ("/absent/k", "", b"404"),
    ("/photos/k", "", b"403"),
    ("/photos/k?X-Amz-Signature=x", "", b"400"),
    ("/photos/k", "Authorization: AWS4-HMAC-SHA256 x\r\n", b"400"),
    ("/photos/k", "Authorization: AWS acceptance:x\r\nDate: now\r\n", b"403"),
    ("/open/k", "x-amz-storage-class: NONE\r\n", b"400"),
    ("/open/k", "x-amz-acl: none\r\n", b"400"),
    ("/open/k", "x-amz-write-offset-bytes: 5\r\n", b"501"),
    ("/open/k", "Content-MD5: x\r\n", b"400"),
    ("/open/k", "x-amz-checksum-crc32: x\r\n", b"400"),
    ("/open/k", "If-None-Match: x\r\n", b"501"),
    ("/open/" + "k" * 1025, "", b"400"),
]


def test_an_upload_that_its_header_refuses_is_not_asked_for(shared_plain: Served) -> None:
    """The answer comes instead of 100 Continue, and ends the connection: the client may send its body or not."""
    with contextlib.closing(shared_plain.client()) as s3:
        s3.create_bucket(Bucket="photos")
        s3.create_bucket(Bucket="open", ACL="public-read-write")
    for target, headers, status in REFUSED_BY_HEADER:
        head = f"PUT {target} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9999\r\n"
        answer = exchange(shared_plain.port, f"{head}{headers}\r\n".encode())
        assert answer.split(b" ")[1] == status, (target, headers, answer)
        assert b"\r\nconnection: close\r\n" in answer.lower()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n", b"400"),
        (b"PUT /b/k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"501"),
        (b"PUT /b/k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", b"400"),
        (b"PUT /b/k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", b"400"),
    ],
)
def test_what_no_server_may_accept(shared_plain: Served, head: bytes, status: bytes) -> None:
    """RFC 9112 sections 3.2, 6.1 and 6.3."""
    answer = exchange(shared_plain.port, head)
    assert answer.split(b" ")[1] == status, answer
    assert b"<Code>" in answer


def test_a_client_that_takes_the_server_for_its_proxy_finds_the_bucket_of_its_url(serve: Serve) -> None:
    """It sends whole URLs, whose host is the one that is signed."""
    served = serve("--workers", "1", "--domains", "s3.test", *LEGACY_ACLS)
    with contextlib.closing(
        boto3.client(
            "s3",
            endpoint_url="http://s3.test",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
            config=Config(proxies={"http": served.url}, s3={"addressing_style": "virtual"}),
        )
    ) as s3:
        s3.create_bucket(Bucket="photos")
        s3.create_bucket(Bucket="secrets")
        s3.put_object(Bucket="photos", Key="a b", Body=b"data", ACL="public-read")
        assert s3.list_objects_v2(Bucket="photos")["Contents"][0]["Key"] == "a b"
        url = s3.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "a b"})
    for host, status in ((b"photos.s3.test", b"200"), (b"secrets.s3.test", b"403")):
        target = url.encode().replace(b"photos.s3.test", host)
        head = b"GET " + target + b" HTTP/1.1\r\nHost: photos.s3.test\r\nConnection: close\r\n\r\n"
        assert exchange(served.port, head).split(b" ")[1] == status, "what was signed is what is done"


#: In a server: the app fails where it should not.
FAULTY = """
from bleepstore_server.app import _App
call = _App.__call__
_App.__call__ = lambda app, environ, start: 1 / 0 if environ["RAW_URI"] == "/fault" else call(app, environ, start)
"""


def test_a_fault_of_ours_is_answered_as_its_method_asks(serve: Serve) -> None:
    served = serve("--workers", "1", before=FAULTY)
    for method, has_body in (("GET", True), ("HEAD", False)):
        request = f"{method} /fault HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
        head, _, body = exchange(served.port, request.encode()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 500 ")
        assert (b"<Code>InternalError</Code>" in body, bool(body)) == (has_body, has_body)
