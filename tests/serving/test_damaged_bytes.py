"""Damaged objects on the wire: an error, or a connection that ends before the last byte."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import botocore.exceptions
import pytest

import bleepstore
from bleepstore_server.clients import client_for
from bleepstore_server.live import live_server
from tests.serving.conftest import LEGACY_ACLS, Served

if TYPE_CHECKING:
    from mypy_boto3_s3.literals import ObjectCannedACLType

Serve = Callable[..., Served]
MIB = 1024 * 1024
SMALL = 128 * 1024  # what is read before the answer begins
SIZES = pytest.mark.parametrize("size", [SMALL, MIB, 3 * MIB + 7])


def blobs(data: Path) -> list[Path]:
    return sorted(path for path in (data / "blobs").glob("*/**/*") if path.is_file() and path.name != "manifest")


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))


def public(server: Served, body: bytes, acl: ObjectCannedACLType = "public-read") -> Path:
    """Put an object that all may read, instead of the one before. The file of its bytes."""
    before = set(blobs(server.data))
    with contextlib.closing(server.client()) as s3:
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="k", Body=body, ACL=acl)
    (new,) = set(blobs(server.data)) - before
    return new


def read_answer(connection: socket.socket) -> tuple[bytes, bytes, bool]:
    """(header, body, whether the connection goes on) of one answer."""
    file = connection.makefile("rb")
    header = b""
    while (line := file.readline()) not in (b"\r\n", b""):
        header += line
    length = int(re.search(rb"(?i)content-length: (\d+)", header)[1])  # type: ignore[index]  # every answer has one
    body = file.read(length)
    return header, body, len(body) == length and b"connection: close" not in header.lower()


@SIZES
def test_a_flipped_bit_ends_the_connection_before_the_last_byte(shared_server: Served, size: int) -> None:
    server, tls = shared_server, shared_server.certificate is not None
    flip(public(server, os.urandom(size), "bucket-owner-full-control"))
    broken = (botocore.exceptions.IncompleteReadError, botocore.exceptions.ResponseStreamingError)
    if size == SMALL or (tls and size <= MIB):  # what is read in one piece is compared before the header is sent
        broken = (botocore.exceptions.ClientError,)  # type: ignore[assignment]  # another tuple of exceptions
    with pytest.raises(broken):
        server.client().get_object(Bucket="photos", Key="k")["Body"].read()
    assert server.client().head_object(Bucket="photos", Key="k")["ContentLength"] == size


def test_damage_is_logged_once(serve: Serve) -> None:
    server = serve("--workers", "1", *LEGACY_ACLS)
    flip(public(server, os.urandom(3 * MIB)))
    with pytest.raises((botocore.exceptions.IncompleteReadError, botocore.exceptions.ResponseStreamingError)):
        server.client().get_object(Bucket="photos", Key="k")["Body"].read()
    server.process.terminate()
    log, _ = server.process.communicate(timeout=40)
    assert (log.count("are damaged"), log.count("Traceback")) == (1, 0), log


@SIZES
def test_sound_objects_are_sent_whole_again_and_again(shared_plain: Served, size: int) -> None:
    body = os.urandom(size)
    public(shared_plain, body)
    with socket.create_connection(("127.0.0.1", shared_plain.port), timeout=30) as connection:
        for _ in range(4):
            connection.sendall(b"GET /photos/k HTTP/1.1\r\nHost: x\r\n\r\n")
            header, received, goes_on = read_answer(connection)
            assert header.startswith(b"HTTP/1.1 200")
            assert received == body
            assert goes_on


@pytest.mark.parametrize("ranged", [b"", b"Range: bytes=0-99\r\n"])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_another_size_is_an_error_and_the_next_answer_is_its_own(
    shared_plain: Served, ranged: bytes, change: int
) -> None:
    os.truncate(public(shared_plain, bytes(MIB)), MIB + change)
    with socket.create_connection(("127.0.0.1", shared_plain.port), timeout=30) as connection:
        for _ in range(2):
            connection.sendall(b"GET /photos/k HTTP/1.1\r\nHost: x\r\n" + ranged + b"\r\n")
            header, body, _goes_on = read_answer(connection)
            assert header.startswith(b"HTTP/1.1 500")
            assert b"<Code>InternalError</Code>" in body
            assert b"damaged" in body


@pytest.mark.parametrize("ranged", [b"", b"Range: bytes=1-\r\n"])
def test_a_file_that_is_cut_off_while_it_is_sent_ends_the_connection(shared_plain: Served, ranged: bytes) -> None:
    size = 64 * MIB
    path = public(shared_plain, bytes(size))
    with socket.create_connection(("127.0.0.1", shared_plain.port), timeout=30) as connection:
        connection.sendall(b"GET /photos/k HTTP/1.1\r\nHost: x\r\n" + ranged + b"\r\n")
        connection.recv(1)  # the answer has begun, and the socket's buffers cannot hold all of it
        os.truncate(path, MIB)
        received = 1
        while data := connection.recv(MIB):
            received += len(data)
    assert received < size


@SIZES
def test_a_live_server_says_so_or_resets_the_connection(tmp_path: Path, size: int) -> None:
    with bleepstore.open(tmp_path / "data", acl_defaults="legacy") as store, live_server(store) as server:
        s3 = server.client()
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="k", Body=os.urandom(size), ACL="public-read")
        flip(blobs(tmp_path / "data")[0])
        connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rpartition(":")[2]), timeout=30)
        connection.request("GET", "/photos/k")
        if size == SMALL:
            assert connection.getresponse().status == 500
        else:
            with pytest.raises((ConnectionError, http.client.IncompleteRead)):
                connection.getresponse().read()
        connection.close()
        s3.close()


@SIZES
def test_boto3_in_process_gets_no_whole_body(tmp_path: Path, size: int) -> None:
    with bleepstore.open(tmp_path / "data") as store:
        s3 = client_for(store)
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="k", Body=os.urandom(size))
        flip(blobs(tmp_path / "data")[0])
        with pytest.raises((bleepstore.errors.ObjectDamaged, botocore.exceptions.ClientError), match="damaged"):
            s3.get_object(Bucket="photos", Key="k")["Body"].read()
        s3.close()
