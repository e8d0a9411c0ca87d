"""Commands of BleepStore in processes that have imported it already.

To start Python and import the server takes most of the time of a test that starts one. So one process imports it, for
all tests of this one, and forks a process for each command:

    tests  -- words, environment, folder, streams -->  forker  -- fork -->  bleepstore WORDS
           <-- pid, and at its end how it ended -----

Forked is what `bleepstore` does, from the arguments to the exit status: in a session of its own, with the environment,
the folder and the streams that it is given. Only the start of Python itself is shared.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import bleepstore_server
from bleepstore_server.cli import main

_MAX_REQUEST = 1 << 20
#: What a server and most other commands import.
_MODULES = (
    "bleepstore_server.serving",
    "bleepstore_server.worker",
    "bleepstore.store.encrypting",
    "gunicorn.app.base",
    "gunicorn.arbiter",
    "gunicorn.glogging",
)
_PATIENCE = 60.0  # seconds


class Forked:
    """A process that a forker began: of `subprocess.Popen` what tests use."""

    def __init__(self, words: Sequence[str], pid: int, report: socket.socket, stdout: IO[str]) -> None:
        self.args = words
        self.pid = pid
        self.stdout: IO[str] = stdout
        self.returncode: int | None = None
        self._report = report

    def poll(self) -> int | None:
        return self._look(0)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._report.settimeout(timeout)
            try:
                said = self._report.recv(64)
            except (BlockingIOError, TimeoutError):
                return None
            assert said, "the forker ended before what it forked"
            self.returncode = int(said)
            self._report.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        status = self._look(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def communicate(self, timeout: float = _PATIENCE) -> tuple[str, None]:
        """(the rest of what it said, None), once it has ended."""
        said: list[str] = []
        if not self.stdout.closed:
            reading = threading.Thread(target=lambda: said.append(self.stdout.read()), daemon=True)
            reading.start()
            reading.join(timeout)
            if reading.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.stdout.close()
        self.wait(timeout)
        return "".join(said), None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forker:
    """The process that forks."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "tests.serving.forking", str(theirs.fileno())]
            self._process = subprocess.Popen(
                command,
                cwd=Path(__file__).parents[2],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._lock = threading.Lock()

    def start(self, words: Sequence[str], environ: Mapping[str, str], errors: IO[str] | None = None) -> Forked:
        """Begin `bleepstore WORDS`, whose standard error is in `errors`, or in its output."""
        report, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reading, writing = os.pipe()
        given = [writing, writing if errors is None else errors.fileno(), theirs.fileno()]
        request = json.dumps({"words": list(words), "environ": dict(environ), "folder": str(Path.cwd())}).encode()
        assert len(request) < _MAX_REQUEST
        try:
            with theirs, self._lock:
                socket.send_fds(self._socket, [request], given)
                self._socket.settimeout(_PATIENCE)
                pid = int(self._socket.recv(64))
        finally:
            os.close(writing)
        return Forked(words, pid, report, os.fdopen(reading, encoding="utf-8"))

    def close(self) -> None:
        self._socket.close()
        self._process.wait(_PATIENCE)


@functools.cache
def forker() -> Forker:
    """That of this process, which begins it when it is first asked for."""
    made = Forker()
    atexit.register(made.close)
    return made


def run_command(words: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What `bleepstore WORDS` says, and how it ends."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = forker().start(words, environ, errors)
        output, _ = process.communicate()
        errors.seek(0)
        return subprocess.CompletedProcess(words, process.wait(), output, errors.read())


# -- in the process that forks


class _Forking:
    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._children: dict[int, socket.socket] = {}
        self._waking, told = os.pipe()
        for end in (self._waking, told):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._told = told

    def run(self) -> Callable[[], int] | None:
        """Fork what is asked for until nobody is there to ask. In what is forked: returns what that is to do."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._requests, selectors.EVENT_READ)
            selector.register(self._waking, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if self._waking in ready:
                    os.read(self._waking, 4096)
                    self._report()
                if self._requests.fileno() in ready:
                    text, streams, _, _ = socket.recv_fds(self._requests, _MAX_REQUEST, 3)
                    if not text:
                        return None
                    command = self._fork(text, streams)
                    if command is not None:
                        return command

    def _fork(self, text: bytes, given: Sequence[int]) -> Callable[[], int] | None:
        pid = os.fork()
        if pid == 0:
            return self._become(json.loads(text), given)
        *streams, report = given
        for stream in streams:
            os.close(stream)
        self._children[pid] = socket.socket(fileno=report)
        self._requests.send(str(pid).encode())
        return None

    def _become(self, asked: dict[str, object], given: Sequence[int]) -> Callable[[], int]:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        output, errors, _report = given
        os.dup2(output, 1)
        os.dup2(errors, 2)
        for end in (*given, self._waking, self._told):
            os.close(end)
        self._requests.close()
        for other in self._children.values():
            other.close()
        folder, environ, words = asked["folder"], asked["environ"], asked["words"]
        assert isinstance(folder, str)
        assert isinstance(environ, dict)
        assert isinstance(words, list)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environ)
        time.tzset()
        assert bleepstore_server.__file__ is not None
        sys.argv = [str(Path(bleepstore_server.__file__).with_name("__main__.py")), *words]
        return main

    def _report(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            with self._children.pop(pid) as report:
                report.send(str(os.waitstatus_to_exitcode(status)).encode())


if __name__ == "__main__":
    for name in _MODULES:
        importlib.import_module(name)
    gc.freeze()  # what is forked need not look at what it shares
    command = _Forking(socket.socket(fileno=int(sys.argv[1]))).run()
    if command is not None:
        sys.exit(command())
