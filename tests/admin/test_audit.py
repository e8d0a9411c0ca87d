"""The audit log: by real servers, and where it cannot be written."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ClassVar

import pytest
import requests
from botocore.exceptions import ClientError

import bleepstore
from bleepstore_server import AppConfig, create_app, load_config
from bleepstore_server.app_config import ConfigError
from bleepstore_server.audit import AuditLog, FileTarget, SenderTarget, SyslogTarget
from bleepstore_server.exchange import join_fields
from bleepstore_server.monitoring import Monitoring
from tests.admin.signing import Admin
from tests.admin.test_listener import admin_url, ask
from tests.admin.test_metrics import scrape, value
from tests.server.tools import UNSIGNED, Wire
from tests.serving.conftest import ACCESS_KEY, Served, serve

__all__ = ["serve"]


def lines_of(path: Path, count: int) -> list[dict[str, Any]]:
    """So many lines; each is written when its answer is done, which its client may know before."""
    deadline = time.monotonic() + 30
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def audited(tmp_path: Path) -> Iterator[tuple[Any, Path]]:
    """An app, and the audit log of its requests."""
    path = tmp_path / "audit.log"
    path.touch()
    log = AuditLog([FileTarget(path, 0, 0)], reads=False, refuses=False, failed=lambda _lost: None)
    config = AppConfig(access_key="alice", secret_key="alice-secret")
    with bleepstore.open() as store:
        yield create_app(store, config, monitoring=Monitoring(audit=log)), path
    log.close()


DELETES = b"<Delete><Object><Key>a</Key></Object></Delete>"


def environ_of(method: str, target: str, body: bytes) -> dict[str, Any]:
    """A signed request as an app gets it."""
    digest = base64.b64encode(hashlib.md5(body).digest()).decode()
    fields = Wire("http://h").sign(method, target, {"Content-MD5": digest, "Content-Length": str(len(body))}, UNSIGNED)
    path, _, query = target.partition("?")
    return {
        "REQUEST_METHOD": method, "RAW_URI": target, "PATH_INFO": path, "QUERY_STRING": query,
        "REMOTE_ADDR": "127.0.0.1", "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http", "bleepstore.headers": join_fields(fields.items()),
    }  # fmt: skip


def test_each_change_and_each_refusal_has_a_line(serve: Callable[..., Served], tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    served = serve("--audit-log", str(log), "--workers", "2")
    s3 = served.client()
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="a\nb", Body=b"12345")
    s3.get_object(Bucket="photos", Key="a\nb")["Body"].read()
    s3.copy_object(Bucket="photos", Key="copy", CopySource={"Bucket": "photos", "Key": "a\nb"})
    s3.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": "copy"}, {"Key": "never"}]})
    assert ask(f"{served.url}/photos/a", "GET")[0] == 403
    with pytest.raises(ClientError):
        s3.delete_bucket(Bucket="photos")
    found = sorted(lines_of(log, 7), key=lambda line: line["time"])  # two workers write them
    assert [(line["operation"], line["outcome"]) for line in found] == [
        ("CreateBucket", "success"),
        ("PutObject", "success"),
        ("CopyObject", "success"),
        ("DeleteObjects", "success"),
        ("DeleteObjects", "success"),
        ("GetObject", "denied"),
        ("DeleteBucket", "failure"),
    ]
    put, copied, first = found[1:4]
    assert (put["access_key"], put["remote"], put["bucket"], put["key"]) == (ACCESS_KEY, "127.0.0.1", "photos", "a\nb")
    assert (put["door"], put["status"], put["bytes_in"] >= 5) == ("s3", 200, True)
    assert put["principal"]
    assert copied["source"] == "photos/a\nb"
    assert (first["key"], found[4]["key"]) == ("copy", "never")
    assert "access_key" not in found[5], "nobody signed"
    assert found[6]["error_code"] == "BucketNotEmpty"
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_line_is_there_before_its_answer(audited: tuple[Any, Path]) -> None:
    """So what a client was told is in the log, also if the process is killed in the next moment."""
    app, path = audited
    for number, (method, target, body) in enumerate(
        (("PUT", "/photos", b""), ("PUT", "/photos/a", b"1"), ("POST", "/photos?delete", DELETES), ("PUT", "/a", b""))
    ):
        answer = app(environ_of(method, target, body), lambda *_: None)  # of which not a byte was asked for
        assert path.read_bytes().count(b"\n") == number + 1, "".join(map(bytes.decode, answer))
    assert [line["operation"] for line in lines_of(path, 4)] == [
        "CreateBucket", "PutObject", "DeleteObjects", "CreateBucket",
    ]  # fmt: skip
    assert lines_of(path, 4)[2]["bytes_out"] > 0


def test_lines_that_are_ready_together_are_written_together(audited: tuple[Any, Path]) -> None:
    app, path = audited
    gathered: list[Any] = []

    def gather(finished: Any) -> bool:
        gathered.append(finished)
        return True

    app.gather = gather
    for target in ("/photos", "/photos/a", "/photos/b"):
        app(environ_of("PUT", target, b""), lambda *_: None)
    assert path.read_bytes() == b""
    app.conclude(gathered)
    assert [line.get("key") for line in lines_of(path, 3)] == [None, "a", "b"]


def test_what_is_kept_for_lines_is_short(audited: tuple[Any, Path]) -> None:
    """Whatever clients call buckets and methods, and say of themselves."""
    app, path = audited
    long = "x" * 8000
    environ = environ_of("Y" * 8000, f"/{long}", b"")
    environ["bleepstore.headers"]["user-agent"] = long
    app(environ, lambda *_: None)
    (line,) = lines_of(path, 1)
    assert line["bucket"] == long
    assert (len(line["method"]), len(line["user_agent"])) == (32, 512)


@pytest.mark.parametrize(
    ("trusted", "remote"), [("10.0.0.0/8", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.7")], ids=["a stranger", "a proxy"]
)
def test_only_a_trusted_proxy_says_in_the_logs_who_the_client_is(
    serve: Callable[..., Served], tmp_path: Path, trusted: str, remote: str
) -> None:
    log = tmp_path / "audit.log"
    served = serve("--audit-log", str(log), "--access-log", "--workers", "1", "--trusted-proxies", trusted)
    told = {
        "X-Forwarded-For": "203.0.113.7", "X-Real-IP": "203.0.113.8", "Forwarded": "for=203.0.113.9",
        "X-Client-IP": "203.0.113.10", "Client-IP": "203.0.113.11", "True-Client-IP": "203.0.113.12",
    }  # fmt: skip
    s3 = served.client()
    s3.meta.events.register("before-send", lambda request, **_: request.headers.update(told))
    s3.create_bucket(Bucket="photos")  # signed, refused, of STS, and of an administrator
    assert requests.put(f"{served.url}/photos/a", headers=told, timeout=30).status_code == 403
    assert requests.post(f"{served.url}/?Action=AssumeRole", headers=told, timeout=30).status_code >= 400
    assert requests.get(f"{admin_url(served)}/admin/v1/buckets", headers=told, timeout=30).status_code == 401
    found = lines_of(log, 4)
    assert [line["remote"] for line in found] == [remote, remote, remote, "127.0.0.1"], "no proxy is before that"
    assert served.process.stdout is not None
    lines = [json.loads(served.process.stdout.readline()) for _ in range(3)]
    assert [line["remote"] for line in lines] == [remote] * 3


def test_reads_have_lines_if_they_are_asked_for(serve: Callable[..., Served], tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    s3 = serve("--audit-log", str(log), "--audit-reads", "--workers", "1").client()
    s3.list_buckets()
    assert [line["operation"] for line in lines_of(log, 1)] == ["ListBuckets"]


def test_a_file_is_moved_on_when_it_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bleepstore_server.audit._LOOK_SECONDS", -1)
    path = tmp_path / "audit.log"
    targets = [FileTarget(path, 100, 2) for _ in range(2)]
    for number in range(20):
        assert targets[number % 2].write([b"%040d\n" % number]) == 0
    kept = [name.name for name in sorted(tmp_path.iterdir())]
    assert kept == ["audit.log", "audit.log.1", "audit.log.2"]
    numbers = [int(line) for name in reversed(kept) for line in (tmp_path / name).read_text().split()]
    assert numbers == list(range(numbers[0], 20)), "no line is lost or doubled between two writers"


@pytest.mark.parametrize("keep", [0, 1])
def test_a_file_that_is_kept_no_more_gets_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int) -> None:
    """Another process moved it on until it was gone, since this one looked last."""
    path = tmp_path / "audit.log"
    busy, other = FileTarget(path, 1, keep), FileTarget(path, 1, keep)
    other.write([b"early\n"])
    monkeypatch.setattr("bleepstore_server.audit._LOOK_SECONDS", -1)
    for _ in range(keep + 1):
        busy.write([b"moved on\n"])
        busy.write([b"moves it\n"])
    other.write([b"late\n"])
    assert path.read_text().splitlines()[-1] == "late"


def test_a_file_that_was_moved_by_others_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bleepstore_server.audit._LOOK_SECONDS", -1)
    path = tmp_path / "audit.log"
    target = FileTarget(path, 0, 0)
    target.write([b"first\n"])
    path.rename(tmp_path / "moved")
    target.write([b"second\n"])
    assert (path.read_text(), (tmp_path / "moved").read_text()) == ("second\n", "first\n")


FULL = """
import resource, signal, sys
from pathlib import Path
from bleepstore_server.audit import FileTarget

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
target = FileTarget(path, 0, 0)
target.write([b"first\\n"])
resource.setrlimit(resource.RLIMIT_FSIZE, (9, -1))
assert target.write([b"second\\n"]) == 0 and target.is_failing(), "part of it is blank"
assert target.write([b"third\\n"]) == 0 and target.is_failing()
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
assert not target.is_failing()
lines = path.read_text().splitlines()
assert lines == ["first", "   second", "third"], lines
"""


def test_what_a_full_disk_did_not_take_is_written_later_and_once(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path / "log"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


TWO_WRITERS = """
import resource, signal, sys
from pathlib import Path
from bleepstore_server.audit import FileTarget

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
one, other = FileTarget(path, 0, 0), FileTarget(path, 0, 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (9, -1))
assert one.write([b'{"a":1}\\n', b'{"b":2}\\n']) == 0 and one.has_failed, "one and a half of them"
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
assert other.write([b'{"c":3}\\n']) == 0
assert not one.is_failing()
"""


def test_a_line_that_was_torn_spoils_none_of_another_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TWO_WRITERS, str(tmp_path / "log")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()] == [{"a": 1}, {"c": 3}, {"b": 2}]


def test_what_was_kept_is_written_without_another_request(serve: Callable[..., Served], tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    served = serve("--audit-log", str(folder / "audit.log"), "--workers", "1")
    folder.rename(tmp_path / "gone")
    served.client().create_bucket(Bucket="photos")
    folder.mkdir()
    assert [one["operation"] for one in lines_of(folder / "audit.log", 1)] == ["CreateBucket"]


@pytest.mark.parametrize("refuses", [True, False])
def test_a_full_disk_refuses_or_is_counted(serve: Callable[..., Served], refuses: bool) -> None:
    served = serve("--audit-log", "/dev/full", "--audit-full", "refuse" if refuses else "go-on", "--workers", "1")
    s3 = served.client()
    if refuses:
        with pytest.raises(ClientError, match="The audit log cannot be written"):  # the first one already
            s3.create_bucket(Bucket="first")
        assert ask(admin_url(served) + "/healthz")[0] == 200
        status, answer = Admin(served).ask("GET", "buckets")  # which would have to be in the log too
        assert (status, answer["error"]["code"]) == (503, "ServiceUnavailable")
    else:
        s3.create_bucket(Bucket="first")
        assert Admin(served).ask("GET", "buckets")[0] == 200
    assert ask(admin_url(served) + "/readyz")[0] == ask(served.url + "/readyz")[0] == (503 if refuses else 200)
    status, _headers, body = ask(admin_url(served) + "/health")
    assert (status, json.loads(body)["checks"]["audit_log"]["state"]) == (
        (503, "failure") if refuses else (200, "warning")
    )
    assert len(s3.list_buckets()["Buckets"]) == (not refuses), "reads go on"
    assert value(scrape(admin_url(served)), "bleepstore_audit_failures_total") >= 1


def test_a_log_that_failed_is_tried_again_by_one_thread_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = FileTarget(tmp_path / "none" / "audit.log", 0, 0)
    assert target.write([b"kept\n"]) == 0
    assert target.has_failed
    begun, goes_on = threading.Event(), threading.Event()
    opened: list[object] = []

    def hang(path: object, *_: object) -> int:
        opened.append(path)
        begun.set()
        goes_on.wait(2)
        raise OSError

    monkeypatch.setattr(os, "open", hang)
    trying = threading.Thread(target=target.is_failing)
    trying.start()
    assert begun.wait(20)
    assert target.is_failing()
    goes_on.set()
    trying.join()
    assert len(opened) == 1


def test_a_syslog_gets_a_datagram_for_each_line() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(30)
        target = SyslogTarget(f"syslog://127.0.0.1:{receiver.getsockname()[1]}")
        assert target.write([b'{"a":1}\n', b'{"b":2}\n']) == 0
        assert receiver.recv(1000).rstrip(b"\0") == b'<86>bleepstore-audit: {"a":1}'
        assert b'{"b":2}' in receiver.recv(1000)
        target.close()


def test_a_syslog_that_is_not_there_fails(tmp_path: Path) -> None:
    target = SyslogTarget(f"syslog:{tmp_path}/none")
    assert target.write([b"line\n"]) == 1
    assert target.is_failing()


class _Receiver(BaseHTTPRequestHandler):
    """Answers 503 at first."""

    answers: ClassVar[list[int]] = [503, 200]
    bodies: ClassVar[SimpleQueue[bytes]] = SimpleQueue()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.bodies.put(body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_webhook_gets_the_lines_again_until_it_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bleepstore_server.audit._RETRY_SECONDS", 0.01)
    with HTTPServer(("127.0.0.1", 0), _Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        target = SenderTarget(f"http://127.0.0.1:{server.server_port}/audit")
        assert target.write([b'{"a":1}\n']) == 0
        assert json.loads(_Receiver.bodies.get(timeout=30)) == {"Records": [{"a": 1}]}
        target.close()
        server.shutdown()
        thread.join()


def test_what_no_log_can_be_written_to_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="audit_log: there is no folder"):
        load_config(environ={"BLEEPSTORE_AUDIT_LOG": str(tmp_path / "none" / "audit.log")})
    with pytest.raises(ConfigError, match=r"audit_log: .* is a folder: name a file in it"):
        load_config(environ={"BLEEPSTORE_AUDIT_LOG": str(tmp_path)})
    with pytest.raises(ConfigError, match="audit_log: events cannot be sent to 'gopher'"):
        load_config(environ={"BLEEPSTORE_AUDIT_LOG": "gopher://host/"})
