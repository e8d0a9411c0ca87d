"""Where POSIX is missing, as on Windows: what needs no folder works, and a folder says what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Imports the standard library, which has chosen its own parts for this system, and then takes from it what Windows
#: does not have. What asks for it later sees a system without.
HIDE = """
import asyncio, concurrent.futures, http.server, importlib.metadata, logging, multiprocessing, os, random, select
import selectors, shutil, signal, socket, socketserver, subprocess, sys, tempfile, threading, time, uuid

for name in ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"):
    sys.modules[name] = None
for module, names in {
    os: "chown copy_file_range fchdir fchmod fchown fdatasync fork forkpty fpathconf getegid geteuid getgid "
    "getloadavg getpgid getpgrp getuid killpg lchown lockf major makedev memfd_create minor mkfifo mknod nice openpty "
    "pathconf pipe2 posix_fadvise posix_fallocate posix_spawn pread preadv pwrite pwritev readv register_at_fork "
    "sched_yield sendfile set_blocking setsid setuid statvfs sync sysconf uname wait wait3 writev O_CLOEXEC "
    "O_DIRECTORY O_DSYNC O_NOCTTY O_NOFOLLOW O_NONBLOCK O_SYNC",
    signal: "SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGUSR1 SIGUSR2 SIGWINCH pthread_sigmask setitimer "
    "siginterrupt sigwait",
    socket: "AF_UNIX SO_REUSEPORT MSG_DONTWAIT",
    select: "poll epoll",
    selectors: "PollSelector EpollSelector",
    time: "clock_gettime clock_gettime_ns CLOCK_MONOTONIC CLOCK_REALTIME pthread_getcpuclockid",
}.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
selectors.DefaultSelector = selectors.SelectSelector
"""

LIBRARY = """
import bleepstore, fsspec
with bleepstore.open() as store:
    store.create_bucket("photos")
    store.put_object("photos", "small", b"meow")
    store.put_object("photos", "big", bytes(1 << 20))
    assert store.get_object("photos", "big").read() == bytes(1 << 20)
    upload = store.create_upload("photos", "parts").upload_id
    part = store.put_part("photos", "parts", upload, 1, bytes(5 << 20))
    done = bleepstore.CompletedPart(number=1, etag=part.etag)
    store.complete_upload("photos", "parts", upload, [done])
    with store.snapshot() as before, store.fork() as copy:
        copy.delete_object("photos", "small")
        store.delete_object("photos", "small")
        store.restore(before)
    assert [one.key for one in store.list_objects("photos").objects] == ["big", "parts", "small"]
    store.jobs.run_due()
files = fsspec.filesystem("bleepstore")
files.mkdir("photos")
files.pipe("photos/cat", b"meow")
assert files.cat("photos/cat") == b"meow"
print("ok")
"""

SERVER = """
import threading
import urllib.request
from bleepstore_server import in_process, live_server

def use(s3, store):
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="cat", Body=b"meow", ServerSideEncryption="AES256")
    link = s3.generate_presigned_url("get_object", {"Bucket": "photos", "Key": "cat"})
    assert urllib.request.urlopen(link).read() == b"meow"
    put = lambda key: s3.put_object(Bucket="photos", Key=key, Body=b"x")
    threads = [threading.Thread(target=put, args=[str(number)]) for number in range(9)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 10
    store.put_rate_limit(account=store.owner.id, max_requests=1000)
    s3.get_object(Bucket="photos", Key="cat")["Body"].read()

with in_process() as store:
    import boto3
    use(boto3.client("s3"), store)
with live_server() as server:
    use(server.client(), server.store)
print("ok")
"""

PLUGIN = """
import pytest
plugins = ["-p", "bleepstore_server.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
sys.exit(pytest.main(["-q", *plugins, "--capture=sys", sys.argv[1]]))
"""

TEST_FILE = """
def test_fixtures(s3_client, s3_bucket, s3_clock, s3_server):
    s3_client.put_object(Bucket=s3_bucket, Key="cat", Body=b"meow")
    assert s3_client.get_object(Bucket=s3_bucket, Key="cat")["Body"].read() == b"meow"
    s3_server.client().list_buckets()
"""


def run(script: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HIDE + script, *arguments]
    environ = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder, env=environ)


@pytest.mark.parametrize("script", [LIBRARY, SERVER], ids=["library", "server"])
def test_stores_in_memory_work(script: str, tmp_path: Path) -> None:
    done = run(script, folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_the_pytest_plugin_works(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST_FILE)
    done = run(PLUGIN, str(tmp_path / "test_it.py"), folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


REFUSALS = """
import bleepstore
from bleepstore_server.cli import main
for call in (
    lambda: bleepstore.open("folder"),
    lambda: bleepstore.open("folder", read_only=True),
    lambda: bleepstore.fsck("folder"),
):
    try:
        call()
    except bleepstore.errors.StoreError as error:
        print(error, file=sys.stderr)
for words in (
    "serve --data new",
    "serve --data :memory:",
    "keys list --data folder",
    "users list --data folder",
    "ls bleepstore://photos --data folder",
    "export photos copy --data folder",
    "adopt --backend-url s3://cats --data folder",
    "doctor",
):
    assert main(words.split()) == 2
"""


def test_a_folder_and_the_server_say_that_they_need_posix(tmp_path: Path) -> None:
    (tmp_path / "folder" / "blobs").mkdir(parents=True)
    (tmp_path / "folder" / "catalog.db").touch()
    before = sorted(tmp_path.rglob("*"))
    done = run(REFUSALS, folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 11
    assert all("needs a POSIX system" in line and "in memory works here" in line for line in lines), done.stderr
    assert [line.split(" needs ")[0] for line in lines[3:5]] == ["bleepstore: bleepstore serve"] * 2
    assert all(line.partition("needs")[0].endswith("folder ") for line in (*lines[:3], lines[5], *lines[7:10]))
    assert sorted(tmp_path.rglob("*")) == before, "nothing is made"
